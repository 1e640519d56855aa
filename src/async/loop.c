#include "async/loop.h"

#include "base/mem.h"
#include "base/rng.h"
#include "os/bell.h"
#include "os/clock.h"
#include "os/poll.h"

#include <stdatomic.h>

_Static_assert((int)LOOP_READ == (int)POLL_READ && (int)LOOP_WRITE == (int)POLL_WRITE &&
               (int)LOOP_HANGUP == (int)POLL_HANGUP && (int)LOOP_SHARED == (int)POLL_SHARED,
               "events are passed on as they are");

enum { TIMERS_MIN = 64 };

struct loop {
    /* The cache line that senders touch; what else is on it changes rarely. */
    _Alignas(64) mailbox mailbox;
    _Atomic bool asleep;           /* the loop is about to wait, or waits: whoever clears this rings */
    bool stopping;
    int poll, bell;
    loop_timer **heap;             /* the earliest at 0; children of i at 2i + 1 and 2i + 2 */
    size_t timer_room, fd_count;
    rng random;
    _Atomic uint64_t overruns;

    uint64_t now_us;               /* of this turn */
    uint64_t ran_us;               /* when the callback before this one ended */
    size_t timer_count;
    const loop_timer *firing;      /* whose callback runs, until it is set again: its place in the heap is kept */
    mail *inbox;                   /* taken from the mailbox, oldest first, not yet run */
    size_t event_at, event_count;  /* those still to be reported in this turn */
    poll_event events[POLL_BATCH_MAX];
};

err_code loop_new(loop **ret, uint64_t seed, err *e)
{
    /* Aligned, because the mailbox is. */
    CLEANUP(loop) loop *l = mem_alloc_raw(sizeof *l);
    if (!l) return err_set(e, ERR_NOMEM, "loop: no memory for it");
    *l = (loop){.poll = -1, .bell = -1, .now_us = clock_now_us()};
    rng_init(&l->random, seed);
    mailbox_init(&l->mailbox);
    err_code rc = poll_open(&l->poll, e);
    if (rc == ERR_OK) rc = bell_open(&l->bell, e);
    if (rc == ERR_OK) rc = poll_add(l->poll, l->bell, POLL_READ | POLL_EDGE, NULL, e);
    if (rc) return err_wrap(e, "loop");
    *ret = TAKE(l);
    return ERR_OK;
}

/* Each callback is timed from the end of the one before: one reading of the clock per callback. */
static void ran(loop *l)
{
    uint64_t now = clock_now_us();
    if (now - l->ran_us > LOOP_SLICE_US)
        atomic_store_explicit(&l->overruns, atomic_load_explicit(&l->overruns, memory_order_relaxed) + 1,
                              memory_order_relaxed);   /* one writer */
    l->ran_us = now;
}

static bool run_messages(loop *l)
{
    for (size_t i = 0; i < LOOP_TURN_MAX; i++) {
        if (!l->inbox) l->inbox = mailbox_take(&l->mailbox);
        if (!l->inbox) return false;
        loop_msg *m = (loop_msg *)l->inbox;   /* it begins with its link */
        l->inbox = m->link.next;
        m->run(l, m);
        ran(l);
    }
    return true;
}

void loop_flush(loop *l)
{
    while (run_messages(l)) {}
}

void loop_free(loop *l)
{
    if (!l) return;
    loop_flush(l);
    INVARIANT(l->fd_count == 0 && l->timer_count == 0);
    mem_free(l->heap);
    bell_close(l->bell);
    poll_close(l->poll);
    mem_free(l);
}

static void run_events(loop *l)
{
    while (l->event_at < l->event_count) {
        const poll_event *event = &l->events[l->event_at++];
        loop_fd *f = event->owner;
        if (!f) continue;   /* the bell, or deleted in this turn */
        uint32_t events = event->events & (f->want | LOOP_HANGUP);   /* want may have changed in this turn */
        if (!events) continue;
        f->ready(f, events);
        ran(l);
    }
}

/* How long the kernel may wait; says that the loop sleeps unless that is no time at all. */
static uint64_t fall_asleep(loop *l)
{
    if (l->inbox) return 0;
    uint64_t wait_us = POLL_FOREVER;
    if (l->timer_count) {
        uint64_t at_us = l->heap[0]->at_us;
        if (at_us <= l->now_us) return 0;
        if (at_us <= l->ran_us) return 0;   /* the callbacks of the turn took their time */
        wait_us = at_us - l->ran_us;
    }
    atomic_store(&l->asleep, true);
    if (mailbox_empty(&l->mailbox)) return wait_us;
    atomic_store(&l->asleep, false);
    return 0;
}

static void run_timers(loop *l)
{
    for (size_t i = 0; i < LOOP_TURN_MAX; i++) {
        if (l->timer_count == 0 || l->heap[0]->at_us > l->now_us) return;
        loop_timer *t = l->heap[0];
        loop_timer_cancel(l, t);
        l->firing = t;   /* only compared from here on: the callback may free it */
        t->fire(t);
        l->firing = NULL;
        ran(l);
    }
}

err_code loop_run(loop *l, err *e)
{
    l->stopping = false;
    l->ran_us = clock_now_us();
    while (!l->stopping) {
        uint64_t wait_us = fall_asleep(l);
        l->event_at = l->event_count = 0;
        err_code rc = poll_wait(l->poll, l->events, wait_us, &l->event_count, e);
        atomic_store_explicit(&l->asleep, false, memory_order_relaxed);
        if (rc) return err_wrap(e, "loop");
        l->now_us = l->ran_us = clock_now_us();
        run_events(l);
        run_timers(l);
        (void)run_messages(l);
    }
    return ERR_OK;
}

void loop_stop(loop *l) { l->stopping = true; }

err_code loop_fd_add(loop *l, loop_fd *f, uint32_t want, err *e)
{
    INVARIANT(!f->on && f->ready && (want & ~(uint32_t)(LOOP_READ | LOOP_WRITE | LOOP_SHARED)) == 0);
    err_code rc = poll_add(l->poll, f->fd, want, f, e);
    if (rc) return rc;
    f->want = want;
    f->on = l;
    l->fd_count++;
    return ERR_OK;
}

void loop_fd_want(loop_fd *f, uint32_t want)
{
    INVARIANT(f->on && ((want | (f->want & LOOP_SHARED)) & ~(uint32_t)(LOOP_READ | LOOP_WRITE)) == 0);
    if (want == f->want) return;
    poll_change(f->on->poll, f->fd, want, f);
    f->want = want;
}

void loop_fd_del(loop_fd *f)
{
    loop *l = f->on;
    INVARIANT(l);
    poll_del(l->poll, f->fd);
    for (size_t i = l->event_at; i < l->event_count; i++)
        if (l->events[i].owner == f) l->events[i].owner = NULL;
    l->fd_count--;
    f->on = NULL;
}

static void place(loop *l, loop_timer *t, size_t i)
{
    l->heap[i] = t;
    t->index = i + 1;
}

static void sift_up(loop *l, loop_timer *t, size_t i)
{
    for (; i > 0 && l->heap[(i - 1) / 2]->at_us > t->at_us; i = (i - 1) / 2) place(l, l->heap[(i - 1) / 2], i);
    place(l, t, i);
}

static void sift_down(loop *l, loop_timer *t, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < l->timer_count && l->heap[child + 1]->at_us < l->heap[child]->at_us) child++;
        if (child >= l->timer_count || l->heap[child]->at_us >= t->at_us) break;
        place(l, l->heap[child], i);
        i = child;
    }
    place(l, t, i);
}

static err_code timer_room(loop *l, const loop_timer *t, err *e)
{
    bool kept = l->firing && l->firing != t;
    if (l->timer_count + kept < l->timer_room) return ERR_OK;
    if (l->timer_room == LOOP_TIMERS_MAX)
        return err_set(e, ERR_LIMIT, "loop: too many timers: expected at most %d", LOOP_TIMERS_MAX);
    size_t room = l->timer_room ? l->timer_room * 2 : TIMERS_MIN;
    loop_timer **heap = mem_grow(l->heap, l->timer_count * sizeof(loop_timer *), room, sizeof(loop_timer *));
    if (!heap) return err_set(e, ERR_NOMEM, "loop: no memory for %zu timers", room);
    l->heap = heap;
    l->timer_room = room;
    return ERR_OK;
}

err_code loop_timer_set(loop *l, loop_timer *t, uint64_t at_us, err *e)
{
    INVARIANT(t->fire);
    size_t i = t->index;
    if (i == 0) {
        err_code rc = timer_room(l, t, e);
        if (rc) return rc;
        if (l->firing == t) l->firing = NULL;
        t->at_us = at_us;
        sift_up(l, t, l->timer_count++);
        return ERR_OK;
    }
    INVARIANT(i <= l->timer_count && l->heap[i - 1] == t);
    bool earlier = at_us < t->at_us;
    t->at_us = at_us;
    if (earlier)
        sift_up(l, t, i - 1);
    else
        sift_down(l, t, i - 1);
    return ERR_OK;
}

/* The timer whose callback runs keeps its place. */
void loop_trim(loop *l)
{
    size_t room = TIMERS_MIN;
    while (room < 2 * (l->timer_count + 1)) room *= 2;
    if (room >= l->timer_room) return;
    loop_timer **heap = mem_grow(NULL, 0, room, sizeof(loop_timer *));
    if (!heap) return;
    for (size_t i = 0; i < l->timer_count; i++) heap[i] = l->heap[i];
    mem_free(l->heap);
    l->heap = heap;
    l->timer_room = room;
}

void loop_timer_move(loop *l, loop_timer *t, uint64_t at_us)
{
    err e;
    err_code rc = loop_timer_set(l, t, at_us, &e);
    INVARIANT(rc == ERR_OK);
}

void loop_timer_cancel(loop *l, loop_timer *t)
{
    if (t->index == 0) return;
    size_t i = t->index - 1;
    INVARIANT(i < l->timer_count && l->heap[i] == t);
    t->index = 0;
    loop_timer *last = l->heap[--l->timer_count];
    if (last == t) return;
    if (last->at_us < t->at_us)
        sift_up(l, last, i);
    else
        sift_down(l, last, i);
}

/* At most one ring per sleep: a busy loop is told nothing, it looks into its mailbox before it sleeps. */
void loop_post(loop *to, loop_msg *m)
{
    mailbox_put(&to->mailbox, &m->link);
    if (atomic_load(&to->asleep) && atomic_exchange(&to->asleep, false)) bell_ring(to->bell);
}

uint64_t loop_now_us(const loop *l) { return l->now_us; }
uint64_t loop_random(loop *l) { return rng_u64(&l->random); }
uint64_t loop_overruns(const loop *l) { return atomic_load_explicit(&l->overruns, memory_order_relaxed); }
