#include "os/sock.h"

#include "os/sys.h"

#include <arpa/inet.h>
#include <fcntl.h>
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
    sock_addr a = {0};
    struct sockaddr_un *un = (struct sockaddr_un *)&a.to;
    size_t n = strlen(path);
    bool abstract = path[0] == '@';
    if (n <= abstract) n = 0;
    if (n == 0 || n > SOCK_PATH_MAX)
        return err_set(e, ERR_INVALID, "unix:%.120s: expected a path of 1 to %d bytes, got %zu", path, SOCK_PATH_MAX,
                       n);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, n);
    if (abstract) un->sun_path[0] = '\0';
    a.len = (uint32_t)(offsetof(struct sockaddr_un, sun_path) + n + !abstract);
    *ret = a;
    return ERR_OK;
}

void sock_addr_port_set(sock_addr *a, uint16_t port)
{
    INVARIANT(!sock_addr_is_unix(a));
    if (a->to.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&a->to)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)&a->to)->sin_port = htons(port);
}

bool sock_addr_is_unix(const sock_addr *a) { return a->to.ss_family == AF_UNIX; }

const char *sock_addr_path(const sock_addr *a)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->to;
    return sock_addr_is_unix(a) && un->sun_path[0] ? un->sun_path : NULL;
}

bool sock_addr_eq(const sock_addr *a, const sock_addr *b)
{
    return a->len == b->len && memcmp(&a->to, &b->to, a->len) == 0;
}

uint16_t sock_addr_port(const sock_addr *a)
{
    if (sock_addr_is_unix(a)) return 0;
    return ntohs(a->to.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&a->to)->sin6_port
                                             : ((const struct sockaddr_in *)&a->to)->sin_port);
}

/* A name may hold any byte, also NUL; a line that people read may not. */
static void unix_print(const sock_addr *a, char ret[SOCK_ADDR_TEXT_MAX])
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->to;
    size_t head = offsetof(struct sockaddr_un, sun_path), n = a->len > head ? a->len - head : 0, at = 5;
    if (n && un->sun_path[0]) n = strnlen(un->sun_path, n);
    memcpy(ret, "unix:", at);
    for (size_t i = 0; i < n && at < SOCK_ADDR_TEXT_MAX - 1; i++) {
        char c = un->sun_path[i];
        ret[at++] = i == 0 && c == '\0' ? '@' : c < ' ' || c > '~' ? '?' : c;
    }
    ret[at] = '\0';
}

void sock_addr_print(const sock_addr *a, char ret[SOCK_ADDR_TEXT_MAX])
{
    if (sock_addr_is_unix(a)) {
        unix_print(a, ret);
        return;
    }
    char ip[INET6_ADDRSTRLEN] = "?";
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

static err_code set_up_tcp(int fd, const sock_listen_opts *o, err *e)
{
    int64_t rc = set_up_listener(fd, o);
    return rc < 0 ? fail(e, rc, o->addr, "cannot listen") : ERR_OK;
}

/* Does anybody listen there?  A connection that is begun and given up tells. */
static int64_t is_answered(const sock_addr *a, bool *ret)
{
    int64_t fd = sys_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0) return fd;
    int64_t rc = SYS_RETRY(sys_connect((int)fd, &a->to, a->len));
    (void)sys_close((int)fd);
    *ret = rc != -ECONNREFUSED && rc != -ENOENT;
    return rc == 0 || rc == -EAGAIN || rc == -EPROTOTYPE || !*ret ? 0 : rc;   /* a full queue; of another kind */
}

/* What a killed process left is taken out of the way by another name, and looked at again there: whoever else starts
 * in this very moment may have put his own in its place, which then goes back. */
static int64_t take_away(const char *path, const struct stat *dead)
{
    char aside[SOCK_PATH_MAX + 32];
    struct stat s;
    uint64_t unique = 0;
    int64_t rc = SYS_RETRY(sys_random(&unique, sizeof unique));
    if (rc < 0) return rc;
    snprintf(aside, sizeof aside, "%s.%016llx", path, (unsigned long long)unique);
    rc = sys_rename(path, aside);
    if (rc < 0) return rc == -ENOENT ? 0 : rc;
    bool same = sys_stat_at(AT_FDCWD, aside, &s) == 0 && s.st_dev == dead->st_dev && s.st_ino == dead->st_ino;
    if (same) return sys_unlink(aside);
    rc = sys_rename(aside, path);
    return rc < 0 ? rc : -EADDRINUSE;
}

static err_code clear_path(const sock_addr *a, err *e)
{
    const char *path = sock_addr_path(a);
    struct stat s;
    bool answered = true;
    int64_t rc = sys_stat_at(AT_FDCWD, path, &s);
    if (rc == -ENOENT) return ERR_OK;
    if (rc == 0 && !S_ISSOCK(s.st_mode))
        return err_set(e, ERR_CONFLICT, "unix:%s: cannot listen: expected a socket or nothing there, got another file",
                       path);
    if (rc == 0) rc = is_answered(a, &answered);
    if (rc == 0) rc = answered ? -EADDRINUSE : take_away(path, &s);
    return rc < 0 ? fail(e, rc, a, "cannot listen") : ERR_OK;
}

/* The file is made with no more rights than it shall have; the process' umask may take some away, hence the second
 * time. */
static err_code set_up_unix(int fd, const sock_listen_opts *o, err *e)
{
    const char *path = sock_addr_path(o->addr);
    int64_t rc = path ? sys_chmod_fd(fd, o->mode) : 0;
    if (rc == 0) rc = sys_bind(fd, &o->addr->to, o->addr->len);
    if (rc == -EADDRINUSE && path) {
        err_code code = clear_path(o->addr, e);
        if (code) return code;
        rc = sys_bind(fd, &o->addr->to, o->addr->len);
    }
    if (rc < 0) return fail(e, rc, o->addr, "cannot listen");
    if (path) rc = sys_chmod(path, o->mode);
    if (rc == 0) rc = sys_listen(fd, o->backlog ? (int)o->backlog : 65535);
    if (rc == 0) return ERR_OK;
    if (path) (void)sys_unlink(path);
    return fail(e, rc, o->addr, "cannot listen");
}

err_code sock_listen(const sock_listen_opts *opts, int *ret_fd, err *e)
{
    bool local = sock_addr_is_unix(opts->addr);
    int64_t fd = sys_socket(opts->addr->to.ss_family, opts->packets ? SOCK_SEQPACKET : SOCK_STREAM);
    if (fd < 0) return fail(e, fd, opts->addr, "cannot make a socket");
    err_code rc = local ? set_up_unix((int)fd, opts, e) : set_up_tcp((int)fd, opts, e);
    if (rc) {
        (void)sys_close((int)fd);
        return rc;
    }
    *ret_fd = (int)fd;
    return ERR_OK;
}

err_code sock_adopt(int fd, sock_addr *ret_at, err *e)
{
    int kind = 0, family = 0, listens = 0;
    char where[32];
    snprintf(where, sizeof where, "descriptor %d", fd);
    int64_t rc = sys_option_get(fd, SOL_SOCKET, SO_TYPE, &kind);
    if (rc == 0) rc = sys_option_get(fd, SOL_SOCKET, SO_DOMAIN, &family);
    if (rc == 0) rc = sys_option_get(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens);
    if (rc == -EBADF || rc == -ENOTSOCK)
        return err_set(e, ERR_INVALID, "%s: expected a socket that listens, got %s", where,
                       rc == -EBADF ? "none that is open" : "no socket");
    if (rc < 0) return sys_err(e, rc, where, "cannot tell what it is");
    bool tcp = family == AF_INET || family == AF_INET6;
    if (kind != SOCK_STREAM || !(tcp || family == AF_UNIX))
        return err_set(e, ERR_INVALID, "%s: expected a stream socket, TCP or Unix, got another kind", where);
    if (!listens) return err_set(e, ERR_INVALID, "%s: expected a socket that listens, got one that does not", where);
    rc = sys_adopt(fd);
    if (rc == 0 && tcp) rc = sys_option_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return rc < 0 ? sys_err(e, rc, where, "cannot take over") : sock_local(fd, ret_at, e);
}

void sock_file_remove(const sock_addr *a, const file_id *made)
{
    err e;
    file_id now;
    const char *path = sock_addr_path(a);
    if (path && file_identify(path, &now, &e) == ERR_OK && file_id_eq(&now, made)) (void)sys_unlink(path);
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
    int64_t fd = sys_socket(to->to.ss_family, SOCK_STREAM);
    if (fd < 0) return fail(e, fd, to, "cannot make a socket");
    int64_t rc = sock_addr_is_unix(to) ? 0 : sys_option_set((int)fd, IPPROTO_TCP, TCP_NODELAY, 1);
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

bool sock_low_water(int fd, uint32_t bytes)
{
    return sys_option_set(fd, SOL_SOCKET, SO_RCVLOWAT, (int)bytes) == 0;
}

sock_io sock_read(int fd, void *p, size_t room, size_t *ret_n)
{
    const struct iovec v = {.iov_base = p, .iov_len = room};
    return sock_read_v(fd, &v, 1, ret_n);
}

sock_io sock_read_v(int fd, const struct iovec *v, size_t count, size_t *ret_n)
{
    INVARIANT(count > 0 && count <= SOCK_VEC_MAX && v[0].iov_len > 0);
    int64_t n = SYS_RETRY(sys_recv(fd, v, count));
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

bool sock_let_none_in(int listener, const sock_addr *at)
{
    if (sock_addr_is_unix(at)) {
        (void)sys_shutdown(listener, SHUT_RD);
        return false;
    }
    (void)sys_option_set(listener, SOL_SOCKET, SO_BINDTOIFINDEX, INT32_MAX);   /* where nothing comes from */
    return true;
}

void sock_abort_on_close(int fd) { (void)sys_linger_none(fd); }

void sock_close(int fd)
{
    if (fd >= 0) (void)sys_close(fd);   /* EINTR: closed all the same on Linux */
}
