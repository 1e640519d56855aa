/* Portable reference.  Slow and obvious on purpose: every other ISA is tested against this file. */
#include "tensor/kernel_decl.h"

#include <math.h>
#include <string.h>

void im2col_f32_scalar(float *panel, const float *x, const size_t *at, size_t count, const lane_run *runs,
                       size_t run_count, size_t stride)
{
    memset(panel, 0, count * GEMM_COLUMNS * sizeof *panel);
    for (size_t c = 0; c < count; c++)
        for (size_t r = 0; r < run_count; r++)
            for (size_t i = 0; i < runs[r].count; i++)
                panel[c * GEMM_COLUMNS + runs[r].lane + i] = x[at[c] + runs[r].at + i * stride];
}

void every_f32_scalar(float *y, size_t y_row, const float *x, size_t x_row, size_t stride, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) y[r * y_row + i] = x[r * x_row + i * stride];
}

void taps_sum_f32_scalar(const tap_set *t, float *y, const float *x, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) {
            double sum = (double)t->bias;
            for (size_t q = 0; q < t->count; q++) sum += (double)t->w[q] * (double)x[r * t->x_row + t->at[q] + i];
            if (sum < (double)t->low) sum = (double)t->low;
            if (sum > (double)t->high) sum = (double)t->high;
            y[r * t->y_row + i] = (float)sum;
        }
}

void taps_max_f32_scalar(const tap_set *t, float *y, const float *x, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) {
            float best = x[r * t->x_row + t->at[0] + i];
            for (size_t q = 1; q < t->count; q++) {
                float v = x[r * t->x_row + t->at[q] + i];
                if (v > best || isnan(v)) best = v;
            }
            y[r * t->y_row + i] = best;
        }
}
