/* The values are those of the authors' own vectors, wherever the bytes are cut. */
#include "base/siphash.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

static siphash_key key(void)
{
    siphash_key k;
    uint8_t bytes[16];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
    memcpy(&k, bytes, sizeof k);
    return k;
}

static const char *hex(siphash_value v)
{
    static char text[33];
    uint8_t bytes[16];
    memcpy(bytes, &v, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return text;
}

/* Of 0, 1, 2 ... len - 1. */
static siphash_value of(size_t len, size_t cut)
{
    siphash h;
    uint8_t bytes[64];
    const siphash_key k = key();
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
    siphash_init(&h, &k);
    siphash_add(&h, bytes, cut);
    siphash_add(&h, bytes + cut, len - cut);
    return siphash_end(&h);
}

static void it_is_siphash_2_4_128(void)
{
    CHECK_STR(hex(of(0, 0)), "a3817f04ba25a8e66df67214c7550293");
    CHECK_STR(hex(of(1, 0)), "da87c1d86b99af44347659119b22fc45");
    CHECK_STR(hex(of(2, 0)), "8177228da4a45dc7fca38bdef60affe4");
    CHECK_STR(hex(of(15, 0)), "5493e99933b0a8117e08ec0f97cfc3d9");
}

static void where_bytes_are_cut_makes_no_difference(void)
{
    for (size_t len = 0; len <= 64; len++) {
        const siphash_value whole = of(len, 0);
        for (size_t cut = 0; cut <= len; cut++) {
            const siphash_value v = of(len, cut);
            CHECK(v.half[0] == whole.half[0] && v.half[1] == whole.half[1]);
        }
        const siphash_value other = of(len ? len - 1 : 1, 0);
        CHECK(other.half[0] != whole.half[0] && other.half[1] != whole.half[1]);
    }
}

static void another_key_is_another_hash(void)
{
    siphash h;
    siphash_key k = key();
    k.half[1] ^= 1;
    siphash_init(&h, &k);
    siphash_add_u64(&h, 7);
    const siphash_value a = siphash_end(&h);
    k.half[1] ^= 1;
    siphash_init(&h, &k);
    siphash_add_u64(&h, 7);
    const siphash_value b = siphash_end(&h);
    CHECK(a.half[0] != b.half[0] && a.half[1] != b.half[1]);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(it_is_siphash_2_4_128),
        TEST(where_bytes_are_cut_makes_no_difference),
        TEST(another_key_is_another_hash),
    };
    return test_main(cases, COUNTOF(cases));
}
