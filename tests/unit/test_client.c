/* What must hold for the blocking client: an answer comes whole through short and interrupted calls; a connection is
 * kept, and one that the server closed is replaced without a word; a request reaches the server twice only if it may;
 * one deadline and one descriptor end every wait; nothing leaks wherever memory or a system call fails. */
#include "fake/sys_fake.h"
#include "loopback.h"
#include "net/client.h"
#include "os/bell.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- a server that does as its script says; it uses the C library directly, so faults hit the client alone ---- */

typedef enum { END, ACCEPT, ASK, SAY, BIG, CLOSE, RESET } act_kind;   /* ASK: reads one request */

typedef struct {
    act_kind kind;
    const char *text;           /* of SAY */
} act;

typedef struct {
    int listener;
    uint16_t port;
    char address[120];
    const act *acts;
    pthread_t runner;
    _Atomic size_t done;        /* acts */
    char asked[8192];           /* all requests, for the test to read behind server_join() */
    size_t asked_len;
} peer;

enum { BIG_BYTES = 3 << 20 };

static void read_request(peer *p, int fd)
{
    char *from = p->asked + p->asked_len, *end = NULL;
    size_t rest = 0;
    while (!end || rest > 0) {
        char scrap[65536];
        bool head = !end;
        ssize_t n = head ? read(fd, p->asked + p->asked_len, sizeof p->asked - 1 - p->asked_len)
                         : read(fd, scrap, rest < sizeof scrap ? rest : sizeof scrap);
        if (n <= 0) return;
        if (!head) {
            rest -= (size_t)n;
            continue;
        }
        p->asked_len += (size_t)n;
        end = strstr(from, "\r\n\r\n");
        char *length = strstr(from, "Content-Length: ");
        if (!end) continue;
        size_t body = length ? strtoul(length + 16, NULL, 10) : 0, have = p->asked_len - (size_t)(end + 4 - p->asked);
        CHECK(have <= body);
        rest = body - have;
        if (body > 1000) p->asked_len = (size_t)(end + 4 - p->asked);   /* the test looks at short ones */
        p->asked[p->asked_len] = 0;
    }
}

static void say_all(int fd, const char *p, size_t n)
{
    for (ssize_t done; n > 0; p += done, n -= (size_t)done) {
        done = send(fd, p, n, MSG_NOSIGNAL);
        if (done <= 0) return;
    }
}

static void *peer_run(void *ctx)
{
    peer *p = ctx;
    int fd = -1;
    for (const act *a = p->acts; a->kind != END; a++) {
        struct linger none = {.l_onoff = 1};
        switch (a->kind) {
        case ACCEPT: fd = accept(p->listener, NULL, NULL); break;
        case ASK: read_request(p, fd); break;
        case SAY: say_all(fd, a->text, strlen(a->text)); break;
        case BIG: {
            static char zeros[BIG_BYTES];
            say_all(fd, "HTTP/1.1 200 OK\r\nContent-Length: 3145728\r\n\r\n", 44);
            say_all(fd, zeros, sizeof zeros);
            break;
        }
        case RESET: setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none); close(fd); fd = -1; break;
        case CLOSE: close(fd); fd = -1; break;
        case END: break;
        }
        atomic_fetch_add(&p->done, 1);
    }
    if (fd >= 0) {
        char c;
        while (read(fd, &c, 1) > 0) {}   /* until the client is done */
        close(fd);
    }
    return NULL;
}

static void peer_open(peer *p)
{
    memset(p, 0, sizeof *p);
    p->listener = loopback_listen(&p->port);
    snprintf(p->address, sizeof p->address, "http://127.0.0.1:%u", p->port);
}

static void peer_start(peer *p, const act *acts)
{
    p->acts = acts;
    CHECK(pthread_create(&p->runner, NULL, peer_run, p) == 0);
}

static client *client_to(const peer *p, int stop_fd)
{
    err e;
    client *c = NULL;
    CHECK(client_new(&(client_opts){.address = p->address, .stop_fd = stop_fd}, &c, &e) == ERR_OK);
    return c;
}

static void peer_join(peer *p, client *c)
{
    client_free(c);
    pthread_join(p->runner, NULL);
    close(p->listener);
}

#define OK(body_len) "HTTP/1.1 200 OK\r\nContent-Length: " body_len "\r\n\r\n"

static void get(client *c, const char *target, const char *want)
{
    err e = {.text = ""};
    client_reply reply = {.status = 0};
    char got[512];
    err_code rc = client_call(c, &(client_request){.target = str_of(target)}, &reply, &e);
    if (rc) snprintf(got, sizeof got, "%s", e.text);
    else snprintf(got, sizeof got, "%d " STR_FMT, reply.status, STR_ARG(reply.body));
    CHECK_STR(got, want);
}

/* ---- tests ---- */

static void calls_share_one_connection(void)
{
    peer p;
    peer_open(&p);
    peer_start(&p, (act[]){{ACCEPT, 0}, {ASK, 0}, {SAY, OK("2") "hi"}, {ASK, 0},
                           {SAY, "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
                           {END, 0}});
    client *c = client_to(&p, 0);
    err e;
    client_reply reply;
    get(c, "/a?b", "200 hi");
    http_header fields[] = {{STR("X-Key"), STR("v")}};
    CHECK(client_call(c, &(client_request){.target = STR("/post"), .headers = fields, .header_count = 1,
                                           .body = {STR("{\"a\":"), STR("1}")}}, &reply, &e) == ERR_OK);
    CHECK_U64((uint64_t)reply.status, 404);
    CHECK(str_is(reply.body, "abc") && reply.header_count == 1);
    peer_join(&p, c);
    char want[400];
    snprintf(want, sizeof want, "GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: proa/0.1.0\r\n\r\n"
             "POST /post HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: proa/0.1.0\r\nX-Key: v\r\n"
             "Content-Length: 7\r\n\r\n{\"a\":1}", p.port, p.port);
    CHECK_STR(p.asked, want);
}

static void a_connection_that_was_closed_is_replaced_without_a_word(void)
{
    static const act endings[][2] = {{{CLOSE, 0}}, {{RESET, 0}},
                                     {{SAY, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"}, {CLOSE, 0}}};
    for (size_t i = 0; i < COUNTOF(endings); i++) {
        peer p;
        peer_open(&p);
        peer_start(&p, (act[]){{ACCEPT, 0}, {ASK, 0}, {SAY, OK("1") "a"}, endings[i][0],
                               endings[i][1].kind ? endings[i][1] : (act){ACCEPT, 0},
                               endings[i][1].kind ? (act){ACCEPT, 0} : (act){ASK, 0},
                               endings[i][1].kind ? (act){ASK, 0} : (act){SAY, OK("1") "b"},
                               endings[i][1].kind ? (act){SAY, OK("1") "b"} : (act){END, 0}, {END, 0}});
        client *c = client_to(&p, 0);
        get(c, "/1", "200 a");
        /* The end is there before the call; the next test has it come later. */
        while (atomic_load(&p.done) < (endings[i][1].kind ? 5 : 4)) usleep(100);
        get(c, "/2", "200 b");
        peer_join(&p, c);
    }
}

/* The second request is read, and then the connection closed. */
static const act closes_on_the_second[] = {{ACCEPT, 0}, {ASK, 0}, {SAY, OK("1") "a"}, {ASK, 0}, {CLOSE, 0},
                                           {ACCEPT, 0}, {ASK, 0}, {SAY, OK("1") "b"}, {END, 0}};

static void a_request_goes_twice_only_where_it_may(void)
{
    err e;
    client_reply reply;
    peer p;
    char want[160];
    peer_open(&p);
    peer_start(&p, closes_on_the_second);
    client *c = client_to(&p, 0);
    get(c, "/1", "200 a");
    get(c, "/2", "200 b");
    peer_join(&p, c);

    for (int again = 0; again < 2; again++) {
        peer_open(&p);
        peer_start(&p, closes_on_the_second);
        c = client_to(&p, 0);
        client_request post = {.target = STR("/x"), .body = {STR("body")}, .again = again};
        get(c, "/1", "200 a");
        err_code rc = client_call(c, &post, &reply, &e);
        CHECK(rc == (again ? ERR_OK : ERR_UNAVAILABLE));
        snprintf(want, sizeof want, "127.0.0.1:%u: connection closed before the answer", p.port);
        if (!again) CHECK_STR(e.text, want);
        if (!again) get(c, "/3", "200 b");   /* the next call connects anew */
        peer_join(&p, c);
    }
}

static void a_first_connection_that_closes_is_not_tried_again(void)
{
    peer p;
    char want[160];
    peer_open(&p);
    peer_start(&p, (act[]){{ACCEPT, 0}, {ASK, 0}, {CLOSE, 0}, {END, 0}});
    client *c = client_to(&p, 0);
    snprintf(want, sizeof want, "127.0.0.1:%u: connection closed before the answer", p.port);
    get(c, "/", want);
    peer_join(&p, c);

    peer_open(&p);
    peer_start(&p, (act[]){{ACCEPT, 0}, {ASK, 0}, {SAY, OK("9") "half"}, {CLOSE, 0}, {END, 0}});
    c = client_to(&p, 0);
    snprintf(want, sizeof want, "127.0.0.1:%u: connection closed within the answer", p.port);
    get(c, "/", want);
    peer_join(&p, c);
}

static void an_answer_that_comes_before_the_whole_request_is_read(void)
{
    err e;
    peer p;
    client_reply reply;
    static char much[8 << 20];
    peer_open(&p);
    peer_start(&p, (act[]){{ACCEPT, 0}, {SAY, "HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno"}, {END, 0}});
    client *c = client_to(&p, 0);
    CHECK(client_call(c, &(client_request){.target = STR("/"), .body = {{much, sizeof much}}}, &reply, &e) == ERR_OK);
    CHECK(reply.status == 413 && str_is(reply.body, "no"));
    peer_join(&p, c);
}

static void large_bodies_pass_both_ways_through_short_and_interrupted_calls(void)
{
    err e;
    peer p;
    client_reply reply;
    static char much[2 << 20];
    peer_open(&p);
    peer_start(&p, (act[]){{ACCEPT, 0}, {ASK, 0}, {BIG, 0}, {END, 0}});
    client *c = client_to(&p, 0);
    sys_fake_script((sys_fault[]){{SYS_send, .skip = 3, .times = 2, .result = -EINTR},
                                  {SYS_send, .times = 40, .result = 100},
                                  {SYS_send, .times = 5, .result = -EAGAIN},
                                  {SYS_recv, .skip = 2, .times = 2, .result = -EINTR},
                                  {SYS_recv, .times = 100, .result = 1},
                                  {SYS_poll_wait_ns, .times = 3, .result = -EINTR}}, 6);
    CHECK(client_call(c, &(client_request){.target = STR("/"), .body = {{much, sizeof much}}}, &reply, &e) == ERR_OK);
    CHECK_U64(reply.body.len, BIG_BYTES);
    sys_fake_script(NULL, 0);
    peer_join(&p, c);
}

static void what_is_no_answer_or_too_large_is_told(void)
{
    static const struct { const char *says, *what; } rows[] = {
        {"SSH-2.0-OpenSSH\r\n", "answer: expected an HTTP/1.1 answer: Expected HTTP/"},
        {OK("99999999999"), "answer: body: expected at most 67108864 bytes, got more"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        peer p;
        char want[200];
        peer_open(&p);
        peer_start(&p, (act[]){{ACCEPT, 0}, {ASK, 0}, {SAY, rows[i].says}, {END, 0}});
        client *c = client_to(&p, 0);
        snprintf(want, sizeof want, "127.0.0.1:%u: %s", p.port, rows[i].what);
        get(c, "/", want);
        peer_join(&p, c);
    }
}

static void one_deadline_ends_the_call(void)
{
    peer p;
    char want[160];
    peer_open(&p);   /* connections wait in its backlog for ever */
    client *c = client_to(&p, 0);
    client_wait_set(c, 250000);
    sys_fake_clock_set(UINT64_C(5000000000));
    snprintf(want, sizeof want, "127.0.0.1:%u: answer: expected it within 250 ms", p.port);
    get(c, "/", want);
    get(c, "/", want);   /* and the next has all of its time again */
    client_free(c);
    close(p.listener);

    int waiting[4];
    peer_open(&p);
    CHECK(listen(p.listener, 0) == 0);   /* and when its backlog is full, the kernel lets a connection wait */
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(p.port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < COUNTOF(waiting); i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(waiting[i], (struct sockaddr *)&at, sizeof at);
    }
    c = client_to(&p, 0);
    snprintf(want, sizeof want, "127.0.0.1:%u: connection: expected it within 30000 ms", p.port);
    get(c, "/", want);
    for (size_t i = 0; i < COUNTOF(waiting); i++) close(waiting[i]);
    sys_fake_clock_set(0);
    client_free(c);
    close(p.listener);
}

static void a_bell_ends_the_call(void)
{
    err e;
    int bell;
    peer p;
    char want[160];
    CHECK(bell_open(&bell, &e) == ERR_OK);
    peer_open(&p);
    client *c = client_to(&p, bell);
    bell_ring(bell);
    snprintf(want, sizeof want, "127.0.0.1:%u: connection: stopped", p.port);
    get(c, "/", want);
    client_free(c);
    close(p.listener);
    bell_close(bell);
}

static void a_unix_socket_serves_as_well(void)
{
    peer p;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memset(&p, 0, sizeof p);
    snprintf(at.sun_path, sizeof at.sun_path, "/tmp/proa-test-client-%d.sock", (int)getpid());
    snprintf(p.address, sizeof p.address, "unix:%s", at.sun_path);
    unlink(at.sun_path);
    p.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(p.listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(p.listener, 4) == 0);
    peer_start(&p, (act[]){{ACCEPT, 0}, {ASK, 0}, {SAY, OK("2") "hi"}, {END, 0}});
    client *c = client_to(&p, 0);
    CHECK_STR(client_address(c), p.address);
    get(c, "/x", "200 hi");
    peer_join(&p, c);
    CHECK_STR(p.asked, "GET /x HTTP/1.1\r\nHost: localhost\r\nUser-Agent: proa/0.1.0\r\n\r\n");
    unlink(at.sun_path);
    err e;
    c = client_to(&p, 0);
    client_reply reply;
    CHECK(client_call(c, &(client_request){.target = STR("/")}, &reply, &e) == ERR_NOT_FOUND);
    client_free(c);
}

static void what_cannot_be_asked_is_refused_before_it_is_sent(void)
{
    err e;
    client_reply reply;
    peer p;
    static char path[3000];
    static http_header many[65];
    peer_open(&p);
    client *c = client_to(&p, 0);
    memset(path, '/', sizeof path);
    CHECK(client_call(c, &(client_request){.target = {path, sizeof path}}, &reply, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "path: expected at most 2048 bytes, got 3000");
    client_request full = {.target = STR("/"), .headers = many, .header_count = 65};
    CHECK(client_call(c, &full, &reply, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "headers: expected at most 64, got 65");
    client_free(c);
    close(p.listener);
}

static void calls_once(const act *acts)
{
    err e;
    peer p;
    client *c = NULL;
    client_reply reply;
    peer_open(&p);
    peer_start(&p, acts);
    if (client_new(&(client_opts){.address = p.address}, &c, &e) == ERR_OK) {
        err_code rc = client_call(c, &(client_request){.target = STR("/")}, &reply, &e);
        CHECK(rc != ERR_OK || str_is(reply.body, "hi"));
        if (rc) CHECK(strlen(e.text) > 0);
    }
    client_free(c);
    shutdown(p.listener, SHUT_RDWR);   /* an accept that still waits ends */
    pthread_join(p.runner, NULL);
    close(p.listener);
}

static void nothing_leaks_wherever_it_fails(void)
{
    static const act acts[] = {{ACCEPT, 0}, {ASK, 0}, {SAY, OK("2") "hi"}, {END, 0}};
    FAULT_SWEEP(calls_once(acts));
    SYS_SWEEP(-ENOMEM, calls_once(acts));
    SYS_SWEEP(-ECONNRESET, calls_once(acts));
}

int main(void)
{
    static const test_case cases[] = {
        TEST(calls_share_one_connection),
        TEST(a_connection_that_was_closed_is_replaced_without_a_word),
        TEST(a_request_goes_twice_only_where_it_may),
        TEST(a_first_connection_that_closes_is_not_tried_again),
        TEST(an_answer_that_comes_before_the_whole_request_is_read),
        TEST(large_bodies_pass_both_ways_through_short_and_interrupted_calls),
        TEST(what_is_no_answer_or_too_large_is_told),
        TEST(one_deadline_ends_the_call),
        TEST(a_bell_ends_the_call),
        TEST(a_unix_socket_serves_as_well),
        TEST(what_cannot_be_asked_is_refused_before_it_is_sent),
        TEST(nothing_leaks_wherever_it_fails),
    };
    return test_main(cases, COUNTOF(cases));
}
