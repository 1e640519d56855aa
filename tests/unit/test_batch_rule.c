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
        CHECK_U64(b.wanted, gains ? 122 : 22);
    }
}

static batch_run lengths(const batch_rule *r, const uint32_t *extents, size_t count)
{
    batch_run b;
    batch_item *cancelled;
    for (size_t i = 0; i < count; i++) {
        items[i] = (batch_item){.rows = 1, .extent = extents[i], .number = i + 1};
        lane_put(&l, &items[i], false, i);
    }
    batch_rule_choose(r, &l, count, &b, &cancelled);
    CHECK(cancelled == NULL);
    return b;
}
#define LENGTHS(rule, ...) lengths(rule, (const uint32_t[]){__VA_ARGS__}, COUNTOF(((const uint32_t[]){__VA_ARGS__})))

static void the_most_urgent_runs_with_those_of_nearest_length(void)
{
    const batch_rule fixed = {.mode = BATCH_FIXED, .max_batch = 4, .waste_percent = 50};
    lane_init(&l);
    batch_run b = LENGTHS(&fixed, 50, 90, 10, 60, 49, 100, 55, 11);
    CHECK(b.count == 4 && b.extent == 60 && b.unequal);
    CHECK_U64(b.wanted, 50 + 49 + 55 + 60);
    CHECK_U64(b.work, 4 * 64);
    const batch_item *want[] = {&items[0], &items[3], &items[4], &items[6]};   /* as they came */
    const batch_item *at = b.items;
    for (size_t i = 0; i < COUNTOF(want); i++, at = at->next) CHECK(at == want[i]);
    CHECK(at == NULL);
    lane_init(&l);
    b = LENGTHS(&fixed, 20, 20, 100, 20);   /* of one length: run at just that */
    CHECK(b.count == 3 && b.extent == 20 && !b.unequal && b.work == 60);
    lane_init(&l);
    b = LENGTHS(&fixed, 10, 21, 70);        /* with the last more than half would be padding */
    CHECK(b.count == 2 && b.extent == 21 && b.wanted == 31);
}

static void large_neighbours_are_passed_over_for_smaller_ones_behind_them(void)
{
    const batch_rule fixed = {.mode = BATCH_FIXED, .max_batch = 4, .waste_percent = 50};
    static const uint32_t rows_of[] = {2, 3, 1, 1}, extents[] = {50, 51, 55, 40};
    lane_init(&l);
    for (size_t i = 0; i < COUNTOF(rows_of); i++) {
        items[i] = (batch_item){.rows = rows_of[i], .extent = extents[i], .number = i + 1};
        lane_put(&l, &items[i], false, i);
    }
    batch_run b;
    batch_item *cancelled;
    batch_rule_choose(&fixed, &l, 9, &b, &cancelled);
    CHECK(b.rows == 4 && b.count == 3 && b.extent == 55 && b.items->next == &items[2]);
}

/* Six rows run as six and eight as eight, but seven as eight: the seventh comes along only where somebody fills up the
 * eighth.  A lane's cap counts what is run, too. */
static void as_many_run_together_as_make_the_most_of_the_time(void)
{
    batch_rule r = {.mode = BATCH_ADAPTIVE, .max_batch = 16, .waste_percent = 50};
    for (int more = 0; more < 2; more++) {
        lane_init(&l);
        for (uint64_t work = 16; work <= 1024; work *= 2) cost_curve_add(&l.curve, work, 20000 + work * 1000);
        batch_run b = more ? LENGTHS(&r, 64, 64, 64, 64, 64, 64, 64, 63) : LENGTHS(&r, 64, 64, 64, 64, 64, 64, 63);
        CHECK_U64(b.count, more ? 8 : 6);
        CHECK_U64(b.work, b.count * 64);
    }
    lane_init(&l);
    for (uint64_t work = 16; work <= 1024; work *= 2) cost_curve_add(&l.curve, work, 20000 + work * 1000);
    l.cap_work = 4 * 64 - 1;
    batch_run b = LENGTHS(&r, 64, 63, 62, 61, 60);
    CHECK(b.count == 3 && b.work == 3 * 64);
}

/* A long one makes more of its time elsewhere, where the lane runs well; beside a poor one alone it helps. */
static void time_is_worth_what_the_lane_makes_of_it(void)
{
    const batch_rule r = {.mode = BATCH_ADAPTIVE, .max_batch = 16, .waste_percent = 50};
    for (int good = 0; good < 2; good++) {
        lane_init(&l);
        for (uint64_t work = 8; work <= 1024; work *= 2) cost_curve_add(&l.curve, work, 6000000 + work * 180000);
        l.wanted = good ? 3500 : 1000;
        l.took_ns = 1e9;
        batch_run b = LENGTHS(&r, 13, 64);
        CHECK_U64(b.count, good ? 1 : 2);
        CHECK_U64(b.extent, good ? 13 : 64);
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
        TEST(the_most_urgent_runs_with_those_of_nearest_length),
        TEST(large_neighbours_are_passed_over_for_smaller_ones_behind_them),
        TEST(as_many_run_together_as_make_the_most_of_the_time),
        TEST(time_is_worth_what_the_lane_makes_of_it),
    };
    return test_main(cases, COUNTOF(cases));
}
