#include "media/prepare.h"

#include "tensor/unroll.h"

#include <math.h>
#include <string.h>

/* ---- tables ------------------------------------------------------------------------------------------------------ */

/* As transformers computes it: rescaled in double and rounded to float32, then normalised in float32. */
static float value_of(const prepare *p, size_t channel, size_t pixel)
{
    float v = p->rescale ? (float)((double)pixel * p->factor) : (float)pixel;
    return p->normalize ? (v - (float)p->mean[channel]) / (float)p->std[channel] : v;
}

static void fill_table(prepare *p, size_t channel)
{
    for (size_t i = 0; i < 256; i++) {
        float v = value_of(p, channel, i);
        switch (p->type) {
        case DT_F32: p->table[channel].f32[i] = v; break;
        case DT_F16: p->table[channel].f16[i] = dtype_f32_to_f16(v); break;
        default: p->table[channel].u8[i] = (uint8_t)i; break;
        }
    }
}

static bool side_ok(uint32_t a, uint32_t b)
{
    return (a == 0) == (b == 0) && a <= PREPARE_SIDE_MAX && b <= PREPARE_SIDE_MAX;
}

static bool size_ok(const prepare *p)
{
    switch (p->size) {
    case PREPARE_AS_IT_IS: return true;
    case PREPARE_SHORTEST: return p->shortest && p->shortest <= PREPARE_SIDE_MAX && p->longest <= PREPARE_SIDE_MAX;
    case PREPARE_LONGEST: return p->longest && p->longest <= PREPARE_SIDE_MAX;
    case PREPARE_EXACT:
    case PREPARE_WITHIN: return p->width && side_ok(p->width, p->height);
    }
    return false;
}

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* Whether every picture, resized and cropped, is larger than what it is padded to. */
static bool never_fits(const prepare *p)
{
    if (!p->pad_width) return false;
    if (p->crop_width) return p->crop_width > p->pad_width || p->crop_height > p->pad_height;
    if (p->size == PREPARE_EXACT) return p->width > p->pad_width || p->height > p->pad_height;
    if (p->size == PREPARE_LONGEST) return p->longest > larger(p->pad_width, p->pad_height);
    return p->size == PREPARE_SHORTEST && !p->longest && (p->shortest > p->pad_width || p->shortest > p->pad_height);
}

static err_code numbers_check(const prepare *p, err *e)
{
    if (p->rescale && !isfinite((float)(255 * p->factor)))
        return err_set(e, ERR_INVALID, "rescale_factor: expected a finite number, got %g", p->factor);
    for (size_t c = 0; c < p->channels && p->normalize; c++) {
        if (!isfinite((float)p->mean[c]))
            return err_set(e, ERR_INVALID, "image_mean: expected finite numbers, got %g", p->mean[c]);
        if (!isfinite((float)p->std[c]) || (float)p->std[c] == 0)
            return err_set(e, ERR_INVALID, "image_std: expected finite numbers other than 0, got %g", p->std[c]);
    }
    return ERR_OK;
}

err_code prepare_finish(prepare *p, err *e)
{
    if (p->channels != 1 && p->channels != 3)
        return err_set(e, ERR_INVALID, "channels: expected 1 or 3, got %u", p->channels);
    if (p->type != DT_F32 && p->type != DT_F16 && p->type != DT_U8)
        return err_set(e, ERR_INVALID, "dtype: expected float32, float16 or uint8, got %s", dtype_name(p->type));
    if (p->type == DT_U8 && (p->rescale || p->normalize))
        return err_set(e, ERR_INVALID, "dtype: uint8: expected do_rescale and do_normalize to be false");
    if (!size_ok(p) || !side_ok(p->crop_width, p->crop_height) || !side_ok(p->pad_width, p->pad_height))
        return err_set(e, ERR_INVALID, "size, crop_size, pad_size: expected sides of 1 to %d", PREPARE_SIDE_MAX);
    if (p->aliased && p->filter != RESIZE_BILINEAR && p->filter != RESIZE_BICUBIC)
        return err_set(e, ERR_INVALID, "antialias: false: expected resample bilinear or bicubic, got %s",
                       resize_filter_name(p->filter));
    if (never_fits(p))
        return err_set(e, ERR_INVALID, "pad_size: expected at least what size and crop_size make, got %ux%u",
                       p->pad_width, p->pad_height);
    err_code rc = numbers_check(p, e);
    for (size_t c = 0; c < p->channels && !rc; c++) fill_table(p, c);
    return rc;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t width, height;
} sides;

/* The shorter side as asked, the longer in proportion, rounded down; then both by the longer side's limit. */
static sides by_shortest(const prepare *p, sides from)
{
    bool upright = from.width <= from.height;
    uint64_t little = upright ? from.width : from.height, large = upright ? from.height : from.width;
    uint64_t to_little = p->shortest, to_large = (uint64_t)((double)(p->shortest * large) / (double)little);
    if (p->longest && to_large > p->longest) {
        to_little = (uint64_t)((double)(p->longest * to_little) / (double)to_large);
        to_large = p->longest;
    }
    return upright ? (sides){to_little, to_large} : (sides){to_large, to_little};
}

static sides by_scale(sides from, double scale, double round)
{
    return (sides){(uint64_t)((double)from.width * scale + round), (uint64_t)((double)from.height * scale + round)};
}

static sides resized(const prepare *p, sides from)
{
    double w = (double)from.width, h = (double)from.height;
    sides to = {0, 0};
    switch (p->size) {
    case PREPARE_AS_IT_IS: return from;
    case PREPARE_EXACT: return (sides){p->width, p->height};
    case PREPARE_SHORTEST: to = by_shortest(p, from); break;
    case PREPARE_LONGEST: to = by_scale(from, p->longest / fmax(w, h), 0.5); break;
    case PREPARE_WITHIN: to = by_scale(from, fmin(p->width / w, p->height / h), 0); break;
    }
    return (sides){to.width ? to.width : 1, to.height ? to.height : 1};
}

/* One axis, a picture in its row: what is cut off before it, what stays, what lies before that. */
typedef struct {
    uint32_t cut, kept, before, to;
} fit;

/* transformers' center_crop(): of an odd rest the smaller half is cut before, and the larger filled before. */
static fit cropped(uint32_t from, uint32_t to)
{
    if (!to) return (fit){0, from, 0, from};
    return from >= to ? (fit){(from - to) / 2, to, 0, to} : (fit){0, from, (to - from + 1) / 2, to};
}

static err_code padded(const prepare *p, const char *side, uint32_t to, fit *f, err *e)
{
    if (!to) return ERR_OK;
    if (f->to > to)
        return err_set(e, ERR_TOO_LARGE, "image: pad_size: expected at most %u pixels of %s, got %u", to, side, f->to);
    if (!p->pad_top_left) f->before += (to - f->to) / 2;
    f->to = to;
    return ERR_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* A draft has at least twice the pixels along each side that the result has, so that the filter still has its say. */
static void allow_draft(const prepare *p, image_options *o)
{
    if (!p->draft) return;
    if (p->size == PREPARE_EXACT) o->width_enough = 2 * p->width, o->height_enough = 2 * p->height;
    if (p->size == PREPARE_SHORTEST) o->width_enough = o->height_enough = 2 * p->shortest;
}

/* Turned pictures are resized as they lie there, and turned when they are small: for the passes it is the same. */
static bool turns_late(const prepare *p)
{
    return p->turn && !p->aliased && p->filter != RESIZE_NEAREST;
}

/* What a picture is resized to, and its place in the row. */
static err_code place(const prepare *p, const image *head, resize_options *ret_resize, prepare_picture *ret, err *e)
{
    bool lies = p->turn && head->orientation >= 5;
    const sides seen = {lies ? head->height : head->width, lies ? head->width : head->height};
    sides to = resized(p, seen);
    if (to.width > RESIZE_SIDE_MAX || to.height > RESIZE_SIDE_MAX)
        return err_set(e, ERR_TOO_LARGE, "image: expected sides that resize to at most %d, got %llux%llu pixels",
                       RESIZE_SIDE_MAX, (unsigned long long)seen.width, (unsigned long long)seen.height);
    fit x = cropped((uint32_t)to.width, p->crop_width), y = cropped((uint32_t)to.height, p->crop_height);
    err_code rc = padded(p, "width", p->pad_width, &x, e);
    if (!rc) rc = padded(p, "height", p->pad_height, &y, e);
    if (rc) return rc;
    *ret_resize = (resize_options){
        .width = (uint32_t)to.width, .height = (uint32_t)to.height, .filter = p->filter,
        .aliased = p->aliased && p->size != PREPARE_AS_IT_IS, .window = {x.cut, y.cut, x.kept, y.kept},
        .pixels_max = p->pixels_max, .turned = turns_late(p)};
    double right = (double)seen.width / (double)to.width, down = (double)seen.height / (double)to.height;
    *ret = (prepare_picture){.width = x.to, .height = y.to, .left = x.before, .top = y.before,
                             .place = {(uint32_t)seen.width, (uint32_t)seen.height,
                                       ((double)x.cut - x.before) * right, right,
                                       ((double)y.cut - y.before) * down, down}};
    return ERR_OK;
}

/* Of a picture that is there, not yet turned. */
static err_code make(const prepare *p, const image *im, arena *a, prepare_picture *ret, err *e)
{
    resize_options o;
    prepare_picture made;
    err_code rc = place(p, im, &o, &made, e);
    bool same = !rc && o.width == made.place.width && o.height == made.place.height && o.window.width == o.width &&
                o.window.height == o.height;
    made.im = *im;
    if (!rc && p->turn && !o.turned) rc = image_turn(&made.im, a, e);
    if (!rc && !same) rc = resize_image(&made.im, &o, a, &made.im, e);
    if (!rc && p->turn) rc = image_turn(&made.im, a, e);
    if (!rc) *ret = made;
    return rc;
}

static err_code pull(void *ctx, uint8_t *to, size_t row, uint32_t rows, err *e)
{
    return image_rows_next(ctx, to, row, rows, e);
}

/* Resized while it is decoded, where that gives the same. */
static err_code read_opened(const prepare *p, image_rows *rows, const image *head, arena *a, prepare_picture *ret,
                            err *e)
{
    image im;
    resize_options o;
    prepare_picture made;
    bool streams = rows->streams && head->channels == p->channels;
    err_code rc = streams ? place(p, head, &o, &made, e) : ERR_OK;
    if (rc) return rc;
    if (!streams || !resize_can_stream(head, &o)) {
        rc = image_rows_whole(rows, p->channels, a, &im, e);
        return rc ? rc : make(p, &im, a, ret, e);
    }
    rc = resize_stream(head, &(resize_source){pull, rows}, &o, a, &made.im, e);
    if (!rc && p->turn) rc = image_turn(&made.im, a, e);
    if (!rc) *ret = made;
    return rc;
}

err_code prepare_read(const prepare *p, str file, arena *a, prepare_picture *ret, err *e)
{
    image head;
    image_rows rows;
    image_options o = {.channels = p->channels, .pixels_max = p->pixels_max};
    allow_draft(p, &o);
    err_code rc = image_rows_open(file, &o, a, &rows, &head, e);
    if (rc) return rc;
    rc = read_opened(p, &rows, &head, a, ret, e);
    image_rows_close(&rows);
    return rc;
}

shape prepare_shape(const prepare *p)
{
    int64_t width = -1, height = -1, channels = p->channels;
    if (p->size == PREPARE_EXACT) width = p->width, height = p->height;
    if (p->crop_width) width = p->crop_width, height = p->crop_height;
    if (p->pad_width) width = p->pad_width, height = p->pad_height;
    return p->channels_last ? shape_make(3, (int64_t[]){height, width, channels})
                            : shape_make(3, (int64_t[]){channels, height, width});
}

size_t prepare_bytes(const prepare *p, const prepare_picture *picture)
{
    return dtype_bytes(p->type, (uint64_t)picture->width * picture->height * p->channels);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

enum { FOUR = 4 };

/* One channel: `to` is its first element, `step` how far its elements lie apart.  Of a plane four are stored at once,
 * and a picture's channels are a constant there: else addresses take longer than pixels. */
#define DEFINE_PUT(type, member)                                                                                       \
    ALWAYS_INLINE size_t fours_##member(const type *table, const uint8_t *from, size_t in, size_t count, type *to)     \
    {                                                                                                                  \
        size_t x = 0;                                                                                                  \
        for (; x + FOUR <= count; x += FOUR, from += FOUR * in) {                                                      \
            const type four[] = {table[from[0]], table[from[in]], table[from[2 * in]], table[from[3 * in]]};           \
            memcpy(to + x, four, sizeof four);                                                                         \
        }                                                                                                              \
        return x;                                                                                                      \
    }                                                                                                                  \
                                                                                                                       \
    static void put_##member(const prepare *p, const prepare_picture *v, size_t channel, type *to, size_t step)        \
    {                                                                                                                  \
        const type *table = p->table[channel].member;                                                                  \
        type fill = table[p->fill[channel]];                                                                           \
        size_t in = v->im.channels, right = v->left + v->im.width, bottom = v->top + v->im.height;                     \
        const uint8_t *from = v->im.pixels + channel;                                                                  \
        for (size_t y = 0; y < v->height; y++) {                                                                       \
            bool inside = y >= v->top && y < bottom;                                                                   \
            size_t begin = inside ? v->left : v->width, end = inside ? right : v->width, done = 0;                     \
            for (size_t x = 0; x < begin; x++, to += step) *to = fill;                                                 \
            if (step == 1 && in == 3) done = fours_##member(table, from, 3, end - begin, to);                          \
            if (step == 1 && in == 1) done = fours_##member(table, from, 1, end - begin, to);                          \
            to += done, from += done * in;                                                                             \
            for (size_t x = begin + done; x < end; x++, to += step, from += in) *to = table[*from];                    \
            for (size_t x = end; x < v->width; x++, to += step) *to = fill;                                            \
        }                                                                                                              \
    }
DEFINE_PUT(float, f32)
DEFINE_PUT(uint16_t, f16)
DEFINE_PUT(uint8_t, u8)

void prepare_put(const prepare *p, const prepare_picture *v, void *to)
{
    size_t plane = (size_t)v->width * v->height, step = p->channels_last ? p->channels : 1;
    INVARIANT(v->im.channels == p->channels);
    for (size_t c = 0; c < p->channels; c++) {
        size_t as = p->bgr ? p->channels - 1 - c : c, at = p->channels_last ? as : as * plane;
        switch (p->type) {
        case DT_F32: put_f32(p, v, c, (float *)to + at, step); break;
        case DT_F16: put_f16(p, v, c, (uint16_t *)to + at, step); break;
        default: put_u8(p, v, c, (uint8_t *)to + at, step); break;
        }
    }
}
