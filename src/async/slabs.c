#include "async/slabs.h"

#include "os/lock.h"

#include <stdatomic.h>
#include <string.h>

typedef struct {
    _Alignas(64) lock guard;   /* all below */
    slab memory;
} guarded;

#define ONE {.guard = LOCK_INIT, .memory = {.lasting = true}}
#define FOUR(x) x, x, x, x
static guarded all[] = {FOUR(FOUR(FOUR(ONE)))};
_Static_assert(COUNTOF(all) == SLABS_MAX, "each has its lock");
static _Atomic unsigned threads;
static _Thread_local guarded *mine;

static guarded *own(void)
{
    if (!mine) mine = &all[atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % SLABS_MAX];
    return mine;
}

void *slabs_take(size_t bytes)
{
    if (!bytes) return NULL;
    guarded *g = own();
    lock_take(&g->guard);
    void *p = slab_take(&g->memory, bytes);
    lock_give(&g->guard);
    return p;
}

void slabs_give(void *p)
{
    if (!p) return;
    slab *of = slab_of(p);
    guarded *g = of ? (guarded *)(void *)((char *)of - offsetof(guarded, memory)) : own();
    lock_take(&g->guard);
    slab_give(&g->memory, p);
    lock_give(&g->guard);
}

void *slabs_grow(void *p, size_t bytes)
{
    size_t had = p ? slab_room(p) : 0;
    if (p && bytes && bytes <= had) return p;
    void *more = slabs_take(bytes);
    if (more && had) memcpy(more, p, had);
    if (more || !bytes) slabs_give(p);
    return more;
}

void slabs_trim(void)
{
    for (size_t i = 0; i < SLABS_MAX; i++) {
        lock_take(&all[i].guard);
        slab_trim(&all[i].memory);
        lock_give(&all[i].guard);
    }
}
