/* Property: a block is its taker's alone, aligned, and keeps its bytes when it grows; a steady load takes blocks again
 * instead of allocating them; what the lists hold is bounded; a lack of memory changes nothing. */
#include "base/slab.h"
#include "test.h"

static void blocks_are_aligned_and_do_not_overlap(void)
{
    slab s;
    uint8_t *blocks[200];
    slab_init(&s);
    for (size_t i = 0; i < COUNTOF(blocks); i++) {
        blocks[i] = slab_take(&s, i * 11);
        CHECK((uintptr_t)blocks[i] % 16 == 0);
        memset(blocks[i], (int)i, i * 11);
    }
    for (size_t i = 0; i < COUNTOF(blocks); i++) {
        for (size_t k = 0; k < i * 11; k++) CHECK_U64(blocks[i][k], i);
        slab_give(&s, blocks[i]);
    }
    slab_fini(&s);
}

static void a_block_keeps_its_bytes_when_it_grows(void)
{
    slab s;
    slab_init(&s);
    uint8_t *p = slab_grow(&s, NULL, 3);
    memcpy(p, "abc", 3);
    for (size_t n = 4; n < 5000; n += 97) p = slab_grow(&s, p, n);
    CHECK(memcmp(p, "abc", 3) == 0);
    CHECK(slab_grow(&s, p, 10) == p);
    slab_give(&s, p);
    slab_give(&s, NULL);
    slab_fini(&s);
}

static void a_steady_load_allocates_nothing_and_keeps_little(void)
{
    enum { COUNT = 8000 };
    static void *many[COUNT];
    slab s;
    long live = mem_live();
    slab_init(&s);
    slab_give(&s, slab_take(&s, 100));
    long before = mem_allocs();
    for (int i = 0; i < 100; i++) slab_give(&s, slab_take(&s, 97));
    CHECK(!slab_recycles() || mem_allocs() == before);
    for (size_t i = 0; i < COUNT; i++) many[i] = slab_take(&s, 1000);
    for (size_t i = 0; i < COUNT; i++) slab_give(&s, many[i]);
    CHECK(s.kept_bytes <= SLAB_KEPT_MAX);
    slab_fini(&s);
    CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
}

/* Pages that are empty serve any size; a block that stays holds its page only. */
static void pages_are_shared_by_all_sizes(void)
{
    enum { COUNT = 2000 };
    static void *many[COUNT];
    slab s;
    if (!slab_recycles()) return;
    slab_init(&s);
    for (size_t i = 0; i < COUNT; i++) many[i] = slab_take(&s, 100);
    void *stays = many[COUNT / 2];
    for (size_t i = 0; i < COUNT; i++)
        if (many[i] != stays) slab_give(&s, many[i]);
    size_t kept = s.kept_bytes;
    long allocs = mem_allocs();
    for (size_t i = 0; i < COUNT; i++) many[i] = slab_take(&s, 50);
    CHECK(mem_allocs() == allocs && s.kept_bytes < kept / 2);
    for (size_t i = 0; i < COUNT; i++) slab_give(&s, many[i]);
    CHECK_U64(s.kept_bytes, kept);
    slab_trim(&s);
    slab_give(&s, stays);
    CHECK_U64(s.kept_bytes, SLAB_PAGE_BYTES);
    slab_fini(&s);
}

static void what_is_kept_can_go_back_at_any_time(void)
{
    slab s;
    long live = mem_live();
    slab_init(&s);
    uint8_t *stays = slab_take(&s, 100);
    memcpy(stays, "abc", 3);
    for (size_t n = 1; n <= SLAB_BLOCK_MAX; n += 10) {
        void *p = slab_take(&s, n), *q = slab_take(&s, n);
        slab_give(&s, p);
        slab_give(&s, q);
    }
    slab_trim(&s);
    CHECK_U64((uint64_t)mem_live(), (uint64_t)live + 1);
    CHECK_U64(s.kept_bytes, 0);
    void *next = slab_take(&s, 100);
    CHECK(next && memcmp(stays, "abc", 3) == 0);
    slab_give(&s, next);
    slab_give(&s, stays);
    slab_fini(&s);
    CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
}

static void a_lack_of_memory_leaves_the_block_as_it_was(void)
{
    slab s;
    slab_init(&s);
    uint8_t *p = slab_take(&s, 3);
    memcpy(p, "abc", 3);
    CHECK(!slab_take(&s, SIZE_MAX) && !slab_grow(&s, p, SIZE_MAX - 8));
    mem_fault_after(0);
    CHECK(!slab_grow(&s, p, 3000));
    mem_fault_after(-1);
    CHECK(memcmp(p, "abc", 3) == 0);
    slab_give(&s, p);
    FAULT_SWEEP({
        slab f;
        slab_init(&f);
        slab_give(&f, slab_take(&f, 10));
        slab_fini(&f);
    });
    slab_fini(&s);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(blocks_are_aligned_and_do_not_overlap),
        TEST(a_block_keeps_its_bytes_when_it_grows),
        TEST(a_steady_load_allocates_nothing_and_keeps_little),
        TEST(pages_are_shared_by_all_sizes),
        TEST(what_is_kept_can_go_back_at_any_time),
        TEST(a_lack_of_memory_leaves_the_block_as_it_was),
    };
    return test_main(cases, COUNTOF(cases));
}
