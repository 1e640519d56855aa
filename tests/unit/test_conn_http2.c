/* Property: over real sockets, each stream gets its own whole answer, however the bytes are cut, whoever is slow, and
 * whenever either side goes away; what a hostile client may cost is bounded; a goodbye loses no request. */
#include "http2_client.h"
#include "net/conn_http2.h"
#include "server_rig.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static void dial_h2(const rig *r, h2c *c, int *ret_fd, uint32_t window)
{
    *ret_fd = dial(r);
    h2c_init(c, window);
}

static void hang_up_h2(h2c *c, int fd)
{
    close(fd);
    h2c_fini(c);
}

static void check_answer(h2c *c, int fd, int32_t id, int status, const char *body)
{
    h2c_stream *s = h2c_wait(c, fd, id);
    CHECK_U64((uint64_t)s->status, (uint64_t)status);
    CHECK(s->closed && s->ended && s->code == 0);
    CHECK(s->body.len == strlen(body) && (!s->body.len || memcmp(s->body.p, body, s->body.len) == 0));
}

static void requests_and_replies_are_whole(void)
{
    rig r;
    h2c c;
    int fd;
    rig_start(&r, &plain, 1);
    dial_h2(&r, &c, &fd, 0);
    for (int i = 0; i < 3; i++) check_answer(&c, fd, h2c_post(&c, "/echo", "hello"), 200, "hello");
    int32_t id = h2c_get(&c, "/query?a=1");
    check_answer(&c, fd, id, 200, "a=1");
    CHECK_STR(h2c_of(&c, id)->headers, "content-type: text/plain\ncontent-length: 3\n");
    id = h2c_ask(&c, "HEAD", "/query?a=1", NULL, NULL, 0);
    check_answer(&c, fd, id, 200, "");
    CHECK_STR(h2c_of(&c, id)->headers, "content-type: text/plain\ncontent-length: 3\n");
    check_answer(&c, fd, h2c_get(&c, "/error"), 404, "{\"error\":\"no \\\"model\\\"\\n\"}");
    id = h2c_ask(&c, "GET", "/info", (const char *const[]){"x-is", "here", "x-is", "not", NULL}, NULL, 0);
    check_answer(&c, fd, id, 200, "");
    CHECK_STR(h2c_of(&c, id)->headers, "content-type: text/plain\ncontent-length: 0\nx-was: here\n");
    id = h2c_ask(&c, "POST", "/echo", (const char *const[]){"expect", "100-continue", NULL}, "body", 4);
    check_answer(&c, fd, id, 200, "body");
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void an_upgrade_with_wrong_settings_ends_its_connection_alone(void)
{
    rig r;
    rig_start(&r, &plain, 1);
    for (int i = 0; i < 3; i++) {
        char got[400] = "";
        int fd = dial(&r);
        say(fd, "GET /query?x HTTP/1.1\r\n" HOST "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                "HTTP2-Settings: AAIA8AAA\r\n\r\n" PREFACE);   /* ENABLE_PUSH = 0xf00000 */
        size_t n = 0;
        for (ssize_t more; n < sizeof got && (more = recv(fd, got + n, sizeof got - n, 0)) > 0;) n += (size_t)more;
        CHECK(n > 20 && strncmp(got, "HTTP/1.1 101 ", 13) == 0);
        CHECK(!memmem(got, n, "200 OK", 6));
        close(fd);
    }
    CHECK_U64(atomic_load(&r.handled), 0);
    int fd = dial(&r);
    say(fd, ECHO "\r\n");
    check_status(fd, "200");
    close(fd);
    rig_stop(&r);
}

static void big_bodies_go_both_ways(void)
{
    rig r;
    h2c c;
    int fd;
    rig_start(&r, &plain, 1);
    for (uint32_t window = 0; window < 3 << 20; window += (1 << 20) + 1) {   /* smaller and larger than a body */
        dial_h2(&r, &c, &fd, window);
        int32_t id = h2c_ask(&c, "POST", "/echo", NULL, big, BIG), other = h2c_get(&c, "/big");
        h2c_stream *s = h2c_wait(&c, fd, id), *o = h2c_wait(&c, fd, other);
        CHECK(s->status == 200 && s->body.len == BIG && memcmp(s->body.p, big, BIG) == 0);
        CHECK(o->status == 200 && o->body.len == BIG && memcmp(o->body.p, big, BIG) == 0);
        hang_up_h2(&c, fd);
    }
    rig_stop(&r);
}

static void streams_overtake_each_other(void)
{
    rig r;
    h2c c;
    int fd;
    rig_start(&r, &plain, 1);
    dial_h2(&r, &c, &fd, 0);
    int32_t a = h2c_get(&c, "/hold"), b = h2c_get(&c, "/hold"), e = h2c_post(&c, "/echo", "x");
    check_answer(&c, fd, e, 200, "x");
    wait_holding(&r, 2);
    on_loop(&r, release, 1);
    check_answer(&c, fd, b, 200, "held 1");
    CHECK(!h2c_of(&c, a)->closed);
    on_loop(&r, release, 0);
    check_answer(&c, fd, a, 200, "held 0");
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void replies_to_one_read_leave_together(void)
{
    enum { COUNT = 30 };
    rig r;
    h2c c;
    int fd;
    int32_t ids[COUNT];
    rig_start(&r, &plain, 1);
    dial_h2(&r, &c, &fd, 0);
    check_answer(&c, fd, h2c_get(&c, "/query?q"), 200, "q");
    for (size_t i = 0; i < COUNT; i++) ids[i] = h2c_post(&c, "/echo", "abc");
    uint64_t before = sys_fake_calls(SYS_send);
    for (size_t i = 0; i < COUNT; i++) check_answer(&c, fd, ids[i], 200, "abc");
    CHECK(sys_fake_calls(SYS_send) - before <= 3);
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void the_first_bytes_choose_the_protocol_wherever_they_are_cut(void)
{
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    for (size_t cut = 1; cut < 40; cut++) {
        h2c c;
        int fd;
        dial_h2(&r, &c, &fd, 0);
        int32_t id = h2c_post(&c, "/echo", "x");
        size_t n = cut < c.out.len ? cut : c.out.len;
        say_bytes(fd, c.out.p, n);
        for (int i = 0; i < 2; i++) on_loop(&r, nothing, 0);
        say_bytes(fd, c.out.p + n, c.out.len - n);
        buf_clear(&c.out);
        check_answer(&c, fd, id, 200, "x");
        hang_up_h2(&c, fd);
    }
    int fd = dial(&r);   /* what only begins like the preface is a request line of HTTP/1 */
    say(fd, "PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n");
    check_status(fd, "505");
    close(fd);
    fd = dial(&r);
    say(fd, "PROPFIND /echo HTTP/1.1\r\n" HOST "\r\n");
    CHECK(strstr(hear(fd, &got), "200 OK"));
    close(fd);
    rig_stop(&r);
}

#define UPGRADE "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "

static void an_upgraded_request_is_answered_on_stream_1(void)
{
    static const char switched[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    rig r;
    rig_start(&r, &plain, 1);
    for (int held = 0; held < 2; held++) {
        h2c c;
        reply got;
        int fd;
        dial_h2(&r, &c, &fd, 0);
        h2c_fini(&c);
        h2c_init(&c, 0);
        buf_clear(&c.out);
        const uint8_t settings[] = {0, 3, 0, 0, 0, 100, 0, 4, 0, 0, 255, 255};   /* AAMAAABkAAQAAP__ */
        CHECK(nghttp2_session_upgrade2(c.session, settings, sizeof settings, 0, NULL) == 0);
        if (held)
            say(fd, "GET /hold HTTP/1.1\r\n" HOST UPGRADE "AAMAAABkAAQAAP__\r\n\r\n");
        else
            say(fd, ECHO UPGRADE "AAMAAABkAAQAAP__\r\nContent-Length: 5\r\n\r\nhello");
        CHECK(hear_head(fd, &got, &(size_t){0}));
        CHECK_STR(got.text, switched);
        buf_put_z(&c.out, PREFACE);
        h2c_frame(&c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
        int32_t id = h2c_get(&c, "/query?z");
        check_answer(&c, fd, id, 200, "z");
        if (held) {
            wait_holding(&r, 1);
            on_loop(&r, release, 0);
        }
        check_answer(&c, fd, 1, 200, held ? "held 0" : "hello");
        hang_up_h2(&c, fd);
    }
    rig_stop(&r);
}

static void an_upgrade_that_is_not_right_stays_http1(void)
{
    static const char *const heads[] = {
        UPGRADE "!!!!\r\n",
        UPGRADE "AAM\r\n",
        "Connection: HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
        UPGRADE "AAMAAABkAAQAAP__\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    };
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int fd = dial(&r);
    for (size_t i = 0; i < COUNTOF(heads); i++) {
        say(fd, ECHO);
        say(fd, heads[i]);
        say(fd, "Content-Length: 1\r\n\r\nx");
        CHECK_STR(hear(fd, &got), HEAD_OK("1") "x");
    }
    close(fd);
    rig_stop(&r);
}

static void each_limit_has_its_status(void)
{
    static char many[3000], path[400];
    memset(many, 'x', sizeof many - 1);
    memset(path, '/', 300);
    static const char *const fields[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
                                         "q", "r", "s", "t", NULL};
    rig r;
    h2c c;
    int fd;
    rig_start(&r, &(http_limits){.line_bytes_max = 200, .header_bytes_max = 700, .header_count_max = 8,
                                 .body_bytes_max = 1000}, 1);
    dial_h2(&r, &c, &fd, 0);
    const struct { int32_t id; int status; } rows[] = {
        {h2c_get(&c, path), 414},
        {h2c_ask(&c, "GET", "/", (const char *const[]){"a", many + 2000, NULL}, NULL, 0), 431},
        {h2c_ask(&c, "GET", "/", fields, NULL, 0), 431},
        {h2c_ask(&c, "POST", "/echo", NULL, many, 1001), 413},
        {h2c_ask(&c, "POST", "/echo", (const char *const[]){"content-length", "1001", NULL}, many, 1001), 413},
        {h2c_ask(&c, "POST", "/echo", NULL, many, 1000), 200},
        {h2c_ask(&c, "POST", "/echo", (const char *const[]){"expect", "teapot", NULL}, many, 10), 417},
        {h2c_get(&c, "/%zz"), 400},
        {h2c_ask(&c, "BREW", "/query?q", NULL, NULL, 0), 200},   /* the handler's to judge */
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        h2c_stream *s = h2c_wait(&c, fd, rows[i].id);
        CHECK_U64((uint64_t)s->status, (uint64_t)rows[i].status);
        CHECK(s->ended && s->code == 0);
    }
    check_answer(&c, fd, h2c_post(&c, "/echo", "still there"), 200, "still there");
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void the_memory_of_all_bodies_is_bounded(void)
{
    static char body[9000];
    rig r;
    h2c c;
    int fd;
    rig_start(&r, &(http_limits){.bodies_bytes_max = 8192}, 1);
    dial_h2(&r, &c, &fd, 0);
    memset(body, 'x', sizeof body - 1);
    c.hold = true;
    int32_t first = h2c_ask(&c, "POST", "/echo", NULL, body, 8000);
    (void)h2c_say(&c, fd);
    c.hold = false;
    const char *const announced[] = {"content-length", "8999", NULL};
    h2c_stream *s = h2c_wait(&c, fd, h2c_ask(&c, "POST", "/echo", announced, body, 8999));
    CHECK_U64((uint64_t)s->status, 503);
    CHECK(strstr((const char *)s->body.p, "bodies: expected at most 8192 bytes in all requests"));
    CHECK(strstr(s->headers, "retry-after: 1"));
    s = h2c_wait(&c, fd, h2c_ask(&c, "POST", "/echo", NULL, body, 10));
    CHECK_U64((uint64_t)s->status, 503);
    h2c_more(&c, first, body, 0, true);
    s = h2c_wait(&c, fd, first);
    CHECK(s->status == 200 && s->body.len == 8000);
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void what_waits_for_all_clients_together_is_bounded(void)
{
    rig r;
    h2c c, more;
    int fd, more_fd;
    server_stats stats;
    rig_start(&r, &(http_limits){.replies_bytes_max = BIG + BIG / 2}, 1);
    dial_h2(&r, &c, &fd, 0);   /* 64 KB of window: the rest of the answer waits */
    dial_h2(&r, &more, &more_fd, 0);
    int32_t id = h2c_get(&c, "/big");
    (void)h2c_say(&c, fd);
    while (atomic_load(&r.handled) < 1) usleep(100);
    h2c_get(&more, "/big");
    h2c_end(&more, more_fd);
    CHECK_U64(more.gone_code, NGHTTP2_ENHANCE_YOUR_CALM);
    h2c_stream *s = h2c_wait(&c, fd, id);
    CHECK(s->ended && s->body.len == BIG && memcmp(s->body.p, big, BIG) == 0);
    server_stats_read(r.server, &stats);
    CHECK_U64(stats.replies_refused, 1);
    CHECK_U64(stats.hits[SERVER_HIT_FRAMES], 0);   /* it is counted once, as what it was */
    hang_up_h2(&c, fd);
    hang_up_h2(&more, more_fd);
    wait_open(&r, 0);
    server_stats_read(r.server, &stats);
    CHECK(stats.replies_bytes < BIG / 2);
    rig_stop(&r);
}

static void who_holds_most_of_that_memory_makes_room_for_others(void)
{
    rig r;
    h2c c, more;
    int fd, more_fd;
    server_stats stats;
    rig_start(&r, &(http_limits){.replies_bytes_max = 2 * BIG + BIG / 2}, 1);
    dial_h2(&r, &c, &fd, 0);   /* 64 KB of window: the rest of both answers waits */
    dial_h2(&r, &more, &more_fd, 0);
    h2c_get(&c, "/big");
    h2c_get(&c, "/big");
    (void)h2c_say(&c, fd);
    while (atomic_load(&r.handled) < 2) usleep(100);
    int32_t id = h2c_get(&more, "/big");
    h2c_stream *s = h2c_wait(&more, more_fd, id);
    CHECK(s->ended && s->body.len == BIG && memcmp(s->body.p, big, BIG) == 0);
    h2c_end(&c, fd);
    server_stats_read(r.server, &stats);
    CHECK_U64(stats.replies_refused, 1);
    hang_up_h2(&c, fd);
    hang_up_h2(&more, more_fd);
    wait_open(&r, 0);
    server_stats_read(r.server, &stats);
    CHECK(stats.replies_bytes < BIG / 2);
    rig_stop(&r);
}

static void malformed_requests_are_reset_and_others_go_on(void)
{
    static const char *const rows[][5] = {
        {"connection", "close", NULL},
        {"te", "gzip", NULL},
        {"transfer-encoding", "chunked", NULL},
        {"content-length", "4", NULL},
        {"content-length", "3", "content-length", "3", NULL},
    };
    rig r;
    h2c c;
    int fd;
    rig_start(&r, &plain, 1);
    dial_h2(&r, &c, &fd, 0);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        int32_t id = h2c_ask(&c, "POST", "/echo", rows[i], "abc", 3);
        h2c_stream *s = h2c_wait(&c, fd, id);
        CHECK(s->closed && s->status == 0);
        CHECK_U64(s->code, NGHTTP2_PROTOCOL_ERROR);
    }
    int32_t fine = h2c_ask(&c, "POST", "/echo", (const char *const[]){"te", "trailers", NULL}, "abc", 3);
    check_answer(&c, fd, fine, 200, "abc");
    CHECK_U64(atomic_load(&r.handled), 1);
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void floods_are_told_to_calm_down(void)
{
    static const uint8_t zeros[64] = {0};
    rig r;
    rig_start(&r, &plain, 1);
    for (int kind = 0; kind < 7; kind++) {
        h2c c;
        int fd;
        dial_h2(&r, &c, &fd, 0);
        int32_t id = h2c_get(&c, "/hold");
        for (int i = 0; i < 3 * HTTP2_BUDGET_MAX; i++) {
            switch (kind) {
            case 0: h2c_frame(&c, NGHTTP2_PING, 0, 0, zeros, 8); break;
            case 1: h2c_frame(&c, NGHTTP2_SETTINGS, 0, 0, NULL, 0); break;
            case 2: h2c_frame(&c, NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4); break;
            case 3: h2c_frame(&c, NGHTTP2_PRIORITY, 0, (uint32_t)id + 2 * (uint32_t)i, zeros, 5); break;
            case 4: h2c_frame(&c, 0x77, 0, 0, zeros, 1); break;
            case 5:
                h2c_frame(&c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 3 + 2 * (uint32_t)i,
                          "\x82\x86\x84\x41\1h", 6);   /* GET http / */
                h2c_frame(&c, NGHTTP2_RST_STREAM, 0, 3 + 2 * (uint32_t)i, "\0\0\0\10", 4);
                break;
            default: h2c_frame(&c, i ? NGHTTP2_CONTINUATION : NGHTTP2_HEADERS, 0, 3, zeros, 0); break;
            }
        }
        (void)h2c_say(&c, fd);
        h2c_end(&c, fd);
        CHECK(c.gone);
        CHECK_U64(c.gone_code, NGHTTP2_ENHANCE_YOUR_CALM);
        hang_up_h2(&c, fd);
    }
    wait_open(&r, 0);
    on_loop(&r, nothing, 0);
    for (size_t i = 0; i < atomic_load(&r.holding); i++) on_loop(&r, release, i);
    CHECK_U64(atomic_load(&r.gone), atomic_load(&r.holding));
    rig_stop(&r);
}

static void work_pays_for_what_it_brings_along(void)
{
    static const uint8_t zeros[8] = {0};
    rig r;
    h2c c;
    int fd;
    rig_start(&r, &plain, 1);
    dial_h2(&r, &c, &fd, 0);
    for (int i = 0; i < 2 * HTTP2_BUDGET_MAX && !test_failures; i++) {   /* a ping and two windows with each request */
        h2c_frame(&c, NGHTTP2_PING, 0, 0, zeros, 8);
        h2c_frame(&c, NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
        h2c_frame(&c, NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
        check_answer(&c, fd, h2c_post(&c, "/echo", "x"), 200, "x");
    }
    CHECK(!c.gone);
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void a_header_bomb_ends_the_connection(void)
{
    uint8_t block[16000];
    size_t n = 0;
    rig r;
    h2c c;
    int fd;
    rig_start(&r, &plain, 1);
    dial_h2(&r, &c, &fd, 0);
    memcpy(block, "\x82\x86\x84\x41\1h\x40\1a\x7f\xa1\x1e", 12);   /* then a: 4000 bytes, which goes into the table */
    n = 12;
    memset(block + n, 'x', 4000);
    n += 4000;
    while (n < sizeof block) block[n++] = 0xBE;   /* and again, from there */
    h2c_frame(&c, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, block, n);
    h2c_end(&c, fd);
    CHECK_U64(c.gone_code, NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK_U64(atomic_load(&r.handled), 0);
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void streams_beyond_the_limit_are_refused(void)
{
    rig r;
    h2c c;
    int fd;
    rig_start(&r, &(http_limits){.streams_max = 3}, 1);
    dial_h2(&r, &c, &fd, 0);
    int32_t ids[5];
    for (size_t i = 0; i < COUNTOF(ids); i++) ids[i] = h2c_get(&c, "/hold");   /* before our settings have come */
    for (size_t i = 3; i < 5; i++) {
        CHECK(h2c_wait(&c, fd, ids[i])->closed);
        CHECK_U64(h2c_of(&c, ids[i])->code, NGHTTP2_REFUSED_STREAM);
    }
    wait_holding(&r, 3);
    for (size_t i = 0; i < 3; i++) on_loop(&r, release, i);
    check_answer(&c, fd, ids[2], 200, "held 2");
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void a_cancelled_request_is_told_to_its_handler(void)
{
    rig r;
    h2c c;
    int fd;
    rig_start(&r, &plain, 1);
    dial_h2(&r, &c, &fd, 0);
    int32_t id = h2c_get(&c, "/hold");
    (void)h2c_say(&c, fd);
    wait_holding(&r, 1);
    CHECK(nghttp2_submit_rst_stream(c.session, 0, id, NGHTTP2_CANCEL) == 0);
    h2c_pump(&c);
    check_answer(&c, fd, h2c_post(&c, "/echo", "x"), 200, "x");
    on_loop(&r, release, 0);
    CHECK_U64(atomic_load(&r.gone), 1);
    check_answer(&c, fd, h2c_post(&c, "/echo", "y"), 200, "y");
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void slow_streams_meet_their_deadlines(void)
{
    rig r;
    h2c c;
    int fd;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &(http_limits){.header_wait_us = 60000, .body_wait_us = 60000, .idle_wait_us = 500000,
                                 .write_wait_us = 60000}, 1);
    dial_h2(&r, &c, &fd, 0);
    int32_t held = h2c_get(&c, "/hold");   /* nobody waits for the client of this one */
    c.hold = true;
    int32_t id = h2c_post(&c, "/echo", "some");
    h2c_stream *s = h2c_of(&c, id);
    (void)h2c_say(&c, fd);
    for (int i = 0; i < 4; i++) pass_time(&r, 30000);
    while (!s->closed && h2c_turn(&c, fd)) {}
    CHECK_U64((uint64_t)s->status, 408);
    CHECK(strstr((const char *)s->body.p, "body: expected more of it within 60 ms"));
    wait_holding(&r, 1);
    on_loop(&r, release, 0);
    check_answer(&c, fd, held, 200, "held 0");
    hang_up_h2(&c, fd);

    dial_h2(&r, &c, &fd, 0);   /* a window that stays shut */
    CHECK(nghttp2_session_set_local_window_size(c.session, 0, 0, 0) == 0);
    nghttp2_settings_entry shut = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
    CHECK(nghttp2_submit_settings(c.session, 0, &shut, 1) == 0);
    h2c_pump(&c);
    id = h2c_get(&c, "/big");
    (void)h2c_say(&c, fd);
    for (int i = 0; i < 4; i++) pass_time(&r, 30000);
    s = h2c_wait(&c, fd, id);
    CHECK(s->status == 200 && s->closed && s->body.len == 0);
    CHECK_U64(s->code, NGHTTP2_CANCEL);
    hang_up_h2(&c, fd);

    dial_h2(&r, &c, &fd, 0);   /* a head that does not end */
    h2c_frame(&c, NGHTTP2_HEADERS, 0, 1, "\x82", 1);
    (void)h2c_say(&c, fd);
    for (int i = 0; i < 4; i++) pass_time(&r, 30000);
    h2c_end(&c, fd);
    hang_up_h2(&c, fd);
    dial_h2(&r, &c, &fd, 0);   /* nothing at all: a goodbye, then the end */
    (void)h2c_say(&c, fd);
    for (int i = 0; i < 4; i++) pass_time(&r, 250000);
    h2c_end(&c, fd);
    CHECK(c.gone && c.gone_code == NGHTTP2_NO_ERROR);
    CHECK_U64(c.goaways, 2);
    hang_up_h2(&c, fd);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void a_head_and_a_body_have_their_own_deadlines(void)
{
    rig r;
    h2c head, body;
    int head_fd, body_fd;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &(http_limits){.header_wait_us = 600000, .body_wait_us = 60000}, 1);
    dial_h2(&r, &head, &head_fd, 0);
    dial_h2(&r, &body, &body_fd, 0);
    h2c_frame(&head, NGHTTP2_HEADERS, 0, 1, "\x82", 1);
    (void)h2c_say(&head, head_fd);
    body.hold = true;
    int32_t id = h2c_post(&body, "/echo", "some");
    (void)h2c_say(&body, body_fd);
    for (int i = 0; i < 4; i++) pass_time(&r, 60000);
    wait_open(&r, 2);
    CHECK_U64((uint64_t)h2c_wait(&body, body_fd, id)->status, 408);
    for (int i = 0; i < 20; i++) pass_time(&r, 60000);
    h2c_end(&head, head_fd);
    CHECK(head.gone || head.settings);
    hang_up_h2(&head, head_fd);
    hang_up_h2(&body, body_fd);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void a_client_that_does_not_read_is_cut_off(void)
{
    rig r;
    h2c c;
    int fd;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &(http_limits){.write_wait_us = 100000}, 1);
    dial_h2(&r, &c, &fd, 1 << 30);
    for (int i = 0; i < 20; i++) h2c_get(&c, "/big");
    size_t before = heap_bytes();
    (void)h2c_say(&c, fd);
    wait_open(&r, 1);
    for (int i = 0; i < 8; i++) pass_time(&r, 50000);
    wait_open(&r, 0);   /* by itself */
    CHECK(heap_bytes() < before + 2 * (size_t)BIG);
    hang_up_h2(&c, fd);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void requests_wait_while_replies_do(void)
{
    enum { COUNT = 20 };
    rig r;
    h2c c;
    int fd;
    int32_t ids[COUNT];
    rig_start(&r, &plain, 1);
    dial_h2(&r, &c, &fd, 0);   /* 64 KB of window: the rest of each answer waits */
    c.drop_bodies = true;
    for (size_t i = 0; i < COUNT; i++) ids[i] = h2c_get(&c, "/big");
    (void)h2c_say(&c, fd);
    for (int i = 0; i < 5; i++) catch_up(&r);
    CHECK(atomic_load(&r.handled) <= CONN_HTTP2_WAITING_MAX / BIG + 1);
    for (size_t i = 0; i < COUNT; i++) {
        CHECK(h2c_wait(&c, fd, ids[i])->ended);
        CHECK_U64(h2c_of(&c, ids[i])->body_seen, BIG);
    }
    CHECK_U64(atomic_load(&r.handled), COUNT);
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void a_client_that_ended_its_side_still_gets_its_answers(void)
{
    rig r;
    h2c c;
    int fd;
    rig_start(&r, &plain, 1);
    dial_h2(&r, &c, &fd, 0);
    int32_t held = h2c_get(&c, "/hold"), echo = h2c_post(&c, "/echo", "x");
    c.hold = true;
    int32_t half = h2c_post(&c, "/echo", "half");
    (void)h2c_say(&c, fd);
    wait_holding(&r, 1);
    shutdown(fd, SHUT_WR);
    catch_up(&r);
    on_loop(&r, release, 0);
    h2c_end(&c, fd);
    CHECK(h2c_of(&c, held)->ended && h2c_of(&c, echo)->ended);
    CHECK(h2c_of(&c, half)->closed && h2c_of(&c, half)->status == 0);
    CHECK_U64(h2c_of(&c, half)->code, NGHTTP2_CANCEL);
    CHECK_U64(atomic_load(&r.handled), 2);
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void clients_that_go_away_harm_nobody(void)
{
    rig r;
    long live = 0;
    rig_start(&r, &plain, 1);
    for (size_t i = 0; i < 20; i++) {
        h2c c;
        int fd;
        dial_h2(&r, &c, &fd, 0);
        h2c_get(&c, "/hold");
        h2c_get(&c, "/hold");
        h2c_get(&c, "/big");
        c.hold = true;
        h2c_post(&c, "/echo", "half");
        (void)h2c_say(&c, fd);
        wait_holding(&r, 2 * i + 2);
        hang_up(fd);
        h2c_fini(&c);
        wait_open(&r, 0);
        on_loop(&r, release, 2 * i + 1);
        on_loop(&r, release, 2 * i);
        if (i == 9) live = mem_live();
    }
    CHECK_U64(atomic_load(&r.gone), 40);
    CHECK(mem_live() < live + 10);
    rig_stop(&r);
}

static void drain(rig *r, size_t grace_us) { server_drain(r->server, grace_us, note_drained, r); }

static void draining_says_goodbye_twice_and_loses_nothing(void)
{
    rig r;
    h2c c, idle;
    int fd, idle_fd;
    rig_start(&r, &plain, 1);
    dial_h2(&r, &c, &fd, 0);
    dial_h2(&r, &idle, &idle_fd, 0);
    check_answer(&idle, idle_fd, h2c_post(&idle, "/echo", "x"), 200, "x");
    int32_t held = h2c_get(&c, "/hold");
    (void)h2c_say(&c, fd);
    wait_holding(&r, 1);
    on_loop(&r, drain, 5000000);
    while (c.goaways == 0 && h2c_turn(&c, fd)) {}
    CHECK_U64((uint64_t)c.gone_last, INT32_MAX);
    h2c_end(&idle, idle_fd);
    CHECK(idle.gone_code == NGHTTP2_NO_ERROR && idle.goaways == 2);
    hang_up_h2(&idle, idle_fd);   /* the server would wait for that */
    CHECK_U64(atomic_load(&r.drained), 0);
    on_loop(&r, release, 0);
    h2c_stream *s = h2c_of(&c, held);
    while (!s->closed && h2c_turn(&c, fd)) {}
    CHECK(s->status == 200 && s->ended);
    hang_up_h2(&c, fd);
    wait_drained(&r);
    rig_stop(&r);
}

/* What has come, without waiting for more. */
static void hear_so_far(h2c *c, int fd)
{
    static char room[4096];
    (void)h2c_say(c, fd);
    for (ssize_t n; (n = recv(fd, room, sizeof room, MSG_DONTWAIT)) > 0;) h2c_hear(c, room, (size_t)n);
}

static void who_just_came_hears_goodbye_behind_his_first_request(void)
{
    enum { OLD, SILENT, ASKING, PINGING, ALL };
    rig r;
    h2c c[ALL];
    int fd[ALL];
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &plain, 1);
    for (size_t i = 0; i < ALL; i++) {
        dial_h2(&r, &c[i], &fd[i], 0);
        (void)h2c_say(&c[i], fd[i]);
        while (c[i].settings == 0 && h2c_turn(&c[i], fd[i])) {}
        pass_time(&r, i == OLD ? CONN_HTTP2_FIRST_US : 0);
    }
    server_drain_idle(r.server, 5 * CONN_HTTP2_FIRST_US);
    on_loop(&r, drain, 10 * CONN_HTTP2_FIRST_US);
    pass_time(&r, CONN_HTTP2_FIRST_US / 2);
    for (size_t i = 0; i < ALL; i++) {
        hear_so_far(&c[i], fd[i]);
        CHECK_U64(c[i].goaways, i == OLD);
    }
    h2c_frame(&c[PINGING], NGHTTP2_PING, 0, 0, "12345678", 8);
    int32_t held = h2c_get(&c[ASKING], "/hold");
    while (c[ASKING].goaways == 0 && h2c_turn(&c[ASKING], fd[ASKING])) {}
    wait_holding(&r, 1);
    pass_time(&r, CONN_HTTP2_FIRST_US / 2 - 1);
    hear_so_far(&c[SILENT], fd[SILENT]);
    hear_so_far(&c[PINGING], fd[PINGING]);
    CHECK(c[SILENT].goaways == 0 && c[PINGING].goaways == 0);
    pass_time(&r, 1);
    on_loop(&r, release, 0);
    h2c_end(&c[ASKING], fd[ASKING]);
    CHECK(h2c_of(&c[ASKING], held)->ended && h2c_of(&c[ASKING], held)->status == 200);
    for (size_t i = 0; i < ALL; i++) {
        hear_so_far(&c[i], fd[i]);
        CHECK_U64(c[i].goaways, 1 + (i == ASKING));   /* without a stream this client does not answer the first one */
        CHECK(c[i].gone_last == (i == ASKING ? held : INT32_MAX) && c[i].gone_code == NGHTTP2_NO_ERROR);
        hang_up_h2(&c[i], fd[i]);
    }
    wait_drained(&r);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

/* Where nobody else serves, there is no more time than for those who are silent between two requests. */
static void who_just_came_to_a_server_that_ends_hears_it_soon(void)
{
    rig r;
    h2c c;
    int fd;
    sys_fake_clock_hold(CLOCK_START_NS);
    rig_start(&r, &plain, 1);
    dial_h2(&r, &c, &fd, 0);
    while (c.settings == 0 && h2c_turn(&c, fd)) {}
    on_loop(&r, drain, 10000000);
    pass_time(&r, SERVER_DRAIN_IDLE_US - 1);
    hear_so_far(&c, fd);
    CHECK_U64(c.goaways, 0);
    pass_time(&r, 1);
    hear_so_far(&c, fd);
    CHECK_U64(c.goaways, 1);
    hang_up_h2(&c, fd);
    wait_drained(&r);
    rig_stop(&r);
    sys_fake_clock_set(0);
}

static void connections_beyond_the_limit_are_told_so(void)
{
    rig r;
    h2c c, more;
    int fd, more_fd;
    rig_start(&r, &(http_limits){.connections_max = 1}, 1);
    dial_h2(&r, &c, &fd, 0);
    check_answer(&c, fd, h2c_post(&c, "/echo", "x"), 200, "x");
    dial_h2(&r, &more, &more_fd, 0);
    h2c_post(&more, "/echo", "x");
    h2c_end(&more, more_fd);
    CHECK(more.gone && more.gone_last == 0 && more.gone_code == NGHTTP2_NO_ERROR);
    hang_up_h2(&more, more_fd);
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void a_steady_load_allocates_nothing(void)
{
    rig r;
    h2c c;
    int fd;
    long before = 0;
    rig_start(&r, &plain, 1);
    dial_h2(&r, &c, &fd, 0);
    for (int i = 0; i < 300 && !test_failures; i++) {
        int32_t a = h2c_post(&c, "/echo", "hello"), b = h2c_get(&c, "/query?q");
        check_answer(&c, fd, a, 200, "hello");
        check_answer(&c, fd, b, 200, "q");
        if (i == 99) before = mem_allocs();
    }
    /* The client's bodies count, too: one block each. */
    CHECK(!slab_recycles() || mem_allocs() - before <= 2 * 200 + 10);
    hang_up_h2(&c, fd);
    rig_stop(&r);
}

static void short_and_interrupted_calls_change_nothing(void)
{
    static const sys_fault scripts[][2] = {
        {{SYS_send, .times = SYS_FAKE_EVER, .result = 1}},
        {{SYS_recv, .times = SYS_FAKE_EVER, .result = 1}},
        {{SYS_send, .times = 100, .result = 7}, {SYS_recv, .times = SYS_FAKE_EVER, .result = 3}},
        {{SYS_send, .times = 3, .result = -EAGAIN}, {SYS_recv, .times = 3, .result = -EAGAIN}},
    };
    rig r;
    rig_start(&r, &plain, 1);
    for (size_t i = 0; i < COUNTOF(scripts); i++) {
        h2c c;
        int fd;
        sys_fake_script(scripts[i], COUNTOF(scripts[i]));
        dial_h2(&r, &c, &fd, 0);
        for (int k = 0; k < 3; k++) {
            int32_t a = h2c_post(&c, "/echo", "hello"), b = h2c_get(&c, "/query?q");
            check_answer(&c, fd, a, 200, "hello");
            check_answer(&c, fd, b, 200, "q");
        }
        hang_up_h2(&c, fd);
    }
    sys_fake_script(NULL, 0);
    rig_stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(requests_and_replies_are_whole),
        TEST(an_upgrade_with_wrong_settings_ends_its_connection_alone),
        TEST(big_bodies_go_both_ways),
        TEST(streams_overtake_each_other),
        TEST(replies_to_one_read_leave_together),
        TEST(the_first_bytes_choose_the_protocol_wherever_they_are_cut),
        TEST(an_upgraded_request_is_answered_on_stream_1),
        TEST(an_upgrade_that_is_not_right_stays_http1),
        TEST(each_limit_has_its_status),
        TEST(the_memory_of_all_bodies_is_bounded),
        TEST(what_waits_for_all_clients_together_is_bounded),
        TEST(who_holds_most_of_that_memory_makes_room_for_others),
        TEST(malformed_requests_are_reset_and_others_go_on),
        TEST(floods_are_told_to_calm_down),
        TEST(work_pays_for_what_it_brings_along),
        TEST(a_header_bomb_ends_the_connection),
        TEST(streams_beyond_the_limit_are_refused),
        TEST(a_cancelled_request_is_told_to_its_handler),
        TEST(slow_streams_meet_their_deadlines),
        TEST(a_head_and_a_body_have_their_own_deadlines),
        TEST(a_client_that_does_not_read_is_cut_off),
        TEST(requests_wait_while_replies_do),
        TEST(a_client_that_ended_its_side_still_gets_its_answers),
        TEST(clients_that_go_away_harm_nobody),
        TEST(draining_says_goodbye_twice_and_loses_nothing),
        TEST(who_just_came_hears_goodbye_behind_his_first_request),
        TEST(who_just_came_to_a_server_that_ends_hears_it_soon),
        TEST(connections_beyond_the_limit_are_told_so),
        TEST(a_steady_load_allocates_nothing),
        TEST(short_and_interrupted_calls_change_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
