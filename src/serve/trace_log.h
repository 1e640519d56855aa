/* trace_log.h - traced requests, written for Triton's tools by a thread of their own.
 *
 *   loop:    trace_log_begin() --> request --> trace_log_end()    an entry, handed over through a mailbox
 *   thread:  FILE     all of them, as they come
 *            FILE.N   log_frequency of them each; or as many as trace_count said, once the last is there
 *
 * A numbered file is FILE.part<k> while it fills and gets its number when it is whole: full, or its settings changed,
 * or the server ends.  Numbers begin with 0 in each process, and files of an older one are replaced.  Nobody waits for
 * the disk: entries are bounded by a quota of memory, files by bytes_max over all; what finds no room is dropped and
 * counted.  A disk that is full or a path that cannot be opened costs traces and one line of log, and is tried again
 * with the next one; a file that somebody removed or moved away begins anew. */
#ifndef SERVE_TRACE_LOG_H
#define SERVE_TRACE_LOG_H
#include "serve/trace_entry.h"

enum {
    TRACE_LOG_MEMORY = 64 << 20,        /* of entries that are open or wait */
    TRACE_LOG_BATCH = 256,              /* written at once */
    TRACE_LOG_PARTS_MAX = 64,           /* numbered files that fill at a time; more end the oldest */
    TRACE_LOG_STOP_US = 5000000         /* what a disk that hangs may cost at the end */
};

typedef struct trace_log trace_log;

typedef struct {
    const char *path;                   /* FILE; borrowed */
    trace_setting *server;              /* borrowed, as is that of each model */
    const int64_t *defaults;            /* of it; see trace_settings */
    uint64_t bytes_max;                 /* written in all; 0 = no limit */
} trace_log_opts;

err_code trace_log_new(trace_log **ret, const trace_log_opts *opts, err *e) MUST_USE;   /* starts the thread */
/* Writes what waits, and ends the files; each entry was given to trace_log_end(). */
void trace_log_free(trace_log *l);
DEFINE_CLEANUP(trace_log)

typedef struct {
    uint64_t written, dropped, failed;  /* traces: in a file; no room for it; the file did not take it */
} trace_log_stats;
void trace_log_stats_read(const trace_log *l, trace_log_stats *ret);   /* any thread; zeros of NULL */

/* Any thread.  NULL = it is not traced; else end it.  of: the setting of its model. */
trace_entry *trace_log_begin(trace_log *l, trace_setting *of);
void trace_log_end(trace_log *l, trace_entry *t);       /* takes it; it was sent now */
void trace_log_changed(trace_log *l);                   /* settings did; NULL will do */

#endif
