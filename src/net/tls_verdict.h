/* tls_verdict.h - whether a TLS server is the one that was asked for, and if not, why, in one line.
 *
 * Lives with a client's session (net/tls.h): says which host to ask for, hears what OpenSSL objects to while it
 * verifies the certificates, and keeps the first objection as text.  Names in certificates come from a stranger: what
 * is no printable character is shown as '?'. */
#ifndef NET_TLS_VERDICT_H
#define NET_TLS_VERDICT_H
#include "base/err.h"

#include <openssl/ssl.h>

enum { TLS_HOST_MAX = 255, TLS_VERDICT_TEXT_MAX = 300 };

typedef struct {
    char host[TLS_HOST_MAX + 1];      /* without a trailing dot, or an address's zone */
    bool is_ip;
    const char *authorities;          /* where they are: "the system's trust store", "ca.pem"; borrowed */
    char text[TLS_VERDICT_TEXT_MAX];  /* "certificate: expected ..., got ..."; empty = no objection */
} tls_verdict;

void tls_verdict_init(tls_verdict *v, const char *host, const char *authorities);
/* Has ssl ask for the host, and verify that it is that; v stays where it is.  False = no memory. */
bool tls_verdict_ask(tls_verdict *v, SSL *ssl) MUST_USE;
int tls_verdict_hear(int good, X509_STORE_CTX *about);   /* a verify callback of OpenSSL */
/* Why the session failed; code: OpenSSL's error, 0 = it told none. */
err_code tls_verdict_say(const tls_verdict *v, unsigned long code, const char *where, err *e);

#endif
