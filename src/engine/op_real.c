#include "engine/op_real.h"

real real_of(op_call *c)
{
    return (real){.call = c, .k = c->k, .wide = c->in[0]->type == DT_F64};
}

static size_t size_of(const real *r)
{
    return r->wide ? sizeof(double) : sizeof(float);
}

static dtype type_of(const real *r)
{
    return r->wide ? DT_F64 : DT_F32;
}

err_code real_room(const real *r, uint64_t count, void **ret, err *e)
{
    size_t bytes = dtype_bytes(type_of(r), count);
    *ret = bytes == SIZE_MAX ? NULL : arena_push_raw(r->call->scratch, bytes ? bytes : 1, MEM_ALIGN);
    if (!*ret)
        return op_err(r->call, e, ERR_LIMIT, "no memory to compute with %llu elements", (unsigned long long)count);
    return ERR_OK;
}

err_code real_in(const real *r, uint32_t input, const void **ret, err *e)
{
    const tensor *t = input < r->call->in_count ? r->call->in[input] : NULL;
    *ret = t ? t->data : NULL;
    if (!t || t->type == type_of(r))
        return ERR_OK;
    void *to;
    uint64_t count = tensor_count(t);
    err_code rc = real_room(r, count, &to, e);
    if (rc)
        return rc;
    if (!r->wide && tile_as_of(t->type) == AS_F32)
        tile_widen(r->k, to, t->data, t->type, count);
    else
        for (uint64_t i = 0; i < count; i++)
            real_put(r, to, i, tensor_f64(t, i));
    *ret = to;
    return ERR_OK;
}

err_code real_broadcast(const real *r, uint32_t input, const shape *as, const void **ret, err *e)
{
    err_code rc = real_in(r, input, ret, e);
    if (rc || !*ret || shape_eq(&r->call->in[input]->shape, as))
        return rc;
    const shape *s = &r->call->in[input]->shape;
    shape wide;
    err inner;
    if (shape_broadcast(&wide, s, as, &inner) || !shape_eq(&wide, as)) {
        char got[SHAPE_TEXT_MAX], want[SHAPE_TEXT_MAX];
        return op_err(r->call, e, ERR_INVALID, "input %u: expected a shape that broadcasts to %s, got %s", input,
                      shape_text(as, want), shape_text(s, got));
    }
    void *to;
    uint64_t count = shape_count(as);
    rc = real_room(r, count, &to, e);
    if (rc)
        return rc;
    view v = view_broadcast(s, as);
    view_collapse((view *[]){&v}, 1);
    tile_gather(to, *ret, &v, size_of(r), 0, count);
    *ret = to;
    return ERR_OK;
}

err_code real_out(const real *r, uint32_t output, void **ret, err *e)
{
    const tensor *t = r->call->out[output];
    *ret = t->data;
    return t->type == type_of(r) ? ERR_OK : real_room(r, tensor_count(t), ret, e);
}

void real_done(const real *r, uint32_t output, const void *y)
{
    tensor *t = r->call->out[output];
    uint64_t count = tensor_count(t);
    if (t->data == y)
        return;
    if (!r->wide && tile_as_of(t->type) == AS_F32)
        tile_narrow(r->k, t->data, t->type, y, count);
    else
        for (uint64_t i = 0; i < count; i++)
            tensor_put_f64(t, i, real_get(r, y, i));
}

const void *real_at(const real *r, const void *p, uint64_t i)
{
    return (const uint8_t *)p + i * size_of(r);
}

double real_get(const real *r, const void *p, uint64_t i)
{
    return r->wide ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

void real_put(const real *r, void *p, uint64_t i, double v)
{
    if (r->wide)
        ((double *)p)[i] = v;
    else
        ((float *)p)[i] = (float)v;
}

void real_moments(const real *r, const void *x, size_t n, double *ret_mean, double *ret_var)
{
    double sum = 0, squares = 0, count = n ? (double)n : 1;
    if (!r->wide) {
        float mean, var;
        r->k->mean_var_f32(x, n, &mean, &var);
        *ret_mean = (double)mean;
        *ret_var = (double)var;
        return;
    }
    const double *a = x;
    for (size_t i = 0; i < n; i++)
        sum += a[i];
    for (size_t i = 0; i < n; i++)
        squares += (a[i] - sum / count) * (a[i] - sum / count);
    *ret_mean = sum / count;
    *ret_var = squares / count;
}

double real_sumsq(const real *r, const void *x, size_t n)
{
    if (!r->wide)
        return (double)r->k->sumsq_f32(x, n);
    const double *a = x;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * a[i];
    return sum;
}

void real_scale_shift(const real *r, void *y, const void *x, double scale, double shift, size_t n)
{
    if (!r->wide) {
        r->k->scale_shift_f32(y, x, (float)scale, (float)shift, n);
        return;
    }
    const double *a = x;
    for (size_t i = 0; i < n; i++)
        ((double *)y)[i] = a[i] * scale + shift;
}

void real_affine(const real *r, void *y, const void *x, const affine *a, size_t n)
{
    if (!r->wide) {
        r->k->norm_affine_f32(y, x, (float)a->mean, (float)a->rstd, a->scale, a->bias, n);
        return;
    }
    const double *from = x, *scale = a->scale, *bias = a->bias;
    for (size_t i = 0; i < n; i++)
        ((double *)y)[i] = (from[i] - a->mean) * a->rstd * (scale ? scale[i] : 1) + (bias ? bias[i] : 0);
}
