#include "engine/op_lanes.h"

enum { LANES_CHUNK = 32768 };

lanes lanes_of(const shape *s, uint32_t axes)
{
    view dense = view_of(s);
    lanes l = {.count = 1, .length = 1};
    for (uint32_t d = 0; d < s->rank; d++) {
        bool inside = axes >> d & 1;
        view *v = inside ? &l.lane : &l.each;
        uint64_t *product = inside ? &l.length : &l.count;
        v->dim[v->rank] = dense.dim[d];
        v->stride[v->rank++] = dense.stride[d];
        *product *= (uint64_t)dense.dim[d];
    }
    view_collapse((view *[]){&l.each}, 1);
    view_collapse((view *[]){&l.lane}, 1);
    l.row = l.lane.rank == 0 || (l.lane.rank == 1 && l.lane.stride[0] == 1);
    return l;
}

view lanes_at(const lanes *l, uint64_t index)
{
    view v = l->lane;
    for (uint32_t d = l->each.rank; d-- > 0; index /= (uint64_t)l->each.dim[d])
        v.offset += (int64_t)(index % (uint64_t)l->each.dim[d]) * l->each.stride[d];
    return v;
}

size_t lanes_step(const tensor *t, const lanes *l)
{
    return l->row && tile_native(tile_as_of(t->type), t->type) ? (size_t)l->length : TILE;
}

const void *lanes_read(const kernel_set *k, const tensor *t, const lanes *l, uint64_t index, uint64_t first, size_t n,
                       tile *room)
{
    view v = lanes_at(l, index);
    if (l->row && tile_native(tile_as_of(t->type), t->type))
        return (const uint8_t *)t->data + ((uint64_t)v.offset + first) * (dtype_bits(t->type) / 8);
    return tile_read(k, t, &v, first, n, room);
}

uint64_t lanes_per_job(const lanes *l)
{
    return l->length >= LANES_CHUNK ? 1 : LANES_CHUNK / (l->length ? l->length : 1);
}

typedef struct {
    const lanes *l;
    lanes_fn *fn;
    void *ctx;
    uint64_t per_job;
} lanes_job;

static void run_job(void *ctx, uint32_t index)
{
    const lanes_job *j = ctx;
    uint64_t first = index * j->per_job, left = j->l->count - first;
    j->fn(j->ctx, first, left < j->per_job ? left : j->per_job);
}

void lanes_for(compute *pool, const lanes *l, lanes_fn *fn, void *ctx)
{
    lanes_job j = {.l = l, .fn = fn, .ctx = ctx, .per_job = lanes_per_job(l)};
    while ((l->count + j.per_job - 1) / j.per_job > UINT32_MAX / 2)
        j.per_job *= 2;
    compute_for(pool, (uint32_t)((l->count + j.per_job - 1) / j.per_job), run_job, &j);
}
