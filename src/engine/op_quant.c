/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear: one scale, one per slice of an axis, or one per block. */
#include "engine/op.h"

#include <math.h>
#include <string.h>

#define T_BYTES (T1(DT_I8) | T1(DT_U8))
#define T_FLOAT8 (T1(DT_F8E4M3FN) | T1(DT_F8E4M3FNUZ) | T1(DT_F8E5M2) | T1(DT_F8E5M2FNUZ))
#define T_SMALL_INT (T1(DT_I4) | T1(DT_U4) | T1(DT_I2) | T1(DT_U2) | T1(DT_I16) | T1(DT_U16))
#define T_QUANT (T_BYTES | T_SMALL_INT | T_FLOAT8 | T1(DT_F4E2M1))
#define T_REAL (T1(DT_F32) | T1(DT_F16) | T1(DT_BF16))

enum { CHUNK = 1 << 15 }; /* elements for one index of compute_for() where there is one scale: some 10 us */

/* x as [outer, axis, inner]; the scales as [outer, axis / block, inner] (blocked), [axis], or one. */
typedef struct {
    size_t outer, axis, inner, block;
    bool by_axis, by_block;
} slices;

static err_code slice(const op_call *c, slices *ret, err *e)
{
    const shape *x = &c->in[0]->shape, *s = &c->in[1]->shape;
    int64_t block = node_int(c->node, "block_size", 0);
    char text[2][SHAPE_TEXT_MAX];
    if (block == 0 && (s->rank == 0 || shape_count(s) == 1)) {
        *ret = (slices){.outer = 1, .axis = 1, .inner = (size_t)shape_count(x), .block = 1};
        return ERR_OK;
    }
    uint32_t axis;
    err_code rc = op_axis(c, 1, x->rank, &axis, e);
    if (rc) return rc;
    *ret = (slices){.outer = (size_t)shape_count_range(x, 0, axis),
                    .axis = (size_t)x->dim[axis],
                    .inner = (size_t)shape_count_range(x, axis + 1, x->rank),
                    .block = block > 0 ? (size_t)block : 1,
                    .by_axis = block == 0,
                    .by_block = block > 0};
    shape want = shape_make(1, &x->dim[axis]);
    if (block > 0) {
        want = *x;
        want.dim[axis] = x->dim[axis] / block + (x->dim[axis] % block != 0);
    }
    if (block < 0 || !shape_eq(s, &want))
        return op_err(c, e, ERR_INVALID, "input 1: expected scales %s, got %s", shape_text(&want, text[0]),
                      shape_text(s, text[1]));
    return ERR_OK;
}

static const tensor *zero_of(const op_call *c) { return c->in_count > 2 ? c->in[2] : NULL; }

static err_code zero_check(const op_call *c, err *e)
{
    const tensor *z = zero_of(c);
    char text[2][SHAPE_TEXT_MAX];
    if (!z || tensor_count(z) == tensor_count(c->in[1])) return ERR_OK;
    return op_err(c, e, ERR_INVALID, "input 2: expected zero points %s, got %s", shape_text(&c->in[1]->shape, text[0]),
                  shape_text(&z->shape, text[1]));
}

/* Index of the scale of element `at` of the inner run of (outer, axis); the next element's is `*step` further. */
static size_t scale_at(const slices *s, size_t outer, size_t axis, size_t *step)
{
    *step = s->by_block ? 1 : 0;
    if (!s->by_block) return s->by_axis ? axis : 0;
    return (outer * ((s->axis + s->block - 1) / s->block) + axis / s->block) * s->inner;
}

/* Work for compute_for(): each index is one run of elements under the same row of scales. */
typedef struct {
    const op_call *c;
    slices s;
    size_t chunks; /* of the inner run */
    bool saturate;
    void (*run)(const op_call *c, size_t at, size_t n, size_t scale, size_t step, bool saturate);
} spread;

static void spread_index(void *ctx, uint32_t index)
{
    const spread *p = ctx;
    size_t row = index / p->chunks, from = index % p->chunks * CHUNK, step;
    size_t n = p->s.inner - from < CHUNK ? p->s.inner - from : CHUNK;
    size_t scale = scale_at(&p->s, row / p->s.axis, row % p->s.axis, &step);
    p->run(p->c, row * p->s.inner + from, n, scale + from * step, step, p->saturate);
}

static err_code spread_over(op_call *c, spread *p, err *e)
{
    err_code rc = slice(c, &p->s, e);
    if (rc || tensor_count(c->in[0]) == 0) return rc;
    p->c = c;
    p->chunks = (p->s.inner + CHUNK - 1) / CHUNK;
    uint64_t rows = (uint64_t)p->s.outer * p->s.axis * p->chunks;
    if (rows > UINT32_MAX) return op_err(c, e, ERR_LIMIT, "more than %u slices", UINT32_MAX);
    /* Threads must not meet in a byte: packed types are written by one. */
    bool packed = dtype_bits(c->out[0]->type) < 8;
    compute_for(packed ? NULL : c->pool, (uint32_t)rows, spread_index, p);
    return ERR_OK;
}

/* ---- QuantizeLinear ----------------------------------------------------------------------------------------- */

static err_code quantize_infer(op_call *c, err *e)
{
    const tensor *zero = zero_of(c);
    int64_t asked = node_int(c->node, "output_dtype", 0);
    dtype type = zero ? zero->type : asked ? (dtype)asked : DT_U8;
    slices s;
    err_code rc = op_type(c, 0, T_REAL | T1(DT_I32), e);
    if (!rc) rc = op_type(c, 1, T_REAL | T1(DT_I32) | T1(DT_F8E8M0), e);
    if (!rc) rc = op_type(c, 2, T_QUANT, e);
    if (rc) return rc;
    if (!dtype_ok(asked ? asked : DT_U8) || !(T1(type) & T_QUANT) || (asked && (dtype)asked != type))
        return op_err(c, e, ERR_INVALID, "attribute 'output_dtype': %lld is not the type of the zero point",
                      (long long)asked);
    rc = slice(c, &s, e);
    if (!rc) rc = zero_check(c, e);
    return rc ? rc : op_set(c, 0, type, &c->in[0]->shape, e);
}

static void int_range(dtype t, int64_t *low, int64_t *high)
{
    uint32_t bits = dtype_bits(t);
    bool is_signed = dtype_kind_of(t) == KIND_INT;
    *low = is_signed ? -((int64_t)1 << (bits - 1)) : 0;
    *high = ((int64_t)1 << (bits - is_signed)) - 1;
}

static void quantize_plain(const op_call *c, size_t at, size_t n, size_t scale, size_t step, bool saturate)
{
    tensor *y = c->out[0];
    const tensor *zero = zero_of(c);
    bool whole = dtype_kind_of(y->type) != KIND_FLOAT;
    int64_t low = 0, high = 0;
    if (whole) int_range(y->type, &low, &high);
    for (size_t i = 0; i < n; i++) {
        float v = (float)tensor_f64(c->in[0], at + i) / (float)tensor_f64(c->in[1], scale + i * step);
        if (whole) {
            double r = rint((double)v) + (zero ? (double)tensor_int(zero, scale + i * step) : 0);
            int64_t q = !(r >= (double)low) ? low : r > (double)high ? high : (int64_t)r; /* NaN: the lowest */
            tensor_put_int(y, at + i, q);
        } else if (dtype_bits(y->type) == 8) {
            ((uint8_t *)y->data)[at + i] = (uint8_t)dtype_encode(y->type, (double)v, saturate);
        } else {
            tensor_put_f64(y, at + i, (double)v);
        }
    }
}

static void quantize_run_of(const op_call *c, size_t at, size_t n, size_t scale, size_t step, bool saturate)
{
    const tensor *x = c->in[0], *y = c->out[0], *zero = zero_of(c);
    bool fast = x->type == DT_F32 && c->in[1]->type == DT_F32 && step == 0 && T1(y->type) & T_BYTES;
    if (!fast) {
        quantize_plain(c, at, n, scale, step, saturate);
        return;
    }
    float s = ((const float *)c->in[1]->data)[scale];
    int32_t z = zero ? (int32_t)tensor_int(zero, scale) : 0;
    const float *from = (const float *)x->data + at;
    if (y->type == DT_U8)
        c->k->quant_u8((uint8_t *)y->data + at, from, s, z, n);
    else
        c->k->quant_i8((int8_t *)y->data + at, from, s, z, n);
}

static err_code quantize_run(op_call *c, err *e)
{
    spread p = {.run = quantize_run_of, .saturate = node_int(c->node, "saturate", 1) != 0};
    return spread_over(c, &p, e);
}

/* ---- DequantizeLinear --------------------------------------------------------------------------------------- */

static err_code dequantize_infer(op_call *c, err *e)
{
    int64_t asked = node_int(c->node, "output_dtype", 0);
    dtype type = asked ? (dtype)asked : c->in[1]->type;
    slices s;
    err_code rc = op_type(c, 0, T_QUANT | T1(DT_I32), e);
    if (!rc) rc = op_type(c, 1, T_REAL | T1(DT_F8E8M0), e);
    if (!rc) rc = op_type(c, 2, T1(c->in[0]->type), e);
    if (rc) return rc;
    if (!dtype_ok(asked ? asked : DT_F32) || !(T1(type) & T_REAL))
        return op_err(c, e, ERR_INVALID, "attribute 'output_dtype': expected float32, float16 or bfloat16");
    rc = slice(c, &s, e);
    if (!rc) rc = zero_check(c, e);
    return rc ? rc : op_set(c, 0, type, &c->in[0]->shape, e);
}

static void dequantize_run_of(const op_call *c, size_t at, size_t n, size_t scale, size_t step, bool saturate)
{
    (void)saturate;
    const tensor *x = c->in[0], *zero = zero_of(c);
    tensor *y = c->out[0];
    if (y->type == DT_F32 && c->in[1]->type == DT_F32 && step == 0 && T1(x->type) & T_BYTES) {
        float s = ((const float *)c->in[1]->data)[scale], *to = (float *)y->data + at;
        int32_t z = zero ? (int32_t)tensor_int(zero, scale) : 0;
        if (x->type == DT_U8)
            c->k->dequant_u8(to, (const uint8_t *)x->data + at, s, z, n);
        else
            c->k->dequant_i8(to, (const int8_t *)x->data + at, s, z, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float v = (float)(tensor_f64(x, at + i) - (zero ? tensor_f64(zero, scale + i * step) : 0));
        tensor_put_f64(y, at + i, (double)(v * (float)tensor_f64(c->in[1], scale + i * step)));
    }
}

static err_code dequantize_run(op_call *c, err *e)
{
    spread p = {.run = dequantize_run_of};
    return spread_over(c, &p, e);
}

/* ---- DynamicQuantizeLinear ---------------------------------------------------------------------------------- */

static err_code dynamic_infer(op_call *c, err *e)
{
    shape scalar = {0};
    err_code rc = op_type(c, 0, T1(DT_F32), e);
    if (!rc) rc = op_set(c, 0, DT_U8, &c->in[0]->shape, e);
    if (!rc) rc = op_set(c, 1, DT_F32, &scalar, e);
    if (!rc) rc = op_set(c, 2, DT_U8, &scalar, e);
    return rc;
}

static err_code dynamic_run(op_call *c, err *e)
{
    (void)e;
    const float *x = c->in[0]->data;
    size_t n = (size_t)tensor_count(c->in[0]);
    float high = fmaxf(0, c->k->reduce_max_f32(x, n)), low = fminf(0, c->k->reduce_min_f32(x, n));
    float scale = high == low ? 1 : (high - low) / 255;
    float zero = fminf(255, fmaxf(0, rintf(0 - low / scale)));
    if (c->out[1]) *(float *)c->out[1]->data = scale;
    if (c->out[2]) *(uint8_t *)c->out[2]->data = (uint8_t)zero;
    if (c->out[0]) c->k->quant_u8(c->out[0]->data, x, scale, (int32_t)zero, n);
    return ERR_OK;
}

const op_row op_rows_quant[] = {
    {.name = "QuantizeLinear",
     .domain = "",
     .since = 10,
     .in_min = 2,
     .in_max = 3,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"axis", ATTR_INT, false},
               {"block_size", ATTR_INT, false},
               {"output_dtype", ATTR_INT, false},
               {"precision", ATTR_INT, false},
               {"saturate", ATTR_INT, false}},
     .infer = quantize_infer,
     .run = quantize_run},
    {.name = "DequantizeLinear",
     .domain = "",
     .since = 10,
     .in_min = 2,
     .in_max = 3,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"axis", ATTR_INT, false}, {"block_size", ATTR_INT, false}, {"output_dtype", ATTR_INT, false}},
     .infer = dequantize_infer,
     .run = dequantize_run},
    {.name = "DynamicQuantizeLinear",
     .domain = "",
     .since = 11,
     .in_min = 1,
     .in_max = 1,
     .out_min = 3,
     .out_max = 3,
     .infer = dynamic_infer,
     .run = dynamic_run},
    {0},
};
