/* slab.h - small blocks that are taken and given all the time: free lists by size over base/mem.
 *
 * For libraries that allocate for each request (nghttp2): a steady load takes from the lists only.  Blocks above
 * SLAB_BLOCK_MAX go straight to the heap; what the lists hold on to is bounded.  Not for two threads.  Under
 * AddressSanitizer every block is the heap's, so that a use after the end is seen. */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H
#include "base/base.h"

enum { SLAB_STEP = 32, SLAB_BLOCK_MAX = 1024, SLAB_KEPT_MAX = 4 << 20 };

typedef struct {
    /* private */
    void *lists[SLAB_BLOCK_MAX / SLAB_STEP];
    size_t kept_bytes;
} slab;

void slab_init(slab *s);
void slab_fini(slab *s);                               /* all that was taken is given back */
void slab_trim(slab *s);                               /* what the lists hold on to goes back to the heap */
void *slab_take(slab *s, size_t bytes) MUST_USE;       /* aligned to 16, not zeroed; NULL = no memory */
void *slab_take0(slab *s, size_t count, size_t size) MUST_USE;   /* the same, zeroed */
void *slab_grow(slab *s, void *p, size_t bytes) MUST_USE;   /* p may be NULL; NULL leaves p as it was */
void slab_give(slab *s, void *p);
bool slab_recycles(void);                              /* false under AddressSanitizer */

#endif
