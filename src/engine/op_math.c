/* Elementwise arithmetic. */
#include "engine/op.h"

static err_code relu_infer(op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T1(DT_F32), e);
    return rc ? rc : op_same(c, e);
}

static err_code relu_run(op_call *c, err *e)
{
    (void)e;
    const float *x = c->in[0]->data;
    float *y = c->out[0]->data;
    uint64_t n = tensor_count(c->out[0]);
    for (uint64_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;
    return ERR_OK;
}

static err_code add_infer(op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T1(DT_F32), e);
    if (!rc) rc = op_type(c, 1, T1(DT_F32), e);
    return rc ? rc : op_broadcast(c, e);
}

static err_code add_run(op_call *c, err *e)
{
    (void)e;
    view a = view_broadcast(&c->in[0]->shape, &c->out[0]->shape),
         b = view_broadcast(&c->in[1]->shape, &c->out[0]->shape);
    const float *p = c->in[0]->data, *q = c->in[1]->data;
    float *y = c->out[0]->data;
    uint64_t n = tensor_count(c->out[0]);
    for (uint64_t i = 0; i < n; i++) {
        int64_t at_a = 0, at_b = 0;
        uint64_t rest = i;
        for (uint32_t d = a.rank; d-- > 0;) {
            at_a += (int64_t)(rest % (uint64_t)a.dim[d]) * a.stride[d];
            at_b += (int64_t)(rest % (uint64_t)a.dim[d]) * b.stride[d];
            rest /= (uint64_t)a.dim[d];
        }
        y[i] = p[at_a] + q[at_b];
    }
    return ERR_OK;
}

const op_row op_rows_math[] = {
    {.name = "Relu",
     .domain = "",
     .since = 6,
     .flags = OP_INPLACE,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .infer = relu_infer,
     .run = relu_run},
    {.name = "Add",
     .domain = "",
     .since = 7,
     .flags = OP_INPLACE,
     .in_min = 2,
     .in_max = 2,
     .out_min = 1,
     .out_max = 1,
     .infer = add_infer,
     .run = add_run},
    {0},
};
