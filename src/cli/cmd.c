#include "cli/cmd.h"

#include "base/str.h"
#include "os/console.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { COMMANDS_MAX = 32, SAY_BYTES = 8192 };

static PRINTF(1, 0) err_code say(const char *fmt, va_list ap, err *e)
{
    char text[SAY_BYTES];
    int n = vsnprintf(text, sizeof text, fmt, ap);
    return n > 0 ? console_out(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1, e) : ERR_OK;
}

void cmd_say(const char *fmt, ...)
{
    err e;
    va_list ap;
    va_start(ap, fmt);
    (void)!say(fmt, ap, &e);
    va_end(ap);
}

int cmd_show(const char *path, const char *fmt, ...)
{
    err e;
    va_list ap;
    va_start(ap, fmt);
    err_code rc = say(fmt, ap, &e);
    va_end(ap);
    return rc ? cmd_fail(path, &e) : CMD_OK;
}

static void complain(const char *path, const char *text)
{
    char line[1024];
    int n = snprintf(line, sizeof line - 1, "%s: %s", path, text);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof line - 2 ? (size_t)n : sizeof line - 2;
    for (size_t i = 0; i < len; i++) {   /* what was typed may hold line breaks: the reason stays one line */
        if ((uint8_t)line[i] < ' ' || line[i] == 0x7f) line[i] = '?';
    }
    line[len] = '\n';
    console_err(line, len + 1);
}

int cmd_fail(const char *path, const err *e)
{
    complain(path, e->text);
    return e->code == ERR_UNSUPPORTED ? CMD_UNSUPPORTED : CMD_FAILED;
}

int cmd_usage(const char *path, const char *args, const err *e)
{
    char line[1024];
    int n = snprintf(line, sizeof line, "usage: %s %s\n", path, args);
    if (n > 0) console_err(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
    complain(path, e->text);
    return CMD_USAGE;
}

static int table_print(const cmd *rows, size_t count, const char *path)
{
    int status = cmd_show(path, "usage: %s COMMAND ...\n\n", path);
    for (size_t i = 0; i < count && status == CMD_OK; i++)
        status = cmd_show(path, "  %-10s %s\n", rows[i].name, rows[i].help);
    return status ? status : cmd_show(path, "\n%s COMMAND --help tells more.\n", path);
}

int cmd_dispatch(const cmd *rows, size_t count, const char *path, int argc, char **argv)
{
    const char *names[COMMANDS_MAX];
    INVARIANT(count <= COMMANDS_MAX);
    err e;
    if (argc == 0) {
        err_set(&e, ERR_INVALID, "expected a command, got none; see %s --help", path);
        complain(path, e.text);
        return CMD_USAGE;
    }
    if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)
        return table_print(rows, count, path);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(argv[0], rows[i].name) == 0) return rows[i].run(argc - 1, argv + 1);
        names[i] = rows[i].name;
    }
    const char *near = str_nearest(str_of(argv[0]), names, count);
    err_set(&e, ERR_INVALID, "unknown command '%s'%s%s%s", argv[0], near ? ", did you mean '" : "", near ? near : "",
            near ? "'?" : "");
    complain(path, e.text);
    return CMD_USAGE;
}
