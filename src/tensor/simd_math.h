/* simd_math.h - exp, log and their kin on a register of floats; included after simd_avx2.h or simd_avx512.h.
 *
 * Every function takes all inputs: infinities, NaNs, zeros and denormals come out as libm gives them.
 * Bounds, in units of the last place of the result, are tested in tests/unit/test_kernel.c.
 * style: inline and over 5 lines, so that kernels can apply them to registers. */
#ifndef TENSOR_SIMD_MATH_H
#define TENSOR_SIMD_MATH_H
#include "tensor/activation.h"

#include <float.h>
#include <math.h>

/* e^x = 2^n e^r with n = round(x / ln 2) and r = x - n ln 2 in two steps, |r| <= 0.35; the result is e^r - 1 by a
 * polynomial (Cephes).  89 and -104 are past the first x whose e^x is infinite and zero; the order of arguments
 * keeps a NaN. */
static inline vf v_exp_parts(vf x, vf *ret_n)
{
    vf c = v_min(v_set(89.0f), v_max(v_set(-104.0f), x));
    vf n = v_round(v_mul(c, v_set(1.44269504f)));
    vf r = v_fnma(n, v_set(0.693359375f), c);
    r = v_fnma(n, v_set(-2.12194440e-4f), r);
    vf p = v_set(1.9875691500e-4f);
    p = v_fma(p, r, v_set(1.3981999507e-3f));
    p = v_fma(p, r, v_set(8.3334519073e-3f));
    p = v_fma(p, r, v_set(4.1665795894e-2f));
    p = v_fma(p, r, v_set(1.6666665459e-1f));
    p = v_fma(p, r, v_set(5.0000001201e-1f));
    *ret_n = n;
    return v_fma(p, v_mul(r, r), r);
}

static inline vf v_exp(vf x)
{
    vf n, p = v_exp_parts(x, &n);
    return v_scale2(v_add(p, v_set(1.0f)), n);
}

/* alpha (e^x - 1) below 0, where e^x - 1 = 2^n (e^r - 1) + (2^n - 1) does not cancel. */
static inline vf v_elu(vf x, vf alpha)
{
    vf zero = v_set(0.0f), n, p = v_exp_parts(v_min(zero, x), &n);
    vf s = v_scale2(v_set(1.0f), n), low = v_fma(s, p, v_sub(s, v_set(1.0f)));
    return v_pick(m_lt(x, zero), v_mul(alpha, low), x);
}

/* x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m by a polynomial in m - 1 (Cephes). */
static inline vf v_log(vf x)
{
    vm tiny = m_lt(x, v_set(FLT_MIN));
    vf a = v_pick(tiny, v_mul(x, v_set(0x1p24f)), x);
    vi bits = i_bits(a);
    vf e = v_of_int(i_sub(i_shr23(bits), i_set(126)));
    e = v_sub(e, v_pick(tiny, v_set(24.0f), v_set(0.0f)));
    vf m = v_bits(i_or(i_and(bits, i_set(0x7fffff)), i_set(0x3f000000)));
    vm low = m_lt(m, v_set(0.707106781f));
    e = v_pick(low, v_sub(e, v_set(1.0f)), e);
    m = v_sub(v_pick(low, v_add(m, m), m), v_set(1.0f));
    vf z = v_mul(m, m), p = v_set(7.0376836292e-2f);
    p = v_fma(p, m, v_set(-1.1514610310e-1f));
    p = v_fma(p, m, v_set(1.1676998740e-1f));
    p = v_fma(p, m, v_set(-1.2420140846e-1f));
    p = v_fma(p, m, v_set(1.4249322787e-1f));
    p = v_fma(p, m, v_set(-1.6668057665e-1f));
    p = v_fma(p, m, v_set(2.0000714765e-1f));
    p = v_fma(p, m, v_set(-2.4999993993e-1f));
    p = v_fma(p, m, v_set(3.3333331174e-1f));
    p = v_mul(v_mul(p, m), z);
    p = v_fma(e, v_set(-2.12194440e-4f), p);
    p = v_fnma(z, v_set(0.5f), p);
    vf y = v_fma(e, v_set(0.693359375f), v_add(m, p));
    y = v_pick(m_eq(x, v_set(INFINITY)), x, y);
    y = v_pick(m_eq(x, v_set(0.0f)), v_set(-INFINITY), y);
    return v_pick(m_or(m_lt(x, v_set(0.0f)), m_nan(x)), v_set(NAN), y);
}

/* Near 0 an odd polynomial (Cephes); elsewhere 1 - 2 / (e^2|x| + 1). */
static inline vf v_tanh(vf x)
{
    vf size = v_abs(x), z = v_mul(x, x), p = v_set(-5.70498872745e-3f);
    p = v_fma(p, z, v_set(2.06390887954e-2f));
    p = v_fma(p, z, v_set(-5.37397155531e-2f));
    p = v_fma(p, z, v_set(1.33314422036e-1f));
    p = v_fma(p, z, v_set(-3.33332819422e-1f));
    p = v_fma(v_mul(p, z), x, x);
    vf e = v_add(v_exp(v_add(size, size)), v_set(1.0f));
    vf far = v_copysign(v_sub(v_set(1.0f), v_div(v_set(2.0f), e)), x);
    return v_pick(m_lt(size, v_set(0.625f)), p, far);
}

/* With e = e^-|x| nothing overflows and both tails keep their digits. */
static inline vf v_sigmoid(vf x)
{
    vf e = v_exp(v_neg(v_abs(x)));
    vf r = v_div(v_set(1.0f), v_add(v_set(1.0f), e));
    return v_pick(m_lt(x, v_set(0.0f)), v_mul(e, r), r);
}

/* The two halves of erf: near 0 an odd polynomial; elsewhere 1 - erf(t) = e^q(t).  Both minimax, 1 ulp of erf. */
static inline vf v_erf_near(vf x)
{
    vf s = v_mul(x, x), p = v_set(-5.96761703e-4f);
    p = v_fma(p, s, v_set(4.99119423e-3f));
    p = v_fma(p, s, v_set(-2.67681349e-2f));
    p = v_fma(p, s, v_set(1.12819925e-1f));
    p = v_fma(p, s, v_set(-3.76125336e-1f));
    p = v_fma(p, s, v_set(1.28379166e-1f));
    return v_fma(p, x, x);
}
#define V_ERF_NEAR 0.927734375f      /* up to here */

static inline vf v_erfc_far(vf size)
{
    vf t = v_min(v_set(11.0f), size);   /* erfc(11) is far below the smallest float; the polynomial turns later */
    vf s = v_mul(t, t), p = v_fma(v_set(-1.72853470e-5f), t, v_set(3.83197126e-4f));
    vf q = v_fma(v_set(-3.88396438e-3f), t, v_set(2.42546219e-2f));
    p = v_fma(p, s, q);
    p = v_fma(p, t, v_set(-1.06777877e-1f));
    p = v_fma(p, t, v_set(-6.34846687e-1f));
    p = v_fma(p, t, v_set(-1.28717512e-1f));
    return v_exp(v_fma(p, t, v_neg(t)));
}

static inline vf v_erf(vf x)
{
    vf size = v_abs(x), far = v_copysign(v_sub(v_set(1.0f), v_erfc_far(size)), x);
    return v_pick(m_ge(size, v_set(V_ERF_NEAR)), far, v_erf_near(x));
}

/* x times a factor that goes to 0 on the left: -infinity times 0 would be a NaN where the limit is 0. */
static inline vf v_gate(vf x, vf factor)
{
    return v_pick(m_eq(x, v_set(-INFINITY)), v_set(0.0f), v_mul(x, factor));
}

/* x/2 (1 + erf(x / sqrt 2)); for x < 0 the sum is erfc, taken whole so that it does not cancel. */
static inline vf v_gelu(vf x)
{
    vf z = v_mul(x, v_set(0.707106781f)), size = v_abs(z);
    vf far = v_erfc_far(size), near = v_sub(v_set(1.0f), v_erf_near(size));
    vf c = v_mul(v_set(0.5f), v_pick(m_ge(size, v_set(V_ERF_NEAR)), far, near));
    return v_gate(x, v_pick(m_lt(x, v_set(0.0f)), c, v_sub(v_set(1.0f), c)));
}

static inline vf v_silu(vf x)
{
    return v_gate(x, v_sigmoid(x));
}

/* With e = e^x: x tanh(log(1 + e)) = x u / (u + 2), u = e (e + 2); the factor is 1 from x = 20 on. */
static inline vf v_mish(vf x)
{
    vf e = v_exp(v_min(v_set(20.0f), x)), u = v_mul(e, v_add(e, v_set(2.0f)));
    return v_gate(x, v_div(u, v_add(u, v_set(2.0f))));
}

/* x/2 (1 + tanh u) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
static inline vf v_gelu_tanh(vf x)
{
    vf u = v_mul(v_mul(x, v_set(1.59576912f)), v_fma(v_mul(x, x), v_set(0.044715f), v_set(1.0f)));
    return v_gate(x, v_sigmoid(u));
}

/* log(1 + e^x) = max(x, 0) + log1p(e), e = e^-|x|; what 1 + e rounds away is added back. */
static inline vf v_softplus(vf x)
{
    vf e = v_exp(v_neg(v_abs(x))), u = v_add(v_set(1.0f), e);
    vf lost = v_div(v_sub(e, v_sub(u, v_set(1.0f))), u);
    return v_add(v_max(v_set(0.0f), x), v_add(v_log(u), lost));
}

static inline vf v_clip(vf x, vf low, vf high)
{
    return v_min(high, v_max(low, x));
}

static inline vf v_relu(vf x)
{
    return v_max(v_set(0.0f), x);
}

static inline vf v_leaky_relu(vf x, vf slope)
{
    return v_pick(m_ge(x, v_set(0.0f)), x, v_mul(x, slope));
}

static inline vf v_hard_sigmoid(vf x, vf alpha, vf beta)
{
    return v_clip(v_fma(alpha, x, beta), v_set(0.0f), v_set(1.0f));
}

static inline vf v_hard_swish(vf x)
{
    return v_gate(x, v_hard_sigmoid(x, v_set(1.0f / 6), v_set(0.5f)));
}

/* For epilogues: the switch is the same for every register, so it is predicted. */
static inline vf v_act(vf x, const activation *act)
{
    switch (act->kind) {
    case ACT_NONE: return x;
    case ACT_RELU: return v_relu(x);
    case ACT_CLIP: return v_clip(x, v_set(act->a), v_set(act->b));
    case ACT_LEAKY_RELU: return v_leaky_relu(x, v_set(act->a));
    case ACT_SIGMOID: return v_sigmoid(x);
    case ACT_TANH: return v_tanh(x);
    case ACT_HARD_SIGMOID: return v_hard_sigmoid(x, v_set(act->a), v_set(act->b));
    case ACT_HARD_SWISH: return v_hard_swish(x);
    case ACT_SILU: return v_silu(x);
    case ACT_GELU: return v_gelu(x);
    }
    return x;
}

/* sin of x + quarter * pi/2.  x = q pi/2 + r with pi/2 in three parts, |r| <= pi/4; q mod 4 chooses the polynomial
 * (Cephes) and the sign.  Lanes over V_TURN_MAX, whose r would have lost its digits, are true in *ret_special. */
#define V_TURN_MAX 8192.0f
static inline vf v_turn(vf x, int32_t quarter, vm *ret_special)
{
    *ret_special = m_or(m_nan(v_sub(x, x)), m_lt(v_set(V_TURN_MAX), v_abs(x)));
    vf q = v_round(v_mul(x, v_set(0.636619772f)));
    vf r = v_fnma(q, v_set(1.57079637050628662109375f), x);
    r = v_fnma(q, v_set(-4.37113900018624283e-8f), r);
    r = v_fnma(q, v_set(-1.71512451000588e-15f), r);
    vi turn = i_add(i_near(q), i_set(quarter));
    vf z = v_mul(r, r), s = v_fma(v_set(-1.9515295891e-4f), z, v_set(8.3321608736e-3f));
    s = v_fma(v_mul(v_fma(s, z, v_set(-1.6666654611e-1f)), z), r, r);
    vf c = v_fma(v_set(2.443315711809948e-5f), z, v_set(-1.388731625493765e-3f));
    c = v_fma(v_fma(c, z, v_set(4.166664568298827e-2f)), v_mul(z, z), v_fnma(v_set(0.5f), z, v_set(1.0f)));
    vm odd = m_lt(v_set(0.0f), v_of_int(i_and(turn, i_set(1))));
    vf sign = v_sub(v_set(1.0f), v_of_int(i_and(turn, i_set(2))));
    return v_mul(v_pick(odd, c, s), sign);
}

/* a^b for 0 < a < infinity and finite b, through doubles: log2 a = e + 2/ln2 atanh((m-1)/(m+1)) to 1e-11, 2^t to
 * 1e-11, so that the one rounding to float decides the error. */
static inline vd d_pow(vd a, vd b)
{
    vd m = d_mantissa(a), e = d_exponent(a), root2 = d_set(1.4142135623730951);
    e = d_pick_gt(m, root2, d_add(e, d_set(1)), e);
    m = d_pick_gt(m, root2, d_mul(m, d_set(0.5)), m);
    vd s = d_div(d_sub(m, d_set(1)), d_add(m, d_set(1))), z = d_mul(s, s), p = d_set(1.0 / 15);
    p = d_fma(p, z, d_set(1.0 / 13));
    p = d_fma(p, z, d_set(1.0 / 11));
    p = d_fma(p, z, d_set(1.0 / 9));
    p = d_fma(p, z, d_set(1.0 / 7));
    p = d_fma(p, z, d_set(1.0 / 5));
    p = d_fma(p, z, d_set(1.0 / 3));
    p = d_fma(p, z, d_set(1));
    vd t = d_mul(b, d_fma(d_mul(s, d_set(2.8853900817779268)), p, e));
    t = d_max(d_set(-400), d_min(d_set(400), t));         /* far outside the floats either way */
    vd n = d_round(t), r = d_mul(d_sub(t, n), d_set(0.6931471805599453)), q = d_set(1.0 / 362880);
    q = d_fma(q, r, d_set(1.0 / 40320));
    q = d_fma(q, r, d_set(1.0 / 5040));
    q = d_fma(q, r, d_set(1.0 / 720));
    q = d_fma(q, r, d_set(1.0 / 120));
    q = d_fma(q, r, d_set(1.0 / 24));
    q = d_fma(q, r, d_set(1.0 / 6));
    q = d_fma(q, r, d_set(0.5));
    q = d_fma(q, r, d_set(1));
    q = d_fma(q, r, d_set(1));
    return d_mul(q, d_exp2_whole(n));
}

/* Zero and negative bases follow libm's rules here.  What is left to it is true in *ret_special and unspecified in
 * the result: an infinite or NaN operand. */
static inline vf v_pow(vf a, vf b, vm *ret_special)
{
    vf size = v_abs(a), half = v_mul(b, v_set(0.5f)), zero = v_set(0.0f);
    *ret_special = m_or(m_nan(v_sub(a, a)), m_nan(v_sub(b, b)));
    vf r = v_of_doubles(d_pow(d_low(size), d_low(b)), d_pow(d_high(size), d_high(b)));
    vf at_zero = v_pick(m_lt(b, zero), v_set(INFINITY), v_pick(m_eq(b, zero), v_set(1.0f), zero));
    r = v_pick(m_eq(a, zero), at_zero, r);
    vm even = m_eq(v_floor(half), half), whole = m_eq(v_floor(b), b);
    vf broken = v_pick(m_lt(a, zero), v_set(NAN), r);
    return v_pick(whole, v_pick(even, r, v_copysign(r, a)), broken);
}

#endif
