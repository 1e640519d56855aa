/* queue_limits.h - what a model may have: its part of the workers, requests per second, resources for its runs.
 *
 *   weight      the server's option for this model, else the parameter fair_weight of its config.pbtxt
 *   rate        the same, else the parameters requests_per_second and requests_burst: more get ERR_LIMIT; the burst is
 *               a second's requests where nobody says it
 *   resources   instance_group.rate_limiter, with its priority, where the workers are shared by runs (turns.h)
 * What is limited does not run on loops, which ask nobody. */
#ifndef MODELS_QUEUE_LIMITS_H
#define MODELS_QUEUE_LIMITS_H
#include "models/model_config.h"
#include "models/model_limit.h"
#include "models/queue.h"

/* `ret` has its name, turns and inline_us; c may be NULL.  ERR_INVALID, ERR_UNSUPPORTED name what is wrong. */
err_code queue_limits_apply(queue_opts *ret, const model_limit *said, size_t count, const model_config *c,
                            err *e) MUST_USE;
/* An ensemble has no queue: nothing of this may be said of it.  Its members have their own. */
err_code queue_limits_none(const model_limit *said, size_t count, const model_config *c, err *e) MUST_USE;

#endif
