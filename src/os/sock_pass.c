#include "os/sock_pass.h"

#include "os/sys.h"

#include <string.h>

err_code sock_pass_connect(const sock_addr *to, int *ret_fd, err *e)
{
    char text[SOCK_ADDR_TEXT_MAX];
    sock_addr_print(to, text);
    int64_t fd = sys_socket(AF_UNIX, SOCK_SEQPACKET);
    if (fd < 0) return sys_err(e, fd, text, "cannot make a socket");
    int64_t rc = SYS_RETRY(sys_connect((int)fd, &to->to, to->len));
    if (rc < 0) {
        (void)sys_close((int)fd);
        return sys_err(e, rc, text, "cannot connect");
    }
    *ret_fd = (int)fd;
    return ERR_OK;
}

sock_io sock_pass_send(int fd, const char *text, const int *fds, size_t count)
{
    INVARIANT(count <= SOCK_PASS_FDS_MAX && strlen(text) < SOCK_PASS_BYTES_MAX);
    int64_t n = SYS_RETRY(sys_send_fds(fd, text, strlen(text), fds, count));
    return n >= 0 ? SOCK_DONE : n == -EAGAIN ? SOCK_AGAIN : SOCK_GONE;
}

sock_io sock_pass_recv(int fd, char ret[SOCK_PASS_BYTES_MAX], int *ret_fds, size_t *ret_count)
{
    size_t count = SOCK_PASS_FDS_MAX;
    int64_t n = SYS_RETRY(sys_recv_fds(fd, ret, SOCK_PASS_BYTES_MAX - 1, ret_fds, &count));
    if (n == -ECONNRESET) {   /* said once, and before what the peer sent: it has closed without reading all of ours */
        count = SOCK_PASS_FDS_MAX;
        n = SYS_RETRY(sys_recv_fds(fd, ret, SOCK_PASS_BYTES_MAX - 1, ret_fds, &count));
    }
    if (n < 0) return n == -EAGAIN ? SOCK_AGAIN : SOCK_GONE;
    if (n == 0) {   /* the end, or a message of nothing: what it may bring nobody asked for */
        for (size_t i = 0; i < count; i++) sock_close(ret_fds[i]);
        count = 0;
    }
    *ret_count = count;
    ret[n] = '\0';
    return n == 0 ? SOCK_EOF : SOCK_DONE;
}

void sock_pass_deaf(int fd) { (void)sys_shutdown(fd, SHUT_RD); }

bool sock_pass_wait(int fd, uint32_t ms)
{
    return SYS_RETRY(sys_wait_readable(fd, (int)ms)) != 0;   /* a failure is told by what follows */
}

bool sock_pass_is_ours(int fd)
{
    uint32_t user = 0;
    return sys_peer_user(fd, &user) == 0 && (int64_t)user == sys_user();
}
