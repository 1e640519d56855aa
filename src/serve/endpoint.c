#include "serve/endpoint.h"

#include "async/log_writer.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/version.h"
#include "models/model_control.h"
#include "models/model_keeper.h"
#include "os/clock.h"
#include "os/proc.h"
#include "serve/alias_rest.h"
#include "serve/debug_page.h"
#include "serve/event_rest.h"
#include "serve/generate.h"
#include "serve/job_rest.h"
#include "serve/later.h"
#include "serve/memory.h"
#include "serve/rest.h"
#include "serve/route.h"
#include "serve/rpc.h"
#include "serve/summon.h"
#include "serve/v1.h"
#include "serve/v2.h"
#include "serve/v2_rest.h"
#include "wire/json_text.h"

#include <stdatomic.h>

typedef void answer(endpoints *s, http_call *call, const http_request *req, const route_args *args);

#define ROUTES(X) \
    /* method  pattern                                             answer */ \
    X("POST", "/v2/models/{model}/infer", v2_infer) \
    X("POST", "/v1/models/{model}:predict", v1_predict) \
    X("POST", "/v2/models/{model}/generate", v2_generate) \
    X("POST", "/v2/models/{model}/generate_stream", v2_generate_stream) \
    X("POST", "/v2/models/{model}/versions/{version}/infer", v2_infer) \
    X("POST", "/v2/models/{model}/versions/{version}/generate", v2_generate) \
    X("POST", "/v2/models/{model}/versions/{version}/generate_stream", v2_generate_stream) \
    X("GET", "/v2/health/live", v2_live) \
    X("GET", "/v2/health/ready", v2_ready) \
    X("GET", "/v2", v2_server) \
    X("GET", "/v2/", v2_server) \
    X("GET", "/v2/models", v2_models) \
    X("GET", "/v2/models/stats", v2_statistics) \
    X("GET", "/v2/models/{model}", v2_model) \
    X("GET", "/v2/models/{model}/stats", v2_statistics) \
    X("GET", "/v2/models/{model}/config", v2_config) \
    X("GET", "/v2/models/{model}/trace/setting", v2_trace) \
    X("POST", "/v2/models/{model}/trace/setting", v2_trace_set) \
    X("GET", "/v2/models/{model}/versions/{version}/stats", v2_statistics) \
    X("GET", "/v2/models/{model}/versions/{version}/config", v2_config) \
    X("GET", "/v2/trace/setting", v2_trace) \
    X("POST", "/v2/trace/setting", v2_trace_set) \
    X("GET", "/v2/logging", v2_log) \
    X("POST", "/v2/logging", v2_log_set) \
    X("POST", "/v2/repository/index", v2_index) \
    X("POST", "/v2/repository/models/{model}/load", v2_load) \
    X("POST", "/v2/repository/models/{model}/unload", v2_unload) \
    X("POST", "/v2/repository/models/{model}/versions/{version}/activate", v2_activate) \
    X("POST", "/v2/repository/models/{model}/aliases/{alias}", v2_alias) \
    X("POST", "/v2/repository/models/{model}/versions/{version}/aliases/{alias}", v2_alias) \
    X("DELETE", "/v2/repository/aliases/{alias}", v2_alias_drop) \
    X("POST", "/v2/repository/models/{model}/versions/{version}/labels/{label}", v2_alias) \
    X("DELETE", "/v2/repository/models/{model}/labels/{label}", v2_alias_drop) \
    X("GET", "/v2/models/{model}/ready", v2_model_ready) \
    X("GET", "/v2/models/{model}/versions/{version}", v2_model) \
    X("GET", "/v2/models/{model}/versions/{version}/ready", v2_model_ready) \
    X("GET", "/v2/systemsharedmemory/status", memory_status) \
    X("GET", "/v2/systemsharedmemory/region/{region}/status", memory_status) \
    X("POST", "/v2/systemsharedmemory/region/{region}/register", memory_add) \
    X("POST", "/v2/systemsharedmemory/region/{region}/unregister", memory_remove) \
    X("POST", "/v2/systemsharedmemory/unregister", memory_remove) \
    X("GET", "/v2/cudasharedmemory/status", v2_cuda_status) \
    X("GET", "/v2/cudasharedmemory/region/{region}/status", v2_cuda_status) \
    X("POST", "/v2/cudasharedmemory/region/{region}/register", v2_cuda_register) \
    X("POST", "/v2/cudasharedmemory/region/{region}/unregister", v2_cuda_unregister) \
    X("POST", "/v2/cudasharedmemory/unregister", v2_cuda_unregister) \
    X("POST", "/v2/models/{model}/jobs", v2_job) \
    X("POST", "/v2/models/{model}/versions/{version}/jobs", v2_job) \
    X("GET", "/jobs", job_list) \
    X("GET", "/jobs/{job}", job_show) \
    X("DELETE", "/jobs/{job}", job_forget) \
    X("GET", "/jobs/{job}/result", job_result) \
    X("GET", "/v1/models", v1_models) \
    X("GET", "/v1/models/{model}", v1_model) \
    X("POST", "/v1/models/{model}:explain", v1_explain) \
    X("POST", "/v1/models/{model}/versions/{version}:predict", v1_predict) \
    X("POST", "/v1/models/{model}/labels/{label}:predict", v1_predict) \
    X("GET", "/v1/models/{model}/versions/{version}", v1_version) \
    X("GET", "/v1/models/{model}/labels/{label}", v1_version) \
    X("GET", "/", alive) \
    X("GET", "/healthz", healthz) \
    X("GET", "/readyz", readyz) \
    X("GET", "/debug/models", debug_models) \
    X("GET", "/debug/models.json", debug_figures) \
    X("GET", "/metrics", metrics)

enum {
    SMALL_REPLY_MAX = 1 << 20,
    LARGE_REPLY_MAX = 64 << 20,
    UNKNOWN_BODY_BYTES_MAX = 64 << 10   /* of one whose key is not known: more ends its connection */
};

static void reply_buf(http_call *call, int status, buf *out)
{
    err e = {0};
    if (buf_check(out, "answer", &e))
        http_reply_error(call, err_http_status(e.code), e.text);
    else
        http_reply(call,
                   &(http_response){.status = status, .content_type = STR("application/json"), .body = {buf_str(out)}});
    buf_fini(out);
}

static void reply_text(http_call *call, int status, str type, str body)
{
    http_reply(call, &(http_response){.status = status, .content_type = type, .body = {body}});
}

static void reply_json(http_call *call, int status, str body)
{
    reply_text(call, status, STR("application/json"), body);
}
static void reply_err(http_call *call, const err *e) { http_reply_error(call, err_http_status(e->code), e->text); }
static bool is_leaving(const endpoints *s) { return atomic_load_explicit(&s->leaving, memory_order_relaxed); }

bool endpoints_ready(const endpoints *s) { return !is_leaving(s) && (!s->slot || repository_serves(s->models)); }

/* In TensorFlow Serving's words. */
static err_code find_label(endpoints *s, const route_args *args, served **ret, err *e)
{
    char text[ALIASES_NAME_MAX];
    str name = alias_rest_asked(args, text);
    err_code rc = guard_model(args->who, args->model, e);
    if (rc) return rc;
    if (!aliases_find(repository_aliases(s->models), name))
        return err_set(e, ERR_NOT_FOUND, "Unrecognized servable version label: " STR_FMT, STR_ARG(args->label));
    return repository_find(s->models, name, STR(""), ret, e);
}

static err_code look(endpoints *s, const route_args *args, served **ret, err *e)
{
    if (args->label.len) return find_label(s, args, ret, e);
    return endpoints_find(s, args->who, &(model_id){args->model, args->version}, ret, e);
}

/* It is not in memory, but is brought there for whoever asks: to clients it is as good as there. */
static bool comes(endpoints *s, const route_args *args, alias *ret_led)
{
    char text[ALIASES_NAME_MAX];
    if (!s->keeper || !guard_sees(args->who, args->model)) return false;
    str name = alias_rest_asked(args, text);
    return name.p && repository_comes(s->models, name, args->version, ret_led);
}

typedef struct {
    endpoints *s;
    http_call *call;
    const http_request *req;
    const route_args *args;
    const infer_protocol *protocol; /* NULL = it is no inference */
    served *found;
} question;

static err_code question_look(void *ctx, err *e)
{
    question *q = ctx;
    return look(q->s, q->args, &q->found, e);
}

static bool question_summon(void *ctx)
{
    const question *q = ctx;
    return summon_call(q->s, q->call, q->req, q->args, q->protocol);
}

/* SUMMON_COMES: the call is answered when the model is in memory. */
static summon_end question_find(question *q, err *e)
{
    return summon_find(&(summon_way){question_look, q->s->keeper ? question_summon : NULL, q}, e);
}

/* The model of the path.  NULL = the call is answered, or will be when the model is in memory. */
static served *find(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    err e UNINIT;
    question q = {.s = s, .call = call, .req = req, .args = args};
    summon_end got = question_find(&q, &e);
    if (got == SUMMON_FAILED) reply_err(call, &e);
    return got == SUMMON_FOUND ? q.found : NULL;
}

static void infer_on(endpoints *s, http_call *call, const http_request *req, const route_args *args,
                     const infer_protocol *protocol)
{
    endpoint_pools *pools = s->pools_of(s->ctx, http_call_loop(call));
    question q = {s, call, req, args, protocol, NULL};
    alias led;
    err e UNINIT;
    bool whole = protocol != &generate_stream_protocol;
    if (!whole && job_refuse(req, JOB_NEVER_STREAM, &e)) {
        reply_err(call, &e);
        return;
    }
    if (s->keeper && whole && !http_call_inner(call) && job_wanted(s, req) && comes(s, args, &led)) {
        job_submit(s, call, req, args);   /* it is brought when the job runs */
        return;
    }
    summon_end got = question_find(&q, &e);
    if (got == SUMMON_FAILED) {
        metric_request(&pools->counts.unknown, protocol->counted, ERR_NOT_FOUND);
        reply_err(call, &e);
    }
    if (got != SUMMON_FOUND) return;
    if (whole && !http_call_inner(call) && job_wanted(s, req)) {
        job_submit(s, call, req, args);
        return;
    }
    if (whole && event_is(req)) {
        event_infer(s, call, req, q.found->name);
        return;
    }
    rest_infer(&(rest_opts){.requests = pools->requests,
                            .model = q.found,
                            .protocol = protocol,
                            .traces = pools->traces,
                            .coding = &s->coding,
                            .asked_us = args->asked_us},
               call, req);
}

static void v2_infer(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    infer_on(s, call, req, args, &v2_protocol);
}

static void v2_job(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    alias led;
    if (comes(s, args, &led) || find(s, call, req, args)) job_submit(s, call, req, args);
}

static void v2_generate(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    infer_on(s, call, req, args, &generate_protocol);
}

static void v2_generate_stream(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    infer_on(s, call, req, args, &generate_stream_protocol);
}

static void v1_predict(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    infer_on(s, call, req, args, &v1_protocol);
}

static void v1_explain(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    if (find(s, call, req, args)) http_reply_error(call, 501, "explain is not supported: the model has no explainer");
}

static void v2_live(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    (void)s, (void)req, (void)args;
    reply_json(call, 200, STR("{\"live\":true}"));
}

static void v2_ready(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    (void)req, (void)args;
    if (endpoints_ready(s))
        reply_json(call, 200, STR("{\"ready\":true}"));
    else
        reply_json(call, 503, STR("{\"ready\":false}"));
}

static void v2_server(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    (void)s, (void)req, (void)args;
    buf out;
    buf_init(&out, SMALL_REPLY_MAX);
    buf_put_z(&out, "{\"name\":\"proa\",\"version\":\"" PROA_VERSION "\",\"extensions\":[");
    for (size_t i = 0; v2_extensions[i]; i++) buf_printf(&out, "%s\"%s\"", i ? "," : "", v2_extensions[i]);
    buf_put_z(&out, "]}");
    reply_buf(call, 200, &out);
}

static void names_put(endpoints *s, const api_key *who, buf *out)
{
    size_t count = 0;
    buf_put_z(out, "{\"models\":[");
    for (size_t i = 0; i < repository_count(s->models); i++) {
        str name = repository_name_at(s->models, i);
        bool known = repository_at(s->models, i) || repository_on_demand(s->models, name);
        if (!known || !guard_sees(who, name)) continue;
        if (count++) buf_put_byte(out, ',');
        json_text_put(out, name);
    }
    repository_entry entry;
    for (size_t i = 0; repository_alias_entry(s->models, i, &entry); i++) {
        bool label = memchr(entry.name.p, ':', entry.name.len) != NULL, ready = strcmp(entry.state, "READY") == 0;
        if (label || !ready || !guard_sees(who, entry.name)) continue;
        if (count++) buf_put_byte(out, ',');
        json_text_put(out, entry.name);
    }
    buf_put_z(out, "]}");
}

static void v2_models(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    err e;
    buf out;
    buf_init(&out, SMALL_REPLY_MAX);
    names_put(s, args->who, &out);
    if (buf_check(&out, "models", &e) == ERR_OK) {
        coding_reply(&s->coding, call, req, STR("application/json"), &out);
        return;
    }
    reply_err(call, &e);
    buf_fini(&out);
}

static void v1_models(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    v2_models(s, call, req, args);
}

static void v2_model(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    served *m = find(s, call, req, args);
    if (!m) return;
    buf out;
    buf_init(&out, SMALL_REPLY_MAX);
    bool one = alias_rest_one_version(s, args->model, args->version);
    v2_metadata_print(&out, m, one ? NULL : repository_lineup_of(s->models, m), repository_aliases(s->models));
    reply_buf(call, 200, &out);
}

static void v2_config(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    served *m = find(s, call, req, args);
    if (!m) return;
    buf out;
    buf_init(&out, LARGE_REPLY_MAX);
    model_config_print(&out, m->config);
    reply_buf(call, 200, &out);
}

/* What v2_rest.h answers. */
static void small(endpoints *s, http_call *call, const http_request *req, const route_args *args, rest_answer *fn)
{
    buf out;
    err e;
    buf_init(&out, LARGE_REPLY_MAX);
    err_code rc = fn(s, args, req->body, &out, &e);
    if (rc == ERR_OK) {
        reply_buf(call, 200, &out);
        return;
    }
    buf_fini(&out);
    reply_err(call, &e);
}

#define SMALL(name) \
    static void v2_##name(endpoints *s, http_call *call, const http_request *req, const route_args *args) \
    { \
        small(s, call, req, args, v2_rest_##name); \
    }
SMALL(statistics)
SMALL(index)
SMALL(trace)
SMALL(trace_set)
SMALL(log)
SMALL(log_set)
SMALL(cuda_status)
SMALL(cuda_register)
SMALL(cuda_unregister)
#undef SMALL

/* A load or unload: it changes the server for all. */
static void control(endpoints *s, http_call *call, const http_request *req, const route_args *args, rest_answer *fn)
{
    err e;
    if (guard_server(args->who, &e)) reply_err(call, &e);
    else later_answer(s, call, req, args, fn);
}

static void v2_load(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    control(s, call, req, args, v2_rest_load);
}

static void v2_unload(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    control(s, call, req, args, v2_rest_unload);
}

static void v2_activate(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    control(s, call, req, args, v2_rest_activate);
}

static void v2_alias(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    control(s, call, req, args, alias_rest_set);
}

static void v2_alias_drop(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    control(s, call, req, args, alias_rest_drop);
}

static void memory_status(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    (void)req;
    buf out;
    err e;
    buf_init(&out, SMALL_REPLY_MAX);
    if (memory_print(&out, s->regions, args->region, &e) == ERR_OK) {
        reply_buf(call, 200, &out);
        return;
    }
    reply_err(call, &e);
    buf_fini(&out);
}

static void memory_add(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    err e;
    if (memory_register(s->regions, args->region, req->body, &e)) reply_err(call, &e);
    else reply_json(call, 200, STR(""));
}

static void memory_remove(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    (void)req;
    shm_unregister(s->regions, args->region);
    reply_json(call, 200, STR(""));
}

/* What is not in memory is ready all the same: who asks for it is answered. */
static void model_ready(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    alias led;
    if (!comes(s, args, &led) && !find(s, call, req, args)) return;
    if (!endpoints_ready(s)) {
        err e;
        err_set(&e, ERR_UNAVAILABLE, "Model with name " STR_FMT " is not ready.", STR_ARG(args->model));
        reply_err(call, &e);
        return;
    }
    buf out;
    buf_init(&out, SMALL_REPLY_MAX);
    buf_put_z(&out, "{\"name\":");
    json_text_put(&out, args->model);
    buf_put_z(&out, ",\"ready\":true}");
    reply_buf(call, 200, &out);
}

static void v2_model_ready(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    model_ready(s, call, req, args);
}

static void v1_model(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    model_ready(s, call, req, args);
}

static void v1_version(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    buf out;
    alias led;
    bool waits = comes(s, args, &led) && led.version.len;
    const served *m = waits ? NULL : find(s, call, req, args);
    if (!waits && !m) return;
    buf_init(&out, SMALL_REPLY_MAX);
    alias_rest_status(waits ? led.version : m->version, &out);
    reply_buf(call, 200, &out);
}

static void alive(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    (void)s, (void)req, (void)args;
    reply_json(call, 200, STR("{\"status\":\"alive\"}"));
}

static void healthz(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    (void)s, (void)req, (void)args;
    reply_text(call, 200, STR("text/plain"), STR("ok"));
}

static void readyz(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    (void)req, (void)args;
    if (endpoints_ready(s))
        reply_text(call, 200, STR("text/plain"), STR("ok"));
    else
        reply_text(call, 503, STR("text/plain"), is_leaving(s) ? STR("draining") : STR("no model"));
}

static void net_numbers(const endpoints *s, metrics_server *ret)
{
    static const struct {
        server_hit hit;
        metric_limit limit;
    } hits[] = {
        {SERVER_HIT_HEADERS, METRIC_LIMIT_headers},         {SERVER_HIT_BODY, METRIC_LIMIT_body},
        {SERVER_HIT_HEADER_WAIT, METRIC_LIMIT_header_wait}, {SERVER_HIT_BODY_WAIT, METRIC_LIMIT_body_wait},
        {SERVER_HIT_WRITE_WAIT, METRIC_LIMIT_write_wait},   {SERVER_HIT_FRAMES, METRIC_LIMIT_frames},
    };
    server_stats net;
    server_stats_read(s->server, &net);
    ret->http1_open = (int64_t)(net.open > net.http2_open ? net.open - net.http2_open : 0);
    ret->http2_open = (int64_t)net.http2_open;
    ret->http1_connections = (int64_t)(net.accepted > net.http2_accepted ? net.accepted - net.http2_accepted : 0);
    ret->http2_connections = (int64_t)net.http2_accepted;
    ret->connections_refused = (int64_t)net.refused;
    ret->streams = (int64_t)net.streams;
    ret->streams_open = (int64_t)net.streams_open;
    ret->requests = (int64_t)net.requests;
    ret->bad_requests = (int64_t)net.bad_requests;
    ret->bytes_in = (int64_t)net.bytes_in;
    ret->bytes_out = (int64_t)net.bytes_out;
    ret->bodies_bytes = (int64_t)net.bodies_bytes;
    ret->bodies_refused = (int64_t)net.bodies_refused;
    ret->replies_bytes = (int64_t)net.replies_bytes;
    ret->replies_refused = (int64_t)net.replies_refused;
    _Static_assert((int)TLS_FAILURE_COUNT == (int)METRIC_TLS_FAILURES, "each has a name in metrics.c");
    ret->tls_handshakes[0] = (int64_t)net.tls12;
    ret->tls_handshakes[1] = (int64_t)net.tls13;
    for (size_t i = 0; i < METRIC_TLS_FAILURES; i++) ret->tls_failures[i] = (int64_t)net.tls_failed[i];
    for (size_t i = 0; i < METRIC_CLASSES; i++) {
        ret->http1_answers[i] = (int64_t)net.answers[0][i];
        ret->http2_answers[i] = (int64_t)net.answers[1][i];
    }
    for (size_t i = 0; i < COUNTOF(hits); i++) ret->limits[hits[i].limit] += (int64_t)net.hits[hits[i].hit];
    ret->limits[METRIC_LIMIT_connections] += (int64_t)net.refused;
    ret->limits[METRIC_LIMIT_bodies] += (int64_t)net.bodies_refused;
    ret->limits[METRIC_LIMIT_replies] += (int64_t)net.replies_refused;
}

static void span_numbers(const endpoints *s, metrics_server *ret)
{
    tracer_stats spans;
    tracer_stats_read(s->tracer, &spans);
    ret->spans[METRIC_SPANS_SENT] = (int64_t)spans.sent;
    ret->spans[METRIC_SPANS_DROPPED] = (int64_t)spans.dropped;
    ret->spans[METRIC_SPANS_FAILED] = (int64_t)spans.failed;
}

static void cache_numbers(const endpoints *s, metrics_server *ret)
{
    response_cache_stats kept;
    response_cache_stats_read(repository_cache(s->models), &kept);
    ret->cache_entries = (int64_t)kept.entries;
    ret->cache_bytes = (int64_t)kept.bytes;
    ret->cache_evictions = (int64_t)kept.evictions;
}

static void load_numbers(const endpoints *s, metrics_server *ret)
{
    model_control_stats loads;
    model_control_stats_read(s->control, &loads);
    ret->loads[METRIC_LOADS_OK] = (int64_t)loads.loaded;
    ret->loads[METRIC_LOADS_FAILED] = (int64_t)loads.failed;
    ret->unloads = (int64_t)loads.unloaded;
    ret->orphans = (int64_t)loads.orphans;
}

static void budget_numbers(const endpoints *s, metrics_server *ret, metrics_page *page)
{
    model_keeper_stats k;
    keeper_stats_read(s->keeper, &k);
    ret->budget_bytes = (int64_t)k.bytes_max;
    ret->models_bytes = (int64_t)k.bytes;
    ret->models_in = (int64_t)k.in;
    ret->evictions = (int64_t)k.evictions;
    ret->misses = (int64_t)k.misses;
    ret->misses_joined = (int64_t)k.joined;
    ret->misses_waiting = (int64_t)k.waiting;
    ret->misses_expired = (int64_t)k.timeouts;
    ret->loads_refused = (int64_t)k.refused;
    page->miss_wait = k.wait;
}

static void trace_numbers(const endpoints *s, metrics_server *ret)
{
    trace_log_stats traces;
    trace_log_stats_read(s->trace_log, &traces);
    ret->traces[METRIC_TRACES_WRITTEN] = (int64_t)traces.written;
    ret->traces[METRIC_TRACES_DROPPED] = (int64_t)traces.dropped;
    ret->traces[METRIC_TRACES_FAILED] = (int64_t)traces.failed;
}

static void job_numbers(const endpoints *s, metrics_server *ret)
{
    jobs_stats now;
    jobs_stats_read(s->jobs, &now);
    uint64_t wall_us = clock_wall_us();
    ret->jobs[METRIC_JOBS_QUEUED] = (int64_t)now.queued;
    ret->jobs[METRIC_JOBS_RUNNING] = (int64_t)now.running;
    ret->jobs[METRIC_JOBS_KEPT] = (int64_t)now.kept;
    ret->jobs_ended[METRIC_JOBS_DONE] = (int64_t)now.done;
    ret->jobs_ended[METRIC_JOBS_FAILED] = (int64_t)now.failed;
    ret->jobs_ended[METRIC_JOBS_REFUSED] = (int64_t)now.refused;
    ret->jobs_ended[METRIC_JOBS_LOST] = (int64_t)now.lost;
    ret->jobs_oldest = now.oldest_us && wall_us > now.oldest_us ? (int64_t)((wall_us - now.oldest_us) / 1000000) : 0;
    ret->jobs_bytes = (int64_t)now.bytes;
    ret->jobs_file_bytes = (int64_t)now.file_bytes;
    ret->hooks[METRIC_HOOKS_DELIVERED] = (int64_t)now.told;
    ret->hooks[METRIC_HOOKS_GIVEN_UP] = (int64_t)now.untold;
}

static void process_numbers(const endpoints *s, metrics_server *ret)
{
    proc_usage used = {0};
    err e;
    if (proc_usage_read(&used, &e)) log_write(LOG_DEBUG, NULL, "metrics: %s", e.text);
    ret->cpu_us = (int64_t)used.cpu_us;
    ret->resident_bytes = (int64_t)used.resident_bytes;
    ret->virtual_bytes = (int64_t)used.virtual_bytes;
    ret->open_fds = (int64_t)used.fd_count;
    ret->max_fds = (int64_t)used.fd_count_max;
    ret->start_us = (int64_t)s->start_us;
}

static int64_t counted(const metric_counter *c) { return (int64_t)atomic_load_explicit(c, memory_order_relaxed); }

/* What each loop counts for itself. */
static void loop_numbers(const endpoints *s, metrics_server *ret, metric_requests *unknown)
{
    for (size_t i = 0; i < s->loop_count; i++) {
        const metrics_loop *from = &s->pools_of(s->ctx, s->loops[i])->counts;
        for (size_t k = 0; k < METRIC_STATUSES; k++) ret->grpc[k] += counted(&from->grpc[k]);
        for (size_t k = 0; k < METRIC_LIMITS; k++) ret->limits[k] += counted(&from->limits[k]);
        for (size_t k = 0; k < METRIC_PICTURES; k++) ret->pictures[k] += counted(&from->pictures[k]);
        for (size_t by = 0; by < METRIC_PROTOCOLS; by++)
            for (size_t k = 0; k < METRIC_CODES; k++)
                atomic_fetch_add_explicit(&unknown->of[by][k], (uint64_t)counted(&from->unknown.of[by][k]),
                                          memory_order_relaxed);
        ret->loop_overruns += (int64_t)loop_overruns(s->loops[i]);
    }
}

static size_t versions_count(const endpoints *s)
{
    size_t n = 0;
    for (size_t i = 0; i < repository_count(s->models); i++) {
        const lineup *l = repository_lineup(s->models, i);
        n += l ? l->count : 0;
    }
    return n;
}

static void figures(endpoints *s, http_call *call, const http_request *req, const route_args *args, bool json)
{
    metrics_server numbers = {.build = 1, .log_dropped = (int64_t)log_writer_dropped()};
    metric_requests unknown = {.of = {{0}}};
    buf out;
    size_t count = 0, known = versions_count(s);
    metrics_labelled *models = mem_new0(metrics_labelled, known + 1);
    metrics_page page = {.server = &numbers,
                         .models = models,
                         .unknown = &unknown,
                         .names = s->metrics_names,
                         .open = metrics_open_wanted(http_header_get(req, HTTP_FIELD_ACCEPT))};
    if (!models) {
        http_reply_error(call, 503, "no memory for the metrics");
        return;
    }
    for (size_t i = 0; i < repository_count(s->models); i++) {
        const lineup *l = repository_lineup(s->models, i);
        for (size_t k = 0; l && k < l->count && count < known; k++) {   /* more may have come */
            served *m = l->all[k];
            if (!guard_sees(args->who, m->name)) continue;
            served_measure(m);
            models[count++] = (metrics_labelled){m->name, m->version, &m->metrics};
        }
    }
    page.model_count = count;
    numbers.compute_queued = (int64_t)compute_queued(s->pool);
    net_numbers(s, &numbers);
    span_numbers(s, &numbers);
    trace_numbers(s, &numbers);
    cache_numbers(s, &numbers);
    job_numbers(s, &numbers);
    load_numbers(s, &numbers);
    budget_numbers(s, &numbers, &page);
    process_numbers(s, &numbers);
    loop_numbers(s, &numbers, &unknown);
    buf_init(&out, LARGE_REPLY_MAX);
    if (json) metrics_json(&out, &page);
    else metrics_print(&out, &page);
    mem_free(models);
    err e = {0};
    if (buf_check(&out, "metrics", &e) == ERR_OK) {
        const str type = json ? STR("application/json") : str_of(metrics_content_type(page.open));
        coding_reply(&s->coding, call, req, type, &out);
        return;
    }
    reply_err(call, &e);
    buf_fini(&out);
}

static void metrics(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    figures(s, call, req, args, false);
}

static void debug_figures(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    figures(s, call, req, args, true);
}

static void debug_models(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    (void)s, (void)req, (void)args;
    debug_page_reply(call);
}

err_code endpoints_find(endpoints *s, const api_key *who, const model_id *id, served **ret, err *e)
{
    err_code rc = guard_model(who, id->name, e);
    return rc ? rc : repository_find(s->models, id->name, id->version, ret, e);
}

void endpoints_rested(void *ctx, loop *on, bool last)
{
    endpoints *s = ctx;
    endpoint_pools *pools = s->pools_of(s->ctx, on);
    infer_pool_trim(pools->requests);
    rpc_pool_trim(pools->rpcs);
    if (last) model_control_rest(s->control);
}

void endpoints_leave(endpoints *s) { atomic_store(&s->leaving, true); }

err_code endpoint_pools_init(endpoint_pools *p, const endpoint_pools_opts *opts, err *e)
{
    infer_opts io = opts->infer;
    *p = (endpoint_pools){.requests = NULL};
    io.counts = &p->counts;
    p->traces = opts->traces;
    err_code rc = infer_pool_new(&p->requests, &io, e);
    if (rc) return rc;
    ask_opts ao = {.endpoints = opts->endpoints,
                   .requests = p->requests,
                   .counts = &p->counts,
                   .traces = opts->traces,
                   .compute = io.compute,
                   .on = opts->on,
                   .message_bytes_max = opts->message_bytes_max,
                   .reply_bytes_max = io.reply_bytes_max};
    return rpc_pool_new(&p->rpcs, &ao, e);
}

void endpoint_pools_fini(endpoint_pools *p)
{
    rpc_pool_free(p->rpcs);
    infer_pool_free(p->requests);
}

static void look_at_models(loop *on, loop_msg *m)
{
    (void)on;
    endpoint_pools *p = (endpoint_pools *)(void *)((char *)m - offsetof(endpoint_pools, models_msg));
    atomic_store(&p->models_told, false);   /* a change from here on is one more message */
    rpc_pool_look(p->rpcs);
}

void endpoints_models_changed(void *ctx)
{
    endpoints *s = ctx;
    for (size_t i = 0; i < s->loop_count; i++) {
        endpoint_pools *p = s->pools_of(s->ctx, s->loops[i]);
        if (atomic_exchange(&p->models_told, true)) continue;
        p->models_msg = (loop_msg){.run = look_at_models};
        loop_post(s->loops[i], &p->models_msg);
    }
}

void endpoint_pools_leave(endpoint_pools *p) { rpc_pool_leave(p->rpcs); }
void endpoint_pools_drain(endpoint_pools *p) { rpc_pool_drain(p->rpcs); }

/* Of a request whose body is yet to come, and large: is it refused in any case?  Then its body is not wanted. */
static bool is_unwelcome(const endpoints *s, const http_request *req)
{
    const api_key *who;
    uint64_t bytes;
    err e UNINIT;
    if (!guard_is_on(&s->guard)) return false;
    str length = http_header_get(req, HTTP_FIELD_CONTENT_LENGTH);
    if (str_u64(length, &bytes) && bytes <= UNKNOWN_BODY_BYTES_MAX) return false;
    return guard_check(&s->guard, req, &who, &e) != ERR_OK;
}

/* V2's binary extension: the first tensor lies behind so many bytes of JSON. */
bool endpoints_begin(void *ctx, const http_request *req, size_t *ret_aligned)
{
    uint64_t at;
    if (str_u64(http_header_get(req, HTTP_FIELD_INFERENCE_HEADER_CONTENT_LENGTH), &at)) *ret_aligned = (size_t)at;
    return rpc_is(req) || is_unwelcome(ctx, req);
}

static bool is_open(const endpoints *s, answer *a)
{
    return a == alive || a == healthz || a == readyz || a == v2_live || a == v2_ready ||
           ((a == metrics || a == debug_models || a == debug_figures) && s->guard.metrics_open);
}

/* Whose key it is; answers what has none, or one that is not for this model. */
static bool is_let_in(endpoints *s, http_call *call, const http_request *req, route_args *args)
{
    err e UNINIT;
    err_code rc = guard_check(&s->guard, req, &args->who, &e);
    if (rc == ERR_OK && http_call_in_parts(call))   /* the key came to be known behind endpoints_begin() */
        rc = err_set(&e, ERR_UNAVAILABLE, "keys have changed: try again");
    if (rc == ERR_OK && args->model.len) rc = guard_model(args->who, args->model, &e);
    if (rc) guard_refuse(call, &e);
    return rc == ERR_OK;
}

/* What is open to all has no use for a body, and its answer may come behind it. */
static void drop_part(void *ctx, str bytes, bool last)
{
    (void)last;
    http_call_took(ctx, bytes.len);
}

static http_handler unpacked, unpacked_of_owner;

typedef struct {
    bool packed, owner;
} origin;

static answer *const answers[] = {
#define X(method, pattern, fn) fn,
    ROUTES(X)
#undef X
};

void endpoints_again(endpoints *s, http_call *call, const http_request *req, const route_args *args)
{
    answers[args->row](s, call, req, args);
}

static void dispatch(endpoints *s, http_call *call, const http_request *req, origin from)
{
    static const route rows[] = {
#define X(method, pattern, fn) {method, pattern},
        ROUTES(X)
#undef X
    };
    route_args args = {0};
    char allow[64] UNINIT;
    bool head = str_is(req->method, "HEAD");
    int i = route_find(rows, COUNTOF(rows), head ? STR("GET") : req->method, req->path, &args, allow);
    args.owner = from.owner;
    args.row = i;
    if (i == ROUTE_BAD_METHOD && cors_is_preflight(&s->cors, req)) {
        cors_preflight(&s->cors, call, req, allow);
        return;
    }
    bool open = from.owner || (i >= 0 && is_open(s, answers[i]));
    if (!open && !http_call_inner(call) && !is_let_in(s, call, req, &args)) return;
    if (http_call_in_parts(call)) http_call_on_part(call, drop_part, call);
    if (i >= 0 && from.packed) {
        coding_unpack(&s->coding, call, req, from.owner ? unpacked_of_owner : unpacked, s);
    } else if (i >= 0) {
        answers[i](s, call, req, &args);
    } else if (i == ROUTE_BAD_METHOD) {
        http_header h = {STR("Allow"), str_of(allow)};
        http_reply(call, &(http_response){.status = 405,
                                          .content_type = STR("application/json"),
                                          .headers = &h,
                                          .header_count = 1,
                                          .body = {STR("{\"error\":\"Method Not Allowed\"}")}});
    } else {
        http_reply_error(call, 404, "Not Found");
    }
}

static void unpacked(void *ctx, http_call *call, const http_request *req)
{
    dispatch(ctx, call, req, (origin){.packed = false});
}

static void unpacked_of_owner(void *ctx, http_call *call, const http_request *req)
{
    dispatch(ctx, call, req, (origin){.owner = true});
}

void endpoints_handle_owner(void *ctx, http_call *call, const http_request *req)
{
    dispatch(ctx, call, req, (origin){.packed = coding_is_packed(req), .owner = true});
}

void endpoints_handle(void *ctx, http_call *call, const http_request *req)
{
    endpoints *s = ctx;
    if (rpc_is(req)) {
        rpc_start(s->pools_of(s->ctx, http_call_loop(call))->rpcs, call, req);
        return;
    }
    cors_mark(&s->cors, call, req);
    dispatch(s, call, req, (origin){.packed = coding_is_packed(req)});
}
