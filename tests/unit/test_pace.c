/* Where answers take longer than planned, the plan shrinks until one in a hundred is late, and comes back when they no
 * longer do; one accident costs little, and what can never be in time does not shrink the plan to nothing. */
#include "base/rng.h"
#include "sched/pace.h"
#include "test.h"

#include <math.h>

enum { OBJECTIVE = 20000000 };

/* The share that is late of answers that take what was planned times 1 / (0.6 + 0.4 * u), in batches of 4. */
static double late_share(pace *p, rng *r, uint32_t batches)
{
    uint32_t late = 0;
    for (uint32_t i = 0; i < batches; i++) {
        uint32_t now = 0;
        for (int k = 0; k < 4; k++) now += (double)pace_ns(p) / (0.6 + 0.4 * rng_unit(r)) > OBJECTIVE;
        pace_note(p, now, 4 - now);
        late += now;
    }
    return late / (4.0 * batches);
}

static void one_in_a_hundred_is_late_in_the_end(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        pace p;
        rng r;
        rng_init(&r, seed);
        pace_init(&p, OBJECTIVE);
        CHECK_U64(pace_ns(&p), OBJECTIVE);
        late_share(&p, &r, 2000);
        double share = late_share(&p, &r, 20000);
        CHECK(share > 0.007 && share < 0.013);
    }
}

static void what_is_in_time_gives_the_plan_back(void)
{
    pace p;
    pace_init(&p, OBJECTIVE);
    pace_note(&p, 64, 0);
    CHECK(p.part > 0.89 && p.part < 0.91);   /* one accident, whoever was in it */
    for (int i = 0; i < 50; i++) pace_note(&p, 8, 0);
    CHECK(p.part > 0.29 && p.part < 0.31);
    for (int i = 0; i < 2500; i++) pace_note(&p, 0, 1);
    CHECK_U64(pace_ns(&p), OBJECTIVE);
}

/* Batches of 1 ms start one after the other for `intervals` of four objectives; in each one head waits for `least`, and
 * somebody is refused. */
static uint64_t heads_wait(pace *p, uint64_t now_ns, uint32_t intervals, uint64_t most_ns, uint64_t least_ns)
{
    enum { RUN = 1000000, RUNS = 4 * OBJECTIVE / RUN };
    for (uint32_t i = 0; i < intervals * RUNS; i++) {
        pace_started(p, i % RUNS == RUNS / 2 ? least_ns : most_ns, RUN, now_ns += RUN);
        if (i % RUNS == RUNS / 3) pace_refused(p);
    }
    return now_ns;
}

static void a_queue_that_stands_is_made_shorter_and_one_that_drains_is_not(void)
{
    pace p;
    pace_init(&p, OBJECTIVE);
    uint64_t now = heads_wait(&p, 0, 20, 15000000, 1000000);   /* a run's length: the next batch was not yet full */
    CHECK_U64(pace_ns(&p), OBJECTIVE);
    now = heads_wait(&p, now, 2, 15000000, 1000001);
    CHECK(p.room > 0.80 && p.room < 0.91);
    now = heads_wait(&p, now, 20, 15000000, 1000001);
    CHECK_U64(pace_ns(&p), OBJECTIVE / 5 * 2);                   /* never less, and the lateness has no part in it */
    pace_note(&p, 64, 0);
    CHECK_U64(pace_ns(&p), OBJECTIVE / 5 * 2);
    now = heads_wait(&p, now, 2, 15000000, 0);
    CHECK(pace_ns(&p) > OBJECTIVE / 100 * 43 && pace_ns(&p) < OBJECTIVE / 100 * 49);
    now = heads_wait(&p, now, 20, 15000000, 0);
    CHECK_U64(pace_ns(&p), (uint64_t)(OBJECTIVE * p.part));
}

/* A closed loop of clients: everybody waits, and nobody in vain. */
static void a_queue_in_which_all_find_room_is_left_alone(void)
{
    pace p;
    pace_init(&p, OBJECTIVE);
    uint64_t now = 0;
    for (int i = 0; i < 1000; i++) pace_started(&p, 15000000, 1000000, now += 1000000);
    CHECK_U64(pace_ns(&p), OBJECTIVE);
    now = heads_wait(&p, now, 20, 15000000, 15000000);
    CHECK_U64(pace_ns(&p), OBJECTIVE / 5 * 2);
    for (int i = 0; i < 1000; i++) pace_started(&p, 15000000, 1000000, now += 1000000);
    CHECK_U64(pace_ns(&p), OBJECTIVE);
}

/* After a pause the first start tells nothing of the time between: one step at most is taken on what was before. */
static void a_pause_is_no_queue(void)
{
    pace p;
    pace_init(&p, OBJECTIVE);
    uint64_t now = heads_wait(&p, 0, 20, 15000000, 2000000) + 60 * UINT64_C(1000000000);
    for (int i = 0; i < 15; i++) pace_started(&p, 0, 1000000, now += 5 * OBJECTIVE);
    CHECK_U64(pace_ns(&p), OBJECTIVE);
}

static void no_objective_stays_none(void)
{
    pace p;
    pace_init(&p, 0);
    pace_note(&p, 5, 5);
    pace_started(&p, 10, 5, 0);
    pace_started(&p, 10, 5, 1);
    CHECK_U64(pace_ns(&p), 0);
}

int main(void)
{
    const test_case cases[] = {
        TEST(one_in_a_hundred_is_late_in_the_end),
        TEST(what_is_in_time_gives_the_plan_back),
        TEST(a_queue_that_stands_is_made_shorter_and_one_that_drains_is_not),
        TEST(a_queue_in_which_all_find_room_is_left_alone),
        TEST(a_pause_is_no_queue),
        TEST(no_objective_stays_none),
    };
    return test_main(cases, COUNTOF(cases));
}
