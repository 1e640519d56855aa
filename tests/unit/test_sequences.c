/* Of each sequence one item may go at a time, in the order of arrival, whoever leaves from whatever place; items
 * without a sequence always may. */
#include "base/rng.h"
#include "sched/sequences.h"
#include "test.h"

enum { ITEMS = 200, KEYS = 7 };

static void one_goes_at_a_time_and_in_order(void)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        static batch_item items[ITEMS];
        bool inside[ITEMS] = {0}, may[ITEMS] = {0};
        sequences s;
        rng r;
        rng_init(&r, seed);
        sequences_init(&s);
        memset(items, 0, sizeof items);
        uint32_t born = 0, left = 0;
        while (left < ITEMS) {
            uint32_t n = (uint32_t)rng_below(&r, ITEMS);
            if (born < ITEMS && rng_below(&r, 2)) {
                items[born].sequence = rng_below(&r, KEYS);
                inside[born] = true;
                may[born] = sequences_join(&s, &items[born]);
                born++;
            } else if (inside[n]) {
                inside[n] = false;
                left++;
                batch_item *next = sequences_leave(&s, &items[n]);
                CHECK(!next || (may[n] && next->sequence == items[n].sequence && !may[next - items]));
                if (next) may[next - items] = true;
            }
            bool seen[KEYS] = {0};
            for (uint32_t i = 0; i < born; i++) {   /* those inside, as they came: the first of each key may go */
                if (!inside[i]) continue;
                uint64_t key = items[i].sequence;
                CHECK(may[i] == (key == 0 || !seen[key]));
                seen[key] = true;
            }
        }
    }
}

int main(void)
{
    const test_case cases[] = {TEST(one_goes_at_a_time_and_in_order)};
    return test_main(cases, COUNTOF(cases));
}
