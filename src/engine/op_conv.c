/* Conv: prepared weights, any number of groups, one to three dimensions. */
#include "engine/half.h"
#include "engine/op.h"
#include "engine/spatial.h"
#include "tensor/conv.h"

#include "base/mem.h"

#include <string.h>

typedef struct {
    spatial attrs;
    int64_t groups;
    const float *packed; /* NULL: the weights are not constant */
} conv_state;

static err_code state_read(conv_state *s, const graph *g, const node *n, err *e)
{
    char text[200];
    *s = (conv_state){.groups = node_int(n, "group", 1)};
    if (s->groups < 1)
        return err_set(e, ERR_INVALID, "%s: attribute 'group': expected 1 or more, got %lld", node_text(g, n, text),
                       (long long)s->groups);
    return spatial_read(&s->attrs, g, n, e);
}

/* What prepare made, or, for a node that is folded before it was prepared, the attributes alone. */
static err_code state_of(const op_call *c, conv_state *local, const conv_state **ret, err *e)
{
    *ret = c->state ? c->state : local;
    return c->state ? ERR_OK : state_read(local, c->graph, c->node, e);
}

static const tensor *bias_of(const op_call *c) { return c->in_count - c->node->residual > 2 ? c->in[2] : NULL; }

/* Channels and kernel: all that packing needs. */
static conv_shape weight_shape(const tensor *w, int64_t groups)
{
    conv_shape s = {.spatial = w->shape.rank - 2,
                    .groups = (size_t)groups,
                    .out_channels = (size_t)w->shape.dim[0],
                    .in_channels = (size_t)w->shape.dim[1] * (size_t)groups,
                    .kernel = {1, 1, 1}};
    for (uint32_t i = 2; i < w->shape.rank; i++) s.kernel[SPATIAL_MAX - w->shape.rank + i] = (size_t)w->shape.dim[i];
    return s;
}

static bool weights_ok(const tensor *w, int64_t groups)
{
    int64_t channels;
    return w->shape.rank >= 3 && w->shape.rank <= 2 + SPATIAL_MAX && w->shape.dim[0] % groups == 0 &&
           !__builtin_mul_overflow(w->shape.dim[1], groups, &channels) && tensor_bytes(w) != SIZE_MAX;
}

static err_code prepare(op_prep *p, void **ret_state, err *e)
{
    conv_state *s = arena_new(p->memory, conv_state, 1);
    char text[200];
    if (!s) return err_set(e, ERR_NOMEM, "%s: no memory", node_text(p->graph, p->node, text));
    err_code rc = state_read(s, p->graph, p->node, e);
    if (rc) return rc;
    *ret_state = s;
    const tensor *w = p->in[1];
    bool packs = w && T1(w->type) & (T1(DT_F32) | T1(DT_F16) | T1(DT_BF16));
    if (!packs || !weights_ok(w, s->groups) || tensor_count(w) == 0) return ERR_OK;
    conv_shape cs = weight_shape(w, s->groups);
    size_t room = conv_room(&cs);
    float *wide = NULL, *packed = room == SIZE_MAX ? NULL : arena_push_raw(p->memory, room * sizeof *packed, MEM_ALIGN);
    if (packed && w->type != DT_F32) wide = mem_alloc_raw((size_t)tensor_count(w) * sizeof *wide);
    if (!packed || (w->type != DT_F32 && !wide))
        return err_set(e, ERR_NOMEM, "%s: no memory to pack %llu weights", node_text(p->graph, p->node, text),
                       (unsigned long long)tensor_count(w));
    if (wide) half_widen(wide, w, p->k);
    conv_pack(packed, wide ? wide : w->data, &cs, p->k);
    mem_free(wide);
    s->packed = packed;
    return ERR_OK;
}

static err_code fit(const op_call *c, const conv_state *s, spatial_fit *f, err *e)
{
    return spatial_of(f, &s->attrs, c, c->in[0]->shape.rank - 2, c->in[0]->shape.dim + 2, c->in[1]->shape.dim + 2, e);
}

static err_code check(const op_call *c, const conv_state *s, err *e)
{
    const shape *x = &c->in[0]->shape, *w = &c->in[1]->shape;
    char text[2][SHAPE_TEXT_MAX];
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc) rc = op_type(c, 1, T1(c->in[0]->type), e);
    if (!rc) rc = op_type(c, 2, T1(c->in[0]->type), e);
    if (!rc) rc = op_rank(c, 0, 3, 2 + SPATIAL_MAX, e);
    if (!rc) rc = op_rank(c, 1, x->rank, x->rank, e);
    if (rc) return rc;
    if (!weights_ok(c->in[1], s->groups) || x->dim[1] != w->dim[1] * s->groups)
        return op_err(c, e, ERR_INVALID, "%lld groups of weights %s do not fit input %s", (long long)s->groups,
                      shape_text(w, text[0]), shape_text(x, text[1]));
    const tensor *b = bias_of(c);
    if (b && (b->shape.rank != 1 || b->shape.dim[0] != w->dim[0]))
        return op_err(c, e, ERR_INVALID, "input 2: expected shape [%lld], got %s", (long long)w->dim[0],
                      shape_text(&b->shape, text[0]));
    return ERR_OK;
}

static err_code infer(op_call *c, err *e)
{
    conv_state local;
    const conv_state *s;
    err_code rc = state_of(c, &local, &s, e);
    if (!rc) rc = check(c, s, e);
    spatial_fit f;
    if (!rc) rc = fit(c, s, &f, e);
    if (rc) return rc;
    shape y = c->in[0]->shape;
    y.dim[1] = c->in[1]->shape.dim[0];
    for (uint32_t i = 2; i < y.rank; i++) y.dim[i] = (int64_t)f.out[SPATIAL_MAX - y.rank + i];
    if (c->node->residual && !shape_eq(&c->in[c->in_count - 1]->shape, &y)) {
        char text[2][SHAPE_TEXT_MAX];
        return op_err(c, e, ERR_INVALID, "fused Add: expected shape %s, got %s", shape_text(&y, text[0]),
                      shape_text(&c->in[c->in_count - 1]->shape, text[1]));
    }
    return op_set(c, 0, c->in[0]->type, &y, e);
}

static conv_shape shape_of(const op_call *c, const conv_state *s, const spatial_fit *f)
{
    conv_shape cs = weight_shape(c->in[1], s->groups);
    cs.batch = (size_t)c->in[0]->shape.dim[0];
    memcpy(cs.in, f->in, sizeof cs.in);
    memcpy(cs.out, f->out, sizeof cs.out);
    memcpy(cs.stride, f->stride, sizeof cs.stride);
    memcpy(cs.dilation, f->dilation, sizeof cs.dilation);
    memcpy(cs.pad, f->pad, sizeof cs.pad);
    return cs;
}

static err_code run_f64(op_call *c, const conv_shape *s, err *e)
{
    conv_call_f64 call = {
        .shape = s, .x = c->in[0]->data, .w = c->in[1]->data, .y = c->out[0]->data, .act = c->node->act};
    if (bias_of(c)) call.bias = bias_of(c)->data;
    if (c->node->residual) call.residual = c->in[c->in_count - 1]->data;
    (void)e;
    conv_f64(&call, c->pool);
    return ERR_OK;
}

static err_code run(op_call *c, err *e)
{
    conv_state local;
    const conv_state *s;
    spatial_fit f;
    err_code rc = state_of(c, &local, &s, e);
    if (!rc) rc = fit(c, s, &f, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    conv_shape cs = shape_of(c, s, &f);
    if (c->in[0]->type == DT_F64) return run_f64(c, &cs, e);
    float *y, *packed;
    conv_call call = {.shape = &cs, .w = s->packed, .act = c->node->act};
    rc = half_in(c, 0, &call.x, e);
    if (!rc && bias_of(c)) rc = half_in(c, 2, &call.bias, e);
    if (!rc && c->node->residual) rc = half_in(c, c->in_count - 1, &call.residual, e);
    if (!rc) rc = half_out(c, 0, &y, e);
    if (rc) return rc;
    if (!call.w) {
        const float *raw;
        size_t room = conv_room(&cs);
        if ((rc = half_in(c, 1, &raw, e))) return rc;
        packed = room == SIZE_MAX ? NULL : arena_push_raw(c->scratch, room * sizeof *packed, MEM_ALIGN);
        if (!packed) return op_err(c, e, ERR_LIMIT, "no memory to pack %zu weights", room);
        conv_pack(packed, raw, &cs, c->k);
        call.w = packed;
    }
    call.y = y;
    rc = conv_f32(&call, c->k, c->pool, c->scratch, e);
    if (rc) return err_wrap(e, "%s", node_text(c->graph, c->node, (char[200]){0}));
    half_done(c, 0, y);
    return ERR_OK;
}

static uint64_t flops(const op_call *c)
{
    uint64_t w0 = (uint64_t)c->in[1]->shape.dim[0];
    return w0 ? 2 * tensor_count(c->out[0]) * (tensor_count(c->in[1]) / w0) : 0;
}

static const char *kernel(const op_call *c)
{
    conv_state local;
    const conv_state *s;
    err e;
    if (state_of(c, &local, &s, &e)) return NULL;
    conv_shape cs = weight_shape(c->in[1], s->groups);
    return conv_method(&cs);
}

const op_row op_rows_conv[] = {
    {.name = "Conv",
     .domain = "",
     .since = 1,
     .flags = OP_FUSES_ACT | OP_FUSES_ADD,
     .in_min = 2,
     .in_max = 3,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"auto_pad", ATTR_STRING, false},
               {"dilations", ATTR_INTS, false},
               {"group", ATTR_INT, false},
               {"kernel_shape", ATTR_INTS, false},
               {"pads", ATTR_INTS, false},
               {"strides", ATTR_INTS, false}},
     .prepare = prepare,
     .infer = infer,
     .run = run,
     .flops = flops,
     .kernel = kernel},
    {0},
};
