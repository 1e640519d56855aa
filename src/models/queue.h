/* queue.h - where the requests of one model meet, whatever connection and protocol they came by.
 *
 * A request is a queue_item: input tensors, and a function to call with the outputs.  Workers of the compute pool
 * take items (one at a time today; a batcher takes several here, and nothing else changes).  A model that is
 * cheaper than `inline_us` and has nobody waiting runs on the calling loop at once, which saves two thread
 * switches.  Bounded: a full queue refuses with ERR_LIMIT. */
#ifndef MODELS_QUEUE_H
#define MODELS_QUEUE_H
#include "async/stage.h"
#include "engine/model.h"
#include "models/metrics.h"

typedef struct queue queue;
typedef struct queue_item queue_item;
typedef struct ensemble_run ensemble_run;

/* Where an item's outputs lie: in an execution of its own, in one that it shares, or with whoever adds a further row.
 * A source keeps what it needs in the item's `outputs`. */
typedef struct {
    tensor (*output)(const queue_item *item, uint32_t i);
    void (*release)(queue_item *item); /* nobody looks at them any more; any thread */
} queue_source;

struct queue_item {
    /* set by the caller */
    const tensor *inputs; /* one per model input, in the model's order; data live until done() */
    _Atomic bool cancelled; /* any thread may set it, also while the item waits: ERR_CANCELLED at the next node */
    uint64_t deadline_us; /* on clock_now_us(): not run after it, ERR_TIMEOUT; 0 = none */
    /* Runs on the thread that ran the model.  e NULL: its outputs are there until queue_release(), which is now the
     * callee's to call, on any thread; else why there are none. */
    void (*done)(queue_item *item, const err *e);
    /* On clock_now_ns(): pushed, run begun and ended; 0 = it has not.  Whoever has just read the clock sets since_ns;
     * with 0 queue_push() reads it. */
    uint64_t since_ns, start_ns, end_ns;
    ensemble_run *run; /* of served_begin(), where what is asked is an ensemble; else NULL */
    /* of whoever brought the outputs, before done() */
    const queue_source *source; /* NULL = there are none */
    struct {
        void *of;
        uint32_t row, rows; /* of those that share it */
    } outputs;
    /* private */
    stage_item link;
};

typedef struct {
    model *model; /* borrowed */
    compute *pool; /* borrowed */
    metrics_model *metrics; /* borrowed: what waits and runs now */
    uint32_t depth_max, inline_us;
    uint64_t run_us_max; /* of one run: ERR_TIMEOUT at the next node, or iteration of a loop; 0 = no limit */
} queue_opts;

err_code queue_new(queue **ret, const queue_opts *opts, err *e) MUST_USE;
void queue_free(queue *q); /* nothing waits or runs */
DEFINE_CLEANUP(queue)

/* Nothing waits in it, and no worker is inside.  Stays so when nobody pushes. */
bool queue_quiet(queue *q);

/* Takes the item until done() is called, possibly before this returns.  On error (ERR_LIMIT) done() is not called. */
err_code queue_push(queue *q, queue_item *item, err *e) MUST_USE;

/* After done(): output i of the model; its data live until queue_release(). */
static inline tensor queue_output(const queue_item *item, uint32_t i) { return item->source->output(item, i); }
void queue_release(queue_item *item); /* no-op where there are none */

/* The item's outputs are those of an execution, which is given back with them. */
void queue_item_hold(queue_item *item, exec *x);

#endif
