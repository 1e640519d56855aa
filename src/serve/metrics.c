#include "serve/metrics.h"

#include <stddef.h>

/* Microseconds: from a tiny net on a loop to a large one under load. */
static const uint32_t bounds_us[METRIC_BUCKETS - 1] = {10,     25,     50,     100,     250,     500,
                                                       1000,   2500,   5000,   10000,   25000,   50000,
                                                       100000, 250000, 500000, 1000000, 2500000, 10000000};

typedef enum { histogram, counter, gauge } metric_type;
typedef struct {
    const char *name, *help;
    metric_type type;
    size_t offset;
} row;

static const row model_rows[] = {
#define X(member, type, name, help) {name, help, type, offsetof(metrics_model, member)},
    METRICS_MODEL(X)
#undef X
};
static const row server_rows[] = {
#define X(member, type, name, help) {name, help, type, offsetof(metrics_server, member)},
    METRICS_SERVER(X)
#undef X
};
static const char *const type_names[] = {"histogram", "counter", "gauge"};

void metric_time(metric_histogram *h, uint64_t ns)
{
    size_t i = 0;
    while (i < METRIC_BUCKETS - 1 && ns > bounds_us[i] * 1000ull) i++;
    atomic_fetch_add_explicit(&h->bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_ns, ns, memory_order_relaxed);
}

void metric_add(metric_counter *c) { atomic_fetch_add_explicit(c, 1, memory_order_relaxed); }

void metric_sum(const metric_histogram *h, uint64_t *ret_count, uint64_t *ret_ns)
{
    uint64_t count = 0;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) count += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
    *ret_count = count;
    *ret_ns = atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
}

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

static void labels_put(buf *out, const metrics_labelled *m)
{
    buf_put_z(out, "model_name=\"");
    label_put(out, m->name);
    buf_put_z(out, "\",model_version=\"");
    label_put(out, m->version);
    buf_put_z(out, "\"");
}

static void histogram_put(buf *out, const row *r, const metrics_labelled *m)
{
    const metric_histogram *h = (const void *)((const char *)m->set + r->offset);
    uint64_t total = 0;
    for (size_t i = 0; i < METRIC_BUCKETS; i++) {
        total += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        buf_printf(out, "%s_bucket{", r->name);
        labels_put(out, m);
        if (i < METRIC_BUCKETS - 1)
            buf_printf(out, ",le=\"%g\"} %llu\n", bounds_us[i] / 1e6, (unsigned long long)total);
        else
            buf_printf(out, ",le=\"+Inf\"} %llu\n", (unsigned long long)total);
    }
    buf_printf(out, "%s_sum{", r->name);
    labels_put(out, m);
    buf_printf(out, "} %.9g\n%s_count{", (double)atomic_load_explicit(&h->sum_ns, memory_order_relaxed) / 1e9, r->name);
    labels_put(out, m);
    buf_printf(out, "} %llu\n", (unsigned long long)total);
}

static void number_put(buf *out, const row *r, const void *set)
{
    const void *field = (const char *)set + r->offset;
    if (r->type == gauge)
        buf_printf(out, " %lld\n", (long long)atomic_load_explicit((const metric_gauge *)field, memory_order_relaxed));
    else
        buf_printf(out, " %llu\n",
                   (unsigned long long)atomic_load_explicit((const metric_counter *)field, memory_order_relaxed));
}

static void head_put(buf *out, const row *r)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", r->name, r->help, r->name, type_names[r->type]);
}

void metrics_print(buf *out, const metrics_server *server, const metrics_labelled *models, size_t model_count)
{
    for (size_t i = 0; i < COUNTOF(model_rows) && model_count > 0; i++) {
        const row *r = &model_rows[i];
        head_put(out, r);
        for (size_t k = 0; k < model_count; k++) {
            if (r->type == histogram) {
                histogram_put(out, r, &models[k]);
                continue;
            }
            buf_printf(out, "%s{", r->name);
            labels_put(out, &models[k]);
            buf_put_z(out, "}");
            number_put(out, r, models[k].set);
        }
    }
    for (size_t i = 0; i < COUNTOF(server_rows); i++) {
        head_put(out, &server_rows[i]);
        buf_put_z(out, server_rows[i].name);
        number_put(out, &server_rows[i], server);
    }
}

void metrics_markdown(buf *out)
{
    buf_put_z(out, "| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < COUNTOF(model_rows); i++)
        buf_printf(out, "| `%s` | %s | model_name, model_version | %s |\n", model_rows[i].name,
                   type_names[model_rows[i].type], model_rows[i].help);
    for (size_t i = 0; i < COUNTOF(server_rows); i++)
        buf_printf(out, "| `%s` | %s | | %s |\n", server_rows[i].name, type_names[server_rows[i].type],
                   server_rows[i].help);
}
