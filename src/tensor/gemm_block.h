/* gemm_block.h - what the matrix kernels work on: one block of C, with A and B in panels or as they lie.
 *
 * The layouts do not depend on the ISA, so packed weights fit every kernel (and can be cached on disk).
 *
 *   A panel: 16 rows     a[p * 16 + i]          B panel: 48 columns     b[p * 48 + j]
 *            i ->                                        j ->
 *        p  a00 a10 a20 ...                          p   b00 b01 b02 ... b0,47
 *        |  a01 a11 a21 ...                          |   b10 b11 ...
 *
 * 48 columns are three AVX-512 registers: 8 rows x 3 keep 24 accumulators busy, load 3 vectors and 8 scalars
 * for 24 multiply-adds, and 8 divides almost every channel count.
 * AVX2 works on 4 rows x 24 columns of the same panels. */
#ifndef TENSOR_GEMM_BLOCK_H
#define TENSOR_GEMM_BLOCK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GEMM_ROWS = 16, GEMM_COLUMNS = 48 };

/* C = clamp(alpha * (C_before + A * B) + bias_row + bias_col + beta * residual), the last part only when `last`. */
typedef struct {
    size_t m, n, k;
    const float *a; /* A(i,p) = a[i / 16 * a_panel + i % 16 * a_row + p * a_step] */
    size_t a_row, a_step, a_panel;
    const float *b; /* B(p,j) = b[j / 48 * b_panel + p * b_step + j % 48] */
    size_t b_step, b_panel;
    float *c; /* [m, n], rows c_row apart; no other operand overlaps it */
    size_t c_row;
    bool add; /* C holds the sum over the k-blocks before this one */
    bool last; /* no k-block follows: finish */
    float alpha, beta;
    float low, high; /* -inf and inf: no clamp.  NaN passes */
    const float *bias_row; /* [m] or NULL */
    const float *bias_col; /* [n] or NULL */
    const float *residual; /* [m, n], rows residual_row apart, or NULL */
    size_t residual_row;
} gemm_block;

/* C += or = A * B over pairs of 16-bit integers, sums modulo 2^32.  The same panels, each element a pair of
 * neighbours in k: a[(p * 16 + i) * 2 + {0, 1}], b[(p * 48 + j) * 2 + {0, 1}]; an odd k ends with a 0. */
typedef struct {
    size_t m, n, pairs;
    const int16_t *a, *b;
    size_t a_panel, b_panel;    /* elements from a panel to the next */
    int32_t *c;
    size_t c_row;
    bool add;
} gemm_block_i16;

#endif
