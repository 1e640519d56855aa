#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

shape shape_make(uint32_t rank, const int64_t *dim)
{
    INVARIANT(rank <= TENSOR_RANK_MAX);
    shape s = {.rank = rank};
    if (rank)
        memcpy(s.dim, dim, rank * sizeof *dim);
    return s;
}

bool shape_eq(const shape *a, const shape *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, a->rank * sizeof *a->dim) == 0;
}

/* A zero anywhere makes the count 0 even where the other dimensions alone would overflow. */
uint64_t shape_count_range(const shape *s, uint32_t from, uint32_t to)
{
    INVARIANT(from <= to && to <= s->rank);
    uint64_t count = 1;
    bool zero = false, over = false;
    for (uint32_t i = from; i < to; i++) {
        if (s->dim[i] < 0)
            return UINT64_MAX;
        zero |= s->dim[i] == 0;
        over |= __builtin_mul_overflow(count, (uint64_t)s->dim[i], &count);
    }
    if (zero)
        return 0;
    return over ? UINT64_MAX : count;
}

uint64_t shape_count(const shape *s)
{
    return shape_count_range(s, 0, s->rank);
}

bool shape_bounded(const shape *s)
{
    uint64_t left = SHAPE_ELEMENTS_MAX;
    for (uint32_t i = 0; i < s->rank; i++) {
        if (s->dim[i] > 0)
            left /= (uint64_t)s->dim[i];
    }
    return left > 0;
}

const char *shape_text(const shape *s, char text[SHAPE_TEXT_MAX])
{
    size_t at = 0;
    text[at++] = '[';
    for (uint32_t i = 0; i < s->rank; i++) {
        int wrote = snprintf(text + at, SHAPE_TEXT_MAX - at, "%s%lld", i ? "," : "", (long long)s->dim[i]);
        if (wrote < 0 || at + (size_t)wrote + 2 > SHAPE_TEXT_MAX)
            break;      /* seven 20-digit dimensions: cut at the last whole one */
        at += (size_t)wrote;
    }
    text[at++] = ']';
    text[at] = '\0';
    return text;
}

err_code shape_broadcast(shape *ret, const shape *a, const shape *b, err *e)
{
    const shape *longer = a->rank >= b->rank ? a : b, *other = longer == a ? b : a;
    shape s = *longer;
    uint32_t ahead = longer->rank - other->rank;
    for (uint32_t i = 0; i < other->rank; i++) {
        int64_t x = longer->dim[ahead + i], y = other->dim[i];
        if (x != y && x != 1 && y != 1) {
            char ta[SHAPE_TEXT_MAX], tb[SHAPE_TEXT_MAX];
            return err_set(e, ERR_INVALID, "shapes %s and %s do not broadcast", shape_text(a, ta), shape_text(b, tb));
        }
        s.dim[ahead + i] = x == 1 ? y : x;
    }
    *ret = s;
    return ERR_OK;
}

err_code shape_axis(uint32_t *ret, int64_t axis, uint32_t rank, const char *what, err *e)
{
    if (axis < -(int64_t)rank || axis >= (int64_t)rank) {
        if (rank == 0)
            return err_set(e, ERR_INVALID, "%s: expected no axis of a scalar, got %lld", what, (long long)axis);
        return err_set(e, ERR_INVALID, "%s: expected an axis in -%u..%u, got %lld", what, rank, rank - 1,
                       (long long)axis);
    }
    *ret = (uint32_t)(axis < 0 ? axis + (int64_t)rank : axis);
    return ERR_OK;
}

err_code shape_push(shape *s, int64_t dim, err *e)
{
    if (s->rank >= TENSOR_RANK_MAX)
        return err_set(e, ERR_LIMIT, "rank: expected at most %d dimensions, got %u", TENSOR_RANK_MAX, s->rank + 1);
    s->dim[s->rank++] = dim;
    return ERR_OK;
}

uint64_t tensor_count(const tensor *t)
{
    return shape_count(&t->shape);
}

size_t tensor_bytes(const tensor *t)
{
    uint64_t count = tensor_count(t);
    return count == UINT64_MAX ? SIZE_MAX : dtype_bytes(t->type, count);
}

tensor tensor_make(dtype type, const shape *s, void *data)
{
    return (tensor){.type = type, .on = DEVICE_CPU, .shape = *s, .data = data};
}

/* Element i of a type under a byte; the first element is in the low bits. */
static uint32_t packed_get(const tensor *t, uint64_t i, uint32_t bits)
{
    uint64_t per_byte = 8 / bits;
    uint32_t byte = ((const uint8_t *)t->data)[i / per_byte];
    return byte >> (i % per_byte * bits) & ((1u << bits) - 1);
}

static void packed_put(tensor *t, uint64_t i, uint32_t bits, uint32_t v)
{
    uint64_t per_byte = 8 / bits;
    uint8_t *byte = (uint8_t *)t->data + i / per_byte;
    uint32_t at = (uint32_t)(i % per_byte * bits), mask = (1u << bits) - 1;
    *byte = (uint8_t)((*byte & ~(mask << at)) | (v & mask) << at);
}

/* Two's complement of `bits` bits. */
static int64_t sign_extend(uint32_t v, uint32_t bits)
{
    uint32_t top = 1u << (bits - 1);
    return (int64_t)(v ^ top) - (int64_t)top;
}

int64_t tensor_int(const tensor *t, uint64_t i)
{
    const void *p = t->data;
    switch ((int)t->type) {
    case DT_BOOL: return ((const uint8_t *)p)[i] != 0;
    case DT_U8: return ((const uint8_t *)p)[i];
    case DT_I8: return ((const int8_t *)p)[i];
    case DT_U16: return ((const uint16_t *)p)[i];
    case DT_I16: return ((const int16_t *)p)[i];
    case DT_I32: return ((const int32_t *)p)[i];
    case DT_U32: return ((const uint32_t *)p)[i];
    case DT_I64: return ((const int64_t *)p)[i];
    case DT_U64: {
        uint64_t v = ((const uint64_t *)p)[i];
        return v > INT64_MAX ? INT64_MAX : (int64_t)v;
    }
    case DT_U4: return packed_get(t, i, 4);
    case DT_U2: return packed_get(t, i, 2);
    case DT_I4: return sign_extend(packed_get(t, i, 4), 4);
    case DT_I2: return sign_extend(packed_get(t, i, 2), 2);
    default: INVARIANT(false); return 0;
    }
}

double tensor_f64(const tensor *t, uint64_t i)
{
    const void *p = t->data;
    switch ((int)t->type) {
    case DT_F32: return (double)((const float *)p)[i];
    case DT_F64: return ((const double *)p)[i];
    case DT_F16: return (double)dtype_f16_to_f32(((const uint16_t *)p)[i]);
    case DT_BF16: return (double)dtype_bf16_to_f32(((const uint16_t *)p)[i]);
    case DT_F8E4M3FN:
    case DT_F8E4M3FNUZ:
    case DT_F8E5M2:
    case DT_F8E5M2FNUZ:
    case DT_F8E8M0: return dtype_decode(t->type, ((const uint8_t *)p)[i]);
    case DT_F4E2M1: return dtype_decode(t->type, packed_get(t, i, 4));
    case DT_U64: return (double)((const uint64_t *)p)[i];
    default: return (double)tensor_int(t, i);
    }
}

void tensor_put_int(tensor *t, uint64_t i, int64_t v)
{
    void *p = t->data;
    switch ((int)t->type) {
    case DT_BOOL: ((uint8_t *)p)[i] = v != 0; return;
    case DT_U8:
    case DT_I8: ((uint8_t *)p)[i] = (uint8_t)v; return;
    case DT_U16:
    case DT_I16: ((uint16_t *)p)[i] = (uint16_t)v; return;
    case DT_U32:
    case DT_I32: ((uint32_t *)p)[i] = (uint32_t)v; return;
    case DT_U64:
    case DT_I64: ((int64_t *)p)[i] = v; return;
    case DT_U4:
    case DT_I4: packed_put(t, i, 4, (uint32_t)v & 15); return;
    case DT_U2:
    case DT_I2: packed_put(t, i, 2, (uint32_t)v & 3); return;
    case DT_F32: ((float *)p)[i] = (float)v; return;
    default: tensor_put_f64(t, i, (double)v);
    }
}

void tensor_settle_bools(tensor *t)
{
    uint8_t *p = t->data;
    for (size_t i = 0, n = t->type == DT_BOOL ? tensor_bytes(t) : 0; i < n; i++)
        p[i] = p[i] != 0;
}

/* Toward zero, held in low..high; a NaN gives 0. */
static int64_t whole(double v, double low, double high)
{
    if (isnan(v))
        return 0;
    return (int64_t)(v < low ? low : v > high ? high : v);
}

static int64_t whole_of_type(dtype type, double v)
{
    uint32_t bits = dtype_bits(type);
    if (dtype_kind_of(type) == KIND_UINT)
        return whole(v, 0, ldexp(1, (int)bits) - 1);
    double top = ldexp(1, (int)bits - 1);
    return whole(v, -top, top - 1);
}

void tensor_put_f64(tensor *t, uint64_t i, double v)
{
    void *p = t->data;
    switch ((int)t->type) {
    case DT_F32: ((float *)p)[i] = (float)v; return;
    case DT_F64: ((double *)p)[i] = v; return;
    case DT_F16:
    case DT_BF16: ((uint16_t *)p)[i] = (uint16_t)dtype_encode(t->type, v, false); return;
    case DT_F8E4M3FN:
    case DT_F8E4M3FNUZ:
    case DT_F8E5M2:
    case DT_F8E5M2FNUZ: ((uint8_t *)p)[i] = (uint8_t)dtype_encode(t->type, v, true); return;
    case DT_F8E8M0: ((uint8_t *)p)[i] = (uint8_t)dtype_encode_e8m0(v, ROUND_UP, true); return;
    case DT_F4E2M1: packed_put(t, i, 4, dtype_encode(t->type, v, true)); return;
    case DT_BOOL: ((uint8_t *)p)[i] = v != 0; return;
    case DT_U64:      /* 2^64 and 2^63 are the first doubles out of range */
        ((uint64_t *)p)[i] = v >= 0x1p64 ? UINT64_MAX : v > 0 ? (uint64_t)v : 0;
        return;
    case DT_I64: ((int64_t *)p)[i] = v >= 0x1p63 ? INT64_MAX : whole(v, -0x1p63, 0x1p63); return;
    default: tensor_put_int(t, i, whole_of_type(t->type, v));
    }
}

view view_of(const shape *s)
{
    view v = {.rank = s->rank};
    int64_t stride = 1;
    for (uint32_t i = s->rank; i-- > 0;) {
        v.dim[i] = s->dim[i];
        v.stride[i] = stride;
        if (__builtin_mul_overflow(stride, s->dim[i], &stride))
            stride = 0;      /* only shapes with no elements come here: nothing will be walked */
    }
    return v;
}

view view_broadcast(const shape *s, const shape *as)
{
    INVARIANT(s->rank <= as->rank);
    view dense = view_of(s), v = {.rank = as->rank};
    uint32_t ahead = as->rank - s->rank;
    for (uint32_t i = 0; i < as->rank; i++) {
        v.dim[i] = as->dim[i];
        if (i < ahead)
            continue;
        INVARIANT(s->dim[i - ahead] == as->dim[i] || s->dim[i - ahead] == 1);
        v.stride[i] = s->dim[i - ahead] == 1 ? 0 : dense.stride[i - ahead];
    }
    return v;
}

view view_permute(const view *v, const uint32_t *order)
{
    view p = {.rank = v->rank, .offset = v->offset};
    for (uint32_t i = 0; i < v->rank; i++) {
        INVARIANT(order[i] < v->rank);
        p.dim[i] = v->dim[order[i]];
        p.stride[i] = v->stride[order[i]];
    }
    return p;
}

/* True when in every view dimension `outer` goes on exactly where dimension `inner` ends. */
static bool walk_as_one(view *const *views, size_t count, uint32_t outer, uint32_t inner)
{
    for (size_t v = 0; v < count; v++)
        if (views[v]->stride[outer] != views[v]->stride[inner] * views[v]->dim[inner])
            return false;
    return true;
}

void view_collapse(view *const *views, size_t count)
{
    INVARIANT(count > 0);
    uint32_t rank = views[0]->rank, kept = 0;
    for (uint32_t i = 0; i < rank; i++) {
        if (views[0]->dim[i] == 1)
            continue;
        for (size_t v = 0; v < count; v++) {
            INVARIANT(views[v]->rank == rank && views[v]->dim[i] == views[0]->dim[i]);
            views[v]->dim[kept] = views[v]->dim[i];
            views[v]->stride[kept] = views[v]->stride[i];
        }
        if (kept > 0 && walk_as_one(views, count, kept - 1, kept)) {
            for (size_t v = 0; v < count; v++) {
                views[v]->dim[kept - 1] *= views[v]->dim[kept];
                views[v]->stride[kept - 1] = views[v]->stride[kept];
            }
        }
        else
            kept++;
    }
    for (size_t v = 0; v < count; v++)
        views[v]->rank = kept;
}
