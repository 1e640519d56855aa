#include "net/tls_tickets.h"

#include "base/mem.h"
#include "net/openssl.h"
#include "os/clock.h"
#include "os/random.h"

#include <stdatomic.h>
#include <string.h>

/* The one that seals, the one before, and the one before that, which is wiped: whoever looks a key up as it becomes
 * too old may still read it.  The fourth is the next one's place. */
enum { KEYS = 4, NAME_BYTES = 16, IV_BYTES = 16, SECRET_BYTES = 32, APP_DATA = 0 };

typedef struct {
    uint64_t since_us;
    uint8_t name[NAME_BYTES], cipher[SECRET_BYTES], mac[SECRET_BYTES];
} key;

struct tls_tickets {
    key keys[KEYS];
    _Atomic uint32_t now;           /* which of all keys that ever were seals: at keys[now % KEYS] */
    _Atomic bool changing;
};

static err_code key_make(key *k, uint64_t since_us, err *e)
{
    key made = {.since_us = since_us};
    err_code rc = random_bytes(made.name, sizeof made.name, e);
    if (rc == ERR_OK) rc = random_bytes(made.cipher, sizeof made.cipher, e);
    if (rc == ERR_OK) rc = random_bytes(made.mac, sizeof made.mac, e);
    if (rc == ERR_OK) *k = made;
    explicit_bzero(&made, sizeof made);
    return rc;
}

/* One caller does it; the others go on with the old key, and so does who finds no random bytes. */
static void change(tls_tickets *t, uint32_t from, uint64_t now_us)
{
    err e;
    if (atomic_exchange(&t->changing, true)) return;
    if (atomic_load(&t->now) == from && key_make(&t->keys[(from + 1) % KEYS], now_us, &e) == ERR_OK) {
        atomic_store(&t->now, from + 1);
        explicit_bzero(&t->keys[(from + 2) % KEYS], sizeof(key));   /* two before `from` */
    }
    atomic_store(&t->changing, false);
}

static const key *sealing(tls_tickets *t)
{
    uint32_t n = atomic_load(&t->now);
    uint64_t now_us = clock_now_us();
    if (now_us - t->keys[n % KEYS].since_us >= TLS_TICKETS_PERIOD_US) change(t, n, now_us);
    return &t->keys[atomic_load(&t->now) % KEYS];
}

/* NULL = not ours, or too old: a whole handshake. */
static const key *opening(tls_tickets *t, const uint8_t *name)
{
    uint32_t n = atomic_load(&t->now);
    for (uint32_t i = 0; i < 2 && i <= n; i++) {
        const key *k = &t->keys[(n - i) % KEYS];
        if (memcmp(k->name, name, NAME_BYTES) != 0) continue;
        return clock_now_us() - k->since_us < 2 * TLS_TICKETS_PERIOD_US ? k : NULL;
    }
    return NULL;
}

/* Without const: OpenSSL's type, which reads only. */
static OSSL_PARAM param(const char *name, unsigned type, const void *data, size_t bytes)
{
    return (OSSL_PARAM){name, type, (void *)(uintptr_t)data, bytes, OSSL_PARAM_UNMODIFIED};
}

/* 1 = sealed, or opened; 2 = opened, and a new one is due; 0 = not ours; -1 = the handshake fails. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int seals)
{
    tls_tickets *t = ossl.SSL_CTX_get_ex_data(ossl.SSL_get_SSL_CTX(ssl), APP_DATA);
    const key *k = seals ? sealing(t) : opening(t, name);
    err e;
    if (!k) return 0;
    if (seals) {
        memcpy(name, k->name, NAME_BYTES);
        if (random_bytes(iv, IV_BYTES, &e)) return -1;
    }
    const OSSL_PARAM params[] = {param(OSSL_MAC_PARAM_KEY, OSSL_PARAM_OCTET_STRING, k->mac, sizeof k->mac),
                                 param(OSSL_MAC_PARAM_DIGEST, OSSL_PARAM_UTF8_STRING, "SHA256", 6), {.key = NULL}};
    bool ready = ossl.EVP_MAC_CTX_set_params(mac, params) == 1 &&
                 (seals ? ossl.EVP_EncryptInit_ex(cipher, ossl.EVP_aes_256_cbc(), NULL, k->cipher, iv)
                        : ossl.EVP_DecryptInit_ex(cipher, ossl.EVP_aes_256_cbc(), NULL, k->cipher, iv)) == 1;
    if (!ready) return -1;
    bool renewed = ossl.SSL_version(ssl) == TLS1_3_VERSION || k != &t->keys[atomic_load(&t->now) % KEYS];
    return !seals && renewed ? 2 : 1;
}

err_code tls_tickets_new(tls_tickets **ret, SSL_CTX *ssl, err *e)
{
    CLEANUP(tls_tickets) tls_tickets *t = mem_new0(tls_tickets, 1);
    if (!t) return err_set(e, ERR_NOMEM, "TLS: no memory for the keys of its tickets");
    err_code rc = key_make(&t->keys[0], clock_now_us(), e);
    if (rc) return err_wrap(e, "TLS");
    if (ossl.SSL_CTX_set_ex_data(ssl, APP_DATA, t) != 1 ||
        ossl.SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, on_ticket) != 1)
        return err_set(e, ERR_NOMEM, "TLS: no memory for its context");
    *ret = TAKE(t);
    return ERR_OK;
}

void tls_tickets_free(tls_tickets *t)
{
    if (t) explicit_bzero(t, sizeof *t);
    mem_free(t);
}
