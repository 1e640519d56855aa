/* What must hold for `proa top`'s view: rates are those of the time between two scrapes, latencies those of its
 * answers alone; a server started anew is compared with nothing; nothing a name holds moves the cursor. */
#include "cli/top_view.h"
#include "test.h"

#define SECOND UINT64_C(1000000)

#define RUNS(name, runs, rows)                                                                      \
    "proa_batch_rows_sum{model_name=\"" name "\",model_version=\"1\"} " rows "\n"                  \
    "proa_batch_rows_count{model_name=\"" name "\",model_version=\"1\"} " runs "\n"
#define PADDING(name, rows) \
    "proa_batch_padding_rows_total{model_name=\"" name "\",model_version=\"1\"} " rows "\n"
#define MODEL(name, success, failed, waiting, le1, le2, inf)                                        \
    "proa_inference_seconds_bucket{model_name=\"" name "\",model_version=\"1\",le=\"0.001\"} " le1 "\n" \
    "proa_inference_seconds_bucket{model_name=\"" name "\",model_version=\"1\",le=\"0.002\"} " le2 "\n" \
    "proa_inference_seconds_bucket{model_name=\"" name "\",model_version=\"1\",le=\"+Inf\"} " inf "\n" \
    "proa_inference_success_total{model_name=\"" name "\",model_version=\"1\"} " success "\n"       \
    "proa_queue_rejected_total{model_name=\"" name "\",model_version=\"1\"} " failed "\n"           \
    "proa_queue_waiting{model_name=\"" name "\",model_version=\"1\"} " waiting "\n"
#define SERVER(start, requests)                                                                     \
    "proa_http_connections_open{protocol=\"http1\"} 3\nproa_http_connections_open{protocol=\"http2\"} 2\n" \
    "proa_http_requests_total " requests "\nproa_http_received_bytes_total " requests "000\n"       \
    "process_resident_memory_bytes 12500000\nprocess_open_fds 21\nprocess_start_time_seconds " start "\n"

static top_scrape before, now;

static void print(const char *first, const char *second, top_view v, bool json, char *got, size_t room)
{
    err e;
    buf out;
    buf_init(&out, 1 << 20);
    CHECK(top_scrape_read(&before, str_of(first), 10 * SECOND, &e) == ERR_OK);
    CHECK(top_scrape_read(&now, str_of(second), 12 * SECOND, &e) == ERR_OK);
    v.address = "h:1";
    v.before = &before;
    v.now = &now;
    v.wall_us = 86400 * 3 * SECOND + 3723 * SECOND;
    if (json) top_view_json(&out, &v);
    else top_view_print(&out, &v);
    snprintf(got, room, "%.*s", (int)out.len, (const char *)out.p);
    buf_fini(&out);
}

static const char first[] = SERVER("259200", "100") MODEL("slow", "10", "0", "0", "0", "10", "10")
                                MODEL("fast", "1000", "5", "1", "1000", "1000", "1000") RUNS("fast", "100", "150")
                                PADDING("fast", "10");
static const char second[] = SERVER("259200", "3100") MODEL("slow", "14", "0", "2", "0", "12", "14")
                                 MODEL("fast", "3000", "6", "0", "3000", "3000", "3000") RUNS("fast", "200", "500")
                                 PADDING("fast", "160");

static void rates_and_latencies_are_those_of_the_time_between(void)
{
    char got[2000];
    print(first, second, (top_view){.columns = 0}, false, got, sizeof got);
    CHECK_STR(got, "proa top  h:1  01:02:03 UTC  up 1h 2m\n"
                   "connections 5  requests/s 1500  refused/s 0  in/s 1500 kB  out/s 0 B  memory 12 MB  "
                   "descriptors 21\n"
                   "\n"
                   "model   answers/s   failed/s  waiting  running  batch  padding        p50        p99\n"
                   "fast/1       1000        0.5        0        0    3.5     30 %     500 us     990 us\n"
                   "slow/1          2          0        2        0      -        -    2.00 ms    2.00 ms\n");
}

static void names_beyond_ascii_keep_the_columns(void)
{
    char got[2000];
    static const char was[] = SERVER("259200", "0") MODEL("caf\xC3\xA9", "0", "0", "0", "0", "0", "0")
                                  MODEL("plain", "0", "0", "0", "0", "0", "0");
    static const char is[] = SERVER("259200", "0") MODEL("caf\xC3\xA9", "4", "0", "0", "0", "4", "4")
                                 MODEL("plain", "2", "0", "0", "0", "2", "2");
    print(was, is, (top_view){.columns = 0}, false, got, sizeof got);
    const char *head = strstr(got, "model ");
    CHECK(head && strncmp(head, "model    answers/s", 18) == 0);   /* as wide as the longest, plain/1 */
    CHECK(strstr(got, "\ncaf\xC3\xA9/1           2          0"));
    CHECK(strstr(got, "\nplain/1          1          0"));
}

static void json_says_the_same(void)
{
    char got[2000];
    print(first, second, (top_view){.columns = 0}, true, got, sizeof got);
    CHECK_STR(got, "{\"address\":\"h:1\",\"up\":true,\"connections\":5,\"requests_per_second\":1500,"
                   "\"refused_per_second\":0,\"received_bytes_per_second\":1500000,\"sent_bytes_per_second\":0,"
                   "\"memory_bytes\":12500000,\"descriptors\":21,\"jobs_queued\":0,\"jobs_running\":0,\"jobs_kept\":0,"
                   "\"jobs_oldest_seconds\":0,\"models_memory_max_bytes\":0,\"models_memory_bytes\":0,"
                   "\"models_in_memory\":0,\"model_misses_waiting\":0,\"models\":["
                   "{\"name\":\"fast\",\"version\":\"1\",\"answers_per_second\":1000,\"failed_per_second\":0.5,"
                   "\"waiting\":0,\"running\":0,\"rows_per_run\":3.5,\"padding_share\":0.3,\"p50_seconds\":0.0005,"
                   "\"p99_seconds\":0.00099,\"sequences\":0,\"sequences_backlog\":0},"
                   "{\"name\":\"slow\",\"version\":\"1\",\"answers_per_second\":2,\"failed_per_second\":0,"
                   "\"waiting\":2,\"running\":0,\"rows_per_run\":null,\"padding_share\":null,"
                   "\"p50_seconds\":0.002,\"p99_seconds\":0.002,\"sequences\":0,\"sequences_backlog\":0}]}\n");
}

#define JOBS(queued, running, kept, oldest) \
    "proa_jobs{state=\"queued\"} " queued "\nproa_jobs{state=\"running\"} " running "\n" \
    "proa_jobs{state=\"kept\"} " kept "\nproa_jobs_oldest_seconds " oldest "\n"
#define SEQUENCES(name, active, backlog) \
    "proa_sequences_active{model_name=\"" name "\",model_version=\"1\"} " active "\n" \
    "proa_sequences_backlog{model_name=\"" name "\",model_version=\"1\"} " backlog "\n"

static void jobs_and_sequences_are_shown_where_there_are_any(void)
{
    static const char server[] = SERVER("259200", "7") JOBS("12", "2", "340", "75")
        MODEL("s", "1", "0", "0", "1", "1", "1") SEQUENCES("s", "4", "9")
        MODEL("t", "1", "0", "0", "1", "1", "1") SEQUENCES("t", "0", "0");
    char got[2000];
    print(server, server, (top_view){.columns = 0}, false, got, sizeof got);
    CHECK(strstr(got, "\njobs queued 12  running 2  oldest 1m 15s  kept 340\n\n"));
    CHECK(strstr(got, "       p99  sequences  backlog\n"));
    CHECK(strstr(got, "          -          4        9\n") && strstr(got, "          -          0        0\n"));
    print(server, server, (top_view){.columns = 0}, true, got, sizeof got);
    CHECK(strstr(got, ",\"jobs_queued\":12,\"jobs_running\":2,\"jobs_kept\":340,\"jobs_oldest_seconds\":75,"));
    CHECK(strstr(got, ",\"sequences\":4,\"sequences_backlog\":9}"));
}

#define BUDGET(in, bytes, misses, evictions) \
    "proa_models_memory_max_bytes 10000000\nproa_models_memory_bytes " bytes "\nproa_models_in_memory " in "\n" \
    "proa_model_misses_total " misses "\nproa_model_misses_waiting 3\nproa_model_evictions_total " evictions "\n"

static void a_budget_of_memory_is_shown_where_there_is_one(void)
{
    static const char earlier[] = SERVER("259200", "7") BUDGET("90", "9000000", "100", "50");
    static const char later[] = SERVER("259200", "7") BUDGET("94", "9500000", "300", "150");
    char got[2000];
    print(earlier, later, (top_view){.columns = 0}, false, got, sizeof got);
    CHECK(strstr(got, "\nmodels in memory 94  taking 9500 kB of 10 MB  misses/s "));
    CHECK(strstr(got, "  waiting 3\n"));
    print(earlier, later, (top_view){.columns = 0}, true, got, sizeof got);
    CHECK(strstr(got, "\"models_memory_max_bytes\":10000000,\"models_memory_bytes\":9500000,\"models_in_memory\":94,"));
}

static void padding_is_of_rows_and_of_their_lengths(void)
{
#define ENTRIES(all, waste) \
    "proa_batch_entries_total{model_name=\"m\",model_version=\"1\"} " all "\n" \
    "proa_batch_padding_entries_total{model_name=\"m\",model_version=\"1\"} " waste "\n"
    char got[2000];
    print(SERVER("259200", "1") RUNS("m", "1", "10") PADDING("m", "0") ENTRIES("100", "10"),
          SERVER("259200", "2") RUNS("m", "2", "20") PADDING("m", "1") ENTRIES("140", "40"),
          (top_view){.columns = 0}, true, got, sizeof got);
    CHECK(strstr(got, "\"rows_per_run\":10,\"padding_share\":0.75,"));
}

static void a_server_started_anew_is_compared_with_nothing(void)
{
    char got[2000];
    print(first, SERVER("259300", "9000") MODEL("fast", "5", "0", "0", "5", "5", "5"), (top_view){.columns = 0}, false,
          got, sizeof got);
    CHECK(strstr(got, "requests/s -"));
    CHECK(strstr(got, "fast/1          -          -        0        0      -        -          -"));
    print(first, SERVER("259200", "7") MODEL("fast", "5", "0", "0", "5", "5", "5"), (top_view){.columns = 0}, false,
          got, sizeof got);
    CHECK(strstr(got, "requests/s -"));
}

static void the_screen_is_kept_to_and_names_move_no_cursor(void)
{
    char got[2000];
    print(SERVER("1", "1"), SERVER("1", "1") MODEL("a\\n\x1b[2J", "5", "0", "0", "5", "5", "5")
              MODEL("b", "1", "0", "0", "1", "1", "1"),
          (top_view){.columns = 30, .rows = 5, .colours = true}, false, got, sizeof got);
    CHECK_STR(got, "\x1b[1mproa top  h:1  01:02:03 UTC  u\x1b[0m\n"
                   "connections 5  requests/s 0  r\n"
                   "\n"
                   "\x1b[7mmodel     answers/s   failed/s\x1b[0m\n"
                   "a??[2J/1        2.5          0\n");
}

static void a_server_that_is_down_is_told(void)
{
    buf out;
    buf_init(&out, 4096);
    top_view v = {.address = "h:1", .down = "h:1: gone", .down_wall_us = 61 * SECOND, .wall_us = 3700 * SECOND};
    top_view_print(&out, &v);
    top_view_json(&out, &v);
    v.down = "h:1: 401: no";
    v.answers = true;
    top_view_print(&out, &v);
    top_view_json(&out, &v);
    buf_put_byte(&out, 0);
    CHECK_STR((const char *)out.p, "proa top  h:1  down since 00:01:01 UTC (1h 0m)\nh:1: gone\n"
                                   "{\"address\":\"h:1\",\"up\":false,\"error\":\"h:1: gone\"}\n"
                                   "proa top  h:1  no metrics since 00:01:01 UTC (1h 0m)\nh:1: 401: no\n"
                                   "{\"address\":\"h:1\",\"up\":true,\"error\":\"h:1: 401: no\"}\n");
    buf_fini(&out);
}

static void other_texts_are_refused(void)
{
    err e;
    CHECK(top_scrape_read(&now, STR("<html>"), 1, &e) == ERR_INVALID);
    CHECK_STR(e.text, "metrics: line 1: expected a sample, got '<html>'");
    CHECK(top_scrape_read(&now, STR("go_threads 7\n"), 1, &e) == ERR_INVALID);
    CHECK_STR(e.text, "metrics: expected those of proa serve, got none");
}

static void more_models_than_there_is_room_for_are_left_out(void)
{
    err e;
    buf text;
    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < TOP_MODELS_MAX + 10; i++)
        buf_printf(&text, "proa_inference_success_total{model_name=\"m%zu\",model_version=\"1\"} 1\n", i);
    CHECK(top_scrape_read(&now, buf_str(&text), 1, &e) == ERR_OK);
    CHECK_U64(now.model_count, TOP_MODELS_MAX);
    buf_fini(&text);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(rates_and_latencies_are_those_of_the_time_between),
        TEST(names_beyond_ascii_keep_the_columns),
        TEST(json_says_the_same),
        TEST(jobs_and_sequences_are_shown_where_there_are_any),
        TEST(a_budget_of_memory_is_shown_where_there_is_one),
        TEST(padding_is_of_rows_and_of_their_lengths),
        TEST(a_server_started_anew_is_compared_with_nothing),
        TEST(the_screen_is_kept_to_and_names_move_no_cursor),
        TEST(a_server_that_is_down_is_told),
        TEST(other_texts_are_refused),
        TEST(more_models_than_there_is_room_for_are_left_out),
    };
    return test_main(cases, COUNTOF(cases));
}
