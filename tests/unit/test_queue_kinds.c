/* Two requests have one number exactly if types and dimensions but the first are equal; the table is bounded, keeps
 * what is in use, and never gives a number out again. */
#include "models/queue_kinds.h"
#include "test.h"

static tensor of(dtype type, uint32_t rank, int64_t first, int64_t second)
{
    shape s = shape_make(rank, (const int64_t[]){first, second, 3});
    return tensor_make(type, &s, NULL);
}

static uint64_t number_of(queue_kinds *k, const tensor *inputs, uint32_t *ret_place)
{
    uint64_t number = 0;
    *ret_place = queue_kinds_take(k, inputs, queue_kinds_hash(inputs, 2, k->padded), &number);
    return *ret_place == QUEUE_KIND_NONE ? 0 : number;
}

static void the_first_dimension_alone_does_not_count(void)
{
    queue_kinds k;
    uint32_t place;
    queue_kinds_init(&k, 2, 0);
    const tensor many[][2] = {
        {of(DT_F32, 2, 1, 5), of(DT_I64, 2, 1, 5)}, {of(DT_F32, 2, 9, 5), of(DT_I64, 2, 9, 5)},
        {of(DT_I32, 2, 1, 5), of(DT_I64, 2, 1, 5)}, {of(DT_F32, 3, 1, 5), of(DT_I64, 2, 1, 5)},
        {of(DT_F32, 2, 1, 6), of(DT_I64, 2, 1, 5)}, {of(DT_F32, 2, 1, 5), of(DT_I64, 2, 1, 6)},
        {of(DT_F32, 1, 1, 0), of(DT_I64, 1, 1, 0)}, {of(DT_F32, 1, 4, 0), of(DT_I64, 1, 4, 0)}};
    static const uint64_t want[] = {1, 1, 2, 3, 4, 5, 6, 6};
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < COUNTOF(many); i++) {
            CHECK_U64(number_of(&k, many[i], &place), want[i]);
            queue_kinds_give(&k, place);
        }
    queue_kinds_fini(&k);
}

static void the_length_of_what_is_padded_does_not_count(void)
{
    queue_kinds k;
    uint32_t place;
    queue_kinds_init(&k, 2, 2);   /* the second input */
    const tensor many[][2] = {{of(DT_F32, 3, 1, 5), of(DT_I64, 3, 1, 5)}, {of(DT_F32, 3, 2, 5), of(DT_I64, 3, 2, 9)},
                              {of(DT_F32, 3, 1, 6), of(DT_I64, 3, 1, 5)}, {of(DT_F32, 3, 1, 5), of(DT_I64, 2, 1, 5)}};
    static const uint64_t want[] = {1, 1, 2, 3};
    for (size_t i = 0; i < COUNTOF(many); i++) {
        CHECK_U64(number_of(&k, many[i], &place), want[i]);
        queue_kinds_give(&k, place);
    }
    queue_kinds_fini(&k);
}

/* What decides is equality: a hash that says nothing changes nothing. */
static void a_hash_that_collides_joins_nobody(void)
{
    queue_kinds k;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    const tensor one[] = {of(DT_F32, 2, 1, 5)}, other[] = {of(DT_F32, 2, 1, 6)}, whole[] = {of(DT_I32, 2, 1, 5)};
    queue_kinds_init(&k, 1, 0);
    uint32_t p = queue_kinds_take(&k, one, 7, &a), q = queue_kinds_take(&k, other, 7, &b),
             r = queue_kinds_take(&k, one, 7, &c), s = queue_kinds_take(&k, whole, 7, &d);
    CHECK(a != b && a == c && p == r && p != q && d != a && d != b && s != p);
    queue_kinds_give(&k, p);
    queue_kinds_give(&k, q);
    queue_kinds_give(&k, r);
    queue_kinds_give(&k, s);
    queue_kinds_fini(&k);
}

static void what_is_in_use_stays_and_the_stalest_makes_room(void)
{
    queue_kinds k;
    uint32_t places[QUEUE_KINDS_MAX], place;
    queue_kinds_init(&k, 2, 0);
    for (int64_t i = 0; i < QUEUE_KINDS_MAX; i++) {
        const tensor t[] = {of(DT_F32, 2, 1, i), of(DT_F32, 2, 1, i)};
        CHECK_U64(number_of(&k, t, &places[i]), (uint64_t)i + 1);
    }
    const tensor more[] = {of(DT_F32, 2, 1, 1000), of(DT_F32, 2, 1, 1)};
    const tensor first[] = {of(DT_F32, 2, 1, 0), of(DT_F32, 2, 1, 0)};
    CHECK_U64(number_of(&k, more, &place), 0);   /* all are in use */
    queue_kinds_give(&k, place);
    queue_kinds_give(&k, places[5]);
    queue_kinds_give(&k, places[0]);
    uint32_t again;
    CHECK_U64(number_of(&k, first, &again), 1);   /* used last */
    queue_kinds_give(&k, again);
    CHECK_U64(number_of(&k, more, &place), QUEUE_KINDS_MAX + 1);
    CHECK_U64(place, places[5]);
    queue_kinds_give(&k, place);
    for (uint32_t i = 0; i < QUEUE_KINDS_MAX; i++)
        if (i != 0 && i != 5) queue_kinds_give(&k, places[i]);
    queue_kinds_fini(&k);
}

static void without_memory_a_kind_is_none(void)
{
    const tensor t[] = {of(DT_F32, 2, 1, 5), of(DT_F32, 2, 1, 5)};
    FAULT_SWEEP({
        queue_kinds k;
        uint32_t place;
        queue_kinds_init(&k, 2, 0);
        uint64_t number = number_of(&k, t, &place);
        CHECK(number == (place == QUEUE_KIND_NONE ? 0 : 1));
        queue_kinds_give(&k, place);
        queue_kinds_fini(&k);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(the_first_dimension_alone_does_not_count),
        TEST(the_length_of_what_is_padded_does_not_count),
        TEST(a_hash_that_collides_joins_nobody),
        TEST(what_is_in_use_stays_and_the_stalest_makes_room),
        TEST(without_memory_a_kind_is_none),
    };
    return test_main(cases, COUNTOF(cases));
}
