/* fair.h - who is next among those that share the workers: each gets its weight's part of the measured time.
 *
 * Start-time fair queueing (Goyal, Vin, Cheng 1996) over cost instead of bytes: every share has a virtual time that
 * advances by cost / weight, the one that is furthest behind is next.  A share that was idle joins at the time of those
 * that are busy: it is owed nothing for the past, and does not pay for it.  The cost is charged when work begins, by
 * estimate, and corrected when it is measured; so two workers do not both pick the same share because its bill
 * is still out.  Picking costs O(log n).  Not thread-safe. */
#ifndef SCHED_FAIR_H
#define SCHED_FAIR_H
#include "sched/order.h"

enum { FAIR_WEIGHT_MAX = 1000 };

typedef struct {
    uint32_t weight;    /* 1 .. FAIR_WEIGHT_MAX; 0 counts as 1; set before it is ready */
    uint64_t used_ns;   /* read only: all that was charged */
    /* private */
    uint64_t at;   /* virtual: ns * FAIR_WEIGHT_MAX / weight */
    order_node place;
} fair_share;

typedef struct {
    /* private */
    order_tree ready;
    uint64_t now;   /* virtual time of the share that was picked last; never goes back */
} fair;

void fair_init(fair *f);
void fair_ready(fair *f, fair_share *s, bool ready);        /* it has work that may run, or no longer */
fair_share *fair_pick(fair *f);                             /* NULL = nobody is ready; it stays ready */
void fair_charge(fair *f, fair_share *s, int64_t cost_ns);  /* negative: too much was charged before */

#endif
