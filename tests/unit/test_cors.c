/* Who may read is said to those who may and to nobody else; errors say it, too; what a preflight asks for is granted
 * within bounds; without origins not a byte of it is sent. */
#include "serve/cors.h"
#include "http_rig.h"
#include "test.h"

static char path[64];
static http_rig r;

#define A "https://a.example"
#define EXPOSED \
    "Access-Control-Expose-Headers: Inference-Header-Content-Length, X-Request-Id, Retry-After, Content-Encoding\r\n"

static void set(const char *origins, bool credentials)
{
    err e;
    CHECK(cors_init(&r.endpoints.cors, str_of(origins), credentials, &e) == ERR_OK);
}

static const char *ask(const char *method, const char *where, const char *headers)
{
    char request[4096];
    int n = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n", method, where, headers);
    return http_rig_ask(&r, request, (size_t)n);
}

#define LIVE(fields) \
    "200 OK\r\nContent-Type: application/json\r\n" fields "Content-Length: 13\r\n\r\n{\"live\":true}"

static void answers_name_the_origin_that_may_read(void)
{
    static const struct {
        const char *origins, *asks, *want;
        bool credentials;
    } rows[] = {
        {"", "Origin: " A "\r\n", LIVE(""), false},
        {"*", "", LIVE("Access-Control-Allow-Origin: *\r\n" EXPOSED), false},
        {"*", "Origin: " A "\r\n", LIVE("Access-Control-Allow-Origin: *\r\n" EXPOSED), false},
        {A, "", LIVE("Vary: Origin\r\n"), false},
        {A, "Origin: null\r\n", LIVE("Vary: Origin\r\n"), false},
        {A, "Origin: " A ".evil\r\n", LIVE("Vary: Origin\r\n"), false},
        {A, "Origin: " A ":443\r\n", LIVE("Vary: Origin\r\n"), false},
        {"http://localhost:3000, " A, "Origin: " A "\r\n",
         LIVE("Vary: Origin\r\nAccess-Control-Allow-Origin: " A "\r\n" EXPOSED), false},
        {A, "Origin: " A "\r\n",
         LIVE("Vary: Origin\r\nAccess-Control-Allow-Origin: " A "\r\n" EXPOSED
              "Access-Control-Allow-Credentials: true\r\n"), true},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        set(rows[i].origins, rows[i].credentials);
        CHECK_STR(ask("GET", "/v2/health/live", rows[i].asks), rows[i].want);
    }
    set(A, false);
    CHECK(strstr(ask("GET", "/nope", "Origin: " A "\r\n"), "\r\nAccess-Control-Allow-Origin: " A "\r\n"));
    CHECK(strstr(ask("DELETE", "/v2", "Origin: " A "\r\n"), "\r\nAccess-Control-Allow-Origin: " A "\r\n"));
    CHECK(strstr(http_rig_post(&r, "/v2/models/m/infer", "Content-Encoding: br\r\nOrigin: " A "\r\n", "x", 1),
                 "\r\nAccess-Control-Allow-Origin: " A "\r\n"));
}

#define GRANTED(fields) \
    "204 No Content\r\nVary: Origin\r\nAccess-Control-Allow-Origin: " A "\r\n" EXPOSED \
    "Access-Control-Allow-Methods: POST\r\n" fields "Access-Control-Max-Age: 7200\r\n" \
    "Vary: Access-Control-Request-Headers\r\n\r\n"
#define WANTS "Origin: " A "\r\nAccess-Control-Request-Method: POST\r\n"

static void preflights_are_granted_within_bounds(void)
{
    char names[CORS_HEADERS_BYTES_MAX + 100], headers[sizeof names + 200];
    set(A, false);
    CHECK_STR(ask("OPTIONS", "/v2/models/m/infer", WANTS), GRANTED(""));
    CHECK_STR(ask("OPTIONS", "/v1/models/m:predict",
                  WANTS "Access-Control-Request-Headers: content-type, authorization\r\n"),
              GRANTED("Access-Control-Allow-Headers: content-type, authorization\r\n"));
    CHECK_STR(ask("OPTIONS", "/v2/models/m/infer", WANTS "Access-Control-Request-Headers: <x>\r\n"), GRANTED(""));
    for (size_t n = CORS_HEADERS_BYTES_MAX; n <= CORS_HEADERS_BYTES_MAX + 1; n++) {
        memset(names, 'a', n);
        names[n] = 0;
        snprintf(headers, sizeof headers, WANTS "Access-Control-Request-Headers: %s\r\n", names);
        CHECK(!strstr(ask("OPTIONS", "/v2/models/m/infer", headers), "Allow-Headers") == (n > CORS_HEADERS_BYTES_MAX));
    }
    const char *got = ask("OPTIONS", "/v2/models/m/infer",
                          "Origin: https://b.example\r\nAccess-Control-Request-Method: POST\r\n");
    CHECK(strncmp(got, "403 Forbidden\r\n", 15) == 0 && !strstr(got, "Access-Control-"));
    CHECK(strstr(got, "{\"error\":\"Origin: expected one that is allowed here, got 'https://b.example'\"}"));
    CHECK(strncmp(ask("OPTIONS", "/nope", WANTS), "404 ", 4) == 0);
    CHECK(strncmp(ask("OPTIONS", "/v2", "Origin: " A "\r\n"), "405 ", 4) == 0);   /* no preflight */
    set("*", false);
    CHECK(strstr(ask("OPTIONS", "/metrics", WANTS), "\r\nAccess-Control-Allow-Methods: GET\r\n"));
    set("", false);
    CHECK(strncmp(ask("OPTIONS", "/v2", WANTS), "405 ", 4) == 0 && !strstr(r.text, "Access-Control"));
}

static void origins_are_checked(void)
{
    static const struct {
        const char *origins, *want;
        bool credentials;
    } rows[] = {
        {"*," A, "cors-origins: expected * alone, or origins", false},
        {"https://a.example/", "cors-origins: expected * or origins like https://example.com, got 'https://a.example/'",
         false},
        {"a.example", "cors-origins: expected * or origins like https://example.com, got 'a.example'", false},
        {"null", "cors-origins: expected * or origins like https://example.com, got 'null'", false},
        {"https://*.example",
         "cors-origins: expected * or origins like https://example.com, got 'https://*.example'", false},
        {A ",," A, "cors-origins: expected * or origins like https://example.com, got ''", false},
        {"*", "cors-credentials: expected origins in cors-origins, got '*'", true},
        {"", "cors-credentials: expected origins in cors-origins, got none", true},
    };
    cors c;
    err e;
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        CHECK(cors_init(&c, str_of(rows[i].origins), rows[i].credentials, &e) == ERR_INVALID);
        CHECK_STR(e.text, rows[i].want);
    }
    char many[CORS_ORIGINS_MAX * 20 + 40] = "https://a";
    for (size_t i = 1; i < CORS_ORIGINS_MAX; i++) strcat(many, ",https://a.example");
    CHECK(cors_init(&c, str_of(many), false, &e) == ERR_OK && c.count == CORS_ORIGINS_MAX);
    strcat(many, "," A);
    CHECK(cors_init(&c, str_of(many), false, &e) == ERR_LIMIT);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(answers_name_the_origin_that_may_read),
        TEST(preflights_are_granted_within_bounds),
        TEST(origins_are_checked),
    };
    onnx_build b;
    serve_rig_twice(&b);
    serve_rig_save(&b, path);
    bool started = http_rig_start(&r, &(http_rig_opts){.threads = "1"}, (const char *const[]){"m", path, NULL});
    int failed = started ? test_main(cases, COUNTOF(cases)) : 1;
    if (started) http_rig_stop(&r);
    serve_rig_unsave(path);
    onnx_build_end(&b);
    return failed;
}
