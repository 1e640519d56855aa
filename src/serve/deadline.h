/* deadline.h - until when who asks over REST waits for an answer.
 *
 * grpc-timeout, as gRPC's gateways pass it on ("100m"), and x-envoy-expected-rq-timeout-ms, which Envoy, and with it
 * Istio and other meshes, sets on each request that has a timeout there: whole milliseconds, 0 = without end.  Of both
 * the shorter counts.  What has not run by then is answered with 504 and never computed. */
#ifndef SERVE_DEADLINE_H
#define SERVE_DEADLINE_H
#include "net/http.h"

/* Of a request that was read at since_us; *ret_us 0 = there is none. */
err_code deadline_of(const http_request *req, uint64_t since_us, uint64_t *ret_us, err *e) MUST_USE;

#endif
