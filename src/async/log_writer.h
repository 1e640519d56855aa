/* log_writer.h - log lines to standard error by a thread of their own, so that nobody who logs waits for its reader.
 *
 * log_writer_line() is the log's sink once loops run: it copies the line and returns.  A reader that stands still (a
 * full pipe, a stopped terminal, a slow disk) fills one page while the thread hangs in the other; from then on lines
 * are dropped and counted, and the first thing that is written afterwards says how many.  Lines stay whole and in
 * order.  There is one standard error, so there is one writer in a process; while it is not running, lines are
 * written at once by whoever logs. */
#ifndef ASYNC_LOG_WRITER_H
#define ASYNC_LOG_WRITER_H
#include "base/err.h"

enum {
    LOG_WRITER_BYTES = 64 << 10,        /* lines that wait; as many again may be on their way out */
    LOG_WRITER_STOP_US = 1000000        /* what a stalled reader may cost at the end */
};

/* out is console_err(), or a test's; it may block.  After proc_signals_open(): see os/thread.h. */
err_code log_writer_start(void (*out)(const char *line, size_t len), err *e) MUST_USE;
/* Writes what waits.  False = the reader stands still: the thread is left behind with the rest, and a later
 * log_writer_stop() may find it at its end. */
bool log_writer_stop(void);
void log_writer_line(const char *line, size_t len);   /* fits log_opts.sink; any thread; never blocks */
uint64_t log_writer_dropped(void);                    /* lines, since the process began */

#endif
