#include "os/notify.h"

#include "os/sys.h"

#include <string.h>

err_code notify_open(notify *ret, const char *address, err *e)
{
    notify n = {.fd = -1};
    if (!address || !address[0]) {
        *ret = n;
        return ERR_OK;
    }
    if (address[0] != '/' && address[0] != '@')
        return err_set(e, ERR_INVALID, "NOTIFY_SOCKET: expected /PATH or @NAME, got '%.200s'", address);
    err_code rc = sock_addr_unix(&n.to, address, e);
    if (rc) return err_wrap(e, "NOTIFY_SOCKET");
    int64_t fd = sys_socket(AF_UNIX, SOCK_DGRAM);
    if (fd < 0) return sys_err(e, fd, "NOTIFY_SOCKET", "cannot make a socket");
    n.fd = (int)fd;
    n.heard = true;
    *ret = n;
    return ERR_OK;
}

void notify_close(notify *n)
{
    if (n->heard) (void)sys_close(n->fd);
    *n = (notify){.fd = -1};
}

err_code notify_send(const notify *n, const char *lines, err *e)
{
    if (!n->heard) return ERR_OK;
    size_t len = strlen(lines);
    int64_t rc = SYS_RETRY(sys_send_to(n->fd, lines, len, &n->to.to, n->to.len));
    if (rc == -EAGAIN) {
        (void)sys_wait_writable(n->fd, NOTIFY_WAIT_MS);
        rc = SYS_RETRY(sys_send_to(n->fd, lines, len, &n->to.to, n->to.len));
    }
    return rc < 0 ? sys_err(e, rc, "NOTIFY_SOCKET", "cannot tell the service manager") : ERR_OK;
}
