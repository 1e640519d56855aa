#include "os/console.h"

#include "os/sys.h"

#include <fcntl.h>
#include <unistd.h>

static int64_t write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        int64_t n = SYS_RETRY(sys_write(fd, bytes, len));
        if (n == -EAGAIN) {   /* somebody made the shared terminal non-blocking: wait for it */
            (void)sys_wait_writable(fd, 1000);
            continue;
        }
        if (n < 0) return n;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

/* Opened for reading, what holds the place cannot be written to.  open() takes the lowest number that is free. */
err_code console_hold(err *e)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (sys_open_flags(fd) != -EBADF) continue;
        int64_t rc = SYS_RETRY(sys_open(AT_FDCWD, "/dev/null", O_RDONLY, 0));
        if (rc < 0) return sys_err(e, rc, "/dev/null", "cannot open");
        INVARIANT(rc == fd);
    }
    return ERR_OK;
}

err_code console_out(const char *bytes, size_t len, err *e)
{
    int64_t rc = write_all(STDOUT_FILENO, bytes, len);
    return rc < 0 ? sys_err(e, rc, "standard output", "cannot write") : ERR_OK;
}

err_code console_err_all(const char *bytes, size_t len, err *e)
{
    int64_t rc = write_all(STDERR_FILENO, bytes, len);
    return rc < 0 ? sys_err(e, rc, "standard error", "cannot write") : ERR_OK;
}

void console_err(const char *bytes, size_t len) { (void)write_all(STDERR_FILENO, bytes, len); }
