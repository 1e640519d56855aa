#include "cli/model_line.h"

#include "async/compute.h"
#include "cli/cmd.h"

#include <string.h>

flag model_line_inputs(const char **to)
{
    return (flag){.name = "inputs",
                  .kind = FLAG_TEXT,
                  .to = to,
                  .value = "PATH",
                  .help = "folder with input_0.pb ..., or .npz",
                  .needed = true};
}

flag model_line_threads(uint64_t *to)
{
    return (flag){.name = "threads",
                  .kind = FLAG_NUMBER,
                  .to = to,
                  .value = "N",
                  .help = "threads that compute (1)",
                  .min = 1,
                  .max = COMPUTE_THREADS_MAX};
}

bool model_line_parse(const model_line *l, int argc, char **argv, const char **ret_model, int *ret_status)
{
    flag flags[MODEL_LINE_FLAGS_MAX + 1];
    size_t count = l->flag_count;
    bool help = false;
    err e;
    INVARIANT(count <= MODEL_LINE_FLAGS_MAX);
    memcpy(flags, l->flags, count * sizeof *flags);
    flags[count++] = (flag){.name = "help", .kind = FLAG_SWITCH, .to = &help, .help = "this text"};
    flag_operands model = {.at = ret_model, .max = 1};
    err_code rc = flags_parse(flags, count, argc, argv, &model, &e);
    if (!rc && help) {
        char text[2048];
        flags_help(flags, count, text, sizeof text);
        *ret_status = cmd_show(l->path, "usage: %s %s\n\n%s", l->path, l->args, text);
        return false;
    }
    if (!rc && !model.count) rc = err_set(&e, ERR_INVALID, "expected a model, got none");
    if (!rc) rc = flags_check(flags, count, &e);
    if (rc) *ret_status = cmd_usage(l->path, l->args, &e);
    return !rc;
}
