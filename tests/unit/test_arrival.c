/* A closed loop shows itself by those who come back, and is expected back as a flock; a steady stream, however dense,
 * and a burst that answers nobody are not taken for one; clients that left are not waited for any more. */
#include "base/rng.h"
#include "sched/arrival.h"
#include "test.h"

enum { RUN = 1000000 };

/* `rounds` in which `back` of `answered` come back, `lag` apart from the answer on. */
static uint64_t loop(arrival *a, uint64_t now, uint32_t rounds, uint32_t answered, uint32_t back, uint64_t lag)
{
    for (uint32_t i = 0; i < rounds; i++) {
        arrival_answered(a, answered, RUN / 2, now);
        for (uint32_t k = 1; k <= back; k++) arrival_note(a, 1, now + k * lag);
        now += RUN;
    }
    return now;
}

static void a_closed_loop_is_expected_back(void)
{
    arrival a;
    uint64_t until = 0;
    arrival_init(&a);
    CHECK(arrival_expected(&a, 5, &until) == 0);
    uint64_t now = loop(&a, 1000, 30, 8, 8, 5000);
    arrival_answered(&a, 8, RUN / 2, now);
    double all = arrival_expected(&a, now, &until);
    CHECK(all > 7.5 && all <= 8 && until >= now + 40000 && until <= now + 100000);
    for (uint32_t k = 1; k <= 8; k++) {
        arrival_note(&a, 1, now + k * 5000);
        double missing = arrival_expected(&a, now + k * 5000, &until);
        CHECK(k == 8 ? missing == 0 : missing > 7.4 - k && missing <= 8.0 - k);
    }
    CHECK(arrival_expected(&a, now + RUN / 2, &until) == 0);
}

static void who_left_is_not_waited_for(void)
{
    arrival a;
    uint64_t until;
    arrival_init(&a);
    uint64_t now = loop(&a, 1000, 30, 8, 8, 5000);
    now = loop(&a, now, 6, 8, 2, 5000);
    arrival_answered(&a, 8, RUN / 2, now);
    CHECK(arrival_expected(&a, now, &until) == 0);
}

static void a_steady_stream_is_no_flock(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        arrival a;
        rng r;
        uint64_t until, now = 1000;
        rng_init(&r, seed);
        arrival_init(&a);
        for (uint32_t i = 0; i < 200; i++) {   /* 20 come while 20 are computed */
            arrival_answered(&a, 20, RUN / 2, now);
            CHECK(arrival_expected(&a, now, &until) == 0);
            for (uint64_t t = 0; (t += rng_below(&r, RUN / 10)) < RUN;) arrival_note(&a, 2, now + t);
            now += RUN;
        }
        double rate = arrival_rows_per_s(&a);
        CHECK(rate > 20000 && rate < 80000);   /* 20 times two rows in a millisecond */
    }
}

static void two_instances_answer_one_flock(void)
{
    arrival a;
    uint64_t until, now = 1000;
    arrival_init(&a);
    for (uint32_t i = 0; i < 40; i++) {
        arrival_answered(&a, 4, RUN / 2, now);
        for (uint32_t k = 1; k <= 2; k++) arrival_note(&a, 1, now + k * 1000);
        arrival_answered(&a, 4, RUN / 2, now + 3000);
        for (uint32_t k = 1; k <= 6; k++) arrival_note(&a, 1, now + 3000 + k * 1000);
        now += RUN;
    }
    arrival_answered(&a, 4, RUN / 2, now);
    CHECK(arrival_expected(&a, now, &until) > 3);
}

int main(void)
{
    const test_case cases[] = {
        TEST(a_closed_loop_is_expected_back),
        TEST(who_left_is_not_waited_for),
        TEST(a_steady_stream_is_no_flock),
        TEST(two_instances_answer_one_flock),
    };
    return test_main(cases, COUNTOF(cases));
}
