/* bell.h - one thread rings, the poll of another returns.
 *
 * An eventfd that is never read: the poll watches it edge-triggered (poll_add with POLL_EDGE), so each ring
 * is an event of its own and waking up costs the woken thread no further system call. */
#ifndef OS_BELL_H
#define OS_BELL_H
#include "base/err.h"

err_code bell_open(int *ret_fd, err *e) MUST_USE;
void bell_ring(int fd);    /* any thread; never blocks */
void bell_close(int fd);   /* -1 = none */

#endif
