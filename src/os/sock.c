#include "os/sock.h"

#include "os/sys.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

err_code sock_addr_parse(sock_addr *ret, const char *ip, uint16_t port, err *e)
{
    sock_addr a = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a.to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.to;
    char bare[INET6_ADDRSTRLEN];
    size_t n = strlen(ip);
    const char *text = ip;
    if (n > 2 && n - 2 < sizeof bare && ip[0] == '[' && ip[n - 1] == ']') {
        memcpy(bare, ip + 1, n - 2);
        bare[n - 2] = '\0';
        text = bare;
    }
    if (text == ip && inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        a.len = sizeof *v4;
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        a.len = sizeof *v6;
    } else {
        return err_set(e, ERR_INVALID, "address: expected an IPv4 or IPv6 address, got '%s'", ip);
    }
    *ret = a;
    return ERR_OK;
}

err_code sock_addr_unix(sock_addr *ret, const char *path, err *e)
{
    sock_addr a = {.len = sizeof(struct sockaddr_un)};
    struct sockaddr_un *to = (struct sockaddr_un *)&a.to;
    size_t n = strlen(path), most = sizeof to->sun_path - 1;
    if (n == 0 || n > most)
        return err_set(e, ERR_INVALID, "unix:%.100s: expected a path of 1 to %zu bytes, got %zu", path, most, n);
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, path, n);
    *ret = a;
    return ERR_OK;
}

uint16_t sock_addr_port(const sock_addr *a)
{
    if (a->to.ss_family == AF_UNIX) return 0;
    return ntohs(a->to.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&a->to)->sin6_port
                                             : ((const struct sockaddr_in *)&a->to)->sin_port);
}

void sock_addr_print(const sock_addr *a, char ret[SOCK_ADDR_TEXT_MAX])
{
    char ip[INET6_ADDRSTRLEN] = "?";
    if (a->to.ss_family == AF_UNIX) {
        snprintf(ret, SOCK_ADDR_TEXT_MAX, "unix:%s", ((const struct sockaddr_un *)&a->to)->sun_path);
        return;
    }
    bool v6 = a->to.ss_family == AF_INET6;
    const void *bytes = v6 ? (const void *)&((const struct sockaddr_in6 *)&a->to)->sin6_addr
                           : (const void *)&((const struct sockaddr_in *)&a->to)->sin_addr;
    (void)inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, ip, sizeof ip);
    snprintf(ret, SOCK_ADDR_TEXT_MAX, v6 ? "[%s]:%u" : "%s:%u", ip, sock_addr_port(a));
}

static err_code fail(err *e, int64_t rc, const sock_addr *a, const char *what)
{
    char text[SOCK_ADDR_TEXT_MAX];
    sock_addr_print(a, text);
    return sys_err(e, rc, text, what);
}

/* Binding without SO_REUSEPORT finds out every other user of the port; setting it afterwards lets the
 * listeners that join later share it.  An accepted socket inherits TCP_NODELAY: one call less for each. */
static int64_t set_up_listener(int fd, const sock_listen_opts *o)
{
    int64_t rc = sys_option_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (rc == 0 && o->addr->to.ss_family == AF_INET6) rc = sys_option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (rc == 0 && o->join) rc = sys_option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc == 0) rc = sys_bind(fd, &o->addr->to, o->addr->len);
    if (rc == 0 && !o->join) rc = sys_option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (rc == 0) rc = sys_option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rc == 0) rc = sys_listen(fd, o->backlog ? (int)o->backlog : 65535);   /* the kernel cuts it to somaxconn */
    return rc;
}

err_code sock_listen(const sock_listen_opts *opts, int *ret_fd, err *e)
{
    int64_t fd = sys_socket(opts->addr->to.ss_family);
    if (fd < 0) return fail(e, fd, opts->addr, "cannot make a socket");
    int64_t rc = set_up_listener((int)fd, opts);
    if (rc < 0) {
        (void)sys_close((int)fd);
        return fail(e, rc, opts->addr, "cannot listen");
    }
    *ret_fd = (int)fd;
    return ERR_OK;
}

err_code sock_local(int fd, sock_addr *ret, err *e)
{
    sock_addr a = {.len = sizeof a.to};
    int64_t rc = sys_local_addr(fd, &a.to, &a.len);
    if (rc < 0) return sys_err(e, rc, "socket", "cannot tell its address");
    *ret = a;
    return ERR_OK;
}

sock_io sock_accept(int listener, int *ret_fd, sock_addr *ret_peer)
{
    /* accept(2): a network error of the connection that waited comes out of the call; only that one is lost, so
     * the next is tried.  Anything else (a security module's refusal, say) stays, hence the bound. */
    for (int tries = 0; tries < 16; tries++) {
        sock_addr peer = {.len = sizeof peer.to};
        int64_t fd = ret_peer ? sys_accept(listener, &peer.to, &peer.len) : sys_accept(listener, NULL, NULL);
        if (fd >= 0) {
            if (ret_peer) *ret_peer = peer;
            *ret_fd = (int)fd;
            return SOCK_DONE;
        }
        if (fd == -EAGAIN) return SOCK_AGAIN;
        if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS || fd == -ENOMEM) return SOCK_FULL;
        INVARIANT(fd != -EBADF && fd != -EINVAL && fd != -ENOTSOCK && fd != -EFAULT);
    }
    return SOCK_FULL;
}

err_code sock_connect(const sock_addr *to, int *ret_fd, err *e)
{
    int64_t fd = sys_socket(to->to.ss_family);
    if (fd < 0) return fail(e, fd, to, "cannot make a socket");
    int64_t rc = to->to.ss_family == AF_UNIX ? 0 : sys_option_set((int)fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rc == 0) rc = sys_connect((int)fd, &to->to, to->len);
    if (rc < 0 && rc != -EINPROGRESS && rc != -EINTR) {   /* interrupted: it goes on all the same */
        (void)sys_close((int)fd);
        return fail(e, rc, to, "cannot connect");
    }
    *ret_fd = (int)fd;
    return ERR_OK;
}

err_code sock_connected(int fd, const sock_addr *to, err *e)
{
    int problem = 0;
    int64_t rc = sys_option_get(fd, SOL_SOCKET, SO_ERROR, &problem);
    if (rc == 0) rc = -problem;
    return rc < 0 ? fail(e, rc, to, "cannot connect") : ERR_OK;
}

sock_io sock_read(int fd, void *p, size_t room, size_t *ret_n)
{
    INVARIANT(room > 0);
    int64_t n = SYS_RETRY(sys_recv(fd, p, room));
    if (n == -EAGAIN) return SOCK_AGAIN;
    if (n < 0) return SOCK_GONE;
    *ret_n = (size_t)n;
    return n == 0 ? SOCK_EOF : SOCK_DONE;
}

sock_io sock_write(int fd, const struct iovec *v, size_t count, size_t *ret_n)
{
    INVARIANT(count <= SOCK_VEC_MAX);
    int64_t n = SYS_RETRY(sys_send(fd, v, count));
    if (n == -EAGAIN) return SOCK_AGAIN;
    if (n < 0) return SOCK_GONE;
    *ret_n = (size_t)n;
    return SOCK_DONE;
}

void sock_end(int fd) { (void)sys_shutdown(fd, SHUT_WR); }   /* fails only when the peer is gone already */

void sock_abort_on_close(int fd) { (void)sys_linger_none(fd); }

void sock_close(int fd)
{
    if (fd >= 0) (void)sys_close(fd);   /* EINTR: closed all the same on Linux */
}
