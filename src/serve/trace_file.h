/* trace_file.h - a JSON list in a file that grows, and is whole JSON after each commit.
 *
 *   open: []   put, commit: [a]   put, put, commit: [a,b,c]   a put that fails, undo: [a,b,c]
 *
 * Values are gathered and written behind the last one, over the bracket; so whoever reads the file finds JSON, while
 * the server runs, too, and behind a crash between two commits.  A commit that fails - the disk is full - takes back
 * what it had written.  One thread. */
#ifndef SERVE_TRACE_FILE_H
#define SERVE_TRACE_FILE_H
#include "base/buf.h"
#include "os/file_out.h"

enum { TRACE_FILE_MODE = 0640, TRACE_FILE_TEXT_MAX = 1 << 20 };   /* of values that are gathered */

typedef struct {
    uint64_t count;                 /* values that are written, */
    uint32_t fresh;                 /* and that wait for commit */
    /* private */
    file_out out;
    buf text;
    uint64_t at, whole;             /* where text goes; the file's length when it was whole last */
    bool torn;                      /* it may not be whole now */
    err failure;                    /* of a spill since the last commit */
} trace_file;

err_code trace_file_open(trace_file *f, const char *path, err *e) MUST_USE;   /* at its last place; borrows path */
void trace_file_close(trace_file *f);              /* once it was opened; what is not committed is lost */
bool trace_file_gone(const trace_file *f);         /* somebody removed or moved it */
/* Where the next value goes; trace_file_spill() may empty it meanwhile. */
buf *trace_file_value(trace_file *f);
void trace_file_spill(trace_file *f);
uint64_t trace_file_bytes(const trace_file *f);   /* as long as it is with what waits for commit */
/* On error all values since the last commit are gone, and `fresh` is 0. */
err_code trace_file_commit(trace_file *f, err *e) MUST_USE;
void trace_file_remove(const trace_file *f);
err_code trace_file_move(const trace_file *f, const char *to, err *e) MUST_USE;

#endif
