/* model_control.h - loads, exchanges and unloads models while the server runs.
 *
 *   load     versions are read anew beside what is served --all ok--> the new ones are found, the old ones leave
 *                                                         --one failed--> the old ones stay; the index says why
 *   unload   nothing is found any more; the old ones leave
 *   leaving  every loop has ended the callback it was in --> every request that held it is answered --> it is freed,
 *            and what it took goes back to the kernel
 *
 * Models are read on a crew's threads (async/crew.h), so one that takes long, or never ends, holds up no other;
 * everything is changed on one thread, which only changes pointers.  A load that ends behind a later load or unload of
 * its name has nothing to say any more: it is as if it had come before that.  A load is answered when the new versions
 * serve, an unload when the old ones are not found any more.  A name that is not known is looked for in the model
 * repository.
 * What was activated and which configuration a client gave is remembered by name, in the process alone. */
#ifndef MODELS_MODEL_CONTROL_H
#define MODELS_MODEL_CONTROL_H
#include "models/repository.h"

enum {
    MODEL_CONTROL_LOADS_MAX = 16,      /* threads that read models */
    MODEL_CONTROL_LOADS_EACH = 2,      /* loads of one name at a time; more are refused */
    MODEL_CONTROL_VERSION_MAX = 32,    /* bytes of a version that is activated, NUL included */
    MODEL_CONTROL_STOP_US = 3000000    /* what still loads then is left behind */
};

typedef struct model_control model_control;
typedef struct model_keeper model_keeper;

/* Of the memory of all models: see model_keeper.h. */
typedef struct {
    uint64_t bytes_max;          /* 0 = there is none */
    uint64_t stay_us, wait_us;
    uint32_t waiting_max;
} model_budget;

typedef struct {
    repository *models;   /* borrowed, outlives it */
    loop **loops;         /* all that may look models up; borrowed */
    size_t loop_count;
    bool allowed;         /* --model-control explicit; else everything is refused in Triton's words */
    model_budget budget;
    void (*changed)(void *ctx);   /* on its thread, when another is found, or none; NULL = nobody asks */
    /* The same, at the end of each load: what is served under the name now, or why the load failed. */
    void (*loaded)(void *ctx, str name, const served *s, const err *failed);
    void *ctx;
} model_control_opts;

typedef struct {
    uint64_t loaded, failed, unloaded;   /* loads of names that ended so, and versions that left */
    uint64_t orphans;                    /* ensembles that wait for their members, now */
} model_control_stats;

err_code model_control_new(model_control **ret, const model_control_opts *opts, err *e) MUST_USE;
/* Ends what waits, before the loops and the pool of the models do; what is still in use is freed when it is not.
 * false = a load does not end: it is left behind, and whoever made pool, loops and repository may not free them. */
bool model_control_stop(model_control *c);
void model_control_free(model_control *c);   /* stopped, and nothing is in use */
DEFINE_CLEANUP(model_control)

/* Runs a job on one of the threads that read models. */
err_code model_control_submit(model_control *c, compute_job *j, err *e) MUST_USE;
/* NULL = there is no budget. */
model_keeper *model_control_keeper(model_control *c);
/* Loads what is pinned, before the server is ready. */
err_code model_control_bring_pinned(model_control *c, err *e) MUST_USE;
/* Any thread.  The server has come to rest: executions that nobody uses, and all memory that is free, go back to the
 * kernel.  That takes milliseconds of its thread, in which an allocation elsewhere may have to wait. */
void model_control_rest(model_control *c);
void model_control_stats_read(const model_control *c, model_control_stats *ret);   /* any thread */

/* What somebody wants loaded or unloaded. */
typedef struct {
    str name;
    str version;    /* to activate; "" = the newest */
    str config;     /* JSON that counts instead of its config.pbtxt until the next wish to load it; p NULL = none */
    str path;       /* of its file or folder, from now on; p NULL = the one that is known, or the model repository's */
    bool granted;   /* whatever `allowed` says */
    bool dependents; /* an unload takes along what an ensemble brought and no other needs */
} model_wish;
/* On a thread of model_control_submit(), or any but the loops. */
err_code model_control_load(model_control *c, const model_wish *w, err *e) MUST_USE;
err_code model_control_unload(model_control *c, const model_wish *w, err *e) MUST_USE;
/* A load, where anything has changed since the last: what has not is not read again, and what fails as it did before
 * is not said again. */
err_code model_control_refresh(model_control *c, const model_wish *w, err *e) MUST_USE;
typedef struct {
    str *all;
    size_t count;
} model_control_names;
/* Those that are served, or come on demand, from the folders of a model repository; in arena a. */
err_code model_control_served(model_control *c, arena *a, str folder, model_control_names *ret, err *e) MUST_USE;
/* From now on the version serves who names none, until another is activated or the model unloaded.  At once where it
 * is served already; else it is loaded beside what is. */
err_code model_control_activate(model_control *c, const model_wish *w, err *e) MUST_USE;
/* From now on the alias stands for a.model, or for nothing where that has p NULL; both may have been aliases before.
 * What it leads to is loaded first; where that fails it stays as it is. */
err_code model_control_alias(model_control *c, const alias *a, bool granted, err *e) MUST_USE;

#endif
