/* pace.h - how much of a latency objective may be planned for, so that 99 of 100 answers hold it.
 *
 * What is planned from a cost curve misses what the curve does not know: other models on the same cores, stalls, costs
 * that depend on values.  As in Clipper for batch sizes, what is late takes a good part of the plan away and what is in
 * time gives it back slowly.  The two steps are as 99 to 1, so that the share of late answers comes to rest at one in
 * a hundred.
 *
 * A queue in which nobody waits less than a run takes, for a whole interval, makes no batch fuller: it stands.  As in
 * CoDel (RFC 8289), which tells it from the queue of a burst in the same way, it is made shorter step by step, here by
 * planning for less, so that it leaves room for a stall.  Only where some are refused anyway: clients who all find room
 * in time keep it. */
#ifndef SCHED_PACE_H
#define SCHED_PACE_H
#include "base/base.h"

typedef struct {
    uint64_t objective_ns;   /* 0 = none */
    double part;             /* of it that is planned for, by what was late; read only */
    double room;             /* the same, by the queue that stands; the lesser of the two counts */
    uint64_t least_ns;       /* that the head of a batch waited in this interval; UINT64_MAX = none started */
    uint64_t until_ns;       /* the interval's end */
    bool refused;            /* somebody was, in this interval */
} pace;

void pace_init(pace *p, uint64_t objective_ns);
void pace_note(pace *p, uint32_t late, uint32_t in_time);   /* answers of one batch */
void pace_refused(pace *p);   /* somebody for whom the plan has no room */
/* A batch starts whose head has waited so long; it will run for about run_ns. */
void pace_started(pace *p, uint64_t waited_ns, uint64_t run_ns, uint64_t now_ns);
uint64_t pace_ns(const pace *p);                            /* to plan for; 0 = no objective */

#endif
