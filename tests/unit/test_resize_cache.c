/* What must hold for weights that are kept: a table is found again by all that it depends on; what somebody has does
 * not change, however many others are asked for meanwhile; one that is too large, or comes while all are in use, is
 * made in the arena; and threads that ask for many at once get theirs. */
#include "base/rng.h"
#include "media/resize_cache.h"
#include "test.h"

#include <pthread.h>

static resize_key key_of(uint32_t source, uint32_t result)
{
    return (resize_key){.x = {source, 0, (float)source, result, 0, result, false, true}, .filter = RESIZE_LANCZOS,
                        .kind = RESIZE_TOPS};
}

static uint64_t sum_of(const tap_table *t)
{
    uint64_t sum = t->count * 31 + t->step;
    for (size_t i = 0; i < t->count; i++) {
        sum = (sum * 31 + t->runs[i].from) * 31 + t->runs[i].count;
        for (size_t k = 0; k < t->step; k++) sum = sum * 31 + (uint32_t)tap_weight(t, i, k);
    }
    return sum;
}

static uint64_t want_of(const resize_key *k)
{
    arena a;
    err e;
    tap_table t;
    arena_init(&a, NULL, 0, 8 << 20);
    CHECK(resize_taps(&k->x, k->filter, &a, &t, &e) == ERR_OK);
    uint64_t sum = sum_of(&t);
    arena_fini(&a);
    return sum;
}

/* From no arena: it must be kept, or there is no room for it. */
static resize_slot *take(const resize_key *k, tap_table *t)
{
    arena none;
    err e;
    resize_slot *s;
    arena_init(&none, NULL, 0, 0);
    CHECK(resize_cache_take(k, &none, t, &s, &e) == ERR_OK && s);
    CHECK(sum_of(t) == want_of(k));
    CHECK(!t->tops == (k->kind != RESIZE_TOPS) && !t->digits == (k->kind != RESIZE_DIGITS));
    return s;
}

/* All slots' tables are others' then. */
static void forget_all(void)
{
    tap_table t;
    for (uint32_t i = 0; i < 2 * RESIZE_SLOTS; i++) {
        resize_key k = key_of(1000 + i, 10);
        resize_cache_give(take(&k, &t));
    }
}

static void a_table_is_found_again_by_all_that_it_depends_on(void)
{
    resize_key first = key_of(300, 40), others[11];
    tap_table t, again;
    forget_all();
    resize_cache_give(take(&first, &t));
    resize_cache_give(take(&first, &again));
    CHECK(t.low == again.low && t.runs == again.runs && t.tops == again.tops);
    for (size_t i = 0; i < COUNTOF(others); i++) others[i] = first;
    others[0].x.source = 301, others[1].x.begin = 1, others[2].x.end = 299, others[3].x.result = 41;
    others[4].x.first = 1, others[4].x.count = 39, others[5].x.count = 39, others[6].x.mirrored = true;
    others[7].x.fours = false, others[7].kind = RESIZE_HALVES, others[8].filter = RESIZE_BICUBIC;
    others[9].kind = RESIZE_DIGITS, others[10].kind = RESIZE_HALVES;
    for (size_t i = 0; i < COUNTOF(others); i++) {
        resize_slot *one = take(&first, &t), *other = take(&others[i], &again);
        CHECK(t.low != again.low && one != other);
        resize_cache_give(one);
        resize_cache_give(other);
    }
    resize_cache_give(take(&others[4], &t));
    resize_cache_give(take(&others[5], &again));
    CHECK(t.low != again.low);     /* two that differ in nothing but where they begin */
}

static void what_somebody_has_does_not_change(void)
{
    resize_key k = key_of(500, 30);
    tap_table t, again;
    forget_all();
    resize_slot *one = take(&k, &t), *two = take(&k, &again);
    CHECK(one == two && t.low == again.low);
    resize_cache_give(one);
    for (uint32_t i = 0; i < 3 * RESIZE_SLOTS; i++) {
        tap_table other;
        resize_key more = key_of(600 + i, 20);
        resize_slot *s = take(&more, &other);
        CHECK(s != two && sum_of(&t) == want_of(&k));
        resize_cache_give(s);
    }
    resize_cache_give(two);
    forget_all();
    CHECK(sum_of(&t) != want_of(&k));
}

static void where_all_are_in_use_it_is_made_in_the_arena(void)
{
    resize_slot *have[RESIZE_SLOTS], *s;
    tap_table t;
    arena a;
    err e;
    resize_key k = key_of(800, 20);
    forget_all();
    for (uint32_t i = 0; i < RESIZE_SLOTS; i++) {
        resize_key more = key_of(700 + i, 20);
        have[i] = take(&more, &t);
        for (uint32_t n = 0; n < i; n++) CHECK(have[n] != have[i]);
    }
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(resize_cache_take(&k, &a, &t, &s, &e) == ERR_OK && !s && sum_of(&t) == want_of(&k) && t.tops);
    resize_cache_give(have[3]);
    CHECK(take(&k, &t) == have[3]);
    for (uint32_t i = 0; i < RESIZE_SLOTS; i++) resize_cache_give(have[i]);
    arena_fini(&a);
}

static void one_that_is_too_large_is_made_in_the_arena(void)
{
    resize_key k = key_of(4000, 4000), small = key_of(400, 40);
    tap_table t;
    resize_slot *s;
    arena a;
    err e;
    for (int turn = 0; turn < 2; turn++) {
        arena_init(&a, NULL, 0, 4 << 20);
        CHECK(resize_cache_take(&k, &a, &t, &s, &e) == ERR_OK && !s && sum_of(&t) == want_of(&k));
        arena_fini(&a);
        arena_init(&a, NULL, 0, 1000);
        CHECK(resize_cache_take(&k, &a, &t, &s, &e) == ERR_LIMIT && !s);
        CHECK_STR(e.text, "resize: no memory for the weights of 4000 pixels");
        arena_fini(&a);
    }
    for (int i = 0; i < 2 * RESIZE_SLOTS; i++) resize_cache_give(take(&small, &t));
    forget_all();                  /* what found no room is in nobody's use */
}

enum { THREADS = 4, TURNS = 400, KEYS = 12 };
static uint64_t wants[KEYS];

static void *many(void *seed)
{
    rng r;
    arena a;
    err e;
    uintptr_t wrong = 0;
    rng_init(&r, (uint64_t)(uintptr_t)seed);
    arena_init(&a, NULL, 0, 1 << 20);
    for (int i = 0; i < TURNS; i++) {
        uint32_t n = (uint32_t)rng_below(&r, KEYS);
        resize_key k = key_of(200 + n, 8);
        tap_table t;
        resize_slot *s;
        wrong += resize_cache_take(&k, &a, &t, &s, &e) || sum_of(&t) != wants[n];
        if (!wrong) resize_cache_give(s);
        arena_reset(&a);
    }
    arena_fini(&a);
    return (void *)wrong;
}

static void threads_get_what_they_ask_for(void)
{
    pthread_t threads[THREADS];
    for (uint32_t n = 0; n < KEYS; n++) {
        resize_key k = key_of(200 + n, 8);
        wants[n] = want_of(&k);
    }
    for (uintptr_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, many, (void *)(i + 1)) == 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *wrong;
        CHECK(pthread_join(threads[i], &wrong) == 0 && !wrong);
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(a_table_is_found_again_by_all_that_it_depends_on),
                                      TEST(what_somebody_has_does_not_change),
                                      TEST(where_all_are_in_use_it_is_made_in_the_arena),
                                      TEST(one_that_is_too_large_is_made_in_the_arena),
                                      TEST(threads_get_what_they_ask_for)};
    return test_main(cases, COUNTOF(cases));
}
