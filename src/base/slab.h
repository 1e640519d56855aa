/* slab.h - small blocks that are taken and given all the time: pages of equal blocks over base/mem.
 *
 * For libraries that allocate for each request or connection (nghttp2, OpenSSL): a steady load takes from the pages
 * only; what lives long shares pages, not the whole heap, with what does not; and malloc's caches by thread, which
 * never shrink, see none of it.  Blocks above SLAB_BLOCK_MAX go straight to the heap.  Empty pages are kept for any
 * size, within a bound, until slab_trim().  Not for two threads at a time.  Under AddressSanitizer every block is the
 * heap's, so that a use after the end is seen. */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H
#include "base/base.h"

enum { SLAB_STEP = 32, SLAB_BLOCK_MAX = 1024, SLAB_KEPT_MAX = 4 << 20, SLAB_PAGE_BYTES = 8000 };

typedef struct slab_page slab_page;

typedef struct {
    bool lasting;                                      /* its memory is mem_alloc_lasting()'s: a library's, for good */
    /* private */
    slab_page *open[SLAB_BLOCK_MAX / SLAB_STEP];       /* by size: those with room, the one to take from first */
    slab_page *empty;
    size_t kept_bytes;                                 /* of empty pages */
} slab;

void slab_init(slab *s);
void slab_fini(slab *s);                               /* all that was taken is given back */
void slab_trim(slab *s);                               /* empty pages go back to the heap */
void *slab_take(slab *s, size_t bytes) MUST_USE;       /* aligned to 16, not zeroed; NULL = no memory */
void *slab_take0(slab *s, size_t count, size_t size) MUST_USE;   /* the same, zeroed */
void *slab_grow(slab *s, void *p, size_t bytes) MUST_USE;   /* p may be NULL; NULL leaves p as it was */
void slab_give(slab *s, void *b);
bool slab_recycles(void);                              /* false under AddressSanitizer */

/* Of a block, whichever slab it is from. */
size_t slab_room(const void *p);
slab *slab_of(const void *p);                          /* NULL = the heap's: any slab of that kind may give it back */

#endif
