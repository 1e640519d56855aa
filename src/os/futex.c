#include "os/futex.h"

#include "os/sys.h"

bool futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_us)
{
    uint64_t deadline_ns = deadline_us > UINT64_MAX / 1000 ? UINT64_MAX : deadline_us * 1000;
    int64_t rc = sys_futex_wait(word, expected, deadline_ns);
    INVARIANT(rc == 0 || rc == -EAGAIN || rc == -EINTR || rc == -ETIMEDOUT);
    return rc != -ETIMEDOUT;
}

uint32_t futex_wake(_Atomic uint32_t *word, uint32_t count)
{
    int64_t rc = sys_futex_wake(word, count);
    INVARIANT(rc >= 0);
    return (uint32_t)rc;
}
