/* Property: what is out never passes the maximum, whoever takes at the same time, and what was given back can be taken
 * again, to the last unit. */
#include "base/quota.h"
#include "os/thread.h"
#include "test.h"

enum { THREADS = 4, ROUNDS = 20000, MAX = 1000 };

static void taking_is_all_or_nothing(void)
{
    quota q;
    quota_init(&q, MAX);
    CHECK(quota_take(&q, 0) && quota_take(&q, 600));
    CHECK(!quota_take(&q, 401) && !quota_take(&q, SIZE_MAX) && !quota_has(&q, 401));
    CHECK_U64(quota_used(&q), 600);
    CHECK_U64(quota_refused(&q), 3);
    CHECK(quota_has(&q, 400) && quota_take(&q, 400) && !quota_take(&q, 1));
    quota_give(&q, 1000);
    CHECK(quota_has(&q, MAX) && quota_take(&q, MAX));
    CHECK_U64(quota_used(&q), MAX);
    CHECK_U64(quota_refused(&q), 4);
}

static void what_grows_and_shrinks_has_as_much_out_as_it_is_large(void)
{
    quota q;
    size_t a = 0, b = 0;
    quota_init(&q, MAX);
    CHECK(quota_follow(&q, &a, 600) && quota_follow(&q, &b, 300) && quota_follow(&q, &a, 600));
    CHECK(!quota_follow(&q, &b, 401));
    CHECK(a == 600 && b == 300 && quota_used(&q) == 900);
    CHECK_U64(quota_refused(&q), 1);
    CHECK(quota_follow(&q, &a, 10) && quota_follow(&q, &b, 990));
    CHECK_U64(quota_used(&q), MAX);
    quota_give_all(&q, &b);
    quota_give_all(&q, &b);
    CHECK(b == 0 && quota_used(&q) == 10);
    CHECK(quota_follow(NULL, &b, SIZE_MAX) && b == 0);
}

typedef struct {
    thread thread;
    quota *q;
    uint64_t refused, passed;
} taker;

static void take_and_give(void *ctx)
{
    taker *t = ctx;
    for (size_t i = 0; i < ROUNDS; i++) {
        size_t n = i % 700;
        t->passed += quota_used(t->q) > MAX;
        if (quota_take(t->q, n))
            quota_give(t->q, n);
        else
            t->refused++;
    }
}

static void threads_share_it_exactly(void)
{
    err e;
    quota q;
    taker takers[THREADS];
    uint64_t refused = 0;
    quota_init(&q, MAX);
    for (size_t i = 0; i < THREADS; i++) {
        takers[i] = (taker){.q = &q};
        CHECK(thread_start(&takers[i].thread, "taker", take_and_give, &takers[i], &e) == ERR_OK);
    }
    for (size_t i = 0; i < THREADS; i++) {
        thread_join(&takers[i].thread);
        refused += takers[i].refused;
        CHECK_U64(takers[i].passed, 0);
    }
    CHECK_U64(quota_used(&q), 0);
    CHECK_U64(quota_refused(&q), refused);
    CHECK(quota_take(&q, MAX));
}

int main(void)
{
    static const test_case cases[] = {
        TEST(taking_is_all_or_nothing),
        TEST(what_grows_and_shrinks_has_as_much_out_as_it_is_large),
        TEST(threads_share_it_exactly),
    };
    return test_main(cases, COUNTOF(cases));
}
