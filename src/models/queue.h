/* queue.h - where the requests of one model meet, whatever connection and protocol they came by.
 *
 *   push --cheap, nobody waits--> run on the calling thread                          done()
 *     '--> batcher --its turn, a worker takes a batch--> gather, run, split ------->  of each
 *              '--deadline, timeout (waker), cancelled ---------------------------->
 *
 * A request is a queue_item: input tensors, and a function to call with the outputs.  sched/batcher.h decides what runs
 * next and with whom, at the last moment: when a worker is there to run it, and the model's turn (models/turns.h) has
 * come.  Items whose rows share a run get views of
 * its outputs; a batch of one runs on the client's own memory.  What the batch did wrong is never a member's fault:
 * where a shared run fails each runs alone.  A model that is cheaper than inline_us and has nobody waiting runs on the
 * calling loop at once, which saves two thread switches, and does without the lock.  Bounded: ERR_LIMIT says when to
 * come again. */
#ifndef MODELS_QUEUE_H
#define MODELS_QUEUE_H
#include "async/waker.h"
#include "engine/model.h"
#include "models/metrics.h"
#include "models/padding.h"
#include "models/turns.h"
#include "sched/batcher.h"

typedef struct queue queue;
typedef struct queue_item queue_item;
typedef struct ensemble_run ensemble_run;
typedef struct sequence_turn sequence_turn;

/* Where an item's outputs lie: in an execution of its own, in one that it shares, or with whoever adds a further row.
 * A source keeps what it needs in the item's `outputs`. */
typedef struct {
    tensor (*output)(const queue_item *item, uint32_t i);
    void (*release)(queue_item *item); /* nobody looks at them any more; any thread */
} queue_source;

struct queue_item {
    /* set by the caller; all else zero before the first push */
    const tensor *inputs; /* one per model input, in the model's order; data live until done() */
    _Atomic bool cancelled; /* any thread may set it, also while the item runs alone: ERR_CANCELLED at the next node */
    uint64_t deadline_us; /* on clock_now_us(): not run after it, ERR_TIMEOUT; 0 = none */
    uint64_t timeout_us; /* in the queue, where the model's configuration lets requests say it; 0 = none */
    uint64_t priority; /* 1 = the most urgent; 0, or more than there are: the model's default */
    uint64_t bytes; /* that it holds on to while it waits */
    const bool *wanted; /* of an ensemble: who looks at each output, until the release; NULL = somebody at all */
    /* Runs on the thread that ran the model, or that dropped the item.  e NULL: its outputs are there until
     * queue_release(), which is now the callee's to call, on any thread; else why there are none. */
    void (*done)(queue_item *item, const err *e);
    /* On clock_now_ns(): pushed, run begun and ended; 0 = it has not.  Whoever has just read the clock sets since_ns;
     * with 0 queue_push() reads it. */
    uint64_t since_ns, start_ns, end_ns;
    ensemble_run *run; /* of served_begin(), where what is asked is an ensemble; else NULL */
    struct {
        uint64_t number; /* the correlation id; 0 and no text = none */
        str text;
        bool start, end;
    } sequence; /* set by the caller, where the model's requests belong to sequences */
    _Atomic(sequence_turn *) turn; /* such a request's own; NULL = none */
    /* One row of each input for those of a run that are nobody's; of data NULL, or without it: the last row again. */
    const tensor *empty;
    /* of whoever brought the outputs, before done() */
    const queue_source *source; /* NULL = there are none */
    struct {
        void *of;
        uint32_t row, rows; /* of those that share a run; rows 0 = it has its own */
        uint32_t size, padding; /* the run's rows, and how many of them are nobody's */
        uint32_t length; /* its own, where it was padded to the longest; 0 = it was not */
        uint64_t entries, waste; /* the run's rows times its length, and how many of them are nobody's */
        const padding *pad;
    } outputs;
    /* private */
    _Atomic(queue *) in; /* where it was pushed last; zero before it is pushed for another request */
    batch_item at;
    uint32_t kind;
    err failure;
};

/* Who has a queue, and frees it when neither a request nor a thread inside holds on to it; all NULL: the caller knows
 * by itself when it is quiet. */
typedef struct {
    void (*hold)(void *ctx); /* any thread; somebody holds it already */
    void (*release)(void *ctx); /* any thread: the queue may be gone behind it */
    void *ctx;
} queue_owner;
static inline void queue_owner_hold(const queue_owner *o) { if (o->hold) o->hold(o->ctx); }
static inline void queue_owner_release(const queue_owner *o) { if (o->release) o->release(o->ctx); }

typedef struct {
    str name; /* of the model, for the log; borrowed, as all pointers here */
    queue_owner owner;
    model *model;
    turns *turns; /* of all queues that share the workers */
    turn_opts share; /* what it joins them with; instances are those of batching */
    waker *waker;
    metrics_model *metrics; /* what waits and runs now, and what was batched */
    batcher_opts batching; /* max_batch > 1 only where the model's rows are proven to be apart: queue_rules.h */
    padding pad; /* whether requests of unequal length share runs */
    uint32_t level; /* of items without a priority */
    uint32_t inline_us;
    bool strict; /* batching.instances bounds the runs on loops, too */
    uint64_t run_us_max; /* of one run: ERR_TIMEOUT at the next node, or iteration of a loop; 0 = no limit */
} queue_opts;

err_code queue_new(queue **ret, const queue_opts *opts, err *e) MUST_USE;
void queue_free(queue *q); /* it is quiet */
DEFINE_CLEANUP(queue)

/* Nothing waits in it, and no worker is inside.  Stays so when nobody pushes. */
bool queue_quiet(queue *q);

/* Takes the item until done() is called, possibly before this returns.  On error done() is not called: ERR_LIMIT,
 * ERR_TOO_LARGE where it never fits, ERR_TIMEOUT where its deadline has passed, ERR_UNAVAILABLE where it would not
 * start within its own timeout. */
err_code queue_push(queue *q, queue_item *item, err *e) MUST_USE;
/* Any thread, while the item is not answered, also before it is pushed: ends soon, unless it was done. */
void queue_cancel(queue_item *item);

/* After done(): output i of the model; its data live until queue_release(). */
static inline tensor queue_output(const queue_item *item, uint32_t i) { return item->source->output(item, i); }
void queue_release(queue_item *item); /* no-op where there are none */
static inline bool queue_shares(const queue_item *item) { return item->outputs.rows > 0; } /* its run with others */
/* done() says that it never ran: for its own timeout, which is not the server's failure. */
static inline bool queue_timed_out(const queue_item *item) { return item->at.drop == BATCH_TIMEOUT; }

/* It leaves without having run: what it is told, and counted as.  BATCH_RAN: e stays as it is. */
err_code queue_item_drop(queue_item *item, batch_drop why, err *e);
/* The item's outputs are those of an execution, which is given back with them. */
void queue_item_hold(queue_item *item, exec *x);

#endif
