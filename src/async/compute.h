/* compute.h - the threads that do arithmetic.
 *
 * A pool has `threads` workers in all.  Two ways in:
 *   compute_submit(job)   a worker runs it later, then its `done` message is posted to a loop;
 *   compute_for(n, fn)    the calling thread shares the indices 0..n-1 with whichever workers are idle.
 * compute_for() hands indices out by an atomic counter and the caller takes part, so it waits only for
 * indices that a worker really began: a late or descheduled thread holds nobody up, and a pool of one
 * thread is a plain loop.  Pools never nest: compute_for() inside compute_for() runs on the caller.
 * Idle workers spin COMPUTE_SPIN_US at most, then sleep on a futex: an idle pool uses no CPU.
 * The queue of jobs is bounded: when it is full compute_submit() says ERR_LIMIT. */
#ifndef ASYNC_COMPUTE_H
#define ASYNC_COMPUTE_H
#include "async/loop.h"

enum { COMPUTE_SPIN_US = 20, COMPUTE_THREADS_MAX = 256, COMPUTE_QUEUE_MAX = 65536 };

typedef struct compute compute;
typedef struct compute_job compute_job;

/* Embedded in what the job works on. */
struct compute_job {
    mail link;                     /* private */
    void (*run)(compute_job *j);   /* on a worker; may free the job where there is no reply */
    loop *reply_to;                /* then `done` is posted there; NULL = no reply */
    loop_msg done;
};

/* threads == 0 means one per CPU of the cgroup quota.  With `threads` == 1 no thread is made for
 * compute_for(); the first compute_submit() starts one. */
err_code compute_new(compute **ret, uint32_t threads, err *e) MUST_USE;
void compute_free(compute *c);     /* finishes the queued jobs first */
DEFINE_CLEANUP(compute)
uint32_t compute_threads(const compute *c);
err_code compute_submit(compute *c, compute_job *j, err *e) MUST_USE;   /* any thread; begun in order */
size_t compute_queued(const compute *c);

/* Runs fn(ctx, i) once for each i in 0..count-1 and returns when all are done; c == NULL runs them here. */
void compute_for(compute *c, uint32_t count, void (*fn)(void *ctx, uint32_t index), void *ctx);
/* From now on compute_for() of this thread wakes nobody, until it is turned off: for work so short that another thread
 * would come too late, and take CPU time from somebody.  Returns what was before. */
bool compute_alone(bool on);

#endif
