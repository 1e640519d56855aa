/* The text is exact, in both formats and with both sets of names: buckets are cumulative, +Inf is the count, labels are
 * escaped, every name has its HELP and TYPE once before its values, no series comes twice, and lanes add up. */
#include "models/metrics.h"
#include "os/thread.h"
#include "sched/batch.h"
#include "test.h"

#include <stdlib.h>

static const char *print_page(buf *b, const metrics_page *page)
{
    buf_clear(b);
    metrics_print(b, page);
    buf_put_byte(b, 0);
    CHECK(!b->full);
    return (const char *)b->p;
}

static const char *print(buf *b, const metrics_server *server, const metrics_labelled *models, size_t n)
{
    return print_page(b, &(metrics_page){.server = server, .models = models, .model_count = n});
}

static void init(metrics_model *m, uint32_t lanes)
{
    err e;
    INVARIANT(metrics_model_init(m, lanes, &e) == ERR_OK);
}

/* The line that starts with `head`, without its newline. */
static const char *line(const char *text, const char *head)
{
    static char copy[400];
    const char *at = text;
    while (at && strncmp(at, head, strlen(head)) != 0) at = (at = strchr(at, '\n')) ? at + 1 : NULL;
    snprintf(copy, sizeof copy, "%.*s", at ? (int)strcspn(at, "\n") : 0, at ? at : "");
    return copy;
}

static void buckets_are_cumulative_and_end_with_the_count(void)
{
    metrics_model set;
    static metrics_server server;
    buf b;
    buf_init(&b, 1 << 20);
    init(&set, 2);
    metrics_labelled m = {STR("m"), STR("3"), &set};
    static const uint64_t ns[] = {0, 10000, 10001, 25000, 1000000, 9999999999, 10000000000, 10000000001, 90000000000};
    for (size_t i = 0; i < COUNTOF(ns); i++) metric_time(&set.lanes[i % 2].predict, ns[i]);
    const char *text = print(&b, &server, &m, 1);
#define L "request_predict_seconds_bucket{model_name=\"m\",model_version=\"3\",le="
    CHECK_STR(line(text, L "\"1e-05\""), L "\"1e-05\"} 2");
    CHECK_STR(line(text, L "\"2.5e-05\""), L "\"2.5e-05\"} 4");
    CHECK_STR(line(text, L "\"0.0005\""), L "\"0.0005\"} 4");
    CHECK_STR(line(text, L "\"0.001\""), L "\"0.001\"} 5");
    CHECK_STR(line(text, L "\"2.5\""), L "\"2.5\"} 5");
    CHECK_STR(line(text, L "\"10\""), L "\"10\"} 7");
    CHECK_STR(line(text, L "\"+Inf\""), L "\"+Inf\"} 9");
    CHECK_STR(line(text, "request_predict_seconds_count"),
              "request_predict_seconds_count{model_name=\"m\",model_version=\"3\"} 9");
    CHECK_STR(line(text, "request_predict_seconds_sum"),
              "request_predict_seconds_sum{model_name=\"m\",model_version=\"3\"} 120.001045");
    CHECK_STR(line(text, "request_preprocess_seconds_count"),
              "request_preprocess_seconds_count{model_name=\"m\",model_version=\"3\"} 0");
    metrics_model_fini(&set);
    buf_fini(&b);
}

enum { ADDED = 1000000 };   /* some ms: even where there is but one CPU, threads change in between */

typedef struct {
    metrics_lane *lane;
    _Atomic int *ready;
} adder;

static void add_many(void *ctx)
{
    const adder *a = ctx;
    atomic_fetch_sub(a->ready, 1);
    while (atomic_load(a->ready) > 0) thread_pause();
    for (int i = 0; i < ADDED; i++) metric_add(&a->lane->success);
    for (int i = 0; i < ADDED; i++) metric_time(&a->lane->predict, 1);
    atomic_store(&a->lane->last_ns, ADDED);
}

/* Each in its lane, while a third looks on. */
static void lanes_add_up_and_no_count_is_lost(void)
{
    metrics_model set;
    metrics_lane sum;
    thread threads[2];
    _Atomic int ready = 2;
    err e;
    uint64_t count, ns, seen = 0;
    init(&set, 2);
    adder a[2] = {{&set.lanes[0], &ready}, {&set.lanes[1], &ready}};
    for (int i = 0; i < 2; i++) CHECK(thread_start(&threads[i], "adder", add_many, &a[i], &e) == ERR_OK);
    for (int i = 0; i < 100; i++) {
        metrics_model_sum(&set, &sum);
        CHECK(atomic_load(&sum.success) >= seen);
        seen = atomic_load(&sum.success);
    }
    for (int i = 0; i < 2; i++) thread_join(&threads[i]);
    metrics_model_sum(&set, &sum);
    metric_sum(&sum.predict, &count, &ns);
    CHECK_U64(atomic_load(&sum.success), 2 * ADDED);
    CHECK_U64(count, 2 * ADDED);
    CHECK_U64(ns, 2 * ADDED);
    CHECK_U64(atomic_load(&sum.last_ns), ADDED);   /* the latest, not a sum */
    CHECK((uintptr_t)&set.lanes[1] % 64 == 0);
    metrics_model_fini(&set);
}

static void a_model_without_memory_is_refused(void)
{
    FAULT_SWEEP({
        metrics_model set;
        err e;
        if (metrics_model_init(&set, 3, &e)) CHECK(e.code == ERR_NOMEM);
        metrics_model_fini(&set);
    });
}

static void labels_are_escaped_as_the_format_says(void)
{
    metrics_model set;
    static metrics_server server;
    buf b;
    buf_init(&b, 1 << 20);
    init(&set, 1);
    metric_add(&set.lanes[0].success);
    metric_add(&set.lanes[0].success);
    metrics_labelled m = {STR("a\"b\\c\nd\303\251"), STR("1"), &set};
    CHECK_STR(line(print(&b, &server, &m, 1), "proa_inference_success_total"),
              "proa_inference_success_total{model_name=\"a\\\"b\\\\c\\nd\303\251\",model_version=\"1\"} 2");
    metrics_model_fini(&set);
    buf_fini(&b);
}

/* Every value belongs to the head before it, no head comes twice, and no series does. */
static void check_order(const char *text, bool open)
{
    char head[100] = "";
    for (const char *p = text; *p; p = strchr(p, '\n') + 1) {
        char again[400];
        if (strncmp(p, "# TYPE ", 7) == 0) {
            snprintf(head, sizeof head, "%.*s", (int)strcspn(p + 7, " "), p + 7);
            snprintf(again, sizeof again, "\n# TYPE %s ", head);
        } else if (*p != '#') {
            CHECK(strncmp(p, head, strlen(head)) == 0);
            snprintf(again, sizeof again, "\n%.*s ", (int)strcspn(p, " "), p);
        } else if (open && strcmp(p, "# EOF\n") == 0) {
            return;
        } else {
            continue;
        }
        CHECK(!strstr(p, again));
    }
    CHECK(!open);
}

/* What a queue refuses, an error names as the metric does. */
static void each_limit_of_a_queue_is_counted_by_its_name(void)
{
    bool seen[METRIC_LIMITS] = {false};
    for (int l = BATCH_LIMIT_REQUESTS; l < BATCH_LIMITS; l++) {
        metric_limit i = metric_limit_named(batch_limit_name((batch_limit)l));
        CHECK(i < METRIC_LIMITS && !seen[i]);
        seen[i % METRIC_LIMITS] = true;
    }
    CHECK(metric_limit_named("queue-max") == METRIC_LIMIT_queue);
    CHECK(metric_limit_named("model-memory-max") == METRIC_LIMIT_model_memory);
    CHECK(metric_limit_named("compute-wait-ms") == METRIC_LIMIT_compute_wait);
    CHECK(metric_limit_named("queue") == METRIC_LIMITS && metric_limit_named(NULL) == METRIC_LIMITS);
    metrics_loop m = {.limits = {0}};
    static const char *const hits[] = {"queue-max", NULL, "queue", "queue-max", "http2-frames"};
    uint64_t all = 0;
    for (size_t i = 0; i < COUNTOF(hits); i++) metric_limit_hit(&m, hits[i]);
    for (size_t i = 0; i < METRIC_LIMITS; i++) all += m.limits[i];
    CHECK(all == 3 && m.limits[METRIC_LIMIT_queue] == 2 && m.limits[METRIC_LIMIT_frames] == 1);
}

static void a_name_has_one_head_and_then_all_its_values(void)
{
    metrics_model one, two;
    static metrics_server server = {
        .open_fds = -7, .requests = INT64_MAX, .cpu_us = 1234567, .limits = {[METRIC_LIMIT_queue] = 5}};
    static metric_requests unknown;
    buf b;
    buf_init(&b, 1 << 20);
    init(&one, 1);
    init(&two, 3);
    metrics_labelled m[] = {{STR("a"), STR("1"), &one}, {STR("b"), STR("1"), &two}};
    const char *text = print(&b, &server, m, 2);
    CHECK_STR(line(text, "process_open_fds"), "process_open_fds -7");
    CHECK_STR(line(text, "proa_http_requests_total"), "proa_http_requests_total 9223372036854775807");
    CHECK_STR(line(text, "process_cpu_seconds_total"), "process_cpu_seconds_total 1.235");
    CHECK_STR(line(text, "proa_limit_hits_total{limit=\"queue-max\""), "proa_limit_hits_total{limit=\"queue-max\"} 5");
    CHECK(strstr(text, "# HELP proa_queue_waiting Requests in the queue now.\n# TYPE proa_queue_waiting gauge\n"
                       "proa_queue_waiting{model_name=\"a\",model_version=\"1\"} 0\n"
                       "proa_queue_waiting{model_name=\"b\",model_version=\"1\"} 0\n# HELP "));
    CHECK(strncmp(text, "# HELP request_preprocess_seconds ", 34) == 0);
    check_order(text, false);
    for (int names = METRICS_PROA; names <= METRICS_BOTH; names++)
        for (int open = 0; open < 2; open++)
            check_order(print_page(&b, &(metrics_page){.server = &server,
                                                       .models = m,
                                                       .model_count = 2,
                                                       .unknown = &unknown,
                                                       .names = (metrics_names)names,
                                                       .open = open}),
                        open);
    CHECK(strstr(print(&b, &server, NULL, 0), "# HELP proa_build_info Always 1.\n"));
    metrics_model_fini(&one);
    metrics_model_fini(&two);
    buf_fini(&b);
}

static void requests_are_told_by_protocol_and_code(void)
{
    metrics_model set;
    static metrics_server server;
    static metric_requests unknown;
    buf b;
    buf_init(&b, 1 << 20);
    init(&set, 1);
    metric_requests *q = &set.lanes[0].requests;
    metric_request(q, METRIC_V2, ERR_INVALID);
    metric_request(q, METRIC_V2, ERR_NOMEM);         /* two of ours, */
    metric_request(q, METRIC_V2, ERR_UNAVAILABLE);   /* one of HTTP's */
    metric_request(q, METRIC_GRPC, ERR_TOO_LARGE);
    metric_request(q, METRIC_GRPC, ERR_LIMIT);
    metric_request(q, METRIC_GRPC, ERR_NOMEM);
    metric_request(q, METRIC_STREAM, ERR_OK);
    metric_request(&unknown, METRIC_V1, ERR_NOT_FOUND);
    metrics_labelled m = {STR("m"), STR("1"), &set};
    const char *text = print_page(
        &b, &(metrics_page){.server = &server, .models = &m, .model_count = 1, .unknown = &unknown});
    const char *at = strstr(text, "# TYPE proa_requests_total counter\n");
    CHECK(at);
    if (!at) return;
#define M "proa_requests_total{model_name=\"m\",model_version=\"1\",protocol="
    static const char want[] =
        "# TYPE proa_requests_total counter\n" M "\"v2\",code=\"200\"} 0\n" M "\"v2\",code=\"400\"} 1\n"
        M "\"v2\",code=\"503\"} 2\n" M "\"v1\",code=\"200\"} 0\n"
        M "\"generate\",code=\"200\"} 0\n" M "\"grpc\",code=\"OK\"} 0\n"
        M "\"grpc\",code=\"RESOURCE_EXHAUSTED\"} 3\n" M "\"grpc-stream\",code=\"OK\"} 1\n"
        "proa_requests_total{model_name=\"\",model_version=\"\",protocol=\"v1\",code=\"404\"} 1\n# HELP ";
    CHECK(strncmp(at, want, sizeof want - 1) == 0);
    metrics_model_fini(&set);
    buf_fini(&b);
}

static void runs_are_counted_by_their_rows(void)
{
    metrics_model set;
    static metrics_server server;
    static const uint64_t rows[] = {1, 1, 8, 9, 12, 13, 128, 129, 4000};
    buf b;
    buf_init(&b, 1 << 20);
    init(&set, 1);
    metrics_lane *l = &set.lanes[0];
    for (size_t i = 0; i < COUNTOF(rows); i++)
        metric_run(&l->runs, &(metric_run_of){.first = true,
                                              .rows = rows[i],
                                              .padding = i,
                                              .entries = 10 * i,
                                              .waste = 3 * i,
                                              .input_ns = 1,
                                              .infer_ns = 10,
                                              .output_ns = 2});
    metric_run(&l->runs, &(metric_run_of){.rows = 8,
                                          .padding = 2,
                                          .entries = 9,
                                          .waste = 9,
                                          .input_ns = 5,
                                          .infer_ns = 10,
                                          .output_ns = 6});
    metric_drop(&l->dropped, 2);
    CHECK(atomic_load(&l->runs.runs) == COUNTOF(rows) && atomic_load(&l->runs.padding) == 36);
    CHECK(metric_size(7) == 8 && atomic_load(&l->runs.count[7]) == 1 && atomic_load(&l->runs.input_ns[7]) == 6);
    CHECK(atomic_load(&l->runs.infer_ns[7]) == 10 && atomic_load(&l->runs.output_ns[7]) == 8);
    CHECK(metric_size(8) == 12 && atomic_load(&l->runs.count[8]) == 2);
    metrics_labelled m = {STR("a"), STR("1"), &set};
    metrics_page page = {.server = &server, .models = &m, .model_count = 1};
    const char *text = print_page(&b, &page);
#define A "{model_name=\"a\",model_version=\"1\""
    CHECK(strstr(text, "# TYPE proa_batch_rows histogram\nproa_batch_rows_bucket" A ",le=\"1\"} 2\n"));
    CHECK(strstr(text, ",le=\"8\"} 3\nproa_batch_rows_bucket" A ",le=\"12\"} 5\n"));
    CHECK(strstr(text, ",le=\"128\"} 7\nproa_batch_rows_bucket" A ",le=\"+Inf\"} 9\n"));
    CHECK(strstr(text, "proa_batch_rows_sum" A "} 4301\nproa_batch_rows_count" A "} 9\n"));
    CHECK(strstr(text, "proa_batch_padding_rows_total" A "} 36\n"));
    CHECK(strstr(text, "proa_batch_entries_total" A "} 360\n"));
    CHECK(strstr(text, "proa_batch_padding_entries_total" A "} 108\n"));
    CHECK(strstr(text, "proa_queue_dropped_total" A ",reason=\"deadline\"} 0\nproa_queue_dropped_total" A
                       ",reason=\"timeout\"} 1\n"));
    metrics_model_fini(&set);
    buf_fini(&b);
}

static void triton_names_say_the_same(void)
{
    metrics_model set;
    static metrics_server server;
    buf b;
    buf_init(&b, 1 << 20);
    init(&set, 2);
    for (int i = 0; i < 2; i++) {
        metric_add(&set.lanes[i].success);
        metric_time(&set.lanes[i].total, 1500999);
        metric_time(&set.lanes[i].predict, 1000000);
        metric_run(&set.lanes[i].runs, &(metric_run_of){.first = i == 0, .rows = 3, .padding = 1});
        metric_time(&set.lanes[i].queue_wait, 2000);
        metric_add(&set.lanes[i].rejected);
    }
    metric_add(&set.lanes[0].expired);
    metric_time(&set.lanes[0].predict, 1000000);
    atomic_store(&set.waiting, 4);
    metrics_labelled m = {STR("m"), STR("1"), &set};
    metrics_page page = {.server = &server, .models = &m, .model_count = 1, .names = METRICS_TRITON};
    const char *text = print_page(&b, &page);
    static const char *const rows[][2] = {
        {"nv_inference_request_success{model=\"m\",version=\"1\"}", " 2"},
        {"nv_inference_request_failure{model=\"m\",reason=\"REJECTED\",version=\"1\"}", " 3"},
        {"nv_inference_request_failure{model=\"m\",reason=\"OTHER\",version=\"1\"}", " 0"},
        {"nv_inference_count{model=\"m\",version=\"1\"}", " 3"},
        {"nv_inference_exec_count{model=\"m\",version=\"1\"}", " 1"},
        {"nv_inference_request_duration_us{model=\"m\",version=\"1\"}", " 3001"},
        {"nv_inference_queue_duration_us{model=\"m\",version=\"1\"}", " 4"},
        {"nv_inference_compute_infer_duration_us{model=\"m\",version=\"1\"}", " 3000"},
        {"nv_inference_compute_input_duration_us{model=\"m\",version=\"1\"}", " 0"},
        {"nv_inference_pending_request_count{model=\"m\",version=\"1\"}", " 4"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char want[200];
        snprintf(want, sizeof want, "%s%s", rows[i][0], rows[i][1]);
        CHECK_STR(line(text, rows[i][0]), want);
    }
    CHECK(!strstr(text, "proa_") && !strstr(text, "request_predict_seconds") && strstr(text, "\nprocess_open_fds 0\n"));
    page.names = METRICS_PROA;
    CHECK(!strstr(print_page(&b, &page), "nv_"));
    page.names = METRICS_BOTH;
    text = print_page(&b, &page);
    CHECK(strstr(text, "\nnv_inference_count{") && strstr(text, "\nproa_inference_seconds_count{"));
    metrics_model_fini(&set);
    buf_fini(&b);
}

static void openmetrics_names_its_counters_without_their_suffix(void)
{
    metrics_model set;
    static metrics_server server;
    buf b;
    buf_init(&b, 1 << 20);
    init(&set, 1);
    metrics_labelled m = {STR("m"), STR("1"), &set};
    metrics_page page = {.server = &server, .models = &m, .model_count = 1, .names = METRICS_BOTH, .open = true};
    const char *text = print_page(&b, &page);
    CHECK(strstr(text, "\n# TYPE proa_http_requests counter\nproa_http_requests_total 0\n"));
    CHECK(strstr(text, "\n# TYPE nv_inference_count unknown\n"));
    CHECK(strstr(text, "\n# TYPE request_predict_seconds histogram\n"));
    CHECK_STR(text + strlen(text) - 7, "\n# EOF\n");
    metrics_model_fini(&set);
    buf_fini(&b);
}

static void accept_chooses_the_format(void)
{
    static const struct {
        const char *accept;
        bool open;
    } rows[] = {
        {"", false},
        {"*/*", false},
        {"text/plain", false},
        {"application/openmetrics-text", true},
        {"Application/OpenMetrics-Text; version=1.0.0; charset=utf-8", true},
        {"application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
         "text/plain;version=0.0.4;q=0.3,*/*;q=0.2", true},
        {"application/openmetrics-text;q=0.3, text/plain ; q = 0.5", false},
        {"application/openmetrics-text;q=0", false},
        {"application/openmetrics-text;q=x", false},
        {",,;,application/openmetrics-text,", true},
        {"text/html, application/json", false},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) CHECK(metrics_open_wanted(str_of(rows[i].accept)) == rows[i].open);
    CHECK(!metrics_open_wanted((str){0}));
}

static void the_docs_name_every_metric(void)
{
    metrics_model set;
    static metrics_server server;
    buf b, docs;
    buf_init(&b, 1 << 20);
    buf_init(&docs, 1 << 20);
    init(&set, 1);
    metrics_labelled m = {STR("a"), STR("1"), &set};
    metrics_page page = {.server = &server, .models = &m, .model_count = 1, .names = METRICS_BOTH};
    metrics_markdown(&docs);
    buf_put_byte(&docs, 0);
    size_t count = 0;
    for (const char *p = print_page(&b, &page); *p; p = strchr(p, '\n') + 1) {
        char row[160];
        if (strncmp(p, "# TYPE ", 7) != 0) continue;
        snprintf(row, sizeof row, "| `%.*s` | %.*s |", (int)strcspn(p + 7, " "), p + 7,
                 (int)strcspn(strchr(p + 7, ' ') + 1, "\n"), strchr(p + 7, ' ') + 1);
        CHECK(strstr((const char *)docs.p, row));
        count++;
    }
    CHECK(count >= 40);
    metrics_model_fini(&set);
    buf_fini(&b);
    buf_fini(&docs);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(buckets_are_cumulative_and_end_with_the_count),
        TEST(lanes_add_up_and_no_count_is_lost),
        TEST(a_model_without_memory_is_refused),
        TEST(labels_are_escaped_as_the_format_says),
        TEST(each_limit_of_a_queue_is_counted_by_its_name),
        TEST(a_name_has_one_head_and_then_all_its_values),
        TEST(requests_are_told_by_protocol_and_code),
        TEST(runs_are_counted_by_their_rows), TEST(triton_names_say_the_same),
        TEST(openmetrics_names_its_counters_without_their_suffix),
        TEST(accept_chooses_the_format),
        TEST(the_docs_name_every_metric),
    };
    return test_main(cases, COUNTOF(cases));
}
