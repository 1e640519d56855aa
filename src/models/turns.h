/* turns.h - whose run is next where the queues of many models compete for the compute workers.
 *
 *   ask --> ready, by shares (sched/fair.h) --a worker of the pool is there--> the model furthest behind: run() --> end
 * A queue asks for one run at a time, before it knows which requests will be in it; who goes is decided when a
 * worker comes, never before.  By time each model gets its weight's part of what runs are measured to take; by runs
 * (Triton's --rate-limit execution_count) instances get as many runs each, divided by their priority, and a run waits
 * for the resources that its configuration names (sched/resources.h).
 * A run that a loop does by itself asks nobody.  Any thread; the lock is held for a decision, never in a call out. */
#ifndef MODELS_TURNS_H
#define MODELS_TURNS_H
#include "async/compute.h"
#include "sched/fair.h"
#include "sched/resources.h"

typedef struct turns turns;
typedef struct model_turn model_turn;

/* A model's part, embedded in its queue. */
struct model_turn {
    /* On a worker: what was asked for.  When it is over turns_end() is told what it was charged with before. */
    void (*run)(model_turn *m, uint64_t charged_ns);
    /* private */
    fair_share share;
    resource_claim claim;
    uint64_t expected_ns;          /* of the run that is asked for */
};

typedef struct {
    uint32_t weight;               /* by time; 1 .. FAIR_WEIGHT_MAX; 0 counts as 1 */
    uint32_t priority, instances;  /* by runs, as config.pbtxt says */
    const resource_need *needs;    /* of one run; by runs alone */
    size_t need_count;
} turn_opts;

err_code turns_new(turns **ret, compute *pool, bool by_runs, err *e) MUST_USE;
void turns_free(turns *t);         /* nobody has joined */
DEFINE_CLEANUP(turns)
compute *turns_pool(const turns *t);
bool turns_by_runs(const turns *t);
err_code turns_say(turns *t, str resource, uint32_t count, err *e) MUST_USE;   /* before anybody joins */

/* ERR_INVALID, in Triton's words: there is not enough of a resource; ERR_LIMIT; ERR_NOMEM. */
err_code turns_join(turns *t, model_turn *m, const turn_opts *o, err *e) MUST_USE;
void turns_leave(turns *t, model_turn *m);   /* joined, asks for nothing and runs nothing */

/* run() will be called once, possibly before this returns.  Not again until it is; expected_ns 0 = not known. */
void turns_ask(turns *t, model_turn *m, uint64_t expected_ns);
/* Of run(), once; took_ns 0 = there was nothing to run. */
void turns_end(turns *t, model_turn *m, uint64_t charged_ns, uint64_t took_ns);

#endif
