#include "tensor/move.h"

#include <string.h>

enum { TILE = 16 }; /* 16 x 16 elements of 4 bytes: 16 cache lines on either side */

/* One row: n elements with their strides. */
#define ROW(type) \
    static void row_##type(void *to, int64_t ts, const void *from, int64_t fs, int64_t n) \
    { \
        type *t = to; \
        const type *f = from; \
        for (int64_t i = 0; i < n; i++) t[i * ts] = f[i * fs]; \
    } \
    /* A plane in tiles, so that whichever side jumps stays in the cache. */ \
    static void plane_##type(void *to, const int64_t ts[2], const void *from, const int64_t fs[2], const int64_t n[2]) \
    { \
        type *t = to; \
        const type *f = from; \
        for (int64_t i0 = 0; i0 < n[0]; i0 += TILE) { \
            int64_t i1 = i0 + TILE < n[0] ? i0 + TILE : n[0]; \
            for (int64_t j0 = 0; j0 < n[1]; j0 += TILE) { \
                int64_t j1 = j0 + TILE < n[1] ? j0 + TILE : n[1]; \
                for (int64_t i = i0; i < i1; i++) { \
                    for (int64_t j = j0; j < j1; j++) t[i * ts[0] + j * ts[1]] = f[i * fs[0] + j * fs[1]]; \
                } \
            } \
        } \
    }

typedef struct {
    uint64_t lo, hi;
} wide;

ROW(uint8_t)
ROW(uint16_t)
ROW(uint32_t)
ROW(uint64_t)
ROW(wide)

typedef struct {
    void (*row)(void *to, int64_t ts, const void *from, int64_t fs, int64_t n);
    void (*plane)(void *to, const int64_t ts[2], const void *from, const int64_t fs[2], const int64_t n[2]);
} mover;

static const mover *mover_of(size_t elem_bytes)
{
    static const mover movers[] = {{row_uint8_t, plane_uint8_t},
                                   {row_uint16_t, plane_uint16_t},
                                   {row_uint32_t, plane_uint32_t},
                                   {row_uint64_t, plane_uint64_t},
                                   {row_wide, plane_wide}};
    INVARIANT(elem_bytes >= 1 && elem_bytes <= 16 && (elem_bytes & (elem_bytes - 1)) == 0);
    return &movers[__builtin_ctzll(elem_bytes)];
}

/* The innermost `inner` dims of both views at one place of the outer ones. */
static void inner_copy(const mover *m, char *to, const view *dv, const char *from, const view *fv, uint32_t inner,
                       size_t size)
{
    uint32_t r = dv->rank;
    if (inner == 0) {
        memcpy(to, from, size);
    } else if (inner == 2) {
        m->plane(to, &dv->stride[r - 2], from, &fv->stride[r - 2], &dv->dim[r - 2]);
    } else if (dv->stride[r - 1] == 1 && fv->stride[r - 1] == 1) {
        memcpy(to, from, (size_t)dv->dim[r - 1] * size);
    } else {
        m->row(to, dv->stride[r - 1], from, fv->stride[r - 1], dv->dim[r - 1]);
    }
}

/* Steps an index over dims 0..rank-1 like an odometer; false when it is through. */
static bool step(int64_t *index, const view *v, uint32_t rank)
{
    for (uint32_t d = rank; d-- > 0;) {
        if (++index[d] < v->dim[d]) return true;
        index[d] = 0;
    }
    return false;
}

static int64_t place(const int64_t *index, const view *v, uint32_t rank)
{
    int64_t at = v->offset;
    for (uint32_t d = 0; d < rank; d++) at += index[d] * v->stride[d];
    return at;
}

void move_copy(void *to, const view *dv, const void *from, const view *fv, size_t elem_bytes)
{
    const mover *m = mover_of(elem_bytes);
    view d = *dv, f = *fv;
    for (uint32_t i = 0; i < d.rank; i++) {
        INVARIANT(d.dim[i] == f.dim[i]);
        if (d.dim[i] == 0) return;
    }
    view_collapse((view *const[]){&d, &f}, 2);
    /* Rows that are dense on both sides are copied as they are; else two dims at a time. */
    uint32_t inner = d.rank < 2 || (d.stride[d.rank - 1] == 1 && f.stride[d.rank - 1] == 1) ? (d.rank ? 1 : 0) : 2;
    uint32_t outer = d.rank - inner;
    int64_t index[TENSOR_RANK_MAX] = {0};
    do {
        inner_copy(m, (char *)to + place(index, &d, outer) * (int64_t)elem_bytes, &d,
                   (const char *)from + place(index, &f, outer) * (int64_t)elem_bytes, &f, inner, elem_bytes);
    } while (step(index, &d, outer));
}

void move_fill(void *to, const view *dv, const void *value, size_t elem_bytes)
{
    view constant = *dv;
    for (uint32_t i = 0; i < constant.rank; i++) constant.stride[i] = 0;
    constant.offset = 0;
    move_copy(to, dv, value, &constant, elem_bytes);
}

void move_unpack(uint8_t *to, const uint8_t *from, size_t n, uint32_t bits)
{
    uint32_t per_byte = 8 / bits, mask = (1u << bits) - 1;
    for (size_t i = 0; i < n; i++) to[i] = (uint8_t)((uint32_t)from[i / per_byte] >> (i % per_byte * bits) & mask);
}

void move_pack(uint8_t *to, const uint8_t *from, size_t n, uint32_t bits)
{
    uint32_t per_byte = 8 / bits;
    for (size_t i = 0; i < n; i++) {
        uint32_t shift = (uint32_t)(i % per_byte) * bits;
        if (shift == 0) to[i / per_byte] = 0;
        to[i / per_byte] = (uint8_t)(to[i / per_byte] | from[i] << shift);
    }
}
