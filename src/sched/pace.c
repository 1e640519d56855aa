#include "sched/pace.h"

#define LATE_STEP 0.0495
#define IN_TIME_STEP 0.0005
#define PART_MIN 0.3      /* a model that cannot hold its objective at all is served as well as can be */
#define FALL_MAX 0.1      /* of one batch: its members are late together, which is one accident */
#define ROOM_MIN 0.4
#define ROOM_STEP 0.1
#define INTERVAL 4        /* objectives: longer than most bursts */

void pace_init(pace *p, uint64_t objective_ns)
{
    *p = (pace){.objective_ns = objective_ns, .part = 1, .room = 1, .least_ns = UINT64_MAX};
}

void pace_note(pace *p, uint32_t late, uint32_t in_time)
{
    double fall = LATE_STEP * late;
    p->part -= p->part * (fall < FALL_MAX ? fall : FALL_MAX);
    p->part += p->part * IN_TIME_STEP * in_time;
    p->part = p->part > 1 ? 1 : p->part < PART_MIN ? PART_MIN : p->part;
}

void pace_refused(pace *p) { p->refused = true; }

void pace_started(pace *p, uint64_t waited_ns, uint64_t run_ns, uint64_t now_ns)
{
    if (waited_ns < p->least_ns) p->least_ns = waited_ns;
    if (now_ns < p->until_ns) return;
    p->room *= p->refused && p->least_ns > run_ns ? 1 - ROOM_STEP : 1 + ROOM_STEP;
    p->room = p->room > 1 ? 1 : p->room < ROOM_MIN ? ROOM_MIN : p->room;
    p->least_ns = UINT64_MAX;
    p->refused = false;
    p->until_ns = now_ns + INTERVAL * p->objective_ns;
}

uint64_t pace_ns(const pace *p)
{
    return (uint64_t)((double)p->objective_ns * (p->part < p->room ? p->part : p->room));
}
