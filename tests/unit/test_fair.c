/* Among shares that always have work each gets its weight's part of the time, whatever a turn costs; one that was idle
 * neither catches up nor is held back; nobody who is ready waits for ever. */
#include "base/rng.h"
#include "sched/fair.h"
#include "test.h"

static void time_is_shared_by_weight_whatever_turns_cost(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        enum { SHARES = 6 };
        fair f;
        fair_share s[SHARES] = {0};
        rng r;
        rng_init(&r, seed);
        fair_init(&f);
        uint64_t costs[SHARES], all = 0, weights = 0;
        for (uint32_t i = 0; i < SHARES; i++) {
            s[i].weight = 1 + (uint32_t)rng_below(&r, 10);
            costs[i] = 1000 + rng_below(&r, 1000000);
            weights += s[i].weight;
            fair_ready(&f, &s[i], true);
        }
        for (uint32_t turn = 0; turn < 20000; turn++) {
            fair_share *next = fair_pick(&f);
            uint64_t cost = costs[next - s] / 2 + rng_below(&r, costs[next - s]);
            fair_charge(&f, next, (int64_t)costs[next - s]);
            fair_charge(&f, next, (int64_t)cost - (int64_t)costs[next - s]);
            all += cost;
        }
        for (uint32_t i = 0; i < SHARES; i++) {
            double want = (double)all * s[i].weight / (double)weights;
            CHECK((double)s[i].used_ns > want * 0.98 && (double)s[i].used_ns < want * 1.02);
        }
    }
}

static void who_was_idle_is_owed_nothing(void)
{
    fair f;
    fair_share busy = {.weight = 1}, late = {.weight = 1};
    fair_init(&f);
    fair_ready(&f, &busy, true);
    for (int i = 0; i < 1000; i++) fair_charge(&f, fair_pick(&f), 1000);
    fair_ready(&f, &late, true);
    uint64_t before = busy.used_ns;
    for (int i = 0; i < 1000; i++) fair_charge(&f, fair_pick(&f), 1000);
    CHECK(late.used_ns >= 499000 && late.used_ns <= 501000);
    CHECK(busy.used_ns - before >= 499000);
}

static void a_bill_that_is_out_counts_already(void)
{
    fair f;
    fair_share a = {0}, b = {0};
    fair_init(&f);
    fair_ready(&f, &a, true);
    fair_ready(&f, &b, true);
    fair_share *first = fair_pick(&f);
    fair_charge(&f, first, 1000);
    CHECK(fair_pick(&f) != first);
    fair_charge(&f, first, -2000);
    CHECK_U64(first->used_ns, 0);
    CHECK(fair_pick(&f) == first || fair_pick(&f)->used_ns == 0);
}

static void only_who_is_ready_is_picked(void)
{
    fair f;
    fair_share a = {.weight = FAIR_WEIGHT_MAX}, b = {.weight = 1};
    fair_init(&f);
    CHECK(fair_pick(&f) == NULL);
    fair_ready(&f, &a, true);
    fair_ready(&f, &a, true);
    fair_ready(&f, &b, true);
    fair_ready(&f, &a, false);
    fair_ready(&f, &a, false);
    CHECK(fair_pick(&f) == &b);
    fair_charge(&f, &a, 5);
    fair_ready(&f, &b, false);
    CHECK(fair_pick(&f) == NULL);
}

int main(void)
{
    const test_case cases[] = {
        TEST(time_is_shared_by_weight_whatever_turns_cost),
        TEST(who_was_idle_is_owed_nothing),
        TEST(a_bill_that_is_out_counts_already),
        TEST(only_who_is_ready_is_picked),
    };
    return test_main(cases, COUNTOF(cases));
}
