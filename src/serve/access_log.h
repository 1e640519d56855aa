/* access_log.h - one line per answered request, for --log-requests.
 *
 *   ... info  answered request=5c1b... method=POST status=200 received=186 sent=184 us=71 path=/v2/models/m/infer
 *
 * Behind `status` a gRPC call has grpc_status=UNAVAILABLE, or whatever it ended with: its HTTP status is 200.
 * Where the caller sent a traceparent, trace=ID comes behind the request.
 * With JSON logs each of these is a member.  `us` counts from the request's last byte to its answer; gone=true says
 * that nobody was there to take it; a request that could not be read has no method and no path. */
#ifndef SERVE_ACCESS_LOG_H
#define SERVE_ACCESS_LOG_H
#include "net/http.h"

/* As server_opts.replied; ctx is not used. */
http_replied access_log;

#endif
