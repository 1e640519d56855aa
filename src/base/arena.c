#include "base/arena.h"

#include "base/mem.h"
#include "base/quota.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK_MIN = 4096, SNUG_MIN = 512 };

struct arena_chunk {
    arena_chunk *next;
    size_t room;   /* bytes after the header */
    uint64_t pad[6];
};
_Static_assert(sizeof(arena_chunk) == MEM_ALIGN, "what follows the header is aligned like the block");

void arena_init(arena *a, void *memory, size_t room, size_t limit)
{
    INVARIANT(limit >= room);
    *a = (arena){.base = memory, .room = room, .limit = limit, .first = memory, .first_room = room};
}

static void chunks_free(arena *a, arena_chunk *c)
{
    while (c) {
        arena_chunk *next = c->next;
        a->held -= mem_cost(sizeof *c + c->room);
        if (a->share) quota_give(a->share, sizeof *c + c->room);
        mem_free(c);
        c = next;
    }
}

size_t arena_held(const arena *a) { return a->held; }

static void use(arena *a, arena_chunk *c)
{
    a->base = c ? (uint8_t *)(c + 1) : a->first;
    a->room = c ? c->room : a->first_room;
    a->used = 0;
}

void arena_reset(arena *a)
{
    /* The newest chunk is the largest: keeping it lets a steady load run without the heap. */
    if (a->chunks) {
        chunks_free(a, a->chunks->next);
        a->chunks->next = NULL;
    }
    use(a, a->chunks);
    a->total = 0;
}

void arena_fini(arena *a)
{
    chunks_free(a, a->chunks);
    a->chunks = NULL;
    use(a, NULL);
    a->total = 0;
}

/* As much as is wanted, or where that is too much what is needed. */
static bool share_take(arena *a, size_t need, size_t *want)
{
    if (!a->share || quota_take(a->share, sizeof(arena_chunk) + *want)) return true;
    a->shared_out = *want == need || !quota_take(a->share, sizeof(arena_chunk) + need);
    *want = need;
    return !a->shared_out;
}

static size_t next_room(const arena *a)
{
    size_t first = SNUG_MIN - sizeof(arena_chunk);
    if (a->snug) return a->room < first ? first : round_up(a->room + a->room / 4, MEM_ALIGN);
    return a->room < CHUNK_MIN / 2 ? CHUNK_MIN : a->room * 2;
}

/* NULL = it is over the limit, or there is no memory. */
static arena_chunk *chunk_new(arena *a, size_t need, size_t want)
{
    a->starved = a->shared_out = false;
    if (need > a->limit || a->total > a->limit - need) return NULL;
    if (want > a->limit - a->total) want = a->limit - a->total;
    if (want < need) want = need;
    if (want > SIZE_MAX - sizeof(arena_chunk)) return NULL;
    if (!share_take(a, need, &want)) return NULL;
    arena_chunk *c = mem_alloc_raw(sizeof *c + want);
    a->starved = !c;
    if (!c && a->share) quota_give(a->share, sizeof *c + want);
    if (!c) return NULL;
    c->room = want;
    a->held += mem_cost(sizeof *c + want);
    return c;
}

static bool grow(arena *a, size_t need)
{
    arena_chunk *c = chunk_new(a, need, next_room(a));
    if (!c) return false;
    c->next = a->chunks;
    a->chunks = c;
    use(a, c);
    return true;
}

/* Behind the chunk that is being filled, which goes on being so. */
static void *push_apart(arena *a, size_t bytes)
{
    arena_chunk *c = chunk_new(a, bytes, bytes);
    if (!c) return NULL;
    arena_chunk **at = a->chunks ? &a->chunks->next : &a->chunks;
    c->next = *at;
    *at = c;
    a->total += bytes;
    if (a->total > a->total_max) a->total_max = a->total;
    return c + 1;
}

/* Would the rest of the chunk be lost for it?  It comes to less than half of the next one. */
static bool is_apart(const arena *a, size_t bytes) { return a->snug && bytes >= next_room(a) / 2; }

static size_t padding(const arena *a, size_t align) { return -((uintptr_t)a->base + a->used) & (align - 1); }

void *arena_push_raw(arena *a, size_t bytes, size_t align)
{
    INVARIANT(align > 0 && align <= MEM_ALIGN && (align & (align - 1)) == 0);
    size_t pad = padding(a, align);
    if (!a->base || pad > a->room - a->used || bytes > a->room - a->used - pad) {   /* no base: 0 bytes are not NULL */
        if (is_apart(a, bytes)) return push_apart(a, bytes);
        if (!grow(a, bytes)) return NULL;
        pad = padding(a, align);
    }
    if (pad + bytes > a->limit - a->total) return NULL;
    uint8_t *p = a->base + a->used + pad;
    a->used += pad + bytes;
    a->total += pad + bytes;
    if (a->total > a->total_max) a->total_max = a->total;
    return p;
}

void *arena_push(arena *a, size_t count, size_t size, size_t align)
{
    INVARIANT(size > 0);
    if (count > SIZE_MAX / size) return NULL;
    void *p = arena_push_raw(a, count * size, align);
    return p && count ? memset(p, 0, count * size) : p;
}

void *arena_copy(arena *a, const void *bytes, size_t len, size_t align)
{
    void *p = arena_push_raw(a, len, align);
    return p && len ? memcpy(p, bytes, len) : p;
}

char *arena_printf(arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = n < 0 ? NULL : arena_push_raw(a, (size_t)n + 1, 1);
    if (s) vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}
