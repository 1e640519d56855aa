/* Portable reference.  Slow and obvious on purpose: every other ISA is tested against this file.  What is not exact
 * is computed in double and rounded once. */
#include "tensor/kernel_decl.h"

#include <math.h>

#define BINARY(name, expr)                                                       \
    void name##_scalar(float *y, const float *pa, const float *pb, size_t n)     \
    {                                                                            \
        for (size_t i = 0; i < n; i++) {                                         \
            float a = pa[i], b = pb[i];                                          \
            y[i] = expr;                                                         \
        }                                                                        \
    }

#define WITH_ONE(name, expr)                                                     \
    void name##_scalar(float *y, const float *x, float s, size_t n)              \
    {                                                                            \
        for (size_t i = 0; i < n; i++) {                                         \
            float a = x[i];                                                      \
            y[i] = expr;                                                         \
        }                                                                        \
    }

#define WITH_TWO(name, expr)                                                     \
    void name##_scalar(float *y, const float *x, float s, float t, size_t n)     \
    {                                                                            \
        for (size_t i = 0; i < n; i++) {                                         \
            float a = x[i];                                                      \
            y[i] = expr;                                                         \
        }                                                                        \
    }

#define UNARY(name, expr)                                                        \
    void name##_scalar(float *y, const float *x, size_t n)                       \
    {                                                                            \
        for (size_t i = 0; i < n; i++) {                                         \
            float a = x[i];                                                      \
            y[i] = expr;                                                         \
        }                                                                        \
    }

static float max_nan(float a, float b)
{
    return isnan(a) || a > b ? a : b;
}

static float min_nan(float a, float b)
{
    return isnan(a) || a < b ? a : b;
}

static float clip(float x, float low, float high)
{
    float y = x < low ? low : x;
    return y > high ? high : y;
}

static float relu(float x)
{
    return x < 0 ? 0 : x;
}

static float leaky_relu(float x, float slope)
{
    return x >= 0 ? x : x * slope;
}

static float sigmoid(double x)
{
    return (float)(1 / (1 + exp(-x)));
}

/* x * sigmoid(u); the limit at -infinity is 0. */
static float gated(double x, double u)
{
    return x == -(double)INFINITY ? 0 : (float)(x / (1 + exp(-u)));
}

static float gelu(double x)
{
    return x == -(double)INFINITY ? 0 : (float)(x * 0.5 * erfc(-x * 0.70710678118654752));
}

static double gelu_tanh_gate(double x)
{
    return 1.5957691216057308 * (x + 0.044715 * x * x * x);
}

static float softplus(double x)
{
    return (float)((x > 0 ? x : 0) + log1p(exp(-fabs(x))) + (isnan(x) ? x : 0));
}

/* x tanh(log(1 + e^x)) */
static float mish(double x)
{
    return x == -(double)INFINITY ? 0 : (float)(x * tanh(x > 0 ? x + log1p(exp(-x)) : log1p(exp(x))));
}

static float hard_sigmoid(float x, float alpha, float beta)
{
    return clip((float)((double)alpha * (double)x + (double)beta), 0, 1);
}

static float hard_swish(float x)
{
    return x == -INFINITY ? 0 : x * hard_sigmoid(x, 1.0f / 6, 0.5f);
}

static float act(float x, const activation *f)
{
    switch (f->kind) {
    case ACT_NONE: return x;
    case ACT_RELU: return relu(x);
    case ACT_CLIP: return clip(x, f->a, f->b);
    case ACT_LEAKY_RELU: return leaky_relu(x, f->a);
    case ACT_SIGMOID: return sigmoid((double)x);
    case ACT_TANH: return (float)tanh((double)x);
    case ACT_HARD_SIGMOID: return hard_sigmoid(x, f->a, f->b);
    case ACT_HARD_SWISH: return hard_swish(x);
    case ACT_SILU: return gated((double)x, (double)x);
    case ACT_GELU: return gelu((double)x);
    }
    return x;
}

BINARY(add_f32, a + b)
BINARY(sub_f32, a - b)
BINARY(mul_f32, a * b)
BINARY(div_f32, a / b)
BINARY(max_f32, max_nan(a, b))
BINARY(min_f32, min_nan(a, b))
BINARY(pow_f32, (float)pow((double)a, (double)b))
BINARY(prelu_f32, leaky_relu(a, b))

WITH_ONE(add_s_f32, a + s)
WITH_ONE(sub_s_f32, a - s)
WITH_ONE(rsub_s_f32, s - a)
WITH_ONE(mul_s_f32, a * s)
WITH_ONE(div_s_f32, a / s)
WITH_ONE(rdiv_s_f32, s / a)
WITH_ONE(max_s_f32, max_nan(a, s))
WITH_ONE(min_s_f32, min_nan(a, s))
WITH_ONE(pow_s_f32, (float)pow((double)a, (double)s))
WITH_ONE(elu_f32, a < 0 ? (float)((double)s * expm1((double)a)) : a)
WITH_ONE(leaky_relu_f32, leaky_relu(a, s))

UNARY(relu_f32, relu(a))
UNARY(abs_f32, fabsf(a))
UNARY(neg_f32, -a)
UNARY(sqrt_f32, sqrtf(a))
UNARY(reciprocal_f32, 1 / a)
UNARY(floor_f32, floorf(a))
UNARY(ceil_f32, ceilf(a))
UNARY(round_f32, nearbyintf(a))
UNARY(exp_f32, (float)exp((double)a))
UNARY(log_f32, (float)log((double)a))
UNARY(tanh_f32, (float)tanh((double)a))
UNARY(sigmoid_f32, sigmoid((double)a))
UNARY(sin_f32, (float)sin((double)a))
UNARY(cos_f32, (float)cos((double)a))
UNARY(erf_f32, (float)erf((double)a))
UNARY(gelu_f32, gelu((double)a))
UNARY(gelu_tanh_f32, gated((double)a, gelu_tanh_gate((double)a)))
UNARY(silu_f32, gated((double)a, (double)a))
UNARY(softplus_f32, softplus((double)a))
UNARY(mish_f32, mish((double)a))
UNARY(hard_swish_f32, hard_swish(a))

WITH_TWO(clip_f32, clip(a, s, t))
WITH_TWO(hard_sigmoid_f32, hard_sigmoid(a, s, t))
WITH_TWO(scale_shift_f32, (float)((double)a * (double)s + (double)t))

void axpy_f32_scalar(float *y, const float *x, float alpha, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)y[i] + (double)alpha * (double)x[i]);
}

void act_f32_scalar(float *y, const float *x, const activation *f, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = act(x[i], f);
}
