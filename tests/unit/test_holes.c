/* Blocks that live at the same time never overlap, what is given back is used again, and few gaps are remembered. */
#include "engine/holes.h"
#include "test.h"

enum { BLOCKS = 64, ROUNDS = 4000, UNIT = MEM_ALIGN };

typedef struct {
    size_t offset, bytes;
} block;

static void check_apart(const block *b, const holes *h)
{
    for (int i = 0; i < BLOCKS; i++) {
        if (!b[i].bytes) continue;
        CHECK(b[i].offset + b[i].bytes <= h->end);
        for (int k = 0; k < i; k++) {
            if (b[k].bytes) CHECK(b[i].offset + b[i].bytes <= b[k].offset || b[k].offset + b[k].bytes <= b[i].offset);
        }
    }
}

static void live_blocks_never_overlap(uint32_t room)
{
    arena a;
    holes h;
    block b[BLOCKS] = {0};
    uint64_t seed = room;
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(holes_init(&h, &a, room));
    for (int i = 0; i < ROUNDS; i++) {
        block *at = &b[test_rand(&seed) % BLOCKS];
        if (at->bytes) {
            holes_give(&h, at->offset, at->bytes);
            at->bytes = 0;
        } else {
            at->bytes = (1 + test_rand(&seed) % 20) * UNIT;
            at->offset = holes_take(&h, at->bytes);
        }
        CHECK(h.count <= room);
        if (i % 16 == 0) check_apart(b, &h);
    }
    arena_fini(&a);
}

static void with_room_for_all_gaps(void) { live_blocks_never_overlap(BLOCKS); }
static void with_room_for_few_gaps(void) { live_blocks_never_overlap(2); }

static void the_best_fit_is_taken_and_the_end_grows_last(void)
{
    arena a;
    holes h;
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(holes_init(&h, &a, 8));
    size_t big = holes_take(&h, 10 * UNIT), wall = holes_take(&h, UNIT), small = holes_take(&h, 3 * UNIT);
    CHECK(big == 0 && wall == 10 * UNIT && small == 11 * UNIT);
    CHECK(holes_take(&h, UNIT) == 14 * UNIT);
    holes_give(&h, big, 10 * UNIT);
    holes_give(&h, small, 3 * UNIT);
    CHECK_U64(holes_take(&h, 3 * UNIT), small);
    CHECK_U64(holes_take(&h, 4 * UNIT), 0);
    CHECK_U64(holes_take(&h, 6 * UNIT), 4 * UNIT);
    CHECK_U64(h.end, 15 * UNIT);
    holes_give(&h, 14 * UNIT, UNIT);
    CHECK_U64(holes_take(&h, 5 * UNIT), 14 * UNIT);   /* a gap at the end grows by what it lacks */
    CHECK_U64(h.end, 19 * UNIT);
    CHECK(holes_take(&h, SIZE_MAX / 2 / UNIT * UNIT) == SIZE_MAX);
    arena_fini(&a);
}

static void making_it_survives_a_failed_allocation(void)
{
    arena a;
    holes h;
    FAULT_SWEEP({
        arena_init(&a, NULL, 0, 1 << 20);
        CHECK(holes_init(&h, &a, 8) || mem_fault_fired());
        arena_fini(&a);
    });
}

int main(void)
{
    static const test_case cases[] = {TEST(with_room_for_all_gaps), TEST(with_room_for_few_gaps),
                                      TEST(the_best_fit_is_taken_and_the_end_grows_last),
                                      TEST(making_it_survives_a_failed_allocation)};
    return test_main(cases, COUNTOF(cases));
}
