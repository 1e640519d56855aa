/* Reading rounds as the C library does in every format, also at half-way points; writing is shortest and reads back. */
#include "wire/decimal.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

static uint64_t f64_bits(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static uint32_t f32_bits(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static double f64_of(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static float f32_of(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* The scanner wants a byte that ends the number, as the ']' of an array does. */
static bool scan(const char *text, decimal *ret)
{
    char z[4096];
    int n = snprintf(z, sizeof z, "%s]", text);
    CHECK(n > 0 && n < (int)sizeof z);
    const char *end = decimal_scan(z, z + n, ret);
    if (!end || end != z + n - 1) return false;
    ret->digits = text + (ret->digits - z);
    ret->digits_end = text + (ret->digits_end - z);
    return true;
}

static bool reads_like_libc(const char *text)
{
    decimal d;
    uint64_t bits = 0, generic = 0;
    uint32_t bits32 = 0;
    double want = strtod(text, NULL);
    float want32 = strtof(text, NULL);
    if (!scan(text, &d)) return false;
    bool ok = decimal_f64_bits(&d, &bits), ok32 = decimal_f32_bits(&d, &bits32);
    if (ok != isfinite(want) || ok32 != isfinite(want32)) return false;
    if (ok && (bits != f64_bits(want) || !decimal_bits(&d, &decimal_f64, &generic) || generic != bits)) return false;
    return !ok32 || (bits32 == f32_bits(want32) && decimal_bits(&d, &decimal_f32, &generic) && generic == bits32);
}
#define LIKE_LIBC(text)                                                             \
    do {                                                                            \
        bool reads_like_libc_ = reads_like_libc(text);                              \
        if (!reads_like_libc_) printf("# %s\n", text);                              \
        CHECK(reads_like_libc_);                                                    \
    } while (0)

static void every_digit_count_and_exponent_reads_like_libc(void)
{
    uint64_t seed = 7;
    for (int exp = -400; exp <= 400; exp++) {
        for (int digits = 1; digits <= 40; digits += 1 + (digits > 22) * 4) {
            char text[80], *p = text;
            int point = (int)(test_rand(&seed) % 45);
            if (test_rand(&seed) & 1) *p++ = '-';
            *p++ = (char)('1' + test_rand(&seed) % 9);
            for (int i = 1; i < digits; i++) {
                if (i == point) *p++ = '.';
                *p++ = (char)('0' + test_rand(&seed) % 10);
            }
            if (exp) sprintf(p, "%c%s%d", exp & 1 ? 'e' : 'E', exp % 3 == 1 ? "+" : "", exp);
            else *p = 0;
            LIKE_LIBC(text);
        }
    }
}

static void hard_cases_read_like_libc(void)
{
    static const char *const texts[] = {
        "0", "-0", "0.0", "-0.0", "0e999999999999999999999", "1e-999999999999999999999", "1", "0.1", "0.1235060",
        "9007199254740993", "9007199254740992.99999999999", "9007199254740993.00000000000000000001", "1e22", "1e23",
        "179769313486231570814527423731704356798070567525844996598917476803157260780028538760589558632766878171540458"
        "953514382464234321326889464182768467546703537516986049910576551282076245490090389328944075868508455133942304"
        "583236903222948165808559332123347747979262144031", "1.7976931348623158e308", "1.7976931348623159e308",
        "1.797693134862315807e308", "1.7976931348623158079e308", "1.7976931348623158080e308", "1e308", "1e309",
        "4.9406564584124654e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "2.4703282292062329e-324",
        "2.2250738585072011e-308", "2.2250738585072012e-308", "2.2250738585072014e-308", "3.4028234663852886e38",
        "3.4028235677973366e38", "3.4028235677973365e38", "3.4028235677973367e38", "1.401298464324817e-45",
        "7.006492321624085e-46", "7.006492321624086e-46", "1.1754943508222875e-38", "1.1754942807573643e-38",
        "16777217", "16777216.999999999999999999999", "16777217.000000000000000000001", "16777219", "33554434.0000",
        "8388609.5", "8388608.5", "8388608.50000000000000000000000000000000000000000001", "18446744073709551615",
        "18446744073709551616", "99999999999999999999", "123456789012345678901234567890", "1e-342", "1e-343", "1e-344",
        "0.000000000000000000000000000000000000000000000000000000000000000012345e60",
        "100000000000000000000000000000000000000000000000000000000000e-60", "7.2057594037927933e16",
    };
    for (size_t i = 0; i < COUNTOF(texts); i++) LIKE_LIBC(texts[i]);
}

/* Texts that lie on half-way points of both formats, and a hair below and above them. */
static void half_way_points_read_like_libc(void)
{
    uint64_t seed = 99;
    for (int i = 0; i < 1500; i++) {
        char text[1400];
        uint32_t narrow = (uint32_t)test_rand(&seed) & 0x7fffffff;
        uint64_t wide = test_rand(&seed) >> 1;
        if (narrow >= 0x7f7fffff || wide >= 0x7fefffffffffffff) continue;
        if (i % 8 == 0) {
            narrow &= 0x7fffff;   /* subnormals */
            wide &= 0xfffffffffffff;
        }
        double half = ((double)f32_of(narrow) + (double)f32_of(narrow + 1)) / 2;   /* exact */
        int n = snprintf(text, sizeof text, "%.160f", half);
        LIKE_LIBC(text);
        snprintf(text + n, sizeof text - (size_t)n, "0000000000000000000000000000000000000000001");
        LIKE_LIBC(text);
        long double half_wide = ((long double)f64_of(wide) + (long double)f64_of(wide + 1)) / 2;
        n = snprintf(text, sizeof text, "%.800Le", half_wide);
        LIKE_LIBC(text);
        char *e = strchr(text, 'e');
        CHECK(n > 0 && e);
        e[-1] = '1';
        LIKE_LIBC(text);
    }
}

static void digits_beyond_800_still_decide(void)
{
    char text[2000];
    int n = snprintf(text, sizeof text, "9007199254740993.");
    memset(text + n, '0', 1500);
    strcpy(text + n + 1500, "");
    LIKE_LIBC(text);
    text[n + 1499] = '1';
    LIKE_LIBC(text);
    memset(text, '9', 1800);
    strcpy(text + 1800, "e-1790");
    LIKE_LIBC(text);
    text[0] = '0';
    text[1] = '.';
    LIKE_LIBC(text);
}

/* float16 has few values: every half-way point, and its neighbours in decimal. */
static void float16_and_bfloat16_round_once(void)
{
    static const struct { const decimal_format *f; uint32_t first, last; } rows[] = {
        {&decimal_f16, 0, 0x7bff}, {&decimal_bf16, 0, 0x7f7f}};
    for (size_t r = 0; r < COUNTOF(rows); r++) {
        const decimal_format *f = rows[r].f;
        for (uint32_t i = rows[r].first; i < rows[r].last; i += r ? 1 : 3) {
            double at[2];
            for (uint32_t j = 0; j < 2; j++) {
                int top = (int)((i + j) >> f->fraction);
                double c = (double)((i + j) & ((1u << f->fraction) - 1)) + (top ? (double)(1u << f->fraction) : 0);
                at[j] = ldexp(c, (top ? top : 1) - ((1 << (f->exponent - 1)) - 1) - f->fraction);
            }
            char text[400];
            decimal d;
            uint64_t bits = 0;
            snprintf(text, sizeof text, "%.200f", (at[0] + at[1]) / 2);
            CHECK(scan(text, &d) && decimal_bits(&d, f, &bits) && bits == i + (i & 1));
            strcat(text, "0000000000000000000000000000000001");
            CHECK(scan(text, &d) && decimal_bits(&d, f, &bits) && bits == i + 1);
            snprintf(text, sizeof text, "-%.17g", nextafter((at[0] + at[1]) / 2, 0));
            CHECK(scan(text, &d) && decimal_bits(&d, f, &bits) && bits == (i | 0x8000));
            decimal_shortest(i, f, &d);
            char out[DECIMAL_TEXT_MAX + 1];
            out[decimal_print(out, &d)] = 0;
            CHECK(scan(out, &d) && decimal_bits(&d, f, &bits) && bits == i);
        }
    }
    decimal d;
    uint64_t bits = 0;
    CHECK(scan("65519.99", &d) && decimal_bits(&d, &decimal_f16, &bits) && bits == 0x7bff);
    CHECK(scan("65520", &d) && !decimal_bits(&d, &decimal_f16, &bits));
}

static void grammar_is_json(void)
{
    static const char *const bad[] = {"", "-", "+1", "01", "-01", ".5", "1.", "1.e5", "1e", "1e+", "1e-", "--1", "0x1",
                                      "1.5.5", "1e5.5", "Infinity", "NaN", "-Infinity", "1f", "e5", "1 "};
    decimal d;
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        if (scan(bad[i], &d)) printf("# %s\n", bad[i]);
        CHECK(!scan(bad[i], &d));
    }
}

/* Fewest digits: no text with one digit less reads back; nearest: no other text of that length lies closer. */
static bool is_shortest(const decimal *d, double v, bool narrow)
{
    char text[DECIMAL_TEXT_MAX + 1], want[40];
    size_t n = decimal_print(text, d);
    uint64_t w = d->w;
    text[n] = 0;
    while (w && w % 10 == 0) w /= 10;
    int have = snprintf(NULL, 0, "%llu", (unsigned long long)w);
    /* %e gives the nearest text of its length. */
    snprintf(want, sizeof want, "%.*e", have - 1, v);
    bool back = narrow ? f32_bits(strtof(text, NULL)) == f32_bits((float)v)
                       : f64_bits(strtod(text, NULL)) == f64_bits(v);
    bool nearest_reads_back = narrow ? f32_bits(strtof(want, NULL)) == f32_bits((float)v)
                                     : f64_bits(strtod(want, NULL)) == f64_bits(v);
    bool nearest = !nearest_reads_back || strtold(text, NULL) == strtold(want, NULL);
    snprintf(want, sizeof want, "%.*e", have > 1 ? have - 2 : 0, v);
    bool shorter = have > 1 && (narrow ? f32_bits(strtof(want, NULL)) == f32_bits((float)v)
                                       : f64_bits(strtod(want, NULL)) == f64_bits(v));
    if (!back || !nearest || shorter || n > DECIMAL_TEXT_MAX) printf("# %a: %s\n", v, text);
    return back && nearest && !shorter && n <= DECIMAL_TEXT_MAX;
}

static void check_f32(uint32_t bits)
{
    decimal d;
    decimal_shortest(bits, &decimal_f32, &d);
    CHECK(is_shortest(&d, (double)f32_of(bits), true));
}

static void check_f64(uint64_t bits)
{
    decimal d;
    decimal_shortest(bits, &decimal_f64, &d);
    CHECK(is_shortest(&d, f64_of(bits), false));
}

static void float32_is_written_shortest(void)
{
    uint64_t seed = 3;
    for (uint32_t top = 0; top < 255; top++) {
        for (uint32_t low = 0; low < 3; low++) check_f32(top << 23 | low);
        for (uint32_t i = 0; i < 64; i++) check_f32(top << 23 | ((uint32_t)test_rand(&seed) & 0x7fffff));
        check_f32(top << 23 | 0x7fffff);
    }
    for (uint32_t i = 1; i; i <<= 1) check_f32(i & 0x7fffff);
    for (int i = 0; i < 60000; i++) {
        uint32_t bits = (uint32_t)test_rand(&seed);
        if (decimal_finite(bits, &decimal_f32)) check_f32(bits);
        check_f32(f32_bits((float)((double)(test_rand(&seed) % 10000000) / 1e7)));
    }
}

static void float64_is_written_shortest(void)
{
    uint64_t seed = 4;
    for (uint64_t top = 0; top < 2047; top++) {
        for (uint64_t low = 0; low < 2; low++) check_f64(top << 52 | low);
        for (int i = 0; i < 4; i++) check_f64(top << 52 | (test_rand(&seed) & 0xfffffffffffff));
        check_f64(top << 52 | 0xfffffffffffff);
    }
    for (int i = 0; i < 50000; i++) {
        uint64_t bits = test_rand(&seed);
        if (decimal_finite(bits, &decimal_f64)) check_f64(bits);
    }
    for (int i = -30; i < 30; i++) check_f64(f64_bits(pow(10, i)));
}

static void print_f64(double v, const char *want)
{
    char text[DECIMAL_TEXT_MAX + 1];
    decimal d;
    decimal_shortest(f64_bits(v), &decimal_f64, &d);
    text[decimal_print(text, &d)] = 0;
    CHECK_STR(text, want);
}

static void layout_is_plain_near_one(void)
{
    print_f64(0, "0.0");
    print_f64(-0.0, "-0.0");
    print_f64(1, "1.0");
    print_f64(-12, "-12.0");
    print_f64(100, "100.0");
    print_f64(0.5, "0.5");
    print_f64(123.456, "123.456");
    print_f64(0.00001, "0.00001");
    print_f64(0.000001, "1e-6");
    print_f64(-1.25e-7, "-1.25e-7");
    print_f64(1e15, "1000000000000000.0");
    print_f64(1e16, "1e16");
    print_f64(1234567890123456.5, "1234567890123456.5");
    print_f64(5e-324, "5e-324");
    print_f64(-1.7976931348623157e308, "-1.7976931348623157e308");
    print_f64(9007199254740992.0, "9007199254740992.0");
}

static void integers_are_written_whole(void)
{
    char text[DECIMAL_TEXT_MAX + 1], want[DECIMAL_TEXT_MAX];
    for (uint64_t v = 1, i = 0; i < 200; i++, v = v * 3 + i % 2) {
        text[decimal_print_u64(text, v)] = 0;
        snprintf(want, sizeof want, "%llu", (unsigned long long)v);
        CHECK_STR(text, want);
        text[decimal_print_i64(text, (int64_t)v)] = 0;
        snprintf(want, sizeof want, "%lld", (long long)v);
        CHECK_STR(text, want);
    }
    text[decimal_print_i64(text, INT64_MIN)] = 0;
    CHECK_STR(text, "-9223372036854775808");
    text[decimal_print_u64(text, UINT64_MAX)] = 0;
    CHECK_STR(text, "18446744073709551615");
    text[decimal_print_u64(text, 0)] = 0;
    CHECK_STR(text, "0");
}

static void what_is_not_finite_has_words(void)
{
    static const struct {
        const char *text, *back;   /* NULL = none */
    } rows[] = {{"NaN", "NaN"}, {"-NaN", "NaN"}, {"Inf", "Infinity"}, {"-Inf", "-Infinity"}, {"Infinity", "Infinity"},
                {"-Infinity", "-Infinity"}, {"nan", NULL}, {"NAN", NULL}, {"inf", NULL}, {"INF", NULL},
                {"infinity", NULL}, {"InfinitY", NULL}, {"Infini", NULL}, {"+Inf", NULL}, {"--Inf", NULL}, {"", NULL}};
    static const decimal_format *const formats[] = {&decimal_f16, &decimal_bf16, &decimal_f32, &decimal_f64};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        for (size_t f = 0; f < COUNTOF(formats); f++) {
            for (size_t cut = rows[i].back ? 0 : strlen(rows[i].text); cut <= strlen(rows[i].text); cut++) {
                uint64_t bits = 0;
                char text[DECIMAL_TEXT_MAX + 1];
                sprintf(text, "%.*s]", (int)cut, rows[i].text);
                const char *past = decimal_word_scan(text, formats[f], &bits);
                bool half = strlen(rows[i].text) > cut && cut != strlen("Inf") + (text[0] == '-');
                CHECK(past == (rows[i].back && !half ? text + cut : NULL));
                if (!past) continue;
                CHECK(!decimal_finite(bits, formats[f]));
                text[decimal_word_print(text, bits, formats[f])] = 0;
                CHECK_STR(text, rows[i].back);
            }
        }
    }
    uint64_t bits = 0;
    CHECK(decimal_word_scan("-NaN", &decimal_f32, &bits) && bits == 0x7fc00000);
    CHECK(decimal_word_scan("-Inf", &decimal_f32, &bits) && bits == 0xff800000);
    CHECK(decimal_word_scan("NaN", &decimal_bf16, &bits) && bits == 0x7fc0);
    CHECK(decimal_word_scan("Inf", &decimal_f16, &bits) && bits == 0x7c00);
    CHECK(decimal_word_scan("-Infinity", &decimal_f64, &bits) && bits == UINT64_C(0xfff0) << 48);
    char text[DECIMAL_TEXT_MAX] = "";
    CHECK(decimal_word_print(text, 0xff800001, &decimal_f32) == 3 && memcmp(text, "NaN", 3) == 0);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_digit_count_and_exponent_reads_like_libc),
        TEST(hard_cases_read_like_libc),
        TEST(half_way_points_read_like_libc),
        TEST(digits_beyond_800_still_decide),
        TEST(float16_and_bfloat16_round_once),
        TEST(grammar_is_json),
        TEST(float32_is_written_shortest),
        TEST(float64_is_written_shortest),
        TEST(layout_is_plain_near_one),
        TEST(integers_are_written_whole),
        TEST(what_is_not_finite_has_words),
    };
    return test_main(cases, COUNTOF(cases));
}
