/* Who asks over REST may say until when, in the words of gRPC's gateways or of Envoy: the sooner of both counts, and
 * what is no time is refused by name. */
#include "serve/deadline.h"
#include "test.h"

static err_code of(const char *grpc, const char *envoy, uint64_t *ret_us, err *e)
{
    http_header all[2];
    size_t count = 0;
    if (grpc) all[count++] = (http_header){STR("Grpc-Timeout"), str_of(grpc)};
    if (envoy) all[count++] = (http_header){STR("X-Envoy-Expected-Rq-Timeout-Ms"), str_of(envoy)};
    return deadline_of(&(http_request){.headers = all, .header_count = count}, 1000, ret_us, e);
}

static void the_sooner_counts(void)
{
    static const struct {
        const char *grpc, *envoy;
        uint64_t want;
    } rows[] = {
        {NULL, NULL, 0},         {"2m", NULL, 3000},   {NULL, "2", 3000},         {"5m", "2", 3000},
        {"2m", "5", 3000},       {NULL, "0", 0},       {"2m", "0", 3000},         {"0m", NULL, 1000},
        {"0m", "7", 1000},       {"1n", NULL, 1001},   {"1S", "1000", 1001000},
        {NULL, "18446744073709551615", UINT64_MAX},
        {NULL, "18446744073709551", UINT64_MAX},       {NULL, "18446744073709552", UINT64_MAX},
        {"99999999H", NULL, UINT64_C(359999996400000000) + 1000},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        uint64_t got = 7;
        CHECK(of(rows[i].grpc, rows[i].envoy, &got, &e) == ERR_OK);
        CHECK_U64(got, rows[i].want);
    }
}

static void what_is_no_time_is_refused(void)
{
    static const struct {
        const char *grpc, *envoy, *want;
    } rows[] = {
        {"5", NULL, "grpc-timeout: expected 1 to 8 digits and one of H M S m u n, got '5'"},
        {"-1m", "1", "grpc-timeout: expected 1 to 8 digits and one of H M S m u n, got '-1m'"},
        {NULL, "1.5", "x-envoy-expected-rq-timeout-ms: expected milliseconds, got '1.5'"},
        {"1m", "-1", "x-envoy-expected-rq-timeout-ms: expected milliseconds, got '-1'"},
        {NULL, "18446744073709551616",
         "x-envoy-expected-rq-timeout-ms: expected milliseconds, got '18446744073709551616'"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        err e;
        uint64_t got = 7;
        CHECK(of(rows[i].grpc, rows[i].envoy, &got, &e) == ERR_INVALID);
        CHECK_STR(e.text, rows[i].want);
        CHECK_U64(got, 7);
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(the_sooner_counts), TEST(what_is_no_time_is_refused)};
    return test_main(cases, COUNTOF(cases));
}
