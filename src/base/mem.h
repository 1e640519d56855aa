/* mem.h - the only door to the heap.
 *
 * All allocation goes through here so that tests can fail the Nth one (mem_fault_after) and check that
 * nothing leaked (mem_live).  mem_alloc0 is zeroed; mem_alloc_raw is not and is aligned, for tensor
 * data that is written before it is read.  mem_allocs() counts every allocation ever made: the
 * steady state of the server is tested to leave it unchanged.  Production code never tests for the hooks. */
#ifndef BASE_MEM_H
#define BASE_MEM_H
#include "base/base.h"

enum {
    MEM_ALIGN = 64,             /* one cache line, one AVX-512 register */
    MEM_MAP_BYTES = 1 << 20,    /* after mem_setup(): larger blocks are mapped one by one and go back when freed, */
    MEM_TOP_BYTES = 256 << 10,  /* and so does what is free at the end of a heap beyond this */
    MEM_PAGE_BYTES = 4096,
    MEM_HOLES_SHARE = 5         /* where blocks come and go, one part more in so many is lost between them */
};

/* For a process that stays: what a burst of large requests took goes back to the kernel.  By default glibc raises both
 * limits with every large block that is freed, up to 32 and 64 MB for each thread's heap, and keeps that for ever.
 * Threads share `heaps_max` heaps; 0 = as glibc likes it, up to eight for each core: no thread waits for another's
 * allocation, but each heap has holes of its own, some 0.4 MB where models come and go.
 * Once, before threads start. */
void mem_setup(int heaps_max);
/* What a block comes to with what is lost around it, after mem_setup(1): alignment, and holes that nothing fits or that
 * share a page.  Measured at 13 to 26 % while models of 60 to 100 kB come and go by thousands. */
size_t mem_cost(size_t bytes);
void mem_trim(void);            /* what is free goes back to the kernel now; takes milliseconds */

void mem_free(void *p);
void *mem_alloc0(size_t count, size_t size) __attribute__((malloc)) MUST_USE;
void *mem_alloc_raw(size_t bytes) __attribute__((malloc)) MUST_USE;   /* MEM_ALIGN-aligned, not zeroed */
/* Grows to count * size bytes keeping the old_bytes first; NULL leaves the old block as it was. */
void *mem_grow(void *p, size_t old_bytes, size_t count, size_t size) MUST_USE;
/* For the memory that a library keeps as long as the process lives: neither counted nor failed by tests. */
void *mem_alloc_lasting(size_t bytes) __attribute__((malloc)) MUST_USE;   /* aligned to 16, not zeroed */
void mem_free_lasting(void *p);
#define mem_new0(type, n) ((type *)mem_alloc0((n), sizeof(type)))

/* Test hooks. */
void mem_fault_after(long n);   /* the n-th allocation of this thread from now returns NULL; n < 0 turns it off */
bool mem_fault_fired(void);
long mem_live(void);            /* blocks not yet freed */
long mem_allocs(void);          /* blocks ever handed out */

#endif
