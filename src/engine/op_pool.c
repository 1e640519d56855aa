/* MaxPool, AveragePool, LpPool and their global forms, MaxUnpool. */
#include "engine/half.h"
#include "engine/op.h"
#include "engine/spatial.h"
#include "tensor/pool.h"

#include <math.h>
#include <string.h>

#define T_F32_LIKE (T1(DT_F32) | T1(DT_F16) | T1(DT_BF16))
#define T_MAX (T_FLOAT | T1(DT_I8) | T1(DT_U8))

static err_code prepare(op_prep *p, void **ret_state, err *e)
{
    spatial *s = arena_new(p->memory, spatial, 1);
    if (!s) return err_set(e, ERR_NOMEM, "%s: no memory", node_text(p->graph, p->node, (char[200]){0}));
    *ret_state = s;
    return spatial_read(s, p->graph, p->node, e);
}

/* Sizes for this input; what prepare read, or, for a node that is folded before it was prepared, the attributes. */
static err_code fit(const op_call *c, spatial_fit *f, err *e)
{
    spatial local;
    err_code rc = c->state ? ERR_OK : spatial_read(&local, c->graph, c->node, e);
    const shape *x = &c->in[0]->shape;
    return rc ? rc : spatial_of(f, c->state ? c->state : &local, c, x->rank - 2, x->dim + 2, NULL, e);
}

static err_code infer(op_call *c, uint32_t types, err *e)
{
    spatial_fit f;
    err_code rc = op_type(c, 0, types, e);
    if (!rc) rc = op_rank(c, 0, 3, 2 + SPATIAL_MAX, e);
    if (!rc) rc = fit(c, &f, e);
    if (rc) return rc;
    shape y = c->in[0]->shape;
    for (uint32_t i = 2; i < y.rank; i++) y.dim[i] = (int64_t)f.out[SPATIAL_MAX - y.rank + i];
    rc = op_set(c, 0, c->in[0]->type, &y, e);
    if (!rc && c->out_count > 1) rc = op_set(c, 1, DT_I64, &y, e);
    return rc;
}

static err_code max_infer(op_call *c, err *e) { return infer(c, T_MAX, e); }

static err_code float_infer(op_call *c, err *e) { return infer(c, T_FLOAT, e); }

static err_code run(op_call *c, pool_call call, const spatial_fit *f, err *e)
{
    const shape *x = &c->in[0]->shape;
    pool_shape s = {.planes = (size_t)x->dim[0] * (size_t)x->dim[1]};
    memcpy(s.in, f->in, sizeof s.in);
    memcpy(s.out, f->out, sizeof s.out);
    memcpy(s.kernel, f->kernel, sizeof s.kernel);
    memcpy(s.stride, f->stride, sizeof s.stride);
    memcpy(s.dilation, f->dilation, sizeof s.dilation);
    memcpy(s.pad, f->pad, sizeof s.pad);
    memcpy(s.pad_end, f->pad_end, sizeof s.pad_end);
    call.shape = &s;
    call.type = c->in[0]->type;
    call.x = c->in[0]->data;
    call.y = c->out[0]->data;
    if (tensor_count(c->out[0]) == 0) return ERR_OK;
    if (tensor_count(c->in[0]) == 0) return op_err(c, e, ERR_INVALID, "input 0: expected elements to pool, got none");
    bool half = call.type == DT_F16 || call.type == DT_BF16;
    const float *wide;
    float *y = NULL;
    err_code rc = ERR_OK;
    if (half) {
        rc = half_in(c, 0, &wide, e);
        if (!rc) rc = half_out(c, 0, &y, e);
        if (rc) return rc;
        call.type = DT_F32;
        call.x = wide;
        call.y = y;
    }
    rc = pool_run(&call, c->k, c->pool, c->scratch, e);
    if (rc) return err_wrap(e, "%s", node_text(c->graph, c->node, (char[200]){0}));
    if (half) half_done(c, 0, y);
    return ERR_OK;
}

static err_code max_run(op_call *c, err *e)
{
    spatial_fit f;
    pool_call call = {.kind = POOL_MAX, .column_major = node_int(c->node, "storage_order", 0) != 0};
    if (c->out_count > 1 && c->out[1]) call.index = c->out[1]->data;
    err_code rc = fit(c, &f, e);
    return rc ? rc : run(c, call, &f, e);
}

static err_code average_run(op_call *c, err *e)
{
    spatial_fit f;
    pool_call call = {.kind = POOL_AVERAGE, .count_pad = node_int(c->node, "count_include_pad", 0) != 0};
    err_code rc = fit(c, &f, e);
    return rc ? rc : run(c, call, &f, e);
}

static err_code power_of(const op_call *c, int64_t *ret, err *e)
{
    *ret = node_int(c->node, "p", 2);
    if (*ret >= 1) return ERR_OK;
    return op_err(c, e, ERR_INVALID, "attribute 'p': expected 1 or more, got %lld", (long long)*ret);
}

static err_code lp_run(op_call *c, err *e)
{
    spatial_fit f;
    pool_call call = {.kind = POOL_LP};
    err_code rc = power_of(c, &call.p, e);
    if (!rc) rc = fit(c, &f, e);
    return rc ? rc : run(c, call, &f, e);
}

static uint64_t flops(const op_call *c)
{
    spatial_fit f;
    err e;
    if (fit(c, &f, &e)) return 0;
    return tensor_count(c->out[0]) * f.kernel[0] * f.kernel[1] * f.kernel[2];
}

/* ---- global pools: the window is the plane ------------------------------------------------------------------ */

static err_code global_infer(op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc) rc = op_rank(c, 0, 2, TENSOR_RANK_MAX, e);
    if (rc) return rc;
    shape y = c->in[0]->shape;
    for (uint32_t i = 2; i < y.rank; i++) y.dim[i] = 1;
    return op_set(c, 0, c->in[0]->type, &y, e);
}

typedef struct {
    pool_kind kind;
    const kernel_set *k;
    const float *x;
    float *y;
    size_t plane;
    int64_t p;
} global_work;

static void global_plane(void *ctx, uint32_t index)
{
    const global_work *w = ctx;
    const float *x = w->x + index * w->plane;
    float v = 0;
    if (w->kind == POOL_MAX) {
        v = w->k->reduce_max_f32(x, w->plane);
    } else if (w->kind == POOL_AVERAGE) {
        v = w->k->sum_f32(x, w->plane) / (float)w->plane;
    } else if (w->p == 1) {
        v = w->k->sumabs_f32(x, w->plane);
    } else if (w->p == 2) {
        v = sqrtf(w->k->sumsq_f32(x, w->plane));
    } else {
        double sum = 0;
        for (size_t i = 0; i < w->plane; i++) sum += pow(fabs((double)x[i]), (double)w->p);
        v = (float)pow(sum, 1 / (double)w->p);
    }
    w->y[index] = v;
}

/* One window over the flattened plane does for double what global_plane() does for float. */
static err_code global_f64(op_call *c, const global_work *w, size_t planes, err *e)
{
    pool_shape s = {.planes = planes,
                    .in = {1, 1, w->plane},
                    .out = {1, 1, 1},
                    .kernel = {1, 1, w->plane},
                    .stride = {1, 1, 1},
                    .dilation = {1, 1, 1}};
    pool_call call = {
        .kind = w->kind, .shape = &s, .type = DT_F64, .x = c->in[0]->data, .y = c->out[0]->data, .p = w->p};
    return pool_run(&call, c->k, c->pool, c->scratch, e);
}

static err_code global_run(op_call *c, pool_kind kind, int64_t power, err *e)
{
    const shape *x = &c->in[0]->shape;
    size_t planes = (size_t)x->dim[0] * (size_t)x->dim[1];
    global_work w = {.kind = kind, .k = c->k, .plane = (size_t)shape_count_range(x, 2, x->rank), .p = power};
    if (planes == 0) return ERR_OK;
    if (w.plane == 0) return op_err(c, e, ERR_INVALID, "input 0: expected elements to pool, got none");
    if (planes > UINT32_MAX) return op_err(c, e, ERR_LIMIT, "more than %u planes", UINT32_MAX);
    if (c->in[0]->type == DT_F64) return global_f64(c, &w, planes, e);
    err_code rc = half_in(c, 0, &w.x, e);
    if (!rc) rc = half_out(c, 0, &w.y, e);
    if (rc) return rc;
    compute_for(c->pool, (uint32_t)planes, global_plane, &w);
    half_done(c, 0, w.y);
    return ERR_OK;
}

static err_code global_max_run(op_call *c, err *e) { return global_run(c, POOL_MAX, 0, e); }

static err_code global_average_run(op_call *c, err *e) { return global_run(c, POOL_AVERAGE, 0, e); }

static err_code global_lp_run(op_call *c, err *e)
{
    int64_t p;
    err_code rc = power_of(c, &p, e);
    return rc ? rc : global_run(c, POOL_LP, p, e);
}

static uint64_t global_flops(const op_call *c) { return tensor_count(c->in[0]); }

/* ---- MaxUnpool ---------------------------------------------------------------------------------------------- */

/* The shape that was pooled: the indices count in it, even when output_shape asks for a larger result. */
static err_code unpooled(op_call *c, shape *ret, err *e)
{
    spatial s;
    spatial_fit f;
    const shape *x = &c->in[0]->shape;
    err_code rc = spatial_read(&s, c->graph, c->node, e);
    if (!rc) rc = spatial_lists(&f, &s, c, x->rank - 2, x->dim + 2, NULL, e);
    if (rc) return rc;
    *ret = *x;
    for (uint32_t i = 2; i < x->rank; i++) {
        uint32_t d = SPATIAL_MAX - x->rank + i;
        int64_t reach, window = (int64_t)f.kernel[d] - (int64_t)(f.pad[d] + f.pad_end[d]);
        if (__builtin_mul_overflow(x->dim[i] - 1, (int64_t)f.stride[d], &reach) ||
            __builtin_add_overflow(reach, window, &ret->dim[i]))
            return op_err(c, e, ERR_LIMIT, "an input of %lld with strides of %zu is too large", (long long)x->dim[i],
                          f.stride[d]);
        if (ret->dim[i] < 0) return op_err(c, e, ERR_INVALID, "pads are larger than the result");
    }
    return ERR_OK;
}

static err_code unpool_infer(op_call *c, err *e)
{
    shape y;
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc) rc = op_type(c, 1, T1(DT_I64), e);
    if (!rc) rc = op_type(c, 2, T1(DT_I64), e);
    if (!rc) rc = op_rank(c, 0, 3, 2 + SPATIAL_MAX, e);
    if (!rc) rc = unpooled(c, &y, e);
    if (rc) return rc;
    if (!shape_eq(&c->in[0]->shape, &c->in[1]->shape))
        return op_err(c, e, ERR_INVALID, "the indices have another shape than the input");
    if (c->in_count > 2 && c->in[2]) {
        if (!op_known(c, 2)) return op_later(c, 2);
        if (tensor_count(c->in[2]) != y.rank)
            return op_err(c, e, ERR_INVALID, "input 2: expected %u sizes, got %llu", y.rank,
                          (unsigned long long)tensor_count(c->in[2]));
        for (uint32_t i = 0; i < y.rank; i++) y.dim[i] = tensor_int(c->in[2], i);
    }
    return op_set(c, 0, c->in[0]->type, &y, e);
}

static err_code unpool_run(op_call *c, err *e)
{
    const tensor *x = c->in[0], *y = c->out[0];
    const int64_t *index = c->in[1]->data;
    size_t each = dtype_bits(x->type) / 8;
    shape from;
    err_code rc = unpooled(c, &from, e);
    uint64_t n = tensor_count(x), range = rc ? 0 : shape_count(&from);
    if (rc || tensor_count(y) == 0) return rc;
    memset(y->data, 0, tensor_bytes(y));
    for (uint64_t i = 0; i < n; i++) {
        if (index[i] < 0 || (uint64_t)index[i] >= range)
            return op_err(c, e, ERR_INVALID, "input 1: expected indices below %llu, got %lld",
                          (unsigned long long)range, (long long)index[i]);
        uint64_t rest = (uint64_t)index[i], to = 0, step = 1;
        for (uint32_t d = from.rank; d-- > 0; rest /= (uint64_t)from.dim[d]) {
            uint64_t at = rest % (uint64_t)from.dim[d];
            if (at >= (uint64_t)y->shape.dim[d])
                return op_err(c, e, ERR_INVALID, "input 2: an index lies outside the output's shape");
            to += at * step;
            step *= (uint64_t)y->shape.dim[d];
        }
        memcpy((uint8_t *)y->data + to * each, (const uint8_t *)x->data + i * each, each);
    }
    return ERR_OK;
}

#define SPATIAL_ATTRS \
    {"auto_pad", ATTR_STRING, false}, {"kernel_shape", ATTR_INTS, true}, {"pads", ATTR_INTS, false}, \
    { \
        "strides", ATTR_INTS, false \
    }

const op_row op_rows_pool[] = {
    {.name = "MaxPool",
     .domain = "",
     .since = 1,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 2,
     .attrs = {SPATIAL_ATTRS,
               {"ceil_mode", ATTR_INT, false},
               {"dilations", ATTR_INTS, false},
               {"storage_order", ATTR_INT, false}},
     .prepare = prepare,
     .infer = max_infer,
     .run = max_run,
     .flops = flops},
    {.name = "AveragePool",
     .domain = "",
     .since = 1,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .attrs = {SPATIAL_ATTRS,
               {"ceil_mode", ATTR_INT, false},
               {"count_include_pad", ATTR_INT, false},
               {"dilations", ATTR_INTS, false}},
     .prepare = prepare,
     .infer = float_infer,
     .run = average_run,
     .flops = flops},
    {.name = "LpPool",
     .domain = "",
     .since = 2,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .attrs = {SPATIAL_ATTRS, {"ceil_mode", ATTR_INT, false}, {"dilations", ATTR_INTS, false}, {"p", ATTR_INT, false}},
     .prepare = prepare,
     .infer = float_infer,
     .run = lp_run,
     .flops = flops},
    {.name = "GlobalMaxPool",
     .domain = "",
     .since = 1,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .infer = global_infer,
     .run = global_max_run,
     .flops = global_flops},
    {.name = "GlobalAveragePool",
     .domain = "",
     .since = 1,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .infer = global_infer,
     .run = global_average_run,
     .flops = global_flops},
    {.name = "GlobalLpPool",
     .domain = "",
     .since = 2,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"p", ATTR_INT, false}},
     .infer = global_infer,
     .run = global_lp_run,
     .flops = global_flops},
    {.name = "MaxUnpool",
     .domain = "",
     .since = 9,
     .in_min = 2,
     .in_max = 3,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"kernel_shape", ATTR_INTS, true}, {"pads", ATTR_INTS, false}, {"strides", ATTR_INTS, false}},
     .infer = unpool_infer,
     .run = unpool_run},
    {0},
};
