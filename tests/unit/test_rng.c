/* The stream is a function of the seed, never gets stuck, and rng_below() favours no answer. */
#include "base/rng.h"
#include "test.h"

static void a_seed_replays_and_seeds_differ(void)
{
    rng a, b, c;
    rng_init(&a, 42);
    rng_init(&b, 42);
    rng_init(&c, 43);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = rng_u64(&a);
        CHECK_U64(rng_u64(&b), x);
        same += rng_u64(&c) == x;
    }
    CHECK(same == 0);
}

static void no_seed_gets_stuck(void)
{
    /* The second is the one that the seed's finaliser maps to zero. */
    const uint64_t seeds[] = {0, 0 - 0x9e3779b97f4a7c15u, 1, UINT64_MAX};
    for (size_t i = 0; i < COUNTOF(seeds); i++) {
        rng r;
        rng_init(&r, seeds[i]);
        CHECK(r.state != 0 && rng_u64(&r) != rng_u64(&r));
    }
}

static void below_is_in_range_and_even(void)
{
    rng r;
    rng_init(&r, 7);
    const uint64_t ns[] = {1, 2, 3, 10, 1000, 1ull << 63, (1ull << 63) + 1, UINT64_MAX};
    for (size_t i = 0; i < COUNTOF(ns); i++) {
        for (int k = 0; k < 1000; k++) CHECK(rng_below(&r, ns[i]) < ns[i]);
    }
    uint64_t counts[3] = {0}, thirds = 0, low = 0, three_quarters = 3ull << 62;
    for (int k = 0; k < 30000; k++) {
        counts[rng_below(&r, 3)]++;
        /* A modulo would answer under 2^62, and a multiply without the rejection a multiple of 3, too often. */
        uint64_t x = rng_below(&r, three_quarters);
        low += x < 1ull << 62;
        thirds += x % 3 == 0;
    }
    for (int k = 0; k < 3; k++) CHECK(counts[k] > 9600 && counts[k] < 10400);
    CHECK(low > 9600 && low < 10400 && thirds > 9600 && thirds < 10400);
}

static void unit_is_half_open(void)
{
    rng r;
    double sum = 0;
    rng_init(&r, 9);
    for (int k = 0; k < 100000; k++) {
        double u = rng_unit(&r);
        CHECK(u >= 0 && u < 1);
        sum += u;
    }
    CHECK(sum > 49500 && sum < 50500);
}

int main(void)
{
    static const test_case cases[] = {TEST(a_seed_replays_and_seeds_differ), TEST(no_seed_gets_stuck),
                                      TEST(below_is_in_range_and_even), TEST(unit_is_half_open)};
    return test_main(cases, COUNTOF(cases));
}
