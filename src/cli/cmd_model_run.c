#include "cli/cmd.h"
#include "cli/flags.h"
#include "cli/model_files.h"

static const char path[] = "proa model run",
                  args[] = "MODEL --inputs FOLDER|FILE.npz --outputs FOLDER|FILE.npz [flags]";

typedef struct {
    const char *model, *inputs, *outputs;
    uint64_t threads;
    bool no_passes, help;
} options;

static err_code parse(options *o, int argc, char **argv, err *e)
{
    const flag flags[] = {
        {.name = "inputs",
         .kind = FLAG_TEXT,
         .to = &o->inputs,
         .value = "PATH",
         .help = "folder with input_0.pb ..., or .npz"},
        {.name = "outputs",
         .kind = FLAG_TEXT,
         .to = &o->outputs,
         .value = "PATH",
         .help = "folder for output_0.pb ..., or .npz"},
        {.name = "threads",
         .kind = FLAG_NUMBER,
         .to = &o->threads,
         .value = "N",
         .help = "threads that compute (1)",
         .min = 1,
         .max = COMPUTE_THREADS_MAX},
        {.name = "no-passes", .kind = FLAG_SWITCH, .to = &o->no_passes, .help = "run the graph as it was written"},
        {.name = "help", .kind = FLAG_SWITCH, .to = &o->help, .help = "this text"},
    };
    size_t operands = 0;
    err_code rc = flags_parse(flags, COUNTOF(flags), argc, argv, &o->model, 1, &operands, e);
    if (rc) return rc;
    if (o->help) {
        char text[2048];
        flags_help(flags, COUNTOF(flags), text, sizeof text);
        cmd_say("usage: %s %s\n\n%s", path, args, text);
        return ERR_OK;
    }
    if (!operands) return err_set(e, ERR_INVALID, "expected a model, got none");
    if (!o->inputs) return err_set(e, ERR_INVALID, "--inputs: expected a path, got none");
    if (!o->outputs) return err_set(e, ERR_INVALID, "--outputs: expected a path, got none");
    return ERR_OK;
}

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
    err e = {0};
    if (parse(&o, argc, argv, &e)) return cmd_usage(path, args, &e);
    if (o.help) return CMD_OK;
    arena a;
    arena_init(&a, NULL, 0, SIZE_MAX / 2);
    err_code rc = run(&o, &a, &e);
    arena_fini(&a);
    return rc ? cmd_fail(path, &e) : CMD_OK;
}
