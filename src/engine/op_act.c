/* Elementwise activations, with their parameters. */
#include "engine/op_each.h"

#include <math.h>

#define TILE_KERNEL(name, call)                                                          \
    static void name(const each *x, void *y, const void *const *in, size_t n)            \
    {                                                                                    \
        call;                                                                            \
    }

/* The attributes of a row in x->p, in the order that its table names them. */
static const char *const names_alpha[] = {"alpha", NULL};
static const char *const names_alpha_beta[] = {"alpha", "beta", NULL};
static const char *const names_alpha_gamma[] = {"alpha", "gamma", NULL};
static const char *const names_bias_lambd[] = {"bias", "lambd", NULL};

static void read_params(const op_call *c, each *x, const char *const *names, const float *absent)
{
    for (size_t i = 0; names[i]; i++)
        x->p[i] = (double)node_float(c->node, names[i], absent[i]);
}

/* A setup function that reads the attributes `names` with these values where they are absent. */
#define PARAMS(setup_name, names, ...)                                       \
    static err_code setup_name(const op_call *c, each *x, err *e)            \
    {                                                                        \
        (void)e;                                                             \
        read_params(c, x, names, (const float[]){__VA_ARGS__});              \
        return ERR_OK;                                                       \
    }
PARAMS(leaky_setup, names_alpha, 0.01f)
PARAMS(one_setup, names_alpha, 1)
PARAMS(selu_setup, names_alpha_gamma, 1.67326319217681884765625f, 1.05070102214813232421875f)
PARAMS(hard_setup, names_alpha_beta, 0.2f, 0.5f)
PARAMS(shrink_setup, names_bias_lambd, 0, 0.5f)

/* With e = e^x: x tanh(softplus x) = x ((1+e)^2 - 1) / ((1+e)^2 + 1), which is x from 20 on, before e overflows. */
static double mish(double x)
{
    if (!(x < 20))
        return x;
    if (x == -(double)INFINITY)
        return 0;
    double e = exp(x), u = e * (e + 2);
    return x * u / (u + 2);
}

/* X(operator, setup, in float through kernels, in double) */
#define LIST(X)                                                                                                  \
    X(Elu, one_setup, x->k->elu_f32(y, in[0], (float)x->p[0], n), a < 0 ? p[0] * expm1(a) : a)                   \
    X(Selu, selu_setup, x->k->elu_f32(y, in[0], (float)x->p[0], n); x->k->mul_s_f32(y, y, (float)x->p[1], n),    \
      p[1] * (a <= 0 ? p[0] * expm1(a) : a))                                                                     \
    X(Mish, NULL, x->k->mish_f32(y, in[0], n), mish(a))                                                          \
    X(LeakyRelu, leaky_setup, x->k->leaky_relu_f32(y, in[0], (float)x->p[0], n), a < 0 ? a * p[0] : a)           \
    X(HardSigmoid, hard_setup, x->k->hard_sigmoid_f32(y, in[0], (float)x->p[0], (float)x->p[1], n),              \
      hard(a, p[0], p[1]))                                                                                       \
    X(HardSwish, NULL, x->k->hard_swish_f32(y, in[0], n), a *hard(a, 1.0 / 6, 0.5))

static double hard(double a, double alpha, double beta)
{
    double v = alpha * a + beta;
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

#define X(op, setup_fn, call, expr64)        \
    TILE_KERNEL(op##_f32, call)              \
    EACH_1(op##_f64, double, double, expr64) \
    static const each_op each_##op = {.types = T_FLOAT, .f32 = op##_f32, .f64 = op##_f64, .setup = setup_fn};
LIST(X)
#undef X

EACH_1(thresholded_f32, float, float, a > (float)p[0] ? a : 0)
EACH_1(thresholded_f64, double, double, a > p[0] ? a : 0)
static const each_op each_ThresholdedRelu = {.types = T_FLOAT, .f32 = thresholded_f32, .f64 = thresholded_f64,
                                             .setup = one_setup};

/* alpha (e^(x / alpha) - 1) below 0 */
static void celu_f32(const each *x, void *y_, const void *const *in, size_t n)
{
    UNINIT tile low;
    float alpha = (float)x->p[0], *y = y_;
    const float *a = in[0];
    for (size_t at = 0; at < n; at += TILE) {
        size_t some = n - at < TILE ? n - at : TILE;
        x->k->mul_s_f32(low.f32, a + at, 1 / alpha, some);
        x->k->elu_f32(low.f32, low.f32, alpha, some);
        for (size_t i = 0; i < some; i++)
            y[at + i] = a[at + i] >= 0 ? a[at + i] : low.f32[i];
    }
}
EACH_1(celu_f64, double, double, a >= 0 ? a : p[0] * expm1(a / p[0]))
static const each_op each_Celu = {.types = T_FLOAT, .f32 = celu_f32, .f64 = celu_f64, .setup = one_setup};

TILE_KERNEL(gelu_f32, x->k->gelu_f32(y, in[0], n))
TILE_KERNEL(gelu_tanh_f32, x->k->gelu_tanh_f32(y, in[0], n))
EACH_1(gelu_f64, double, double, a * 0.5 * erfc(-a * 0.70710678118654752))
EACH_1(gelu_tanh_f64, double, double, a / (1 + exp(-1.5957691216057308 * (a + 0.044715 * a * a * a))))

static err_code gelu_setup(const op_call *c, each *x, err *e)
{
    str how = node_str(c->node, "approximate", STR("none"));
    if (str_is(how, "tanh"))
        x->fn = x->as == AS_F64 ? gelu_tanh_f64 : gelu_tanh_f32;
    else if (!str_is(how, "none"))
        return op_err(c, e, ERR_INVALID, "approximate: expected none or tanh, got '" STR_FMT "'", STR_ARG(how));
    return ERR_OK;
}
static const each_op each_Gelu = {.types = T_FLOAT, .f32 = gelu_f32, .f64 = gelu_f64, .setup = gelu_setup};

/* x sigmoid(alpha x) */
static void swish_f32(const each *x, void *y, const void *const *in, size_t n)
{
    if (x->p[0] == 1) {
        x->k->silu_f32(y, in[0], n);
        return;
    }
    UNINIT tile gate;
    for (size_t at = 0; at < n; at += TILE) {
        size_t some = n - at < TILE ? n - at : TILE;
        const float *from = (const float *)in[0] + at;
        x->k->mul_s_f32(gate.f32, from, (float)x->p[0], some);
        x->k->sigmoid_f32(gate.f32, gate.f32, some);
        x->k->mul_f32((float *)y + at, from, gate.f32, some);
    }
}
EACH_1(swish_f64, double, double, a / (1 + exp(-p[0] * a)))
static const each_op each_Swish = {.types = T_FLOAT, .f32 = swish_f32, .f64 = swish_f64, .setup = one_setup};

static double shrink(double a, double bias, double lambd)
{
    return a < -lambd ? a + bias : a > lambd ? a - bias : 0;
}
EACH_1(shrink_f32, float, float, shrink((double)a, p[0], p[1]))
EACH_1(shrink_f64, double, double, shrink(a, p[0], p[1]))
EACH_1(shrink_i64, int64_t, int64_t, dtype_i64_held(shrink((double)a, p[0], p[1])))
EACH_1(shrink_u64, uint64_t, uint64_t, dtype_u64_held(shrink((double)a, p[0], p[1])))
static const each_op each_Shrink = {.types = T_NUMBER, .f32 = shrink_f32, .f64 = shrink_f64, .i64 = shrink_i64,
                                    .u64 = shrink_u64,
                                    .setup = shrink_setup};

TILE_KERNEL(prelu_f32, x->k->prelu_f32(y, in[0], in[1], n))
EACH_2(prelu_f64, double, double, a < 0 ? a * b : a)
EACH_2(prelu_i64, int64_t, int64_t, a < 0 ? (int64_t)((uint64_t)a * (uint64_t)b) : a)
EACH_1(prelu_u64, uint64_t, uint64_t, a)
static const each_op each_PRelu = {.types = T_NUMBER, .f32 = prelu_f32, .f64 = prelu_f64, .i64 = prelu_i64,
                                   .u64 = prelu_u64};

/* The slope is seen with the shape of the input, never the other way round. */
static err_code prelu_infer(op_call *c, err *e)
{
    err_code rc = each_infer(c, e);
    char want[SHAPE_TEXT_MAX], got[SHAPE_TEXT_MAX];
    if (!rc && !shape_eq(&c->out[0]->shape, &c->in[0]->shape))
        rc = op_err(c, e, ERR_INVALID, "slope: expected a shape that broadcasts to %s, got %s",
                    shape_text(&c->in[0]->shape, want), shape_text(&c->in[1]->shape, got));
    return rc;
}

/* ---- Clip: bounds are attributes up to opset 10, then optional scalar inputs --------------------------------- */

TILE_KERNEL(clip_f32, x->k->clip_f32(y, in[0], (float)x->p[0], (float)x->p[1], n))

static double held(double a, double low, double high)
{
    double v = a < low ? low : a;
    return v > high ? high : v;
}
EACH_1(clip_f64, double, double, held(a, p[0], p[1]))

static void clip_i64(const each *x, void *y_, const void *const *in, size_t n)
{
    const int64_t *a = in[0], low = x->n[0], high = x->n[1];
    int64_t *y = y_;
    for (size_t i = 0; i < n; i++) {
        int64_t v = a[i] < low ? low : a[i];
        y[i] = v > high ? high : v;
    }
}

static void clip_u64(const each *x, void *y_, const void *const *in, size_t n)
{
    const uint64_t *a = in[0], low = (uint64_t)x->n[0], high = (uint64_t)x->n[1];
    uint64_t *y = y_;
    for (size_t i = 0; i < n; i++) {
        uint64_t v = a[i] < low ? low : a[i];
        y[i] = v > high ? high : v;
    }
}

static err_code clip_attrs(const op_call *c, each *x, err *e)
{
    (void)e;
    x->p[0] = (double)node_float(c->node, "min", -INFINITY);
    x->p[1] = (double)node_float(c->node, "max", INFINITY);
    return ERR_OK;
}

static err_code clip_inputs(const op_call *c, each *x, err *e)
{
    (void)e;
    x->p[0] = -(double)INFINITY;
    x->p[1] = (double)INFINITY;
    x->n[0] = x->as == AS_U64 ? 0 : INT64_MIN;
    x->n[1] = x->as == AS_U64 ? -1 : INT64_MAX;
    for (uint32_t i = 1; i < c->in_count && i <= 2; i++) {
        const tensor *t = c->in[i];
        if (!t)
            continue;
        if (x->as == AS_U64)
            x->n[i - 1] = (int64_t)*(const uint64_t *)t->data;
        else if (x->as == AS_I64)
            x->n[i - 1] = tensor_int(t, 0);
        else
            x->p[i - 1] = tensor_f64(t, 0);
    }
    return ERR_OK;
}

static err_code clip_infer(op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T_NUMBER, e);
    for (uint32_t i = 1; i < c->in_count && !rc; i++) {
        if (!c->in[i])
            continue;
        rc = op_type(c, i, T1(c->in[0]->type), e);
        if (!rc && tensor_count(c->in[i]) != 1)
            rc = op_err(c, e, ERR_INVALID, "input %u: expected a scalar, got %llu elements", i,
                        (unsigned long long)tensor_count(c->in[i]));
    }
    return rc ? rc : op_same(c, e);
}

static const each_op each_Clip = {.types = T_FLOAT, .f32 = clip_f32, .f64 = clip_f64, .setup = clip_attrs};
static const each_op each_Clip_11 = {.types = T_NUMBER, .inputs = 1, .f32 = clip_f32, .f64 = clip_f64, .i64 = clip_i64,
                                     .u64 = clip_u64, .setup = clip_inputs};

/* ---- the table ---------------------------------------------------------------------------------------------- */

#define ROW(op, first, in_least, in_most, shapes, table, ...)                                                   \
    {.name = #op, .domain = "", .since = first, .flags = OP_INPLACE, .in_min = in_least, .in_max = in_most,     \
     .out_min = 1, .out_max = 1, .infer = shapes, .run = each_run, .data = &each_##table, __VA_ARGS__}
#define ALPHA {{"alpha", ATTR_FLOAT, false}}
#define NO_ATTRS .attrs = {{0}}

const op_row op_rows_act[] = {
    ROW(Elu, 6, 1, 1, each_infer, Elu, .attrs = ALPHA),
    ROW(Celu, 12, 1, 1, each_infer, Celu, .attrs = ALPHA),
    ROW(Selu, 6, 1, 1, each_infer, Selu, .attrs = {{"alpha", ATTR_FLOAT, false}, {"gamma", ATTR_FLOAT, false}}),
    ROW(ThresholdedRelu, 10, 1, 1, each_infer, ThresholdedRelu, .attrs = ALPHA),
    ROW(Mish, 18, 1, 1, each_infer, Mish, NO_ATTRS),
    ROW(LeakyRelu, 6, 1, 1, each_infer, LeakyRelu, .attrs = ALPHA),
    ROW(HardSigmoid, 6, 1, 1, each_infer, HardSigmoid, .attrs = {{"alpha", ATTR_FLOAT, false},
                                                                 {"beta", ATTR_FLOAT, false}}),
    ROW(HardSwish, 14, 1, 1, each_infer, HardSwish, NO_ATTRS),
    ROW(Gelu, 20, 1, 1, each_infer, Gelu, .attrs = {{"approximate", ATTR_STRING, false}}),
    ROW(Swish, 24, 1, 1, each_infer, Swish, .attrs = ALPHA),
    ROW(Shrink, 9, 1, 1, each_infer, Shrink, .attrs = {{"bias", ATTR_FLOAT, false}, {"lambd", ATTR_FLOAT, false}}),
    ROW(PRelu, 7, 2, 2, prelu_infer, PRelu, NO_ATTRS),
    ROW(Clip, 6, 1, 1, each_infer, Clip, .attrs = {{"min", ATTR_FLOAT, false}, {"max", ATTR_FLOAT, false}}),
    ROW(Clip, 11, 1, 3, clip_infer, Clip_11, NO_ATTRS),
    {0},
};
