/* Which rows run together, case by case against what Triton's dynamic batcher does with the same queue, and where the
 * cost curve decides about size and padding. */
#include "sched/batch_rule.h"
#include "test.h"

enum { ITEMS = 32 };

static batch_item items[ITEMS];
static lane l;

/* A lane of items with these rows, ready at 0, 1, 2, ... */
static void queue(const uint32_t *rows, size_t count)
{
    memset(items, 0, sizeof items);
    lane_init(&l);
    for (size_t i = 0; i < count; i++) {
        items[i].rows = rows[i];
        items[i].number = i + 1;
        lane_put(&l, &items[i], false, i);
    }
}
#define QUEUE(...) queue((const uint32_t[]){__VA_ARGS__}, COUNTOF(((const uint32_t[]){__VA_ARGS__})))

static uint32_t rows(const batch_rule *r, uint64_t now)
{
    batch_run b;
    batch_item *cancelled;
    batch_rule_choose(r, &l, now, &b, &cancelled);
    CHECK(cancelled == NULL);
    return b.rows;
}

static void fixed_waits_for_a_preferred_size(void)
{
    const batch_rule r = {
        .mode = BATCH_FIXED, .max_batch = 16, .max_delay_ns = 100, .preferred = {4, 8}, .preferred_count = 2};
    QUEUE(1, 1, 1);
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 100);
    CHECK_U64(rows(&r, 100), 3);
    QUEUE(1, 1, 1, 1, 1);
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 0);
    CHECK_U64(rows(&r, 10), 4);
    CHECK_U64(rows(&r, 100), 5);   /* the delay is over: what is there, up to max_batch */
    QUEUE(1, 1, 1, 1, 1, 1, 1, 1, 1, 1);
    CHECK_U64(rows(&r, 10), 8);
    QUEUE(3, 3, 3);   /* no prefix is preferred, and the third would carry it beyond them all */
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 0);
    CHECK_U64(rows(&r, 10), 6);
    QUEUE(5, 9);
    CHECK_U64(rows(&r, 10), 5);
}

static void fixed_without_preferred_sizes_waits_for_the_largest(void)
{
    const batch_rule r = {.mode = BATCH_FIXED, .max_batch = 4, .max_delay_ns = 100};
    QUEUE(1, 2);
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 100);
    QUEUE(1, 2, 1, 1);
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 0);
    CHECK_U64(rows(&r, 10), 4);
    QUEUE(3, 3);
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 0);
    CHECK_U64(rows(&r, 10), 3);
}

static void fixed_without_a_delay_takes_what_is_there(void)
{
    const batch_rule r = {.mode = BATCH_FIXED, .max_batch = 8, .preferred = {4}, .preferred_count = 1};
    QUEUE(1, 1);
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 0);
    CHECK_U64(rows(&r, 10), 2);
    QUEUE(1, 1, 1, 1, 1, 1);
    CHECK_U64(rows(&r, 10), 4);
}

static void enough_rows_do_not_wait_and_the_rest_joins_them(void)
{
    const batch_rule r = {.mode = BATCH_FIXED, .max_batch = 8, .max_delay_ns = 100, .enough = 3};
    QUEUE(1, 1);
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 100);
    QUEUE(1, 1, 1);
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 0);
    QUEUE(1, 1, 1, 1, 1);
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 0);
    CHECK_U64(rows(&r, 10), 5);
}

static void a_priority_does_not_reset_the_delay(void)
{
    const batch_rule r = {.mode = BATCH_FIXED, .max_batch = 8, .max_delay_ns = 100};
    QUEUE(1, 1);
    lane_del(&l, &items[0]);
    items[0].level = 1;
    lane_put(&l, &items[0], false, 5);
    CHECK(lane_first(&l) == &items[1]);
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 101);
    lane_del(&l, &items[1]);
    lane_put(&l, &items[1], false, 50);
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 105);
}

static void adaptive_takes_what_is_there_up_to_the_cap(void)
{
    batch_rule r = {.mode = BATCH_ADAPTIVE, .max_batch = 16, .max_delay_ns = 100};
    QUEUE(1, 1, 1, 1, 1, 1);
    CHECK_U64(batch_rule_ripe_ns(&r, &l), 0);
    CHECK_U64(rows(&r, 0), 6);
    l.cap_work = 4;
    CHECK_U64(rows(&r, 0), 4);
    l.cap_work = 0;
    CHECK_U64(rows(&r, 0), 1);
    l.cap_work = UINT64_MAX;
    r.preferred[0] = 4;
    r.preferred_count = 1;
    CHECK_U64(rows(&r, 0), 4);
    r.mode = BATCH_OFF;
    CHECK_U64(rows(&r, 0), 1);
}

static void padding_is_joined_where_it_pays(void)
{
    const batch_rule r = {.mode = BATCH_ADAPTIVE, .max_batch = 16, .waste_percent = 90};
    for (int gains = 0; gains < 2; gains++) {
        lane_init(&l);
        const uint32_t extents[] = {10, 100, 12};
        for (size_t i = 0; i < 3; i++) {
            items[i] = (batch_item){.rows = 1, .extent = extents[i], .number = i + 1};
            lane_put(&l, &items[i], false, i);
        }
        /* One call costs as much as 1000 of work, or as 5. */
        for (uint64_t work = 10; work <= 400; work *= 2)
            cost_curve_add(&l.curve, work, (gains ? 1000000u : 5000u) + work * 1000);
        batch_run b;
        batch_item *cancelled;
        batch_rule_choose(&r, &l, 5, &b, &cancelled);
        CHECK_U64(b.count, gains ? 3 : 2);
        CHECK_U64(b.extent, gains ? 100 : 12);
        CHECK_U64(b.padding, gains ? 90 + 88 : 2);
    }
}

int main(void)
{
    const test_case cases[] = {
        TEST(fixed_waits_for_a_preferred_size),
        TEST(fixed_without_preferred_sizes_waits_for_the_largest),
        TEST(fixed_without_a_delay_takes_what_is_there),
        TEST(enough_rows_do_not_wait_and_the_rest_joins_them),
        TEST(a_priority_does_not_reset_the_delay),
        TEST(adaptive_takes_what_is_there_up_to_the_cap),
        TEST(padding_is_joined_where_it_pays),
    };
    return test_main(cases, COUNTOF(cases));
}
