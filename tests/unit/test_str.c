/* A number is parsed whole and exactly or refused; text is judged as the Unicode standard does; a view never
 * reads past its length; and the hash is SipHash-1-3 in shape: every bit of the key counts. */
#include "base/str.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

static void compares_by_bytes_and_length(void)
{
    CHECK(str_is(str_of("abc"), "abc") && !str_is(str_of("abc"), "ab") && !str_is(STR("ab"), "abc"));
    CHECK(str_eq(STR("a\0b"), STR("a\0b")) && !str_eq(STR("a\0b"), STR("a\0c")));
    CHECK(str_eq((str){NULL, 0}, STR("")) && str_of(NULL).len == 0);
    CHECK(str_is_nocase(STR("Content-LENGTH"), "content-length") && !str_is_nocase(STR("a["), "a{"));
    CHECK(!str_is_nocase(STR("ab"), "abc"));
    CHECK(str_starts(STR("/v2/models"), STR("/v2/")) && !str_starts(STR("/v"), STR("/v2/")));
    CHECK(str_starts(STR("a"), STR("")));
    CHECK(str_ends(STR("model.onnx"), STR(".onnx")) && !str_ends(STR("onnx"), STR(".onnx")));
    CHECK(!str_ends(STR("model.onnx "), STR(".onnx")) && str_ends(STR(""), STR("")));
}

/* Wherever the byte stands: words of eight, what is left of them, and short ones. */
static void case_is_a_matter_of_ascii_letters_alone(void)
{
    char a[20], b[20];
    for (size_t len = 1; len < sizeof a; len++) {
        for (size_t at = 0; at < len; at++) {
            memset(a, 'q', len);
            memset(b, 'Q', len);
            for (int x = 0; x < 256; x++) {
                int low = x >= 'A' && x <= 'Z' ? x + 32 : x, high = x >= 'a' && x <= 'z' ? x - 32 : x;
                a[at] = (char)x;
                b[at] = (char)low;
                CHECK(str_eq_nocase((str){a, len}, (str){b, len}));
                b[at] = (char)high;
                CHECK(str_eq_nocase((str){a, len}, (str){b, len}));
                b[at] = (char)(x ^ 0x20);
                CHECK(str_eq_nocase((str){a, len}, (str){b, len}) == (low != x || high != x));
                b[at] = (char)(x ^ 0x80);
                CHECK(!str_eq_nocase((str){a, len}, (str){b, len}));
            }
        }
    }
    CHECK(str_eq_nocase(STR(""), (str){NULL, 0}) && !str_eq_nocase(STR("a"), STR("")));
}

static void trims_and_cuts(void)
{
    str a = STR("untouched"), b = STR("untouched");
    CHECK(str_is(str_trim(STR(" \t a b\t ")), "a b") && str_trim(STR(" \t ")).len == 0);
    CHECK(!str_cut(STR("none"), '=', &a, &b) && str_is(a, "untouched") && str_is(b, "untouched"));
    CHECK(str_cut(STR("k=v=w"), '=', &a, &b) && str_is(a, "k") && str_is(b, "v=w"));
    CHECK(str_cut(STR("="), '=', &a, &b) && a.len == 0 && b.len == 0);
    CHECK(!str_cut((str){NULL, 0}, '=', &a, &b));
    b = STR("k,,v");
    CHECK(str_is(str_next(&b, ','), "k") && str_is(b, ",v") && str_next(&b, ',').len == 0 && str_is(b, "v"));
    CHECK(str_is(str_next(&b, ','), "v") && b.len == 0 && str_next(&b, ',').len == 0);
}

static void printable_is_from_blank_to_tilde_wherever_it_stands(void)
{
    char a[20];
    for (size_t len = 1; len < sizeof a; len++)
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c < 256; c++) {
                memset(a, c & 1 ? '~' : ' ', len);
                a[at] = (char)c;
                CHECK(str_printable((str){a, len}) == (c >= ' ' && c <= '~'));
            }
    CHECK(str_printable(STR("")) && str_printable((str){NULL, 0}));
}

static void copies_end_in_a_nul_and_fail_when_the_arena_is_full(void)
{
    char memory[8];
    arena a;
    arena_init(&a, memory, sizeof memory, sizeof memory);
    CHECK_STR(str_copy(&a, STR("1234567")).p, "1234567");
    CHECK(str_copy(&a, STR("")).p == NULL);
}

static void integers_are_whole_or_refused(void)
{
    uint64_t u = 7;
    int64_t i = 7;
    const char *bad[] = {"", " 1", "1 ", "+1", "-1", "0x10", "1.0", "18446744073709551616", "99999999999999999999"};
    for (size_t k = 0; k < COUNTOF(bad); k++) CHECK(!str_u64(str_of(bad[k]), &u) && u == 7);
    CHECK(str_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
    CHECK(str_u64(STR("007"), &u) && u == 7);
    CHECK(str_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(str_i64(STR("9223372036854775807"), &i) && i == INT64_MAX);
    i = 7;
    CHECK(!str_i64(STR("9223372036854775808"), &i) && !str_i64(STR("-9223372036854775809"), &i) && i == 7);
    CHECK(!str_i64(STR("-"), &i) && !str_i64(STR("--1"), &i) && i == 7);
    CHECK(!str_i64(STR(""), &i) && !str_i64(STR("+1"), &i) && i == 7);
}

static void doubles_take_only_the_decimal_forms(void)
{
    double d = 7;
    const char *bad[] = {"", "-", ".", "-.", "e5", ".e5", "1e", "1e+", " 1", "1 ", "+1", "inf", "nan", "-inf", "0x1p3",
                         "1e309", "-1e309", "1_0", "1,5", "1.2.3", "1e5e5"};
    for (size_t k = 0; k < COUNTOF(bad); k++) CHECK(!str_f64(str_of(bad[k]), &d) && d == 7);
    const struct { const char *text; double want; } good[] = {
        {"0", 0}, {"-1.5", -1.5}, {".5", .5}, {"5.", 5}, {"1e3", 1000},
        {"1E-3", 1e-3}, {"2.5e+2", 250}, {"0.1", 0.1}, {"9007199254740993", 9007199254740992.0}, {"5e-324", 5e-324},
        {"1e-400", 0}, {"1.7976931348623157e308", 1.7976931348623157e308}};
    for (size_t k = 0; k < COUNTOF(good); k++) CHECK(str_f64(str_of(good[k].text), &d) && d == good[k].want);
    CHECK(str_f64(STR("-0"), &d) && d == 0 && signbit(d));
    CHECK(str_f64((str){"12345", 2}, &d) && d == 12);   /* the bytes after the view are another's */
}

static void doubles_survive_printing_and_parsing(void)
{
    uint64_t seed = 1;
    for (int k = 0; k < 20000; k++) {
        uint64_t bits = test_rand(&seed);
        double want, got = 0;
        char text[40];
        memcpy(&want, &bits, sizeof want);
        if (!isfinite(want)) continue;
        snprintf(text, sizeof text, "%.17g", want);
        CHECK(str_f64(str_of(text), &got) && memcmp(&got, &want, sizeof got) == 0);
    }
}

static void overlong_numbers_are_refused_not_cut(void)
{
    char text[1300];
    double d = 7;
    memset(text, '1', sizeof text);
    CHECK(!str_f64((str){text, 1201}, &d) && d == 7);
    memset(text, '0', sizeof text);
    CHECK(str_f64((str){text, 1200}, &d) && d == 0);
}

static void utf8_follows_the_standards_table(void)
{
    const struct { const char *text; bool ok; } rows[] = {{"", true}, {"plain ascii text", true}, {"\xC3\xA4", true},
        {"\xE2\x82\xAC", true}, {"\xF0\x9F\x98\x80", true}, {"\xF4\x8F\xBF\xBF", true}, {"\xC0\x80", false},
        {"\xC1\xBF", false},
        {"\xE0\x9F\xBF", false}, {"\xED\xA0\x80", false}, {"\xED\x9F\xBF", true}, {"\xF0\x8F\xBF\xBF", false},
        {"\xF4\x90\x80\x80", false}, {"\xF5\x80\x80\x80", false}, {"\x80", false}, {"\xC3", false}, {"\xE2\x82", false},
        {"\xF0\x9F\x98", false}, {"\xE2\x28\xA1", false}, {"12345678\xFF", false}, {"1234567\xC3\xA4", true}};
    for (size_t k = 0; k < COUNTOF(rows); k++) CHECK(str_utf8_ok(str_of(rows[k].text)) == rows[k].ok);
}

/* Every code point, encoded by the definition, is accepted, and surrogates are not. */
static void utf8_accepts_each_code_point(void)
{
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char b[4];
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        uint32_t rest = c;
        for (size_t i = n; i-- > 1; rest >>= 6) b[i] = (char)(0x80 | (rest & 0x3F));
        b[0] = (char)(n == 1 ? rest : (0xF00u >> n & 0xFFu) | rest);
        bool surrogate = c >= 0xD800 && c < 0xE000;
        if (str_utf8_ok((str){b, n}) == surrogate) CHECK(!"code point judged wrongly");
        uint32_t code = 7;
        char put[4];
        size_t step = str_utf8_step((str){b, n}, &code), cut = str_utf8_step((str){b, n - 1}, &code);
        if (step != (surrogate ? 0 : n) || code != (surrogate ? 7 : c) || cut) CHECK(!"code point read wrongly");
        if (str_utf8_put(put, c) != n || memcmp(put, b, n) != 0) CHECK(!"code point written wrongly");
    }
}

static void utf8_steps_take_one_character_and_no_more(void)
{
    uint32_t code = 7;
    CHECK_U64(str_utf8_step(STR(""), &code), 0);
    CHECK_U64(str_utf8_step((str){NULL, 0}, &code), 0);
    CHECK_U64(str_utf8_step(STR("\x80z"), &code), 0);
    CHECK_U64(code, 7);
    CHECK(str_utf8_step(STR("ab"), &code) == 1 && code == 'a');
    CHECK(str_utf8_step(STR("\0b"), &code) == 1 && code == 0);
    CHECK(str_utf8_step(STR("\xE2\x82\xAC\xFF"), &code) == 3 && code == 0x20AC);
}

static void hashes_differ_where_keys_do(void)
{
    char key[40] = {0};
    uint64_t flips = 0;
    for (size_t len = 0; len < sizeof key; len++) {
        uint64_t h = str_hash((str){key, len});
        CHECK_U64(str_hash((str){key, len}), h);
        CHECK(h != str_hash((str){key, len + 1 < sizeof key ? len + 1 : 0}));
        for (size_t bit = 0; bit < len * 8; bit++) {
            key[bit / 8] = (char)(1u << bit % 8);
            uint64_t changed = str_hash((str){key, len}) ^ h;
            key[bit / 8] = 0;
            flips += (uint64_t)__builtin_popcountll(changed);
            CHECK(changed != 0);
        }
    }
    /* 40 * 39 / 2 * 8 = 6,240 single-bit changes flip half of 64 bits: 32 each, here within 1 %. */
    CHECK(flips > 6240 * 32 * 99 / 100 && flips < 6240 * 32 * 101 / 100);
}

static void nearest_finds_typing_errors_only(void)
{
    const char *keys[] = {"port", "host", "model-repository", "log-level", "threads"};
    CHECK_STR(str_nearest(STR("prot"), keys, COUNTOF(keys)), "port");
    CHECK_STR(str_nearest(STR("log-levle"), keys, COUNTOF(keys)), "log-level");
    CHECK_STR(str_nearest(STR("model_repository"), keys, COUNTOF(keys)), "model-repository");
    CHECK_STR(str_nearest(STR("thread"), keys, COUNTOF(keys)), "threads");
    CHECK_STR(str_nearest(STR("PORT"), keys, COUNTOF(keys)), "port");
    CHECK(str_nearest(STR("colour"), keys, COUNTOF(keys)) == NULL);
    CHECK(str_nearest(STR(""), keys, COUNTOF(keys)) == NULL && str_nearest(STR("x"), keys, COUNTOF(keys)) == NULL);
    CHECK(str_nearest(STR("port"), NULL, 0) == NULL);
    char big[200];
    memset(big, 'a', sizeof big);
    CHECK(str_nearest((str){big, sizeof big}, keys, COUNTOF(keys)) == NULL);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(compares_by_bytes_and_length), TEST(case_is_a_matter_of_ascii_letters_alone), TEST(trims_and_cuts),
        TEST(printable_is_from_blank_to_tilde_wherever_it_stands),
        TEST(copies_end_in_a_nul_and_fail_when_the_arena_is_full),
        TEST(integers_are_whole_or_refused), TEST(doubles_take_only_the_decimal_forms),
        TEST(doubles_survive_printing_and_parsing), TEST(overlong_numbers_are_refused_not_cut),
        TEST(utf8_follows_the_standards_table), TEST(utf8_accepts_each_code_point),
        TEST(utf8_steps_take_one_character_and_no_more),
        TEST(hashes_differ_where_keys_do),
        TEST(nearest_finds_typing_errors_only)};
    return test_main(cases, COUNTOF(cases));
}
