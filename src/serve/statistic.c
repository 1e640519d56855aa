#include "serve/statistic.h"

#include "os/clock.h"
#include "wire/json_text.h"

static statistic_part part(const char *name, const metric_histogram *h)
{
    statistic_part p = {.name = name};
    metric_sum(h, &p.count, &p.ns);
    return p;
}

static uint64_t cell(const metric_counter *c) { return atomic_load_explicit(c, memory_order_relaxed); }

static void batches_read(statistic *ret, const metric_runs *r)
{
    ret->inferences = cell(&r->rows);
    ret->executions = cell(&r->runs);
    for (uint32_t i = 0; i < METRIC_SIZES; i++) {
        uint64_t count = cell(&r->count[i]), size = metric_size(i);
        if (!count) continue;
        ret->batches[ret->batch_count++] = (statistic_batch){.size = size,
                                                             .count = count,
                                                             .input_ns = cell(&r->input_ns[i]),
                                                             .infer_ns = cell(&r->infer_ns[i]),
                                                             .output_ns = cell(&r->output_ns[i])};
    }
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
    /* Also what was read to be refused, and steps of ensembles, whose tensors are there already, have their times. */
    uint64_t runs = ret->parts[STATISTIC_INFER].count;
    ret->parts[STATISTIC_INPUT].count = ret->parts[STATISTIC_OUTPUT].count = runs;
    if (last_ns) ret->last_ms = (clock_wall_us() - (clock_now_ns() - last_ns) / 1000) / 1000;
    batches_read(ret, &sum.runs);
}

static void batch_print(buf *out, const statistic_batch *b, bool more)
{
    const statistic_part parts[] = {{"compute_input", b->count, b->input_ns},
                                    {"compute_infer", b->count, b->infer_ns},
                                    {"compute_output", b->count, b->output_ns}};
    buf_printf(out, "%s{\"batch_size\":%llu", more ? "," : "", (unsigned long long)b->size);
    for (size_t i = 0; i < COUNTOF(parts); i++)
        buf_printf(out, ",\"%s\":{\"count\":%llu,\"ns\":%llu}", parts[i].name, (unsigned long long)parts[i].count,
                   (unsigned long long)parts[i].ns);
    buf_put_byte(out, '}');
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
    buf_put_z(out, "},\"response_stats\":{},\"batch_stats\":[");
    for (uint32_t i = 0; i < s.batch_count; i++) batch_print(out, &s.batches[i], i > 0);
    buf_put_z(out, "],\"memory_usage\":[]}");
}
