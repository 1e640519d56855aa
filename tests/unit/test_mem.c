/* The heap's door refuses products that wrap, aligns what tensors need, counts every block, fails exactly the
 * allocation it was told to, gives back what a burst took, and has as few heaps as it was told. */
#include "base/mem.h"
#include "test.h"

#include <malloc.h>
#include <pthread.h>

static void refuses_sizes_that_wrap(void)
{
    CHECK(mem_alloc0(SIZE_MAX / 2, 3) == NULL);
    CHECK(mem_alloc_raw(SIZE_MAX) == NULL && mem_alloc_raw(SIZE_MAX - 1) == NULL);
    CHECK(mem_grow(NULL, 0, SIZE_MAX / 2, 3) == NULL);
    CHECK_U64((uint64_t)mem_live(), 0);
}

static void zeroes_aligns_and_counts(void)
{
    long allocs = mem_allocs();
    uint64_t *z = mem_new0(uint64_t, 100);
    uint8_t *raw[100], *nothing = mem_alloc0(0, 0);
    for (int i = 0; i < 100; i++) CHECK(z && z[i] == 0);
    for (size_t i = 0; i < 100; i++) {
        raw[i] = mem_alloc_raw(i);
        CHECK(raw[i] && (uintptr_t)raw[i] % MEM_ALIGN == 0);
    }
    CHECK(nothing != NULL);
    CHECK_U64((uint64_t)mem_live(), 102);
    CHECK_U64((uint64_t)(mem_allocs() - allocs), 102);
    for (int i = 0; i < 100; i++) mem_free(raw[i]);
    mem_free(z);
    mem_free(nothing);
    mem_free(NULL);
    CHECK_U64((uint64_t)mem_live(), 0);
}

static void growing_keeps_the_bytes_and_failing_keeps_the_block(void)
{
    char *p = mem_grow(NULL, 0, 3, 1);
    CHECK(p != NULL);
    if (!p) return;
    memcpy(p, "abc", 3);
    mem_fault_after(0);
    CHECK(mem_grow(p, 3, 1000, 1) == NULL && mem_fault_fired());
    CHECK(memcmp(p, "abc", 3) == 0);
    char *q = mem_grow(p, 3, 1000, 1);
    CHECK(q && memcmp(q, "abc", 3) == 0);
    mem_free(q);
    CHECK_U64((uint64_t)mem_live(), 0);
}

static void the_nth_allocation_fails_once(void)
{
    void *p[3];
    mem_fault_after(1);
    for (int i = 0; i < 3; i++) {
        p[i] = mem_alloc0(1, 1);
        CHECK(mem_fault_fired() == (i >= 1));
    }
    CHECK(p[0] && !p[1] && p[2]);
    mem_free(p[0]);
    mem_free(p[2]);
    mem_fault_after(-1);
    CHECK(!mem_fault_fired());
}

/* A sanitizer's heap tells nothing about itself: all numbers are 0 then. */
static void what_a_burst_took_goes_back(void)
{
    enum { BLOCKS = 8 };
    mem_setup(0);
    struct mallinfo2 before = mallinfo2();
    void *blocks[BLOCKS], *between[BLOCKS];
    mem_free(mem_alloc_raw(30 << 20));   /* from here on, the default would take blocks of up to 30 MB from the heap */
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = mem_alloc_raw(2 << 20);
        between[i] = mem_alloc_raw(64);
    }
    for (size_t i = 0; i < BLOCKS; i++) mem_free(blocks[i]);
    struct mallinfo2 after = mallinfo2();
    CHECK(after.arena - before.arena < MEM_TOP_BYTES);
    CHECK_U64(after.hblkhd, before.hblkhd);
    for (size_t i = 0; i < BLOCKS; i++) mem_free(between[i]);
    CHECK_U64((uint64_t)mem_live(), 0);
}

static void holes_are_between_blocks_that_are_not_mapped(void)
{
    CHECK_U64(mem_cost(0), 0);
    CHECK_U64(mem_cost(1000), 1200);
    CHECK_U64(mem_cost(MEM_MAP_BYTES), MEM_MAP_BYTES + MEM_PAGE_BYTES);   /* the heap's own note of it needs room */
    CHECK_U64(mem_cost(10 << 20) - (10 << 20), MEM_PAGE_BYTES);
}

static pthread_barrier_t all_hold;

/* A thread's heap is its own only while it lives: all hold a block at the same time. */
static void *hold_a_block(void *ctx)
{
    void *block = mem_alloc_raw(100 << 10);
    (void)ctx;
    pthread_barrier_wait(&all_hold);
    mem_free(block);
    return NULL;
}

static size_t heaps(void)
{
    char *text = NULL;
    size_t bytes = 0, count = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return 0;
    CHECK(malloc_info(0, f) == 0);
    fclose(f);
    for (const char *at = text; (at = strstr(at, "<heap nr=")); at++) count++;
    free(text);
    return count;
}

static void threads_share_the_heaps_that_there_may_be(void)
{
    enum { THREADS = 6 };
    pthread_t threads[THREADS];
    mem_setup(1);   /* before any other thread of this process has come */
    pthread_barrier_init(&all_hold, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, hold_a_block, NULL) == 0);
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&all_hold);
    CHECK_U64(heaps(), 1);
    CHECK_U64((uint64_t)mem_live(), 0);
}

int main(void)
{
    static const test_case cases[] = {TEST(refuses_sizes_that_wrap), TEST(zeroes_aligns_and_counts),
                                      TEST(growing_keeps_the_bytes_and_failing_keeps_the_block),
                                      TEST(the_nth_allocation_fails_once), TEST(what_a_burst_took_goes_back),
                                      TEST(holes_are_between_blocks_that_are_not_mapped),
                                      TEST(threads_share_the_heaps_that_there_may_be)};
    return test_main(cases, COUNTOF(cases));
}
