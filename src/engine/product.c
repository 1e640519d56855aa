#include "engine/product.h"

err_code product_mismatch(const op_call *c, const shape *a, const shape *b, err *e)
{
    char text[2][SHAPE_TEXT_MAX];
    return op_err(c, e, ERR_INVALID, "shapes %s and %s do not fit", shape_text(a, text[0]), shape_text(b, text[1]));
}

static shape leading(const shape *s) { return shape_make(s->rank > 2 ? s->rank - 2 : 0, s->dim); }

err_code product_of(const op_call *c, uint32_t left, uint32_t right, product *ret, err *e)
{
    const shape *a = &c->in[left]->shape, *b = &c->in[right]->shape;
    err_code rc = op_rank(c, left, 1, TENSOR_RANK_MAX, e);
    if (!rc) rc = op_rank(c, right, 1, TENSOR_RANK_MAX, e);
    if (rc) return rc;
    product p = {.m = a->rank > 1 ? (size_t)a->dim[a->rank - 2] : 1,
                 .k = (size_t)a->dim[a->rank - 1],
                 .n = b->rank > 1 ? (size_t)b->dim[b->rank - 1] : 1,
                 .lead_a = leading(a),
                 .lead_b = leading(b)};
    err inner;
    if (b->dim[b->rank > 1 ? b->rank - 2 : 0] != a->dim[a->rank - 1] ||
        shape_broadcast(&p.lead, &p.lead_a, &p.lead_b, &inner))
        return product_mismatch(c, a, b, e);
    p.y = p.lead;
    if (a->rank > 1 && shape_push(&p.y, (int64_t)p.m, e)) return e->code;
    if (b->rank > 1 && shape_push(&p.y, (int64_t)p.n, e)) return e->code;
    uint64_t batch = shape_count(&p.lead);
    if (batch > UINT32_MAX) return op_err(c, e, ERR_LIMIT, "more than %u products", UINT32_MAX);
    p.batch = (size_t)batch;
    *ret = p;
    return ERR_OK;
}

/* Where each matrix of the batch starts in an operand, elements. */
err_code product_starts(op_call *c, const product *p, const shape *lead, size_t matrix, const size_t **ret, err *e)
{
    *ret = NULL;
    if (shape_count(lead) == 1) return ERR_OK;
    size_t *at = arena_push_raw(c->scratch, p->batch * sizeof *at, _Alignof(size_t));
    if (!at) return op_err(c, e, ERR_LIMIT, "no memory for %zu products", p->batch);
    view v = view_broadcast(lead, &p->lead);
    for (size_t i = 0; i < p->batch; i++) {
        size_t rest = i, index = 0;
        for (uint32_t d = v.rank; d-- > 0; rest /= (size_t)v.dim[d])
            index += rest % (size_t)v.dim[d] * (size_t)v.stride[d];
        at[i] = index * matrix;
    }
    *ret = at;
    return ERR_OK;
}
