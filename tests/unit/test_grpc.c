/* A stream of bytes holds the same messages however it is cut, or is refused with the same words; deadlines, statuses
 * and texts become what gRPC's own libraries read. */
#include "wire/grpc.h"
#include "wire/pb.h"
#include "test.h"

/* What a stream holds, as text: "[ab]" a message, "[z:ab]" a compressed one, "!..." the refusal.  Fed in pieces of
 * `cut` bytes, or at one place where cut is negative. */
static const char *read_all(str stream, long cut, size_t limit, bool encoded)
{
    static char text[600];
    grpc_reader r;
    err e = {0};
    size_t n = 0;
    bool open = false;
    grpc_reader_init(&r, limit, encoded);
    for (size_t at = 0; at < stream.len;) {
        size_t take = cut > 0 ? (size_t)cut : at == 0 ? (size_t)-cut : stream.len;
        if (take > stream.len - at) take = stream.len - at;
        str in = {stream.p + at, take}, piece;
        at += take;
        for (;;) {
            grpc_event event = grpc_reader_feed(&r, &in, &piece, &e);
            if (event == GRPC_REFUSED) {
                snprintf(text + n, sizeof text - n, "!%d %s", err_grpc_status(e.code), e.text);
                return text;
            }
            if (event == GRPC_MORE) break;
            if (event == GRPC_PIECE) CHECK(piece.len > 0);
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s%s", open ? "" : r.compressed ? "[z:" : "[",
                                  (int)piece.len, piece.p, event == GRPC_MESSAGE ? "]" : "");
            open = event == GRPC_PIECE;
        }
        CHECK_U64(in.len, 0);
    }
    if (grpc_reader_end(&r, &e)) snprintf(text + n, sizeof text - n, "!%d %s", err_grpc_status(e.code), e.text);
    else text[n] = '\0';
    return text;
}

static void check_cuts(str stream, size_t limit, bool encoded, const char *want)
{
    CHECK_STR(read_all(stream, (long)stream.len + 1, limit, encoded), want);
    CHECK_STR(read_all(stream, 1, limit, encoded), want);
    for (long at = 1; at < (long)stream.len; at++) {
        CHECK_STR(read_all(stream, -at, limit, encoded), want);
        CHECK_STR(read_all(stream, at, limit, encoded), want);
    }
}

#define BYTES(literal) ((str){literal, sizeof literal - 1})

static void messages_are_the_same_at_every_cut(void)
{
    check_cuts(BYTES("\0\0\0\0\3abc\0\0\0\0\0\0\0\0\0\1x"), 100, false, "[abc][][x]");
    check_cuts(BYTES("\1\0\0\0\2ab\0\0\0\0\1c"), 100, true, "[z:ab][c]");
    check_cuts(BYTES("\0\0\0\0\3abc"), 3, false, "[abc]");
    CHECK_STR(read_all(BYTES(""), 1, 3, false), "");
}

static void the_rest_of_a_message_is_known_behind_its_prefix(void)
{
    static const size_t want[] = {0, 0, 0, 0, 0, 3, 2, 1, 0};   /* behind so many bytes */
    for (size_t n = 0; n < COUNTOF(want); n++) {
        grpc_reader r;
        err e;
        str in = {"\0\0\0\0\3abc", n}, piece;
        grpc_reader_init(&r, 100, false);
        CHECK_U64(grpc_reader_rest(&r), 0);
        while (in.len) (void)grpc_reader_feed(&r, &in, &piece, &e);
        CHECK_U64(grpc_reader_rest(&r), want[n]);
    }
}

static void a_stream_that_lies_is_refused_the_same_at_every_cut(void)
{
    check_cuts(BYTES("\0\0\0\0\1a\2\0\0\0\1b"), 100, true, "[a]!13 message: compressed flag: expected 0 or 1, got 2");
    check_cuts(BYTES("\1\0\0\0\1a"), 100, false,
               "!13 message: compressed flag: expected 0 without grpc-encoding, got 1");
    check_cuts(BYTES("\0\0\0\0\4abcd"), 3, false, "!8 message: expected at most 3 bytes, got 4");
    check_cuts(BYTES("\0\377\377\377\377"), 1 << 20, false,
               "!8 message: expected at most 1048576 bytes, got 4294967295");
    check_cuts(BYTES("\0\0\0\0\1a\0\0"), 9, false,
               "[a]!13 message: expected 5 bytes of prefix, the stream ended after 2");
    CHECK_STR(read_all(BYTES("\0\0\0\0\5abc"), 100, 9, false),
              "[abc!13 message: expected 5 bytes, the stream ended after 3");
    CHECK_STR(read_all(BYTES("\0\0\0\0\5"), 100, 9, false),
              "!13 message: expected 5 bytes, the stream ended after 0");
}

static void a_prefix_is_read_as_it_was_written(void)
{
    static const uint32_t lens[] = {0, 1, 255, 256, 65536, 0x01020304, UINT32_MAX};
    for (size_t i = 0; i < COUNTOF(lens); i++) {
        uint8_t p[GRPC_PREFIX_BYTES];
        grpc_reader r;
        err e;
        str in = {(const char *)p, sizeof p}, piece;
        grpc_prefix_print(p, i % 2, lens[i]);
        grpc_reader_init(&r, UINT32_MAX, true);
        CHECK(grpc_reader_feed(&r, &in, &piece, &e) == (lens[i] ? GRPC_MORE : GRPC_MESSAGE));
        CHECK_U64(r.len, lens[i]);
        CHECK_U64(r.compressed, i % 2);
    }
}

static void deadlines_have_six_units(void)
{
    static const struct {
        const char *text;
        uint64_t us;
    } rows[] = {{"1H", 3600000000},   {"1M", 60000000}, {"999m", 999000}, {"15S", 15000000},
                {"100u", 100},        {"1n", 1},        {"1000n", 1},     {"1001n", 2},
                {"0n", 0},            {"0S", 0},        {"00000001S", 1000000},
                {"99999999H", UINT64_C(359999996400000000)}};
    static const char *const wrong[] = {"", "S", "1", "-1S", "+1S", "1s", "1.5S", "123456789S", "1 S", "1SS", "H1"};
    uint64_t us;
    err e;
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        CHECK(grpc_timeout_parse(str_of(rows[i].text), &us, &e) == ERR_OK);
        CHECK_U64(us, rows[i].us);
    }
    for (size_t i = 0; i < COUNTOF(wrong); i++) CHECK(grpc_timeout_parse(str_of(wrong[i]), &us, &e) == ERR_INVALID);
    CHECK_STR(e.text, "grpc-timeout: expected 1 to 8 digits and one of H M S m u n, got 'H1'");
}

static void http_statuses_have_their_grpc_twin(void)
{
    static const int rows[][2] = {{200, 0},  {400, 3}, {401, 16}, {403, 7},  {404, 5},  {405, 12}, {408, 4},  {409, 10},
                                  {413, 8},  {414, 8}, {415, 3},  {429, 8},  {431, 8},  {499, 1},  {500, 13}, {501, 12},
                                  {502, 14}, {503, 14}, {504, 4}, {418, 2}};
    for (size_t i = 0; i < COUNTOF(rows); i++)
        CHECK_U64((uint64_t)grpc_status_of_http(rows[i][0]), (uint64_t)rows[i][1]);
}

static void texts_are_percent_encoded(void)
{
    buf b;
    buf_init(&b, 1000);
    grpc_message_print(&b, BYTES("a b~%\n\303\251\177\0"));
    buf_put_byte(&b, 0);
    CHECK_STR((const char *)b.p, "a b~%25%0A%C3%A9%7F%00");
    buf_fini(&b);
}

static void details_are_a_status_in_base64(void)
{
    buf b;
    buf_init(&b, 1000);
    grpc_details_print(&b, 5, STR("no"), STR("NotFound"), 0);
    buf_put_byte(&b, 0);
    /* By Python: base64 of Status(code=5, message="no", details=[Any of ErrorInfo("NotFound", "proa")]). */
    CHECK_STR((const char *)b.p,
              "CAUSAm5vGjwKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5FcnJvckluZm8SEAoITm90Rm91bmQSBHByb2E");
    buf_clear(&b);
    grpc_details_print(&b, 5, STR("no"), STR("NotFound"), 2345);
    buf_put_byte(&b, 0);
    /* The same with Any of RetryInfo(Duration(2, 345000000)). */
    CHECK_STR((const char *)b.p,
              "CAUSAm5vGjwKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5FcnJvckluZm8SEAoITm90Rm91bmQSBHByb2"
              "EaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIAhDAkMGkAQ");
    for (size_t len = 0; len < 4; len++) {   /* every rest of three */
        buf_clear(&b);
        grpc_details_print(&b, 5, (str){"abc", len}, STR("r"), 0);
        CHECK(b.len % 4 != 1 && memchr(b.p, '=', b.len) == NULL);
    }
    buf_fini(&b);
    FAULT_SWEEP({
        buf_init(&b, 1000);
        grpc_details_print(&b, 5, STR("no"), STR("NotFound"), 0);
        buf_fini(&b);
    })
}

int main(void)
{
    static const test_case cases[] = {
        TEST(messages_are_the_same_at_every_cut), TEST(a_stream_that_lies_is_refused_the_same_at_every_cut),
        TEST(the_rest_of_a_message_is_known_behind_its_prefix),
        TEST(a_prefix_is_read_as_it_was_written), TEST(deadlines_have_six_units),
        TEST(http_statuses_have_their_grpc_twin), TEST(texts_are_percent_encoded),
        TEST(details_are_a_status_in_base64),
    };
    return test_main(cases, COUNTOF(cases));
}
