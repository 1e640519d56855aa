/* MatMulInteger, QLinearMatMul, ConvInteger, QLinearConv: exact 32-bit sums, then one scaling. */
#include "engine/op.h"
#include "engine/product.h"
#include "engine/spatial.h"
#include "tensor/qgemm.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define T_BYTES (T1(DT_I8) | T1(DT_U8))
#define T_SCALE (T1(DT_F32) | T1(DT_F16) | T1(DT_BF16))

static err_code no_memory(const op_call *c, size_t count, err *e)
{
    return op_err(c, e, ERR_LIMIT, "no memory for %zu numbers", count);
}

/* The zero points of an input as int32; `want` of them, or one for all. */
static err_code zeros_of(op_call *c, uint32_t input, size_t want, const int32_t **ret, size_t *ret_step, err *e)
{
    const tensor *t = input < c->in_count ? c->in[input] : NULL;
    *ret = NULL;
    *ret_step = 0;
    if (!t) return ERR_OK;
    size_t n = (size_t)tensor_count(t);
    if (n != 1 && n != want)
        return op_err(c, e, ERR_INVALID, "input %u: expected 1 or %zu zero points, got %zu", input, want, n);
    int32_t *to = arena_new(c->scratch, int32_t, n);
    if (!to) return no_memory(c, n, e);
    for (size_t i = 0; i < n; i++) to[i] = (int32_t)tensor_int(t, i);
    *ret = to;
    *ret_step = n > 1;
    return ERR_OK;
}

/* ---- matrix products ---------------------------------------------------------------------------------------- */

/* All of g but the place of its result, from operands `a` and `b` of the node and their zero points. */
static err_code integer_product(op_call *c, uint32_t a, uint32_t b, uint32_t a_zero, uint32_t b_zero, qgemm_call *g,
                                err *e)
{
    product p;
    err_code rc = product_of(c, a, b, &p, e);
    if (rc) return rc;
    *g = (qgemm_call){.batch = p.batch,
                      .m = p.m,
                      .n = p.n,
                      .k = p.k,
                      .a = {.data = c->in[a]->data, .is_signed = c->in[a]->type == DT_I8, .row = p.k, .column = 1},
                      .b = {.data = c->in[b]->data, .is_signed = c->in[b]->type == DT_I8, .row = p.n, .column = 1}};
    rc = product_starts(c, &p, &p.lead_a, p.m * p.k, &g->a.batch_at, e);
    if (!rc) rc = product_starts(c, &p, &p.lead_b, p.k * p.n, &g->b.batch_at, e);
    if (!rc) rc = zeros_of(c, a_zero, p.m, &g->a.zero, &g->a.zero_step, e);
    if (!rc) rc = zeros_of(c, b_zero, p.n, &g->b.zero, &g->b.zero_step, e);
    return rc;
}

static err_code matmul_integer_infer(op_call *c, err *e)
{
    product p;
    err_code rc = op_type(c, 0, T_BYTES, e);
    if (!rc) rc = op_type(c, 1, T_BYTES, e);
    if (!rc) rc = op_type(c, 2, T1(c->in[0]->type), e);
    if (!rc) rc = op_type(c, 3, T1(c->in[1]->type), e);
    if (!rc) rc = product_of(c, 0, 1, &p, e);
    return rc ? rc : op_set(c, 0, DT_I32, &p.y, e);
}

static err_code matmul_integer_run(op_call *c, err *e)
{
    qgemm_call g;
    err_code rc = integer_product(c, 0, 1, 2, 3, &g, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    g.c = c->out[0]->data;
    return qgemm(&g, c->k, c->pool, c->scratch, e);
}

/* Inputs of QLinearMatMul and, with the bias after them, of QLinearConv. */
enum { Q_A, Q_A_SCALE, Q_A_ZERO, Q_B, Q_B_SCALE, Q_B_ZERO, Q_Y_SCALE, Q_Y_ZERO, Q_BIAS };

static err_code qlinear_types(const op_call *c, err *e)
{
    err_code rc = op_type(c, Q_A, T_BYTES, e);
    if (!rc) rc = op_type(c, Q_B, T_BYTES, e);
    if (!rc) rc = op_type(c, Q_A_ZERO, T1(c->in[Q_A]->type), e);
    if (!rc) rc = op_type(c, Q_B_ZERO, T1(c->in[Q_B]->type), e);
    if (!rc) rc = op_type(c, Q_Y_ZERO, T_BYTES, e);
    for (uint32_t i = Q_A_SCALE; i <= Q_Y_SCALE && !rc; i++)
        if (i == Q_A_SCALE || i == Q_B_SCALE || i == Q_Y_SCALE) rc = op_type(c, i, T_SCALE, e);
    for (uint32_t i = Q_Y_SCALE; i <= Q_Y_ZERO && !rc; i++)
        if (tensor_count(c->in[i]) != 1) rc = op_err(c, e, ERR_INVALID, "input %u: expected one number", i);
    return rc;
}

/* y = sum * scale to the nearest even, + zero, held in y's range. */
static void requantize_row(const op_call *c, size_t at, const int32_t *sum, const float *scale, size_t step, size_t n)
{
    tensor *y = c->out[0];
    int32_t zero = (int32_t)tensor_int(c->in[Q_Y_ZERO], 0), low = y->type == DT_I8 ? -128 : 0, high = low + 255;
    uint8_t *to = (uint8_t *)y->data + at;
    for (size_t i = 0; i < n; i++) {
        float v = rintf((float)sum[i] * scale[i * step]) + (float)zero;
        int32_t q = !(v >= (float)low) ? low : v > (float)high ? high : (int32_t)v;
        to[i] = (uint8_t)q; /* the same bits for int8 */
    }
}

/* a_scale * b_scale / y_scale, one for all or `want` of them, of b's columns or channels. */
static err_code scales_of(op_call *c, size_t want, const float **ret, size_t *ret_step, err *e)
{
    size_t n = (size_t)tensor_count(c->in[Q_B_SCALE]);
    if (n != 1 && n != want)
        return op_err(c, e, ERR_INVALID, "input %d: expected 1 or %zu scales, got %zu", Q_B_SCALE, want, n);
    if (tensor_count(c->in[Q_A_SCALE]) != 1)
        return op_err(c, e, ERR_UNSUPPORTED, "input %d: a scale for each row: not implemented", Q_A_SCALE);
    float *to = arena_new(c->scratch, float, n);
    if (!to) return no_memory(c, n, e);
    float a = (float)tensor_f64(c->in[Q_A_SCALE], 0), y = (float)tensor_f64(c->in[Q_Y_SCALE], 0);
    for (size_t i = 0; i < n; i++) to[i] = a * (float)tensor_f64(c->in[Q_B_SCALE], i) / y;
    *ret = to;
    *ret_step = n > 1;
    return ERR_OK;
}

static err_code qlinear_matmul_infer(op_call *c, err *e)
{
    product p;
    err_code rc = qlinear_types(c, e);
    if (!rc) rc = product_of(c, Q_A, Q_B, &p, e);
    return rc ? rc : op_set(c, 0, c->in[Q_Y_ZERO]->type, &p.y, e);
}

static err_code sums_of(op_call *c, int32_t **ret, err *e)
{
    size_t n = (size_t)tensor_count(c->out[0]);
    *ret = n > SIZE_MAX / sizeof **ret ? NULL : arena_push_raw(c->scratch, n * sizeof **ret, MEM_ALIGN);
    return *ret ? ERR_OK : no_memory(c, n, e);
}

static err_code qlinear_matmul_run(op_call *c, err *e)
{
    qgemm_call g;
    const float *scale;
    size_t step;
    err_code rc = integer_product(c, Q_A, Q_B, Q_A_ZERO, Q_B_ZERO, &g, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    rc = scales_of(c, g.n, &scale, &step, e);
    if (!rc) rc = sums_of(c, &g.c, e);
    if (!rc) rc = qgemm(&g, c->k, c->pool, c->scratch, e);
    for (size_t i = 0; i < g.batch * g.m && !rc; i++) requantize_row(c, i * g.n, g.c + i * g.n, scale, step, g.n);
    return rc;
}

/* ---- convolutions ------------------------------------------------------------------------------------------- */

static err_code conv_fit(const op_call *c, uint32_t w, spatial_fit *f, conv_shape *ret, err *e)
{
    const shape *x = &c->in[0]->shape, *k = &c->in[w]->shape;
    int64_t groups = node_int(c->node, "group", 1), channels;
    char text[2][SHAPE_TEXT_MAX];
    spatial s;
    err_code rc = op_rank(c, 0, 3, 2 + SPATIAL_MAX, e);
    if (!rc) rc = op_rank(c, w, x->rank, x->rank, e);
    if (rc) return rc;
    if (groups < 1 || k->dim[0] % groups != 0 || __builtin_mul_overflow(k->dim[1], groups, &channels) ||
        x->dim[1] != channels)
        return op_err(c, e, ERR_INVALID, "%lld groups of weights %s do not fit input %s", (long long)groups,
                      shape_text(k, text[0]), shape_text(x, text[1]));
    rc = spatial_read(&s, c->graph, c->node, e);
    if (!rc) rc = spatial_of(f, &s, c, x->rank - 2, x->dim + 2, k->dim + 2, e);
    if (rc) return rc;
    *ret = (conv_shape){.spatial = x->rank - 2,
                        .batch = (size_t)x->dim[0],
                        .groups = (size_t)groups,
                        .in_channels = (size_t)channels,
                        .out_channels = (size_t)k->dim[0]};
    memcpy(ret->in, f->in, sizeof ret->in);
    memcpy(ret->out, f->out, sizeof ret->out);
    memcpy(ret->kernel, f->kernel, sizeof ret->kernel);
    memcpy(ret->stride, f->stride, sizeof ret->stride);
    memcpy(ret->dilation, f->dilation, sizeof ret->dilation);
    memcpy(ret->pad, f->pad, sizeof ret->pad);
    return ERR_OK;
}

static err_code conv_set(op_call *c, uint32_t w, dtype type, err *e)
{
    spatial_fit f;
    conv_shape s;
    err_code rc = conv_fit(c, w, &f, &s, e);
    if (rc) return rc;
    shape y = c->in[0]->shape;
    y.dim[1] = c->in[w]->shape.dim[0];
    for (uint32_t i = 2; i < y.rank; i++) y.dim[i] = (int64_t)f.out[SPATIAL_MAX - y.rank + i];
    return op_set(c, 0, type, &y, e);
}

static err_code integer_conv(op_call *c, uint32_t w, uint32_t x_zero, uint32_t w_zero, conv_shape *s, int32_t *y,
                             err *e)
{
    const int32_t *zero;
    size_t step;
    spatial_fit f;
    err_code rc = conv_fit(c, w, &f, s, e);
    if (!rc) rc = zeros_of(c, x_zero, 1, &zero, &step, e);
    if (rc) return rc;
    qconv_call call = {.shape = s,
                       .x = c->in[0]->data,
                       .w = c->in[w]->data,
                       .x_signed = c->in[0]->type == DT_I8,
                       .w_signed = c->in[w]->type == DT_I8,
                       .x_zero = zero ? *zero : 0};
    call.y = y;
    rc = zeros_of(c, w_zero, s->out_channels, &call.w_zero, &call.w_zero_step, e);
    return rc ? rc : qconv(&call, c->k, c->pool, c->scratch, e);
}

static err_code conv_integer_infer(op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T_BYTES, e);
    if (!rc) rc = op_type(c, 1, T_BYTES, e);
    if (!rc) rc = op_type(c, 2, T1(c->in[0]->type), e);
    if (!rc) rc = op_type(c, 3, T1(c->in[1]->type), e);
    return rc ? rc : conv_set(c, 1, DT_I32, e);
}

static err_code conv_integer_run(op_call *c, err *e)
{
    conv_shape s;
    return tensor_count(c->out[0]) ? integer_conv(c, 1, 2, 3, &s, c->out[0]->data, e) : ERR_OK;
}

static err_code qlinear_conv_infer(op_call *c, err *e)
{
    err_code rc = qlinear_types(c, e);
    if (!rc) rc = op_type(c, Q_BIAS, T1(DT_I32), e);
    if (!rc && c->in_count > Q_BIAS && c->in[Q_BIAS] &&
        tensor_count(c->in[Q_BIAS]) != (uint64_t)c->in[Q_B]->shape.dim[0])
        rc = op_err(c, e, ERR_INVALID, "input %d: expected a bias for each output channel", Q_BIAS);
    return rc ? rc : conv_set(c, Q_B, c->in[Q_Y_ZERO]->type, e);
}

static err_code qlinear_conv_run(op_call *c, err *e)
{
    int32_t *sum;
    const float *scale;
    size_t step;
    conv_shape s;
    if (tensor_count(c->out[0]) == 0) return ERR_OK;
    err_code rc = scales_of(c, (size_t)c->in[Q_B]->shape.dim[0], &scale, &step, e);
    if (!rc) rc = sums_of(c, &sum, e);
    if (!rc) rc = integer_conv(c, Q_B, Q_A_ZERO, Q_B_ZERO, &s, sum, e);
    if (rc) return rc;
    size_t points = s.out[0] * s.out[1] * s.out[2];
    const int32_t *bias = c->in_count > Q_BIAS && c->in[Q_BIAS] ? c->in[Q_BIAS]->data : NULL;
    for (size_t i = 0; i < s.batch * s.out_channels; i++) {
        size_t channel = i % s.out_channels;
        uint32_t b = bias ? (uint32_t)bias[channel] : 0;
        for (size_t j = 0; b && j < points; j++) sum[i * points + j] = (int32_t)((uint32_t)sum[i * points + j] + b);
        requantize_row(c, i * points, sum + i * points, scale + channel * step, 0, points);
    }
    return ERR_OK;
}

#define CONV_ATTRS \
    {"auto_pad", ATTR_STRING, false}, {"dilations", ATTR_INTS, false}, {"group", ATTR_INT, false}, \
        {"kernel_shape", ATTR_INTS, false}, {"pads", ATTR_INTS, false}, \
    { \
        "strides", ATTR_INTS, false \
    }

const op_row op_rows_qgemm[] = {
    {.name = "MatMulInteger",
     .domain = "",
     .since = 10,
     .in_min = 2,
     .in_max = 4,
     .out_min = 1,
     .out_max = 1,
     .infer = matmul_integer_infer,
     .run = matmul_integer_run},
    {.name = "QLinearMatMul",
     .domain = "",
     .since = 10,
     .in_min = 8,
     .in_max = 8,
     .out_min = 1,
     .out_max = 1,
     .infer = qlinear_matmul_infer,
     .run = qlinear_matmul_run},
    {.name = "ConvInteger",
     .domain = "",
     .since = 10,
     .in_min = 2,
     .in_max = 4,
     .out_min = 1,
     .out_max = 1,
     .attrs = {CONV_ATTRS},
     .infer = conv_integer_infer,
     .run = conv_integer_run},
    {.name = "QLinearConv",
     .domain = "",
     .since = 10,
     .in_min = 8,
     .in_max = 9,
     .out_min = 1,
     .out_max = 1,
     .attrs = {CONV_ATTRS},
     .infer = qlinear_conv_infer,
     .run = qlinear_conv_run},
    {0},
};
