/* kernel_list_math.h - kernels that compute y[i] from the i-th elements of their inputs. */
#ifndef TENSOR_KERNEL_LIST_MATH_H
#define TENSOR_KERNEL_LIST_MATH_H
#include <stddef.h>

#define KERNEL_LIST_MATH(X)                                                                      \
    /* name        returns  arguments                                              avx2  avx512 */ \
    X(add_f32,     void,    (float *y, const float *a, const float *b, size_t n),  avx2, avx512)

#endif
