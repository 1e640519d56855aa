/* What a driver relies on, case by case: who runs with whom and when, what is refused and how that is said, and what
 * comes back.  sim_batcher.c has the same promises under random load. */
#include "sched/batcher.h"
#include "test.h"

enum { ITEMS = 64 };
#define US 1000u
#define MS 1000000u

static batch_item items[ITEMS];

static batcher *fresh(const batcher_opts *o)
{
    batcher *b = NULL;
    err e;
    memset(items, 0, sizeof items);
    for (size_t i = 0; i < ITEMS; i++) items[i].rows = 1;
    CHECK(batcher_new(&b, o, &e) == ERR_OK);
    return b;
}

static batch_limit push(batcher *b, batch_item *i, uint64_t now_ns)
{
    batch_limit limit;
    uint64_t retry_ns;
    err e;
    err_code rc = batcher_push(b, i, now_ns, &limit, &retry_ns, &e);
    CHECK((rc == ERR_OK) == (limit == BATCH_LIMIT_NONE));
    return limit;
}

static uint64_t again;

static const batch_run *take(batcher *b, uint64_t now_ns) { return batcher_take(b, now_ns, &again); }

static uint32_t rows(batcher *b, uint64_t now_ns)
{
    const batch_run *t = take(b, now_ns);
    return t ? t->rows : 0;
}

static uint32_t answers(batcher *b)
{
    uint32_t n = 0;
    for (batch_item *i = batcher_answers(b); i; i = i->next) n++;
    return n;
}

static void a_lone_request_runs_at_once(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 8});
    CHECK(push(b, &items[0], 5) == BATCH_LIMIT_NONE);
    const batch_run *t = take(b, 5);
    CHECK(t && t->items == &items[0] && t->count == 1 && t->rows == 1 && t->start_ns == 5);
    CHECK(take(b, 5) == NULL && again == BATCHER_NEVER);
    CHECK(!batcher_quiet(b) && answers(b) == 0);
    batcher_done(b, t, MS, 5 + MS);
    CHECK(answers(b) == 1 && items[0].drop == BATCH_RAN && batcher_quiet(b));
    batcher_free(b);
}

static void what_comes_meanwhile_runs_together(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 4});
    for (size_t i = 0; i < 7; i++) CHECK(push(b, &items[i], i) == BATCH_LIMIT_NONE);
    for (uint32_t want = 4; want >= 3; want--) {
        const batch_run *t = take(b, 10);
        CHECK(t && t->rows == want && take(b, 10) == NULL);
        batcher_done(b, t, MS, 10);
        CHECK_U64(answers(b), want);
    }
    batcher_free(b);
}

static void levels_go_first_then_arrival(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 1, .level_count = 2});
    const size_t want[] = {1, 3, 0, 2};
    for (size_t i = 0; i < 4; i++) {
        items[i].level = i % 2 ? 0 : i ? 1 : 7;   /* one beyond the last is of the last */
        CHECK(push(b, &items[i], i) == BATCH_LIMIT_NONE);
    }
    for (size_t i = 0; i < 4; i++) {
        const batch_run *t = take(b, 9);
        CHECK(t && t->items == &items[want[i]]);
        batcher_done(b, t, 0, 9);
    }
    CHECK_U64(answers(b), 4);
    batcher_free(b);
}

static void a_preferred_size_or_the_delay_starts_a_fixed_batch(void)
{
    batcher *b = fresh(&(batcher_opts){.mode = BATCH_FIXED,
                                       .max_batch = 8,
                                       .instances = 4,
                                       .max_delay_us = 100,
                                       .preferred = {4},
                                       .preferred_count = 1});
    for (size_t i = 0; i < 3; i++) CHECK(push(b, &items[i], i) == BATCH_LIMIT_NONE);
    CHECK(take(b, 50) == NULL);
    CHECK_U64(again, 100 * US);
    for (size_t i = 3; i < 5; i++) CHECK(push(b, &items[i], 60) == BATCH_LIMIT_NONE);
    const batch_run *four = take(b, 60);
    CHECK(four && four->rows == 4);
    CHECK(take(b, 61) == NULL);
    CHECK_U64(again, 60 + 100 * US);
    const batch_run *one = take(b, 60 + 100 * US);
    CHECK(one && one->rows == 1);
    batcher_done(b, four, MS, 2 * MS);
    batcher_done(b, one, MS, 2 * MS);
    CHECK_U64(answers(b), 5);
    batcher_free(b);
}

static void a_kind_waits_for_its_own(void)
{
    batcher *b = fresh(&(batcher_opts){.mode = BATCH_FIXED, .max_batch = 2, .max_delay_us = 100});
    items[1].kind.lo = 1;
    for (size_t i = 0; i < 3; i++) CHECK(push(b, &items[i], i) == BATCH_LIMIT_NONE);
    const batch_run *t = take(b, 3);
    CHECK(t && t->rows == 2 && t->items == &items[0] && items[0].next == &items[2]);
    batcher_done(b, t, MS, MS);
    CHECK_U64(rows(b, MS), 1);
    batcher_done(b, t, MS, MS);
    CHECK_U64(answers(b), 3);
    batcher_free(b);
}

static void padding_stays_within_its_share(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 8, .waste_percent = 25});
    const uint32_t extents[] = {100, 10, 90, 95};
    for (size_t i = 0; i < 4; i++) {
        items[i].extent = extents[i];
        CHECK(push(b, &items[i], i) == BATCH_LIMIT_NONE);
    }
    const batch_run *t = take(b, 9);
    CHECK(t && t->count == 3 && t->extent == 100 && t->work == 3 * 112 && t->wanted == 285);
    batcher_done(b, t, MS, MS);
    t = take(b, MS);
    CHECK(t && t->items == &items[1] && t->extent == 10 && !t->unequal);
    batcher_done(b, t, MS, 2 * MS);
    CHECK_U64(answers(b), 4);
    batcher_free(b);
}

static void deadlines_and_timeouts_drop_before_the_start(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 1, .level_count = 2, .levels = {{.default_timeout_us = 50},
                                                                                    {.delay = true}}});
    items[1].deadline_ns = 20 * US;
    items[3].level = 1;
    items[3].timeout_us = 5;
    items[4].level = 1;
    for (size_t i = 0; i < 5; i++) CHECK(push(b, &items[i], 1) == BATCH_LIMIT_NONE);
    const batch_run *t = take(b, 2);
    CHECK(t && t->items == &items[0]);
    CHECK_U64(again, 5 * US + 1);
    CHECK(take(b, 20 * US) == NULL && again == 50 * US + 1);
    CHECK(answers(b) == 1 && items[1].drop == BATCH_DEADLINE);
    CHECK(take(b, 60 * US) == NULL);
    CHECK(answers(b) == 1 && items[2].drop == BATCH_TIMEOUT);
    batcher_done(b, t, MS, MS);
    t = take(b, MS);
    CHECK(t && t->items == &items[4]);   /* 3 timed out at a level that delays */
    batcher_done(b, t, MS, 2 * MS);
    CHECK_U64(rows(b, 2 * MS), 1);
    batcher_done(b, t, MS, 3 * MS);
    CHECK_U64(answers(b), 3);
    items[1].deadline_ns = 3 * MS;
    CHECK(push(b, &items[1], 3 * MS) == BATCH_LIMIT_DEADLINE);
    batcher_free(b);
}

/* While all instances run: whoever waits for it is woken at its deadline. */
static void a_deadline_rings_though_nothing_can_run(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 1});
    uint64_t ring_ns = 0;
    items[1].deadline_ns = 20 * US;
    for (size_t i = 0; i < 2; i++) CHECK(push(b, &items[i], 1) == BATCH_LIMIT_NONE);
    CHECK(batcher_ripe(b, 2, &ring_ns));
    const batch_run *t = take(b, 2);
    CHECK(t && t->items == &items[0]);
    CHECK(!batcher_ripe(b, 3, &ring_ns));
    CHECK_U64(ring_ns, 20 * US);
    CHECK(!batcher_ripe(b, 20 * US, &ring_ns) && answers(b) == 1 && items[1].drop == BATCH_DEADLINE);
    CHECK_U64(ring_ns, BATCHER_NEVER);
    batcher_done(b, t, MS, MS);
    CHECK_U64(answers(b), 1);
    batcher_free(b);
}

static void a_timeout_beyond_all_clocks_is_none(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 1});
    const uint64_t far[] = {UINT64_MAX / 1000, UINT64_MAX / 1000 + 1, UINT64_MAX};
    for (size_t i = 0; i < COUNTOF(far); i++) {
        items[i].timeout_us = far[i];
        CHECK(push(b, &items[i], MS) == BATCH_LIMIT_NONE);
        const batch_run *t = take(b, MS);
        CHECK(t && t->items == &items[i] && again == BATCHER_NEVER);
        batcher_done(b, t, MS, MS);
        CHECK_U64(answers(b), 1);
    }
    batcher_free(b);
}

/* One that would time out before its start is refused at once, but not where it is only delayed then. */
static void a_timeout_that_delays_refuses_nobody(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 1, .level_count = 2, .levels = {{0}, {.delay = true}}});
    batcher_teach(b, (order_key){0}, 1, 0, 8 * MS, 1);
    CHECK(push(b, &items[0], MS) == BATCH_LIMIT_NONE);
    const batch_run *t = take(b, MS);
    for (uint32_t i = 1; i < 3; i++) {
        items[i].level = i - 1;
        items[i].timeout_us = 1000;
        CHECK(push(b, &items[i], MS) == (i == 1 ? BATCH_LIMIT_DEADLINE : BATCH_LIMIT_NONE));
    }
    batcher_done(b, t, 8 * MS, 9 * MS);
    CHECK(batcher_cancel(b, &items[2], 9 * MS));
    CHECK_U64(answers(b), 2);
    batcher_free(b);
}

static void the_cancelled_are_not_run(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 8});
    _Atomic bool flag = false;
    items[1].cancelled = &flag;
    for (size_t i = 0; i < 4; i++) CHECK(push(b, &items[i], 1) == BATCH_LIMIT_NONE);
    flag = true;
    CHECK(batcher_cancel(b, &items[2], 2) && !batcher_cancel(b, &items[2], 2));
    const batch_run *t = take(b, 3);
    CHECK(t && t->count == 2 && t->items == &items[0] && items[0].next == &items[3]);
    CHECK(!batcher_cancel(b, &items[0], 3));
    CHECK(answers(b) == 2 && items[1].drop == BATCH_CANCELLED && items[2].drop == BATCH_CANCELLED);
    batcher_done(b, t, MS, MS);
    CHECK_U64(answers(b), 2);
    batcher_free(b);
}

static void a_sequence_goes_one_at_a_time(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 8, .instances = 2});
    for (size_t i = 0; i < 4; i++) {
        items[i].sequence = i < 3 ? 9 : 0;
        CHECK(push(b, &items[i], i) == BATCH_LIMIT_NONE);
    }
    const batch_run *t = take(b, 5);
    CHECK(t && t->count == 2 && t->items == &items[0] && items[0].next == &items[3]);
    CHECK(take(b, 6) == NULL);
    CHECK(batcher_cancel(b, &items[1], 6));
    CHECK(take(b, 6) == NULL);
    batcher_done(b, t, MS, MS);
    t = take(b, MS);
    CHECK(t && t->items == &items[2]);
    batcher_done(b, t, MS, 2 * MS);
    CHECK_U64(answers(b), 4);
    batcher_free(b);
}

static void answers_keep_the_order_of_arrival_where_asked(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 1, .instances = 3, .preserve_ordering = true});
    const batch_run *t[3];
    for (size_t i = 0; i < 3; i++) {
        CHECK(push(b, &items[i], i) == BATCH_LIMIT_NONE);
        t[i] = take(b, i);
        CHECK(t[i] != NULL);
    }
    batcher_done(b, t[2], MS, MS);
    batcher_done(b, t[1], MS, MS);
    CHECK(answers(b) == 0 && !batcher_quiet(b));
    batcher_done(b, t[0], MS, MS);
    batch_item *first = batcher_answers(b);
    CHECK(first == &items[0] && first->next == &items[1] && items[1].next == &items[2] && !items[2].next);
    CHECK(batcher_quiet(b));
    batcher_free(b);
}

static void limits_name_themselves_and_say_when_to_retry(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 2,
                                       .requests_max = 3,
                                       .bytes_max = 100,
                                       .kinds_max = 2,
                                       .level_count = 2,
                                       .levels = {{0}, {.max_queue_size = 1}}});
    batch_limit limit;
    uint64_t retry_ns;
    err e;
    items[0].rows = 3;
    CHECK(batcher_push(b, &items[0], 1, &limit, &retry_ns, &e) == ERR_INVALID && limit == BATCH_LIMIT_ROWS);
    CHECK(retry_ns == 0);
    CHECK_STR(e.text, "batch: expected at most 2 rows, got 3");
    items[0].rows = 1;
    items[0].bytes = 101;
    CHECK(batcher_push(b, &items[0], 1, &limit, &retry_ns, &e) == ERR_TOO_LARGE && limit == BATCH_LIMIT_BYTES);
    CHECK(retry_ns == 0);   /* it fits at no time */
    CHECK_STR(e.text, "queue: bytes of one request: the limit is 100, got 101");
    CHECK_STR(e.limit, "queue-bytes-max");
    items[0].bytes = items[1].bytes = 60;
    CHECK(push(b, &items[0], 1) == BATCH_LIMIT_NONE);
    CHECK(batcher_push(b, &items[1], 1, &limit, &retry_ns, &e) == ERR_LIMIT && limit == BATCH_LIMIT_BYTES);
    CHECK(retry_ns > 0);
    CHECK_STR(e.text, "queue: waiting bytes: the limit is 100, got 120");
    CHECK_STR(e.limit, "queue-bytes-max");
    items[2].level = items[3].level = 1;
    items[2].kind.lo = 1;
    CHECK(push(b, &items[2], 1) == BATCH_LIMIT_NONE);
    CHECK(push(b, &items[3], 1) == BATCH_LIMIT_LEVEL);
    items[4].kind.lo = 2;
    CHECK(push(b, &items[4], 1) == BATCH_LIMIT_KINDS);
    CHECK(push(b, &items[5], 1) == BATCH_LIMIT_NONE);
    CHECK(batcher_push(b, &items[6], 1, &limit, &retry_ns, &e) == ERR_LIMIT && limit == BATCH_LIMIT_REQUESTS);
    CHECK_STR(e.text, "queue: waiting requests: the limit is 3, got 4");
    CHECK_STR(e.limit, "queue-max");
    CHECK_STR(batch_drop_name(BATCH_CANCELLED), "cancelled");
    batcher_stats s;
    batcher_read(b, &s);
    CHECK(s.pushed == 3 && s.waiting == 3 && s.waiting_bytes == 60 && s.refused[BATCH_LIMIT_LEVEL] == 1);
    for (size_t i = 0; i < 6; i++) (void)batcher_cancel(b, &items[i], 2);
    CHECK_U64(answers(b), 3);
    batcher_free(b);
}

static void one_that_is_overdue_may_end_any_moment(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 1, .requests_max = 1});
    batch_limit limit;
    uint64_t retry_ns;
    err e;
    CHECK(push(b, &items[0], 1) == BATCH_LIMIT_NONE);
    const batch_run *t = take(b, 1);
    batcher_done(b, t, 8 * MS, 1 + 8 * MS);
    CHECK(push(b, &items[1], 10 * MS) == BATCH_LIMIT_NONE);
    t = take(b, 10 * MS);
    CHECK(t && push(b, &items[2], 10 * MS) == BATCH_LIMIT_NONE);
    CHECK(batcher_push(b, &items[3], 10 * MS, &limit, &retry_ns, &e) == ERR_LIMIT);
    CHECK_U64(retry_ns, 16 * MS);   /* what runs, and what waits */
    CHECK(batcher_push(b, &items[3], 30 * MS, &limit, &retry_ns, &e) == ERR_LIMIT);
    CHECK_U64(retry_ns, 10 * MS);   /* a quarter of a run, since it may be stalled */
    batcher_done(b, t, 8 * MS, 30 * MS);
    CHECK(batcher_cancel(b, &items[2], 30 * MS));
    CHECK_U64(answers(b), 3);
    batcher_free(b);
}

static void instances_share_what_goes_before(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 1, .instances = 2, .requests_max = 1});
    const batch_run *t[2];
    batch_limit limit;
    uint64_t retry_ns;
    err e;
    batcher_teach(b, (order_key){0}, 1, 0, 8 * MS, 1);
    for (size_t i = 0; i < 2; i++) {
        CHECK(push(b, &items[i], 10 * MS) == BATCH_LIMIT_NONE);
        t[i] = take(b, 10 * MS);
        CHECK(t[i] != NULL);
    }
    CHECK(push(b, &items[2], 10 * MS) == BATCH_LIMIT_NONE);
    CHECK(batcher_push(b, &items[3], 10 * MS, &limit, &retry_ns, &e) == ERR_LIMIT && limit == BATCH_LIMIT_REQUESTS);
    CHECK_U64(retry_ns, 12 * MS);
    for (size_t i = 0; i < 2; i++) batcher_done(b, t[i], 8 * MS, 18 * MS);
    CHECK(batcher_cancel(b, &items[2], 18 * MS));
    CHECK_U64(answers(b), 3);
    batcher_free(b);
}

/* After one run of one row three make a crowd: one instance more takes them, however many it may be. */
static void in_a_crowded_lane_another_instance_runs(void)
{
    const batcher_opts cases[] = {
        {.max_batch = 4, .crowded = 2},
        {.max_batch = 4, .crowded = 2, .objective_us = 1000000},
        {.max_batch = 4, .crowded = 2, .mode = BATCH_FIXED},
    };
    for (size_t c = 0; c < COUNTOF(cases); c++) {
        batcher *b = fresh(&cases[c]);
        const batch_run *t[2];
        CHECK(push(b, &items[0], 1) == BATCH_LIMIT_NONE);
        t[0] = take(b, 1);
        for (size_t i = 1; i < 5; i++) CHECK(push(b, &items[i], 2) == BATCH_LIMIT_NONE);
        CHECK(take(b, 2) == NULL);   /* nobody knows yet what a run takes */
        for (size_t i = 2; i < 5; i++) CHECK(batcher_cancel(b, &items[i], 2));
        batcher_done(b, t[0], MS, MS);
        CHECK_U64(answers(b), 4);
        t[0] = take(b, MS);
        CHECK(t[0] && t[0]->items == &items[1]);
        for (size_t i = 2; i < 4; i++) CHECK(push(b, &items[i], MS + 1) == BATCH_LIMIT_NONE);
        CHECK(take(b, MS + 1) == NULL && again == BATCHER_NEVER);
        CHECK(!batcher_ripe(b, MS + 1, &again) && again == BATCHER_NEVER);
        CHECK(push(b, &items[4], MS + 2) == BATCH_LIMIT_NONE);
        CHECK(batcher_ripe(b, MS + 2, &again) == (c == 0));
        t[1] = take(b, MS + 2);
        CHECK((t[1] != NULL) == (c == 0) && (c > 0 || t[1]->count == 3));
        CHECK(take(b, MS + 2) == NULL);
        if (t[1]) batcher_done(b, t[1], MS, 2 * MS);
        CHECK(push(b, &items[5], 2 * MS) == BATCH_LIMIT_NONE);
        CHECK(take(b, 2 * MS) == NULL);   /* what is free is not idle: the first run goes on */
        batcher_done(b, t[0], 2 * MS, 3 * MS);
        for (uint64_t at = 30 * MS; (t[0] = take(b, at)) != NULL; at += 30 * MS) batcher_done(b, t[0], MS, at + MS);
        CHECK_U64(answers(b), 5);
        batcher_free(b);
    }
}

/* Shapes that do not run together make a crowd, too: all that waits beside the lane counts. */
static void of_many_lanes_a_crowd_gets_another_instance(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 4, .crowded = 1});
    const batch_run *t[2];
    for (uint32_t i = 0; i < 4; i++) batcher_teach(b, (order_key){.lo = i}, 1, 0, MS, 1);
    CHECK(push(b, &items[0], 1) == BATCH_LIMIT_NONE);
    t[0] = take(b, 1);
    batcher_done(b, t[0], MS, MS);
    CHECK_U64(answers(b), 1);
    for (uint32_t i = 0; i < 5; i++) {
        items[i].kind.lo = i ? i - 1 : 0;
        CHECK(push(b, &items[i], MS + i) == BATCH_LIMIT_NONE);
        if (i == 0) t[0] = take(b, MS);
        CHECK(batcher_ripe(b, MS + i, &again) == (i == 4));   /* one, two, three in all are no crowd */
    }
    t[1] = take(b, 2 * MS);
    CHECK(t[1] && t[1]->count == 1 && t[1]->items == &items[1] && take(b, 2 * MS) == NULL);
    for (size_t i = 0; i < 2; i++) batcher_done(b, t[i], MS, 3 * MS);
    for (uint64_t at = 30 * MS; (t[0] = take(b, at)) != NULL; at += 30 * MS) batcher_done(b, t[0], MS, at + MS);
    CHECK_U64(answers(b), 5);
    batcher_free(b);
}

static void the_rate_refuses_until_a_token_is_there(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 1, .instances = 4, .rate_per_s = 100, .rate_burst = 2});
    batch_limit limit;
    uint64_t retry_ns;
    err e;
    CHECK(push(b, &items[0], 1) == BATCH_LIMIT_NONE && push(b, &items[1], 1) == BATCH_LIMIT_NONE);
    CHECK(batcher_push(b, &items[2], 1, &limit, &retry_ns, &e) == ERR_LIMIT && limit == BATCH_LIMIT_RATE);
    CHECK_U64(retry_ns, 10 * MS);
    CHECK(push(b, &items[2], 1 + retry_ns) == BATCH_LIMIT_NONE);
    for (size_t i = 0; i < 3; i++) CHECK(batcher_cancel(b, &items[i], 2));
    CHECK_U64(answers(b), 3);
    batcher_free(b);
}

static void what_would_be_late_is_refused_when_it_comes(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 8, .objective_us = 20000});
    for (uint32_t n = 0; n < 24; n++) batcher_teach(b, (order_key){0}, 1 + n % 8, 0, 4 * MS + (1 + n % 8) * MS / 4, 1);
    CHECK_U64(batcher_next_cost_ns(b), 0);
    uint32_t accepted = 1;
    CHECK(push(b, &items[0], MS) == BATCH_LIMIT_NONE);
    const batch_run *t = take(b, MS);
    CHECK(t && t->rows == 1);
    while (accepted < ITEMS && push(b, &items[accepted], MS) == BATCH_LIMIT_NONE) accepted++;
    CHECK(accepted >= 12 && accepted < 32);   /* one that runs and about two batches of 6 ms */
    batch_limit limit;
    uint64_t retry_ns;
    err e;
    CHECK(batcher_push(b, &items[accepted], MS, &limit, &retry_ns, &e) == ERR_LIMIT);
    CHECK(limit == BATCH_LIMIT_OBJECTIVE && retry_ns >= MS && retry_ns < 20 * MS);
    CHECK(strncmp(e.text, "queue: microseconds to an answer: the limit is ", 47) == 0);
    for (uint32_t i = 1; i < accepted; i++) CHECK(batcher_cancel(b, &items[i], MS));
    items[40].deadline_ns = 3 * MS;
    CHECK(push(b, &items[40], 2 * MS) == BATCH_LIMIT_DEADLINE);   /* it would end 3 ms later */
    items[41].deadline_ns = 7 * MS;
    CHECK(push(b, &items[41], 2 * MS) == BATCH_LIMIT_DEADLINE);   /* and this one would only have begun */
    CHECK(take(b, 2 * MS) == NULL);
    CHECK_U64(answers(b), accepted - 1);
    batcher_done(b, t, 4 * MS, 5 * MS);
    CHECK_U64(answers(b), 1);
    batcher_free(b);
}

/* Runs take 5 or 15 ms, so that one of 20 is always late by the worst that is foreseen. */
static void whoever_joins_the_next_run_soon_is_not_refused(void)
{
    batcher *b = fresh(&(batcher_opts){.max_batch = 8, .objective_us = 20000});
    for (uint32_t n = 0; n < 64; n++) batcher_teach(b, (order_key){0}, 1 + n % 2, 0, (5 + 10 * (n / 2 % 2)) * MS, 1);
    CHECK(push(b, &items[0], MS) == BATCH_LIMIT_NONE);
    const batch_run *t = take(b, MS);
    CHECK(t && t->cost_ns > 8 * MS && t->cost_ns < 12 * MS);
    CHECK(push(b, &items[1], MS + t->cost_ns / 4) == BATCH_LIMIT_OBJECTIVE);
    CHECK(push(b, &items[1], MS + t->cost_ns * 3 / 4) == BATCH_LIMIT_NONE);
    uint64_t now = MS + t->cost_ns;
    batcher_done(b, t, t->cost_ns, now);
    t = take(b, now + 20 * MS);
    CHECK(t && t->count == 1);
    batcher_done(b, t, 10 * MS, now + 30 * MS);
    CHECK_U64(answers(b), 2);
    batcher_free(b);
}

/* An eighth of the objective is for a request's way here and its answer's way back: nothing is planned to end
 * within it, and what does is late. */
static void what_leaves_no_time_for_the_way_back_is_late(void)
{
    for (int late = 0; late < 2; late++) {
        batcher *b = fresh(&(batcher_opts){.max_batch = 8, .objective_us = 20000});
        const uint64_t end = 35 * MS / 2 + (late ? 2 : 1);
        batcher_stats s;
        CHECK(push(b, &items[0], 1) == BATCH_LIMIT_NONE);
        const batch_run *t = take(b, 1);
        batcher_done(b, t, end - 1, end);
        batcher_read(b, &s);
        CHECK(late ? s.planned_ns < 35 * MS / 2 : s.planned_ns == 35 * MS / 2);
        CHECK_U64(answers(b), 1);
        batcher_free(b);
    }
}

static void only_adaptive_batches_have_an_objective(void)
{
    const batch_mode modes[] = {BATCH_ADAPTIVE, BATCH_FIXED, BATCH_OFF};
    for (size_t i = 0; i < COUNTOF(modes); i++) {
        batcher *b = fresh(&(batcher_opts){.mode = modes[i], .max_batch = 8, .objective_us = 1000});
        batcher_stats s;
        batcher_read(b, &s);
        CHECK_U64(s.planned_ns, i == 0 ? 875000 : 0);
        batcher_free(b);
    }
}

static void nothing_is_lost_without_memory(void)
{
    FAULT_SWEEP({
        batcher *b = NULL;
        err e;
        if (batcher_new(&b, &(batcher_opts){.max_batch = 4}, &e) == ERR_OK) {
            batch_item i = {.rows = 1};
            batch_limit limit;
            uint64_t retry_ns;
            err_code rc = batcher_push(b, &i, 1, &limit, &retry_ns, &e);
            CHECK(rc == ERR_OK || rc == ERR_NOMEM);
            if (rc == ERR_OK) CHECK(batcher_cancel(b, &i, 1) && batcher_answers(b) == &i);
            batcher_free(b);
        }
    });
}

static void options_are_checked_by_name(void)
{
    batcher *b = NULL;
    err e;
    CHECK(batcher_new(&b, &(batcher_opts){.instances = 1000}, &e) == ERR_INVALID);
    CHECK_STR(e.text, "instances: expected at most 256, got 1000");
    CHECK(batcher_new(&b, &(batcher_opts){.instances = 2, .crowded = UINT32_MAX}, &e) == ERR_INVALID);
    CHECK_STR(e.text, "instances: expected at most 256, got 4294967297");
    CHECK(batcher_new(&b, &(batcher_opts){.level_count = 17}, &e) == ERR_INVALID);
    CHECK_STR(e.text, "priority levels: expected at most 16, got 17");
    CHECK(batcher_new(&b, &(batcher_opts){.max_batch = 4, .preferred = {4, 2}, .preferred_count = 2}, &e) != ERR_OK);
    CHECK_STR(e.text, "preferred batch size: expected ascending from 1 to max_batch 4, got 2");
    CHECK(batcher_new(&b, &(batcher_opts){.waste_percent = 101}, &e) == ERR_INVALID && !b);
    CHECK_STR(e.text, "padding waste: expected at most 100 percent, got 101");
    batcher_free(NULL);
}

int main(void)
{
    const test_case cases[] = {
        TEST(a_lone_request_runs_at_once),
        TEST(what_comes_meanwhile_runs_together),
        TEST(levels_go_first_then_arrival),
        TEST(a_preferred_size_or_the_delay_starts_a_fixed_batch),
        TEST(a_kind_waits_for_its_own),
        TEST(padding_stays_within_its_share),
        TEST(deadlines_and_timeouts_drop_before_the_start),
        TEST(a_deadline_rings_though_nothing_can_run),
        TEST(a_timeout_beyond_all_clocks_is_none),
        TEST(a_timeout_that_delays_refuses_nobody),
        TEST(the_cancelled_are_not_run),
        TEST(a_sequence_goes_one_at_a_time),
        TEST(answers_keep_the_order_of_arrival_where_asked),
        TEST(limits_name_themselves_and_say_when_to_retry),
        TEST(one_that_is_overdue_may_end_any_moment),
        TEST(instances_share_what_goes_before),
        TEST(in_a_crowded_lane_another_instance_runs), TEST(of_many_lanes_a_crowd_gets_another_instance),
        TEST(the_rate_refuses_until_a_token_is_there),
        TEST(what_would_be_late_is_refused_when_it_comes),
        TEST(whoever_joins_the_next_run_soon_is_not_refused),
        TEST(what_leaves_no_time_for_the_way_back_is_late),
        TEST(only_adaptive_batches_have_an_objective),
        TEST(nothing_is_lost_without_memory),
        TEST(options_are_checked_by_name),
    };
    return test_main(cases, COUNTOF(cases));
}
