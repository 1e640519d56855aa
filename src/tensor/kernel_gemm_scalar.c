/* Portable reference.  Slow and obvious on purpose: every other ISA is tested against this file. */
#include "tensor/kernel_decl.h"

float dot_f32_scalar(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return (float)sum;
}

static float finish(const gemm_block *g, double sum, size_t i, size_t j)
{
    double v = (double)g->alpha * sum;
    if (g->bias_row) v += (double)g->bias_row[i];
    if (g->bias_col) v += (double)g->bias_col[j];
    if (g->residual) v += (double)g->beta * (double)g->residual[i * g->residual_row + j];
    if (v < (double)g->low) v = (double)g->low;
    if (v > (double)g->high) v = (double)g->high;
    return (float)v;
}

void gemm_f32_scalar(const gemm_block *g)
{
    for (size_t i = 0; i < g->m; i++) {
        const float *a = g->a + i / GEMM_ROWS * g->a_panel + i % GEMM_ROWS * g->a_row;
        for (size_t j = 0; j < g->n; j++) {
            const float *b = g->b + j / GEMM_COLUMNS * g->b_panel + j % GEMM_COLUMNS;
            float *c = g->c + i * g->c_row + j;
            double sum = g->add ? (double)*c : 0;
            for (size_t p = 0; p < g->k; p++) sum += (double)a[p * g->a_step] * (double)b[p * g->b_step];
            *c = g->last ? finish(g, sum, i, j) : (float)sum;
        }
    }
}

void gemm_i16_scalar(const gemm_block_i16 *g)
{
    for (size_t i = 0; i < g->m; i++) {
        const int16_t *a = g->a + i / GEMM_ROWS * g->a_panel + i % GEMM_ROWS * 2;
        for (size_t j = 0; j < g->n; j++) {
            const int16_t *b = g->b + j / GEMM_COLUMNS * g->b_panel + j % GEMM_COLUMNS * 2;
            int32_t *c = g->c + i * g->c_row + j;
            uint32_t sum = g->add ? (uint32_t)*c : 0;
            for (size_t p = 0; p < g->pairs * 2; p++)
                sum += (uint32_t)(a[p / 2 * GEMM_ROWS * 2 + p % 2] * b[p / 2 * GEMM_COLUMNS * 2 + p % 2]);
            *c = (int32_t)sum;
        }
    }
}

void transpose_f32_scalar(float *y, size_t y_row, const float *x, size_t x_row, size_t rows, size_t columns)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) y[j * y_row + i] = x[i * x_row + j];
}
