/* waiting.h - all items of one batcher that wait: in lanes, behind others of their sequence, and under a timer.
 *
 * Keeps the lanes that have items in two orders: those that may run now by urgency, the others by when they may.  What
 * is counted here bounds the queue.  Every operation costs O(log n).  Borrows the items; owns the lanes. */
#ifndef SCHED_WAITING_H
#define SCHED_WAITING_H
#include "sched/batch_rule.h"
#include "sched/lanes.h"
#include "sched/sequences.h"

typedef struct {
    /* read only */
    lanes lanes;
    uint64_t count, rows, bytes;             /* of all that wait */
    uint64_t rows_at[BATCH_LEVELS_MAX];      /* in lanes */
    uint32_t count_at[BATCH_LEVELS_MAX];     /* by level, also behind others */
    uint64_t backlog_ns;                     /* that one instance needs for what is in lanes */
    uint32_t ripe_count, unripe_count;       /* lanes */
    /* private */
    const batch_rule *rule;
    order_tree ripe, unripe;
    order_tree timers;
    sequences sequences;
    uint64_t number;                         /* of the item that came last */
} waiting;

void waiting_init(waiting *w, const batch_rule *rule, uint32_t kinds_max);   /* borrows the rule */
void waiting_fini(waiting *w);                                             /* nothing waits or runs */

/* The item, whose ->lane is pinned, comes, and is numbered. */
void waiting_enter(waiting *w, batch_item *i, uint64_t now_ns);
/* It waits no longer: it is started or dropped.  Its lane is to be filed and the item to be let go after that. */
void waiting_take(waiting *w, batch_item *i);
/* It has run or was dropped: the next of its sequence may go, and its lane is its own no longer. */
void waiting_let_go(waiting *w, batch_item *i, uint64_t now_ns);
void waiting_file(waiting *w, lane *l, uint64_t now_ns);   /* its items or its curve changed */

/* The one whose deadline or timeout has passed, or NULL. */
batch_item *waiting_overdue(const waiting *w, uint64_t now_ns);
void waiting_delay(waiting *w, batch_item *i, uint64_t now_ns);   /* goes behind the others of its level */

lane *waiting_ripe(waiting *w, uint64_t now_ns);   /* the most urgent lane that may run; NULL = none */
lane *waiting_next(const waiting *w);              /* the same, or the one that may run first; NULL = nothing waits */
uint64_t waiting_ripe_ns(const waiting *w);        /* when the next lane may run that may not yet; UINT64_MAX = none */
uint64_t waiting_timer_ns(const waiting *w);       /* the next deadline or timeout; UINT64_MAX = none */

#endif
