/* conn_tls.h - TLS between a connection's socket and its protocol, on a port that cleartext may share.
 *
 * A connection is `wrapped` while its bytes come through here: its first byte tells TLS from cleartext, which is
 * refused in words unless the server allows it, or the socket is a Unix one.  c->out keeps plain bytes; they are sealed
 * as the socket takes them, CONN_TLS_BATCH_BYTES at a time, so a slow client costs no more than that beyond them.
 * What came and may not be read yet waits as it came.  A handshake has the time that the head of a request has. */
#ifndef NET_CONN_TLS_H
#define NET_CONN_TLS_H
#include "net/conn.h"
#include "net/tls.h"

enum {
    CONN_TLS_BATCH_BYTES = 64 << 10,
    CONN_TLS_SEALED_MAX = 1 << 20     /* answers of TLS itself to a client that takes none: then it is over */
};

struct conn_tls {
    tls *session;
    outbox *sealed;                   /* for the socket; NULL = nothing */
    outbox *rest;                     /* came before its turn; NULL = none */
    bool counted, ended;
};

void conn_tls_take_in(conn *c, const uint8_t *data, size_t len);
bool conn_tls_shakes_hands(const conn *c);            /* nothing can be said yet */
bool conn_tls_holds(const conn *c);                   /* more can be read without the socket */
void conn_tls_go_on(conn *c);                         /* reads that */
void conn_tls_write(conn *c, const struct iovec *pieces, size_t count);   /* behind c->out, and what waits here */
void conn_tls_expire(conn *c);                        /* the handshake took too long */
bool conn_tls_end(conn *c);                           /* says goodbye; true = it is on its way, or impossible */
size_t conn_tls_waiting(const conn *c);
void conn_tls_free(conn *c);

#endif
