/* op_tile.h - moving elements of any type through tiles of one of five types that arithmetic is written for.
 *
 * float16, bfloat16 and FP8 compute as float, every integer but uint64 as int64 (which holds them all, so that a
 * result cut to its type is the wrapped one), bool as int64 0 and 1.  A tile is a few KB on the stack of whoever
 * works on it; nothing here allocates, and all of it may run on any thread. */
#ifndef ENGINE_OP_TILE_H
#define ENGINE_OP_TILE_H
#include "engine/op.h"

typedef enum { AS_NONE, AS_F32, AS_F64, AS_I64, AS_U64, AS_STR } tile_as;
enum { TILE = 512 };

typedef union {
    float f32[TILE];
    double f64[TILE];
    int64_t i64[TILE];
    uint64_t u64[TILE];
    str s[TILE];
} tile;

tile_as tile_as_of(dtype type);                 /* AS_NONE: complex, E8M0 and what is packed under a byte */
size_t tile_size(tile_as as);                   /* of one element, bytes */
bool tile_native(tile_as as, dtype type);       /* the tensor's own memory can serve as a tile */
/* n elements of `type` at `from` (dense) into `to`, and back; one of them in the type of `as`. */
void tile_widen(const kernel_set *k, void *to, const void *from, dtype type, size_t n);
void tile_narrow(const kernel_set *k, void *to, dtype type, const void *from, size_t n);
/* Elements first..first+n-1 of the walk over `v`, which was collapsed, into a dense row. */
void tile_gather(void *to, const void *from, const view *v, size_t element_bytes, uint64_t first, size_t n);
/* The same elements in the tensor's own type, of 1 to 16 whole bytes each. */
const void *tile_raw(const tensor *t, const view *v, uint64_t first, size_t n, tile *room);
/* The elements of `t` in that walk as a tile: a pointer into t->data where that serves, else `room` filled.  n <=
 * TILE. */
const void *tile_read(const kernel_set *k, const tensor *t, const view *v, uint64_t first, size_t n, tile *room);
/* A tile into the elements first..first+n-1 of the walk. */
void tile_write(const kernel_set *k, tensor *t, const view *v, uint64_t first, size_t n, const void *from);

#endif
