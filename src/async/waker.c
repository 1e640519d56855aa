#include "async/waker.h"

#include "base/mem.h"
#include "os/clock.h"
#include "os/futex.h"
#include "os/lock.h"
#include "os/thread.h"

#define NEVER FUTEX_FOREVER

struct waker {
    _Atomic uint64_t next_us;   /* no call is set to earlier than this, but for those that the thread looks at now */
    _Atomic uint32_t bell;      /* moves when next_us came down, or it shall stop */
    _Atomic bool stopping;
    lock lock;                  /* guards all below, and the calls' links */
    waker_call *first;
    const waker_call *ringing;
    _Atomic uint32_t rung;      /* moves when one has rung */
    thread thread;
};

/* True when it came down. */
static bool lower(_Atomic uint64_t *at, uint64_t to)
{
    uint64_t was = atomic_load(at);
    while (to < was)
        if (atomic_compare_exchange_weak(at, &was, to)) return true;
    return false;
}

static void ring_bell(waker *a)
{
    atomic_fetch_add(&a->bell, 1);
    (void)futex_wake(&a->bell, 1);
}

void waker_by(waker *a, waker_call *c, uint64_t at_us)
{
    if (lower(&c->at_us, at_us) && lower(&a->next_us, at_us)) ring_bell(a);
}

/* With the lock held, which is given back while it rings: it stays in the list, since waker_remove() waits. */
static void ring(waker *a, waker_call *c)
{
    atomic_store(&c->at_us, NEVER);
    a->ringing = c;
    lock_give(&a->lock);
    c->ring(c);
    lock_take(&a->lock);
    a->ringing = NULL;
    atomic_fetch_add(&a->rung, 1);
    (void)futex_wake(&a->rung, UINT32_MAX);
}

static void ring_due(waker *a, uint64_t now_us)
{
    lock_take(&a->lock);
    for (waker_call *c = a->first; c; c = c->next) {
        uint64_t at_us = atomic_load(&c->at_us);
        if (at_us <= now_us) ring(a, c);
        else (void)lower(&a->next_us, at_us);
    }
    lock_give(&a->lock);
}

static void run(void *ctx)
{
    waker *a = ctx;
    while (!atomic_load(&a->stopping)) {
        uint32_t bell = atomic_load(&a->bell);
        uint64_t next_us = atomic_load(&a->next_us);
        uint64_t now_us = next_us == NEVER ? 0 : clock_now_us();
        if (now_us < next_us) {
            if (!atomic_load(&a->stopping)) (void)futex_wait(&a->bell, bell, next_us);
            continue;
        }
        atomic_store(&a->next_us, NEVER);   /* before they are looked at: who is set meanwhile brings it down again */
        ring_due(a, now_us);
    }
}

err_code waker_new(waker **ret, err *e)
{
    waker *a = mem_new0(waker, 1);
    if (!a) return err_set(e, ERR_NOMEM, "waker: no memory");
    atomic_store(&a->next_us, NEVER);
    lock_init(&a->lock);
    err_code rc = thread_start(&a->thread, "waker", run, a, e);
    if (rc) {
        lock_fini(&a->lock);
        mem_free(a);
        return rc;
    }
    *ret = a;
    return ERR_OK;
}

void waker_stop(waker *a)
{
    if (atomic_exchange(&a->stopping, true)) return;
    ring_bell(a);
    thread_join(&a->thread);
}

void waker_free(waker *a)
{
    if (!a) return;
    INVARIANT(!a->first);
    waker_stop(a);
    lock_fini(&a->lock);
    mem_free(a);
}

void waker_add(waker *a, waker_call *c)
{
    INVARIANT(c->ring);
    atomic_store(&c->at_us, NEVER);
    c->prev = NULL;
    lock_take(&a->lock);
    c->next = a->first;
    if (c->next) c->next->prev = c;
    a->first = c;
    lock_give(&a->lock);
}

void waker_remove(waker *a, waker_call *c)
{
    lock_take(&a->lock);
    while (a->ringing == c) {
        uint32_t rung = atomic_load(&a->rung);
        lock_give(&a->lock);
        (void)futex_wait(&a->rung, rung, FUTEX_FOREVER);
        lock_take(&a->lock);
    }
    *(c->prev ? &c->prev->next : &a->first) = c->next;
    if (c->next) c->next->prev = c->prev;
    lock_give(&a->lock);
}
