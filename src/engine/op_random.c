/* Random numbers, Dropout, and EyeLike, which shares their shapes. */
#include "base/rng.h"
#include "engine/op_tile.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* MT19937, which NumPy and with it ONNX's reference evaluator draw from: the same seed gives the same numbers there. */
enum { TWIST_WORDS = 624, TWIST_MIDDLE = 397 };
typedef struct {
    uint32_t word[TWIST_WORDS];
    uint32_t at;
} twister;

static void twister_init(twister *t, uint32_t seed)
{
    *t = (twister){.at = TWIST_WORDS};
    for (uint32_t i = 0; i < TWIST_WORDS; i++) {
        t->word[i] = seed;
        seed = 1812433253u * (seed ^ seed >> 30) + i + 1;
    }
}

static uint32_t twister_u32(twister *t)
{
    if (t->at == TWIST_WORDS) {
        for (uint32_t i = 0; i < TWIST_WORDS; i++) {
            uint32_t mixed = (t->word[i] & 0x80000000) | (t->word[(i + 1) % TWIST_WORDS] & 0x7fffffff);
            uint32_t far = t->word[(i + TWIST_MIDDLE) % TWIST_WORDS];
            t->word[i] = far ^ mixed >> 1 ^ (mixed & 1 ? 0x9908b0dfu : 0);
        }
        t->at = 0;
    }
    uint32_t y = t->word[t->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* [0, 1), 53 bits */
static double twister_unit(twister *t)
{
    uint32_t high = twister_u32(t) >> 5, low = twister_u32(t) >> 6;
    return ((double)high * 0x1p26 + (double)low) * 0x1p-53;
}

/* A seed in the node gives the same numbers each time.  Without one every call takes the next of a sequence that
 * starts where the program happens to lie in memory: different from run to run, and no system call is needed. */
static void twister_of(twister *t, const op_call *c)
{
    static _Atomic uint64_t calls;
    const attr *seed = node_attr(c->node, "seed");
    rng r;
    uint32_t bits;
    if (seed && seed->kind == ATTR_INT)
        bits = (uint32_t)seed->i;
    else if (seed && seed->f >= 0 && seed->f < 0x1p32f)
        bits = (uint32_t)seed->f;
    else if (seed)
        memcpy(&bits, &seed->f, sizeof bits);
    else {
        rng_init(&r, (uint64_t)(uintptr_t)&calls + 0x9e3779b97f4a7c15u * (1 + atomic_fetch_add(&calls, 1)));
        bits = (uint32_t)(rng_u64(&r) >> 32);
    }
    twister_init(t, bits);
}

/* The output's type: the attribute `dtype`, else that of the input or `absent`; only `allowed` ones. */
static err_code dtype_of(const op_call *c, dtype absent, uint32_t allowed, dtype *ret, err *e)
{
    int64_t wanted = node_int(c->node, "dtype", absent);
    if (!dtype_ok(wanted) || !(T1(wanted) & allowed))
        return op_err(c, e, ERR_UNSUPPORTED, "dtype: expected a type that this operator can make, got %s",
                      dtype_ok(wanted) ? dtype_name((dtype)wanted) : "none");
    *ret = (dtype)wanted;
    return ERR_OK;
}

/* ---- RandomNormal, RandomUniform and their Likes ------------------------------------------------------------ */

static err_code random_infer(op_call *c, err *e)
{
    dtype type;
    shape s = {0};
    op_ints dims = {0};
    err_code rc = dtype_of(c, c->in_count ? c->in[0]->type : DT_F32, T_FLOAT, &type, e);
    if (!rc && c->in_count)
        return op_set(c, 0, type, &c->in[0]->shape, e);
    if (!rc)
        rc = op_ints_of(c, OP_ANY, "shape", &dims, e);
    for (uint32_t i = 0; i < dims.count && !rc; i++)
        rc = shape_push(&s, dims.at[i], e);
    return rc ? rc : op_set(c, 0, type, &s, e);
}

/* Box and Muller; 1 - u is in (0, 1], so the logarithm is finite. */
static double normal(twister *r)
{
    double radius = sqrt(-2 * log(1 - twister_unit(r)));
    return radius * cos(6.283185307179586 * twister_unit(r));
}

static err_code normal_run(op_call *c, err *e)
{
    (void)e;
    twister r;
    twister_of(&r, c);
    double mean = (double)node_float(c->node, "mean", 0), scale = (double)node_float(c->node, "scale", 1);
    for (uint64_t i = 0, n = tensor_count(c->out[0]); i < n; i++)
        tensor_put_f64(c->out[0], i, mean + scale * normal(&r));
    return ERR_OK;
}

static err_code uniform_run(op_call *c, err *e)
{
    (void)e;
    twister r;
    twister_of(&r, c);
    double low = (double)node_float(c->node, "low", 0), high = (double)node_float(c->node, "high", 1);
    for (uint64_t i = 0, n = tensor_count(c->out[0]); i < n; i++)
        tensor_put_f64(c->out[0], i, low + (high - low) * twister_unit(&r));
    return ERR_OK;
}

/* ---- Bernoulli, Multinomial --------------------------------------------------------------------------------- */

static err_code bernoulli_infer(op_call *c, err *e)
{
    dtype type;
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc)
        rc = dtype_of(c, c->in[0]->type, T_NUMBER | T1(DT_BOOL), &type, e);
    return rc ? rc : op_set(c, 0, type, &c->in[0]->shape, e);
}

static err_code bernoulli_run(op_call *c, err *e)
{
    (void)e;
    twister r;
    twister_of(&r, c);
    for (uint64_t i = 0, n = tensor_count(c->out[0]); i < n; i++)
        tensor_put_f64(c->out[0], i, twister_unit(&r) < tensor_f64(c->in[0], i));
    return ERR_OK;
}

static err_code multinomial_infer(op_call *c, err *e)
{
    dtype type;
    int64_t samples = node_int(c->node, "sample_size", 1);
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc)
        rc = op_rank(c, 0, 2, 2, e);
    if (!rc && (samples < 1 || c->in[0]->shape.dim[1] == 0))
        rc = op_err(c, e, ERR_INVALID, "sample_size: expected 1 or more of 1 or more classes, got %lld of %lld",
                    (long long)samples, (long long)c->in[0]->shape.dim[1]);
    if (!rc)
        rc = dtype_of(c, DT_I32, T1(DT_I32) | T1(DT_I64), &type, e);
    return rc ? rc : op_set(c, 0, type, &(shape){.rank = 2, .dim = {c->in[0]->shape.dim[0], samples}}, e);
}

/* A class of one row of unnormalised log-probabilities: where a uniform number falls among their running sums. */
static int64_t pick(const tensor *x, uint64_t row, double max, double total, double u)
{
    uint64_t classes = (uint64_t)x->shape.dim[1];
    double sum = 0;
    for (uint64_t k = 0; k + 1 < classes; k++) {
        sum += exp(tensor_f64(x, row * classes + k) - max);
        if (u * total < sum)
            return (int64_t)k;
    }
    return (int64_t)classes - 1;
}

static err_code multinomial_run(op_call *c, err *e)
{
    (void)e;
    const tensor *x = c->in[0];
    twister r;
    twister_of(&r, c);
    uint64_t rows = (uint64_t)x->shape.dim[0], classes = (uint64_t)x->shape.dim[1];
    uint64_t samples = (uint64_t)c->out[0]->shape.dim[1];
    for (uint64_t row = 0; row < rows; row++) {
        double max = -(double)INFINITY, total = 0;
        for (uint64_t k = 0; k < classes; k++)
            max = fmax(max, tensor_f64(x, row * classes + k));
        for (uint64_t k = 0; k < classes; k++)
            total += exp(tensor_f64(x, row * classes + k) - max);
        for (uint64_t i = 0; i < samples; i++)
            tensor_put_int(c->out[0], row * samples + i, pick(x, row, max, total, twister_unit(&r)));
    }
    return ERR_OK;
}

/* ---- Dropout ------------------------------------------------------------------------------------------------ */

static err_code dropout_infer(op_call *c, err *e)
{
    bool mask_is_bool = c->node->row->since >= 10;
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc)
        rc = op_type(c, 1, T_FLOAT, e);
    if (!rc)
        rc = op_type(c, 2, T1(DT_BOOL), e);
    for (uint32_t i = 1; i < c->in_count && !rc; i++)
        if (c->in[i] && tensor_count(c->in[i]) != 1)
            rc = op_err(c, e, ERR_INVALID, "input %u: expected a scalar, got %llu elements", i,
                        (unsigned long long)tensor_count(c->in[i]));
    if (!rc)
        rc = op_set(c, 1, mask_is_bool ? DT_BOOL : c->in[0]->type, &c->in[0]->shape, e);
    return rc ? rc : op_same(c, e);
}

static err_code dropout_run(op_call *c, err *e)
{
    const tensor *x = c->in[0];
    tensor *y = c->out[0], *mask = c->out_count > 1 ? c->out[1] : NULL;
    uint64_t n = tensor_count(x);
    bool training = c->in_count > 2 && c->in[2] && tensor_int(c->in[2], 0);
    double ratio = c->in_count > 1 && c->in[1] ? tensor_f64(c->in[1], 0) : 0.5;
    if (training && !(ratio >= 0 && ratio <= 1))
        return op_err(c, e, ERR_INVALID, "ratio: expected 0 to 1, got %g", ratio);
    if (!training || ratio == 0) {
        if (y && n && y->data != x->data)
            memcpy(y->data, x->data, tensor_bytes(x));
        for (uint64_t i = 0; mask && i < n; i++)
            tensor_put_int(mask, i, 1);
        return ERR_OK;
    }
    twister r;
    twister_of(&r, c);
    double scale = ratio < 1 ? 1 / (1 - ratio) : 0;
    for (uint64_t i = 0; i < n; i++) {
        bool keep = twister_unit(&r) >= ratio;
        if (y)
            tensor_put_f64(y, i, keep ? tensor_f64(x, i) * scale : 0);
        if (mask)
            tensor_put_int(mask, i, keep);
    }
    return ERR_OK;
}

/* ---- EyeLike ------------------------------------------------------------------------------------------------ */

static err_code eye_infer(op_call *c, err *e)
{
    dtype type;
    err_code rc = op_rank(c, 0, 2, 2, e);
    if (!rc)
        rc = dtype_of(c, c->in[0]->type, T_NUMBER | T1(DT_BOOL), &type, e);
    return rc ? rc : op_set(c, 0, type, &c->in[0]->shape, e);
}

static err_code eye_run(op_call *c, err *e)
{
    (void)e;
    tensor *y = c->out[0];
    int64_t rows = y->shape.dim[0], columns = y->shape.dim[1], shift = node_int(c->node, "k", 0);
    if (tensor_count(y) == 0)
        return ERR_OK;
    memset(y->data, 0, tensor_bytes(y));
    if (shift <= -rows || shift >= columns)
        return ERR_OK;
    for (int64_t i = shift < 0 ? -shift : 0; i < rows && i + shift < columns; i++)
        tensor_put_int(y, (uint64_t)(i * columns + i + shift), 1);
    return ERR_OK;
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

#define ROW(op, first, flag, inputs, shapes, work, ...)                                                        \
    {.name = op, .domain = "", .since = first, .flags = flag, .in_min = inputs, .in_max = inputs, .out_min = 1, \
     .out_max = 1, .infer = shapes##_infer, .run = work##_run, .attrs = {__VA_ARGS__}}
#define DROPOUT(first, most, ...)                                                                              \
    {.name = "Dropout", .domain = "", .since = first, .flags = OP_RANDOM | OP_INPLACE, .in_min = 1, .in_max = most, \
     .out_min = 1, .out_max = 2, .infer = dropout_infer, .run = dropout_run, .attrs = {__VA_ARGS__}}
#define DTYPE {"dtype", ATTR_INT, false}
#define SEED {"seed", ATTR_FLOAT, false}
#define SIZES {"shape", ATTR_INTS, true}
#define F(name) {name, ATTR_FLOAT, false}

const op_row op_rows_random[] = {
    ROW("RandomNormal", 1, OP_RANDOM, 0, random, normal, DTYPE, SEED, SIZES, F("mean"), F("scale")),
    ROW("RandomNormalLike", 1, OP_RANDOM | OP_SHAPE, 1, random, normal, DTYPE, SEED, F("mean"), F("scale")),
    ROW("RandomUniform", 1, OP_RANDOM, 0, random, uniform, DTYPE, SEED, SIZES, F("low"), F("high")),
    ROW("RandomUniformLike", 1, OP_RANDOM | OP_SHAPE, 1, random, uniform, DTYPE, SEED, F("low"), F("high")),
    ROW("Bernoulli", 15, OP_RANDOM, 1, bernoulli, bernoulli, DTYPE, SEED),
    ROW("Multinomial", 7, OP_RANDOM, 1, multinomial, multinomial, DTYPE, SEED, {"sample_size", ATTR_INT, false}),
    DROPOUT(7, 1, F("ratio")),
    DROPOUT(10, 1, F("ratio")),
    DROPOUT(12, 3, {"seed", ATTR_INT, false}),
    ROW("EyeLike", 9, OP_SHAPE, 1, eye, eye, DTYPE, {"k", ATTR_INT, false}),
    {0},
};
