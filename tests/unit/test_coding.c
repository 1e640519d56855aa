/* A packed body is read as the plain one would be, whoever packed it and however large; what is broken, unknown or too
 * large unpacked is refused, at a bounded cost; answers are packed as the client weighs it, where that gains, and what
 * they unpack to is the plain answer. */
#include "http_rig.h"
#include "test.h"

static char path[64];
static http_rig r;

#define INFER "/v2/models/m/infer"
#define PREDICT "/v1/models/m:predict"
#define X "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"data\":[1,2]}]}"
#define XB \
    "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[1,2],\"parameters\":{\"binary_data_size\":8}}]," \
    "\"parameters\":{\"binary_data_output\":true}}"

static str packed(flate_kind kind, const void *bytes, size_t len)
{
    static buf out;
    err e;
    if (!out.p) buf_init(&out, 1 << 22);
    buf_clear(&out);
    bool made = flate_pack(&out, kind, (str){bytes, len}, &e) == ERR_OK;
    INVARIANT(made);
    return buf_str(&out);
}

static const char *post(const char *where, const char *headers, str body)
{
    return http_rig_post(&r, where, headers, body.p, body.len);
}

static const char *const models[] = {"m", path, NULL};

static void start(const char *body_bytes_max)
{
    bool started = http_rig_start(&r, &(http_rig_opts){.threads = "1", .body_bytes_max = body_bytes_max}, models);
    INVARIANT(started);
}

static bool answers(const char *got) { return strncmp(got, "200 ", 4) == 0 && strstr(got, "\"data\":[2.0,4.0]"); }

static void whoever_packed_it_is_understood(void)
{
    static const char mixed[] = "Content-Encoding: , gzip ,identity\r\n";
    start(NULL);
    CHECK(answers(post(INFER, "", STR(X))));
    CHECK(answers(post(INFER, "Content-Encoding: identity\r\n", STR(X))));
    CHECK(answers(post(INFER, "Content-Encoding: gzip\r\n", packed(FLATE_GZIP, X, sizeof X - 1))));
    CHECK(answers(post(INFER, "content-encoding: X-GZIP\r\n", packed(FLATE_GZIP, X, sizeof X - 1))));
    CHECK(answers(post(INFER, mixed, packed(FLATE_GZIP, X, sizeof X - 1))));
    str zlib = packed(FLATE_DEFLATE, X, sizeof X - 1);
    CHECK(answers(post(INFER, "Content-Encoding: deflate\r\n", zlib)));
    CHECK(answers(post(INFER, "Content-Encoding: deflate\r\n", (str){zlib.p + 2, zlib.len - 6})));   /* raw */
    char members[600];
    size_t n = 0;
    for (size_t at = 0; at < sizeof X - 1; at += 40) {
        str one = packed(FLATE_GZIP, &X[at], sizeof X - 1 - at < 40 ? sizeof X - 1 - at : 40);
        memcpy(members + n, one.p, one.len);
        n += one.len;
    }
    CHECK(answers(post(INFER, "Content-Encoding: gzip\r\n", (str){members, n})));
    CHECK(strstr(post(PREDICT, "Content-Encoding: gzip\r\n", packed(FLATE_GZIP, "{\"instances\":[[1,2]]}", 21)),
                 "{\"predictions\":[[2.0,4.0]]}"));
    static const char bare[] = "GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Encoding: br\r\n\r\n";
    CHECK(strncmp(http_rig_ask(&r, bare, sizeof bare - 1), "200 ", 4) == 0);
    CHECK(strncmp(post("/nope", "Content-Encoding: br\r\n", STR("x")), "404 ", 4) == 0);
    http_rig_stop(&r);
}

/* The header counts JSON before it was packed. */
static void binary_tensors_are_split_behind_the_unpacking(void)
{
    static const float x[2] = {1, 2}, want[2] = {2, 4};
    char body[300], headers[128];
    size_t n = strlen(XB);
    memcpy(body, XB, n);
    memcpy(body + n, x, sizeof x);
    start(NULL);
    for (flate_kind kind = FLATE_GZIP; kind < FLATE_KINDS; kind++) {
        snprintf(headers, sizeof headers, "Inference-Header-Content-Length: %zu\r\nContent-Encoding: %s\r\n", n,
                 flate_name(kind));
        const char *got = post(INFER, headers, packed(kind, body, n + sizeof x));
        CHECK(strstr(got, "\r\nInference-Header-Content-Length: 131\r\nContent-Length: 139\r\n\r\n"));
        CHECK(memcmp(r.got + r.body_at + 131, want, sizeof want) == 0);
    }
    http_rig_stop(&r);
}

static void what_cannot_be_unpacked_is_refused(void)
{
    static const struct {
        const char *headers, *want;
    } rows[] = {
        {"Content-Encoding: br\r\n", "{\"error\":\"Content-Encoding: expected gzip, deflate or identity, got 'br'\"}"},
        {"Content-Encoding: gzip, gzip\r\n",
         "{\"error\":\"Content-Encoding: expected one of gzip, deflate and identity, got 2\"}"},
        {"Content-Encoding: deflate\r\nContent-Encoding: gzip\r\n",
         "{\"error\":\"Content-Encoding: expected one of gzip, deflate and identity, got 2\"}"},
        {"Content-Encoding: \"\r\n",
         "{\"error\":\"Content-Encoding: expected gzip, deflate or identity, got '\\\"'\"}"},
    };
    start(NULL);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        const char *got = post(INFER, rows[i].headers, STR(X));
        CHECK(strstr(got, "415 Unsupported Media Type\r\n") == got);
        CHECK(strstr(got, "\r\nAccept-Encoding: gzip, deflate\r\n"));
        CHECK_STR(strstr(got, "{"), rows[i].want);
    }
    str whole = packed(FLATE_GZIP, X, sizeof X - 1);
    CHECK_STR(strstr(post(INFER, "Content-Encoding: gzip\r\n", (str){whole.p, whole.len - 1}), "{"),
              "{\"error\":\"Content-Encoding: gzip: the packed data ends too early\"}");
    CHECK(strncmp(r.text, "400 ", 4) == 0);
    CHECK_STR(strstr(post(INFER, "Content-Encoding: gzip\r\n", STR(X)), "{"),
              "{\"error\":\"Content-Encoding: gzip: incorrect header check\"}");
    CHECK_STR(strstr(post(INFER, "Content-Encoding: deflate\r\n", STR("x")), "{"),
              "{\"error\":\"Content-Encoding: deflate: the packed data ends too early\"}");
    CHECK(answers(post(INFER, "", STR(X))));
    http_rig_stop(&r);
}

static void a_bomb_costs_the_limit(void)
{
    static char zeros[1 << 20];
    start("64Ki");
    const quota *bodies = server_bodies(r.server);
    str bomb = packed(FLATE_GZIP, zeros, sizeof zeros);
    CHECK(bomb.len < 6000);
    for (int i = 0; i < 20; i++) {
        CHECK_STR(strstr(post(INFER, "Content-Encoding: gzip\r\n", bomb), "{"),
                  "{\"error\":\"body: expected at most 65536 bytes, got more when unpacked\"}");
        CHECK(strncmp(r.text, "413 ", 4) == 0);
        CHECK(quota_used(bodies) < 2 * bomb.len + 4096);
    }
    str fits = packed(FLATE_GZIP, zeros, 65536);
    CHECK(strstr(post(INFER, "Content-Encoding: gzip\r\n", fits), "{\"error\":\"JSON: byte "));
    http_rig_hang_up(&r, false);
    size_t all = bodies->max - quota_used(bodies) - 8192;
    CHECK(quota_take(server_bodies(r.server), all));   /* other requests have it */
    CHECK(strstr(post(INFER, "Content-Encoding: gzip\r\n", fits), "{\"error\":\"bodies: expected at most "));
    CHECK(strncmp(r.text, "503 ", 4) == 0);
    quota_give(server_bodies(r.server), all);
    http_rig_stop(&r);
}

/* ---- answers ---- */

/* A request whose answer has `rows` rows. */
static str ask_for(size_t rows, bool noise, bool binary)
{
    static buf out;
    uint64_t seed = 1;
    if (!out.p) buf_init(&out, 1 << 24);
    buf_clear(&out);
    buf_printf(&out, "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[%zu,2],\"data\":[", rows);
    for (size_t i = 0; i < 2 * rows; i++)
        buf_printf(&out, "%s%g", i ? "," : "", noise ? (double)(test_rand(&seed) % 100000000) / 77.7 : 1.0);
    buf_printf(&out, "]}]%s}", binary ? ",\"parameters\":{\"binary_data_output\":true}" : "");
    return buf_str(&out);
}

/* The coding of an answer ("" = none); it unpacks to `plain`. */
static const char *coded(const char *headers, str request, str plain)
{
    static char name[20];
    buf out;
    err e;
    (void)post(INFER, headers, request);
    const char *at = strstr(r.text, "\r\nContent-Encoding: ");
    snprintf(name, sizeof name, "%.*s", at ? (int)strcspn(at + 20, "\r") : 0, at ? at + 20 : "");
    CHECK(strncmp(r.text, "200 ", 4) == 0);
    buf_init(&out, 1 << 24);
    CHECK(flate_unpack(&out, flate_named(str_of(name)), (str){r.got + r.body_at, r.body_len}, &e) == ERR_OK);
    CHECK(str_eq(buf_str(&out), plain));
    CHECK((at && r.body_len < plain.len) || (!at && r.body_len == plain.len));
    buf_fini(&out);
    return name;
}

static str answer_of(str request)
{
    static buf plain;
    if (!plain.p) buf_init(&plain, 1 << 24);
    buf_clear(&plain);
    (void)post(INFER, "", request);
    CHECK(!strstr(r.text, "Content-Encoding") && strncmp(r.text, "200 ", 4) == 0);
    buf_put(&plain, r.got + r.body_at, r.body_len);
    return buf_str(&plain);
}

static void answers_are_packed_as_the_client_weighs_it(void)
{
    static const struct {
        const char *headers, *want;
    } rows[] = {
        {"", ""},
        {"Accept-Encoding: gzip\r\n", "gzip"},
        {"Accept-Encoding: deflate\r\n", "deflate"},
        {"Accept-Encoding: gzip, deflate, br\r\n", "gzip"},
        {"Accept-Encoding: deflate, gzip;q=1.0, *;q=0.5\r\n", "gzip"},
        {"Accept-Encoding: gzip;q=0.2, deflate;q=0.9\r\n", "deflate"},
        {"Accept-Encoding: gzip;q=0.5, identity\r\n", ""},
        {"Accept-Encoding: gzip;q=0.5, identity;q=0.5\r\n", "gzip"},
        {"Accept-Encoding: *\r\n", "gzip"},
        {"Accept-Encoding: *, gzip;q=0\r\n", "deflate"},
        {"Accept-Encoding: *;q=0, deflate;q=0.001\r\n", "deflate"},
        {"Accept-Encoding: gzip;q=0\r\n", ""},
        {"Accept-Encoding: br, zstd\r\n", ""},
        {"Accept-Encoding: br\r\nAccept-Encoding: x-gzip\r\n", "gzip"},
        {"Accept-Encoding: ,;q=1,\r\n", ""},
        {"Accept-Encoding: identity;q=0\r\n", ""},   /* nothing that we have: better plain than nothing */
    };
    start(NULL);
    str request = ask_for(400, false, false), plain = answer_of(request);
    CHECK(strstr(r.text, "\r\nVary: Accept-Encoding\r\n"));
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        CHECK_STR(coded(rows[i].headers, request, plain), rows[i].want);
        CHECK(strstr(r.text, "\r\nVary: Accept-Encoding\r\n"));
    }
    http_rig_stop(&r);
}

/* Around each size at which something else packs it. */
static void answers_of_every_size_unpack_to_the_plain_one(void)
{
    static const size_t counts[] = {1, 50, 250, 400, 1000, 5000, 50000};
    start(NULL);
    for (size_t i = 0; i < 2 * COUNTOF(counts); i++) {
        bool binary = i % 2;
        str request = ask_for(counts[i / 2], false, binary), plain = answer_of(request);
        bool small = plain.len < 1024;
        CHECK_STR(coded("Accept-Encoding: deflate\r\n", request, plain), small ? "" : "deflate");
        CHECK(!strstr(r.text, "Vary") == small);
        CHECK(!strstr(r.text, "Inference-Header-Content-Length: ") == !binary);
    }
    str request = ask_for(1, false, false), plain = answer_of(request);
    CHECK_STR(coded("Accept-Encoding: gzip, identity;q=0\r\n", request, plain), "gzip");
    http_rig_stop(&r);
}

static void noise_is_sent_as_it_is(void)
{
    start(NULL);
    str request = ask_for(40000, true, true), plain = answer_of(request);
    CHECK(plain.len > INFER_PACK_SURE_BYTES);
    CHECK_STR(coded("Accept-Encoding: gzip\r\n", request, plain), "");
    http_rig_stop(&r);
}

static bool unpacks_to(const char *end)
{
    buf out;
    err e;
    buf_init(&out, 1 << 20);
    err_code rc = flate_unpack(&out, FLATE_GZIP, (str){r.got + r.body_at, r.body_len}, &e);
    bool ends = rc == ERR_OK && str_ends(buf_str(&out), str_of(end));
    buf_fini(&out);
    return ends;
}

static const char *get(const char *where)
{
    static char request[200];
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n", where);
    return http_rig_ask(&r, request, (size_t)n);
}

/* tritonclient's aio asks for gzip with everything and unpacks inference answers only. */
static void metrics_and_lists_are_packed_and_metadata_is_not(void)
{
    start(NULL);
    CHECK(strstr(get("/metrics"), "\r\nContent-Encoding: gzip\r\nVary: Accept-Encoding\r\n"));
    CHECK(unpacks_to("\n"));
    CHECK(!strstr(get("/v2/models"), "Content-Encoding") && !strstr(r.text, "Vary"));   /* small */
    r.endpoints.coding.pack_bytes_min = 10;
    CHECK(strstr(get("/v1/models"), "\r\nVary: Accept-Encoding\r\n") && !strstr(r.text, "Content-Encoding"));
    CHECK(!strstr(get("/v2/models/m"), "Vary"));
    CHECK(!strstr(get("/v2/models/none"), "Vary"));
    r.endpoints.coding.pack_bytes_min = 0;   /* switched off */
    CHECK(!strstr(get("/metrics"), "Content-Encoding") && !strstr(r.text, "Vary"));
    str request = ask_for(400, false, false);
    CHECK_STR(coded("Accept-Encoding: gzip\r\n", request, answer_of(request)), "");
    http_rig_stop(&r);
}

/* ---- life ---- */

static void a_client_that_goes_meanwhile_leaves_nothing(void)
{
    char request[4096];
    str body = packed(FLATE_GZIP, X, sizeof X - 1);
    start(NULL);
    int n = snprintf(request, sizeof request,
                     "POST " INFER " HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
                     body.len);
    memcpy(request + n, body.p, body.len);
    for (int i = 0; i < 20; i++) {
        http_rig_send(&r, request, (size_t)n + body.len);
        if (i % 2) http_rig_turn(&r, 1);
        http_rig_hang_up(&r, true);
    }
    http_rig_send(&r, request, (size_t)n + body.len);
    http_rig_stop(&r);   /* with one under way */
}

static void a_request_survives_every_failed_allocation(void)
{
    long answered = 0;
    str body = packed(FLATE_GZIP, X, sizeof X - 1);
    FAULT_SWEEP({
        if (http_rig_start(&r, &(http_rig_opts){.threads = "1"}, models)) {
            const char *got = post(INFER, "Content-Encoding: gzip\r\nAccept-Encoding: gzip, identity;q=0\r\n", body);
            bool fine = strncmp(got, "200 ", 4) == 0;
            CHECK(fine || got[0] == '5' || strcmp(got, "closed") == 0);
            answered += fine;
            got = get("/metrics");
            CHECK(strncmp(got, "200 ", 4) == 0 || got[0] == '5' || strcmp(got, "closed") == 0);
            http_rig_stop(&r);
        }
    });
    CHECK(answered > 0);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(whoever_packed_it_is_understood),
        TEST(binary_tensors_are_split_behind_the_unpacking),
        TEST(what_cannot_be_unpacked_is_refused),
        TEST(a_bomb_costs_the_limit),
        TEST(answers_are_packed_as_the_client_weighs_it),
        TEST(answers_of_every_size_unpack_to_the_plain_one),
        TEST(noise_is_sent_as_it_is),
        TEST(metrics_and_lists_are_packed_and_metadata_is_not),
        TEST(a_client_that_goes_meanwhile_leaves_nothing),
        TEST(a_request_survives_every_failed_allocation),
    };
    onnx_build b;
    serve_rig_twice(&b);
    serve_rig_save(&b, path);
    int failed = test_main(cases, COUNTOF(cases));
    serve_rig_unsave(path);
    onnx_build_end(&b);
    return failed;
}
