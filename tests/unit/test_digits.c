/* Eight bytes at once say how many digits they begin with and what these are worth, whatever stands behind them. */
#include "wire/digits.h"
#include "test.h"

static void every_byte_behind_every_count_of_digits_ends_them(void)
{
    for (size_t n = 0; n < DIGITS_BYTES; n++) {
        for (int c = 0; c < 256; c++) {
            char text[DIGITS_BYTES + 1] = "98765432";
            bool digit = c >= '0' && c <= '9';
            text[n] = (char)c;
            CHECK_U64(digits_count(digits_load(text)), digit ? DIGITS_BYTES : n);
            CHECK(digits_all(digits_load(text)) == digit);
        }
    }
}

static void runs_of_every_length_have_their_value(void)
{
    uint64_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        char text[32];
        size_t n = 1 + test_rand(&seed) % DIGITS_BYTES;
        uint64_t want = test_rand(&seed) % digits_ten[n];
        snprintf(text, sizeof text, "%0*llu,-1e+9:;/", (int)n, (unsigned long long)want);
        uint64_t v = digits_load(text);
        CHECK_U64(digits_count(v), n);
        CHECK_U64(digits_value(digits_last(v, n)), want);
    }
}

int main(void)
{
    static const test_case all[] = {
        TEST(every_byte_behind_every_count_of_digits_ends_them),
        TEST(runs_of_every_length_have_their_value),
    };
    return test_main(all, COUNTOF(all));
}
