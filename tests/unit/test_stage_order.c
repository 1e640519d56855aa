/* Whoever pushes an item just after somebody else gave the stage's lock back finds the stage in order: the item has a
 * worker.  This lock lets another push in after each of its releases, so that no order is left to chance. */
#include "async/stage.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/thread.h"
#include "test.h"

#include <stdatomic.h>

enum { MOMENTS = 3, LOST_US = 10000000 };   /* the way of an item: it is pushed, it is taken, its worker leaves */

static stage *under_test;
static stage_item items[2];
static const lock *watched;
static _Atomic int moments_left = -1;   /* releases until the second item is pushed; < 0 = it was */
static _Atomic uint32_t taken;

/* ---- in place of os/lock.c ---- */

void lock_init(lock *l)
{
    INVARIANT(pthread_mutex_init(&l->mutex, NULL) == 0);
    watched = l;   /* the stage's is the last one */
}

void lock_fini(lock *l) { INVARIANT(pthread_mutex_destroy(&l->mutex) == 0); }
void lock_take(lock *l) { INVARIANT(pthread_mutex_lock(&l->mutex) == 0); }

void lock_give(lock *l)
{
    err e;
    INVARIANT(pthread_mutex_unlock(&l->mutex) == 0);
    if (l != watched || atomic_load(&moments_left) < 0 || atomic_fetch_sub(&moments_left, 1) != 0) return;
    CHECK(stage_push(under_test, &items[1], &e) == ERR_OK);
}

/* ---- the test ---- */

static void serve(void *ctx, stage *s)
{
    (void)ctx;
    if (stage_take(s)) atomic_fetch_add(&taken, 1);
}

static void an_item_is_taken_whenever_it_comes(void)
{
    for (int k = 0; k < MOMENTS && !test_failures; k++) {
        compute *pool = NULL;
        err e;
        uint64_t until_us = clock_now_us() + LOST_US;
        CHECK(compute_new(&pool, 2, &e) == ERR_OK);
        stage_opts o = {.pool = pool, .depth_max = 4, .workers_max = 1, .serve = serve};
        CHECK(stage_new(&under_test, &o, &e) == ERR_OK);
        atomic_store(&taken, 0);
        atomic_store(&moments_left, k);
        CHECK(stage_push(under_test, &items[0], &e) == ERR_OK);
        while (atomic_load(&taken) < 2 && clock_now_us() < until_us) thread_yield();
        CHECK_U64(atomic_load(&taken), 2);
        CHECK(atomic_load(&moments_left) < 0);
        compute_free(pool);
        if (!test_failures) stage_free(under_test);
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(an_item_is_taken_whenever_it_comes)};
    return test_main(cases, COUNTOF(cases));
}
