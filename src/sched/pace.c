#include "sched/pace.h"

#define LATE_STEP 0.0495
#define IN_TIME_STEP 0.0005
#define PART_MIN 0.3      /* a model that cannot hold its objective at all is served as well as can be */
#define FALL_MAX 0.1      /* of one batch: its members are late together, which is one accident */

void pace_init(pace *p, uint64_t objective_ns) { *p = (pace){.objective_ns = objective_ns, .part = 1}; }

void pace_note(pace *p, uint32_t late, uint32_t in_time)
{
    double fall = LATE_STEP * late;
    p->part -= p->part * (fall < FALL_MAX ? fall : FALL_MAX);
    p->part += p->part * IN_TIME_STEP * in_time;
    p->part = p->part > 1 ? 1 : p->part < PART_MIN ? PART_MIN : p->part;
}

uint64_t pace_ns(const pace *p) { return (uint64_t)((double)p->objective_ns * p->part); }
