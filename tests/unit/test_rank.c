/* Property: probabilities sum to 1 and never overflow; the best k are those of a full sort, in an
 * order that is total. */
#include "media/rank.h"
#include "base/rng.h"
#include "test.h"

#include <math.h>

static void softmax_is_exp_over_its_sum(void)
{
    float y[4];
    rank_softmax(y, (float[]){1, 2, 3, 4}, 4);
    CHECK(fabs((double)y[0] - 0.0320586) < 1e-7 && fabs((double)y[3] - 0.6439143) < 1e-7);
    rank_softmax(y, (float[]){1000, 1000, -1000, 1000}, 4);
    CHECK(fabs((double)y[0] - 1.0 / 3) < 1e-7 && y[2] == 0);
    rank_softmax(y, (float[]){-INFINITY, 0, INFINITY, INFINITY}, 4);
    CHECK(y[0] == 0 && y[1] == 0 && y[2] == 0.5f && y[3] == 0.5f);
    rank_softmax(y, (float[]){-INFINITY, -INFINITY}, 2);
    CHECK(y[0] == 0.5f && y[1] == 0.5f);
    rank_softmax(y, (float[]){1, NAN, 3, 2}, 4);
    for (size_t i = 0; i < 4; i++) CHECK(isnan(y[i]));
    y[0] = 7;
    rank_softmax(y, y, 1);
    CHECK(y[0] == 1);
    rank_softmax(NULL, NULL, 0);
}

static void the_best_come_first_and_equals_by_index(void)
{
    static const float x[] = {1, NAN, 5, 5, -INFINITY, 7, NAN, 0};
    static const uint32_t want[] = {5, 2, 3, 0, 7, 4, 1, 6};
    uint32_t got[9];
    for (size_t k = 0; k < 10; k++) {
        size_t count = rank_top(x, 8, k, got);
        CHECK_U64(count, k < 8 ? k : 8);
        CHECK(memcmp(got, want, count * sizeof *got) == 0);
    }
    CHECK_U64(rank_top(x, 0, 5, got), 0);
}

static void the_best_of_many_are_those_of_a_full_order(void)
{
    rng r;
    rng_init(&r, 1);
    for (int turn = 0; turn < 300; turn++) {
        float x[60];
        uint32_t got[60];
        size_t n = 1 + rng_below(&r, 60), k = 1 + rng_below(&r, n);
        for (size_t i = 0; i < n; i++) x[i] = rng_below(&r, 20) ? (float)rng_below(&r, 25) : NAN;
        CHECK_U64(rank_top(x, n, k, got), k);
        for (size_t i = 0; i < k; i++) {
            size_t before = 0;
            for (uint32_t j = 0; j < n; j++) before += j != got[i] && rank_before(x, j, got[i]);
            CHECK_U64(before, i);
        }
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(softmax_is_exp_over_its_sum), TEST(the_best_come_first_and_equals_by_index),
                                      TEST(the_best_of_many_are_those_of_a_full_order)};
    return test_main(cases, COUNTOF(cases));
}
