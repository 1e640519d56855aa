/* What must hold for the blocking gRPC client: calls share a connection; one that the server closed is replaced; the
 * deadline ends a call; nothing leaks wherever memory or a system call fails. */
#include "fake/sys_fake.h"
#include "loopback.h"
#include "net/grpc_client.h"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SETTINGS "\0\0\0\4\0\0\0\0\0"
/* Fields without indexing, by hand: see tests/unit/test_grpc_caller.c. */
#define ANSWER(stream)                                                                              \
    "\0\0\54\1\4\0\0\0" stream "\0\7:status\3" "200" "\0\14content-type\20application/grpc"         \
    "\0\0\7\0\0\0\0\0" stream "\0\0\0\0\2hi"                                                        \
    "\0\0\17\1\5\0\0\0" stream "\0\13grpc-status\1" "0"

typedef struct {
    int listener;
    uint16_t port;
    str says[2];                    /* to each connection, at once */
    str leaves;                     /* the first, to its second question */
    pthread_t runner;
} peer;

/* A request ends with its message. */
static void hear_question(int fd)
{
    char scrap[4096];
    size_t got = 0;
    for (ssize_t n; (n = read(fd, scrap + got, sizeof scrap - got)) > 0;) {
        got += (size_t)n;
        if (memmem(scrap, got, "question", 8)) break;
    }
}

static _Atomic int first_fd;            /* the server's end of the first connection */

static void *peer_run(void *ctx)
{
    peer *p = ctx;
    for (size_t i = 0; i < COUNTOF(p->says) && p->says[i].p; i++) {
        char scrap[4096];
        int fd = accept(p->listener, NULL, NULL);
        if (fd < 0) break;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        if (i == 0) first_fd = fd;
        hear_question(fd);
        (void)!send(fd, p->says[i].p, p->says[i].len, MSG_NOSIGNAL);
        if (i == 0 && p->leaves.p) {
            hear_question(fd);
            (void)!send(fd, p->leaves.p, p->leaves.len, MSG_NOSIGNAL);
        } else if (i + 1 < COUNTOF(p->says) && p->says[i + 1].p) {
            shutdown(fd, SHUT_WR);   /* the next comes on another */
        }
        while (read(fd, scrap, sizeof scrap) > 0) {}
        first_fd = -1;
        close(fd);
    }
    return NULL;
}

static void peer_start_leaving(peer *p, str first, str leaves, str second)
{
    *p = (peer){.says = {first, second}, .leaves = leaves};
    p->listener = loopback_listen(&p->port);
    CHECK(pthread_create(&p->runner, NULL, peer_run, p) == 0);
}

static void peer_start(peer *p, str first, str second) { peer_start_leaving(p, first, (str){NULL, 0}, second); }

static void peer_join(peer *p)
{
    shutdown(p->listener, SHUT_RDWR);   /* an accept that still waits ends */
    pthread_join(p->runner, NULL);
    close(p->listener);
}

static err_code client_to(const peer *p, grpc_client **ret, err *e)
{
    char address[60];
    snprintf(address, sizeof address, "127.0.0.1:%u", p->port);
    return grpc_client_new(&(grpc_client_opts){.address = address}, ret, e);
}

static const grpc_ask ask = {.path = {"/p.S/M", 6}, .message = {"question", 8}};

static void calls_share_a_connection_that_is_replaced_when_it_closes(void)
{
    err e = {.text = ""};
    peer p;
    grpc_client *c = NULL;
    grpc_result r = {.status = -1};
    peer_start(&p, STR(SETTINGS ANSWER("\1")), STR(SETTINGS ANSWER("\1") ANSWER("\3")));
    CHECK(client_to(&p, &c, &e) == ERR_OK);
    for (size_t i = 0; i < 2; i++) {   /* the second connects anew: the first connection was closed behind its answer */
        CHECK(grpc_client_call(c, &ask, &r, &e) == ERR_OK);
        CHECK(r.status == 0 && str_is(r.message, "hi"));
    }
    grpc_client_free(c);
    peer_join(&p);
}

#define GOODBYE(stream, code) "\0\0\10\7\0\0\0\0\0" stream "\0\0\0" code

/* The first goodbye may announce the last word: its stream is the highest there is. */
static void a_call_that_a_goodbye_crosses_is_made_once_more(void)
{
    const str goodbyes[] = {STR(GOODBYE("\0\0\0\1", "\0")),
                            STR(GOODBYE("\177\377\377\377", "\0") GOODBYE("\0\0\0\1", "\0"))};
    for (size_t i = 0; i < COUNTOF(goodbyes); i++) {
        err e = {.text = ""};
        peer p;
        grpc_client *c = NULL;
        grpc_result r = {.status = -1};
        peer_start_leaving(&p, STR(SETTINGS ANSWER("\1")), goodbyes[i], STR(SETTINGS ANSWER("\1")));
        CHECK(client_to(&p, &c, &e) == ERR_OK);
        for (size_t k = 0; k < 2; k++) {
            r = (grpc_result){.status = -1};
            CHECK(grpc_client_call(c, &ask, &r, &e) == ERR_OK);
            CHECK(r.status == 0 && str_is(r.message, "hi"));
        }
        grpc_client_free(c);
        peer_join(&p);
    }
}

/* A new connection's goodbye is the answer: no server makes the client knock for ever. */
static void a_goodbye_on_a_new_connection_is_the_answer(void)
{
    err e = {.text = ""};
    peer p;
    grpc_client *c = NULL;
    grpc_result r = {.status = -1};
    peer_start(&p, STR(SETTINGS GOODBYE("\0\0\0\0", "\0")), (str){NULL, 0});
    CHECK(client_to(&p, &c, &e) == ERR_OK);
    CHECK(grpc_client_call(c, &ask, &r, &e) == ERR_OK);
    CHECK(r.status == 14 && strstr(r.text, "REFUSED_STREAM"));
    grpc_client_free(c);
    peer_join(&p);
}

#define PING "\0\0\10\6\0\0\0\0\0" "12345678"

/* It has arrived when the kernel has nothing of it left to send. */
static void one_more_ping(void)
{
    int fd = first_fd, rest = 1;
    (void)!send(fd, PING, sizeof PING - 1, MSG_NOSIGNAL);
    while (ioctl(fd, SIOCOUTQ, &rest) == 0 && rest > 0) usleep(100);
}

/* Whenever the client reads there is a frame of the first connection to read, though nothing was asked. */
static void a_server_that_talks_unasked_is_not_listened_to_for_ever(void)
{
    err e = {.text = ""};
    peer p;
    grpc_client *c = NULL;
    grpc_result r = {.status = -1};
    peer_start_leaving(&p, STR(SETTINGS ANSWER("\1")), STR(""), STR(SETTINGS ANSWER("\1")));
    CHECK(client_to(&p, &c, &e) == ERR_OK);
    CHECK(grpc_client_call(c, &ask, &r, &e) == ERR_OK);
    sys_fake_script((sys_fault[]){{SYS_recv, .times = SYS_FAKE_EVER, .result = sizeof PING - 1,
                                   .then = one_more_ping}}, 1);
    r.status = -1;
    CHECK(grpc_client_call(c, &ask, &r, &e) == ERR_OK);
    CHECK(r.status == 0 && str_is(r.message, "hi"));   /* on another connection */
    sys_fake_script(NULL, 0);
    grpc_client_free(c);
    peer_join(&p);
}

static void the_deadline_ends_a_call(void)
{
    err e;
    peer p;
    grpc_client *c = NULL;
    grpc_result r;
    char want[120];
    peer_start(&p, (str){NULL, 0}, (str){NULL, 0});   /* never accepts */
    CHECK(client_to(&p, &c, &e) == ERR_OK);
    sys_fake_clock_set(UINT64_C(5000000000));
    CHECK(grpc_client_call(c, &ask, &r, &e) == ERR_TIMEOUT);
    sys_fake_clock_set(0);
    snprintf(want, sizeof want, "127.0.0.1:%u: answer: expected it within 30000 ms", p.port);
    CHECK_STR(e.text, want);
    grpc_client_free(c);
    peer_join(&p);
}

static void a_server_of_something_else_is_told(void)
{
    err e;
    peer p;
    grpc_client *c = NULL;
    grpc_result r;
    peer_start(&p, STR("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), (str){NULL, 0});
    CHECK(client_to(&p, &c, &e) == ERR_OK);
    CHECK(grpc_client_call(c, &ask, &r, &e) == ERR_INTERNAL);
    CHECK(strstr(e.text, "expected an answer of HTTP/2"));
    grpc_client_free(c);
    peer_join(&p);
    CHECK(grpc_client_new(&(grpc_client_opts){.address = "http://h:1/x"}, &c, &e) == ERR_INVALID);
    CHECK_STR(e.text, "address: expected no path for gRPC, got '/x'");
}

static void call_once(void)
{
    err e;
    peer p;
    grpc_client *c = NULL;
    grpc_result r;
    peer_start(&p, STR(SETTINGS ANSWER("\1")), (str){NULL, 0});
    if (client_to(&p, &c, &e) == ERR_OK) {
        err_code rc = grpc_client_call(c, &ask, &r, &e);
        CHECK(rc || r.status || str_is(r.message, "hi"));
    }
    grpc_client_free(c);
    peer_join(&p);
}

static void nothing_leaks_wherever_it_fails(void)
{
    FAULT_SWEEP(call_once());
    SYS_SWEEP(-ENOMEM, call_once());
    SYS_SWEEP(-ECONNRESET, call_once());
}

int main(void)
{
    static const test_case cases[] = {
        TEST(calls_share_a_connection_that_is_replaced_when_it_closes),
        TEST(a_call_that_a_goodbye_crosses_is_made_once_more),
        TEST(a_goodbye_on_a_new_connection_is_the_answer),
        TEST(a_server_that_talks_unasked_is_not_listened_to_for_ever),
        TEST(the_deadline_ends_a_call),
        TEST(a_server_of_something_else_is_told),
        TEST(nothing_leaks_wherever_it_fails),
    };
    return test_main(cases, COUNTOF(cases));
}
