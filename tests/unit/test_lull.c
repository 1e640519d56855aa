/* A loop that was busy is told once that it rests, as long after its last work as was asked for; never while it is
 * busy, never again until it was busy once more, and never at all where nothing happened; the last of several knows. */
#include "async/lull.h"
#include "fake/sys_fake.h"
#include "os/clock.h"
#include "test.h"

enum { WAIT_US = 1000000 };
#define START_NS (3600 * UINT64_C(1000000000))

typedef struct {
    loop *on;
    lull lull;
    uint64_t rests, last_rests, rested_us;
} one;

static _Atomic size_t awake;

static uint64_t polls(void) { return sys_fake_calls(SYS_poll_wait_ns) + sys_fake_calls(SYS_poll_wait_ms); }

static void rests(lull *l, bool last)
{
    one *o = (one *)(void *)((char *)l - offsetof(one, lull));
    o->rests++;
    o->last_rests += last;
    o->rested_us = loop_now_us(l->on);
}

/* The clock stands still but for waits, which take no time. */
static void begin(one *o, size_t count)
{
    err e;
    sys_fake_clock_set(START_NS);
    atomic_store(&awake, 0);
    for (size_t i = 0; i < count; i++) {
        o[i] = (one){.rests = 0};
        CHECK(loop_new(&o[i].on, 1, &e) == ERR_OK);
        const lull_opts opts = {.on = o[i].on, .wait_us = WAIT_US, .awake = &awake, .rests = rests};
        CHECK(lull_init(&o[i].lull, &opts, &e) == ERR_OK);
    }
}

static void end(one *o, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lull_fini(&o[i].lull);
        loop_free(o[i].on);
    }
    sys_fake_clock_set(0);
}

typedef struct {
    loop_timer timer;
    one *of;
    uint64_t period_us;
    size_t left;
} worker;

static void work(loop_timer *t)
{
    worker *w = (worker *)(void *)t;
    err e;
    if (!w->left) {
        loop_stop(w->of->on);
        return;
    }
    w->left--;
    lull_busy(&w->of->lull);
    CHECK(loop_timer_set(w->of->on, t, loop_now_us(w->of->on) + (w->left ? w->period_us : 10 * WAIT_US), &e) == ERR_OK);
}

/* Works `times`, every period_us, then does nothing for ten times as long as a rest takes to begin.  Returns when the
 * last work was done. */
static uint64_t work_on(one *o, size_t times, uint64_t period_us)
{
    err e;
    worker w = {.timer.fire = work, .of = o, .period_us = period_us, .left = times};
    uint64_t from_us = clock_now_us() + 1;
    CHECK(loop_timer_set(o->on, &w.timer, from_us, &e) == ERR_OK);
    CHECK(loop_run(o->on, &e) == ERR_OK);
    return from_us + (times - 1) * period_us;
}

static void a_rest_comes_once_after_the_last_work(void)
{
    one o;
    begin(&o, 1);
    for (uint64_t k = 1; k <= 3; k++) {
        uint64_t last_us = work_on(&o, 1, 1);
        CHECK_U64(o.rests, k);
        CHECK_U64(o.last_rests, k);
        CHECK_U64(o.rested_us, last_us + WAIT_US);
    }
    end(&o, 1);
}

static void a_loop_that_is_busy_does_not_rest(void)
{
    one o;
    begin(&o, 1);
    uint64_t last_us = work_on(&o, 1000, WAIT_US - 1);
    CHECK_U64(o.rests, 1);
    CHECK_U64(o.rested_us, last_us + WAIT_US);
    last_us = work_on(&o, 5, WAIT_US);   /* each time just long enough for a rest */
    CHECK_U64(o.rests, 6);
    CHECK_U64(o.rested_us, last_us + WAIT_US);
    end(&o, 1);
}

/* However much work there is, the timer is moved once in a while only: a thousand pieces of work in a wait cost as many
 * wake-ups as those pieces themselves and one more. */
static void work_costs_no_wake_ups(void)
{
    one o;
    begin(&o, 1);
    uint64_t before = polls();
    (void)work_on(&o, 1000, WAIT_US / 1000);
    uint64_t with = polls() - before;
    CHECK(with <= 1000 + 6);
    end(&o, 1);
}

static void stop(loop_timer *t) { loop_stop(((worker *)(void *)t)->of->on); }

static void nothing_happens_where_nothing_was_done(void)
{
    one o;
    err e;
    begin(&o, 1);
    for (int k = 0; k < 2; k++) {   /* at first, and behind a rest */
        worker w = {.timer.fire = stop, .of = &o};
        uint64_t before = polls(), rested = o.rests;
        CHECK(loop_timer_set(o.on, &w.timer, clock_now_us() + UINT64_C(86400000000), &e) == ERR_OK);
        CHECK(loop_run(o.on, &e) == ERR_OK);
        CHECK_U64(polls() - before, 1);   /* one sleep for a whole day */
        CHECK_U64(o.rests, rested);
        (void)work_on(&o, 1, 1);
    }
    end(&o, 1);
}

static void the_last_of_several_knows_so(void)
{
    one o[3];
    begin(o, 3);
    lull_busy(&o[1].lull);
    (void)work_on(&o[0], 1, 1);
    CHECK(o[0].rests == 1 && o[0].last_rests == 0);   /* o[1] did not turn yet; o[2] never was busy */
    (void)work_on(&o[1], 1, 1);
    CHECK(o[1].rests == 2 && o[1].last_rests == 2);   /* from the time before, and from its work */
    CHECK_U64(atomic_load(&awake), 0);
    lull_busy(&o[2].lull);
    lull_fini(&o[2].lull);   /* one that ends is not waited for */
    (void)work_on(&o[0], 1, 1);
    CHECK(o[0].rests == 2 && o[0].last_rests == 1);
    end(o, 3);
}

static void build_and_use(void)
{
    err e;
    CLEANUP(loop) loop *l = NULL;
    lull at = {.on = NULL};
    err_code rc = loop_new(&l, 1, &e);
    const lull_opts opts = {.on = l, .wait_us = WAIT_US, .awake = &awake, .rests = rests};
    if (rc == ERR_OK && (rc = lull_init(&at, &opts, &e)) == ERR_OK) lull_busy(&at);
    CHECK(rc == ERR_OK || rc == ERR_NOMEM);
    lull_fini(&at);
}

static void a_lack_of_memory_leaves_nothing(void)
{
    FAULT_SWEEP(build_and_use());
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_rest_comes_once_after_the_last_work),
        TEST(a_loop_that_is_busy_does_not_rest),
        TEST(work_costs_no_wake_ups),
        TEST(nothing_happens_where_nothing_was_done),
        TEST(the_last_of_several_knows_so),
        TEST(a_lack_of_memory_leaves_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
