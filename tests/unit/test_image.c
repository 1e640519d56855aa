/* What must hold for images: every kind of file gives the pixels that Pillow gives, in grey, RGB and RGBA, and its
 * EXIF's orientation; what is cut off, damaged, too large or of another kind is refused in one line, before pixels are
 * decoded where the header tells; and a decoder that is missing is named. */
#include "media/image.h"
#include "base/buf.h"
#include "fake/sys_fake.h"
#include "test.h"
#include "wire/crc32.h"

#include <stdlib.h>

typedef struct {
    const char *name;
    uint32_t width, height, orientation, grey, rgb, rgba;   /* the last three: CRC-32 of the pixels; 0 = refused */
} golden;

/* Printed by tests/fuzz/seeds_image.py, which made the files, from Pillow 13. */
static const golden goldens[] = {
    {"png-0-1", 11, 9, 1, 0x282edae2, 0x31dcd0b3, 0xcc9b8789},
    {"png-0-1-adam7", 11, 9, 1, 0x282edae2, 0x31dcd0b3, 0xcc9b8789},
    {"png-0-1-trns", 11, 9, 1, 0x282edae2, 0x31dcd0b3, 0xb0e63074},
    {"png-0-2", 11, 9, 1, 0x58da4555, 0x7164ec3c, 0x7e576c64},
    {"png-0-2-adam7", 11, 9, 1, 0x58da4555, 0x7164ec3c, 0x7e576c64},
    {"png-0-2-trns", 11, 9, 1, 0x58da4555, 0x7164ec3c, 0x0c4ce69b},
    {"png-0-4", 11, 9, 1, 0x1cbfd18f, 0x78480e81, 0x92323d95},
    {"png-0-4-adam7", 11, 9, 1, 0x1cbfd18f, 0x78480e81, 0x92323d95},
    {"png-0-4-trns", 11, 9, 1, 0x1cbfd18f, 0x78480e81, 0xc8ebafb4},
    {"png-0-8", 11, 9, 1, 0xb353039e, 0xccaf997e, 0xa68bac38},
    {"png-0-8-adam7", 11, 9, 1, 0xb353039e, 0xccaf997e, 0xa68bac38},
    {"png-0-8-trns", 11, 9, 1, 0xb353039e, 0xccaf997e, 0xa103f46d},
    {"png-0-16", 11, 9, 1, 0x1f257b33, 0xd47ed02f, 0x56ffe09c},
    {"png-0-16-adam7", 11, 9, 1, 0x1f257b33, 0xd47ed02f, 0x56ffe09c},
    {"png-0-16-trns", 11, 9, 1, 0x1f257b33, 0xd47ed02f, 0x5177b8c9},
    {"png-2-8", 11, 9, 1, 0x02d8595b, 0x7c4fc167, 0x9edc0737},
    {"png-2-8-adam7", 11, 9, 1, 0x02d8595b, 0x7c4fc167, 0x9edc0737},
    {"png-2-8-trns", 11, 9, 1, 0x02d8595b, 0x7c4fc167, 0x99545f62},
    {"png-2-16", 11, 9, 1, 0xa13bda89, 0x661773b7, 0x9ecb7d02},
    {"png-2-16-adam7", 11, 9, 1, 0xa13bda89, 0x661773b7, 0x9ecb7d02},
    {"png-2-16-trns", 11, 9, 1, 0xa13bda89, 0x661773b7, 0x99432557},
    {"png-3-1", 11, 9, 1, 0xf122d8a9, 0x9ee27a04, 0x38cbd61e},
    {"png-3-1-adam7", 11, 9, 1, 0xf122d8a9, 0x9ee27a04, 0x38cbd61e},
    {"png-3-1-trns", 11, 9, 1, 0xf122d8a9, 0x9ee27a04, 0xcc4c403a},
    {"png-3-2", 11, 9, 1, 0xbf7b7ace, 0x263fe9b3, 0xe47994f2},
    {"png-3-2-adam7", 11, 9, 1, 0xbf7b7ace, 0x263fe9b3, 0xe47994f2},
    {"png-3-2-trns", 11, 9, 1, 0xbf7b7ace, 0x263fe9b3, 0xa2d8e650},
    {"png-3-4", 11, 9, 1, 0xf7015350, 0x6d11d9a9, 0xc4ab8d99},
    {"png-3-4-adam7", 11, 9, 1, 0xf7015350, 0x6d11d9a9, 0xc4ab8d99},
    {"png-3-4-trns", 11, 9, 1, 0xf7015350, 0x6d11d9a9, 0x39383670},
    {"png-3-8", 11, 9, 1, 0x125c2afc, 0x5ea71514, 0x0a8c0a18},
    {"png-3-8-adam7", 11, 9, 1, 0x125c2afc, 0x5ea71514, 0x0a8c0a18},
    {"png-3-8-trns", 11, 9, 1, 0x125c2afc, 0x5ea71514, 0x0a8c0a18},
    {"png-4-8", 11, 9, 1, 0x42cab66e, 0xaf4d4487, 0x8ce6606d},
    {"png-4-8-adam7", 11, 9, 1, 0x42cab66e, 0xaf4d4487, 0x8ce6606d},
    {"png-4-16", 11, 9, 1, 0xa5baca8c, 0x438c6ab5, 0x5592f1da},
    {"png-4-16-adam7", 11, 9, 1, 0xa5baca8c, 0x438c6ab5, 0x5592f1da},
    {"png-6-8", 11, 9, 1, 0x6fba3eae, 0x22587140, 0x8ab02b20},
    {"png-6-8-adam7", 11, 9, 1, 0x6fba3eae, 0x22587140, 0x8ab02b20},
    {"png-6-16", 11, 9, 1, 0xc5298123, 0x53039e40, 0xc97fd699},
    {"png-6-16-adam7", 11, 9, 1, 0xc5298123, 0x53039e40, 0xc97fd699},
    {"png-exif", 11, 9, 5, 0xcc14baeb, 0x77dbe34b, 0x9f483c81},
    {"png-exif-late", 11, 9, 8, 0xcc14baeb, 0x77dbe34b, 0x9f483c81},
    {"jpeg-444", 35, 27, 1, 0x3b161e02, 0x92084d47, 0x2c03695e},
    {"jpeg-422", 35, 27, 1, 0xaaf8ffab, 0x9a423f9e, 0xe9ee39a4},
    {"jpeg-420", 35, 27, 1, 0xf5473625, 0xf00e67d8, 0x228dbc05},
    {"jpeg-grey", 35, 27, 1, 0x6641d736, 0x347c3089, 0x5a38c884},
    {"jpeg-cmyk", 35, 27, 1, 0xa4599e4f, 0x9d7760a6, 0x00000000},
    {"jpeg-ycck", 35, 27, 1, 0xc5194e67, 0xf5375a31, 0x00000000},
    {"jpeg-progressive", 35, 27, 1, 0xf5473625, 0xf00e67d8, 0x228dbc05},
    {"jpeg-restart", 35, 27, 1, 0xf5473625, 0xf00e67d8, 0x228dbc05},
    {"jpeg-rgb", 35, 27, 1, 0xa4599e4f, 0x9d7760a6, 0xb79563dc},
    {"jpeg-exif6", 35, 27, 6, 0xf5473625, 0xf00e67d8, 0x228dbc05},
    {"jpeg-exif3", 35, 27, 3, 0x6641d736, 0x347c3089, 0x5a38c884},
};

/* In a block of its own size, so that the sanitizer sees a read past it. */
static str read_seed(arena *a, const char *name)
{
    char path[200];
    static char bytes[1 << 16];
    snprintf(path, sizeof path, "tests/fuzz/corpus/image/%s", name);
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    if (!f) return (str){0};
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return (str){arena_copy(a, bytes, n, 1), n};
}

static uint32_t sum_of(const image *im)
{
    return crc32_of(0, (str){(const char *)im->pixels, (size_t)im->width * im->height * im->channels});
}

static void check_one(const golden *g, uint32_t channels, uint32_t want)
{
    arena a;
    err e = {.text = ""};
    image im;
    arena_init(&a, NULL, 0, 64 << 20);
    str file = read_seed(&a, g->name);
    err_code rc = image_decode(file, &(image_options){.channels = channels}, &a, &im, &e);
    if (!want) {
        CHECK_U64(rc, ERR_UNSUPPORTED);
    } else if (rc) {
        CHECK_STR(e.text, g->name);
    } else {
        if (sum_of(&im) != want) printf("# %s in %u channels\n", g->name, channels);
        CHECK_U64(sum_of(&im), want);
        CHECK_U64(im.width, g->width);
        CHECK_U64(im.height, g->height);
        CHECK_U64(im.channels, channels);
        CHECK_U64(im.orientation, g->orientation);
    }
    arena_fini(&a);
}

static void every_kind_of_file_gives_the_pixels_that_pillow_gives(void)
{
    for (size_t i = 0; i < COUNTOF(goldens); i++) {
        check_one(&goldens[i], 1, goldens[i].grey);
        check_one(&goldens[i], 3, goldens[i].rgb);
        check_one(&goldens[i], 4, goldens[i].rgba);
    }
}

static void files_are_told_by_their_first_bytes(void)
{
    CHECK(image_sniff(STR("\xff\xd8\xff\xe0")) == IMAGE_JPEG);
    CHECK(image_sniff(STR("\x89PNG\r\n\x1a\n")) == IMAGE_PNG);
    CHECK(image_sniff(STR("\x89PNG\r\n\x1a")) == IMAGE_UNKNOWN);
    CHECK(image_sniff(STR("\xff\xd8")) == IMAGE_UNKNOWN);
    CHECK(image_sniff((str){0}) == IMAGE_UNKNOWN);
}

static void refuse(str file, uint64_t pixels_max, err_code code, const char *text)
{
    arena a;
    err e = {.text = ""};
    image im;
    arena_init(&a, NULL, 0, 64 << 20);
    CHECK_U64(image_decode(file, &(image_options){.pixels_max = pixels_max}, &a, &im, &e), code);
    CHECK_STR(e.text, text);
    arena_fini(&a);
}

static void other_files_are_refused_by_name(void)
{
    refuse((str){0}, 0, ERR_INVALID, "image: expected JPEG or PNG, got nothing");
    refuse(STR("GIF89a"), 0, ERR_INVALID, "image: expected JPEG or PNG, got GIF");
    refuse(STR("RIFF\0\0\0\0WEBPVP8 "), 0, ERR_INVALID, "image: expected JPEG or PNG, got WebP");
    refuse(STR("\0\0\0\x1c" "ftypavif"), 0, ERR_INVALID, "image: expected JPEG or PNG, got AVIF");
    refuse(STR("{\"inputs\":[]}"), 0, ERR_INVALID, "image: expected JPEG or PNG, got other bytes");
}

/* 50,000 x 50,000 pixels in 33 bytes of header: refused by the header alone. */
static void bombs_are_refused_by_their_header(void)
{
    arena a;
    arena_init(&a, NULL, 0, 1 << 20);
    str png = read_seed(&a, "png-2-8"), jpeg = read_seed(&a, "jpeg-420");
    uint8_t *p = (uint8_t *)(uintptr_t)png.p;
    for (size_t at = 16; at < 24; at += 4) memcpy(p + at, "\0\0\xc3\x50", 4);
    uint32_t sum = crc32_of(0, (str){png.p + 12, 17});
    for (size_t i = 0; i < 4; i++) p[29 + i] = (uint8_t)(sum >> (24 - 8 * i));
    refuse(png, 0, ERR_TOO_LARGE,
           "image: expected at most 50000000 pixels and sides of at most 65500, got 50000x50000");
    size_t at = 2;                               /* the frame's header */
    for (const uint8_t *b = (const uint8_t *)jpeg.p; (b[at + 1] & 0xfc) != 0xc0;)
        at += 2 + (size_t)(b[at + 2] << 8 | b[at + 3]);
    refuse(jpeg, 35 * 27 - 1, ERR_TOO_LARGE,
           "image: expected at most 944 pixels and sides of at most 65500, got 35x27");
    memcpy((char *)(uintptr_t)jpeg.p + at + 5, "\xc3\x50\xc3\x50", 4);
    refuse(jpeg, 0, ERR_TOO_LARGE,
           "image: expected at most 50000000 pixels and sides of at most 65500, got 50000x50000");
    arena_fini(&a);
}

/* Lies about the size within the limits meet the end of the arena or of the data. */
static void what_does_not_fit_the_arena_is_refused(void)
{
    arena a, small;
    err e = {.text = ""};
    image im;
    arena_init(&a, NULL, 0, 1 << 20);
    arena_init(&small, NULL, 0, 2000);
    str file = read_seed(&a, "jpeg-444");
    CHECK_U64(image_decode(file, &(image_options){0}, &small, &im, &e), ERR_LIMIT);
    CHECK_STR(e.text, "image: expected at most 2000 bytes of memory, got 35x27 pixels, 2835 bytes");
    arena_fini(&small);
    arena_fini(&a);
}

/* Also where there is no room for so much as the decoder. */
static void a_limit_is_told_from_a_heap_that_is_empty(void)
{
    static const char *const names[][2] = {{"jpeg-444", "JPEG"}, {"png-2-8", "PNG"}};
    for (size_t i = 0; i < COUNTOF(names); i++) {
        arena a, small;
        err e = {.text = ""};
        image im;
        char want[100];
        arena_init(&a, NULL, 0, 1 << 20);
        str file = read_seed(&a, names[i][0]);
        arena_init(&small, NULL, 0, 64);
        CHECK_U64(image_decode(file, &(image_options){0}, &small, &im, &e), ERR_LIMIT);
        snprintf(want, sizeof want, "image: %s: expected a file that decodes in 64 bytes of memory", names[i][1]);
        CHECK_STR(e.text, want);
        arena_fini(&small);
        for (size_t limit = 64, fits = 0; !fits; limit += 100) {
            arena_init(&small, NULL, 0, limit);
            fits = image_decode(file, &(image_options){0}, &small, &im, &e) == ERR_OK;
            CHECK(fits || e.code == ERR_LIMIT);
            arena_fini(&small);
        }
        arena_init(&small, NULL, 0, 1 << 20);
        mem_fault_after(0);
        CHECK_U64(image_decode(file, &(image_options){0}, &small, &im, &e), ERR_NOMEM);
        mem_fault_after(-1);
        arena_fini(&small);
        arena_fini(&a);
    }
}

static void what_is_cut_off_is_refused_at_every_byte(void)
{
    static const char *const names[] = {"jpeg-420", "jpeg-progressive", "png-2-8", "png-3-4-trns", "png-0-16-adam7"};
    for (size_t i = 0; i < COUNTOF(names); i++) {
        arena a;
        arena_init(&a, NULL, 0, 64 << 20);
        str file = read_seed(&a, names[i]);
        for (size_t n = 0; n < file.len; n++) {
            err e = {.text = ""};
            image im;
            arena work;
            char *cut = malloc(n ? n : 1);
            memcpy(cut, file.p, n);
            arena_init(&work, NULL, 0, 1 << 20);
            CHECK_U64(image_decode((str){cut, n}, &(image_options){0}, &work, &im, &e), ERR_INVALID);
            CHECK(strncmp(e.text, "image: ", 7) == 0);
            if (n == file.len / 2) CHECK(strstr(e.text, "the file is cut off"));
            arena_fini(&work);
            free(cut);
        }
        arena_fini(&a);
    }
}

/* A marker that says it is longer than what is left of the file. */
static void a_marker_beyond_the_end_is_refused(void)
{
    static const char bytes[] = "\xff\xd8\xff\xe2\xff\xff" "abc";
    char *exact = malloc(sizeof bytes - 1);
    memcpy(exact, bytes, sizeof bytes - 1);
    refuse((str){exact, sizeof bytes - 1}, 0, ERR_INVALID, "image: JPEG: the file is cut off");
    free(exact);
}

/* All pixels are there, and behind them something that does not end. */
static void a_marker_behind_the_pixels_is_read_to_its_end(void)
{
    arena a;
    buf b;
    arena_init(&a, NULL, 0, 1 << 20);
    buf_init(&b, 1 << 20);
    str file = read_seed(&a, "jpeg-420");
    buf_put(&b, file.p, file.len - 2);
    buf_put(&b, "\xff\xfe\xff\xff" "abc", 7);
    refuse(buf_str(&b), 0, ERR_INVALID, "image: JPEG: the file is cut off");
    buf_fini(&b);
    arena_fini(&a);
}

static void flipped_bits_are_refused_or_harmless(void)
{
    for (size_t i = 0; i < COUNTOF(goldens); i += 3) {
        arena a;
        arena_init(&a, NULL, 0, 64 << 20);
        str file = read_seed(&a, goldens[i].name);
        for (size_t bit = 0; bit < file.len * 8; bit += 5) {
            err e = {.text = ""};
            image im;
            arena work;
            char *p = (char *)(uintptr_t)file.p + bit / 8;
            *p ^= (char)(1 << bit % 8);
            arena_init(&work, NULL, 0, 1 << 20);
            if (image_decode(file, &(image_options){.pixels_max = 10000}, &work, &im, &e)) CHECK(e.text[0]);
            else CHECK(image_turn(&im, &work, &e) == ERR_OK && sum_of(&im) != 1);
            arena_fini(&work);
            *p ^= (char)(1 << bit % 8);
        }
        arena_fini(&a);
    }
}

/* 35 x 27 in three scans or more: 3 components of some 6 x 5 blocks of 128 bytes stay in libjpeg's own memory. */
static void what_libjpeg_takes_for_itself_counts(void)
{
    arena a, small;
    err e;
    image im;
    image_rows rows;
    arena_init(&a, NULL, 0, 1 << 20);
    str file = read_seed(&a, "jpeg-progressive");
    arena_init(&small, NULL, 0, 6000);
    CHECK_U64(image_rows_open(file, &(image_options){0}, &small, &rows, &im, &e), ERR_LIMIT);
    CHECK(strncmp(e.text, "image: JPEG: expected a file that decodes in ", 45) == 0);
    CHECK_U64(small.limit, 6000);
    arena_fini(&small);
    arena_init(&small, NULL, 0, 100000);
    CHECK_U64(image_rows_open(file, &(image_options){0}, &small, &rows, &im, &e), ERR_OK);
    CHECK(small.limit < 100000 - 1700);
    image_rows_close(&rows);
    CHECK_U64(small.limit, 100000);
    arena_fini(&small);
    arena_fini(&a);
}

/* A file that asks for its pixels to be gone over again and again. */
static void a_jpeg_of_many_scans_is_refused(void)
{
    arena a;
    buf b;
    arena_init(&a, NULL, 0, 1 << 20);
    buf_init(&b, 1 << 20);
    str file = read_seed(&a, "jpeg-progressive");
    size_t scan = file.len - 2;                  /* the last scan, again and again */
    while (memcmp(file.p + scan, "\xff\xda", 2) != 0) scan--;
    buf_put(&b, file.p, scan);
    for (size_t i = 0; i < 200; i++) buf_put(&b, file.p + scan, file.len - 2 - scan);
    buf_put(&b, "\xff\xd9", 2);
    refuse(buf_str(&b), 0, ERR_TOO_LARGE, "image: JPEG: expected at most 100 scans, got more");
    buf_fini(&b);
    arena_fini(&a);
}

static void a_jpeg_may_be_decoded_at_a_fraction_of_its_size(void)
{
    arena a;
    err e;
    image im;
    arena_init(&a, NULL, 0, 1 << 20);
    str file = read_seed(&a, "jpeg-444"), turned = read_seed(&a, "jpeg-exif6");
    CHECK(!image_decode(file, &(image_options){.width_enough = 9, .height_enough = 6}, &a, &im, &e));
    CHECK(im.width == 9 && im.height == 7);      /* by 4; by 8 the height would be 4 */
    CHECK(!image_decode(file, &(image_options){.width_enough = 20, .height_enough = 1}, &a, &im, &e));
    CHECK(im.width == 35 && im.height == 27);
    CHECK(!image_decode(turned, &(image_options){.width_enough = 13, .height_enough = 17}, &a, &im, &e));
    CHECK(!image_turn(&im, &a, &e) && im.width == 14 && im.height == 18);
    arena_fini(&a);
}

/* The six pixels of 3 x 2 after each turn, as Pillow's exif_transpose() has them. */
static void all_eight_turns_are_those_of_exif(void)
{
    static const char *const want[] = {"3x2 abcdef", "3x2 cbafed", "3x2 fedcba", "3x2 defabc",
                                       "2x3 adbecf", "2x3 daebfc", "2x3 fcebda", "2x3 cfbead"};
    for (uint32_t turn = 1; turn <= 8; turn++)
        for (uint32_t channels = 1; channels <= 4; channels++) {
            arena a;
            err e;
            image im = {.width = 3, .height = 2, .channels = channels, .orientation = turn};
            char got[20];
            arena_init(&a, NULL, 0, 1 << 20);
            CHECK(!image_alloc(&im, &a, &e));
            for (size_t i = 0; i < 6; i++)
                for (size_t c = 0; c < channels; c++) im.pixels[i * channels + c] = (uint8_t)('a' + i + 32 * c);
            CHECK(!image_turn(&im, &a, &e));
            snprintf(got, sizeof got, "%ux%u ......", im.width, im.height);
            for (size_t i = 0; i < 6; i++) got[4 + i] = (char)image_pixel(&im, i % im.width, i / im.width)[0];
            CHECK_STR(got, want[turn - 1]);
            CHECK(im.pixels[5 * channels + channels - 1] - im.pixels[5 * channels] == 32 * ((int)channels - 1));
            arena_fini(&a);
        }
}

/* Larger than the tiles that it is turned in: back and forth gives the same. */
static void turns_of_a_larger_picture_come_back(void)
{
    static const uint32_t back[] = {1, 2, 3, 4, 5, 8, 7, 6};
    for (uint32_t turn = 1; turn <= 8; turn++) {
        arena a;
        err e;
        image im = {.width = 67, .height = 101, .channels = 3, .orientation = turn};
        arena_init(&a, NULL, 0, 1 << 20);
        CHECK(!image_alloc(&im, &a, &e));
        for (size_t i = 0; i < 67 * 101 * 3; i++) im.pixels[i] = (uint8_t)(i * 7 + i / 251);
        uint32_t before = sum_of(&im);
        CHECK(!image_turn(&im, &a, &e) && im.width == (turn < 5 ? 67 : 101));
        CHECK((sum_of(&im) == before) == (turn == 1));
        im.orientation = back[turn - 1];
        CHECK(!image_turn(&im, &a, &e) && im.width == 67 && sum_of(&im) == before);
        arena_fini(&a);
    }
}

static void without_memory_nothing_is_left(void)
{
    static const char *const names[] = {"jpeg-cmyk", "jpeg-exif6", "png-0-16-adam7", "png-3-8-trns", "png-exif"};
    for (size_t i = 0; i < COUNTOF(names); i++)
        FAULT_SWEEP({
            arena a;
            err e = {.text = ""};
            image im;
            static char bytes[1 << 16];
            arena keep;
            arena_init(&keep, bytes, sizeof bytes, sizeof bytes);
            str file = read_seed(&keep, names[i]);
            arena_init(&a, NULL, 0, 1 << 20);
            err_code rc = image_decode(file, &(image_options){0}, &a, &im, &e);
            if (!rc) rc = image_turn(&im, &a, &e);
            CHECK(rc == ERR_OK || rc == ERR_NOMEM);
            arena_fini(&a);
        });
}

/* First of all tests: later the library is open. */
static void a_decoder_that_is_missing_is_named(void)
{
    sys_fake_script((sys_fault[]){{SYS_lib_open, .times = 2, .result = -ENOENT}}, 1);
    refuse(STR("\xff\xd8\xff\xe0"), 0, ERR_UNSUPPORTED,
           "image: JPEG: library 'libjpeg.so.62' cannot be opened");
    refuse(STR("\x89PNG\r\n\x1a\n"), 0, ERR_UNSUPPORTED,
           "image: PNG: library 'libpng16.so.16' cannot be opened");
    CHECK_U64(sys_fake_hits(), 2);
    sys_fake_script(NULL, 0);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_decoder_that_is_missing_is_named), TEST(every_kind_of_file_gives_the_pixels_that_pillow_gives),
        TEST(files_are_told_by_their_first_bytes), TEST(other_files_are_refused_by_name),
        TEST(bombs_are_refused_by_their_header), TEST(what_does_not_fit_the_arena_is_refused),
        TEST(a_limit_is_told_from_a_heap_that_is_empty),
        TEST(what_is_cut_off_is_refused_at_every_byte),
        TEST(a_marker_beyond_the_end_is_refused), TEST(a_marker_behind_the_pixels_is_read_to_its_end),
        TEST(flipped_bits_are_refused_or_harmless),
        TEST(a_jpeg_of_many_scans_is_refused), TEST(a_jpeg_may_be_decoded_at_a_fraction_of_its_size),
        TEST(all_eight_turns_are_those_of_exif), TEST(turns_of_a_larger_picture_come_back),
        TEST(what_libjpeg_takes_for_itself_counts),
        TEST(without_memory_nothing_is_left)};
    return test_main(cases, COUNTOF(cases));
}
