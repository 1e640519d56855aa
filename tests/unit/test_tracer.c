/* Who samples decides, a share of the rest is traced; there are so many places and no more, and what finds none is
 * counted; a collector that is not there costs spans and nothing else, at the end of the server, too. */
#include "serve/tracer.h"
#include "fake/sys_fake.h"
#include "net/conn_tls.h"
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <unistd.h>

/* Nobody listens on it. */
#define NOWHERE "http://127.0.0.1:1"

static tracer *start(double share)
{
    tracer *t = NULL;
    err e;
    const tracer_opts o = {.endpoint = NOWHERE, .service = STR("s"), .share = share, .lanes = 2, .seed = 1};
    CHECK(tracer_new(&t, &o, &e) == ERR_OK);
    return t;
}

static const trace_context none;

static traced *begin(tracer *t, uint32_t lane, const trace_context *from, bool root)
{
    http_call call = {.request_id = STR("id")};
    const http_request req = {.method = STR("POST"), .path = STR("/v2/models/m/infer")};
    return traced_begin(tracer_lane_at(t, lane), &call, &req, from, root);
}

static void the_caller_decides_and_else_a_share(void)
{
    trace_context yes = {.valid = true, .sampled = true, .flags = 1}, no = {.valid = true};
    tracer *t = start(0), *half = start(0.5);
    traced *open[200];
    size_t count = 0;
    CHECK(!begin(t, 0, &none, true) && !begin(t, 0, &no, true));
    traced *one = begin(t, 1, &yes, false);
    CHECK(one);
    traced_end(one, false, 200, NULL);
    for (int i = 0; i < 200; i++)
        if ((open[count] = begin(half, 0, &none, true))) count++;
    CHECK(count > 50 && count < 150);
    CHECK(!begin(half, 0, &none, false));
    for (size_t i = 0; i < count; i++) traced_end(open[i], true, 0, NULL);
    tracer_free(t);
    tracer_free(half);
}

static void of_nothing_nothing_is_traced(void)
{
    tracer_stats stats = {.sent = 1};
    CHECK(!tracer_lane_at(NULL, 3) && !begin(NULL, 0, &none, true));
    traced_infer(NULL, NULL);
    traced_end(NULL, false, 200, NULL);
    tracer_stats_read(NULL, &stats);
    CHECK(!stats.sent && !stats.dropped && !stats.failed);
    tracer_free(NULL);
}

static void places_are_bounded_and_what_finds_none_is_counted(void)
{
    static traced *open[TRACER_PLACES];
    tracer *t = start(1);
    tracer_stats stats;
    for (size_t i = 0; i < TRACER_PLACES; i++) CHECK((open[i] = begin(t, 0, &none, true)) != NULL);
    for (size_t i = 0; i < 3; i++) CHECK(!begin(t, 0, &none, true));
    traced *other = begin(t, 1, &none, true);   /* a loop has its own */
    CHECK(other);
    tracer_stats_read(t, &stats);
    CHECK_U64(stats.dropped, 3);
    for (size_t i = 0; i < TRACER_PLACES; i++) traced_end(open[i], false, i % 2 ? 200 : 500, i % 2 ? NULL : "failed");
    traced_end(other, true, 13, "internal");
    tracer_free(t);   /* says what it can: the collector refuses at once */
}

static uint64_t tracer_sent(const tracer *t)
{
    tracer_stats stats;
    tracer_stats_read(t, &stats);
    return stats.sent;
}

/* ---- a collector of one batch ---- */

typedef struct {
    int listener;
    char endpoint[60], got[16384];
    size_t len;
    pthread_t runner;
} collector;

static void *collect(void *ctx)
{
    static const char taken[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    collector *c = ctx;
    const char *head = NULL, *length = NULL;
    int fd = accept(c->listener, NULL, NULL);
    for (ssize_t n; (n = read(fd, c->got + c->len, sizeof c->got - 1 - c->len)) > 0;) {
        c->len += (size_t)n;
        head = memmem(c->got, c->len, "\r\n\r\n", 4);
        length = head ? memmem(c->got, c->len, "Content-Length: ", 16) : NULL;
        if (length && c->got + c->len >= head + 4 + strtol(length + 16, NULL, 10)) break;
    }
    (void)!send(fd, taken, sizeof taken - 1, MSG_NOSIGNAL);
    while (read(fd, (char[64]){0}, 64) > 0) {}
    close(fd);
    return NULL;
}

static void collector_start(collector *c)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    *c = (collector){.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    CHECK(bind(c->listener, (struct sockaddr *)&at, len) == 0 && listen(c->listener, 4) == 0);
    CHECK(getsockname(c->listener, (struct sockaddr *)&at, &len) == 0);
    snprintf(c->endpoint, sizeof c->endpoint, "http://127.0.0.1:%u", ntohs(at.sin_port));
    CHECK(pthread_create(&c->runner, NULL, collect, c) == 0);
}

static void a_span_tells_tls_from_cleartext(void)
{
    static collector to;
    conn_tls wrapping = {.counted = false};
    conn c = {.tls = NULL};
    const http_request req = {.method = STR("GET"), .path = STR("/v2")};
    for (int secure = 0; secure < 2; secure++) {
        tracer *t = NULL;
        err e;
        http_call call = {.from = &c, .request_id = STR("id")};
        collector_start(&to);
        const tracer_opts o = {.endpoint = to.endpoint, .service = STR("s"), .share = 1, .lanes = 1, .seed = 1};
        sys_fake_clock_hold(UINT64_C(5000000000));   /* waiting for the collector takes no time */
        CHECK(tracer_new(&t, &o, &e) == ERR_OK);
        c.tls = secure ? &wrapping : NULL;
        traced *one = traced_begin(tracer_lane_at(t, 0), &call, &req, &none, true);
        CHECK(one);
        call.from = NULL;   /* the client may leave before the end */
        traced_end(one, false, 200, NULL);
        while (tracer_sent(t) == 0) usleep(100);
        sys_fake_clock_set(0);
        tracer_free(t);
        pthread_join(to.runner, NULL);
        close(to.listener);
        CHECK(memmem(to.got, to.len, "url.scheme", 10));
        CHECK((memmem(to.got, to.len, "https", 5) != NULL) == (secure == 1));
    }
}

static void construction_survives_every_failed_allocation(void)
{
    err e;
    const tracer_opts o = {.endpoint = NOWHERE, .service = STR("s"), .share = 1, .lanes = 2, .seed = 1};
    FAULT_SWEEP({
        tracer *t = NULL;
        if (tracer_new(&t, &o, &e) == ERR_OK) tracer_free(t);
        else CHECK(e.code == ERR_NOMEM);
    });
}

static void a_wrong_endpoint_is_refused(void)
{
    tracer *t = NULL;
    err e;
    CHECK(tracer_new(&t, &(tracer_opts){.endpoint = "ftp://x:4318", .service = STR("s"), .lanes = 1}, &e) != ERR_OK);
    CHECK(!t && e.text[0]);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(the_caller_decides_and_else_a_share),
        TEST(of_nothing_nothing_is_traced),
        TEST(places_are_bounded_and_what_finds_none_is_counted),
        TEST(a_span_tells_tls_from_cleartext),
        TEST(construction_survives_every_failed_allocation),
        TEST(a_wrong_endpoint_is_refused),
    };
    return test_main(cases, COUNTOF(cases));
}
