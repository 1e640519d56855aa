#include "async/compute.h"

#include "base/mem.h"
#include "os/cgroup.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/lock.h"
#include "os/thread.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* A region is one running compute_for().  Its memory belongs to the pool and is used again and again, so a worker
 * that comes late may always look at it:
 *
 *     ticket   count << 32 | next index.  fetch_add(1) claims an index and tells, in the same step, of how many:
 *              whoever gets index < count holds a part of the region that is running now, and the region cannot end
 *              before that part is done.  So fn and ctx, read after the claim, are the right ones, and nobody has to
 *              enter or leave a region: a worker that is stopped between two claims holds nobody up.
 *     done     how many indices are finished; the caller sleeps on it.  WAITING is set when it does.
 *
 * Whoever claims the last index takes the region off the list of open ones (a bit of `open_*`). */
typedef struct {
    _Alignas(64) _Atomic uint64_t ticket;
    void (*fn)(void *ctx, uint32_t index);
    void *ctx;
    _Alignas(64) _Atomic uint32_t done;
} region;

#define WAITING UINT32_C(0x80000000)

enum {
    REGION_COUNT_MAX = 1 << 30,   /* indices of one region, the caller runs the rest; leaves room for late claims */
    REGIONS = 64,                 /* one bit each; the 33rd compute_for() of one side at the same time has no help */
    WAKE_FANOUT = 2,              /* sleepers woken by the caller, and by each worker that finds more to do */
};

/* Regions 0-31 are for callers outside the pool, 32-63 for its workers.  A caller from outside is one more thread
 * at work, so the last worker keeps away from those: no more than `threads` ever share one region. */
#define OUTSIDE UINT64_C(0x00000000ffffffff)
#define INSIDE  UINT64_C(0xffffffff00000000)

/* Where workers wait: first spinning, then asleep on `bell`.  dens[1] is the last worker's own, because a wake-up
 * that went to it for the sake of a region that it keeps away from would be lost. */
typedef struct {
    _Alignas(64) _Atomic uint32_t spinning;
    _Atomic uint32_t sleepers;
    _Atomic uint32_t bell;        /* changes with each wake-up */
} den;

typedef struct {
    thread thread;
    compute *pool;
    den *den;
    uint64_t sides;               /* the regions that it helps in */
} worker;

struct compute {
    uint32_t threads, started;    /* differ only in a pool of one that has had no job yet */
    uint32_t spin_us;
    region regions[REGIONS];
    _Alignas(64) _Atomic uint64_t open;   /* regions with unclaimed indices */
    _Atomic uint32_t queued;              /* jobs submitted and not yet taken by a worker */
    _Atomic bool stopping;
    _Alignas(64) _Atomic uint64_t used;   /* regions that have a caller */
    den dens[2];
    _Alignas(64) mailbox inbox;           /* submitted jobs: submitting never waits for a worker */
    _Alignas(64) lock taking;                          /* guards fifo */
    mail *fifo;                           /* jobs taken from the inbox, oldest first */
    lock starting;                        /* guards `started` of a pool of one */
    worker workers[];
};

static _Thread_local const compute *worker_of;   /* the pool this thread works for */
static _Thread_local bool in_region;             /* compute_for() does not nest; nor where compute_alone() said so */

static uint32_t ring(den *d, uint32_t count)
{
    if (count == 0 || atomic_load(&d->sleepers) == 0) return 0;
    atomic_fetch_add(&d->bell, 1);
    return futex_wake(&d->bell, count);
}

/* Called after work for `count` more threads became visible.  A worker that spins sees it by itself; one that goes
 * to sleep says so first (spinning - 1, sleepers + 1) and then looks for work, so one of the two sees the other. */
static void wake(compute *c, uint32_t count, uint64_t sides)
{
    uint32_t spinning = atomic_load(&c->dens[0].spinning);
    if (sides & INSIDE) spinning += atomic_load(&c->dens[1].spinning);
    if (count <= spinning) return;
    count -= spinning;
    if (count > WAKE_FANOUT) count = WAKE_FANOUT;
    if (ring(&c->dens[0], count) < count && (sides & INSIDE)) (void)ring(&c->dens[1], 1);
}

/* Runs indices of r until none is left to claim; returns how many it ran. */
static uint32_t run_indices(compute *c, region *r, uint64_t bit, uint32_t *ret_count)
{
    uint32_t ran = 0;
    for (;;) {
        uint64_t t = atomic_load_explicit(&r->ticket, memory_order_relaxed);
        if ((uint32_t)t >= (uint32_t)(t >> 32)) return ran;   /* looked first: claims past the end would pile up */
        t = atomic_fetch_add_explicit(&r->ticket, 1, memory_order_acquire);
        uint32_t index = (uint32_t)t, count = (uint32_t)(t >> 32);
        if (index >= count) return ran;
        if (index == count - 1) atomic_fetch_and_explicit(&c->open, ~bit, memory_order_relaxed);
        r->fn(r->ctx, index);
        *ret_count = count;
        ran++;
    }
}

static void help(compute *c, uint32_t i)
{
    region *r = &c->regions[i];
    uint64_t bit = UINT64_C(1) << i, t = atomic_load_explicit(&r->ticket, memory_order_relaxed);
    uint32_t next = (uint32_t)t, count = (uint32_t)(t >> 32);
    if (next >= count) return;
    wake(c, count - next - 1, bit & INSIDE);   /* pass it on: a hundred workers are up after a few steps */
    in_region = true;
    uint32_t ran = run_indices(c, r, bit, &count);
    in_region = false;
    if (ran == 0) return;
    uint32_t done = atomic_fetch_add_explicit(&r->done, ran, memory_order_acq_rel) + ran;
    if (done == (count | WAITING)) (void)futex_wake(&r->done, 1);
}

/* Both spin loops yield about once per microsecond: where CPUs are scarce the spinner may sit on the very one that
 * the other thread needs (2 workers among 9 busy processes on 2 CPUs: 2 us instead of 23 for a small region). */
static void await(compute *c, region *r, uint32_t count)
{
    uint32_t done = atomic_load_explicit(&r->done, memory_order_acquire);
    if (done == count) return;
    uint64_t until_ns = clock_now_ns() + c->spin_us * UINT64_C(1000);
    do {
        for (int i = 0; i < 32; i++) {
            done = atomic_load_explicit(&r->done, memory_order_acquire);
            if (done == count) return;
            thread_pause();
        }
        thread_yield();
    } while (clock_now_ns() < until_ns);
    done = atomic_fetch_or_explicit(&r->done, WAITING, memory_order_acquire) | WAITING;
    while (done != (count | WAITING)) {
        (void)futex_wait(&r->done, done, FUTEX_FOREVER);
        done = atomic_load_explicit(&r->done, memory_order_acquire);
    }
}

static bool take_region(compute *c, uint64_t side, uint32_t *ret)
{
    uint64_t used = atomic_load_explicit(&c->used, memory_order_relaxed);
    for (;;) {
        uint64_t idle = ~used & side;
        if (!idle) return false;
        uint64_t bit = idle & -idle;
        if (!atomic_compare_exchange_weak(&c->used, &used, used | bit)) continue;
        *ret = (uint32_t)__builtin_ctzll(bit);
        return true;
    }
}

static void run_shared(compute *c, uint32_t i, uint32_t count, void (*fn)(void *ctx, uint32_t index), void *ctx)
{
    region *r = &c->regions[i];
    uint64_t bit = UINT64_C(1) << i;
    uint32_t seen = 0;
    r->fn = fn;
    r->ctx = ctx;
    atomic_store_explicit(&r->done, 0, memory_order_relaxed);
    /* The bit goes up before the ticket is valid: a worker that looked at this region long ago may claim the last
     * index at once, and its taking the bit down has to come after. */
    atomic_fetch_or(&c->open, bit);
    atomic_store_explicit(&r->ticket, (uint64_t)count << 32, memory_order_release);
    wake(c, count - 1, bit & INSIDE);
    in_region = true;
    uint32_t ran = run_indices(c, r, bit, &seen);
    in_region = false;
    if (ran) atomic_fetch_add_explicit(&r->done, ran, memory_order_acq_rel);
    await(c, r, count);
    atomic_fetch_and_explicit(&c->used, ~bit, memory_order_release);
}

bool compute_alone(bool on)
{
    bool was = in_region;
    in_region = on;
    return was;
}

void compute_for(compute *c, uint32_t count, void (*fn)(void *ctx, uint32_t index), void *ctx)
{
    uint32_t i = 0, taken;
    bool alone = count < 2 || !c || c->threads == 1 || in_region;
    if (!alone && take_region(c, worker_of == c ? INSIDE : OUTSIDE, &taken)) {
        i = count < REGION_COUNT_MAX ? count : REGION_COUNT_MAX;
        run_shared(c, taken, i, fn, ctx);
    }
    for (; i < count; i++) fn(ctx, i);
}

static compute_job *take_job(compute *c)
{
    if (atomic_load(&c->queued) == 0) return NULL;
    lock_take(&c->taking);
    if (!c->fifo) c->fifo = mailbox_take(&c->inbox);
    mail *m = c->fifo;
    if (m) c->fifo = m->next;
    lock_give(&c->taking);
    if (m) atomic_fetch_sub_explicit(&c->queued, 1, memory_order_relaxed);
    return (compute_job *)m;
}

static void run_job(compute_job *j)
{
    loop *reply_to = j->reply_to;   /* without a reply, run() may free the job */
    j->run(j);
    if (reply_to) loop_post(reply_to, &j->done);
}

/* Whoever made the rest visible may have counted on this worker while it still span. */
static void pass_on(compute *c)
{
    uint32_t queued = atomic_load(&c->queued);
    uint64_t open = atomic_load(&c->open);
    wake(c, queued + (open != 0), queued ? INSIDE : open & INSIDE);
}

/* Jobs first: a region goes on without help, a job does not. */
static void work_once(worker *w)
{
    compute *c = w->pool;
    compute_job *j = take_job(c);
    if (j) {
        pass_on(c);
        run_job(j);
        return;
    }
    uint64_t open = atomic_load_explicit(&c->open, memory_order_relaxed) & w->sides;
    if (open) help(c, (uint32_t)__builtin_ctzll(open));
}

static bool work_waits(const worker *w)
{
    const compute *c = w->pool;
    return atomic_load(&c->queued) || (atomic_load(&c->open) & w->sides) || atomic_load(&c->stopping);
}

/* Returns when there seems to be work. */
static void await_work(worker *w)
{
    den *d = w->den;
    uint64_t until_ns = clock_now_ns() + w->pool->spin_us * UINT64_C(1000);
    atomic_fetch_add(&d->spinning, 1);
    bool waits = work_waits(w);
    while (!waits && clock_now_ns() < until_ns) {
        for (int i = 0; i < 32 && !waits; i++) {
            thread_pause();
            waits = work_waits(w);
        }
        if (!waits) thread_yield();
    }
    atomic_fetch_sub(&d->spinning, 1);
    while (!waits) {
        atomic_fetch_add(&d->sleepers, 1);
        uint32_t bell = atomic_load(&d->bell);
        if (!work_waits(w)) (void)futex_wait(&d->bell, bell, FUTEX_FOREVER);
        atomic_fetch_sub(&d->sleepers, 1);
        waits = work_waits(w);
    }
}

static void work(void *ctx)
{
    worker *w = ctx;
    compute *c = w->pool;
    worker_of = c;
    while (!atomic_load(&c->stopping) || atomic_load(&c->queued)) {
        if (work_waits(w))
            work_once(w);
        else
            await_work(w);
    }
}

static err_code start_worker(compute *c, err *e)
{
    worker *w = &c->workers[c->started];
    char name[THREAD_NAME_MAX + 1];
    snprintf(name, sizeof name, "compute-%u", c->started);
    err_code rc = thread_start(&w->thread, name, work, w, e);
    if (rc == ERR_OK) c->started++;
    return rc;
}

err_code compute_new(compute **ret, uint32_t threads, err *e)
{
    uint32_t cpus = cgroup_cpus();
    if (threads == 0) threads = cpus < COMPUTE_THREADS_MAX ? cpus : COMPUTE_THREADS_MAX;
    if (threads > COMPUTE_THREADS_MAX)
        return err_set(e, ERR_INVALID, "compute: threads: expected at most %d, got %u", COMPUTE_THREADS_MAX, threads);
    size_t bytes = sizeof(compute) + threads * sizeof(worker);
    CLEANUP(compute) compute *c = mem_alloc_raw(bytes);
    if (!c) return err_set(e, ERR_NOMEM, "compute: no memory for %u threads", threads);
    memset(c, 0, bytes);
    c->threads = threads;
    c->spin_us = cpus > 1 ? COMPUTE_SPIN_US : 0;   /* on one CPU the spinner keeps away what it waits for */
    mailbox_init(&c->inbox);
    lock_init(&c->taking);
    lock_init(&c->starting);
    for (uint32_t i = 0; i < threads; i++) {
        bool last = i == threads - 1;
        c->workers[i].pool = c;
        c->workers[i].den = &c->dens[last];
        c->workers[i].sides = last ? INSIDE : INSIDE | OUTSIDE;
    }
    while (threads > 1 && c->started < threads) {
        err_code rc = start_worker(c, e);
        if (rc) return rc;
    }
    *ret = TAKE(c);
    return ERR_OK;
}

void compute_free(compute *c)
{
    if (!c) return;
    atomic_store(&c->stopping, true);
    for (size_t i = 0; i < COUNTOF(c->dens); i++) (void)ring(&c->dens[i], COMPUTE_THREADS_MAX);
    for (uint32_t i = 0; i < c->started; i++) thread_join(&c->workers[i].thread);
    INVARIANT(atomic_load(&c->queued) == 0 && atomic_load(&c->used) == 0);
    lock_fini(&c->starting);
    lock_fini(&c->taking);
    mem_free(c);
}

uint32_t compute_threads(const compute *c) { return c->threads; }
size_t compute_queued(const compute *c) { return atomic_load_explicit(&c->queued, memory_order_relaxed); }

/* A pool of one has no thread until it has a job. */
static err_code start_first(compute *c, err *e)
{
    lock_take(&c->starting);
    err_code rc = c->started ? ERR_OK : start_worker(c, e);
    lock_give(&c->starting);
    return rc;
}

err_code compute_submit(compute *c, compute_job *j, err *e)
{
    INVARIANT(j->run);
    if (c->threads == 1) {
        err_code rc = start_first(c, e);
        if (rc) return rc;
    }
    uint32_t before = atomic_fetch_add(&c->queued, 1);
    if (before >= COMPUTE_QUEUE_MAX) {
        atomic_fetch_sub(&c->queued, 1);
        return err_set(e, ERR_LIMIT, "compute: too many jobs: expected at most %d queued, got %u", COMPUTE_QUEUE_MAX,
                       before + 1);
    }
    mailbox_put(&c->inbox, &j->link);
    wake(c, 1, INSIDE);
    return ERR_OK;
}
