/* model_control.h - loads and unloads models while the server runs.
 *
 *   load     the source is read anew beside what is served --ok--> the new one is found, the old one leaves
 *                                                          --failed--> the old one stays; the index says why
 *   unload   nothing is found any more; the old one leaves
 *   leaving  every loop has ended the callback it was in --> every request that held it is answered --> it is freed,
 *            and what it took goes back to the kernel
 * All of it happens on a thread of its own, one change at a time, so loops and workers go on meanwhile; a load is
 * answered when the new model serves, an unload when the old one is not found any more.  A name that is not known is
 * looked for in the model repository. */
#ifndef MODELS_MODEL_CONTROL_H
#define MODELS_MODEL_CONTROL_H
#include "models/repository.h"

typedef struct model_control model_control;

typedef struct {
    repository *models;   /* borrowed, outlives it */
    loop **loops;         /* all that may look models up; borrowed */
    size_t loop_count;
    bool allowed;         /* --model-control explicit; else everything is refused in Triton's words */
    void (*changed)(void *ctx);   /* on its thread, when another is found, or none; NULL = nobody asks */
    /* The same, at the end of each load: what is served under the name now, or why the load failed. */
    void (*loaded)(void *ctx, str name, const served *s, const err *failed);
    void *ctx;
} model_control_opts;

err_code model_control_new(model_control **ret, const model_control_opts *opts, err *e) MUST_USE;
/* Ends what waits, before the loops and the pool of the models do; what is still in use is freed when it is not. */
void model_control_stop(model_control *c);
void model_control_free(model_control *c);   /* stopped, and nothing is in use */
DEFINE_CLEANUP(model_control)

/* Runs a job on its thread, behind those before it. */
err_code model_control_submit(model_control *c, compute_job *j, err *e) MUST_USE;
/* Any thread.  The server has come to rest: executions that nobody uses, and all memory that is free, go back to the
 * kernel.  That takes milliseconds of its thread, in which an allocation elsewhere may have to wait. */
void model_control_rest(model_control *c);
/* What somebody wants loaded or unloaded. */
typedef struct {
    str name;
    str config;     /* JSON that counts instead of the model's config.pbtxt until it is loaded again; p NULL = none */
    str path;       /* of its file or folder, from now on; p NULL = the one that is known, or the model repository's */
    bool granted;   /* whatever `allowed` says */
} model_wish;
/* On its thread. */
err_code model_control_load(model_control *c, const model_wish *w, err *e) MUST_USE;
err_code model_control_unload(model_control *c, const model_wish *w, err *e) MUST_USE;

#endif
