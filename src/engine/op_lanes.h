/* op_lanes.h - a dense tensor seen as lanes: the elements that one result is made of, for every result.
 *
 * The axes in a bit set run inside a lane, the others from lane to lane, in their order.  Reductions, scans
 * and normalisations all walk tensors this way. */
#ifndef ENGINE_OP_LANES_H
#define ENGINE_OP_LANES_H
#include "engine/op_tile.h"

typedef struct {
    view each;                   /* from lane to lane; collapsed */
    view lane;                   /* inside a lane; collapsed, offset 0 */
    uint64_t count, length;      /* lanes; elements of one */
    bool row;                    /* a lane is one dense stretch of memory */
} lanes;

lanes lanes_of(const shape *s, uint32_t axes);           /* axes: bit d = dimension d */
view lanes_at(const lanes *l, uint64_t index);           /* the walk of one lane, offset included */
/* Elements first..first+n-1 of a lane of t, as tile_read() gives them; where the lane is a row of the tile's own type
 * a pointer into the tensor, and n may be all of it. */
const void *lanes_read(const kernel_set *k, const tensor *t, const lanes *l, uint64_t index, uint64_t first, size_t n,
                       tile *room);
/* How much of a lane lanes_read() can give at once. */
size_t lanes_step(const tensor *t, const lanes *l);
/* Lanes of one job, so that a job has some 32768 elements. */
uint64_t lanes_per_job(const lanes *l);
/* Calls fn(ctx, first lane, lanes) over the pool. */
typedef void lanes_fn(void *ctx, uint64_t first, uint64_t count);
void lanes_for(compute *pool, const lanes *l, lanes_fn *fn, void *ctx);

#endif
