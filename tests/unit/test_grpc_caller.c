/* Property: however a server's bytes are cut, a call comes to the same result; what breaks the rules of HTTP/2 ends
 * the connection, what breaks those of gRPC ends the call; all that is kept of an answer is bounded. */
#include "base/err.h"
#include "test.h"
#include "wire/grpc_caller.h"

/* Frames by hand: HPACK's literal fields without indexing need no table. */
static void put_frame(buf *b, uint8_t type, uint8_t flags, uint8_t stream, const void *payload, size_t len)
{
    const uint8_t head[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, 0, stream};
    buf_put(b, head, sizeof head);
    if (len) buf_put(b, payload, len);
}

enum { DATA = 0, HEADERS = 1, RESET = 3, SETTINGS = 4, GOAWAY = 7, END_STREAM = 1, END_HEADERS = 4 };

/* fields: name, value, ..., NULL; ":status" first where it is a head. */
static void put_headers(buf *b, uint8_t stream, bool last, const char *const *fields)
{
    uint8_t block[600];
    size_t n = 0;
    for (size_t i = 0; fields[i]; i += 2) {
        block[n++] = 0;
        for (size_t k = 0; k < 2; k++) {
            size_t len = strlen(fields[i + k]);
            CHECK(len < 127 && n + len + 1 < sizeof block);
            block[n++] = (uint8_t)len;
            memcpy(block + n, fields[i + k], len);
            n += len;
        }
    }
    put_frame(b, HEADERS, (uint8_t)(END_HEADERS | (last ? END_STREAM : 0)), stream, block, n);
}

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define HEAD ":status", "200", "content-type", "application/grpc+proto"

static void put_answer(buf *b, uint8_t stream, const char *message)
{
    uint8_t data[100] = {0, 0, 0, 0, (uint8_t)strlen(message)};
    memcpy(data + 5, message, strlen(message));
    put_headers(b, stream, false, FIELDS(HEAD));
    put_frame(b, DATA, 0, stream, data, 3);   /* the prefix is cut */
    put_frame(b, DATA, 0, stream, data + 3, strlen(message) + 2);
    put_headers(b, stream, true, FIELDS("grpc-status", "0", "grpc-message", ""));
}

static const grpc_ask ask = {
    .authority = {"h:1", 3}, .path = {"/p.S/M", 6}, .message = {"question", 8}, .wait_us = 1500};

/* Feeds the bytes cut at `at`; the transcript: a result, or the error of the connection. */
static void transcript(str bytes, size_t at, char *out, size_t room)
{
    err e = {.text = ""};
    CLEANUP(grpc_caller) grpc_caller *c = grpc_caller_new(64);
    CHECK(c && grpc_caller_begin(c, &ask, &e) == ERR_OK);
    err_code rc = at ? grpc_caller_feed(c, (const uint8_t *)bytes.p, at, &e) : ERR_OK;
    if (!rc && at < bytes.len) rc = grpc_caller_feed(c, (const uint8_t *)bytes.p + at, bytes.len - at, &e);
    if (!grpc_caller_over(c)) {
        snprintf(out, room, "! %d %s", rc, rc ? e.text : "goes on");
        return;
    }
    grpc_result r = grpc_caller_result(c);
    snprintf(out, room, "%d %s [" STR_FMT "]%s", r.status, r.text, STR_ARG(r.message),
             grpc_caller_usable(c) ? "" : " gone");
}

static void check_bytes(buf *b, const char *want)
{
    char got[600];
    for (size_t at = 0; at <= b->len; at++) {
        transcript(buf_str(b), at, got, sizeof got);
        if (strcmp(got, want) == 0) continue;
        printf("# cut at %zu\n", at);
        CHECK_STR(got, want);
        break;
    }
    buf_fini(b);
}

static void begin(buf *b)
{
    buf_init(b, 1 << 20);
    put_frame(b, SETTINGS, 0, 0, NULL, 0);
}

static void an_answer_is_the_same_at_every_cut(void)
{
    buf b;
    begin(&b);
    put_answer(&b, 1, "answer");
    check_bytes(&b, "0  [answer]");
    begin(&b);
    put_answer(&b, 1, "");
    check_bytes(&b, "0  []");
}

static void a_status_comes_with_its_text(void)
{
    buf b;
    begin(&b);
    put_headers(&b, 1, true, FIELDS(HEAD, "grpc-status", "5", "grpc-message", "no %27m%27%0A 100%25 %zz"));
    check_bytes(&b, "5 no 'm'? 100% %zz []");
    begin(&b);
    put_headers(&b, 1, false, FIELDS(HEAD));
    put_headers(&b, 1, true, FIELDS("grpc-status", "14", "grpc-message", "busy"));
    check_bytes(&b, "14 busy []");
}

static void what_is_no_grpc_is_told(void)
{
    buf b;
    begin(&b);
    put_headers(&b, 1, true, FIELDS(":status", "503", "content-type", "text/html"));
    check_bytes(&b, "14 not gRPC []");
    begin(&b);
    put_headers(&b, 1, false, FIELDS(":status", "200", "content-type", "text/html"));
    put_frame(&b, DATA, END_STREAM, 1, "<html>", 6);
    check_bytes(&b, "2 expected the content type of gRPC []");
    begin(&b);
    put_headers(&b, 1, true, FIELDS(HEAD));
    check_bytes(&b, "2 expected grpc-status, got none []");
    begin(&b);
    put_headers(&b, 1, true, FIELDS(HEAD, "grpc-status", "0"));
    check_bytes(&b, "13 expected one message, got none []");
    begin(&b);
    put_headers(&b, 1, true, FIELDS(HEAD, "grpc-status", "x"));
    check_bytes(&b, "2 expected grpc-status, got none []");
}

static void messages_that_lie_end_the_call(void)
{
    buf b;
    begin(&b);
    put_headers(&b, 1, false, FIELDS(HEAD));
    put_frame(&b, DATA, 0, 1, "\0\0\0\0\101", 5);
    put_headers(&b, 1, true, FIELDS("grpc-status", "0"));
    check_bytes(&b, "8 message: expected at most 64 bytes, got 65 []");
    begin(&b);
    put_headers(&b, 1, false, FIELDS(HEAD));
    put_frame(&b, DATA, 0, 1, "\1\0\0\0\1x", 6);
    put_headers(&b, 1, true, FIELDS("grpc-status", "0"));
    check_bytes(&b, "13 message: compressed flag: expected 0 without grpc-encoding, got 1 []");
    begin(&b);
    put_headers(&b, 1, false, FIELDS(HEAD));
    put_frame(&b, DATA, 0, 1, "\0\0\0\0\1x\0\0\0\0\1y", 12);
    put_headers(&b, 1, true, FIELDS("grpc-status", "0"));
    check_bytes(&b, "13 expected one message, got several []");
}

static void resets_and_goodbyes_are_told(void)
{
    buf b;
    begin(&b);
    put_frame(&b, RESET, 0, 1, "\0\0\0\7", 4);
    check_bytes(&b, "14 the call was reset with REFUSED_STREAM []");
    begin(&b);
    put_answer(&b, 1, "x");
    put_frame(&b, GOAWAY, 0, 0, "\0\0\0\1\0\0\0\0", 8);
    check_bytes(&b, "0  [x] gone");
    buf_init(&b, 100);
    buf_put_z(&b, "HTTP/1.1 400 Bad Request\r\n\r\n");
    char got[300];
    transcript(buf_str(&b), 0, got, sizeof got);
    CHECK(strstr(got, "expected an answer of HTTP/2"));
    buf_fini(&b);
}

static void headers_are_bounded(void)
{
    buf b;
    char value[121];
    memset(value, 'x', 120);
    value[120] = 0;
    begin(&b);
    put_headers(&b, 1, false, FIELDS(HEAD));
    for (size_t i = 0; i < 700; i++) put_headers(&b, 1, false, FIELDS("a", value));   /* more trailers than one set */
    char got[300];
    transcript(buf_str(&b), 0, got, sizeof got);
    CHECK(got[0] != '0' && strlen(got) > 4);
    buf_fini(&b);
}

static void calls_follow_one_another(void)
{
    err e;
    buf b;
    CLEANUP(grpc_caller) grpc_caller *c = grpc_caller_new(64);
    for (uint8_t stream = 1; stream < 40; stream = (uint8_t)(stream + 2)) {
        begin(&b);
        put_answer(&b, stream, "x");
        CHECK(grpc_caller_begin(c, &ask, &e) == ERR_OK);
        CHECK(grpc_caller_feed(c, b.p, b.len, &e) == ERR_OK && grpc_caller_over(c) && grpc_caller_usable(c));
        CHECK(str_is(grpc_caller_result(c).message, "x"));
        buf_fini(&b);
    }
}

static void call_once(void)
{
    err e;
    buf b;
    begin(&b);
    put_answer(&b, 1, "x");
    grpc_caller *c = grpc_caller_new(64);
    if (c && !b.full && grpc_caller_begin(c, &ask, &e) == ERR_OK && !grpc_caller_feed(c, b.p, b.len, &e) &&
        grpc_caller_over(c))
        (void)grpc_caller_result(c);
    grpc_caller_free(c);
    buf_fini(&b);
}

static void lack_of_memory_leaks_nothing(void) { FAULT_SWEEP(call_once()); }

int main(void)
{
    static const test_case cases[] = {
        TEST(an_answer_is_the_same_at_every_cut),
        TEST(a_status_comes_with_its_text),
        TEST(what_is_no_grpc_is_told),
        TEST(messages_that_lie_end_the_call),
        TEST(resets_and_goodbyes_are_told),
        TEST(headers_are_bounded),
        TEST(calls_follow_one_another),
        TEST(lack_of_memory_leaks_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
