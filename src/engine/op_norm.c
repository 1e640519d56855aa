/* Normalisation: by given statistics, by those of a channel, a group or a row, and along an axis. */
#include "engine/op_lanes.h"
#include "engine/op_real.h"
#include "engine/op_watch.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

/* Slabs: `count` dense stretches of `length` elements each; the unit of work of everything here. */
typedef struct {
    real r;
    const void *x, *scale, *bias, *mean, *var;
    void *y;
    uint64_t channels, slab;     /* slab: elements of one */
    uint64_t groups;             /* per image, of GroupNormalization */
    bool scale_per_group;
    double epsilon;
    uint64_t scale_step, bias_step;      /* 0: each row takes the same; else the elements from row to row */
    void *ret_mean, *ret_rstd;           /* LayerNormalization's further outputs, or NULL */
} slabs;

static void for_slabs(const slabs *s, uint64_t count, lanes_fn *fn)
{
    lanes l = {.count = count, .length = s->slab};
    lanes_for(s->r.call->pool, &l, fn, (void *)(uintptr_t)s);
}

static void *slab_out(const slabs *s, uint64_t i)
{
    return (void *)(uintptr_t)real_at(&s->r, s->y, i);
}

static err_code check_channels(const op_call *c, uint32_t input, uint64_t want, err *e)
{
    uint64_t got = tensor_count(c->in[input]);
    if (got == want)
        return ERR_OK;
    return op_err(c, e, ERR_INVALID, "input %u: expected %llu elements, got %llu", input, (unsigned long long)want,
                  (unsigned long long)got);
}

/* ---- BatchNormalization ------------------------------------------------------------------------------------- */

/* Channels and the elements of one in one image.  spatial = 0 (opset 7) has statistics for every element. */
static void batch_split(const op_call *c, uint64_t *ret_channels, uint64_t *ret_inner)
{
    const shape *s = &c->in[0]->shape;
    bool spatial = node_int(c->node, "spatial", 1) != 0;
    *ret_channels = s->rank < 2 ? 1 : spatial ? (uint64_t)s->dim[1] : shape_count_range(s, 1, s->rank);
    *ret_inner = spatial && s->rank > 2 ? shape_count_range(s, 2, s->rank) : 1;
}

static err_code batch_infer(op_call *c, err *e)
{
    uint64_t channels, inner;
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc)
        rc = op_rank(c, 0, 1, TENSOR_RANK_MAX, e);
    if (rc)
        return rc;
    batch_split(c, &channels, &inner);
    for (uint32_t i = 1; i < 5 && !rc; i++) {
        rc = op_type(c, i, T_FLOAT, e);
        if (!rc)
            rc = check_channels(c, i, channels, e);
    }
    bool training = node_int(c->node, "training_mode", 0) != 0;
    for (uint32_t i = 1; i < c->out_count && !rc; i++) {
        if (!c->out[i])
            continue;
        if (!training)
            return op_err(c, e, ERR_UNSUPPORTED, "output %u: only computed in training_mode", i);
        rc = op_set(c, i, c->in[3]->type, &c->in[3]->shape, e);
    }
    return rc ? rc : op_same(c, e);
}

static double batch_factor(const slabs *s, uint64_t channel)
{
    return real_get(&s->r, s->scale, channel) / sqrt(real_get(&s->r, s->var, channel) + s->epsilon);
}

static void batch_slabs(void *ctx, uint64_t first, uint64_t count)
{
    const slabs *s = ctx;
    const activation *act = &s->r.call->node->act;
    for (uint64_t i = first; i < first + count; i++) {
        uint64_t channel = i % s->channels;
        double factor = batch_factor(s, channel);
        double shift = real_get(&s->r, s->bias, channel) - real_get(&s->r, s->mean, channel) * factor;
        void *y = slab_out(s, i * s->slab);
        real_scale_shift(&s->r, y, real_at(&s->r, s->x, i * s->slab), factor, shift, s->slab);
        each_act(s->r.k, act, DT_NONE, s->r.wide ? AS_F64 : AS_F32, y, s->slab);
    }
}

/* One element per channel: a row holds all channels, and the factors lie in scale and bias. */
static void batch_rows(void *ctx, uint64_t first, uint64_t count)
{
    const slabs *s = ctx;
    const affine by = {.rstd = 1, .scale = s->scale, .bias = s->bias};
    for (uint64_t i = first; i < first + count; i++) {
        void *y = slab_out(s, i * s->slab);
        real_affine(&s->r, y, real_at(&s->r, s->x, i * s->slab), &by, s->slab);
        each_act(s->r.k, &s->r.call->node->act, DT_NONE, s->r.wide ? AS_F64 : AS_F32, y, s->slab);
    }
}

static err_code batch_by_rows(slabs *s, uint64_t images, err *e)
{
    void *scale, *bias;
    err_code rc = real_room(&s->r, s->channels, &scale, e);
    if (!rc)
        rc = real_room(&s->r, s->channels, &bias, e);
    if (rc)
        return rc;
    for (uint64_t i = 0; i < s->channels; i++) {
        double factor = batch_factor(s, i);
        real_put(&s->r, scale, i, factor);
        real_put(&s->r, bias, i, real_get(&s->r, s->bias, i) - real_get(&s->r, s->mean, i) * factor);
    }
    slabs rows = *s;
    rows.scale = scale;
    rows.bias = bias;
    rows.slab = s->channels;
    for_slabs(&rows, images, batch_rows);
    return ERR_OK;
}

/* The statistics of this batch, which take the place of the given ones; these move towards them by 1 - momentum. */
static err_code batch_train(slabs *s, uint64_t images, err *e)
{
    op_call *c = s->r.call;
    double momentum = (double)node_float(c->node, "momentum", 0.9f);
    void *means, *vars;
    err_code rc = real_room(&s->r, s->channels, &means, e);
    if (!rc)
        rc = real_room(&s->r, s->channels, &vars, e);
    if (rc)
        return rc;
    for (uint64_t k = 0; k < s->channels; k++) {
        double mean = 0, var = 0, m, v, count = images ? (double)images : 1;
        for (uint64_t i = 0; i < images; i++) {
            real_moments(&s->r, real_at(&s->r, s->x, (i * s->channels + k) * s->slab), s->slab, &m, &v);
            mean += m / count;
        }
        for (uint64_t i = 0; i < images; i++) {      /* again around the common mean: squares of means would cancel */
            real_moments(&s->r, real_at(&s->r, s->x, (i * s->channels + k) * s->slab), s->slab, &m, &v);
            var += (v + (m - mean) * (m - mean)) / count;
        }
        real_put(&s->r, means, k, mean);
        real_put(&s->r, vars, k, var);
        if (c->out_count > 1 && c->out[1])
            tensor_put_f64(c->out[1], k, real_get(&s->r, s->mean, k) * momentum + mean * (1 - momentum));
        if (c->out_count > 2 && c->out[2])
            tensor_put_f64(c->out[2], k, real_get(&s->r, s->var, k) * momentum + var * (1 - momentum));
    }
    s->mean = means;
    s->var = vars;
    return ERR_OK;
}

static err_code batch_run(op_call *c, err *e)
{
    slabs s = {.r = real_of(c), .epsilon = (double)node_float(c->node, "epsilon", 1e-5f)};
    const void **params[] = {&s.x, &s.scale, &s.bias, &s.mean, &s.var};
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < 5 && !rc; i++)
        rc = real_in(&s.r, i, params[i], e);
    if (!rc)
        rc = real_out(&s.r, 0, &s.y, e);
    if (rc)
        return rc;
    batch_split(c, &s.channels, &s.slab);
    uint64_t per_image = s.channels * s.slab, images = per_image ? tensor_count(c->in[0]) / per_image : 0;
    if (node_int(c->node, "training_mode", 0))
        rc = batch_train(&s, images, e);
    if (!rc && s.slab == 1)
        rc = batch_by_rows(&s, images, e);
    else if (!rc)
        for_slabs(&s, images * s.channels, batch_slabs);
    if (!rc)
        real_done(&s.r, 0, s.y);
    return rc;
}

/* ---- InstanceNormalization, GroupNormalization --------------------------------------------------------------- */

static err_code group_count(const op_call *c, uint64_t *ret, err *e)
{
    uint64_t channels = (uint64_t)c->in[0]->shape.dim[1];
    int64_t groups = node_int(c->node, "num_groups", (int64_t)channels);
    if (groups < 1 || channels % (uint64_t)groups)
        return op_err(c, e, ERR_INVALID, "num_groups: expected a divisor of %llu channels, got %lld",
                      (unsigned long long)channels, (long long)groups);
    *ret = (uint64_t)groups;
    return ERR_OK;
}

static err_code group_infer(op_call *c, err *e)
{
    uint64_t groups = 0;
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc)
        rc = op_rank(c, 0, 2, TENSOR_RANK_MAX, e);
    bool per_group = c->node->row->data != NULL, grouped = str_is(c->node->op, "GroupNormalization");
    if (!rc && grouped)
        rc = group_count(c, &groups, e);
    for (uint32_t i = 1; i < 3 && !rc; i++) {
        rc = op_type(c, i, T_FLOAT, e);
        if (!rc)
            rc = check_channels(c, i, per_group ? groups : (uint64_t)c->in[0]->shape.dim[1], e);
    }
    return rc ? rc : op_same(c, e);
}

static void group_slabs(void *ctx, uint64_t first, uint64_t count)
{
    const slabs *s = ctx;
    uint64_t members = s->channels / s->groups, inner = s->slab / members;
    for (uint64_t i = first; i < first + count; i++) {
        double mean, var;
        const void *x = real_at(&s->r, s->x, i * s->slab);
        real_moments(&s->r, x, s->slab, &mean, &var);
        double rstd = 1 / sqrt(var + s->epsilon);
        for (uint64_t k = 0; k < members; k++) {
            uint64_t group = i % s->groups, which = s->scale_per_group ? group : group * members + k;
            double factor = real_get(&s->r, s->scale, which) * rstd;
            double shift = real_get(&s->r, s->bias, which) - mean * factor;
            void *y = slab_out(s, i * s->slab + k * inner);
            real_scale_shift(&s->r, y, real_at(&s->r, x, k * inner), factor, shift, inner);
        }
    }
}

static err_code group_run(op_call *c, err *e)
{
    slabs s = {.r = real_of(c), .epsilon = (double)node_float(c->node, "epsilon", 1e-5f)};
    s.channels = s.groups = (uint64_t)c->in[0]->shape.dim[1];
    s.scale_per_group = c->node->row->data != NULL;
    uint64_t total = tensor_count(c->in[0]);
    if (total == 0)
        return ERR_OK;
    err_code rc = str_is(c->node->op, "GroupNormalization") ? group_count(c, &s.groups, e) : ERR_OK;
    const void **params[] = {&s.x, &s.scale, &s.bias};
    for (uint32_t i = 0; i < 3 && !rc; i++)
        rc = real_in(&s.r, i, params[i], e);
    if (!rc)
        rc = real_out(&s.r, 0, &s.y, e);
    if (rc)
        return rc;
    uint64_t count = (uint64_t)c->in[0]->shape.dim[0] * s.groups;
    s.slab = total / count;
    for_slabs(&s, count, group_slabs);
    real_done(&s.r, 0, s.y);
    return ERR_OK;
}

/* ---- LayerNormalization, RMSNormalization: rows from an axis on ----------------------------------------------- */

static err_code layer_infer(op_call *c, err *e)
{
    uint32_t axis = 0;
    err_code rc = op_type(c, 0, T_FLOAT, e);
    for (uint32_t i = 1; i < 3 && !rc; i++)
        rc = op_type(c, i, T_FLOAT, e);
    if (!rc)
        rc = op_axis(c, -1, c->in[0]->shape.rank, &axis, e);
    if (rc)
        return rc;
    int64_t stash = node_int(c->node, "stash_type", DT_F32);
    if (!dtype_ok(stash) || !(T1(stash) & T_FLOAT))
        return op_err(c, e, ERR_INVALID, "stash_type: expected a float type, got %lld", (long long)stash);
    shape rows = c->in[0]->shape;
    for (uint32_t d = axis; d < rows.rank; d++)
        rows.dim[d] = 1;
    for (uint32_t i = 1; i < c->out_count && !rc; i++)
        rc = op_set(c, i, (dtype)stash, &rows, e);
    return rc ? rc : op_same(c, e);
}

static void layer_rows(void *ctx, uint64_t first, uint64_t count)
{
    const slabs *s = ctx;
    bool rms = s->r.call->node->row->data != NULL;
    for (uint64_t i = first; i < first + count; i++) {
        const void *x = real_at(&s->r, s->x, i * s->slab);
        double mean = 0, var;
        if (rms)
            var = real_sumsq(&s->r, x, s->slab) / (double)s->slab;
        else
            real_moments(&s->r, x, s->slab, &mean, &var);
        double rstd = 1 / sqrt(var + s->epsilon);
        const affine by = {.mean = mean,
                           .rstd = rstd,
                           .scale = s->scale ? real_at(&s->r, s->scale, i * s->scale_step) : NULL,
                           .bias = s->bias ? real_at(&s->r, s->bias, i * s->bias_step) : NULL};
        real_affine(&s->r, slab_out(s, i * s->slab), x, &by, s->slab);
        if (s->ret_mean)
            tensor_put_f64(s->ret_mean, i, mean);
        if (s->ret_rstd)
            tensor_put_f64(s->ret_rstd, i, rstd);
    }
}

/* A parameter for one row, where it is the same for all; else for all rows. */
static err_code layer_param(const slabs *s, uint32_t input, uint32_t axis, const void **ret, uint64_t *ret_step, err *e)
{
    const op_call *c = s->r.call;
    *ret = NULL;
    *ret_step = 0;
    if (input >= c->in_count || !c->in[input])
        return ERR_OK;
    const shape *x = &c->in[0]->shape, *p = &c->in[input]->shape;
    shape row = shape_make(x->rank - axis, x->dim + axis);
    if (p->rank <= row.rank)
        return real_broadcast(&s->r, input, &row, ret, e);
    *ret_step = s->slab;
    return real_broadcast(&s->r, input, x, ret, e);
}

/* Rows of no element have statistics all the same: those of a variance of 0. */
static void layer_nothing(op_call *c, double epsilon)
{
    for (uint32_t k = 1; k < c->out_count; k++) {
        uint64_t count = c->out[k] ? tensor_count(c->out[k]) : 0;
        for (uint64_t i = 0; i < count; i++)
            tensor_put_f64(c->out[k], i, k == 1 ? 0 : 1 / sqrt(epsilon));
    }
}

static err_code layer_run(op_call *c, err *e)
{
    slabs s = {.r = real_of(c), .epsilon = (double)node_float(c->node, "epsilon", 1e-5f)};
    uint32_t axis = 0;
    uint64_t total = tensor_count(c->in[0]);
    err_code rc = op_axis(c, -1, c->in[0]->shape.rank, &axis, e);
    if (!rc && total == 0)
        layer_nothing(c, s.epsilon);
    if (rc || total == 0)
        return rc;
    s.slab = shape_count_range(&c->in[0]->shape, axis, c->in[0]->shape.rank);
    rc = real_in(&s.r, 0, &s.x, e);
    if (!rc)
        rc = layer_param(&s, 1, axis, &s.scale, &s.scale_step, e);
    if (!rc)
        rc = layer_param(&s, 2, axis, &s.bias, &s.bias_step, e);
    if (!rc)
        rc = real_out(&s.r, 0, &s.y, e);
    if (rc)
        return rc;
    s.ret_mean = c->out_count > 1 ? c->out[1] : NULL;
    s.ret_rstd = c->out_count > 2 ? c->out[2] : NULL;
    for_slabs(&s, total / s.slab, layer_rows);
    real_done(&s.r, 0, s.y);
    return ERR_OK;
}

/* ---- LpNormalization, MeanVarianceNormalization: lanes along axes --------------------------------------------- */

typedef struct {
    real r;
    lanes l;
    int64_t p;           /* of LpNormalization; 0: mean and variance */
} along;

/* Sum over a lane of |x - center|^power; POWER_PLAIN: of x - center itself. */
enum { POWER_PLAIN = 0 };

static double lane_sum(const along *a, uint64_t lane, double center, int64_t power)
{
    const tensor *x = a->r.call->in[0];
    UNINIT tile room;
    double sum = 0;
    for (uint64_t at = 0; at < a->l.length; at += TILE) {
        size_t n = a->l.length - at < TILE ? (size_t)(a->l.length - at) : TILE;
        const void *t = lanes_read(a->r.k, x, &a->l, lane, at, n, &room);
        for (size_t i = 0; i < n; i++) {
            double v = real_get(&a->r, t, i) - center;
            sum += power == 2 ? v * v : power == 1 ? fabs(v) : v;
        }
    }
    return sum;
}

static void lane_scale(const along *a, uint64_t lane, double center, double factor)
{
    const op_call *c = a->r.call;
    UNINIT tile room, result;
    view v = lanes_at(&a->l, lane);
    for (uint64_t at = 0; at < a->l.length; at += TILE) {
        size_t n = a->l.length - at < TILE ? (size_t)(a->l.length - at) : TILE;
        const void *t = lanes_read(a->r.k, c->in[0], &a->l, lane, at, n, &room);
        real_scale_shift(&a->r, &result, t, factor, -center * factor, n);
        tile_write(a->r.k, c->out[0], &v, at, n, &result);
    }
}

static void along_lanes(void *ctx, uint64_t first, uint64_t count)
{
    const along *a = ctx;
    double length = a->l.length ? (double)a->l.length : 1;
    for (uint64_t lane = first; lane < first + count; lane++) {
        if (a->p == 0) {
            double mean = lane_sum(a, lane, 0, POWER_PLAIN) / length;
            double spread = sqrt(lane_sum(a, lane, mean, 2) / length);
            lane_scale(a, lane, mean, 1 / (spread + 1e-9));      /* the constant of ONNX's own definition */
            continue;
        }
        double sum = lane_sum(a, lane, 0, a->p), norm = a->p == 2 ? sqrt(sum) : sum;
        lane_scale(a, lane, 0, norm == 0 ? 0 : 1 / norm);
    }
}

static err_code along_axes(const op_call *c, uint32_t *ret, err *e)
{
    uint32_t rank = c->in[0]->shape.rank, axis, bits = 0;
    op_ints axes = {.count = 3, .at = {0, 2, 3}};
    bool lp = str_is(c->node->op, "LpNormalization");
    if (!lp && node_attr(c->node, "axes")) {
        err_code rc = op_ints_of(c, OP_ANY, "axes", &axes, e);
        if (rc)
            return rc;
    }
    if (lp)
        axes = (op_ints){.count = 1, .at = {node_int(c->node, "axis", -1)}};
    for (uint32_t i = 0; i < axes.count; i++) {
        err_code rc = op_axis_of(c, axes.at[i], rank, "axes", &axis, e);
        if (rc)
            return rc;
        bits |= 1u << axis;
    }
    *ret = bits;
    return ERR_OK;
}

static err_code along_infer(op_call *c, err *e)
{
    uint32_t axes;
    int64_t p = node_int(c->node, "p", 2);
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc && p != 1 && p != 2)
        rc = op_err(c, e, ERR_INVALID, "p: expected 1 or 2, got %lld", (long long)p);
    if (!rc)
        rc = along_axes(c, &axes, e);
    return rc ? rc : op_same(c, e);
}

static err_code along_run(op_call *c, err *e)
{
    uint32_t axes;
    err_code rc = along_axes(c, &axes, e);
    if (rc || tensor_count(c->in[0]) == 0)
        return rc;
    along a = {.r = real_of(c), .l = lanes_of(&c->in[0]->shape, axes)};
    a.p = str_is(c->node->op, "LpNormalization") ? node_int(c->node, "p", 2) : 0;
    lanes_for(c->pool, &a.l, along_lanes, &a);
    return ERR_OK;
}

/* ---- LRN: by the squares of neighbouring channels ------------------------------------------------------------ */

typedef struct {
    real r;
    const void *x;
    void *y;
    uint64_t channels, inner, before, after;     /* neighbours on either side */
    double factor, beta, bias;
    _Atomic bool stopped;                        /* by the first thread that saw to it, which wrote `why` */
    err why;
} lrn;

static err_code lrn_infer(op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc)
        rc = op_rank(c, 0, 2, TENSOR_RANK_MAX, e);
    if (!rc && node_int(c->node, "size", 0) < 1)
        rc = op_err(c, e, ERR_INVALID, "size: expected 1 or more, got %lld", (long long)node_int(c->node, "size", 0));
    return rc ? rc : op_same(c, e);
}

/* base^-beta; 0.75, which every network uses, is two square roots. */
static void lrn_power(const kernel_set *k, float *base, double beta, size_t n)
{
    UNINIT tile root;
    if (beta != 0.75) {
        k->pow_s_f32(base, base, (float)-beta, n);
        return;
    }
    k->sqrt_f32(base, base, n);
    k->sqrt_f32(root.f32, base, n);
    k->mul_f32(base, base, root.f32, n);
    k->reciprocal_f32(base, base, n);
}

/* Elements at..at+n-1 of one channel of one image. */
static err_code lrn_tile(const lrn *l, uint64_t image, uint64_t channel, uint64_t at, size_t n, op_watch *w, err *e)
{
    uint64_t first = channel < l->before ? 0 : channel - l->before;
    uint64_t last = l->channels - 1 - channel < l->after ? l->channels - 1 : channel + l->after;
    uint64_t here = (image * l->channels + channel) * l->inner + at;
    UNINIT tile sum, square;
    err_code rc = ERR_OK;
    memset(&sum, 0, sizeof sum);
    for (uint64_t k = first; k <= last && !rc; k++) {
        rc = op_watch_add(w, n, e);
        const void *x = real_at(&l->r, l->x, (image * l->channels + k) * l->inner + at);
        if (l->r.wide) {
            for (size_t i = 0; i < n; i++)
                sum.f64[i] += real_get(&l->r, x, i) * real_get(&l->r, x, i);
            continue;
        }
        l->r.k->mul_f32(square.f32, x, x, n);
        l->r.k->add_f32(sum.f32, sum.f32, square.f32, n);
    }
    if (l->r.wide) {
        for (size_t i = 0; i < n; i++) {
            double factor = pow(l->bias + l->factor * sum.f64[i], -l->beta);
            real_put(&l->r, l->y, here + i, real_get(&l->r, l->x, here + i) * factor);
        }
        return rc;
    }
    l->r.k->scale_shift_f32(sum.f32, sum.f32, (float)l->factor, (float)l->bias, n);
    lrn_power(l->r.k, sum.f32, l->beta, n);
    l->r.k->mul_f32((float *)l->y + here, (const float *)l->x + here, sum.f32, n);
    return rc;
}

/* Looks when it begins, too: one job alone may never have done enough. */
static void lrn_channels(void *ctx, uint64_t first, uint64_t count)
{
    lrn *l = ctx;
    op_watch watch = {.call = l->r.call, .work = OP_WATCH_WORK};
    err e;
    err_code rc = ERR_OK;
    for (uint64_t i = first; i < first + count && !rc; i++)
        for (uint64_t at = 0; at < l->inner && !rc; at += TILE)
            rc = lrn_tile(l, i / l->channels, i % l->channels, at,
                          l->inner - at < TILE ? (size_t)(l->inner - at) : TILE, &watch, &e);
    if (rc && !atomic_exchange(&l->stopped, true))
        l->why = e;
}

static err_code lrn_run(op_call *c, err *e)
{
    const shape *s = &c->in[0]->shape;
    int64_t size = node_int(c->node, "size", 1);
    lrn l = {.r = real_of(c), .channels = (uint64_t)s->dim[1], .inner = shape_count_range(s, 2, s->rank),
             .before = (uint64_t)(size - 1) / 2, .after = (uint64_t)size / 2,
             .factor = (double)node_float(c->node, "alpha", 1e-4f) / (double)size,
             .beta = (double)node_float(c->node, "beta", 0.75f), .bias = (double)node_float(c->node, "bias", 1)};
    err_code rc = real_in(&l.r, 0, &l.x, e);
    if (!rc)
        rc = real_out(&l.r, 0, &l.y, e);
    if (rc || tensor_count(c->in[0]) == 0)
        return rc;
    lanes work = {.count = (uint64_t)s->dim[0] * l.channels, .length = l.inner};
    lanes_for(c->pool, &work, lrn_channels, &l);
    if (l.stopped) {
        *e = l.why;
        return e->code;
    }
    real_done(&l.r, 0, l.y);
    return ERR_OK;
}

/* ---- ImageScaler: an experimental operator of opset 1 to 9 that older converters wrote ------------------------- */

static err_code image_infer(op_call *c, err *e)
{
    const attr *bias = node_attr(c->node, "bias");
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc)
        rc = op_rank(c, 0, 4, 4, e);
    if (!rc && bias && (int64_t)bias->count != c->in[0]->shape.dim[1])
        rc = op_err(c, e, ERR_INVALID, "bias: expected %lld numbers, got %u", (long long)c->in[0]->shape.dim[1],
                    bias->count);
    return rc ? rc : op_same(c, e);
}

static void image_slabs(void *ctx, uint64_t first, uint64_t count)
{
    const slabs *s = ctx;
    const attr *bias = node_attr(s->r.call->node, "bias");
    double scale = (double)node_float(s->r.call->node, "scale", 1);
    for (uint64_t i = first; i < first + count; i++)
        real_scale_shift(&s->r, slab_out(s, i * s->slab), real_at(&s->r, s->x, i * s->slab), scale,
                         bias ? (double)bias->floats[i % s->channels] : 0, s->slab);
}

static err_code image_run(op_call *c, err *e)
{
    const shape *x = &c->in[0]->shape;
    slabs s = {.r = real_of(c), .channels = (uint64_t)x->dim[1], .slab = shape_count_range(x, 2, 4)};
    err_code rc = real_in(&s.r, 0, &s.x, e);
    if (!rc)
        rc = real_out(&s.r, 0, &s.y, e);
    if (rc || tensor_count(c->in[0]) == 0)
        return rc;
    for_slabs(&s, (uint64_t)x->dim[0] * s.channels, image_slabs);
    real_done(&s.r, 0, s.y);
    return ERR_OK;
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

#define ROW(op, first, inputs, outputs, way, ...)                                                               \
    {.name = op, .domain = "", .since = first, .in_min = inputs, .in_max = inputs, .out_min = 1, .out_max = outputs, \
     .infer = way##_infer, .run = way##_run, __VA_ARGS__}
#define F(name) {name, ATTR_FLOAT, false}
#define I(name) {name, ATTR_INT, false}

const op_row op_rows_norm[] = {
    ROW("BatchNormalization", 7, 5, 5, batch, .flags = OP_INPLACE | OP_FUSES_ACT,
        .attrs = {F("epsilon"), F("momentum"), I("spatial")}),
    ROW("BatchNormalization", 9, 5, 5, batch, .flags = OP_INPLACE | OP_FUSES_ACT,
        .attrs = {F("epsilon"), F("momentum")}),
    ROW("BatchNormalization", 14, 5, 3, batch, .flags = OP_INPLACE | OP_FUSES_ACT,
        .attrs = {F("epsilon"), F("momentum"), I("training_mode")}),
    ROW("InstanceNormalization", 6, 3, 1, group, .flags = OP_INPLACE, .attrs = {F("epsilon")}),
    ROW("GroupNormalization", 18, 3, 1, group, .flags = OP_INPLACE,
        .attrs = {F("epsilon"), {"num_groups", ATTR_INT, true}}, .data = "scale and bias per group"),
    ROW("GroupNormalization", 21, 3, 1, group, .flags = OP_INPLACE,
        .attrs = {F("epsilon"), {"num_groups", ATTR_INT, true}, I("stash_type")}),
    {.name = "LayerNormalization", .domain = "", .since = 17, .flags = OP_INPLACE, .in_min = 2, .in_max = 3,
     .out_min = 1, .out_max = 3, .infer = layer_infer, .run = layer_run,
     .attrs = {I("axis"), F("epsilon"), I("stash_type")}},
    ROW("RMSNormalization", 23, 2, 1, layer, .flags = OP_INPLACE, .attrs = {I("axis"), F("epsilon"), I("stash_type")},
        .data = "no mean"),
    ROW("LpNormalization", 1, 1, 1, along, .flags = OP_INPLACE, .attrs = {I("axis"), I("p")}),
    ROW("MeanVarianceNormalization", 9, 1, 1, along, .flags = OP_INPLACE, .attrs = {{"axes", ATTR_INTS, false}}),
    ROW("LRN", 1, 1, 1, lrn, .attrs = {F("alpha"), F("beta"), F("bias"), {"size", ATTR_INT, true}}),
    ROW("ImageScaler", 1, 1, 1, image, .flags = OP_INPLACE, .attrs = {{"bias", ATTR_FLOATS, false}, F("scale")}),
    {0},
};
