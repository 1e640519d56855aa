/* slabs.h - a slab per thread, for a library that allocates on whichever thread calls it (OpenSSL).
 *
 * Blocks may be given back on any thread: each slab has a lock, which but for that nobody else takes.  The memory is
 * the library's for as long as the process lives; slabs_trim() gives back what it does not use now.  Any thread. */
#ifndef ASYNC_SLABS_H
#define ASYNC_SLABS_H
#include "base/slab.h"

enum { SLABS_MAX = 64 };   /* more threads than that share them */

void *slabs_take(size_t bytes) MUST_USE;          /* aligned to 16, not zeroed; NULL = no memory, or 0 bytes */
void *slabs_grow(void *p, size_t bytes) MUST_USE; /* as realloc() */
void slabs_give(void *p);
void slabs_trim(void);

#endif
