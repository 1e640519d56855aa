#include "serve/statistic.h"

#include "os/clock.h"
#include "wire/json_text.h"

static statistic_part part(const char *name, const metric_histogram *h)
{
    statistic_part p = {.name = name};
    metric_sum(h, &p.count, &p.ns);
    return p;
}

void statistic_read(statistic *ret, const metrics_model *m)
{
    metrics_lane sum;
    metrics_model_sum(m, &sum);
    uint64_t last_ns = atomic_load_explicit(&sum.last_ns, memory_order_relaxed);
    *ret = (statistic){.parts = {
#define X(name, member) part(name, &sum.member),
        STATISTIC_PARTS(X)
#undef X
    }};
    if (last_ns) ret->last_ms = (clock_wall_us() - (clock_now_ns() - last_ns) / 1000) / 1000;
    uint64_t answered = ret->parts[STATISTIC_SUCCESS].count, kept = ret->parts[STATISTIC_CACHE_HIT].count;
    ret->inferences = answered > kept ? answered - kept : 0;
    ret->executions = part("", &sum.predict).count;
}

void statistic_print(buf *out, const served *m)
{
    statistic s;
    statistic_read(&s, &m->metrics);
    buf_put_z(out, "{\"name\":");
    json_text_put(out, m->name);
    buf_put_z(out, ",\"version\":");
    json_text_put(out, m->version);
    buf_printf(out, ",\"last_inference\":%llu,\"inference_count\":%llu,\"execution_count\":%llu,\"inference_stats\":{",
               (unsigned long long)s.last_ms, (unsigned long long)s.inferences, (unsigned long long)s.executions);
    for (size_t i = 0; i < STATISTIC_PARTS_MAX; i++)
        buf_printf(out, "%s\"%s\":{\"count\":%llu,\"ns\":%llu}", i ? "," : "", s.parts[i].name,
                   (unsigned long long)s.parts[i].count, (unsigned long long)s.parts[i].ns);
    buf_put_z(out, "},\"response_stats\":{},\"batch_stats\":[],\"memory_usage\":[]}");
}
