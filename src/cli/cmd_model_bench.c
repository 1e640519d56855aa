#include "cli/cmd.h"
#include "cli/model_files.h"
#include "cli/model_line.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/proc.h"

#include <stdlib.h>

enum { WARM_UP_US = 200000, RUNS_MAX = 1000000 };

typedef struct {
    const char *model, *inputs, *out;
    uint64_t threads, runs;
    bool json;
} options;

typedef struct {
    double median_ms, min_ms, load_ms, peak_rss_mb;
} figures;

static int by_size(const void *a, const void *b)
{
    uint64_t p = *(const uint64_t *)a, q = *(const uint64_t *)b;
    return p < q ? -1 : p > q;
}

static err_code measure(exec *x, uint64_t runs, uint64_t *ns, figures *f, err *e)
{
    proc_usage usage;
    err_code rc = exec_run(x, NULL, e);
    if (!rc) rc = proc_usage_read(&usage, e);
    if (rc) return rc;
    f->peak_rss_mb = (double)usage.resident_bytes_max / 1e6;
    for (uint64_t until = clock_now_us() + WARM_UP_US; clock_now_us() < until && !rc;) rc = exec_run(x, NULL, e);
    for (uint64_t i = 0; i < runs && !rc; i++) {
        uint64_t from = clock_now_ns();
        rc = exec_run(x, NULL, e);
        ns[i] = clock_now_ns() - from;
    }
    if (rc) return rc;
    qsort(ns, (size_t)runs, sizeof *ns, by_size);
    uint64_t low = ns[(runs - 1) / 2], high = ns[runs / 2];
    f->min_ms = (double)ns[0] / 1e6;
    f->median_ms = ((double)low + (double)high) / 2e6;
    return ERR_OK;
}

static err_code bench_on(model *m, const options *o, uint64_t from_ns, arena *a, figures *f, err *e)
{
    tensor *in = NULL;
    exec *x = NULL;
    uint64_t read_ns = clock_now_ns(), *ns = arena_new(a, uint64_t, o->runs);
    if (!ns) return err_set(e, ERR_NOMEM, "no memory for %llu figures", (unsigned long long)o->runs);
    err_code rc = model_files_read(m, o->inputs, a, &in, e);
    from_ns += clock_now_ns() - read_ns;   /* reading the inputs is not loading */
    if (!rc) rc = model_files_take(&x, m, in, a, e);
    if (rc) return rc;
    f->load_ms = (double)(clock_now_ns() - from_ns) / 1e6;
    rc = measure(x, o->runs, ns, f, e);
    if (!rc && o->out) rc = model_files_write(m, x, o->out, e);
    exec_give(x);
    return rc;
}

static err_code bench(const options *o, arena *a, figures *f, err *e)
{
    CLEANUP(compute) compute *pool = NULL;
    CLEANUP(model) model *m = NULL;
    err_code rc = compute_new(&pool, (uint32_t)o->threads, e);
    uint64_t from_ns = clock_now_ns();
    model_opts opts = {.pool = pool};
    if (!rc) rc = model_open(&m, o->model, &opts, e);
    return rc ? rc : bench_on(m, o, from_ns, a, f, e);
}

int cmd_model_bench(int argc, char **argv)
{
    options o = {.threads = 1, .runs = 20};
    const flag flags[] = {
        model_line_inputs(&o.inputs),
        model_line_threads(&o.threads),
        {.name = "runs",
         .kind = FLAG_NUMBER,
         .to = &o.runs,
         .value = "N",
         .help = "runs that are measured (20)",
         .min = 1,
         .max = RUNS_MAX},
        {.name = "out",
         .kind = FLAG_TEXT,
         .to = &o.out,
         .value = "PATH",
         .help = "where the outputs go, as in `model run`"},
        {.name = "json", .kind = FLAG_SWITCH, .to = &o.json, .help = "one JSON object"},
    };
    const model_line line = {.path = "proa model bench",
                             .args = "MODEL --inputs FOLDER|FILE.npz [flags]",
                             .flags = flags,
                             .flag_count = COUNTOF(flags)};
    int status;
    if (!model_line_parse(&line, argc, argv, &o.model, &status)) return status;
    figures f = {0};
    arena a;
    err e;
    arena_init(&a, NULL, 0, SIZE_MAX / 2);
    err_code rc = bench(&o, &a, &f, &e);
    arena_fini(&a);
    if (rc) return cmd_fail(line.path, &e);
    return cmd_show(line.path,
                    o.json ? "{\"median_ms\": %.4f, \"min_ms\": %.4f, \"load_ms\": %.3f, \"peak_rss_mb\": %.1f}\n"
                           : "median %.4f ms, fastest %.4f ms, loaded in %.3f ms, peak memory %.1f MB\n",
                    f.median_ms, f.min_ms, f.load_ms, f.peak_rss_mb);
}
