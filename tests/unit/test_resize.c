/* What must hold for resizing: every filter gives Pillow's bytes, smaller and larger, rows first or columns first;
 * a window is that part of the whole; every ISA gives the same; and sizes that make no sense are refused.
 * (Random sizes against Pillow itself: tests/e2e/test_media.py.) */
#include "media/resize.h"
#include "media/resize_taps.h"
#include "tensor/kernel.h"
#include "test.h"
#include "wire/crc32.h"

#include <math.h>

typedef struct {
    resize_filter filter;
    uint32_t width, height, channels, to_width, to_height, sum;
} golden;

/* CRC-32 of what Pillow 13 makes of pattern(). */
static const golden goldens[] = {
    {RESIZE_NEAREST, 37, 23, 3, 11, 7, 0xf1977537},
    {RESIZE_NEAREST, 9, 41, 3, 8, 5, 0xaa811127},
    {RESIZE_NEAREST, 13, 7, 1, 29, 50, 0x498e97b3},
    {RESIZE_NEAREST, 17, 16, 4, 6, 16, 0x638acffa},
    {RESIZE_BOX, 37, 23, 3, 11, 7, 0xe8077b38},
    {RESIZE_BOX, 9, 41, 3, 8, 5, 0xbd25a96c},
    {RESIZE_BOX, 13, 7, 1, 29, 50, 0x498e97b3},
    {RESIZE_BOX, 17, 16, 4, 6, 16, 0xbbcd8a24},
    {RESIZE_BILINEAR, 37, 23, 3, 11, 7, 0xb164a597},
    {RESIZE_BILINEAR, 9, 41, 3, 8, 5, 0xb9196a17},
    {RESIZE_BILINEAR, 13, 7, 1, 29, 50, 0x4d635acd},
    {RESIZE_BILINEAR, 17, 16, 4, 6, 16, 0xbbb2d241},
    {RESIZE_HAMMING, 37, 23, 3, 11, 7, 0x2261c807},
    {RESIZE_HAMMING, 9, 41, 3, 8, 5, 0x7de0f767},
    {RESIZE_HAMMING, 13, 7, 1, 29, 50, 0xfe3b9f77},
    {RESIZE_HAMMING, 17, 16, 4, 6, 16, 0x1f4b6136},
    {RESIZE_BICUBIC, 37, 23, 3, 11, 7, 0x98a34e5c},
    {RESIZE_BICUBIC, 9, 41, 3, 8, 5, 0x67a99d9a},
    {RESIZE_BICUBIC, 13, 7, 1, 29, 50, 0xfb535f44},
    {RESIZE_BICUBIC, 17, 16, 4, 6, 16, 0xb212ec71},
    {RESIZE_LANCZOS, 37, 23, 3, 11, 7, 0x716fd80a},
    {RESIZE_LANCZOS, 9, 41, 3, 8, 5, 0xf6112c5b},
    {RESIZE_LANCZOS, 13, 7, 1, 29, 50, 0x5e364505},
    {RESIZE_LANCZOS, 17, 16, 4, 6, 16, 0x57c5af34},
    {RESIZE_MKS2013, 37, 23, 3, 11, 7, 0xc5009f4d},
    {RESIZE_MKS2013, 9, 41, 3, 8, 5, 0xc39d2728},
    {RESIZE_MKS2013, 13, 7, 1, 29, 50, 0x27e70165},
    {RESIZE_MKS2013, 17, 16, 4, 6, 16, 0x4ad4a974},
    {RESIZE_MKS2021, 37, 23, 3, 11, 7, 0xf6a5beaa},
    {RESIZE_MKS2021, 9, 41, 3, 8, 5, 0x22284e18},
    {RESIZE_MKS2021, 13, 7, 1, 29, 50, 0x8a2bc11d},
    {RESIZE_MKS2021, 17, 16, 4, 6, 16, 0x93e55757},
    /* twice as many rows are lost as columns: rows first; a little more: columns first */
    {RESIZE_BICUBIC, 20, 30, 3, 15, 20, 0x8e87b5cf},
    {RESIZE_BICUBIC, 20, 40, 3, 16, 31, 0x858ed99c},
    {RESIZE_BICUBIC, 20, 30, 3, 16, 20, 0x56e7b8d9},
};

static image pattern(arena *a, uint32_t width, uint32_t height, uint32_t channels)
{
    err e;
    image im = {.width = width, .height = height, .channels = channels, .orientation = 1};
    CHECK(image_alloc(&im, a, &e) == ERR_OK);
    for (uint64_t i = 0; i < (uint64_t)width * height * channels; i++)
        im.pixels[i] = (uint8_t)((i * i * 31 + i * 7) >> 3);
    return im;
}

static uint32_t sum_of(const image *im)
{
    return crc32_of(0, (str){(const char *)im->pixels, (size_t)im->width * im->height * im->channels});
}

static void every_filter_gives_pillows_bytes(void)
{
    for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
        err e = {.text = ""};
        if (kernel_isa_at(isa)->needs & ~cpu_detect()) continue;
        CHECK(kernel_init(kernel_isa_at(isa)->name, &e) == ERR_OK);
        for (size_t i = 0; i < COUNTOF(goldens); i++) {
            const golden *g = &goldens[i];
            arena a;
            image im;
            arena_init(&a, NULL, 0, 1 << 20);
            im = pattern(&a, g->width, g->height, g->channels);
            resize_options o = {.width = g->to_width, .height = g->to_height, .filter = g->filter};
            CHECK(resize_image(&im, &o, &a, &im, &e) == ERR_OK);
            CHECK(im.width == g->to_width && im.height == g->to_height && im.channels == g->channels);
            if (sum_of(&im) != g->sum) printf("# %s %zu\n", resize_filter_name(g->filter), i);
            CHECK_U64(sum_of(&im), g->sum);
            arena_fini(&a);
        }
    }
    err e;
    CHECK(kernel_init(NULL, &e) == ERR_OK);
}

/* Larger than the goldens: many rows at once, runs of any length up to both edges. */
static void every_isa_gives_the_bytes_of_the_reference(void)
{
    for (uint32_t turn = 0; turn < 48; turn++) {
        arena a;
        err e = {.text = ""};
        image want, got;
        arena_init(&a, NULL, 0, 8 << 20);
        image im = pattern(&a, 60 + turn * 7, 33 + turn, turn % 4 ? 3 : 1);
        resize_options o = {.width = 3 + turn % 13, .height = turn % 3 ? 30 : 16, .filter = RESIZE_LANCZOS + turn % 7};
        if (turn % 3 == 0) o.width = im.width * 9 / 20, o.window = (resize_window){o.width / 3, 0, 7, 16};
        if (turn % 6 == 0) im = pattern(&a, 60 + turn * 2, 180 + turn * 4, 3);
        for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
            if (kernel_isa_at(isa)->needs & ~cpu_detect()) continue;
            CHECK(kernel_init(kernel_isa_at(isa)->name, &e) == ERR_OK);
            CHECK(resize_image(&im, &o, &a, &got, &e) == ERR_OK);
            if (isa == 0) want = got;
            CHECK_U64(sum_of(&got), sum_of(&want));
        }
        arena_fini(&a);
    }
    err e;
    CHECK(kernel_init(NULL, &e) == ERR_OK);
}

/* Pillow's precompute_coeffs() and normalize_coeffs_8bpc() for bicubic, 7 pixels to 5, results 0 and 1. */
static void weights_are_pillows_fixed_point_numbers(void)
{
    static const int32_t want[2][5] = {{2975135, 1446625, -227457, 0, 0}, {-156309, 1962552, 2474900, 0, -86839}};
    arena a;
    err e;
    tap_table t;
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(resize_taps(&(resize_axis){7, 0, 7, 5, 0, 2, false, false}, RESIZE_BICUBIC, &a, &t, &e) == ERR_OK);
    CHECK(t.count == 2 && t.step == TAP_STEP && t.runs[0].count == 4 && t.runs[1].count == 5 && t.runs[1].from == 0);
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < t.step; k++) {
            int32_t w = t.high[i * t.step + k] * (1 << TAP_HALF_BITS) + t.low[i * t.step + k];
            CHECK(w == (k < 5 ? want[i][k] : 0));
        }
    arena_fini(&a);
}

static double sinc(double x)
{
    return x == 0 ? 1 : sin(x * M_PI) / (x * M_PI);
}

/* As Pillow says it: a sine or two for each. */
static double weight_of(resize_filter f, double x)
{
    if (f == RESIZE_LANCZOS) return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
    return fabs(x) < 1 ? sinc(x) * (0.54f + 0.46f * cos(x * M_PI)) : 0;
}

/* Of both filters that are made of sines: pixels at a result's very middle and next to it, runs of an odd and of an
 * even number of them, cut off at either end, parts of a source, and results that are more than the pixels. */
static void weights_made_of_sines_are_pillows(void)
{
    static const resize_axis axes[] = {
        {9, 0, 9, 3, 0, 3, false, false},        {1920, 0, 1920, 224, 0, 224, false, false},
        {1080, 0, 1080, 224, 0, 224, false, false}, {224, 0, 224, 225, 0, 225, false, false},
        {7, 0, 7, 31, 0, 31, false, false},      {640, 10.5f, 600.25f, 100, 0, 100, false, false},
        {4000, 0, 4000, 3, 0, 3, false, false},  {5, 0, 5, 5000, 4990, 10, false, false},
        {1, 0, 1, 4, 0, 4, false, false}};
    arena a;
    err e;
    arena_init(&a, NULL, 0, 8 << 20);
    for (size_t n = 0; n < 2 * COUNTOF(axes); n++) {
        resize_filter f = n % 2 ? RESIZE_HAMMING : RESIZE_LANCZOS;
        const resize_axis *x = &axes[n / 2];
        double scale = (double)(x->end - x->begin) / x->result, stretch = scale < 1 ? 1 : scale;
        tap_table t;
        CHECK(resize_taps(x, f, &a, &t, &e) == ERR_OK && t.count == x->count);
        for (size_t i = 0; i < t.count; i++) {
            double center = x->begin + ((double)(x->first + i) + 0.5) * scale, sum = 0;
            const tap_run run = t.runs[i];
            for (uint32_t k = 0; k < run.count; k++) sum += weight_of(f, (k + run.from - center + 0.5) / stretch);
            for (uint32_t k = 0; k < run.count; k++) {
                double w = weight_of(f, (k + run.from - center + 0.5) / stretch) / sum * (1 << TAP_BITS);
                CHECK_U64((uint32_t)tap_weight(&t, i, k), (uint32_t)(int32_t)(w + copysign(0.5, w)));
            }
        }
        arena_reset(&a);
    }
    arena_fini(&a);
}

/* The same weights from a multiple of four pixels on, whichever way round the source lies: those of runs that begin
 * elsewhere have zeros in front of them. */
static void runs_of_rows_begin_at_multiples_of_four(void)
{
    arena a;
    err e;
    tap_table any, fours;
    size_t odd = 0;
    arena_init(&a, NULL, 0, 1 << 20);
    for (int mirrored = 0; mirrored < 2; mirrored++) {
        resize_axis x = {50, 0, 50, 9, 0, 9, mirrored, false};
        CHECK(resize_taps(&x, RESIZE_LANCZOS, &a, &any, &e) == ERR_OK);
        x.fours = true;
        CHECK(resize_taps(&x, RESIZE_LANCZOS, &a, &fours, &e) == ERR_OK);
        CHECK(!any.fours && fours.fours && fours.count == 9);
        for (size_t i = 0; i < 9; i++) {
            size_t early = any.runs[i].from % 4;
            odd += early;
            CHECK(fours.runs[i].from == any.runs[i].from - early && fours.runs[i].count == any.runs[i].count + early);
            CHECK(fours.runs[i].count + TAP_ZEROS <= fours.step && (!early || tap_weight(&fours, i, 0) == 0));
            for (size_t k = 0; k < any.runs[i].count; k++)
                CHECK(tap_weight(&fours, i, k + early) == tap_weight(&any, i, k));
        }
    }
    CHECK(odd > 0);
    arena_fini(&a);
}

/* The high halves again, the middle two of four having changed places, and where they are not 0; none where they add up
 * to too much. */
static void tops_are_the_high_halves_that_are_there(void)
{
    arena a;
    err e;
    resize_axis x = {500, 0, 500, 9, 0, 9, false, true};
    tap_table t;
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(resize_taps(&x, RESIZE_LANCZOS, &a, &t, &e) == ERR_OK && resize_taps_tops(&t, &a, &e) == ERR_OK && t.tops);
    for (size_t i = 0; i < t.count; i++) {
        const tap_run run = t.runs[i], top = t.top_runs[i];
        CHECK(top.count && top.from >= run.from && top.from + top.count <= run.from + run.count);
        CHECK(t.high[i * t.step + top.from - run.from] && t.high[i * t.step + top.from + top.count - 1 - run.from]);
        for (size_t k = 0; k < t.step; k++) {
            CHECK(t.tops[i * t.step + tap_top_at(k)] == t.high[i * t.step + k]);
            CHECK(!t.high[i * t.step + k] || (run.from + k >= top.from && run.from + k < top.from + top.count));
        }
    }
    CHECK(t.tops[-1] == 0 && t.tops[-TAP_ZEROS] == 0);
    int16_t low[TAP_STEP] = {0}, high[TAP_STEP] = {-64, 63};
    const tap_run run = {0, 2};
    t = (tap_table){.count = 1, .step = TAP_STEP, .runs = &run, .low = low, .high = high, .fours = true};
    CHECK(resize_taps_tops(&t, &a, &e) == ERR_OK && t.tops && t.tops[0] == -64 && t.tops[2] == 63);
    high[1] = 64;
    CHECK(resize_taps_tops(&t, &a, &e) == ERR_OK && !t.tops);
    high[0] = high[1] = 0;
    CHECK(resize_taps_tops(&t, &a, &e) == ERR_OK && t.tops && t.top_runs[0].count == 0);
    arena_fini(&a);
}

/* One row of bytes, resized, as text. */
static void check_row(const uint8_t *row, uint32_t n, const resize_options *o, const char *want)
{
    arena a;
    err e = {.text = ""};
    char got[500] = "";
    size_t len = 0;
    arena_init(&a, NULL, 0, 1 << 20);
    image im = pattern(&a, n, 1, 1);
    memcpy(im.pixels, row, n);
    if (resize_image(&im, o, &a, &im, &e)) len = (size_t)snprintf(got, sizeof got, "%s", e.text);
    else for (uint32_t i = 0; i < im.width; i++)
        len += (size_t)snprintf(got + len, sizeof got - len, "%s%u", i ? " " : "", im.pixels[i]);
    CHECK_STR(got, want);
    arena_fini(&a);
}

static void one_row_can_be_followed_by_hand(void)
{
    static const uint8_t row[] = {0, 255, 0, 255, 10, 20, 30, 40};
    check_row(row, 8, &(resize_options){.width = 4, .height = 1, .filter = RESIZE_BOX}, "128 128 15 35");
    check_row(row, 8, &(resize_options){.width = 4, .height = 1, .filter = RESIZE_NEAREST}, "255 255 20 40");
    /* bilinear over 4 source pixels: weights 1 3 3 1 of 8, at the edges 3 3 1 of 7 */
    check_row(row, 8, &(resize_options){.width = 4, .height = 1, .filter = RESIZE_BILINEAR}, "109 129 47 33");
    check_row(row, 8, &(resize_options){.width = 4, .height = 1, .filter = RESIZE_BILINEAR, .aliased = true},
              "128 128 15 35");
    check_row(row, 2, &(resize_options){.width = 4, .height = 1, .filter = RESIZE_BILINEAR, .aliased = true},
              "0 64 191 255");
    check_row(row, 8, &(resize_options){.width = 2, .height = 1, .filter = RESIZE_BOX, .box = {4, 0, 8, 1}}, "15 35");
    check_row(row, 8, &(resize_options){.width = 8, .height = 1, .filter = RESIZE_LANCZOS}, "0 255 0 255 10 20 30 40");
}

/* White beside black, both half seen through: what a filter adds beside the edge stays within a byte. */
static void a_colour_beyond_white_is_white(void)
{
    arena a;
    err e;
    arena_init(&a, NULL, 0, 1 << 20);
    image im = pattern(&a, 8, 1, 4);
    for (size_t x = 0; x < 8; x++) memcpy(im.pixels + 4 * x, x < 4 ? "\xff\xff\xff\x64" : "\0\0\0\x64", 4);
    const resize_options o = {.width = 16, .height = 1, .filter = RESIZE_LANCZOS};
    CHECK(resize_image(&im, &o, &a, &im, &e) == ERR_OK);
    for (size_t x = 0; x < 7; x++) CHECK(im.pixels[4 * x] >= 240 && im.pixels[4 * x + 3] == 100);
    for (size_t x = 9; x < 16; x++) CHECK(im.pixels[4 * x] <= 15 && im.pixels[4 * x + 3] == 100);
    arena_fini(&a);
}

static void a_window_is_that_part_of_the_whole(void)
{
    for (resize_filter f = 0; f < RESIZE_FILTERS; f++)
        for (uint32_t turn = 0; turn < 40; turn++) {
            arena a;
            err e;
            image whole, part;
            arena_init(&a, NULL, 0, 4 << 20);
            bool aliased = turn % 4 == 0 && (f == RESIZE_BILINEAR || f == RESIZE_BICUBIC);
            image im = pattern(&a, 20 + turn, 90 - 2 * turn, turn % 2 ? 3 : 4);
            resize_options o = {.width = 3 + turn * 2 / 3, .height = 30, .filter = f, .aliased = aliased};
            if (turn % 3 == 0) o.width = im.width;
            CHECK(resize_image(&im, &o, &a, &whole, &e) == ERR_OK);
            o.window = (resize_window){turn % o.width, turn % 7, 1 + (o.width - turn % o.width) / 2, 11};
            CHECK(resize_image(&im, &o, &a, &part, &e) == ERR_OK);
            CHECK(part.width == o.window.width && part.height == 11);
            for (uint32_t y = 0; y < part.height; y++)
                CHECK(memcmp(image_pixel(&part, 0, y), image_pixel(&whole, o.window.x, o.window.y + y),
                             part.width * part.channels) == 0);
            arena_fini(&a);
        }
}

/* 1 x 60000 to 200 x 12000000: only the window's pixels are made. */
static void a_window_of_a_huge_result_costs_no_more_than_itself(void)
{
    arena a;
    err e;
    image to;
    arena_init(&a, NULL, 0, 4 << 20);
    image im = pattern(&a, 1, 60000, 3);
    resize_options o = {.width = 200, .height = 12000000, .filter = RESIZE_BOX, .window = {0, 5999900, 200, 200}};
    CHECK(resize_image(&im, &o, &a, &to, &e) == ERR_OK);
    CHECK(to.width == 200 && to.height == 200);
    CHECK(memcmp(image_pixel(&to, 0, 99), image_pixel(&im, 0, 29999), 3) == 0);
    CHECK(memcmp(image_pixel(&to, 199, 100), image_pixel(&im, 0, 30000), 3) == 0);
    o.window = (resize_window){0, 0, 0, 0};
    CHECK_U64(resize_image(&im, &o, &a, &to, &e), ERR_TOO_LARGE);
    CHECK_STR(e.text, "image: expected at most 50000000 pixels and sides of at most 65500, got 200x12000000");
    arena_fini(&a);
}

typedef struct {
    const image *im;
    uint32_t next, fails_at;
} rows_of;

static err_code next_rows(void *ctx, uint8_t *to, size_t apart, uint32_t rows, err *e)
{
    rows_of *r = ctx;
    size_t row = (size_t)r->im->width * r->im->channels;
    CHECK((uintptr_t)to % 16 && apart % 64 == 0 && apart >= row);   /* libjpeg-turbo keeps them in the caches */
    CHECK(r->next + rows <= r->im->height);
    if (r->next + rows > r->fails_at) return err_set(e, ERR_INVALID, "cut off");
    for (uint32_t i = 0; i < rows; i++) memcpy(to + i * apart, r->im->pixels + (r->next + i) * row, row);
    r->next += rows;
    return ERR_OK;
}

/* What a picture gives that is whole, and turned first. */
static image turned_and_resized(const image *im, const resize_options *o, arena *a)
{
    resize_options plain = *o;
    image to = *im;
    err e;
    plain.turned = false;
    if (o->turned) CHECK(image_turn(&to, a, &e) == ERR_OK);
    CHECK(resize_image(&to, &plain, a, &to, &e) == ERR_OK);
    return to;
}

static void check_stream(const image *im, const resize_options *o, uint32_t rows, arena *a)
{
    err e = {.text = ""};
    image want = turned_and_resized(im, o, a), streamed, whole;
    rows_of r = {im, 0, rows};
    err_code rc = resize_stream(im, &(resize_source){next_rows, &r}, o, a, &streamed, &e);
    CHECK(rc == (rows < im->height ? ERR_INVALID : ERR_OK));
    if (rc) return;
    CHECK(r.next == im->height);
    CHECK(!resize_image(im, o, a, &whole, &e));
    if (o->turned) CHECK(!image_turn(&streamed, a, &e) && !image_turn(&whole, a, &e));
    CHECK(streamed.width == want.width && streamed.height == want.height);
    CHECK_U64(sum_of(&streamed), sum_of(&want));
    CHECK_U64(sum_of(&whole), sum_of(&want));
}

/* Larger and smaller, one way and both, columns first and rows first, parts of the source and of the result, cut off
 * before the end. */
static void rows_that_come_one_after_the_other_give_the_same(void)
{
    for (uint32_t turn = 0; turn < 240; turn++) {
        arena a;
        arena_init(&a, NULL, 0, 8 << 20);
        image im = pattern(&a, 30 + turn % 61, 20 + turn % 97, turn % 2 ? 3 : 1);
        im.orientation = 1 + turn % 8;
        bool turned = turn % 3, lies = turned && im.orientation >= 5;
        uint32_t width = lies ? im.height : im.width, height = lies ? im.width : im.height;
        resize_options o = {.width = 7 + turn % 11, .height = 9 + turn / 4, .filter = RESIZE_LANCZOS + turn % 7,
                            .turned = turned};
        if (turn % 5 == 0) o.width = width;
        else if (turn % 5 == 1) o.height = height;
        if (turn % 4 == 0) o.window = (resize_window){2, 3, 5, 4};
        if (turn % 9 == 0) o.box[0] = 2.5f, o.box[1] = 1, o.box[2] = (float)width - 1, o.box[3] = (float)height - 3.25f;
        bool still = o.width == width && o.height == height && turn % 4 && turn % 9;
        CHECK(resize_can_stream(&im, &o) != still);
        if (!still) check_stream(&im, &o, turn % 7 == 6 ? im.height - 1 : im.height, &a);
        arena_fini(&a);
    }
}

/* The belt moves up many times, and is as wide as the source where columns come first. */
static void a_long_picture_is_streamed_in_little_memory(void)
{
    for (uint32_t turn = 1; turn <= 8; turn++) {
        arena a, small;
        err e;
        image to;
        arena_init(&a, NULL, 0, 32 << 20);
        arena_init(&small, NULL, 0, 3 << 18);
        image im = pattern(&a, 500, 3000, 3);
        im.orientation = turn;
        resize_options o = {.width = turn < 5 ? 64 : 90, .height = turn < 5 ? 90 : 64, .filter = RESIZE_BICUBIC,
                            .turned = true};
        image want = turned_and_resized(&im, &o, &a);
        rows_of r = {&im, 0, im.height};
        CHECK(resize_stream(&im, &(resize_source){next_rows, &r}, &o, &small, &to, &e) == ERR_OK);
        CHECK(!image_turn(&to, &a, &e) && sum_of(&to) == sum_of(&want));
        arena_fini(&small);
        arena_fini(&a);
    }
}

static void what_needs_all_rows_cannot_be_streamed(void)
{
    image im = {.width = 40, .height = 40, .channels = 3, .orientation = 1};
    CHECK(resize_can_stream(&im, &(resize_options){.width = 9, .height = 9, .filter = RESIZE_BOX}));
    CHECK(resize_can_stream(&im, &(resize_options){.width = 9, .height = 40, .filter = RESIZE_BOX}));
    CHECK(resize_can_stream(&im, &(resize_options){.width = 39, .height = 9, .filter = RESIZE_BOX}));
    CHECK(!resize_can_stream(&im, &(resize_options){.width = 40, .height = 40, .filter = RESIZE_BOX}));
    CHECK(!resize_can_stream(&im, &(resize_options){.width = 9, .height = 9, .filter = RESIZE_NEAREST}));
    resize_options plain = {.width = 9, .height = 9, .filter = RESIZE_BICUBIC, .aliased = true};
    CHECK(!resize_can_stream(&im, &plain));
    CHECK(!resize_can_stream(&im, &(resize_options){.width = 0, .height = 9, .filter = RESIZE_BOX}));
    im.channels = 4;
    CHECK(!resize_can_stream(&im, &(resize_options){.width = 9, .height = 9, .filter = RESIZE_BOX}));
}

static void sizes_that_make_no_sense_are_refused(void)
{
    static const uint8_t row[4];
    check_row(row, 4, &(resize_options){.width = 0, .height = 1}, "resize: expected sides of 1 to 16777216, got 0x1");
    check_row(row, 4, &(resize_options){.width = 1, .height = UINT32_MAX},
              "resize: expected sides of 1 to 16777216, got 1x4294967295");
    check_row(row, 4, &(resize_options){.width = 20, .height = 20, .pixels_max = 399},
              "image: expected at most 399 pixels and sides of at most 65500, got 20x20");
    check_row(row, 4, &(resize_options){.width = 1, .height = 1, .box = {0, 0, 5, 1}},
              "resize: box: expected a part of 4x1 pixels, got 0,0 to 5,1");
    check_row(row, 4, &(resize_options){.width = 1, .height = 1, .box = {2, 0, 2, 1}},
              "resize: box: expected a part of 4x1 pixels, got 2,0 to 2,1");
    check_row(row, 4, &(resize_options){.width = 1, .height = 1, .box = {0, 0, 1, NAN}},
              "resize: box: expected a part of 4x1 pixels, got 0,0 to 1,nan");
    check_row(row, 4, &(resize_options){.width = 1, .height = 1, .aliased = true, .filter = RESIZE_BOX},
              "resize: without antialias: expected bilinear or bicubic, got box");
}

static void filters_have_names_and_pillows_numbers(void)
{
    resize_filter f;
    for (resize_filter i = 0; i < RESIZE_FILTERS; i++) {
        char number[2] = {(char)('0' + i), 0};
        CHECK(resize_filter_find(str_of(resize_filter_name(i)), &f) && f == i);
        CHECK(resize_filter_find(str_of(number), &f) && f == i);
    }
    CHECK(resize_filter_find(STR("BICUBIC"), &f) && f == RESIZE_BICUBIC);
    CHECK(!resize_filter_find(STR("8"), &f) && !resize_filter_find(STR("cubic"), &f));
    CHECK(!resize_filter_find(STR(""), &f));
}

static void resize_once(resize_filter f, bool aliased)
{
    static uint8_t source[4 << 10];
    arena a;
    err e = {.text = ""};
    image im = {.width = 16, .height = 40, .channels = 4, .pixels = source};
    resize_options o = {.width = 15, .height = 9, .filter = f, .aliased = aliased};
    arena_init(&a, NULL, 0, 1 << 20);
    err_code rc = resize_image(&im, &o, &a, &im, &e);
    CHECK(rc == ERR_OK || (rc == ERR_NOMEM && e.text[0]));
    arena_fini(&a);
}

static void stream_once(uint32_t turn)
{
    static uint8_t source[16 * 40 * 3];
    arena a;
    err e = {.text = ""};
    image im = {.width = 16, .height = 40, .channels = 3, .orientation = turn, .pixels = source};
    rows_of r = {&im, 0, im.height};
    resize_options o = {.width = 15, .height = 9, .filter = RESIZE_BICUBIC, .turned = true};
    arena_init(&a, NULL, 0, 1 << 20);
    err_code rc = resize_stream(&im, &(resize_source){next_rows, &r}, &o, &a, &im, &e);
    CHECK(rc == ERR_OK || (rc == ERR_NOMEM && e.text[0]));
    arena_fini(&a);
}

static void without_memory_nothing_is_left(void)
{
    FAULT_SWEEP(stream_once(1));
    FAULT_SWEEP(stream_once(6));
    for (resize_filter f = 0; f < RESIZE_FILTERS; f++) {
        FAULT_SWEEP(resize_once(f, false));
        if (f == RESIZE_BILINEAR || f == RESIZE_BICUBIC) FAULT_SWEEP(resize_once(f, true));
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_filter_gives_pillows_bytes), TEST(every_isa_gives_the_bytes_of_the_reference),
        TEST(weights_are_pillows_fixed_point_numbers), TEST(weights_made_of_sines_are_pillows),
        TEST(runs_of_rows_begin_at_multiples_of_four), TEST(tops_are_the_high_halves_that_are_there),
        TEST(one_row_can_be_followed_by_hand),
        TEST(a_colour_beyond_white_is_white), TEST(a_window_is_that_part_of_the_whole),
        TEST(a_window_of_a_huge_result_costs_no_more_than_itself),
        TEST(rows_that_come_one_after_the_other_give_the_same), TEST(what_needs_all_rows_cannot_be_streamed),
        TEST(sizes_that_make_no_sense_are_refused), TEST(filters_have_names_and_pillows_numbers),
        TEST(without_memory_nothing_is_left), TEST(a_long_picture_is_streamed_in_little_memory)};
    return test_main(cases, COUNTOF(cases));
}
