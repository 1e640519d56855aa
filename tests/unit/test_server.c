/* Property: over real sockets, each request gets its own whole answer, in order, however it and the replies are
 * cut, whoever is slow, and whenever either side goes away; every limit answers with its status; a steady load
 * allocates nothing, and an idle one neither wakes the loop nor holds memory. */
#include "fake/sys_fake.h"
#include "net/server.h"
#include "net/shard.h"
#include "os/clock.h"
#include "os/thread.h"
#include "test.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { HELD_MAX = 4096, LOOPS_MAX = 2, BIG = 4 << 20 };

/* ---- the server under test: loops in threads, a handler that does what the path says ---- */

typedef struct {
    loop *loops[LOOPS_MAX];
    thread threads[LOOPS_MAX];
    size_t loop_count;
    server *server;
    http_call *held[HELD_MAX];          /* loop 0 only */
    size_t held_count;
    uint64_t last_id;
    _Atomic size_t holding, handled, gone, drained;
} rig;

static char big[BIG];

static void handle(void *ctx, http_call *call, const http_request *req)
{
    rig *r = ctx;
    atomic_fetch_add(&r->handled, 1);
    http_response res = {.status = 200, .content_type = STR("text/plain")};
    http_header was = {.name = STR("X-Was")};
    if (str_is(req->path, "/hold")) {
        r->held[r->held_count++] = call;
        atomic_fetch_add(&r->holding, 1);
        return;
    }
    if (str_is(req->path, "/info")) {
        CHECK(http_call_loop(call) == r->loops[0] && !http_call_gone(call));
        CHECK(http_call_id(call) > r->last_id && http_call_since_us(call) == loop_now_us(r->loops[0]));
        r->last_id = http_call_id(call);
        was.value = http_header_get(req, "x-is");
        res.headers = &was;
        res.header_count = 1;
    }
    if (str_is(req->path, "/big")) res.body[0] = (str){big, BIG};
    if (str_is(req->path, "/echo")) res.body[1] = req->body;
    if (str_is(req->path, "/query")) res.body[0] = req->query;
    if (str_is(req->path, "/error"))
        http_reply_error(call, 404, "no \"model\"\n");
    else
        http_reply(call, &res);
}

static void run_loop(void *ctx)
{
    err e;
    CHECK(loop_run(ctx, &e) == ERR_OK);
}

static void rig_start(rig *r, const http_limits *limits, size_t loops)
{
    err e;
    *r = (rig){.loop_count = loops};
    for (size_t i = 0; i < loops; i++) CHECK(loop_new(&r->loops[i], i, &e) == ERR_OK);
    const server_opts opts = {.address = "127.0.0.1", .loops = r->loops, .loop_count = loops, .limits = *limits,
                              .handler = handle, .ctx = r};
    CHECK(server_new(&r->server, &opts, &e) == ERR_OK);
    for (size_t i = 0; i < loops; i++) CHECK(thread_start(&r->threads[i], "loop", run_loop, r->loops[i], &e) == ERR_OK);
}

typedef struct {
    loop_msg msg;
    rig *of;
    void (*run)(rig *r, size_t arg);
    size_t arg;
    _Atomic bool done;
} errand;

static void run_errand(loop *on, loop_msg *m)
{
    errand *a = (errand *)(void *)m;
    (void)on;
    a->run(a->of, a->arg);
    atomic_store(&a->done, true);
}

/* Runs `run` on loop 0 and waits for it. */
static void on_loop(rig *r, void (*run)(rig *r, size_t arg), size_t arg)
{
    errand a = {.msg.run = run_errand, .of = r, .run = run, .arg = arg};
    loop_post(r->loops[0], &a.msg);
    while (!atomic_load(&a.done)) usleep(100);
}

static void stop_loop(loop *on, loop_msg *m)
{
    (void)m;
    loop_stop(on);
}

static void rig_stop(rig *r)
{
    loop_msg stop[LOOPS_MAX];
    for (size_t i = 0; i < r->loop_count; i++) {
        stop[i] = (loop_msg){.run = stop_loop};
        loop_post(r->loops[i], &stop[i]);
        thread_join(&r->threads[i]);
    }
    server_free(r->server);
    for (size_t i = 0; i < r->loop_count; i++) loop_free(r->loops[i]);
}

/* Answers held call `index` with its number as the body. */
static void release(rig *r, size_t index)
{
    char text[32];
    int n = snprintf(text, sizeof text, "held %zu", index);
    if (http_call_gone(r->held[index])) atomic_fetch_add(&r->gone, 1);
    http_reply(r->held[index], &(http_response){.status = 200, .body = {{text, (size_t)n}}});
}

static void wait_holding(rig *r, size_t count)
{
    for (int i = 0; i < 50000 && atomic_load(&r->holding) < count; i++) usleep(100);
    CHECK_U64(atomic_load(&r->holding), count);
}

/* ---- the client ---- */

static int dial(const rig *r)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(server_port(r->server))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval limit = {.tv_sec = 10};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    close(fd);
    return -1;
}

static void say_bytes(int fd, const void *bytes, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t sent = send(fd, (const char *)bytes + at, n - at, MSG_NOSIGNAL);
        if (sent <= 0) return;   /* the server may close first: what it answered shows */
        at += (size_t)sent;
    }
}

static void say(int fd, const char *z) { say_bytes(fd, z, strlen(z)); }

/* One reply without its Date, "end" at the end of the stream, "reset" when it broke. */
typedef struct {
    char text[2000];      /* head and the first bytes of the body */
    size_t body_bytes;
    char *body;           /* all of it; the next hear() reuses it */
} reply;

static bool hear_head(int fd, reply *r, size_t *ret_n)
{
    size_t n = 0;
    while (n < 4 || memcmp(r->text + n - 4, "\r\n\r\n", 4) != 0) {
        ssize_t got = n < 1000 ? recv(fd, r->text + n, 1, 0) : -1;
        if (got <= 0) {
            snprintf(r->text + n, 20, "%s", got == 0 ? "end" : "reset");
            return false;
        }
        n += (size_t)got;
    }
    r->text[n] = 0;
    char *date = strstr(r->text, "Date: "), *line = date ? strstr(date, "\r\n") : NULL;
    if (line) {
        memmove(date, line + 2, strlen(line + 2) + 1);
        n = strlen(r->text);
    }
    *ret_n = n;
    return true;
}

static const char *hear(int fd, reply *r)
{
    static char all[BIG + 1];
    size_t n = 0;
    r->body_bytes = 0;
    r->body = all;
    if (!hear_head(fd, r, &n)) return r->text;
    const char *length = strstr(r->text, "Content-Length: ");
    size_t want = length ? strtoul(length + 16, NULL, 10) : 0;
    CHECK(want <= BIG);
    while (r->body_bytes < want) {
        ssize_t got = recv(fd, all + r->body_bytes, want - r->body_bytes, 0);
        if (got <= 0) {
            snprintf(r->text + n, sizeof r->text - n, "(cut)");
            return r->text;
        }
        r->body_bytes += (size_t)got;
    }
    size_t shown = want < 400 ? want : 400;
    memcpy(r->text + n, all, shown);
    r->text[n + shown] = 0;
    return r->text;
}

#define HEAD_OK(length) "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " length "\r\n\r\n"
#define TIMEOUT(length) \
    "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nContent-Length: " length "\r\n" \
    "Connection: close\r\n\r\n"
#define HOST "Host: h\r\n"
#define ECHO "POST /echo HTTP/1.1\r\n" HOST
#define HOLD "GET /hold HTTP/1.1\r\n" HOST "\r\n"

static void check_status(int fd, const char *want)
{
    reply r;
    hear(fd, &r);
    bool whole = strncmp(r.text, "HTTP/1.1 ", 9) == 0 && strlen(r.text) > 12;
    if (whole) r.text[12] = 0;
    CHECK_STR(whole ? r.text + 9 : r.text, want);
}

static void check_ends(int fd)
{
    reply r;
    CHECK_STR(hear(fd, &r), "end");
    close(fd);
}

/* ---- tests ---- */

static const http_limits plain = {.line_bytes_max = 0};

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
    usleep(2000);
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

static void reading_stops_while_enough_requests_wait(void)
{
    enum { COUNT = 500 };
    rig r;
    reply got;
    rig_start(&r, &(http_limits){.pipelined_max = 3, .header_wait_us = 30000}, 1);
    int fd = dial(&r);
    for (int i = 0; i < COUNT; i++) say(fd, i % 2 ? HOLD : ECHO "Content-Length: 3\r\n\r\nabc");
    usleep(60000);   /* longer than a head may take: nobody's fault, so nothing happens */
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
}

static void a_client_that_reads_late_gets_everything(void)
{
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int fd = dial(&r);
    for (int i = 0; i < 6; i++) say(fd, "GET /big HTTP/1.1\r\n" HOST "\r\n" ECHO "Content-Length: 1\r\n\r\nx");
    usleep(50000);
    CHECK(atomic_load(&r.handled) < 12);   /* those behind a reply that does not go out wait */
    for (int i = 0; i < 6; i++) {
        hear(fd, &got);
        CHECK_U64(got.body_bytes, BIG);
        CHECK(memcmp(got.body, big, BIG) == 0);
        CHECK_STR(hear(fd, &got), HEAD_OK("1") "x");
    }
    close(fd);
    rig_stop(&r);
}

static void each_limit_is_answered_with_its_status(void)
{
    static char many[2 << 20];
    memset(many, 'x', sizeof many);
    static const struct { const char *head; size_t more; const char *status; } rows[] = {
        {"GET /", 300, "414"},
        {"GET / HTTP/1.1\r\nA: ", 500, "431"},
        {"GET / HTTP/1.1\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n", 0, "431"},
        {ECHO "Content-Length: 2097152\r\n\r\n", 2 << 20, "413"},
        {ECHO "Transfer-Encoding: chunked\r\n\r\n200000\r\n", 2 << 20, "413"},
        {ECHO "Expect: teapot\r\n\r\n", 0, "417"},
        {ECHO "Transfer-Encoding: gzip\r\n\r\n", 0, "501"},
        {"GET / HTTP/1.1\r\n\r\n", 0, "400"},
        {"GET / HTTP/3.1\r\n\r\n", 0, "505"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 100, "505"},
        {"\x16\x03\x01", 0, "400"},
    };
    rig r;
    rig_start(&r, &(http_limits){.line_bytes_max = 200, .header_bytes_max = 400, .header_count_max = 8,
                                 .body_bytes_max = 1000}, 1);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        int fd = dial(&r);
        say(fd, rows[i].head);
        say_bytes(fd, many, rows[i].more);   /* all of it, before the answer is read */
        check_status(fd, rows[i].status);
        shutdown(fd, SHUT_WR);
        check_ends(fd);
    }
    int fd = dial(&r);   /* an answer to come is not lost to a refusal behind it */
    say(fd, HOLD "BREW / HTTP/1.1\r\n\r\n");
    wait_holding(&r, 1);
    on_loop(&r, release, 0);
    check_status(fd, "200");
    check_status(fd, "501");
    check_ends(fd);
    server_stats stats;
    server_stats_read(r.server, &stats);
    CHECK_U64(stats.bad_requests, COUNTOF(rows) + 1);
    CHECK_U64(stats.requests, 1);
    rig_stop(&r);
}

static void slow_clients_meet_their_deadlines(void)
{
    rig r;
    reply got;
    rig_start(&r, &(http_limits){.header_wait_us = 60000, .body_wait_us = 60000, .idle_wait_us = 60000,
                                 .write_wait_us = 60000}, 1);
    int idle = dial(&r), header = dial(&r), body = dial(&r), late = dial(&r), deaf = dial(&r), used = dial(&r);
    say(used, ECHO "Content-Length: 1\r\n\r\nx");
    CHECK_STR(hear(used, &got), HEAD_OK("1") "x");
    for (int i = 0; i < 10; i++) say(deaf, "GET /big HTTP/1.1\r\n" HOST "\r\n");   /* more than sockets buffer */
    for (int i = 0; i < 5; i++) {   /* bytes that trickle in do not move the end of the head */
        say(header, i ? "x" : "GET /");
        say(body, i ? "x" : ECHO "Content-Length: 6\r\n\r\nx");
        usleep(20000);
    }
    CHECK_STR(hear(header, &got), TIMEOUT("52") "{\"error\":\"headers: expected their end within 60 ms\"}");
    CHECK_STR(hear(body, &got), TIMEOUT("50") "{\"error\":\"body: expected more of it within 60 ms\"}");
    check_ends(idle);
    check_ends(used);
    check_ends(late);
    usleep(60000);
    size_t whole = 0;
    while (hear(deaf, &got) && got.body_bytes == BIG) whole++;
    CHECK(whole < 10);
    CHECK(strstr(got.text, "(cut)") || strstr(got.text, "reset"));
    close(header);
    close(body);
    close(deaf);
    rig_stop(&r);
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
    usleep(5000);
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

static void hang_up(int fd)
{
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger)) == 0);
    close(fd);   /* with RST */
}

static void wait_open(const rig *r, uint64_t count)
{
    server_stats stats = {.open = UINT64_MAX};
    for (int i = 0; i < 50000 && stats.open != count; i++) {
        server_stats_read(r->server, &stats);
        if (stats.open != count) usleep(100);
    }
    CHECK_U64(stats.open, count);
}

static void a_client_that_goes_away_harms_nobody(void)
{
    rig r;
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
    }
    CHECK_U64(atomic_load(&r.gone), 40);
    rig_stop(&r);
}

static void connections_beyond_the_limit_are_told_so(void)
{
    rig r;
    rig_start(&r, &(http_limits){.connections_max = 2}, 1);
    int a = dial(&r), b = dial(&r);
    say(a, ECHO "\r\n");
    check_status(a, "200");
    say(b, ECHO "\r\n");
    check_status(b, "200");
    int c = dial(&r);
    say(c, ECHO "\r\n");
    check_status(c, "503");
    check_ends(c);
    close(a);
    wait_open(&r, 1);
    c = dial(&r);
    say(c, ECHO "\r\n");
    check_status(c, "200");
    server_stats stats;
    server_stats_read(r.server, &stats);
    CHECK_U64(stats.accepted, 3);
    CHECK_U64(stats.refused, 1);
    CHECK_U64(stats.requests, 3);
    close(b);
    close(c);
    rig_stop(&r);
}

static void nothing(rig *r, size_t arg)
{
    (void)r;
    (void)arg;
}

static size_t heap_bytes(void) { return mallinfo2().uordblks + mallinfo2().hblkhd; }

static void a_steady_load_allocates_nothing(void)
{
    enum { CONNS = 8 };
    static const char small[] = ECHO "Content-Length: 5\r\n\r\nhello";
    rig r;
    rig_start(&r, &plain, 1);
    int fds[CONNS];
    long before = 0;
    char head[128];
    int n = snprintf(head, sizeof head, ECHO "Content-Length: %d\r\n\r\n", 600000);
    for (size_t i = 0; i < CONNS; i++) fds[i] = dial(&r);
    for (int round = 0; round < 60; round++) {
        reply got;
        for (size_t i = 0; i < CONNS; i++) say(fds[i], small);
        for (size_t i = 0; i < CONNS; i++) CHECK_STR(hear(fds[i], &got), HEAD_OK("5") "hello");
        say_bytes(fds[0], head, (size_t)n);
        say_bytes(fds[0], big, 600000);
        hear(fds[0], &got);
        CHECK_U64(got.body_bytes, 600000);
        if (round == 9) before = mem_allocs();
    }
    CHECK((uint64_t)mem_allocs() - (uint64_t)before <= 1);   /* how many calls are in use at once is up to timing */
    for (size_t i = 0; i < CONNS; i++) close(fds[i]);
    rig_stop(&r);
}

static void idle_connections_cost_little_memory_and_no_wake_ups(void)
{
    struct rlimit files;
    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
    files.rlim_cur = files.rlim_max < 8192 ? files.rlim_max : 8192;
    CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
    size_t count = files.rlim_cur >= 4200 ? 2000 : (size_t)files.rlim_cur / 3;
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int *fds = mem_alloc_raw(count * sizeof *fds);
    size_t before = heap_bytes();
    for (size_t i = 0; i < count; i++) {
        fds[i] = dial(&r);
        say(fds[i], ECHO "Content-Length: 5\r\n\r\nhello");
        CHECK_STR(hear(fds[i], &got), HEAD_OK("5") "hello");
    }
    usleep(20000);
    size_t each = (heap_bytes() - before) / count;
    uint64_t waits = sys_fake_calls(SYS_poll_wait_ms) + sys_fake_calls(SYS_poll_wait_ns);
    usleep(200000);
    CHECK_U64(sys_fake_calls(SYS_poll_wait_ms) + sys_fake_calls(SYS_poll_wait_ns), waits);
    CHECK(each < 1500);
    for (size_t i = 0; i < count; i += 100) {
        say(fds[i], ECHO "Content-Length: 5\r\n\r\nhello");
        CHECK_STR(hear(fds[i], &got), HEAD_OK("5") "hello");
    }
    for (size_t i = 0; i < count; i++) close(fds[i]);
    wait_open(&r, 0);
    mem_free(fds);
    rig_stop(&r);
}

static void what_a_burst_leaves_in_the_pools_is_bounded(void)
{
    enum { BODIES = 12, BOXES = 100 };
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int fds[BOXES];
    char head[128];
    size_t before = heap_bytes();
    snprintf(head, sizeof head, "POST /hold HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n", BIG);
    for (size_t i = 0; i < BODIES; i++) {   /* 48 MiB */
        fds[i] = dial(&r);
        say(fds[i], head);
        say_bytes(fds[i], big, BIG);
    }
    for (size_t i = BODIES; i < BOXES; i++) {   /* a reply held behind another */
        fds[i] = dial(&r);
        say(fds[i], HOLD ECHO "Content-Length: 1\r\n\r\nx");
    }
    wait_holding(&r, BOXES);
    for (size_t i = 0; i < BOXES; i++) on_loop(&r, release, i);
    for (size_t i = 0; i < BOXES; i++) CHECK(strstr(hear(fds[i], &got), "held "));
    for (size_t i = BODIES; i < BOXES; i++) CHECK_STR(hear(fds[i], &got), HEAD_OK("1") "x");
    CHECK(heap_bytes() < before + SHARD_BYTES_KEPT_MAX + (2 << 20));
    for (size_t i = 0; i < BOXES; i++) close(fds[i]);
    wait_open(&r, 0);
    on_loop(&r, nothing, 0);   /* what the last close began is done */
    CHECK(heap_bytes() < before + (2 << 20));
    rig_stop(&r);
}

/* ---- draining ---- */

static void note_drained(void *ctx) { atomic_fetch_add(&((rig *)ctx)->drained, 1); }

static void wait_drained(rig *r)
{
    for (int i = 0; i < 50000 && !atomic_load(&r->drained); i++) usleep(100);
    CHECK_U64(atomic_load(&r->drained), 1);
}

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
        server_drain(r.server, 5000000, note_drained, &r);
        server_drain(r.server, 0, note_drained, &r);   /* only the first one counts */
        wait_drained(&r);
        for (size_t i = 0; i < HAMMERS; i++) {
            thread_join(&hammers[i].thread);
            CHECK(hammers[i].answered > 0);
            CHECK_U64(hammers[i].lost, 0);
        }
        rig_stop(&r);
    }
}

static void draining_answers_what_waits_and_ends_what_is_idle(void)
{
    rig r;
    reply got;
    rig_start(&r, &plain, 1);
    int idle = dial(&r), held = dial(&r), half = dial(&r);
    say(held, HOLD HOLD);
    say(half, ECHO "Content-Length: 2\r\n\r\nx");
    wait_holding(&r, 2);
    server_drain(r.server, 10000000, note_drained, &r);
    check_ends(idle);
    CHECK(dial(&r) < 0);
    say(half, "y");
    CHECK(strstr(hear(half, &got), "Connection: close"));
    CHECK_U64(atomic_load(&r.drained), 0);
    on_loop(&r, release, 0);
    CHECK(!strstr(hear(held, &got), "Connection: close"));   /* another answer follows */
    on_loop(&r, release, 1);
    CHECK(strstr(hear(held, &got), "Connection: close"));
    check_ends(held);
    check_ends(half);
    wait_drained(&r);
    rig_stop(&r);
}

static void what_outlasts_the_grace_is_cut_off(void)
{
    rig r;
    rig_start(&r, &plain, 1);
    int held = dial(&r);
    say(held, HOLD);
    wait_holding(&r, 1);
    server_drain(r.server, 50000, note_drained, &r);
    wait_drained(&r);
    check_ends(held);
    on_loop(&r, release, 0);
    CHECK_U64(atomic_load(&r.gone), 1);
    rig_stop(&r);
}

/* ---- construction and faults ---- */

static void construct(size_t loops)
{
    err e;
    rig r = {.loop_count = loops};
    bool ok = true;
    for (size_t i = 0; i < loops; i++) ok = ok && loop_new(&r.loops[i], i, &e) == ERR_OK;
    const server_opts opts = {.address = "::1", .loops = r.loops, .loop_count = loops, .handler = handle, .ctx = &r};
    if (ok) CHECK((server_new(&r.server, &opts, &e) == ERR_OK) == (r.server != NULL));
    server_free(r.server);
    for (size_t i = 0; i < loops; i++) loop_free(r.loops[i]);
}

static void construction_survives_every_fault(void)
{
    FAULT_SWEEP(construct(2));
    SYS_SWEEP(-EMFILE, construct(2));
}

static void a_port_in_use_is_refused_by_name(void)
{
    rig r;
    err e;
    char want[100];
    rig_start(&r, &plain, 1);
    server *s = NULL;
    loop *l = NULL;
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    server_opts opts = {.address = "127.0.0.1", .port = server_port(r.server), .loops = &l, .loop_count = 1,
                        .handler = handle, .ctx = &r};
    CHECK(server_new(&s, &opts, &e) != ERR_OK);
    snprintf(want, sizeof want, "127.0.0.1:%u: cannot listen: Address already in use", opts.port);
    CHECK_STR(e.text, want);
    opts.address = "localhost";
    CHECK(server_new(&s, &opts, &e) == ERR_INVALID);
    CHECK_STR(e.text, "address: expected an IPv4 or IPv6 address, got 'localhost'");
    loop_free(l);
    rig_stop(&r);
}

static void exchange(rig *r, int rounds)
{
    reply got;
    int fd = dial(r);
    for (int i = 0; i < rounds; i++) {
        say(fd, ECHO "Content-Length: 5\r\n\r\nhello" ECHO "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
        CHECK_STR(hear(fd, &got), HEAD_OK("5") "hello");
        CHECK_STR(hear(fd, &got), HEAD_OK("2") "hi");
    }
    close(fd);
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

static void out_of_descriptors_the_server_pauses_and_goes_on(void)
{
    rig r;
    rig_start(&r, &plain, 1);
    long before = sys_fake_fds();
    sys_fake_script((sys_fault[]){{SYS_accept, .times = 1, .result = -EMFILE}}, 1);
    int told = dial(&r);
    check_status(told, "503");   /* the one at the head of the queue, by way of the descriptor in reserve */
    close(told);
    uint64_t accepts = sys_fake_calls(SYS_accept);
    int waits = dial(&r);
    say(waits, ECHO "\r\n");
    usleep(SERVER_PAUSE_US / 4);
    CHECK_U64(sys_fake_calls(SYS_accept), accepts);
    check_status(waits, "200");
    close(waits);
    sys_fake_script(NULL, 0);
    wait_open(&r, 0);
    CHECK_U64((uint64_t)sys_fake_fds(), (uint64_t)before);
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

static void fail_on_loop(rig *r, size_t nth)
{
    (void)r;
    mem_fault_after(nth == SIZE_MAX ? -1 : (long)nth);
}

/* Every allocation of an exchange fails in turn: that client may be cut off or told 503, the next is served. */
static void a_server_without_memory_goes_on(void)
{
    rig r;
    long live = mem_live();
    for (size_t nth = 0; nth < 12; nth++) {
        rig_start(&r, &(http_limits){.pipelined_max = 2}, 1);
        on_loop(&r, fail_on_loop, nth);
        int fd = dial(&r);
        say(fd, HOLD ECHO "Content-Length: 1\r\n\r\nx" ECHO "Content-Length: 1\r\n\r\ny");
        usleep(3000);
        if (atomic_load(&r.holding)) on_loop(&r, release, 0);
        reply got;
        const char *text = hear(fd, &got);
        CHECK(strstr(text, "held 0") || strstr(text, " 503 ") || !strcmp(text, "end") || !strcmp(text, "reset"));
        close(fd);
        on_loop(&r, fail_on_loop, SIZE_MAX);
        exchange(&r, 1);
        rig_stop(&r);
        CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
    }
}

static void a_connection_that_cannot_be_watched_is_closed(void)
{
    rig r;
    rig_start(&r, &plain, 1);
    sys_fake_script((sys_fault[]){{SYS_poll_add, .times = 1, .result = -ENOSPC}}, 1);
    check_ends(dial(&r));
    exchange(&r, 1);
    sys_fake_script(NULL, 0);
    wait_open(&r, 0);
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
    for (size_t i = 0; i < BIG; i++) big[i] = (char)(i * 31 ^ i >> 13);
    static const test_case cases[] = {
        TEST(a_connection_serves_request_after_request),
        TEST(the_handler_sees_the_call_and_the_headers),
        TEST(bodies_arrive_whole_in_every_form),
        TEST(pipelined_replies_keep_their_order),
        TEST(reading_stops_while_enough_requests_wait),
        TEST(a_client_that_reads_late_gets_everything),
        TEST(each_limit_is_answered_with_its_status),
        TEST(slow_clients_meet_their_deadlines),
        TEST(a_client_that_ended_its_side_still_gets_its_answers),
        TEST(a_client_that_goes_away_harms_nobody),
        TEST(connections_beyond_the_limit_are_told_so),
        TEST(a_steady_load_allocates_nothing),
        TEST(idle_connections_cost_little_memory_and_no_wake_ups),
        TEST(what_a_burst_leaves_in_the_pools_is_bounded),
        TEST(draining_under_load_loses_no_request),
        TEST(draining_answers_what_waits_and_ends_what_is_idle),
        TEST(what_outlasts_the_grace_is_cut_off),
        TEST(construction_survives_every_fault),
        TEST(a_port_in_use_is_refused_by_name),
        TEST(short_and_interrupted_calls_change_nothing),
        TEST(out_of_descriptors_the_server_pauses_and_goes_on),
        TEST(a_broken_socket_ends_only_its_own_connection),
        TEST(a_server_without_memory_goes_on),
        TEST(a_connection_that_cannot_be_watched_is_closed),
        TEST(a_connection_may_end_while_its_next_requests_wait),
    };
    return test_main(cases, COUNTOF(cases));
}
