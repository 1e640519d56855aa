#include "async/crew.h"

#include "base/mem.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/lock.h"
#include "os/thread.h"

#include <stdatomic.h>
#include <stdio.h>

struct crew {
    const char *name;
    uint32_t most;
    lock lock;                /* guards all below but the bells; held while a thread is started, too */
    mail *first, **end;       /* errands that queue */
    uint32_t queued, idle, started;
    bool stopping;
    _Atomic uint32_t bell;    /* changes when there is something to do, */
    _Atomic uint32_t gone;    /* and with each thread that has ended */
    thread threads[CREW_THREADS_MAX];
};

/* What to do next; NULL = nothing, or to leave. */
static compute_job *take(crew *c, bool *ret_leave)
{
    lock_take(&c->lock);
    mail *m = c->first;
    if (m) {
        c->first = m->next;
        if (!c->first) c->end = &c->first;
        c->queued--;
        c->idle--;
    }
    *ret_leave = !m && c->stopping;
    lock_give(&c->lock);
    return (compute_job *)m;
}

static void run(crew *c, compute_job *j)
{
    loop *reply_to = j->reply_to;   /* without a reply, run() may free the job */
    j->run(j);
    if (reply_to) loop_post(reply_to, &j->done);
    lock_take(&c->lock);
    c->idle++;
    lock_give(&c->lock);
}

static void work(void *ctx)
{
    crew *c = ctx;
    bool leave = false;
    for (;;) {
        uint32_t bell = atomic_load(&c->bell);
        compute_job *j = take(c, &leave);
        if (leave) break;
        if (j) run(c, j);
        else (void)futex_wait(&c->bell, bell, FUTEX_FOREVER);
    }
    atomic_fetch_add(&c->gone, 1);
    (void)futex_wake(&c->gone, 1);
}

err_code crew_new(crew **ret, const char *name, uint32_t most, err *e)
{
    INVARIANT(most > 0 && most <= CREW_THREADS_MAX);
    crew *c = mem_new0(crew, 1);
    if (!c) return err_set(e, ERR_NOMEM, "%s: no memory for threads", name);
    c->name = name;
    c->most = most;
    c->end = &c->first;
    lock_init(&c->lock);
    *ret = c;
    return ERR_OK;
}

/* Under the lock, before an errand more.  Threads that are idle take one each. */
static err_code start_enough(crew *c, err *e)
{
    char name[THREAD_NAME_MAX + 1];
    if (c->queued < c->idle || c->started == c->most) return ERR_OK;
    snprintf(name, sizeof name, "%s-%u", c->name, c->started);
    err_code rc = thread_start(&c->threads[c->started], name, work, c, e);
    if (rc) return c->started ? ERR_OK : rc;   /* those that are there will come to it */
    c->started++;
    c->idle++;
    return ERR_OK;
}

err_code crew_submit(crew *c, compute_job *j, err *e)
{
    INVARIANT(j->run);
    lock_take(&c->lock);
    err_code rc = c->stopping ? err_set(e, ERR_UNAVAILABLE, "%s: stopping", c->name) : ERR_OK;
    if (rc == ERR_OK && c->queued == CREW_QUEUE_MAX)
        rc = err_set(e, ERR_LIMIT, "%s: expected at most %d errands waiting, got %d", c->name, CREW_QUEUE_MAX,
                     CREW_QUEUE_MAX + 1);
    if (rc == ERR_OK) rc = start_enough(c, e);
    if (rc == ERR_OK) {
        j->link.next = NULL;
        *c->end = &j->link;
        c->end = &j->link.next;
        c->queued++;
    }
    lock_give(&c->lock);
    if (rc) return rc;
    atomic_fetch_add(&c->bell, 1);
    (void)futex_wake(&c->bell, 1);
    return ERR_OK;
}

static bool all_gone(crew *c, uint64_t until_us)
{
    for (;;) {
        uint32_t gone = atomic_load(&c->gone);
        if (gone == c->started) return true;
        if (!futex_wait(&c->gone, gone, until_us)) return atomic_load(&c->gone) == c->started;
    }
}

bool crew_free(crew *c, uint64_t wait_us)
{
    if (!c) return true;
    lock_take(&c->lock);
    c->stopping = true;
    lock_give(&c->lock);
    atomic_fetch_add(&c->bell, 1);
    (void)futex_wake(&c->bell, CREW_THREADS_MAX);
    if (!all_gone(c, clock_now_us() + wait_us)) {
        for (uint32_t i = 0; i < c->started; i++) thread_leave(&c->threads[i]);
        return false;
    }
    for (uint32_t i = 0; i < c->started; i++) thread_join(&c->threads[i]);
    lock_fini(&c->lock);
    mem_free(c);
    return true;
}
