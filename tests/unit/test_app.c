/* The server starts whole or not at all; SIGTERM turns readiness first, still takes what comes during the notice,
 * answers what it has, then ends; a second signal waits for nobody; nothing is left behind either way. */
#include "serve/app.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/thread.h"
#include "serve_rig.h"
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static char twice_path[64], slow_path[64];
static arena memory;
static const service nobody;   /* no service manager */

static conf *config(const char *notice_ms)
{
    static conf c;
    err e;
    arena_fini(&memory);
    arena_init(&memory, NULL, 0, 1 << 20);
    CHECK(conf_init(&c, &memory, &e) == ERR_OK);
    CHECK(conf_set(&c, "t", STR("port"), STR("0"), &e) == ERR_OK);
    CHECK(conf_set(&c, "t", STR("loops"), STR("2"), &e) == ERR_OK);
    CHECK(conf_set(&c, "t", STR("threads"), STR("2"), &e) == ERR_OK);
    CHECK(conf_set(&c, "t", STR("drain-notice-ms"), str_of(notice_ms), &e) == ERR_OK);
    CHECK(conf_model_add(&c, "t", STR("m"), str_of(twice_path), &e) == ERR_OK);
    CHECK(conf_model_add(&c, "t", STR("slow"), str_of(slow_path), &e) == ERR_OK);
    return &c;
}

/* ---- a server in a thread ---- */

typedef struct {
    app *app;
    thread thread;
    err_code code;
    err failure;
    _Atomic bool ended;
} running;

static void run(void *ctx)
{
    running *r = ctx;
    r->code = app_run(r->app, &r->failure);
    atomic_store(&r->ended, true);
}

static void start(running *r, const conf *c)
{
    err e;
    *r = (running){.app = NULL};
    bool made = app_new(&r->app, c, &nobody, NULL, &e) == ERR_OK;
    INVARIANT(made);
    CHECK(thread_start(&r->thread, "app", run, r, &e) == ERR_OK);
}

static void end(running *r)
{
    thread_join(&r->thread);
    CHECK(r->code == ERR_OK);
    app_free(r->app);
}

static int dial(const running *r)
{
    uint16_t port = sock_addr_port(listeners_at(app_listeners(r->app), 0));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 120};   /* for a server that is broken, under an emulator as well */
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    close(fd);
    return -1;
}

static void say(int fd, const char *text)
{
    CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

/* The status and the body of the next answer, or "end". */
static const char *hear(int fd)
{
    static char got[4096], text[4200];
    size_t n = 0;
    char *body = NULL;
    for (;;) {
        ssize_t k = recv(fd, got + n, sizeof got - 1 - n, 0);
        if (k <= 0) return "end";
        n += (size_t)k;
        got[n] = 0;
        body = strstr(got, "\r\n\r\n");
        const char *length = strstr(got, "Content-Length: ");
        uint64_t want = 0;
        if (!body || !length) continue;
        str digits = {length + 16, strcspn(length + 16, "\r")};
        CHECK(str_u64(digits, &want));
        if (strlen(body + 4) >= want) break;
    }
    snprintf(text, sizeof text, "%.3s %s%s", got + 9, body + 4, strstr(got, "Connection: close") ? " (close)" : "");
    return text;
}

/* Until the slow model runs, or has run. */
static void await_slow(const running *r)
{
    static char got[1 << 17];
    for (bool begun = false; !begun;) {
        int fd = dial(r);
        say(fd, "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        size_t n = 0;
        for (ssize_t k = 1; k > 0; n += (size_t)k) {
            k = recv(fd, got + n, sizeof got - 1 - n, 0);
            if (k < 0) k = 0;
        }
        got[n] = 0;
        close(fd);
        begun = strstr(got, "proa_inference_running{model_name=\"slow\",model_version=\"1\"} 1") ||
                !strstr(got, "proa_inference_success_total{model_name=\"slow\",model_version=\"1\"} 0");
        if (!begun) usleep(1000);
    }
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define PREDICT "POST /v1/models/m:predict HTTP/1.1\r\nHost: h\r\nContent-Length: 21\r\n\r\n{\"instances\":[[1,2]]}"
#define SLOW "POST /v1/models/slow:predict HTTP/1.1\r\nHost: h\r\nContent-Length: 17\r\n\r\n{\"instances\":[0]}"

static void readiness_turns_first_and_new_connections_are_still_served(void)
{
    running r;
    arena_fini(&memory);
    long live = mem_live();
    start(&r, config("3000"));
    int old = dial(&r);
    CHECK(kill(getpid(), SIGPIPE) == 0);   /* means nothing */
    say(old, GET("/readyz"));
    CHECK_STR(hear(old), "200 ok");
    CHECK(kill(getpid(), SIGTERM) == 0);
    for (int i = 0; i < 1000; i++) {
        say(old, GET("/readyz"));
        const char *got = hear(old);
        if (strcmp(got, "503 draining") == 0) break;
        CHECK_STR(got, "200 ok");
        usleep(1000);
    }
    int late = dial(&r);
    CHECK(late >= 0);
    say(late, PREDICT);
    CHECK_STR(hear(late), "200 {\"predictions\":[[2.0,4.0]]}");
    CHECK(!atomic_load(&r.ended));
    close(late);
    close(old);
    end(&r);
    arena_fini(&memory);
    CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
}

static void what_was_accepted_is_answered(void)
{
    running r;
    start(&r, config("0"));
    int fd = dial(&r);
    say(fd, SLOW);
    await_slow(&r);
    CHECK(kill(getpid(), SIGTERM) == 0);
    CHECK_STR(hear(fd), "200 {\"predictions\":[0.0]} (close)");
    CHECK_STR(hear(fd), "end");
    close(fd);
    end(&r);
}

static char warned[500];

static void note_warning(const char *line, size_t len)
{
    if (memmem(line, len, " warn ", 6)) snprintf(warned, sizeof warned, "%.*s", (int)len, line);
}

/* Not waiting for the run that is under way, nor for those behind it: they are cancelled. */
static void a_second_signal_waits_for_nobody(void)
{
    running r;
    arena_fini(&memory);
    long live = mem_live();
    /* Before threads read it. */
    log_setup(&(log_opts){.level = LOG_INFO, .sink = note_warning, .clock_us = clock_wall_us});
    start(&r, config("0"));
    int fds[8];
    for (int i = 0; i < 8; i++) {
        fds[i] = dial(&r);
        for (int k = 0; k < 8; k++) say(fds[i], SLOW);
    }
    await_slow(&r);
    CHECK(kill(getpid(), SIGTERM) == 0);
    usleep(30000);
    CHECK(!atomic_load(&r.ended));
    CHECK(kill(getpid(), SIGINT) == 0);
    end(&r);
    log_setup(&(log_opts){.level = LOG_INFO});
    CHECK(strstr(warned, "left without waiting any longer: cut off connections=8 requests="));
    for (int i = 0; i < 8; i++) close(fds[i]);
    arena_fini(&memory);
    CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
}

static void a_second_signal_ends_the_notice_too(void)
{
    running r;
    start(&r, config("600000"));
    int fd = dial(&r);
    CHECK(kill(getpid(), SIGTERM) == 0);
    for (int i = 0; i < 1000; i++) {
        say(fd, GET("/readyz"));
        if (strcmp(hear(fd), "503 draining") == 0) break;
        usleep(1000);
    }
    CHECK(kill(getpid(), SIGINT) == 0);
    end(&r);
    close(fd);
}

#define TEN "0123456789 0123456789 0123456789 0123456789 0123456789 "

static void each_limit_of_the_configuration_holds(void)
{
    static const struct {
        const char *key, *value, *text, *want;
    } rows[] = {   /* waits are so long that the test itself is never late */
        {"body-bytes-max", "1Ki", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1025\r\n\r\n", "413 "},
        {"header-bytes-max", "256", "GET / HTTP/1.1\r\nHost: h\r\nA: " TEN TEN TEN TEN TEN "\r\n\r\n", "431 "},
        {"header-wait-ms", "3000", "GET /", "408 {\"error\":\"headers: expected their end within 3000 ms\"}"},
        {"body-wait-ms", "150", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nx",
         "408 {\"error\":\"body: expected more of it within 150 ms\"}"},
        {"idle-wait-ms", "3000", "", "end"},
        {"connections-max", "1", GET("/"), "503 "},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        running r;
        err e;
        conf *c = config("0");
        CHECK(conf_set(c, "t", str_of(rows[i].key), str_of(rows[i].value), &e) == ERR_OK);
        start(&r, c);
        int first = dial(&r);
        say(first, GET("/healthz"));
        CHECK_STR(hear(first), "200 ok");
        int fd = strcmp(rows[i].key, "connections-max") == 0 ? dial(&r) : first;
        if (strcmp(rows[i].key, "idle-wait-ms") == 0) {   /* milliseconds they are: a short rest ends nothing */
            usleep(20000);
            say(fd, GET("/healthz"));
            CHECK_STR(hear(fd), "200 ok");
        }
        say(fd, rows[i].text);
        CHECK(strncmp(hear(fd), rows[i].want, strlen(rows[i].want)) == 0);
        if (fd != first) close(fd);
        close(first);
        CHECK(kill(getpid(), SIGTERM) == 0);
        end(&r);
    }
}

/* ---- starting ---- */

static void a_server_that_cannot_start_says_why(void)
{
    err e;
    app *a = NULL;
    running r;
    conf *c = config("0");
    c->address = STR("not-an-address");
    CHECK(app_new(&a, c, &nobody, NULL, &e) != ERR_OK);
    CHECK(strstr(e.text, "not-an-address"));
    c = config("0");   /* the running server borrows it */
    start(&r, c);
    conf again = *c;
    again.port = sock_addr_port(listeners_at(app_listeners(r.app), 0));
    CHECK(app_new(&a, &again, &nobody, NULL, &e) != ERR_OK);
    CHECK(strstr(e.text, "in use"));
    CHECK(kill(getpid(), SIGTERM) == 0);
    end(&r);
    c = config("0");
    CHECK(conf_model_add(c, "t", STR("n"), STR("/nowhere.onnx"), &e) == ERR_OK);
    CHECK(app_new(&a, c, &nobody, NULL, &e) != ERR_OK);
    CHECK(strncmp(e.text, "/nowhere.onnx: ", 15) == 0);
}

static void construction_survives_every_failed_allocation(void)
{
    err e;
    conf *c = config("0");
    c->model_count = 1;
    FAULT_SWEEP({
        app *a = NULL;
        if (app_new(&a, c, &nobody, NULL, &e) == ERR_OK)
            app_free(a);
        else
            CHECK(e.code == ERR_NOMEM || e.code == ERR_LIMIT);
    });
}

/* x [1] spread over [256,256] and multiplied so many times; a run may stop between any two products. */
static void slow_build(onnx_build *b, int products)
{
    onnx_build_start(b, 17);
    onnx_build_input(b, "x", DT_F32, "1");
    onnx_build_ints(b, "wide", "2", (const int64_t[]){256, 256});
    onnx_build_node(b, "Expand", "x,wide", "t0", "");
    for (int i = 0; i < products; i++) {
        char in[32], out[16];
        snprintf(in, sizeof in, "t%d,t%d", i, i);
        snprintf(out, sizeof out, "t%d", i + 1);
        onnx_build_node(b, "MatMul", in, out, "");
    }
    char last[32];
    snprintf(last, sizeof last, "t%d,t%d", products, products);
    onnx_build_node(b, "Sub", last, "z", "");
    onnx_build_node(b, "ReduceMax", "z", "y", "axes=[0] keepdims=0");
    onnx_build_node(b, "ReduceMax", "y", "m", "axes=[0] keepdims=1");
    onnx_build_output(b, "m", DT_F32, "1");
}

/* Milliseconds that the fastest of three runs takes, on this machine and with this compiler. */
static double run_ms(int products)
{
    onnx_build b;
    model *m = NULL;
    exec *x = NULL;
    err e;
    double best = 1e9;
    slow_build(&b, products);
    const model_opts alone = {.pool = NULL};
    bool ready = model_open_bytes(&m, onnx_build_bytes(&b), "slow.onnx", NULL, &alone, &e) == ERR_OK &&
                 exec_take(&x, m, &(shape){.rank = 1, .dim = {1}}, &e) == ERR_OK;
    INVARIANT(ready);
    exec_input(x, 0)->data = &(float){0};
    for (int i = 0; i < 3; i++) {
        uint64_t from_ns = clock_now_ns();
        CHECK(exec_run(x, NULL, &e) == ERR_OK);
        double ms = (double)(clock_now_ns() - from_ns) / 1e6;
        if (ms < best) best = ms;
    }
    exec_give(x);
    model_free(m);
    onnx_build_end(&b);
    return best;
}

int main(void)
{
    static const test_case cases[] = {
        TEST(readiness_turns_first_and_new_connections_are_still_served),
        TEST(what_was_accepted_is_answered),
        TEST(a_second_signal_waits_for_nobody),
        TEST(a_second_signal_ends_the_notice_too),
        TEST(each_limit_of_the_configuration_holds),
        TEST(a_server_that_cannot_start_says_why),
        TEST(construction_survives_every_failed_allocation),
    };
    onnx_build twice, slow;
    serve_rig_twice(&twice);
    double wanted = 10 * 300 / run_ms(10);   /* as many as take some 300 ms, sanitizers and emulators or not */
    slow_build(&slow, wanted > 1000 ? 1000 : wanted < 10 ? 10 : (int)wanted);
    serve_rig_save(&twice, twice_path);
    serve_rig_save(&slow, slow_path);
    int failed = test_main(cases, COUNTOF(cases));
    serve_rig_unsave(twice_path);
    serve_rig_unsave(slow_path);
    onnx_build_end(&twice);
    onnx_build_end(&slow);
    arena_fini(&memory);
    return failed;
}
