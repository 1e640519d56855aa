/* conf_trace.h - what the options say of Triton's trace extension: --trace-level and its kin.
 *
 * Their values are those that clients send later, with the same words of refusal.  Where traces go is said here only:
 * what comes over the network never names a file. */
#ifndef SERVE_CONF_TRACE_H
#define SERVE_CONF_TRACE_H
#include "models/trace_setting.h"
#include "serve/conf.h"

/* The settings to start with; ret == NULL: are they good? */
err_code conf_trace(const conf *c, int64_t ret[TRACE_SETTINGS], err *e) MUST_USE;

#endif
