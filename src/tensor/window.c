#include "tensor/window.h"

#include <string.h>

static size_t reach(const window_shape *s, int d) /* padded elements that the outputs see */
{
    return (s->out[d] - 1) * s->stride[d] + (s->kernel[d] - 1) * s->dilation[d] + 1;
}

bool window_init(window *w, const window_shape *s)
{
    *w = (window){.s = *s};
    size_t area;
    if (s->kernel[0] > WINDOW_TAPS_MAX || s->kernel[1] > WINDOW_TAPS_MAX ||
        s->kernel[0] * s->kernel[1] > WINDOW_TAPS_MAX)
        return false;
    w->rows = (reach(s, 0) + s->stride[0] - 1) / s->stride[0];
    w->pitch = (reach(s, 1) + s->stride[1] - 1) / s->stride[1];
    if (__builtin_mul_overflow(w->rows, w->pitch, &area) || __builtin_mul_overflow(area, s->stride[0], &w->floats) ||
        __builtin_mul_overflow(w->floats, s->stride[1], &w->floats) || w->floats > SIZE_MAX / sizeof(float))
        return false;
    for (size_t i = 0; i < s->kernel[0]; i++)
        for (size_t j = 0; j < s->kernel[1]; j++) {
            size_t y = i * s->dilation[0], x = j * s->dilation[1];
            size_t phase = y % s->stride[0] * s->stride[1] + x % s->stride[1];
            w->at[w->tap_count++] = (phase * w->rows + y / s->stride[0]) * w->pitch + x / s->stride[1];
        }
    return true;
}

static void fill_row(float *y, float v, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = v;
}

/* The phase of tap i, where no earlier tap has the same. */
static bool phase_of(const window_shape *s, int d, size_t i, size_t *ret)
{
    *ret = i * s->dilation[d] % s->stride[d];
    for (size_t k = 0; k < i; k++)
        if (k * s->dilation[d] % s->stride[d] == *ret) return false;
    return true;
}

static void load_phase(const window *w, float *to, const float *plane, size_t first, size_t phase_x, float fill,
                       const kernel_set *k)
{
    const window_shape *s = &w->s;
    /* Of a row's `pitch` elements the first are left padding, then come columns from `column` on, every stride-th. */
    size_t step = s->stride[1], left = phase_x < s->pad[1] ? (s->pad[1] - phase_x + step - 1) / step : 0;
    size_t column = left * step + phase_x - s->pad[1], n = 0;
    if (left > w->pitch) left = w->pitch;
    if (column < s->in[1]) n = (s->in[1] - column + step - 1) / step;
    if (n > w->pitch - left) n = w->pitch - left;
    /* Row r of the phase is input row r * stride + first - pad: rows r0 .. r1-1 exist. */
    size_t down = s->stride[0], r0 = first < s->pad[0] ? (s->pad[0] - first + down - 1) / down : 0, r1 = 0;
    if (s->in[0] + s->pad[0] > first) r1 = (s->in[0] + s->pad[0] - first - 1) / down + 1;
    if (r1 > w->rows) r1 = w->rows;
    if (r0 > r1 || n == 0) r0 = r1 = 0;
    fill_row(to, fill, r0 * w->pitch);
    fill_row(to + r1 * w->pitch, fill, (w->rows - r1) * w->pitch);
    if (r0 == r1) return;
    for (size_t r = r0; r < r1; r++) {
        fill_row(to + r * w->pitch, fill, left);
        fill_row(to + r * w->pitch + left + n, fill, w->pitch - left - n);
    }
    k->every_f32(to + r0 * w->pitch + left, w->pitch, plane + (r0 * down + first - s->pad[0]) * s->in[1] + column,
                 down * s->in[1], step, r1 - r0, n);
}

/* The phases of the taps, not all: of a large stride there are more than anyone has time for. */
void window_load(const window *w, float *buffer, const float *plane, size_t row, float fill, const kernel_set *k)
{
    const window_shape *s = &w->s;
    size_t y, x;
    for (size_t i = 0; i < s->kernel[0]; i++) {
        if (!phase_of(s, 0, i, &y)) continue;
        for (size_t j = 0; j < s->kernel[1]; j++)
            if (phase_of(s, 1, j, &x))
                load_phase(w, buffer + (y * s->stride[1] + x) * w->rows * w->pitch, plane, row * s->stride[0] + y, x,
                           fill, k);
    }
}
