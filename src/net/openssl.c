#include "net/openssl.h"

#include "async/slabs.h"
#include "os/lib.h"

openssl ossl;

#define X(f) {#f, (void **)(uintptr_t)&ossl.f},
static const lib_symbol of_crypto[] = {OPENSSL_OF_CRYPTO(X)};
static const lib_symbol of_ssl[] = {OPENSSL_OF_SSL(X)};
#undef X

/* A handshake takes and gives hundreds of small blocks, between those that stay.  Where OpenSSL has allocated already,
 * or allocates from elsewhere, for another user in this process, that stays so. */
static void *take(size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    return slabs_take(bytes);
}

static void *grow(void *p, size_t bytes, const char *file, int line)
{
    (void)file, (void)line;
    return slabs_grow(p, bytes);
}

static void give(void *p, const char *file, int line)
{
    (void)file, (void)line;
    slabs_give(p);
}

static void opened(void)
{
    CRYPTO_malloc_fn before = NULL;
    ossl.CRYPTO_get_mem_functions(&before, NULL, NULL);
    if (slab_recycles() && before == ossl.CRYPTO_malloc) (void)ossl.CRYPTO_set_mem_functions(take, grow, give);
}

void openssl_trim(void) { slabs_trim(); }

static lib crypto = {.title = "TLS",
                     .names = {"libcrypto.so.3"},
                     .symbols = of_crypto,
                     .count = COUNTOF(of_crypto),
                     .opened = opened};
static lib ssl = {.title = "TLS", .names = {"libssl.so.3"}, .symbols = of_ssl, .count = COUNTOF(of_ssl)};

/* libcrypto first: where it is not the system's, libssl finds it only because it is open. */
err_code openssl_need(err *e)
{
    err_code rc = lib_need(&crypto, e);
    return rc ? rc : lib_need(&ssl, e);
}
