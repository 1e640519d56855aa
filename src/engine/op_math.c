/* Elementwise arithmetic: a line of a list is an operator. */
#include "engine/op_each.h"

#include <math.h>

/* Rounding to nearest even and sign as ONNX has them. */
static double sign_of(double a) { return a > 0 ? 1 : a < 0 ? -1 : a; }

/* ---- one input ---------------------------------------------------------------------------------------------- */

/* X(operator, since, float kernel, the same in double) */
#define WITH_KERNEL(X)                                 \
    X(Sqrt, 6, sqrt_f32, sqrt(a))                      \
    X(Reciprocal, 6, reciprocal_f32, 1 / a)            \
    X(Floor, 6, floor_f32, floor(a))                   \
    X(Ceil, 6, ceil_f32, ceil(a))                      \
    X(Round, 11, round_f32, nearbyint(a))              \
    X(Exp, 6, exp_f32, exp(a))                         \
    X(Log, 6, log_f32, log(a))                         \
    X(Tanh, 6, tanh_f32, tanh(a))                      \
    X(Sigmoid, 6, sigmoid_f32, 1 / (1 + exp(-a)))      \
    X(Erf, 9, erf_f32, erf(a))                         \
    X(Sin, 7, sin_f32, sin(a))                         \
    X(Cos, 7, cos_f32, cos(a))                         \
    X(Softplus, 1, softplus_f32, fmax(a, 0) + log1p(exp(-fabs(a))) + (isnan(a) ? a : 0))

/* X(operator, since, in float, in double) */
#define WITHOUT_KERNEL(X)                              \
    X(Tan, 7, tanf(a), tan(a))                         \
    X(Asin, 7, asinf(a), asin(a))                      \
    X(Acos, 7, acosf(a), acos(a))                      \
    X(Atan, 7, atanf(a), atan(a))                      \
    X(Sinh, 9, sinhf(a), sinh(a))                      \
    X(Cosh, 9, coshf(a), cosh(a))                      \
    X(Asinh, 9, asinhf(a), asinh(a))                   \
    X(Acosh, 9, acoshf(a), acosh(a))                   \
    X(Atanh, 9, atanhf(a), atanh(a))                   \
    X(Softsign, 1, a / (1 + fabsf(a)), a / (1 + fabs(a)))

/* X(operator, since, types, float kernel or tile function, in double, in int64); bits of uint64 are those of int64. */
#define ALSO_WHOLE(X)                                                             \
    X(Abs, 6, T_NUMBER, fabsf(a), fabs(a), a < 0 ? (int64_t)(0 - (uint64_t)a) : a) \
    X(Neg, 6, T_FLOAT | T_INT, -a, -a, 0 - (uint64_t)a)                           \
    X(Sign, 9, T_NUMBER, sign_of((double)a), sign_of(a), (a > 0) - (a < 0))       \
    X(Relu, 6, T_FLOAT | T_INT, a < 0 ? 0 : a, a < 0 ? 0 : a, a < 0 ? 0 : a)

#define TILE_KERNEL(name, kernel)                                                        \
    static void name(const each *x, void *y, const void *const *in, size_t n)            \
    {                                                                                    \
        x->k->kernel(y, in[0], n);                                                       \
    }

#define X(op, since, kernel_name, expr)                \
    TILE_KERNEL(op##_f32, kernel_name)                 \
    EACH_1(op##_f64, double, double, expr)             \
    static const each_op each_##op = {.types = T_FLOAT, .f32 = op##_f32, .f64 = op##_f64};
WITH_KERNEL(X)
#undef X

#define X(op, since, expr32, expr64)                   \
    EACH_1(op##_f32, float, float, expr32)             \
    EACH_1(op##_f64, double, double, expr64)           \
    static const each_op each_##op = {.types = T_FLOAT, .f32 = op##_f32, .f64 = op##_f64};
WITHOUT_KERNEL(X)
#undef X

#define X(op, since, allowed, expr32, expr64, whole)   \
    EACH_1(op##_f64, double, double, expr64)           \
    EACH_1(op##_i64, int64_t, int64_t, whole)
ALSO_WHOLE(X)
#undef X
TILE_KERNEL(Abs_f32, abs_f32)
TILE_KERNEL(Neg_f32, neg_f32)
TILE_KERNEL(Relu_f32, relu_f32)
EACH_1(Sign_f32, float, float, sign_of((double)a))
EACH_1(Abs_u64, uint64_t, uint64_t, a)
EACH_1(Sign_u64, uint64_t, uint64_t, a > 0)
static const each_op each_Abs = {.types = T_NUMBER, .f32 = Abs_f32, .f64 = Abs_f64, .i64 = Abs_i64, .u64 = Abs_u64};
static const each_op each_Sign = {.types = T_NUMBER, .f32 = Sign_f32, .f64 = Sign_f64, .i64 = Sign_i64,
                                  .u64 = Sign_u64};
static const each_op each_Neg = {.types = T_FLOAT | T_INT, .f32 = Neg_f32, .f64 = Neg_f64, .i64 = Neg_i64};
static const each_op each_Relu = {.types = T_FLOAT | T_INT, .f32 = Relu_f32, .f64 = Relu_f64, .i64 = Relu_i64};

/* ---- two inputs --------------------------------------------------------------------------------------------- */

/* vv: both rows; vs: the second is one value; sv: the first is. */
#define TILE_KERNEL_2(name, vv, vs, sv)                                                  \
    static void name(const each *x, void *y, const void *const *in, size_t n)            \
    {                                                                                    \
        if (x->splat[1])                                                                 \
            x->k->vs(y, in[0], *(const float *)in[1], n);                                \
        else if (x->splat[0])                                                            \
            x->k->sv(y, in[1], *(const float *)in[0], n);                                \
        else                                                                             \
            x->k->vv(y, in[0], in[1], n);                                                \
    }
TILE_KERNEL_2(add_f32, add_f32, add_s_f32, add_s_f32)
TILE_KERNEL_2(sub_f32, sub_f32, sub_s_f32, rsub_s_f32)
TILE_KERNEL_2(mul_f32, mul_f32, mul_s_f32, mul_s_f32)
TILE_KERNEL_2(div_f32, div_f32, div_s_f32, rdiv_s_f32)
TILE_KERNEL_2(max_f32, max_f32, max_s_f32, max_s_f32)
TILE_KERNEL_2(min_f32, min_f32, min_s_f32, min_s_f32)

/* A quotient by 0 is 0 and INT64_MIN / -1 wraps: ONNX leaves both open, the CPU would trap. */
static int64_t div_whole(int64_t a, int64_t b)
{
    return b == 0 ? 0 : b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

EACH_2(add_f64, double, double, a + b)
EACH_2(sub_f64, double, double, a - b)
EACH_2(mul_f64, double, double, a * b)
EACH_2(div_f64, double, double, a / b)
EACH_2(max_f64, double, double, isnan(a) || a > b ? a : b)
EACH_2(min_f64, double, double, isnan(a) || a < b ? a : b)
EACH_2_SIZES(add, (uint64_t)a + b)
EACH_2_SIZES(sub, (uint64_t)a - b)
EACH_2_SIZES(mul, (uint64_t)a *b)
EACH_2(div_i64, int64_t, int64_t, div_whole(a, b))
EACH_2(div_u64, uint64_t, uint64_t, b == 0 ? 0 : a / b)
EACH_2(max_i64, int64_t, int64_t, a > b ? a : b)
EACH_2(min_i64, int64_t, int64_t, a < b ? a : b)
EACH_2(max_i32, int32_t, int32_t, a > b ? a : b)
EACH_2(min_i32, int32_t, int32_t, a < b ? a : b)
EACH_2(max_u64, uint64_t, uint64_t, a > b ? a : b)
EACH_2(min_u64, uint64_t, uint64_t, a < b ? a : b)

static const each_op each_Add = {.types = T_NUMBER, .splats = true, .f32 = add_f32, .f64 = add_f64,
                                 .native = {EACH_SIZES(add)}};
static const each_op each_Sub = {.types = T_NUMBER, .splats = true, .f32 = sub_f32, .f64 = sub_f64,
                                 .native = {EACH_SIZES(sub)}};
static const each_op each_Mul = {.types = T_NUMBER, .splats = true, .f32 = mul_f32, .f64 = mul_f64,
                                 .native = {EACH_SIZES(mul)}};
static const each_op each_Div = {.types = T_NUMBER, .splats = true, .f32 = div_f32, .f64 = div_f64, .i64 = div_i64,
                                 .u64 = div_u64};
static const each_op each_Max = {.types = T_NUMBER, .fold = true, .splats = true, .f32 = max_f32, .f64 = max_f64,
                                 .i64 = max_i64, .u64 = max_u64, .native = {[DT_I32] = max_i32}};
static const each_op each_Min = {.types = T_NUMBER, .fold = true, .splats = true, .f32 = min_f32, .f64 = min_f64,
                                 .i64 = min_i64, .u64 = min_u64, .native = {[DT_I32] = min_i32}};
static const each_op each_Sum = {.types = T_FLOAT, .fold = true, .splats = true, .f32 = add_f32, .f64 = add_f64};

static void mean_f32(const each *x, void *y, const void *const *in, size_t n)
{
    x->k->div_s_f32(y, in[0], (float)x->p[0], n);
}
EACH_1(mean_f64, double, double, a / p[0])

static err_code mean_setup(const op_call *c, each *x, err *e)
{
    (void)e;
    x->p[0] = c->in_count;
    x->mean = x->as == AS_F64 ? mean_f64 : mean_f32;
    return ERR_OK;
}
static const each_op each_Mean = {.types = T_FLOAT, .fold = true, .averages = true, .f32 = add_f32, .f64 = add_f64,
                                  .setup = mean_setup};

/* The remainder with the sign of b (Python's), or of a where fmod is set (C's). */
static double mod_float(double a, double b, bool like_c)
{
    double r = fmod(a, b);
    return !like_c && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static int64_t mod_whole(int64_t a, int64_t b, bool like_c)
{
    if (b == 0 || b == -1)
        return 0;
    int64_t r = a % b;
    return !like_c && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static err_code mod_setup(const op_call *c, each *x, err *e)
{
    (void)e;
    x->p[0] = (double)node_int(c->node, "fmod", 0);
    return ERR_OK;
}
EACH_2(mod_f32, float, float, mod_float((double)a, (double)b, p[0] != 0))
EACH_2(mod_f64, double, double, mod_float(a, b, p[0] != 0))
EACH_2(mod_i64, int64_t, int64_t, mod_whole(a, b, p[0] != 0))
EACH_2(mod_u64, uint64_t, uint64_t, b == 0 ? 0 : a % b)
static const each_op each_Mod = {.types = T_NUMBER, .f32 = mod_f32, .f64 = mod_f64, .i64 = mod_i64, .u64 = mod_u64,
                                 .setup = mod_setup};

/* ---- Pow: base and exponent may differ in type -------------------------------------------------------------- */

/* One base for all exponents. */
static void pow_of_one_f32(const each *x, float *y, float base, const float *exponents, size_t n)
{
    UNINIT float bases[TILE];
    for (size_t i = 0; i < TILE && i < n; i++)
        bases[i] = base;
    for (size_t at = 0; at < n; at += TILE)
        x->k->pow_f32(y + at, bases, exponents + at, n - at < TILE ? n - at : TILE);
}

/* The exponents that networks use are one multiplication or a square root; the rest goes to the kernel. */
static void pow_f32(const each *x, void *y, const void *const *in, size_t n)
{
    if (x->splat[0]) {
        pow_of_one_f32(x, y, *(const float *)in[0], in[1], n);
        return;
    }
    if (!x->splat[1]) {
        x->k->pow_f32(y, in[0], in[1], n);
        return;
    }
    float s = *(const float *)in[1];
    if (s == 2)
        x->k->mul_f32(y, in[0], in[0], n);
    else if (s == 0.5f)
        x->k->sqrt_f32(y, in[0], n);
    else
        x->k->pow_s_f32(y, in[0], s, n);
}

/* By squaring; wraps.  A negative exponent gives the quotient 1 / a^|b| cut to a whole number. */
static int64_t pow_whole(int64_t a, int64_t b)
{
    if (b < 0)
        return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    uint64_t r = 1, square = (uint64_t)a;
    for (; b > 0; b >>= 1, square *= square)
        r *= b & 1 ? square : 1;
    return (int64_t)r;
}

EACH_2(pow_f64, double, double, pow(a, b))
EACH_2(pow_i64, int64_t, int64_t, pow_whole(a, b))

static void pow_i64_f64(const each *x, void *y_, const void *const *in, size_t n)
{
    (void)x;
    const int64_t *a = in[0];
    const double *b = in[1];
    int64_t *y = y_;
    for (size_t i = 0; i < n; i++)
        y[i] = dtype_i64_held(pow((double)a[i], b[i]));
}

static err_code pow_setup(const op_call *c, each *x, err *e)
{
    (void)e;
    if (x->as == AS_I64 && tile_as_of(c->in[1]->type) != AS_I64)
        x->fn = pow_i64_f64;
    return ERR_OK;
}
static const each_op each_Pow = {.types = T_FLOAT | T_INT | T_UINT, .mixed = true, .splats = true, .f32 = pow_f32,
                                 .f64 = pow_f64,
                                 .i64 = pow_i64, .u64 = pow_i64, .setup = pow_setup};

/* ---- the table ---------------------------------------------------------------------------------------------- */

#define ROW(op, first, in_least, in_most, flag, ...)                                                               \
    {.name = #op, .domain = "", .since = first, .flags = OP_INPLACE | (flag), .in_min = in_least, .in_max = in_most, \
     .out_min = 1, .out_max = 1, .infer = each_infer, .run = each_run, .data = &each_##op, __VA_ARGS__}
#define NO_ATTRS .attrs = {{0}}

const op_row op_rows_math[] = {
#define X(op, since, kernel_name, expr) ROW(op, since, 1, 1, 0, NO_ATTRS),
    WITH_KERNEL(X)
#undef X
#define X(op, since, expr32, expr64) ROW(op, since, 1, 1, 0, NO_ATTRS),
    WITHOUT_KERNEL(X)
#undef X
#define X(op, since, allowed, expr32, expr64, whole) ROW(op, since, 1, 1, 0, NO_ATTRS),
    ALSO_WHOLE(X)
#undef X
    ROW(Add, 7, 2, 2, OP_FUSES_ACT, NO_ATTRS),
    ROW(Sub, 7, 2, 2, OP_FUSES_ACT, NO_ATTRS),
    ROW(Mul, 7, 2, 2, OP_FUSES_ACT, NO_ATTRS),
    ROW(Div, 7, 2, 2, OP_FUSES_ACT, NO_ATTRS),
    ROW(Pow, 7, 2, 2, 0, NO_ATTRS),
    ROW(Mod, 10, 2, 2, 0, .attrs = {{"fmod", ATTR_INT, false}}),
    ROW(Max, 6, 1, OP_ANY, 0, NO_ATTRS),
    ROW(Min, 6, 1, OP_ANY, 0, NO_ATTRS),
    ROW(Sum, 6, 1, OP_ANY, OP_FUSES_ACT, NO_ATTRS),
    ROW(Mean, 6, 1, OP_ANY, 0, NO_ATTRS),
    {0},
};
