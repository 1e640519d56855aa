/* schedule.h - Triton's schedule policy and sequence extensions: a request's own parameters.
 *
 * timeout (microseconds) is kept: what has not run by then is dropped.  priority and the sequence_* parameters are
 * checked and change nothing, as in Triton for a model without priority levels and without state.  Parameters that are
 * not known are the model's, and no model here has any. */
#ifndef SERVE_SCHEDULE_H
#define SERVE_SCHEDULE_H
#include "serve/infer.h"
#include "serve/parameter.h"

err_code schedule_take(infer *r, str name, const parameter *p, err *e) MUST_USE;

#endif
