/* tls_context.h - what all TLS sessions of a server, or of a client, share: certificate, key, authorities, rules.
 *
 * Made from files, whole or not at all; never changed afterwards.  New files make another context, and the old
 * one lives until its last session ends: counted references, from any thread.
 * The rules: TLS 1.2 and 1.3; suites with forward secrecy and authenticated encryption only; no renegotiation, no
 * compression; ALPN h2 and http/1.1, nothing else when the client asks for it.  Sessions are resumed by tickets,
 * on whichever loop, as long as the context is in force; their keys change by time (tls_tickets.h).
 * With a client CA each client shows a certificate.
 * A client's context has the same rules, resumes nothing, and offers one protocol by ALPN. */
#ifndef NET_TLS_CONTEXT_H
#define NET_TLS_CONTEXT_H
#include "base/err.h"
#include "net/tls_trust.h"

#include <openssl/ssl.h>

enum {
    TLS_FILE_BYTES_MAX = 4 << 20,      /* of PEM; the certificates of all public authorities are 220 kB */
    TLS_CHAIN_MAX = 8,                 /* certificates between a peer's own and the authority's */
    TLS_CHAIN_BYTES_MAX = 64 << 10
};

/* Why handshakes fail, for people who watch many. */
typedef enum {
    TLS_FAILURE_PROTOCOL,            /* what came is not TLS, or broken */
    TLS_FAILURE_VERSION,
    TLS_FAILURE_CIPHER,              /* no suite, curve or signature in common */
    TLS_FAILURE_CLIENT,              /* its certificate is missing, or not to be trusted */
    TLS_FAILURE_ALERT,               /* the client gave up: it may not trust ours */
    TLS_FAILURE_TIMEOUT,             /* these three are found by the session's owner */
    TLS_FAILURE_CLOSED,
    TLS_FAILURE_CLEARTEXT,
    TLS_FAILURE_COUNT
} tls_failure;

typedef struct {
    const char *cert_path, *key_path;   /* PEM: the certificate and what leads to its authority; the key, unencrypted */
    const char *client_ca_path;         /* PEM; NULL or "" = clients need no certificate */
    bool only_13;                       /* TLS 1.3 and nothing older */
} tls_context_opts;

typedef struct tls_context tls_context;

/* "cert.pem: certificate: expected ..., got ..." on failure. */
err_code tls_context_new(tls_context **ret, const tls_context_opts *opts, err *e) MUST_USE;
/* For a client that speaks HTTP/2, or HTTP/1.1. */
err_code tls_context_new_client(tls_context **ret, const tls_trust *trust, bool http2, err *e) MUST_USE;
tls_context *tls_context_ref(tls_context *x);
void tls_context_free(tls_context *x);               /* gives one reference back */
DEFINE_CLEANUP(tls_context)
int tls_context_days_left(const tls_context *x);     /* of its certificate, < 0 = it has expired */
const char *tls_context_authorities(const tls_context *x);   /* a client's, for people */

/* For tls.c. */
SSL_CTX *tls_context_ssl(const tls_context *x);
const BIO_METHOD *tls_context_bio(const tls_context *x);

#endif
