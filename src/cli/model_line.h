/* model_line.h - the command line that the `proa model` commands share: flags, one model, --help.
 *
 * A command lists its own flags; --help is added here.  What is wrong with the words is said on standard error below
 * the usage line, so all that is left to the command is to return the status it is given. */
#ifndef CLI_MODEL_LINE_H
#define CLI_MODEL_LINE_H
#include "cli/flags.h"

enum { MODEL_LINE_FLAGS_MAX = 15 };

typedef struct {
    const char *path, *args;      /* "proa model run", "MODEL --inputs FROM [flags]": the usage line */
    const flag *flags;
    size_t flag_count;            /* at most MODEL_LINE_FLAGS_MAX */
} model_line;

/* True: *ret_model is the model, and the flags are set.  False: the command is over, with *ret_status. */
bool model_line_parse(const model_line *l, int argc, char **argv, const char **ret_model, int *ret_status);
/* Flags that several commands have. */
flag model_line_inputs(const char **to);
flag model_line_threads(uint64_t *to);

#endif
