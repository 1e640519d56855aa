/* Whatever waits is counted as long as it does, and nothing of it is once it has been taken and let go. */
#include "sched/waiting.h"
#include "test.h"

enum { ITEMS = 40, LEVELS = 3 };

static const batch_rule rule = {.mode = BATCH_ADAPTIVE, .max_batch = 8, .waste_percent = 50};
static batch_item items[ITEMS];

static void enter(waiting *w, batch_item *i, uint64_t *seed)
{
    *i = (batch_item){.kind = {.lo = test_rand(seed) % 3},
                      .rows = 1 + (uint32_t)(test_rand(seed) % 4),
                      .bytes = test_rand(seed) % 1000,
                      .level = (uint32_t)(test_rand(seed) % LEVELS),
                      .sequence = test_rand(seed) % 4};
    i->lane = lanes_pin(&w->lanes, i->kind);
    INVARIANT(i->lane);
    waiting_enter(w, i, 1);
}

static void leave(waiting *w, batch_item *i)
{
    lane *l = i->lane;
    waiting_take(w, i);
    waiting_file(w, l, 1);
    waiting_let_go(w, i, 1);
    i->state = BATCH_OUTSIDE;
}

/* What is counted is what there is. */
static void check_counts(const waiting *w)
{
    uint64_t count = 0, rows = 0, bytes = 0, rows_at[LEVELS] = {0}, count_at[LEVELS] = {0};
    for (const batch_item *i = items; i < items + ITEMS; i++) {
        if (i->state != BATCH_BEHIND && i->state != BATCH_WAITS) continue;
        count++;
        rows += i->rows;
        bytes += i->bytes;
        count_at[i->level]++;
        if (i->state == BATCH_WAITS) rows_at[i->level] += i->rows;
    }
    CHECK(w->count == count && w->rows == rows && w->bytes == bytes);
    for (size_t k = 0; k < LEVELS; k++) CHECK(w->rows_at[k] == rows_at[k] && w->count_at[k] == count_at[k]);
    CHECK((waiting_next(w) == NULL) == (w->ripe_count + w->unripe_count == 0));
}

static void what_waits_is_counted_as_long_as_it_does(void)
{
    for (uint64_t round = 1; round <= 50; round++) {
        waiting w;
        uint64_t seed = round * 7919;
        memset(items, 0, sizeof items);
        waiting_init(&w, &rule, 8);
        for (int n = 0; n < 300; n++) {
            batch_item *i = &items[test_rand(&seed) % ITEMS];
            if (i->state == BATCH_OUTSIDE) enter(&w, i, &seed);
            else leave(&w, i);
            check_counts(&w);
        }
        for (size_t k = 0; k < ITEMS; k++)
            if (items[k].state != BATCH_OUTSIDE) leave(&w, &items[k]);
        check_counts(&w);
        CHECK(w.count == 0 && w.backlog_ns == 0);
        waiting_fini(&w);
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(what_waits_is_counted_as_long_as_it_does)};
    return test_main(cases, COUNTOF(cases));
}
