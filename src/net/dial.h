/* dial.h - an outgoing connection whose user waits for it: for commands and for threads of their own, never for loops.
 *
 * dial_begin() starts a call: one deadline for all that follows until the next, looking a name up, connecting, sending
 * and receiving together.  The addresses of a name are tried in turn, each with its share of the time that is left.  A
 * descriptor of the caller's may end every wait: a bell that another thread rings, or the one that signals arrive at.
 * Behind https:// and grpcs:// there is TLS between these functions and the socket: the handshake is a part of
 * connecting, and only a goodbye of TLS counts as SOCK_EOF.  One thread uses a dial. */
#ifndef NET_DIAL_H
#define NET_DIAL_H
#include "net/dial_tls.h"
#include "os/sock.h"

enum { DIAL_HOST_MAX = 255 };   /* bytes of a host name, or of a socket's path */

typedef struct {
    char host[DIAL_HOST_MAX + 1];   /* without brackets; the path of a Unix socket */
    char authority[DIAL_HOST_MAX + 9];   /* for Host and :authority: "HOST:PORT", "localhost" */
    char text[DIAL_HOST_MAX + 9];   /* for messages: "HOST:PORT", "unix:/path" */
    char base[DIAL_HOST_MAX + 1];   /* what every target begins with; empty, or "/prefix" */
    uint16_t port;
    bool is_unix;
    bool is_secure;                 /* https, grpcs */
    bool is_grpc;                   /* grpc, grpcs: it says so itself */
} dial_to;

typedef struct {
    /* private */
    const dial_to *to;
    tls_context *context;           /* NULL = cleartext */
    dial_tls *tls;                  /* of the open connection */
    bool http2;
    uint64_t wait_us, deadline_us;
    int fd, poll;
    int stop_fd;
    uint32_t watched;               /* what the poll waits for on fd */
} dial;

/* "http://HOST[:PORT][/prefix]", "HOST:PORT", "unix:/path", "unix:///path"; https, grpc and grpcs as http. */
err_code dial_to_parse(dial_to *ret, const char *address, err *e) MUST_USE;

typedef struct {
    const dial_to *to;              /* borrowed */
    const tls_trust *trust;         /* for https; NULL = the system's authorities */
    bool http2;                     /* the protocol that TLS has to agree to, else HTTP/1.1 */
    int stop_fd;                    /* when it can be read, every wait ends with ERR_CANCELLED; 0 = there is none */
} dial_opts;

err_code dial_init(dial *d, const dial_opts *opts, err *e) MUST_USE;
void dial_fini(dial *d);
void dial_begin(dial *d, uint64_t wait_us);
err_code dial_open(dial *d, err *e) MUST_USE;          /* it is closed */
void dial_close(dial *d);                              /* closed already = nothing happens */
bool dial_is_open(const dial *d);
bool dial_is_quiet(dial *d);                           /* open, and the peer has sent nothing, not even an end */
/* Waits for POLL_READ, POLL_WRITE or both; ret_events tells which, POLL_HANGUP as POLL_READ.  Once the deadline has
 * passed nothing counts any more, not even what is there already. */
err_code dial_wait(dial *d, uint32_t want, uint32_t *ret_events, err *e) MUST_USE;
sock_io dial_read(dial *d, void *p, size_t room, size_t *ret_n);
sock_io dial_write(dial *d, const struct iovec *v, size_t count, size_t *ret_n);
/* What a read that said SOCK_EOF or SOCK_GONE means to who expects an answer: it is cut off, or TLS failed. */
err_code dial_gone(const dial *d, sock_io io, bool begun, err *e);

#endif
