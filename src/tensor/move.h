/* move.h - copies between views: what transposes, slices, concatenations and paddings are made of.
 *
 * Elements are opaque: 1, 2, 4, 8 or 16 bytes.  Packed types under a byte go through move_unpack() and move_pack()
 * first.
 * Runs that are dense in both views are copied whole; two-dimensional transposes go in tiles that fit the cache. */
#ifndef TENSOR_MOVE_H
#define TENSOR_MOVE_H
#include "tensor/tensor.h"

/* to[dv] = from[fv] over equal dims; the blocks do not overlap. */
void move_copy(void *to, const view *dv, const void *from, const view *fv, size_t elem_bytes);
/* to[dv] = *value. */
void move_fill(void *to, const view *dv, const void *value, size_t elem_bytes);
/* n packed elements of `bits` (2 or 4) to a byte each, and back. */
void move_unpack(uint8_t *to, const uint8_t *from, size_t n, uint32_t bits);
void move_pack(uint8_t *to, const uint8_t *from, size_t n, uint32_t bits);

#endif
