/* queue_run.h - runs for items of a queue: one alone on its own memory, or several as rows of one execution.
 *
 * Rows are copied behind one another in, and seen as views on the way out; the last item to give its outputs back gives
 * the execution back.  So that few plans are made, the rows of a shared run are rounded up to one of
 * batch_size.h; what is too much repeats the last row, which was computed already: it cannot fail by itself; of
 * inputs for which the items bring an empty row, as the controls of sequences, it is that.
 * Rows of unequal length are filled up with zeros, and what comes of them is cut to their own length where it lies.
 * An item whose inputs are of other types than the model's is refused (ERR_INVALID): the engine looks at bytes alone.
 * Nothing here allocates once the plan has been run as often at a time. */
#ifndef MODELS_QUEUE_RUN_H
#define MODELS_QUEUE_RUN_H
#include "models/queue.h"

typedef struct {
    model *model;
    const padding *pad;
    shape *shapes; /* room for one of each input */
    uint64_t run_us_max;
} queue_run;

static inline queue_item *queue_item_of(batch_item *i)
{
    return i ? (queue_item *)(void *)((char *)i - offsetof(queue_item, at)) : NULL;
}

/* In an execution for the item's shapes, from its start_ns on, whose outputs are then the item's. */
err_code queue_run_taken(const queue_run *r, queue_item *item, exec *x, err *e) MUST_USE;
/* From start_ns on.  Fills the item's instants, and its outputs where it succeeds. */
err_code queue_run_alone(const queue_run *r, queue_item *item, uint64_t start_ns, err *e) MUST_USE;
/* All items of the batch, as `rows` rows, of `length` where they are padded.  ERR_UNSUPPORTED: the model's outputs are
 * not rows, whatever was proven. */
err_code queue_run_rows(const queue_run *r, const batch_run *b, uint32_t rows, uint32_t length, err *e) MUST_USE;

#endif
