/* kernel_list_gemm.h - dot products, matrix products and the transposition that packs their operands. */
#ifndef TENSOR_KERNEL_LIST_GEMM_H
#define TENSOR_KERNEL_LIST_GEMM_H
#include "tensor/gemm_block.h"

#define KERNEL_LIST_GEMM(X)                                                                              \
    /* name          returns  arguments                                                avx2  avx512 */   \
    X(dot_f32,       float,   (const float *a, const float *b, size_t n),              avx2, avx512)     \
    /* One block of C; a zero k leaves C_before (or 0) to be finished. */                                \
    X(gemm_f32,      void,    (const gemm_block *g),                                   avx2, avx512)     \
    X(gemm_i16,      void,    (const gemm_block_i16 *g),                               avx2, avx512)     \
    /* y[j * y_row + i] = x[i * x_row + j]; x is [rows, columns]. */                                      \
    X(transpose_f32, void,    (float *y, size_t y_row, const float *x, size_t x_row, size_t rows,        \
                              size_t columns),                                         avx2, avx2)

#endif
