/* Attention: queries against keys and values, with caches, masks, causal and sliding windows, grouped heads. */
#include "engine/half.h"
#include "engine/op.h"
#include "tensor/gemm.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define T_REAL (T1(DT_F32) | T1(DT_F16) | T1(DT_BF16))
enum { A_Q, A_K, A_V, A_MASK, A_PAST_KEY, A_PAST_VALUE, A_LENGTHS };
enum { MODE_RAW, MODE_CAPPED, MODE_BIASED, MODE_SOFTMAX };

typedef struct {
    bool flat; /* [batch, length, heads * size] rather than [batch, heads, length, size] */
    size_t batch, heads, kv_heads, length, past, fresh, kv_length, size, v_size;
} attention;

static bool given(const op_call *c, uint32_t input) { return input < c->in_count && c->in[input]; }

static bool wanted(const op_call *c, uint32_t output) { return output < c->out_count && c->out[output]; }

static err_code shape_error(const op_call *c, uint32_t input, err *e)
{
    char text[SHAPE_TEXT_MAX];
    return op_err(c, e, ERR_INVALID, "input %u: shape %s does not fit the others and the heads", input,
                  shape_text(&c->in[input]->shape, text));
}

/* Heads and the size of one, from a shape of either layout. */
static bool split(const shape *s, bool flat, int64_t heads, size_t *ret_heads, size_t *ret_length, size_t *ret_size)
{
    if (flat && (heads < 1 || s->dim[2] % heads != 0)) return false;
    *ret_heads = (size_t)(flat ? heads : s->dim[1]);
    *ret_length = (size_t)s->dim[flat ? 1 : 2];
    *ret_size = (size_t)(flat ? s->dim[2] / heads : s->dim[3]);
    return true;
}

static bool past_fits(const op_call *c, uint32_t input, const attention *a, size_t size)
{
    if (!given(c, input)) return true;
    shape want = shape_make(4, (int64_t[]){(int64_t)a->batch, (int64_t)a->kv_heads, (int64_t)a->past, (int64_t)size});
    return shape_eq(&c->in[input]->shape, &want);
}

static err_code attention_of(const op_call *c, attention *ret, err *e)
{
    const shape *q = &c->in[A_Q]->shape, *k = &c->in[A_K]->shape, *v = &c->in[A_V]->shape;
    int64_t q_heads = node_int(c->node, "q_num_heads", 0), kv_heads = node_int(c->node, "kv_num_heads", 0);
    attention a = {.flat = q->rank == 3, .batch = (size_t)q->dim[0]};
    size_t k_size, v_heads, v_length;
    int64_t width;                       /* of a flat result: 0 numbers make any number of heads */
    err_code rc = op_rank(c, A_Q, 3, 4, e);
    if (!rc) rc = op_rank(c, A_K, q->rank, q->rank, e);
    if (!rc) rc = op_rank(c, A_V, q->rank, q->rank, e);
    if (rc) return rc;
    if (!split(q, a.flat, q_heads, &a.heads, &a.length, &a.size)) return shape_error(c, A_Q, e);
    if (!split(k, a.flat, kv_heads, &a.kv_heads, &a.fresh, &k_size) || k->dim[0] != q->dim[0] || k_size != a.size ||
        a.kv_heads == 0 || a.heads % a.kv_heads != 0)
        return shape_error(c, A_K, e);
    if (!split(v, a.flat, kv_heads, &v_heads, &v_length, &a.v_size) || v->dim[0] != q->dim[0] ||
        v_heads != a.kv_heads || v_length != a.fresh || __builtin_mul_overflow((int64_t)a.heads, a.v_size, &width))
        return shape_error(c, A_V, e);
    if (given(c, A_PAST_KEY) != given(c, A_PAST_VALUE) || (given(c, A_PAST_KEY) && given(c, A_LENGTHS)))
        return op_err(c, e, ERR_INVALID, "past_key and past_value go together, and not with nonpad_kv_seqlen");
    if (given(c, A_PAST_KEY) && c->in[A_PAST_KEY]->shape.rank == 4) a.past = (size_t)c->in[A_PAST_KEY]->shape.dim[2];
    if (!past_fits(c, A_PAST_KEY, &a, a.size)) return shape_error(c, A_PAST_KEY, e);
    if (!past_fits(c, A_PAST_VALUE, &a, a.v_size)) return shape_error(c, A_PAST_VALUE, e);
    if (given(c, A_LENGTHS) && tensor_count(c->in[A_LENGTHS]) != a.batch) return shape_error(c, A_LENGTHS, e);
    a.kv_length = a.past + a.fresh;
    *ret = a;
    return ERR_OK;
}

/* The mask broadcasts to [batch, heads, length, kv_length]; its last dimension may be shorter and is then closed. */
static err_code mask_check(const op_call *c, const attention *a, err *e)
{
    if (!given(c, A_MASK)) return ERR_OK;
    const shape *m = &c->in[A_MASK]->shape;
    const size_t want[4] = {a->batch, a->heads, a->length, a->kv_length};
    if (m->rank < 1 || m->rank > 4 || (size_t)m->dim[m->rank - 1] > a->kv_length) return shape_error(c, A_MASK, e);
    for (uint32_t i = 0; i + 1 < m->rank; i++)
        if (m->dim[i] != 1 && (size_t)m->dim[i] != want[4 - m->rank + i]) return shape_error(c, A_MASK, e);
    return ERR_OK;
}

static err_code attention_infer(op_call *c, err *e)
{
    attention a;
    dtype type = c->in[0]->type;
    int64_t mode = node_int(c->node, "qk_matmul_output_mode", 0);
    err_code rc = op_type(c, A_Q, T_REAL, e);
    for (uint32_t i = A_K; i < c->in_count && !rc; i++)
        rc = op_type(c, i, i == A_LENGTHS ? T1(DT_I64) : T1(type) | (i == A_MASK ? T1(DT_BOOL) : 0), e);
    if (!rc) rc = attention_of(c, &a, e);
    if (!rc) rc = mask_check(c, &a, e);
    if (!rc && (mode < MODE_RAW || mode > MODE_SOFTMAX))
        rc = op_err(c, e, ERR_INVALID, "attribute 'qk_matmul_output_mode': expected 0 to 3, got %lld", (long long)mode);
    for (int i = 0; i < 2 && !rc; i++) {
        const char *name = i ? "right_window_size" : "left_window_size";
        int64_t window = node_int(c->node, name, -1);
        if (window < -1 || window > INT32_MAX)
            rc = op_err(c, e, ERR_INVALID, "attribute '%s': expected -1 to %d, got %lld", name, INT32_MAX,
                        (long long)window);
    }
    if (rc) return rc;
    int64_t batch = (int64_t)a.batch, heads = (int64_t)a.heads, length = (int64_t)a.length, kv = (int64_t)a.kv_length;
    shape y = a.flat ? shape_make(3, (int64_t[]){batch, length, heads * (int64_t)a.v_size})
                     : shape_make(4, (int64_t[]){batch, heads, length, (int64_t)a.v_size});
    shape key = shape_make(4, (int64_t[]){batch, (int64_t)a.kv_heads, kv, (int64_t)a.size}), value_shape = key;
    value_shape.dim[3] = (int64_t)a.v_size;
    shape scores = shape_make(4, (int64_t[]){batch, heads, length, kv});
    rc = op_set(c, 0, type, &y, e);
    if (!rc) rc = op_set(c, 1, type, &key, e);
    if (!rc) rc = op_set(c, 2, c->in[A_V]->type, &value_shape, e);
    if (!rc) rc = op_set(c, 3, type, &scores, e);
    return rc;
}

/* Keys or values of all heads: where head h of batch b starts, and how far apart its rows are. */
typedef struct {
    const float *data;
    size_t batch, head, row;
} heads_view;

static heads_view view_of_heads(const float *data, bool flat, size_t heads, size_t length, size_t size)
{
    if (flat) return (heads_view){.data = data, .batch = length * heads * size, .head = size, .row = heads * size};
    return (heads_view){.data = data, .batch = heads * length * size, .head = length * size, .row = size};
}

static err_code no_room(const op_call *c, size_t count, err *e)
{
    return op_err(c, e, ERR_LIMIT, "no memory for %zu numbers", count);
}

static float *push(op_call *c, size_t count, size_t each)
{
    size_t all;
    if (__builtin_mul_overflow(count, each, &all) || all > SIZE_MAX / sizeof(float) - 1) return NULL;
    return arena_push_raw(c->scratch, (all + 1) * sizeof(float), MEM_ALIGN);
}

/* Keys or values: the inputs that hold the fresh and the past rows, the output that takes both, a row's size. */
typedef struct {
    uint32_t fresh, past, present;
    size_t size;
} side;

/* The past, then the fresh rows, as [batch, heads, kv_length, size]; into output `present` when it is wanted. */
static err_code join(op_call *c, const attention *a, side s, heads_view *ret, err *e)
{
    const size_t size = s.size;
    const float *from, *old = NULL;
    float *to;
    err_code rc = half_in(c, s.fresh, &from, e);
    if (!rc) rc = half_in(c, s.past, &old, e);
    if (rc) return rc;
    heads_view in = view_of_heads(from, a->flat, a->kv_heads, a->fresh, size);
    bool out = wanted(c, s.present);
    *ret = in;
    if (!out && !old) return ERR_OK;
    if (out && (rc = half_out(c, s.present, &to, e))) return rc;
    if (!out && !(to = push(c, a->batch * a->kv_heads, a->kv_length * size))) return no_room(c, a->kv_length * size, e);
    *ret = view_of_heads(to, false, a->kv_heads, a->kv_length, size);
    for (size_t i = 0; i < a->batch * a->kv_heads && size; i++) {   /* keys of no number have no data, values may */
        const float *head = in.data + i / a->kv_heads * in.batch + i % a->kv_heads * in.head;
        if (old) memcpy(to, old + i * a->past * size, a->past * size * sizeof *to);
        to += a->past * size;
        for (size_t t = 0; t < a->fresh; t++, to += size) memcpy(to, head + t * in.row, size * sizeof *to);
    }
    if (out) half_done(c, s.present, ret->data);
    return ERR_OK;
}

/* ---- scores ------------------------------------------------------------------------------------------------- */

/* One batch as compute_for() sees it: an index is a head. */
typedef struct {
    const op_call *c;
    const attention *a;
    size_t b;
    float *scores; /* [heads, length, kv_length] */
    const float *mask; /* float32, or NULL */
    const bool *open; /* bool mask, or NULL */
    size_t mask_row, mask_step[3]; /* elements of a row; steps of batch, head, query */
    float softcap, *exposed;
    int64_t mode, offset, left, right, end; /* keys that exist: 0 .. end-1 */
    bool causal;
} score_work;

/* Where keys are open to query i: first .. last-1, before any mask. */
static void reach(const score_work *w, size_t i, size_t *first, size_t *last)
{
    int64_t at = (int64_t)i + w->offset, low = 0, high = w->end;
    if (w->causal && at + 1 < high) high = at + 1;
    if (w->right >= 0 && at + w->right + 1 < high) high = at + w->right + 1;
    if (w->left >= 0 && at - w->left > low) low = at - w->left;
    if (high < low) high = low;   /* nothing is open */
    *first = (size_t)low < w->a->kv_length ? (size_t)low : w->a->kv_length;
    *last = (size_t)high < w->a->kv_length ? (size_t)high : w->a->kv_length;
}

/* Adds what is closed (-infinity) and the mask; false when nothing is open. */
static bool bias_row(const score_work *w, float *row, size_t h, size_t i)
{
    size_t first, last, n = w->a->kv_length;
    reach(w, i, &first, &last);
    size_t at = w->b * w->mask_step[0] + h * w->mask_step[1] + i * w->mask_step[2];
    bool masked = w->mask || w->open, any = !masked && first < last;
    if (masked && last > w->mask_row) last = w->mask_row > first ? w->mask_row : first;
    for (size_t j = 0; j < first; j++) row[j] = -INFINITY;
    for (size_t j = first; j < last && masked; j++) {
        float m = w->mask ? w->mask[at + j] : w->open[at + j] ? 0 : -INFINITY;
        any = any || m > -INFINITY;
        row[j] = m > -INFINITY ? row[j] + m : -INFINITY;
    }
    for (size_t j = last; j < n; j++) row[j] = -INFINITY;
    return any;
}

static void score_head(void *ctx, uint32_t h)
{
    const score_work *w = ctx;
    const kernel_set *k = w->c->k;
    size_t n = w->a->kv_length;
    for (size_t i = 0; i < w->a->length; i++) {
        size_t at = (h * w->a->length + i) * n;
        float *row = w->scores + at;
        if (w->exposed && w->mode == MODE_RAW) memcpy(w->exposed + at, row, n * sizeof *row);
        if (w->softcap > 0) {
            k->mul_s_f32(row, row, 1 / w->softcap, n);
            k->tanh_f32(row, row, n);
            k->mul_s_f32(row, row, w->softcap, n);
        }
        if (w->exposed && w->mode == MODE_CAPPED) memcpy(w->exposed + at, row, n * sizeof *row);
        bool any = bias_row(w, row, h, i);
        if (w->exposed && w->mode == MODE_BIASED) memcpy(w->exposed + at, row, n * sizeof *row);
        if (any)
            k->softmax_f32(row, row, n);
        else
            memset(row, 0, n * sizeof *row);
        if (w->exposed && w->mode == MODE_SOFTMAX) memcpy(w->exposed + at, row, n * sizeof *row);
    }
}

static err_code work_of(op_call *c, const attention *a, score_work *w, err *e)
{
    *w = (score_work){.c = c,
                      .a = a,
                      .softcap = node_float(c->node, "softcap", 0),
                      .mode = node_int(c->node, "qk_matmul_output_mode", 0),
                      .causal = node_int(c->node, "is_causal", 0) != 0,
                      .left = node_int(c->node, "left_window_size", -1),
                      .right = node_int(c->node, "right_window_size", -1)};
    if (!given(c, A_MASK)) return ERR_OK;
    const shape *m = &c->in[A_MASK]->shape;
    w->mask_row = (size_t)m->dim[m->rank - 1];
    size_t step = w->mask_row;
    for (uint32_t i = m->rank - 1; i-- > 0; step *= (size_t)m->dim[i])
        w->mask_step[3 - (m->rank - 1) + i] = m->dim[i] == 1 ? 0 : step;
    if (c->in[A_MASK]->type == DT_BOOL) {
        w->open = c->in[A_MASK]->data;
        return ERR_OK;
    }
    return half_in(c, A_MASK, &w->mask, e);
}

/* ---- run ---------------------------------------------------------------------------------------------------- */

/* What all batches have in common. */
typedef struct {
    heads_view q, k, v, y;
    size_t *q_at, *kv_at, *scores_at; /* tell gemm_f32() where each head starts */
    arena packing;                    /* memory for the two products of a batch */
} frame;

static err_code batch_run(op_call *c, const attention *a, frame *f, score_work *w, err *e)
{
    const heads_view *q = &f->q, *k = &f->k, *v = &f->v, *y = &f->y;
    const size_t heads = a->heads, group = heads / a->kv_heads, b = w->b;
    for (size_t h = 0; h < heads; h++) {
        f->q_at[h] = b * q->batch + h * q->head;
        f->kv_at[h] = b * k->batch + h / group * k->head;
        f->scores_at[h] = h * a->length * a->kv_length;
    }
    gemm_call g = {.batch = heads,
                   .m = a->length,
                   .n = a->kv_length,
                   .k = a->size,
                   .c = w->scores,
                   .c_row = a->kv_length,
                   .c_batch = a->length * a->kv_length,
                   .alpha = node_float(c->node, "scale", 1 / sqrtf((float)a->size)),
                   .a = {.data = q->data, .row = q->row, .column = 1, .batch_at = f->q_at},
                   .b = {.data = k->data, .row = 1, .column = k->row, .batch_at = f->kv_at}};
    arena_reset(&f->packing);
    err_code rc = gemm_f32(&g, c->k, c->pool, &f->packing, e);
    if (rc) return rc;
    compute_for(c->pool, (uint32_t)heads, score_head, w);
    for (size_t h = 0; h < heads; h++) f->kv_at[h] = b * v->batch + h / group * v->head;
    g = (gemm_call){.batch = heads,
                    .m = a->length,
                    .n = a->v_size,
                    .k = a->kv_length,
                    .c_row = y->row,
                    .c_batch = y->head,
                    .alpha = 1,
                    .c = (float *)(uintptr_t)y->data + b * y->batch,
                    .a = {.data = w->scores, .row = a->kv_length, .column = 1, .batch_at = f->scores_at},
                    .b = {.data = v->data, .row = v->row, .column = 1, .batch_at = f->kv_at}};
    arena_reset(&f->packing);
    return gemm_f32(&g, c->k, c->pool, &f->packing, e);
}

static err_code packing_of(op_call *c, const attention *a, arena *ret, err *e)
{
    gemm_call g = {.batch = a->heads, .m = a->length, .n = a->kv_length, .k = a->size, .b = {.row = 1, .column = 2}};
    size_t first = gemm_scratch(&g, c->pool);
    g.n = a->v_size;
    g.k = a->kv_length;
    size_t second = gemm_scratch(&g, c->pool), bytes = first > second ? first : second;
    void *room = bytes == SIZE_MAX ? NULL : arena_push_raw(c->scratch, bytes + 1, MEM_ALIGN);
    if (!room) return no_room(c, bytes, e);
    arena_init(ret, room, bytes, bytes);
    return ERR_OK;
}

static err_code attention_run(op_call *c, err *e)
{
    attention a;
    frame f;
    score_work w;
    const float *q_data;
    float *out, *exposed = NULL;
    err_code rc = attention_of(c, &a, e);
    if (!rc) rc = join(c, &a, (side){A_K, A_PAST_KEY, 1, a.size}, &f.k, e);
    if (!rc) rc = join(c, &a, (side){A_V, A_PAST_VALUE, 2, a.v_size}, &f.v, e);
    if (!rc) rc = half_in(c, A_Q, &q_data, e);
    if (!rc) rc = half_out(c, 0, &out, e);
    if (!rc && wanted(c, 3)) rc = half_out(c, 3, &exposed, e);
    if (!rc) rc = work_of(c, &a, &w, e);
    if (!rc) rc = packing_of(c, &a, &f.packing, e);
    bool seen = exposed && tensor_count(c->out[3]);      /* of values of no number there are scores all the same */
    if (rc || (tensor_count(c->out[0]) == 0 && !seen)) return rc;
    size_t *lists = arena_new(c->scratch, size_t, 3 * a.heads);
    w.scores = push(c, a.heads * a.length, a.kv_length);
    if (!lists || !w.scores) return no_room(c, a.heads * a.length, e);
    f.q_at = lists;
    f.kv_at = lists + a.heads;
    f.scores_at = lists + 2 * a.heads;
    f.q = view_of_heads(q_data, a.flat, a.heads, a.length, a.size);
    f.y = view_of_heads(out, a.flat, a.heads, a.length, a.v_size);
    for (w.b = 0; w.b < a.batch && !rc; w.b++) {
        w.end = given(c, A_LENGTHS) ? tensor_int(c->in[A_LENGTHS], w.b) : (int64_t)a.kv_length;
        if (w.end < 0 || w.end > (int64_t)a.kv_length)
            return op_err(c, e, ERR_INVALID, "input %d: expected lengths of 0 to %zu", A_LENGTHS, a.kv_length);
        w.offset = given(c, A_LENGTHS) ? w.end - (int64_t)a.length : (int64_t)a.past;
        w.exposed = exposed ? exposed + w.b * a.heads * a.length * a.kv_length : NULL;
        rc = batch_run(c, &a, &f, &w, e);
    }
    if (rc) return rc;
    half_done(c, 0, out);
    if (exposed) half_done(c, 3, exposed);
    return ERR_OK;
}

static uint64_t attention_flops(const op_call *c)
{
    attention a;
    err e;
    if (attention_of(c, &a, &e)) return 0;
    return 2 * (uint64_t)(a.batch * a.heads * a.length * a.kv_length) * (a.size + a.v_size);
}

#define ATTENTION_ATTRS \
    {"is_causal", ATTR_INT, false}, {"kv_num_heads", ATTR_INT, false}, {"q_num_heads", ATTR_INT, false}, \
        {"qk_matmul_output_mode", ATTR_INT, false}, {"scale", ATTR_FLOAT, false}, {"softcap", ATTR_FLOAT, false}, \
    { \
        "softmax_precision", ATTR_INT, false \
    }
#define ATTENTION .infer = attention_infer, .run = attention_run, .flops = attention_flops

const op_row op_rows_attention[] = {
    {.name = "Attention",
     .domain = "",
     .since = 23,
     .in_min = 3,
     .in_max = 6,
     .out_min = 1,
     .out_max = 4,
     .attrs = {ATTENTION_ATTRS},
     ATTENTION},
    {.name = "Attention",
     .domain = "",
     .since = 24,
     .in_min = 3,
     .in_max = 7,
     .out_min = 1,
     .out_max = 4,
     .attrs = {ATTENTION_ATTRS},
     ATTENTION},
    {.name = "Attention",
     .domain = "",
     .since = 25,
     .in_min = 3,
     .in_max = 7,
     .out_min = 1,
     .out_max = 4,
     .attrs = {ATTENTION_ATTRS, {"left_window_size", ATTR_INT, false}, {"right_window_size", ATTR_INT, false}},
     ATTENTION},
    {0},
};
