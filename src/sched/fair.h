/* fair.h - who is next among those that share the workers: each gets its weight's part of the measured time.
 *
 * Start-time fair queueing (Goyal, Vin, Cheng 1996) over cost instead of bytes: every share has a virtual time that
 * advances by cost * priority / weight, the one that is furthest behind is next.  A share that was idle joins at the
 * time of those that are busy: it is owed nothing for the past, and does not pay for it.  The cost is charged when work
 * begins, by estimate, and corrected when it is measured; so two workers do not both pick the same share because its
 * bill is still out.  Picking costs O(log n), and a step for each that may not go just now.  Virtual time has 128 bits:
 * it does not come round.  Not thread-safe. */
#ifndef SCHED_FAIR_H
#define SCHED_FAIR_H
#include "sched/order.h"

enum { FAIR_WEIGHT_MAX = 1000, FAIR_PRIORITY_MAX = 1000 };

typedef struct {
    uint32_t weight;     /* 1 .. FAIR_WEIGHT_MAX; 0 counts as 1; set before it is ready, as the next */
    uint32_t priority;   /* Triton's: it gets its weight's part / priority; 1 .. FAIR_PRIORITY_MAX; 0 counts as 1 */
    uint64_t used_ns;    /* read only: all that was charged */
    /* private */
    order_key at;        /* virtual: ns * FAIR_WEIGHT_MAX * priority / weight */
    order_node place;
} fair_share;

typedef struct {
    /* private */
    order_tree ready;
    order_key now;   /* virtual time of the share that was picked last; never goes back */
} fair;

typedef bool fair_may(const fair_share *s, void *of);

void fair_init(fair *f);
void fair_ready(fair *f, fair_share *s, bool ready);        /* it has work that may run, or no longer */
/* The first that may go; may == NULL: all may.  NULL = nobody is ready, or may. */
fair_share *fair_first(const fair *f, fair_may *may, void *of);
void fair_pick(fair *f, const fair_share *s);               /* it goes; it stays ready */
void fair_charge(fair *f, fair_share *s, int64_t cost_ns);  /* negative: too much was charged before */
static inline size_t fair_count(const fair *f) { return f->ready.count; }   /* that are ready */

#endif
