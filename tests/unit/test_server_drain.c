/* Property: a drain loses no request, ends when the last answer is out or its grace is over, and lets nobody in. */
#include "net/shard.h"
#include "let_in.h"
#include "server_rig.h"
#include "test_own.h"

typedef struct {
    thread thread;
    rig *of;
    size_t answered, lost;
} hammer;

/* Sends request after request until it is told that the connection closes and a new one is refused. */
static void hit(void *ctx)
{
    hammer *h = ctx;
    reply got;
    for (int fd; (fd = dial(h->of)) >= 0; close(fd)) {
        for (;;) {
            char tiny[4];
            say(fd, "GET /query?42 HTTP/1.1\r\n" HOST "\r\n");
            size_t n;
            bool whole = hear_head(fd, &got, &n) && recv(fd, tiny, 2, MSG_WAITALL) == 2 && memcmp(tiny, "42", 2) == 0;
            h->answered += whole;
            if (!whole && h->answered) h->lost++;
            if (!whole || strstr(got.text, "Connection: close")) break;
        }
    }
}

static void draining_under_load_loses_no_request(void)
{
    enum { HAMMERS = 4 };
    rig r;
    err e;
    static hammer hammers[HAMMERS];
    for (size_t loops = 1; loops <= LOOPS_MAX; loops++) {
        rig_start(&r, &plain, loops);
        for (size_t i = 0; i < HAMMERS; i++) {
            hammers[i] = (hammer){.of = &r};
            CHECK(thread_start(&hammers[i].thread, "hammer", hit, &hammers[i], &e) == ERR_OK);
        }
        while (atomic_load(&r.handled) < 2000) usleep(1000);
        server_drain_idle(r.server, 5000000);   /* a thread without CPU is not idle */
        server_drain(r.server, 5000000, note_drained, &r);
        server_drain(r.server, 0, note_drained, &r);   /* only the first one counts */
        wait_drained(&r);
        for (size_t i = 0; i < HAMMERS; i++) {
            thread_join(&hammers[i].thread);
            CHECK(hammers[i].answered > 0);
            /* Elsewhere who comes between the last look at the door and its close is let in by the kernel, and lost. */
            if (kernel_lets_none_in()) CHECK_U64(hammers[i].lost, 0);
        }
        rig_stop(&r);
    }
}

static void draining_answers_what_waits_and_ends_what_is_idle(void)
{
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int idle = dial(&r), held = dial(&r), half = dial(&r), later = dial(&r), next = dial(&r);
    say(held, HOLD HOLD);
    wait_holding(&r, 2);
    say(half, ECHO "Content-Length: 2\r\n\r\nx");
    say(later, HOLD);
    wait_holding(&r, 3);
    say(next, HOLD "GET /que");
    wait_holding(&r, 4);
    server_drain(r.server, 10000000, note_drained, &r);
    check_ends(idle);
    CHECK(dial(&r) < 0);
    say(half, "y");
    CHECK(strstr(hear(half, &got), "Connection: close"));
    say(half, ECHO "Content-Length: 0\r\n\r\n");   /* too late */
    CHECK(!strstr(hear(half, &got), "HTTP/"));
    say(later, ECHO "Content-Length: 1\r\n\r\na" ECHO "Content-Length: 1\r\n\r\nb" ECHO "Content-Length: 1\r\n");
    catch_up(&r);
    on_loop(&r, release, 2);
    CHECK(strstr(hear(later, &got), "held 2") && !strstr(got.text, "Connection: close"));
    CHECK_STR(hear(later, &got), HEAD_OK("1") "a");
    CHECK_STR(hear(later, &got), HEAD_OK("1") "b");
    say(later, "\r\nc");
    CHECK(strstr(hear(later, &got), "Connection: close") && strstr(got.text, "\r\n\r\nc"));
    check_ends(later);
    on_loop(&r, release, 3);
    CHECK(strstr(hear(next, &got), "held 3") && !strstr(got.text, "Connection: close"));
    say(next, "ry?z HTTP/1.1\r\n" HOST "\r\n");
    CHECK(strstr(hear(next, &got), "Connection: close") && strstr(got.text, "\r\n\r\nz"));
    check_ends(next);
    CHECK_U64(atomic_load(&r.drained), 0);
    on_loop(&r, release, 0);
    CHECK(!strstr(hear(held, &got), "Connection: close"));   /* another answer follows */
    on_loop(&r, release, 1);
    CHECK(strstr(hear(held, &got), "Connection: close"));
    check_ends(held);
    close(half);
    wait_drained(&r);
    rig_stop(&r);
}

/* Closing a socket with unread bytes would take the answers back that are still on their way. */
static void the_last_answers_of_a_drain_outlive_requests_behind_them(void)
{
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int fd = dial(&r);
    say(fd, HOLD);
    wait_holding(&r, 1);
    server_drain(r.server, 10000000, note_drained, &r);
    catch_up(&r);
    say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\n");   /* its answer says that it is the last one */
    while (atomic_load(&r.handled) < 2) usleep(100);
    say(fd, "GET /query?late HTTP/1.1\r\n" HOST "\r\n");
    on_loop(&r, release, 0);
    CHECK(strstr(hear(fd, &got), "held 0"));
    CHECK(strstr(hear(fd, &got), "Connection: close"));
    CHECK_U64(got.body_bytes, BIG);
    check_ends(fd);
    wait_drained(&r);
    rig_stop(&r);
}

/* Where another server accepts already, a client that thinks for a while is answered rather than cut off. */
static void idle_connections_may_stay_for_longer(void)
{
    rig r;
    reply got;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &plain, 1);
    int asks = dial(&r), silent = dial(&r);
    say(asks, ECHO "Content-Length: 1\r\n\r\nx");
    CHECK_STR(hear(asks, &got), HEAD_OK("1") "x");
    wait_open(&r, 2);
    server_drain_idle(r.server, 1000000);
    server_drain(r.server, 10000000, note_drained, &r);
    pass_time(&r, 900000);
    say(asks, ECHO "Content-Length: 1\r\n\r\nx");
    CHECK(strstr(hear(asks, &got), "Connection: close"));
    check_ends(asks);
    CHECK_U64(atomic_load(&r.drained), 0);
    pass_time(&r, 200000);
    check_ends(silent);
    wait_drained(&r);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void what_outlasts_the_grace_is_cut_off(void)
{
    rig r;
    rig_start(&r, &plain, 1);
    server_stats stats;
    int held = dial(&r), half = dial(&r);
    say(held, HOLD ECHO "Content-Length: 0\r\n\r\n");   /* the second is answered, and waits for its turn */
    wait_holding(&r, 1);
    say(half, ECHO "Content-Length: 2\r\n\r\nx");
    catch_up(&r);
    server_drain(r.server, 50000, note_drained, &r);
    wait_drained(&r);
    server_stats_read(r.server, &stats);
    CHECK_U64(stats.cut_connections, 2);
    CHECK_U64(stats.cut_calls, 2);
    check_ends(held);
    close(half);
    on_loop(&r, release, 0);
    CHECK_U64(atomic_load(&r.gone), 1);
    rig_stop(&r);
}

/* On the loop, which therefore sees the connection and the drain in the same turn. */
static void dial_and_drain(rig *r, size_t arg)
{
    (void)arg;
    int fd = dial(r);
    CHECK(fd >= 0);
    say(fd, ECHO "Content-Length: 1\r\n\r\nx");
    server_drain(r->server, 10000000, note_drained, r);
    r->last_id = (uint64_t)fd;
}

static void those_whom_the_kernel_let_in_are_answered_too(void)
{
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    on_loop(&r, dial_and_drain, 0);
    CHECK(strstr(hear((int)r.last_id, &got), "\r\n\r\nx"));
    check_ends((int)r.last_id);
    wait_drained(&r);
    rig_stop(&r);
    rig_path = test_own("@test_drain");   /* its door shuts in the same turn */
    rig_start(&r, &plain, 1);
    on_loop(&r, dial_and_drain, 0);
    CHECK(strstr(hear((int)r.last_id, &got), "\r\n\r\nx"));
    check_ends((int)r.last_id);
    wait_drained(&r);
    rig_stop(&r);
    rig_path = NULL;
}

/* The kernel has let a client in half when the server lets in no others: accept() knows of him a moment later. */
static void who_is_half_in_when_a_drain_begins_is_answered(void)
{
    rig r;
    reply got;
    for (int in_time = 0; in_time < 2; in_time++) {
        sys_fake_clock_hold(CLOCK_START_NS);
        rig_start(&r, &plain, 1);
        int gone = dial(&r);
        wait_open(&r, 1);
        sys_fake_script((sys_fault[]){{SYS_accept, .times = SYS_FAKE_EVER, .result = -EAGAIN}}, 1);
        int fd = dial(&r);
        say(fd, ECHO "Content-Length: 1\r\n\r\nx");
        server_drain(r.server, 10000000, note_drained, &r);
        catch_up(&r);
        close(gone);   /* the last that is known of is not the last */
        wait_open(&r, 0);
        pass_time(&r, SERVER_DOOR_US / 2);
        if (!in_time) pass_time(&r, SERVER_DOOR_US / 2);
        sys_fake_script(NULL, 0);
        catch_up(&r);
        CHECK_U64(atomic_load(&r.drained), !in_time);
        if (in_time) CHECK(strstr(hear(fd, &got), "\r\n\r\nx"));
        CHECK_STR(hear(fd, &got), in_time ? "end" : "reset");
        close(fd);
        pass_time(&r, SERVER_DOOR_US);
        wait_drained(&r);
        rig_stop(&r);
        sys_fake_clock_set(0);
    }
}

/* Even one that is shorter than the time for those who are half in. */
static void a_grace_shuts_the_door(void)
{
    rig r;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &plain, 1);
    int fd = dial(&r);
    wait_open(&r, 1);
    server_drain(r.server, 0, note_drained, &r);
    pass_time(&r, 1);
    check_ends(fd);
    wait_drained(&r);
    pass_time(&r, SERVER_DOOR_US);
    CHECK(sleeps(&r));
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void loops_share_the_port_and_drain_as_one(void)
{
    enum { CONNS = 64 };
    rig r;
    reply got;
    int fds[CONNS];
    rig_start(&r, &plain, 2);
    for (size_t i = 0; i < CONNS; i++) {
        fds[i] = dial(&r);
        say(fds[i], ECHO "Content-Length: 1\r\n\r\nx");
        CHECK_STR(hear(fds[i], &got), HEAD_OK("1") "x");
    }
    CHECK(atomic_load(&r.handled_on[0]) > 0 && atomic_load(&r.handled_on[1]) > 0);
    say(fds[0], ECHO "Content-Length: 1\r\n");
    for (size_t i = 1; i < CONNS; i++) close(fds[i]);
    wait_open(&r, 1);
    server_drain(r.server, 10000000, note_drained, &r);
    for (size_t i = 0; i < 4; i++) on_loop_of(&r, i % 2, nothing, 0);   /* one loop tells the other */
    CHECK(sleeps(&r));
    CHECK_U64(atomic_load(&r.drained), 0);
    say(fds[0], "\r\nx");
    CHECK(strstr(hear(fds[0], &got), "Connection: close"));
    check_ends(fds[0]);
    wait_drained(&r);
    CHECK(sleeps(&r));
    wait_drained(&r);   /* once */
    rig_stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(draining_under_load_loses_no_request),
        TEST(draining_answers_what_waits_and_ends_what_is_idle),
        TEST(the_last_answers_of_a_drain_outlive_requests_behind_them),
        TEST(idle_connections_may_stay_for_longer),
        TEST(what_outlasts_the_grace_is_cut_off),
        TEST(those_whom_the_kernel_let_in_are_answered_too),
        TEST(who_is_half_in_when_a_drain_begins_is_answered),
        TEST(a_grace_shuts_the_door),
        TEST(loops_share_the_port_and_drain_as_one),
    };
    return test_main(cases, COUNTOF(cases));
}
