#include "net/openssl.h"

#include "os/lib.h"

openssl ossl;

#define X(f) {#f, (void **)(uintptr_t)&ossl.f},
static const lib_symbol of_crypto[] = {OPENSSL_OF_CRYPTO(X)};
static const lib_symbol of_ssl[] = {OPENSSL_OF_SSL(X)};
#undef X

static lib crypto = {
    .title = "TLS", .names = {"libcrypto.so.3"}, .symbols = of_crypto, .count = COUNTOF(of_crypto)};
static lib ssl = {.title = "TLS", .names = {"libssl.so.3"}, .symbols = of_ssl, .count = COUNTOF(of_ssl)};

/* libcrypto first: where it is not the system's, libssl finds it only because it is open. */
err_code openssl_need(err *e)
{
    err_code rc = lib_need(&crypto, e);
    return rc ? rc : lib_need(&ssl, e);
}
