/* dial_tls.h - TLS between an outgoing connection and its socket: the sans-I/O session of net/tls.h, fed.
 *
 * Owned by a dial, which waits; nothing here does.  What was sealed and the socket did not take stays here, so a dial
 * waits for the socket as long as dial_tls_waits(), and does not wait for it where dial_tls_holds().  A server that
 * closes without TLS's goodbye counts as a broken connection: what came may have been cut by anybody. */
#ifndef NET_DIAL_TLS_H
#define NET_DIAL_TLS_H
#include "net/tls.h"

typedef struct dial_tls dial_tls;

enum {
    DIAL_TLS_BATCH_BYTES = 64 << 10,   /* plain bytes that are sealed at a time */
    DIAL_TLS_READS_MAX = 16            /* of the socket in one call, without a byte of data: then the caller waits */
};

dial_tls *dial_tls_new(tls_context *x, const char *host) MUST_USE;   /* NULL = no memory */
void dial_tls_free(dial_tls *t);
sock_io dial_tls_shake(dial_tls *t, int fd) MUST_USE;   /* DONE = data may flow; AGAIN = wait for more */
sock_io dial_tls_read(dial_tls *t, int fd, void *p, size_t room, size_t *ret_n);
sock_io dial_tls_write(dial_tls *t, int fd, const struct iovec *v, size_t count, size_t *ret_n);
void dial_tls_push(dial_tls *t, int fd);                /* what waits for the socket, as much as it takes */
bool dial_tls_waits(const dial_tls *t);
bool dial_tls_holds(const dial_tls *t);                 /* something to read: data, or the end */
void dial_tls_end(dial_tls *t, int fd);                 /* the goodbye, if the socket takes it */
str dial_tls_protocol(const dial_tls *t);               /* chosen by ALPN; empty = none */
bool dial_tls_failed(const dial_tls *t);                /* TLS itself: dial_tls_say() tells why */
bool dial_tls_closed(const dial_tls *t);                /* the server did, without a goodbye */
err_code dial_tls_say(const dial_tls *t, const char *where, err *e);   /* also where a handshake was cut off */

#endif
