#include "serve/ready_line.h"

#include "base/log.h"
#include "os/line_out.h"

#include <stdio.h>

/* A reason may quote what a file holds: one line it stays. */
static size_t one_line(char *text, int n)
{
    size_t len = n < LINE_OUT_BYTES_MAX ? (size_t)n : LINE_OUT_BYTES_MAX - 1;
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)text[i] < ' ') text[i] = '?';
    text[len] = '\n';
    return len + 1;
}

void ready_line_tell(ready_line *r, str name, str version, const err *failed)
{
    char line[LINE_OUT_BYTES_MAX];
    err e;
    if (r->fd < 0 || atomic_load(&r->deaf)) return;
    int n = failed ? snprintf(line, sizeof line, "failed " STR_FMT ": %s", STR_ARG(name), failed->text)
                   : snprintf(line, sizeof line, "ready " STR_FMT " " STR_FMT, STR_ARG(name), STR_ARG(version));
    if (n < 0 || line_out_put(r->fd, line, one_line(line, n), &e) == ERR_OK) return;
    bool gone = e.code != ERR_LIMIT;
    atomic_store(&r->deaf, gone);
    log_write(LOG_WARN, NULL, "ready-fd: %s%s", e.text, gone ? ": it is told no more" : "");
}
