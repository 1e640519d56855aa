/* tls_rig.h - certificates made while the test runs, and a client of TLS without sockets.
 *
 * An identity is a key on P-256 with a certificate, signed by another identity or by itself.  The client speaks
 * through memory BIOs, so a test decides how its bytes are cut; exchange() carries them both ways. */
#ifndef TESTS_TLS_RIG_H
#define TESTS_TLS_RIG_H
#include "net/tls.h"
#include "test.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    EVP_PKEY *key;
    X509 *cert;
} identity;

static inline void identity_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    INVARIANT(x && X509_add_ext(cert, x, -1) == 1);
    X509_EXTENSION_free(x);
}

/* by == NULL: it signs itself and others.  days < 0: it has expired; since > 0: it begins in so many days.  names: of
 * hosts, as OpenSSL writes them: "DNS:a.example,IP:::1"; NULL = none. */
static inline identity identity_new_for(const char *name, const identity *by, int since, int days, const char *names)
{
    static long serial;
    identity one = {EVP_EC_gen("P-256"), X509_new()};
    INVARIANT(one.key && one.cert);
    X509_set_version(one.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(one.cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(one.cert), since ? since * 86400L + 3600 : -864000);
    X509_gmtime_adj(X509_getm_notAfter(one.cert), days * 86400L);
    X509_set_pubkey(one.cert, one.key);
    X509_NAME *subject = X509_get_subject_name(one.cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509 *issuer = by ? by->cert : one.cert;
    X509_set_issuer_name(one.cert, X509_get_subject_name(issuer));
    identity_extend(one.cert, issuer, NID_basic_constraints, by ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (names) identity_extend(one.cert, issuer, NID_subject_alt_name, names);
    INVARIANT(X509_sign(one.cert, by ? by->key : one.key, EVP_sha256()) > 0);
    return one;
}

static inline identity identity_new(const char *name, const identity *by, int days)
{
    return identity_new_for(name, by, 0, days, NULL);
}

static inline void identity_free(identity *one)
{
    EVP_PKEY_free(one->key);
    X509_free(one->cert);
}

static inline void identity_save(const identity *one, const char *cert_path, const char *key_path)
{
    FILE *f = cert_path ? fopen(cert_path, "w") : NULL;
    if (f) INVARIANT(PEM_write_X509(f, one->cert) == 1 && fclose(f) == 0);
    f = key_path ? fopen(key_path, "w") : NULL;
    if (f) INVARIANT(PEM_write_PrivateKey(f, one->key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(f) == 0);
    if (f) INVARIANT(chmod(key_path, 0600) == 0);
}

/* ---- a client ---- */

typedef struct {
    int version;               /* 0 = the newest */
    const char *suites;        /* of TLS 1.2 and older; NULL = all that are safe */
    const char *alpn;          /* as on the wire; NULL = none */
    const identity *shows;     /* NULL = no certificate */
    SSL_SESSION *resumes;
} client_opts;

typedef struct {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
} tls_client;

static inline void client_open(tls_client *c, const client_opts *o)
{
    c->context = SSL_CTX_new(TLS_client_method());
    INVARIANT(c->context);
    if (o->version) SSL_CTX_set_security_level(c->context, 0);
    SSL_CTX_set_min_proto_version(c->context, o->version ? o->version : TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(c->context, o->version);
    if (o->suites) INVARIANT(SSL_CTX_set_cipher_list(c->context, o->suites) == 1);
    if (o->alpn) SSL_CTX_set_alpn_protos(c->context, (const unsigned char *)o->alpn, (unsigned)strlen(o->alpn));
    if (o->shows) INVARIANT(SSL_CTX_use_certificate(c->context, o->shows->cert) == 1);
    if (o->shows) INVARIANT(SSL_CTX_use_PrivateKey(c->context, o->shows->key) == 1);
    c->ssl = SSL_new(c->context);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    INVARIANT(c->ssl && c->in && c->out);
    SSL_set_bio(c->ssl, c->in, c->out);
    if (o->resumes) SSL_set_session(c->ssl, o->resumes);
    SSL_set_connect_state(c->ssl);
}

static inline void client_close(tls_client *c)
{
    SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);   /* else its session is not to be resumed */
    SSL_free(c->ssl);
    SSL_CTX_free(c->context);
    ERR_clear_error();
}

/* ---- the server's side, and what carries bytes between both ---- */

enum { GOT_MAX = 1 << 20 };

typedef struct {
    tls *t;
    outbox *out;
    buf got;                   /* plain bytes from the client */
    tls_event last;            /* MORE, END or FAILED */
    bool ready;
    size_t cut;                /* bytes are fed so many at a time; 0 = as they come */
} tls_end_of;

static inline bool server_open(tls_end_of *s, tls_context *x)
{
    *s = (tls_end_of){.t = tls_new(x), .out = outbox_new(OUTBOX_STREAM)};
    buf_init(&s->got, GOT_MAX);
    return s->t && s->out;
}

static inline void server_close(tls_end_of *s)
{
    tls_free(s->t);
    outbox_free(s->out);
    buf_fini(&s->got);
}

static inline void server_take(tls_end_of *s, const uint8_t *data, size_t len)
{
    uint8_t place[TLS_RECORD_BYTES_MAX];
    size_t n = 0;
    if (s->last == TLS_FAILED || s->last == TLS_END) return;
    tls_feed(s->t, data, len);
    do {
        s->last = tls_read(s->t, place, sizeof place, &n, s->out);
        if (s->last == TLS_READY) s->ready = true;
        if (s->last == TLS_DATA) buf_put(&s->got, place, n);
    } while (s->last == TLS_READY || s->last == TLS_DATA);
    if (s->last == TLS_MORE) INVARIANT(tls_unread(s->t) == 0 && !tls_holds(s->t));
}

/* What the client has to say goes to the server, cut as it wants.  False = nothing was to be said. */
static inline bool to_server(tls_client *c, tls_end_of *s)
{
    static uint8_t all[GOT_MAX];
    int n = BIO_read(c->out, all, sizeof all);
    size_t len = n > 0 ? (size_t)n : 0, step = s->cut ? s->cut : len;
    for (size_t at = 0; at < len; at += step) server_take(s, all + at, step < len - at ? step : len - at);
    return len > 0;
}

static inline bool to_client(tls_client *c, tls_end_of *s)
{
    str all = outbox_waiting(s->out);
    if (all.len) INVARIANT(BIO_write(c->in, all.p, (int)all.len) == (int)all.len);
    outbox_clear(s->out);
    return all.len > 0;
}

/* The handshake, to its end or failure; true when both sides are ready.  Reads tickets, too. */
static inline bool shake_hands(tls_client *c, tls_end_of *s)
{
    bool moved = true;
    int rc = -1;
    while (moved) {
        if (rc != 1) rc = SSL_do_handshake(c->ssl);
        if (rc == 1) (void)SSL_peek(c->ssl, &(char){0}, 1);
        moved = to_server(c, s);
        moved |= to_client(c, s);
    }
    ERR_clear_error();
    return rc == 1 && s->ready && s->last == TLS_MORE;
}

static inline void client_say(tls_client *c, tls_end_of *s, const void *bytes, size_t len)
{
    CHECK(SSL_write(c->ssl, bytes, (int)len) == (int)len);
    to_server(c, s);
}

/* All plain bytes that came so far. */
static inline size_t client_hear(tls_client *c, tls_end_of *s, char *ret, size_t room)
{
    size_t len = 0, n = 0;
    to_client(c, s);
    while (len < room && SSL_read_ex(c->ssl, ret + len, room - len, &n) == 1) len += n;
    return len;
}

#endif
