/* sequences.h - items of one sequence go one at a time, in the order in which they came.
 *
 * The first of each sequence waits or runs; the others stand behind it, linked through the items themselves.  When it
 * leaves, run or dropped, the next one steps forward.  Joining and leaving cost O(log n) in the number of sequences. */
#ifndef SCHED_SEQUENCES_H
#define SCHED_SEQUENCES_H
#include "sched/batch.h"

typedef struct {
    /* private */
    order_tree heads;
} sequences;

void sequences_init(sequences *s);
/* true: it is the first and may go; false: it stands behind another.  An item without a sequence may always go. */
bool sequences_join(sequences *s, batch_item *i);
/* The one that may go now because i left, or NULL. */
batch_item *sequences_leave(sequences *s, batch_item *i);

#endif
