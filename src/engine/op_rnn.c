/* LSTM, GRU and RNN: both layouts, all directions; weights packed when the model is loaded. */
#include "engine/half.h"
#include "engine/op.h"
#include "tensor/rnn.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { DIRECTIONS_MAX = 2, FUNCTIONS_MAX = 3 };
#define T_RNN (T1(DT_F32) | T1(DT_F16) | T1(DT_BF16))

/* Inputs and outputs in the order of ONNX. */
enum { IN_X, IN_W, IN_R, IN_B, IN_LENGTHS, IN_H, IN_C, IN_P };
enum { OUT_Y, OUT_H, OUT_C };

typedef struct {
    rnn_kind kind;
    uint32_t directions;
    bool backward_only, batch_first, input_forget, linear_before_reset;
    float clip;
    size_t hidden; /* 0: the attribute is missing, R tells */
    rnn_act act[DIRECTIONS_MAX][FUNCTIONS_MAX];
    bool packed;
    rnn_weights weights[DIRECTIONS_MAX];
} rnn_state;

/* ---- attributes --------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    rnn_function f;
    bool alpha, beta; /* the function takes them */
    float alpha_default, beta_default;
} functions[] = {
    {"Relu", RNN_RELU, false, false, 0, 0},
    {"Tanh", RNN_TANH, false, false, 0, 0},
    {"Sigmoid", RNN_SIGMOID, false, false, 0, 0},
    {"Affine", RNN_AFFINE, true, true, 1, 0},
    {"LeakyRelu", RNN_LEAKY_RELU, true, false, 0.01f, 0},
    {"ThresholdedRelu", RNN_THRESHOLDED_RELU, true, false, 1, 0},
    {"ScaledTanh", RNN_SCALED_TANH, true, true, 1, 1},
    {"HardSigmoid", RNN_HARD_SIGMOID, true, true, 0.2f, 0.5f},
    {"Elu", RNN_ELU, true, false, 1, 0},
    {"Softsign", RNN_SOFTSIGN, false, false, 0, 0},
    {"Softplus", RNN_SOFTPLUS, false, false, 0, 0},
};

/* ONNX compares these names without regard to case. */
static bool same_name(str a, const char *b)
{
    if (a.len != strlen(b)) return false;
    for (size_t i = 0; i < a.len; i++)
        if ((a.p[i] | 0x20) != (b[i] | 0x20)) return false;
    return true;
}

static uint32_t function_count(rnn_kind k) { return k == RNN_PLAIN ? 1 : k == RNN_GRU ? 2 : 3; }

static float next_of(const attr *list, uint32_t *at, float otherwise)
{
    return list && *at < list->count ? list->floats[(*at)++] : otherwise;
}

static err_code read_functions(rnn_state *s, const graph *g, const node *n, err *e)
{
    static const rnn_act defaults[3][FUNCTIONS_MAX] = {
        [RNN_PLAIN] = {{.f = RNN_TANH}},
        [RNN_GRU] = {{.f = RNN_SIGMOID}, {.f = RNN_TANH}},
        [RNN_LSTM] = {{.f = RNN_SIGMOID}, {.f = RNN_TANH}, {.f = RNN_TANH}},
    };
    const attr *names = node_attr(n, "activations"), *alpha = node_attr(n, "activation_alpha");
    const attr *beta = node_attr(n, "activation_beta");
    uint32_t each = function_count(s->kind), alpha_at = 0, beta_at = 0;
    char text[200];
    for (uint32_t d = 0; d < s->directions; d++) memcpy(s->act[d], defaults[s->kind], sizeof s->act[d]);
    if (!names) return ERR_OK;
    if (names->count != each * s->directions)
        return err_set(e, ERR_INVALID, "%s: attribute 'activations': expected %u names, got %u", node_text(g, n, text),
                       each * s->directions, names->count);
    for (uint32_t i = 0; i < names->count; i++) {
        size_t f = 0;
        while (f < COUNTOF(functions) && !same_name(names->strings[i], functions[f].name)) f++;
        if (f == COUNTOF(functions))
            return err_set(e, ERR_UNSUPPORTED, "%s: attribute 'activations': '" STR_FMT "': not implemented",
                           node_text(g, n, text), STR_ARG(names->strings[i]));
        rnn_act *a = &s->act[i / each][i % each];
        a->f = functions[f].f;
        a->alpha = functions[f].alpha ? next_of(alpha, &alpha_at, functions[f].alpha_default) : 0;
        a->beta = functions[f].beta ? next_of(beta, &beta_at, functions[f].beta_default) : 0;
    }
    return ERR_OK;
}

static err_code state_read(rnn_state *s, const graph *g, const node *n, err *e)
{
    char text[200];
    str direction = node_str(n, "direction", str_of("forward"));
    *s = (rnn_state){.kind = str_is(n->op, "LSTM")  ? RNN_LSTM
                             : str_is(n->op, "GRU") ? RNN_GRU
                                                    : RNN_PLAIN,
                     .directions = str_is(direction, "bidirectional") ? 2 : 1,
                     .backward_only = str_is(direction, "reverse"),
                     .batch_first = node_int(n, "layout", 0) != 0,
                     .input_forget = node_int(n, "input_forget", 0) != 0,
                     .clip = node_float(n, "clip", INFINITY),
                     .linear_before_reset = node_int(n, "linear_before_reset", 0) != 0};
    if (s->directions == 1 && !s->backward_only && !str_is(direction, "forward"))
        return err_set(e, ERR_INVALID,
                       "%s: attribute 'direction': expected forward, reverse or bidirectional, got '" STR_FMT "'",
                       node_text(g, n, text), STR_ARG(direction));
    if (!(s->clip > 0))
        return err_set(e, ERR_INVALID, "%s: attribute 'clip': expected more than 0", node_text(g, n, text));
    return read_functions(s, g, n, e);
}

/* ---- shapes ------------------------------------------------------------------------------------------------- */

static err_code want_shape(const op_call *c, uint32_t input, uint32_t rank, const int64_t *dims, err *e)
{
    const tensor *t = input < c->in_count ? c->in[input] : NULL;
    shape want = shape_make(rank, dims);
    char text[2][SHAPE_TEXT_MAX];
    if (!t || shape_eq(&t->shape, &want)) return ERR_OK;
    return op_err(c, e, ERR_INVALID, "input %u: expected shape %s, got %s", input, shape_text(&want, text[0]),
                  shape_text(&t->shape, text[1]));
}

/* What the kernels need to know of the shapes; checks every input against them. */
static err_code measure(const op_call *c, const rnn_state *s, rnn_call *r, err *e)
{
    err_code rc = op_type(c, IN_X, T_RNN, e);
    for (uint32_t i = IN_W; i < c->in_count && !rc; i++)
        rc = op_type(c, i, i == IN_LENGTHS ? T1(DT_I32) : T1(c->in[0]->type), e);
    for (uint32_t i = IN_X; i <= IN_R && !rc; i++) rc = op_rank(c, i, 3, 3, e);
    if (rc) return rc;
    const int64_t *x = c->in[IN_X]->shape.dim, directions = s->directions;
    int64_t hidden = c->in[IN_R]->shape.dim[2], gates = (int64_t)rnn_gates(s->kind) * hidden;
    int64_t batch = x[s->batch_first ? 0 : 1], steps = x[s->batch_first ? 1 : 0];
    if (node_int(c->node, "hidden_size", hidden) != hidden)
        return op_err(c, e, ERR_INVALID, "attribute 'hidden_size': expected %lld as the weights have, got %lld",
                      (long long)hidden, (long long)node_int(c->node, "hidden_size", hidden));
    const int64_t state[] = {s->batch_first ? batch : directions, s->batch_first ? directions : batch, hidden};
    rc = want_shape(c, IN_W, 3, (int64_t[]){directions, gates, x[2]}, e);
    if (!rc) rc = want_shape(c, IN_R, 3, (int64_t[]){directions, gates, hidden}, e);
    if (!rc) rc = want_shape(c, IN_B, 2, (int64_t[]){directions, 2 * gates}, e);
    if (!rc) rc = want_shape(c, IN_LENGTHS, 1, (int64_t[]){batch}, e);
    if (!rc) rc = want_shape(c, IN_H, 3, state, e);
    if (!rc) rc = want_shape(c, IN_C, 3, state, e);
    if (!rc) rc = want_shape(c, IN_P, 2, (int64_t[]){directions, 3 * hidden}, e);
    if (rc) return rc;
    size_t rows = (size_t)batch, input = (size_t)x[2];
    *r = (rnn_call){.kind = s->kind,
                    .steps = (size_t)steps,
                    .batch = rows,
                    .input = input,
                    .hidden = (size_t)hidden,
                    .x_step = s->batch_first ? input : rows * input,
                    .x_batch = s->batch_first ? (size_t)steps * input : input,
                    .clip = s->clip,
                    .input_forget = s->input_forget,
                    .linear_before_reset = s->linear_before_reset};
    return ERR_OK;
}

static err_code state_of(const op_call *c, rnn_state *local, const rnn_state **ret, err *e)
{
    *ret = c->state ? c->state : local;
    return c->state ? ERR_OK : state_read(local, c->graph, c->node, e);
}

static err_code infer(op_call *c, err *e)
{
    rnn_state local;
    const rnn_state *s;
    rnn_call r;
    err_code rc = state_of(c, &local, &s, e);
    if (!rc) rc = measure(c, s, &r, e);
    if (rc) return rc;
    int64_t steps = (int64_t)r.steps, batch = (int64_t)r.batch, hidden = (int64_t)r.hidden, directions = s->directions;
    shape all = s->batch_first ? shape_make(4, (int64_t[]){batch, steps, directions, hidden})
                               : shape_make(4, (int64_t[]){steps, directions, batch, hidden});
    shape last = s->batch_first ? shape_make(3, (int64_t[]){batch, directions, hidden})
                                : shape_make(3, (int64_t[]){directions, batch, hidden});
    rc = op_set(c, 0, c->in[0]->type, &all, e);
    if (!rc) rc = op_set(c, 1, c->in[0]->type, &last, e);
    if (!rc) rc = op_set(c, 2, c->in[0]->type, &last, e);
    return rc;
}

/* ---- weights ------------------------------------------------------------------------------------------------ */

/* w, r, b, p: float32, all directions. */
static void pack_directions(rnn_weights *ret, float *memory, const rnn_state *s, const rnn_call *r,
                            const float *const in[4], const kernel_set *k)
{
    size_t all = rnn_gates(s->kind) * r->hidden, room = rnn_room(s->kind, r->input, r->hidden);
    room = (room + 15) / 16 * 16;
    for (size_t d = 0; d < s->directions; d++)
        rnn_pack(&ret[d], memory + d * room, r, in[0] + d * all * r->input, in[1] + d * all * r->hidden,
                 in[2] ? in[2] + d * 2 * all : NULL, in[3] ? in[3] + d * 3 * r->hidden : NULL, k);
}

static float *room_for(arena *memory, const rnn_state *s, const rnn_call *r)
{
    size_t room = rnn_room(s->kind, r->input, r->hidden), bytes;
    if (room == SIZE_MAX || __builtin_mul_overflow((room + 15) / 16 * 16, s->directions * sizeof(float), &bytes))
        return NULL;
    return arena_push(memory, bytes ? bytes : 1, 1, MEM_ALIGN);
}

static const uint32_t weight_inputs[4] = {IN_W, IN_R, IN_B, IN_P};

/* All four weight inputs are constant, or absent, and of the shapes that rnn_pack() takes for granted. */
static bool constant(const op_prep *p, const rnn_state *s)
{
    const tensor *w = p->in[IN_W], *r = p->in[IN_R];
    if (!w || !r || w->shape.rank != 3 || r->shape.rank != 3) return false;
    int64_t hidden = r->shape.dim[2], gates = (int64_t)rnn_gates(s->kind) * hidden, d = s->directions;
    const shape want[4] = {shape_make(3, (int64_t[]){d, gates, w->shape.dim[2]}),
                           shape_make(3, (int64_t[]){d, gates, hidden}), shape_make(2, (int64_t[]){d, 2 * gates}),
                           shape_make(2, (int64_t[]){d, 3 * hidden})};
    for (uint32_t i = 0; i < COUNTOF(want); i++) {
        uint32_t at = weight_inputs[i];
        if (at >= p->node->in_count || p->node->in[at] == VALUE_NONE) continue;
        if (!p->in[at] || !(T1(p->in[at]->type) & T_RNN) || !shape_eq(&p->in[at]->shape, &want[i])) return false;
    }
    return true;
}

static err_code pack_constants(op_prep *p, rnn_state *s, err *e)
{
    const tensor *w = p->in[IN_W], *r = p->in[IN_R];
    rnn_call call = {.kind = s->kind,
                     .input = (size_t)w->shape.dim[2],
                     .hidden = (size_t)r->shape.dim[2],
                     .linear_before_reset = s->linear_before_reset};
    float *wide[4] = {NULL}, *memory = room_for(p->memory, s, &call);
    const float *in[4] = {NULL};
    bool ok = memory != NULL;
    for (uint32_t i = 0; i < COUNTOF(wide) && ok; i++) {
        const tensor *t = weight_inputs[i] < p->node->in_count ? p->in[weight_inputs[i]] : NULL;
        if (!t) continue;
        in[i] = t->data;
        if (t->type == DT_F32 || tensor_count(t) == 0) continue;
        in[i] = wide[i] = mem_alloc_raw((size_t)tensor_count(t) * sizeof(float));
        ok = wide[i] != NULL;
        if (ok) half_widen(wide[i], t, p->k);
    }
    if (ok) pack_directions(s->weights, memory, s, &call, in, p->k);
    s->packed = ok;
    for (uint32_t i = 0; i < COUNTOF(wide); i++) mem_free(wide[i]);
    return ok ? ERR_OK
              : err_set(e, ERR_NOMEM, "%s: no memory to pack the weights",
                        node_text(p->graph, p->node, (char[200]){0}));
}

static err_code prepare(op_prep *p, void **ret_state, err *e)
{
    rnn_state *s = arena_new(p->memory, rnn_state, 1);
    if (!s) return err_set(e, ERR_NOMEM, "%s: no memory", node_text(p->graph, p->node, (char[200]){0}));
    err_code rc = state_read(s, p->graph, p->node, e);
    if (!rc && constant(p, s)) rc = pack_constants(p, s, e);
    if (!rc) *ret_state = s;
    return rc;
}

static err_code pack_now(op_call *c, const rnn_state *s, const rnn_call *r, rnn_weights *ret, err *e)
{
    const float *in[4] = {NULL};
    for (uint32_t i = 0; i < COUNTOF(in); i++) {
        err_code rc = half_in(c, weight_inputs[i], &in[i], e);
        if (rc) return rc;
    }
    float *memory = room_for(c->scratch, s, r);
    if (!memory) return op_err(c, e, ERR_LIMIT, "no memory to pack the weights");
    pack_directions(ret, memory, s, r, in, c->k);
    return ERR_OK;
}

/* ---- run ---------------------------------------------------------------------------------------------------- */

static err_code lengths_of(op_call *c, rnn_call *r, err *e)
{
    const tensor *t = c->in_count > IN_LENGTHS ? c->in[IN_LENGTHS] : NULL;
    if (!t) return ERR_OK;
    r->lengths = t->data;
    for (size_t b = 0; b < r->batch; b++)
        if (r->lengths[b] < 0 || (size_t)r->lengths[b] > r->steps)
            return op_err(c, e, ERR_INVALID, "input %d: expected lengths of 0 to %zu, got %d", IN_LENGTHS, r->steps,
                          (int)r->lengths[b]);
    return ERR_OK;
}

/* Copies one direction's state between ONNX's order and [batch, hidden]. */
static void copy_state(const rnn_state *s, const rnn_call *r, uint32_t d, float *inner, float *outer, bool out)
{
    for (size_t b = 0; b < r->batch; b++) {
        float *at = outer + (s->batch_first ? b * s->directions + d : d * r->batch + b) * r->hidden;
        memcpy(out ? at : inner + b * r->hidden, out ? inner + b * r->hidden : at, r->hidden * sizeof(float));
    }
}

typedef struct {
    float *y, *last_h, *last_c; /* outputs as float32, or NULL */
    const float *first_h, *first_c;
} rnn_io;

static err_code run_direction(op_call *c, const rnn_state *s, rnn_call r, uint32_t d, const rnn_io *io, err *e)
{
    size_t bytes = r.batch * r.hidden * sizeof(float);
    r.reverse = s->backward_only || d == 1;
    memcpy(r.act, s->act[d], sizeof r.act);
    r.h = arena_push(c->scratch, bytes ? bytes : 1, 1, MEM_ALIGN);
    r.c = arena_push(c->scratch, bytes ? bytes : 1, 1, MEM_ALIGN);
    if (!r.h || !r.c) return op_err(c, e, ERR_LIMIT, "no memory for %zu x %zu of state", r.batch, r.hidden);
    if (io->first_h) copy_state(s, &r, d, r.h, (float *)(uintptr_t)io->first_h, false);
    if (io->first_c) copy_state(s, &r, d, r.c, (float *)(uintptr_t)io->first_c, false);
    size_t row = r.hidden * s->directions;
    if (io->y) {
        r.y = io->y + d * (s->batch_first ? r.hidden : r.batch * r.hidden);
        r.y_step = s->batch_first ? row : r.batch * row;
        r.y_batch = s->batch_first ? r.steps * row : r.hidden;
    }
    err_code rc = rnn_f32(&r, c->k, c->pool, c->scratch, e);
    if (rc) return err_wrap(e, "%s", node_text(c->graph, c->node, (char[200]){0}));
    if (io->last_h) copy_state(s, &r, d, r.h, io->last_h, true);
    if (io->last_c) copy_state(s, &r, d, r.c, io->last_c, true);
    return ERR_OK;
}

/* An output as float32; NULL where nothing is to be written. */
static err_code out_of(op_call *c, uint32_t i, float **ret, err *e)
{
    *ret = NULL;
    return i < c->out_count && c->out[i] && tensor_count(c->out[i]) ? half_out(c, i, ret, e) : ERR_OK;
}

static err_code run(op_call *c, err *e)
{
    rnn_state local;
    const rnn_state *s;
    rnn_call r;
    rnn_io io = {0};
    rnn_weights now[DIRECTIONS_MAX];
    err_code rc = state_of(c, &local, &s, e);
    if (!rc) rc = measure(c, s, &r, e);
    if (!rc) rc = lengths_of(c, &r, e);
    if (!rc && !s->packed) rc = pack_now(c, s, &r, now, e);
    if (!rc) rc = half_in(c, IN_X, &r.x, e);
    if (!rc) rc = half_in(c, IN_H, &io.first_h, e);
    if (!rc) rc = half_in(c, IN_C, &io.first_c, e);
    if (!rc) rc = out_of(c, OUT_Y, &io.y, e);
    if (!rc) rc = out_of(c, OUT_H, &io.last_h, e);
    if (!rc) rc = out_of(c, OUT_C, &io.last_c, e);
    if (rc) return rc;
    for (uint32_t d = 0; d < s->directions && !rc; d++) {
        r.weights = s->packed ? s->weights[d] : now[d];
        rc = run_direction(c, s, r, d, &io, e);
    }
    if (rc) return rc;
    if (io.y) half_done(c, OUT_Y, io.y);
    if (io.last_h) half_done(c, OUT_H, io.last_h);
    if (io.last_c) half_done(c, OUT_C, io.last_c);
    return ERR_OK;
}

static uint64_t flops(const op_call *c)
{
    const int64_t *x = c->in[IN_X]->shape.dim;
    return 2 * (uint64_t)(x[0] * x[1]) * (tensor_count(c->in[IN_W]) + tensor_count(c->in[IN_R]));
}

#define RNN_ATTRS \
    {"activation_alpha", ATTR_FLOATS, false}, {"activation_beta", ATTR_FLOATS, false}, \
        {"activations", ATTR_STRINGS, false}, {"clip", ATTR_FLOAT, false}, {"direction", ATTR_STRING, false}, \
        {"hidden_size", ATTR_INT, false}, \
    { \
        "layout", ATTR_INT, false \
    }

const op_row op_rows_rnn[] = {
    {.name = "LSTM",
     .domain = "",
     .since = 7,
     .in_min = 3,
     .in_max = 8,
     .out_min = 0,
     .out_max = 3,
     .attrs = {RNN_ATTRS, {"input_forget", ATTR_INT, false}},
     .prepare = prepare,
     .infer = infer,
     .run = run,
     .flops = flops},
    {.name = "GRU",
     .domain = "",
     .since = 7,
     .in_min = 3,
     .in_max = 6,
     .out_min = 0,
     .out_max = 2,
     .attrs = {RNN_ATTRS, {"linear_before_reset", ATTR_INT, false}},
     .prepare = prepare,
     .infer = infer,
     .run = run,
     .flops = flops},
    {.name = "RNN",
     .domain = "",
     .since = 7,
     .in_min = 3,
     .in_max = 6,
     .out_min = 0,
     .out_max = 2,
     .attrs = {RNN_ATTRS},
     .prepare = prepare,
     .infer = infer,
     .run = run,
     .flops = flops},
    {0},
};
