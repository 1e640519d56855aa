/* pace.h - how much of a latency objective may be planned for, so that 99 of 100 answers hold it.
 *
 * What is planned from a cost curve misses what the curve does not know: other models on the same cores, stalls, costs
 * that depend on values.  As in Clipper for batch sizes, what is late takes a good part of the plan away and what is in
 * time gives it back slowly.  The two steps are as 99 to 1, so that the share of late answers comes to rest at one in
 * a hundred. */
#ifndef SCHED_PACE_H
#define SCHED_PACE_H
#include "base/base.h"

typedef struct {
    uint64_t objective_ns;   /* 0 = none */
    double part;             /* of it that is planned for; read only */
} pace;

void pace_init(pace *p, uint64_t objective_ns);
void pace_note(pace *p, uint32_t late, uint32_t in_time);   /* answers of one batch */
uint64_t pace_ns(const pace *p);                            /* to plan for; 0 = no objective */

#endif
