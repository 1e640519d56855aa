/* Errands are run, each once; one that does not end holds up no other, and not the end of the crew for longer than it
 * is waited for. */
#include "async/crew.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/thread.h"
#include "test.h"

#include <stdatomic.h>

enum { ERRANDS = 2000, SENDERS = 3, THREADS = 4 };

typedef struct {
    compute_job job;
    _Atomic int runs;
} errand;

static _Atomic int ran;
static _Atomic uint32_t gate;

static void count(compute_job *j)
{
    atomic_fetch_add(&((errand *)(void *)j)->runs, 1);
    atomic_fetch_add(&ran, 1);
}

static void wait_for_gate(compute_job *j)
{
    (void)j;
    while (!atomic_load(&gate)) (void)futex_wait(&gate, 0, FUTEX_FOREVER);
    atomic_fetch_add(&ran, 1);
}

static void open_gate(void)
{
    atomic_store(&gate, 1);
    (void)futex_wake(&gate, CREW_THREADS_MAX);
}

static errand all[SENDERS][ERRANDS];
static crew *shared;

static void send(void *ctx)
{
    err e;
    errand *mine = ctx;
    for (int i = 0; i < ERRANDS; i++) {
        mine[i] = (errand){.job = {.run = count}};
        CHECK(crew_submit(shared, &mine[i].job, &e) == ERR_OK);
    }
}

static void errands_of_all_threads_run_once(void)
{
    thread t[SENDERS];
    err e;
    CHECK(crew_new(&shared, "crew", THREADS, &e) == ERR_OK);
    for (int i = 0; i < SENDERS; i++) CHECK(thread_start(&t[i], "sender", send, all[i], &e) == ERR_OK);
    for (int i = 0; i < SENDERS; i++) thread_join(&t[i]);
    CHECK(crew_free(shared, 60000000));
    for (int i = 0; i < SENDERS; i++)
        for (int k = 0; k < ERRANDS; k++) CHECK(atomic_load(&all[i][k].runs) == 1);
}

static void one_that_waits_holds_up_no_other(void)
{
    crew *c;
    err e;
    errand waits = {.job = {.run = wait_for_gate}}, others[10] = {0};
    atomic_store(&gate, 0);
    atomic_store(&ran, 0);
    CHECK(crew_new(&c, "crew", 2, &e) == ERR_OK);
    CHECK(crew_submit(c, &waits.job, &e) == ERR_OK);
    for (int i = 0; i < 10; i++) {
        others[i].job.run = count;
        CHECK(crew_submit(c, &others[i].job, &e) == ERR_OK);
    }
    while (atomic_load(&ran) < 10) thread_yield();
    open_gate();
    CHECK(crew_free(c, 60000000));
    CHECK(atomic_load(&ran) == 11);
}

static errand stuck;   /* these outlive the test: the thread does */
static crew *left;

static void what_does_not_end_is_left_behind(void)
{
    err e;
    errand more = {.job = {.run = count}};
    atomic_store(&gate, 0);
    atomic_store(&ran, 0);
    stuck.job = (compute_job){.run = wait_for_gate};
    CHECK(crew_new(&left, "crew", 2, &e) == ERR_OK);
    CHECK(crew_submit(left, &stuck.job, &e) == ERR_OK);
    CHECK(!crew_free(left, 1000));
    CHECK(crew_submit(left, &more.job, &e) == ERR_UNAVAILABLE);
    CHECK_STR(e.text, "crew: stopping");
    open_gate();
    while (!atomic_load(&ran)) thread_yield();
}

static void making_one_survives_failed_allocations(void)
{
    err e;
    FAULT_SWEEP({
        crew *c = NULL;
        if (crew_new(&c, "crew", 1, &e) == ERR_OK) CHECK(crew_free(c, 0));
        else CHECK(e.code == ERR_NOMEM);
    });
    CHECK(crew_free(NULL, 0));
}

int main(void)
{
    static const test_case cases[] = {
        TEST(errands_of_all_threads_run_once),
        TEST(one_that_waits_holds_up_no_other),
        TEST(what_does_not_end_is_left_behind),
        TEST(making_one_survives_failed_allocations),
    };
    return test_main(cases, COUNTOF(cases));
}
