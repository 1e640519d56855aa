/* Over any stretch of time at most burst + rate * time pass, whoever waits as long as he is told passes then, and odd
 * rates do not drift. */
#include "base/rng.h"
#include "sched/rate_limit.h"
#include "test.h"

static void a_burst_passes_then_the_rate(void)
{
    rate_limit r;
    rate_limit_init(&r, 1000, 5);
    const uint64_t now = 1000000000;
    for (int i = 0; i < 5; i++) {
        CHECK_U64(rate_limit_wait_ns(&r, now), 0);
        rate_limit_take(&r, now);
    }
    CHECK_U64(rate_limit_wait_ns(&r, now), 1000000);
    CHECK_U64(rate_limit_wait_ns(&r, now + 999999), 1);
    CHECK_U64(rate_limit_wait_ns(&r, now + 1000000), 0);
    CHECK_U64(rate_limit_wait_ns(&r, now - 1000), 1001000);
}

static void no_rate_is_no_limit(void)
{
    rate_limit r;
    rate_limit_init(&r, 0, 0);
    for (int i = 0; i < 1000; i++) {
        CHECK_U64(rate_limit_wait_ns(&r, 0), 0);
        rate_limit_take(&r, 0);
    }
}

static void odd_rates_do_not_drift(void)
{
    const uint32_t rates[] = {1, 3, 7, 999, 1000003, 4000000000u};
    for (size_t i = 0; i < COUNTOF(rates); i++) {
        rate_limit r;
        uint64_t now = 12345;
        rate_limit_init(&r, rates[i], 1);
        for (uint32_t n = 0; n < 30000; n++) {
            now += rate_limit_wait_ns(&r, now);
            rate_limit_take(&r, now);
        }
        uint64_t want = 12345 + (uint64_t)(29999.0 * 1e9 / rates[i]);
        CHECK(now + 2 >= want && now <= want + 2);
    }
}

static void no_stretch_of_time_lets_more_through(void)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        rng g;
        rate_limit r;
        rng_init(&g, seed);
        uint32_t per_s = 1 + (uint32_t)rng_below(&g, 5000), burst = 1 + (uint32_t)rng_below(&g, 20);
        rate_limit_init(&r, per_s, burst);
        uint64_t now = 0, passed = 0;
        for (uint32_t n = 0; n < 2000; n++) {
            now += rng_below(&g, 400000);
            if (rate_limit_wait_ns(&r, now) == 0) {
                rate_limit_take(&r, now);
                passed++;
            }
            CHECK((double)passed <= burst + per_s * (double)now / 1e9 + 1e-3);
        }
    }
}

int main(void)
{
    const test_case cases[] = {
        TEST(a_burst_passes_then_the_rate),
        TEST(no_rate_is_no_limit),
        TEST(odd_rates_do_not_drift),
        TEST(no_stretch_of_time_lets_more_through),
    };
    return test_main(cases, COUNTOF(cases));
}
