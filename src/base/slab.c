#include "base/slab.h"

#include "base/mem.h"

#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
enum { RECYCLES = 0 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { RECYCLES = 0 };
#else
enum { RECYCLES = 1 };
#endif
#else
enum { RECYCLES = 1 };
#endif

/* In front of each block; a multiple of 16, so that the block stays aligned. */
typedef union {
    struct {
        slab_page *page;   /* NULL = of the heap */
        size_t room;       /* bytes behind this */
    } in;
    _Alignas(16) uint8_t bytes[16];
} head;

/*   | slab_page | head block | head block | ... fresh: never taken ... |      free: a list through the blocks */
struct slab_page {
    slab_page *prev, *next;   /* in open[] while there is room, in empty (next) */
    slab *of;
    void *free;
    uint32_t used, room;      /* blocks that are taken; bytes of each */
    uint32_t fresh_at, end;
    _Alignas(16) uint8_t bytes[];
};

bool slab_recycles(void) { return RECYCLES; }
void slab_init(slab *s) { *s = (slab){.kept_bytes = 0}; }

static void *heap_take(const slab *s, size_t bytes)
{
    return s->lasting ? mem_alloc_lasting(bytes) : mem_alloc_raw(bytes);
}

static void heap_give(const slab *s, void *p)
{
    if (s->lasting)
        mem_free_lasting(p);
    else
        mem_free(p);
}

void slab_trim(slab *s)
{
    for (slab_page *p = s->empty, *next; p; p = next) {
        next = p->next;
        heap_give(s, p);
    }
    s->empty = NULL;
    s->kept_bytes = 0;
}

void slab_fini(slab *s)
{
    slab_trim(s);
    for (size_t i = 0; i < COUNTOF(s->open); i++) INVARIANT(!s->open[i]);
}

/* ---- pages ---- */

static slab_page **list_of(slab *s, size_t room) { return &s->open[room / SLAB_STEP - 1]; }

static void open_put(slab *s, slab_page *p)
{
    slab_page **list = list_of(s, p->room);
    p->prev = NULL;
    p->next = *list;
    if (p->next) p->next->prev = p;
    *list = p;
}

static void open_drop(slab *s, slab_page *p)
{
    *(p->prev ? &p->prev->next : list_of(s, p->room)) = p->next;
    if (p->next) p->next->prev = p->prev;
}

static bool has_room(const slab_page *p) { return p->free || p->fresh_at < p->end; }

static slab_page *page_open(slab *s, size_t room)
{
    slab_page *p = s->empty;
    if (p) {
        s->empty = p->next;
        s->kept_bytes -= SLAB_PAGE_BYTES;
    } else {
        p = heap_take(s, SLAB_PAGE_BYTES);
        if (!p) return NULL;
    }
    size_t each = sizeof(head) + room, count = (SLAB_PAGE_BYTES - sizeof *p) / each;
    *p = (slab_page){.of = s, .room = (uint32_t)room, .end = (uint32_t)(count * each)};
    open_put(s, p);
    return p;
}

static void page_close(slab *s, slab_page *p)
{
    open_drop(s, p);
    if (SLAB_PAGE_BYTES > SLAB_KEPT_MAX - s->kept_bytes) {
        heap_give(s, p);
        return;
    }
    p->next = s->empty;
    s->empty = p;
    s->kept_bytes += SLAB_PAGE_BYTES;
}

/* ---- blocks ---- */

static void *large_take(const slab *s, size_t room)
{
    head *h = heap_take(s, sizeof *h + room);
    if (!h) return NULL;
    h->in.page = NULL;
    h->in.room = room;
    return h + 1;
}

void *slab_take(slab *s, size_t bytes)
{
    if (bytes > SIZE_MAX - SLAB_STEP - sizeof(head)) return NULL;
    size_t room = bytes ? round_up(bytes, SLAB_STEP) : SLAB_STEP;
    if (!RECYCLES || room > SLAB_BLOCK_MAX) return large_take(s, room);
    slab_page *p = *list_of(s, room);
    if (!p) p = page_open(s, room);
    if (!p) return NULL;
    head *h = p->free;
    if (h) {
        memcpy(&p->free, h + 1, sizeof p->free);
    } else {
        h = (head *)(void *)(p->bytes + p->fresh_at);
        p->fresh_at += (uint32_t)(sizeof *h + room);
        h->in.page = p;
        h->in.room = room;
    }
    p->used++;
    if (!has_room(p)) open_drop(s, p);
    return h + 1;
}

void slab_give(slab *s, void *b)
{
    if (!b) return;
    head *h = (head *)b - 1;
    slab_page *p = h->in.page;
    if (!p) {
        heap_give(s, h);
        return;
    }
    INVARIANT(p->of == s && p->used > 0);
    if (!has_room(p)) open_put(s, p);
    memcpy(b, &p->free, sizeof p->free);
    p->free = h;
    if (--p->used == 0) page_close(s, p);
}

size_t slab_room(const void *p) { return ((const head *)p - 1)->in.room; }

slab *slab_of(const void *p)
{
    const slab_page *page = ((const head *)p - 1)->in.page;
    return page ? page->of : NULL;
}

void *slab_take0(slab *s, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    void *p = slab_take(s, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

void *slab_grow(slab *s, void *p, size_t bytes)
{
    size_t had = p ? slab_room(p) : 0;
    if (p && bytes <= had) return p;
    void *more = slab_take(s, bytes);
    if (!more) return NULL;
    if (had) memcpy(more, p, had);
    slab_give(s, p);
    return more;
}
