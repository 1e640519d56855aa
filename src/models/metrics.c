#include "models/metrics.h"

#include "base/mem.h"
#include "base/version.h"
#include "wire/json_text.h"

#include <stdio.h>
#include <string.h>

enum {
    LANE_CELLS = sizeof(metrics_lane) / sizeof(metric_counter),
    LANE_LAST = offsetof(metrics_lane, last_ns) / sizeof(metric_counter)
};

/* Microseconds: from a tiny net on a loop to a large one under load. */
static const uint32_t bounds_us[METRIC_BUCKETS - 1] = {10,     25,     50,     100,     250,     500,
                                                       1000,   2500,   5000,   10000,   25000,   50000,
                                                       100000, 250000, 500000, 1000000, 2500000, 10000000};

typedef enum { histogram, runs, requests, drops, counter, gauge, seconds, since } metric_type;

/* The labels of a row: `fixed`, then one series per value of `label`; without a label one series. */
typedef struct {
    const char *fixed, *label;
    const char *const *values;
    size_t count;
} labels;

typedef struct {
    const char *name, *help;
    metric_type type;
    size_t offset;
    const labels *by;
} row;

static const char *const class_names[METRIC_CLASSES] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
static const char *const status_names[METRIC_STATUSES] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};
static const char *const limit_names[METRIC_LIMITS] = {
#define X(member, name) name,
    METRICS_LIMITS(X)
#undef X
};
static const char *const protocol_names[METRIC_PROTOCOLS] = {"v2", "v1", "generate", "grpc", "grpc-stream"};
static const char *const span_names[METRIC_SPANS] = {"sent", "dropped", "failed"};
static const char *const picture_names[METRIC_PICTURES] = {"pixels", "bytes", "kind", "broken"};
static const char *const load_names[METRIC_LOADS] = {"ok", "failed"};
static const char *const trace_names[METRIC_TRACES] = {"written", "dropped", "failed"};
static const char *const job_names[METRIC_JOBS] = {"queued", "running", "kept"};
static const char *const job_ended_names[METRIC_JOBS_ENDED] = {"done", "failed", "refused", "lost"};
static const char *const hook_names[METRIC_HOOKS] = {"delivered", "given_up"};
static const char *const tls_versions[METRIC_TLS_VERSIONS] = {"1.2", "1.3"};
static const char *const tls_failures[METRIC_TLS_FAILURES] = {"protocol", "version", "cipher",  "client_certificate",
                                                              "alert",    "timeout", "closed", "cleartext"};
static const char *const type_names[] = {"histogram", "histogram", "counter", "counter",
                                         "counter",   "gauge",     "counter", "gauge"};
#define MISS_WAIT "proa_model_miss_seconds"
#define MISS_WAIT_HELP "From a request for a model that is not in memory until it is, of those that waited."
/* As batch_drop, from BATCH_DEADLINE on. */
static const char *const drop_names[METRIC_DROPS] = {"deadline", "timeout", "cancelled"};
static const uint32_t sizes[METRIC_SIZES] = {1,  2,  3,  4,  5,  6,  7,   8,         12,
                                             16, 24, 32, 48, 64, 96, 128, UINT32_MAX};

static const labels by_tls_version = {NULL, "version", tls_versions, METRIC_TLS_VERSIONS},
                    by_tls_failure = {NULL, "reason", tls_failures, METRIC_TLS_FAILURES};
static const labels by_none = {.count = 1}, by_http1 = {"protocol=\"http1\"", NULL, NULL, 1},
                    by_http2 = {"protocol=\"http2\"", NULL, NULL, 1},
                    by_version = {"version=\"" PROA_VERSION "\"", NULL, NULL, 1},
                    by_http1_class = {"protocol=\"http1\"", "code", class_names, METRIC_CLASSES},
                    by_http2_class = {"protocol=\"http2\"", "code", class_names, METRIC_CLASSES},
                    by_status = {NULL, "code", status_names, METRIC_STATUSES},
                    by_limit = {NULL, "limit", limit_names, METRIC_LIMITS},
                    by_picture = {NULL, "reason", picture_names, METRIC_PICTURES},
                    by_span = {NULL, "result", span_names, METRIC_SPANS},
                    by_trace = {NULL, "result", trace_names, METRIC_TRACES},
                    by_job = {NULL, "state", job_names, METRIC_JOBS},
                    by_job_ended = {NULL, "result", job_ended_names, METRIC_JOBS_ENDED},
                    by_hook = {NULL, "result", hook_names, METRIC_HOOKS},
                    by_load = {NULL, "result", load_names, METRIC_LOADS};

static const row model_rows[] = {
#define X(member, type, name, help) {name, help, type, offsetof(metrics_lane, member), NULL},
    METRICS_MODEL(X)
#undef X
    {"proa_batch_padding_rows_total", "Rows that were added to runs, so that few sizes are planned.", counter,
     offsetof(metrics_lane, runs.padding), NULL},
    {"proa_batch_entries_total", "Of shared runs of requests whose lengths may differ: rows times the run's length.",
     counter, offsetof(metrics_lane, runs.entries), NULL},
    {"proa_batch_padding_entries_total", "How many of them were added, to rows that are shorter and as whole rows.",
     counter, offsetof(metrics_lane, runs.waste), NULL},
};
static const row now_rows[] = {
#define X(member, name, help) {name, help, gauge, offsetof(metrics_model, member), NULL},
    METRICS_MODEL_NOW(X)
#undef X
};
static const row server_rows[] = {
#define X(member, array, type, name, by, help) {name, help, type, offsetof(metrics_server, member), &(by)},
    METRICS_SERVER(X)
#undef X
};

/* Triton's names; what a row of them says is one or two cells of a lane, or a gauge of the model. */
typedef enum { NV_CELL, NV_COUNT, NV_US, NV_GAUGE } nv_kind;
typedef struct {
    const char *name, *help, *reason;
    nv_kind kind;
    size_t offset, other; /* 0 = there is no other */
} nv_row;

#define AT(member) offsetof(metrics_lane, member)
#define FAILURES "nv_inference_request_failure", "Number of failed inference requests, all batch sizes"
/* clang-format off */
static const nv_row nv_rows[] = {
    {"nv_inference_request_success", "Number of successful inference requests, all batch sizes", NULL,
     NV_CELL, AT(success), 0},
    {FAILURES, "REJECTED", NV_CELL, AT(rejected), AT(expired)},
    {FAILURES, "CANCELED", NV_CELL, AT(cancelled), 0},
    {FAILURES, "BACKEND", NV_CELL, AT(failure), 0},
    {FAILURES, "OTHER", NV_CELL, AT(invalid), 0},
    {"nv_inference_count", "Number of inferences performed (does not include cached requests)", NULL,
     NV_CELL, AT(runs.rows), 0},
    {"nv_inference_exec_count", "Number of model executions performed (does not include cached requests)", NULL,
     NV_CELL, AT(runs.runs), 0},
    {"nv_inference_request_duration_us",
     "Cumulative inference request duration in microseconds (includes cached requests)", NULL, NV_US, AT(total), 0},
    {"nv_inference_queue_duration_us",
     "Cumulative inference queuing duration in microseconds (includes cached requests)", NULL,
     NV_US, AT(queue_wait), 0},
    {"nv_inference_compute_input_duration_us",
     "Cumulative compute input duration in microseconds (does not include cached requests)", NULL,
     NV_US, AT(preprocess), 0},
    {"nv_inference_compute_infer_duration_us",
     "Cumulative compute inference duration in microseconds (does not include cached requests)", NULL,
     NV_US, AT(predict), 0},
    {"nv_inference_compute_output_duration_us",
     "Cumulative inference compute output duration in microseconds (does not include cached requests)", NULL,
     NV_US, AT(postprocess), 0},
    {"nv_cache_num_hits_per_model", "Number of cache hits per model", NULL, NV_COUNT, AT(cache_hit), 0},
    {"nv_cache_num_misses_per_model", "Number of cache misses per model", NULL, NV_COUNT, AT(cache_miss), 0},
    {"nv_cache_hit_duration_per_model", "Total cache hit duration per model, in microseconds", NULL,
     NV_US, AT(cache_hit), 0},
    {"nv_cache_miss_duration_per_model", "Total cache miss (insert+lookup) duration per model, in microseconds", NULL,
     NV_US, AT(cache_miss), 0},
    {"nv_inference_pending_request_count",
     "Instantaneous number of pending requests awaiting execution per-model.", NULL,
     NV_GAUGE, offsetof(metrics_model, waiting), offsetof(metrics_model, in_sequences)},
};
/* clang-format on */

/* ---- counting ---- */

err_code metrics_model_init(metrics_model *m, uint32_t lanes, err *e)
{
    size_t bytes = lanes * sizeof(metrics_lane);
    *m = (metrics_model){.lanes = mem_alloc_raw(bytes), .lane_count = lanes};
    if (!m->lanes) return err_set(e, ERR_NOMEM, "metrics: no memory for %u lanes", lanes);
    memset(m->lanes, 0, bytes);
    return ERR_OK;
}

void metrics_model_fini(metrics_model *m)
{
    mem_free(m->lanes);
    m->lanes = NULL;
}

/* One writer, so a plain addition will do. */
static void add(metric_counter *c, uint64_t n)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

void metric_add(metric_counter *c) { add(c, 1); }

metric_limit metric_limit_named(const char *name)
{
    metric_limit i = 0;
    while (i < METRIC_LIMITS && !(name && strcmp(limit_names[i], name) == 0)) i++;
    return i;
}

void metric_limit_hit(metrics_loop *m, const char *name)
{
    metric_limit hit = metric_limit_named(name);
    if (hit < METRIC_LIMITS) metric_add(&m->limits[hit]);
}

void metric_time(metric_histogram *h, uint64_t ns)
{
    size_t i = 0;
    while (i < METRIC_BUCKETS - 1 && ns > bounds_us[i] * 1000ull) i++;
    add(&h->bucket[i], 1);
    add(&h->sum_ns, ns);
}

void metric_request(metric_requests *r, metric_protocol by, err_code code) { add(&r->of[by][code], 1); }

void metric_drop(metric_drops *d, uint32_t reason)
{
    INVARIANT(reason >= 1 && reason <= METRIC_DROPS);
    add(&d->of[reason - 1], 1);
}

uint32_t metric_size(uint32_t i) { return sizes[i]; }

void metric_run(metric_runs *r, const metric_run_of *of)
{
    size_t i = 0;
    while (sizes[i] < of->rows) i++;
    if (of->first) {
        add(&r->runs, 1);
        add(&r->rows, of->rows);
        add(&r->padding, of->padding);
        if (of->entries) add(&r->entries, of->entries);
        if (of->waste) add(&r->waste, of->waste);
        add(&r->count[i], 1);
        add(&r->infer_ns[i], of->infer_ns);
    }
    add(&r->input_ns[i], of->input_ns);
    add(&r->output_ns[i], of->output_ns);
}

static uint64_t value(const metric_counter *c) { return atomic_load_explicit(c, memory_order_relaxed); }

void metrics_model_sum(const metrics_model *m, metrics_lane *ret)
{
    metric_counter *to = (metric_counter *)(void *)ret;
    memset(ret, 0, sizeof *ret);
    for (uint32_t k = 0; k < m->lane_count; k++) {
        const metric_counter *from = (const metric_counter *)(const void *)&m->lanes[k];
        uint64_t last_ns = value(&to[LANE_LAST]), its = value(&from[LANE_LAST]);
        for (size_t i = 0; i < LANE_CELLS; i++) add(&to[i], value(&from[i]));
        atomic_store_explicit(&to[LANE_LAST], its > last_ns ? its : last_ns, memory_order_relaxed);
    }
}

void metric_sum(const metric_histogram *h, uint64_t *ret_count, uint64_t *ret_ns)
{
    uint64_t count = 0;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) count += value(&h->bucket[i]);
    *ret_count = count;
    *ret_ns = value(&h->sum_ns);
}

/* ---- printing ---- */

typedef struct {
    buf *out;
    const metrics_page *page;
    const metrics_lane *sums; /* of page->models */
    const char *last;         /* the name whose head was printed */
} printer;

/* A label value with what the format wants escaped. */
static void label_put(buf *out, str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '\n') {
            buf_put_z(out, "\\n");
            continue;
        }
        if (s.p[i] == '"' || s.p[i] == '\\') buf_put_byte(out, '\\');
        buf_put_byte(out, (uint8_t)s.p[i]);
    }
}

static void model_labels_put(buf *out, str name, str version)
{
    buf_put_z(out, "model_name=\"");
    label_put(out, name);
    buf_put_z(out, "\",model_version=\"");
    label_put(out, version);
    buf_put_z(out, "\"");
}

/* OpenMetrics names a family without the suffix of its samples, and takes no counter that has none. */
static void head_put(printer *p, const char *name, const char *help, metric_type type)
{
    if (p->last && strcmp(p->last, name) == 0) return;
    p->last = name;
    str family = str_of(name);
    const char *shown = type_names[type];
    if (p->page->open && strcmp(shown, "counter") == 0) {
        if (str_ends(family, STR("_total"))) family.len -= strlen("_total");
        else shown = "unknown";
    }
    buf_printf(p->out, "# HELP " STR_FMT " %s\n# TYPE " STR_FMT " %s\n", STR_ARG(family), help, STR_ARG(family), shown);
}

/* The server's own, without labels. */
static void miss_wait_put(printer *p, const metric_histogram *h)
{
    uint64_t total = 0;
    head_put(p, MISS_WAIT, MISS_WAIT_HELP, histogram);
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        total += value(&h->bucket[i]);
        buf_put_z(p->out, MISS_WAIT "_bucket{le=\"");
        if (i < METRIC_BUCKETS - 1) buf_printf(p->out, "%g", bounds_us[i] / 1e6);
        else buf_put_z(p->out, "+Inf");
        buf_printf(p->out, "\"} %llu\n", (unsigned long long)total);
    }
    buf_printf(p->out, MISS_WAIT "_sum %.9g\n" MISS_WAIT "_count %llu\n", (double)value(&h->sum_ns) / 1e9,
               (unsigned long long)total);
}

static void histogram_put(buf *out, const row *r, const metrics_labelled *m, const metric_histogram *h)
{
    uint64_t total = 0;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        total += value(&h->bucket[i]);
        buf_printf(out, "%s_bucket{", r->name);
        model_labels_put(out, m->name, m->version);
        if (i < METRIC_BUCKETS - 1)
            buf_printf(out, ",le=\"%g\"} %llu\n", bounds_us[i] / 1e6, (unsigned long long)total);
        else
            buf_printf(out, ",le=\"+Inf\"} %llu\n", (unsigned long long)total);
    }
    buf_printf(out, "%s_sum{", r->name);
    model_labels_put(out, m->name, m->version);
    buf_printf(out, "} %.9g\n%s_count{", (double)value(&h->sum_ns) / 1e9, r->name);
    model_labels_put(out, m->name, m->version);
    buf_printf(out, "} %llu\n", (unsigned long long)total);
}

static void runs_put(printer *p, const char *name, const metrics_labelled *m, const metric_runs *r)
{
    uint64_t total = 0;
    for (size_t i = 0; i < METRIC_SIZES; i++) {
        total += value(&r->count[i]);
        buf_printf(p->out, "%s_bucket{", name);
        model_labels_put(p->out, m->name, m->version);
        if (i < METRIC_SIZES - 1) buf_printf(p->out, ",le=\"%u\"} %llu\n", sizes[i], (unsigned long long)total);
        else buf_printf(p->out, ",le=\"+Inf\"} %llu\n", (unsigned long long)total);
    }
    buf_printf(p->out, "%s_sum{", name);
    model_labels_put(p->out, m->name, m->version);
    buf_printf(p->out, "} %llu\n%s_count{", (unsigned long long)value(&r->rows), name);
    model_labels_put(p->out, m->name, m->version);
    buf_printf(p->out, "} %llu\n", (unsigned long long)total);
}

static void drops_put(printer *p, const char *name, const metrics_labelled *m, const metric_drops *d)
{
    for (size_t i = 0; i < METRIC_DROPS; i++) {
        buf_printf(p->out, "%s{", name);
        model_labels_put(p->out, m->name, m->version);
        buf_printf(p->out, ",reason=\"%s\"} %llu\n", drop_names[i], (unsigned long long)value(&d->of[i]));
    }
}

static int status_of(metric_protocol by, uint32_t code)
{
    return by >= METRIC_GRPC ? err_grpc_status((err_code)code) : err_http_status((err_code)code);
}

/* Several of our codes may be one code of the protocol: they are one series.  What never happened has none, but for
 * the code of success, so that its first time is an increase. */
static void requests_put(buf *out, const char *name, str model, str version, const metric_requests *q)
{
    for (metric_protocol by = 0; by < METRIC_PROTOCOLS; by++)
        for (uint32_t code = 0; code < METRIC_CODES; code++) {
            uint64_t n = 0;
            int status = status_of(by, code);
            bool first = true;
            for (uint32_t other = 0; other < METRIC_CODES; other++) {
                if (status_of(by, other) != status) continue;
                first = first && other >= code;
                n += value(&q->of[by][other]);
            }
            if (!first || (!n && (code != ERR_OK || !model.len))) continue;
            buf_printf(out, "%s{", name);
            model_labels_put(out, model, version);
            buf_printf(out, ",protocol=\"%s\",code=\"", protocol_names[by]);
            if (by >= METRIC_GRPC) buf_put_z(out, status_names[status]);
            else buf_printf(out, "%d", status);
            buf_printf(out, "\"} %llu\n", (unsigned long long)n);
        }
}

static void models_put(printer *p, const row *r)
{
    const metrics_page *g = p->page;
    if (!g->model_count && r->type != requests) return;
    head_put(p, r->name, r->help, r->type);
    for (size_t k = 0; k < g->model_count; k++) {
        const metrics_labelled *m = &g->models[k];
        const void *field = (const char *)&p->sums[k] + r->offset;
        if (r->type == histogram) {
            histogram_put(p->out, r, m, field);
        } else if (r->type == runs) {
            runs_put(p, r->name, m, field);
        } else if (r->type == drops) {
            drops_put(p, r->name, m, field);
        } else if (r->type == requests) {
            requests_put(p->out, r->name, m->name, m->version, field);
        } else {
            buf_printf(p->out, "%s{", r->name);
            model_labels_put(p->out, m->name, m->version);
            buf_printf(p->out, "} %llu\n", (unsigned long long)value(field));
        }
    }
    if (r->type == requests && g->unknown) requests_put(p->out, r->name, STR(""), STR(""), g->unknown);
}

static void now_put(printer *p, const row *r)
{
    const metrics_page *g = p->page;
    for (size_t k = 0; k < g->model_count; k++) {
        const metrics_labelled *m = &g->models[k];
        const metric_gauge *field = (const void *)((const char *)m->set + r->offset);
        head_put(p, r->name, r->help, r->type);
        buf_printf(p->out, "%s{", r->name);
        model_labels_put(p->out, m->name, m->version);
        buf_printf(p->out, "} %lld\n", (long long)atomic_load_explicit(field, memory_order_relaxed));
    }
}

static void server_put(printer *p, const row *r)
{
    const int64_t *values = (const void *)((const char *)p->page->server + r->offset);
    const labels *by = r->by;
    buf *out = p->out;
    head_put(p, r->name, r->help, r->type);
    for (size_t i = 0; i < by->count; i++) {
        buf_put_z(out, r->name);
        if (by->fixed || by->label) {
            buf_printf(out, "{%s%s", by->fixed ? by->fixed : "", by->fixed && by->label ? "," : "");
            if (by->label) buf_printf(out, "%s=\"%s\"", by->label, by->values[i]);
            buf_put_z(out, "}");
        }
        if (r->type >= seconds) buf_printf(out, " %.3f\n", (double)values[i] / 1e6);
        else buf_printf(out, " %lld\n", (long long)values[i]);
    }
}

static uint64_t gauge_at(const metrics_model *set, size_t offset)
{
    const metric_gauge *g = (const void *)((const char *)set + offset);
    return (uint64_t)atomic_load_explicit(g, memory_order_relaxed);
}

static uint64_t nv_value(const nv_row *r, const metrics_lane *sum, const metrics_model *set)
{
    const char *at = (const char *)sum + r->offset;
    uint64_t n, ns;
    if (r->kind == NV_GAUGE)
        return gauge_at(set, r->offset) + (r->other ? gauge_at(set, r->other) : 0);
    if (r->kind == NV_CELL)
        return value((const void *)at) + (r->other ? value((const void *)((const char *)sum + r->other)) : 0);
    metric_sum((const void *)at, &n, &ns);
    return r->kind == NV_COUNT ? n : ns / 1000;
}

static void nv_put(printer *p, const nv_row *r)
{
    const metrics_page *g = p->page;
    for (size_t k = 0; k < g->model_count; k++) {
        const metrics_labelled *m = &g->models[k];
        head_put(p, r->name, r->help, r->kind == NV_GAUGE ? gauge : counter);
        buf_printf(p->out, "%s{model=\"", r->name);
        label_put(p->out, m->name);
        if (r->reason) buf_printf(p->out, "\",reason=\"%s", r->reason);
        buf_put_z(p->out, "\",version=\"");
        label_put(p->out, m->version);
        buf_printf(p->out, "\"} %llu\n", (unsigned long long)nv_value(r, &p->sums[k], m->set));
    }
}

/* Triton's names stand for those of models and of the server; a process has the names that all clients know. */
static bool shown(metrics_names names, const char *name)
{
    return names != METRICS_TRITON || strncmp(name, "process_", strlen("process_")) == 0;
}

void metrics_print(buf *out, const metrics_page *page)
{
    size_t bytes = page->model_count * sizeof(metrics_lane);
    metrics_lane *sums = mem_alloc_raw(bytes ? bytes : 1);
    printer p = {.out = out, .page = page, .sums = sums};
    if (!sums) {
        out->full = true;
        return;
    }
    for (size_t k = 0; k < page->model_count; k++) metrics_model_sum(page->models[k].set, &sums[k]);
    for (size_t i = 0; i < COUNTOF(model_rows) && page->names != METRICS_TRITON; i++) models_put(&p, &model_rows[i]);
    for (size_t i = 0; i < COUNTOF(now_rows) && page->names != METRICS_TRITON; i++) now_put(&p, &now_rows[i]);
    for (size_t i = 0; i < COUNTOF(nv_rows) && page->names != METRICS_PROA; i++) nv_put(&p, &nv_rows[i]);
    for (size_t i = 0; i < COUNTOF(server_rows); i++)
        if (shown(page->names, server_rows[i].name)) server_put(&p, &server_rows[i]);
    if (page->miss_wait && page->names != METRICS_TRITON) miss_wait_put(&p, page->miss_wait);
    if (page->open) buf_put_z(out, "# EOF\n");
    mem_free(sums);
}

/* ---- as JSON ---- */

static void json_row_put(buf *out, const row *r, bool first)
{
    const char *type = r->type == runs ? "rows" : type_names[r->type];   /* histograms are of times */
    buf_printf(out, "%s{\"name\":\"%s\",\"type\":\"%s\",\"help\":", first ? "" : ",", r->name, type);
    json_text_put(out, str_of(r->help));
    buf_put_z(out, "}");
}

static void json_value_put(buf *out, const row *r, const metrics_lane *sum)
{
    const void *field = (const char *)sum + r->offset;
    uint64_t n = 0;
    if (r->type == histogram) {
        const metric_histogram *h = field;
        buf_put_z(out, "{\"buckets\":[");
        for (size_t i = 0; i < METRIC_BUCKETS; i++)
            buf_printf(out, "%s%llu", i ? "," : "", (unsigned long long)value(&h->bucket[i]));
        buf_printf(out, "],\"sum_us\":%llu}", (unsigned long long)(value(&h->sum_ns) / 1000));
        return;
    }
    const metric_requests *q = field;
    const metric_drops *d = field;
    for (size_t by = 0; r->type == requests && by < METRIC_PROTOCOLS; by++)
        for (size_t code = 0; code < METRIC_CODES; code++) n += value(&q->of[by][code]);
    for (size_t i = 0; r->type == drops && i < METRIC_DROPS; i++) n += value(&d->of[i]);
    if (r->type == runs) {
        const metric_runs *all = field;
        buf_printf(out, "{\"runs\":%llu,\"rows\":%llu}", (unsigned long long)value(&all->runs),
                   (unsigned long long)value(&all->rows));
        return;
    }
    bool summed = r->type == requests || r->type == drops;
    buf_printf(out, "%llu", (unsigned long long)(summed ? n : value(field)));
}

static void json_model_put(buf *out, const metrics_labelled *m, bool first)
{
    metrics_lane sum;
    metrics_model_sum(m->set, &sum);
    buf_put_z(out, first ? "{\"name\":" : ",{\"name\":");
    json_text_put(out, m->name);
    buf_put_z(out, ",\"version\":");
    json_text_put(out, m->version);
    buf_put_z(out, ",\"values\":[");
    for (size_t i = 0; i < COUNTOF(model_rows); i++) {
        if (i) buf_put_byte(out, ',');
        json_value_put(out, &model_rows[i], &sum);
    }
    for (size_t i = 0; i < COUNTOF(now_rows); i++) {
        const metric_gauge *field = (const void *)((const char *)m->set + now_rows[i].offset);
        buf_printf(out, ",%lld", (long long)atomic_load_explicit(field, memory_order_relaxed));
    }
    buf_put_z(out, "]}");
}

static void json_server_put(buf *out, const row *r, const metrics_server *from, bool first)
{
    const int64_t *values = (const void *)((const char *)from + r->offset);
    for (size_t i = 0; i < r->by->count; i++) {
        char text[120] = "";
        int n = r->by->fixed ? snprintf(text, sizeof text, "%s ", r->by->fixed) : 0;
        if (r->by->label) snprintf(text + n, sizeof text - (size_t)n, "%s=\"%s\"", r->by->label, r->by->values[i]);
        buf_printf(out, "%s{\"name\":\"%s\",\"labels\":", first && !i ? "" : ",", r->name);
        json_text_put(out, str_trim(str_of(text)));
        buf_printf(out, ",\"type\":\"%s\",\"help\":", type_names[r->type]);
        json_text_put(out, str_of(r->help));
        if (r->type >= seconds) buf_printf(out, ",\"value\":%.3f}", (double)values[i] / 1e6);
        else buf_printf(out, ",\"value\":%lld}", (long long)values[i]);
    }
}

void metrics_json(buf *out, const metrics_page *page)
{
    buf_put_z(out, "{\"bounds_us\":[");
    for (size_t i = 0; i < METRIC_BUCKETS - 1; i++) buf_printf(out, "%s%u", i ? "," : "", bounds_us[i]);
    buf_put_z(out, "],\"rows\":[");
    for (size_t i = 0; i < COUNTOF(model_rows); i++) json_row_put(out, &model_rows[i], i == 0);
    for (size_t i = 0; i < COUNTOF(now_rows); i++) json_row_put(out, &now_rows[i], false);
    buf_put_z(out, "],\"models\":[");
    for (size_t i = 0; i < page->model_count; i++) json_model_put(out, &page->models[i], i == 0);
    buf_put_z(out, "],\"server\":[");
    for (size_t i = 0; i < COUNTOF(server_rows); i++) json_server_put(out, &server_rows[i], page->server, i == 0);
    buf_put_z(out, "]}");
}

/* ---- who reads it ---- */

static double weight_of(str parameters)
{
    str one, rest = parameters, name, value_text;
    for (bool more = true; more;) {
        more = str_cut(rest, ';', &one, &rest);
        if (!more) one = rest;
        double q;
        if (str_cut(one, '=', &name, &value_text) && str_is_nocase(str_trim(name), "q"))
            return str_f64(str_trim(value_text), &q) ? q : 0;
    }
    return 1;
}

bool metrics_open_wanted(str accept)
{
    double open = 0, text = 0;
    str item, rest = accept, type, parameters;
    for (bool more = accept.len > 0; more;) {
        more = str_cut(rest, ',', &item, &rest);
        if (!more) item = rest;
        type = item;
        parameters = (str){0};
        (void)str_cut(item, ';', &type, &parameters);
        double q = weight_of(parameters);
        type = str_trim(type);
        if (str_is_nocase(type, "application/openmetrics-text")) open = q > open ? q : open;
        else if (str_is_nocase(type, "text/plain")) text = q > text ? q : text;
    }
    return open > 0 && open >= text;
}

const char *metrics_content_type(bool open)
{
    return open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                : "text/plain; version=0.0.4; charset=utf-8";
}

/* ---- docs/metrics.md ---- */

static void values_put(buf *out, const labels *by)
{
    if (!by->label) return;
    buf_printf(out, "%s`%s` = ", by->fixed ? ", " : "", by->label);
    for (size_t i = 0; i < by->count; i++) buf_printf(out, "%s%s", i ? ", " : "", by->values[i]);
}

/* Rows of one name are one line; the labels are those of the first. */
static void server_rows_put(buf *out)
{
    for (size_t i = 0; i < COUNTOF(server_rows); i++) {
        const row *r = &server_rows[i];
        if (i && strcmp(server_rows[i - 1].name, r->name) == 0) continue;
        buf_printf(out, "| `%s` | %s | ", r->name, type_names[r->type]);
        if (r->by->fixed) buf_printf(out, "`" STR_FMT "`", (int)strcspn(r->by->fixed, "="), r->by->fixed);
        if (r->by == &by_http1 || r->by == &by_http1_class) buf_put_z(out, " = http1, http2");
        values_put(out, r->by);
        buf_printf(out, " | %s |\n", r->help);
    }
}

void metrics_markdown(buf *out)
{
    static const char head[] = "| metric | type | labels | meaning |\n|---|---|---|---|\n";
    static const char requests_labels[] = "`protocol` = v2, v1, generate, grpc, grpc-stream; `code` = HTTP's or gRPC's";
    buf_put_z(out, "# Metrics\n\nMade by `proa serve --metrics-markdown` from the tables in src/models/metrics.h; "
                   "a test keeps it so.\n\n`GET /metrics` answers in Prometheus's text format, or in OpenMetrics "
                   "1.0 where `Accept` asks for it; the `# TYPE` of a\ncounter is then its name without `_total`, "
                   "as OpenMetrics wants it.\n\n## Of a model\n\nEach has the labels `model_name` and "
                   "`model_version`: of models that are served, never what a client made up.\nHistograms of "
                   "seconds have 18 bounds from 10 us to 10 s, `proa_batch_rows` has 16 from 1 to 128 rows.\n\n");
    buf_put_z(out, head);
    for (size_t i = 0; i < COUNTOF(model_rows); i++)
        buf_printf(out, "| `%s` | %s | %s | %s |\n", model_rows[i].name, type_names[model_rows[i].type],
                   model_rows[i].type == requests ? requests_labels
                   : model_rows[i].type == drops  ? "`reason` = deadline, timeout, cancelled"
                                                  : "",
                   model_rows[i].help);
    for (size_t i = 0; i < COUNTOF(now_rows); i++)
        buf_printf(out, "| `%s` | gauge | | %s |\n", now_rows[i].name, now_rows[i].help);
    buf_put_z(out, "\nRequests for a model that is not there are counted in `proa_requests_total` with empty names.\n\n"
                   "## Of the server and the process\n\n");
    buf_put_z(out, head);
    server_rows_put(out);
    buf_put_z(out, "| `" MISS_WAIT "` | histogram |  | " MISS_WAIT_HELP " |\n");
    buf_put_z(out, "\nA limit's name is the option that sets it; a model's own `requests_per_second` and "
                   "`model_memory_max` count as the\noptions do. No option sets `max_queue_size`, which is the model's "
                   "of a priority level, `queue-shapes`, the unlike\nshapes that may wait at once, `deadline`, which a "
                   "request would miss, `model-executions`, the executions of a\nmodel at once, and `http2-frames`, "
                   "the budget of HTTP/2 frames that bring no request forward.\n\n## Triton's names\n\nWith "
                   "`--metrics-names triton` these, of each model with the labels `model` and `version`, stand in "
                   "place of all above\nbut `process_*`; with `both` they come besides.\n\n");
    buf_put_z(out, head);
    for (size_t i = 0; i < COUNTOF(nv_rows); i++) {
        if (i && strcmp(nv_rows[i - 1].name, nv_rows[i].name) == 0) continue;
        buf_printf(out, "| `%s` | %s | %s | %s |\n", nv_rows[i].name, nv_rows[i].kind == NV_GAUGE ? "gauge" : "counter",
                   nv_rows[i].reason ? "`reason` = REJECTED, CANCELED, BACKEND, OTHER" : "", nv_rows[i].help);
    }
}
