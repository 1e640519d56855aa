/* The curve finds what batches cost under noise and stalls, between and beyond the sizes that it saw, follows a machine
 * that becomes slower, never falls, and knows where larger batches stop to pay. */
#include "base/rng.h"
#include "sched/cost_curve.h"
#include "test.h"

static bool near(uint64_t got, uint64_t want, double part)
{
    return (double)got > (double)want * (1 - part) && (double)got < (double)want * (1 + part);
}

static uint64_t affine(uint64_t n) { return 2000000 + 250000 * n; }

static void learn(cost_curve *c, uint64_t most, uint64_t seed, uint32_t runs, uint64_t factor)
{
    rng r;
    rng_init(&r, seed);
    for (uint32_t i = 0; i < runs; i++) {
        uint64_t n = 1 + rng_below(&r, most), cost = affine(n) * factor;
        cost = (uint64_t)((double)cost * (0.9 + 0.2 * rng_unit(&r)));
        if (rng_below(&r, 25) == 0) cost *= 10;   /* a stall */
        cost_curve_add(c, n, cost);
    }
}

static void noise_and_stalls_do_not_hide_the_line(void)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        cost_curve c;
        cost_curve_init(&c);
        CHECK(!cost_curve_known(&c));
        CHECK_U64(cost_curve_mean(&c, 5), 0);
        learn(&c, 32, seed, 2000, 1);
        for (uint64_t n = 1; n <= 32; n++) CHECK(near(cost_curve_mean(&c, n), affine(n), 0.3));
        CHECK(near(cost_curve_mean(&c, 64), affine(64), 0.3));
        CHECK(cost_curve_high(&c, 8) > cost_curve_mean(&c, 8));
        CHECK(cost_curve_tried(&c) > 24 && cost_curve_tried(&c) <= 32);
    }
}

static void a_slower_machine_is_noticed_soon(void)
{
    cost_curve c;
    cost_curve_init(&c);
    for (int i = 0; i < 500; i++) cost_curve_add(&c, 4, 1000000);
    for (int i = 0; i < 60; i++) cost_curve_add(&c, 4, 5000000);
    CHECK(near(cost_curve_mean(&c, 4), 5000000, 0.2));
    for (int i = 0; i < 100; i++) cost_curve_add(&c, 4, 1000000);
    CHECK(near(cost_curve_mean(&c, 4), 1000000, 0.3));
}

static void it_never_falls_and_of_one_band_twice_the_work_is_hoped_for(void)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        cost_curve c;
        rng r;
        rng_init(&r, seed);
        cost_curve_init(&c);
        for (int i = 0; i < 40; i++) cost_curve_add(&c, 1 + rng_below(&r, 100000), 1 + rng_below(&r, 1000000));
        uint64_t before = 0;
        for (uint64_t n = 1; n < 1 << 20; n += n / 8 + 1) {
            uint64_t now = cost_curve_mean(&c, n);
            CHECK(now >= before);
            before = now;
        }
    }
    cost_curve one;
    cost_curve_init(&one);
    cost_curve_add(&one, 2, 1000000);
    CHECK_U64(cost_curve_mean(&one, 4), 1000000);
    CHECK_U64(cost_curve_mean(&one, 8), 2000000);
    CHECK(cost_curve_mean(&one, 1) <= 1000000);
}

static void the_most_within_a_limit_is_found(void)
{
    cost_curve c;
    cost_curve_init(&c);
    for (int i = 0; i < 100; i++)
        for (uint64_t n = 1; n <= 32; n++) cost_curve_add(&c, n, affine(n));
    uint64_t n = cost_curve_within(&c, affine(20), 1000);
    CHECK(n >= 16 && n <= 20);
    CHECK(cost_curve_high(&c, n) <= affine(20) && cost_curve_high(&c, n + 1) > affine(20));
    CHECK_U64(cost_curve_within(&c, 1000, 1000), 0);
    CHECK_U64(cost_curve_within(&c, UINT64_MAX, 1000), 1000);
}

static void cheap_is_what_costs_a_quarter_more_than_the_least(void)
{
    cost_curve c;
    cost_curve_init(&c);
    CHECK_U64(cost_curve_cheap(&c, 9), 9);
    for (uint64_t n = 0; n < 640; n++) cost_curve_add(&c, 1 + n % 64, 10000000 + 250000 * (1 + n % 64));
    uint64_t cheap = cost_curve_cheap(&c, 64);   /* 10.25 ms and a quarter more is 12.8 ms: 11 */
    CHECK(cheap >= 9 && cheap <= 13);
    CHECK_U64(cost_curve_cheap(&c, 5), 5);
}

static void enough_is_where_more_does_not_pay(void)
{
    cost_curve gains, not, worse;
    cost_curve_init(&gains);
    cost_curve_init(&not);
    cost_curve_init(&worse);
    for (int i = 0; i < 20; i++)
        for (uint64_t n = 1; n <= 32; n++) {
            cost_curve_add(&gains, n, 20000000 + 1000 * n);
            cost_curve_add(&not, n, 1000000 * n);
            cost_curve_add(&worse, n, n <= 8 ? 1000000 + 100000 * n : 400000 * n);
        }
    CHECK(cost_curve_enough(&gains) == UINT64_MAX);
    CHECK_U64(cost_curve_enough(&not), 1);
    CHECK(cost_curve_enough(&worse) >= 6 && cost_curve_enough(&worse) <= 10);
    cost_curve_add(&not, 100, 1000);   /* a clock that jumped: one run judges nobody */
    CHECK_U64(cost_curve_enough(&not), 1);
}

static void what_is_forgotten_says_nothing_any_more(void)
{
    cost_curve c;
    cost_curve_init(&c);
    cost_curve_add(&c, 4, 1000000);
    cost_curve_add(&c, 32, 100000000);
    CHECK(cost_curve_sloped(&c) && cost_curve_mean(&c, 64) > 190000000);
    cost_curve_forget(&c, 4);
    CHECK(cost_curve_known(&c) && !cost_curve_sloped(&c));
    CHECK_U64(cost_curve_tried(&c), 4);
    CHECK_U64(cost_curve_mean(&c, 4), 1000000);
    CHECK_U64(cost_curve_mean(&c, 8), 1000000);
    cost_curve_forget(&c, 0);
    CHECK(!cost_curve_known(&c));
}

static void a_cost_beyond_all_clocks_is_held_to_what_can_be_said(void)
{
    cost_curve c;
    cost_curve_init(&c);
    cost_curve_add(&c, 1, 1000000000000);
    CHECK_U64(cost_curve_mean(&c, UINT64_C(1) << 40), UINT64_C(1) << 63);
}

/* A stalled run of the next size makes the slope a thousand times too steep; runs of a size that has many widths then
 * say what they cost, not less. */
static void a_slope_that_a_stall_made_takes_no_mean_below_its_runs(void)
{
    for (uint64_t stall = 1000000; stall <= 10000000000; stall *= 10) {
        cost_curve c;
        cost_curve_init(&c);
        for (int i = 0; i < 20; i++) cost_curve_add(&c, 6 * 256 + 200, 10000);
        cost_curve_add(&c, 8 * 256, stall);
        for (int i = 0; i < 20; i++) {
            cost_curve_add(&c, i % 2 ? 6 * 256 : 6 * 256 + 400, 10000);
            uint64_t mean = cost_curve_mean(&c, 6 * 256);   /* below the mean work: a quarter of its cost at least */
            CHECK(mean >= 2500 && mean <= 10000);
        }
    }
}

int main(void)
{
    const test_case cases[] = {
        TEST(noise_and_stalls_do_not_hide_the_line),
        TEST(a_slower_machine_is_noticed_soon),
        TEST(it_never_falls_and_of_one_band_twice_the_work_is_hoped_for),
        TEST(the_most_within_a_limit_is_found),
        TEST(cheap_is_what_costs_a_quarter_more_than_the_least),
        TEST(enough_is_where_more_does_not_pay),
        TEST(what_is_forgotten_says_nothing_any_more),
        TEST(a_cost_beyond_all_clocks_is_held_to_what_can_be_said),
        TEST(a_slope_that_a_stall_made_takes_no_mean_below_its_runs),
    };
    return test_main(cases, COUNTOF(cases));
}
