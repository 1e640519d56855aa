/* Property: the orientation is found in either byte order, and every other sequence of bytes - cut off, lying, of
 * another kind - is orientation 1. */
#include "media/exif.h"
#include "test.h"

#include <stdlib.h>

static const char little[] = "II*\0\x08\0\0\0\x02\0" "\x0f\x01\x02\0\x04\0\0\0abc\0"
                             "\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
static const char big[] = "MM\0*\0\0\0\x08\0\x01" "\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";

static uint32_t with(size_t at, char byte)
{
    char bytes[sizeof little];
    memcpy(bytes, little, sizeof bytes);
    bytes[at] = byte;
    return exif_orientation((str){bytes, sizeof bytes - 1});
}

static void either_byte_order_is_read(void)
{
    CHECK_U64(exif_orientation((str){little, sizeof little - 1}), 6);
    CHECK_U64(exif_orientation((str){big, sizeof big - 1}), 8);
    for (char v = 1; v <= 8; v++) CHECK_U64(with(30, v), (uint64_t)v);
    CHECK_U64(with(24, 1), 6);          /* a byte and a long will do, too */
    CHECK_U64(with(24, 4), 6);
}

static void what_makes_no_sense_is_upright(void)
{
    CHECK_U64(with(30, 0), 1);
    CHECK_U64(with(30, 9), 1);
    CHECK_U64(with(31, 1), 1);          /* 262 */
    CHECK_U64(with(24, 2), 1);          /* a text */
    CHECK_U64(with(26, 2), 1);          /* two values */
    CHECK_U64(with(0, 'M'), 1);
    CHECK_U64(with(2, 43), 1);
    CHECK_U64(with(4, (char)0xff), 1);  /* the directory lies behind the end */
    CHECK_U64(with(7, (char)0xff), 1);
    CHECK_U64(with(8, 1), 1);           /* one entry: not ours */
    CHECK_U64(with(9, (char)0xff), 6);  /* more entries than there are bytes */
    CHECK_U64(with(10, 0x12), 1);       /* the text has our tag: the first counts */
}

static void what_is_cut_off_is_upright(void)
{
    for (size_t n = 0; n < sizeof little - 1; n++) {
        char *cut = malloc(n ? n : 1);
        memcpy(cut, little, n);
        CHECK_U64(exif_orientation((str){cut, n}), 1);
        free(cut);
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(either_byte_order_is_read), TEST(what_makes_no_sense_is_upright),
                                      TEST(what_is_cut_off_is_upright)};
    return test_main(cases, COUNTOF(cases));
}
