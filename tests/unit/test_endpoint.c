/* Every path answers with KServe's status and words; HEAD answers as GET without a body; what does not exist or is not
 * allowed says so; readiness turns before anything else does. */
#include "http_rig.h"
#include "test.h"

static char path[64];
static http_rig r;

#define JSON(status, length) status "\r\nContent-Type: application/json\r\nContent-Length: " length "\r\n\r\n"
#define ERROR_503(length) \
    "503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\nContent-Length: " length "\r\n\r\n"
#define TEXT(status, length) status "\r\nContent-Type: text/plain\r\nContent-Length: " length "\r\n\r\n"

static void small_answers_are_exact(void)
{
    static const struct {
        const char *path, *want;
    } rows[] = {
        {"/", JSON("200 OK", "18") "{\"status\":\"alive\"}"},
        {"/healthz", TEXT("200 OK", "2") "ok"},
        {"/readyz", TEXT("200 OK", "2") "ok"},
        {"/v2/health/live", JSON("200 OK", "13") "{\"live\":true}"},
        {"/v2/health/ready", JSON("200 OK", "14") "{\"ready\":true}"},
        {"/v2/models", JSON("200 OK", "20") "{\"models\":[\"m\",\"q\"]}"},
        {"/v1/models", JSON("200 OK", "20") "{\"models\":[\"m\",\"q\"]}"},
        {"/v2/models/m/ready", JSON("200 OK", "25") "{\"name\":\"m\",\"ready\":true}"},
        {"/v2/models/m/versions/1/ready", JSON("200 OK", "25") "{\"name\":\"m\",\"ready\":true}"},
        {"/v1/models/m", JSON("200 OK", "25") "{\"name\":\"m\",\"ready\":true}"},
        {"/v2/models/m",
         JSON("200 OK",
              "169") "{\"name\":\"m\",\"versions\":[\"1\"],\"platform\":\"onnx_onnxv1\",\"inputs\":[{\"name\":"
                     "\"x\",\"datatype\":\"FP32\",\"shape\":[-1,2]}],\"outputs\":[{\"name\":\"y\",\"datatype\":"
                     "\"FP32\",\"shape\":[-1,2]}]}"},
        {"/v2/models/none", JSON("404 Not Found", "48") "{\"error\":\"Model with name none does not exist.\"}"},
        {"/v2/models/m/versions/2",
         JSON("404 Not Found", "59") "{\"error\":\"Model with name m and version 2 does not exist.\"}"},
        {"/nope", JSON("404 Not Found", "21") "{\"error\":\"Not Found\"}"},
        {"/v2/models/m/infer", "405 Method Not Allowed\r\nContent-Type: application/json\r\nAllow: POST\r\n"
                               "Content-Length: 30\r\n\r\n{\"error\":\"Method Not Allowed\"}"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) CHECK_STR(http_rig_get(&r, rows[i].path), rows[i].want);
    CHECK_STR(http_rig_post(&r, "/v1/models/m:explain", "", "{}", 2),
              JSON("501 Not Implemented", "64") "{\"error\":\"explain is not supported: the model has no explainer\"}");
    CHECK_STR(http_rig_post(&r, "/v1/models/none:explain", "", "{}", 2),
              JSON("404 Not Found", "48") "{\"error\":\"Model with name none does not exist.\"}");
    CHECK_STR(http_rig_post(&r, "/v2/health/live", "", "", 0),
              "405 Method Not Allowed\r\nContent-Type: application/json\r\nAllow: GET\r\n"
              "Content-Length: 30\r\n\r\n{\"error\":\"Method Not Allowed\"}");
}

static void server_metadata_names_the_binary_extension(void)
{
    const char *got = http_rig_get(&r, "/v2");
    CHECK(strstr(got, "\r\n\r\n{\"name\":\"proa\",\"version\":\""));
    CHECK(strstr(got, "\"extensions\":[\"classification\",\"sequence\",\"model_repository\","));
    CHECK(strstr(got, "\"binary_tensor_data\""));
    CHECK(strcmp(strstr(got, "\r\n\r\n"), strstr(http_rig_get(&r, "/v2/"), "\r\n\r\n")) == 0);
}

static void head_answers_as_get_without_a_body(void)
{
    static const char head[] =
        "HEAD /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    http_rig_send(&r, head, sizeof head - 1);
    HTTP_RIG_UNTIL(&r, http_rig_has(&r, "\r\n\r\nok"));
    const char *second = strstr(r.got + 1, "HTTP/1.1 ");
    CHECK(strstr(r.got, "Content-Length: 13\r\n\r\nHTTP/1.1 200 OK\r\n"));
    CHECK(second && strstr(second, "\r\n\r\nok"));
    http_rig_hang_up(&r, false);
}

static uint64_t metric(const char *name)
{
    const char *at = strstr(r.got, name);
    uint64_t n = 0;
    if (at) at += strlen(name);
    CHECK(at && str_u64((str){at, strcspn(at, "\n")}, &n));
    return n;
}

static void metrics_count_what_was_asked(void)
{
    r.endpoints.start_us = 1700000000123456;
    const char *got = http_rig_get(&r, "/metrics");
    CHECK(strstr(got, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    CHECK(strstr(r.got, "\nproa_http_connections_open{protocol=\"http1\"} 1\n"));
    CHECK(strstr(r.got, "\n# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes "));
    CHECK(strstr(r.got, "proa_inference_success_total{model_name=\"m\",model_version=\"1\"} 0\n"));
    CHECK(strstr(r.got, "\nprocess_start_time_seconds 1700000000.123\n"));
    uint64_t in = metric("\nproa_http_received_bytes_total "), out = metric("\nproa_http_sent_bytes_total ");
    uint64_t requests = metric("\nproa_http_requests_total ");
    http_rig_get(&r, "/metrics");
    CHECK_U64(metric("\nproa_http_received_bytes_total "), in + strlen("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"));
    CHECK(metric("\nproa_http_sent_bytes_total ") > out + 2000);   /* the answer before this one */
    CHECK_U64(metric("\nproa_http_requests_total "), requests + 1);
    static const char open[] = "GET /metrics HTTP/1.1\r\nHost: h\r\nAccept: application/openmetrics-text\r\n\r\n";
    got = http_rig_ask(&r, open, sizeof open - 1);
    CHECK(strstr(got, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
}

/* What a client makes up is counted, and becomes no label. */
static void strangers_make_no_series(void)
{
    static const char body[] = "{\"instances\":[[1,2]]}";
    http_rig_get(&r, "/metrics");
    size_t before = r.got_len;
    for (int i = 0; i < 20; i++) {
        char name[64];
        snprintf(name, sizeof name, "/v1/models/nobody-%d:predict", i);
        http_rig_post(&r, name, "", body, sizeof body - 1);
    }
    http_rig_get(&r, "/metrics");
    CHECK(!strstr(r.got, "nobody"));
    CHECK_U64(metric("proa_requests_total{model_name=\"\",model_version=\"\",protocol=\"v1\",code=\"404\"} "), 20);
    CHECK(r.got_len < before + 200);
}

/* Last: there is no way back. */
static void readiness_turns_and_the_rest_goes_on(void)
{
    endpoints_leave(&r.endpoints);
    CHECK_STR(http_rig_get(&r, "/readyz"), TEXT("503 Service Unavailable", "8") "draining");
    CHECK_STR(http_rig_get(&r, "/v2/health/ready"), JSON("503 Service Unavailable", "15") "{\"ready\":false}");
    CHECK_STR(http_rig_get(&r, "/v2/models/m/ready"),
              ERROR_503("43") "{\"error\":\"Model with name m is not ready.\"}");
    CHECK_STR(http_rig_get(&r, "/v1/models/m"),
              ERROR_503("43") "{\"error\":\"Model with name m is not ready.\"}");
    CHECK_STR(http_rig_get(&r, "/healthz"), TEXT("200 OK", "2") "ok");
    CHECK_STR(http_rig_get(&r, "/v2/health/live"), JSON("200 OK", "13") "{\"live\":true}");
    static const char body[] = "{\"instances\":[[1,2]]}";
    CHECK_STR(http_rig_post(&r, "/v1/models/m:predict", "", body, sizeof body - 1),
              JSON("200 OK", "27") "{\"predictions\":[[2.0,4.0]]}");
}

int main(void)
{
    static const test_case cases[] = {
        TEST(small_answers_are_exact),
        TEST(server_metadata_names_the_binary_extension),
        TEST(head_answers_as_get_without_a_body),
        TEST(metrics_count_what_was_asked),
        TEST(strangers_make_no_series),
        TEST(readiness_turns_and_the_rest_goes_on),
    };
    onnx_build b;
    serve_rig_twice(&b);
    serve_rig_save(&b, path);
    bool started =
        http_rig_start(&r, &(http_rig_opts){.threads = "1"}, (const char *const[]){"m", path, "q", path, NULL});
    int failed = started ? test_main(cases, COUNTOF(cases)) : 1;
    if (started) http_rig_stop(&r);
    serve_rig_unsave(path);
    onnx_build_end(&b);
    return failed;
}
