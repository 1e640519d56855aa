/* proc.h - this process: its signals, its limits, what it uses.
 *
 * Signals arrive as bytes at a descriptor, so nothing in the tree runs in a signal handler.  What is used is read
 * from /proc when it is asked for: a few file reads, for /metrics and for reports, not for the way of a request. */
#ifndef OS_PROC_H
#define OS_PROC_H
#include "base/err.h"

/* What main() returns: the same for every command, so that scripts can tell a wrong call from a failed one. */
enum { PROC_OK = 0, PROC_FAILED = 1, PROC_USAGE = 2 };

typedef struct {
    uint64_t cpu_us;              /* user + system, all threads */
    uint64_t switches;            /* context switches, voluntary and not: an idle process adds none */
    uint64_t resident_bytes, resident_bytes_max, virtual_bytes;
    uint64_t fd_count, fd_count_max;
} proc_usage;

enum {   /* the numbers of every Linux */
    PROC_SIGNAL_HUP = 1,
    PROC_SIGNAL_INT = 2,
    PROC_SIGNAL_PIPE = 13,
    PROC_SIGNAL_TERM = 15,
    PROC_SIGNAL_XFSZ = 25,   /* a file would be larger than the process may make one */
    PROC_SIGNAL_WINCH = 28   /* the terminal's window has another size */
};

/* Blocks the signals in this thread and those it starts later, so that they arrive only at ret_fd, which a
 * loop watches.  Call it before the first thread is made. */
err_code proc_signals_open(const int *signals, size_t count, int *ret_fd, err *e) MUST_USE;
int proc_signal_next(int fd);     /* the next signal that came, 0 = none */
void proc_signals_close(int fd);

err_code proc_usage_read(proc_usage *ret, err *e) MUST_USE;
/* Resident memory, shared pages divided by their users.  Walks all maps: not for each request. */
err_code proc_pss_read(uint64_t *ret_bytes, err *e) MUST_USE;
/* Raises the soft limit of open descriptors to the hard one; tells the limit that now holds. */
err_code proc_fds_raise(uint64_t *ret_max, err *e) MUST_USE;
uint64_t proc_id(void);
uint32_t proc_cpus(void);         /* that this process may run on, >= 1; cgroup_cpus() is how many it may keep busy */

#endif
