/* exec.h - one execution of a plan: its memory, its tensors, its steps bound to their arguments.
 *
 * Made once, run many times by one thread at a time; after the first runs no memory is asked for (a late value's arena
 * keeps its largest chunk).  Borrows the plan and all it was made of.  The struct is what model.h calls exec. */
#ifndef ENGINE_EXEC_H
#define ENGINE_EXEC_H
#include "base/quota.h"
#include "engine/model.h"
#include "engine/plan.h"

typedef struct {
    compute *pool;
    const kernel_set *kernels;
    size_t memory_max;                /* of the plan's memory and what late values add to it */
    quota *share;                     /* borrowed: of all executions of the model; NULL = no bound */
} exec_opts;

struct exec {
    const plan *plan;
    void *owner;                      /* whoever pools execs keeps its mark here; not used by exec.c */
    exec *next;
    size_t held;                      /* what exec_rest() said last */
    size_t taken;                     /* of opts.share, for `memory` */
    _Atomic uint32_t sharers;         /* of exec_share(); 0 = it has one user */
    /* private */
    exec_opts opts;
    uint8_t *memory;                  /* plan->bytes */
    tensor *values;                   /* [graph->value_count] */
    op_call *calls;                   /* [plan->step_count] */
    const tensor **in;                /* arguments of all calls */
    tensor **out;
    const exec_stop *stop;            /* of the run at hand; may be NULL */
    uint64_t until_ns;                /* of the last exec_run() */
    arena tables, lasting, scratch;
};

/* ERR_LIMIT = opts.share has no more, and nothing else. */
err_code exec_new(exec **ret, const plan *p, const exec_opts *o, err *e) MUST_USE;
void exec_free(exec *x);
DEFINE_CLEANUP(exec)
/* Inputs point into the exec's own memory again. */
void exec_inputs_reset(exec *x);
/* Shall it end?  Looked at before the first step, which a loop's body may not have, and between the others. */
err_code exec_stopped(const exec_stop *s, uint64_t now_us, err *e) MUST_USE;
err_code exec_steps(exec *x, const exec_stop *stop, err *e) MUST_USE;
/* Was the last failure for want of opts.share, here or in a subgraph? */
bool exec_shared_out(const exec *x);
/* Nobody looks at the outputs any more: gives back what late values took, but for the largest chunk, and notes in
 * ->held the bytes that stay with the execution until its next run. */
void exec_rest(exec *x);

#endif
