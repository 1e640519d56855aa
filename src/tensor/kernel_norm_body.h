/* kernel_norm_body.h - the rows of kernel_list_norm.h on registers; included once per ISA, after its simd header.
 *
 * Sums run in four registers, which hides the latency of an add and keeps the rounding error of a long row
 * near that of pairwise summation; the parts meet in double every SUM_BLOCK elements. */
#ifndef TENSOR_KERNEL_NORM_BODY_H
#define TENSOR_KERNEL_NORM_BODY_H
#include "base/base.h"
#include "tensor/kernel_decl.h"
#include "tensor/simd_math.h"

enum { SUM_BLOCK = 4096 };

/* float block(x, n): the sum of f(a) over n elements, f as an expression of the register a. */
#define SUM_OF(name, expr)                                                          \
    static float name(const float *x, size_t n, vf c)                               \
    {                                                                               \
        vf s0 = v_set(0.0f), s1 = s0, s2 = s0, s3 = s0, a;                          \
        size_t i = 0;                                                               \
        (void)c;                                                                    \
        for (; i + 4 * V_N <= n; i += 4 * V_N) {                                    \
            a = v_load(x + i), s0 = v_add(s0, expr);                                \
            a = v_load(x + i + V_N), s1 = v_add(s1, expr);                          \
            a = v_load(x + i + 2 * V_N), s2 = v_add(s2, expr);                      \
            a = v_load(x + i + 3 * V_N), s3 = v_add(s3, expr);                      \
        }                                                                           \
        for (; i + V_N <= n; i += V_N)                                              \
            a = v_load(x + i), s0 = v_add(s0, expr);                                \
        float sum = v_sum(v_add(v_add(s0, s1), v_add(s2, s3)));                     \
        if (i < n) {                                                                \
            float last[V_N];                                                        \
            a = v_load_part(x + i, n - i);                                          \
            v_store(last, expr);                                                    \
            for (size_t k = 0; i + k < n; k++)                                      \
                sum += last[k];                                                     \
        }                                                                           \
        return sum;                                                                 \
    }

SUM_OF(block_sum, a)
SUM_OF(block_sumsq, v_mul(a, a))
SUM_OF(block_sumabs, v_abs(a))
SUM_OF(block_var, v_mul(v_sub(a, c), v_sub(a, c)))

static inline double sum_blocks(float (*block)(const float *, size_t, vf), const float *x, size_t n, vf c)
{
    double sum = 0;
    for (size_t i = 0; i < n; i += SUM_BLOCK)
        sum += (double)block(x + i, n - i < SUM_BLOCK ? n - i : SUM_BLOCK, c);
    return sum;
}

float ISA(sum_f32)(const float *x, size_t n)
{
    return (float)sum_blocks(block_sum, x, n, v_set(0.0f));
}

float ISA(sumsq_f32)(const float *x, size_t n)
{
    return (float)sum_blocks(block_sumsq, x, n, v_set(0.0f));
}

float ISA(sumabs_f32)(const float *x, size_t n)
{
    return (float)sum_blocks(block_sumabs, x, n, v_set(0.0f));
}

/* The largest of x times `sign`.  v_max drops a NaN that a later number follows, so NaNs are kept on the side. */
static float max_of(const float *x, size_t n, float sign)
{
    vf s = v_set(sign), none = v_set(-INFINITY), m0 = none, m1 = none;
    vm nan = m_none();
    size_t i = 0;
    for (; i + 2 * V_N <= n; i += 2 * V_N) {
        vf a = v_mul(v_load(x + i), s), b = v_mul(v_load(x + i + V_N), s);
        nan = m_or(nan, m_or(m_nan(a), m_nan(b)));
        m0 = v_max(m0, a);
        m1 = v_max(m1, b);
    }
    float last = -INFINITY;
    for (; i + V_N <= n; i += V_N) {
        vf a = v_mul(v_load(x + i), s);
        nan = m_or(nan, m_nan(a));
        m0 = v_max(m0, a);
    }
    for (; i < n; i++) {
        if (isnan(x[i]))
            return NAN;
        last = x[i] * sign > last ? x[i] * sign : last;
    }
    if (m_any(nan))
        return NAN;
    float max = v_max_of(v_max(m0, m1));
    return (max > last ? max : last) * sign;
}

float ISA(reduce_max_f32)(const float *x, size_t n)
{
    return max_of(x, n, 1.0f);
}

float ISA(reduce_min_f32)(const float *x, size_t n)
{
    return max_of(x, n, -1.0f);
}

/* Writes e^(x - max) and returns its sum. */
static float block_exp(float *y, const float *x, vf max, size_t n)
{
    vf sum = v_set(0.0f);
    size_t i = 0;
    for (; i + V_N <= n; i += V_N) {
        vf e = v_exp(v_sub(v_load(x + i), max));
        v_store(y + i, e);
        sum = v_add(sum, e);
    }
    float total = v_sum(sum);
    if (i < n) {
        v_store_part(y + i, v_exp(v_sub(v_load_part(x + i, n - i), max)), n - i);
        for (; i < n; i++)
            total += y[i];
    }
    return total;
}

void ISA(softmax_f32)(float *y, const float *x, size_t n)
{
    vf max = v_set(max_of(x, n, 1.0f));
    double sum = 0;
    for (size_t i = 0; i < n; i += SUM_BLOCK)
        sum += (double)block_exp(y + i, x + i, max, n - i < SUM_BLOCK ? n - i : SUM_BLOCK);
    ISA(mul_s_f32)(y, y, (float)(1 / sum), n);
}

void ISA(log_softmax_f32)(float *y, const float *x, size_t n)
{
    UNINIT float spare[SUM_BLOCK];
    vf m = v_set(max_of(x, n, 1.0f));
    double sum = 0;
    for (size_t i = 0; i < n; i += SUM_BLOCK)
        sum += (double)block_exp(spare, x + i, m, n - i < SUM_BLOCK ? n - i : SUM_BLOCK);
    /* cppcheck-suppress invalidFunctionArg ; the sum is 0 only of no elements, and then nothing reads l */
    vf l = v_set((float)log(sum));
    size_t i = 0;
    for (; i + V_N <= n; i += V_N)
        v_store(y + i, v_sub(v_sub(v_load(x + i), m), l));
    if (i < n)
        v_store_part(y + i, v_sub(v_sub(v_load_part(x + i, n - i), m), l), n - i);
}

void ISA(mean_var_f32)(const float *x, size_t n, float *ret_mean, float *ret_var)
{
    double count = n ? (double)n : 1;
    float mean = (float)(sum_blocks(block_sum, x, n, v_set(0.0f)) / count);
    *ret_mean = mean;
    *ret_var = (float)(sum_blocks(block_var, x, n, v_set(mean)) / count);
}

/* One register: loads are whole or the first `left` lanes. */
static inline vf norm_one(vf x, vf mean, vf rstd, vf scale, vf bias)
{
    return v_fma(v_mul(v_sub(x, mean), rstd), scale, bias);
}

void ISA(norm_affine_f32)(float *y, const float *x, float mean, float rstd, const float *scale, const float *bias,
                          size_t n)
{
    vf m = v_set(mean), r = v_set(rstd), one = v_set(1.0f), zero = v_set(0.0f);
    size_t i = 0;
    for (; i + V_N <= n; i += V_N)
        v_store(y + i, norm_one(v_load(x + i), m, r, scale ? v_load(scale + i) : one, bias ? v_load(bias + i) : zero));
    if (i < n) {
        size_t left = n - i;
        vf s = scale ? v_load_part(scale + i, left) : one, b = bias ? v_load_part(bias + i, left) : zero;
        v_store_part(y + i, norm_one(v_load_part(x + i, left), m, r, s, b), left);
    }
}

#endif
