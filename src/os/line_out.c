#include "os/line_out.h"

#include "os/sys.h"

#include <fcntl.h>
#include <stdio.h>

enum { WHERE_BYTES = 32 };

static const char *where(int fd, char ret[WHERE_BYTES])
{
    snprintf(ret, WHERE_BYTES, "descriptor %d", fd);
    return ret;
}

err_code line_out_check(int fd, err *e)
{
    int64_t rc = sys_open_flags(fd);
    if (rc < 0) return err_set(e, ERR_INVALID, "expected an open descriptor, got '%d'", fd);
    if ((rc & O_ACCMODE) == O_RDONLY)   /* also what was closed of 0..2: console_hold() */
        return err_set(e, ERR_INVALID, "expected a descriptor that can be written to, got '%d'", fd);
    return ERR_OK;
}

err_code line_out_put(int fd, const char *line, size_t len, err *e)
{
    char text[WHERE_BYTES];
    INVARIANT(len > 0 && len <= LINE_OUT_BYTES_MAX);
    int64_t rc = SYS_RETRY(sys_wait_writable(fd, 0));
    if (rc == 0) return err_set(e, ERR_LIMIT, "%s: cannot write: nobody reads what is there", where(fd, text));
    if (rc > 0) rc = SYS_RETRY(sys_write(fd, line, len));
    if (rc == -EAGAIN) return err_set(e, ERR_LIMIT, "%s: cannot write: nobody reads what is there", where(fd, text));
    if (rc < 0) return sys_err(e, rc, where(fd, text), "cannot write");
    if ((size_t)rc < len)
        return err_set(e, ERR_INTERNAL, "%s: cannot write: %zu of %zu bytes went", where(fd, text), (size_t)rc, len);
    return ERR_OK;
}
