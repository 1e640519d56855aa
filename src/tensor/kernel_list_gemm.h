/* kernel_list_gemm.h - dot products and matrix products. */
#ifndef TENSOR_KERNEL_LIST_GEMM_H
#define TENSOR_KERNEL_LIST_GEMM_H
#include <stddef.h>

#define KERNEL_LIST_GEMM(X)                                                                      \
    /* name        returns  arguments                                              avx2  avx512 */ \
    X(dot_f32,     float,   (const float *a, const float *b, size_t n),            avx2, avx2)

#endif
