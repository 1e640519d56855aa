/* Double-precision convolution: rows of the input, scaled, are added to rows of the output. */
#include "tensor/conv.h"

#include <string.h>

/* Adds one input row times one row of the kernel to an output row. */
static void add_row(const conv_shape *s, double *y, const double *x, const double *w)
{
    for (size_t k = 0; k < s->kernel[2]; k++) {
        size_t shift = k * s->dilation[2], step = s->stride[2];
        size_t low = shift < s->pad[2] ? (s->pad[2] - shift + step - 1) / step : 0;
        size_t high = s->in[2] + s->pad[2] > shift ? (s->in[2] + s->pad[2] - shift - 1) / step + 1 : 0;
        if (high > s->out[2]) high = s->out[2];
        for (size_t i = low; i < high; i++) y[i] += w[k] * x[i * step + shift - s->pad[2]];
    }
}

static void add_channel(const conv_shape *s, double *y, const double *x, const double *w)
{
    for (size_t z = 0; z < s->out[0]; z++)
        for (size_t h = 0; h < s->out[1]; h++)
            for (size_t kz = 0; kz < s->kernel[0]; kz++)
                for (size_t kh = 0; kh < s->kernel[1]; kh++) {
                    /* Rows before the input wrap round and are too large as well. */
                    size_t iz = z * s->stride[0] + kz * s->dilation[0] - s->pad[0];
                    size_t ih = h * s->stride[1] + kh * s->dilation[1] - s->pad[1];
                    if (iz >= s->in[0] || ih >= s->in[1]) continue;
                    add_row(s, y + (z * s->out[1] + h) * s->out[2], x + (iz * s->in[1] + ih) * s->in[2],
                            w + (kz * s->kernel[1] + kh) * s->kernel[2]);
                }
}

/* One output channel of one image. */
static void run_channel(void *ctx, uint32_t index)
{
    const conv_call_f64 *c = ctx;
    const conv_shape *s = c->shape;
    size_t points = s->out[0] * s->out[1] * s->out[2], plane = s->in[0] * s->in[1] * s->in[2];
    size_t taps = s->kernel[0] * s->kernel[1] * s->kernel[2], channels = s->in_channels / s->groups;
    size_t out = index % s->out_channels, group = out / (s->out_channels / s->groups);
    double *y = c->y + index * points;
    const double *x = c->x + (index / s->out_channels * s->in_channels + group * channels) * plane;
    const double *w = c->w + out * channels * taps;
    for (size_t i = 0; i < points; i++) y[i] = c->bias ? c->bias[out] : 0;
    for (size_t i = 0; i < channels; i++) add_channel(s, y, x + i * plane, w + i * taps);
    if (c->residual)
        for (size_t i = 0; i < points; i++) y[i] += c->residual[index * points + i];
    activation_f64(&c->act, y, points);
}

void conv_f64(const conv_call_f64 *c, compute *pool)
{
    INVARIANT(c->shape->batch * c->shape->out_channels <= UINT32_MAX);
    compute_for(pool, (uint32_t)(c->shape->batch * c->shape->out_channels), run_channel, (void *)(uintptr_t)c);
}
