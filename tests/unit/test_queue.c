/* Every item that the queue took ends once, with outputs or a reason: on a worker, or at once where the model is cheap;
 * a full queue gives the item back, a cancelled one never runs. */
#include "fake/sys_fake.h"
#include "models/queue.h"
#include "models/queue_run.h"
#include "os/clock.h"
#include "os/thread.h"
#include "serve_rig.h"
#include "test.h"

typedef struct {
    queue_item item;
    tensor x;
    float data[2];
    _Atomic int done;
    err_code code;
    float got;
    const void *on; /* whose stack done() ran on: tells threads apart */
} ask;

static _Thread_local char here;

static void done(queue_item *item, const err *e)
{
    ask *a = (ask *)(void *)item;
    a->code = e ? e->code : ERR_OK;
    a->on = &here;
    if (!e) {
        a->got = ((const float *)queue_output(item, 0).data)[1];
        queue_release(item);
        queue_release(item);   /* once more does nothing */
    }
    atomic_fetch_add(&a->done, 1);
}

static void ask_init(ask *a, float v)
{
    shape s = shape_make(2, (const int64_t[]){1, 2});
    *a = (ask){.data = {1, v}};
    a->x = tensor_make(DT_F32, &s, a->data);
    a->item.inputs = &a->x;
    a->item.done = done;
}

static void wait_done(ask *a)
{
    uint64_t until_us = clock_now_us() + 60000000;
    while (!atomic_load(&a->done) && clock_now_us() < until_us) thread_yield();
    CHECK_U64((uint64_t)atomic_load(&a->done), 1);
}

typedef struct {
    serve_rig rig;
    compute *pool;
    waker *waker;
    turns *turns;
    queue *queue;
    uint32_t level;
    bool strict;
} bench;

static void start_with(bench *b, onnx_build *made, const batcher_opts *batching, uint32_t inline_us)
{
    err e;
    serve_rig_start(&b->rig, made);
    CHECK(compute_new(&b->pool, 2, &e) == ERR_OK && waker_new(&b->waker, &e) == ERR_OK);
    CHECK(turns_new(&b->turns, b->pool, false, &e) == ERR_OK);
    queue_opts o = {.name = STR("m"),
                    .model = b->rig.served.model,
                    .turns = b->turns,
                    .waker = b->waker,
                    .metrics = &b->rig.served.metrics,
                    .batching = *batching,
                    .level = b->level,
                    .strict = b->strict,
                    .inline_us = inline_us};
    CHECK(queue_new(&b->queue, &o, &e) == ERR_OK);
}

static void start(bench *b, uint32_t depth_max, uint32_t inline_us)
{
    onnx_build made;
    serve_rig_twice(&made);
    start_with(b, &made, &(batcher_opts){.mode = BATCH_OFF, .instances = 2, .requests_max = depth_max}, inline_us);
}

static void stop(bench *b)
{
    compute_free(b->pool);
    queue_free(b->queue);
    turns_free(b->turns);
    waker_free(b->waker);
    serve_rig_stop(&b->rig);
}

static const batcher_opts alone = {.mode = BATCH_OFF, .instances = 2, .requests_max = 8};

static void a_run_gives_the_outputs_to_done(void)
{
    bench b = {.level = 0};
    ask a[8];
    err e;
    start(&b, 8, 0);
    for (int i = 0; i < 8; i++) {
        ask_init(&a[i], (float)i);
        CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
    }
    for (int i = 0; i < 8; i++) {
        wait_done(&a[i]);
        CHECK(a[i].code == ERR_OK && a[i].got == (float)(2 * i) && a[i].on != &here);
    }
    metrics_model *m = &b.rig.served.metrics;
    CHECK_U64((uint64_t)atomic_load(&m->waiting), 0);
    CHECK_U64((uint64_t)atomic_load(&m->running), 0);
    for (int i = 0; i < 8; i++) {
        const queue_item *item = &a[i].item;
        CHECK(item->since_ns <= item->start_ns && item->start_ns <= item->end_ns);
    }
    stop(&b);
}

static void what_waited_past_its_deadline_is_not_run(void)
{
    bench b = {.level = 0};
    ask late, early, never;
    err e;
    start(&b, 8, 0);
    ask_init(&late, 1);
    ask_init(&early, 2);
    ask_init(&never, 3);
    late.item.deadline_us = 1;
    early.item.deadline_us = clock_now_us() + 60000000;
    never.item.deadline_us = UINT64_MAX / 1000 + 1;   /* of which nanoseconds do not fit */
    CHECK(queue_push(b.queue, &late.item, &e) == ERR_TIMEOUT && queue_push(b.queue, &early.item, &e) == ERR_OK);
    late.item.timeout_us = 1;   /* the deadline's words come first */
    CHECK(queue_push(b.queue, &late.item, &e) == ERR_TIMEOUT && !queue_timed_out(&late.item));
    CHECK(queue_push(b.queue, &never.item, &e) == ERR_OK);
    wait_done(&never);
    CHECK(never.code == ERR_OK && never.got == 6);
    wait_done(&early);
    CHECK(early.code == ERR_OK && early.got == 4);
    CHECK(late.item.end_ns == 0 && early.item.end_ns > 0);
    stop(&b);
}

static void a_cheap_model_runs_at_once_after_its_first_run(void)
{
    bench b = {.level = 0};
    ask a;
    err e;
    start(&b, 8, 500);
    ask_init(&a, 1);
    CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
    wait_done(&a);
    CHECK(a.on != &here); /* its cost was not known */
    long before = 0;
    bool at_once = false;
    /* A run that was interrupted looks expensive for a while, and the worker may still hold the first execution. */
    for (int i = 0; i < 5000 && !(at_once && mem_allocs() == before); i++) {
        ask_init(&a, 2);
        before = mem_allocs();
        CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
        wait_done(&a);
        CHECK(a.code == ERR_OK && a.got == 4);
        at_once = a.on == &here;
    }
    CHECK(at_once);
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);
    /* A new shape has to be planned: never here. */
    shape s = shape_make(2, (const int64_t[]){0, 2});
    ask_init(&a, 2);
    a.x = tensor_make(DT_F32, &s, a.data);
    a.item.done = done;
    exec *cheap = exec_take_cheap(b.rig.served.model, &s, 500);
    CHECK(!cheap);
    stop(&b);
}

/* Holds both workers, so that items wait. */
static bool await_waiting(const metrics_model *m, int64_t count)
{
    uint64_t until_us = clock_now_us() + 60000000;
    while (atomic_load(&m->waiting) != count && clock_now_us() < until_us) thread_yield();
    return atomic_load(&m->waiting) == count;
}

typedef struct {
    compute_job job;
    _Atomic bool *held;
} holder;

static void hold(compute_job *j)
{
    holder *h = (holder *)(void *)j;
    while (atomic_load(h->held)) thread_pause();
}

static void a_full_queue_gives_the_item_back_and_cancelled_items_never_run(void)
{
    bench b = {.level = 0};
    ask a[4];
    err e;
    start(&b, 3, 0);
    _Atomic bool held = true;
    holder h[2] = {{{.run = hold}, &held}, {{.run = hold}, &held}};
    for (int i = 0; i < 2; i++) CHECK(compute_submit(b.pool, &h[i].job, &e) == ERR_OK);
    for (int i = 0; i < 4; i++) ask_init(&a[i], 1);
    for (int i = 0; i < 3; i++) CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
    CHECK(queue_push(b.queue, &a[3].item, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "queue: waiting requests: the limit is 3, got 4");
    CHECK_U64((uint64_t)atomic_load(&b.rig.served.metrics.waiting), 3);
    atomic_store(&a[1].item.cancelled, true);
    atomic_store(&held, false);
    for (int i = 0; i < 3; i++) {
        wait_done(&a[i]);
        CHECK(a[i].code == (i == 1 ? ERR_CANCELLED : ERR_OK));
    }
    CHECK(atomic_load(&a[3].done) == 0);
    stop(&b);
}

/* Whoever cancels does not know whether it was pushed yet. */
static void who_was_cancelled_before_never_runs(void)
{
    for (uint32_t inline_us = 0; inline_us <= 1000000; inline_us += 1000000) {
        bench b = {.level = 0};
        ask a;
        err e;
        start(&b, 3, inline_us);
        for (int i = 0; i < 2; i++) {   /* the second on this thread, where it may */
            ask_init(&a, 1);
            CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
            wait_done(&a);
        }
        ask_init(&a, 1);
        queue_cancel(&a.item);
        CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
        wait_done(&a);
        CHECK(a.code == ERR_CANCELLED);
        stop(&b);
    }
}

static void only_what_may_pass_later_is_worth_another_try(void)
{
    static exec *taken[MODEL_EXECS_MAX];
    bench b = {.level = 0};
    ask a;
    err e;
    start(&b, 3, 0);
    shape s = shape_make(2, (const int64_t[]){1, 2}), huge = shape_make(2, (const int64_t[]){1 << 30, 2});
    for (int i = 0; i < MODEL_EXECS_MAX; i++) CHECK(exec_take(&taken[i], b.rig.served.model, &s, &e) == ERR_OK);
    ask_init(&a, 1);
    CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
    wait_done(&a);
    CHECK(a.code == ERR_LIMIT);
    for (int i = 0; i < MODEL_EXECS_MAX; i++) exec_give(taken[i]);
    ask_init(&a, 1);
    a.x = tensor_make(DT_F32, &huge, a.data);
    CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
    wait_done(&a);
    CHECK(a.code == ERR_TOO_LARGE);
    stop(&b);
}

/* Waiting is not running: each has its own instants. */
static void the_time_in_the_queue_is_counted_apart(void)
{
    bench b = {.level = 0};
    ask a;
    err e;
    start(&b, 3, 0);
    _Atomic bool held = true;
    holder h[2] = {{{.run = hold}, &held}, {{.run = hold}, &held}};
    for (int i = 0; i < 2; i++) CHECK(compute_submit(b.pool, &h[i].job, &e) == ERR_OK);
    ask_init(&a, 1);
    sys_fake_clock_set(1000000000);
    CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
    sys_fake_clock_set(1050000000);
    atomic_store(&held, false);
    wait_done(&a);
    CHECK_U64(a.item.start_ns - a.item.since_ns, 50000000);
    CHECK_U64(a.item.end_ns - a.item.start_ns, 0);
    stop(&b);
    sys_fake_clock_set(0);
}

static void a_cheap_model_waits_behind_those_who_wait(void)
{
    bench b = {.level = 0};
    ask warm, first, second;
    err e;
    static const float four[4] = {1, 2, 3, 4};
    start(&b, 8, 500);
    exec *cheap = NULL;
    for (int i = 0; i < 5000 && !cheap; i++) {   /* a run that was interrupted looks expensive for a while */
        ask_init(&warm, 1);
        CHECK(queue_push(b.queue, &warm.item, &e) == ERR_OK);
        wait_done(&warm);
        cheap = exec_take_cheap(b.rig.served.model, &warm.x.shape, 500);
    }
    CHECK(cheap);
    if (cheap) exec_give(cheap);
    _Atomic bool held = true;
    holder h[2] = {{{.run = hold}, &held}, {{.run = hold}, &held}};
    for (int i = 0; i < 2; i++) CHECK(compute_submit(b.pool, &h[i].job, &e) == ERR_OK);
    shape s = shape_make(2, (const int64_t[]){2, 2});
    ask_init(&first, 1);
    first.x = tensor_make(DT_F32, &s, (void *)(uintptr_t)four);   /* not planned yet, so it waits */
    ask_init(&second, 2);
    CHECK(queue_push(b.queue, &first.item, &e) == ERR_OK);
    CHECK(queue_push(b.queue, &second.item, &e) == ERR_OK);
    CHECK(atomic_load(&second.done) == 0);
    CHECK_U64((uint64_t)atomic_load(&b.rig.served.metrics.waiting), 2);
    atomic_store(&held, false);
    wait_done(&first);
    wait_done(&second);
    CHECK(first.got == 4 && second.got == 4);
    stop(&b);
}

/* The model's numbers are positions in a list of three. */
static void a_run_that_fails_gives_its_execution_back(void)
{
    bench b = {.level = 0};
    ask a;
    err e;
    onnx_build made;
    onnx_build_start(&made, 17);
    onnx_build_input(&made, "x", DT_F32, "N,2");
    onnx_build_floats(&made, "w", "3", (const float[]){10, 20, 30});
    onnx_build_node(&made, "Cast", "x", "i", "to=7");
    onnx_build_node(&made, "Gather", "w,i", "y", "axis=0");
    onnx_build_output(&made, "y", DT_F32, "N,2");
    start_with(&b, &made, &alone, 0);
    for (int i = 0; i < MODEL_EXECS_MAX + 10; i++) {
        ask_init(&a, 7);
        CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
        wait_done(&a);
        CHECK(a.code == ERR_INVALID);
    }
    ask_init(&a, 2);
    CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
    wait_done(&a);
    CHECK(a.code == ERR_OK && a.got == 30);
    stop(&b);
}

/* Both workers are busy all the while: it is not they who look at the clock, nor who drop what nobody wants. */
static void what_may_not_wait_longer_is_answered_then(void)
{
    bench b = {.level = 0};
    ask a[4];
    err e;
    start(&b, 8, 0);
    _Atomic bool held = true;
    holder h[2] = {{{.run = hold}, &held}, {{.run = hold}, &held}};
    for (int i = 0; i < 2; i++) CHECK(compute_submit(b.pool, &h[i].job, &e) == ERR_OK);
    for (int i = 0; i < 4; i++) ask_init(&a[i], 1);
    uint64_t now_us = clock_now_us();
    a[0].item.deadline_us = now_us + 60000000;
    a[1].item.deadline_us = now_us + 20000;
    a[2].item.timeout_us = 15000;
    for (int i = 0; i < 4; i++) CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
    wait_done(&a[1]);
    wait_done(&a[2]);
    CHECK(clock_now_us() >= now_us + 20000);
    CHECK(a[1].code == ERR_TIMEOUT && !queue_timed_out(&a[1].item) && a[1].item.end_ns == 0);
    CHECK(a[2].code == ERR_UNAVAILABLE && queue_timed_out(&a[2].item));
    queue_cancel(&a[3].item);
    CHECK(atomic_load(&a[3].done) == 1 && a[3].code == ERR_CANCELLED && a[3].on == &here);
    queue_cancel(&a[3].item);   /* it is over: nothing happens */
    CHECK_U64((uint64_t)atomic_load(&b.rig.served.metrics.waiting), 1);
    atomic_store(&held, false);
    wait_done(&a[0]);
    CHECK(a[0].code == ERR_OK && atomic_load(&a[3].done) == 1);
    stop(&b);
}

static void the_most_urgent_runs_first(void)
{
    static const uint64_t priorities[] = {3, 0, 1, 2, 9};
    static const int order[] = {2, 1, 3, 4, 0};   /* level 1 is the default: of no priority, and of one beyond all */
    bench b = {.level = 1};
    ask a[COUNTOF(priorities)];
    err e;
    onnx_build made;
    serve_rig_twice(&made);
    start_with(&b, &made, &(batcher_opts){.mode = BATCH_OFF, .instances = 1, .level_count = 3}, 0);
    _Atomic bool held = true;
    holder h[2] = {{{.run = hold}, &held}, {{.run = hold}, &held}};
    for (int i = 0; i < 2; i++) CHECK(compute_submit(b.pool, &h[i].job, &e) == ERR_OK);
    for (size_t i = 0; i < COUNTOF(a); i++) {
        ask_init(&a[i], (float)i);
        a[i].item.priority = priorities[i];
        CHECK(queue_push(b.queue, &a[i].item, &e) == ERR_OK);
    }
    atomic_store(&held, false);
    for (size_t i = 0; i < COUNTOF(a); i++) wait_done(&a[i]);
    for (size_t i = 1; i < COUNTOF(a); i++) CHECK(a[order[i - 1]].item.end_ns <= a[order[i]].item.start_ns);
    stop(&b);
}

/* Threads read the clock before they meet at the queue, so it hears of an earlier time after a later one. */
static void a_clock_that_was_read_early_does_no_harm(void)
{
    bench b = {.level = 0};
    ask a, late;
    err e;
    onnx_build made;
    serve_rig_twice(&made);
    start_with(&b, &made, &(batcher_opts){.mode = BATCH_ADAPTIVE, .max_batch = 8, .objective_us = 50000}, 0);
    for (int i = 0; i < 200; i++) {
        ask_init(&a, 1);
        ask_init(&late, 2);
        late.item.since_ns = clock_now_ns() - (uint64_t)i * 1000;
        CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK && queue_push(b.queue, &late.item, &e) == ERR_OK);
        wait_done(&a);
        wait_done(&late);
        CHECK(a.code == ERR_OK && a.got == 2 && late.code == ERR_OK && late.got == 4);
    }
    ask_init(&a, 1);   /* whose clock was read behind the worker's */
    a.item.since_ns = clock_now_ns() + 20000000;
    CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
    wait_done(&a);
    CHECK(a.code == ERR_OK && a.item.start_ns >= a.item.since_ns);
    stop(&b);
}

static void a_full_queue_says_when_to_come_again(void)
{
    bench b = {.level = 0};
    ask a[3];
    err e;
    onnx_build made;
    serve_rig_twice(&made);
    start_with(&b, &made, &(batcher_opts){.mode = BATCH_OFF, .instances = 1, .bytes_max = 100}, 0);
    _Atomic bool held = true;
    holder h[2] = {{{.run = hold}, &held}, {{.run = hold}, &held}};
    for (int i = 0; i < 2; i++) CHECK(compute_submit(b.pool, &h[i].job, &e) == ERR_OK);
    for (int i = 0; i < 3; i++) {
        ask_init(&a[i], 1);
        a[i].item.bytes = 50;
    }
    CHECK(queue_push(b.queue, &a[0].item, &e) == ERR_OK && queue_push(b.queue, &a[1].item, &e) == ERR_OK);
    CHECK(queue_push(b.queue, &a[2].item, &e) == ERR_LIMIT && e.retry_ms > 0);
    CHECK_STR(e.text, "queue: waiting bytes: the limit is 100, got 150");
    atomic_store(&held, false);
    wait_done(&a[0]);
    wait_done(&a[1]);
    stop(&b);
}

static void requests_per_second_are_bounded_and_told_when_to_come_again(void)
{
    bench b = {.level = 0};
    ask a[4];
    err e;
    onnx_build made;
    serve_rig_twice(&made);
    sys_fake_clock_set(1000000000);
    start_with(&b, &made, &(batcher_opts){.mode = BATCH_OFF, .rate_per_s = 2, .rate_burst = 2}, 0);
    for (int i = 0; i < 4; i++) ask_init(&a[i], (float)i);
    CHECK(queue_push(b.queue, &a[0].item, &e) == ERR_OK && queue_push(b.queue, &a[1].item, &e) == ERR_OK);
    CHECK(queue_push(b.queue, &a[2].item, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "queue: requests per second: the limit is 2, got 3");
    CHECK_U64(e.retry_ms, 500);
    sys_fake_clock_set(1500000000);
    CHECK(queue_push(b.queue, &a[3].item, &e) == ERR_OK);
    sys_fake_clock_set(0);
    for (int i = 0; i < 4; i++)
        if (i != 2) wait_done(&a[i]);
    stop(&b);
}

/* While a run is in progress somewhere, no loop begins another; while a loop is at it, a worker waits. */
static void instances_bound_the_runs_on_loops_too(void)
{
    for (int strict = 0; strict < 2; strict++) {
        bench b = {.level = 0, .strict = strict};
        ask a;
        err e;
        onnx_build made;
        serve_rig_twice(&made);
        start_with(&b, &made, &(batcher_opts){.mode = BATCH_OFF, .instances = 1}, 500);
        metrics_model *m = &b.rig.served.metrics;
        CHECK_U64((uint64_t)atomic_load(&m->instances), 1);
        exec *cheap = NULL;
        for (int i = 0; i < 5000 && !cheap; i++) {   /* a run that was interrupted looks expensive for a while */
            ask_init(&a, 1);
            CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
            wait_done(&a);
            cheap = exec_take_cheap(b.rig.served.model, &a.x.shape, 500);
        }
        CHECK(cheap);
        if (cheap) exec_give(cheap);
        while (!queue_quiet(b.queue)) thread_pause();
        atomic_fetch_add(&m->running, 1);   /* as another loop's */
        ask_init(&a, 2);
        CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
        CHECK((atomic_load(&a.done) == 0) == strict);
        atomic_fetch_sub(&m->running, 1);
        wait_done(&a);
        CHECK(a.code == ERR_OK && a.got == 4 && (a.on == &here) == !strict);
        while (!queue_quiet(b.queue)) thread_pause();
        CHECK_U64((uint64_t)atomic_load(&m->running), 0);
        stop(&b);
    }
}

/* While something else holds the only run that may be, workers stand before it with what they took: one for the
 * instance, and one more for the crowd that came meanwhile. */
static void for_a_crowded_lane_there_is_a_worker_more(void)
{
    enum { CROWD = 3 };
    for (uint32_t crowded = 0; crowded < 2; crowded++) {
        bench b = {.level = 0, .strict = true};
        ask first, crowd[CROWD];
        err e;
        onnx_build made;
        serve_rig_twice(&made);
        start_with(&b, &made, &(batcher_opts){.max_batch = 4, .instances = 1, .crowded = crowded}, 0);
        metrics_model *m = &b.rig.served.metrics;
        ask_init(&first, 1);
        CHECK(queue_push(b.queue, &first.item, &e) == ERR_OK);   /* what a run takes is known from here on */
        wait_done(&first);
        while (!queue_quiet(b.queue)) thread_pause();
        atomic_fetch_add(&m->running, 1);
        ask_init(&first, 2);
        CHECK(queue_push(b.queue, &first.item, &e) == ERR_OK);
        CHECK(await_waiting(m, 0));
        for (int i = 0; i < CROWD; i++) ask_init(&crowd[i], (float)i);
        for (int i = 0; i < CROWD; i++) CHECK(queue_push(b.queue, &crowd[i].item, &e) == ERR_OK);
        if (crowded) CHECK(await_waiting(m, 0));
        CHECK_U64((uint64_t)atomic_load(&m->waiting), crowded ? 0 : CROWD);
        CHECK(atomic_load(&first.done) == 0);
        atomic_fetch_sub(&m->running, 1);
        wait_done(&first);
        for (int i = 0; i < CROWD; i++) wait_done(&crowd[i]);
        stop(&b);
    }
}

static void whoever_waits_as_long_as_was_said_is_not_told_to_wait_again(void)
{
    bench b = {.level = 0};
    ask a, more;
    err e;
    onnx_build made;
    serve_rig_twice(&made);
    start_with(&b, &made, &(batcher_opts){.mode = BATCH_OFF, .instances = 1, .rate_per_s = 3}, 0);
    ask_init(&a, 1);
    ask_init(&more, 1);
    sys_fake_clock_set(1000000000);
    CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
    CHECK(queue_push(b.queue, &more.item, &e) == ERR_LIMIT);
    CHECK_U64(e.retry_ms, 334);   /* a third of a second, rounded up */
    wait_done(&a);
    sys_fake_clock_set(0);
    stop(&b);
}

static void a_model_may_have_more_inputs_than_usual(void)
{
    enum { INPUTS = 40 };
    bench b = {.level = 0};
    err e;
    onnx_build made;
    char names[8 * INPUTS] = "";
    tensor inputs[INPUTS];
    long live = 0;
    onnx_build_start(&made, 17);
    for (size_t i = 0, at = 0; i < INPUTS; i++) {
        char name[8];
        snprintf(name, sizeof name, "x%zu", i);
        onnx_build_input(&made, name, DT_F32, "N,2");
        at += (size_t)snprintf(names + at, sizeof names - at, i ? ",%s" : "%s", name);
    }
    onnx_build_node(&made, "Sum", names, "y", "");
    onnx_build_output(&made, "y", DT_F32, "N,2");
    start_with(&b, &made, &alone, 500);
    for (int i = 0; i < 10; i++) {
        ask a;
        ask_init(&a, 3);
        for (size_t k = 0; k < INPUTS; k++) inputs[k] = a.x;
        a.item.inputs = inputs;
        CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
        wait_done(&a);
        CHECK(a.code == ERR_OK && a.got == 3 * INPUTS);
        if (i == 4) live = mem_live();
    }
    CHECK_U64((uint64_t)mem_live(), (uint64_t)live);
    stop(&b);
}

static void a_wrong_shape_is_the_items_error(void)
{
    bench b = {.level = 0};
    ask a;
    err e;
    start(&b, 3, 50);
    shape s = shape_make(2, (const int64_t[]){1, 3});
    ask_init(&a, 1);
    a.x = tensor_make(DT_F32, &s, a.data);
    CHECK(queue_push(b.queue, &a.item, &e) == ERR_OK);
    wait_done(&a);
    CHECK(a.code == ERR_INVALID);
    stop(&b);
}

static void construction_survives_every_failed_allocation(void)
{
    bench b = {.level = 0};
    err e;
    start(&b, 1, 0);
    queue_opts o = {.model = b.rig.served.model,
                    .turns = b.turns,
                    .waker = b.waker,
                    .metrics = &b.rig.served.metrics,
                    .batching = alone};
    FAULT_SWEEP({
        queue *made = NULL;
        if (queue_new(&made, &o, &e) == ERR_OK)
            queue_free(made);
        else
            CHECK(e.code == ERR_NOMEM);
    });
    stop(&b);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_run_gives_the_outputs_to_done),
        TEST(what_waited_past_its_deadline_is_not_run), TEST(a_cheap_model_runs_at_once_after_its_first_run),
        TEST(a_full_queue_gives_the_item_back_and_cancelled_items_never_run),
        TEST(who_was_cancelled_before_never_runs),
        TEST(only_what_may_pass_later_is_worth_another_try),
        TEST(the_time_in_the_queue_is_counted_apart),
        TEST(a_cheap_model_waits_behind_those_who_wait),
        TEST(a_run_that_fails_gives_its_execution_back),
        TEST(what_may_not_wait_longer_is_answered_then),
        TEST(the_most_urgent_runs_first),
        TEST(a_clock_that_was_read_early_does_no_harm),
        TEST(a_full_queue_says_when_to_come_again),
        TEST(requests_per_second_are_bounded_and_told_when_to_come_again),
        TEST(instances_bound_the_runs_on_loops_too),
        TEST(for_a_crowded_lane_there_is_a_worker_more),
        TEST(whoever_waits_as_long_as_was_said_is_not_told_to_wait_again),
        TEST(a_model_may_have_more_inputs_than_usual),
        TEST(a_wrong_shape_is_the_items_error),
        TEST(construction_survives_every_failed_allocation),
    };
    return test_main(cases, COUNTOF(cases));
}
