/* Whatever is put and taken out in whatever order: the tree gives its things in order, equal keys as they came, and its
 * depth stays a small multiple of log2(n) even when keys come sorted. */
#include "base/rng.h"
#include "sched/order.h"
#include "test.h"

enum { COUNT = 2000 };

typedef struct {
    uint32_t number;
    order_node at;
} thing;

static thing things[COUNT];

static void reset(order_tree *o)
{
    order_init(o);
    memset(things, 0, sizeof things);
    for (uint32_t i = 0; i < COUNT; i++) things[i].number = i;
}

static void everything_comes_out_in_order(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        order_tree o;
        rng r;
        rng_init(&r, seed);
        reset(&o);
        size_t in = 0;
        for (uint32_t step = 0; step < 3000; step++) {
            thing *t = &things[rng_below(&r, COUNT)];
            if (order_has(&t->at)) {
                order_del(&o, &t->at);
                in--;
            } else {
                order_put(&o, &t->at, (order_key){rng_below(&r, 4), rng_below(&r, 300)});
                in++;
            }
        }
        CHECK_U64(o.count, in);
        size_t seen = 0;
        order_node *before = NULL;
        for (order_node *n = order_first(&o); n; n = order_next(n), seen++) {
            CHECK(!before || order_compare(before->key, n->key) <= 0);
            CHECK(order_compare(order_find(&o, n->key)->key, n->key) == 0);
            before = n;
        }
        CHECK_U64(seen, in);
        CHECK(order_find(&o, (order_key){9, 9}) == NULL);
        while (order_first(&o)) order_del(&o, order_first(&o));
        CHECK_U64(o.count, 0);
    }
}

static void equal_keys_stay_as_they_came(void)
{
    order_tree o;
    reset(&o);
    for (uint32_t i = 0; i < COUNT; i++) order_put(&o, &things[i].at, (order_key){i % 3, 7});
    uint32_t before = 0;
    for (order_node *n = order_find(&o, (order_key){1, 7}); n && n->key.hi == 1; n = order_next(n)) {
        uint32_t number = ORDER_OF(n, thing, at)->number;
        CHECK(number % 3 == 1 && number >= before);
        before = number;
    }
    CHECK(before > COUNT - 4);
    CHECK(ORDER_OF(order_first(&o), thing, at) == &things[0]);
}

static uint32_t depth(const order_node *n)
{
    uint32_t d = 0;
    for (; n; n = n->up) d++;
    return d;
}

static void sorted_keys_do_not_unbalance_it(void)
{
    order_tree o;
    reset(&o);
    uint32_t most = 0;
    for (uint32_t i = 0; i < COUNT; i++) order_put(&o, &things[i].at, (order_key){0, i});
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t d = depth(&things[i].at);
        if (d > most) most = d;
    }
    CHECK(most < 44);   /* 4 * log2(2000) */
    CHECK(ORDER_OF((order_node *)NULL, thing, at) == NULL);
}

int main(void)
{
    const test_case cases[] = {
        TEST(everything_comes_out_in_order),
        TEST(equal_keys_stay_as_they_came),
        TEST(sorted_keys_do_not_unbalance_it),
    };
    return test_main(cases, COUNTOF(cases));
}
