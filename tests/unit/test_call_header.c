/* A header goes out as it was typed, or not at all: none ends the head early, none says twice what the client says. */
#include "cli/call_header.h"
#include "test.h"

static void a_header_has_a_name_and_a_value(void)
{
    http_header h;
    err e;
    CHECK(call_header_read("X-Tenant:  a b\tc ", &h, &e) == ERR_OK);
    CHECK(str_is(h.name, "X-Tenant") && str_is(h.value, "a b\tc"));
    CHECK(call_header_read("x:", &h, &e) == ERR_OK && str_is(h.name, "x") && h.value.len == 0);
    CHECK(call_header_read("x: \xc3\xa4:1", &h, &e) == ERR_OK && str_is(h.value, "\xc3\xa4:1"));
}

static void what_would_break_the_head_is_refused(void)
{
    static const char *const shapeless[] = {"", "x", ": v", "  : v"};
    static const char *const odd[] = {"x: a\r\nb: c", "x: a\nb", "x: a\rb", "x: \x7f", "x\n: b", "x y: b", "x : b",
                                      "\xc3\xa4: b"};
    static const char *const ours[] = {"Host: h", "content-length: 3", "Transfer-Encoding: chunked",
                                       "CONNECTION: close",
                                       "Content-Type: text/plain", "User-Agent: me",
                                       "Inference-Header-Content-Length: 1", "TE: trailers", "Upgrade: h2c",
                                       "Keep-Alive: 1", "Trailer: x"};
    http_header h = {STR("kept"), STR("")};
    err e;
    for (size_t i = 0; i < COUNTOF(shapeless); i++) {
        CHECK(call_header_read(shapeless[i], &h, &e) == ERR_INVALID);
        CHECK(strstr(e.text, "--header: expected 'NAME: VALUE', got '"));
    }
    for (size_t i = 0; i < COUNTOF(odd); i++) {
        CHECK(call_header_read(odd[i], &h, &e) == ERR_INVALID);
        CHECK(strstr(e.text, "--header: expected visible characters on one line, got '"));
    }
    for (size_t i = 0; i < COUNTOF(ours); i++) {
        char want[120];
        snprintf(want, sizeof want, "--header: expected none that proa sets itself, got '%s'", ours[i]);
        CHECK(call_header_read(ours[i], &h, &e) == ERR_INVALID);
        CHECK_STR(e.text, want);
    }
    CHECK(str_is(h.name, "kept"));
}

static void a_key_is_one_line_and_is_not_repeated(void)
{
    char room[CALL_HEADER_BEARER_MAX], key[CALL_HEADER_BEARER_MAX];
    http_header h;
    err e;
    CHECK(call_header_bearer("k", room, &h, &e) == ERR_OK);
    CHECK(str_is(h.name, "Authorization") && str_is(h.value, "Bearer k"));
    CHECK(call_header_bearer("secret\n", room, &h, &e) == ERR_INVALID);
    CHECK_STR(e.text, "--api-key: expected visible characters on one line, got others");
    memset(key, 'x', sizeof key);
    key[CALL_HEADER_BEARER_MAX - 8] = 0;
    CHECK(call_header_bearer(key, room, &h, &e) == ERR_OK && h.value.len == CALL_HEADER_BEARER_MAX - 1);
    key[CALL_HEADER_BEARER_MAX - 8] = 'x';
    key[CALL_HEADER_BEARER_MAX - 7] = 0;
    CHECK(call_header_bearer(key, room, &h, &e) == ERR_INVALID);
    CHECK_STR(e.text, "--api-key: expected at most 504 bytes, got 505");
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_header_has_a_name_and_a_value),
        TEST(what_would_break_the_head_is_refused),
        TEST(a_key_is_one_line_and_is_not_repeated),
    };
    return test_main(cases, COUNTOF(cases));
}
