/* ramp.c PORT REST GRPC < INSTANTS > ANSWERS - an open loop: requests at given instants, whatever became of others.
 *
 * INSTANTS: microseconds from the start, one a line, ascending.  The first and every other one go by REST, the rest by
 * gRPC, each over a connection of its own until it is answered.  REST: a file with a whole request of HTTP/1, head and
 * body; GRPC: a file with a ModelInferRequest.  ANSWERS: a line for each request, "rest|grpc INSTANT LATENCY LATE
 * STATUS".  The latency counts from the instant that was asked for, so that neither a server nor this program, which
 * was LATE by so much, hides a wait.  STATUS is HTTP's; 200, 429 and 1000 + N for gRPC's 0, RESOURCE_EXHAUSTED and N.
 * At the end "cpu MICROSECONDS", its own.  One thread.  Exit status 1: a connection was cut, or nothing came for
 * IDLE_US_MAX. */
#include "base/mem.h"
#include "os/clock.h"
#include "os/poll.h"
#include "os/sock.h"
#include "wire/grpc_caller.h"
#include "wire/http1_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum {
    LINES_MAX = 600,           /* of each way: together more than a queue's default limit */
    REQUESTS_MAX = 4000000,
    IDLE_US_MAX = 30000000,
    ANSWER_BYTES_MAX = 1 << 20,
    READ_BYTES = 64 << 10
};

typedef enum { REST, GRPC, WAYS } way;
static const char *const way_names[WAYS] = {"rest", "grpc"};

typedef struct {
    uint32_t latency_us, late_us;
    int status;
} outcome;

/* A connection: for one request at a time. */
typedef struct line line;
struct line {
    way way;
    int fd;
    line *next;                /* among the idle */
    size_t request;            /* that is under way */
    bool blocked;              /* it waits for room, too */
    str rest;                  /* of a request by REST that is not sent */
    http_message message;
    http1_answer answer;
    grpc_caller *caller;
};

static struct {
    sock_addr server;
    int poll;
    buf bodies[WAYS];          /* what is sent */
    uint64_t start_us, *at_us; /* when */
    outcome *outcomes;
    size_t count, sent, done;
    line lines[WAYS][LINES_MAX], *idle[WAYS];
} run;

static const http1_answer_limits limits = {64 << 10, 64, ANSWER_BYTES_MAX};

_Noreturn static void fail(const char *what, const char *why)
{
    fprintf(stderr, "ramp: %s: %s\n", what, why);
    exit(1);
}

static void check(err_code rc, const char *what, const err *e)
{
    if (rc) fail(what, e->text);
}

/* ---- what is given --------------------------------------------------------------------------------------------- */

static void read_file(buf *ret, const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t piece[4096];
    buf_init(ret, 64 << 20);
    if (!f) fail(path, "cannot be opened");
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;) buf_put(ret, piece, n);
    fclose(f);
    if (ret->full) fail(path, "is too large");
}

static void read_instants(void)
{
    run.at_us = mem_new0(uint64_t, REQUESTS_MAX);
    if (!run.at_us) fail("instants", "no memory");
    while (run.count < REQUESTS_MAX && scanf("%" SCNu64, &run.at_us[run.count]) == 1) run.count++;
    if (run.count == 0 || run.count == REQUESTS_MAX) fail("instants", "expected some, and fewer than 4,000,000");
    run.outcomes = mem_new0(outcome, run.count);
    if (!run.outcomes) fail("instants", "no memory");
}

/* ---- connections ----------------------------------------------------------------------------------------------- */

static void open_line(line *l, way w)
{
    err e;
    uint32_t got = 0;
    poll_event events[POLL_BATCH_MAX];
    *l = (line){.way = w, .next = run.idle[w]};
    check(sock_connect(&run.server, &l->fd, &e), "connect", &e);
    check(poll_add(run.poll, l->fd, POLL_WRITE, l, &e), "connect", &e);
    for (size_t n = 0; !got; got = n ? events[0].events : 0)
        check(poll_wait(run.poll, events, IDLE_US_MAX, &n, &e), "connect", &e);
    check(sock_connected(l->fd, &run.server, &e), "connect", &e);
    poll_change(run.poll, l->fd, POLL_READ, l);
    http_message_init(&l->message);
    if (w == GRPC && !(l->caller = grpc_caller_new(ANSWER_BYTES_MAX))) fail("gRPC", "no memory");
    run.idle[w] = l;
}

/* Of what is to be sent: false = there is no room, or nothing is left. */
static bool send_some(line *l)
{
    buf *out = l->caller ? grpc_caller_out(l->caller) : NULL;
    if (out && out->len == 0) grpc_caller_pump(l->caller);
    const str bytes = out ? buf_str(out) : l->rest;
    const struct iovec v = {(void *)(uintptr_t)bytes.p, bytes.len};
    size_t n = 0;
    if (bytes.len == 0) return false;
    sock_io io = sock_write(l->fd, &v, 1, &n);
    if (io != SOCK_DONE && io != SOCK_AGAIN) fail(way_names[l->way], "the server ended a connection");
    if (out) buf_drop(out, n);
    else l->rest = (str){bytes.p + n, bytes.len - n};
    return io == SOCK_DONE;
}

static void flush(line *l)
{
    while (send_some(l)) {}
    bool blocked = l->caller ? grpc_caller_out(l->caller)->len > 0 : l->rest.len > 0;
    if (blocked != l->blocked) poll_change(run.poll, l->fd, blocked ? POLL_READ | POLL_WRITE : POLL_READ, l);
    l->blocked = blocked;
}

/* ---- requests -------------------------------------------------------------------------------------------------- */

static void ask(line *l, size_t request, uint64_t now_us)
{
    err e;
    const str body = buf_str(&run.bodies[l->way]);
    l->request = request;
    run.outcomes[request].late_us = (uint32_t)(now_us - run.at_us[request]);
    if (l->way == REST) {
        l->rest = body;
        http_message_clear(&l->message);
        http1_answer_init(&l->answer, &limits, &l->message, false);
    } else {
        const grpc_ask a = {.authority = STR("ramp"),
                            .path = STR("/inference.GRPCInferenceService/ModelInfer"),
                            .message = body};
        check(grpc_caller_begin(l->caller, &a, &e), "gRPC", &e);
    }
    flush(l);
}

/* All that are due and find a line. */
static void ask_due(void)
{
    for (uint64_t now_us; run.sent < run.count; run.sent++) {
        line **idle = &run.idle[run.sent % WAYS], *l = *idle;
        now_us = clock_now_us() - run.start_us;
        if (!l || run.at_us[run.sent] > now_us) return;
        *idle = l->next;
        ask(l, run.sent, now_us);
    }
}

static void answered(line *l, int status, uint64_t now_us)
{
    outcome *o = &run.outcomes[l->request];
    o->latency_us = (uint32_t)(now_us - run.at_us[l->request]);
    o->status = status;
    l->next = run.idle[l->way];
    run.idle[l->way] = l;
    run.done++;
}

static int grpc_status(const grpc_caller *c)
{
    enum { GRPC_EXHAUSTED = 8 };
    int status = grpc_caller_result(c).status;
    return status == 0 ? 200 : status == GRPC_EXHAUSTED ? 429 : 1000 + status;
}

static void take(line *l, const uint8_t *data, size_t len, uint64_t now_us)
{
    err e;
    size_t used;
    http_refusal why;
    if (l->way == GRPC) {
        bool over = grpc_caller_over(l->caller);
        check(grpc_caller_feed(l->caller, data, len, &e), "gRPC", &e);
        if (!over && grpc_caller_over(l->caller)) answered(l, grpc_status(l->caller), now_us);
        if (grpc_caller_over(l->caller) && !grpc_caller_usable(l->caller)) fail("gRPC", "the server said goodbye");
        flush(l);
        return;
    }
    http1_answer_event got = http1_answer_feed(&l->answer, data, len, &used, &why);
    if (got == HTTP1_ANSWER_REFUSED) fail("REST", why.text);
    if (got == HTTP1_ANSWER_WHOLE) answered(l, http1_answer_status(&l->answer), now_us);
}

static void handle(const poll_event *event)
{
    static uint8_t bytes[READ_BYTES];
    line *l = event->owner;
    size_t n;
    if (event->events & POLL_WRITE) flush(l);
    if (!(event->events & (POLL_READ | POLL_HANGUP))) return;
    sock_io io = sock_read(l->fd, bytes, sizeof bytes, &n);
    if (io == SOCK_DONE) take(l, bytes, n, clock_now_us() - run.start_us);
    else if (io != SOCK_AGAIN) fail(way_names[l->way], "the server ended a connection");
}

static uint64_t until_next_us(void)
{
    if (run.sent == run.count || !run.idle[run.sent % WAYS]) return IDLE_US_MAX;
    uint64_t now_us = clock_now_us() - run.start_us, at_us = run.at_us[run.sent];
    return at_us > now_us ? at_us - now_us : 0;
}

static void replay(void)
{
    err e;
    poll_event events[POLL_BATCH_MAX];
    run.start_us = clock_now_us();
    while (run.done < run.count) {
        size_t n;
        ask_due();
        uint64_t wait_us = until_next_us();
        check(poll_wait(run.poll, events, wait_us, &n, &e), "wait", &e);
        if (n == 0 && wait_us == IDLE_US_MAX) fail("wait", "nothing came for so long");
        for (size_t i = 0; i < n; i++) handle(&events[i]);
    }
}

static void print(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    for (size_t i = 0; i < run.count; i++) {
        const outcome *o = &run.outcomes[i];
        printf("%s %" PRIu64 " %u %u %d\n", way_names[i % WAYS], run.at_us[i], o->latency_us, o->late_us, o->status);
    }
    printf("cpu %" PRIu64 "\n", (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
                                     (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec));
}

int main(int argc, char **argv)
{
    err e;
    if (argc != 4) fail("usage", "ramp PORT REST GRPC < INSTANTS > ANSWERS");
    check(sock_addr_parse(&run.server, "127.0.0.1", (uint16_t)strtoul(argv[1], NULL, 10), &e), argv[1], &e);
    check(poll_open(&run.poll, &e), "poll", &e);
    for (int w = 0; w < WAYS; w++) read_file(&run.bodies[w], argv[2 + w]);
    read_instants();
    for (int w = 0; w < WAYS; w++)
        for (size_t i = 0; i < LINES_MAX; i++) open_line(&run.lines[w][i], (way)w);
    for (size_t i = 0; i < LINES_MAX; i++) flush(&run.lines[GRPC][i]);
    replay();
    print();
    return 0;
}
