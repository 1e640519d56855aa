/* Decoding takes exactly what RFC 8259 calls a string; what is put can be decoded again, and is always UTF-8. */
#include "wire/json_text.h"
#include "test.h"

static bool decodes(str raw, str want)
{
    char to[256];
    size_t len = 0;
    return json_text_decode(raw, to, &len) && str_eq((str){to, len}, want);
}

static void escapes_are_decoded(void)
{
    CHECK(decodes(STR(""), STR("")));
    CHECK(decodes(STR("plain text"), STR("plain text")));
    CHECK(decodes(STR("\\\"\\\\\\/\\b\\f\\n\\r\\t"), STR("\"\\/\b\f\n\r\t")));
    CHECK(decodes(STR("a\\u0041\\u00e9\\u20ac\\u0000z"), STR("aA\xc3\xa9\xe2\x82\xac\0z")));
    CHECK(decodes(STR("\\ud83d\\uDE00"), STR("\xf0\x9f\x98\x80")));
    CHECK(decodes(STR("\\uffff\\ud800\\udc00\\udbff\\udfff"), STR("\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")));
    CHECK(decodes(STR("\xc3\xa9\\n\xf0\x9f\x98\x80"), STR("\xc3\xa9\n\xf0\x9f\x98\x80")));
}

static void malformed_text_is_refused(void)
{
    static const char *const bad[] = {
        "\\", "\\x", "\\u", "\\u12", "\\u12g4", "\\ud800", "\\ud800x", "\\ud800\\n", "\\ud800\\u0041", "\\udc00",
        "\\ud800\\ud800", "a\nb", "12345678\x1f", "\x01", "\xff", "\xc3", "\xed\xa0\x80", "\xc0\x80",
        "\xf4\x90\x80\x80", "\\U0041", "\\'"};
    char to[64];
    size_t len;
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        if (json_text_decode(str_of(bad[i]), to, &len)) printf("# row %zu\n", i);
        CHECK(!json_text_decode(str_of(bad[i]), to, &len));
    }
}

static void the_end_is_the_first_bare_quote(void)
{
    for (size_t before = 0; before < 20; before++) {
        for (size_t escapes = 0; escapes < 4; escapes++) {
            char text[64];
            size_t n = 0;
            bool escaped;
            while (n < before) text[n++] = 'x';
            for (size_t i = 0; i < escapes; i++, n += 2) memcpy(text + n, i & 1 ? "\\\\" : "\\\"", 2);
            text[n] = '"';
            CHECK(json_text_end(text, text + n + 1, &escaped) == text + n && escaped == (escapes > 0));
            memset(text + n + 1, '"', 10);
            CHECK(json_text_end(text, text + n + 11, &escaped) == text + n);
            CHECK(json_text_end(text, text + n, &escaped) == NULL);
            text[n] = '\\';
            CHECK(json_text_end(text, text + n + 1, &escaped) == NULL);
        }
    }
}

static void what_is_put_decodes_again(void)
{
    uint64_t seed = 11;
    for (int round = 0; round < 3000; round++) {
        char text[40], back[512];
        size_t n = test_rand(&seed) % sizeof text, len = 0;
        for (size_t i = 0; i < n; i++) text[i] = (char)(test_rand(&seed) % (round & 1 ? 128 : 256));
        buf b;
        buf_init(&b, 4096);
        json_text_put(&b, (str){text, n});
        str out = buf_str(&b), raw = {out.p + 1, out.len - 2};
        bool escaped;
        CHECK(str_utf8_ok(out) && json_text_end(raw.p, raw.p + raw.len + 1, &escaped) == raw.p + raw.len);
        CHECK(json_text_decode(raw, back, &len) && str_utf8_ok((str){back, len}));
        if (str_utf8_ok((str){text, n})) CHECK(str_eq((str){back, len}, (str){text, n}));
        buf_fini(&b);
    }
}

static void put_gives(const char *s, const char *want)
{
    buf b;
    buf_init(&b, 256);
    json_text_put(&b, str_of(s));
    buf_put_byte(&b, 0);
    CHECK_STR((const char *)b.p, want);
    buf_fini(&b);
}

static void text_is_put_with_few_escapes(void)
{
    put_gives("", "\"\"");
    put_gives("a\"b\\c/\n\x01\x7f", "\"a\\\"b\\\\c/\\n\\u0001\x7f\"");
    put_gives("\xe2\x82\xac", "\"\xe2\x82\xac\"");
    put_gives("a\xff\xe2\x82", "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    FAULT_SWEEP({ buf b; buf_init(&b, 256); json_text_put(&b, STR("a\nb")); buf_fini(&b); });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(escapes_are_decoded),
        TEST(malformed_text_is_refused),
        TEST(the_end_is_the_first_bare_quote),
        TEST(what_is_put_decodes_again),
        TEST(text_is_put_with_few_escapes),
    };
    return test_main(cases, COUNTOF(cases));
}
