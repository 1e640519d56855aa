/* What must hold for a loop: messages of each sender arrive in order and wake a sleeping loop; timers fire in the
 * order of their time and never early; deleting a descriptor or a timer in any callback is final; an idle loop makes
 * no wake-up at all; long callbacks are counted. */
#include "async/loop.h"
#include "fake/sys_fake.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/thread.h"
#include "test.h"

#include <malloc.h>
#include <stdatomic.h>
#include <unistd.h>

static void construction_survives_every_failed_allocation(void)
{
    err e;
    FAULT_SWEEP({
        CLEANUP(loop) loop *l = NULL;
        err_code rc = loop_new(&l, 1, &e);
        CHECK((rc == ERR_OK) == (l != NULL));
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
    });
}

static void construction_survives_every_failed_system_call(void)
{
    err e;
    SYS_SWEEP(-EMFILE, {
        CLEANUP(loop) loop *l = NULL;
        err_code rc = loop_new(&l, 1, &e);
        CHECK((rc == ERR_OK) == (l != NULL));
        CHECK(rc == ERR_OK || rc == ERR_LIMIT);
    });
    sys_fake_script((sys_fault[]){{SYS_event_open, .times = 1, .result = -EMFILE}}, 1);
    loop *l = NULL;
    CHECK(loop_new(&l, 1, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "loop: eventfd: cannot open: Too many open files");
    sys_fake_script(NULL, 0);
}

/* ---- messages */

enum { SENDERS = 4, LETTERS = 5000 };

typedef struct {
    loop_msg msg;
    uint32_t sender, number;
} letter;

typedef struct {
    thread thread;
    loop *to;
    letter letters[LETTERS];
} sender;

static sender senders[SENDERS];
static uint32_t next_of[SENDERS], received;
static bool in_order;

static void receive(loop *on, loop_msg *m)
{
    letter *t = (letter *)(void *)m;
    in_order &= next_of[t->sender]++ == t->number;
    if (++received == SENDERS * LETTERS) loop_stop(on);
}

static void send_all(void *ctx)
{
    sender *s = ctx;
    for (uint32_t i = 0; i < LETTERS; i++) {
        s->letters[i] = (letter){.msg.run = receive, .sender = (uint32_t)(s - senders), .number = i};
        loop_post(s->to, &s->letters[i].msg);
    }
}

static void messages_of_each_sender_arrive_once_and_in_order(void)
{
    err e;
    CLEANUP(loop) loop *l = NULL;
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    in_order = true;
    received = 0;
    memset(next_of, 0, sizeof next_of);
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i].to = l;
        CHECK(thread_start(&senders[i].thread, "sender", send_all, &senders[i], &e) == ERR_OK);
    }
    CHECK(loop_run(l, &e) == ERR_OK);
    for (size_t i = 0; i < SENDERS; i++) thread_join(&senders[i].thread);
    CHECK_U64(received, SENDERS * LETTERS);
    CHECK(in_order);
}

/* Two loops throw one message back and forth, so that each always sleeps when it comes. */
typedef struct {
    loop_msg msg;
    loop *loops[2];
    uint32_t left;
} ball;

typedef struct {
    thread thread;
    loop *loop;
    err_code rc;
} runner;

static void run_loop(void *ctx)
{
    runner *r = ctx;
    err e;
    r->rc = loop_run(r->loop, &e);
}

static void stop(loop *on, loop_msg *m)
{
    (void)m;
    loop_stop(on);
}

static void pass(loop *on, loop_msg *m)
{
    ball *b = (ball *)(void *)m;
    if (b->left == 0) {
        loop_stop(on);
        return;
    }
    b->left--;
    loop_post(b->loops[b->loops[0] == on], m);
}

static void a_message_wakes_a_sleeping_loop_every_time(void)
{
    err e;
    runner r[2] = {0};
    CHECK(loop_new(&r[0].loop, 1, &e) == ERR_OK && loop_new(&r[1].loop, 2, &e) == ERR_OK);
    ball b = {.msg.run = pass, .loops = {r[0].loop, r[1].loop}, .left = 4001};
    CHECK(thread_start(&r[0].thread, "loop-0", run_loop, &r[0], &e) == ERR_OK);
    CHECK(thread_start(&r[1].thread, "loop-1", run_loop, &r[1], &e) == ERR_OK);
    loop_post(r[0].loop, &b.msg);
    thread_join(&r[1].thread);   /* an odd count ends on loop 1 */
    loop_msg end = {.run = stop};
    loop_post(r[0].loop, &end);
    thread_join(&r[0].thread);
    CHECK(r[0].rc == ERR_OK && r[1].rc == ERR_OK);
    loop_free(r[0].loop);
    loop_free(r[1].loop);
}

static uint32_t runs;

static void count_run(loop *on, loop_msg *m)
{
    (void)on;
    (void)m;
    runs++;
}

static void messages_left_at_the_end_are_run(void)
{
    err e;
    loop *l = NULL;
    static loop_msg many[LOOP_TURN_MAX * 3];
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    runs = 0;
    for (size_t i = 0; i < COUNTOF(many); i++) {
        many[i].run = count_run;
        loop_post(l, &many[i]);
    }
    loop_free(l);
    CHECK_U64(runs, COUNTOF(many));
}

/* ---- timers */

enum { TIMERS = 500 };

typedef struct {
    loop_timer timer;
    loop *loop;
    uint64_t fired_at_us;
    uint32_t fired;
} alarm_clock;

static alarm_clock clocks[TIMERS];
static uint64_t last_fired_us;
static uint32_t fired, fire_total;
static bool ascending;

static void fire(loop_timer *t)
{
    alarm_clock *a = (alarm_clock *)(void *)t;
    a->fired++;
    a->fired_at_us = loop_now_us(a->loop);
    ascending &= t->at_us >= last_fired_us;
    last_fired_us = t->at_us;
    if (++fired == fire_total) loop_stop(a->loop);
}

/* Sets, moves and cancels at random under a clock of its own: a day of timers in a moment. */
static void timers_fire_once_in_order_and_exactly_on_time(void)
{
    err e;
    uint64_t seed = 42;
    for (uint32_t round = 0; round < 20; round++) {
        sys_fake_clock_set(1000000000);
        CLEANUP(loop) loop *l = NULL;
        CHECK(loop_new(&l, 1, &e) == ERR_OK);
        memset(clocks, 0, sizeof clocks);
        last_fired_us = fired = fire_total = 0;
        ascending = true;
        for (size_t i = 0; i < TIMERS * 4; i++) {
            alarm_clock *a = &clocks[test_rand(&seed) % TIMERS];
            a->timer.fire = fire;
            a->loop = l;
            if (test_rand(&seed) % 4 == 0)
                loop_timer_cancel(l, &a->timer);
            else
                CHECK(loop_timer_set(l, &a->timer, 1000000 + test_rand(&seed) % 86400000000u, &e) == ERR_OK);
        }
        for (size_t i = 0; i < TIMERS; i++) fire_total += clocks[i].timer.index != 0;
        CHECK(loop_run(l, &e) == ERR_OK);
        CHECK_U64(fired, fire_total);
        CHECK(ascending);
        for (size_t i = 0; i < TIMERS; i++) {
            CHECK(clocks[i].fired <= 1);
            if (clocks[i].fired) CHECK_U64(clocks[i].fired_at_us, clocks[i].timer.at_us);
        }
    }
    sys_fake_clock_set(0);
}

static void a_kernel_without_epoll_pwait2_fires_in_whole_milliseconds_never_early(void)
{
    err e;
    CLEANUP(loop) loop *l = NULL;
    sys_fake_clock_set(1000000000);
    sys_fake_script((sys_fault[]){{SYS_poll_wait_ns, .times = SYS_FAKE_EVER, .result = -ENOSYS}}, 1);
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    alarm_clock a = {.timer.fire = fire, .loop = l};
    fired = 0;
    fire_total = 1;
    CHECK(loop_timer_set(l, &a.timer, 1000000 + 1500, &e) == ERR_OK);
    CHECK(loop_run(l, &e) == ERR_OK);
    CHECK_U64(a.fired_at_us, 1002000);
    sys_fake_script(NULL, 0);
    sys_fake_clock_set(0);
}

static alarm_clock *victim;

static void fire_and_cancel(loop_timer *t)
{
    alarm_clock *a = (alarm_clock *)(void *)t;
    a->fired++;
    if (victim) loop_timer_cancel(a->loop, &victim->timer);
    victim = NULL;
}

static void set_again(loop_timer *t)
{
    err e;
    alarm_clock *a = (alarm_clock *)(void *)t;
    if (++a->fired < 3 * LOOP_TURN_MAX) CHECK(loop_timer_set(a->loop, t, loop_now_us(a->loop), &e) == ERR_OK);
}

static void a_timer_may_cancel_another_that_is_due_and_set_itself_again(void)
{
    err e;
    CLEANUP(loop) loop *l = NULL;
    sys_fake_clock_set(1000000000);
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    alarm_clock a[4] = {{.timer.fire = fire_and_cancel, .loop = l}, {.timer.fire = fire_and_cancel, .loop = l},
                        {.timer.fire = set_again, .loop = l}, {.timer.fire = fire, .loop = l}};
    CHECK(loop_timer_set(l, &a[0].timer, 1000010, &e) == ERR_OK);
    CHECK(loop_timer_set(l, &a[1].timer, 1000010, &e) == ERR_OK);
    CHECK(loop_timer_set(l, &a[2].timer, 1000011, &e) == ERR_OK);
    CHECK(loop_timer_set(l, &a[3].timer, 1000012, &e) == ERR_OK);   /* stops the loop; reached in spite of set_again */
    victim = &a[1];
    fired = 0;
    fire_total = 1;
    CHECK(loop_run(l, &e) == ERR_OK);
    CHECK_U64(a[0].fired, 1);
    CHECK_U64(a[1].fired, 0);
    CHECK_U64(a[2].fired, 3 * LOOP_TURN_MAX);
    CHECK_U64(a[3].fired, 1);
    sys_fake_clock_set(0);
}

/* Fills the heap to its last place and beyond, with no memory to be had, before it sets itself again. */
static void crowd_then_set_again(loop_timer *t)
{
    err e;
    static loop_timer crowd[64];
    alarm_clock *a = (alarm_clock *)(void *)t;
    size_t set = 0;
    mem_fault_after(0);
    for (size_t i = 0; i < COUNTOF(crowd); i++) {
        crowd[i] = (loop_timer){.fire = fire};
        set += loop_timer_set(a->loop, &crowd[i], 2000000, &e) == ERR_OK;
    }
    CHECK(mem_fault_fired());
    CHECK_U64(set, COUNTOF(crowd) - 1);   /* 64 places, one of them this timer's */
    CHECK(loop_timer_set(a->loop, t, 3000000, &e) == ERR_OK);
    mem_fault_after(-1);
    for (size_t i = 0; i < COUNTOF(crowd); i++) loop_timer_cancel(a->loop, &crowd[i]);
    loop_timer_cancel(a->loop, t);
    loop_stop(a->loop);
}

static void a_timer_can_always_set_itself_again(void)
{
    err e;
    CLEANUP(loop) loop *l = NULL;
    sys_fake_clock_set(1000000000);
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    alarm_clock a = {.timer.fire = crowd_then_set_again, .loop = l};
    CHECK(loop_timer_set(l, &a.timer, 1000000, &e) == ERR_OK);
    CHECK(loop_run(l, &e) == ERR_OK);
    sys_fake_clock_set(0);
}

static loop_timer many_timers[5000];

static void trim(loop_timer *t)
{
    alarm_clock *a = (alarm_clock *)(void *)t;
    err e;
    loop_trim(a->loop);
    CHECK(loop_timer_set(a->loop, t, 3000000, &e) == ERR_OK);   /* its place was kept */
    loop_timer_cancel(a->loop, t);
}

static void what_many_timers_took_goes_back_and_those_that_are_set_fire(void)
{
    err e;
    CLEANUP(loop) loop *l = NULL;
    sys_fake_clock_set(1000000000);
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    alarm_clock a[101] = {{.timer.fire = trim, .loop = l}};
    size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < COUNTOF(many_timers); i++) {
        many_timers[i] = (loop_timer){.fire = fire};
        CHECK(loop_timer_set(l, &many_timers[i], 2000000 + i, &e) == ERR_OK);
    }
    for (size_t i = 1; i < COUNTOF(a); i++) {
        a[i] = (alarm_clock){.timer.fire = fire, .loop = l};
        CHECK(loop_timer_set(l, &a[i].timer, 1001000 + (i * 37) % 100, &e) == ERR_OK);
    }
    for (size_t i = 0; i < COUNTOF(many_timers); i++) loop_timer_cancel(l, &many_timers[i]);
    CHECK(loop_timer_set(l, &a[0].timer, 1000500, &e) == ERR_OK);
    fire_total = COUNTOF(a) - 1;
    fired = 0;
    CHECK(loop_run(l, &e) == ERR_OK);
    CHECK_U64(fired, COUNTOF(a) - 1);
    CHECK(mallinfo2().uordblks == 0 || mallinfo2().uordblks < before + 4096);   /* a sanitizer's heap tells nothing */
    sys_fake_clock_set(0);
}

static void setting_a_timer_survives_every_failed_allocation(void)
{
    err e;
    static loop_timer timers[200];
    FAULT_SWEEP({
        CLEANUP(loop) loop *l = NULL;
        if (loop_new(&l, 1, &e) == ERR_OK) {
            for (size_t i = 0; i < COUNTOF(timers); i++) {
                timers[i] = (loop_timer){.fire = fire};
                err_code rc = loop_timer_set(l, &timers[i], i, &e);
                CHECK(rc == ERR_OK || rc == ERR_NOMEM);
                CHECK((rc == ERR_OK) == (timers[i].index != 0));
            }
            for (size_t i = 0; i < COUNTOF(timers); i++) loop_timer_cancel(l, &timers[i]);
        }
    });
}

/* ---- descriptors */

enum { PIPES = 10 };

typedef struct {
    loop_fd fd;
    loop *loop;
    uint32_t calls, events;
} watcher;

static watcher watchers[PIPES];
static uint32_t ready_calls;

/* The first one to be called deletes all the others, which are ready too. */
static void delete_the_others(loop_fd *f, uint32_t events)
{
    watcher *w = (watcher *)(void *)f;
    w->calls++;
    ready_calls++;
    CHECK(events & LOOP_READ);
    for (size_t i = 0; i < PIPES; i++)
        if (watchers[i].fd.on) loop_fd_del(&watchers[i].fd);
    loop_stop(w->loop);
}

static void no_event_comes_after_a_descriptor_was_deleted(void)
{
    err e;
    int ends[PIPES][2];
    CLEANUP(loop) loop *l = NULL;
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    ready_calls = 0;
    for (size_t i = 0; i < PIPES; i++) {
        CHECK(pipe(ends[i]) == 0 && write(ends[i][1], "x", 1) == 1);
        watchers[i] = (watcher){.fd = {.fd = ends[i][0], .ready = delete_the_others}, .loop = l};
        CHECK(loop_fd_add(l, &watchers[i].fd, LOOP_READ, &e) == ERR_OK);
    }
    CHECK(loop_run(l, &e) == ERR_OK);
    CHECK_U64(ready_calls, 1);
    for (size_t i = 0; i < PIPES; i++) close(ends[i][0]), close(ends[i][1]);
}

static void pause_the_others(loop_fd *f, uint32_t events)
{
    watcher *w = (watcher *)(void *)f;
    w->calls++;
    w->events |= events;
    ready_calls++;
    for (size_t i = 0; i < 2; i++)
        if (&watchers[i] != w && watchers[i].fd.on) loop_fd_want(&watchers[i].fd, 0);
    loop_stop(w->loop);
}

static void a_paused_descriptor_reports_nothing_but_hangups(void)
{
    err e;
    int ends[2][2];
    CLEANUP(loop) loop *l = NULL;
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    ready_calls = 0;
    for (size_t i = 0; i < 2; i++) {
        CHECK(pipe(ends[i]) == 0 && write(ends[i][1], "x", 1) == 1);
        watchers[i] = (watcher){.fd = {.fd = ends[i][0], .ready = pause_the_others}, .loop = l};
        CHECK(loop_fd_add(l, &watchers[i].fd, LOOP_READ, &e) == ERR_OK);
    }
    uint64_t calls = sys_fake_calls(SYS_poll_change);
    loop_fd_want(&watchers[0].fd, LOOP_READ);
    CHECK_U64(sys_fake_calls(SYS_poll_change), calls);   /* it is so already: no system call */
    CHECK(loop_run(l, &e) == ERR_OK);
    CHECK_U64(ready_calls, 1);
    size_t paused = watchers[0].calls ? 1 : 0;
    loop_fd_del(&watchers[1 - paused].fd);
    close(ends[paused][1]);   /* the writer is gone */
    CHECK(loop_run(l, &e) == ERR_OK);
    CHECK_U64(watchers[paused].calls, 1);
    CHECK_U64(watchers[paused].events, LOOP_HANGUP);
    loop_fd_del(&watchers[paused].fd);
    close(ends[0][0]), close(ends[1][0]), close(ends[1 - paused][1]);
}

static void what_cannot_be_watched_is_refused(void)
{
    err e;
    CLEANUP(loop) loop *l = NULL;
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    watcher w = {.fd = {.fd = 9999, .ready = pause_the_others}, .loop = l};
    CHECK(loop_fd_add(l, &w.fd, LOOP_READ, &e) == ERR_INTERNAL);
    CHECK_STR(e.text, "epoll: cannot watch a descriptor: Bad file descriptor");
    CHECK(w.fd.on == NULL);
}

/* ---- time and sleep */

static void an_interrupted_wait_goes_on_and_a_broken_one_is_told(void)
{
    err e;
    CLEANUP(loop) loop *l = NULL;
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    sys_fake_script((sys_fault[]){{SYS_poll_wait_ms, .times = 3, .result = -EINTR},
                                  {SYS_poll_wait_ms, .times = 1, .result = -EBADF}}, 2);
    CHECK(loop_run(l, &e) == ERR_INTERNAL);
    CHECK_STR(e.text, "loop: epoll: cannot wait: Bad file descriptor");
    CHECK_U64(sys_fake_hits(), 4);
    sys_fake_script(NULL, 0);
}

static void dawdle(loop *on, loop_msg *m)
{
    (void)on;
    (void)m;
    sys_fake_clock_set(clock_now_ns() + (LOOP_SLICE_US + 1) * 1000);
}

static void a_callback_that_runs_too_long_is_counted(void)
{
    err e;
    CLEANUP(loop) loop *l = NULL;
    sys_fake_clock_set(1000000000);
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    loop_msg m[4] = {{.run = dawdle}, {.run = count_run}, {.run = dawdle}, {.run = stop}};
    for (size_t i = 0; i < COUNTOF(m); i++) loop_post(l, &m[i]);
    CHECK(loop_run(l, &e) == ERR_OK);
    CHECK_U64(loop_overruns(l), 2);
    CHECK_U64(loop_now_us(l), 1000000);   /* one time for all callbacks of a turn */
    sys_fake_clock_set(0);
}

static void an_idle_loop_sleeps_until_something_happens(void)
{
    err e;
    runner r = {0};
    CHECK(loop_new(&r.loop, 1, &e) == ERR_OK);
    CHECK(thread_start(&r.thread, "loop", run_loop, &r, &e) == ERR_OK);
    CHECK(sys_fake_await_asleep(1, UINT64_MAX));   /* in a call that ends by an event only */
    loop_msg end = {.run = stop};
    loop_post(r.loop, &end);
    thread_join(&r.thread);
    loop_free(r.loop);
}

static void equal_seeds_give_equal_numbers(void)
{
    err e;
    CLEANUP(loop) loop *a = NULL;
    CLEANUP(loop) loop *b = NULL;
    CHECK(loop_new(&a, 7, &e) == ERR_OK && loop_new(&b, 7, &e) == ERR_OK);
    for (int i = 0; i < 10; i++) CHECK_U64(loop_random(a), loop_random(b));
}

int main(void)
{
    static const test_case cases[] = {
        TEST(construction_survives_every_failed_allocation),
        TEST(construction_survives_every_failed_system_call),
        TEST(messages_of_each_sender_arrive_once_and_in_order),
        TEST(a_message_wakes_a_sleeping_loop_every_time),
        TEST(messages_left_at_the_end_are_run),
        TEST(timers_fire_once_in_order_and_exactly_on_time),
        TEST(a_timer_may_cancel_another_that_is_due_and_set_itself_again),
        TEST(a_timer_can_always_set_itself_again),
        TEST(what_many_timers_took_goes_back_and_those_that_are_set_fire),
        TEST(setting_a_timer_survives_every_failed_allocation),
        TEST(no_event_comes_after_a_descriptor_was_deleted),
        TEST(a_paused_descriptor_reports_nothing_but_hangups),
        TEST(what_cannot_be_watched_is_refused),
        TEST(an_interrupted_wait_goes_on_and_a_broken_one_is_told),
        TEST(a_callback_that_runs_too_long_is_counted),
        TEST(an_idle_loop_sleeps_until_something_happens),
        TEST(equal_seeds_give_equal_numbers),
        TEST(a_kernel_without_epoll_pwait2_fires_in_whole_milliseconds_never_early),   /* last: os/poll remembers it */
    };
    return test_main(cases, COUNTOF(cases));
}
