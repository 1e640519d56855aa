/* kernel_list_math.h - kernels that compute y[i] from the i-th elements of their inputs.
 *
 * A NaN in gives a NaN out, in max, min, relu and clip too.  _s rows take one scalar operand: sub_s is
 * x - s, rsub_s is s - x. */
#ifndef TENSOR_KERNEL_LIST_MATH_H
#define TENSOR_KERNEL_LIST_MATH_H
#include "tensor/activation.h"

#include <stddef.h>

#define KERNEL_LIST_MATH(X)                                                                                   \
    /* name             returns  arguments                                                    avx2  avx512 */ \
    X(add_f32,          void,    (float *y, const float *a, const float *b, size_t n),        avx2, avx512)   \
    X(sub_f32,          void,    (float *y, const float *a, const float *b, size_t n),        avx2, avx512)   \
    X(mul_f32,          void,    (float *y, const float *a, const float *b, size_t n),        avx2, avx512)   \
    X(div_f32,          void,    (float *y, const float *a, const float *b, size_t n),        avx2, avx512)   \
    X(max_f32,          void,    (float *y, const float *a, const float *b, size_t n),        avx2, avx512)   \
    X(min_f32,          void,    (float *y, const float *a, const float *b, size_t n),        avx2, avx512)   \
    X(pow_f32,          void,    (float *y, const float *a, const float *b, size_t n),        avx2, avx512)   \
    X(prelu_f32,        void,    (float *y, const float *a, const float *b, size_t n),        avx2, avx512)   \
    X(add_s_f32,        void,    (float *y, const float *x, float s, size_t n),               avx2, avx512)   \
    X(sub_s_f32,        void,    (float *y, const float *x, float s, size_t n),               avx2, avx512)   \
    X(rsub_s_f32,       void,    (float *y, const float *x, float s, size_t n),               avx2, avx512)   \
    X(mul_s_f32,        void,    (float *y, const float *x, float s, size_t n),               avx2, avx512)   \
    X(div_s_f32,        void,    (float *y, const float *x, float s, size_t n),               avx2, avx512)   \
    X(rdiv_s_f32,       void,    (float *y, const float *x, float s, size_t n),               avx2, avx512)   \
    X(max_s_f32,        void,    (float *y, const float *x, float s, size_t n),               avx2, avx512)   \
    X(min_s_f32,        void,    (float *y, const float *x, float s, size_t n),               avx2, avx512)   \
    X(pow_s_f32,        void,    (float *y, const float *x, float s, size_t n),               avx2, avx512)   \
    X(elu_f32,          void,    (float *y, const float *x, float alpha, size_t n),           avx2, avx512)   \
    X(leaky_relu_f32,   void,    (float *y, const float *x, float slope, size_t n),           avx2, avx512)   \
    X(relu_f32,         void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(abs_f32,          void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(neg_f32,          void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(sqrt_f32,         void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(reciprocal_f32,   void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(floor_f32,        void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(ceil_f32,         void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(round_f32,        void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(exp_f32,          void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(log_f32,          void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(tanh_f32,         void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(sigmoid_f32,      void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(sin_f32,          void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(cos_f32,          void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(erf_f32,          void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(gelu_f32,         void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(gelu_tanh_f32,    void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(silu_f32,         void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(softplus_f32,     void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(mish_f32,         void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(hard_swish_f32,   void,    (float *y, const float *x, size_t n),                        avx2, avx512)   \
    X(clip_f32,         void,    (float *y, const float *x, float low, float high, size_t n), avx2, avx512)   \
    X(hard_sigmoid_f32, void,    (float *y, const float *x, float alpha, float beta, size_t n), avx2, avx512) \
    /* y = x * scale + shift: a channel of batch normalisation */                                             \
    X(scale_shift_f32,  void,    (float *y, const float *x, float scale, float shift, size_t n), avx2, avx512) \
    X(axpy_f32,         void,    (float *y, const float *x, float alpha, size_t n),           avx2, avx512)   \
    X(act_f32,          void,    (float *y, const float *x, const activation *act, size_t n), avx2, avx512)

#endif
