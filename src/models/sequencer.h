/* sequencer.h - a model whose requests belong to sequences, as Triton's sequence batcher has them.
 *
 *   push --> slots (sched/slots.h): one request of each sequence at a time --> the model's queue, with controls and the
 *   states of the request before --> states kept, done() --> the next of that sequence
 * Requests of different sequences meet in the queue and share runs there, so the strategies direct and oldest differ in
 * how many sequences have a slot, and in what a run waits for (queue_rules.c).  A model in ONNX has no memory of its
 * own, so a run has no row for a slot without a request; where it is filled up to a size, READY of those rows is false.
 *
 * Whichever thread brings or ends a request goes on with all that is there; who comes meanwhile leaves it with that
 * thread: nothing is locked.  A sequence that was idle for too long is forgotten, with its states. */
#ifndef MODELS_SEQUENCER_H
#define MODELS_SEQUENCER_H
#include "async/waker.h"
#include "models/model_config.h"
#include "models/queue.h"

typedef struct sequencer sequencer;

typedef struct {
    const model_config *config;   /* fitted; all borrowed */
    model *model;
    queue *queue;
    queue_owner owner;            /* of both: see queue.h */
    waker *waker;
    metrics_model *metrics;
    uint32_t waiting_max;         /* requests */
} sequencer_opts;

err_code sequencer_new(sequencer **ret, const sequencer_opts *opts, err *e) MUST_USE;
void sequencer_free(sequencer *q);      /* it is quiet */
DEFINE_CLEANUP(sequencer)

/* As queue_push(), with item->sequence; ERR_INVALID in Triton's words, also by done(). */
err_code sequencer_push(sequencer *q, queue_item *item, err *e) MUST_USE;
void sequencer_cancel(queue_item *item);   /* pushed, not ended; any thread */
void sequencer_end(queue_item *item);      /* done() was called and the outputs were released */
bool sequencer_quiet(sequencer *q);        /* as queue_quiet() */

#endif
