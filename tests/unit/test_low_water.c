/* Property: while a long body comes, its loop is not woken for less than it can use; yet nothing that comes waits for
 * longer than LOW_WATER_WAIT_US, the end of a stream is seen at once, and no mark outlives its body. */
#include "net/low_water.h"
#include "low_water_marks.h"
#include "server_rig.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

enum { BODY = 1200 << 10, FIRST = 64 << 10, LITTLE = 3000 };

static void start(rig *r)
{
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(r, &plain, 1);
}

static void stop(rig *r)
{
    rig_stop(r);
    sys_fake_clock_set(0);
}

static uint64_t bytes_in(const rig *r)
{
    server_stats stats;
    server_stats_read(r->server, &stats);
    return stats.bytes_in;
}

/* The server has read so many bytes of all that it was ever sent. */
static void wait_read(const rig *r, uint64_t bytes)
{
    for (int i = 0; i < 50000 && bytes_in(r) < bytes; i++) usleep(100);
    CHECK_U64(bytes_in(r), bytes);
}

/* The kernel has so many bytes for the server, which may not have been told. */
static void wait_come(int client)
{
    int unsent = 1;
    for (int i = 0; i < 50000 && unsent; i++) {
        CHECK(ioctl(client, SIOCOUTQ, &unsent) == 0);
        if (unsent) usleep(100);
    }
    CHECK(!unsent);
}

/* Sends the head of an echo and the first bytes of its body; returns how many bytes that was. */
static size_t begin_body(const rig *r, int fd, const char *length, size_t first)
{
    char head[128];
    uint64_t before = bytes_in(r);
    int n = snprintf(head, sizeof head, ECHO "%s\r\n\r\n", length);
    say_bytes(fd, head, (size_t)n);
    wait_read(r, before + (size_t)n);
    say_bytes(fd, big, first);
    return (size_t)n + first;
}

#define LENGTH "Content-Length: 1228800"
_Static_assert(BODY == 1228800, "LENGTH says it");

static void packets_of_a_long_body_wake_nobody(void)
{
    rig r;
    reply got;
    size_t mark;
    start(&r);
    int fd = dial(&r);
    for (int round = 0; round < 3; round++) {
        CHECK_U64(low_water_marks(NULL), 0);
        size_t before = bytes_in(&r), sent = begin_body(&r, fd, LENGTH, FIRST), at = FIRST;
        wait_read(&r, before + sent);
        catch_up(&r);
        CHECK_U64(low_water_marks(&mark), 1);
        CHECK_U64(mark, LOW_WATER_MAX);
        say_bytes(fd, big + at, 100000);
        wait_come(fd);
        catch_up(&r);
        CHECK_U64(bytes_in(&r), before + sent);   /* they lie in the kernel */
        at += 100000;
        say_bytes(fd, big + at, LOW_WATER_MAX - 100000);
        at += LOW_WATER_MAX - 100000;
        wait_read(&r, before + sent + LOW_WATER_MAX);
        catch_up(&r);
        (void)low_water_marks(&mark);
        CHECK_U64(mark, LOW_WATER_MAX);
        say_bytes(fd, big + at, LOW_WATER_MAX);
        at += LOW_WATER_MAX;
        wait_read(&r, before + sent + 2 * LOW_WATER_MAX);
        catch_up(&r);
        (void)low_water_marks(&mark);
        CHECK_U64(mark, BODY - at);   /* the rest, and no more */
        say_bytes(fd, big + at, BODY - at);
        hear(fd, &got);
        CHECK(got.body_bytes == BODY && memcmp(got.body, big, BODY) == 0);
    }
    catch_up(&r);
    CHECK_U64(low_water_marks(NULL), 0);
    close(fd);
    stop(&r);
}

static void a_client_that_pauses_is_heard_soon(void)
{
    rig r;
    reply got;
    start(&r);
    int fd = dial(&r);
    size_t sent = begin_body(&r, fd, LENGTH, FIRST);
    wait_read(&r, sent);
    say_bytes(fd, big + FIRST, LITTLE);
    wait_come(fd);
    pass_time(&r, LOW_WATER_WAIT_US - 1);
    CHECK_U64(bytes_in(&r), sent);
    pass_time(&r, 1);
    wait_read(&r, sent + LITTLE);
    catch_up(&r);
    CHECK_U64(low_water_marks(NULL), 0);   /* who sends little is heard each time */
    say_bytes(fd, big + FIRST + LITTLE, LITTLE);
    wait_read(&r, sent + 2 * LITTLE);
    say_bytes(fd, big + FIRST + 2 * LITTLE, FIRST);   /* quick again, in a later turn of the clock */
    wait_read(&r, sent + 2 * LITTLE + FIRST);
    catch_up(&r);
    pass_time(&r, LOW_WATER_WAIT_US);
    pass_time(&r, LOW_WATER_WAIT_US);
    CHECK_U64(low_water_marks(NULL), 0);
    size_t at = 2 * FIRST + 2 * LITTLE;
    say_bytes(fd, big + at, BODY - at);
    hear(fd, &got);
    CHECK(got.body_bytes == BODY && memcmp(got.body, big, BODY) == 0);
    close(fd);
    stop(&r);
}

static void what_is_short_or_of_unknown_length_has_no_mark(void)
{
    static const char *const lengths[] = {"Transfer-Encoding: chunked", "Content-Length: 40000"};
    rig r;
    start(&r);
    for (size_t i = 0; i < COUNTOF(lengths); i++) {
        int fd = dial(&r);
        size_t before = bytes_in(&r), sent = begin_body(&r, fd, lengths[i], i ? 30000 : 0);
        if (i == 0) {
            say(fd, "100000\r\n");
            say_bytes(fd, big, FIRST);
            sent += 8 + FIRST;
        }
        wait_read(&r, before + sent);
        catch_up(&r);
        CHECK_U64(low_water_marks(NULL), 0);
        close(fd);
        wait_open(&r, 0);
    }
    stop(&r);
}

static void a_client_that_goes_is_noticed_at_once(void)
{
    rig r;
    int fds[3];
    start(&r);
    size_t sent = 0;
    for (size_t i = 0; i < COUNTOF(fds); i++) {
        fds[i] = dial(&r);
        sent += begin_body(&r, fds[i], LENGTH, FIRST);
        wait_read(&r, sent);
    }
    catch_up(&r);
    CHECK_U64(low_water_marks(NULL), 3);
    close(fds[1]);
    wait_open(&r, 2);
    hang_up(fds[0]);
    wait_open(&r, 1);
    catch_up(&r);
    CHECK_U64(low_water_marks(NULL), 1);
    int fd = dial(&r);
    sent += begin_body(&r, fd, LENGTH, FIRST);
    wait_read(&r, sent);
    pass_time(&r, LOW_WATER_WAIT_US);
    pass_time(&r, LOW_WATER_WAIT_US);
    CHECK_U64(low_water_marks(NULL), 0);
    close(fd);
    close(fds[2]);
    stop(&r);
}

/* More than one turn may take back. */
static void many_marks_are_all_taken_back(void)
{
    enum { MANY = LOW_WATER_TURN_MAX + 5 };
    rig r;
    int fds[MANY];
    size_t sent = 0;
    start(&r);
    for (size_t i = 0; i < MANY; i++) {
        fds[i] = dial(&r);
        sent += begin_body(&r, fds[i], LENGTH, FIRST);
        wait_read(&r, sent);
    }
    catch_up(&r);
    CHECK_U64(low_water_marks(NULL), MANY);
    pass_time(&r, LOW_WATER_WAIT_US);
    pass_time(&r, 1);
    catch_up(&r);
    CHECK_U64(low_water_marks(NULL), 0);
    for (size_t i = 0; i < MANY; i++) close(fds[i]);
    stop(&r);
}

static void a_mark_that_stays_is_tried_again(void)
{
    rig r;
    reply got;
    start(&r);
    int fd = dial(&r);
    size_t sent = begin_body(&r, fd, LENGTH, FIRST);
    wait_read(&r, sent);
    catch_up(&r);
    sys_fake_script((sys_fault[]){{SYS_option_set, .times = 2, .result = -ENOMEM}}, 1);
    pass_time(&r, LOW_WATER_WAIT_US);
    CHECK_U64(low_water_marks(NULL), 1);
    pass_time(&r, LOW_WATER_WAIT_US);
    CHECK_U64(low_water_marks(NULL), 1);
    pass_time(&r, LOW_WATER_WAIT_US);
    CHECK_U64(low_water_marks(NULL), 0);
    CHECK_U64(sys_fake_hits(), 2);
    sys_fake_script((sys_fault[]){{SYS_option_set, .times = 1, .result = -ENOMEM}}, 1);
    say_bytes(fd, big + FIRST, FIRST);   /* one that cannot be set is none */
    wait_read(&r, sent + FIRST);
    catch_up(&r);
    CHECK_U64(sys_fake_hits(), 1);
    CHECK_U64(low_water_marks(NULL), 0);
    sys_fake_script(NULL, 0);
    say_bytes(fd, big + 2 * FIRST, BODY - 2 * FIRST);
    hear(fd, &got);
    CHECK(got.body_bytes == BODY && memcmp(got.body, big, BODY) == 0);
    close(fd);
    stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(packets_of_a_long_body_wake_nobody),
        TEST(a_client_that_pauses_is_heard_soon),
        TEST(what_is_short_or_of_unknown_length_has_no_mark),
        TEST(a_client_that_goes_is_noticed_at_once),
        TEST(many_marks_are_all_taken_back),
        TEST(a_mark_that_stays_is_tried_again),
    };
    return test_main(cases, COUNTOF(cases));
}
