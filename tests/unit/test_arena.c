/* An arena refuses, never overruns: sizes whose product wraps, alignment padding, the borrowed memory's end and
 * the limit over all chunks; a steady load stops using the heap after its first round, and a snug arena holds hardly
 * more than was pushed. */
#include "base/arena.h"
#include "base/quota.h"
#include "test.h"

static void refuses_overflow_and_limit(void)
{
    _Alignas(16) uint8_t memory[64];
    arena a;
    arena_init(&a, memory, sizeof memory, sizeof memory);
    CHECK(arena_push(&a, SIZE_MAX / 4 + 2, 4, 1) == NULL);   /* count * size wraps to 4 */
    CHECK(arena_push_raw(&a, SIZE_MAX, 1) == NULL);
    CHECK(arena_new(&a, char, 65) == NULL);
    CHECK_U64(a.total, 0);
    CHECK(arena_new(&a, char, 64) != NULL);
    CHECK(arena_new(&a, char, 1) == NULL);
    CHECK(arena_new(&a, char, 0) != NULL);
    CHECK_U64((uint64_t)mem_live(), 0);
}

static void aligns_zeroes_and_copies(void)
{
    _Alignas(16) uint8_t memory[96];
    memset(memory, 0xAA, sizeof memory);
    arena a;
    arena_init(&a, memory, sizeof memory, sizeof memory);
    CHECK(arena_new(&a, char, 1) != NULL);
    uint64_t *v = arena_new(&a, uint64_t, 2);
    CHECK(v && (uintptr_t)v % _Alignof(uint64_t) == 0 && v[0] == 0 && v[1] == 0);
    CHECK_U64(a.total, 24);
    CHECK_STR(arena_printf(&a, "%s/%d", "m", 7), "m/7");
    CHECK_STR((char *)arena_copy(&a, "xyz", 4, 1), "xyz");
    arena_reset(&a);
    CHECK(a.total == 0 && a.total_max == 32);
}

static void nothing_pushed_on_nothing_is_not_a_failure(void)
{
    arena a;
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(arena_new(&a, char, 0) != NULL);
    arena_fini(&a);
}

static void an_unbounded_limit_cannot_wrap(void)
{
    arena a;
    arena_init(&a, NULL, 0, SIZE_MAX);
    CHECK(arena_push_raw(&a, SIZE_MAX, 1) == NULL && arena_push_raw(&a, SIZE_MAX - 10, 64) == NULL);
    CHECK(arena_push_raw(&a, 10, 64) != NULL);
    CHECK(arena_push_raw(&a, SIZE_MAX - 5, 1) == NULL);
    arena_fini(&a);
    CHECK_U64((uint64_t)mem_live(), 0);
}

/* Random pushes over several chunks: blocks do not overlap, keep their bytes, and end at the limit. */
static void push_by_chance(bool snug)
{
    enum { LIMIT = 200000, BLOCKS = 2000 };
    static uint8_t *blocks[BLOCKS];
    static size_t sizes[BLOCKS];
    uint64_t seed = 5;
    uint8_t memory[100];
    arena a;
    arena_init(&a, memory, sizeof memory, LIMIT);
    a.snug = snug;
    size_t n = 0;
    for (; n < BLOCKS; n++) {
        uint64_t r = test_rand(&seed);
        size_t align = (size_t)1 << (r & 63) % 7;
        sizes[n] = (size_t)(r >> 32) % 700;
        blocks[n] = arena_push_raw(&a, sizes[n], align);
        if (!blocks[n]) break;
        CHECK((uintptr_t)blocks[n] % align == 0);
        memset(blocks[n], (int)(n & 0xff), sizes[n]);
    }
    CHECK(n > 400 && n < BLOCKS && a.total <= LIMIT && a.total > LIMIT - 800);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < sizes[i]; k++) {
            if (blocks[i][k] != (i & 0xff)) CHECK(!"a block was overwritten");
        }
    }
    arena_fini(&a);
    CHECK_U64((uint64_t)mem_live(), 0);
}

static void chunks_hold_what_was_pushed(void)
{
    push_by_chance(false);
    push_by_chance(true);
}

/* Of small blocks, and of small ones with large ones between them. */
static void a_snug_arena_holds_hardly_more_than_was_pushed(void)
{
    for (size_t large = 0; large <= 100000; large += 50000) {
        arena a;
        uint64_t seed = 7;
        arena_init(&a, NULL, 0, 1 << 24);
        a.snug = true;
        CHECK(arena_push(&a, 20, 1, 1) && arena_held(&a) <= mem_cost(512));
        for (size_t i = 0; i < 2000; i++) {
            size_t bytes = i % 100 == 50 && large ? large : test_rand(&seed) % 100;
            CHECK(arena_push_raw(&a, bytes, 8) != NULL);
            CHECK(arena_held(&a) <= (a.total + a.total / 2 + 512) / MEM_HOLES_SHARE * (MEM_HOLES_SHARE + 1));
        }
        CHECK(arena_held(&a) < a.total + a.total / MEM_HOLES_SHARE + (large ? a.total / 16 : a.total / 3));
        arena_fini(&a);
        CHECK_U64((uint64_t)mem_live(), 0);
    }
}

static void a_large_block_leaves_the_chunk_that_is_being_filled(void)
{
    arena a;
    arena_init(&a, NULL, 0, 3 << 20);
    a.snug = true;
    uint8_t *apart = arena_push(&a, 1 << 20, 1, 64), *first = arena_push(&a, 1, 100, 1);
    uint8_t *other = arena_push(&a, 1 << 20, 1, 64), *second = arena_push(&a, 1, 100, 1);
    CHECK(apart && other && (uintptr_t)other % 64 == 0 && second == first + 100);
    CHECK(!arena_push(&a, 1 << 20, 1, 64) && !a.starved);   /* over the limit */
    CHECK_U64(a.total, (2 << 20) + 200);
    CHECK_U64(a.total_max, a.total);
    arena_reset(&a);
    CHECK(arena_push(&a, 1, 100, 1) == first && arena_held(&a) <= mem_cost(512));
    arena_fini(&a);
    CHECK_U64(arena_held(&a), 0);
    CHECK_U64((uint64_t)mem_live(), 0);
}

static void reset_keeps_the_largest_chunk(void)
{
    arena a;
    arena_init(&a, NULL, 0, 1 << 20);
    long after_first = 0;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 100; i++) CHECK(arena_push(&a, 1, 100, 8) != NULL);
        arena_reset(&a);
        if (round == 1) after_first = mem_allocs();
        CHECK_U64((uint64_t)mem_live(), 1);
    }
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)after_first);
    arena_fini(&a);
}

static void survives_every_failing_allocation(void)
{
    FAULT_SWEEP({
        arena a;
        arena_init(&a, NULL, 0, 1 << 20);
        bool ok = true;
        for (size_t i = 1; i < 10; i++) {
            a.snug = i > 5;
            ok = ok && arena_push(&a, i, 4096, 64) != NULL;
        }
        CHECK(ok == !mem_fault_fired());
        arena_fini(&a);
    })
}

static void chunks_are_taken_from_a_share(void)
{
    quota q;
    arena a, other;
    quota_init(&q, 10000);
    arena_init(&a, NULL, 0, 1 << 20);
    arena_init(&other, NULL, 0, 1 << 20);
    a.share = other.share = &q;
    CHECK(arena_push(&a, 6000, 1, 1) && quota_used(&q) >= 6000 && !a.shared_out);
    CHECK(!arena_push(&other, 6000, 1, 1) && other.shared_out && !other.starved);
    CHECK(arena_push(&other, 3000, 1, 1) && !other.shared_out);   /* not the 4096 that it would like */
    CHECK(quota_used(&q) <= 10000);
    arena_fini(&a);
    CHECK(arena_push(&other, 5000, 1, 1) != NULL);
    arena_reset(&other);   /* the largest chunk stays, and its share */
    CHECK(quota_used(&q) >= 5000);
    mem_fault_after(0);
    CHECK(!arena_push(&a, 100, 1, 1) && a.starved && !a.shared_out);
    mem_fault_after(-1);
    arena_fini(&other);
    CHECK_U64(quota_used(&q), 0);
    a.snug = true;
    CHECK(arena_push(&a, 6000, 1, 1) && mem_cost(quota_used(&q)) == arena_held(&a));
    mem_fault_after(0);
    CHECK(!arena_push(&a, 1000, 1, 1) && a.starved && mem_cost(quota_used(&q)) == arena_held(&a));
    mem_fault_after(-1);
    CHECK(!arena_push(&a, 6000, 1, 1) && a.shared_out);
    arena_fini(&a);
    CHECK_U64(quota_used(&q), 0);
}

int main(void)
{
    static const test_case cases[] = {TEST(refuses_overflow_and_limit),
                                      TEST(aligns_zeroes_and_copies),
                                      TEST(nothing_pushed_on_nothing_is_not_a_failure),
                                      TEST(an_unbounded_limit_cannot_wrap),
                                      TEST(chunks_hold_what_was_pushed),
                                      TEST(a_snug_arena_holds_hardly_more_than_was_pushed),
                                      TEST(a_large_block_leaves_the_chunk_that_is_being_filled),
                                      TEST(reset_keeps_the_largest_chunk),
                                      TEST(chunks_are_taken_from_a_share),
                                      TEST(survives_every_failing_allocation)};
    return test_main(cases, COUNTOF(cases));
}
