/* server_rig.h - a server in threads of its own, with a handler that does what the path says, and a client.
 *
 * For the tests of net/: included once by each.  /echo gives the body back, /query the query, /big BIG bytes,
 * /hold waits for release(), /error a 404, /info what the call says of itself.  The client is blocking and
 * uses the C library directly, so scripts of faults hit the server alone. */
#ifndef TESTS_SERVER_RIG_H
#define TESTS_SERVER_RIG_H
#include "fake/sys_fake.h"
#include "net/listeners.h"
#include "net/server.h"
#include "os/thread.h"
#include "test.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { HELD_MAX = 4096, LOOPS_MAX = 2, BIG = 4 << 20 };
#define CLOCK_START_NS (3600 * UINT64_C(1000000000))   /* where a held clock begins */

/* ---- the server under test: loops in threads, a handler that does what the path says ---- */

typedef struct {
    loop *loops[LOOPS_MAX];
    thread threads[LOOPS_MAX];
    size_t loop_count;
    server *server;
    http_call *held[HELD_MAX];          /* loop 0 only */
    size_t held_count;
    uint64_t last_id;
    _Atomic size_t holding, handled, gone, drained, handled_on[LOOPS_MAX];
} rig;

static char big[BIG];   /* rig_start() fills it */
static tls_context *rig_tls;   /* of the next server; NULL = it speaks none */
static bool rig_cleartext;
static const char *rig_path;    /* of a Unix socket to listen at instead of 127.0.0.1 */
static void (*rig_rested)(void *ctx, loop *on, bool last);   /* of the next server */

static inline void handle(void *ctx, http_call *call, const http_request *req)
{
    rig *r = ctx;
    atomic_fetch_add(&r->handled, 1);
    atomic_fetch_add(&r->handled_on[http_call_loop(call) != r->loops[0]], 1);
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
        was.value = http_header_find(req->headers, req->header_count, "x-is");
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

static inline void run_loop(void *ctx)
{
    err e;
    CHECK(loop_run(ctx, &e) == ERR_OK);
}

/* Any free port if 0; NULL when a fault that the test planned stops it. */
static inline listeners *listen_here(const char *ip, uint16_t port, size_t sockets, err *e)
{
    CLEANUP(listeners) listeners *l = NULL;
    sock_addr a;
    const listeners_opts opts = {.addr = &a, .sockets = sockets, .mode = 0600};
    if (rig_path ? sock_addr_unix(&a, rig_path, e) : sock_addr_parse(&a, ip, port, e)) return NULL;
    if (listeners_new(&l, e) || listeners_open(l, &opts, e)) return NULL;
    return TAKE(l);
}

static inline void rig_start_with(rig *r, const http_limits *limits, size_t loops, http_handler *handler,
                                  http_begin *begin)
{
    err e;
    *r = (rig){.loop_count = loops};
    for (size_t i = 0; i < BIG && big[1] == 0; i++) big[i] = (char)((i * 31) ^ (i >> 13));
    for (size_t i = 0; i < loops; i++) CHECK(loop_new(&r->loops[i], i, &e) == ERR_OK);
    const server_opts opts = {.at = listen_here("127.0.0.1", 0, loops, &e), .loops = r->loops, .loop_count = loops,
                              .limits = *limits, .handler = handler, .begin = begin, .ctx = r,
                              .tls = rig_tls, .cleartext = rig_cleartext, .rested = rig_rested};
    CHECK(server_new(&r->server, &opts, &e) == ERR_OK);
    for (size_t i = 0; i < loops; i++) CHECK(thread_start(&r->threads[i], "loop", run_loop, r->loops[i], &e) == ERR_OK);
}

static inline void rig_start(rig *r, const http_limits *limits, size_t loops)
{
    rig_start_with(r, limits, loops, handle, NULL);
}

static inline uint16_t rig_port(const rig *r)
{
    return sock_addr_port(listeners_at(server_listeners(r->server), 0));
}

static inline void note_drained(void *ctx) { atomic_fetch_add(&((rig *)ctx)->drained, 1); }

static inline void wait_drained(rig *r)
{
    for (int i = 0; i < 50000 && !atomic_load(&r->drained); i++) usleep(100);
    CHECK_U64(atomic_load(&r->drained), 1);
}

typedef struct {
    loop_msg msg;
    rig *of;
    void (*run)(rig *r, size_t arg);
    size_t arg;
    _Atomic bool done;
} errand;

static inline void run_errand(loop *on, loop_msg *m)
{
    errand *a = (errand *)(void *)m;
    (void)on;
    a->run(a->of, a->arg);
    atomic_store(&a->done, true);
}

/* Runs `run` on a loop and waits for it. */
static inline void on_loop_of(rig *r, size_t which, void (*run)(rig *r, size_t arg), size_t arg)
{
    errand a = {.msg.run = run_errand, .of = r, .run = run, .arg = arg};
    loop_post(r->loops[which], &a.msg);
    while (!atomic_load(&a.done)) usleep(100);
}

static inline void on_loop(rig *r, void (*run)(rig *r, size_t arg), size_t arg) { on_loop_of(r, 0, run, arg); }

static inline void nothing(rig *r, size_t arg)
{
    (void)r;
    (void)arg;
}

static inline void move_clock(rig *r, size_t us)
{
    uint64_t now = 0;
    (void)r;
    CHECK(sys_clock_ns(CLOCK_MONOTONIC, &now) == 0);
    sys_fake_clock_set(now + us * 1000u);
}

/* Loop 0 has seen what the clients sent, and done what it could: the errand may come before the sockets. */
static inline void catch_up(rig *r)
{
    for (int turns = 0; turns < 2; turns++) on_loop(r, nothing, 0);
}

/* Under sys_fake_clock_hold(): loop 0 sees what the clients have sent, `us` pass, and it does what is due then. */
static inline void pass_time(rig *r, uint64_t us)
{
    catch_up(r);
    on_loop(r, move_clock, us);
    catch_up(r);
}

/* Under sys_fake_clock_hold(): all loops do what is due then. */
static inline void pass_time_everywhere(rig *r, uint64_t us)
{
    for (size_t k = 0; k < 2 * r->loop_count; k++) on_loop_of(r, k / 2, nothing, 0);
    pass_time(r, us);
    for (size_t k = 0; k < 2 * r->loop_count; k++) on_loop_of(r, k / 2, nothing, 0);
}

static inline void stop_loop(loop *on, loop_msg *m)
{
    (void)m;
    loop_stop(on);
}

/* Whatever happened before: what is counted as open ends with the last connection. */
static inline void rig_stop(rig *r)
{
    loop_msg stop[LOOPS_MAX];
    server_stats stats;
    for (size_t i = 0; i < r->loop_count; i++) {
        stop[i] = (loop_msg){.run = stop_loop};
        loop_post(r->loops[i], &stop[i]);
        thread_join(&r->threads[i]);
    }
    server_abort(r->server);
    server_stats_read(r->server, &stats);
    CHECK_U64(stats.open, 0);
    CHECK_U64(stats.http2_open, 0);
    CHECK_U64(stats.streams_open, 0);
    server_free(r->server);
    for (size_t i = 0; i < r->loop_count; i++) loop_free(r->loops[i]);
}

/* Answers held call `index` with its number as the body. */
static inline void release(rig *r, size_t index)
{
    char text[32];
    int n = snprintf(text, sizeof text, "held %zu", index);
    if (http_call_gone(r->held[index])) atomic_fetch_add(&r->gone, 1);
    http_reply(r->held[index], &(http_response){.status = 200, .body = {{text, (size_t)n}}});
}

static inline void wait_holding(rig *r, size_t count)
{
    for (int i = 0; i < 50000 && atomic_load(&r->holding) < count; i++) usleep(100);
    CHECK_U64(atomic_load(&r->holding), count);
}

/* ---- the client ---- */

static inline int dial(const rig *r)
{
    const sock_addr *to = listeners_at(server_listeners(r->server), 0);
    int fd = socket(to->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 10};
    if (!rig_path)   /* no test waits for an ACK */
        CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    if (connect(fd, (const struct sockaddr *)&to->to, to->len) == 0) return fd;
    close(fd);
    return -1;
}

static inline void say_bytes(int fd, const void *bytes, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t sent = send(fd, (const char *)bytes + at, n - at, MSG_NOSIGNAL);
        if (sent <= 0) return;   /* the server may close first: what it answered shows */
        at += (size_t)sent;
    }
}

static inline void say(int fd, const char *z) { say_bytes(fd, z, strlen(z)); }

/* One reply without its Date, "end" at the end of the stream, "reset" when it broke. */
typedef struct {
    char text[2000];      /* head and the first bytes of the body */
    size_t body_bytes;
    char *body;           /* all of it; the next hear() reuses it */
} reply;

static inline bool hear_head(int fd, reply *r, size_t *ret_n)
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

static inline const char *hear(int fd, reply *r)
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
            snprintf(r->text + n, sizeof r->text - n, got ? "(reset)" : "(cut)");
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

static inline void check_status(int fd, const char *want)
{
    reply r;
    hear(fd, &r);
    bool whole = strncmp(r.text, "HTTP/1.1 ", 9) == 0 && strlen(r.text) > 12;
    if (whole) r.text[12] = 0;
    CHECK_STR(whole ? r.text + 9 : r.text, want);
}

static inline void check_ends(int fd)
{
    reply r;
    CHECK_STR(hear(fd, &r), "end");
    close(fd);
}

static inline void hang_up(int fd)
{
    CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger)) == 0);
    close(fd);   /* with RST */
}

static inline size_t heap_bytes(void) { return mallinfo2().uordblks + mallinfo2().hblkhd; }

/* Every loop comes to rest, with no more to do than a deadline that is far away. */
static inline bool sleeps(const rig *r) { return sys_fake_await_asleep(r->loop_count, UINT64_C(1000000000)); }

static inline void wait_open(const rig *r, uint64_t count)
{
    server_stats stats = {.open = UINT64_MAX};
    for (int i = 0; i < 50000 && stats.open != count; i++) {
        server_stats_read(r->server, &stats);
        if (stats.open != count) usleep(100);
    }
    CHECK_U64(stats.open, count);
}

/* The kernel says which loop accepts: asked until it is that one. */
static inline int dial_on(rig *r, size_t which)
{
    for (reply got;;) {
        size_t before = atomic_load(&r->handled_on[which]);
        int fd = dial(r);
        say(fd, ECHO "Content-Length: 1\r\n\r\nx");
        hear(fd, &got);
        if (atomic_load(&r->handled_on[which]) > before) return fd;
        close(fd);
    }
}

static inline void exchange(rig *r, int rounds)
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

static const http_limits plain = {.line_bytes_max = 0};   /* the defaults */

#endif
