/* Each answer is one line with the request's id, status, bytes and time, also when it was refused unread or nobody
 * takes it; nothing that a client sends can break the line or add a field to it. */
#include "serve/access_log.h"
#include "base/log.h"
#include "net/conn.h"
#include "os/clock.h"
#include "test.h"

static char line[LOG_LINE_MAX];

static void sink(const char *text, size_t len) { snprintf(line, sizeof line, "%.*s", (int)len, text); }
static uint64_t clock_us(void) { return 0; }

/* The line from its level on, with the time it took as N. */
static const char *logged_as(bool json, http_call *call, const http_request *req, const http_answer *answer)
{
    static char text[LOG_LINE_MAX];
    log_setup(&(log_opts){.level = LOG_INFO, .json = json, .sink = sink, .clock_us = clock_us});
    line[0] = 0;
    access_log(NULL, call, req, answer);
    log_setup(&(log_opts){.level = LOG_INFO});
    const char *us = strstr(line, json ? "\"us\":\"" : " us=");
    if (!us) return line;
    us += json ? 6 : 4;
    snprintf(text, sizeof text, "%.*sN%s", (int)(us - line), line, us + strspn(us, "0123456789"));
    return text;
}

static const char *logged(bool json, http_call *call, const http_request *req, int status)
{
    return logged_as(json, call, req, &(http_answer){.status = status, .body_bytes = 17});
}

static conn somebody;

static void an_answer_is_one_line(void)
{
    http_call call = {.from = &somebody, .request_id = STR("id-1")};
    http_request req = {.method = STR("POST"), .path = STR("/v2/models/m/infer"), .body = STR("12345")};
    CHECK_STR(logged(false, &call, &req, 200),
              "1970-01-01T00:00:00.000000Z info  answered request=id-1 method=POST status=200 received=5 sent=17 us=N "
              "path=/v2/models/m/infer\n");
    CHECK_STR(logged(true, &call, &req, 200),
              "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"info\",\"msg\":\"answered\",\"request\":\"id-1\","
              "\"method\":\"POST\",\"status\":\"200\",\"received\":\"5\",\"sent\":\"17\",\"us\":\"N\","
              "\"path\":\"/v2/models/m/infer\"}\n");
    call.from = NULL;
    CHECK_STR(logged(false, &call, &req, 499),
              "1970-01-01T00:00:00.000000Z info  answered request=id-1 method=POST status=499 received=5 sent=17 us=N "
              "gone=true path=/v2/models/m/infer\n");
}

static void a_grpc_call_shows_the_status_that_it_ended_with(void)
{
    static const struct {
        const char *sent, *shown;
    } rows[] = {{"0", "grpc_status=OK "}, {"4", "grpc_status=DEADLINE_EXCEEDED "}, {"14", "grpc_status=UNAVAILABLE "},
                {"16", "grpc_status=UNAUTHENTICATED "}, {"17", "grpc_status=17 "}, {"", "received="},
                {"a b", "received="}};
    http_call call = {.from = &somebody, .request_id = STR("id-1")};
    http_request req = {.method = STR("POST"), .path = STR("/s/m")};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        const http_header trailers[] = {{STR("grpc-message"), STR("x")}, {STR("grpc-status"), str_of(rows[i].sent)}};
        const http_answer answer = {.status = 200, .trailers = trailers, .trailer_count = COUNTOF(trailers)};
        const char *at = strstr(logged_as(false, &call, &req, &answer), "status=200 ");
        CHECK(at && strncmp(at + 11, rows[i].shown, strlen(rows[i].shown)) == 0);
    }
    const http_header cancelled = {STR("grpc-status"), STR("1")};
    const http_answer answer = {.status = 200, .trailers = &cancelled, .trailer_count = 1};
    CHECK(strstr(logged_as(true, &call, &req, &answer),
                 "\"status\":\"200\",\"grpc_status\":\"CANCELLED\",\"received\""));
}

static void the_time_is_in_microseconds(void)
{
    http_call call = {.from = &somebody, .request_id = STR("id-1"), .since_us = clock_now_us() - 5000000};
    http_request none = {.body = {0}};
    uint64_t us = 0;
    log_setup(&(log_opts){.level = LOG_INFO, .sink = sink, .clock_us = clock_us});
    access_log(NULL, &call, &none, &(http_answer){.status = 200});
    log_setup(&(log_opts){.level = LOG_INFO});
    const char *at = strstr(line, " us=");
    CHECK(at && str_u64((str){at + 4, strspn(at + 4, "0123456789")}, &us));
    CHECK(us >= 5000000 && us < 500000000);
}

static void a_request_that_was_not_read_has_no_path(void)
{
    http_call call = {.from = &somebody, .request_id = STR("id-1")};
    http_request none = {.body = {0}};
    CHECK_STR(logged(false, &call, &none, 400),
              "1970-01-01T00:00:00.000000Z info  answered request=id-1 status=400 received=0 sent=17 us=N\n");
}

static void no_path_can_break_the_line(void)
{
    char longest[4096];
    http_call call = {.from = &somebody, .request_id = STR("id-1")};
    http_request req = {.method = STR("GET"), .path = STR("/a b%=\n\"\\\177\033\303\251\377 status=200")};
    CHECK(strstr(logged(false, &call, &req, 404), " path=/a%20b%25=%0A\"\\%7F%1B\303\251\\xff%20status=200\n"));
    CHECK(strstr(logged(true, &call, &req, 404),
                 "\"path\":\"/a%20b%25=%0A\\\"\\\\%7F%1B\303\251\\ufffd%20status=200\"}\n"));
    memset(longest, 'x', 200);
    req.path = (str){longest, 200};
    CHECK(strlen(strstr(logged(false, &call, &req, 404), " path=x")) == 6 + 200 + 1);   /* whole, without dots */
    memset(longest, 1, sizeof longest);
    req.path = (str){longest, sizeof longest};
    const char *got = logged(false, &call, &req, 404), *path = strstr(got, " path=%01%01");
    CHECK(path && strlen(path) == 6 + 3 * 200 + 3 + 1 && strcmp(path + strlen(path) - 4, "...\n") == 0);
}

static void a_level_above_info_writes_nothing(void)
{
    http_call call = {.from = &somebody};
    http_request req = {.method = STR("GET"), .path = STR("/")};
    log_setup(&(log_opts){.level = LOG_WARN, .sink = sink, .clock_us = clock_us});
    line[0] = 0;
    access_log(NULL, &call, &req, &(http_answer){.status = 200});
    CHECK_STR(line, "");
}

int main(void)
{
    static const test_case cases[] = {
        TEST(an_answer_is_one_line),
        TEST(a_grpc_call_shows_the_status_that_it_ended_with),
        TEST(the_time_is_in_microseconds),
        TEST(a_request_that_was_not_read_has_no_path),
        TEST(no_path_can_break_the_line),
        TEST(a_level_above_info_writes_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
