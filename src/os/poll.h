/* poll.h - waits for many descriptors at once (epoll).
 *
 * Level-triggered unless POLL_EDGE is asked for.  POLL_SHARED: several polls watch the descriptor, and an event wakes
 * one of them; such a watch cannot be changed, only ended.  POLL_HANGUP (both directions closed, or an error) is
 * reported whether asked for or not.  Time limits are kept to the microsecond where the kernel can
 * (epoll_pwait2, 5.11), otherwise rounded up to a millisecond: a wait never ends early for want of precision. */
#ifndef OS_POLL_H
#define OS_POLL_H
#include "base/err.h"

enum { POLL_READ = 1, POLL_WRITE = 2, POLL_HANGUP = 4, POLL_EDGE = 8, POLL_SHARED = 16 };
/* Few at a time: what was handed out is first in the kernel's line again, so that in a long batch whoever asks while it
 * lasts waits for the next one, too.  With 32 busy connections and 64 at a time p99 was 1.6 times nginx's, with 8 it is
 * 1.1 times. */
enum { POLL_BATCH_MAX = 8 };
#define POLL_FOREVER UINT64_MAX

typedef struct {
    void *owner;
    uint32_t events;
} poll_event;

err_code poll_open(int *ret_poll, err *e) MUST_USE;
void poll_close(int poll);                                                         /* -1 = none */
err_code poll_add(int poll, int fd, uint32_t want, void *owner, err *e) MUST_USE;
void poll_change(int poll, int fd, uint32_t want, void *owner);                    /* fd was added */
void poll_del(int poll, int fd);                                                   /* fd was added and is still open */
/* Fills ret[] with 0..POLL_BATCH_MAX events; 0 = the time is over, or a signal came. */
err_code poll_wait(int poll, poll_event ret[POLL_BATCH_MAX], uint64_t wait_us, size_t *ret_count, err *e) MUST_USE;

#endif
