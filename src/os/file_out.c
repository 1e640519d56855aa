#include "os/file_out.h"

#include "os/sys.h"

#include <fcntl.h>

err_code file_out_open(file_out *f, const char *path, uint32_t mode, err *e)
{
    /* O_NONBLOCK: a pipe that nobody reads is an error, and not a wait.  Cut only when it is known to be a file. */
    int64_t fd = SYS_RETRY(sys_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, mode));
    if (fd < 0) return sys_err(e, fd, path, "cannot open for writing");
    struct stat s;
    int64_t rc = sys_stat_fd((int)fd, &s);
    err_code code = ERR_OK;
    if (rc < 0) code = sys_err(e, rc, path, "cannot look up");
    else if (!S_ISREG(s.st_mode)) code = err_set(e, ERR_INVALID, "%s: expected a file, got a device or pipe", path);
    else if ((rc = SYS_RETRY(sys_truncate((int)fd, 0))) < 0) code = sys_err(e, rc, path, "cannot cut");
    if (code) {
        (void)sys_close((int)fd);
        return code;
    }
    *f = (file_out){.path = path, .fd = (int)fd, .device = (uint64_t)s.st_dev, .inode = (uint64_t)s.st_ino};
    return ERR_OK;
}

void file_out_close(file_out *f)
{
    (void)sys_close(f->fd);
    f->fd = -1;
}

bool file_out_gone(const file_out *f)
{
    struct stat s;
    if (SYS_RETRY(sys_stat_at(AT_FDCWD, f->path, &s)) < 0) return true;
    return (uint64_t)s.st_dev != f->device || (uint64_t)s.st_ino != f->inode;
}

err_code file_out_put(file_out *f, uint64_t at, const void *bytes, size_t len, err *e)
{
    const uint8_t *p = bytes;
    while (len > 0) {
        int64_t n = SYS_RETRY(sys_write_at(f->fd, p, len, at));
        if (n == 0) n = -ENOSPC;
        if (n < 0) return sys_err(e, n, f->path, "cannot write");
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

err_code file_out_cut(file_out *f, uint64_t len, err *e)
{
    int64_t rc = SYS_RETRY(sys_truncate(f->fd, len));
    return rc < 0 ? sys_err(e, rc, f->path, "cannot cut") : ERR_OK;
}

err_code file_out_sync(const file_out *f, err *e)
{
    int64_t rc = SYS_RETRY(sys_sync_data(f->fd));
    return rc < 0 ? sys_err(e, rc, f->path, "cannot sync") : ERR_OK;
}

void file_out_remove(const file_out *f) { (void)SYS_RETRY(sys_unlink(f->path)); }

err_code file_out_move(const file_out *f, const char *to, err *e)
{
    int64_t rc = SYS_RETRY(sys_rename(f->path, to));
    return rc < 0 ? sys_err(e, rc, to, "cannot be made") : ERR_OK;
}
