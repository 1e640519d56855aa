#include "os/folder.h"

#include "os/sys.h"

#include <fcntl.h>

err_code folder_take(folder *f, const char *path, err *e)
{
    int64_t rc = SYS_RETRY(sys_make_folder(path, 0700));
    if (rc < 0 && rc != -EEXIST) return sys_err(e, rc, path, "cannot make the folder");
    int64_t fd = SYS_RETRY(sys_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0));
    if (fd < 0) return sys_err(e, fd, path, "cannot open the folder");
    rc = SYS_RETRY(sys_hold((int)fd));
    if (rc == 0) {
        *f = (folder){.path = path, .fd = (int)fd};
        return ERR_OK;
    }
    (void)sys_close((int)fd);
    if (rc == -EWOULDBLOCK) return err_set(e, ERR_CONFLICT, "%s: expected a folder of our own, got one in use", path);
    return sys_err(e, rc, path, "cannot lock the folder");
}

void folder_close(folder *f)
{
    (void)sys_close(f->fd);
    f->fd = -1;
}

err_code folder_sync(const folder *f, err *e)
{
    int64_t rc = SYS_RETRY(sys_sync(f->fd));
    return rc < 0 ? sys_err(e, rc, f->path, "cannot sync the folder") : ERR_OK;
}
