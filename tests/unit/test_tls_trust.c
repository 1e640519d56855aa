/* What must hold for the flags of trust: what fits together passes; a flag that would have no effect, or half of one,
 * is refused by its name, so that nobody believes in a check that nobody makes. */
#include "net/tls_trust.h"
#include "test.h"

static void what_fits_together_passes(void)
{
    err e;
    static const tls_trust good[] = {{.cacert = NULL}, {.cacert = ""}, {.cacert = "ca"}, {.insecure = true},
                                     {.cert = "c", .key = "k"}, {.cacert = "ca", .cert = "c", .key = "k"},
                                     {.cert = "c", .key = "k", .insecure = true}};
    for (size_t i = 0; i < COUNTOF(good); i++) CHECK(tls_trust_check(&good[i], true, "https://h", &e) == ERR_OK);
    for (size_t i = 0; i < 2; i++) CHECK(tls_trust_check(&good[i], false, "h:1", &e) == ERR_OK);
}

static void what_would_have_no_effect_is_refused(void)
{
    static const struct {
        tls_trust trust;
        bool secure;
        const char *want;
    } rows[] = {
        {{.cacert = "ca"}, false, "--cacert: expected an https address with it, got 'h:1'"},
        {{.insecure = true}, false, "--insecure: expected an https address with it, got 'h:1'"},
        {{.cert = "c", .key = "k"}, false, "--cert: expected an https address with it, got 'h:1'"},
        {{.key = "k", .prefix = "otlp-"}, false, "otlp-key: expected an https address with it, got 'h:1'"},
        {{.cert = "c"}, true, "--cert: expected --key with it, got none"},
        {{.key = "k", .cert = "", .prefix = "otlp-"}, true, "otlp-key: expected otlp-cert with it, got none"},
        {{.cacert = "ca", .insecure = true}, true, "--insecure: expected one of it and --cacert, got both"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        CHECK(tls_trust_check(&rows[i].trust, rows[i].secure, "h:1", &e) == ERR_INVALID);
        CHECK_STR(e.text, rows[i].want);
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(what_fits_together_passes),
        TEST(what_would_have_no_effect_is_refused),
    };
    return test_main(cases, COUNTOF(cases));
}
