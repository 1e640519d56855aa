#include "engine/op_each.h"

#include <math.h>
#include <string.h>

/* Elements of one job: 32768 floats of the cheapest operator are about 10 us of work, of exp 30 us. */
enum { EACH_CHUNK = 32768 };

static const each_op *op_of(const op_call *c)
{
    return c->node->row->data;
}

err_code each_infer(op_call *c, err *e)
{
    const each_op *op = op_of(c);
    dtype type = c->in[op->like]->type;
    err_code rc = op_type(c, op->like, op->types, e);
    for (uint32_t i = 0; i < c->in_count && !rc; i++) {
        if (i < op->like)      /* Where's condition comes before the inputs that must agree */
            rc = op_type(c, i, T1(DT_BOOL), e);
        else if (i > op->like)
            rc = op_type(c, i, op->mixed ? T_NUMBER : T1(type), e);
    }
    if (!rc)
        rc = op_broadcast(c, e);
    if (!rc)
        c->out[0]->type = op->out == DT_NONE ? type : op->out;
    return rc;
}

static each_fn *fn_of(const each_op *op, tile_as as)
{
    switch (as) {
    case AS_F32: return op->f32;
    case AS_F64: return op->f64;
    case AS_I64: return op->i64;
    case AS_U64: return op->u64 ? op->u64 : op->i64;
    case AS_STR: return op->string;
    case AS_NONE: break;
    }
    return NULL;
}

static double act_one(double v, const activation *act)
{
    switch (act->kind) {
    case ACT_NONE: return v;
    case ACT_RELU: return v < 0 ? 0 : v;
    case ACT_CLIP: {
        double low = v < (double)act->a ? (double)act->a : v;
        return low > (double)act->b ? (double)act->b : low;
    }
    case ACT_LEAKY_RELU: return v >= 0 ? v : v * (double)act->a;
    case ACT_SIGMOID: return 1 / (1 + exp(-v));
    case ACT_TANH: return tanh(v);
    case ACT_HARD_SIGMOID: return fmin(fmax((double)act->a * v + (double)act->b, 0), 1);
    case ACT_HARD_SWISH: return v * fmin(fmax(v / 6 + 0.5, 0), 1);
    case ACT_SILU: return v / (1 + exp(-v));
    case ACT_GELU: return v * 0.5 * erfc(-v * 0.70710678118654752);
    }
    return v;
}

void each_act(const kernel_set *k, const activation *act, dtype native, tile_as as, void *x, size_t n)
{
    if (act->kind == ACT_NONE)
        return;
    if (native != DT_NONE) {
        tensor t = tensor_make(native, &(shape){.rank = 1, .dim = {(int64_t)n}}, x);
        for (size_t i = 0; i < n; i++)
            tensor_put_f64(&t, i, act_one(tensor_f64(&t, i), act));
        return;
    }
    if (as == AS_F32) {
        k->act_f32(x, x, act, n);
        return;
    }
    double *f = x;
    int64_t *whole = x;
    INVARIANT(as == AS_F64 || as == AS_I64);
    for (size_t i = 0; i < n; i++) {
        if (as == AS_F64)
            f[i] = act_one(f[i], act);
        else
            whole[i] = (int64_t)act_one((double)whole[i], act);
    }
}

/* A tensor read as another type: the values of a mixed operator's inputs, by the slow way. */
static void read_as(const each *x, const tensor *t, const view *v, uint64_t first, size_t n, tile *room)
{
    UNINIT tile other;
    const void *from = tile_read(x->k, t, v, first, n, &other);
    tile_as is = tile_as_of(t->type);
    for (size_t k = 0; k < n; k++) {
        double a = is == AS_F32 ? (double)((const float *)from)[k] : is == AS_F64 ? ((const double *)from)[k]
                   : is == AS_U64 ? (double)((const uint64_t *)from)[k] : (double)((const int64_t *)from)[k];
        if (x->as == AS_F32)
            room->f32[k] = (float)a;
        else
            room->f64[k] = a;
    }
}

/* Input i is handed to the function in the tensor's own type. */
static bool is_own(const each *x, uint32_t i, const tensor *t)
{
    return i < x->op->like || x->native || tile_native(x->as, t->type);
}

static const void *read_tile(const each *x, uint32_t i, const tensor *t, const view *v, uint64_t first, size_t n,
                             tile *room)
{
    if (is_own(x, i, t))
        return tile_raw(t, v, first, n, room);
    if (!x->op->mixed || tile_as_of(t->type) == x->as)
        return tile_read(x->k, t, v, first, n, room);
    read_as(x, t, v, first, n, room);
    return room;
}

static void *out_at(const each *x, uint64_t at)
{
    const tensor *out = x->call->out[0];
    return (uint8_t *)out->data + at * (dtype_bits(out->type) / 8);
}

static void finish(const each *x, const void *y, uint64_t at, size_t n)
{
    const tensor *out = x->call->out[0];
    void *to = out_at(x, at);
    if (x->op->out == DT_NONE)
        each_act(x->k, &x->call->node->act, x->native ? out->type : DT_NONE, x->as, (void *)(uintptr_t)y, n);
    if (y == to)
        return;
    if (x->native)
        memcpy(to, y, dtype_bytes(out->type, n));
    else
        tile_narrow(x->k, to, out->type, y, n);
}

/* Runs of one value shorter than this are copied into a tile like everything else. */
enum { SPLAT_MIN = 32 };

/* Where element `at` of the walk over v lies. */
static int64_t offset_of(const view *v, uint64_t at)
{
    int64_t offset = v->offset;
    for (uint32_t d = v->rank; d-- > 0; at /= (uint64_t)v->dim[d])
        offset += (int64_t)(at % (uint64_t)v->dim[d]) * v->stride[d];
    return offset;
}

/* How many elements from `at` on can be done at once, at most n; marks the inputs that are one value for so long. */
static size_t stretch(each *x, uint64_t at, size_t n, bool to_out)
{
    bool in_tiles = !to_out;
    for (uint32_t i = 0; i < x->in_count; i++) {
        const view *v = &x->walk[i];
        uint32_t last = v->rank ? v->rank - 1 : 0;
        bool dense = v->rank == 0 || (v->rank == 1 && v->stride[0] == 1);
        x->splat[i] = x->op->splats && x->in[i]->type == DT_F32 && x->as == AS_F32 && v->rank > 0 &&
                      v->stride[last] == 0 && v->dim[last] >= SPLAT_MIN;
        if (x->splat[i]) {
            uint64_t left = (uint64_t)v->dim[last] - at % (uint64_t)v->dim[last];
            n = left < n ? (size_t)left : n;
        }
        else if (!dense || !is_own(x, i, x->in[i]))
            in_tiles = true;
    }
    return in_tiles && n > TILE ? TILE : n;
}

/* Elements at..end-1 of the output; at most EACH_INPUTS_MAX inputs. */
static void do_range(const each *shared, uint64_t at, uint64_t end)
{
    UNINIT tile rooms[EACH_INPUTS_MAX], result;
    each x = *shared;      /* for splats of its own */
    bool to_out = x.op->out != DT_NONE || x.native || tile_native(x.as, x.call->out[0]->type);
    while (at < end) {
        size_t n = stretch(&x, at, (size_t)(end - at), to_out);
        const void *in[EACH_INPUTS_MAX];
        for (uint32_t i = 0; i < x.in_count; i++) {
            const tensor *t = x.in[i];
            const view *v = &x.walk[i];
            bool dense = v->rank == 0 || (v->rank == 1 && v->stride[0] == 1);
            if (x.splat[i])
                in[i] = (const float *)t->data + offset_of(v, at);
            else if (dense && is_own(&x, i, t))
                in[i] = (const uint8_t *)t->data + at * (dtype_bits(t->type) / 8);
            else
                in[i] = read_tile(&x, i, t, v, at, n, &rooms[i]);
        }
        void *y = to_out ? out_at(&x, at) : &result;
        x.fn(&x, y, in, n);
        finish(&x, y, at, n);
        at += n;
    }
}

/* Elements at .. at + n of input i, broadcast to the output. */
static const void *fold_input(const each *x, uint32_t i, uint64_t at, size_t n, tile *room)
{
    const op_call *c = x->call;
    view v = view_broadcast(&c->in[i]->shape, &c->out[0]->shape);
    view_collapse((view *[]){&v}, 1);
    return read_tile(x, i, c->in[i], &v, at, n, room);
}

/* The sum (max, ...) of any number of inputs over one range, a tile at a time.  It grows beside the output, which may
 * be the memory of an input that is still to be read. */
static void fold_range(const each *x, uint64_t at, uint64_t end)
{
    UNINIT tile sum, room;
    const op_call *c = x->call;
    while (at < end) {
        size_t n = end - at < TILE ? (size_t)(end - at) : TILE;
        memcpy(&sum, fold_input(x, 0, at, n, &room),
               x->native ? dtype_bytes(c->in[0]->type, n) : n * tile_size(x->as));
        for (uint32_t i = 1; i < c->in_count; i++)
            x->fn(x, &sum, (const void *[]){&sum, fold_input(x, i, at, n, &room)}, n);
        if (x->mean)
            x->mean(x, &sum, (const void *[]){&sum}, n);
        finish(x, &sum, at, n);
        at += n;
    }
}

static void do_chunk(void *ctx, uint32_t index)
{
    const each *x = ctx;
    uint64_t at = index * x->chunk, end = x->count - at < x->chunk ? x->count : at + x->chunk;
    if (x->folds)
        fold_range(x, at, end);
    else
        do_range(x, at, end);
}

err_code each_run(op_call *c, err *e)
{
    const each_op *op = op_of(c);
    const tensor *out = c->out[0];
    each x = {.k = c->k, .op = op, .call = c, .in_count = op->inputs ? op->inputs : c->in_count,
              .count = tensor_count(out), .chunk = EACH_CHUNK};
    dtype type = c->in[op->like]->type;
    x.native = op->native[type] != NULL;
    x.as = tile_as_of(type);
    x.fn = x.native ? op->native[type] : fn_of(op, x.as);
    x.folds = op->fold && (c->in_count != 2 || op->averages);
    INVARIANT((x.native || x.as != AS_NONE) && (x.folds || x.in_count <= EACH_INPUTS_MAX));
    err_code rc = op->setup ? op->setup(c, &x, e) : ERR_OK;
    if (rc || x.count == 0)
        return rc;
    INVARIANT(x.fn);
    for (uint32_t i = 0; i < x.in_count && !x.folds; i++) {
        x.in[i] = c->in[i];
        x.walk[i] = view_broadcast(&c->in[i]->shape, &out->shape);
        view_collapse((view *[]){&x.walk[i]}, 1);
    }
    uint64_t jobs = (x.count + x.chunk - 1) / x.chunk;
    while (jobs > UINT32_MAX / 2) {
        x.chunk *= 2;
        jobs = (x.count + x.chunk - 1) / x.chunk;
    }
    compute_for(c->pool, (uint32_t)jobs, do_chunk, &x);
    return ERR_OK;
}
