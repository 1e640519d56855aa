#include "os/poll.h"

#include "os/sys.h"

#include <limits.h>
#include <stdatomic.h>

/* A day: far below where nanoseconds overflow; the caller just waits again. */
#define WAIT_US_MAX UINT64_C(86400000000)

static _Atomic bool milliseconds_only;   /* learned once: this kernel has no epoll_pwait2 */

err_code poll_open(int *ret_poll, err *e)
{
    int64_t fd = sys_poll_open();
    if (fd < 0) return sys_err(e, fd, "epoll", "cannot open");
    *ret_poll = (int)fd;
    return ERR_OK;
}

void poll_close(int poll)
{
    if (poll >= 0) (void)sys_close(poll);
}

static uint32_t bits_of(uint32_t want)
{
    return (want & POLL_READ ? (uint32_t)EPOLLIN : 0) | (want & POLL_WRITE ? (uint32_t)EPOLLOUT : 0) |
           (want & POLL_EDGE ? (uint32_t)EPOLLET : 0) | (want & POLL_SHARED ? (uint32_t)EPOLLEXCLUSIVE : 0);
}

err_code poll_add(int poll, int fd, uint32_t want, void *owner, err *e)
{
    int64_t rc = sys_poll_add(poll, fd, bits_of(want), owner);
    return rc < 0 ? sys_err(e, rc, "epoll", "cannot watch a descriptor") : ERR_OK;
}

void poll_change(int poll, int fd, uint32_t want, void *owner)
{
    int64_t rc = sys_poll_change(poll, fd, bits_of(want), owner);
    INVARIANT(rc == 0);   /* fails only for a descriptor that is not there */
}

void poll_del(int poll, int fd)
{
    int64_t rc = sys_poll_del(poll, fd);
    INVARIANT(rc == 0);
}

static int64_t wait_ms(int poll, struct epoll_event *events, uint64_t wait_us)
{
    uint64_t ms = wait_us / 1000 + (wait_us % 1000 != 0);
    return sys_poll_wait_ms(poll, events, POLL_BATCH_MAX, ms > INT_MAX ? INT_MAX : (int)ms);
}

static int64_t wait_any(int poll, struct epoll_event *events, uint64_t wait_us)
{
    if (wait_us == POLL_FOREVER) return sys_poll_wait_ms(poll, events, POLL_BATCH_MAX, -1);
    if (wait_us == 0 || atomic_load_explicit(&milliseconds_only, memory_order_relaxed))
        return wait_ms(poll, events, wait_us);
    uint64_t ns = (wait_us > WAIT_US_MAX ? WAIT_US_MAX : wait_us) * 1000;
    int64_t n = sys_poll_wait_ns(poll, events, POLL_BATCH_MAX, ns);
    if (n != -ENOSYS && n != -EPERM) return n;   /* EPERM: an old seccomp filter that does not know the call */
    atomic_store_explicit(&milliseconds_only, true, memory_order_relaxed);
    return wait_ms(poll, events, wait_us);
}

err_code poll_wait(int poll, poll_event ret[POLL_BATCH_MAX], uint64_t wait_us, size_t *ret_count, err *e)
{
    struct epoll_event events[POLL_BATCH_MAX] UNINIT;
    int64_t n = wait_any(poll, events, wait_us);
    if (n == -EINTR) n = 0;
    if (n < 0) return sys_err(e, n, "epoll", "cannot wait");
    for (size_t i = 0; i < (size_t)n; i++) {
        uint32_t bits = events[i].events;
        ret[i] = (poll_event){
            .owner = events[i].data.ptr,
            .events = (bits & EPOLLIN ? POLL_READ : 0) | (bits & EPOLLOUT ? POLL_WRITE : 0) |
                      (bits & (EPOLLHUP | EPOLLERR) ? POLL_HANGUP : 0),
        };
    }
    *ret_count = (size_t)n;
    return ERR_OK;
}
