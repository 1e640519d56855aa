/* Nobody without a known key learns or does anything but health; a key opens its models and nothing else, over REST and
 * gRPC alike, by name and in lists; new keys count at once, also for streams that have begun; wrong files change
 * nothing. */
#include "grpc_rig.h"
#include "serve/v2_pb.h"
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

static char model_path[64], keys_path[80];
static grpc_rig g;
static http_rig *r = &g.rig;

static const char *const models[] = {"m", model_path, "q", model_path, NULL};

#define ALL "Authorization: Bearer all-secret\r\n"
#define ONLY_M "X-API-Key: m-secret\r\n"

static void line_put(buf *out, const char *name, const char *secret, const char *of)
{
    api_key_line(out, str_of(name), str_of(secret), &(str){of, strlen(of)}, 1);
    buf_put_byte(out, '\n');
}

static void file_write(const char *bytes, size_t len)
{
    FILE *f = fopen(keys_path, "wb");
    INVARIANT(f && fwrite(bytes, 1, len, f) == len && fclose(f) == 0);
}

/* all: *, mine: m. */
static void file_write_two(const char *m_secret)
{
    buf text;
    buf_init(&text, 4096);
    line_put(&text, "all", "all-secret", "*");
    line_put(&text, "mine", m_secret, "m");
    file_write((const char *)text.p, text.len);
    buf_fini(&text);
}

static void start(void)
{
    err e;
    bool started = grpc_rig_start(&g, &(http_rig_opts){.threads = "1"}, models);
    INVARIANT(started);
    file_write_two("m-secret");
    CHECK(guard_open(&r->endpoints.guard, keys_path, &e) == ERR_OK);
}

static void stop(void)
{
    guard_close(&r->endpoints.guard);
    grpc_rig_stop(&g);
}

/* ---- REST ---- */

static const char *ask(const char *method, const char *path, const char *headers, size_t len)
{
    static char request[1 << 20];
    int n = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n", method,
                     path, headers, len);
    memset(request + n, ' ', len);
    return http_rig_ask(r, request, (size_t)n + len);
}

static bool is(const char *status, const char *method, const char *path, const char *headers)
{
    return strncmp(ask(method, path, headers, 0), status, 4) == 0;
}

static const char *const of_m[][2] = {
    {"GET", "/v2/models/m"},          {"GET", "/v2/models/m/ready"},      {"GET", "/v1/models/m"},
    {"GET", "/v2/models/m/stats"},    {"GET", "/v2/models/m/config"},     {"POST", "/v2/models/m/infer"},
    {"POST", "/v1/models/m:predict"}, {"POST", "/v1/models/m:explain"},   {"POST", "/v2/models/m/generate"},
    {"GET", "/v2/models/m/versions/1"}, {"GET", "/v2/models/m/trace/setting"},
};
static const char *const of_all[][2] = {
    {"GET", "/v2"},      {"GET", "/v2/models"},     {"GET", "/v1/models"},      {"POST", "/v2/repository/index"},
    {"GET", "/metrics"}, {"GET", "/v2/models/stats"}, {"GET", "/v2/logging"}, {"GET", "/v2/systemsharedmemory/status"},
    {"GET", "/nope"},    {"POST", "/v2"},
};

static void without_a_known_key_there_is_health_and_nothing_else(void)
{
    static const char *const open[] = {"/", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"};
    start();
    for (size_t i = 0; i < COUNTOF(open); i++) CHECK(is("200 ", "GET", open[i], "X-API-Key: wrong\r\n"));
    for (size_t i = 0; i < COUNTOF(of_m); i++) CHECK(is("401 ", of_m[i][0], of_m[i][1], ""));
    for (size_t i = 0; i < COUNTOF(of_all); i++) CHECK(is("401 ", of_all[i][0], of_all[i][1], ""));
    CHECK_STR(ask("GET", "/v2", "", 0),
              "401 Unauthorized\r\nContent-Type: application/json\r\nWWW-Authenticate: Bearer realm=\"proa\"\r\n"
              "Content-Length: 84\r\n\r\n"
              "{\"error\":\"API key: expected Authorization: Bearer KEY, or X-API-Key: KEY, got none\"}");
    static const char *const wrong[] = {
        "Authorization: Bearer all-secre\r\n", "Authorization: Bearer all-secrets\r\n", "Authorization: all-secret\r\n",
        "Authorization: Basic all-secret\r\n", "Authorization: Bearer\r\n", "X-API-Key: ALL-SECRET\r\n",
        ("Authorization: Bearer wrong\r\n" ONLY_M)};
    for (size_t i = 0; i < COUNTOF(wrong); i++) CHECK(is("401 ", "GET", "/v2", wrong[i]) && !strstr(r->text, "ecre"));
    char longest[API_KEYS_TEXT_BYTES_MAX + 40] = "X-API-Key: ";
    for (size_t n = 11; n < API_KEYS_TEXT_BYTES_MAX + 20; n++) longest[n] = 'k';
    strcat(longest, "\r\n");
    CHECK(is("401 ", "GET", "/v2", longest));
    r->endpoints.guard.metrics_open = true;
    CHECK(is("200 ", "GET", "/metrics", ""));
    stop();
}

static void a_key_opens_its_models(void)
{
    start();
    for (size_t i = 0; i < COUNTOF(of_m); i++) {
        char path[80];
        CHECK(!is("401 ", of_m[i][0], of_m[i][1], ALL) && strncmp(r->text, "403 ", 4) != 0);
        CHECK(!is("401 ", of_m[i][0], of_m[i][1], ONLY_M) && strncmp(r->text, "403 ", 4) != 0);
        snprintf(path, sizeof path, "%s", of_m[i][1]);
        for (const char *name = "qz"; *name; name++) {   /* one that is there and one that is not: nobody sees which */
            path[sizeof "/v2/models/" - 1] = *name;
            CHECK(is("403 ", of_m[i][0], path, ONLY_M));
        }
    }
    CHECK_STR(strstr(ask("GET", "/v2/models/q", ONLY_M, 0), "{"),
              "{\"error\":\"The key of mine is not for model q.\"}");
    CHECK(is("404 ", "GET", "/v2/models/none", "authorization: bearer  all-secret\r\n"));
    CHECK(is("404 ", "GET", "/nope", ONLY_M) && is("405 ", "POST", "/v2", ONLY_M));
    CHECK(is("200 ", "GET", "/v2/models/m", "Authorization: Basic eDp5\r\n" ONLY_M));   /* a proxy's own */
    stop();
}

static void lists_show_what_the_key_may_use(void)
{
    start();
    CHECK_STR(strstr(ask("GET", "/v2/models", ALL, 0), "{"), "{\"models\":[\"m\",\"q\"]}");
    CHECK_STR(strstr(ask("GET", "/v1/models", ONLY_M, 0), "{"), "{\"models\":[\"m\"]}");
    CHECK_STR(strstr(ask("POST", "/v2/repository/index", ONLY_M, 0), "["),
              "[{\"name\":\"m\",\"version\":\"1\",\"state\":\"READY\"}]");
    CHECK(strstr(ask("GET", "/v2/models/stats", ALL, 0), "\"name\":\"q\""));
    CHECK(strstr(ask("GET", "/v2/models/stats", ONLY_M, 0), "\"name\":\"m\"") && !strstr(r->text, "\"name\":\"q\""));
    CHECK(strstr(ask("GET", "/metrics", ONLY_M, 0), "200 ") && strstr(r->got, "model_name=\"m\""));
    CHECK(!strstr(r->got, "model_name=\"q\""));
    CHECK(is("403 ", "POST", "/v2/logging", ONLY_M) && is("200 ", "GET", "/v2/logging", ONLY_M));
    CHECK_STR(strstr(ask("POST", "/v2/models/m/trace/setting", ONLY_M, 0), "{"),
              "{\"error\":\"The key of mine is for some models: this needs one for all (*).\"}");
    CHECK(!is("403 ", "POST", "/v2/logging", ALL));
    stop();
}

/* Who has no key cannot make the server hold a large body: it is refused at its head, and the connection ends. */
static void a_large_body_is_not_read_without_a_key(void)
{
    static const char head[] = "%s HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n";
    static const struct {
        const char *line, *status;
    } rows[] = {{"POST /v2/models/m/infer", "401 "}, {"PUT /v2/models/m/infer", "401 "}, {"PATCH /nowhere", "401 "},
                {"GET /v2/models", "401 "}, {"GET /healthz", "200 "}};
    char request[300];
    start();
    CHECK(is("401 ", "POST", "/v2/models/m/infer", "") && !r->closed);
    CHECK(strncmp(ask("POST", "/v2/models/m/infer", "", 1000), "401 ", 4) == 0 && !r->closed);
    for (size_t i = 0; i < COUNTOF(rows); i++) {   /* whatever the method: any may bring a body */
        int n = snprintf(request, sizeof request, head, rows[i].line);
        CHECK(strncmp(http_rig_ask(r, request, (size_t)n), rows[i].status, 4) == 0);
        CHECK(strstr(r->text, "Connection: close\r\n"));
        http_rig_hang_up(r, false);
    }
    r->endpoints.guard.metrics_open = true;   /* packed on a worker: the body comes before the answer, and is dropped */
    int n = snprintf(request, sizeof request, "GET /metrics HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n"
                                              "Content-Length: 100000\r\n\r\n");
    static char whole[110000];
    memcpy(whole, request, (size_t)n);
    memset(whole + n, ' ', 100000);
    CHECK(strncmp(http_rig_ask(r, whole, (size_t)n + 100000), "200 ", 4) == 0);
    CHECK(strstr(r->text, "Content-Encoding: gzip\r\n"));
    r->endpoints.guard.metrics_open = false;
    http_rig_hang_up(r, false);
    CHECK(strncmp(ask("POST", "/v2/models/m/infer", ONLY_M, 500000), "400 ", 4) == 0);
    static const char chunked[] = "POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    CHECK(strncmp(http_rig_ask(r, chunked, sizeof chunked - 1), "401 ", 4) == 0);
    http_rig_hang_up(r, false);
    stop();
}

/* ---- gRPC ---- */

#define SERVICE "/inference.GRPCInferenceService/"
#define G_ALL "authorization: Bearer all-secret\n"
#define G_M "x-api-key: m-secret\n"

static const char *rpc(const char *path, const char *headers, const char *message)
{
    return grpc_rig_unary(&g, path, headers, str_of(message), NULL);
}

static void grpc_asks_for_keys_too(void)
{
    start();
    CHECK_STR(rpc(SERVICE "ServerLive", "", ""), "0 0801");
    CHECK_STR(rpc(SERVICE "ServerReady", "", ""), "0 0801");
    CHECK_STR(rpc("/grpc.health.v1.Health/Check", "", ""), "0 0801");
    static const char none[] = "16 API key: expected Authorization: Bearer KEY, or X-API-Key: KEY, got none";
    static const char *const methods[] = {SERVICE "ModelInfer", SERVICE "ServerMetadata", SERVICE "RepositoryIndex",
                                          SERVICE "ModelReady", SERVICE "Nope", SERVICE "SystemSharedMemoryStatus",
                                          SERVICE "ModelStreamInfer",
                                          "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"};
    for (size_t i = 0; i < COUNTOF(methods); i++) CHECK_STR(rpc(methods[i], "", ""), none);
    CHECK_STR(rpc(SERVICE "ModelReady", "x-api-key: wrong\n", "\x0a\1m"),
              "16 API key: expected one that is known here, got another");
    CHECK_STR(rpc(SERVICE "ModelReady", G_M, "\x0a\1m"), "0 0801");
    static const char *const of_model[] = {SERVICE "ModelReady", SERVICE "ModelMetadata", SERVICE "ModelConfig",
                                           SERVICE "ModelStatistics", SERVICE "ModelInfer"};
    for (size_t i = 0; i < COUNTOF(of_model); i++) {
        CHECK_STR(rpc(of_model[i], G_M, "\x0a\1q"), "7 The key of mine is not for model q.");
        CHECK_STR(rpc(of_model[i], G_M, "\x0a\2zz"), "7 The key of mine is not for model zz.");
        CHECK(strncmp(rpc(of_model[i], G_M, "\x0a\1m"), "7 ", 2) != 0 && strncmp(g.text, "16 ", 3) != 0);
        CHECK(strncmp(rpc(of_model[i], G_ALL, "\x0a\1q"), "7 ", 2) != 0 && strncmp(g.text, "16 ", 3) != 0);
    }
    CHECK_STR(rpc(SERVICE "RepositoryModelLoad", G_M, "\x12\1q"),
              "7 The key of mine is for some models: this needs one for all (*).");
    CHECK_STR(rpc(SERVICE "TraceSetting", G_M, "\x12\1q"), "7 The key of mine is not for model q.");
    CHECK(strncmp(rpc(SERVICE "TraceSetting", G_M, ""), "0 ", 2) == 0);
    CHECK_STR(rpc(SERVICE "LogSettings", G_M, "\x0a\x0e\x0a\x08log_info\x12\x02\x08\x01"),
              "7 The key of mine is for some models: this needs one for all (*).");
    CHECK_STR(rpc(SERVICE "RepositoryIndex", G_M, ""), "0 0a0d0a016d1201311a055245414459");
    CHECK(strstr(rpc(SERVICE "RepositoryIndex", G_ALL, ""), "0a01711201311a05"));
    CHECK(!strstr(rpc(SERVICE "ModelStatistics", G_M, ""), "0a01711201"));
    stop();
}

/* ---- new keys ---- */

static void new_keys_count_at_once(void)
{
    err e;
    start();
    CHECK(is("200 ", "GET", "/v2/models/m", ONLY_M));
    http_rig_hang_up(r, false);
    grpc_call *stream =
        grpc_rig_call(&g, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", G_M);
    grpc_rig_message(&g, stream, STR("\x3a\1*"), false, false);
    CHECK(grpc_rig_until(&g, stream, 100));
    long live = mem_live();
    for (int i = 0; i < 3; i++) {
        file_write_two("m-secret");
        CHECK(guard_renew(&r->endpoints.guard, keys_path, &r->loop, 1, &e) == ERR_OK);
        grpc_rig_turn(&g, 2);
    }
    for (int i = 0; i < 60000 && mem_live() > live; i++) grpc_rig_turn(&g, 1);   /* each loop lets go in its own time */
    CHECK(mem_live() <= live);   /* the old ones are gone */
    size_t bytes = stream->in.len;
    grpc_rig_message(&g, stream, STR("\x3a\1*"), false, false);
    CHECK(grpc_rig_until(&g, stream, bytes + 100));
    file_write("rubbish", 7);
    CHECK(guard_renew(&r->endpoints.guard, keys_path, &r->loop, 1, &e) == ERR_INVALID);
    CHECK(strstr(e.text, ":1: digest: expected sha256:"));
    file_write_two("let in");
    CHECK(chmod(keys_path, 0602) == 0);
    CHECK(guard_renew(&r->endpoints.guard, keys_path, &r->loop, 1, &e) == ERR_INVALID);
    CHECK(strstr(e.text, ": mode: expected keys that not everybody may write, got '602'"));
    unlink(keys_path);
    CHECK(guard_renew(&r->endpoints.guard, keys_path, &r->loop, 1, &e) != ERR_OK);
    bytes = stream->in.len;
    grpc_rig_message(&g, stream, STR("\x3a\1*"), false, false);
    CHECK(grpc_rig_until(&g, stream, bytes + 100));
    file_write_two("another");
    CHECK(guard_renew(&r->endpoints.guard, keys_path, &r->loop, 1, &e) == ERR_OK);
    grpc_rig_message(&g, stream, STR("\x3a\1*"), false, false);
    CHECK(grpc_rig_until(&g, stream, SIZE_MAX));
    CHECK_STR(stream->status, "16");
    CHECK(strncmp(rpc(SERVICE "ModelReady", G_M, "\x0a\1m"), "16 ", 3) == 0);
    CHECK_STR(rpc(SERVICE "ModelReady", "x-api-key: another\n", "\x0a\1m"), "0 0801");
    stop();
}

static void construction_survives_every_failed_allocation(void)
{
    err e;
    file_write_two("m-secret");
    FAULT_SWEEP({
        guard of = {.metrics_open = false};
        err_code rc = guard_open(&of, keys_path, &e);
        CHECK((rc == ERR_OK) == guard_is_on(&of));
        guard_close(&of);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(without_a_known_key_there_is_health_and_nothing_else),
        TEST(a_key_opens_its_models),
        TEST(lists_show_what_the_key_may_use),
        TEST(a_large_body_is_not_read_without_a_key),
        TEST(grpc_asks_for_keys_too),
        TEST(new_keys_count_at_once),
        TEST(construction_survives_every_failed_allocation),
    };
    onnx_build b;
    serve_rig_twice(&b);
    serve_rig_save(&b, model_path);
    snprintf(keys_path, sizeof keys_path, "%s.keys", model_path);
    int failed = test_main(cases, COUNTOF(cases));
    unlink(keys_path);
    serve_rig_unsave(model_path);
    onnx_build_end(&b);
    return failed;
}
