#include "tensor/deconv.h"

#include "base/mem.h"

#include <string.h>

static size_t volume(const size_t d[3]) { return d[0] * d[1] * d[2]; }

/* The positions whose tap lands inside a row of `out` elements: low .. high-1. */
static void landing(const conv_shape *s, size_t tap, size_t *low, size_t *high)
{
    size_t shift = tap * s->dilation[2], step = s->stride[2], end = s->out[2] + s->pad[2];
    *low = shift < s->pad[2] ? (s->pad[2] - shift + step - 1) / step : 0;
    *high = end > shift ? (end - shift - 1) / step + 1 : 0;
    if (*high > s->in[2]) *high = s->in[2];
}

void columns_add(const conv_shape *s, float *plane, const float *columns)
{
    size_t taps = volume(s->kernel), positions = volume(s->in);
    for (size_t tap = 0; tap < taps; tap++, columns += positions) {
        size_t kx = tap % s->kernel[2], ky = tap / s->kernel[2] % s->kernel[1], kz = tap / s->kernel[2] / s->kernel[1];
        size_t low, high;
        landing(s, kx, &low, &high);
        for (size_t z = 0; z < s->in[0]; z++)
            for (size_t y = 0; y < s->in[1]; y++) {
                /* Planes and rows before the first wrap round and are too large as well. */
                size_t oz = z * s->stride[0] + kz * s->dilation[0] - s->pad[0];
                size_t oy = y * s->stride[1] + ky * s->dilation[1] - s->pad[1];
                if (oz >= s->out[0] || oy >= s->out[1]) continue;
                float *to = plane + (oz * s->out[1] + oy) * s->out[2];
                const float *from = columns + (z * s->in[1] + y) * s->in[2];
                size_t shift = kx * s->dilation[2] - s->pad[2], step = s->stride[2];
                for (size_t x = low; x < high; x++) to[x * step + shift] += from[x];
            }
    }
}

/* One image and group as compute_for() sees it: an index is an output channel. */
typedef struct {
    const deconv_call *call;
    const kernel_set *k;
    const float *columns; /* [out channels of the group, taps, positions] */
    size_t product; /* image * groups + group */
} landing_work;

static void land_channel(void *ctx, uint32_t index)
{
    const landing_work *l = ctx;
    const deconv_call *c = l->call;
    const conv_shape *s = c->shape;
    size_t points = volume(s->out), rows = s->out_channels / s->groups;
    float *y = c->y + (l->product * rows + index) * points;
    float bias = c->bias ? c->bias[l->product % s->groups * rows + index] : 0;
    for (size_t i = 0; i < points; i++) y[i] = bias;
    columns_add(s, y, l->columns + index * volume(s->kernel) * volume(s->in));
    if (c->act.kind != ACT_NONE) l->k->act_f32(y, y, &c->act, points);
}

err_code deconv_f32(const deconv_call *c, const kernel_set *k, compute *pool, arena *scratch, err *e)
{
    const conv_shape *s = c->shape;
    size_t taps = volume(s->kernel), positions = volume(s->in), channels = s->in_channels / s->groups;
    size_t rows = s->out_channels / s->groups, bytes, all = rows * taps;
    if (s->batch == 0 || all == 0 || volume(s->out) == 0) return ERR_OK;
    if (rows > UINT32_MAX) return err_set(e, ERR_LIMIT, "%zu channels are more than %u", rows, UINT32_MAX);
    gemm_call g = {.batch = 1,
                   .m = all,
                   .n = positions,
                   .k = channels,
                   .c_row = positions,
                   .alpha = 1,
                   .a = {.row = 1, .column = all},
                   .b = {.row = positions, .column = 1}};
    if (__builtin_mul_overflow(all, positions, &bytes) || bytes > SIZE_MAX / sizeof(float) - MEM_ALIGN)
        bytes = SIZE_MAX;
    float *columns = bytes == SIZE_MAX ? NULL : arena_push_raw(scratch, bytes * sizeof(float) + 1, MEM_ALIGN);
    size_t packing = gemm_scratch(&g, pool);
    void *room = packing == SIZE_MAX ? NULL : arena_push_raw(scratch, packing + 1, MEM_ALIGN);
    if (!columns || !room) return err_set(e, ERR_LIMIT, "no memory for %zu x %zu columns", all, positions);
    arena inner;
    arena_init(&inner, room, packing, packing);
    g.c = columns;
    for (size_t product = 0; product < s->batch * s->groups; product++) {
        g.a.data = c->w + product % s->groups * channels * all;
        g.b.data = c->x + product * channels * positions;
        arena_reset(&inner);
        err_code rc = gemm_f32(&g, k, pool, &inner, e);
        if (rc) return rc;
        landing_work l = {.call = c, .k = k, .columns = columns, .product = product};
        compute_for(pool, (uint32_t)rows, land_channel, &l);
    }
    return ERR_OK;
}

/* ---- double: each input element is spread over the plane ------------------------------------------------------ */

static void spread(const conv_shape *s, double *plane, const double *x, const double *w)
{
    for (size_t i = 0; i < volume(s->in); i++) {
        size_t px = i % s->in[2], py = i / s->in[2] % s->in[1], pz = i / s->in[2] / s->in[1];
        for (size_t tap = 0; tap < volume(s->kernel); tap++) {
            size_t kx = tap % s->kernel[2], ky = tap / s->kernel[2] % s->kernel[1],
                   kz = tap / s->kernel[2] / s->kernel[1];
            size_t oz = pz * s->stride[0] + kz * s->dilation[0] - s->pad[0];
            size_t oy = py * s->stride[1] + ky * s->dilation[1] - s->pad[1];
            size_t ox = px * s->stride[2] + kx * s->dilation[2] - s->pad[2];
            if (oz < s->out[0] && oy < s->out[1] && ox < s->out[2])
                plane[(oz * s->out[1] + oy) * s->out[2] + ox] += x[i] * w[tap];
        }
    }
}

static void run_channel_f64(void *ctx, uint32_t index)
{
    const deconv_call_f64 *c = ctx;
    const conv_shape *s = c->shape;
    size_t points = volume(s->out), positions = volume(s->in), taps = volume(s->kernel);
    size_t rows = s->out_channels / s->groups, channels = s->in_channels / s->groups;
    size_t image = index / s->out_channels, out = index % s->out_channels, group = out / rows;
    double *y = c->y + index * points;
    for (size_t i = 0; i < points; i++) y[i] = c->bias ? c->bias[out] : 0;
    for (size_t i = group * channels; i < (group + 1) * channels; i++)
        spread(s, y, c->x + (image * s->in_channels + i) * positions, c->w + (i * rows + out % rows) * taps);
    activation_f64(&c->act, y, points);
}

void deconv_f64(const deconv_call_f64 *c, compute *pool)
{
    INVARIANT(c->shape->batch * c->shape->out_channels <= UINT32_MAX);
    compute_for(pool, (uint32_t)(c->shape->batch * c->shape->out_channels), run_channel_f64, (void *)(uintptr_t)c);
}
