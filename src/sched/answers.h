/* answers.h - items that ended, until the driver collects them; in the order of arrival where that was asked for.
 *
 * In order means: what ran is withheld while anything that came before it still waits or runs.  What was dropped never
 * held an answer, so it is handed out at once, and what it held up with it.  Borrows the items. */
#ifndef SCHED_ANSWERS_H
#define SCHED_ANSWERS_H
#include "sched/batch.h"

typedef struct {
    bool in_order;       /* read only */
    uint64_t withheld;   /* read only: that ran and wait for one before them */
    /* private */
    batch_item *first, *last;   /* in order: all that came and are not answered */
    batch_item *ready, **end;
} answers;

void answers_init(answers *a, bool in_order);      /* not moved after this */
void answers_expect(answers *a, batch_item *i);    /* it came */
void answers_put(answers *a, batch_item *i);       /* it ended: ->drop says how */
batch_item *answers_collect(answers *a);           /* linked by next; NULL = none */

#endif
