/* ConvTranspose and Col2Im. */
#include "engine/half.h"
#include "engine/op.h"
#include "engine/spatial.h"
#include "tensor/deconv.h"

#include <string.h>

static void fill_shape(conv_shape *to, const spatial_fit *f)
{
    memcpy(to->in, f->in, sizeof to->in);
    memcpy(to->out, f->out, sizeof to->out);
    memcpy(to->kernel, f->kernel, sizeof to->kernel);
    memcpy(to->stride, f->stride, sizeof to->stride);
    memcpy(to->dilation, f->dilation, sizeof to->dilation);
    memcpy(to->pad, f->pad, sizeof to->pad);
}

/* Output size and pads of dimension i of `count`. */
static err_code deconv_out(const op_call *c, const spatial *s, spatial_fit *f, uint32_t i, int64_t asked, int64_t extra,
                           err *e)
{
    uint32_t d = SPATIAL_MAX - f->count + i;
    int64_t in = (int64_t)f->in[d], stride = (int64_t)f->stride[d],
            span = (int64_t)((f->kernel[d] - 1) * f->dilation[d] + 1);
    int64_t full, out = asked;
    if (__builtin_mul_overflow(stride, in, &full))
        return op_err(c, e, ERR_LIMIT, "an input of %lld with strides of %lld is too large", (long long)in,
                      (long long)stride);
    full += extra + span - stride;
    if (asked < 0 && s->mode != PAD_SAME_UPPER && s->mode != PAD_SAME_LOWER) {
        out = full - (int64_t)(f->pad[d] + f->pad_end[d]);
    } else {
        if (asked < 0) out = in * stride;
        int64_t total = full - out > 0 ? full - out : 0, half = total / 2;
        f->pad[d] = (size_t)(s->mode == PAD_SAME_UPPER ? half : total - half);
        f->pad_end[d] = (size_t)total - f->pad[d];
    }
    if (out < 0 || in == 0 || out > INT32_MAX)
        return op_err(c, e, ERR_INVALID, "an input of %lld gives an output of %lld", (long long)in, (long long)out);
    f->out[d] = (size_t)out;
    return ERR_OK;
}

static err_code deconv_fit(const op_call *c, conv_shape *ret, err *e)
{
    const shape *x = &c->in[0]->shape, *w = &c->in[1]->shape;
    int64_t groups = node_int(c->node, "group", 1), channels;
    uint32_t asked_count, extra_count;
    const int64_t *asked = node_ints(c->node, "output_shape", &asked_count);
    const int64_t *extra = node_ints(c->node, "output_padding", &extra_count);
    char text[2][SHAPE_TEXT_MAX];
    spatial s;
    spatial_fit f;
    err_code rc = op_rank(c, 0, 3, 2 + SPATIAL_MAX, e);
    if (!rc) rc = op_rank(c, 1, x->rank, x->rank, e);
    if (rc) return rc;
    if (groups < 1 || x->dim[1] != w->dim[0] || w->dim[0] % groups != 0 ||
        __builtin_mul_overflow(w->dim[1], groups, &channels))
        return op_err(c, e, ERR_INVALID, "%lld groups of weights %s do not fit input %s", (long long)groups,
                      shape_text(w, text[0]), shape_text(x, text[1]));
    rc = spatial_read(&s, c->graph, c->node, e);
    if (!rc) rc = spatial_lists(&f, &s, c, x->rank - 2, x->dim + 2, w->dim + 2, e);
    if (rc) return rc;
    /* Some exporters give output_shape with batch and channels. */
    if (asked_count == x->rank) asked += 2, asked_count -= 2;
    if ((asked_count && asked_count != f.count) || (extra_count && extra_count != f.count))
        return op_err(c, e, ERR_INVALID, "attributes 'output_shape' and 'output_padding': expected %u values", f.count);
    for (uint32_t i = 0; i < f.count && !rc; i++) {
        int64_t more = extra_count ? extra[i] : 0, want = asked_count ? asked[i] : -1;
        if (more < 0 || more > INT32_MAX || (asked_count && want < 0))
            return op_err(c, e, ERR_INVALID, "attributes 'output_shape' and 'output_padding': expected 0 or more");
        rc = deconv_out(c, &s, &f, i, want, more, e);
    }
    if (rc) return rc;
    *ret = (conv_shape){.spatial = f.count,
                        .batch = (size_t)x->dim[0],
                        .groups = (size_t)groups,
                        .in_channels = (size_t)x->dim[1],
                        .out_channels = (size_t)channels};
    fill_shape(ret, &f);
    return ERR_OK;
}

static err_code deconv_infer(op_call *c, err *e)
{
    conv_shape s;
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc) rc = op_type(c, 1, T1(c->in[0]->type), e);
    if (!rc) rc = op_type(c, 2, T1(c->in[0]->type), e);
    if (!rc) rc = deconv_fit(c, &s, e);
    if (rc) return rc;
    if (c->in_count > 2 && c->in[2] && tensor_count(c->in[2]) != s.out_channels)
        return op_err(c, e, ERR_INVALID, "input 2: expected %zu biases", s.out_channels);
    shape y = c->in[0]->shape;
    y.dim[1] = (int64_t)s.out_channels;
    for (uint32_t i = 2; i < y.rank; i++) y.dim[i] = (int64_t)s.out[SPATIAL_MAX - y.rank + i];
    return op_set(c, 0, c->in[0]->type, &y, e);
}

static err_code deconv_run(op_call *c, err *e)
{
    conv_shape s;
    err_code rc = deconv_fit(c, &s, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    if (s.batch * s.out_channels > UINT32_MAX) return op_err(c, e, ERR_LIMIT, "more than %u planes", UINT32_MAX);
    if (c->in[0]->type == DT_F64) {
        deconv_call_f64 wide = {
            .shape = &s, .x = c->in[0]->data, .w = c->in[1]->data, .y = c->out[0]->data, .act = c->node->act};
        if (c->in_count > 2 && c->in[2]) wide.bias = c->in[2]->data;
        deconv_f64(&wide, c->pool);
        return ERR_OK;
    }
    deconv_call call = {.shape = &s, .act = c->node->act};
    rc = half_in(c, 0, &call.x, e);
    if (!rc) rc = half_in(c, 1, &call.w, e);
    if (!rc) rc = half_in(c, 2, &call.bias, e);
    if (!rc) rc = half_out(c, 0, &call.y, e);
    if (!rc) rc = deconv_f32(&call, c->k, c->pool, c->scratch, e);
    if (!rc) half_done(c, 0, call.y);
    return rc;
}

static uint64_t deconv_flops(const op_call *c)
{
    uint64_t channels = (uint64_t)c->in[1]->shape.dim[0];
    return channels ? 2 * tensor_count(c->in[0]) * (tensor_count(c->in[1]) / channels) : 0;
}

/* ---- Col2Im ------------------------------------------------------------------------------------------------- */

/* Three dimensions at most, as for all windows here; the image is `out`, the positions of the blocks are `in`. */
static err_code col2im_fit(const op_call *c, conv_shape *ret, err *e)
{
    const shape *x = &c->in[0]->shape;
    uint32_t count = (uint32_t)tensor_count(c->in[1]);
    int64_t image[SPATIAL_MAX], block[SPATIAL_MAX];
    spatial s;
    spatial_fit f;
    if (tensor_count(c->in[1]) > SPATIAL_MAX || tensor_count(c->in[2]) != count)
        return op_err(c, e, ERR_UNSUPPORTED, "image_shape and block_shape: expected up to %d sizes each", SPATIAL_MAX);
    for (uint32_t i = 0; i < count; i++) {
        image[i] = tensor_int(c->in[1], i);
        block[i] = tensor_int(c->in[2], i);
    }
    err_code rc = spatial_read(&s, c->graph, c->node, e);
    if (!rc) rc = spatial_of(&f, &s, c, count, image, block, e);
    if (rc) return rc;
    *ret = (conv_shape){.spatial = count, .batch = (size_t)x->dim[0], .groups = 1};
    fill_shape(ret, &f);
    memcpy(ret->in, f.out, sizeof ret->in);
    memcpy(ret->out, f.in, sizeof ret->out);
    size_t taps, positions;
    if (__builtin_mul_overflow(f.kernel[0] * f.kernel[1], f.kernel[2], &taps) ||
        __builtin_mul_overflow(f.out[0], f.out[1], &positions) ||
        __builtin_mul_overflow(positions, f.out[2], &positions))
        return op_err(c, e, ERR_LIMIT, "image_shape and block_shape: expected fewer than 2^64 elements");
    if (x->rank != 3 || (size_t)x->dim[1] % taps != 0 || (size_t)x->dim[2] != positions) {
        char text[SHAPE_TEXT_MAX];
        return op_err(c, e, ERR_INVALID, "input 0: expected [batch, channels * %zu, %zu], got %s", taps, positions,
                      shape_text(x, text));
    }
    ret->out_channels = (size_t)x->dim[1] / taps;
    return ERR_OK;
}

static err_code col2im_infer(op_call *c, err *e)
{
    conv_shape s;
    if (!op_known(c, 1)) return op_later(c, 1);
    if (!op_known(c, 2)) return op_later(c, 2);
    err_code rc = op_type(c, 0, T1(DT_F32) | T1(DT_F16) | T1(DT_BF16), e);
    if (!rc) rc = col2im_fit(c, &s, e);
    if (rc) return rc;
    shape y = shape_make(2, (int64_t[]){(int64_t)s.batch, (int64_t)s.out_channels});
    for (size_t d = SPATIAL_MAX - s.spatial; d < SPATIAL_MAX && !rc; d++) rc = shape_push(&y, (int64_t)s.out[d], e);
    return rc ? rc : op_set(c, 0, c->in[0]->type, &y, e);
}

static err_code col2im_run(op_call *c, err *e)
{
    conv_shape s;
    const float *x;
    float *y;
    err_code rc = col2im_fit(c, &s, e);
    if (!rc) rc = half_in(c, 0, &x, e);
    if (!rc) rc = half_out(c, 0, &y, e);
    if (rc || tensor_count(c->out[0]) == 0) return rc;
    size_t points = s.out[0] * s.out[1] * s.out[2],
           each = (size_t)c->in[0]->shape.dim[1] / s.out_channels * (size_t)c->in[0]->shape.dim[2];
    memset(y, 0, (size_t)tensor_count(c->out[0]) * sizeof *y);
    for (size_t i = 0; i < s.batch * s.out_channels; i++) columns_add(&s, y + i * points, x + i * each);
    half_done(c, 0, y);
    return ERR_OK;
}

const op_row op_rows_deconv[] = {
    {.name = "ConvTranspose",
     .domain = "",
     .since = 1,
     .flags = OP_FUSES_ACT,
     .in_min = 2,
     .in_max = 3,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"auto_pad", ATTR_STRING, false},
               {"dilations", ATTR_INTS, false},
               {"group", ATTR_INT, false},
               {"kernel_shape", ATTR_INTS, false},
               {"output_padding", ATTR_INTS, false},
               {"output_shape", ATTR_INTS, false},
               {"pads", ATTR_INTS, false},
               {"strides", ATTR_INTS, false}},
     .infer = deconv_infer,
     .run = deconv_run,
     .flops = deconv_flops},
    {.name = "Col2Im",
     .domain = "",
     .since = 18,
     .in_min = 3,
     .in_max = 3,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"dilations", ATTR_INTS, false}, {"pads", ATTR_INTS, false}, {"strides", ATTR_INTS, false}},
     .infer = col2im_infer,
     .run = col2im_run},
    {0},
};
