/* What stands around attention in language models: RotaryEmbedding, TensorScatter, and the layers that keep a state,
 * CausalConvWithState and LinearAttention. */
#include "engine/half.h"
#include "engine/op.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define T_REAL (T1(DT_F32) | T1(DT_F16) | T1(DT_BF16))

static bool given(const op_call *c, uint32_t input) { return input < c->in_count && c->in[input]; }

static err_code shape_error(const op_call *c, uint32_t input, err *e)
{
    char text[SHAPE_TEXT_MAX];
    return op_err(c, e, ERR_INVALID, "input %u: shape %s does not fit the others", input,
                  shape_text(&c->in[input]->shape, text));
}

/* An optional input has this shape. */
static err_code want_shape(const op_call *c, uint32_t input, uint32_t rank, const int64_t *dims, err *e)
{
    shape want = shape_make(rank, dims);
    return !given(c, input) || shape_eq(&c->in[input]->shape, &want) ? ERR_OK : shape_error(c, input, e);
}

static err_code same_types(const op_call *c, uint32_t count, err *e)
{
    err_code rc = op_type(c, 0, T_REAL, e);
    for (uint32_t i = 1; i < count && !rc; i++) rc = op_type(c, i, T1(c->in[0]->type), e);
    return rc;
}

/* ---- RotaryEmbedding ---------------------------------------------------------------------------------------- */

typedef struct {
    size_t batch, heads, length, size, turned; /* turned: how many of a head's numbers are rotated */
    size_t row, head; /* strides of x */
} rotary;

static err_code rotary_of(const op_call *c, rotary *ret, err *e)
{
    const shape *x = &c->in[0]->shape;
    int64_t heads = x->rank == 4 ? x->dim[1] : node_int(c->node, "num_heads", 0);
    err_code rc = op_rank(c, 0, 3, 4, e);
    if (!rc) rc = op_rank(c, 1, given(c, 3) ? 2 : 3, given(c, 3) ? 2 : 3, e);
    if (rc) return rc;
    if (heads < 1 || (x->rank == 3 && x->dim[2] % heads != 0))
        return op_err(c, e, ERR_INVALID, "attribute 'num_heads': %lld does not divide the input", (long long)heads);
    rotary r = {.batch = (size_t)x->dim[0], .heads = (size_t)heads, .length = (size_t)x->dim[x->rank - 2]};
    r.size = (size_t)(x->rank == 4 ? x->dim[3] : x->dim[2] / heads);
    r.row = x->rank == 4 ? r.size : r.size * r.heads;
    r.head = x->rank == 4 ? r.size * r.length : r.size;
    int64_t turned = node_int(c->node, "rotary_embedding_dim", 0);
    r.turned = turned ? (size_t)turned : r.size;
    const shape *cosines = &c->in[1]->shape;
    if (turned < 0 || r.turned > r.size || r.turned % 2 != 0 || (size_t)cosines->dim[cosines->rank - 1] != r.turned / 2)
        return shape_error(c, 1, e);
    if (!shape_eq(cosines, &c->in[2]->shape)) return shape_error(c, 2, e);
    const int64_t places[] = {x->dim[0], (int64_t)r.length, (int64_t)r.turned / 2};
    rc = given(c, 3) ? want_shape(c, 3, 2, places, e) : want_shape(c, 1, 3, places, e);
    if (!rc) *ret = r;
    return rc;
}

static err_code rotary_infer(op_call *c, err *e)
{
    rotary r;
    err_code rc = same_types(c, 3, e);
    if (!rc) rc = op_type(c, 3, T1(DT_I64), e);
    if (!rc) rc = rotary_of(c, &r, e);
    return rc ? rc : op_same(c, e);
}

/* Pairs lie side by side (interleaved) or half the turned part apart. */
static void rotate(float *y, const float *x, const float *cosine, const float *sine, const rotary *r, bool interleaved)
{
    size_t half = r->turned / 2;
    for (size_t i = 0; i < half; i++) {
        size_t a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + half;
        float re = x[a], im = x[b];
        y[a] = cosine[i] * re - sine[i] * im;
        y[b] = sine[i] * re + cosine[i] * im;
    }
    for (size_t i = r->turned; i < r->size; i++) y[i] = x[i];
}

static err_code rotary_run(op_call *c, err *e)
{
    rotary r;
    const float *x, *cosine, *sine;
    float *y;
    bool interleaved = node_int(c->node, "interleaved", 0) != 0;
    err_code rc = rotary_of(c, &r, e);
    if (!rc) rc = half_in(c, 0, &x, e);
    if (!rc) rc = half_in(c, 1, &cosine, e);
    if (!rc) rc = half_in(c, 2, &sine, e);
    if (!rc) rc = half_out(c, 0, &y, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    for (size_t place = 0; place < r.batch * r.length; place++) {
        size_t at = place, b = place / r.length, t = place % r.length;
        if (given(c, 3)) {
            int64_t id = tensor_int(c->in[3], place);
            if (id < 0 || id >= c->in[1]->shape.dim[0])
                return op_err(c, e, ERR_INVALID, "input 3: expected positions below %lld, got %lld",
                              (long long)c->in[1]->shape.dim[0], (long long)id);
            at = (size_t)id;
        }
        for (size_t h = 0; h < r.heads; h++) {
            size_t from = b * r.heads * r.length * r.size + h * r.head + t * r.row;
            rotate(y + from, x + from, cosine + at * r.turned / 2, sine + at * r.turned / 2, &r, interleaved);
        }
    }
    half_done(c, 0, y);
    return ERR_OK;
}

/* ---- TensorScatter ------------------------------------------------------------------------------------------ */

static err_code scatter_axis(const op_call *c, uint32_t *ret, err *e)
{
    const shape *x = &c->in[0]->shape, *u = &c->in[1]->shape;
    err_code rc = op_axis(c, -2, x->rank, ret, e);
    if (rc) return rc;
    shape want = *x;
    if (u->rank == x->rank) want.dim[*ret] = u->dim[*ret];
    if (*ret == 0 || !shape_eq(u, &want) || u->dim[*ret] > x->dim[*ret]) return shape_error(c, 1, e);
    return want_shape(c, 2, 1, x->dim, e);
}

static err_code scatter_infer(op_call *c, err *e)
{
    uint32_t axis;
    err_code rc = op_type(c, 0, T_ANY & ~T1(DT_STRING), e);
    if (!rc) rc = op_type(c, 1, T1(c->in[0]->type), e);
    if (!rc) rc = op_type(c, 2, T1(DT_I64), e);
    if (!rc && dtype_bits(c->in[0]->type) < 8)
        rc = op_err(c, e, ERR_UNSUPPORTED, "input 0: types of less than a byte: not implemented");
    if (!rc) rc = scatter_axis(c, &axis, e);
    return rc ? rc : op_same(c, e);
}

static err_code scatter_run(op_call *c, err *e)
{
    uint32_t axis;
    const tensor *x = c->in[0], *u = c->in[1];
    str mode = node_str(c->node, "mode", STR("linear"));
    bool circular = str_is(mode, "circular");
    err_code rc = scatter_axis(c, &axis, e);
    if (rc || tensor_count(x) == 0) return rc;
    if (!circular && !str_is(mode, "linear"))
        return op_err(c, e, ERR_INVALID, "attribute 'mode': expected linear or circular, got '" STR_FMT "'",
                      STR_ARG(mode));
    size_t row = (size_t)shape_count_range(&x->shape, axis + 1, x->shape.rank) * (dtype_bits(x->type) / 8);
    size_t outer = (size_t)shape_count_range(&x->shape, 0, axis), per_batch = outer / (size_t)x->shape.dim[0];
    int64_t length = x->shape.dim[axis], fresh = u->shape.dim[axis];
    uint8_t *y = c->out[0]->data;
    if (y != x->data) memcpy(y, x->data, tensor_bytes(x));
    for (size_t i = 0; i < outer; i++) {
        int64_t first = given(c, 2) ? tensor_int(c->in[2], i / per_batch) : 0;
        if (first < 0 || first > length || (!circular && fresh > length - first))
            return op_err(c, e, ERR_INVALID, "input 2: %lld rows from %lld on do not fit %lld", (long long)fresh,
                          (long long)first, (long long)length);
        for (int64_t t = 0; t < fresh; t++) {
            size_t to = i * (size_t)length + (size_t)((first + t) % length), from = i * (size_t)fresh + (size_t)t;
            memcpy(y + to * row, (const uint8_t *)u->data + from * row, row);
        }
    }
    return ERR_OK;
}

/* ---- CausalConvWithState ------------------------------------------------------------------------------------ */

static err_code causal_infer(op_call *c, err *e)
{
    const shape *x = &c->in[0]->shape, *w = &c->in[1]->shape;
    str act = node_str(c->node, "activation", STR("none"));
    err_code rc = same_types(c, c->in_count, e);
    if (!rc) rc = op_rank(c, 0, 3, 3, e);
    if (!rc) rc = op_rank(c, 1, 3, 3, e);
    if (rc) return rc;
    if (!str_is(act, "none") && !str_is(act, "silu") && !str_is(act, "swish"))
        return op_err(c, e, ERR_INVALID, "attribute 'activation': expected none, silu or swish, got '" STR_FMT "'",
                      STR_ARG(act));
    if (w->dim[2] < 1) return shape_error(c, 1, e);
    shape state = shape_make(3, (int64_t[]){x->dim[0], x->dim[1], w->dim[2] - 1});
    rc = want_shape(c, 1, 3, (int64_t[]){x->dim[1], 1, w->dim[2]}, e);
    if (!rc) rc = want_shape(c, 2, 1, &x->dim[1], e);
    if (!rc) rc = want_shape(c, 3, 3, state.dim, e);
    if (!rc) rc = op_set(c, 0, c->in[0]->type, x, e);
    return rc ? rc : op_set(c, 1, c->in[0]->type, &state, e);
}

static err_code causal_run(op_call *c, err *e)
{
    const int64_t *dim = c->in[0]->shape.dim;
    size_t rows = (size_t)(dim[0] * dim[1]), channels = (size_t)dim[1], length = (size_t)dim[2];
    size_t taps = (size_t)c->in[1]->shape.dim[2], kept = taps - 1;
    const float *in[4] = {NULL};
    float *y, *state = NULL;
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < COUNTOF(in) && !rc; i++) rc = half_in(c, i, &in[i], e);
    if (!rc) rc = half_out(c, 0, &y, e);
    if (!rc && c->out_count > 1 && c->out[1]) rc = half_out(c, 1, &state, e);
    float *line = rc ? NULL : arena_push(c->scratch, length + kept + 1, sizeof *line, MEM_ALIGN);
    size_t *at = rc ? NULL : arena_new(c->scratch, size_t, taps);
    if (rc) return rc;
    if (!line || !at) return op_err(c, e, ERR_LIMIT, "no memory for %zu positions", length + kept);
    for (size_t i = 0; i < taps; i++) at[i] = i;
    bool silu = !str_is(node_str(c->node, "activation", STR("none")), "none");
    for (size_t r = 0; r < rows; r++) {
        size_t channel = r % channels;
        for (size_t i = 0; i < kept; i++) line[i] = in[3] ? in[3][r * kept + i] : 0;
        for (size_t i = 0; i < length; i++) line[kept + i] = in[0][r * length + i];
        tap_set t = {.count = taps,
                     .at = at,
                     .w = in[1] + channel * taps,
                     .y_row = length,
                     .x_row = length,
                     .bias = in[2] ? in[2][channel] : 0,
                     .low = -INFINITY,
                     .high = INFINITY};
        c->k->taps_sum_f32(&t, y + r * length, line, 1, length);
        if (silu) c->k->silu_f32(y + r * length, y + r * length, length);
        for (size_t i = 0; i < kept && state; i++) state[r * kept + i] = line[length + i];
    }
    half_done(c, 0, y);
    if (state) half_done(c, 1, state);
    return ERR_OK;
}

/* ---- LinearAttention ---------------------------------------------------------------------------------------- */

enum { L_Q, L_K, L_V, L_STATE, L_DECAY, L_BETA };

typedef struct {
    size_t batch, length, heads, kv_heads, k_size, v_size;
    bool gated, delta;
    size_t decays, betas; /* numbers of a position: one per head or per key; one per head or one */
    float scale;
} linear;

static err_code linear_of(const op_call *c, linear *ret, err *e)
{
    const int64_t *q = c->in[L_Q]->shape.dim, *v = c->in[L_V]->shape.dim;
    int64_t heads = node_int(c->node, "q_num_heads", 0), kv_heads = node_int(c->node, "kv_num_heads", 0);
    str rule = node_str(c->node, "update_rule", STR("gated_delta"));
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < 6 && !rc; i++)
        if (i != L_STATE) rc = op_rank(c, i, 3, 3, e);
    if (rc) return rc;
    linear l = {.gated = str_is(rule, "gated") || str_is(rule, "gated_delta"),
                .delta = str_is(rule, "delta") || str_is(rule, "gated_delta")};
    if (!l.gated && !l.delta && !str_is(rule, "linear"))
        return op_err(c, e, ERR_INVALID,
                      "attribute 'update_rule': expected linear, gated, delta or gated_delta, got '" STR_FMT "'",
                      STR_ARG(rule));
    if (heads < 1 || kv_heads < 1 || heads % kv_heads != 0 || q[2] % heads != 0 || v[2] % kv_heads != 0)
        return op_err(c, e, ERR_INVALID, "%lld and %lld heads do not divide the inputs", (long long)heads,
                      (long long)kv_heads);
    if (l.gated != given(c, L_DECAY) || l.delta != given(c, L_BETA))
        return op_err(c, e, ERR_INVALID, "the inputs decay and beta do not match update_rule '" STR_FMT "'",
                      STR_ARG(rule));
    int64_t k_size = q[2] / heads, v_size = v[2] / kv_heads;
    l.decays = l.gated ? (size_t)c->in[L_DECAY]->shape.dim[2] : 0;
    l.betas = l.delta ? (size_t)c->in[L_BETA]->shape.dim[2] : 0;
    if (l.gated && l.decays != (size_t)kv_heads && l.decays != (size_t)(kv_heads * k_size))
        return shape_error(c, L_DECAY, e);
    if (l.delta && l.betas != (size_t)kv_heads && l.betas != 1) return shape_error(c, L_BETA, e);
    rc = want_shape(c, L_K, 3, (int64_t[]){q[0], q[1], kv_heads * k_size}, e);
    if (!rc) rc = want_shape(c, L_V, 3, (int64_t[]){q[0], q[1], v[2]}, e);
    if (!rc) rc = want_shape(c, L_STATE, 4, (int64_t[]){q[0], kv_heads, k_size, v_size}, e);
    if (!rc) rc = want_shape(c, L_DECAY, 3, (int64_t[]){q[0], q[1], (int64_t)l.decays}, e);
    if (!rc) rc = want_shape(c, L_BETA, 3, (int64_t[]){q[0], q[1], (int64_t)l.betas}, e);
    if (rc) return rc;
    size_t state, width;                 /* 0 numbers make any number of heads */
    if (__builtin_mul_overflow((size_t)heads, (size_t)v_size, &width) || width > SHAPE_ELEMENTS_MAX ||
        __builtin_mul_overflow((size_t)(kv_heads * k_size), (size_t)v_size, &state) || state > SHAPE_ELEMENTS_MAX ||
        __builtin_mul_overflow((size_t)q[0], state, &state) || state > SHAPE_ELEMENTS_MAX)
        return op_err(c, e, ERR_LIMIT, "%lld and %lld heads of %lld x %lld numbers are too many", (long long)heads,
                      (long long)kv_heads, (long long)k_size, (long long)v_size);
    float scale = node_float(c->node, "scale", 0);
    l.batch = (size_t)q[0];
    l.length = (size_t)q[1];
    l.heads = (size_t)heads;
    l.kv_heads = (size_t)kv_heads;
    l.k_size = (size_t)k_size;
    l.v_size = (size_t)v_size;
    l.scale = scale != 0 ? scale : 1 / sqrtf((float)k_size);
    *ret = l;
    return ERR_OK;
}

static err_code linear_infer(op_call *c, err *e)
{
    linear l;
    err_code rc = op_type(c, 0, T_REAL, e);
    for (uint32_t i = 1; i < c->in_count && !rc; i++) rc = op_type(c, i, i == L_STATE ? T_REAL : T1(c->in[0]->type), e);
    if (!rc) rc = linear_of(c, &l, e);
    if (rc) return rc;
    shape y = shape_make(3, (int64_t[]){(int64_t)l.batch, (int64_t)l.length, (int64_t)(l.heads * l.v_size)});
    shape state =
        shape_make(4, (int64_t[]){(int64_t)l.batch, (int64_t)l.kv_heads, (int64_t)l.k_size, (int64_t)l.v_size});
    rc = op_set(c, 0, c->in[0]->type, &y, e);
    return rc ? rc : op_set(c, 1, given(c, L_STATE) ? c->in[L_STATE]->type : c->in[0]->type, &state, e);
}

/* What one head is given at one position. */
typedef struct {
    const float *k, *v;    /* [k_size], [v_size] */
    const float *decay;    /* gated: [1], or [k_size] with a decay for each key */
    size_t decay_step;
    float beta;
} linear_input;

/* One head at one position: the state forgets, is corrected, takes k v^T up. fresh: [v_size] scratch. */
static void linear_update(const linear *l, const kernel_set *ks, float *state, const linear_input *in, float *fresh)
{
    size_t n = l->v_size;
    for (size_t i = 0; i < l->k_size && l->gated; i++)
        ks->mul_s_f32(state + i * n, state + i * n, expf(in->decay[i * in->decay_step]), n);
    memcpy(fresh, in->v, n * sizeof *fresh);
    for (size_t i = 0; i < l->k_size && l->delta; i++) ks->axpy_f32(fresh, state + i * n, -in->k[i], n);
    if (l->delta) ks->mul_s_f32(fresh, fresh, in->beta, n);
    for (size_t i = 0; i < l->k_size; i++) ks->axpy_f32(state + i * n, fresh, in->k[i], n);
}

static void linear_position(const linear *l, const kernel_set *ks, const float *const in[6], size_t at, float *state,
                            float *y, float *fresh)
{
    size_t group = l->heads / l->kv_heads, each = l->k_size * l->v_size;
    bool per_key = l->decays != l->kv_heads;
    for (size_t h = 0; h < l->kv_heads; h++) {
        linear_input head = {
            .k = in[L_K] + (at * l->kv_heads + h) * l->k_size,
            .v = in[L_V] + (at * l->kv_heads + h) * l->v_size,
            .decay = l->gated ? in[L_DECAY] + at * l->decays + h * (per_key ? l->k_size : 1) : NULL,
            .decay_step = per_key,
            .beta = l->delta ? in[L_BETA][at * l->betas + (l->betas == 1 ? 0 : h)] : 1,
        };
        linear_update(l, ks, state + h * each, &head, fresh);
    }
    for (size_t h = 0; h < l->heads; h++) {
        float *to = y + (at * l->heads + h) * l->v_size;
        const float *q = in[L_Q] + (at * l->heads + h) * l->k_size, *from = state + h / group * each;
        memset(to, 0, l->v_size * sizeof *to);
        for (size_t i = 0; i < l->k_size; i++) ks->axpy_f32(to, from + i * l->v_size, l->scale * q[i], l->v_size);
    }
}

static err_code linear_run(op_call *c, err *e)
{
    linear l;
    const float *in[6] = {NULL};
    float *y, *state;
    err_code rc = linear_of(c, &l, e);
    for (uint32_t i = 0; i < COUNTOF(in) && !rc; i++) rc = half_in(c, i, &in[i], e);
    if (!rc) rc = half_out(c, 0, &y, e);
    if (rc) return rc;
    size_t each = l.kv_heads * l.k_size * l.v_size;
    bool wanted = c->out_count > 1 && c->out[1];
    float *fresh = arena_push(c->scratch, l.v_size + 1, sizeof *fresh, MEM_ALIGN);
    state = arena_push(c->scratch, l.batch * each + 1, sizeof *state, MEM_ALIGN);
    if (!fresh || !state) return op_err(c, e, ERR_LIMIT, "no memory for a state of %zu numbers", l.batch * each);
    if (in[L_STATE]) memcpy(state, in[L_STATE], l.batch * each * sizeof *state);
    for (size_t at = 0; at < l.batch * l.length; at++)
        linear_position(&l, c->k, in, at, state + at / l.length * each, y, fresh);
    half_done(c, 0, y);
    if (wanted && c->out[1]->data && c->out[1]->type == DT_F32)   /* keys of no number leave nothing behind */
        memcpy(c->out[1]->data, state, l.batch * each * sizeof *state);
    if (wanted) half_done(c, 1, state);
    return ERR_OK;
}

const op_row op_rows_cache[] = {
    {.name = "RotaryEmbedding",
     .domain = "",
     .since = 23,
     .in_min = 3,
     .in_max = 4,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"interleaved", ATTR_INT, false},
               {"num_heads", ATTR_INT, false},
               {"rotary_embedding_dim", ATTR_INT, false}},
     .infer = rotary_infer,
     .run = rotary_run},
    {.name = "TensorScatter",
     .domain = "",
     .since = 24,
     .in_min = 2,
     .in_max = 3,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"axis", ATTR_INT, false}, {"mode", ATTR_STRING, false}},
     .infer = scatter_infer,
     .run = scatter_run},
    {.name = "CausalConvWithState",
     .domain = "",
     .since = 27,
     .in_min = 2,
     .in_max = 4,
     .out_min = 1,
     .out_max = 2,
     .attrs = {{"activation", ATTR_STRING, false}},
     .infer = causal_infer,
     .run = causal_run},
    {.name = "LinearAttention",
     .domain = "",
     .since = 27,
     .in_min = 3,
     .in_max = 6,
     .out_min = 1,
     .out_max = 2,
     .attrs = {{"chunk_size", ATTR_INT, false},
               {"kv_num_heads", ATTR_INT, true},
               {"q_num_heads", ATTR_INT, true},
               {"scale", ATTR_FLOAT, false},
               {"update_rule", ATTR_STRING, false}},
     .infer = linear_infer,
     .run = linear_run},
    {0},
};
