/* However models are wanted, grow, fail, are busy and are taken out: what is in memory stays within the budget, nobody
 * who waits is forgotten, each model is loaded by one load at a time, a model stays for its time unless the budget is
 * exceeded, and what another needs stays with it. */
#include "sched/residency.h"

#include "test.h"

enum { STAY = 1000 };

static residency *made(uint64_t bytes_max, size_t models, uint32_t loads_max)
{
    residency *r = NULL;
    err e;
    const residency_opts o = {.bytes_max = bytes_max, .stay_us = STAY, .loads_max = loads_max};
    CHECK(residency_new(&r, &o, &e) == ERR_OK);
    for (size_t i = 0; r && i < models; i++) CHECK(residency_add(r, &e) == ERR_OK);
    return r;
}

static bool want(residency *r, size_t i, uint64_t guess)
{
    residency_guess(r, i, guess);
    return residency_want(r, i);
}

static bool next_is(residency *r, uint64_t now_us, residency_what what, size_t model)
{
    residency_step s = residency_next(r, now_us);
    if (s.what == what && (what == RESIDENCY_NOTHING || s.model == model)) return true;
    printf("# got step %d of model %zu\n", (int)s.what, s.model);
    return false;
}

static bool idles(residency *r, uint64_t now_us) { return next_is(r, now_us, RESIDENCY_NOTHING, 0); }

/* Wanted, loaded, there. */
static void bring(residency *r, size_t i, uint64_t bytes, uint64_t now_us)
{
    CHECK(want(r, i, bytes));
    CHECK(next_is(r, now_us, RESIDENCY_LOAD, i));
    CHECK(residency_fits(r, i, bytes));
    residency_came(r, i, bytes, now_us);
}

static uint64_t used(const residency *r)
{
    residency_counts c;
    residency_read(r, &c);
    return c.used;
}

static void one_load_serves_all_who_want_it(void)
{
    CLEANUP(residency) residency *r = made(100, 2, 4);
    CHECK(want(r, 0, 10) && residency_of(r, 0) == RESIDENCY_WAITING);
    for (int i = 0; i < 1000; i++) CHECK(!want(r, 0, 10));
    CHECK(next_is(r, 1, RESIDENCY_LOAD, 0) && residency_of(r, 0) == RESIDENCY_LOADING && used(r) == 10);
    CHECK(!want(r, 0, 10) && idles(r, 1));
    residency_came(r, 0, 12, 2);
    CHECK(!want(r, 0, 10) && idles(r, 2) && residency_of(r, 0) == RESIDENCY_IN && used(r) == 12);
}

static void who_was_used_longest_ago_leaves(void)
{
    CLEANUP(residency) residency *r = made(30, 4, 4);
    for (size_t i = 0; i < 3; i++) bring(r, i, 10, 10 * i);
    residency_see(r, 0, 10, 500, false);
    CHECK(!residency_tight(r) && want(r, 3, 10) && residency_tight(r));
    CHECK(next_is(r, 5000, RESIDENCY_EVICT, 1) && residency_of(r, 1) == RESIDENCY_LEAVING);
    CHECK(!residency_tight(r) && idles(r, 5000) && used(r) == 30);   /* what leaves is there until it has left */
    residency_left(r, 1);
    CHECK(residency_of(r, 1) == RESIDENCY_OUT && used(r) == 20);
    CHECK(next_is(r, 5001, RESIDENCY_LOAD, 3) && used(r) == 30);
}

static void a_model_stays_for_its_time(void)
{
    CLEANUP(residency) residency *r = made(10, 2, 4);
    bring(r, 0, 10, 100);
    CHECK(want(r, 1, 10));
    residency_step s = residency_next(r, 100 + STAY - 1);
    CHECK(s.what == RESIDENCY_NOTHING);
    CHECK_U64(s.again_us, 100 + STAY);
    CHECK(next_is(r, 100 + STAY, RESIDENCY_EVICT, 0));
}

static void what_is_busy_pinned_or_needed_stays(void)
{
    err e;
    const size_t member = 2;
    CLEANUP(residency) residency *r = made(40, 5, 4);
    residency_pin(r, 0, true);
    for (size_t i = 0; i < 3; i++) bring(r, i, 10, 0);
    CHECK(residency_need(r, 3, &member, 1, &e) == ERR_OK);
    bring(r, 3, 1, 0);
    residency_see(r, 1, 10, 0, true);
    residency_see(r, 3, 1, 0, true);
    CHECK(want(r, 4, 20));
    residency_step s = residency_next(r, 9000);
    CHECK(s.what == RESIDENCY_NOTHING);
    CHECK_U64(s.again_us, 9000 + RESIDENCY_RETRY_US);
    residency_see(r, 3, 1, 0, false);
    CHECK(next_is(r, 9001, RESIDENCY_EVICT, 3));   /* who needs it goes first */
    CHECK(next_is(r, 9001, RESIDENCY_EVICT, 2));
    residency_left(r, 3);
    residency_left(r, 2);
    CHECK(next_is(r, 9002, RESIDENCY_LOAD, 4));
    CHECK(residency_of(r, 0) == RESIDENCY_IN && residency_of(r, 1) == RESIDENCY_IN);
}

static void what_never_fits_is_refused(void)
{
    CLEANUP(residency) residency *r = made(100, 3, 4);
    CHECK(want(r, 0, 101));
    residency_step s = residency_next(r, 1);
    CHECK(s.what == RESIDENCY_REFUSE && s.model == 0 && residency_of(r, 0) == RESIDENCY_OUT);
    CHECK_U64(s.bytes, 101);
    residency_pin(r, 1, true);
    bring(r, 1, 60, 1);
    CHECK(want(r, 0, 41) && next_is(r, 2, RESIDENCY_REFUSE, 0));   /* beside what is pinned */
    residency_pin(r, 2, true);
    residency_guess(r, 2, 90);   /* and is there */
    /* What is larger than it looked is not let in, and known from then on. */
    CHECK(want(r, 0, 20) && next_is(r, 3, RESIDENCY_LOAD, 0) && !residency_fits(r, 0, 41));
    residency_failed(r, 0);
    CHECK_U64(used(r), 60);
    CHECK(want(r, 0, 20) && next_is(r, 4, RESIDENCY_REFUSE, 0));
    CHECK(!residency_drop(r, 0));   /* until somebody says that it may be another */
    CHECK(want(r, 0, 20) && next_is(r, 5, RESIDENCY_LOAD, 0) && residency_fits(r, 0, 40));
}

static void who_was_refused_goes_on_where_it_was_when_others_shrink(void)
{
    residency_counts c;
    const size_t member = 1;
    err e;
    CLEANUP(residency) residency *r = made(100, 4, 4);
    residency_pin(r, 0, true);
    bring(r, 0, 60, 1);
    bring(r, 3, 10, 1);
    CHECK(residency_need(r, 2, &member, 1, &e) == ERR_OK);
    residency_guess(r, 1, 20);
    CHECK(want(r, 2, 21) && next_is(r, 2, RESIDENCY_REFUSE, 2));
    CHECK_U64(residency_needed_bytes(r, 2), 101);
    for (size_t i = 0; i < 4; i++) CHECK(residency_counts_in(r, i) == (i < 3));
    residency_see(r, 0, 59, 1, false);
    residency_readmit(r, 2);
    residency_read(r, &c);
    CHECK(residency_of(r, 2) == RESIDENCY_WAITING && c.refused == 0 && c.waiting == 1);
    CHECK(next_is(r, 2 + STAY, RESIDENCY_EVICT, 3));
    residency_left(r, 3);
    CHECK(next_is(r, 2 + STAY, RESIDENCY_LOAD, 1) && !residency_fits(r, 1, 42));
    residency_see(r, 0, 50, 1, false);
    residency_readmit(r, 1);   /* it goes on loading */
    CHECK(residency_of(r, 1) == RESIDENCY_LOADING && residency_fits(r, 1, 29));
    residency_came(r, 1, 29, 3 + STAY);
    CHECK(next_is(r, 3 + STAY, RESIDENCY_LOAD, 2) && idles(r, 3 + STAY));
}

static void a_budget_that_is_exceeded_takes_one_before_its_time(void)
{
    CLEANUP(residency) residency *r = made(30, 3, 4);
    for (size_t i = 0; i < 3; i++) bring(r, i, 10, i);
    CHECK(idles(r, 5));
    residency_see(r, 2, 15, 3, false);
    CHECK(next_is(r, 5, RESIDENCY_EVICT, 0) && idles(r, 5));
    residency_left(r, 0);
    CHECK(idles(r, 5) && used(r) == 25);
}

static void nobody_overtakes_who_waits_for_more_room(void)
{
    CLEANUP(residency) residency *r = made(30, 4, 4);
    bring(r, 0, 10, 0);
    CHECK(want(r, 1, 30) && want(r, 2, 10));
    residency_see(r, 0, 10, 0, true);
    CHECK(idles(r, 5000) && residency_of(r, 2) == RESIDENCY_WAITING);
    residency_see(r, 0, 10, 0, false);
    CHECK(next_is(r, 5001, RESIDENCY_EVICT, 0));
    residency_left(r, 0);
    CHECK(next_is(r, 5002, RESIDENCY_LOAD, 1) && idles(r, 5002));
    CHECK(residency_fits(r, 1, 30));
    residency_came(r, 1, 30, 5003);
    CHECK(next_is(r, 5003 + STAY, RESIDENCY_EVICT, 1));
    residency_left(r, 1);
    CHECK(next_is(r, 5004 + STAY, RESIDENCY_LOAD, 2));
}

static void a_group_gets_room_at_once_and_is_loaded_after_what_it_needs(void)
{
    err e;
    const size_t members[] = {1, 2};
    CLEANUP(residency) residency *r = made(40, 4, 4);
    CHECK(residency_need(r, 0, members, 2, &e) == ERR_OK && !residency_needs_all(r, 0));
    bring(r, 3, 20, 0);
    for (size_t i = 0; i < 3; i++) CHECK(residency_fits(r, i, i ? 15 : 1) || true);
    CHECK(want(r, 0, 1));
    CHECK(next_is(r, 5000, RESIDENCY_EVICT, 3));
    CHECK(residency_of(r, 1) == RESIDENCY_OUT);   /* no part of it has room */
    residency_left(r, 3);
    CHECK(next_is(r, 5001, RESIDENCY_LOAD, 1) && next_is(r, 5001, RESIDENCY_LOAD, 2) && idles(r, 5001));
    CHECK_U64(used(r), 31);
    residency_came(r, 1, 15, 5002);
    CHECK(idles(r, 5002));
    residency_came(r, 2, 15, 5003);
    CHECK(residency_needs_all(r, 0) && next_is(r, 5003, RESIDENCY_LOAD, 0));
    residency_came(r, 0, 1, 5004);
    CHECK(want(r, 3, 10) && next_is(r, 9000, RESIDENCY_EVICT, 0));
}

static void what_a_load_finds_that_it_needs_comes_before_it(void)
{
    err e;
    const size_t member = 1;
    CLEANUP(residency) residency *r = made(40, 3, 1);
    CHECK(want(r, 0, 1) && want(r, 2, 1) && next_is(r, 1, RESIDENCY_LOAD, 0));
    CHECK(residency_need(r, 0, &member, 1, &e) == ERR_OK && !residency_needs_all(r, 0));
    residency_again(r, 0);
    CHECK(next_is(r, 2, RESIDENCY_LOAD, 1));   /* in its old place: before the other */
    residency_came(r, 1, 5, 3);
    CHECK(next_is(r, 3, RESIDENCY_LOAD, 0) && idles(r, 3));
    residency_came(r, 0, 1, 4);
    CHECK(next_is(r, 4, RESIDENCY_LOAD, 2));
}

static void a_failure_holds_nobody_up(void)
{
    err e;
    const size_t member = 1;
    CLEANUP(residency) residency *r = made(40, 3, 1);
    CHECK(residency_need(r, 0, &member, 1, &e) == ERR_OK);
    CHECK(want(r, 0, 1) && want(r, 2, 1));
    CHECK(next_is(r, 1, RESIDENCY_LOAD, 1));
    residency_failed(r, 1);
    CHECK(next_is(r, 2, RESIDENCY_LOAD, 0));   /* which says what it misses */
    residency_failed(r, 0);
    CHECK(next_is(r, 3, RESIDENCY_LOAD, 2) && used(r) == 1);
    residency_failed(r, 2);
    CHECK(idles(r, 4) && used(r) == 0);
}

static void what_is_taken_out_is_not_waited_for(void)
{
    CLEANUP(residency) residency *r = made(20, 2, 4);
    bring(r, 0, 20, 0);
    CHECK(want(r, 1, 5) && residency_drop(r, 0) && residency_of(r, 0) == RESIDENCY_LEAVING);
    CHECK(idles(r, 1));
    CHECK(want(r, 0, 20) && !residency_drop(r, 0) && residency_of(r, 0) == RESIDENCY_LEAVING);
    residency_left(r, 0);
    CHECK(next_is(r, 2, RESIDENCY_LOAD, 1) && idles(r, 2) && residency_of(r, 0) == RESIDENCY_OUT);
}

static void what_others_took_beyond_their_guess_is_expected_of_the_next(void)
{
    CLEANUP(residency) residency *r = made(100, 2, 4);
    CHECK(want(r, 0, 10) && next_is(r, 1, RESIDENCY_LOAD, 0) && residency_fits(r, 0, 26));
    residency_came(r, 0, 26, 2);
    CHECK(want(r, 1, 10) && next_is(r, 3, RESIDENCY_LOAD, 1));
    CHECK_U64(used(r), 26 + 26);
}

/* A load that somebody asked for by name does not wait for what was there before. */
static void what_was_taken_out_twice_counts_until_both_have_left(void)
{
    CLEANUP(residency) residency *r = made(100, 1, 4);
    bring(r, 0, 10, 0);
    CHECK(residency_drop(r, 0));
    residency_came(r, 0, 12, 1);
    CHECK_U64(used(r), 22);
    CHECK(residency_drop(r, 0));
    residency_left(r, 0);
    CHECK(residency_of(r, 0) == RESIDENCY_LEAVING && used(r) == 22);
    residency_left(r, 0);
    CHECK(residency_of(r, 0) == RESIDENCY_OUT && used(r) == 0);
}

static void who_is_wanted_again_comes_when_it_has_left(void)
{
    CLEANUP(residency) residency *r = made(100, 1, 4);
    bring(r, 0, 10, 0);
    CHECK(residency_drop(r, 0) && want(r, 0, 10) && idles(r, 1));
    residency_left(r, 0);
    CHECK(next_is(r, 2, RESIDENCY_LOAD, 0));
}

/* What was measured is better than a guess, as long as the files are the same. */
static void who_was_evicted_comes_back_as_large_as_it_was(void)
{
    CLEANUP(residency) residency *r = made(30, 2, 4);
    CHECK(want(r, 0, 5) && next_is(r, 0, RESIDENCY_LOAD, 0) && residency_fits(r, 0, 26));
    residency_came(r, 0, 26, 0);
    CHECK(want(r, 1, 5) && next_is(r, STAY, RESIDENCY_EVICT, 0));
    residency_left(r, 0);
    CHECK_U64(residency_bytes(r, 0), 26);
    CHECK(residency_of(r, 0) == RESIDENCY_OUT && !residency_drop(r, 0));
    CHECK_U64(residency_bytes(r, 0), 5);   /* other files: a guess again */
}

static void who_could_not_be_taken_out_is_as_it_was(void)
{
    residency_counts before, after;
    CLEANUP(residency) residency *r = made(30, 3, 4);
    const size_t member = 1;
    err e;
    bring(r, 1, 5, 0);
    CHECK(residency_need(r, 0, &member, 1, &e) == ERR_OK);
    bring(r, 0, 10, 0);
    CHECK(want(r, 2, 20));
    residency_read(r, &before);
    for (int i = 0; i < 2; i++) {
        CHECK(next_is(r, STAY, RESIDENCY_EVICT, 0));
        residency_stays(r, 0);
        residency_read(r, &after);
        CHECK(residency_of(r, 0) == RESIDENCY_IN && after.used == before.used && after.in == before.in);
        CHECK(after.evictions == before.evictions && after.loads == before.loads);
    }
    CHECK(next_is(r, STAY, RESIDENCY_EVICT, 0));   /* and not what it needs */
    residency_left(r, 0);
    CHECK(next_is(r, STAY, RESIDENCY_LOAD, 2) && used(r) == 25);
}

static void a_load_that_nobody_was_told_to_begin_ends_none_of_the_others(void)
{
    err e;
    const size_t member = 1;
    CLEANUP(residency) residency *r = made(40, 3, 1);
    CHECK(residency_need(r, 0, &member, 1, &e) == ERR_OK);
    CHECK(want(r, 0, 1) && next_is(r, 0, RESIDENCY_LOAD, 1) && residency_of(r, 0) == RESIDENCY_LOADING);
    residency_came(r, 0, 1, 1);   /* by name, while 1 is on its way */
    CHECK(want(r, 2, 1) && idles(r, 2));
    residency_came(r, 1, 1, 3);
    CHECK(next_is(r, 3, RESIDENCY_LOAD, 2));
}

static void what_is_needed_no_more_may_leave(void)
{
    err e;
    const size_t member = 1;
    CLEANUP(residency) residency *r = made(20, 3, 4);
    bring(r, 1, 10, 0);
    CHECK(residency_need(r, 0, &member, 1, &e) == ERR_OK);
    bring(r, 0, 5, 0);
    residency_see(r, 0, 5, 100, false);
    CHECK(want(r, 2, 10) && residency_need(r, 0, NULL, 0, &e) == ERR_OK);
    CHECK(next_is(r, STAY + 100, RESIDENCY_EVICT, 1));
    residency_left(r, 1);
    CHECK(next_is(r, STAY + 100, RESIDENCY_LOAD, 2));
}

static void a_look_that_is_late_makes_nobody_older(void)
{
    CLEANUP(residency) residency *r = made(20, 3, 4);
    bring(r, 0, 10, 50);
    bring(r, 1, 10, 40);
    residency_see(r, 0, 10, 10, false);   /* used last before it came */
    CHECK(want(r, 2, 10) && next_is(r, 5000, RESIDENCY_EVICT, 1));
}

/* ---- any order of events ---- */

enum { MODELS = 30, BUDGET = 1000 };

typedef struct {
    residency *r;
    uint64_t seed, now_us;
    uint64_t size[MODELS], came_us[MODELS], used_us[MODELS];
    bool loading[MODELS], leaving[MODELS], busy[MODELS], wanted[MODELS];
    size_t needs[MODELS];   /* the one it needs; MODELS = none */
} world;

static bool pinned(size_t i) { return i == 0; }

static uint64_t there(const world *w)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < MODELS; i++)
        if (w->leaving[i] || residency_of(w->r, i) == RESIDENCY_IN) bytes += w->size[i];
    return bytes;
}

static bool steps_do(world *w)
{
    for (int n = 0;; n++) {
        CHECK(n < 10 * MODELS);
        for (size_t i = 0; i < MODELS; i++)
            if (residency_of(w->r, i) == RESIDENCY_IN) residency_see(w->r, i, w->size[i], w->used_us[i], w->busy[i]);
        residency_step s = residency_next(w->r, w->now_us);
        size_t i = s.model;
        if (s.what == RESIDENCY_NOTHING) return s.again_us != 0;
        if (s.what == RESIDENCY_LOAD) {
            CHECK(!w->loading[i] && residency_of(w->r, i) == RESIDENCY_LOADING);
            w->loading[i] = true;
        } else if (s.what == RESIDENCY_EVICT) {
            CHECK(!pinned(i) && !w->busy[i] && !w->leaving[i] && w->now_us >= w->came_us[i] + STAY);
            for (size_t k = 0; k < MODELS; k++)
                CHECK(w->needs[k] != i || residency_of(w->r, k) != RESIDENCY_IN);
            w->leaving[i] = true;
        } else {
            CHECK(false);   /* each fits */
        }
    }
}

static void load_ends(world *w, size_t i, bool fails)
{
    w->loading[i] = false;
    w->wanted[i] = false;
    if (fails) {
        residency_failed(w->r, i);
        return;
    }
    CHECK(residency_fits(w->r, i, w->size[i]));
    residency_came(w->r, i, w->size[i], w->now_us);
    w->came_us[i] = w->now_us;
    w->busy[i] = false;
}

static void anything_happens(world *w)
{
    size_t i = test_rand(&w->seed) % MODELS;
    switch (test_rand(&w->seed) % 6) {
    case 0:
    case 1:
        (void)want(w->r, i, w->size[i]);
        w->wanted[i] = residency_of(w->r, i) != RESIDENCY_IN;
        w->used_us[i] = w->now_us;
        break;
    case 2:
        if (w->loading[i]) load_ends(w, i, test_rand(&w->seed) % 8 == 0);
        break;
    case 3:
        if (!w->leaving[i]) break;
        residency_left(w->r, i);
        w->leaving[i] = false;
        break;
    case 4:
        if (residency_of(w->r, i) == RESIDENCY_IN) w->busy[i] = !w->busy[i];
        break;
    default: w->now_us += test_rand(&w->seed) % 500;
    }
}

/* Whatever was begun ends, and nothing new comes: nobody waits any more. */
static void all_ends(world *w)
{
    for (int n = 0; n < 100 * MODELS; n++) {
        bool later = steps_do(w), any = later;
        for (size_t i = 0; i < MODELS; i++) {
            any = any || w->loading[i] || w->leaving[i];
            w->busy[i] = false;
            if (w->loading[i]) load_ends(w, i, false);
            if (w->leaving[i]) residency_left(w->r, i);
            w->leaving[i] = false;
        }
        w->now_us += STAY;
        if (!any) break;
    }
    residency_counts c;
    residency_read(w->r, &c);
    CHECK_U64(c.waiting, 0);
    for (size_t i = 0; i < MODELS; i++) CHECK(residency_of(w->r, i) != RESIDENCY_LOADING);
}

static void any_order_of_events_keeps_the_rules(void)
{
    err e;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        int before = test_failures;
        world w = {.seed = seed * 7919, .r = made(BUDGET, MODELS, 3)};
        for (size_t i = 0; i < MODELS; i++) {
            w.size[i] = 1 + test_rand(&w.seed) % 150;
            bool groups = i >= 20 && i % 2;
            w.needs[i] = groups ? test_rand(&w.seed) % 20 : MODELS;
            residency_guess(w.r, i, w.size[i]);
            if (groups) CHECK(residency_need(w.r, i, &w.needs[i], 1, &e) == ERR_OK);
        }
        residency_pin(w.r, 0, true);
        for (int n = 0; n < 2000; n++) {
            anything_happens(&w);
            (void)steps_do(&w);
            CHECK(there(&w) <= BUDGET && used(w.r) <= BUDGET);
        }
        all_ends(&w);
        residency_free(w.r);
        if (test_failures > before) {
            printf("# seed %" PRIu64 "\n", seed);
            return;
        }
    }
}

static void a_short_life(void)
{
    CLEANUP(residency) residency *r = NULL;
    err e;
    const residency_opts o = {.bytes_max = 10, .loads_max = 1};
    const size_t self = 0;
    if (residency_new(&r, &o, &e) || residency_add(r, &e)) return;
    (void)!residency_need(r, 0, &self, 1, &e);
}

static void without_memory_nothing_is_left(void) { FAULT_SWEEP(a_short_life()) }

int main(void)
{
    static const test_case cases[] = {
        TEST(one_load_serves_all_who_want_it),
        TEST(who_was_used_longest_ago_leaves),
        TEST(a_model_stays_for_its_time),
        TEST(what_is_busy_pinned_or_needed_stays),
        TEST(what_never_fits_is_refused),
        TEST(who_was_refused_goes_on_where_it_was_when_others_shrink),
        TEST(a_budget_that_is_exceeded_takes_one_before_its_time),
        TEST(nobody_overtakes_who_waits_for_more_room),
        TEST(a_group_gets_room_at_once_and_is_loaded_after_what_it_needs),
        TEST(what_a_load_finds_that_it_needs_comes_before_it),
        TEST(a_failure_holds_nobody_up),
        TEST(what_is_taken_out_is_not_waited_for),
        TEST(what_others_took_beyond_their_guess_is_expected_of_the_next),
        TEST(what_was_taken_out_twice_counts_until_both_have_left),
        TEST(who_is_wanted_again_comes_when_it_has_left),
        TEST(who_was_evicted_comes_back_as_large_as_it_was),
        TEST(who_could_not_be_taken_out_is_as_it_was),
        TEST(a_load_that_nobody_was_told_to_begin_ends_none_of_the_others),
        TEST(what_is_needed_no_more_may_leave),
        TEST(a_look_that_is_late_makes_nobody_older),
        TEST(any_order_of_events_keeps_the_rules),
        TEST(without_memory_nothing_is_left),
    };
    return test_main(cases, COUNTOF(cases));
}
