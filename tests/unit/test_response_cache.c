/* What was kept comes back byte for byte, until it is the one that was used least; bytes are bounded, also by what is
 * still being read; nothing of one owner, type or shape is another's answer. */
#include "models/response_cache.h"
#include "os/thread.h"
#include "test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* An item whose outputs lie here. */
typedef struct {
    queue_item item;
    tensor outputs[2];
    int released;
} given;

static tensor given_output(const queue_item *item, uint32_t i)
{
    return ((const given *)(const void *)item)->outputs[i];
}

static void given_release(queue_item *item) { ((given *)(void *)item)->released++; }
static const queue_source from_here = {given_output, given_release};

static tensor numbers(int64_t *data, int64_t count)
{
    const shape s = shape_make(1, &count);
    return tensor_make(DT_I64, &s, data);
}

static siphash_value asked(const response_cache *c, uint64_t owner, const tensor *inputs, uint32_t count)
{
    siphash h = response_cache_ask(c, owner);
    return response_cache_key(&h, inputs, count);
}

static siphash_value key_of(const response_cache *c, uint64_t owner, int64_t n)
{
    const tensor t = numbers(&n, 1);
    return asked(c, owner, &t, 1);
}

/* Keeps `count` numbers, each n, as the answer to n. */
static void keep(response_cache *c, uint64_t owner, int64_t n, int64_t count)
{
    static _Thread_local int64_t data[1 << 16];
    INVARIANT(count <= (int64_t)COUNTOF(data));
    given g = {.item = {.source = &from_here}};
    for (int64_t i = 0; i < count; i++) data[i] = n;
    g.outputs[0] = numbers(data, count);
    const siphash_value key = key_of(c, owner, n);
    response_cache_put(c, owner, &key, &g.item, 1);
}

static bool has(response_cache *c, uint64_t owner, int64_t n)
{
    queue_item item = {.source = NULL};
    const siphash_value key = key_of(c, owner, n);
    if (!response_cache_find(c, &key, &item)) return false;
    const tensor t = queue_output(&item, 0);
    const int64_t *data = t.data;
    bool good = t.type == DT_I64 && t.shape.rank == 1;
    for (int64_t i = 0; good && i < t.shape.dim[0]; i++) good = data[i] == n;
    CHECK(good);
    queue_release(&item);
    return true;
}

static response_cache *opened(uint64_t bytes)
{
    response_cache *c = NULL;
    err e;
    CHECK(response_cache_new(&c, bytes, &e) == ERR_OK);
    INVARIANT(c);
    return c;
}

static response_cache_stats stats(response_cache *c)
{
    response_cache_stats s;
    response_cache_stats_read(c, &s);
    return s;
}

static void an_answer_comes_back_as_it_was(void)
{
    response_cache *c = opened(1 << 20);
    int64_t ints[] = {1, 2, 3};
    str texts[] = {STR("one"), STR(""), STR("three")};
    const shape s = shape_make(2, (int64_t[]){3, 1});
    given g = {.item = {.source = &from_here}, .outputs = {numbers(ints, 3), tensor_make(DT_STRING, &s, texts)}};
    queue_item item = {.source = NULL};
    const siphash_value key = key_of(c, 0, 5);
    CHECK(!response_cache_find(c, &key, &item) && !item.source);
    response_cache_put(c, 0, &key, &g.item, 2);
    CHECK(g.released == 0);
    ints[1] = 7;
    texts[2] = STR("gone");
    CHECK(response_cache_find(c, &key, &item));
    const tensor a = queue_output(&item, 0), b = queue_output(&item, 1);
    CHECK(a.type == DT_I64 && ((int64_t *)a.data)[1] == 2 && a.shape.dim[0] == 3);
    CHECK(b.type == DT_STRING && b.shape.rank == 2 && str_is(((str *)b.data)[2], "three"));
    CHECK(str_is(((str *)b.data)[0], "one") && ((str *)b.data)[1].len == 0);
    queue_release(&item);
    response_cache_free(c);
}

static void what_was_used_least_goes_first(void)
{
    response_cache *c = opened(10000);   /* room for two of 500 numbers */
    keep(c, 0, 1, 500);
    const uint64_t one = stats(c).bytes;
    keep(c, 0, 1, 500);   /* another was faster, and there would be room */
    CHECK(stats(c).entries == 1 && stats(c).bytes == one);
    keep(c, 0, 2, 500);
    CHECK(has(c, 0, 1) && has(c, 0, 2) && has(c, 0, 1));
    keep(c, 0, 3, 500);
    CHECK(has(c, 0, 1) && !has(c, 0, 2) && has(c, 0, 3));
    CHECK(stats(c).evictions == 1 && stats(c).entries == 2 && stats(c).bytes <= 10000);
    keep(c, 0, 3, 500);   /* nothing has to go for what is known */
    CHECK(stats(c).evictions == 1 && stats(c).entries == 2);
    keep(c, 0, 4, 2000);  /* larger than all of it: nothing has to go for it */
    CHECK(!has(c, 0, 4) && has(c, 0, 1) && has(c, 0, 3));
    keep(c, 0, 5, 1100);  /* for this one both have */
    CHECK(has(c, 0, 5) && !has(c, 0, 1) && !has(c, 0, 3) && stats(c).entries == 1);
    response_cache_free(c);
}

static void what_is_read_counts_until_it_is_not(void)
{
    response_cache *c = opened(10000);
    queue_item item = {.source = NULL};
    keep(c, 0, 1, 1000);
    const siphash_value key = key_of(c, 0, 1);
    CHECK(response_cache_find(c, &key, &item));
    keep(c, 0, 2, 1000);   /* the first one is found no more, but its memory is not free */
    CHECK(!has(c, 0, 1) && !has(c, 0, 2) && stats(c).entries == 0 && stats(c).bytes > 8000);
    CHECK(((int64_t *)queue_output(&item, 0).data)[999] == 1);
    queue_release(&item);
    CHECK_U64(stats(c).bytes, 0);
    keep(c, 0, 2, 1000);
    CHECK(has(c, 0, 2));
    response_cache_free(c);
}

static void an_owner_that_goes_takes_its_answers_along(void)
{
    response_cache *c = opened(64 << 20);   /* in several parts */
    uint64_t a = response_cache_owner(c), b = response_cache_owner(c);
    queue_item item = {.source = NULL};
    CHECK(a != b);
    for (int64_t n = 0; n < 100; n++) {
        keep(c, a, n, 10);
        keep(c, b, n, 20);
    }
    const siphash_value key = key_of(c, a, 7);
    CHECK(response_cache_find(c, &key, &item));
    response_cache_drop(c, a);
    for (int64_t n = 0; n < 100; n++) CHECK(!has(c, a, n) && has(c, b, n));
    CHECK_U64(stats(c).entries, 100);
    CHECK(((int64_t *)queue_output(&item, 0).data)[0] == 7);
    queue_release(&item);
    response_cache_drop(c, b);
    CHECK(stats(c).entries == 0 && stats(c).bytes == 0);
    response_cache_free(c);
}

/* The same bytes throughout. */
static void only_the_same_inputs_meet(void)
{
    response_cache *c = opened(1 << 20);
    static int64_t data[4];
    str one[] = {STR("ab"), STR("c")}, two[] = {STR("a"), STR("bc")};
    const shape shapes[] = {shape_make(1, (int64_t[]){4}), shape_make(2, (int64_t[]){2, 2}),
                            shape_make(2, (int64_t[]){4, 1}), shape_make(1, (int64_t[]){2})};
    const tensor t[] = {tensor_make(DT_I64, &shapes[0], data),    tensor_make(DT_I64, &shapes[1], data),
                        tensor_make(DT_I64, &shapes[2], data),    tensor_make(DT_U64, &shapes[0], data),
                        tensor_make(DT_STRING, &shapes[3], one),  tensor_make(DT_STRING, &shapes[3], two),
                        tensor_make(DT_I64, &shapes[3], data)};
    siphash_value keys[COUNTOF(t) + 2];
    for (size_t i = 0; i < COUNTOF(t); i++) keys[i] = asked(c, 1, &t[i], 1);
    keys[COUNTOF(t)] = asked(c, 2, &t[0], 1);
    keys[COUNTOF(t) + 1] = asked(c, 1, (tensor[]){t[6], t[6]}, 2);
    for (size_t i = 0; i < COUNTOF(keys); i++)
        for (size_t k = 0; k < i; k++) CHECK(memcmp(&keys[i], &keys[k], sizeof keys[i]) != 0);
    const siphash_value again = asked(c, 1, &t[5], 1);
    CHECK(memcmp(&again, &keys[5], sizeof again) == 0);
    response_cache *other = opened(1 << 20);   /* its key is its own */
    const siphash_value elsewhere = asked(other, 1, &t[5], 1);
    CHECK(memcmp(&again, &elsewhere, sizeof again) != 0);
    response_cache_free(other);
    response_cache_free(c);
}

static response_cache *shared;
static _Atomic uint32_t hits;

static void worker(void *ctx)
{
    int64_t seed = (int64_t)(intptr_t)ctx;
    for (int64_t i = 0; i < 20000; i++) {
        int64_t n = (i * 7 + seed) % 50;
        uint64_t owner = (uint64_t)(i / 4096 % 2);
        if (has(shared, owner, n)) atomic_fetch_add(&hits, 1);
        else keep(shared, owner, n, 1 + n % 30);
        if (i % 1000 == 0) response_cache_drop(shared, owner);
    }
}

static void threads_share_it(void)
{
    thread t[4];
    err e;
    shared = opened(9000);
    for (size_t i = 0; i < COUNTOF(t); i++)
        CHECK(thread_start(&t[i], "worker", worker, (void *)(intptr_t)i, &e) == ERR_OK);
    for (size_t i = 0; i < COUNTOF(t); i++) thread_join(&t[i]);
    CHECK(atomic_load(&hits) > 0 && stats(shared).bytes <= 9000 && stats(shared).evictions > 0);
    response_cache_free(shared);
}

static void no_memory_keeps_nothing(void)
{
    FAULT_SWEEP({
        response_cache *c = NULL;
        err e;
        err_code rc = response_cache_new(&c, 64 << 20, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        if (c) keep(c, 0, 1, 10);
        response_cache_free(c);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(an_answer_comes_back_as_it_was),
        TEST(what_was_used_least_goes_first),
        TEST(what_is_read_counts_until_it_is_not),
        TEST(an_owner_that_goes_takes_its_answers_along),
        TEST(only_the_same_inputs_meet),
        TEST(threads_share_it),
        TEST(no_memory_keeps_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
