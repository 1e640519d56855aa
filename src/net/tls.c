#include "net/tls.h"

#include "base/mem.h"
#include "net/openssl.h"

#include <string.h>

struct tls {
    SSL *ssl;
    tls_context *context;
    const uint8_t *in;
    size_t in_len;
    outbox *out;               /* of the call under way */
    uint32_t idle_messages;
    bool ready, ended, failed, flooded;
    uint8_t why;
    unsigned long error;
};

/* ---- OpenSSL's side of the bytes ---- */

static int bio_read(BIO *b, char *place, int room)
{
    tls *t = ossl.BIO_get_data(b);
    ossl.BIO_clear_flags(b, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    if (t->flooded) return -1;
    size_t n = room > 0 ? (size_t)room : 0;
    if (n > t->in_len) n = t->in_len;
    if (n == 0) {
        ossl.BIO_set_flags(b, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
        return -1;
    }
    memcpy(place, t->in, n);
    t->in += n;
    t->in_len -= n;
    return (int)n;
}

static int bio_write(BIO *b, const char *bytes, int len)
{
    tls *t = ossl.BIO_get_data(b);
    ossl.BIO_clear_flags(b, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    INVARIANT(t->out && len >= 0);
    return outbox_put(t->out, bytes, (size_t)len) ? len : -1;
}

static long bio_control(BIO *b, int what, long number, void *p)
{
    (void)b, (void)number, (void)p;
    return what == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_bio_method(void)
{
    BIO_METHOD *m = ossl.BIO_meth_new(BIO_TYPE_SOURCE_SINK, "proa");
    bool set = m && ossl.BIO_meth_set_read(m, bio_read) && ossl.BIO_meth_set_write(m, bio_write) &&
               ossl.BIO_meth_set_ctrl(m, bio_control);
    if (m && !set) ossl.BIO_meth_free(m);
    return set ? m : NULL;
}

/* Sees every message.  After the handshake the only ones a client may send are key updates; OpenSSL itself takes any
 * number of those, and answers attempts to renegotiate by a warning, for as long as they come. */
void tls_on_message(int sent, int version, int type, const void *bytes, size_t len, SSL *ssl, void *arg)
{
    tls *t = arg;
    const uint8_t *p = bytes;
    (void)version, (void)ssl;
    if (!t || !t->ready) return;
    if (type == SSL3_RT_HANDSHAKE && !sent) t->flooded |= ++t->idle_messages > TLS_IDLE_MESSAGES_MAX;
    if (type == SSL3_RT_ALERT && sent && len == 2 && p[1] == SSL_AD_NO_RENEGOTIATION) t->flooded = true;
}

/* ---- events ---- */

static tls_failure failure(unsigned long code)
{
    static const struct {
        int reason;
        tls_failure why;
    } rows[] = {
        {SSL_R_UNSUPPORTED_PROTOCOL, TLS_FAILURE_VERSION},
        {SSL_R_VERSION_TOO_LOW, TLS_FAILURE_VERSION},
        {SSL_R_UNKNOWN_PROTOCOL, TLS_FAILURE_VERSION},
        {SSL_R_NO_SHARED_CIPHER, TLS_FAILURE_CIPHER},
        {SSL_R_NO_SUITABLE_KEY_SHARE, TLS_FAILURE_CIPHER},
        {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, TLS_FAILURE_CIPHER},
        {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, TLS_FAILURE_CLIENT},
        {SSL_R_CERTIFICATE_VERIFY_FAILED, TLS_FAILURE_CLIENT},
    };
    if (ERR_GET_LIB(code) != ERR_LIB_SSL) return TLS_FAILURE_PROTOCOL;
    int reason = ERR_GET_REASON(code);
    if (reason > SSL_AD_REASON_OFFSET) return TLS_FAILURE_ALERT;
    for (size_t i = 0; i < COUNTOF(rows); i++)
        if (rows[i].reason == reason) return rows[i].why;
    return TLS_FAILURE_PROTOCOL;
}

static tls_event fail(tls *t)
{
    t->failed = true;
    t->error = ossl.ERR_peek_error();
    t->why = (uint8_t)failure(t->error);
    ossl.ERR_clear_error();
    return TLS_FAILED;
}

/* What a call that did not succeed means. */
static tls_event no_success(tls *t, int rc)
{
    switch (ossl.SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ: return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN: return TLS_END;
    default: return fail(t);
    }
}

static tls_event shake_hands(tls *t)
{
    int rc = ossl.SSL_do_handshake(t->ssl);
    if (rc != 1) return no_success(t, rc);
    t->ready = true;
    return TLS_READY;
}

tls_event tls_read(tls *t, uint8_t *place, size_t room, size_t *ret_n, outbox *out)
{
    tls_event got = TLS_DATA;
    INVARIANT(room > 0 && !t->failed);
    t->out = out;
    ossl.ERR_clear_error();
    if (!t->ready) {
        got = shake_hands(t);
    } else {
        int rc = ossl.SSL_read_ex(t->ssl, place, room, ret_n);
        if (rc == 1)
            t->idle_messages = 0;
        else
            got = no_success(t, rc);
        if (t->flooded && got != TLS_FAILED) got = fail(t);
    }
    t->out = NULL;
    return got;
}

static bool seal(tls *t, const uint8_t *bytes, size_t len)
{
    size_t n = 0;
    return len == 0 || (ossl.SSL_write_ex(t->ssl, bytes, len, &n) == 1 && n == len);
}

bool tls_write(tls *t, const struct iovec *pieces, size_t count, uint8_t *stage, outbox *out)
{
    size_t staged = 0;
    bool sealed = true;
    INVARIANT(t->ready && !t->failed && !t->ended);
    t->out = out;
    ossl.ERR_clear_error();
    for (size_t i = 0; i < count && sealed; i++) {
        const uint8_t *p = pieces[i].iov_base;
        for (size_t left = pieces[i].iov_len; left && sealed;) {
            /* Whole records go from where they lie; what is smaller is gathered. */
            bool direct = staged == 0 && left >= TLS_RECORD_BYTES_MAX;
            size_t n = direct ? left / TLS_RECORD_BYTES_MAX * TLS_RECORD_BYTES_MAX : TLS_RECORD_BYTES_MAX - staged;
            if (n > left) n = left;
            if (direct) {
                sealed = seal(t, p, n);
            } else {
                memcpy(stage + staged, p, n);
                staged += n;
            }
            p += n;
            left -= n;
            if (staged < TLS_RECORD_BYTES_MAX) continue;
            sealed = sealed && seal(t, stage, staged);
            staged = 0;
        }
    }
    if (sealed) sealed = seal(t, stage, staged);
    if (!sealed) (void)fail(t);
    t->out = NULL;
    return sealed;
}

void tls_end(tls *t, outbox *out)
{
    if (t->ended || t->failed || !t->ready) return;
    t->ended = true;
    t->out = out;
    ossl.ERR_clear_error();
    (void)ossl.SSL_shutdown(t->ssl);   /* whatever it says: the peer's own goodbye is not waited for */
    ossl.ERR_clear_error();
    t->out = NULL;
}

/* ---- life ---- */

static tls *session_new(tls_context *x)
{
    tls *t = mem_new0(tls, 1);
    if (!t) return NULL;
    t->context = tls_context_ref(x);
    ossl.ERR_clear_error();
    t->ssl = ossl.SSL_new(tls_context_ssl(x));
    BIO *bio = t->ssl ? ossl.BIO_new(tls_context_bio(x)) : NULL;
    if (!bio) {
        ossl.ERR_clear_error();
        tls_free(t);
        return NULL;
    }
    ossl.BIO_set_data(bio, t);
    ossl.BIO_set_init(bio, 1);
    ossl.SSL_set_bio(t->ssl, bio, bio);   /* takes it */
    (void)ossl.SSL_ctrl(t->ssl, SSL_CTRL_SET_MSG_CALLBACK_ARG, 0, t);
    return t;
}

tls *tls_new(tls_context *x)
{
    tls *t = session_new(x);
    if (t) ossl.SSL_set_accept_state(t->ssl);
    return t;
}

tls *tls_new_client(tls_context *x, tls_verdict *v)
{
    tls *t = session_new(x);
    if (!t) return NULL;
    ossl.SSL_set_connect_state(t->ssl);
    if (tls_verdict_ask(v, t->ssl)) return t;
    ossl.ERR_clear_error();
    tls_free(t);
    return NULL;
}

void tls_free(tls *t)
{
    if (!t) return;
    ossl.SSL_free(t->ssl);
    tls_context_free(t->context);
    mem_free(t);
}

void tls_feed(tls *t, const uint8_t *data, size_t len)
{
    t->in = data;
    t->in_len = len;
}

size_t tls_unread(const tls *t) { return t->in_len; }
bool tls_holds(const tls *t) { return ossl.SSL_pending(t->ssl) > 0; }
bool tls_ready(const tls *t) { return t->ready; }
bool tls_is_13(const tls *t) { return ossl.SSL_version(t->ssl) == TLS1_3_VERSION; }
tls_failure tls_why(const tls *t) { return (tls_failure)t->why; }

unsigned long tls_error(const tls *t) { return t->error; }

str tls_protocol(const tls *t)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    ossl.SSL_get0_alpn_selected(t->ssl, &name, &len);
    return (str){(const char *)name, len};
}

bool tls_chose_http2(const tls *t) { return str_is(tls_protocol(t), "h2"); }
