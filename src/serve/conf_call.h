/* conf_call.h - whom the server calls by its options: a collector of traces, and what jobs are told to.
 *
 * Reads no file and calls nobody: what is refused here could never work, and costs the start a line and status 2.  What
 * only the files or the network can tell, app.c finds out. */
#ifndef SERVE_CONF_CALL_H
#define SERVE_CONF_CALL_H
#include "serve/conf.h"

/* Their paths live as long as the conf. */
tls_trust conf_otlp_trust(const conf *c);
tls_trust conf_webhook_trust(const conf *c);
/* Whether addresses, hosts and trust are such that a call could be made; no file is read. */
err_code conf_calls(const conf *c, err *e) MUST_USE;

#endif
