/* model_keeper.h - keeps the models that are in memory within a budget: loads who is asked for, takes out who is not.
 *
 *   a loop: nothing is found under a name that is loaded on demand --> keeper_summon()
 *   control's thread:  the first starts a load, others join it --> loaded, or why not --> the loops of all are told
 * Decisions are sched/residency.h's, sizes are measured (served_held_bytes()), and model_control.h does what is decided
 * here: all but keeper_summon() and the numbers belongs to its thread.  Who asks waits until the model is there, or
 * wait_us, its own deadline or timeout passes, or the load fails; so many may wait for one model, by the options and by
 * its own max_queue_size.  What failed is not tried again for KEEPER_FAILED_US: a broken model costs its clients'
 * errors and nobody's memory or CPU. */
#ifndef MODELS_MODEL_KEEPER_H
#define MODELS_MODEL_KEEPER_H
#include "async/waker.h"
#include "models/repository.h"
#include "sched/residency.h"

enum {
    KEEPER_LOADS_MAX = 8,        /* at a time: half of the threads that read models */
    KEEPER_FAILED_US = 1000000,
    KEEPER_TRIM_SHARE = 64,      /* memory goes back to the kernel when one part in so many of the budget has left */
    KEEPER_LOOK_US = 1000000     /* how long after a load it is looked again what it has come to take */
};

typedef struct model_keeper model_keeper;

/* Embedded in whoever waits for a model. */
typedef struct model_summons model_summons;
struct model_summons {
    str name;                    /* borrowed until it is over */
    uint64_t since_us;           /* on clock_now_us(): whoever asks began to; wait_us counts from there */
    uint64_t deadline_us;        /* its own; 0 = none */
    uint64_t timeout_us;         /* the same, of Triton's parameter: when that passes */
    loop *on;                    /* where msg.run is called when it is over: with `failure`, or code ERR_OK */
    loop_msg msg;
    err failure;
    /* private */
    model_keeper *keeper;
    compute_job job;
    model_summons *next;
};

typedef struct {
    repository *models;          /* all borrowed */
    compute *thread;             /* of model_control.h */
    waker *waker;
    uint64_t bytes_max, stay_us, wait_us;
    uint32_t waiting_max;        /* requests for one model */
    void (*load)(void *ctx, size_t i);       /* begins it: keeper_ended() follows */
    bool (*evict)(void *ctx, size_t i);      /* takes it out: keeper_left() follows; false = there is no memory to */
    void *ctx;
} model_keeper_opts;

/* Any thread. */
typedef struct {
    uint64_t bytes_max, bytes, waiting, in;
    uint64_t misses, joined, evictions, refused, timeouts;
    const metric_histogram *wait;   /* of a request, until its model was there; NULL = there is no budget */
} model_keeper_stats;

err_code keeper_new(model_keeper **ret, const model_keeper_opts *opts, err *e) MUST_USE;
void model_keeper_free(model_keeper *k);    /* stopped, or never used */
DEFINE_CLEANUP(model_keeper)
void keeper_stats_read(const model_keeper *k, model_keeper_stats *ret);

void keeper_summon(model_keeper *k, model_summons *s);   /* any loop; s->name, since_us, on, msg.run are set */

/* ---- on the control's thread ---- */

void keeper_stop(model_keeper *k);               /* who waits, and who comes, is told that the server leaves */
err_code keeper_fill(model_keeper *k, err *e) MUST_USE;   /* names have come */
/* An ensemble is being loaded, and needs these; where one is missing and `parks`, it waits once more, to be loaded
 * when they are there: *ret_there = false. */
typedef struct {
    size_t of;
    const size_t *members;
    size_t count;
    bool parks;
} keeper_group;
err_code keeper_need(model_keeper *k, const keeper_group *g, bool *ret_there, err *e) MUST_USE;
/* What was read of it: ERR_LIMIT = that never fits. */
err_code keeper_check(model_keeper *k, size_t i, const lineup *got, err *e) MUST_USE;
/* A load of the name has ended, whoever began it.  failed: why; NULL = it has not. */
void keeper_ended(model_keeper *k, size_t i, const err *failed);
bool keeper_unload(model_keeper *k, size_t i);   /* it is taken out; true = then keeper_left() */
void keeper_left(model_keeper *k, size_t i);
void keeper_look(model_keeper *k);               /* models may have come to take more, or less */

#endif
