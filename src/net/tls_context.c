#include "net/tls_context.h"

#include "base/mem.h"
#include "net/openssl.h"
#include "net/tls.h"
#include "net/tls_tickets.h"
#include "os/file.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { AUTHORITIES_TEXT_MAX = 128 };

struct tls_context {
    SSL_CTX *ssl;
    BIO_METHOD *bio;
    tls_tickets *tickets;   /* NULL of a client */
    int days_left;
    char authorities[AUTHORITIES_TEXT_MAX];
    _Atomic unsigned refs;
};

/* A file of PEM, wiped when it leaves scope: it may hold a key. */
typedef struct {
    const char *path;
    char *text;
    size_t len;
    BIO *bio;
} pem_file;

static void pem_close(const pem_file *f)
{
    if (f->bio) ossl.BIO_free(f->bio);
    if (f->text) explicit_bzero(f->text, f->len);
    mem_free(f->text);
}
#define CLEANUP_PEM __attribute__((cleanup(pem_close)))

static err_code pem_open(pem_file *f, const char *path, err *e)
{
    f->path = path;
    err_code rc = file_read(path, TLS_FILE_BYTES_MAX, &f->text, &f->len, e);
    if (rc) return rc;
    f->bio = ossl.BIO_new_mem_buf(f->text, (int)f->len);
    return f->bio ? ERR_OK : err_set(e, ERR_NOMEM, "%s: no memory to read it", path);
}

/* What OpenSSL says was wrong, in few words. */
static const char *reason(void)
{
    unsigned long code = ossl.ERR_peek_error();
    const char *text = code ? ossl.ERR_reason_error_string(code) : NULL;
    return text ? text : "an unknown error";
}

/* The next certificate of a file, or NULL: at its end, or where it is none (then OpenSSL's queue says so). */
static X509 *pem_cert(const pem_file *f)
{
    ossl.ERR_clear_error();
    X509 *cert = ossl.PEM_read_bio_X509(f->bio, NULL, NULL, NULL);
    unsigned long why = cert ? 0 : ossl.ERR_peek_last_error();
    if (ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE) ossl.ERR_clear_error();
    return cert;
}

static err_code use_chain(tls_context *x, const pem_file *f, err *e)
{
    int days = 0, seconds = 0;
    X509 *cert = pem_cert(f);
    if (!cert && ossl.ERR_peek_last_error())
        return err_set(e, ERR_INVALID, "%s: certificate: expected X.509 as PEM, got '%s'", f->path, reason());
    if (!cert) return err_set(e, ERR_INVALID, "%s: certificate: expected X.509 as PEM, got none", f->path);
    bool used = ossl.SSL_CTX_use_certificate(x->ssl, cert) == 1;
    if (ossl.ASN1_TIME_diff(&days, &seconds, NULL, ossl.X509_get0_notAfter(cert)) != 1) days = -1;
    x->days_left = seconds < 0 ? days - 1 : days;
    ossl.X509_free(cert);
    if (!used)
        return err_set(e, ERR_INVALID, "%s: certificate: expected one that is safe, got '%s'", f->path, reason());
    while ((cert = pem_cert(f)) != NULL) {   /* it takes the certificate */
        if (ossl.SSL_CTX_ctrl(x->ssl, SSL_CTRL_CHAIN_CERT, 0, cert) == 1) continue;
        ossl.X509_free(cert);
        return err_set(e, ERR_INVALID, "%s: chain: expected certificates that are safe, got '%s'", f->path, reason());
    }
    if (ossl.ERR_peek_last_error())
        return err_set(e, ERR_INVALID, "%s: chain: expected X.509 as PEM, got '%s'", f->path, reason());
    return ERR_OK;
}

/* Without it OpenSSL would ask the terminal for a passphrase. */
/* NOLINTNEXTLINE(readability-non-const-parameter): OpenSSL's type */
static int no_passphrase(char *room, int bytes, int writing, void *asked)
{
    (void)room, (void)bytes, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static err_code key_guarded(const char *path, err *e)
{
    file_id id;
    err_code rc = file_identify(path, &id, e);
    if (rc == ERR_OK && (id.mode & 02))
        return err_set(e, ERR_INVALID, "%s: mode: expected a key that not everybody may write, got '%03o'", path,
                       (unsigned)id.mode);
    return rc;
}

static err_code use_key(tls_context *x, const pem_file *f, const char *cert_path, err *e)
{
    bool asked = false;
    ossl.ERR_clear_error();
    EVP_PKEY *key = ossl.PEM_read_bio_PrivateKey(f->bio, NULL, no_passphrase, &asked);
    if (!key && asked)
        return err_set(e, ERR_INVALID, "%s: private key: expected one without passphrase, got an encrypted one",
                       f->path);
    if (!key && !strstr(f->text, "PRIVATE KEY-----"))
        return err_set(e, ERR_INVALID, "%s: private key: expected one as PEM, got none", f->path);
    if (!key) return err_set(e, ERR_INVALID, "%s: private key: expected one as PEM, got '%s'", f->path, reason());
    bool fits = ossl.SSL_CTX_use_PrivateKey(x->ssl, key) == 1 && ossl.SSL_CTX_check_private_key(x->ssl) == 1;
    ossl.EVP_PKEY_free(key);
    if (!fits)
        return err_set(e, ERR_INVALID, "%s: private key: expected that of the certificate in %s, got '%s'", f->path,
                       cert_path, reason());
    return ERR_OK;
}

/* Trusts a file's authorities; a server tells its clients which they are. */
static err_code use_authorities(tls_context *x, const char *path, bool tell, err *e)
{
    CLEANUP_PEM pem_file f = {.path = NULL};
    size_t count = 0;
    err_code rc = pem_open(&f, path, e);
    if (rc) return rc;
    for (X509 *ca; (ca = pem_cert(&f)) != NULL; count++) {
        bool kept = ossl.X509_STORE_add_cert(ossl.SSL_CTX_get_cert_store(x->ssl), ca) == 1 &&
                    (!tell || ossl.SSL_CTX_add_client_CA(x->ssl, ca) == 1);
        ossl.X509_free(ca);
        if (!kept) return err_set(e, ERR_NOMEM, "%s: no memory for its certificates", path);
    }
    if (ossl.ERR_peek_last_error())
        return err_set(e, ERR_INVALID, "%s: authorities: expected X.509 as PEM, got '%s'", path, reason());
    if (count == 0) return err_set(e, ERR_INVALID, "%s: authorities: expected X.509 as PEM, got none", path);
    return ERR_OK;
}

static err_code use_client_ca(tls_context *x, const char *path, err *e)
{
    err_code rc = use_authorities(x, path, true, e);
    if (rc == ERR_OK) ossl.SSL_CTX_set_verify(x->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return rc;
}

static bool offers(const uint8_t *offered, size_t len, str name)
{
    for (size_t at = 0; at < len; at += 1u + offered[at])
        if (offered[at] == name.len && len - at > name.len && memcmp(offered + at + 1, name.p, name.len) == 0)
            return true;
    return false;
}

static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len, const unsigned char *offered,
                           unsigned len, void *ctx)
{
    static const str ours[] = {{"h2", 2}, {"http/1.1", 8}};
    (void)ssl, (void)ctx;
    for (size_t i = 0; i < COUNTOF(ours); i++) {
        if (!offers(offered, len, ours[i])) continue;
        *ret = (const unsigned char *)ours[i].p;
        *ret_len = (unsigned char)ours[i].len;
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Those of both sides. */
static bool set_rules(SSL_CTX *ssl, bool only_13)
{
    (void)ossl.SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)ossl.SSL_CTX_ctrl(ssl, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, NULL);
    (void)ossl.SSL_CTX_ctrl(ssl, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    (void)ossl.SSL_CTX_ctrl(ssl, SSL_CTRL_SET_MAX_CERT_LIST, TLS_CHAIN_BYTES_MAX, NULL);
    ossl.SSL_CTX_set_msg_callback(ssl, tls_on_message);
    ossl.SSL_CTX_set_verify_depth(ssl, TLS_CHAIN_MAX);
    int least = only_13 ? TLS1_3_VERSION : TLS1_2_VERSION;
    return ossl.SSL_CTX_ctrl(ssl, SSL_CTRL_SET_MIN_PROTO_VERSION, least, NULL) == 1 &&
           ossl.SSL_CTX_ctrl(ssl, SSL_CTRL_SET_MAX_PROTO_VERSION, TLS1_3_VERSION, NULL) == 1 &&
           ossl.SSL_CTX_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20:!PSK") == 1;
}

static bool set_server_rules(SSL_CTX *ssl)
{
    (void)ossl.SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    ossl.SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, NULL);
    return ossl.SSL_CTX_set_num_tickets(ssl, 1) == 1 &&
           ossl.SSL_CTX_set_session_id_context(ssl, (const unsigned char *)"proa", 4) == 1;
}

static err_code context_new(tls_context **ret, bool client, bool only_13, err *e)
{
    CLEANUP(tls_context) tls_context *x = mem_new0(tls_context, 1);
    if (!x) return err_set(e, ERR_NOMEM, "TLS: no memory for its context");
    x->refs = 1;
    x->ssl = ossl.SSL_CTX_new(client ? ossl.TLS_client_method() : ossl.TLS_server_method());
    x->bio = tls_bio_method();
    if (!x->ssl || !x->bio || !set_rules(x->ssl, only_13) || (!client && !set_server_rules(x->ssl)))
        return err_set(e, ERR_NOMEM, "TLS: expected OpenSSL to make a context, got '%s'", reason());
    *ret = TAKE(x);
    return ERR_OK;
}

static err_code use_identity(tls_context *x, const char *cert_path, const char *key_path, err *e)
{
    CLEANUP_PEM pem_file cert = {.path = NULL}, key = {.path = NULL};
    err_code rc = pem_open(&cert, cert_path, e);
    if (rc == ERR_OK) rc = use_chain(x, &cert, e);
    if (rc == ERR_OK) rc = key_guarded(key_path, e);
    if (rc == ERR_OK) rc = pem_open(&key, key_path, e);
    return rc ? rc : use_key(x, &key, cert_path, e);
}

err_code tls_context_new(tls_context **ret, const tls_context_opts *opts, err *e)
{
    CLEANUP(tls_context) tls_context *x = NULL;
    err_code rc = openssl_need(e);
    if (rc == ERR_OK) rc = context_new(&x, false, opts->only_13, e);
    if (rc == ERR_OK) rc = tls_tickets_new(&x->tickets, x->ssl, e);
    if (rc) return rc;
    rc = use_identity(x, opts->cert_path, opts->key_path, e);
    if (rc == ERR_OK && opts->client_ca_path && opts->client_ca_path[0]) rc = use_client_ca(x, opts->client_ca_path, e);
    ossl.ERR_clear_error();
    if (rc) return rc;
    *ret = TAKE(x);
    return ERR_OK;
}

/* ---- a client's ---- */

static err_code use_trust(tls_context *x, const tls_trust *trust, err *e)
{
    bool own = trust->cacert && trust->cacert[0];
    snprintf(x->authorities, sizeof x->authorities, "%s", own ? trust->cacert : "the system's trust store");
    if (trust->insecure) return ERR_OK;
    ossl.SSL_CTX_set_verify(x->ssl, SSL_VERIFY_PEER, tls_verdict_hear);
    /* Whoever names a certificate trusts it, be it an authority's that another one signed, or the server's own. */
    if (own && ossl.X509_VERIFY_PARAM_set_flags(ossl.SSL_CTX_get0_param(x->ssl), X509_V_FLAG_PARTIAL_CHAIN) == 1)
        return use_authorities(x, trust->cacert, false, e);
    if (ossl.SSL_CTX_set_default_verify_paths(x->ssl) == 1) return ERR_OK;
    return err_set(e, ERR_NOMEM, "TLS: expected the system's trust store, got '%s'", reason());
}

err_code tls_context_new_client(tls_context **ret, const tls_trust *trust, bool http2, err *e)
{
    static const unsigned char offer_2[] = "\2h2", offer_1[] = "\10http/1.1";
    CLEANUP(tls_context) tls_context *x = NULL;
    err_code rc = openssl_need(e);
    if (rc == ERR_OK) rc = context_new(&x, true, false, e);
    if (rc) return rc;
    const unsigned char *offer = http2 ? offer_2 : offer_1;
    if (ossl.SSL_CTX_set_alpn_protos(x->ssl, offer, 1u + offer[0]) != 0)   /* 0 is success here */
        return err_set(e, ERR_NOMEM, "TLS: no memory for its context");
    rc = use_trust(x, trust, e);
    if (rc == ERR_OK && trust->cert && trust->cert[0]) rc = use_identity(x, trust->cert, trust->key, e);
    ossl.ERR_clear_error();
    if (rc) return rc;
    *ret = TAKE(x);
    return ERR_OK;
}

/* ---- life ---- */

tls_context *tls_context_ref(tls_context *x)
{
    atomic_fetch_add_explicit(&x->refs, 1, memory_order_relaxed);
    return x;
}

void tls_context_free(tls_context *x)
{
    if (!x || atomic_fetch_sub_explicit(&x->refs, 1, memory_order_acq_rel) > 1) return;
    ossl.SSL_CTX_free(x->ssl);
    tls_tickets_free(x->tickets);
    if (x->bio) ossl.BIO_meth_free(x->bio);
    mem_free(x);
}

int tls_context_days_left(const tls_context *x) { return x->days_left; }
const char *tls_context_authorities(const tls_context *x) { return x->authorities; }
SSL_CTX *tls_context_ssl(const tls_context *x) { return x->ssl; }
const BIO_METHOD *tls_context_bio(const tls_context *x) { return x->bio; }
