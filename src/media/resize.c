#include "media/resize.h"

#include "media/resize_job.h"
#include "tensor/kernel.h"

#include <math.h>
#include <string.h>

static const char *const names[RESIZE_FILTERS] = {
    [RESIZE_NEAREST] = "nearest", [RESIZE_LANCZOS] = "lanczos", [RESIZE_BILINEAR] = "bilinear",
    [RESIZE_BICUBIC] = "bicubic", [RESIZE_BOX] = "box", [RESIZE_HAMMING] = "hamming",
    [RESIZE_MKS2013] = "mks2013", [RESIZE_MKS2021] = "mks2021"};

const char *resize_filter_name(resize_filter f)
{
    INVARIANT(f < RESIZE_FILTERS);
    return names[f];
}

bool resize_filter_find(str name, resize_filter *ret)
{
    for (resize_filter f = 0; f < RESIZE_FILTERS; f++)
        if (str_is_nocase(name, names[f]) || (name.len == 1 && name.p[0] == (char)('0' + f))) {
            *ret = f;
            return true;
        }
    return false;
}

/* ---- Pillow's two passes ----------------------------------------------------------------------------------------- */

/* Rows first .. of `from`, as many as `to` has. */
static void across(const tap_table *t, const image *from, uint32_t first, const image *to)
{
    size_t row = resize_row(from);
    kernel_active()->set.taps_across_u8(t, to->pixels, resize_row(to), from->pixels + first * row, row, to->channels,
                                        to->height);
}

/* Columns left .. of `from`, whose first row is row `top` of what the weights count. */
static void down(const tap_table *t, const image *from, uint32_t left, uint32_t top, const image *to)
{
    size_t row = resize_row(from), n = resize_row(to);
    const uint8_t *x = from->pixels + (size_t)left * from->channels;
    for (size_t i = 0; i < t->count; i++)
        kernel_active()->set.taps_down_u8(to->pixels + i * n, x + (t->runs[i].from - top) * row, row,
                                          t->low + i * t->step, t->high + i * t->step, t->runs[i].count, n);
}

static err_code both_ways(const resize_job *j, const resize_tables *t)
{
    bool tall = j->columns_first;
    image half = {.width = tall ? t->columns.count : j->to.width, .height = tall ? j->to.height : t->rows.count,
                  .channels = j->to.channels};
    err_code rc = image_alloc(&half, j->memory, j->e);
    if (rc) return rc;
    if (tall) {
        down(&t->ys, j->from, t->columns.from, 0, &half);
        across(&t->xs, &half, 0, &j->to);
    } else {
        across(&t->xs, j->from, t->rows.from, &half);
        down(&t->ys, &half, 0, t->rows.from, &j->to);
    }
    return ERR_OK;
}

static err_code smooth(const resize_job *j)
{
    resize_tables t;
    err_code rc = resize_job_tables(j, &t);
    if (rc) return rc;
    if (j->across && j->down) rc = both_ways(j, &t);
    else if (j->across) across(&t.xs, j->from, 0, &j->to);
    else if (j->down) down(&t.ys, j->from, 0, 0, &j->to);
    else memcpy(j->to.pixels, j->from->pixels, resize_row(&j->to) * j->to.height);
    resize_job_give(&t);
    return rc;
}

/* ---- alpha ------------------------------------------------------------------------------------------------------- */

static err_code multiplied(const image *from, arena *a, image *ret, err *e)
{
    image im = *from;
    err_code rc = image_alloc(&im, a, e);
    if (rc) return rc;
    for (size_t i = 0, n = (size_t)im.width * im.height; i < n; i++) {
        const uint8_t *p = from->pixels + 4 * i;
        for (size_t c = 0; c < 3; c++) {
            uint32_t t = (uint32_t)p[c] * p[3] + 128;
            im.pixels[4 * i + c] = (uint8_t)(((t >> 8) + t) >> 8);   /* / 255 to the nearest */
        }
        im.pixels[4 * i + 3] = p[3];
    }
    *ret = im;
    return ERR_OK;
}

static void divide(image *im)
{
    for (size_t i = 0, n = (size_t)im->width * im->height; i < n; i++) {
        uint8_t *p = im->pixels + 4 * i, alpha = p[3];
        if (alpha == 0 || alpha == 255) continue;
        for (size_t c = 0; c < 3; c++) {
            uint32_t v = 255u * p[c] / alpha;
            p[c] = (uint8_t)(v > 255 ? 255 : v);
        }
    }
}

/* ---- the others -------------------------------------------------------------------------------------------------- */

static err_code nearest(const resize_job *j)
{
    uint32_t *xs, *ys;
    size_t channels = j->from->channels;
    err_code rc = resize_nearest(&j->x, j->memory, &xs, j->e);
    if (!rc) rc = resize_nearest(&j->y, j->memory, &ys, j->e);
    if (rc) return rc;
    uint8_t *put = j->to.pixels;
    for (size_t y = 0; y < j->y.count; y++)
        for (size_t x = 0; x < j->x.count; x++, put += channels) {
            bool in = xs[x] < j->from->width && ys[y] < j->from->height;
            const uint8_t *get = in ? image_pixel(j->from, xs[x], ys[y]) : NULL;
            for (size_t c = 0; c < channels; c++) put[c] = in ? get[c] : 0;
        }
    return ERR_OK;
}

static uint8_t rounded(float v)
{
    return (uint8_t)lrintf(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Rows are mixed first, in float and as wide as the source, then columns. */
static err_code aliased(const resize_job *j)
{
    resize_few *xs, *ys;
    size_t taps = j->filter == RESIZE_BICUBIC ? 4 : 2, channels = j->from->channels, row = j->from->width * channels;
    err_code rc = resize_neighbours(&j->x, j->filter, j->memory, &xs, j->e);
    if (!rc) rc = resize_neighbours(&j->y, j->filter, j->memory, &ys, j->e);
    if (rc) return rc;
    float *mixed = arena_push_raw(j->memory, row * sizeof *mixed, 64);
    if (!mixed) return resize_no_memory(j->memory, "pixels of a row", j->from->width, j->e);
    uint8_t *put = j->to.pixels;
    for (size_t y = 0; y < j->y.count; y++) {
        memset(mixed, 0, row * sizeof *mixed);
        for (size_t k = 0; k < taps; k++) {
            const uint8_t *get = j->from->pixels + ys[y].at[k] * row;
            float w = ys[y].weight[k];
            for (size_t i = 0; i < row; i++) mixed[i] += w * get[i];
        }
        for (size_t x = 0; x < j->x.count; x++, put += channels)
            for (size_t c = 0; c < channels; c++) {
                float sum = 0;
                for (size_t k = 0; k < taps; k++) sum += xs[x].weight[k] * mixed[xs[x].at[k] * channels + c];
                put[c] = rounded(sum);
            }
    }
    return ERR_OK;
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

err_code resize_image(const image *from, const resize_options *o, arena *a, image *ret, err *e)
{
    image source = *from;
    resize_job j;
    err_code rc = resize_job_make(&j, &source, o, a, e);
    INVARIANT(rc || !o->turned || (!o->aliased && o->filter != RESIZE_NEAREST));
    if (!rc) rc = image_alloc(&j.to, a, e);
    if (rc) return rc;
    bool still = !resize_changes(&j.x) && !resize_changes(&j.y);
    bool alpha = from->channels == 4 && o->filter != RESIZE_NEAREST && !still;
    if (alpha) rc = multiplied(from, a, &source, e);
    if (rc) return rc;
    if (o->aliased) rc = aliased(&j);
    else if (o->filter == RESIZE_NEAREST) rc = nearest(&j);
    else rc = smooth(&j);
    if (rc) return rc;
    if (alpha) divide(&j.to);
    *ret = j.to;
    return ERR_OK;
}
