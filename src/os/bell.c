#include "os/bell.h"

#include "os/sys.h"

err_code bell_open(int *ret_fd, err *e)
{
    int64_t fd = sys_event_open();
    if (fd < 0) return sys_err(e, fd, "eventfd", "cannot open");
    *ret_fd = (int)fd;
    return ERR_OK;
}

void bell_ring(int fd)
{
    uint64_t one = 1;
    int64_t n = SYS_RETRY(sys_write(fd, &one, sizeof one));
    INVARIANT(n == (int64_t)sizeof one);   /* it could fail only after 2^64 rings */
}

void bell_close(int fd)
{
    if (fd >= 0) (void)sys_close(fd);
}
