#include "engine/half.h"

#include "base/mem.h"

#include <string.h>

void half_widen(float *to, const tensor *t, const kernel_set *k)
{
    size_t n = (size_t)tensor_count(t);
    if (n == 0) return;
    if (t->type == DT_F16) {
        k->f16_to_f32(to, t->data, n);
    } else if (t->type == DT_BF16) {
        k->bf16_to_f32(to, t->data, n);
    } else {
        INVARIANT(t->type == DT_F32);
        memcpy(to, t->data, n * sizeof *to);
    }
}

static err_code room_for(op_call *c, const tensor *t, float **ret, err *e)
{
    size_t bytes = dtype_bytes(DT_F32, tensor_count(t));
    *ret = bytes == SIZE_MAX ? NULL : arena_push_raw(c->scratch, bytes ? bytes : 1, MEM_ALIGN);
    if (!*ret) return op_err(c, e, ERR_LIMIT, "no memory to convert %zu bytes of float32", bytes);
    return ERR_OK;
}

err_code half_in(op_call *c, uint32_t input, const float **ret, err *e)
{
    const tensor *t = input < c->in_count ? c->in[input] : NULL;
    *ret = t ? t->data : NULL;
    if (!t || t->type == DT_F32) return ERR_OK;
    float *to;
    err_code rc = room_for(c, t, &to, e);
    if (rc) return rc;
    half_widen(to, t, c->k);
    *ret = to;
    return ERR_OK;
}

err_code half_out(op_call *c, uint32_t output, float **ret, err *e)
{
    const tensor *t = c->out[output];
    *ret = t->data;
    return t->type == DT_F32 ? ERR_OK : room_for(c, t, ret, e);
}

void half_done(op_call *c, uint32_t output, const float *y)
{
    const tensor *t = c->out[output];
    if (t->type == DT_F16) c->k->f32_to_f16(t->data, y, (size_t)tensor_count(t));
    if (t->type == DT_BF16) c->k->f32_to_bf16(t->data, y, (size_t)tensor_count(t));
}
