#include "engine/op_tile.h"

#include <string.h>

tile_as tile_as_of(dtype type)
{
    switch ((int)type) {
    case DT_F32:
    case DT_F16:
    case DT_BF16:
    case DT_F8E4M3FN:
    case DT_F8E4M3FNUZ:
    case DT_F8E5M2:
    case DT_F8E5M2FNUZ: return AS_F32;
    case DT_F64: return AS_F64;
    case DT_U64: return AS_U64;
    case DT_BOOL:
    case DT_U8:
    case DT_I8:
    case DT_U16:
    case DT_I16:
    case DT_U32:
    case DT_I32:
    case DT_I64: return AS_I64;
    case DT_STRING: return AS_STR;
    default: return AS_NONE;
    }
}

size_t tile_size(tile_as as)
{
    static const uint8_t size[] = {[AS_NONE] = 0, [AS_F32] = 4, [AS_F64] = 8, [AS_I64] = 8, [AS_U64] = 8,
                                   [AS_STR] = sizeof(str)};
    return size[as];
}

bool tile_native(tile_as as, dtype type)
{
    return tile_as_of(type) == as && dtype_bits(type) == 8 * tile_size(as);
}

#define WIDEN(FROM)                              \
    do {                                         \
        int64_t *y = to;                         \
        const FROM *x = from;                    \
        for (size_t i = 0; i < n; i++)           \
            y[i] = (int64_t)x[i];                \
    } while (0)

static void widen_f8(float *y, const uint8_t *x, dtype type, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)dtype_decode(type, x[i]);
}

static void narrow_f8(uint8_t *y, dtype type, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (uint8_t)dtype_encode(type, (double)x[i], true);
}

void tile_widen(const kernel_set *k, void *to, const void *from, dtype type, size_t n)
{
    switch ((int)type) {
    case DT_F16: k->f16_to_f32(to, from, n); return;
    case DT_BF16: k->bf16_to_f32(to, from, n); return;
    case DT_F8E4M3FN:
    case DT_F8E4M3FNUZ:
    case DT_F8E5M2:
    case DT_F8E5M2FNUZ: widen_f8(to, from, type, n); return;
    case DT_BOOL:
    case DT_U8: WIDEN(uint8_t); return;
    case DT_I8: WIDEN(int8_t); return;
    case DT_U16: WIDEN(uint16_t); return;
    case DT_I16: WIDEN(int16_t); return;
    case DT_U32: WIDEN(uint32_t); return;
    case DT_I32: WIDEN(int32_t); return;
    default: memcpy(to, from, dtype_bytes(type, n)); return;
    }
}

#define NARROW(TO)                               \
    do {                                         \
        TO *y = to;                              \
        const int64_t *x = from;                 \
        for (size_t i = 0; i < n; i++)           \
            y[i] = (TO)x[i];                     \
    } while (0)

void tile_narrow(const kernel_set *k, void *to, dtype type, const void *from, size_t n)
{
    switch ((int)type) {
    case DT_F16: k->f32_to_f16(to, from, n); return;
    case DT_BF16: k->f32_to_bf16(to, from, n); return;
    case DT_F8E4M3FN:
    case DT_F8E4M3FNUZ:
    case DT_F8E5M2:
    case DT_F8E5M2FNUZ: narrow_f8(to, type, from, n); return;
    case DT_BOOL:
    case DT_U8:
    case DT_I8: NARROW(uint8_t); return;
    case DT_U16:
    case DT_I16: NARROW(uint16_t); return;
    case DT_U32:
    case DT_I32: NARROW(uint32_t); return;
    default: memcpy(to, from, dtype_bytes(type, n)); return;
    }
}

/* A repeated element is a fill, which the compiler vectorises. */
#define COPY_STRIDED(TYPE)                                                  \
    do {                                                                    \
        const TYPE *x = (const TYPE *)from;                                 \
        TYPE *y = (TYPE *)to, same = *x;                                    \
        for (size_t i = 0; i < n && stride == 0; i++)                       \
            y[i] = same;                                                    \
        for (size_t i = 0; i < n && stride != 0; i++)                       \
            y[i] = x[(int64_t)i * stride];                                  \
    } while (0)

/* One run of the innermost dimension; `from` is its first element. */
static void copy_run(void *to, const void *from, int64_t stride, size_t element_bytes, size_t n)
{
    if (stride == 1) {
        memcpy(to, from, n * element_bytes);
        return;
    }
    switch (element_bytes) {
    case 1: COPY_STRIDED(uint8_t); return;
    case 2: COPY_STRIDED(uint16_t); return;
    case 4: COPY_STRIDED(uint32_t); return;
    case 8: COPY_STRIDED(uint64_t); return;
    case 16: COPY_STRIDED(str); return;
    default: INVARIANT(false);
    }
}

void tile_gather(void *to, const void *from, const view *v, size_t element_bytes, uint64_t first, size_t n)
{
    const uint8_t *base = from;
    uint8_t *out = to;
    if (v->rank == 0) {      /* one element; n == 1, unless the walk is of a scalar that is repeated */
        for (size_t i = 0; i < n; i++)
            memcpy(out + i * element_bytes, base + (size_t)v->offset * element_bytes, element_bytes);
        return;
    }
    int64_t at[TENSOR_RANK_MAX], offset = v->offset;
    uint32_t last = v->rank - 1;
    for (uint32_t d = v->rank; d-- > 0;) {
        at[d] = (int64_t)(first % (uint64_t)v->dim[d]);
        first /= (uint64_t)v->dim[d];
        offset += at[d] * v->stride[d];
    }
    while (n > 0) {
        size_t run = (size_t)(v->dim[last] - at[last]);
        run = run < n ? run : n;
        copy_run(out, base + offset * (int64_t)element_bytes, v->stride[last], element_bytes, run);
        out += run * element_bytes;
        n -= run;
        offset += (int64_t)run * v->stride[last];
        at[last] += (int64_t)run;
        for (uint32_t d = last; at[d] == v->dim[d] && d > 0; d--) {
            offset += v->stride[d - 1] - at[d] * v->stride[d];
            at[d] = 0;
            at[d - 1]++;
        }
    }
}

const void *tile_raw(const tensor *t, const view *v, uint64_t first, size_t n, tile *room)
{
    INVARIANT(n <= TILE);
    size_t bytes = dtype_bits(t->type) / 8;
    bool dense = v->rank == 0 ? n == 1 : v->rank == 1 && v->stride[0] == 1;
    if (dense)
        return (const uint8_t *)t->data + (size_t)((uint64_t)v->offset + first) * bytes;
    tile_gather(room, t->data, v, bytes, first, n);
    return room;
}

const void *tile_read(const kernel_set *k, const tensor *t, const view *v, uint64_t first, size_t n, tile *room)
{
    if (tile_native(tile_as_of(t->type), t->type))
        return tile_raw(t, v, first, n, room);
    UNINIT tile raw;
    tile_widen(k, room, tile_raw(t, v, first, n, &raw), t->type, n);
    return room;
}

static void put_run(void *to, const uint8_t *from, int64_t stride, size_t element_bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        memcpy((uint8_t *)to + (int64_t)i * stride * (int64_t)element_bytes, from + i * element_bytes, element_bytes);
}

void tile_write(const kernel_set *k, tensor *t, const view *v, uint64_t first, size_t n, const void *from)
{
    INVARIANT(n <= TILE);
    UNINIT uint64_t raw[TILE];
    size_t bytes = dtype_bits(t->type) / 8;
    const uint8_t *source = from;
    if (!tile_native(tile_as_of(t->type), t->type)) {
        tile_narrow(k, raw, t->type, from, n);
        source = (const uint8_t *)raw;
    }
    uint8_t *base = t->data;
    int64_t at[TENSOR_RANK_MAX] = {0}, offset = v->offset;
    uint32_t last = v->rank ? v->rank - 1 : 0;
    for (uint32_t d = v->rank; d-- > 0; first /= (uint64_t)v->dim[d]) {
        at[d] = (int64_t)(first % (uint64_t)v->dim[d]);
        offset += at[d] * v->stride[d];
    }
    while (n > 0) {
        size_t run = v->rank ? (size_t)(v->dim[last] - at[last]) : 1;
        run = run < n ? run : n;
        put_run(base + offset * (int64_t)bytes, source, v->rank ? v->stride[last] : 0, bytes, run);
        source += run * bytes;
        n -= run;
        offset += v->rank ? (int64_t)run * v->stride[last] : 0;
        at[last] += (int64_t)run;
        for (uint32_t d = last; v->rank && at[d] == v->dim[d] && d > 0; d--) {
            offset += v->stride[d - 1] - at[d] * v->stride[d];
            at[d] = 0;
            at[d - 1]++;
        }
    }
}
