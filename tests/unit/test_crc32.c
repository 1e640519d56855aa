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

/* RFC 3720 B.4, and the catalogue's check value. */
static void known_sums_of_castagnoli(void)
{
    char zeros[32] = {0}, ones[32];
    memset(ones, 0xFF, sizeof ones);
    CHECK_U64(crc32c_of(0, STR("")), 0);
    CHECK_U64(crc32c_of(0, STR("123456789")), 0xe3069283);
    CHECK_U64(crc32c_of(0, (str){zeros, sizeof zeros}), 0x8a9136aa);
    CHECK_U64(crc32c_of(0, (str){ones, sizeof ones}), 0x62a8ab43);
    CHECK_U64(crc32c_of(crc32c_of(0, STR("1234")), STR("56789")), 0xe3069283);
}

int main(void)
{
    static const test_case cases[] = {TEST(known_sums), TEST(every_cut_gives_the_same_sum),
                                      TEST(known_sums_of_castagnoli)};
    return test_main(cases, COUNTOF(cases));
}
