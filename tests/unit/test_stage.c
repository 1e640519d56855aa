/* Every item that stage_push() took is taken once, in order for one worker, by at most workers_max workers at a time,
 * however many threads push; beyond depth_max a push is refused and the item stays the caller's. */
#include "async/stage.h"
#include "os/clock.h"
#include "fake/sys_fake.h"
#include "os/thread.h"
#include "test.h"

#include <errno.h>
#include <stdatomic.h>

enum { ITEMS = 20000, PUSHERS = 3 };

typedef struct {
    stage_item link;
    uint32_t number;
} item;

typedef struct {
    _Atomic uint32_t taken, working, working_max;
    _Atomic bool held;
    _Atomic uint32_t last;      /* in order is asked of one worker only; several write these at once */
    _Atomic bool in_order;
} record;

static void serve(void *ctx, stage *s)
{
    record *r = ctx;
    uint32_t now = atomic_fetch_add(&r->working, 1) + 1, max = atomic_load(&r->working_max);
    while (now > max && !atomic_compare_exchange_weak(&r->working_max, &max, now)) {}
    while (atomic_load(&r->held)) thread_yield();
    item *i = (item *)(void *)stage_take(s);
    if (i) {
        if (i->number < r->last) r->in_order = false;
        r->last = i->number;
        atomic_fetch_add(&r->taken, 1);
    }
    atomic_fetch_sub(&r->working, 1);
}

static void wait_for(_Atomic uint32_t *count, uint32_t want)
{
    uint64_t until_us = clock_now_us() + 10000000;
    while (atomic_load(count) < want && clock_now_us() < until_us) thread_yield();
    CHECK_U64(atomic_load(count), want);
}

static void one_worker_takes_items_in_order(void)
{
    static item items[ITEMS];
    record r = {.in_order = true};
    compute *pool = NULL;
    stage *s = NULL;
    err e;
    CHECK(compute_new(&pool, 2, &e) == ERR_OK);
    CHECK(stage_new(&s, &(stage_opts){.pool = pool, .depth_max = ITEMS, .workers_max = 1, .serve = serve, .ctx = &r},
                    &e) == ERR_OK);
    for (uint32_t i = 0; i < ITEMS; i++) {
        items[i].number = i;
        CHECK(stage_push(s, &items[i].link, &e) == ERR_OK);
    }
    wait_for(&r.taken, ITEMS);
    CHECK(r.in_order);
    CHECK_U64(atomic_load(&r.working_max), 1);
    compute_free(pool);
    CHECK(stage_idle(s));
    stage_free(s);
}

typedef struct {
    stage *stage;
    item *items;
    _Atomic uint32_t pushed;
} pusher;

static void push_all(void *ctx)
{
    pusher *p = ctx;
    err e;
    for (uint32_t i = 0; i < ITEMS; i++) {
        while (stage_push(p->stage, &p->items[i].link, &e) == ERR_LIMIT) thread_yield();
        atomic_fetch_add(&p->pushed, 1);
    }
}

static void nothing_is_lost_between_threads(void)
{
    static item items[PUSHERS][ITEMS];
    record r = {.in_order = true};
    compute *pool = NULL;
    stage *s = NULL;
    thread threads[PUSHERS];
    pusher pushers[PUSHERS];
    err e;
    CHECK(compute_new(&pool, 3, &e) == ERR_OK);
    CHECK(stage_new(&s, &(stage_opts){.pool = pool, .depth_max = 16, .workers_max = 2, .serve = serve, .ctx = &r},
                    &e) == ERR_OK);
    for (int t = 0; t < PUSHERS; t++) {
        pushers[t] = (pusher){.stage = s, .items = items[t]};
        CHECK(thread_start(&threads[t], "pusher", push_all, &pushers[t], &e) == ERR_OK);
    }
    for (int t = 0; t < PUSHERS; t++) thread_join(&threads[t]);
    wait_for(&r.taken, PUSHERS * ITEMS);
    CHECK(atomic_load(&r.working_max) <= 2);
    compute_free(pool);
    stage_free(s);
}

static stage *hoped_for;
static item late_one;

static void push_late_one(void)
{
    err e;
    CHECK(stage_push(hoped_for, &late_one.link, &e) == ERR_OK);
}

/* The pool's only thread cannot be started; while the push that hired it finds out, another one counts on it. */
static void what_was_taken_in_is_served_though_no_worker_comes(void)
{
    item first = {.number = 0};
    record r = {.in_order = true};
    compute *pool = NULL;
    err e;
    late_one.number = 1;
    CHECK(compute_new(&pool, 1, &e) == ERR_OK);
    stage_opts o = {.pool = pool, .depth_max = 4, .workers_max = 1, .serve = serve, .ctx = &r};
    CHECK(stage_new(&hoped_for, &o, &e) == ERR_OK);
    sys_fake_script((sys_fault[]){{SYS_thread_start, .times = 1, .result = -EAGAIN, .then = push_late_one}}, 1);
    CHECK(stage_push(hoped_for, &first.link, &e) != ERR_OK);
    sys_fake_script(NULL, 0);
    CHECK_U64(r.taken, 1);
    CHECK_U64(r.last, late_one.number);
    CHECK(stage_idle(hoped_for));
    CHECK(stage_push(hoped_for, &first.link, &e) == ERR_OK);   /* the worker is free for the next */
    wait_for(&r.taken, 2);
    compute_free(pool);
    stage_free(hoped_for);
}

static void a_full_stage_refuses_with_both_numbers(void)
{
    item items[4] = {{.number = 0}};
    record r = {.in_order = true, .held = true};
    compute *pool = NULL;
    stage *s = NULL;
    err e;
    CHECK(compute_new(&pool, 1, &e) == ERR_OK);
    CHECK(stage_new(&s, &(stage_opts){.pool = pool, .depth_max = 3, .workers_max = 1, .serve = serve, .ctx = &r}, &e) ==
          ERR_OK);
    for (int i = 0; i < 3; i++) CHECK(stage_push(s, &items[i].link, &e) == ERR_OK);
    CHECK(stage_push(s, &items[3].link, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "queue is full: 3 requests wait, the limit is 3");
    atomic_store(&r.held, false);
    wait_for(&r.taken, 3);
    compute_free(pool);
    stage_free(s);
}

/* A pool whose only worker is held and whose line is full: it takes no job until it is let go. */
typedef struct {
    compute *pool;
    compute_job held, *fill;
    _Atomic bool letting_go;
    _Atomic uint32_t stuck;
} full_pool;

static full_pool *the_full_pool;

static void hold(compute_job *j)
{
    (void)j;
    atomic_store(&the_full_pool->stuck, 1);
    while (!atomic_load(&the_full_pool->letting_go)) thread_yield();
}

static void nothing(compute_job *j) { (void)j; }

static void full_pool_start(full_pool *f)
{
    err e;
    *f = (full_pool){.held = {.run = hold}, .fill = mem_new0(compute_job, COMPUTE_QUEUE_MAX)};
    the_full_pool = f;
    CHECK(compute_new(&f->pool, 1, &e) == ERR_OK);
    CHECK(compute_submit(f->pool, &f->held, &e) == ERR_OK);
    wait_for(&f->stuck, 1);
    for (size_t i = 0; i < COMPUTE_QUEUE_MAX; i++) {
        f->fill[i].run = nothing;
        CHECK(compute_submit(f->pool, &f->fill[i], &e) == ERR_OK);
    }
}

static void full_pool_stop(full_pool *f)
{
    atomic_store(&f->letting_go, true);
    compute_free(f->pool);
    mem_free(f->fill);
}

static void a_pool_that_takes_no_job_refuses_the_push(void)
{
    full_pool f;
    record r = {.in_order = true};
    stage *s = NULL;
    item i = {.number = 0};
    err e;
    full_pool_start(&f);
    CHECK(stage_new(&s, &(stage_opts){.pool = f.pool, .depth_max = 4, .workers_max = 2, .serve = serve, .ctx = &r},
                    &e) == ERR_OK);
    for (int k = 0; k < 3; k++) {
        CHECK(stage_push(s, &i.link, &e) == ERR_LIMIT);
        CHECK_STR(e.text, "compute: too many jobs: expected at most 65536 queued, got 65537");
        CHECK(stage_idle(s));
    }
    full_pool_stop(&f);
    CHECK_U64(r.taken, 0);
    stage_free(s);
}

static void construction_survives_every_failed_allocation(void)
{
    compute *pool = NULL;
    err e;
    record r = {0};
    CHECK(compute_new(&pool, 1, &e) == ERR_OK);
    stage_opts o = {.pool = pool, .depth_max = 1, .workers_max = 1, .serve = serve, .ctx = &r};
    FAULT_SWEEP({
        stage *made = NULL;
        if (stage_new(&made, &o, &e) == ERR_OK) stage_free(made);
    });
    stage *s = NULL;
    CHECK(stage_new(&s, &(stage_opts){.pool = pool, .depth_max = 0, .workers_max = 1, .serve = serve}, &e) ==
          ERR_INVALID);
    compute_free(pool);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(one_worker_takes_items_in_order),
        TEST(nothing_is_lost_between_threads),
        TEST(what_was_taken_in_is_served_though_no_worker_comes),
        TEST(a_full_stage_refuses_with_both_numbers),
        TEST(a_pool_that_takes_no_job_refuses_the_push),
        TEST(construction_survives_every_failed_allocation),
    };
    return test_main(cases, COUNTOF(cases));
}
