/* kernel_list_norm.h - kernels that look at a whole row: reductions, softmax, normalisation. */
#ifndef TENSOR_KERNEL_LIST_NORM_H
#define TENSOR_KERNEL_LIST_NORM_H
#include <stddef.h>

#define KERNEL_LIST_NORM(X)                                                                                   \
    /* name             returns  arguments                                                    avx2  avx512 */ \
    /* Of nothing: sums 0, max -infinity, min infinity.  A NaN in gives a NaN out. */                         \
    X(sum_f32,          float,   (const float *x, size_t n),                                  avx2, avx512)   \
    X(sumsq_f32,        float,   (const float *x, size_t n),                                  avx2, avx512)   \
    X(sumabs_f32,       float,   (const float *x, size_t n),                                  avx2, avx512)   \
    X(reduce_max_f32,   float,   (const float *x, size_t n),                                  avx2, avx512)   \
    X(reduce_min_f32,   float,   (const float *x, size_t n),                                  avx2, avx512)   \
    X(softmax_f32,      void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(log_softmax_f32,  void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    /* The mean, and the mean square distance from it; both 0 for n == 0. */                                  \
    X(mean_var_f32,     void,    (const float *x, size_t n, float *ret_mean, float *ret_var), avx2, avx512)   \
    /* y = (x - mean) * rstd * scale[i] + bias[i]; scale and bias may be NULL: 1 and 0 */                     \
    X(norm_affine_f32,  void,    (float *y, const float *x, float mean, float rstd, const float *scale,       \
                                  const float *bias, size_t n),                               avx2, avx512)

#endif
