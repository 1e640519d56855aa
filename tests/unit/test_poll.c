/* What must hold for polls and bells: what is ready is reported with its owner; each ring of a bell that nobody reads
 * is an event; time limits end neither early nor never, also on a kernel that counts in milliseconds. */
#include "fake/sys_fake.h"
#include "os/bell.h"
#include "os/clock.h"
#include "os/poll.h"

#include <unistd.h>

static void every_ring_of_a_bell_is_an_event_of_its_own(void)
{
    err e;
    int poll, bell = -1, mark;
    size_t count;
    poll_event events[POLL_BATCH_MAX];
    CHECK(poll_open(&poll, &e) == ERR_OK && bell_open(&bell, &e) == ERR_OK);
    CHECK(poll_add(poll, bell, POLL_READ | POLL_EDGE, &mark, &e) == ERR_OK);
    CHECK(poll_wait(poll, events, 0, &count, &e) == ERR_OK && count == 0);
    for (int i = 0; i < 5; i++) {
        sys_fake_script((sys_fault[]){{SYS_write, .times = 1, .result = -EINTR}}, 1);
        bell_ring(bell);
        CHECK(poll_wait(poll, events, POLL_FOREVER, &count, &e) == ERR_OK && count == 1);
        CHECK(events[0].owner == &mark && events[0].events == POLL_READ);
        CHECK(poll_wait(poll, events, 0, &count, &e) == ERR_OK && count == 0);   /* once, although nobody read it */
    }
    sys_fake_script(NULL, 0);
    bell_close(bell);
    poll_close(poll);
}

static void interest_can_be_changed_and_ended(void)
{
    err e;
    int poll, ends[2], mark;
    size_t count;
    poll_event events[POLL_BATCH_MAX];
    CHECK(poll_open(&poll, &e) == ERR_OK && pipe(ends) == 0);
    CHECK(poll_add(poll, ends[1], 0, &mark, &e) == ERR_OK);
    CHECK(poll_wait(poll, events, 0, &count, &e) == ERR_OK && count == 0);
    poll_change(poll, ends[1], POLL_WRITE, &mark);
    CHECK(poll_wait(poll, events, 0, &count, &e) == ERR_OK && count == 1 && events[0].events == POLL_WRITE);
    poll_change(poll, ends[1], 0, &mark);
    close(ends[0]);
    CHECK(poll_wait(poll, events, 0, &count, &e) == ERR_OK && count == 1 && events[0].events == POLL_HANGUP);
    poll_del(poll, ends[1]);
    CHECK(poll_wait(poll, events, 0, &count, &e) == ERR_OK && count == 0);
    close(ends[1]);
    poll_close(poll);
}

static void waits_end_on_time_with_and_without_epoll_pwait2(void)
{
    err e;
    int poll;
    size_t count = 9;
    poll_event events[POLL_BATCH_MAX];
    CHECK(poll_open(&poll, &e) == ERR_OK);
    sys_fake_clock_set(1000000);
    CHECK(poll_wait(poll, events, UINT64_MAX - 1, &count, &e) == ERR_OK && count == 0);
    CHECK_U64(clock_now_ns(), 1000000 + 86400000000000u);   /* a very long wait is cut into days */
    sys_fake_clock_set(1000000);
    sys_fake_script((sys_fault[]){{SYS_poll_wait_ns, .times = SYS_FAKE_EVER, .result = -ENOSYS}}, 1);
    static const struct { uint64_t wait_us, took_ms; } rows[] = {{1, 1}, {1000, 1}, {1001, 2},
                                                                 {UINT64_MAX - 1, INT32_MAX}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        uint64_t from = clock_now_ns();
        CHECK(poll_wait(poll, events, rows[i].wait_us, &count, &e) == ERR_OK && count == 0);
        CHECK_U64((clock_now_ns() - from) / 1000000, rows[i].took_ms);
    }
    CHECK_U64(sys_fake_hits(), 1);   /* the kernel is asked once */
    sys_fake_script(NULL, 0);
    sys_fake_clock_set(0);
    uint64_t since = clock_now_us();   /* last: on a kernel without the call (or under qemu) the truth is remembered */
    CHECK(poll_wait(poll, events, 300, &count, &e) == ERR_OK && count == 0);
    CHECK(clock_now_us() - since >= 300);
    poll_close(poll);
}

static void failures_are_told(void)
{
    err e;
    int fd = -1;
    static const struct { sys_call call; const char *want; } rows[] = {
        {SYS_poll_open, "epoll: cannot open: Too many open files"},
        {SYS_event_open, "eventfd: cannot open: Too many open files"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        sys_fake_script((sys_fault[]){{rows[i].call, .times = 1, .result = -EMFILE}}, 1);
        CHECK((rows[i].call == SYS_poll_open ? poll_open(&fd, &e) : bell_open(&fd, &e)) == ERR_LIMIT);
        CHECK_STR(e.text, rows[i].want);
        CHECK(fd == -1);
    }
    sys_fake_script(NULL, 0);
    CHECK(poll_add(9999, 0, POLL_READ, NULL, &e) == ERR_INTERNAL);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_ring_of_a_bell_is_an_event_of_its_own),
        TEST(interest_can_be_changed_and_ended),
        TEST(waits_end_on_time_with_and_without_epoll_pwait2),
        TEST(failures_are_told),
    };
    return test_main(cases, COUNTOF(cases));
}
