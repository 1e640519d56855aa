/* Whoever is set rings once, at the earliest time that any thread gave it and not before; nothing set is no wake-up;
 * one that was removed does not ring, and removing waits for a ring that goes on. */
#include "async/waker.h"
#include "fake/sys_fake.h"
#include "os/clock.h"
#include "os/thread.h"
#include "test.h"

typedef struct {
    waker_call call;
    _Atomic uint32_t rings;
    _Atomic uint64_t at_us;
    _Atomic bool held, inside;
} sleeper;

static void ring(waker_call *c)
{
    sleeper *s = (sleeper *)(void *)c;
    atomic_store(&s->inside, true);
    while (atomic_load(&s->held)) thread_pause();
    atomic_store(&s->at_us, clock_now_us());
    atomic_store(&s->inside, false);
    atomic_fetch_add(&s->rings, 1);
}

static waker *start(sleeper *s, size_t count)
{
    waker *a = NULL;
    err e;
    CHECK(waker_new(&a, &e) == ERR_OK);
    for (size_t i = 0; i < count; i++) {
        s[i] = (sleeper){.call = {.ring = ring}};
        waker_add(a, &s[i].call);
    }
    return a;
}

static void stop(waker *a, sleeper *s, size_t count)
{
    for (size_t i = 0; i < count; i++) waker_remove(a, &s[i].call);
    waker_free(a);
}

static void await_rings(sleeper *s, uint32_t count)
{
    uint64_t until_us = clock_now_us() + 60000000;
    while (atomic_load(&s->rings) < count && clock_now_us() < until_us) thread_yield();
    CHECK_U64(atomic_load(&s->rings), count);
}

static void await_one_more(sleeper *s, uint32_t than)
{
    uint64_t until_us = clock_now_us() + 60000000;
    while (atomic_load(&s->rings) <= than && clock_now_us() < until_us) thread_yield();
    CHECK(atomic_load(&s->rings) > than);
}

static void with_nothing_set_the_thread_sleeps_for_ever(void)
{
    sleeper s[1];
    waker *a = start(s, 1);
    CHECK(sys_fake_await_asleep(1, UINT64_MAX));
    waker_by(a, &s[0].call, clock_now_us());
    await_rings(&s[0], 1);
    CHECK(sys_fake_await_asleep(1, UINT64_MAX));
    CHECK_U64(atomic_load(&s[0].rings), 1);
    stop(a, s, 1);
}

/* Setting it to later does not move it, to earlier does. */
static void it_rings_at_the_earliest_time_that_it_was_given(void)
{
    sleeper s[3];
    waker *a = start(s, 3);
    uint64_t now_us = clock_now_us(), soon_us = now_us + 20000;
    waker_by(a, &s[2].call, now_us + 3600000000);
    waker_by(a, &s[0].call, now_us + 3600000000);
    waker_by(a, &s[1].call, now_us + 40000);
    waker_by(a, &s[0].call, soon_us);
    waker_by(a, &s[0].call, now_us + 7200000000);
    await_rings(&s[0], 1);
    await_rings(&s[1], 1);
    CHECK(atomic_load(&s[0].at_us) >= soon_us && atomic_load(&s[1].at_us) >= now_us + 40000);
    CHECK(sys_fake_await_asleep(1, 3000000000000));   /* until the third's, an hour away */
    CHECK_U64(atomic_load(&s[0].rings), 1);
    CHECK_U64(atomic_load(&s[2].rings), 0);
    stop(a, s, 3);
}

static void removing_waits_for_a_ring_that_goes_on_and_nothing_rings_after_it(void)
{
    sleeper s[2];
    waker *a = start(s, 2);
    atomic_store(&s[0].held, true);
    waker_by(a, &s[0].call, clock_now_us());
    while (!atomic_load(&s[0].inside)) thread_yield();
    waker_by(a, &s[0].call, clock_now_us());   /* set anew while it rings */
    waker_remove(a, &s[1].call);
    atomic_store(&s[0].held, false);
    waker_remove(a, &s[0].call);
    CHECK(!atomic_load(&s[0].inside));
    uint32_t rings = atomic_load(&s[0].rings);
    CHECK(rings == 1 || rings == 2);
    CHECK(sys_fake_await_asleep(1, UINT64_MAX));
    CHECK_U64(atomic_load(&s[0].rings), rings);
    CHECK_U64(atomic_load(&s[1].rings), 0);
    waker_free(a);
}

enum { SETTERS = 3, SETTINGS = 3000, CALLS = 5 };

typedef struct {
    thread thread;
    waker *waker;
    sleeper *s;
    uint64_t seed;
} setter;

static void once_it_is_stopped_nobody_rings(void)
{
    sleeper s;
    waker *a = start(&s, 1);
    waker_stop(a);
    waker_by(a, &s.call, 1);   /* long ago */
    waker_stop(a);
    CHECK_U64(atomic_load(&s.rings), 0);
    stop(a, &s, 1);
    CHECK_U64(atomic_load(&s.rings), 0);
}

static void set_many(void *ctx)
{
    setter *t = ctx;
    for (int i = 0; i < SETTINGS; i++) {
        uint64_t r = test_rand(&t->seed);
        waker_by(t->waker, &t->s[r % CALLS].call, clock_now_us() + (r >> 32) % 300);
    }
}

/* The last setting of each is never lost: all of them ring after it. */
static void no_setting_is_lost_between_threads(void)
{
    sleeper s[CALLS];
    setter t[SETTERS];
    waker *a = start(s, CALLS);
    err e;
    for (size_t i = 0; i < SETTERS; i++) {
        t[i] = (setter){.waker = a, .s = s, .seed = i + 1};
        CHECK(thread_start(&t[i].thread, "setter", set_many, &t[i], &e) == ERR_OK);
    }
    for (size_t i = 0; i < SETTERS; i++) thread_join(&t[i].thread);
    for (size_t i = 0; i < CALLS; i++) {
        await_one_more(&s[i], 0);
        uint32_t before = atomic_load(&s[i].rings);
        waker_by(a, &s[i].call, clock_now_us());
        await_one_more(&s[i], before);
    }
    stop(a, s, CALLS);
}

static void construction_survives_every_failed_allocation_and_thread(void)
{
    err e;
    FAULT_SWEEP({
        waker *a = NULL;
        if (waker_new(&a, &e) == ERR_OK) waker_free(a);
        else CHECK(e.code == ERR_NOMEM);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(with_nothing_set_the_thread_sleeps_for_ever),
        TEST(it_rings_at_the_earliest_time_that_it_was_given),
        TEST(removing_waits_for_a_ring_that_goes_on_and_nothing_rings_after_it),
        TEST(once_it_is_stopped_nobody_rings),
        TEST(no_setting_is_lost_between_threads),
        TEST(construction_survives_every_failed_allocation_and_thread),
    };
    return test_main(cases, COUNTOF(cases));
}
