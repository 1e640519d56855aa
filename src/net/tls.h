/* tls.h - one side of one TLS connection, without I/O: sealed bytes in and out, plain bytes in and out.
 *
 * The owner feeds what the peer sent and reads until TLS_MORE; what is to be sent, handshakes and alerts included,
 * is appended to the outbox that each call is given.  Nothing may be written before TLS_READY.  After
 * TLS_FAILED nothing but the outbox (an alert, mostly) is of use.  The context says which side it is; a client has
 * a verdict, too, which tells whom it asks for and why it failed.
 * Refused: more than TLS_IDLE_MESSAGES_MAX handshake messages between two records of data (a flood of key updates),
 * and every attempt to renegotiate.  At rest a session keeps no buffers. */
#ifndef NET_TLS_H
#define NET_TLS_H
#include "net/outbox.h"
#include "net/tls_context.h"
#include "net/tls_verdict.h"
#include "os/sock.h"

enum {
    TLS_RECORD_BYTES_MAX = 16 << 10,   /* of plain bytes */
    TLS_IDLE_MESSAGES_MAX = 32,
    TLS_HELLO_BYTE = 0x16,             /* every client's first, and a server's; no method of HTTP begins with it */
    TLS_ALERT_BYTE = 0x15              /* or this is a server's first */
};

typedef enum {
    TLS_MORE,      /* all that was fed is used */
    TLS_READY,     /* the handshake is done: now data may flow; comes once */
    TLS_DATA,
    TLS_END,       /* the peer will send no more, and said so */
    TLS_FAILED
} tls_event;

typedef struct tls tls;

tls *tls_new(tls_context *x) MUST_USE;   /* keeps a reference; NULL = no memory */
tls *tls_new_client(tls_context *x, tls_verdict *v) MUST_USE;   /* borrows v */
void tls_free(tls *t);
void tls_feed(tls *t, const uint8_t *data, size_t len);   /* borrows it until all is used, or more is fed */
size_t tls_unread(const tls *t);                          /* how many of those bytes are not used yet */
bool tls_holds(const tls *t);                             /* plain bytes wait inside it for more room */
tls_event tls_read(tls *t, uint8_t *place, size_t room, size_t *ret_n, outbox *out) MUST_USE;
/* Seals the pieces into as few records as can be; stage has room for TLS_RECORD_BYTES_MAX.  false = no memory. */
bool tls_write(tls *t, const struct iovec *pieces, size_t count, uint8_t *stage, outbox *out) MUST_USE;
void tls_end(tls *t, outbox *out);                        /* says that no more will come; again: nothing */
bool tls_ready(const tls *t);
bool tls_is_13(const tls *t);
bool tls_chose_http2(const tls *t);                       /* by ALPN */
tls_failure tls_why(const tls *t);                        /* after TLS_FAILED */
unsigned long tls_error(const tls *t);                    /* the same as OpenSSL's code, for tls_verdict_say() */
str tls_protocol(const tls *t);                           /* what ALPN chose; empty = nothing */

/* For tls_context.c. */
BIO_METHOD *tls_bio_method(void) MUST_USE;
void tls_on_message(int sent, int version, int type, const void *bytes, size_t len, SSL *ssl, void *arg);

#endif
