/* A request is answered once, whichever thread reads and runs it, however little memory there is, and whether its
 * client waits or not; a steady load takes nothing from the heap. */
#include "http_rig.h"
#include "os/thread.h"
#include "test.h"

#include <stdlib.h>

static char twice_path[64], four_path[64], turns_path[64];

#define INFER "/v2/models/m/infer"
#define PREDICT "/v1/models/m:predict"
#define X "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}"
#define XB \
    "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"parameters\":{\"binary_data_size\":8}}]," \
    "\"parameters\":{\"binary_data_output\":true}}"
#define OK "200 OK\r\nContent-Type: application/json\r\nContent-Length: "

static const char *const models[] = {"m", twice_path, "four", four_path, "turns", turns_path, NULL};

static void start(http_rig *r, const http_rig_opts *o)
{
    bool started = http_rig_start(r, o, models);
    INVARIANT(started);
}

static const char *post(http_rig *r, const char *where, const char *headers, const char *json)
{
    return http_rig_post(r, where, headers, json, strlen(json));
}

static const char *ask_binary(http_rig *r)
{
    static const float x[2] = {1, 2};
    char body[300], header[64];
    size_t n = strlen(XB);
    memcpy(body, XB, n);
    memcpy(body + n, x, sizeof x);
    snprintf(header, sizeof header, "Inference-Header-Content-Length: %zu\r\n", n);
    return http_rig_post(r, INFER, header, body, n + sizeof x);
}

static void each_protocol_answers(void)
{
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1"});
    for (int i = 0; i < 3; i++) {
        CHECK_STR(post(&r, INFER, "", X),
                  OK "112\r\n\r\n{\"model_name\":\"m\",\"model_version\":\"1\",\"outputs\":[{\"name\":"
                     "\"y\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[2.0,4.0]}]}");
        CHECK_STR(post(&r, PREDICT, "", "{\"instances\":[[1,2]]}"), OK "27\r\n\r\n{\"predictions\":[[2.0,4.0]]}");
        const char *got = ask_binary(&r);
        CHECK(strstr(got, "200 OK\r\nContent-Type: application/octet-stream\r\nInference-Header-Content-Length: 131\r\n"
                          "Content-Length: 139\r\n\r\n{\"model_name\":\"m\","));
        static const float want[2] = {2, 4};
        CHECK(memcmp(r.got + r.body_at + 131, want, sizeof want) == 0);
    }
    CHECK_U64(COUNT(http_rig_model(&r, "m"), success), 9);
    http_rig_stop(&r);
}

/* Requests are used again: the next one is as if there had been none before. */
static void nothing_of_a_request_is_left_for_the_next(void)
{
    http_rig r;
    char header[64];
    start(&r, &(http_rig_opts){.threads = "1"});
    static const char with_id[] =
        "{\"id\":\"7\",\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}";
    CHECK(strstr(post(&r, INFER, "", with_id), "\"id\":\"7\""));
    CHECK(strstr(post(&r, INFER, "", X), "{\"model_name\":\"m\",\"model_version\":\"1\",\"outputs\":"));
    CHECK(strstr(post(&r, PREDICT, "", "{\"instances\":[{\"x\":[1,2]},{}]}"),
                 "{\"error\":\"instances[1]: expected input 'x', got none\"}"));
    CHECK_STR(post(&r, PREDICT, "", "{\"instances\":[{\"x\":[3,4]}]}"), OK "27\r\n\r\n{\"predictions\":[[6.0,8.0]]}");
    /* A header that says "all of it is JSON" is right, too. */
    snprintf(header, sizeof header, "Inference-Header-Content-Length: %zu\r\n", strlen(X));
    CHECK(strncmp(post(&r, INFER, header, X), "200 ", 4) == 0);
    CHECK(strncmp(post(&r, INFER, "", X), "200 ", 4) == 0);
    http_rig_stop(&r);
}

/* JSON over this length is read on a worker. */
static char *large_json(size_t rows, size_t *ret_len)
{
    static char text[4 << 20];
    size_t at = (size_t)snprintf(
        text, sizeof text, "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[%zu,2],\"data\":[", rows);
    for (size_t i = 0; i < 2 * rows; i++) {
        INVARIANT(at + 20 < sizeof text);
        at += (size_t)snprintf(text + at, sizeof text - at, i ? ",%zu" : "%zu", i % 1000);
    }
    at += (size_t)snprintf(text + at, sizeof text - at, "]}]}");
    *ret_len = at;
    return text;
}

static void a_steady_load_takes_nothing_from_the_heap(void)
{
    static const char *const inline_us[] = {"500", "0"};
    for (size_t i = 0; i < COUNTOF(inline_us); i++) {
        http_rig r;
        size_t n = 0;
        long before = 0;
        const char *large = large_json(5000, &n);
        start(&r, &(http_rig_opts){.threads = "2", .inline_us = inline_us[i]});
        for (int k = 0; k < 60; k++) {
            if (k == 30) before = mem_allocs();
            CHECK(strncmp(post(&r, INFER, "", X), "200 ", 4) == 0);
            CHECK(strncmp(ask_binary(&r), "200 ", 4) == 0);
            CHECK(strncmp(post(&r, PREDICT, "", "{\"instances\":[[1,2]]}"), "200 ", 4) == 0);
            CHECK(strncmp(post(&r, PREDICT, "", "{\"instances\":[{\"x\":[1,2]}]}"), "200 ", 4) == 0);
            CHECK(strncmp(http_rig_post(&r, INFER, "", large, n), "200 ", 4) == 0);
        }
        CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);
        http_rig_stop(&r);
    }
}

static void large_bodies_are_read_on_a_worker_and_refused_there_too(void)
{
    http_rig r;
    size_t n = 0;
    start(&r, &(http_rig_opts){.threads = "2"});
    char *json = large_json(20000, &n);
    CHECK(strncmp(http_rig_post(&r, INFER, "", json, n), "200 ", 4) == 0);
    json[n - 1] = ' ';
    const char *got = http_rig_post(&r, INFER, "", json, n);
    CHECK(strncmp(got, "400 Bad Request", 15) == 0 && strstr(got, "{\"error\":\"JSON: byte "));
    CHECK_U64(COUNT(http_rig_model(&r, "m"), invalid), 1);
    http_rig_stop(&r);
}

/* What is larger than INFER_KEEP_BYTES is freed, so each such request allocates anew. */
static void what_a_very_large_request_took_is_not_kept(void)
{
    http_rig r;
    size_t n = 0;
    const char *json = large_json(300000, &n);
    start(&r, &(http_rig_opts){.threads = "1", .inline_us = "0"});
    for (int i = 0; i < 4; i++) {
        long before = mem_allocs();
        CHECK(strncmp(http_rig_post(&r, INFER, "", json, n), "200 ", 4) == 0);
        CHECK(mem_allocs() > before);
        if (i == 0) CHECK(strncmp(post(&r, INFER, "", X), "200 ", 4) == 0);
    }
    http_rig_stop(&r);
}

/* Binary in, so that the loop reads; JSON out, so that writing is long. */
static void large_answers_are_written_on_a_worker(void)
{
    enum { ROWS = 20000 };
    static const char head[] =
        "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[20000,2],\"parameters\":{\"binary_data_size\":"
        "160000}}]}";
    static char body[sizeof head + ROWS * 8];
    char header[64];
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .inline_us = "500"});
    memcpy(body, head, sizeof head - 1);
    snprintf(header, sizeof header, "Inference-Header-Content-Length: %zu\r\n", sizeof head - 1);
    long before = 0;
    for (int i = 0; i < 20; i++) {
        if (i == 10) before = mem_allocs();
        CHECK(strncmp(http_rig_post(&r, INFER, header, body, sizeof head - 1 + ROWS * 8), "200 ", 4) == 0);
        CHECK(strstr(r.got, "\"shape\":[20000,2],\"data\":[0.0,0.0,"));
        CHECK(r.body_len > 4 * 2 * ROWS);
    }
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);
    http_rig_stop(&r);
}

/* What was computed is sent from where it lies, and the execution is held only so long. */
static void large_binary_answers_are_whole_and_let_go(void)
{
    enum { ROWS = 20000 };
    static const char head[] =
        "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[20000,2],\"parameters\":{\"binary_data_size\":"
        "160000}}],\"parameters\":{\"binary_data_output\":true}}";
    static char body[sizeof head + ROWS * 8];
    static float x[2 * ROWS], y[2 * ROWS];
    char header[64];
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1"});
    for (int i = 0; i < 2 * ROWS; i++) y[i] = 2 * (x[i] = (float)i);
    memcpy(body, head, sizeof head - 1);
    memcpy(body + sizeof head - 1, x, sizeof x);
    snprintf(header, sizeof header, "Inference-Header-Content-Length: %zu\r\n", sizeof head - 1);
    long before = 0;
    for (int i = 0; i < 20; i++) {
        if (i == 10) before = mem_allocs();
        CHECK(strncmp(http_rig_post(&r, INFER, header, body, sizeof head - 1 + sizeof x), "200 ", 4) == 0);
        CHECK(r.body_len > sizeof y && memcmp(r.got + r.body_at + r.body_len - sizeof y, y, sizeof y) == 0);
    }
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);
    http_rig_stop(&r);
}

/* What is sent from where it lies is as much of the answer as what is written. */
static void a_binary_answer_over_the_limit_is_413(void)
{
    enum { ROWS = 20000 };
    static const char head[] =
        "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[20000,2],\"parameters\":{\"binary_data_size\":"
        "160000}}],\"parameters\":{\"binary_data_output\":true}}";
    static const struct {
        const char *max, *packing, *got;
    } rows[] = {
        {"160Ki", "", "200 "},
        {"100Ki", "", "413 "},
        {"100Ki", "Accept-Encoding: gzip\r\n", "413 "},
    };
    static char body[sizeof head + ROWS * 8];
    char header[100];
    memcpy(body, head, sizeof head - 1);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        http_rig r;
        start(&r, &(http_rig_opts){.threads = "1", .reply_bytes_max = rows[i].max});
        snprintf(header, sizeof header, "%sInference-Header-Content-Length: %zu\r\n", rows[i].packing, sizeof head - 1);
        const char *got = http_rig_post(&r, INFER, header, body, sizeof head - 1 + ROWS * 8);
        CHECK(strncmp(got, rows[i].got, 4) == 0);
        CHECK(got[0] == '2' || strstr(got, "{\"error\":\"answer: expected at most 102400 bytes, got 160"));
        CHECK(strncmp(post(&r, INFER, "", X), "200 ", 4) == 0);
        http_rig_stop(&r);
    }
}

static void each_limit_has_its_status(void)
{
    http_rig r;
    size_t n = 0;
    start(&r, &(http_rig_opts){.threads = "2", .reply_bytes_max = "1Ki", .memory_bytes_max = "1Mi"});
    char *json = large_json(1000, &n);
    CHECK(strstr(http_rig_post(&r, INFER, "", json, n),
                 "\r\n\r\n{\"error\":\"answer: expected at most 1024 bytes, got "));
    CHECK(strncmp(r.text, "413 ", 4) == 0);
    json = large_json(100000, &n);
    CHECK(strncmp(http_rig_post(&r, INFER, "", json, n), "413 ", 4) == 0 || strncmp(r.text, "503 ", 4) == 0);
    CHECK(strncmp(post(&r, INFER, "", X), "200 ", 4) == 0);
    CHECK(strstr(post(&r, INFER, "Inference-Header-Content-Length: 99999\r\n", X),
                 "{\"error\":\"Inference-Header-Content-Length: expected bytes of JSON in 0..70, got '99999'\"}"));
    CHECK(strstr(post(&r, INFER, "Content-Type: application/octet-stream\r\n", "\1\2\3"),
                 "{\"error\":\"received byte inputs, but the'inference-header-content-length' header is missing.\"}"));
    CHECK(strncmp(post(&r, INFER, "Content-Type: application/octet-stream\r\n", X), "200 ", 4) == 0);
    CHECK(strstr(post(&r, INFER,
                      "Content-Type: application/octet-stream\r\nInference-Header-Content-Length: 3\r\n", "\1\2\3"),
                 "{\"error\":\"JSON: byte "));
    http_rig_stop(&r);
}

/* The request fits, but not its run: it will not fit later either. */
static void a_run_over_the_memory_limit_is_413(void)
{
    enum { ROWS = 90000 };
    static const char head[] =
        "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[90000,2],\"parameters\":{\"binary_data_size\":"
        "720000}}]}";
    static char body[sizeof head + ROWS * 8];
    char header[64];
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .memory_bytes_max = "1Mi"});
    memcpy(body, head, sizeof head - 1);
    snprintf(header, sizeof header, "Inference-Header-Content-Length: %zu\r\n", sizeof head - 1);
    CHECK(strstr(http_rig_post(&r, INFER, header, body, sizeof head - 1 + ROWS * 8),
                 "{\"error\":\"one execution needs more than the 1048576 bytes it may use\"}"));
    CHECK(strncmp(r.text, "413 ", 4) == 0);
    CHECK_U64(COUNT(http_rig_model(&r, "m"), invalid), 1);
    CHECK_U64(COUNT(http_rig_model(&r, "m"), rejected), 0);
    http_rig_stop(&r);
}

/* Holds the only worker, so that requests wait. */
typedef struct {
    compute_job job;
    _Atomic bool held;
} holder;

static void hold(compute_job *j)
{
    holder *h = (holder *)(void *)j;
    while (atomic_load(&h->held)) thread_pause();
}

static void a_full_queue_is_429_and_keeps_what_it_has(void)
{
    http_rig r;
    err e;
    holder h = {.job = {.run = hold}, .held = true};
    char request[2 * sizeof X + 400];
    start(&r, &(http_rig_opts){.threads = "1", .queue_max = "1", .inline_us = "0"});
    CHECK(compute_submit(r.pool, &h.job, &e) == ERR_OK);
    int n = snprintf(request, sizeof request, "POST " INFER " HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n" X,
                     strlen(X));
    memcpy(request + n, request, (size_t)n);
    http_rig_send(&r, request, 2 * (size_t)n); /* pipelined: the second is refused, but answered after the first */
    const served *m = http_rig_model(&r, "m");
    HTTP_RIG_UNTIL(&r, COUNT(m, rejected));
    CHECK_U64(r.got_len, 0);
    CHECK_U64(COUNT(m, rejected), 1);
    CHECK_U64(r.pools.counts.limits[METRIC_LIMIT_queue], 1);
    atomic_store(&h.held, false);
    HTTP_RIG_UNTIL(&r, http_rig_has(&r, "the limit is 1, got 2"));
    r.got[r.got_len] = 0;
    const char *second = strstr(r.got + 1, "HTTP/1.1 ");
    CHECK(strncmp(r.got, "HTTP/1.1 200 OK", 15) == 0);
    CHECK(second && strncmp(second, "HTTP/1.1 429 Too Many Requests", 30) == 0);
    CHECK(second && strstr(second, "{\"error\":\"model 'm': queue: waiting requests: the limit is 1, got 2\"}"));
    http_rig_stop(&r);
}

/* How often a loop turns is its client's to say: a run ends when its time is over, and holds no event loop. */
static void a_run_has_so_much_time(void)
{
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1", .inline_us = "500", .compute_wait_ms = "2500"});
    const served *m = http_rig_model(&r, "turns");
    for (int i = 0; i < 2; i++) {
        const char *got = post(&r, "/v1/models/turns:predict", "", "{\"instances\":[3]}");
        CHECK_STR(got, OK "19\r\n\r\n{\"predictions\":[3]}");
        got = post(&r, "/v1/models/turns:predict", "", "{\"instances\":[2000000000]}");
        CHECK(strncmp(got, "504 Gateway Timeout\r\n", 21) == 0);
        CHECK(strstr(got, "{\"error\":\"run: expected its end within 2500 ms\"}"));
        CHECK_U64(COUNT(m, failure), (uint64_t)i + 1);
    }
    CHECK_U64(COUNT(m, expired), 0);   /* it ran, and was cut off */
    CHECK_U64(r.pools.counts.limits[METRIC_LIMIT_compute_wait], 2);
    http_rig_stop(&r);
}

/* "timeout" is in microseconds: no read and no worker is as fast. */
static void a_timeout_that_passes_in_the_queue_is_tritons_503(void)
{
    http_rig r;
    static const char hurried[] = "{\"parameters\":{\"timeout\":1},\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\","
                                  "\"shape\":[1,2],\"data\":[1,2]}]}";
    start(&r, &(http_rig_opts){.threads = "1", .inline_us = "0"});
    const char *got = post(&r, INFER, "", hurried);
    CHECK(strncmp(got, "503 ", 4) == 0 && strstr(got, "{\"error\":\"Request timeout expired\"}"));
    CHECK_U64(COUNT(http_rig_model(&r, "m"), expired), 1);
    CHECK_U64(COUNT(http_rig_model(&r, "m"), failure), 0);
    CHECK(strncmp(post(&r, INFER, "", X), "200 ", 4) == 0);
    http_rig_stop(&r);
}

static void a_request_whose_client_went_is_not_run(void)
{
    http_rig r;
    err e;
    holder h = {.job = {.run = hold}, .held = true};
    char request[sizeof X + 200];
    start(&r, &(http_rig_opts){.threads = "1", .inline_us = "0"});
    CHECK(compute_submit(r.pool, &h.job, &e) == ERR_OK);
    int n = snprintf(request, sizeof request, "POST " INFER " HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n" X,
                     strlen(X));
    http_rig_send(&r, request, (size_t)n);
    const served *m = http_rig_model(&r, "m");
    HTTP_RIG_UNTIL(&r, atomic_load(&m->metrics.waiting));
    CHECK_U64((uint64_t)atomic_load(&m->metrics.waiting), 1);
    http_rig_hang_up(&r, true);
    server_stats stats = {.open = 1};
    HTTP_RIG_UNTIL(&r, (server_stats_read(r.server, &stats), stats.open == 0));
    atomic_store(&h.held, false);
    HTTP_RIG_UNTIL(&r, COUNT(m, cancelled));
    CHECK(strncmp(post(&r, INFER, "", X), "200 ", 4) == 0); /* in the memory of the one that was cancelled */
    CHECK_U64(COUNT(m, cancelled), 1);
    CHECK_U64(COUNT(m, success), 1);
    CHECK_U64(COUNT(m, invalid), 0);
    metrics_lane sum;
    uint64_t runs, ns;
    metrics_model_sum(&m->metrics, &sum);
    metric_sum(&sum.predict, &runs, &ns);
    CHECK_U64(runs, 1);
    http_rig_stop(&r);
}

static void what_is_under_way_at_the_end_is_given_back(void)
{
    err e;
    long live = mem_live();
    for (int large = 0; large < 2; large++) {
        http_rig r;
        holder h = {.job = {.run = hold}, .held = true};
        size_t n = 0;
        static char request[1 << 20];
        start(&r, &(http_rig_opts){.threads = "1", .inline_us = "0"});
        CHECK(compute_submit(r.pool, &h.job, &e) == ERR_OK);
        const char *json = large ? large_json(5000, &n) : X;
        if (!large) n = strlen(X);
        int head =
            snprintf(request, sizeof request, "POST " INFER " HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", n);
        memcpy(request + head, json, n);
        http_rig_send(&r, request, (size_t)head + n);
        http_rig_turn(&r, 30);
        atomic_store(&h.held, false);
        http_rig_stop(&r);
        CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
    }
}

static void a_sane_request_id_comes_back_and_others_are_made(void)
{
    http_rig r;
    char first[64], longest[130], header[160];
    static const char digits[] = "0123456789abcdef";
    start(&r, &(http_rig_opts){.threads = "1"});
    post(&r, INFER, "X-Request-Id: abc-1_2/3\r\n", X);
    CHECK_STR(r.request_id, "abc-1_2/3");
    post(&r, INFER, "", X);
    CHECK_U64(strlen(r.request_id), 16);
    CHECK_U64(strspn(r.request_id, digits), 16);
    snprintf(first, sizeof first, "%s", r.request_id);
    http_rig_get(&r, "/nope");
    CHECK_U64(strlen(r.request_id), 16);
    CHECK(strcmp(first, r.request_id) != 0);
    uint32_t seen[16] = {0};   /* each digit at each place: 2^-20 to miss one in 300 */
    for (int i = 0; i < 300; i++) {
        http_rig_get(&r, "/nope");
        for (size_t at = 0; at < 16; at++) seen[at] |= UINT32_C(1) << (strchr(digits, r.request_id[at]) - digits);
    }
    for (size_t at = 0; at < 16; at++) CHECK_U64(seen[at], 0xFFFF);
    memset(longest, 'x', 129);
    for (size_t n = 128; n <= 129; n++) {
        longest[n] = 0;
        snprintf(header, sizeof header, "X-Request-Id: %s\r\n", longest);
        longest[n] = 'x';
        post(&r, INFER, header, X);
        CHECK_U64(strlen(r.request_id), n == 128 ? 128 : 16);
    }
    static const char *const insane[] = {"X-Request-Id: a b\r\n", "X-Request-Id: a\"b\r\n", "X-Request-Id: \r\n",
                                         "X-Request-Id: \303\251\r\n"};
    for (size_t i = 0; i < COUNTOF(insane); i++) {
        post(&r, INFER, insane[i], X);
        CHECK_U64(strlen(r.request_id), 16);
    }
    http_rig_stop(&r);
}

static void construction_survives_every_failed_allocation(void)
{
    err e;
    infer_opts o = {.memory_bytes_max = 1 << 20, .reply_bytes_max = 1 << 20};
    FAULT_SWEEP({
        infer_pool *p = NULL;
        if (infer_pool_new(&p, &o, &e) == ERR_OK)
            infer_pool_free(p);
        else
            CHECK(e.code == ERR_NOMEM);
    });
}

/* 32 bytes for each byte that came and 1 MiB, but never more than memory-bytes-max. */
static void the_memory_of_a_request_hangs_on_its_size(void)
{
    static const struct {
        size_t body, max, want;
    } rows[] = {
        {0, 64 << 20, 1 << 20},           {1000, 64 << 20, (1 << 20) + 32000}, {2 << 20, 64 << 20, 64 << 20},
        {1ull << 40, 64 << 20, 64 << 20}, {0, 1000, 1000},                     {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 2},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        infer r;
        infer_opts o = {.memory_bytes_max = rows[i].max, .reply_bytes_max = 1};
        infer_init(&r, &o);
        infer_body(&r, &o, (str){"", rows[i].body}, 0);
        CHECK_U64(r.memory.limit, rows[i].want);
        infer_fini(&r);
    }
}

/* From the first allocation of the server on.  Without memory for the connection or the call there is no answer. */
static void a_whole_request_survives_every_failed_allocation(void)
{
    static const char *const bodies[] = {X, "{\"instances\":[{\"x\":[1,2]}]}", "{\"inputs\":3}"};
    static const char *const paths[] = {INFER, PREDICT, INFER};
    for (size_t i = 0; i < COUNTOF(bodies); i++) {
        long refused = 0, answered = 0, failures = 0;
        FAULT_SWEEP({
            http_rig r;
            if (http_rig_start(&r, &(http_rig_opts){.threads = "1"}, models)) {
                const char *got = post(&r, paths[i], "", bodies[i]);
                bool fine = strncmp(got, i == 2 ? "400 " : "200 ", 4) == 0;
                CHECK(fine || got[0] == '5' || strcmp(got, "closed") == 0);
                const served *m = http_rig_model(&r, "m");
                if (i < 2) CHECK_U64(COUNT(m, invalid), 0); /* what the server lacks is nobody else's fault */
                failures += (long)COUNT(m, failure);
                refused += got[0] == '5';
                answered += fine;
                http_rig_stop(&r);
            }
        });
        CHECK(answered > 0 && refused > 0 && failures > 0);
    }
}

/* Parts that did not happen are 0, none is longer than the whole, and nobody is told who did not ask. */
static void the_answer_says_on_demand_where_its_time_went(void)
{
    http_rig r;
    start(&r, &(http_rig_opts){.threads = "1"});
    static const char *const names[] = {"read;dur=", ", queue;dur=", ", compute;dur=", ", write;dur=", ", total;dur="};
    double parts[COUNTOF(names)] = {0};
    const char *got = post(&r, INFER, INFER_TIMING_HEADER ": 1\r\n", X), *at = strstr(got, "\r\nServer-Timing: ");
    CHECK(at);
    at = at ? at + strlen("\r\nServer-Timing: ") : "";
    for (size_t i = 0; i < COUNTOF(names); i++) {
        CHECK(strncmp(at, names[i], strlen(names[i])) == 0);
        char *end = NULL;
        parts[i] = strtod(at + strlen(names[i]), &end);
        at = end;
    }
    CHECK(strncmp(at, "\r\n", 2) == 0);
    for (size_t i = 0; i + 1 < COUNTOF(names); i++) CHECK(parts[i] >= 0 && parts[i] <= parts[COUNTOF(names) - 1]);
    CHECK(parts[2] > 0);
    CHECK(!strstr(post(&r, INFER, "", X), "Server-Timing"));
    CHECK(!strstr(post(&r, INFER, INFER_TIMING_HEADER ": 0\r\n", X), "Server-Timing"));
    http_rig_stop(&r);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(each_protocol_answers),
        TEST(nothing_of_a_request_is_left_for_the_next),
        TEST(a_steady_load_takes_nothing_from_the_heap),
        TEST(large_bodies_are_read_on_a_worker_and_refused_there_too),
        TEST(what_a_very_large_request_took_is_not_kept),
        TEST(large_answers_are_written_on_a_worker),
        TEST(large_binary_answers_are_whole_and_let_go),
        TEST(a_binary_answer_over_the_limit_is_413),
        TEST(each_limit_has_its_status),
        TEST(a_run_over_the_memory_limit_is_413),
        TEST(the_answer_says_on_demand_where_its_time_went),
        TEST(a_full_queue_is_429_and_keeps_what_it_has),
        TEST(a_run_has_so_much_time),
        TEST(a_timeout_that_passes_in_the_queue_is_tritons_503),
        TEST(a_request_whose_client_went_is_not_run),
        TEST(what_is_under_way_at_the_end_is_given_back),
        TEST(a_sane_request_id_comes_back_and_others_are_made),
        TEST(the_memory_of_a_request_hangs_on_its_size),
        TEST(construction_survives_every_failed_allocation),
        TEST(a_whole_request_survives_every_failed_allocation),
    };
    onnx_build twice, four, spins;
    serve_rig_twice(&twice);
    serve_rig_four(&four);
    serve_rig_turns(&spins);
    serve_rig_save(&twice, twice_path);
    serve_rig_save(&four, four_path);
    serve_rig_save(&spins, turns_path);
    int failed = test_main(cases, COUNTOF(cases));
    serve_rig_unsave(twice_path);
    serve_rig_unsave(four_path);
    serve_rig_unsave(turns_path);
    onnx_build_end(&twice);
    onnx_build_end(&four);
    onnx_build_end(&spins);
    return failed;
}
