/* Einsum: operands are contracted from left to right, each step one batched matrix product. Det. */
#include "engine/half.h"
#include "engine/op.h"
#include "tensor/gemm.h"
#include "tensor/matmul.h"
#include "tensor/move.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { TERMS_MAX = 32, LABELS_MAX = 24, DOTS = 52 }; /* labels: A-Z, a-z, then the dimensions under "..." */
#define T_SMALL (T1(DT_I8) | T1(DT_I16) | T1(DT_U8) | T1(DT_U16))

/* A label is its place in `names`; a set of labels is a bit mask. */
typedef struct {
    uint32_t count;
    uint8_t name[LABELS_MAX];
    int64_t size[LABELS_MAX];
} labels;

/* The labels of a term, one for each dimension. */
typedef struct {
    uint32_t rank;
    uint8_t label[TENSOR_RANK_MAX];
} term;

typedef struct {
    labels all;
    dtype type; /* what is multiplied and summed */
    uint32_t term_count;
    term in[TERMS_MAX], out;
} equation;

/* ---- the equation ------------------------------------------------------------------------------------------- */

static err_code bad_equation(const op_call *c, str text, err *e)
{
    return op_err(c, e, ERR_INVALID, "attribute 'equation': '" STR_FMT "' does not fit the inputs", STR_ARG(text));
}

static int letter_of(char ch)
{
    if (ch >= 'A' && ch <= 'Z') return ch - 'A';
    if (ch >= 'a' && ch <= 'z') return ch - 'a' + 26;
    return -1;
}

/* The index of a name, added when it is new; LABELS_MAX when there is no room. */
static uint32_t label_of(labels *l, uint8_t name)
{
    uint32_t i = 0;
    while (i < l->count && l->name[i] != name) i++;
    if (i == l->count && i < LABELS_MAX) {
        l->name[l->count] = name;
        l->size[l->count++] = 1;
    }
    return i;
}

/* One term of `text`; "..." stands for `dots` dimensions, the last of which is DOTS. */
static bool read_term(labels *l, str text, uint32_t dots, term *ret)
{
    *ret = (term){0};
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == ' ') continue;
        bool ellipsis = text.len - i >= 3 && memcmp(text.p + i, "...", 3) == 0;
        int letter = ellipsis ? 0 : letter_of(text.p[i]);
        if (letter < 0) return false;
        for (uint32_t k = ellipsis ? dots : 1; k > 0; k--) {
            uint32_t label = label_of(l, (uint8_t)(ellipsis ? DOTS + k - 1 : (uint32_t)letter));
            if (label == LABELS_MAX || ret->rank == TENSOR_RANK_MAX) return false;
            ret->label[ret->rank++] = (uint8_t)label;
        }
        if (ellipsis) i += 2;
    }
    return true;
}

static uint32_t letters_in(str text)
{
    uint32_t n = 0;
    for (size_t i = 0; i < text.len; i++) n += letter_of(text.p[i]) >= 0;
    return n;
}

/* Without "->": the dimensions under "...", then the letters that occur once, in alphabetical order. */
static bool implicit_out(equation *q, uint32_t dots)
{
    uint32_t seen[LABELS_MAX] = {0};
    for (uint32_t t = 0; t < q->term_count; t++)
        for (uint32_t d = 0; d < q->in[t].rank; d++) seen[q->in[t].label[d]]++;
    q->out = (term){0};
    for (uint32_t k = 0; k < dots + DOTS; k++) {
        uint8_t name = (uint8_t)(k < dots ? DOTS + dots - 1 - k : k - dots);
        uint32_t i = 0;
        while (i < q->all.count && q->all.name[i] != name) i++;
        if (i == q->all.count || (name < DOTS && seen[i] != 1)) continue;
        if (q->out.rank == TENSOR_RANK_MAX) return false;
        q->out.label[q->out.rank++] = (uint8_t)i;
    }
    return true;
}

/* Sizes from the inputs; a size of 1 is broadcast only under "...". */
static bool fit_sizes(const op_call *c, equation *q)
{
    bool known[LABELS_MAX] = {false};
    for (uint32_t t = 0; t < q->term_count; t++) {
        const shape *s = &c->in[t]->shape;
        if (q->in[t].rank != s->rank) return false;
        for (uint32_t d = 0; d < s->rank; d++) {
            uint32_t i = q->in[t].label[d];
            bool wide = q->all.name[i] >= DOTS;
            if (!known[i] || (wide && q->all.size[i] == 1)) q->all.size[i] = s->dim[d];
            known[i] = true;
            if (s->dim[d] != q->all.size[i] && !(wide && s->dim[d] == 1)) return false;
        }
    }
    uint32_t used = 0;
    for (uint32_t d = 0; d < q->out.rank; d++) {
        uint32_t i = q->out.label[d];
        if (!known[i] || used & 1u << i) return false; /* a label of no input, or one twice */
        used |= 1u << i;
    }
    return true;
}

/* Small integers are contracted as 64-bit ones. */
static dtype type_of(dtype t) { return T1(t) & T_SMALL ? DT_I64 : matmul_has(t) ? t : DT_F32; }

static err_code read_equation(const op_call *c, equation *q, err *e)
{
    str text = node_str(c->node, "equation", STR("")), left = text, right = {0};
    bool arrow = false;
    uint32_t dots = 0;
    *q = (equation){.type = type_of(c->in[0]->type)};
    for (size_t i = 0; i + 1 < text.len && !arrow; i++)
        if (text.p[i] == '-' && text.p[i + 1] == '>') {
            left.len = i;
            right = (str){text.p + i + 2, text.len - i - 2};
            arrow = true;
        }
    if (c->in_count > TERMS_MAX)
        return op_err(c, e, ERR_LIMIT, "%u inputs: expected at most %d", c->in_count, TERMS_MAX);
    str terms[TERMS_MAX];
    size_t at = 0;
    uint32_t count = 0;
    for (bool more = true; more; count++) {
        size_t end = at;
        while (end < left.len && left.p[end] != ',') end++;
        if (count == c->in_count) return bad_equation(c, text, e);
        str one = {left.p + at, end - at};
        uint32_t rank = c->in[count]->shape.rank, letters = letters_in(one);
        if (memchr(one.p ? one.p : "", '.', one.len) && rank > letters && rank - letters > dots) dots = rank - letters;
        terms[count] = one;
        more = end < left.len;
        at = end + 1;
    }
    q->term_count = count;
    bool ok = count == c->in_count;
    for (uint32_t t = 0; t < count && ok; t++) {
        uint32_t rank = c->in[t]->shape.rank, letters = letters_in(terms[t]);
        ok = rank >= letters && read_term(&q->all, terms[t], rank - letters, &q->in[t]);
    }
    ok = ok && (arrow ? read_term(&q->all, right, dots, &q->out) : implicit_out(q, dots)) && fit_sizes(c, q);
    return ok ? ERR_OK : bad_equation(c, text, e);
}

static err_code einsum_infer(op_call *c, err *e)
{
    equation q;
    err_code rc = op_type(c, 0, T_NUMBER, e);
    for (uint32_t i = 1; i < c->in_count && !rc; i++) rc = op_type(c, i, T1(c->in[0]->type), e);
    if (!rc) rc = read_equation(c, &q, e);
    if (rc) return rc;
    shape y = {.rank = q.out.rank};
    for (uint32_t d = 0; d < y.rank; d++) y.dim[d] = q.all.size[q.out.label[d]];
    return op_set(c, 0, c->in[0]->type, &y, e);
}

/* ---- contraction -------------------------------------------------------------------------------------------- */

/* A tensor while it is contracted: a stride for each label, 0 where it has not got it (or repeats along it). */
typedef struct {
    const void *data;
    uint32_t has; /* labels that are dimensions of it */
    int64_t stride[LABELS_MAX];
} part;

static part part_of(const equation *q, uint32_t t, const shape *s, const void *data)
{
    part p = {.data = data};
    int64_t stride = 1;
    for (uint32_t d = s->rank; d-- > 0; stride *= s->dim[d]) {
        uint32_t label = q->in[t].label[d];
        p.has |= 1u << label;
        if (s->dim[d] != 1) p.stride[label] += stride; /* a label twice is the diagonal */
    }
    return p;
}

/* Labels in the order in which they become the dimensions of a matrix operand. */
typedef struct {
    uint32_t count;
    uint8_t label[LABELS_MAX];
} order;

static void append(order *o, uint32_t set)
{
    for (uint32_t i = 0; i < LABELS_MAX; i++)
        if (set & 1u << i) o->label[o->count++] = (uint8_t)i;
}

static size_t product_of_sizes(const equation *q, uint32_t set)
{
    size_t n = 1;
    for (uint32_t i = 0; i < q->all.count; i++)
        if (set & 1u << i && __builtin_mul_overflow(n, (size_t)q->all.size[i], &n)) return SIZE_MAX;
    return n;
}

/* Copies p into dense order; dimensions beyond what a view holds are walked here. */
static void copy_ordered(const equation *q, const part *p, const order *o, size_t elem, void *to)
{
    uint32_t outer = o->count > TENSOR_RANK_MAX ? o->count - TENSOR_RANK_MAX : 0;
    view from = {.rank = o->count - outer}, dense = {.rank = o->count - outer};
    int64_t inner = 1, turns = 1;
    for (uint32_t d = from.rank; d-- > 0;) {
        from.dim[d] = dense.dim[d] = q->all.size[o->label[outer + d]];
        from.stride[d] = p->stride[o->label[outer + d]];
        dense.stride[d] = inner;
        inner *= from.dim[d];
    }
    for (uint32_t d = 0; d < outer; d++) turns *= q->all.size[o->label[d]];
    for (int64_t turn = 0; turn < turns; turn++) {
        int64_t rest = turn;
        from.offset = 0;
        for (uint32_t d = outer; d-- > 0; rest /= q->all.size[o->label[d]])
            from.offset += rest % q->all.size[o->label[d]] * p->stride[o->label[d]];
        dense.offset = turn * inner;
        move_copy(to, &dense, p->data, &from, elem);
    }
}

static bool is_dense(const equation *q, const part *p, const order *o)
{
    int64_t stride = 1;
    for (uint32_t d = o->count; d-- > 0;) {
        uint32_t label = o->label[d];
        if (q->all.size[label] != 1 && p->stride[label] != stride) return false;
        stride *= q->all.size[label];
    }
    return true;
}

static err_code no_room(const op_call *c, size_t count, err *e)
{
    return op_err(c, e, ERR_LIMIT, "no memory for an intermediate of %zu elements", count);
}

static err_code ordered(op_call *c, const equation *q, const part *p, const order *o, const void **ret, err *e)
{
    uint32_t set = 0;
    for (uint32_t i = 0; i < o->count; i++) set |= 1u << o->label[i];
    size_t count = product_of_sizes(q, set), bytes = count == SIZE_MAX ? SIZE_MAX : dtype_bytes(q->type, count);
    *ret = p->data;
    if (is_dense(q, p, o)) return ERR_OK;
    void *to = bytes == SIZE_MAX ? NULL : arena_push_raw(c->scratch, bytes + 1, MEM_ALIGN);
    if (!to) return no_room(c, count, e);
    if (bytes) copy_ordered(q, p, o, dtype_bits(q->type) / 8, to);
    *ret = to;
    return ERR_OK;
}

typedef struct {
    size_t batch, m, n, k;
    const void *a, *b;
    void *y;
} step_sizes;

static err_code multiply(op_call *c, const step_sizes *s, dtype type, err *e)
{
    size_t *at = arena_push_raw(c->scratch, (2 * s->batch + 1) * sizeof *at, _Alignof(size_t));
    if (!at) return no_room(c, s->batch, e);
    for (size_t i = 0; i < s->batch; i++) {
        at[i] = i * s->m * s->k;
        at[s->batch + i] = i * s->k * s->n;
    }
    if (type == DT_F32) {
        gemm_call g = {.batch = s->batch,
                       .m = s->m,
                       .n = s->n,
                       .k = s->k,
                       .c = s->y,
                       .c_row = s->n,
                       .c_batch = s->m * s->n,
                       .alpha = 1,
                       .a = {.data = s->a, .row = s->k, .column = 1, .batch_at = at},
                       .b = {.data = s->b, .row = s->n, .column = 1, .batch_at = at + s->batch}};
        return gemm_f32(&g, c->k, c->pool, c->scratch, e);
    }
    if (s->batch * s->m > UINT32_MAX) return op_err(c, e, ERR_LIMIT, "more than %u rows", UINT32_MAX);
    matmul_call m = {.type = type,
                     .batch = s->batch,
                     .m = s->m,
                     .n = s->n,
                     .k = s->k,
                     .a = s->a,
                     .b = s->b,
                     .a_row = s->k,
                     .a_column = 1,
                     .b_row = s->n,
                     .b_column = 1,
                     .a_at = at,
                     .b_at = at + s->batch,
                     .y = s->y,
                     .alpha = 1};
    matmul(&m, c->pool);
    return ERR_OK;
}

/* Contracts a and b, keeping the labels in `keep`; the result has those of them that a or b has. */
static err_code contract(op_call *c, const equation *q, const part *a, const part *b, uint32_t keep, part *ret,
                         err *e)
{
    uint32_t both = a->has & b->has & keep, left = a->has & ~b->has & keep, right = b->has & ~a->has & keep;
    uint32_t summed = (a->has | b->has) & ~keep;
    order oa = {0}, ob = {0}, oy = {0};
    append(&oa, both), append(&oa, left), append(&oa, summed);
    append(&ob, both), append(&ob, summed), append(&ob, right);
    append(&oy, both), append(&oy, left), append(&oy, right);
    step_sizes s = {.batch = product_of_sizes(q, both),
                    .m = product_of_sizes(q, left),
                    .n = product_of_sizes(q, right),
                    .k = product_of_sizes(q, summed)};
    size_t count = product_of_sizes(q, both | left | right),
           bytes = count == SIZE_MAX ? SIZE_MAX : dtype_bytes(q->type, count);
    s.y = bytes == SIZE_MAX || s.k == SIZE_MAX ? NULL : arena_push_raw(c->scratch, bytes + 1, MEM_ALIGN);
    if (!s.y) return no_room(c, count, e);
    err_code rc = ordered(c, q, a, &oa, &s.a, e);
    if (!rc) rc = ordered(c, q, b, &ob, &s.b, e);
    if (!rc && count > 0) rc = multiply(c, &s, q->type, e);
    if (rc) return rc;
    *ret = (part){.data = s.y, .has = both | left | right};
    int64_t stride = 1;      /* where there is no element, some dimensions alone may have more than 2^63 */
    for (uint32_t d = oy.count; count > 0 && d-- > 0; stride *= q->all.size[oy.label[d]])
        ret->stride[oy.label[d]] = stride;
    return ERR_OK;
}

/* An input in the type of the contraction. */
static err_code widened(op_call *c, uint32_t input, dtype type, const void **ret, err *e)
{
    const tensor *t = c->in[input];
    if (type == DT_F32) {
        const float *f;
        err_code rc = half_in(c, input, &f, e);
        *ret = f;
        return rc;
    }
    *ret = t->data;
    if (t->type == type) return ERR_OK;
    uint64_t n = tensor_count(t);
    int64_t *to = arena_new(c->scratch, int64_t, n + 1);
    if (!to) return no_room(c, (size_t)n, e);
    for (uint64_t i = 0; i < n; i++) to[i] = tensor_int(t, i);
    *ret = to;
    return ERR_OK;
}

static void put_out(op_call *c, const equation *q, const part *p, void *dense)
{
    dtype type = q->type;
    order o = {.count = q->out.rank};
    memcpy(o.label, q->out.label, q->out.rank);
    tensor *y = c->out[0];
    bool same = y->type == type;
    copy_ordered(q, p, &o, dtype_bits(type) / 8, same ? y->data : dense);
    if (type == DT_F32) half_done(c, 0, dense);
    if (!same && type == DT_I64)
        for (uint64_t i = 0; i < tensor_count(y); i++) tensor_put_int(y, i, ((const int64_t *)dense)[i]);
}

static err_code einsum_run(op_call *c, err *e)
{
    equation q;
    err_code rc = read_equation(c, &q, e);
    size_t count = (size_t)tensor_count(c->out[0]);
    if (rc || count == 0) return rc;
    dtype type = q.type;
    static const union {
        float f;
        double d;
        int64_t i;
    } ones[] = {{.f = 1}, {.d = 1}, {.i = 1}};
    part sum = {.data = type == DT_F32 ? &ones[0] : type == DT_F64 ? &ones[1] : &ones[2]};
    uint32_t out = 0;
    for (uint32_t d = 0; d < q.out.rank; d++) out |= 1u << q.out.label[d];
    for (uint32_t t = 0; t < q.term_count && !rc; t++) {
        uint32_t keep = out;
        const void *data;
        for (uint32_t later = t + 1; later < q.term_count; later++)
            for (uint32_t d = 0; d < q.in[later].rank; d++) keep |= 1u << q.in[later].label[d];
        rc = widened(c, t, type, &data, e);
        if (rc) return rc;
        part next = part_of(&q, t, &c->in[t]->shape, data);
        bool whole = t == 0 && (next.has & ~keep) == 0; /* nothing to sum yet: the first operand as it lies */
        if (whole)
            sum = next;
        else
            rc = contract(c, &q, &sum, &next, keep, &sum, e);
    }
    void *dense = rc ? NULL : arena_push_raw(c->scratch, dtype_bytes(type, count) + 1, MEM_ALIGN);
    if (!rc && !dense) rc = no_room(c, count, e);
    if (!rc) put_out(c, &q, &sum, dense);
    return rc;
}

/* ---- Det ---------------------------------------------------------------------------------------------------- */

static err_code det_infer(op_call *c, err *e)
{
    const shape *x = &c->in[0]->shape;
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc) rc = op_rank(c, 0, 2, TENSOR_RANK_MAX, e);
    if (rc) return rc;
    char text[SHAPE_TEXT_MAX];
    if (x->dim[x->rank - 1] != x->dim[x->rank - 2])
        return op_err(c, e, ERR_INVALID, "input 0: expected square matrices, got %s", shape_text(x, text));
    shape y = shape_make(x->rank - 2, x->dim);
    return op_set(c, 0, c->in[0]->type, &y, e);
}

/* By elimination with row pivots, in place. */
static double determinant(double *a, size_t n)
{
    double det = 1;
    for (size_t i = 0; i < n; i++) {
        size_t best = i;
        for (size_t r = i + 1; r < n; r++)
            if (fabs(a[r * n + i]) > fabs(a[best * n + i])) best = r;
        if (a[best * n + i] == 0) return 0;
        for (size_t j = i; j < n && best != i; j++) {
            double kept = a[i * n + j];
            a[i * n + j] = a[best * n + j];
            a[best * n + j] = kept;
        }
        det *= best == i ? a[i * n + i] : -a[i * n + i];
        for (size_t r = i + 1; r < n; r++) {
            double f = a[r * n + i] / a[i * n + i];
            for (size_t j = i; j < n; j++) a[r * n + j] -= f * a[i * n + j];
        }
    }
    return det;
}

static err_code det_run(op_call *c, err *e)
{
    const shape *x = &c->in[0]->shape;
    size_t n = (size_t)x->dim[x->rank - 1], each = n * n;
    double *a = arena_new(c->scratch, double, each + 1);
    if (!a) return no_room(c, each, e);
    for (uint64_t i = 0; i < tensor_count(c->out[0]); i++) {
        for (size_t j = 0; j < each; j++) a[j] = tensor_f64(c->in[0], i * each + j);
        tensor_put_f64(c->out[0], i, determinant(a, n));
    }
    return ERR_OK;
}

const op_row op_rows_einsum[] = {
    {.name = "Einsum",
     .domain = "",
     .since = 12,
     .in_min = 1,
     .in_max = OP_ANY,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"equation", ATTR_STRING, true}},
     .infer = einsum_infer,
     .run = einsum_run},
    {.name = "Det",
     .domain = "",
     .since = 11,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .infer = det_infer,
     .run = det_run},
    {0},
};
