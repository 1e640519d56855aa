#include "base/mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Atomic long live, allocs;
static _Thread_local long fault_in = -1;
static _Thread_local bool fault_hit;

void mem_fault_after(long n)
{
    fault_in = n;
    fault_hit = false;
}

bool mem_fault_fired(void) { return fault_hit; }

void mem_setup(int heaps_max)
{
    if (heaps_max > 0) (void)mallopt(M_ARENA_MAX, heaps_max);
    /* It costs what the kernel takes to clear pages: 2 % of the CPU time of requests of 3 MB, nothing below. */
    (void)mallopt(M_MMAP_THRESHOLD, MEM_MAP_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, MEM_TOP_BYTES);
}

size_t mem_cost(size_t bytes)
{
    if (bytes < MEM_MAP_BYTES) return bytes + bytes / MEM_HOLES_SHARE;
    return (bytes + MEM_PAGE_BYTES) / MEM_PAGE_BYTES * MEM_PAGE_BYTES;
}

void mem_trim(void) { (void)malloc_trim(0); }

long mem_live(void) { return atomic_load(&live); }
long mem_allocs(void) { return atomic_load(&allocs); }

static bool fault(void)
{
    if (fault_in == 0) {
        fault_in = -1;
        fault_hit = true;
        return true;
    }
    if (fault_in > 0) fault_in--;
    return false;
}

static void *counted(void *p)
{
    if (p) {
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&allocs, 1, memory_order_relaxed);
    }
    return p;
}

void *mem_alloc0(size_t count, size_t size)
{
    size_t bytes;
    if (fault() || __builtin_mul_overflow(count, size, &bytes)) return NULL;
    return counted(calloc(1, bytes ? bytes : 1));
}

void *mem_alloc_raw(size_t bytes)
{
    if (fault() || bytes > SIZE_MAX - MEM_ALIGN) return NULL;
    size_t rounded = (bytes + MEM_ALIGN - 1) & ~(size_t)(MEM_ALIGN - 1);
    return counted(aligned_alloc(MEM_ALIGN, rounded ? rounded : MEM_ALIGN));
}

void *mem_grow(void *p, size_t old_bytes, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) return NULL;
    INVARIANT(count * size >= old_bytes);
    void *bigger = mem_alloc_raw(count * size);
    if (!bigger) return NULL;
    if (old_bytes) memcpy(bigger, p, old_bytes);
    mem_free(p);
    return bigger;
}

void mem_free(void *p)
{
    if (!p) return;
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    free(p);
}

void *mem_alloc_lasting(size_t bytes)
{
    return bytes > SIZE_MAX - 16 ? NULL : aligned_alloc(16, (bytes + 15) / 16 * 16);
}

void mem_free_lasting(void *p) { free(p); }
