/* Gemm and MatMul. */
#include "engine/half.h"
#include "engine/op.h"
#include "engine/product.h"
#include "tensor/gemm.h"
#include "tensor/matmul.h"

#include "base/mem.h"

#include <string.h>

#define T_PRODUCT (T_FLOAT | T1(DT_I32) | T1(DT_I64) | T1(DT_U32) | T1(DT_U64))

typedef struct {
    bool turn_a, turn_b;
    float alpha, beta;
} gemm_attrs;

/* A constant matrix operand, packed when the model was loaded; NULL = as it lies. */
typedef struct {
    const float *a, *b;
    gemm_attrs attrs; /* of a Gemm */
} product_state;

/* Packs a constant matrix of two dimensions, `turned` = transposed. */
static err_code pack_constant(op_prep *p, const tensor *t, bool turned, bool is_a, const float **ret, err *e)
{
    char text[200];
    if (!t || t->shape.rank != 2 || !(T1(t->type) & (T1(DT_F32) | T1(DT_F16) | T1(DT_BF16))) || !t->data) return ERR_OK;
    size_t rows = (size_t)t->shape.dim[0], columns = (size_t)t->shape.dim[1];
    size_t m = turned ? columns : rows, n = turned ? rows : columns;
    size_t room = is_a ? gemm_a_room(m, n) : gemm_b_room(m, n);
    float *wide = NULL, *packed = room == SIZE_MAX ? NULL : arena_push_raw(p->memory, room * sizeof *packed, MEM_ALIGN);
    if (packed && t->type != DT_F32) wide = mem_alloc_raw(rows * columns * sizeof *wide);
    if (!packed || (t->type != DT_F32 && !wide))
        return err_set(e, ERR_NOMEM, "%s: no memory to pack %zu x %zu weights", node_text(p->graph, p->node, text),
                       rows, columns);
    if (wide) half_widen(wide, t, p->k);
    gemm_matrix x = {.data = wide ? wide : t->data, .row = turned ? 1 : columns, .column = turned ? columns : 1};
    if (is_a)
        gemm_pack_a(packed, &x, m, n, p->k);
    else
        gemm_pack_b(packed, &x, m, n, p->k);
    mem_free(wide);
    *ret = packed;
    return ERR_OK;
}

static err_code prepare(op_prep *p, gemm_attrs attrs, void **ret_state, err *e)
{
    product_state *s = arena_new(p->memory, product_state, 1);
    char text[200];
    if (!s) return err_set(e, ERR_NOMEM, "%s: no memory", node_text(p->graph, p->node, text));
    s->attrs = attrs;
    err_code rc = pack_constant(p, p->in[0], attrs.turn_a, true, &s->a, e);
    if (!rc) rc = pack_constant(p, p->in[1], attrs.turn_b, false, &s->b, e);
    if (!rc) *ret_state = s;
    return rc;
}

static err_code types(const op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T_PRODUCT, e);
    for (uint32_t i = 1; i < c->in_count && !rc; i++) rc = op_type(c, i, T1(c->in[0]->type), e);
    return rc;
}

/* ---- Gemm --------------------------------------------------------------------------------------------------- */

typedef struct {
    gemm_attrs attrs;
    size_t m, n, k;
    const tensor *c; /* the bias, or NULL */
} gemm_args;

static gemm_attrs attrs_of(const node *n)
{
    return (gemm_attrs){.turn_a = node_int(n, "transA", 0) != 0,
                        .turn_b = node_int(n, "transB", 0) != 0,
                        .alpha = node_float(n, "alpha", 1),
                        .beta = node_float(n, "beta", 1)};
}

static err_code gemm_prepare(op_prep *p, void **ret_state, err *e)
{
    return prepare(p, attrs_of(p->node), ret_state, e);
}

static gemm_args gemm_read(const op_call *c)
{
    const product_state *s = c->state; /* attributes are looked for by name where nothing is prepared yet */
    gemm_args g = {.attrs = s ? s->attrs : attrs_of(c->node)};
    const int64_t *a = c->in[0]->shape.dim, *b = c->in[1]->shape.dim;
    g.m = (size_t)a[g.attrs.turn_a];
    g.k = (size_t)a[!g.attrs.turn_a];
    g.n = (size_t)b[!g.attrs.turn_b];
    g.c = c->in_count - c->node->residual > 2 ? c->in[2] : NULL;
    return g;
}

static err_code gemm_infer(op_call *c, err *e)
{
    err_code rc = types(c, e);
    if (!rc) rc = op_rank(c, 0, 2, 2, e);
    if (!rc) rc = op_rank(c, 1, 2, 2, e);
    if (rc) return rc;
    gemm_args g = gemm_read(c);
    if ((size_t)c->in[1]->shape.dim[g.attrs.turn_b] != g.k)
        return product_mismatch(c, &c->in[0]->shape, &c->in[1]->shape, e);
    shape y = shape_make(2, (int64_t[]){(int64_t)g.m, (int64_t)g.n}), wide;
    err inner;
    if (g.c && (shape_broadcast(&wide, &y, &g.c->shape, &inner) || !shape_eq(&wide, &y)))
        return product_mismatch(c, &y, &g.c->shape, e);
    if (c->node->residual && !shape_eq(&c->in[c->in_count - 1]->shape, &y))
        return product_mismatch(c, &y, &c->in[c->in_count - 1]->shape, e);
    return op_set(c, 0, c->in[0]->type, &y, e);
}

/* In a C of at most two dimensions, broadcast: from one row of the output to the next, and from one column. */
static void steps_of_c(const tensor *c, size_t *ret_row, size_t *ret_column)
{
    const shape *s = &c->shape;
    INVARIANT(s->rank <= 2);
    *ret_column = s->rank && s->dim[s->rank - 1] != 1;
    *ret_row = s->rank == 2 && s->dim[0] != 1 ? (size_t)s->dim[1] : 0;
}

/* Where C goes: a row or a column of biases, or a residual; what no slot takes is written out in full first. */
static err_code place_c(op_call *c, const gemm_args *g, gemm_call *call, err *e)
{
    const float *data;
    err_code rc = half_in(c, 2, &data, e);
    if (rc) return rc;
    size_t row, column;
    steps_of_c(g->c, &row, &column);
    if (!call->residual && column == 1 && row != 0) {
        call->residual = data;
        call->residual_row = row;
        call->beta = g->attrs.beta;
        return ERR_OK;
    }
    bool by_column = row == 0, full = row != 0 && column != 0;
    if (g->attrs.beta == 1 && !full && (by_column ? column == 1 : row == 1)) {
        *(by_column ? &call->bias_column : &call->bias_row) = data;
        return ERR_OK;
    }
    size_t lines = full ? g->m : 1, n = by_column || full ? g->n : g->m;
    float *to =
        lines * n > SIZE_MAX / sizeof *to ? NULL : arena_push_raw(c->scratch, lines * n * sizeof *to, MEM_ALIGN);
    if (!to) return op_err(c, e, ERR_LIMIT, "no memory for %zu x %zu biases", lines, n);
    size_t step = by_column || full ? column : row;
    const float *residual = full && call->residual ? call->residual : NULL;
    for (size_t i = 0; i < lines; i++)
        for (size_t j = 0; j < n; j++)
            to[i * n + j] = g->attrs.beta * data[i * row + j * step] + (residual ? residual[i * n + j] : 0);
    if (full) {
        call->residual = to;
        call->residual_row = n;
    } else {
        *(by_column ? &call->bias_column : &call->bias_row) = to;
    }
    return ERR_OK;
}

static err_code gemm_run_f32(op_call *c, const gemm_args *g, err *e)
{
    const product_state *s = c->state;
    gemm_call call = {.batch = 1,
                      .m = g->m,
                      .n = g->n,
                      .k = g->k,
                      .c_row = g->n,
                      .alpha = g->attrs.alpha,
                      .beta = 1,
                      .act = c->node->act};
    call.a = s && s->a ? (gemm_matrix){.data = s->a, .packed = true}
                       : (gemm_matrix){.row = g->attrs.turn_a ? 1 : g->k, .column = g->attrs.turn_a ? g->m : 1};
    call.b = s && s->b ? (gemm_matrix){.data = s->b, .packed = true}
                       : (gemm_matrix){.row = g->attrs.turn_b ? 1 : g->n, .column = g->attrs.turn_b ? g->k : 1};
    err_code rc = ERR_OK;
    if (!call.a.packed) rc = half_in(c, 0, &call.a.data, e);
    if (!rc && !call.b.packed) rc = half_in(c, 1, &call.b.data, e);
    if (!rc && c->node->residual) {
        rc = half_in(c, c->in_count - 1, &call.residual, e);
        call.residual_row = g->n;
    }
    if (!rc && g->c) rc = place_c(c, g, &call, e);
    if (!rc) rc = half_out(c, 0, &call.c, e);
    if (!rc) rc = gemm_f32(&call, c->k, c->pool, c->scratch, e);
    if (!rc) half_done(c, 0, call.c);
    return rc;
}

/* What a product in another type could not fuse. */
static void finish_other(op_call *c)
{
    const tensor *y = c->out[0];
    uint64_t n = tensor_count(y);
    if (c->node->residual)
        for (uint64_t i = 0; i < n; i++)
            tensor_put_f64(c->out[0], i, tensor_f64(y, i) + tensor_f64(c->in[c->in_count - 1], i));
    if (y->type == DT_F64) activation_f64(&c->node->act, y->data, (size_t)n);
}

static err_code gemm_run(op_call *c, err *e)
{
    gemm_args g = gemm_read(c);
    if (g.m == 0 || g.n == 0) return ERR_OK;
    if (!matmul_has(c->in[0]->type)) return gemm_run_f32(c, &g, e);
    matmul_call call = {.type = c->in[0]->type,
                        .batch = 1,
                        .m = g.m,
                        .n = g.n,
                        .k = g.k,
                        .a = c->in[0]->data,
                        .b = c->in[1]->data,
                        .a_row = g.attrs.turn_a ? 1 : g.k,
                        .a_column = g.attrs.turn_a ? g.m : 1,
                        .b_row = g.attrs.turn_b ? 1 : g.n,
                        .b_column = g.attrs.turn_b ? g.k : 1,
                        .y = c->out[0]->data,
                        .alpha = (double)g.attrs.alpha,
                        .beta = (double)g.attrs.beta};
    if (g.c) {
        call.c = g.c->data;
        steps_of_c(g.c, &call.c_row, &call.c_column);
    }
    matmul(&call, c->pool);
    finish_other(c);
    return ERR_OK;
}

/* ---- MatMul ------------------------------------------------------------------------------------------------- */

static err_code matmul_prepare(op_prep *p, void **ret_state, err *e)
{
    return prepare(p, (gemm_attrs){.alpha = 1}, ret_state, e);
}

/* A fused Add is a residual of the output's shape or a bias for each column. */
static bool residual_fits(const tensor *r, const product *p)
{
    return shape_eq(&r->shape, &p->y) || (r->shape.rank == 1 && p->y.rank > 0 && (size_t)r->shape.dim[0] == p->n &&
                                          p->y.dim[p->y.rank - 1] == r->shape.dim[0]);
}

static err_code matmul_infer(op_call *c, err *e)
{
    product p;
    err_code rc = types(c, e);
    if (!rc) rc = product_of(c, 0, 1, &p, e);
    if (rc) return rc;
    if (c->node->residual && !residual_fits(c->in[c->in_count - 1], &p))
        return product_mismatch(c, &p.y, &c->in[c->in_count - 1]->shape, e);
    return op_set(c, 0, c->in[0]->type, &p.y, e);
}

static err_code matmul_run_f32(op_call *c, product *p, err *e)
{
    const product_state *s = c->state;
    bool packed_a = s && s->a && p->lead_a.rank == 0, packed_b = s && s->b && p->lead_b.rank == 0;
    gemm_call call = {.batch = p->batch,
                      .m = p->m,
                      .n = p->n,
                      .k = p->k,
                      .c_row = p->n,
                      .c_batch = p->m * p->n,
                      .alpha = 1,
                      .beta = 1,
                      .act = c->node->act};
    call.a = (gemm_matrix){.row = p->k, .column = 1};
    call.b = (gemm_matrix){.row = p->n, .column = 1};
    err_code rc = ERR_OK;
    if (shape_count(&p->lead_b) == 1 && !packed_a) { /* one matrix on the right: the left ones are one tall matrix */
        call.m *= p->batch;
        call.batch = 1;
    } else {
        rc = product_starts(c, p, &p->lead_a, p->m * p->k, &call.a.batch_at, e);
        if (!rc) rc = product_starts(c, p, &p->lead_b, p->k * p->n, &call.b.batch_at, e);
    }
    if (packed_a) call.a = (gemm_matrix){.data = s->a, .packed = true};
    if (packed_b) call.b = (gemm_matrix){.data = s->b, .packed = true};
    if (!rc && !packed_a) rc = half_in(c, 0, &call.a.data, e);
    if (!rc && !packed_b) rc = half_in(c, 1, &call.b.data, e);
    if (!rc && c->node->residual) {
        bool full = shape_eq(&c->in[c->in_count - 1]->shape, &p->y);
        rc = half_in(c, c->in_count - 1, full ? &call.residual : &call.bias_column, e);
        call.residual_row = p->n;
        call.residual_batch = p->m * p->n;
    }
    if (!rc) rc = half_out(c, 0, &call.c, e);
    if (!rc) rc = gemm_f32(&call, c->k, c->pool, c->scratch, e);
    if (!rc) half_done(c, 0, call.c);
    return rc;
}

static err_code matmul_run(op_call *c, err *e)
{
    product p;
    err_code rc = product_of(c, 0, 1, &p, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    if (!matmul_has(c->in[0]->type)) return matmul_run_f32(c, &p, e);
    matmul_call call = {.type = c->in[0]->type,
                        .batch = p.batch,
                        .m = p.m,
                        .n = p.n,
                        .k = p.k,
                        .a = c->in[0]->data,
                        .b = c->in[1]->data,
                        .a_row = p.k,
                        .a_column = 1,
                        .b_row = p.n,
                        .b_column = 1,
                        .y = c->out[0]->data,
                        .alpha = 1,
                        .beta = 1};
    rc = product_starts(c, &p, &p.lead_a, p.m * p.k, &call.a_at, e);
    if (!rc) rc = product_starts(c, &p, &p.lead_b, p.k * p.n, &call.b_at, e);
    if (rc) return rc;
    if (p.batch * p.m > UINT32_MAX) return op_err(c, e, ERR_LIMIT, "more than %u rows", UINT32_MAX);
    matmul(&call, c->pool);
    finish_other(c);
    return ERR_OK;
}

static uint64_t gemm_flops(const op_call *c) { return 2 * tensor_count(c->out[0]) * gemm_read(c).k; }

static uint64_t matmul_flops(const op_call *c)
{
    const shape *a = &c->in[0]->shape;
    return 2 * tensor_count(c->out[0]) * (uint64_t)a->dim[a->rank - 1];
}

const op_row op_rows_gemm[] = {
    {.name = "Gemm",
     .domain = "",
     .since = 7,
     .flags = OP_FUSES_ACT | OP_FUSES_ADD,
     .in_min = 2,
     .in_max = 3,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"alpha", ATTR_FLOAT, false},
               {"beta", ATTR_FLOAT, false},
               {"transA", ATTR_INT, false},
               {"transB", ATTR_INT, false}},
     .prepare = gemm_prepare,
     .infer = gemm_infer,
     .run = gemm_run,
     .flops = gemm_flops},
    {.name = "MatMul",
     .domain = "",
     .since = 1,
     .flags = OP_FUSES_ACT | OP_FUSES_ADD,
     .in_min = 2,
     .in_max = 2,
     .out_min = 1,
     .out_max = 1,
     .prepare = matmul_prepare,
     .infer = matmul_infer,
     .run = matmul_run,
     .flops = matmul_flops},
    {0},
};
