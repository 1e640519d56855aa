/* A line that comes just after the writing thread gave its lock back is written: this lock lets another line in after
 * each of the thread's releases, so that no order is left to chance. */
#include "async/log_writer.h"
#include "os/clock.h"
#include "os/lock.h"
#include "os/thread.h"
#include "test.h"

#include <stdatomic.h>

enum { MOMENTS = 2, LOST_US = 10000000 };   /* the thread finds a line, looks again and goes to sleep */

static pthread_t test_thread;
static _Atomic int moments_left = -1;   /* the thread's releases until the second line; < 0 = it is there */
static _Atomic bool lets_in;
static _Atomic uint32_t written;

/* ---- in place of os/lock.c ---- */

void lock_init(lock *l) { INVARIANT(pthread_mutex_init(&l->mutex, NULL) == 0); }
void lock_fini(lock *l) { INVARIANT(pthread_mutex_destroy(&l->mutex) == 0); }
void lock_take(lock *l) { INVARIANT(pthread_mutex_lock(&l->mutex) == 0); }

void lock_give(lock *l)
{
    INVARIANT(pthread_mutex_unlock(&l->mutex) == 0);
    if (pthread_equal(pthread_self(), test_thread)) return;
    if (atomic_load(&moments_left) < 0 || atomic_fetch_sub(&moments_left, 1) != 0) return;
    atomic_store(&lets_in, true);
    while (atomic_load(&lets_in)) thread_yield();
}

/* ---- the test ---- */

static void out(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) atomic_fetch_add(&written, line[i] == '\n');
}

static void a_line_is_written_whenever_it_comes(void)
{
    test_thread = pthread_self();
    for (int k = 0; k < MOMENTS && !test_failures; k++) {
        err e;
        uint64_t until_us = clock_now_us() + LOST_US;
        atomic_store(&written, 0);
        atomic_store(&moments_left, k);
        CHECK(log_writer_start(out, &e) == ERR_OK);
        log_writer_line("one\n", 4);
        while (!atomic_load(&lets_in) && clock_now_us() < until_us) thread_yield();
        CHECK(atomic_load(&lets_in));
        log_writer_line("two\n", 4);
        atomic_store(&lets_in, false);
        while (atomic_load(&written) < 2 && clock_now_us() < until_us) thread_yield();
        CHECK_U64(atomic_load(&written), 2);
        CHECK(log_writer_stop());
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(a_line_is_written_whenever_it_comes)};
    return test_main(cases, COUNTOF(cases));
}
