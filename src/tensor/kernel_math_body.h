/* kernel_math_body.h - the rows of kernel_list_math.h on registers; included once per ISA, after its simd header.
 *
 * The last n % V_N elements go through the same arithmetic as the others, so a result does not depend on
 * where its element lies. */
#ifndef TENSOR_KERNEL_MATH_BODY_H
#define TENSOR_KERNEL_MATH_BODY_H
#include "tensor/kernel_decl.h"
#include "tensor/simd_math.h"

/* The arguments are registers a (and b, s, t, ...); the expression is the result. */
#define BINARY(name, expr)                                                      \
    void ISA(name)(float *y, const float *pa, const float *pb, size_t n)        \
    {                                                                           \
        size_t i = 0;                                                           \
        for (; i + V_N <= n; i += V_N) {                                        \
            vf a = v_load(pa + i), b = v_load(pb + i);                          \
            v_store(y + i, expr);                                               \
        }                                                                       \
        if (i < n) {                                                            \
            vf a = v_load_part(pa + i, n - i), b = v_load_part(pb + i, n - i);  \
            v_store_part(y + i, expr, n - i);                                   \
        }                                                                       \
    }

#define UNARY_LOOP(y, x, n, expr)                                               \
    do {                                                                        \
        size_t i = 0;                                                           \
        for (; i + V_N <= (n); i += V_N) {                                      \
            vf a = v_load((x) + i);                                             \
            v_store((y) + i, expr);                                             \
        }                                                                       \
        if (i < (n)) {                                                          \
            vf a = v_load_part((x) + i, (n) - i);                               \
            v_store_part((y) + i, expr, (n) - i);                               \
        }                                                                       \
    } while (0)

#define UNARY(name, expr)                                                       \
    void ISA(name)(float *y, const float *x, size_t n)                          \
    {                                                                           \
        UNARY_LOOP(y, x, n, expr);                                              \
    }

#define WITH_ONE(name, expr)                                                    \
    void ISA(name)(float *y, const float *x, float p, size_t n)                 \
    {                                                                           \
        vf s = v_set(p);                                                        \
        UNARY_LOOP(y, x, n, expr);                                              \
    }

#define WITH_TWO(name, expr)                                                    \
    void ISA(name)(float *y, const float *x, float p, float q, size_t n)        \
    {                                                                           \
        vf s = v_set(p), t = v_set(q);                                          \
        UNARY_LOOP(y, x, n, expr);                                              \
    }

/* v_max gives b when either is a NaN; it is a that must then be looked at. */
static inline vf v_max_nan(vf a, vf b)
{
    return v_pick(m_nan(a), a, v_max(a, b));
}

static inline vf v_min_nan(vf a, vf b)
{
    return v_pick(m_nan(a), a, v_min(a, b));
}

/* powf on the lanes of one register for the cases that libm's rules decide. */
static void pow_lanes(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = powf(a[i], b[i]);
}

static inline vf v_pow_any(vf a, vf b)
{
    vm special;
    vf r = v_pow(a, b, &special);
    if (!m_any(special))
        return r;
    float la[V_N], lb[V_N], ly[V_N];
    v_store(la, a);
    v_store(lb, b);
    pow_lanes(ly, la, lb, V_N);
    return v_pick(special, v_load(ly), r);
}

static inline vf v_turn_any(vf a, int32_t quarter)
{
    vm special;
    vf r = v_turn(a, quarter, &special);
    if (!m_any(special))
        return r;
    float x[V_N], y[V_N];
    v_store(x, a);
    for (size_t i = 0; i < V_N; i++)
        y[i] = quarter ? cosf(x[i]) : sinf(x[i]);
    return v_pick(special, v_load(y), r);
}

BINARY(add_f32, v_add(a, b))
BINARY(sub_f32, v_sub(a, b))
BINARY(mul_f32, v_mul(a, b))
BINARY(div_f32, v_div(a, b))
BINARY(max_f32, v_max_nan(a, b))
BINARY(min_f32, v_min_nan(a, b))
BINARY(pow_f32, v_pow_any(a, b))
BINARY(prelu_f32, v_leaky_relu(a, b))

WITH_ONE(add_s_f32, v_add(a, s))
WITH_ONE(sub_s_f32, v_sub(a, s))
WITH_ONE(rsub_s_f32, v_sub(s, a))
WITH_ONE(mul_s_f32, v_mul(a, s))
WITH_ONE(div_s_f32, v_div(a, s))
WITH_ONE(rdiv_s_f32, v_div(s, a))
WITH_ONE(max_s_f32, v_max_nan(a, s))
WITH_ONE(min_s_f32, v_min_nan(a, s))
WITH_ONE(pow_s_f32, v_pow_any(a, s))
WITH_ONE(elu_f32, v_elu(a, s))
WITH_ONE(leaky_relu_f32, v_leaky_relu(a, s))

UNARY(relu_f32, v_relu(a))
UNARY(abs_f32, v_abs(a))
UNARY(neg_f32, v_neg(a))
UNARY(sqrt_f32, v_sqrt(a))
UNARY(reciprocal_f32, v_div(v_set(1.0f), a))
UNARY(floor_f32, v_floor(a))
UNARY(ceil_f32, v_ceil(a))
UNARY(round_f32, v_round(a))
UNARY(exp_f32, v_exp(a))
UNARY(log_f32, v_log(a))
UNARY(tanh_f32, v_tanh(a))
UNARY(sigmoid_f32, v_sigmoid(a))
UNARY(sin_f32, v_turn_any(a, 0))
UNARY(cos_f32, v_turn_any(a, 1))
UNARY(erf_f32, v_erf(a))
UNARY(gelu_f32, v_gelu(a))
UNARY(gelu_tanh_f32, v_gelu_tanh(a))
UNARY(silu_f32, v_silu(a))
UNARY(softplus_f32, v_softplus(a))
UNARY(mish_f32, v_mish(a))
UNARY(hard_swish_f32, v_hard_swish(a))

WITH_TWO(clip_f32, v_clip(a, s, t))
WITH_TWO(hard_sigmoid_f32, v_hard_sigmoid(a, s, t))
WITH_TWO(scale_shift_f32, v_fma(a, s, t))

void ISA(axpy_f32)(float *y, const float *x, float alpha, size_t n)
{
    vf s = v_set(alpha);
    size_t i = 0;
    for (; i + V_N <= n; i += V_N)
        v_store(y + i, v_fma(s, v_load(x + i), v_load(y + i)));
    if (i < n)
        v_store_part(y + i, v_fma(s, v_load_part(x + i, n - i), v_load_part(y + i, n - i)), n - i);
}

void ISA(act_f32)(float *y, const float *x, const activation *act, size_t n)
{
    UNARY_LOOP(y, x, n, v_act(a, act));
}

#endif
