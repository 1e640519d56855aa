/* A kind keeps its lane, and what its batches cost, until `max` others were used since; a lane that is in use never
 * goes; once all are made nothing is allocated. */
#include "sched/lanes.h"
#include "test.h"

static order_key kind(uint64_t n) { return (order_key){n, n}; }

static void touch(lanes *s, uint64_t n) { lanes_unpin(s, lanes_pin(s, kind(n))); }

static void the_stalest_unused_kind_goes(void)
{
    lanes s;
    lanes_init(&s, 3);
    lane *one = lanes_pin(&s, kind(1));
    CHECK(one != NULL);
    cost_curve_add(&one->curve, 1, 1000);
    touch(&s, 2);
    touch(&s, 3);
    touch(&s, 2);
    long made = mem_allocs();
    touch(&s, 4);
    CHECK(!lanes_find(&s, kind(3)) && lanes_find(&s, kind(2)) && lanes_find(&s, kind(4)));
    CHECK(lanes_find(&s, kind(1)) == one && lanes_pin(&s, kind(1)) == one);
    CHECK(lanes_pin(&s, kind(2)) && lanes_pin(&s, kind(4)));
    CHECK(lanes_pin(&s, kind(5)) == NULL && s.count == 3);
    lanes_unpin(&s, one);
    CHECK(lanes_pin(&s, kind(5)) == NULL);
    lanes_unpin(&s, one);
    CHECK(cost_curve_known(&lanes_find(&s, kind(1))->curve));
    lane *five = lanes_pin(&s, kind(5));
    CHECK(five == one && !cost_curve_known(&five->curve) && !lanes_find(&s, kind(1)));
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)made);
    lanes_unpin(&s, five);
    lanes_unpin(&s, lanes_find(&s, kind(2)));
    lanes_unpin(&s, lanes_find(&s, kind(4)));
    lanes_fini(&s);
}

static void no_memory_is_no_lane(void)
{
    FAULT_SWEEP({
        lanes s;
        lanes_init(&s, 2);
        lane *l = lanes_pin(&s, kind(1));
        CHECK(!l == !lanes_find(&s, kind(1)));
        if (l) lanes_unpin(&s, l);
        lanes_fini(&s);
    });
}

int main(void)
{
    const test_case cases[] = {TEST(the_stalest_unused_kind_goes), TEST(no_memory_is_no_lane)};
    return test_main(cases, COUNTOF(cases));
}
