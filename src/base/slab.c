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

/* In front of each block: how long it is; a multiple of 16, so that the block stays aligned. */
typedef union {
    struct {
        size_t room;
        void *next;   /* in its list */
    } in;
    _Alignas(16) uint8_t bytes[16];
} head;

bool slab_recycles(void) { return RECYCLES; }
void slab_init(slab *s) { *s = (slab){.kept_bytes = 0}; }

void slab_trim(slab *s)
{
    for (size_t i = 0; i < COUNTOF(s->lists); i++) {
        for (head *h = s->lists[i], *next; h; h = next) {
            next = h->in.next;
            mem_free(h);
        }
    }
    slab_init(s);
}

void slab_fini(slab *s) { slab_trim(s); }

static void **list_of(slab *s, size_t room)
{
    return RECYCLES && room <= SLAB_BLOCK_MAX ? &s->lists[room / SLAB_STEP - 1] : NULL;
}

void *slab_take(slab *s, size_t bytes)
{
    if (bytes > SIZE_MAX - SLAB_STEP - sizeof(head)) return NULL;
    size_t room = bytes ? (bytes + SLAB_STEP - 1) / SLAB_STEP * SLAB_STEP : SLAB_STEP;
    void **list = list_of(s, room);
    head *h = list ? *list : NULL;
    if (h) {
        *list = h->in.next;
        s->kept_bytes -= room;
    } else {
        h = mem_alloc_raw(sizeof *h + room);
        if (!h) return NULL;
        h->in.room = room;
    }
    return h + 1;
}

void slab_give(slab *s, void *p)
{
    if (!p) return;
    head *h = (head *)p - 1;
    void **list = list_of(s, h->in.room);
    if (!list || h->in.room > SLAB_KEPT_MAX - s->kept_bytes) {
        mem_free(h);
        return;
    }
    h->in.next = *list;
    *list = h;
    s->kept_bytes += h->in.room;
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
    size_t had = p ? ((head *)p - 1)->in.room : 0;
    if (p && bytes <= had) return p;
    void *more = slab_take(s, bytes);
    if (!more) return NULL;
    if (had) memcpy(more, p, had);
    slab_give(s, p);
    return more;
}
