/* line_out.h - a descriptor that whoever started this process gave it, to be told lines.
 *
 * A line goes out whole or not at all, and nothing waits: a pipe that nobody reads costs lines, never a thread.
 * SIGPIPE is the caller's to have blocked.  Any thread. */
#ifndef OS_LINE_OUT_H
#define OS_LINE_OUT_H
#include "base/err.h"

enum { LINE_OUT_BYTES_MAX = 4096 };   /* what a pipe takes in one piece */

/* Before anything else is opened: later the number may be that of a descriptor of our own. */
err_code line_out_check(int fd, err *e) MUST_USE;
/* ERR_LIMIT = there is no room for it now; any other error: nobody will read it. */
err_code line_out_put(int fd, const char *line, size_t len, err *e) MUST_USE;

#endif
