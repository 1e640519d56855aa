/* schedule.h - Triton's schedule policy and sequence extensions: a request's own parameters.
 *
 * timeout (microseconds in the queue) and priority (1 is the most urgent) go to the model's queue, which drops what has
 * not run by then and knows the levels of its configuration.  The sequence_* parameters are checked and change nothing,
 * as in Triton for a model without state.  Parameters that are not known are the model's, and no model here has any:
 * they are passed over, but for lists and objects, which are refused as in Triton. */
#ifndef SERVE_SCHEDULE_H
#define SERVE_SCHEDULE_H
#include "serve/infer.h"
#include "serve/parameter.h"

err_code schedule_take(infer *r, str name, const parameter *p, err *e) MUST_USE;

#endif
