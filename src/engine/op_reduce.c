/* Reductions over axes, and the place of the largest and smallest element. */
#include "engine/op_each.h"
#include "engine/op_lanes.h"

#include <math.h>
#include <string.h>

typedef enum { SUM, MEAN, MAX, MIN, PROD, L1, L2, LOG_SUM, LOG_SUM_EXP, SUM_SQUARE } reduce_kind;

typedef struct {
    reduce_kind kind;
    bool axes_input;                  /* axes are input 1, not an attribute */
    uint32_t types;
} reduce_op;

/* What one lane has come to so far, in the type of arithmetic that the tiles are in. */
typedef struct {
    double f, top;                    /* top: the largest so far, of LOG_SUM_EXP */
    int64_t i;
    uint64_t u;
} state;

typedef struct {
    const op_call *call;
    const reduce_op *op;
    lanes l;
    tile_as as;
    dtype type;
} reduce;

/* The axes as a bit set; ret_none: there are none and nothing is to be reduced over. */
static err_code axes_of(op_call *c, uint32_t *ret, err *e)
{
    const reduce_op *op = c->node->row->data;
    uint32_t rank = c->in[0]->shape.rank, bits = 0;
    op_ints axes;
    err_code rc = op_axes_of(c, op->axes_input ? 1 : OP_ANY, op->axes_input ? NULL : "axes", rank, &axes, e);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < axes.count; i++)
        bits |= 1u << axes.at[i];
    if (axes.count == 0 && !node_int(c->node, "noop_with_empty_axes", 0))
        bits = (1u << rank) - 1;
    *ret = bits;
    return ERR_OK;
}

static shape kept(const shape *s, uint32_t axes, bool keepdims)
{
    shape y = {0};
    for (uint32_t d = 0; d < s->rank; d++) {
        bool inside = axes >> d & 1;
        if (!inside || keepdims)
            y.dim[y.rank++] = inside ? 1 : s->dim[d];
    }
    return y;
}

static err_code reduce_infer(op_call *c, err *e)
{
    const reduce_op *op = c->node->row->data;
    uint32_t axes;
    err_code rc = op_type(c, 0, op->types, e);
    if (!rc && op->axes_input && !op_known(c, 1))
        return op_later(c, 1);
    if (!rc)
        rc = axes_of(c, &axes, e);
    if (rc)
        return rc;
    shape s = kept(&c->in[0]->shape, axes, node_int(c->node, "keepdims", 1) != 0);
    return op_set(c, 0, c->in[0]->type, &s, e);
}

/* ---- one lane ----------------------------------------------------------------------------------------------- */

static int64_t least_of(dtype t)
{
    return dtype_kind_of(t) == KIND_INT ? INT64_MIN >> (64 - dtype_bits(t)) : 0;
}

static int64_t most_of(dtype t)
{
    uint32_t bits = t == DT_BOOL ? 1 : dtype_bits(t) - (dtype_kind_of(t) == KIND_INT);
    return bits < 63 ? ((int64_t)1 << bits) - 1 : INT64_MAX;
}

static state start(const reduce *r)
{
    switch (r->op->kind) {
    case PROD: return (state){.f = 1, .i = 1, .u = 1};
    case MAX: return (state){.f = -(double)INFINITY, .i = least_of(r->type)};
    case MIN: return (state){.f = (double)INFINITY, .i = most_of(r->type), .u = UINT64_MAX};
    case LOG_SUM_EXP: return (state){.top = -(double)INFINITY};
    default: return (state){0};
    }
}

static double max2(double a, double b) { return isnan(a) || a > b ? a : b; }
static double min2(double a, double b) { return isnan(a) || a < b ? a : b; }

/* Sum of e^x kept relative to the largest x, which may grow. */
static void add_exp(state *s, double x)
{
    if (x <= s->top)
        s->f += s->top == -(double)INFINITY ? 0 : exp(x - s->top);
    else {
        s->f = isnan(x) ? x : x == (double)INFINITY ? 1 : s->f * exp(s->top - x) + 1;
        s->top = x;
    }
}

static void fold_f32(const reduce *r, state *s, const float *x, size_t n)
{
    const kernel_set *k = r->call->k;
    switch (r->op->kind) {
    case SUM:
    case MEAN:
    case LOG_SUM: s->f += (double)k->sum_f32(x, n); return;
    case L1: s->f += (double)k->sumabs_f32(x, n); return;
    case L2:
    case SUM_SQUARE: s->f += (double)k->sumsq_f32(x, n); return;
    case MAX: s->f = max2(s->f, (double)k->reduce_max_f32(x, n)); return;
    case MIN: s->f = min2(s->f, (double)k->reduce_min_f32(x, n)); return;
    case PROD:
        for (size_t i = 0; i < n; i++)
            s->f *= (double)x[i];
        return;
    case LOG_SUM_EXP:
        for (size_t i = 0; i < n; i++)
            add_exp(s, (double)x[i]);
        return;
    }
}

static void fold_f64(const reduce *r, state *s, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        switch (r->op->kind) {
        case SUM:
        case MEAN:
        case LOG_SUM: s->f += x[i]; break;
        case L1: s->f += fabs(x[i]); break;
        case L2:
        case SUM_SQUARE: s->f += x[i] * x[i]; break;
        case MAX: s->f = max2(s->f, x[i]); break;
        case MIN: s->f = min2(s->f, x[i]); break;
        case PROD: s->f *= x[i]; break;
        case LOG_SUM_EXP: add_exp(s, x[i]); break;
        }
    }
}

/* Whole numbers wrap; what ends in a root or a logarithm is summed in double beside it. */
static void fold_whole(const reduce *r, state *s, const int64_t *x, size_t n)
{
    bool is_u64 = r->as == AS_U64;
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = (uint64_t)x[i], size = !is_u64 && x[i] < 0 ? 0 - bits : bits;
        double v = is_u64 ? (double)bits : (double)x[i];
        switch (r->op->kind) {
        case SUM:
        case MEAN: s->i = (int64_t)((uint64_t)s->i + bits); break;
        case LOG_SUM: s->f += v; break;
        case L1: s->i = (int64_t)((uint64_t)s->i + size); break;
        case L2: s->f += v * v; break;
        case SUM_SQUARE: s->i = (int64_t)((uint64_t)s->i + bits * bits); break;
        case PROD: s->i = (int64_t)((uint64_t)s->i * bits); break;
        case MAX:
            s->u = bits > s->u ? bits : s->u;
            s->i = x[i] > s->i ? x[i] : s->i;
            break;
        case MIN:
            s->u = bits < s->u ? bits : s->u;
            s->i = x[i] < s->i ? x[i] : s->i;
            break;
        case LOG_SUM_EXP: add_exp(s, v); break;
        }
    }
}

/* The value in double, for floats, and for whole numbers where the kind ends in a root or a logarithm. */
static double finish(const reduce *r, const state *s)
{
    switch (r->op->kind) {
    case MEAN: return s->f / (double)r->l.length;
    case L2: return sqrt(s->f);
    case LOG_SUM: return log(s->f);
    case LOG_SUM_EXP: return isfinite(s->top) ? s->top + log(s->f) : isnan(s->f) ? s->f : s->top;
    default: return s->f;
    }
}

static void put(const reduce *r, const state *s, uint64_t at)
{
    tensor *y = r->call->out[0];
    bool whole = r->as == AS_I64 || r->as == AS_U64;
    reduce_kind kind = r->op->kind;
    if (!whole || kind == L2 || kind == LOG_SUM || kind == LOG_SUM_EXP)
        tensor_put_f64(y, at, finish(r, s));
    else if (kind == MEAN && r->l.length)
        tensor_put_int(y, at, r->as == AS_U64 ? (int64_t)((uint64_t)s->i / r->l.length) : s->i / (int64_t)r->l.length);
    else if (r->as == AS_U64 && (kind == MAX || kind == MIN))
        ((uint64_t *)y->data)[at] = s->u;
    else
        tensor_put_int(y, at, s->i);
}

static void reduce_lanes(void *ctx, uint64_t first, uint64_t count)
{
    const reduce *r = ctx;
    const tensor *x = r->call->in[0];
    UNINIT tile room;
    size_t step = lanes_step(x, &r->l);
    for (uint64_t lane = first; lane < first + count; lane++) {
        state s = start(r);
        for (uint64_t at = 0; at < r->l.length; at += step) {
            size_t n = r->l.length - at < step ? (size_t)(r->l.length - at) : step;
            const void *from = lanes_read(r->call->k, x, &r->l, lane, at, n, &room);
            if (r->as == AS_F32)
                fold_f32(r, &s, from, n);
            else if (r->as == AS_F64)
                fold_f64(r, &s, from, n);
            else
                fold_whole(r, &s, from, n);
        }
        put(r, &s, lane);
    }
}

/* ---- many neighbouring lanes at once: the innermost dimension is kept ---------------------------------------- */

/* Rows are added in order and in float, as ONNX Runtime does: Magika's layer norms take E[x^2] - E[x]^2 and were judged
 * with that rounding (64 rows in float, then double, is 14 times closer to the truth and moves one golden score by
 * 3e-3).  Every FLUSH_ROWS the float sums move into double, which bounds the error of long columns. */
enum { COLUMNS_MIN = 16, FLUSH_ROWS = 4096 };

static bool by_columns(const reduce *r)
{
    const view *apart = &r->l.each;
    reduce_kind kind = r->op->kind;
    return r->as == AS_F32 && kind != PROD && kind != LOG_SUM_EXP && r->l.length > 1 && apart->rank > 0 &&
           apart->stride[apart->rank - 1] == 1 && apart->dim[apart->rank - 1] >= COLUMNS_MIN;
}

static void add_tile(const reduce *r, float *sum, const float *row, size_t n)
{
    const kernel_set *k = r->call->k;
    UNINIT tile other;
    switch (r->op->kind) {
    case MAX: k->max_f32(sum, sum, row, n); return;
    case MIN: k->min_f32(sum, sum, row, n); return;
    case L1:
        k->abs_f32(other.f32, row, n);
        k->add_f32(sum, sum, other.f32, n);
        return;
    case L2:
    case SUM_SQUARE:
        k->mul_f32(other.f32, row, row, n);
        k->add_f32(sum, sum, other.f32, n);
        return;
    default: k->add_f32(sum, sum, row, n); return;
    }
}

/* Lanes lane..lane+n-1, whose first elements are neighbours; n <= TILE. */
static void reduce_tile(const reduce *r, uint64_t lane, size_t n)
{
    const tensor *x = r->call->in[0];
    view base = lanes_at(&r->l, lane), row = {.rank = 1, .dim = {(int64_t)n}, .stride = {1}};
    bool sums = r->op->kind != MAX && r->op->kind != MIN;
    double total[TILE] = {0};
    UNINIT tile acc, room;
    for (size_t i = 0; i < n; i++)
        acc.f32[i] = sums ? 0 : r->op->kind == MAX ? -INFINITY : INFINITY;
    for (uint64_t at = 0; at < r->l.length; at++) {
        uint64_t rest = at;
        row.offset = base.offset;
        for (uint32_t d = base.rank; d-- > 0; rest /= (uint64_t)base.dim[d])
            row.offset += (int64_t)(rest % (uint64_t)base.dim[d]) * base.stride[d];
        add_tile(r, acc.f32, tile_read(r->call->k, x, &row, 0, n, &room), n);
        if (!sums || (at % FLUSH_ROWS != FLUSH_ROWS - 1 && at + 1 < r->l.length))
            continue;
        for (size_t i = 0; i < n; i++) {
            total[i] += (double)acc.f32[i];
            acc.f32[i] = 0;
        }
    }
    for (size_t i = 0; i < n; i++) {
        state s = {.f = sums ? total[i] : (double)acc.f32[i]};
        put(r, &s, lane + i);
    }
}

/* `count` lanes from `first`, cut where they stop being neighbours. */
static void reduce_columns(void *ctx, uint64_t first, uint64_t count)
{
    const reduce *r = ctx;
    uint64_t width = (uint64_t)r->l.each.dim[r->l.each.rank - 1];
    while (count > 0) {
        uint64_t n = width - first % width;
        n = n < count ? n : count;
        n = n < TILE ? n : TILE;
        reduce_tile(r, first, (size_t)n);
        first += n;
        count -= n;
    }
}

static err_code reduce_run(op_call *c, err *e)
{
    uint32_t axes;
    err_code rc = axes_of(c, &axes, e);
    if (rc || tensor_count(c->out[0]) == 0)
        return rc;
    reduce r = {.call = c, .op = c->node->row->data, .type = c->in[0]->type};
    r.as = tile_as_of(r.type);
    r.l = lanes_of(&c->in[0]->shape, axes);
    lanes_for(c->pool, &r.l, by_columns(&r) ? reduce_columns : reduce_lanes, &r);
    return ERR_OK;
}

/* ---- ArgMax, ArgMin ----------------------------------------------------------------------------------------- */

typedef struct {
    const op_call *call;
    lanes l;
    bool max, last;
} arg;

static err_code arg_infer(op_call *c, err *e)
{
    uint32_t axis;
    err_code rc = op_type(c, 0, T_NUMBER, e);
    if (!rc)
        rc = op_axis(c, 0, c->in[0]->shape.rank, &axis, e);
    if (rc)
        return rc;
    if (c->in[0]->shape.dim[axis] == 0)
        return op_err(c, e, ERR_INVALID, "axis %u: expected at least one element", axis);
    shape s = kept(&c->in[0]->shape, 1u << axis, node_int(c->node, "keepdims", 1) != 0);
    return op_set(c, 0, DT_I64, &s, e);
}

/* The index of the best of x[0..n-1], going on from *best at *at.  The first NaN is the best of all, as in NumPy. */
#define BEST(name, TYPE, is_nan)                                                              \
    static void name(const arg *a, const TYPE *x, size_t n, int64_t first, TYPE *best, int64_t *at) \
    {                                                                                         \
        for (size_t i = 0; i < n; i++) {                                                      \
            bool better = (a->max ? x[i] > *best : x[i] < *best) || (a->last && x[i] == *best) || \
                          (is_nan(x[i]) && !is_nan(*best)) || first + (int64_t)i == 0;        \
            if (better) {                                                                     \
                *best = x[i];                                                                 \
                *at = first + (int64_t)i;                                                     \
            }                                                                                 \
        }                                                                                     \
    }
#define NEVER(v) ((void)(v), false)
BEST(best_f32, float, isnan)
BEST(best_f64, double, isnan)
BEST(best_i64, int64_t, NEVER)
BEST(best_u64, uint64_t, NEVER)

/* A row of floats: its best value by the kernel, then its place. */
static int64_t best_of_row(const arg *a, const float *x, size_t n)
{
    const kernel_set *k = a->call->k;
    float best = a->max ? k->reduce_max_f32(x, n) : k->reduce_min_f32(x, n);
    if (a->last && !isnan(best)) {
        for (size_t i = n; i-- > 0;)
            if (x[i] == best)
                return (int64_t)i;
    }
    for (size_t i = 0; i < n; i++)
        if (x[i] == best || isnan(x[i]))
            return (int64_t)i;
    return 0;
}

static void arg_lane(const arg *a, uint64_t lane)
{
    const tensor *x = a->call->in[0];
    tile_as as = tile_as_of(x->type);
    size_t step = lanes_step(x, &a->l);
    UNINIT tile room;
    float f32 = 0;
    double f64 = 0;
    int64_t i64 = 0, at = 0;
    uint64_t u64 = 0;
    for (uint64_t i = 0; i < a->l.length; i += step) {
        size_t n = a->l.length - i < step ? (size_t)(a->l.length - i) : step;
        const void *from = lanes_read(a->call->k, x, &a->l, lane, i, n, &room);
        if (as == AS_F32 && n == a->l.length)
            at = best_of_row(a, from, n);
        else if (as == AS_F32)
            best_f32(a, from, n, (int64_t)i, &f32, &at);
        else if (as == AS_F64)
            best_f64(a, from, n, (int64_t)i, &f64, &at);
        else if (as == AS_I64)
            best_i64(a, from, n, (int64_t)i, &i64, &at);
        else
            best_u64(a, from, n, (int64_t)i, &u64, &at);
    }
    ((int64_t *)a->call->out[0]->data)[lane] = at;
}

/* `n` neighbouring lanes of floats, a row of the axis at a time; n <= TILE. */
static void arg_tile(const arg *a, uint64_t lane, size_t n)
{
    view v = lanes_at(&a->l, lane);
    int64_t stride = v.rank ? v.stride[0] : 0, *to = (int64_t *)a->call->out[0]->data + lane;
    const float *x = (const float *)a->call->in[0]->data + v.offset;
    UNINIT tile best;
    int32_t at[TILE] = {0};
    memcpy(best.f32, x, n * sizeof *x);
    for (int32_t row = 1; row < (int32_t)a->l.length; row++) {
        x += stride;
        for (size_t i = 0; i < n; i++) {
            float was = best.f32[i];
            bool more = a->max ? x[i] > was : x[i] < was;
            bool better = more | (a->last & (x[i] == was)) | ((x[i] != x[i]) & (was == was));
            best.f32[i] = better ? x[i] : was;
            at[i] = better ? row : at[i];
        }
    }
    for (size_t i = 0; i < n; i++)
        to[i] = at[i];
}

static void arg_lanes(void *ctx, uint64_t first, uint64_t count)
{
    const arg *a = ctx;
    const view *apart = &a->l.each;
    bool columns = a->call->in[0]->type == DT_F32 && a->l.lane.rank == 1 && a->l.length < INT32_MAX &&
                   apart->rank > 0 && apart->stride[apart->rank - 1] == 1 && apart->dim[apart->rank - 1] >= COLUMNS_MIN;
    while (count > 0) {
        uint64_t n = 1;
        if (columns) {
            uint64_t width = (uint64_t)apart->dim[apart->rank - 1];
            n = width - first % width;
            n = n < count ? n : count;
            n = n < TILE ? n : TILE;
            arg_tile(a, first, (size_t)n);
        }
        else
            arg_lane(a, first);
        first += n;
        count -= n;
    }
}

static err_code arg_run(op_call *c, err *e)
{
    uint32_t axis;
    err_code rc = op_axis(c, 0, c->in[0]->shape.rank, &axis, e);
    if (rc || tensor_count(c->out[0]) == 0)
        return rc;
    arg a = {.call = c, .max = c->node->row->data != NULL, .last = node_int(c->node, "select_last_index", 0) != 0,
             .l = lanes_of(&c->in[0]->shape, 1u << axis)};
    lanes_for(c->pool, &a.l, arg_lanes, &a);
    return ERR_OK;
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

/* Up to opset 17 (ReduceSum: 12) the axes are an attribute.  X(operator, kind, since when they are an input, types) */
#define T_REDUCE (T_FLOAT | T1(DT_I32) | T1(DT_I64) | T1(DT_U32) | T1(DT_U64))
#define REDUCTIONS(X)                                                        \
    X(ReduceSum, SUM, 13, T_REDUCE)                                          \
    X(ReduceMean, MEAN, 18, T_REDUCE)                                        \
    X(ReduceMax, MAX, 18, T_NUMBER | T1(DT_BOOL))                            \
    X(ReduceMin, MIN, 18, T_NUMBER | T1(DT_BOOL))                            \
    X(ReduceProd, PROD, 18, T_REDUCE)                                        \
    X(ReduceL1, L1, 18, T_REDUCE)                                            \
    X(ReduceL2, L2, 18, T_REDUCE)                                            \
    X(ReduceLogSum, LOG_SUM, 18, T_REDUCE)                                   \
    X(ReduceLogSumExp, LOG_SUM_EXP, 18, T_REDUCE)                            \
    X(ReduceSumSquare, SUM_SQUARE, 18, T_REDUCE)

#define X(op, what, first, allowed)                                                    \
    static const reduce_op op##_1 = {.kind = what, .axes_input = false, .types = allowed}, \
                           op##_2 = {.kind = what, .axes_input = true, .types = allowed};
REDUCTIONS(X)
#undef X

#define KEEP {"keepdims", ATTR_INT, false}
#define AXIS {"axis", ATTR_INT, false}
#define LAST {"select_last_index", ATTR_INT, false}
#define ONE_OUT .out_min = 1, .out_max = 1
#define ARG(op, first, which, ...)                                                                         \
    {.name = op, .domain = "", .since = first, .in_min = 1, .in_max = 1, ONE_OUT, .infer = arg_infer, .run = arg_run, \
     .data = which, .attrs = {AXIS, KEEP, __VA_ARGS__}}

const op_row op_rows_reduce[] = {
#define X(op, what, first, allowed)                                                                            \
    {.name = #op, .domain = "", .since = 1, .in_min = 1, .in_max = 1, ONE_OUT, .infer = reduce_infer,          \
     .run = reduce_run, .data = &op##_1, .attrs = {{"axes", ATTR_INTS, false}, KEEP}},                         \
    {.name = #op, .domain = "", .since = first, .in_min = 1, .in_max = 2, ONE_OUT, .infer = reduce_infer,      \
     .run = reduce_run, .data = &op##_2, .attrs = {KEEP, {"noop_with_empty_axes", ATTR_INT, false}}},
    REDUCTIONS(X)
#undef X
    ARG("ArgMax", 1, "max", {0}),
    ARG("ArgMax", 12, "max", LAST),
    ARG("ArgMin", 1, NULL, {0}),
    ARG("ArgMin", 12, NULL, LAST),
    {0},
};
