/* Property: over real sockets, each request gets its own whole answer, in order, however it and the replies are cut,
 * whoever is slow, and whenever either side goes away; what a slow client may cost is bounded in time and memory. */
#include "net/conn.h"
#include "server_rig.h"

static void a_connection_serves_request_after_request(void)
{
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int fd = dial(&r);
    for (int i = 0; i < 3; i++) {
        say(fd, ECHO "Content-Length: 5\r\n\r\nhello");
        CHECK_STR(hear(fd, &got), HEAD_OK("5") "hello");
    }
    say(fd, "GET /query?a=1 HTTP/1.1\r\n" HOST "\r\n");
    CHECK_STR(hear(fd, &got), HEAD_OK("3") "a=1");
    say(fd, "HEAD /query?a=1 HTTP/1.1\r\n" HOST "\r\n");
    CHECK(hear_head(fd, &got, &(size_t){0}));
    CHECK_STR(got.text, HEAD_OK("3"));
    say(fd, "GET /error HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK_STR(hear(fd, &got), "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 26\r\n"
                              "Connection: keep-alive\r\n\r\n{\"error\":\"no \\\"model\\\"\\n\"}");
    say(fd, "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    CHECK_STR(hear(fd, &got), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n"
                              "Connection: close\r\n\r\n");
    check_ends(fd);
    fd = dial(&r);
    say(fd, "GET / HTTP/1.0\r\n\r\n");
    check_status(fd, "200");
    check_ends(fd);
    rig_stop(&r);
}

static void the_handler_sees_the_call_and_the_headers(void)
{
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int fd = dial(&r);
    for (int i = 0; i < 1100 && !test_failures; i++) {
        say(fd, "GET /info HTTP/1.1\r\n" HOST "X-Is: here\r\nX-Is: not\r\n\r\n");
        CHECK_STR(hear(fd, &got), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Was: here\r\n"
                                  "Content-Length: 0\r\n\r\n");
    }
    close(fd);
    rig_stop(&r);
}

static void bodies_arrive_whole_in_every_form(void)
{
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int fd = dial(&r);
    say(fd, ECHO "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    catch_up(&r);
    say(fd, "4\r\ndefg\r\n0\r\nT: x\r\n\r\n");
    CHECK_STR(hear(fd, &got), HEAD_OK("7") "abcdefg");
    say(fd, ECHO "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    CHECK_STR(hear(fd, &got), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "ok");
    CHECK_STR(hear(fd, &got), HEAD_OK("2") "ok");
    /* Behind an earlier request the invitation waits for that one's answer. */
    say(fd, HOLD ECHO "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    wait_holding(&r, 1);
    on_loop(&r, release, 0);
    CHECK_STR(hear(fd, &got), "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nheld 0");
    CHECK_STR(hear(fd, &got), "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "ok");
    CHECK_STR(hear(fd, &got), HEAD_OK("2") "ok");
    for (int i = 0; i < 3; i++) {
        char head[128];
        snprintf(head, sizeof head, ECHO "Content-Length: %d\r\n\r\n", BIG);
        say(fd, head);
        say_bytes(fd, big, BIG);
        hear(fd, &got);
        CHECK_U64(got.body_bytes, BIG);
        CHECK(memcmp(got.body, big, BIG) == 0);
    }
    close(fd);
    rig_stop(&r);
}

static void pipelined_replies_keep_their_order(void)
{
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int fd = dial(&r);
    say(fd, HOLD ECHO "Content-Length: 1\r\n\r\na" HOLD HOLD ECHO "Content-Length: 1\r\n\r\nb");
    wait_holding(&r, 3);
    on_loop(&r, release, 2);
    on_loop(&r, release, 1);
    on_loop(&r, release, 0);
    static const char *const want[] = {"held 0", "a", "held 1", "held 2", "b"};
    for (size_t i = 0; i < COUNTOF(want); i++) CHECK(strstr(hear(fd, &got), want[i]));
    close(fd);
    rig_stop(&r);
}

static void replies_to_one_read_leave_together(void)
{
    enum { COUNT = 20 };
    static const char one[] = "GET /query?q HTTP/1.1\r\n" HOST "\r\n";
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int fd = dial(&r);
    char all[COUNT * sizeof one];
    size_t n = 0;
    for (int i = 0; i < COUNT; i++) n += (size_t)snprintf(all + n, sizeof all - n, "%s", one);
    uint64_t before = sys_fake_calls(SYS_send);
    say_bytes(fd, all, n);
    for (int i = 0; i < COUNT; i++) CHECK_STR(hear(fd, &got), HEAD_OK("1") "q");
    CHECK(sys_fake_calls(SYS_send) - before <= 3);
    close(fd);
    rig_stop(&r);
}

static void a_reply_survives_bytes_that_nobody_reads(void)
{
    static char junk[300000];
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    for (int i = 0; i < 20; i++) {
        int fd = dial(&r);
        say(fd, "GET /query?q HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nGET /");
        say_bytes(fd, junk, sizeof junk);
        catch_up(&r);
        CHECK(strstr(hear(fd, &got), "\r\n\r\nq"));
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    rig_stop(&r);
}

static void reading_on_after_a_refusal_is_bounded(void)
{
    rig r;
    rig_start(&r, &(http_limits){.body_bytes_max = 1000}, 1);
    int fd = dial(&r);
    size_t sent = 0;
    say(fd, ECHO "Content-Length: 1000000000\r\n\r\n");
    for (ssize_t n = 0; n >= 0 && sent < 64 * (size_t)BIG; sent += (size_t)n) n = send(fd, big, BIG, MSG_NOSIGNAL);
    CHECK(sent < CONN_LINGER_BYTES_MAX + 4 * (size_t)BIG);   /* and what sockets buffer */
    close(fd);
    rig_stop(&r);
}

static void reading_stops_while_enough_requests_wait(void)
{
    enum { COUNT = 500 };
    rig r;
    reply got;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &(http_limits){.pipelined_max = 3, .header_wait_us = 30000}, 1);
    int fd = dial(&r);
    for (int i = 0; i < COUNT; i++) say(fd, i % 2 ? HOLD : ECHO "Content-Length: 3\r\n\r\nabc");
    wait_holding(&r, 2);   /* of three that wait, one is answered behind them */
    for (int i = 0; i < 4; i++) pass_time(&r, 30000);   /* longer than a head may take: nobody's fault */
    CHECK(sleeps(&r));
    CHECK(atomic_load(&r.holding) <= 3);
    for (size_t i = 0, held = 0; i < COUNT; i++) {
        char want[32] = "abc";
        if (i % 2) {
            snprintf(want, sizeof want, "held %zu", held);
            wait_holding(&r, held + 1 > atomic_load(&r.holding) ? held + 1 : atomic_load(&r.holding));
            on_loop(&r, release, held++);
        }
        CHECK(strstr(hear(fd, &got), want));
    }
    close(fd);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void a_client_that_reads_late_gets_everything(void)
{
    enum { COUNT = 12 };
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int fd = dial(&r);
    static const char both[] = "GET /big HTTP/1.1\r\n" HOST "\r\n" ECHO "Content-Length: 1\r\n\r\nx";
    char all[COUNT * sizeof both];
    size_t n = 0;
    for (int i = 0; i < COUNT; i++) n += (size_t)snprintf(all + n, sizeof all - n, "%s", both);
    say_bytes(fd, all, n);   /* in one piece: even then those behind a reply that does not go out have to wait */
    while (atomic_load(&r.handled) == 0) usleep(100);
    for (int i = 0; i < 3; i++) on_loop(&r, nothing, 0);   /* it has done all that it could */
    CHECK(atomic_load(&r.handled) < 2 * COUNT);
    for (int i = 0; i < COUNT; i++) {
        hear(fd, &got);
        CHECK_U64(got.body_bytes, BIG);
        CHECK(memcmp(got.body, big, BIG) == 0);
        CHECK_STR(hear(fd, &got), HEAD_OK("1") "x");
    }
    close(fd);
    fd = dial(&r);   /* the last answer of a connection, too */
    say(fd, "GET /big HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    while (atomic_load(&r.handled) < 2 * COUNT + 1) usleep(100);
    for (int i = 0; i < 3; i++) on_loop(&r, nothing, 0);
    hear(fd, &got);
    CHECK_U64(got.body_bytes, BIG);
    check_ends(fd);
    rig_stop(&r);
}

/* The clock stands but for pass_time(): a slow machine changes nothing. */
static void slow_clients_meet_their_deadlines(void)
{
    rig r;
    reply got;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &(http_limits){.header_wait_us = 60000, .body_wait_us = 60000, .idle_wait_us = 60000,
                                 .write_wait_us = 60000}, 1);
    int idle = dial(&r), header = dial(&r), body = dial(&r), deaf = dial(&r), used = dial(&r), held = dial(&r);
    say(used, ECHO "Content-Length: 1\r\n\r\nx");
    CHECK_STR(hear(used, &got), HEAD_OK("1") "x");
    say(held, HOLD);
    say(header, ECHO "Content-Length: 1\r\n\r\nx");   /* past progress does not count */
    CHECK_STR(hear(header, &got), HEAD_OK("1") "x");
    for (int i = 0; i < 10; i++) say(deaf, "GET /big HTTP/1.1\r\n" HOST "\r\n");   /* more than sockets buffer */
    for (int i = 0; i < 10; i++) {   /* bytes that trickle in do not move the end of the head */
        say(header, i ? "x" : "GET /");
        say(body, i ? "x" : ECHO "Content-Length: 100\r\n\r\nx");
        pass_time(&r, 20000);
    }
    CHECK(recv(header, got.text, 1, MSG_PEEK | MSG_DONTWAIT) == 1);
    CHECK_STR(hear(header, &got), TIMEOUT("52") "{\"error\":\"headers: expected their end within 60 ms\"}");
    CHECK(recv(body, got.text, 1, MSG_PEEK | MSG_DONTWAIT) < 0);   /* bytes of a body are progress */
    pass_time(&r, 60000);
    CHECK_STR(hear(body, &got), TIMEOUT("50") "{\"error\":\"body: expected more of it within 60 ms\"}");
    check_ends(idle);
    check_ends(used);
    wait_holding(&r, 1);
    on_loop(&r, release, 0);   /* nobody waits for the client of a call */
    CHECK(strstr(hear(held, &got), "held 0"));
    say(held, ECHO "Content-Length: 1\r\n\r\nx");
    CHECK_STR(hear(held, &got), HEAD_OK("1") "x");
    size_t whole = 0;
    while (hear(deaf, &got) && got.body_bytes == BIG) whole++;
    CHECK(whole < 10);
    CHECK(strstr(got.text, "reset"));   /* what was not sent is dropped, not left to the kernel */
    close(header);
    close(body);
    close(deaf);
    close(held);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void progress_moves_the_deadlines(void)
{
    rig r;
    reply got;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &(http_limits){.body_wait_us = 500000, .idle_wait_us = 500000, .write_wait_us = 500000}, 1);
    int idle = dial(&r), body = dial(&r), slow = dial(&r);
    static char part[BIG / 4];
    say(body, ECHO "Content-Length: 4\r\n\r\n");
    for (int i = 0; i < 10; i++) say(slow, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 4; i++) {   /* 0.8 s in all */
        pass_time(&r, 200000);
        say(idle, ECHO "Content-Length: 1\r\n\r\nx");
        CHECK_STR(hear(idle, &got), HEAD_OK("1") "x");
        say(body, "x");
        for (int j = 0; j < 8; j++) CHECK(recv(slow, part, sizeof part, MSG_WAITALL) == sizeof part);
    }
    CHECK_STR(hear(body, &got), HEAD_OK("4") "xxxx");
    for (int j = 0; j < 8; j++) CHECK(recv(slow, part, sizeof part, MSG_WAITALL) == sizeof part);
    close(idle);
    close(body);
    close(slow);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void a_client_that_ended_its_side_still_gets_its_answers(void)
{
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int fd = dial(&r);
    say(fd, HOLD ECHO "Content-Length: 1\r\n\r\nx" HOLD);
    shutdown(fd, SHUT_WR);
    wait_holding(&r, 2);
    catch_up(&r);
    on_loop(&r, release, 1);
    on_loop(&r, release, 0);
    CHECK(strstr(hear(fd, &got), "held 0"));
    CHECK_STR(hear(fd, &got), HEAD_OK("1") "x");
    CHECK(strstr(hear(fd, &got), "held 1"));
    check_ends(fd);
    fd = dial(&r);   /* half a request and then the end: nothing to answer */
    say(fd, ECHO "Content-Length: 10\r\n\r\nhalf");
    shutdown(fd, SHUT_WR);
    check_ends(fd);
    rig_stop(&r);
}

static void a_client_that_goes_away_harms_nobody(void)
{
    rig r;
    long live = 0;
    rig_start(&r, &plain, 1);
    for (size_t i = 0; i < 20; i++) {
        int half = dial(&r), held = dial(&r), reading = dial(&r);
        say(half, ECHO "Content-Length: 100000\r\n\r\nhalf");
        say(held, HOLD HOLD ECHO "Content-Length: 1\r\n\r\nx");
        say(reading, "GET /big HTTP/1.1\r\n" HOST "\r\n");
        wait_holding(&r, 2 * i + 2);
        char some[100];
        CHECK(recv(reading, some, sizeof some, MSG_WAITALL) == sizeof some);
        hang_up(half);
        hang_up(held);
        hang_up(reading);
        wait_open(&r, 0);
        on_loop(&r, release, 2 * i + 1);
        on_loop(&r, release, 2 * i);
        if (i == 9) live = mem_live();
    }
    CHECK_U64(atomic_load(&r.gone), 40);
    CHECK(mem_live() < live + 10);   /* how many calls are in use at once is up to timing */
    rig_stop(&r);
}

static void short_and_interrupted_calls_change_nothing(void)
{
    static const sys_fault scripts[][3] = {
        {{SYS_send, .times = SYS_FAKE_EVER, .result = 1}},
        {{SYS_recv, .times = SYS_FAKE_EVER, .result = 1}},
        {{SYS_send, .times = 100, .result = 7}, {SYS_recv, .times = SYS_FAKE_EVER, .result = 3}},
        {{SYS_send, .times = 2, .result = -EINTR}, {SYS_recv, .times = 2, .result = -EINTR}},
        {{SYS_send, .times = 3, .result = -EAGAIN}, {SYS_recv, .times = 3, .result = -EAGAIN}},
        {{SYS_poll_wait_ns, .times = 3, .result = -EINTR}, {SYS_poll_wait_ms, .times = 3, .result = -EINTR}},
    };
    rig r;
    rig_start(&r, &plain, 1);
    for (size_t i = 0; i < COUNTOF(scripts); i++) {
        sys_fake_script(scripts[i], COUNTOF(scripts[i]));
        exchange(&r, 3);
    }
    sys_fake_script(NULL, 0);
    rig_stop(&r);
}

static void a_broken_socket_ends_only_its_own_connection(void)
{
    rig r;
    rig_start(&r, &plain, 1);
    int whole = dial(&r), broken = dial(&r);
    say(whole, ECHO "\r\n");
    check_status(whole, "200");
    static const sys_fault scripts[][1] = {{{SYS_recv, .times = 1, .result = -ECONNRESET}},
                                           {{SYS_send, .times = 1, .result = -EPIPE}}};
    for (size_t i = 0; i < COUNTOF(scripts); i++) {
        sys_fake_script(scripts[i], 1);
        say(broken, ECHO "\r\n");
        wait_open(&r, 1);
        close(broken);
        broken = dial(&r);
    }
    sys_fake_script(NULL, 0);
    say(whole, ECHO "\r\n");
    check_status(whole, "200");
    close(whole);
    close(broken);
    rig_stop(&r);
}

/* Its waiting requests were about to go on when the second reply found the client gone. */
static void release_then_break(rig *r, size_t first)
{
    release(r, first);
    sys_fake_script((sys_fault[]){{SYS_send, .times = 1, .result = -EPIPE}}, 1);
    release(r, first + 1);
}

static void a_connection_may_end_while_its_next_requests_wait(void)
{
    rig r;
    rig_start(&r, &(http_limits){.pipelined_max = 2}, 1);
    int other = dial(&r), fd = dial(&r);
    say(fd, HOLD HOLD HOLD HOLD);
    wait_holding(&r, 2);
    say(other, HOLD HOLD HOLD);
    wait_holding(&r, 4);
    on_loop(&r, release_then_break, 0);
    sys_fake_script(NULL, 0);
    wait_open(&r, 1);
    on_loop(&r, release, 2);
    on_loop(&r, release, 3);
    wait_holding(&r, 5);
    on_loop(&r, release, 4);
    close(fd);
    close(other);
    rig_stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_connection_serves_request_after_request),
        TEST(the_handler_sees_the_call_and_the_headers),
        TEST(bodies_arrive_whole_in_every_form),
        TEST(pipelined_replies_keep_their_order),
        TEST(replies_to_one_read_leave_together),
        TEST(a_reply_survives_bytes_that_nobody_reads),
        TEST(reading_on_after_a_refusal_is_bounded),
        TEST(reading_stops_while_enough_requests_wait),
        TEST(a_client_that_reads_late_gets_everything),
        TEST(slow_clients_meet_their_deadlines),
        TEST(progress_moves_the_deadlines),
        TEST(a_client_that_ended_its_side_still_gets_its_answers),
        TEST(a_client_that_goes_away_harms_nobody),
        TEST(short_and_interrupted_calls_change_nothing),
        TEST(a_broken_socket_ends_only_its_own_connection),
        TEST(a_connection_may_end_while_its_next_requests_wait),
    };
    return test_main(cases, COUNTOF(cases));
}
