/* Operators about shapes: those that only look at one, and those that only change one (OP_VIEW: no data moves). */
#include "engine/op.h"
#include "tensor/move.h"

#include <string.h>

/* ---- Shape, Size ---- */

/* Dims start..end-1, either counted from the back when negative, clamped. */
static void shape_range(const op_call *c, uint32_t *ret_from, uint32_t *ret_to)
{
    int64_t rank = c->in[0]->shape.rank, from = node_int(c->node, "start", 0), to = node_int(c->node, "end", rank);
    from = from < 0 ? from + rank : from;
    to = to < 0 ? to + rank : to;
    from = from < 0 ? 0 : from > rank ? rank : from;
    to = to < from ? from : to > rank ? rank : to;
    *ret_from = (uint32_t)from;
    *ret_to = (uint32_t)to;
}

static err_code shape_infer(op_call *c, err *e)
{
    uint32_t from, to;
    shape_range(c, &from, &to);
    int64_t n = to - from;
    shape s = shape_make(1, &n);
    return op_set(c, 0, DT_I64, &s, e);
}

static err_code shape_run(op_call *c, err *e)
{
    (void)e;
    uint32_t from, to;
    shape_range(c, &from, &to);
    if (to > from) memcpy(c->out[0]->data, c->in[0]->shape.dim + from, (to - from) * sizeof(int64_t));
    return ERR_OK;
}

static err_code size_infer(op_call *c, err *e)
{
    shape scalar = {0};
    return op_set(c, 0, DT_I64, &scalar, e);
}

static err_code size_run(op_call *c, err *e)
{
    (void)e;
    *(int64_t *)c->out[0]->data = (int64_t)tensor_count(c->in[0]);
    return ERR_OK;
}

/* ---- Reshape, Flatten, Squeeze, Unsqueeze ---- */

static err_code reshape_infer(op_call *c, err *e)
{
    if (!op_known(c, 1)) return op_later(c, 1);
    op_ints want;
    const tensor *x = c->in[0];
    char text[SHAPE_TEXT_MAX];
    bool allow_zero = node_int(c->node, "allowzero", 0) != 0;
    err_code rc = op_ints_of(c, 1, "shape", &want, e);
    if (rc) return rc;
    if (want.count > TENSOR_RANK_MAX)
        return op_err(c, e, ERR_UNSUPPORTED, "expected rank of at most %d, got %u", TENSOR_RANK_MAX, want.count);
    shape s = {.rank = want.count};
    uint64_t known = 1;
    int32_t open = -1;
    for (uint32_t i = 0; i < want.count; i++) {
        int64_t d = want.at[i];
        if (d == 0 && !allow_zero) {
            if (i >= x->shape.rank)
                return op_err(c, e, ERR_INVALID, "shape[%u]: 0 copies a dimension that input %s has not", i,
                              shape_text(&x->shape, text));
            d = x->shape.dim[i];
        }
        if (d < -1 || (d == -1 && open >= 0))
            return op_err(c, e, ERR_INVALID, "shape[%u]: expected one -1 at most, got %lld", i, (long long)d);
        if (d == -1)
            open = (int32_t)i;
        else if (__builtin_mul_overflow(known, (uint64_t)d, &known))
            return op_err(c, e, ERR_INVALID, "shape: too many elements");
        s.dim[i] = d;
    }
    uint64_t count = tensor_count(x);
    if (open >= 0) s.dim[open] = known ? (int64_t)(count / known) : 0;
    if (open >= 0 ? (known ? count % known != 0 : count != 0) : known != count) {
        if (open >= 0) s.dim[open] = -1;
        char got[SHAPE_TEXT_MAX];
        return op_err(c, e, ERR_INVALID, "cannot reshape %s to %s", shape_text(&x->shape, text), shape_text(&s, got));
    }
    return op_set(c, 0, x->type, &s, e);
}

static err_code flatten_infer(op_call *c, err *e)
{
    const shape *x = &c->in[0]->shape;
    int64_t axis = node_int(c->node, "axis", 1), rank = x->rank;
    if (axis < -rank || axis > rank)
        return op_err(c, e, ERR_INVALID, "axis: expected %lld..%lld, got %lld", (long long)-rank, (long long)rank,
                      (long long)axis);
    uint32_t at = (uint32_t)(axis < 0 ? axis + rank : axis);
    int64_t dims[2] = {(int64_t)shape_count_range(x, 0, at), (int64_t)shape_count_range(x, at, x->rank)};
    shape s = shape_make(2, dims);
    return op_set(c, 0, c->in[0]->type, &s, e);
}

static err_code squeeze_infer(op_call *c, err *e)
{
    if (!op_known(c, 1)) return op_later(c, 1);
    const shape *x = &c->in[0]->shape;
    op_ints axes;
    err_code rc = op_axes_of(c, 1, "axes", x->rank, &axes, e);
    if (rc) return rc;
    bool given = (c->in_count > 1 && c->in[1]) || node_attr(c->node, "axes");
    uint32_t drop = 0;
    for (uint32_t i = 0; i < axes.count; i++) {
        if (x->dim[axes.at[i]] != 1)
            return op_err(c, e, ERR_INVALID, "axes: expected a dimension of 1 at %lld, got %lld", (long long)axes.at[i],
                          (long long)x->dim[axes.at[i]]);
        drop |= 1u << axes.at[i];
    }
    shape s = {0};
    for (uint32_t i = 0; i < x->rank; i++) {
        bool gone = given ? drop >> i & 1 : x->dim[i] == 1;
        if (!gone) s.dim[s.rank++] = x->dim[i];
    }
    return op_set(c, 0, c->in[0]->type, &s, e);
}

static err_code unsqueeze_infer(op_call *c, err *e)
{
    if (!op_known(c, 1)) return op_later(c, 1);
    const shape *x = &c->in[0]->shape;
    op_ints axes;
    err_code rc = op_ints_of(c, 1, "axes", &axes, e);
    if (rc) return rc;
    if (x->rank + axes.count > TENSOR_RANK_MAX)
        return op_err(c, e, ERR_UNSUPPORTED, "expected rank of at most %d, got %u", TENSOR_RANK_MAX,
                      x->rank + axes.count);
    uint32_t rank = x->rank + axes.count, added = 0;
    if ((rc = op_axes_of(c, 1, "axes", rank, &axes, e)) != ERR_OK) return rc;
    for (uint32_t i = 0; i < axes.count; i++) added |= 1u << axes.at[i];
    shape s = {.rank = rank};
    for (uint32_t i = 0, k = 0; i < rank; i++) s.dim[i] = added >> i & 1 ? 1 : x->dim[k++];
    return op_set(c, 0, c->in[0]->type, &s, e);
}

/* ---- Expand, ConstantOfShape, Range ---- */

static err_code shape_from(op_call *c, uint32_t input, shape *ret, err *e)
{
    op_ints dims;
    err_code rc = op_ints_of(c, input, NULL, &dims, e);
    if (rc) return rc;
    if (dims.count > TENSOR_RANK_MAX)
        return op_err(c, e, ERR_UNSUPPORTED, "expected rank of at most %d, got %u", TENSOR_RANK_MAX, dims.count);
    for (uint32_t i = 0; i < dims.count; i++)
        if (dims.at[i] < 0)
            return op_err(c, e, ERR_INVALID, "shape[%u]: expected 0 or more, got %lld", i, (long long)dims.at[i]);
    *ret = shape_make(dims.count, dims.at);
    return ERR_OK;
}

static err_code expand_infer(op_call *c, err *e)
{
    if (!op_known(c, 1)) return op_later(c, 1);
    shape want, s;
    err inner;
    err_code rc = shape_from(c, 1, &want, e);
    if (rc) return rc;
    if (shape_broadcast(&s, &c->in[0]->shape, &want, &inner)) return op_err(c, e, inner.code, "%s", inner.text);
    return op_set(c, 0, c->in[0]->type, &s, e);
}

static err_code expand_run(op_call *c, err *e)
{
    (void)e;
    view to = view_of(&c->out[0]->shape), from = view_broadcast(&c->in[0]->shape, &c->out[0]->shape);
    if (c->out[0]->data) move_copy(c->out[0]->data, &to, c->in[0]->data, &from, dtype_bits(c->in[0]->type) / 8);
    return ERR_OK;
}

static err_code constant_infer(op_call *c, err *e)
{
    if (!op_known(c, 0)) return op_later(c, 0);
    const attr *given = node_attr(c->node, "value");
    shape s;
    err_code rc = shape_from(c, 0, &s, e);
    if (rc) return rc;
    if (given && tensor_count(given->t) != 1)
        return op_err(c, e, ERR_INVALID, "value: expected one element, got %llu",
                      (unsigned long long)tensor_count(given->t));
    return op_set(c, 0, given ? given->t->type : DT_F32, &s, e);
}

static err_code constant_run(op_call *c, err *e)
{
    (void)e;
    const attr *given = node_attr(c->node, "value");
    size_t size = dtype_bits(c->out[0]->type) / 8, bytes = tensor_bytes(c->out[0]);
    if (bytes == 0) return ERR_OK;
    if (!given) {
        memset(c->out[0]->data, 0, bytes);
    } else if (size == 0) { /* packed: every element of the byte is the first one */
        uint32_t bits = dtype_bits(c->out[0]->type), one = *(const uint8_t *)given->t->data & ((1u << bits) - 1);
        memset(c->out[0]->data, (int)(bits == 4 ? one * 0x11u : one * 0x55u), bytes);
    } else {
        view to = view_of(&c->out[0]->shape);
        move_fill(c->out[0]->data, &to, given->t->data, size);
    }
    return ERR_OK;
}

/* max(ceil((limit - start) / delta), 0), in integers where the inputs are. */
static err_code range_count(const op_call *c, int64_t *ret, err *e)
{
    if (dtype_kind_of(c->in[0]->type) == KIND_FLOAT) {
        double n = (tensor_f64(c->in[1], 0) - tensor_f64(c->in[0], 0)) / tensor_f64(c->in[2], 0);
        if (!(n < 9e15)) return op_err(c, e, ERR_INVALID, "expected a range that ends, got %g elements", n);
        n = __builtin_ceil(n);
        *ret = n > 0 ? (int64_t)n : 0;
        return ERR_OK;
    }
    int64_t start = tensor_int(c->in[0], 0), limit = tensor_int(c->in[1], 0), delta = tensor_int(c->in[2], 0), span;
    if (delta == 0) return op_err(c, e, ERR_INVALID, "delta: expected a step, got 0");
    if (__builtin_sub_overflow(limit, start, &span) || span == INT64_MIN || delta == INT64_MIN)
        return op_err(c, e, ERR_INVALID, "expected a range of fewer than 2^63 steps");
    bool empty = span == 0 || (span < 0) != (delta < 0);
    *ret = empty ? 0 : span / delta + (span % delta != 0);
    return ERR_OK;
}

static err_code range_infer(op_call *c, err *e)
{
    int64_t n;
    for (uint32_t i = 0; i < 3; i++) {
        err_code rc = op_type(c, i, T_FLOAT | T1(DT_I16) | T1(DT_I32) | T1(DT_I64), e);
        if (rc) return rc;
        if (c->in[i]->type != c->in[0]->type || tensor_count(c->in[i]) != 1)
            return op_err(c, e, ERR_INVALID, "expected three scalars of one type");
        if (!op_known(c, i)) return op_later(c, i);
    }
    err_code rc = range_count(c, &n, e);
    if (rc) return rc;
    shape s = shape_make(1, &n);
    return op_set(c, 0, c->in[0]->type, &s, e);
}

static err_code range_run(op_call *c, err *e)
{
    (void)e;
    tensor *y = c->out[0];
    uint64_t n = tensor_count(y);
    if (dtype_kind_of(y->type) == KIND_FLOAT) {
        double start = tensor_f64(c->in[0], 0), delta = tensor_f64(c->in[2], 0);
        for (uint64_t i = 0; i < n; i++) tensor_put_f64(y, i, start + (double)i * delta);
    } else {
        int64_t start = tensor_int(c->in[0], 0), delta = tensor_int(c->in[2], 0);
        for (uint64_t i = 0; i < n; i++) tensor_put_int(y, i, start + (int64_t)i * delta);
    }
    return ERR_OK;
}

#define VIEW1 .flags = OP_VIEW, .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1
#define VIEW2(min) .flags = OP_VIEW, .in_min = (min), .in_max = 2, .out_min = 1, .out_max = 1
#define ONE(n) .in_min = (n), .in_max = (n), .out_min = 1, .out_max = 1
const op_row op_rows_shape[] = {
    {.name = "Shape", .domain = "", .since = 1, .flags = OP_SHAPE, ONE(1), .infer = shape_infer, .run = shape_run},
    {.name = "Shape", .domain = "", .since = 15, .flags = OP_SHAPE, ONE(1),
     .attrs = {{"start", ATTR_INT, false}, {"end", ATTR_INT, false}}, .infer = shape_infer, .run = shape_run},
    {.name = "Size", .domain = "", .since = 1, .flags = OP_SHAPE, ONE(1), .infer = size_infer, .run = size_run},
    {.name = "Reshape", .domain = "", .since = 5, VIEW2(2), .infer = reshape_infer},
    {.name = "Reshape",
     .domain = "",
     .since = 14,
     VIEW2(2),
     .attrs = {{"allowzero", ATTR_INT, false}},
     .infer = reshape_infer},
    {.name = "Flatten", .domain = "", .since = 1, VIEW1, .attrs = {{"axis", ATTR_INT, false}}, .infer = flatten_infer},
    {.name = "Squeeze", .domain = "", .since = 1, VIEW1, .attrs = {{"axes", ATTR_INTS, false}}, .infer = squeeze_infer},
    {.name = "Squeeze", .domain = "", .since = 13, VIEW2(1), .infer = squeeze_infer},
    {.name = "Unsqueeze",
     .domain = "",
     .since = 1,
     VIEW1,
     .attrs = {{"axes", ATTR_INTS, true}},
     .infer = unsqueeze_infer},
    {.name = "Unsqueeze", .domain = "", .since = 13, VIEW2(2), .infer = unsqueeze_infer},
    {.name = "Expand", .domain = "", .since = 8, ONE(2), .infer = expand_infer, .run = expand_run},
    {.name = "ConstantOfShape",
     .domain = "",
     .since = 9,
     ONE(1),
     .attrs = {{"value", ATTR_TENSOR, false}},
     .infer = constant_infer,
     .run = constant_run},
    {.name = "Range", .domain = "", .since = 11, ONE(3), .infer = range_infer, .run = range_run},
    {0},
};
