/* Text becomes the bytes that it spells in either alphabet, wrapped or padded or not; what spells none is refused where
 * that shows. */
#include "test.h"
#include "wire/base64.h"

/* The bytes, or "at N". */
static const char *reads(const char *text)
{
    static char got[200];
    size_t len = 0, at = 0;
    INVARIANT(base64_room(strlen(text)) < sizeof got);
    if (base64_read(str_of(text), (uint8_t *)got, &len, &at)) {
        INVARIANT(len <= base64_room(strlen(text)));
        got[len] = 0;
    } else {
        snprintf(got, sizeof got, "at %zu", at);
    }
    return got;
}

static void every_length_is_read_with_padding_and_without(void)
{
    CHECK_STR(reads(""), "");
    CHECK_STR(reads("Zg=="), "f");
    CHECK_STR(reads("Zg"), "f");
    CHECK_STR(reads("Zm8="), "fo");
    CHECK_STR(reads("Zm8"), "fo");
    CHECK_STR(reads("Zm9v"), "foo");
    CHECK_STR(reads("Zm9vYg=="), "foob");
    CHECK_STR(reads("Zm9vYmFy"), "foobar");
}

static void both_alphabets_say_the_same(void)
{
    CHECK_STR(reads("+/+/"), "\xfb\xff\xbf");
    CHECK_STR(reads("-_-_"), "\xfb\xff\xbf");
}

static void lines_may_be_wrapped(void)
{
    CHECK_STR(reads("Zm9v\nYmFy\n"), "foobar");
    CHECK_STR(reads(" Z m\t9\r\nv"), "foo");
    CHECK_STR(reads("Zg =\n= "), "f");
}

static void what_is_none_is_refused_at_its_place(void)
{
    CHECK_STR(reads("Zm9v!mFy"), "at 4");
    CHECK_STR(reads("Z.m9"), "at 1");
    CHECK_STR(reads("Zm9vY"), "at 5");
    CHECK_STR(reads("Zg="), "at 3");
    CHECK_STR(reads("Zg==="), "at 4");
    CHECK_STR(reads("Zm9v===="), "at 4");
    CHECK_STR(reads("Zg==Zg=="), "at 4");
    CHECK_STR(reads("="), "at 0");
}

static void every_value_of_a_digit_counts(void)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (uint32_t i = 0; i < 64; i++) {
        char text[5] = {digits[i], 'A', 'A', digits[i], 0};
        uint8_t got[8];
        size_t len, at;
        CHECK(base64_read(str_of(text), got, &len, &at) && len == 3);
        CHECK_U64(got[0], i << 2);
        CHECK_U64(got[2], i);
    }
}

static void what_is_written_is_padded_on_demand(void)
{
    static const struct {
        const char *bytes, *padded, *bare;
    } rows[] = {{"", "", ""}, {"f", "Zg==", "Zg"}, {"fo", "Zm8=", "Zm8"}, {"foo", "Zm9v", "Zm9v"},
                {"foob", "Zm9vYg==", "Zm9vYg"}, {"\xff\xfe\xfd", "//79", "//79"}};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        for (int padded = 0; padded < 2; padded++) {
            buf out;
            buf_init(&out, 64);
            base64_put(&out, str_of(rows[i].bytes), padded);
            CHECK(str_is(buf_str(&out), padded ? rows[i].padded : rows[i].bare));
            buf_fini(&out);
        }
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_length_is_read_with_padding_and_without),
        TEST(both_alphabets_say_the_same),
        TEST(lines_may_be_wrapped),
        TEST(what_is_none_is_refused_at_its_place),
        TEST(every_value_of_a_digit_counts),
        TEST(what_is_written_is_padded_on_demand),
    };
    return test_main(cases, COUNTOF(cases));
}
