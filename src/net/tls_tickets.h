/* tls_tickets.h - the keys that seal a server's session tickets, and their change by time.
 *
 *   key n:    seals TLS_TICKETS_PERIOD_US  |  opens what it sealed for as long again  |  wiped with the next change
 * So who takes a key out of this process reads the tickets of a day, and not those of all the time it runs.  A change
 * is made by whoever seals the first ticket behind its time, on any loop, without a lock: a server that rests makes
 * no wake-up for it, and keeps its last key until then.  AES-256-CBC and HMAC-SHA-256, as OpenSSL has them. */
#ifndef NET_TLS_TICKETS_H
#define NET_TLS_TICKETS_H
#include "base/err.h"

#include <openssl/ssl.h>

#define TLS_TICKETS_PERIOD_US (UINT64_C(12) * 3600 * 1000000)

typedef struct tls_tickets tls_tickets;

/* From now on they are those of ssl, which it must outlive.  OpenSSL is there: see openssl_need(). */
err_code tls_tickets_new(tls_tickets **ret, SSL_CTX *ssl, err *e) MUST_USE;
void tls_tickets_free(tls_tickets *t);
DEFINE_CLEANUP(tls_tickets)

#endif
