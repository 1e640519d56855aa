#include "media/image.h"

#include "media/exif.h"
#include "media/image_jpeg.h"
#include "media/image_png.h"

#include <string.h>

enum { TILE = 32 };   /* pixels: a tile of RGBA and its turned copy take 8 KB of the first cache */

image_kind image_sniff(str file)
{
    if (file.len >= 3 && memcmp(file.p, "\xff\xd8\xff", 3) == 0) return IMAGE_JPEG;
    if (file.len >= 8 && memcmp(file.p, "\x89PNG\r\n\x1a\n", 8) == 0) return IMAGE_PNG;
    return IMAGE_UNKNOWN;
}

/* With what people send instead, so that the refusal says more than "not JPEG". */
const char *image_kind_name(str file)
{
    static const struct { uint8_t at, len; const char *bytes, *name; } kinds[] = {
        {0, 3, "\xff\xd8\xff", "JPEG"}, {0, 8, "\x89PNG\r\n\x1a\n", "PNG"},
        {0, 4, "GIF8", "GIF"}, {8, 4, "WEBP", "WebP"}, {0, 2, "BM", "BMP"}, {0, 4, "II*\0", "TIFF"},
        {0, 4, "MM\0*", "TIFF"}, {4, 8, "ftypavif", "AVIF"}, {4, 8, "ftypheic", "HEIC"}, {0, 2, "P5", "PGM"},
        {0, 2, "P6", "PPM"}, {0, 4, "%PDF", "PDF"},
    };
    for (size_t i = 0; i < COUNTOF(kinds); i++)
        if (file.len >= (size_t)kinds[i].at + kinds[i].len &&
            memcmp(file.p + kinds[i].at, kinds[i].bytes, kinds[i].len) == 0)
            return kinds[i].name;
    return NULL;
}

err_code image_check(uint64_t width, uint64_t height, uint64_t pixels_max, err *e)
{
    uint64_t most = pixels_max ? pixels_max : IMAGE_PIXELS_MAX;
    if (width == 0 || height == 0)
        return err_set(e, ERR_INVALID, "image: expected pixels, got %llux%llu", (unsigned long long)width,
                       (unsigned long long)height);
    if (width > IMAGE_SIDE_MAX || height > IMAGE_SIDE_MAX || width * height > most)
        return err_set(e, ERR_TOO_LARGE, "image: expected at most %llu pixels and sides of at most %d, got %llux%llu",
                       (unsigned long long)most, IMAGE_SIDE_MAX, (unsigned long long)width, (unsigned long long)height);
    return ERR_OK;
}

err_code image_alloc(image *im, arena *a, err *e)
{
    INVARIANT(im->channels >= 1 && im->channels <= 4);
    size_t bytes = (size_t)im->width * im->height * im->channels;   /* 65500 * 65500 * 4 < 2^35 */
    im->pixels = arena_push_raw(a, bytes + IMAGE_SLACK, 64);
    if (im->pixels) {
        memset(im->pixels + bytes, 0, IMAGE_SLACK);
        return ERR_OK;
    }
    if (a->starved) return err_set(e, ERR_NOMEM, "image: no memory for %zu bytes of pixels", bytes);
    return err_set(e, ERR_LIMIT, "image: expected at most %zu bytes of memory, got %ux%u pixels, %zu bytes",
                   a->limit, im->width, im->height, bytes);
}

err_code image_no_room(const char *kind, const arena *a, err *e)
{
    if (a->starved) return err_set(e, ERR_NOMEM, "image: %s: no memory", kind);
    return err_set(e, ERR_LIMIT, "image: %s: expected a file that decodes in %zu bytes of memory", kind, a->limit);
}

uint8_t *image_pixel(const image *im, size_t x, size_t y)
{
    INVARIANT(x < im->width && y < im->height);
    return im->pixels + (y * im->width + x) * im->channels;
}

static err_code open_png(str file, const image_options *o, arena *a, image_rows *ret, image *ret_head, err *e)
{
    image_png *r;
    err_code rc = image_png_open(file, o, a, &r, ret_head, e);
    if (!rc) *ret = (image_rows){IMAGE_PNG, r, image_png_streams(r)};
    return rc;
}

static err_code open_jpeg(str file, const image_options *o, arena *a, image_rows *ret, image *ret_head, err *e)
{
    image_jpeg *r;
    err_code rc = image_jpeg_open(file, o, a, &r, ret_head, e);
    if (!rc) *ret = (image_rows){IMAGE_JPEG, r, true};
    return rc;
}

err_code image_rows_open(str file, const image_options *o, arena *a, image_rows *ret, image *ret_head, err *e)
{
    image_options with = *o;
    if (!with.channels) with.channels = 3;
    INVARIANT(with.channels == 1 || with.channels == 3 || with.channels == 4);
    switch (image_sniff(file)) {
    case IMAGE_JPEG: return open_jpeg(file, &with, a, ret, ret_head, e);
    case IMAGE_PNG: return open_png(file, &with, a, ret, ret_head, e);
    case IMAGE_UNKNOWN: break;
    }
    const char *got = file.len ? image_kind_name(file) : "nothing";
    return err_set(e, ERR_INVALID, "image: expected JPEG or PNG, got %s", got ? got : "other bytes");
}

err_code image_rows_next(const image_rows *r, uint8_t *to, size_t row, uint32_t count, err *e)
{
    INVARIANT(r->streams);
    return r->kind == IMAGE_JPEG ? image_jpeg_rows(r->reader, to, row, count, e)
                                 : image_png_rows(r->reader, to, row, count, e);
}

err_code image_rows_whole(const image_rows *r, uint32_t channels, arena *a, image *ret, err *e)
{
    return r->kind == IMAGE_JPEG ? image_jpeg_whole(r->reader, channels, a, ret, e)
                                 : image_png_whole(r->reader, a, ret, e);
}

void image_rows_close(image_rows *r)
{
    if (r->kind == IMAGE_JPEG) image_jpeg_close(r->reader);
}

err_code image_decode(str file, const image_options *o, arena *a, image *ret, err *e)
{
    image_rows r;
    image head;
    err_code rc = image_rows_open(file, o, a, &r, &head, e);
    if (rc) return rc;
    rc = image_rows_whole(&r, o->channels ? o->channels : 3, a, ret, e);
    image_rows_close(&r);
    return rc;
}

/* ---- turning ----------------------------------------------------------------------------------------------------- */

/* Where the turned picture's first pixel comes from, and how far its neighbours to the right and below lie apart. */
typedef struct {
    const uint8_t *from;
    ptrdiff_t right, down;       /* bytes */
} walk;

static walk walk_of(const image *im)
{
    ptrdiff_t pixel = im->channels, row = pixel * (ptrdiff_t)im->width;
    ptrdiff_t last_x = row - pixel, last_y = row * ((ptrdiff_t)im->height - 1);
    const struct { ptrdiff_t from, right, down; } walks[EXIF_TURNS] = {
        {0, pixel, row}, {last_x, -pixel, row}, {last_x + last_y, -pixel, -row}, {last_y, pixel, -row},
        {0, row, pixel}, {last_y, -row, pixel}, {last_x + last_y, -row, -pixel}, {last_x, row, -pixel},
    };
    INVARIANT(im->orientation >= 1 && im->orientation <= EXIF_TURNS);
    size_t i = im->orientation - 1;
    return (walk){im->pixels + walks[i].from, walks[i].right, walks[i].down};
}

static inline __attribute__((always_inline)) void turn_tile(const image *to, const walk *w, size_t x0, size_t y0,
                                                            size_t channels)
{
    size_t x1 = x0 + TILE < to->width ? x0 + TILE : to->width, y1 = y0 + TILE < to->height ? y0 + TILE : to->height;
    for (size_t y = y0; y < y1; y++) {
        uint8_t *put = to->pixels + (y * to->width + x0) * channels;
        const uint8_t *get = w->from + w->down * (ptrdiff_t)y + w->right * (ptrdiff_t)x0;
        for (size_t x = x0; x < x1; x++, get += w->right, put += channels)
            for (size_t c = 0; c < channels; c++) put[c] = get[c];
    }
}

err_code image_turn(image *im, arena *a, err *e)
{
    if (im->orientation == 1) return ERR_OK;
    bool lies = im->orientation >= 5;
    image to = {.width = lies ? im->height : im->width, .height = lies ? im->width : im->height,
                .channels = im->channels, .orientation = 1};
    err_code rc = image_alloc(&to, a, e);
    if (rc) return rc;
    walk w = walk_of(im);
    for (size_t y = 0; y < to.height; y += TILE)
        for (size_t x = 0; x < to.width; x += TILE) {
            if (to.channels == 3) turn_tile(&to, &w, x, y, 3);
            else if (to.channels == 1) turn_tile(&to, &w, x, y, 1);
            else turn_tile(&to, &w, x, y, to.channels);
        }
    *im = to;
    return ERR_OK;
}
