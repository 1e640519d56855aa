/* cmd.h - the commands of the program: each is a function with a table row in main.c, or in its parent's table.
 *
 * A command gets the arguments after its own name and returns the exit status: CMD_OK, CMD_FAILED, CMD_USAGE
 * when it was called wrongly, CMD_UNSUPPORTED when the model needs what this engine has not; a client's command
 * returns CMD_UNREACHABLE when its server gave no answer.  The last line on standard error is the reason. */
#ifndef CLI_CMD_H
#define CLI_CMD_H
#include "base/err.h"

enum { CMD_OK = 0, CMD_FAILED = 1, CMD_USAGE = 2, CMD_UNSUPPORTED = 3, CMD_UNREACHABLE = 3 };

typedef struct {
    const char *name, *args, *help;
    int (*run)(int argc, char **argv);
} cmd;

/* Runs the row that argv[0] names; prints the table for --help or -h.  `path` is what was typed: "proa model". */
int cmd_dispatch(const cmd *rows, size_t count, const char *path, int argc, char **argv);
void cmd_say(const char *fmt, ...) PRINTF(1, 2);          /* to standard output, to whoever may be there */
int cmd_show(const char *path, const char *fmt, ...) PRINTF(2, 3);   /* the same as the command's end: fails with it */
int cmd_fail(const char *path, const err *e); /* "PATH: text" to standard error; the exit status for e->code */
int cmd_usage(const char *path, const char *args, const err *e);   /* the same with the usage line, CMD_USAGE */

int cmd_serve(int argc, char **argv);
int cmd_model(int argc, char **argv);
int cmd_infer(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_model_run(int argc, char **argv);
int cmd_model_bench(int argc, char **argv);
int cmd_model_inspect(int argc, char **argv);
int cmd_key(int argc, char **argv);

#endif
