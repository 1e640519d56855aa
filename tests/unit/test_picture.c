/* What must hold for pictures: the pixels are those the file says, through every filter of PNG; what is cut off,
 * damaged, too large or of another kind is refused by name. */
#include "base/buf.h"
#include "test.h"
#include "wire/crc32.h"
#include "wire/flate.h"
#include "wire/picture.h"

static void check_text(str file, const char *want)
{
    arena a;
    err e = {.text = ""};
    picture p;
    char got[500];
    arena_init(&a, NULL, 0, 64 << 20);
    if (picture_parse(file, &a, &p, &e)) {
        snprintf(got, sizeof got, "%s", e.text);
    } else {
        size_t n = (size_t)snprintf(got, sizeof got, "%ux%ux%u:", p.width, p.height, p.channels);
        for (size_t i = 0; i < (size_t)p.width * p.height * p.channels && n < sizeof got; i++)
            n += (size_t)snprintf(got + n, sizeof got - n, " %u", p.pixels[i]);
    }
    CHECK_STR(got, want);
    arena_fini(&a);
}

static void pnm_gives_its_pixels(void)
{
    check_text(STR("P5 3 2 255\n\1\2\3\4\5\6"), "3x2x1: 1 2 3 4 5 6");
    check_text(STR("P5\n# made by hand\n3\t2\r\n# more\n255 \1\2\3\4\5\6 rest"), "3x2x1: 1 2 3 4 5 6");
    check_text(STR("P6 1 2 255\n\1\2\3\4\5\377"), "1x2x3: 1 2 3 4 5 255");
}

static void other_files_are_refused_by_name(void)
{
    check_text(STR(""), "picture: expected PGM (P5), PPM (P6) or PNG");
    check_text(STR("GIF89a"), "picture: expected PGM (P5), PPM (P6) or PNG");
    check_text(STR("P2 1 1 255 1"), "picture: expected PGM (P5), PPM (P6) or PNG");
    check_text(STR("\xff\xd8\xff\xe0"), "picture: expected PGM, PPM or PNG, got JPEG: convert it to PPM");
    check_text(STR("P5"), "picture: PNM header: expected width, height and maximum");
    check_text(STR("P5 1 1 # 255"), "picture: PNM header: expected width, height and maximum");
    check_text(STR("P5 1 1 255"), "picture: PNM header: expected width, height and maximum");
    check_text(STR("P5 1 1 65535\n\1\1"), "picture: PNM: expected a maximum of 255, got 65535");
    check_text(STR("P5 2 2 255\n\1\1\1"), "picture: expected 4 bytes of pixels, got 3");
    check_text(STR("P5 0 2 255\n"), "picture: expected sides of 1 to 16384, got 0x2");
    check_text(STR("P5 16385 2 255\n"), "picture: expected sides of 1 to 16384, got 16385x2");
    check_text(STR("P6 16384 16384 255\n"), "picture: expected at most 268435456 bytes of pixels, got 805306368");
}

/* ---- PNG, made here ---- */

static void put_be32(buf *b, uint32_t v)
{
    uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    buf_put(b, bytes, 4);
}

static void put_chunk(buf *b, const char *kind, str data)
{
    put_be32(b, (uint32_t)data.len);
    size_t start = b->len;
    buf_put(b, kind, 4);
    buf_put_str(b, data);
    put_be32(b, crc32_of(0, (str){(const char *)b->p + start, b->len - start}));
}

static void put_png(buf *b, str header, str rows)
{
    err e;
    buf packed;
    buf_init(&packed, 1 << 20);
    CHECK(flate_pack(&packed, FLATE_DEFLATE, rows, &e) == ERR_OK);
    buf_put(b, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(b, "IHDR", header);
    put_chunk(b, "tEXt", STR("a\0b"));
    str all = buf_str(&packed);
    put_chunk(b, "IDAT", (str){all.p, 3});   /* the stream may be cut anywhere */
    put_chunk(b, "IDAT", (str){all.p + 3, all.len - 3});
    put_chunk(b, "IEND", STR(""));
    buf_fini(&packed);
}

static void check_png(str header, str rows, const char *want)
{
    buf b;
    buf_init(&b, 1 << 20);
    put_png(&b, header, rows);
    check_text(buf_str(&b), want);
    buf_fini(&b);
}

#define GREY(width, height) STR("\0\0\0" width "\0\0\0" height "\10\0\0\0\0")

static void every_filter_of_png_is_undone(void)
{
    check_png(GREY("\3", "\1"), STR("\0\1\2\3"), "3x1x1: 1 2 3");
    check_png(GREY("\3", "\2"), STR("\1\1\1\1\2\1\1\1"), "3x2x1: 1 2 3 2 3 4");
    check_png(GREY("\3", "\2"), STR("\0\12\24\36\3\1\1\1"), "3x2x1: 10 20 30 6 14 23");
    check_png(GREY("\3", "\2"), STR("\0\12\24\36\4\1\1\377"), "3x2x1: 10 20 30 11 21 29");
    check_png(STR("\0\0\0\2\0\0\0\1\10\2\0\0\0"), STR("\1\1\2\3\1\1\1"), "2x1x3: 1 2 3 2 3 4");
}

static void other_kinds_of_png_are_refused_by_name(void)
{
    static const struct { const char *header, *want; } rows[] = {
        {"\0\0\0\1\0\0\0\1\10\3\0\0\0", "expected grey or RGB, got a palette: convert it to PPM"},
        {"\0\0\0\1\0\0\0\1\10\6\0\0\0", "expected grey or RGB, got RGB with alpha: convert it to PPM"},
        {"\0\0\0\1\0\0\0\1\10\4\0\0\0", "expected grey or RGB, got grey with alpha: convert it to PPM"},
        {"\0\0\0\1\0\0\0\1\10\1\0\0\0", "expected grey or RGB, got an unknown kind: convert it to PPM"},
        {"\0\0\0\1\0\0\0\1\10\11\0\0\0", "expected grey or RGB, got an unknown kind: convert it to PPM"},
        {"\0\0\0\1\0\0\0\1\20\0\0\0\0", "expected 8 bits, got 16: convert it to PPM"},
        {"\0\0\0\1\0\0\0\1\10\0\0\0\1", "expected no interlacing: convert it to PPM"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char want[200];
        snprintf(want, sizeof want, "picture: PNG: %s", rows[i].want);
        check_png((str){rows[i].header, 13}, STR("\0\1"), want);
    }
    check_png(STR("\0\0"), STR("\0\1"), "picture: PNG: expected a header of 13 bytes, got 2");
    check_png(GREY("\3", "\1"), STR("\0\1\2"), "picture: PNG: expected 4 bytes of rows, got 3");
    check_png(GREY("\1", "\1"), STR("\5\1"), "picture: PNG: expected a filter of 0 to 4, got 5");
}

static void a_png_that_is_cut_or_damaged_anywhere_is_refused(void)
{
    buf b;
    arena a;
    err e;
    picture p;
    buf_init(&b, 1 << 20);
    put_png(&b, GREY("\3", "\2"), STR("\1\1\1\1\2\1\1\1"));
    arena_init(&a, NULL, 0, 1 << 20);
    for (size_t n = 0; n < b.len; n++) {
        str all = buf_str(&b);
        CHECK(picture_parse((str){all.p, n}, &a, &p, &e) != ERR_OK);
        b.p[n] ^= 0x20;
        CHECK(picture_parse(all, &a, &p, &e) != ERR_OK || n >= b.len);
        b.p[n] ^= 0x20;
        arena_reset(&a);
    }
    CHECK(picture_parse(buf_str(&b), &a, &p, &e) == ERR_OK);
    arena_fini(&a);
    FAULT_SWEEP({
        arena_init(&a, NULL, 0, 1 << 20);
        CHECK(picture_parse(buf_str(&b), &a, &p, &e) != ERR_OK || p.width == 3);
        arena_fini(&a);
    });
    buf_fini(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(pnm_gives_its_pixels),
        TEST(other_files_are_refused_by_name),
        TEST(every_filter_of_png_is_undone),
        TEST(other_kinds_of_png_are_refused_by_name),
        TEST(a_png_that_is_cut_or_damaged_anywhere_is_refused),
    };
    return test_main(cases, COUNTOF(cases));
}
