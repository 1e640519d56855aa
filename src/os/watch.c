#include "os/watch.h"

#include "os/sys.h"

#include <sys/inotify.h>

/* Not IN_MODIFY: a file that is being written is worth a look when it is whole. */
enum { CHANGES = IN_CREATE | IN_DELETE | IN_MOVE | IN_CLOSE_WRITE | IN_ATTRIB | IN_ONLYDIR };

err_code watch_open(int *ret_fd, err *e)
{
    int64_t fd = sys_watch_open();
    if (fd < 0) return sys_err(e, fd, "inotify", "cannot watch folders");
    *ret_fd = (int)fd;
    return ERR_OK;
}

void watch_close(int fd)
{
    if (fd != WATCH_NONE) (void)sys_close(fd);
}

err_code watch_add(int fd, const char *folder, err *e)
{
    int64_t rc = SYS_RETRY(sys_watch_add(fd, folder, CHANGES));
    return rc < 0 ? sys_err(e, rc, folder, "cannot watch the folder") : ERR_OK;
}

bool watch_drain(int fd)
{
    char events[4096];
    bool heard = false;
    while (SYS_RETRY(sys_read(fd, events, sizeof events)) > 0) heard = true;
    return heard;
}
