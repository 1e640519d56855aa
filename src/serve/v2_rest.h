/* v2_rest.h - Triton's extensions over REST: the small answers, each appended to `reply` as JSON.
 *
 * The twins of v2_rpc.h: what is asked and changed stands in a file of its own (statistic, model_config, log_setting,
 * trace_setting), here is how REST spells it.  All run on the loop, from state that is only read or atomic. */
#ifndef SERVE_V2_REST_H
#define SERVE_V2_REST_H
#include "models/model_control.h"
#include "serve/endpoint.h"
#include "serve/parameter.h"
#include "serve/route.h"

/* On an error `reply` is worth nothing. */
typedef err_code rest_answer(endpoints *s, const route_args *args, str body, buf *reply, err *e);

rest_answer v2_rest_statistics, v2_rest_index, v2_rest_trace, v2_rest_trace_set, v2_rest_log, v2_rest_log_set,
    v2_rest_cuda_status, v2_rest_cuda_register, v2_rest_cuda_unregister;
/* These take long: later.h. */
rest_answer v2_rest_load, v2_rest_unload, v2_rest_activate;

/* Of the server or, with a name, of a model. */
err_code v2_trace_settings(endpoints *s, str of, trace_settings *ret, err *e) MUST_USE;
/* Refuses by name what cannot be asked of a load or an unload. */
err_code v2_control_parameter(bool unload, str name, const parameter *p, model_wish *ret, err *e) MUST_USE;
/* What server metadata names: ends with NULL. */
extern const char *const v2_extensions[];

#endif
