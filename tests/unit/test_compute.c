/* What must hold for the compute pool: every index of compute_for() runs exactly once, whoever calls it and however
 * many call at the same time; jobs run once each, begin in the order of their submission and are answered on the loop
 * that asked; an idle pool sleeps; constructors survive every failed allocation. */
#include "async/compute.h"
#include "fake/sys_fake.h"
#include "os/futex.h"
#include "os/thread.h"

#include <stdatomic.h>

enum { CELLS = 1000 };

typedef struct {
    _Atomic uint32_t hits[CELLS];
    compute *pool;
} board;

static void hit(void *ctx, uint32_t i)
{
    board *b = ctx;
    atomic_fetch_add(&b->hits[i], 1);
}

static bool each_once(board *b, uint32_t count)
{
    bool ok = true;
    for (uint32_t i = 0; i < CELLS; i++) ok &= atomic_exchange(&b->hits[i], 0) == (i < count);
    return ok;
}

static void every_index_runs_exactly_once(void)
{
    err e;
    board b = {0};
    static const uint32_t threads[] = {1, 2, 3, 8};
    for (size_t t = 0; t < COUNTOF(threads); t++) {
        CLEANUP(compute) compute *c = NULL;
        CHECK(compute_new(&c, threads[t], &e) == ERR_OK);
        CHECK_U64(compute_threads(c), threads[t]);
        for (uint32_t count = 0; count < 70; count++) {
            compute_for(c, count, hit, &b);
            CHECK(each_once(&b, count));
        }
        compute_for(c, CELLS, hit, &b);
        CHECK(each_once(&b, CELLS));
    }
    compute_for(NULL, CELLS, hit, &b);
    CHECK(each_once(&b, CELLS));
}

static void nest(void *ctx, uint32_t i)
{
    board *b = ctx;
    if (i == 3) compute_for(b->pool, 50, hit, b);
}

static void a_region_inside_a_region_runs_on_its_caller(void)
{
    err e;
    CLEANUP(compute) compute *c = NULL;
    CHECK(compute_new(&c, 3, &e) == ERR_OK);
    board b = {.pool = c};
    for (int round = 0; round < 100; round++) {
        compute_for(c, 8, nest, &b);
        CHECK(each_once(&b, 50));
    }
}

enum { CALLERS = 6, ROUNDS = 400 };

typedef struct {
    thread thread;
    board board;
    uint32_t number;
    bool ok;
} caller;

static void call_often(void *ctx)
{
    caller *k = ctx;
    k->ok = true;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t count = 1 + (round * 7 + k->number * 13) % 97;
        compute_for(k->board.pool, count, hit, &k->board);
        k->ok &= each_once(&k->board, count);
    }
}

static void many_callers_share_one_pool(void)
{
    err e;
    CLEANUP(compute) compute *c = NULL;
    CHECK(compute_new(&c, 4, &e) == ERR_OK);
    static caller callers[CALLERS];
    for (uint32_t i = 0; i < CALLERS; i++) {
        callers[i].number = i;
        callers[i].board.pool = c;
        CHECK(thread_start(&callers[i].thread, "caller", call_often, &callers[i], &e) == ERR_OK);
    }
    for (uint32_t i = 0; i < CALLERS; i++) {
        thread_join(&callers[i].thread);
        CHECK(callers[i].ok);
    }
}

typedef struct {
    compute_job job;
    board board;
    _Atomic uint32_t *left;
    uint32_t order;
    bool ok;
} task;

static _Atomic uint32_t begun;

static void run_task(compute_job *j)
{
    task *t = (task *)(void *)j;
    t->order = atomic_fetch_add(&begun, 1);
    t->ok = true;
    for (uint32_t count = 0; count < 40; count++) {
        compute_for(t->board.pool, count, hit, &t->board);
        t->ok &= each_once(&t->board, count);
    }
    if (t->left && atomic_fetch_sub(t->left, 1) == 1) (void)futex_wake(t->left, 1);
}

static void await_zero(_Atomic uint32_t *word)
{
    for (uint32_t n; (n = atomic_load(word)) != 0;) (void)futex_wait(word, n, FUTEX_FOREVER);
}

static void jobs_share_their_indices_with_idle_workers(void)
{
    err e;
    enum { TASKS = 24 };
    static task tasks[TASKS];
    for (uint32_t threads = 1; threads <= 4; threads++) {
        CLEANUP(compute) compute *c = NULL;
        _Atomic uint32_t left = TASKS;
        CHECK(compute_new(&c, threads, &e) == ERR_OK);
        for (size_t i = 0; i < TASKS; i++) {
            tasks[i] = (task){.job.run = run_task, .board.pool = c, .left = &left};
            CHECK(compute_submit(c, &tasks[i].job, &e) == ERR_OK);
        }
        await_zero(&left);
        for (size_t i = 0; i < TASKS; i++) CHECK(tasks[i].ok);
        CHECK_U64(compute_queued(c), 0);
    }
}

static void jobs_begin_in_the_order_of_submission_and_all_run_before_the_pool_is_gone(void)
{
    err e;
    enum { TASKS = 50 };
    static task tasks[TASKS];
    compute *c = NULL;
    atomic_store(&begun, 0);
    CHECK(compute_new(&c, 1, &e) == ERR_OK);
    for (size_t i = 0; i < TASKS; i++) {
        tasks[i] = (task){.job.run = run_task, .board.pool = c};
        CHECK(compute_submit(c, &tasks[i].job, &e) == ERR_OK);
    }
    compute_free(c);
    for (size_t i = 0; i < TASKS; i++) {
        CHECK(tasks[i].ok);
        CHECK_U64(tasks[i].order, i);
    }
}

typedef struct {
    compute_job job;
    uint32_t *answered, total;
    bool on_worker;
} question;

static void answer(loop *on, loop_msg *m)
{
    question *q = (question *)(void *)((char *)m - offsetof(question, job.done));
    if (++*q->answered == q->total) loop_stop(on);
}

static void ask(compute_job *j) { ((question *)(void *)j)->on_worker = true; }

static void answers_come_back_on_the_loop_that_asked(void)
{
    err e;
    enum { QUESTIONS = 300 };
    static question questions[QUESTIONS];
    uint32_t answered = 0;
    CLEANUP(loop) loop *l = NULL;
    CLEANUP(compute) compute *c = NULL;
    CHECK(loop_new(&l, 1, &e) == ERR_OK);
    CHECK(compute_new(&c, 3, &e) == ERR_OK);
    for (size_t i = 0; i < QUESTIONS; i++) {
        questions[i] = (question){.job = {.run = ask, .reply_to = l, .done.run = answer}, .answered = &answered,
                                  .total = QUESTIONS};
        CHECK(compute_submit(c, &questions[i].job, &e) == ERR_OK);
    }
    CHECK(loop_run(l, &e) == ERR_OK);
    CHECK_U64(answered, QUESTIONS);
    for (size_t i = 0; i < QUESTIONS; i++) CHECK(questions[i].on_worker);
}

static _Atomic uint32_t gate;

static void hold(compute_job *j)
{
    (void)j;
    while (atomic_load(&gate) == 0) (void)futex_wait(&gate, 0, FUTEX_FOREVER);
}

static void nothing(compute_job *j) { (void)j; }

static void a_full_queue_is_refused_with_both_numbers(void)
{
    err e;
    static compute_job held, rest[COMPUTE_QUEUE_MAX + 1];
    CLEANUP(compute) compute *c = NULL;
    atomic_store(&gate, 0);
    CHECK(compute_new(&c, 1, &e) == ERR_OK);
    held.run = hold;
    CHECK(compute_submit(c, &held, &e) == ERR_OK);
    while (compute_queued(c)) thread_pause();   /* until the worker has it */
    for (size_t i = 0; i < COMPUTE_QUEUE_MAX; i++) {
        rest[i].run = nothing;
        CHECK(compute_submit(c, &rest[i], &e) == ERR_OK);
    }
    rest[COMPUTE_QUEUE_MAX].run = nothing;
    CHECK(compute_submit(c, &rest[COMPUTE_QUEUE_MAX], &e) == ERR_LIMIT);
    CHECK_STR(e.text, "compute: too many jobs: expected at most 65536 queued, got 65537");
    CHECK_U64(compute_queued(c), COMPUTE_QUEUE_MAX);
    atomic_store(&gate, 1);
    (void)futex_wake(&gate, 1);
}

static void an_idle_pool_sleeps_until_it_is_woken(void)
{
    err e;
    board b = {0};
    CLEANUP(compute) compute *c = NULL;
    CHECK(compute_new(&c, 4, &e) == ERR_OK);
    for (int round = 0; round < 3; round++) {
        compute_for(c, 100, hit, &b);
        CHECK(each_once(&b, 100));
        CHECK(sys_fake_await_asleep(4, UINT64_MAX));   /* all, without a time limit: nobody spins or looks around */
    }
}

static void construction_survives_every_failed_allocation(void)
{
    err e;
    FAULT_SWEEP({
        CLEANUP(compute) compute *c = NULL;
        err_code rc = compute_new(&c, 2, &e);
        CHECK((rc == ERR_OK) == (c != NULL));
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
    });
}

static void construction_survives_every_failed_system_call(void)
{
    err e;
    SYS_SWEEP(-EAGAIN, {
        CLEANUP(compute) compute *c = NULL;
        err_code rc = compute_new(&c, 3, &e);   /* the control group may be unreadable, the threads must start */
        CHECK((rc == ERR_OK) == (c != NULL));
        CHECK(rc == ERR_OK || rc == ERR_LIMIT);
    });
    for (uint32_t i = 0; i < 3; i++) {
        compute *c = NULL;
        sys_fake_script((sys_fault[]){{SYS_thread_start, .skip = i, .times = 1, .result = -EAGAIN}}, 1);
        CHECK(compute_new(&c, 3, &e) == ERR_LIMIT && c == NULL);
        CHECK(strstr(e.text, ": cannot start a thread: Resource temporarily unavailable"));
    }
    sys_fake_script(NULL, 0);
}

static void a_pool_of_one_starts_its_thread_with_the_first_job_or_says_why_not(void)
{
    err e;
    compute_job j = {.run = nothing};
    board b = {0};
    uint64_t started = sys_fake_calls(SYS_thread_start);
    CLEANUP(compute) compute *c = NULL;
    CHECK(compute_new(&c, 1, &e) == ERR_OK);
    compute_for(c, 100, hit, &b);
    CHECK(each_once(&b, 100));
    CHECK_U64(sys_fake_calls(SYS_thread_start), started);
    sys_fake_script((sys_fault[]){{SYS_thread_start, .times = 1, .result = -EAGAIN}}, 1);
    CHECK(compute_submit(c, &j, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "compute-0: cannot start a thread: Resource temporarily unavailable");
    CHECK(compute_submit(c, &j, &e) == ERR_OK);
    sys_fake_script(NULL, 0);
}

static void interrupted_sleeps_lose_no_work(void)
{
    err e;
    board b = {0};
    sys_fake_script((sys_fault[]){{SYS_futex_wait, .times = SYS_FAKE_EVER, .result = -EINTR}}, 1);   /* all, at once */
    compute *c = NULL;
    CHECK(compute_new(&c, 3, &e) == ERR_OK);
    for (uint32_t count = 0; count < 200; count++) {
        compute_for(c, count, hit, &b);
        CHECK(each_once(&b, count));
    }
    sys_fake_script(NULL, 0);   /* the workers go on to read the script: no row is changed by this */
    compute_free(c);
}

static void refusals_name_the_value(void)
{
    err e;
    compute *c = NULL;
    CHECK(compute_new(&c, 257, &e) == ERR_INVALID);
    CHECK_STR(e.text, "compute: threads: expected at most 256, got 257");
    CHECK(c == NULL);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_index_runs_exactly_once),
        TEST(a_region_inside_a_region_runs_on_its_caller),
        TEST(many_callers_share_one_pool),
        TEST(jobs_share_their_indices_with_idle_workers),
        TEST(jobs_begin_in_the_order_of_submission_and_all_run_before_the_pool_is_gone),
        TEST(answers_come_back_on_the_loop_that_asked),
        TEST(a_full_queue_is_refused_with_both_numbers),
        TEST(an_idle_pool_sleeps_until_it_is_woken),
        TEST(construction_survives_every_failed_allocation),
        TEST(construction_survives_every_failed_system_call),
        TEST(a_pool_of_one_starts_its_thread_with_the_first_job_or_says_why_not),
        TEST(interrupted_sleeps_lose_no_work),
        TEST(refusals_name_the_value),
    };
    return test_main(cases, COUNTOF(cases));
}
