/* sock.h - stream sockets that never block: TCP, and Unix sockets with a file or an abstract name.
 *
 * Every descriptor made here is non-blocking and close-on-exec, with TCP_NODELAY: what is written whole is sent
 * at once.  Reading and writing return sock_io, because their failures are everyday; the rest returns err.
 * A listener belongs to one address and port.  Several loops share a port through sock_listen() with `join`:
 * the first is opened without it, so that a port which any other process uses is refused, not shared.
 * A Unix listener takes the place of a socket's file only when nobody answers there any more; whoever made the file
 * removes it at its end, with sock_file_remove(). */
#ifndef OS_SOCK_H
#define OS_SOCK_H
#include "base/err.h"
#include "os/file.h"

#include <sys/socket.h>
#include <sys/uio.h>

enum { SOCK_ADDR_TEXT_MAX = 128, SOCK_VEC_MAX = 64 };
enum { SOCK_PATH_MAX = 107 };   /* bytes of a Unix socket's path or name */

typedef enum {
    SOCK_DONE,     /* some bytes moved, or a connection accepted */
    SOCK_AGAIN,    /* nothing now; wait for the loop */
    SOCK_EOF,      /* the peer will send no more */
    SOCK_GONE,     /* the connection is broken */
    SOCK_FULL,     /* accept only: out of descriptors or memory; the connection stays queued: try again later */
} sock_io;

typedef struct {
    struct sockaddr_storage to;
    uint32_t len;
} sock_addr;

typedef struct {
    const sock_addr *addr;   /* port 0 = any free one, see sock_local() */
    uint32_t backlog;        /* 0 = as many as the system allows */
    bool join;               /* share the port with a listener of this process */
    bool packets;            /* a Unix socket for os/sock_pass.h */
    uint32_t mode;           /* of a Unix socket's file: who may connect */
} sock_listen_opts;

err_code sock_addr_parse(sock_addr *ret, const char *ip, uint16_t port, err *e) MUST_USE;   /* numeric, [] allowed */
err_code sock_addr_unix(sock_addr *ret, const char *path, err *e) MUST_USE;   /* "@name" has no file, it is abstract */
/* "127.0.0.1:80", "[::1]:80", "unix:/run/a.sock", "unix:@name" */
void sock_addr_print(const sock_addr *a, char ret[SOCK_ADDR_TEXT_MAX]);
uint16_t sock_addr_port(const sock_addr *a);           /* 0 for a Unix socket's */
void sock_addr_port_set(sock_addr *a, uint16_t port);   /* not a Unix socket's */
bool sock_addr_is_unix(const sock_addr *a);
const char *sock_addr_path(const sock_addr *a);        /* of a Unix socket's file; NULL = it has none */
bool sock_addr_eq(const sock_addr *a, const sock_addr *b);

err_code sock_listen(const sock_listen_opts *opts, int *ret_fd, err *e) MUST_USE;
err_code sock_local(int fd, sock_addr *ret, err *e) MUST_USE;
/* A listener that another process opened: from now on as if opened here.  ERR_INVALID: it is none; it stays open. */
err_code sock_adopt(int fd, sock_addr *ret_at, err *e) MUST_USE;
void sock_file_remove(const sock_addr *a, const file_id *made);   /* unless it is another's by now */
sock_io sock_accept(int listener, int *ret_fd, sock_addr *ret_peer);   /* ret_peer may be NULL */
/* Refuses everybody from now on; who is in the queue can still be accepted.  True = so can who is half in: a TCP
 * handshake that began goes on.  Of sockets that share a port each is to be told, or the kernel goes on choosing among
 * all.  Where the kernel does not have it (SO_BINDTOIFINDEX, Linux 5.7 without rights) they come until the close. */
bool sock_let_none_in(int listener, const sock_addr *at);
err_code sock_connect(const sock_addr *to, int *ret_fd, err *e) MUST_USE;   /* begins; writable when it is over */
err_code sock_connected(int fd, const sock_addr *to, err *e) MUST_USE;      /* after that: did it work? */

/* Readable when so many bytes are there, the peer sends no more, or the kernel has room for none; 1 = any.  false = it
 * stays as it was. */
bool sock_low_water(int fd, uint32_t bytes);
sock_io sock_read(int fd, void *p, size_t room, size_t *ret_n);        /* room > 0 */
sock_io sock_read_v(int fd, const struct iovec *v, size_t count, size_t *ret_n);   /* one after the other */
sock_io sock_write(int fd, const struct iovec *v, size_t count, size_t *ret_n);   /* <= SOCK_VEC_MAX; may be short */
void sock_end(int fd);         /* no more will be written: sends FIN, reading goes on */
void sock_abort_on_close(int fd);   /* close will send RST and drop what is unsent */
void sock_close(int fd);       /* -1 = none */

#endif
