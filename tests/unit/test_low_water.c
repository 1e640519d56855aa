/* Property: while a long body comes, its loop is not woken for less than it can use; yet nothing that comes waits for
 * longer than LOW_WATER_WAIT_US, the end of a stream is seen at once, and no mark outlives its body. */
#include "net/low_water.h"
#include "low_water_marks.h"
#include "server_rig.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

enum { BODY = 1200 << 10, FIRST = 32 << 10, LITTLE = 3000 };   /* FIRST: fits any socket */
#define LENGTH "Content-Length: 1228800"
_Static_assert(BODY == 1228800, "LENGTH says it");

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

/* The kernel has all for the server that the client sent. */
static void wait_come(int client)
{
    int unsent = 1;
    for (int i = 0; i < 50000 && unsent; i++) {
        CHECK(ioctl(client, SIOCOUTQ, &unsent) == 0);
        if (unsent) usleep(100);
    }
    CHECK(!unsent);
}

typedef struct {
    int fd;
    size_t at, count;
} part;

static part sent;   /* one errand at a time */

static void send_while_busy(rig *r, size_t unused)
{
    (void)r;
    (void)unused;
    say_bytes(sent.fd, big + sent.at, sent.count);
    wait_come(sent.fd);
}

/* The loop finds these bytes of a body at once, however they were cut on their way: it was busy while they came. */
static void say_at_once(rig *r, int fd, size_t at, size_t count)
{
    sent = (part){fd, at, count};
    on_loop(r, send_while_busy, 0);
}

/* Sends the head of an echo and the first bytes of its body; the server has read them behind that. */
static void begin_body(rig *r, int fd, const char *length, size_t first)
{
    char head[128];
    uint64_t before = bytes_in(r);
    int n = snprintf(head, sizeof head, ECHO "%s\r\n\r\n", length);
    say_bytes(fd, head, (size_t)n);
    wait_read(r, before + (size_t)n);
    say_at_once(r, fd, 0, first);
    wait_read(r, before + (size_t)n + first);
    catch_up(r);
}

static void check_echo(int fd, size_t length)
{
    reply got;
    hear(fd, &got);
    CHECK(got.body_bytes == length && memcmp(got.body, big, length) == 0);
    close(fd);
}

static void packets_of_a_long_body_wake_nobody(void)
{
    static const struct {
        const char *head;
        size_t length, mark;
    } rows[] = {{LENGTH, BODY, LOW_WATER_MAX}, {"Content-Length: 60000", 60000, 60000 - FIRST}};   /* the rest */
    rig r;
    size_t mark;
    start(&r);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        int fd = dial(&r);
        CHECK_U64(low_water_marks(NULL), 0);
        begin_body(&r, fd, rows[i].head, FIRST);
        CHECK_U64(low_water_marks(&mark), 1);
        CHECK_U64(mark, rows[i].mark);
        uint64_t before = bytes_in(&r);
        for (size_t k = 0; k < 3; k++) {
            say_bytes(fd, big + FIRST + k * LITTLE, LITTLE);
            wait_come(fd);
            catch_up(&r);
        }
        CHECK_U64(bytes_in(&r), before);   /* they lie in the kernel */
        size_t at = FIRST + 3 * LITTLE;
        say_bytes(fd, big + at, rows[i].length - at);
        check_echo(fd, rows[i].length);
        catch_up(&r);
        CHECK_U64(low_water_marks(NULL), 0);
    }
    stop(&r);
}

static void a_client_that_pauses_is_heard_soon(void)
{
    rig r;
    start(&r);
    int fd = dial(&r);
    begin_body(&r, fd, LENGTH, FIRST);
    uint64_t before = bytes_in(&r);
    say_bytes(fd, big + FIRST, LITTLE);
    wait_come(fd);
    pass_time(&r, LOW_WATER_WAIT_US - 1);
    CHECK_U64(bytes_in(&r), before);
    pass_time(&r, 1);
    wait_read(&r, before + LITTLE);
    catch_up(&r);
    CHECK_U64(low_water_marks(NULL), 0);   /* who sends little is heard each time */
    say_bytes(fd, big + FIRST + LITTLE, LITTLE);
    wait_read(&r, before + 2 * LITTLE);
    say_at_once(&r, fd, FIRST + 2 * LITTLE, FIRST);   /* quick again, in a later turn of the clock */
    wait_read(&r, before + 2 * LITTLE + FIRST);
    catch_up(&r);
    CHECK_U64(low_water_marks(NULL), 1);
    pass_time(&r, LOW_WATER_WAIT_US);
    pass_time(&r, LOW_WATER_WAIT_US);
    CHECK_U64(low_water_marks(NULL), 0);
    size_t at = 2 * FIRST + 2 * LITTLE;
    say_bytes(fd, big + at, BODY - at);
    check_echo(fd, BODY);
    stop(&r);
}

static void what_is_short_or_of_unknown_length_has_no_mark(void)
{
    static const char *const lengths[] = {"Transfer-Encoding: chunked\r\n\r\n100000", "Content-Length: 40000"};
    rig r;
    start(&r);
    for (size_t i = 0; i < COUNTOF(lengths); i++) {
        int fd = dial(&r);
        begin_body(&r, fd, lengths[i], FIRST);
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
    for (size_t i = 0; i < COUNTOF(fds); i++) {
        fds[i] = dial(&r);
        begin_body(&r, fds[i], LENGTH, FIRST);
    }
    CHECK_U64(low_water_marks(NULL), 3);
    close(fds[1]);
    wait_open(&r, 2);
    hang_up(fds[0]);
    wait_open(&r, 1);
    catch_up(&r);
    CHECK_U64(low_water_marks(NULL), 1);
    int fd = dial(&r);
    begin_body(&r, fd, LENGTH, FIRST);
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
    start(&r);
    for (size_t i = 0; i < MANY; i++) {
        fds[i] = dial(&r);
        begin_body(&r, fds[i], LENGTH, FIRST);
    }
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
    start(&r);
    int fd = dial(&r);
    begin_body(&r, fd, LENGTH, FIRST);
    uint64_t before = bytes_in(&r);
    sys_fake_script((sys_fault[]){{SYS_option_set, .times = 2, .result = -ENOMEM}}, 1);
    pass_time(&r, LOW_WATER_WAIT_US);
    CHECK_U64(low_water_marks(NULL), 1);
    pass_time(&r, LOW_WATER_WAIT_US);
    CHECK_U64(low_water_marks(NULL), 1);
    pass_time(&r, LOW_WATER_WAIT_US);
    CHECK_U64(low_water_marks(NULL), 0);
    CHECK_U64(sys_fake_hits(), 2);
    sys_fake_script((sys_fault[]){{SYS_option_set, .times = 1, .result = -ENOMEM}}, 1);
    say_at_once(&r, fd, FIRST, FIRST);   /* one that cannot be set is none */
    wait_read(&r, before + FIRST);
    catch_up(&r);
    CHECK_U64(sys_fake_hits(), 1);
    CHECK_U64(low_water_marks(NULL), 0);
    sys_fake_script(NULL, 0);
    say_bytes(fd, big + 2 * FIRST, BODY - 2 * FIRST);
    check_echo(fd, BODY);
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
