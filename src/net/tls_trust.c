#include "net/tls_trust.h"

#define GIVEN_TEXT(path) ((path) && *(path))
#define GIVEN_SWITCH(on) (on)

/* The first flag that was given; NULL = none. */
static const char *first_given(const tls_trust *t)
{
#define X(of, name, kind, value, help) \
    if (GIVEN_##kind((of)->name)) return #name;
    TLS_TRUST_TABLE(X, t)
#undef X
    return NULL;
}

err_code tls_trust_check(const tls_trust *t, bool secure, const char *address, err *e)
{
    const char *prefix = t->prefix ? t->prefix : "--", *given = first_given(t);
    bool cert = GIVEN_TEXT(t->cert), key = GIVEN_TEXT(t->key);
    if (given && !secure)
        return err_set(e, ERR_INVALID, "%s%s: expected an https address with it, got '%.200s'", prefix, given, address);
    if (cert != key)
        return err_set(e, ERR_INVALID, "%s%s: expected %s%s with it, got none", prefix, cert ? "cert" : "key", prefix,
                       cert ? "key" : "cert");
    if (t->insecure && GIVEN_TEXT(t->cacert))
        return err_set(e, ERR_INVALID, "%sinsecure: expected one of it and %scacert, got both", prefix, prefix);
    return ERR_OK;
}
