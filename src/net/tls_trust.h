/* tls_trust.h - whom a client of ours trusts behind https, and whom it says it is: the same flags wherever it is used.
 *
 * One table makes the flags of `proa infer` and `proa top`, and the options otlp-* of `proa serve`.  Without any of
 * them a server needs a certificate for the host that was asked for, signed by an authority of the system's trust
 * store: OpenSSL's own, which SSL_CERT_FILE and SSL_CERT_DIR may replace.  Flags that would have no effect are refused:
 * who names an authority and writes no https would believe that it is checked. */
#ifndef NET_TLS_TRUST_H
#define NET_TLS_TRUST_H
#include "base/err.h"

/* X(of, member and name, kind, value, help); kind: TEXT or SWITCH */
#define TLS_TRUST_TABLE(X, of) \
    X(of, cacert, TEXT, "FILE.pem", "authorities to trust behind https, instead of the system's") \
    X(of, cert, TEXT, "FILE.pem", "certificate to show there, and those up to its authority") \
    X(of, key, TEXT, "FILE.pem", "its private key, without a passphrase") \
    X(of, insecure, SWITCH, NULL, "trust whoever answers: nothing about the server is verified")

typedef struct {
    const char *cacert, *cert, *key;   /* paths; NULL or "" = not given; they live as long as the client */
    bool insecure;
    const char *prefix;                /* of the flags' names in messages: "--", "otlp-"; NULL = "--" */
} tls_trust;

/* Whether the flags fit together, and to an address that is `secure` or not. */
err_code tls_trust_check(const tls_trust *t, bool secure, const char *address, err *e) MUST_USE;

#endif
