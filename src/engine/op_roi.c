/* RoiAlign, MaxRoiPool and DeformConv: samples taken between the elements of planes. */
#include "engine/half.h"
#include "engine/op_watch.h"
#include "engine/spatial.h"
#include "tensor/gemm.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define T_REAL (T1(DT_F32) | T1(DT_F16) | T1(DT_BF16))

/* ---- RoiAlign ----------------------------------------------------------------------------------------------- */

/* Samples along one side of one bin.  SAMPLING_MAX: where the model says how many, whatever the region.  GRID_MAX:
 * where the region does, one for each element that it covers; beyond it i + 0.5 is no float32. */
enum { SAMPLING_MAX = 1 << 12, GRID_MAX = 1 << 23 };

static err_code align_infer(op_call *c, err *e)
{
    int64_t height = node_int(c->node, "output_height", 1), width = node_int(c->node, "output_width", 1);
    int64_t sampling = node_int(c->node, "sampling_ratio", 0);
    const shape *x = &c->in[0]->shape, *rois = &c->in[1]->shape, *batch = &c->in[2]->shape;
    err_code rc = op_type(c, 0, T_REAL, e);
    if (!rc) rc = op_type(c, 1, T1(c->in[0]->type), e);
    if (!rc) rc = op_type(c, 2, T1(DT_I64), e);
    if (!rc) rc = op_rank(c, 0, 4, 4, e);
    if (!rc) rc = op_rank(c, 1, 2, 2, e);
    if (!rc) rc = op_rank(c, 2, 1, 1, e);
    if (rc) return rc;
    if (rois->dim[1] != 4 || batch->dim[0] != rois->dim[0] || height < 1 || width < 1)
        return op_err(c, e, ERR_INVALID, "expected regions [n, 4], n batch indices and an output of at least 1 x 1");
    if (sampling > SAMPLING_MAX)
        return op_err(c, e, ERR_LIMIT, "sampling_ratio: expected at most %d, got %lld", SAMPLING_MAX,
                      (long long)sampling);
    shape y = shape_make(4, (int64_t[]){rois->dim[0], x->dim[1], height, width});
    return op_set(c, 0, c->in[0]->type, &y, e);
}

/* Samples from..to-1 of a bin, along one side. */
typedef struct {
    uint32_t from, to;
} span;

/* One side of a region: bins of `grid` samples each, beside a plane of `size` elements. */
typedef struct {
    size_t size, bins, grid;
    float start, bin; /* of the first bin, and of each; in elements */
    span *inside; /* [bins] the samples at most one element outside the plane; the others are 0 */
} side;

typedef struct {
    side y, x;
    bool average;
    op_watch watch;
} region;

static float side_at(const side *s, size_t bin, size_t i)
{
    return s->start + (float)bin * s->bin + ((float)i + 0.5f) * s->bin / (float)s->grid;
}

/* The first sample of a bin that has reached the plane, or that has left it: they stand in order, from high to low
 * where a region's corners are exchanged. */
static uint32_t side_first(const side *s, size_t bin, bool left)
{
    uint32_t from = 0, to = (uint32_t)s->grid;
    while (from < to) {
        uint32_t i = from + (to - from) / 2;
        float at = side_at(s, bin, i);
        bool low = at < -1, high = at > (float)s->size, down = s->bin < 0;
        bool before = down ? high : low, behind = down ? low : high;
        if (left ? behind : !before) to = i;
        else from = i + 1;
    }
    return from;
}

/* A region of millions of elements has few samples in any plane: they are found by halving, and the others are not
 * visited, so that no region costs more than one that covers the plane. */
static err_code side_of(const op_call *c, side *s, int64_t number, float start, float length, err *e)
{
    int64_t sampling = node_int(c->node, "sampling_ratio", 0);
    s->start = start;
    s->bin = length / (float)s->bins;
    float grid = sampling > 0 ? (float)sampling : ceilf(s->bin);
    if (!(grid <= GRID_MAX))
        return op_err(c, e, ERR_INVALID,
                      "input 1: region %lld: expected at most %d samples along a side of a bin, got %g",
                      (long long)number, GRID_MAX, (double)grid);
    s->grid = grid > 0 ? (size_t)grid : 0;
    for (size_t i = 0; i < s->bins; i++) s->inside[i] = (span){side_first(s, i, false), side_first(s, i, true)};
    return ERR_OK;
}

static err_code region_of(const op_call *c, const float *roi, int64_t number, bool half_pixel, region *r, err *e)
{
    float scale = node_float(c->node, "spatial_scale", 1), offset = half_pixel ? 0.5f : 0, at[4];
    for (int i = 0; i < 4; i++) {
        if (!isfinite(roi[i]))
            return op_err(c, e, ERR_INVALID, "input 1: region %lld: expected finite numbers, got %g", (long long)number,
                          (double)roi[i]);
        at[i] = roi[i] * scale - offset;
    }
    /* Of the scaled corners, as the standard has it: a last bit decides between two and three samples. */
    float height = at[3] - at[1], width = at[2] - at[0];
    if (!half_pixel) {
        height = fmaxf(height, 1);
        width = fmaxf(width, 1);
    }
    err_code rc = side_of(c, &r->y, number, at[1], height, e);
    return rc ? rc : side_of(c, &r->x, number, at[0], width, e);
}

/* Four neighbours and their weights. */
typedef struct {
    size_t at[4];
    float w[4];
} sample;

/* Up to one element outside the plane its edge counts. */
static sample align_sample(float y, float x, size_t height, size_t width)
{
    y = fmaxf(y, 0);
    x = fmaxf(x, 0);
    size_t y0 = (size_t)y, x0 = (size_t)x, y1 = y0 + 1, x1 = x0 + 1;
    if (y0 + 1 >= height) y = (float)(y0 = y1 = height - 1);
    if (x0 + 1 >= width) x = (float)(x0 = x1 = width - 1);
    float ly = y - (float)y0, lx = x - (float)x0;
    return (sample){.at = {y0 * width + x0, y0 * width + x1, y1 * width + x0, y1 * width + x1},
                    .w = {(1 - ly) * (1 - lx), (1 - ly) * lx, ly * (1 - lx), ly * lx}};
}

static err_code align_bin(region *r, const float *plane, size_t ph, size_t pw, float *ret, err *e)
{
    span rows = r->y.inside[ph], columns = r->x.inside[pw];
    size_t count = r->y.grid * r->x.grid, width = columns.to - columns.from;
    bool first = (rows.to - rows.from) * width == count; /* else the greatest is at least the 0 of a sample outside */
    float sum = 0;
    err_code rc = op_watch_add(&r->watch, 1, e);
    for (uint32_t iy = rows.from; iy < rows.to && !rc; iy++) {
        float y = side_at(&r->y, ph, iy);
        for (uint32_t ix = columns.from; ix < columns.to; ix++) {
            sample s = align_sample(y, side_at(&r->x, pw, ix), r->y.size, r->x.size);
            float part[4];
            for (int q = 0; q < 4; q++) part[q] = s.w[q] * plane[s.at[q]];
            float most = fmaxf(fmaxf(part[0], part[1]), fmaxf(part[2], part[3]));
            sum = r->average ? sum + part[0] + part[1] + part[2] + part[3] : first ? most : fmaxf(sum, most);
            first = false;
        }
        rc = op_watch_add(&r->watch, width, e);
    }
    *ret = r->average && count ? sum / (float)count : sum;
    return rc;
}

static err_code region_init(op_call *c, region *r, err *e)
{
    const int64_t *x = c->in[0]->shape.dim, *y = c->out[0]->shape.dim;
    str mode = node_str(c->node, "mode", str_of("avg"));
    *r = (region){.y = {.size = (size_t)x[2], .bins = (size_t)y[2]},
                  .x = {.size = (size_t)x[3], .bins = (size_t)y[3]},
                  .average = str_is(mode, "avg"),
                  .watch = {.call = c}};
    if (!r->average && !str_is(mode, "max"))
        return op_err(c, e, ERR_INVALID, "attribute 'mode': expected avg or max, got '" STR_FMT "'", STR_ARG(mode));
    if (r->y.size == 0 || r->x.size == 0)
        return op_err(c, e, ERR_INVALID, "input 0: expected planes with elements");
    r->y.inside = arena_new(c->scratch, span, r->y.bins);
    r->x.inside = arena_new(c->scratch, span, r->x.bins);
    if (!r->y.inside || !r->x.inside)
        return op_err(c, e, ERR_LIMIT, "no memory for %zu x %zu bins", r->y.bins, r->x.bins);
    return ERR_OK;
}

static err_code align_run(op_call *c, err *e)
{
    const int64_t *dim = c->in[0]->shape.dim, *batch = c->in[2]->data;
    const float *x, *rois;
    float *out;
    region r;
    str pixel = node_str(c->node, "coordinate_transformation_mode",
                         str_of(c->node->row->since >= 16 ? "half_pixel" : "output_half_pixel"));
    if (tensor_count(c->out[0]) == 0) return ERR_OK;
    err_code rc = region_init(c, &r, e);
    if (!rc) rc = half_in(c, 0, &x, e);
    if (!rc) rc = half_in(c, 1, &rois, e);
    if (!rc) rc = half_out(c, 0, &out, e);
    if (rc) return rc;
    float *y = out;
    for (int64_t n = 0; n < c->out[0]->shape.dim[0]; n++) {
        if (batch[n] < 0 || batch[n] >= dim[0])
            return op_err(c, e, ERR_INVALID, "input 2: expected indices below %lld, got %lld", (long long)dim[0],
                          (long long)batch[n]);
        rc = region_of(c, rois + 4 * n, n, str_is(pixel, "half_pixel"), &r, e);
        for (int64_t channel = 0; channel < dim[1] && !rc; channel++) {
            const float *plane = x + (size_t)(batch[n] * dim[1] + channel) * r.y.size * r.x.size;
            for (size_t i = 0; i < r.y.bins * r.x.bins && !rc; i++)
                rc = align_bin(&r, plane, i / r.x.bins, i % r.x.bins, y++, e);
        }
        if (rc) return rc;
    }
    half_done(c, 0, out);
    return ERR_OK;
}

/* ---- MaxRoiPool --------------------------------------------------------------------------------------------- */

static err_code max_infer(op_call *c, err *e)
{
    uint32_t count;
    const int64_t *size = node_ints(c->node, "pooled_shape", &count);
    err_code rc = op_type(c, 0, T_REAL, e);
    if (!rc) rc = op_type(c, 1, T1(c->in[0]->type), e);
    if (!rc) rc = op_rank(c, 0, 4, 4, e);
    if (!rc) rc = op_rank(c, 1, 2, 2, e);
    if (rc) return rc;
    if (count != 2 || size[0] < 1 || size[1] < 1 || c->in[1]->shape.dim[1] != 5)
        return op_err(c, e, ERR_INVALID, "expected regions [n, 5] and a 'pooled_shape' of two sizes");
    shape y = shape_make(4, (int64_t[]){c->in[1]->shape.dim[0], c->in[0]->shape.dim[1], size[0], size[1]});
    return op_set(c, 0, c->in[0]->type, &y, e);
}

/* The elements of bin i of n over `size` elements from `first` on, within a side of `all`. */
static void bin_of(int64_t first, int64_t size, int64_t i, int64_t n, int64_t all, int64_t *from, int64_t *to)
{
    float each = (float)size / (float)n;
    *from = first + (int64_t)floorf((float)i * each);
    *to = first + (int64_t)ceilf((float)(i + 1) * each);
    *from = *from < 0 ? 0 : *from > all ? all : *from;
    *to = *to < 0 ? 0 : *to > all ? all : *to;
}

static err_code max_run(op_call *c, err *e)
{
    const int64_t *dim = c->in[0]->shape.dim, *out = c->out[0]->shape.dim;
    const float *x, *roi;
    float *y, scale = node_float(c->node, "spatial_scale", 1);
    if (tensor_count(c->out[0]) == 0) return ERR_OK;
    err_code rc = half_in(c, 0, &x, e);
    if (!rc) rc = half_in(c, 1, &roi, e);
    if (!rc) rc = half_out(c, 0, &y, e);
    if (rc) return rc;
    size_t at = 0;
    op_watch watch = {.call = c};
    for (int64_t n = 0; n < out[0]; n++, roi += 5) {
        int64_t edge[4];
        for (int i = 0; i < 4; i++) {
            float v = roundf(roi[1 + i] * scale);
            if (!(fabsf(v) < 1e9f)) return op_err(c, e, ERR_INVALID, "input 1: a region that is not finite");
            edge[i] = (int64_t)v;
        }
        if (!(roi[0] >= 0 && roi[0] < (float)dim[0]))
            return op_err(c, e, ERR_INVALID, "input 1: batch index out of range");
        int64_t width = edge[2] - edge[0] + 1, height = edge[3] - edge[1] + 1, image = (int64_t)roi[0];
        for (int64_t i = 0; i < out[1] * out[2] * out[3]; i++) {
            const float *plane = x + (image * dim[1] + i / (out[2] * out[3])) * dim[2] * dim[3];
            int64_t top, bottom, left, right;
            bin_of(edge[1], height > 1 ? height : 1, i / out[3] % out[2], out[2], dim[2], &top, &bottom);
            bin_of(edge[0], width > 1 ? width : 1, i % out[3], out[3], dim[3], &left, &right);
            float most = top < bottom && left < right ? -INFINITY : 0;
            for (int64_t h = top; h < bottom; h++)
                for (int64_t w = left; w < right; w++) most = fmaxf(most, plane[h * dim[3] + w]);
            rc = op_watch_add(&watch, (uint64_t)((bottom - top) * (right - left)) + 1, e);
            if (rc) return rc;
            y[at++] = most;
        }
    }
    half_done(c, 0, y);
    return ERR_OK;
}

/* ---- DeformConv: the columns of a convolution, each element sampled where its offset says --------------------- */

enum { D_X, D_W, D_OFFSET, D_BIAS, D_MASK };

typedef struct {
    spatial_fit f;
    size_t batch, channels, rows, groups, offset_groups, taps, points;
} deform;

static err_code deform_of(const op_call *c, deform *ret, err *e)
{
    const int64_t *x = c->in[D_X]->shape.dim, *w = c->in[D_W]->shape.dim;
    int64_t groups = node_int(c->node, "group", 1), offset_groups = node_int(c->node, "offset_group", 1);
    spatial s;
    deform d;
    err_code rc = spatial_read(&s, c->graph, c->node, e);
    if (!rc) rc = spatial_of(&d.f, &s, c, 2, x + 2, w + 2, e);
    if (rc) return rc;
    int64_t taps = (int64_t)(d.f.kernel[1] * d.f.kernel[2]), channels, offsets = 0;
    bool ok = groups > 0 && offset_groups > 0 && w[0] % groups == 0 && x[1] % offset_groups == 0 &&
              !__builtin_mul_overflow(w[1], groups, &channels) && x[1] == channels &&
              !__builtin_mul_overflow(2 * taps, offset_groups, &offsets);
    shape offset = shape_make(4, (int64_t[]){x[0], offsets, (int64_t)d.f.out[1], (int64_t)d.f.out[2]});
    shape mask = offset;
    mask.dim[1] /= 2;
    const tensor *m = c->in_count > D_MASK ? c->in[D_MASK] : NULL, *b = c->in_count > D_BIAS ? c->in[D_BIAS] : NULL;
    if (!ok || !shape_eq(&c->in[D_OFFSET]->shape, &offset) || (m && !shape_eq(&m->shape, &mask)) ||
        (b && tensor_count(b) != (uint64_t)w[0]))
        return op_err(c, e, ERR_INVALID, "groups, offsets, mask or bias do not fit the input and the weights");
    d.batch = (size_t)x[0];
    d.channels = (size_t)x[1];
    d.rows = (size_t)w[0];
    d.groups = (size_t)groups;
    d.offset_groups = (size_t)offset_groups;
    d.taps = (size_t)taps;
    d.points = d.f.out[1] * d.f.out[2];
    *ret = d;
    return ERR_OK;
}

static err_code deform_infer(op_call *c, err *e)
{
    deform d;
    err_code rc = op_type(c, D_X, T_REAL, e);
    for (uint32_t i = D_W; i < c->in_count && !rc; i++) rc = op_type(c, i, T1(c->in[0]->type), e);
    if (!rc) rc = op_rank(c, D_X, 4, 4, e);
    if (!rc) rc = op_rank(c, D_W, 4, 4, e);
    if (!rc) rc = deform_of(c, &d, e);
    if (rc) return rc;
    shape y = shape_make(4, (int64_t[]){(int64_t)d.batch, (int64_t)d.rows, (int64_t)d.f.out[1], (int64_t)d.f.out[2]});
    return op_set(c, 0, c->in[0]->type, &y, e);
}

/* Bilinear, neighbours outside the plane being 0. */
static float deform_sample(const float *plane, const spatial_fit *f, float y, float x)
{
    float height = (float)f->in[1], width = (float)f->in[2];
    if (!(y > -1 && y < height && x > -1 && x < width)) return 0;
    float y0 = floorf(y), x0 = floorf(x), sum = 0;
    for (int i = 0; i < 4; i++) {
        bool below = i > 1, right = i & 1;
        float py = y0 + (float)below, px = x0 + (float)right;
        if (py < 0 || py >= height || px < 0 || px >= width) continue;
        sum += (1 - fabsf(y - py)) * (1 - fabsf(x - px)) * plane[(size_t)py * f->in[2] + (size_t)px];
    }
    return sum;
}

/* Row (channel, tap) of the columns of one image. */
static void deform_row(const deform *d, float *to, const float *plane, const float *offset, const float *mask,
                       size_t tap)
{
    const spatial_fit *f = &d->f;
    size_t ky = tap / f->kernel[2] * f->dilation[1], kx = tap % f->kernel[2] * f->dilation[2];
    for (size_t i = 0; i < d->points; i++) {
        size_t row = i / f->out[2] * f->stride[1] + ky, column = i % f->out[2] * f->stride[2] + kx;
        float y = (float)row - (float)f->pad[1] + offset[2 * tap * d->points + i];
        float x = (float)column - (float)f->pad[2] + offset[(2 * tap + 1) * d->points + i];
        to[i] = deform_sample(plane, f, y, x) * (mask ? mask[tap * d->points + i] : 1);
    }
}

static err_code deform_image(op_call *c, const deform *d, const float *const in[5], float *y, float *columns,
                             arena *inner, err *e)
{
    size_t plane = d->f.in[1] * d->f.in[2], channels = d->channels / d->groups, rows = d->rows / d->groups;
    size_t per_offset = d->channels / d->offset_groups, kk = channels * d->taps;
    for (size_t i = 0; i < d->channels * d->taps; i++) {
        size_t channel = i / d->taps, at = channel / per_offset * d->taps * d->points;
        deform_row(d, columns + i * d->points, in[D_X] + channel * plane, in[D_OFFSET] + 2 * at,
                   in[D_MASK] ? in[D_MASK] + at : NULL, i % d->taps);
    }
    err_code rc = ERR_OK;
    for (size_t group = 0; group < d->groups && !rc; group++) {
        float *to = y + group * rows * d->points;
        gemm_call g = {.batch = 1,
                       .m = rows,
                       .n = d->points,
                       .k = kk,
                       .c = to,
                       .c_row = d->points,
                       .alpha = 1,
                       .a = {.data = in[D_W] + group * rows * kk, .row = kk, .column = 1},
                       .b = {.data = columns + group * kk * d->points, .row = d->points, .column = 1},
                       .bias_row = in[D_BIAS] ? in[D_BIAS] + group * rows : NULL};
        arena_reset(inner);
        rc = gemm_f32(&g, c->k, c->pool, inner, e);
    }
    return rc;
}

static err_code deform_run(op_call *c, err *e)
{
    deform d;
    const float *in[5] = {NULL};
    float *y;
    err_code rc = deform_of(c, &d, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    for (uint32_t i = 0; i < COUNTOF(in) && !rc; i++) rc = half_in(c, i, &in[i], e);
    if (!rc) rc = half_out(c, 0, &y, e);
    if (rc) return rc;
    size_t count, kk = d.channels / d.groups * d.taps;
    gemm_call widest = {.batch = 1,
                        .m = d.rows / d.groups,
                        .n = d.points,
                        .k = kk,
                        .a = {.row = kk, .column = 1},
                        .b = {.row = d.points, .column = 1}};
    size_t packing = gemm_scratch(&widest, c->pool);
    bool fits =
        !__builtin_mul_overflow(d.channels * d.taps, d.points, &count) && count < SIZE_MAX / 8 && packing != SIZE_MAX;
    float *columns = fits ? arena_push_raw(c->scratch, count * sizeof *columns + 1, MEM_ALIGN) : NULL;
    void *room = fits ? arena_push_raw(c->scratch, packing + 1, MEM_ALIGN) : NULL;
    if (!columns || !room)
        return op_err(c, e, ERR_LIMIT, "no memory for %zu x %zu columns", d.channels * d.taps, d.points);
    arena inner;
    arena_init(&inner, room, packing, packing);
    float *at = y;
    for (size_t n = 0; n < d.batch && !rc; n++, at += d.rows * d.points) {
        rc = deform_image(c, &d, in, at, columns, &inner, e);
        in[D_X] += d.channels * d.f.in[1] * d.f.in[2];
        in[D_OFFSET] += 2 * d.offset_groups * d.taps * d.points;
        if (in[D_MASK]) in[D_MASK] += d.offset_groups * d.taps * d.points;
    }
    if (!rc) half_done(c, 0, y);
    return rc;
}

#define ALIGN_ATTRS \
    {"mode", ATTR_STRING, false}, {"output_height", ATTR_INT, false}, {"output_width", ATTR_INT, false}, \
        {"sampling_ratio", ATTR_INT, false}, \
    { \
        "spatial_scale", ATTR_FLOAT, false \
    }

const op_row op_rows_roi[] = {
    {.name = "RoiAlign",
     .domain = "",
     .since = 10,
     .flags = OP_UNEVEN,
     .in_min = 3,
     .in_max = 3,
     .out_min = 1,
     .out_max = 1,
     .attrs = {ALIGN_ATTRS},
     .infer = align_infer,
     .run = align_run},
    {.name = "RoiAlign",
     .domain = "",
     .since = 16,
     .flags = OP_UNEVEN,
     .in_min = 3,
     .in_max = 3,
     .out_min = 1,
     .out_max = 1,
     .attrs = {ALIGN_ATTRS, {"coordinate_transformation_mode", ATTR_STRING, false}},
     .infer = align_infer,
     .run = align_run},
    {.name = "MaxRoiPool",
     .domain = "",
     .since = 1,
     .flags = OP_UNEVEN,
     .in_min = 2,
     .in_max = 2,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"pooled_shape", ATTR_INTS, true}, {"spatial_scale", ATTR_FLOAT, false}},
     .infer = max_infer,
     .run = max_run},
    {.name = "DeformConv",
     .domain = "",
     .since = 19,
     .in_min = 3,
     .in_max = 5,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"dilations", ATTR_INTS, false},
               {"group", ATTR_INT, false},
               {"kernel_shape", ATTR_INTS, false},
               {"offset_group", ATTR_INT, false},
               {"pads", ATTR_INTS, false},
               {"strides", ATTR_INTS, false}},
     .infer = deform_infer,
     .run = deform_run},
    {0},
};
