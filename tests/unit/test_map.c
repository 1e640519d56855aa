/* A map agrees with a plain table after any mix of puts and removals, and a put without memory changes nothing. */
#include "base/map.h"
#include "test.h"

enum { KEYS = 500 };
static char names[KEYS][8];

static str name(size_t i)
{
    snprintf(names[i], sizeof names[i], "k%zu", i);
    return str_of(names[i]);
}

static void an_empty_map_answers(void)
{
    map m;
    size_t at = 0;
    str key;
    map_init(&m);
    CHECK(map_get(&m, STR("a")) == NULL && map_del(&m, STR("a")) == NULL && map_next(&m, &at, &key) == NULL);
    CHECK_U64(map_count(&m), 0);
    map_fini(&m);
}

static void agrees_with_a_plain_table(void)
{
    map m;
    uint64_t seed = 3;
    int values[4];
    void *table[KEYS] = {NULL};
    size_t count = 0;
    map_init(&m);
    for (int step = 0; step < 200000; step++) {
        uint64_t r = test_rand(&seed);
        size_t i = (size_t)(r >> 32) % (step < 100000 ? KEYS : 20);   /* first grow, then churn few keys among graves */
        if (r & 1) {
            void *value = &values[r >> 1 & 3];
            CHECK(map_put(&m, name(i), value));
            count += table[i] == NULL;
            table[i] = value;
        } else {
            CHECK(map_del(&m, name(i)) == table[i]);
            count -= table[i] != NULL;
            table[i] = NULL;
        }
        CHECK(map_get(&m, name(i)) == table[i] && map_count(&m) == count);
    }
    CHECK(m.room <= 4 * KEYS);   /* graves are reclaimed, not grown over */
    size_t at = 0, seen = 0;
    str key;
    for (void *v; (v = map_next(&m, &at, &key)) != NULL; seen++) CHECK(map_get(&m, key) == v);
    CHECK_U64(seen, count);
    for (size_t i = 0; i < KEYS; i++) CHECK(map_get(&m, name(i)) == table[i]);
    map_fini(&m);
}

static void replacing_keeps_one_entry_under_the_new_key(void)
{
    map m;
    int a, b;
    char first[] = "same", second[] = "same";
    map_init(&m);
    CHECK(map_put(&m, str_of(first), &a) && map_put(&m, str_of(second), &b));
    first[0] = 'x';   /* the first key's memory may go once it was replaced */
    CHECK(map_get(&m, STR("same")) == &b);
    CHECK_U64(map_count(&m), 1);
    map_fini(&m);
}

static void putting_and_removing_one_key_for_ever_needs_no_memory(void)
{
    map m;
    int v;
    map_init(&m);
    CHECK(map_put(&m, STR("k"), &v) && map_del(&m, STR("k")) == &v);
    long before = mem_allocs();
    for (int i = 0; i < 1000; i++) CHECK(map_put(&m, STR("k"), &v) && map_del(&m, STR("k")) == &v);
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);
    map_fini(&m);
}

static void a_put_without_memory_changes_nothing(void)
{
    FAULT_SWEEP({
        map m;
        int v;
        size_t put = 0;
        map_init(&m);
        while (put < KEYS && map_put(&m, name(put), &v)) put++;
        CHECK((put == KEYS) == !mem_fault_fired());
        CHECK_U64(map_count(&m), put);
        for (size_t i = 0; i < KEYS; i++) CHECK((map_get(&m, name(i)) != NULL) == (i < put));
        map_fini(&m);
    })
}

int main(void)
{
    static const test_case cases[] = {TEST(an_empty_map_answers), TEST(agrees_with_a_plain_table),
                                      TEST(replacing_keeps_one_entry_under_the_new_key),
                                      TEST(putting_and_removing_one_key_for_ever_needs_no_memory),
                                      TEST(a_put_without_memory_changes_nothing)};
    return test_main(cases, COUNTOF(cases));
}
