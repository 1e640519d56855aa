/* What must hold for threads, futexes and locks: a thread runs what it was given and is joined once; a futex sleeps
 * only while the word is as expected and until its deadline; a lock lets one in at a time. */
#include "base/mem.h"
#include "fake/sys_fake.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/lock.h"
#include "os/thread.h"

#include <asm/unistd.h>   /* not <sys/syscall.h>: it has names of the fake's own calls */
#include <malloc.h>
#include <stdatomic.h>
#include <unistd.h>

enum { THREADS = 4, STEPS = 20000 };

static lock guard = LOCK_INIT;
static uint64_t guarded;

static void step(void *ctx)
{
    uint64_t *own = ctx;
    for (int i = 0; i < STEPS; i++) {
        lock_take(&guard);
        guarded++;
        lock_give(&guard);
        ++*own;
    }
}

static void a_lock_lets_one_thread_in_at_a_time(void)
{
    err e;
    thread threads[THREADS];
    uint64_t own[THREADS] = {0};
    guarded = 0;
    for (size_t i = 0; i < THREADS; i++)
        CHECK(thread_start(&threads[i], "a name that is too long for the kernel", step, &own[i], &e) == ERR_OK);
    for (size_t i = 0; i < THREADS; i++) {
        thread_join(&threads[i]);
        CHECK_U64(own[i], STEPS);
    }
    CHECK_U64(guarded, THREADS * STEPS);
    lock l;
    lock_init(&l);
    lock_take(&l);
    lock_give(&l);
    lock_fini(&l);
}

static _Atomic uint32_t turn;

static void take_turns(void *ctx)
{
    uint32_t me = *(uint32_t *)ctx;
    for (uint32_t t; (t = atomic_load(&turn)) < 2000;) {
        if (t % 2 != me) {
            (void)futex_wait(&turn, t, FUTEX_FOREVER);
            continue;
        }
        atomic_store(&turn, t + 1);
        (void)futex_wake(&turn, 1);
    }
}

static void threads_wake_each_other_by_futex(void)
{
    err e;
    thread threads[2];
    uint32_t numbers[2] = {0, 1};
    atomic_store(&turn, 0);
    for (size_t i = 0; i < 2; i++) CHECK(thread_start(&threads[i], "turn", take_turns, &numbers[i], &e) == ERR_OK);
    for (size_t i = 0; i < 2; i++) thread_join(&threads[i]);
    CHECK_U64(atomic_load(&turn), 2000);
}

static void a_futex_sleeps_until_its_deadline_and_only_on_the_expected_word(void)
{
    _Atomic uint32_t word = 5;
    CHECK(futex_wait(&word, 4, FUTEX_FOREVER));   /* at once: it is not 4 */
    CHECK_U64(futex_wake(&word, 9), 0);
    uint64_t until = clock_now_us() + 2000;
    while (futex_wait(&word, 5, until)) {}
    CHECK(clock_now_us() >= until);
    CHECK(!futex_wait(&word, 5, 1));              /* long ago */
    sys_fake_script((sys_fault[]){{SYS_futex_wait, .times = 1, .result = -EINTR}}, 1);
    CHECK(futex_wait(&word, 5, FUTEX_FOREVER));
    sys_fake_script(NULL, 0);
}

static void a_thread_that_cannot_start_is_told(void)
{
    err e;
    thread t;
    uint64_t own = 0;
    sys_fake_script((sys_fault[]){{SYS_thread_start, .times = 1, .result = -EAGAIN}}, 1);
    CHECK(thread_start(&t, "worker", step, &own, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "worker: cannot start a thread: Resource temporarily unavailable");
    sys_fake_script(NULL, 0);
}

/* Of the calling thread, as the kernel has it: nanoseconds. */
static uint64_t slice(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags, nice_and_priority, runtime, deadline, period;
    } a = {.size = 0};
    CHECK(syscall(__NR_sched_getattr, 0, &a, sizeof a, 0) == 0);
    return a.runtime;
}

static void note_slice(void *ctx) { *(uint64_t *)ctx = slice(); }

/* [0]: its own before, [1]: then, [2]: of what it starts. */
static void be_prompt(void *ctx)
{
    uint64_t *slices = ctx;
    err e;
    thread t;
    slices[0] = slice();
    thread_prompt();
    slices[1] = slice();
    CHECK(thread_start(&t, "child", note_slice, &slices[2], &e) == ERR_OK);
    thread_join(&t);
}

/* Where the kernel has no slices of a thread's own it says the same, or nothing, of all. */
static void what_a_prompt_thread_starts_is_not_prompt(void)
{
    err e;
    thread t;
    uint64_t slices[3] = {0};
    CHECK(thread_start(&t, "prompt", be_prompt, slices, &e) == ERR_OK);
    thread_join(&t);
    CHECK(slices[1] <= slices[0] && slices[2] == slices[0]);
    CHECK(slices[1] == slices[0] || slices[1] == 500000);
}

static void take_a_large_block(void *ctx)
{
    struct mallinfo2 *ret = ctx;
    void *p = mem_alloc_raw(12 << 20), *q = mem_alloc_raw(64);
    CHECK(p && q);
    mem_free(p);
    *ret = mallinfo2();   /* of all heaps; a sanitizer's tells nothing */
    mem_free(q);
}

static void a_large_first_block_makes_no_large_heap(void)
{
    err e;
    thread t;
    struct mallinfo2 before = mallinfo2(), after;
    CHECK(thread_start(&t, "large", take_a_large_block, &after, &e) == ERR_OK);
    thread_join(&t);
    CHECK(after.arena < before.arena + (1 << 20));
}

static void the_clock_never_goes_back(void)
{
    uint64_t last = clock_now_ns();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_now_ns();
        CHECK(now >= last);
        last = now;
    }
    CHECK(clock_wall_us() > 1600000000000000u);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_lock_lets_one_thread_in_at_a_time),
        TEST(threads_wake_each_other_by_futex),
        TEST(a_futex_sleeps_until_its_deadline_and_only_on_the_expected_word),
        TEST(a_thread_that_cannot_start_is_told),
        TEST(what_a_prompt_thread_starts_is_not_prompt),
        TEST(a_large_first_block_makes_no_large_heap),
        TEST(the_clock_never_goes_back),
    };
    return test_main(cases, COUNTOF(cases));
}
