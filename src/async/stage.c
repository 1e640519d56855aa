#include "async/stage.h"

#include "base/mem.h"
#include "os/lock.h"

#include <stdatomic.h>

typedef struct worker worker;
struct worker {
    compute_job job;
    stage *stage;
    worker *next; /* in the list of idle ones */
};

struct stage {
    stage_opts opts;
    lock lock; /* guards everything below; held for a few instructions, never while calling out */
    stage_item *first, **last;
    uint32_t busy;
    worker *idle;
    _Atomic uint32_t waiting; /* written under the lock, read by anybody */
    worker workers[];
};

/* Takes an idle worker for the items that wait, or NULL: under the lock. */
static worker *hire(stage *s)
{
    worker *w = s->first && s->busy < s->opts.workers_max ? s->idle : NULL;
    if (!w) return NULL;
    s->idle = w->next;
    s->busy++;
    return w;
}

static void dismiss(stage *s, worker *w)
{
    w->next = s->idle;
    s->idle = w;
    s->busy--;
}

static void work(compute_job *j)
{
    worker *w = (worker *)(void *)j;
    stage *s = w->stage;
    for (;;) {
        s->opts.serve(s->opts.ctx, s);
        lock_take(&s->lock);
        bool more = s->first != NULL;
        if (!more) dismiss(s, w);
        lock_give(&s->lock);
        err e;
        /* A pool whose line is full serves this stage once more instead: nothing may be left without a worker. */
        if (!more || compute_submit(s->opts.pool, j, &e) == ERR_OK) return;
    }
}

static err_code opts_check(const stage_opts *o, err *e)
{
    if (!o->pool || !o->serve || o->depth_max < 1 || o->workers_max < 1 || o->workers_max > COMPUTE_THREADS_MAX)
        return err_set(e, ERR_INVALID,
                       "stage: expected a pool, serve, depth_max >= 1 and workers_max in 1..%d, got %u and %u",
                       COMPUTE_THREADS_MAX, o->depth_max, o->workers_max);
    return ERR_OK;
}

err_code stage_new(stage **ret, const stage_opts *opts, err *e)
{
    err_code rc = opts_check(opts, e);
    if (rc) return rc;
    stage *s = mem_alloc0(1, sizeof *s + opts->workers_max * sizeof(worker));
    if (!s) return err_set(e, ERR_NOMEM, "stage: no memory for %u workers", opts->workers_max);
    s->opts = *opts;
    s->last = &s->first;
    lock_init(&s->lock);
    s->busy = opts->workers_max;
    for (uint32_t i = 0; i < opts->workers_max; i++) {
        s->workers[i] = (worker){.job = {.run = work}, .stage = s};
        dismiss(s, &s->workers[i]);
    }
    *ret = s;
    return ERR_OK;
}

void stage_free(stage *s)
{
    if (!s) return;
    INVARIANT(!s->first && s->busy == 0);
    lock_fini(&s->lock);
    mem_free(s);
}

/* The pool did not take the worker: unless another one is at work, who will see the item, it is taken out again.
 * Items of others that counted on this worker meanwhile are served here. */
static err_code unpush(stage *s, stage_item *item, worker *w, err *e)
{
    lock_take(&s->lock);
    bool alone = s->busy == 1;
    stage_item **p = &s->first;
    while (alone && *p && *p != item) p = &(*p)->next;
    bool removed = alone && *p == item;
    if (removed) {
        *p = item->next;
        if (s->last == &item->next) s->last = p;
        atomic_fetch_sub(&s->waiting, 1);
    }
    bool counted_on = alone && s->first;
    if (!counted_on) dismiss(s, w);
    lock_give(&s->lock);
    if (counted_on) work(&w->job);
    return removed ? e->code : ERR_OK;
}

err_code stage_push(stage *s, stage_item *item, err *e)
{
    item->next = NULL;
    lock_take(&s->lock);
    uint32_t waiting = atomic_load(&s->waiting);
    worker *w = NULL;
    if (waiting < s->opts.depth_max) {
        *s->last = item;
        s->last = &item->next;
        atomic_store(&s->waiting, waiting + 1);
        w = hire(s);
    }
    lock_give(&s->lock);
    if (waiting >= s->opts.depth_max)
        return err_set(e, ERR_LIMIT, "queue is full: %u requests wait, the limit is %u", waiting, s->opts.depth_max);
    if (w && compute_submit(s->opts.pool, &w->job, e) != ERR_OK) return unpush(s, item, w, e);
    return ERR_OK;
}

stage_item *stage_take(stage *s)
{
    lock_take(&s->lock);
    stage_item *item = s->first;
    if (item) {
        s->first = item->next;
        if (!s->first) s->last = &s->first;
        atomic_fetch_sub(&s->waiting, 1);
    }
    lock_give(&s->lock);
    return item;
}

size_t stage_waiting(const stage *s) { return atomic_load_explicit(&s->waiting, memory_order_relaxed); }
bool stage_idle(const stage *s) { return stage_waiting(s) == 0; }

bool stage_quiet(stage *s)
{
    lock_take(&s->lock);
    bool quiet = !s->first && s->busy == 0;
    lock_give(&s->lock);
    return quiet;
}
