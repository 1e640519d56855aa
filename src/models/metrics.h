/* metrics.h - what the server counts, and the Prometheus text of it.
 *
 * Tables name every metric once: METRICS_MODEL and METRICS_MODEL_NOW (of a model and version) and METRICS_SERVER.  The
 * structs, the text with its HELP and TYPE lines, and docs/metrics.md are made from them.
 *
 * A model counts in lanes, one per event loop: a lane has one writer, its loop, so counting is an addition without
 * lock, bus or shared cache line; who prints adds the lanes up.  Labels come from what was configured and from lists in
 * this folder, never from a client, so their number is bounded. */
#ifndef MODELS_METRICS_H
#define MODELS_METRICS_H
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdatomic.h>

enum {
    METRIC_BUCKETS = 19,                /* upper bounds in metrics.c, the last is +Inf */
    METRIC_CODES = ERR_UNAVAILABLE + 1, /* one per err_code */
    METRIC_CLASSES = 5,                 /* 1xx to 5xx */
    METRIC_STATUSES = 17,               /* of gRPC */
    METRIC_SIZES = 17,                  /* of runs, in rows: 1 to 8, then two per doubling up to 128, then more */
    METRIC_DROPS = 3                    /* why a request never ran; in metrics.c */
};

/* One writer, any reader. */
typedef _Atomic uint64_t metric_counter;
typedef struct {
    metric_counter bucket[METRIC_BUCKETS]; /* not cumulative; the text is */
    metric_counter sum_ns;
} metric_histogram;
typedef _Atomic int64_t metric_gauge; /* any writer */

/* By which protocol a request for a model came. */
typedef enum { METRIC_V2, METRIC_V1, METRIC_GENERATE, METRIC_GRPC, METRIC_STREAM, METRIC_PROTOCOLS } metric_protocol;

/* What became of the spans of a request. */
typedef enum { METRIC_SPANS_SENT, METRIC_SPANS_DROPPED, METRIC_SPANS_FAILED, METRIC_SPANS } metric_spans;

/* What became of a trace for Triton's tools. */
typedef enum { METRIC_TRACES_WRITTEN, METRIC_TRACES_DROPPED, METRIC_TRACES_FAILED, METRIC_TRACES } metric_traces;

/* Where jobs are, what became of them, and of their webhooks. */
typedef enum { METRIC_JOBS_QUEUED, METRIC_JOBS_RUNNING, METRIC_JOBS_KEPT, METRIC_JOBS } metric_jobs;
typedef enum { METRIC_JOBS_DONE, METRIC_JOBS_FAILED, METRIC_JOBS_REFUSED, METRIC_JOBS_LOST, METRIC_JOBS_ENDED }
    metric_jobs_ended;
typedef enum { METRIC_HOOKS_DELIVERED, METRIC_HOOKS_GIVEN_UP, METRIC_HOOKS } metric_hooks;
/* Why a request's picture was refused. */
typedef enum { METRIC_PICTURES_PIXELS, METRIC_PICTURES_BYTES, METRIC_PICTURES_KIND, METRIC_PICTURES_BROKEN,
               METRIC_PICTURES } metric_pictures;
/* How the load of a model's versions ended. */
typedef enum { METRIC_LOADS_OK, METRIC_LOADS_FAILED, METRIC_LOADS } metric_loads;

typedef struct {
    metric_counter of[METRIC_PROTOCOLS][METRIC_CODES];
} metric_requests;

/* Runs by their rows, with what was added to fill them up. */
typedef struct {
    metric_counter runs, rows, padding; /* rows: without padding */
    metric_counter entries, waste; /* of runs padded to one length: rows times that, and how much is nobody's */
    metric_counter count[METRIC_SIZES], input_ns[METRIC_SIZES], infer_ns[METRIC_SIZES], output_ns[METRIC_SIZES];
} metric_runs;

typedef struct {
    metric_counter of[METRIC_DROPS];
} metric_drops;

#define METRICS_MODEL(X) \
    /* member        type       name                                  help */ \
    X(preprocess, histogram, "request_preprocess_seconds", "Reading a request into tensors.") \
    X(predict, histogram, "request_predict_seconds", "Running the model, without waiting.") \
    X(postprocess, histogram, "request_postprocess_seconds", "Writing tensors into an answer.") \
    X(queue_wait, histogram, "proa_queue_wait_seconds", \
      "From the end of reading a request to the start of its run, or to the response cache that answered it.") \
    X(total, histogram, "proa_inference_seconds", "From a whole request to its result.") \
    X(failed, histogram, "proa_inference_failed_seconds", "From a whole request to its error.") \
    X(cache_hit, histogram, "proa_cache_hit_seconds", "Finding an answer in the response cache.") \
    X(cache_miss, histogram, "proa_cache_miss_seconds", "Not finding one there, and keeping what was computed.") \
    X(requests, requests, "proa_requests_total", "Inference requests answered, by protocol and code.") \
    X(success, counter, "proa_inference_success_total", "Requests answered with a result.") \
    X(invalid, counter, "proa_inference_invalid_total", "Requests refused for what they hold (4xx).") \
    X(failure, counter, "proa_inference_failure_total", "Requests that failed in the server (5xx).") \
    X(cancelled, counter, "proa_inference_cancelled_total", "Requests whose client went away before the answer.") \
    X(expired, counter, "proa_inference_expired_total", "Requests whose deadline passed before the answer.") \
    X(rejected, counter, "proa_queue_rejected_total", "Requests refused at a limit of the model, as its queue (429).") \
    X(dropped, drops, "proa_queue_dropped_total", "Requests dropped from the queue before they ran, by reason.") \
    X(runs, runs, "proa_batch_rows", "Runs of the model by their rows, without padding.")

/* What one loop counts of one model; cells of one kind, see metrics_model_sum(). */
typedef struct {
#define X(member, type, name, help) metric_##type member;
    METRICS_MODEL(X)
#undef X
    metric_counter last_ns; /* on clock_now_ns(), of the last result; 0 = none yet; for V2's statistics */
} __attribute__((aligned(64))) metrics_lane;

#define METRICS_MODEL_NOW(X) \
    X(waiting, "proa_queue_waiting", "Requests in the queue now.") \
    X(running, "proa_inference_running", "Runs in progress now.") \
    X(instances, "proa_model_instances", "Runs that its queue begins at once, at most.") \
    X(bytes, "proa_model_bytes", "Its files, which are mapped, and what was made of them.") \
    X(share_bytes, "proa_model_executions_bytes", "Memory of its executions, where model-memory-max bounds it.") \
    X(share_refused, "proa_model_executions_refused", "Runs refused since it was loaded, for want of that memory.") \
    X(sequences, "proa_sequences_active", "Sequences that have a slot now.") \
    X(backlog, "proa_sequences_backlog", "Sequences that wait for a slot now.") \
    X(in_sequences, "proa_sequences_waiting", "Requests that wait for their sequence's turn or slot now.")

typedef struct {
    metrics_lane *lanes; /* lane_count of them, on cache lines of their own */
    uint32_t lane_count;
#define X(member, name, help) metric_gauge member;
    METRICS_MODEL_NOW(X)
#undef X
} metrics_model;

/* Limits that requests run into: the option's name, where there is one; of a model's those of err.limit. */
#define METRICS_LIMITS(X) \
    X(connections, "connections-max") \
    X(headers, "header-bytes-max") \
    X(body, "body-bytes-max") \
    X(bodies, "bodies-bytes-max") \
    X(replies, "replies-bytes-max") \
    X(reply, "reply-bytes-max") \
    X(memory, "memory-bytes-max") \
    X(queue, "queue-max") \
    X(queue_bytes, "queue-bytes-max") \
    X(queue_level, "max_queue_size") \
    X(queue_shapes, "queue-shapes") \
    X(rate, "model-rates") \
    X(objective, "latency-objective-ms") \
    X(deadline, "deadline") \
    X(model_memory, "model-memory-max") \
    X(model_executions, "model-executions") \
    X(compute_wait, "compute-wait-ms") \
    X(pixels, "image-pixels-max") \
    X(header_wait, "header-wait-ms") \
    X(body_wait, "body-wait-ms") \
    X(write_wait, "write-wait-ms") \
    X(frames, "http2-frames")

typedef enum {
#define X(member, name) METRIC_LIMIT_##member,
    METRICS_LIMITS(X)
#undef X
    METRIC_LIMITS
} metric_limit;

enum { METRIC_TLS_VERSIONS = 2, METRIC_TLS_FAILURES = 8 };   /* in the order of net/tls_context.h */

/* What one loop counts of no model. */
typedef struct {
    metric_requests unknown; /* requests for a model that is not there */
    metric_counter grpc[METRIC_STATUSES];
    metric_counter limits[METRIC_LIMITS];
    metric_counter pictures[METRIC_PICTURES];
} metrics_loop;

#define METRICS_SERVER(X) \
    /* member, [count]  type  name  labels (metrics.c)  help; rows of one name stand together */ \
    X(build, , gauge, "proa_build_info", by_version, "Always 1.") \
    X(http1_open, , gauge, "proa_http_connections_open", by_http1, "Open connections.") \
    X(http2_open, , gauge, "proa_http_connections_open", by_http2, "Open connections.") \
    X(http1_connections, , counter, "proa_http_connections_total", by_http1, "Connections accepted.") \
    X(http2_connections, , counter, "proa_http_connections_total", by_http2, "Connections accepted.") \
    X(connections_refused, , counter, "proa_http_connections_refused_total", by_none, \
      "Connections refused at the limit.") \
    X(streams_open, , gauge, "proa_http_streams_open", by_http2, "Streams, one per request, open now.") \
    X(streams, , counter, "proa_http_streams_total", by_http2, "Streams opened.") \
    X(requests, , counter, "proa_http_requests_total", by_none, "Requests read.") \
    X(bad_requests, , counter, "proa_http_bad_requests_total", by_none, "Requests refused by the HTTP reader.") \
    X(http1_answers, [METRIC_CLASSES], counter, "proa_http_answers_total", by_http1_class, "Answers, by class.") \
    X(http2_answers, [METRIC_CLASSES], counter, "proa_http_answers_total", by_http2_class, "Answers, by class.") \
    X(grpc, [METRIC_STATUSES], counter, "proa_grpc_answers_total", by_status, "gRPC calls ended, by status.") \
    X(limits, [METRIC_LIMITS], counter, "proa_limit_hits_total", by_limit, \
      "What was refused or ended at a limit, by its name.") \
    X(pictures, [METRIC_PICTURES], counter, "proa_pictures_refused_total", by_picture, \
      "Requests refused for a picture: too many pixels, too many bytes when decoded, neither JPEG nor PNG, broken.") \
    X(bytes_in, , counter, "proa_http_received_bytes_total", by_none, "Bytes read.") \
    X(bytes_out, , counter, "proa_http_sent_bytes_total", by_none, "Bytes written.") \
    X(bodies_bytes, , gauge, "proa_http_bodies_bytes", by_none, \
      "Memory for request bodies, in use or kept for the next.") \
    X(bodies_refused, , counter, "proa_http_bodies_refused_total", by_none, \
      "Requests refused for lack of that memory (503).") \
    X(replies_bytes, , gauge, "proa_http_replies_bytes", by_none, \
      "Memory for answers that wait for clients, in use or kept.") \
    X(replies_refused, , counter, "proa_http_replies_refused_total", by_none, \
      "Answers cut off for lack of that memory.") \
    X(tls_handshakes, [METRIC_TLS_VERSIONS], counter, "proa_tls_handshakes_total", by_tls_version, \
      "TLS handshakes that succeeded.") \
    X(tls_failures, [METRIC_TLS_FAILURES], counter, "proa_tls_failures_total", by_tls_failure, \
      "TLS handshakes that failed.") \
    X(cache_entries, , gauge, "proa_response_cache_entries", by_none, "Answers in the response cache.") \
    X(cache_bytes, , gauge, "proa_response_cache_bytes", by_none, "Memory of these, and of those still being read.") \
    X(cache_evictions, , counter, "proa_response_cache_evictions_total", by_none, \
      "Answers that had to make room for others.") \
    X(spans, [METRIC_SPANS], counter, "proa_trace_requests_total", by_span, \
      "Traced requests: taken by the collector, dropped as no place was free, failed to be taken.") \
    X(traces, [METRIC_TRACES], counter, "proa_trace_file_requests_total", by_trace, \
      "Requests traced to --trace-file: written, dropped as there was no room for them, not taken by the file.") \
    X(jobs, [METRIC_JOBS], gauge, "proa_jobs", by_job, "Jobs in the queue, running, and ended but kept.") \
    X(jobs_ended, [METRIC_JOBS_ENDED], counter, "proa_jobs_ended_total", by_job_ended, \
      "Jobs that ended with an answer below 400 or another, were refused, or were damaged on disk.") \
    X(jobs_oldest, , gauge, "proa_jobs_oldest_seconds", by_none, "Age of the oldest job that has not ended.") \
    X(jobs_bytes, , gauge, "proa_jobs_bytes", by_none, "Bytes of the jobs on disk; half of jobs-bytes-max may be.") \
    X(jobs_file_bytes, , gauge, "proa_jobs_file_bytes", by_none, "Bytes of their files.") \
    X(hooks, [METRIC_HOOKS], counter, "proa_jobs_webhooks_total", by_hook, "Webhooks of jobs: delivered, given up.") \
    X(loads, [METRIC_LOADS], counter, "proa_model_loads_total", by_load, \
      "Loads of a model's versions while the server runs, by how they ended.") \
    X(unloads, , counter, "proa_model_versions_unloaded_total", by_none, \
      "Versions that left: unloaded, or exchanged for another.") \
    X(orphans, , gauge, "proa_ensembles_without_members", by_none, \
      "Ensembles that are not served because a member is not: they come when it does.") \
    X(budget_bytes, , gauge, "proa_models_memory_max_bytes", by_none, "The budget models-memory-max; 0 = none.") \
    X(models_bytes, , gauge, "proa_models_memory_bytes", by_none, \
      "Memory of all models that are there, come or leave, as it was measured last; 0 without a budget.") \
    X(models_in, , gauge, "proa_models_in_memory", by_none, "Names of these that are there.") \
    X(evictions, , counter, "proa_model_evictions_total", by_none, "Models that had to leave for others.") \
    X(misses, , counter, "proa_model_misses_total", by_none, "Requests whose model was not in memory.") \
    X(misses_joined, , counter, "proa_model_misses_joined_total", by_none, \
      "Of these, those that found its load begun or waiting.") \
    X(misses_waiting, , gauge, "proa_model_misses_waiting", by_none, "Requests that wait for their model now.") \
    X(misses_expired, , counter, "proa_model_misses_expired_total", by_none, \
      "Requests that waited in vain: their deadline or models-wait-ms passed.") \
    X(loads_refused, , counter, "proa_model_loads_refused_total", by_none, \
      "Loads that were not begun: the model never fits into the budget.") \
    X(log_dropped, , counter, "proa_log_dropped_total", by_none, \
      "Log lines dropped because standard error took no more.") \
    X(loop_overruns, , counter, "proa_loop_overruns_total", by_none, "Callbacks that held a loop too long.") \
    X(compute_queued, , gauge, "proa_compute_queued", by_none, "Jobs waiting for a compute thread.") \
    X(cpu_us, , seconds, "process_cpu_seconds_total", by_none, "User and system CPU time.") \
    X(resident_bytes, , gauge, "process_resident_memory_bytes", by_none, "Resident memory.") \
    X(virtual_bytes, , gauge, "process_virtual_memory_bytes", by_none, "Virtual memory.") \
    X(open_fds, , gauge, "process_open_fds", by_none, "Open descriptors.") \
    X(max_fds, , gauge, "process_max_fds", by_none, "Descriptors that may be open.") \
    X(start_us, , since, "process_start_time_seconds", by_none, "Start of the process since the epoch.")

/* A picture of it, filled by whoever prints. */
typedef struct {
#define X(member, array, type, name, by, help) int64_t member array;
    METRICS_SERVER(X)
#undef X
} metrics_server;

err_code metrics_model_init(metrics_model *m, uint32_t lanes, err *e) MUST_USE; /* its own last place */
void metrics_model_fini(metrics_model *m);                                      /* all zero will do, too */

/* METRIC_LIMITS = no limit is called so; NULL names none. */
metric_limit metric_limit_named(const char *name);

/* By the lane's own loop alone. */
void metric_limit_hit(metrics_loop *m, const char *name);   /* err.limit of what failed */
void metric_time(metric_histogram *h, uint64_t ns);
void metric_add(metric_counter *c);
void metric_request(metric_requests *r, metric_protocol by, err_code code);
void metric_drop(metric_drops *d, uint32_t reason); /* a batch_drop that is not BATCH_RAN */

/* A run, told by the first of its requests; the others add their times to it. */
typedef struct {
    bool first;
    uint64_t rows, padding; /* of the whole run, */
    uint64_t entries, waste; /* too; 0 = nothing is padded to a length */
    uint64_t input_ns, infer_ns, output_ns;
} metric_run_of;
void metric_run(metric_runs *r, const metric_run_of *of);
uint32_t metric_size(uint32_t i); /* the most rows that cell i counts; UINT32_MAX = any */

/* Any thread: all lanes added up. */
void metrics_model_sum(const metrics_model *m, metrics_lane *ret);
void metric_sum(const metric_histogram *h, uint64_t *ret_count, uint64_t *ret_ns);

typedef struct {
    str name, version;
    const metrics_model *set;
} metrics_labelled;

typedef enum { METRICS_PROA, METRICS_TRITON, METRICS_BOTH } metrics_names;

typedef struct {
    const metrics_server *server;
    const metrics_labelled *models;
    size_t model_count;
    const metric_requests *unknown;
    const metric_histogram *miss_wait; /* until the model was in memory; NULL = there is no budget */
    metrics_names names;
    bool open; /* OpenMetrics 1.0 instead of Prometheus's text format 0.0.4 */
} metrics_page;

void metrics_print(buf *out, const metrics_page *page);
/* The same figures as JSON, for the page /debug/models, under the names that do not depend on page->names:
 * {"bounds_us":[...],"rows":[{"name","type","help"},...],"models":[{"name","version","values":[...]},...],
 *  "server":[{"name","labels","type","help","value"},...]}
 * values stand in the order of rows: a number, or of a histogram {"buckets":[...],"sum_us":n}, not cumulative. */
void metrics_json(buf *out, const metrics_page *page);
/* What the client's Accept asks for; without a clear word the older format. */
bool metrics_open_wanted(str accept);
const char *metrics_content_type(bool open);
void metrics_markdown(buf *out); /* docs/metrics.md, whole */

#endif
