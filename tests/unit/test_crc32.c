/* The sum is the one everybody else computes, however the bytes are cut. */
#include "wire/crc32.h"
#include "test.h"

static void known_sums(void)
{
    CHECK_U64(crc32_of(0, STR("")), 0);
    CHECK_U64(crc32_of(0, STR("123456789")), 0xcbf43926);
    CHECK_U64(crc32_of(0, STR("The quick brown fox jumps over the lazy dog")), 0x414fa339);
}

static void every_cut_gives_the_same_sum(void)
{
    str s = STR("The quick brown fox jumps over the lazy dog");
    for (size_t i = 0; i <= s.len; i++)
        CHECK_U64(crc32_of(crc32_of(0, (str){s.p, i}), (str){s.p + i, s.len - i}), 0x414fa339);
}

int main(void)
{
    static const test_case cases[] = {TEST(known_sums), TEST(every_cut_gives_the_same_sum)};
    return test_main(cases, COUNTOF(cases));
}
