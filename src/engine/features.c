#include "engine/features.h"

err_code features_shape(features *ret, const op_call *c, err *e)
{
    const shape *s = &c->in[0]->shape;
    err_code rc = op_type(c, 0, T_FEATURE, e);
    if (!rc) rc = op_rank(c, 0, 1, 2, e);
    if (!rc) *ret = (features){s->rank == 1 ? 1 : (size_t)s->dim[0], (size_t)s->dim[s->rank - 1], NULL};
    return rc;
}

static void as_floats(float *to, const tensor *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        switch (t->type) {
        case DT_F64: to[i] = (float)((const double *)t->data)[i]; break;
        case DT_I64: to[i] = (float)((const int64_t *)t->data)[i]; break;
        default: to[i] = (float)((const int32_t *)t->data)[i]; break;
        }
    }
}

err_code features_of(features *ret, op_call *c, err *e)
{
    const tensor *t = c->in[0];
    err_code rc = features_shape(ret, c, e);
    if (rc) return rc;
    ret->at = t->data;
    if (t->type == DT_F32) return ERR_OK;
    size_t n = (size_t)tensor_count(t);
    float *floats = arena_push_raw(c->scratch, n * sizeof *floats, MEM_ALIGN);
    if (n && !floats) return op_err(c, e, ERR_LIMIT, "no memory for %zu features", n);
    as_floats(floats, t, n);
    ret->at = floats;
    return ERR_OK;
}
