/* ensemble_run.h - one request on its way through the steps of an ensemble.
 *
 *   begin (on a loop: finds the members and holds them) --> push --> each step to its member's queue as soon as its
 *   inputs are there --> the request's done() --> end
 * A step runs where somebody looks at what it writes: the request, by the outputs that it asks for, or another step
 * that runs.
 * Steps that do not need each other are under way together, and meet the steps of other requests in the members'
 * queues.  Tensors pass by reference: what a step wrote is given back when its last reader is done with it.
 *
 * Whichever thread ends a step goes on with the request; who comes meanwhile leaves its step with that thread, so
 * nothing is locked and nothing waits.  The first step that fails ends the request: the others under way are
 * cancelled, and it is answered when the last of them is back. */
#ifndef MODELS_ENSEMBLE_RUN_H
#define MODELS_ENSEMBLE_RUN_H
#include "models/ensemble.h"
#include "models/served.h"

/* Of one request, over all ensembles that it runs through; zeroed at first. */
typedef struct {
    uint32_t depth, steps;
} ensemble_extent;

/* On a loop.  NULL = no memory; what else is wrong, as a member that is not there any more, is said by the push. */
ensemble_run *ensemble_run_begin(const ensemble *m, ensemble_extent *x) MUST_USE;
/* Adds what its answers depend on beside its inputs: the members that it holds, in all ensembles.  False: that is not
 * all, or one of them is not there. */
bool ensemble_run_identify(const ensemble_run *r, siphash *h);
/* As queue_push(): done() of the item is called once, possibly before this returns.  Once for each run. */
err_code ensemble_run_push(ensemble_run *r, queue_item *item, err *e) MUST_USE;
/* For whoever has the request: what the members that it holds say of pictures. */
const struct pipeline *ensemble_run_pipeline(ensemble_run *r);
void ensemble_run_cancel(ensemble_run *r);       /* any thread, before the end */

bool ensemble_run_next(const ensemble_run *r, uint32_t *at, served_asked *ret);   /* as served_next_step() */
void ensemble_run_end(ensemble_run *r);          /* never pushed, or done() was called and the outputs were released */

#endif
