/* Softmax, LogSoftmax and Hardmax along an axis; CumSum and CumProd. */
#include "engine/op_lanes.h"

#include <math.h>
#include <string.h>

typedef enum { SOFTMAX, LOG_SOFTMAX, HARDMAX } soft_kind;

/* Up to opset 12 the input is seen as a matrix: the axis and all after it are one. */
typedef struct {
    soft_kind kind;
    bool matrix;
} soft_op;

typedef struct {
    const op_call *call;
    soft_kind kind;
    lanes l;
} soft;

/* The axes of a lane as a bit set. */
static err_code soft_axes(const op_call *c, uint32_t *ret, err *e)
{
    const soft_op *op = c->node->row->data;
    uint32_t rank = c->in[0]->shape.rank, axis;
    int64_t wanted = node_int(c->node, "axis", op->matrix ? 1 : -1);
    if (rank == 0 || (op->matrix && wanted == (int64_t)rank)) {      /* a matrix of one column */
        *ret = 0;
        return ERR_OK;
    }
    err_code rc = op_axis_of(c, wanted, rank, "axis", &axis, e);
    if (rc)
        return rc;
    *ret = op->matrix ? (1u << rank) - (1u << axis) : 1u << axis;
    return ERR_OK;
}

static err_code soft_infer(op_call *c, err *e)
{
    uint32_t axes;
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc)
        rc = soft_axes(c, &axes, e);
    return rc ? rc : op_same(c, e);
}

/* One lane in double, element by element: any type, any stride, all three kinds. */
static void soft_lane(const soft *s, uint64_t index)
{
    const tensor *x = s->call->in[0];
    tensor *y = s->call->out[0];
    view v = lanes_at(&s->l, index);
    uint64_t best = 0;
    double max = -(double)INFINITY, sum = 0;
    INVARIANT(v.rank <= 1);      /* the axes of a lane are neighbours */
    int64_t stride = v.rank ? v.stride[0] : 0;
    for (uint64_t i = 0; i < s->l.length; i++) {
        double a = tensor_f64(x, (uint64_t)(v.offset + (int64_t)i * stride));
        if (a > max || (isnan(a) && !isnan(max))) {
            max = a;
            best = i;
        }
    }
    for (uint64_t i = 0; i < s->l.length; i++)
        sum += exp(tensor_f64(x, (uint64_t)(v.offset + (int64_t)i * stride)) - max);
    for (uint64_t i = 0; i < s->l.length; i++) {
        uint64_t at = (uint64_t)(v.offset + (int64_t)i * stride);
        double a = tensor_f64(x, at) - max;
        tensor_put_f64(y, at, s->kind == SOFTMAX ? exp(a) / sum : s->kind == LOG_SOFTMAX ? a - log(sum) : i == best);
    }
}

/* Lanes that are rows of floats: the kernels' own case. */
static void soft_row(const soft *s, uint64_t index)
{
    const kernel_set *k = s->call->k;
    size_t n = (size_t)s->l.length;
    const float *x = (const float *)s->call->in[0]->data + index * n;
    float *y = (float *)s->call->out[0]->data + index * n;
    if (s->kind == SOFTMAX)
        k->softmax_f32(y, x, n);
    else
        k->log_softmax_f32(y, x, n);
}

/* `n` neighbouring lanes of floats, the elements of one lane `stride` apart: a row of the axis at a time. */
static void soft_columns(const soft *s, int64_t offset, int64_t stride, size_t n)
{
    const kernel_set *k = s->call->k;
    const float *x = (const float *)s->call->in[0]->data + offset;
    float *y = (float *)s->call->out[0]->data + offset;
    int64_t length = (int64_t)s->l.length;
    UNINIT tile max, sum, e;
    memcpy(max.f32, x, n * sizeof *x);
    for (int64_t i = 1; i < length; i++)
        k->max_f32(max.f32, max.f32, x + i * stride, n);
    memset(sum.f32, 0, n * sizeof *x);
    for (int64_t i = 0; i < length; i++) {
        float *to = s->kind == SOFTMAX ? y + i * stride : e.f32;
        k->sub_f32(to, x + i * stride, max.f32, n);
        k->exp_f32(to, to, n);
        k->add_f32(sum.f32, sum.f32, to, n);
    }
    if (s->kind == LOG_SOFTMAX)
        k->log_f32(sum.f32, sum.f32, n);
    for (int64_t i = 0; i < length; i++) {
        if (s->kind == SOFTMAX) {
            k->div_f32(y + i * stride, y + i * stride, sum.f32, n);
            continue;
        }
        k->sub_f32(y + i * stride, x + i * stride, max.f32, n);
        k->sub_f32(y + i * stride, y + i * stride, sum.f32, n);
    }
}

static void soft_lanes(void *ctx, uint64_t first, uint64_t count)
{
    const soft *s = ctx;
    const view *apart = &s->l.each;
    bool fast = s->call->in[0]->type == DT_F32 && s->kind != HARDMAX;
    bool columns = fast && !s->l.row && apart->rank > 0 && apart->stride[apart->rank - 1] == 1;
    while (count > 0) {
        uint64_t n = 1;
        if (columns) {
            uint64_t width = (uint64_t)apart->dim[apart->rank - 1];
            n = width - first % width;
            n = n < count ? n : count;
            n = n < TILE ? n : TILE;
            view v = lanes_at(&s->l, first);
            soft_columns(s, v.offset, v.rank ? v.stride[0] : 0, (size_t)n);
        }
        else if (fast && s->l.row)
            soft_row(s, first);
        else
            soft_lane(s, first);
        first += n;
        count -= n;
    }
}

static err_code soft_run(op_call *c, err *e)
{
    const soft_op *op = c->node->row->data;
    uint32_t axes;
    err_code rc = soft_axes(c, &axes, e);
    if (rc || tensor_count(c->in[0]) == 0)
        return rc;
    soft s = {.call = c, .kind = op->kind, .l = lanes_of(&c->in[0]->shape, axes)};
    lanes_for(c->pool, &s.l, soft_lanes, &s);
    return ERR_OK;
}

/* ---- running sums and products ------------------------------------------------------------------------------ */

typedef struct {
    const op_call *call;
    lanes l;
    bool product, exclusive, reverse;
} scan;

#define T_SCAN (T_FLOAT | T1(DT_I32) | T1(DT_I64) | T1(DT_U32) | T1(DT_U64))

static err_code scan_axis(const op_call *c, uint32_t *ret, err *e)
{
    if (tensor_count(c->in[1]) != 1)
        return op_err(c, e, ERR_INVALID, "axis: expected one number, got %llu",
                      (unsigned long long)tensor_count(c->in[1]));
    return op_axis_of(c, tensor_int(c->in[1], 0), c->in[0]->shape.rank, "axis", ret, e);
}

static err_code scan_infer(op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T_SCAN, e);
    if (!rc)
        rc = op_type(c, 1, T1(DT_I32) | T1(DT_I64), e);
    return rc ? rc : op_same(c, e);
}

/* float16 and bfloat16, whose sums run in double. */
static void scan_lane(const scan *s, uint64_t index)
{
    view v = lanes_at(&s->l, index);
    double sum = s->product;
    for (uint64_t i = 0; i < s->l.length; i++) {
        uint64_t k = s->reverse ? s->l.length - 1 - i : i;
        uint64_t at = (uint64_t)(v.offset + (v.rank ? (int64_t)k * v.stride[0] : 0));
        double before = sum, a = tensor_f64(s->call->in[0], at);
        sum = s->product ? sum * a : sum + a;
        tensor_put_f64(s->call->out[0], at, s->exclusive ? before : sum);
    }
}

/* The same without a look at the type of each element. */
#define SCAN_LANE(name, TYPE, ACC)                                                             \
    static void name(const scan *s, uint64_t index)                                            \
    {                                                                                          \
        view v = lanes_at(&s->l, index);                                                       \
        int64_t stride = v.rank ? v.stride[0] : 0, length = (int64_t)s->l.length;              \
        const TYPE *x = (const TYPE *)s->call->in[0]->data + v.offset;                         \
        TYPE *y = (TYPE *)s->call->out[0]->data + v.offset;                                    \
        ACC sum = s->product;                                                                  \
        for (int64_t i = 0; i < length; i++) {                                                 \
            int64_t at = (s->reverse ? length - 1 - i : i) * stride;                           \
            ACC before = sum;                                                                  \
            sum = s->product ? sum * (ACC)x[at] : sum + (ACC)x[at];                            \
            y[at] = (TYPE)(s->exclusive ? before : sum);                                       \
        }                                                                                      \
    }
SCAN_LANE(scan_f32, float, double)
SCAN_LANE(scan_f64, double, double)
SCAN_LANE(scan_u32, uint32_t, uint32_t)
SCAN_LANE(scan_u64, uint64_t, uint64_t)

static void scan_lanes(void *ctx, uint64_t first, uint64_t count)
{
    const scan *s = ctx;
    dtype type = s->call->in[0]->type;
    void (*lane)(const scan *s, uint64_t index) = scan_lane;
    if (type == DT_F32)
        lane = scan_f32;
    else if (type == DT_F64)
        lane = scan_f64;
    else if (type == DT_I32 || type == DT_U32)
        lane = scan_u32;
    else if (type == DT_I64 || type == DT_U64)
        lane = scan_u64;
    for (uint64_t i = first; i < first + count; i++)
        lane(s, i);
}

static err_code scan_run(op_call *c, err *e)
{
    uint32_t axis;
    err_code rc = scan_axis(c, &axis, e);
    if (rc || tensor_count(c->in[0]) == 0)
        return rc;
    scan s = {.call = c, .l = lanes_of(&c->in[0]->shape, 1u << axis), .product = c->node->row->data != NULL,
              .exclusive = node_int(c->node, "exclusive", 0) != 0, .reverse = node_int(c->node, "reverse", 0) != 0};
    lanes_for(c->pool, &s.l, scan_lanes, &s);
    return ERR_OK;
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static const soft_op softmax_1 = {SOFTMAX, true}, softmax_13 = {SOFTMAX, false}, log_softmax_1 = {LOG_SOFTMAX, true},
                     log_softmax_13 = {LOG_SOFTMAX, false}, hardmax_1 = {HARDMAX, true}, hardmax_13 = {HARDMAX, false};

#define SOFT(op, first, which)                                                                                 \
    {.name = op, .domain = "", .since = first, .flags = OP_INPLACE, .in_min = 1, .in_max = 1, .out_min = 1,    \
     .out_max = 1, .infer = soft_infer, .run = soft_run, .data = &which, .attrs = {{"axis", ATTR_INT, false}}}
#define SCAN(op, first, which)                                                                                 \
    {.name = op, .domain = "", .since = first, .in_min = 2, .in_max = 2, .out_min = 1, .out_max = 1,           \
     .infer = scan_infer, .run = scan_run, .data = which,                                                      \
     .attrs = {{"exclusive", ATTR_INT, false}, {"reverse", ATTR_INT, false}}}

const op_row op_rows_softmax[] = {
    SOFT("Softmax", 1, softmax_1),
    SOFT("Softmax", 13, softmax_13),
    SOFT("LogSoftmax", 1, log_softmax_1),
    SOFT("LogSoftmax", 13, log_softmax_13),
    SOFT("Hardmax", 1, hardmax_1),
    SOFT("Hardmax", 13, hardmax_13),
    SCAN("CumSum", 11, NULL),
    SCAN("CumProd", 26, "product"),
    {0},
};
