/* The Prometheus text is exact: buckets are cumulative, +Inf is the count, labels are escaped, and every row of the
 * tables has its HELP and TYPE once, before its values. */
#include "serve/metrics.h"
#include "os/thread.h"
#include "test.h"

#include <stdlib.h>

static const char *print(buf *b, const metrics_server *server, const metrics_labelled *models, size_t n)
{
    buf_clear(b);
    metrics_print(b, server, models, n);
    buf_put_byte(b, 0);
    CHECK(!b->full);
    return (const char *)b->p;
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
    static metrics_model set;
    static metrics_server server;
    buf b;
    buf_init(&b, 1 << 20);
    metrics_labelled m = {STR("m"), STR("3"), &set};
    static const uint64_t ns[] = {0, 10000, 10001, 25000, 1000000, 9999999999, 10000000000, 10000000001, 90000000000};
    for (size_t i = 0; i < COUNTOF(ns); i++) metric_time(&set.predict, ns[i]);
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
    buf_fini(&b);
}

enum { ADDED = 1000000 };   /* some 50 ms: even where there is but one CPU, threads change in between */

typedef struct {
    metrics_model *set;
    _Atomic int *ready;
} adder;

static void add_many(void *ctx)
{
    const adder *a = ctx;
    atomic_fetch_sub(a->ready, 1);
    while (atomic_load(a->ready) > 0) thread_pause();
    for (int i = 0; i < ADDED; i++) metric_add(&a->set->success);
    for (int i = 0; i < ADDED; i++) metric_time(&a->set->predict, 1);
}

static void no_count_is_lost_between_threads(void)
{
    static metrics_model set;
    thread threads[2];
    _Atomic int ready = 2;
    adder a = {&set, &ready};
    err e;
    for (int i = 0; i < 2; i++) CHECK(thread_start(&threads[i], "adder", add_many, &a, &e) == ERR_OK);
    for (int i = 0; i < 2; i++) thread_join(&threads[i]);
    CHECK_U64(atomic_load(&set.success), 2 * ADDED);
    CHECK_U64(atomic_load(&set.predict.bucket[0]), 2 * ADDED);
    CHECK_U64(atomic_load(&set.predict.sum_ns), 2 * ADDED);
}

static void labels_are_escaped_as_the_format_says(void)
{
    static metrics_model set;
    static metrics_server server;
    buf b;
    buf_init(&b, 1 << 20);
    metric_add(&set.success);
    metric_add(&set.success);
    metrics_labelled m = {STR("a\"b\\c\nd\303\251"), STR("1"), &set};
    CHECK_STR(line(print(&b, &server, &m, 1), "proa_inference_success_total"),
              "proa_inference_success_total{model_name=\"a\\\"b\\\\c\\nd\303\251\",model_version=\"1\"} 2");
    buf_fini(&b);
}

static void a_name_has_one_head_and_then_all_its_values(void)
{
    static metrics_model one, two;
    static metrics_server server;
    buf b;
    buf_init(&b, 1 << 20);
    atomic_store(&server.open_fds, -7);
    atomic_store(&server.requests, UINT64_MAX);
    metrics_labelled m[] = {{STR("a"), STR("1"), &one}, {STR("b"), STR("1"), &two}};
    const char *text = print(&b, &server, m, 2);
    CHECK_STR(line(text, "process_open_fds"), "process_open_fds -7");
    CHECK_STR(line(text, "proa_http_requests_total"), "proa_http_requests_total 18446744073709551615");
    CHECK(strstr(text, "# HELP proa_queue_waiting Requests in the queue now.\n# TYPE proa_queue_waiting gauge\n"
                       "proa_queue_waiting{model_name=\"a\",model_version=\"1\"} 0\n"
                       "proa_queue_waiting{model_name=\"b\",model_version=\"1\"} 0\n# HELP "));
    CHECK(strncmp(text, "# HELP request_preprocess_seconds ", 34) == 0);
    /* Every value belongs to the head before it, and no head comes twice. */
    char head[100] = "";
    for (const char *p = text; *p; p = strchr(p, '\n') + 1) {
        if (strncmp(p, "# TYPE ", 7) == 0) {
            char again[120];
            snprintf(head, sizeof head, "%.*s", (int)strcspn(p + 7, " "), p + 7);
            snprintf(again, sizeof again, "\n# TYPE %s ", head);
            CHECK(!strstr(p + 1, again));
        } else if (*p != '#') {
            CHECK(strncmp(p, head, strlen(head)) == 0);
        }
    }
    text = print(&b, &server, NULL, 0);
    CHECK(strncmp(text, "# HELP proa_http_connections_open ", 34) == 0);
    buf_fini(&b);
}

static void the_docs_name_every_metric(void)
{
    static metrics_model set;
    static metrics_server server;
    buf b, docs;
    buf_init(&b, 1 << 20);
    buf_init(&docs, 1 << 20);
    metrics_labelled m = {STR("a"), STR("1"), &set};
    metrics_markdown(&docs);
    buf_put_byte(&docs, 0);
    size_t count = 0;
    for (const char *p = print(&b, &server, &m, 1); *p; p = strchr(p, '\n') + 1) {
        char row[160];
        if (strncmp(p, "# TYPE ", 7) != 0) continue;
        snprintf(row, sizeof row, "| `%.*s` | %.*s |", (int)strcspn(p + 7, " "), p + 7,
                 (int)strcspn(strchr(p + 7, ' ') + 1, "\n"), strchr(p + 7, ' ') + 1);
        CHECK(strstr((const char *)docs.p, row));
        count++;
    }
    CHECK(count >= 20);
    buf_fini(&b);
    buf_fini(&docs);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(buckets_are_cumulative_and_end_with_the_count),
        TEST(no_count_is_lost_between_threads),
        TEST(labels_are_escaped_as_the_format_says),
        TEST(a_name_has_one_head_and_then_all_its_values),
        TEST(the_docs_name_every_metric),
    };
    return test_main(cases, COUNTOF(cases));
}
