#include "cli/cmd.h"
#include "cli/model_files.h"
#include "cli/model_line.h"

typedef struct {
    const char *model, *inputs, *outputs;
    uint64_t threads;
    bool no_passes;
} options;

static err_code run_on(model *m, const options *o, arena *a, err *e)
{
    tensor *in = NULL;
    exec *x = NULL;
    err_code rc = model_files_read(m, o->inputs, a, &in, e);
    if (!rc) rc = model_files_take(&x, m, in, a, e);
    if (rc) return rc;
    rc = exec_run(x, NULL, e);
    if (!rc) rc = model_files_write(m, x, o->outputs, e);
    exec_give(x);
    return rc;
}

static err_code run(const options *o, arena *a, err *e)
{
    CLEANUP(compute) compute *pool = NULL;
    CLEANUP(model) model *m = NULL;
    err_code rc = compute_new(&pool, (uint32_t)o->threads, e);
    model_opts opts = {.pool = pool, .no_passes = o->no_passes};
    if (!rc) rc = model_open(&m, o->model, &opts, e);
    return rc ? rc : run_on(m, o, a, e);
}

int cmd_model_run(int argc, char **argv)
{
    options o = {.threads = 1};
    const flag flags[] = {
        model_line_inputs(&o.inputs),
        {.name = "outputs",
         .kind = FLAG_TEXT,
         .to = &o.outputs,
         .value = "PATH",
         .help = "folder for output_0.pb ..., or .npz",
         .needed = true},
        model_line_threads(&o.threads),
        {.name = "no-passes", .kind = FLAG_SWITCH, .to = &o.no_passes, .help = "run the graph as it was written"},
    };
    const model_line line = {.path = "proa model run",
                             .args = "MODEL --inputs FOLDER|FILE.npz --outputs FOLDER|FILE.npz [flags]",
                             .flags = flags,
                             .flag_count = COUNTOF(flags)};
    int status;
    if (!model_line_parse(&line, argc, argv, &o.model, &status)) return status;
    arena a;
    err e;
    arena_init(&a, NULL, 0, SIZE_MAX / 2);
    err_code rc = run(&o, &a, &e);
    arena_fini(&a);
    return rc ? cmd_fail(line.path, &e) : CMD_OK;
}
