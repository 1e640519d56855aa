/* tracer.h - spans of requests for OpenTelemetry's collector: POST ENDPOINT/v1/traces, OTLP as protobuf.
 *
 *   loop:    traced_begin() --> request --> traced_end()   a place in the lane's pool, filled and handed over
 *   thread:  gathers for a second or until a lane is half full --> one batch --> collector; backs off, tries again
 *
 * A request whose caller samples is traced, of those without a caller a share.  A slow, dead or lying collector costs
 * nothing but spans: a lane's places are all there are, and a request that finds none free is not traced but counted.
 * Between a loop and the thread are two rings of places, one writer and one reader each: no lock, and a wake-up only
 * when the thread sleeps.  An idle server's thread sleeps for ever. */
#ifndef SERVE_TRACER_H
#define SERVE_TRACER_H
#include "net/http.h"
#include "net/tls_trust.h"
#include "serve/infer.h"
#include "wire/trace_context.h"

enum {
    TRACER_PLACES = 512,                /* spans of a loop that are open or wait */
    TRACER_BATCH_MAX = 256,
    TRACER_GATHER_US = 1000000,
    TRACER_CALL_US = 5000000,           /* a whole call to the collector */
    TRACER_TRIES_MAX = 5,
    TRACER_BACKOFF_US = 500000, TRACER_BACKOFF_US_MAX = 8000000, TRACER_RETRY_AFTER_S_MAX = 30,
    TRACER_REPLY_BYTES_MAX = 64 << 10,
    TRACER_STOP_US = 1000000            /* for the last batches, at the end */
};

typedef struct tracer tracer;
typedef struct tracer_lane tracer_lane;
typedef struct traced traced;           /* a request that is traced */

typedef struct {
    const char *endpoint;               /* "http://HOST:4318" */
    const tls_trust *trust;             /* for https; see net/client.h */
    str service;
    double share;                       /* of requests whose caller does not decide; 0..1 */
    uint32_t lanes;                     /* event loops */
    uint64_t seed;
} tracer_opts;

err_code tracer_new(tracer **ret, const tracer_opts *opts, err *e) MUST_USE;   /* starts the thread */
/* Sends what waits, within TRACER_STOP_US; all requests are answered. */
void tracer_free(tracer *t);
DEFINE_CLEANUP(tracer)
tracer_lane *tracer_lane_at(tracer *t, uint32_t i);   /* NULL of no tracer */

typedef struct {
    uint64_t sent, dropped, failed;     /* spans of requests; no place was free; not taken by the collector */
} tracer_stats;
void tracer_stats_read(const tracer *t, tracer_stats *ret);   /* any thread; zeros of no tracer */

/* On the lane's own loop.  NULL = it is not traced, and so is one of no lane; the others take that, too.
 * `from` is what the request's headers say; `root`: it may begin a trace of its own. */
traced *traced_begin(tracer_lane *l, const http_call *call, const http_request *req, const trace_context *from,
                     bool root);
void traced_infer(traced *t, const infer *r);   /* its model, and the times of its parts */
/* status: HTTP's, or gRPC's with grpc; text: of the failure, NULL = none. */
void traced_end(traced *t, bool grpc, int status, const char *text);

#endif
