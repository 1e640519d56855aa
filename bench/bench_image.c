/* A 1920 x 1080 JPEG to a row of 3 x 224 x 224 floats, as a multiple of what libjpeg-turbo takes to decode it and does
 * nothing else, measured in turns in one run (median of ROUNDS).  All pictures are as large, so that weights are made
 * once: of a size that has not been there lately, lanczos takes some 0.06 ms longer.  Exit status 1 where a multiple is
 * over its ceiling, which is set over the usual value: a neighbour on the machine takes more from one side than from
 * the other. */
#include "base/mem.h"
#include "base/rng.h"
#include "media/prepare.h"
#include "os/lib.h"
#include "tensor/kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>

#define JPEG_CALLS(X)                                                                                               \
    X(jpeg_CreateCompress) X(jpeg_CreateDecompress) X(jpeg_destroy_compress) X(jpeg_destroy_decompress)             \
    X(jpeg_finish_compress) X(jpeg_finish_decompress) X(jpeg_mem_dest) X(jpeg_mem_src) X(jpeg_read_header)          \
    X(jpeg_read_scanlines) X(jpeg_set_defaults) X(jpeg_set_quality) X(jpeg_start_compress) X(jpeg_start_decompress) \
    X(jpeg_std_error) X(jpeg_write_scanlines)

static struct {
#define X(f) __typeof__(&f) f;
    JPEG_CALLS(X)
#undef X
} lj;

#define X(f) {#f, (void **)(uintptr_t)&lj.f},
static const lib_symbol symbols[] = {JPEG_CALLS(X)};
#undef X
static lib jpeg = {.title = "JPEG", .names = {"libjpeg.so.62"}, .symbols = symbols, .count = COUNTOF(symbols)};

enum { WIDTH = 1920, HEIGHT = 1080, SIDE = 224, ROUNDS = 31 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Soft shapes, edges and some noise: about 0.2 bytes a pixel at quality 90, like a photograph. */
static void paint(uint8_t *p)
{
    rng r;
    rng_init(&r, 1);
    for (uint32_t y = 0; y < HEIGHT; y++)
        for (uint32_t x = 0; x < WIDTH; x++)
            for (uint32_t c = 0; c < 3; c++) {
                uint32_t soft = (x * (c + 2) / 16 + y * y / 4000) % 200, edge = (x / 97 + y / 61) % 3 * 18;
                *p++ = (uint8_t)(soft + edge + rng_below(&r, 12));
            }
}

static unsigned char *encode(uint8_t *pixels, unsigned long *bytes)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *file = NULL;
    c.err = lj.jpeg_std_error(&errors);
    lj.jpeg_CreateCompress(&c, JPEG_LIB_VERSION, sizeof c);
    lj.jpeg_mem_dest(&c, &file, bytes);
    c.image_width = WIDTH;
    c.image_height = HEIGHT;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    lj.jpeg_set_defaults(&c);
    lj.jpeg_set_quality(&c, 90, TRUE);
    lj.jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < HEIGHT) {
        JSAMPROW row = pixels + (size_t)c.next_scanline * WIDTH * 3;
        (void)lj.jpeg_write_scanlines(&c, &row, 1);
    }
    lj.jpeg_finish_compress(&c);
    lj.jpeg_destroy_compress(&c);
    return file;
}

static void decode_only(str file, uint8_t *to)
{
    struct jpeg_decompress_struct d;
    struct jpeg_error_mgr errors;
    d.err = lj.jpeg_std_error(&errors);
    lj.jpeg_CreateDecompress(&d, JPEG_LIB_VERSION, sizeof d);
    lj.jpeg_mem_src(&d, (const unsigned char *)file.p, file.len);
    (void)lj.jpeg_read_header(&d, TRUE);
    (void)lj.jpeg_start_decompress(&d);
    while (d.output_scanline < d.output_height) {
        JSAMPROW row = to + (size_t)d.output_scanline * WIDTH * 3;
        (void)lj.jpeg_read_scanlines(&d, &row, 1);
    }
    (void)lj.jpeg_finish_decompress(&d);
    lj.jpeg_destroy_decompress(&d);
}

/* To a row of floats, normalised. */
static void make_row(str file, const prepare *p, arena *a)
{
    prepare_picture v;
    err e;
    static float row[3 * SIDE * SIDE];
    if (prepare_read(p, file, a, &v, &e)) {
        printf("%s\n", e.text);
        exit(1);
    }
    prepare_put(p, &v, row);
    arena_reset(a);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof *v, by_size);
    return v[ROUNDS / 2];
}

/* Returns whether the multiple is within the ceiling. */
static bool measure(str file, uint8_t *to, resize_filter f, bool draft, double ceiling, arena *a)
{
    err e;
    prepare p = {.size = PREPARE_EXACT, .width = SIDE, .height = SIDE, .filter = f, .draft = draft, .channels = 3,
                 .rescale = true, .factor = 1.0 / 255, .normalize = true, .mean = {0.485, 0.456, 0.406},
                 .std = {0.229, 0.224, 0.225}, .type = DT_F32};
    if (prepare_finish(&p, &e)) exit(2);
    double own[ROUNDS], ours[ROUNDS], multiple[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        double t0 = now();
        decode_only(file, to);
        double t1 = now();
        make_row(file, &p, a);
        own[i] = t1 - t0;
        ours[i] = now() - t1;
        multiple[i] = ours[i] / own[i];
    }
    double ratio = median(multiple);
    printf("%-10s %-5s  decode %6.2f ms  decode to row %6.2f ms  %.3f times\n", resize_filter_name(f),
           draft ? "draft" : "exact", median(own) * 1e3, median(ours) * 1e3, ratio);
    return ratio <= ceiling;
}

int main(void)
{
    unsigned long bytes = 0;
    uint8_t *pixels = mem_alloc_raw(WIDTH * HEIGHT * 3);
    arena a;
    err e;
    bool ok = true;
    if (!pixels || lib_need(&jpeg, &e) || kernel_init(getenv("PROA_CPU"), &e)) return 2;
    paint(pixels);
    unsigned char *file = encode(pixels, &bytes);
    arena_init(&a, NULL, 0, 64 << 20);
    printf("%ux%u JPEG of %lu bytes to %ux%u, %s\n", WIDTH, HEIGHT, bytes, SIDE, SIDE, kernel_active()->name);
    str whole = {(const char *)file, bytes};
    static const resize_filter filters[] = {RESIZE_NEAREST, RESIZE_BOX,     RESIZE_BILINEAR,
                                            RESIZE_HAMMING, RESIZE_BICUBIC, RESIZE_LANCZOS};
    for (size_t i = 0; i < COUNTOF(filters); i++) ok = measure(whole, pixels, filters[i], false, 1.2, &a) && ok;
    ok = measure(whole, pixels, RESIZE_BILINEAR, true, 1.0, &a) && ok;
    arena_fini(&a);
    mem_free(pixels);
    free(file);
    return ok ? 0 : 1;
}
