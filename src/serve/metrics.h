/* metrics.h - what the server counts, and the Prometheus text of it.
 *
 * Two tables name every metric once: METRICS_MODEL (one set per model and version) and METRICS_SERVER.  The structs,
 * the text with its HELP and TYPE lines, and docs/metrics.md are made from them.  Any thread adds; adding is
 * a relaxed atomic, never a lock. */
#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H
#include "base/buf.h"
#include "base/str.h"

#include <stdatomic.h>

enum { METRIC_BUCKETS = 19 }; /* upper bounds in metrics.c, the last is +Inf */

typedef struct {
    _Atomic uint64_t bucket[METRIC_BUCKETS]; /* not cumulative; the text is */
    _Atomic uint64_t sum_ns;
} metric_histogram;

typedef _Atomic uint64_t metric_counter;
typedef _Atomic int64_t metric_gauge;

#define METRICS_MODEL(X) \
    /* member        type       name                                  help */ \
    X(preprocess, histogram, "request_preprocess_seconds", "Reading a request into tensors.") \
    X(predict, histogram, "request_predict_seconds", "Running the model, without waiting.") \
    X(postprocess, histogram, "request_postprocess_seconds", "Writing tensors into an answer.") \
    X(queue_wait, histogram, "proa_queue_wait_seconds", "From the end of reading a request to the start of its run.") \
    X(total, histogram, "proa_inference_seconds", "From a whole request to its result.") \
    X(failed, histogram, "proa_inference_failed_seconds", "From a whole request to its error.") \
    X(success, counter, "proa_inference_success_total", "Requests answered with a result.") \
    X(invalid, counter, "proa_inference_invalid_total", "Requests refused for what they hold (4xx).") \
    X(failure, counter, "proa_inference_failure_total", "Requests that failed in the server (5xx).") \
    X(cancelled, counter, "proa_inference_cancelled_total", "Requests whose client went away before the answer.") \
    X(expired, counter, "proa_inference_expired_total", "Requests whose deadline passed before the answer.") \
    X(rejected, counter, "proa_queue_rejected_total", "Requests refused because the queue was full (429).") \
    X(waiting, gauge, "proa_queue_waiting", "Requests in the queue now.") \
    X(running, gauge, "proa_inference_running", "Runs in progress now.")

typedef struct {
#define X(member, type, name, help) metric_##type member;
    METRICS_MODEL(X)
#undef X
    _Atomic uint64_t last_ns; /* on clock_now_ns(), of the last result; 0 = none yet; for V2's statistics */
} metrics_model;

#define METRICS_SERVER(X) \
    /* member             type     name                              help */ \
    X(connections_open, gauge, "proa_http_connections_open", "Open connections.") \
    X(connections, counter, "proa_http_connections_total", "Connections accepted.") \
    X(connections_refused, counter, "proa_http_connections_refused_total", "Connections refused at the limit.") \
    X(requests, counter, "proa_http_requests_total", "Requests read.") \
    X(bad_requests, counter, "proa_http_bad_requests_total", "Requests refused by the HTTP reader.") \
    X(bytes_in, counter, "proa_http_received_bytes_total", "Bytes read.") \
    X(bytes_out, counter, "proa_http_sent_bytes_total", "Bytes written.") \
    X(bodies_bytes, gauge, "proa_http_bodies_bytes", "Memory for request bodies, in use or kept for the next.") \
    X(bodies_refused, counter, "proa_http_bodies_refused_total", "Requests refused for lack of that memory (503).") \
    X(replies_bytes, gauge, "proa_http_replies_bytes", "Memory for answers that wait for clients, in use or kept.") \
    X(replies_refused, counter, "proa_http_replies_refused_total", "Answers cut off for lack of that memory.") \
    X(log_dropped, counter, "proa_log_dropped_total", "Log lines dropped because standard error took no more.") \
    X(loop_overruns, counter, "proa_loop_overruns_total", "Callbacks that held a loop too long.") \
    X(compute_queued, gauge, "proa_compute_queued", "Jobs waiting for a compute thread.") \
    X(resident_bytes, gauge, "process_resident_memory_bytes", "Resident memory.") \
    X(open_fds, gauge, "process_open_fds", "Open descriptors.") \
    X(start_seconds, gauge, "process_start_time_seconds", "Start of the process since the epoch.")

typedef struct {
#define X(member, type, name, help) metric_##type member;
    METRICS_SERVER(X)
#undef X
} metrics_server;

void metric_time(metric_histogram *h, uint64_t ns);
void metric_add(metric_counter *c);
void metric_sum(const metric_histogram *h, uint64_t *ret_count, uint64_t *ret_ns);

typedef struct {
    str name, version;
    const metrics_model *set;
} metrics_labelled;

/* The Prometheus text exposition format 0.0.4. */
void metrics_print(buf *out, const metrics_server *server, const metrics_labelled *models, size_t model_count);
void metrics_markdown(buf *out);

#endif
