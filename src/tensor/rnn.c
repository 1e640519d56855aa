#include "tensor/rnn.h"

#include "base/mem.h"
#include "tensor/gemm.h"

#include <math.h>
#include <string.h>

size_t rnn_gates(rnn_kind kind) { return kind == RNN_PLAIN ? 1 : kind == RNN_GRU ? 3 : 4; }

/* Rooms of W, R, R of the new gate, in floats. */
static bool rooms(rnn_kind kind, size_t input, size_t hidden, size_t room[3])
{
    size_t all;
    if (__builtin_mul_overflow(rnn_gates(kind), hidden, &all)) return false;
    room[0] = gemm_b_room(input, all);
    room[1] = gemm_b_room(hidden, kind == RNN_GRU ? 2 * hidden : all);
    room[2] = kind == RNN_GRU ? gemm_b_room(hidden, hidden) : 0;
    return room[0] != SIZE_MAX && room[1] != SIZE_MAX && room[2] != SIZE_MAX;
}

size_t rnn_room(rnn_kind kind, size_t input, size_t hidden)
{
    size_t room[3], total;
    /* The panels are multiples of 48 floats, so each part stays aligned to 64 bytes. */
    if (!rooms(kind, input, hidden, room) || __builtin_add_overflow(room[0], room[1], &total) ||
        __builtin_add_overflow(total, room[2], &total) || __builtin_add_overflow(total, 8 * hidden, &total) ||
        total > SIZE_MAX / sizeof(float))
        return SIZE_MAX;
    return total;
}

void rnn_pack(rnn_weights *ret, float *memory, const rnn_call *s, const float *w, const float *r, const float *b,
              const float *p, const kernel_set *k)
{
    size_t room[3], gates = rnn_gates(s->kind), all = gates * s->hidden,
                    direct = s->kind == RNN_GRU ? 2 * s->hidden : all;
    INVARIANT(rooms(s->kind, s->input, s->hidden, room));
    float *to_w = memory, *to_r = to_w + room[0], *to_new = to_r + room[1], *bias = to_new + room[2];
    gemm_matrix m = {.data = w, .row = 1, .column = s->input};
    gemm_pack_b(to_w, &m, s->input, all, k);
    m = (gemm_matrix){.data = r, .row = 1, .column = s->hidden};
    gemm_pack_b(to_r, &m, s->hidden, direct, k);
    m.data = r + direct * s->hidden;
    if (s->kind == RNN_GRU) gemm_pack_b(to_new, &m, s->hidden, s->hidden, k);
    bool split = s->kind == RNN_GRU && s->linear_before_reset;
    for (size_t i = 0; i < all; i++) bias[i] = b ? b[i] + (split && i >= direct ? 0 : b[all + i]) : 0;
    *ret = (rnn_weights){.w = to_w, .r = to_r, .r_new = s->kind == RNN_GRU ? to_new : NULL, .bias = bias};
    if (split) {
        float *bias_new = bias + all;
        for (size_t i = 0; i < s->hidden; i++) bias_new[i] = b ? b[all + direct + i] : 0;
        ret->bias_new = bias_new;
    }
    if (p) ret->peephole = memcpy(bias + all, p, 3 * s->hidden * sizeof *p);
}

static float plain_function(const rnn_act *a, float x)
{
    switch (a->f) {
    case RNN_AFFINE: return a->alpha * x + a->beta;
    case RNN_THRESHOLDED_RELU: return x > a->alpha ? x : 0;
    case RNN_SCALED_TANH: return a->alpha * tanhf(a->beta * x);
    case RNN_ELU: return x < 0 ? a->alpha * expm1f(x) : x;
    case RNN_SOFTSIGN: return x / (1 + fabsf(x));
    default: return x;
    }
}

static void apply(const rnn_act *a, float *y, size_t n, const kernel_set *k)
{
    switch (a->f) {
    case RNN_RELU: k->relu_f32(y, y, n); break;
    case RNN_TANH: k->tanh_f32(y, y, n); break;
    case RNN_SIGMOID: k->sigmoid_f32(y, y, n); break;
    case RNN_LEAKY_RELU: k->leaky_relu_f32(y, y, a->alpha, n); break;
    case RNN_HARD_SIGMOID: k->hard_sigmoid_f32(y, y, a->alpha, a->beta, n); break;
    case RNN_SOFTPLUS: k->softplus_f32(y, y, n); break;
    case RNN_AFFINE:
    case RNN_THRESHOLDED_RELU:
    case RNN_SCALED_TANH:
    case RNN_ELU:
    case RNN_SOFTSIGN:
        for (size_t i = 0; i < n; i++) y[i] = plain_function(a, y[i]);
    }
}

/* One layer while it runs. */
typedef struct {
    const rnn_call *c;
    const kernel_set *k;
    compute *pool;
    size_t width; /* gates * hidden */
    float *in; /* [steps * batch, width] x * W + bias, rows in the order of x */
    size_t in_step, in_batch;
    float *gates; /* [batch, width] of the current step */
    float *turned; /* [batch, width] rows of `in` gathered, where the sequences are at different times */
    float *more; /* [batch, hidden] GRU: r * h; LSTM: h(c) */
    arena packing; /* for the product of one step */
} layer;

static void clip(const layer *l, float *y, size_t n)
{
    if (!isinf(l->c->clip)) l->k->clip_f32(y, y, -l->c->clip, l->c->clip, n);
}

static void multiply_add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] += a[i] * b[i];
}

/* g: i, o, f, c */
static void lstm_row(const layer *l, float *g, float *h, float *c, float *squashed)
{
    const rnn_call *r = l->c;
    size_t n = r->hidden;
    const float *p = r->weights.peephole;
    float *i = g, *o = g + n, *f = g + 2 * n, *fresh = g + 3 * n;
    if (p) {
        multiply_add(i, p, c, n);
        multiply_add(f, p + 2 * n, c, n);
    }
    clip(l, i, n);
    clip(l, f, 2 * n); /* f and c lie side by side */
    apply(&r->act[0], i, n, l->k);
    if (r->input_forget)
        l->k->rsub_s_f32(f, i, 1, n);
    else
        apply(&r->act[0], f, n, l->k);
    apply(&r->act[1], fresh, n, l->k);
    for (size_t q = 0; q < n; q++) c[q] = f[q] * c[q] + i[q] * fresh[q];
    if (p) multiply_add(o, p + n, c, n);
    clip(l, o, n);
    apply(&r->act[0], o, n, l->k);
    memcpy(squashed, c, n * sizeof *c);
    apply(&r->act[2], squashed, n, l->k);
    l->k->mul_f32(h, o, squashed, n);
}

/* g: z, r, h.  The product with R of the new gate is in `fresh` when linear_before_reset. */
static void gru_finish(const layer *l, float *g, const float *fresh, float *h)
{
    size_t n = l->c->hidden;
    float *z = g, *r = g + n, *new = g + 2 * n;
    if (l->c->linear_before_reset) {
        for (size_t q = 0; q < n; q++) new[q] += r[q] * (fresh[q] + l->c->weights.bias_new[q]);
    } else {
        l->k->add_f32(new, new, fresh, n);
    }
    clip(l, new, n);
    apply(&l->c->act[1], new, n, l->k);
    for (size_t q = 0; q < n; q++) h[q] = (1 - z[q]) * new[q] + z[q] * h[q];
}

/* [batch, columns] = x[batch, hidden] * packed (+ residual) */
static gemm_call product_of(const rnn_call *c, const float *x, const float *packed, size_t columns)
{
    return (gemm_call){.batch = 1,
                       .m = c->batch,
                       .n = columns,
                       .k = c->hidden,
                       .alpha = 1,
                       .beta = 1,
                       .a = {.data = x, .row = c->hidden, .column = 1},
                       .b = {.data = packed, .packed = true}};
}

static err_code multiply(layer *l, gemm_call *g, float *y, size_t y_row, err *e)
{
    g->c = y;
    g->c_row = y_row;
    arena_reset(&l->packing);
    return gemm_f32(g, l->k, l->pool, &l->packing, e);
}

static size_t length_of(const rnn_call *c, size_t b) { return c->lengths ? (size_t)c->lengths[b] : c->steps; }

/* The time that step s of sequence b is at; false when the sequence is over. */
static bool time_of(const rnn_call *c, size_t s, size_t b, size_t *ret)
{
    size_t length = length_of(c, b);
    if (s >= length) return false;
    *ret = c->reverse ? length - 1 - s : s;
    return true;
}

static err_code gru_step(layer *l, size_t s, err *e)
{
    const rnn_call *c = l->c;
    size_t n = c->hidden, t;
    for (size_t b = 0; b < c->batch; b++) {
        float *g = l->gates + b * l->width;
        clip(l, g, 2 * n);
        apply(&c->act[0], g, 2 * n, l->k);
        if (!c->linear_before_reset) l->k->mul_f32(l->more + b * n, g + n, c->h + b * n, n);
    }
    const float *from = c->linear_before_reset ? c->h : l->more;
    gemm_call g = product_of(c, from, c->weights.r_new, n);
    err_code rc = multiply(l, &g, l->turned, n, e);
    for (size_t b = 0; b < c->batch && !rc; b++)
        if (time_of(c, s, b, &t)) gru_finish(l, l->gates + b * l->width, l->turned + b * n, c->h + b * n);
    return rc;
}

/* The rows of `in` for step s: where they lie, or gathered when the sequences are at different times. */
static const float *rows_of(const layer *l, size_t s, size_t *ret_row)
{
    const rnn_call *c = l->c;
    if (!c->lengths || !c->reverse) {
        *ret_row = l->in_batch;
        return l->in + (c->reverse ? c->steps - 1 - s : s) * l->in_step;
    }
    *ret_row = l->width;
    for (size_t b = 0, t; b < c->batch; b++) {
        float *to = l->turned + b * l->width;
        if (time_of(c, s, b, &t))
            memcpy(to, l->in + t * l->in_step + b * l->in_batch, l->width * sizeof *to);
        else
            memset(to, 0, l->width * sizeof *to);
    }
    return l->turned;
}

static err_code step(layer *l, size_t s, err *e)
{
    const rnn_call *c = l->c;
    size_t n = c->hidden, row, t, direct = c->kind == RNN_GRU ? 2 * n : l->width;
    const float *in = rows_of(l, s, &row);
    gemm_call product = product_of(c, c->h, c->weights.r, direct);
    product.residual = in;
    product.residual_row = row;
    err_code rc = multiply(l, &product, l->gates, l->width, e);
    if (rc) return rc;
    if (c->kind == RNN_GRU) {
        for (size_t b = 0; b < c->batch; b++)
            memcpy(l->gates + b * l->width + direct, in + b * row + direct, n * sizeof *in);
        rc = gru_step(l, s, e);
    }
    for (size_t b = 0; b < c->batch && !rc; b++) {
        float *g = l->gates + b * l->width, *h = c->h + b * n;
        if (!time_of(c, s, b, &t)) continue;
        if (c->kind == RNN_LSTM) {
            lstm_row(l, g, h, c->c + b * n, l->more);
        } else if (c->kind == RNN_PLAIN) {
            clip(l, g, n);
            apply(&c->act[0], g, n, l->k);
            memcpy(h, g, n * sizeof *h);
        }
        if (c->y) memcpy(c->y + t * c->y_step + b * c->y_batch, h, n * sizeof *h);
    }
    return rc;
}

static float *push(arena *a, size_t rows, size_t columns)
{
    size_t count;
    if (__builtin_mul_overflow(rows, columns, &count) || count > SIZE_MAX / sizeof(float)) return NULL;
    return arena_push_raw(a, (count ? count : 1) * sizeof(float), MEM_ALIGN);
}

/* x * W + bias for all steps: one product when the rows of x are dense, else one for each sequence. */
static err_code multiply_inputs(layer *l, arena *scratch, err *e)
{
    const rnn_call *c = l->c;
    bool by_time = c->x_batch == c->input && c->x_step == c->batch * c->input;
    gemm_call g = {.batch = 1,
                   .m = c->steps * c->batch,
                   .n = l->width,
                   .k = c->input,
                   .c = l->in,
                   .c_row = l->width,
                   .alpha = 1,
                   .bias_column = c->weights.bias,
                   .a = {.data = c->x, .row = c->input, .column = 1},
                   .b = {.data = c->weights.w, .packed = true}};
    l->in_batch = by_time ? l->width : c->steps * l->width;
    l->in_step = by_time ? c->batch * l->width : l->width;
    INVARIANT(by_time || (c->x_step == c->input && c->x_batch == c->steps * c->input));
    return gemm_f32(&g, l->k, l->pool, scratch, e);
}

err_code rnn_f32(const rnn_call *c, const kernel_set *k, compute *pool, arena *scratch, err *e)
{
    layer l = {.c = c, .k = k, .pool = pool, .width = rnn_gates(c->kind) * c->hidden};
    size_t rows;
    if (c->batch == 0 || c->hidden == 0) return ERR_OK;
    if (__builtin_mul_overflow(c->steps, c->batch, &rows)) rows = SIZE_MAX;
    l.in = push(scratch, rows, l.width);
    l.gates = push(scratch, c->batch, l.width);
    l.turned = push(scratch, c->batch, l.width);
    l.more = push(scratch, c->batch, c->hidden);
    gemm_call first = product_of(c, c->h, c->weights.r, c->kind == RNN_GRU ? 2 * c->hidden : l.width);
    gemm_call second = product_of(c, c->h, c->weights.r_new, c->hidden);
    size_t packing = gemm_scratch(&first, pool), other = gemm_scratch(&second, pool);
    if (other > packing) packing = other;
    void *room = packing == SIZE_MAX ? NULL : arena_push_raw(scratch, packing + 1, MEM_ALIGN);
    if (room) arena_init(&l.packing, room, packing, packing);
    if (!l.in || !l.gates || !l.turned || !l.more || !room)
        return err_set(e, ERR_LIMIT, "no memory for %zu steps of %zu x %zu gates", c->steps, c->batch, l.width);
    err_code rc = multiply_inputs(&l, scratch, e);
    for (size_t s = 0; s < c->steps && !rc; s++) rc = step(&l, s, e);
    for (size_t b = 0; b < c->batch && c->y && !rc; b++)
        for (size_t t = length_of(c, b); t < c->steps; t++)
            memset(c->y + t * c->y_step + b * c->y_batch, 0, c->hidden * sizeof(float));
    return rc;
}
