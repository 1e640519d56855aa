#include "models/queue.h"

#include "base/log.h"
#include "base/mem.h"
#include "models/queue_kinds.h"
#include "models/queue_run.h"
#include "os/clock.h"
#include "os/lock.h"   /* style: loops, workers and the waker meet at a model's queue */
#include "os/thread.h"
#include "sched/batch_size.h"

typedef struct worker worker;
struct worker {
    worker *next;      /* among the idle ones */
    queue_run run;
};

struct queue {
    queue_opts opts;
    uint32_t input_count;
    waker_call waker;
    model_turn turn;
    int64_t runs_max;            /* at once, with those on loops */
    _Atomic bool together;       /* requests may share a run */
    _Atomic bool exactly;        /* no longer than the longest of them: the model takes no more */
    _Atomic uint64_t waiting;    /* written under the lock, read by anybody */
    lock lock;                   /* guards all below; held while the batcher decides, never while calling out */
    batcher *batcher;
    queue_kinds kinds;
    uint64_t now_ns;             /* the latest that the batcher was told */
    worker *idle;
    uint32_t busy;               /* workers that are not idle */
    worker *sent;                /* has not looked yet: it takes what there is when its turn comes; NULL = none */
    shape *shapes;               /* of all workers */
    worker workers[];
};

/* ---- made and unmade ------------------------------------------------------------------------------------------- */

static void work(model_turn *m, uint64_t charged_ns);
static void ring(waker_call *c);

static void dismiss(queue *q, worker *w)
{
    w->next = q->idle;
    q->idle = w;
    q->busy--;
}

static void workers_init(queue *q, uint32_t count)
{
    q->busy = count;
    for (uint32_t i = 0; i < count; i++) {
        q->workers[i] = (worker){.run = {.model = q->opts.model,
                                         .pad = &q->opts.pad,
                                         .shapes = q->shapes + (size_t)i * q->input_count,
                                         .run_us_max = q->opts.run_us_max}};
        dismiss(q, &q->workers[i]);
    }
}

/* It has no turns any more, or never had. */
static void empty_free(queue *q)
{
    waker_remove(q->opts.waker, &q->waker);
    INVARIANT(q->busy == 0);
    batcher_free(q->batcher);
    queue_kinds_fini(&q->kinds);
    lock_fini(&q->lock);
    mem_free(q->shapes);
    mem_free(q);
}

err_code queue_new(queue **ret, const queue_opts *opts, err *e)
{
    INVARIANT(opts->model && opts->turns && opts->waker && opts->metrics);
    const uint32_t instances = opts->batching.instances ? opts->batching.instances : 1;
    const uint32_t workers = instances + opts->batching.crowded;
    batcher *b = NULL;
    err_code rc = batcher_new(&b, &opts->batching, e);
    if (rc) return rc;
    queue *q = mem_alloc0(1, sizeof *q + workers * sizeof(worker));
    uint32_t inputs = model_input_count(opts->model);
    shape *shapes = mem_new0(shape, (size_t)workers * (inputs ? inputs : 1));
    if (!q || !shapes) {
        mem_free(shapes);
        mem_free(q);
        batcher_free(b);
        return err_set(e, ERR_NOMEM, "queue: no memory for %u workers", workers);
    }
    q->opts = *opts;
    if (!opts->pad.on) q->opts.pad.inputs = 0;   /* lengths must be equal, then: kinds look at nothing else */
    q->opts.batching.instances = q->opts.share.instances = instances;
    q->runs_max = opts->strict ? instances : INT64_MAX;
    q->turn.run = work;
    q->input_count = inputs;
    q->batcher = b;
    q->shapes = shapes;
    atomic_store(&q->together, opts->batching.max_batch > 1);
    queue_kinds_init(&q->kinds, inputs, q->opts.pad.inputs);
    lock_init(&q->lock);
    workers_init(q, workers);
    q->waker.ring = ring;
    waker_add(opts->waker, &q->waker);
    atomic_store_explicit(&opts->metrics->instances, instances, memory_order_relaxed);
    rc = turns_join(opts->turns, &q->turn, &q->opts.share, e);
    if (rc == ERR_OK) *ret = q;
    else empty_free(q);
    return rc;
}

void queue_free(queue *q)
{
    if (!q) return;
    turns_leave(q->opts.turns, &q->turn);
    empty_free(q);
}

bool queue_quiet(queue *q)
{
    lock_take(&q->lock);
    bool quiet = batcher_quiet(q->batcher) && q->busy == 0;
    lock_give(&q->lock);
    return quiet;
}

/* ---- what a call of the batcher brings ------------------------------------------------------------------------- */

/* Done without the lock.  Nothing of the queue is touched once an answer has gone out: with the last one it may go. */
typedef struct {
    bool asks;             /* for a turn */
    uint64_t expected_ns;  /* of the run in it */
    batch_item *answers;
} outcome;

/* With the lock held: threads read the clock before they wait for it. */
static uint64_t told(queue *q, uint64_t now_ns)
{
    if (now_ns > q->now_ns) q->now_ns = now_ns;
    return q->now_ns;
}

/* With the lock held, after any call of the batcher.  One worker is on its way at a time: it takes as much as there is,
 * and where more is left then, sends for the next. */
static outcome settle(queue *q)
{
    outcome o = {.asks = false};
    uint64_t again_ns = BATCHER_NEVER;
    if (batcher_ripe(q->batcher, q->now_ns, &again_ns) && !q->sent && q->idle) {
        q->sent = q->idle;
        q->idle = q->sent->next;
        q->busy++;
        queue_owner_hold(&q->opts.owner);   /* until it is dismissed: that waits for others, which nobody waits for */
        o.asks = true;
        o.expected_ns = batcher_next_cost_ns(q->batcher);
    }
    if (again_ns != BATCHER_NEVER) waker_by(q->opts.waker, &q->waker, again_ns / 1000 + 1);
    o.answers = batcher_answers(q->batcher);
    for (batch_item *i = o.answers; i; i = i->next) queue_kinds_give(&q->kinds, queue_item_of(i)->kind);
    const uint64_t waiting = batcher_waiting(q->batcher);
    atomic_store_explicit(&q->waiting, waiting, memory_order_relaxed);
    atomic_store_explicit(&q->opts.metrics->waiting, (int64_t)waiting, memory_order_relaxed);
    return o;
}

err_code queue_item_drop(queue_item *item, batch_drop why, err *e)
{
    item->at.drop = why;
    switch (why) {
    case BATCH_DEADLINE: return err_set(e, ERR_TIMEOUT, "the deadline passed while it waited");
    case BATCH_TIMEOUT: return err_set(e, ERR_UNAVAILABLE, "Request timeout expired");   /* Triton's words */
    case BATCH_CANCELLED: return err_set(e, ERR_CANCELLED, "cancelled while it waited");
    case BATCH_RAN: case BATCH_DROPS: break;
    }
    return e->code;
}

static void answer(queue_item *item)
{
    err *e = &item->failure;
    item->done(item, queue_item_drop(item, item->at.drop, e) ? e : NULL);
}

static void carry_out(queue *q, outcome o)
{
    if (o.asks) turns_ask(q->opts.turns, &q->turn, o.expected_ns);
    for (batch_item *i = o.answers, *next; i; i = next) {
        next = i->next;
        answer(queue_item_of(i));
    }
}

static void ring(waker_call *c)
{
    queue *q = (queue *)(void *)((char *)c - offsetof(queue, waker));
    uint64_t now_ns = clock_now_ns();
    lock_take(&q->lock);
    told(q, now_ns);
    outcome o = settle(q);
    lock_give(&q->lock);
    carry_out(q, o);
}

/* ---- runs ------------------------------------------------------------------------------------------------------- */

/* One after the other: nobody fails for what another brought. */
static void run_each(const queue_run *r, const batch_run *b)
{
    uint64_t start_ns = b->start_ns;
    for (batch_item *i = b->items; i; i = i->next) {
        queue_item *item = queue_item_of(i);
        if (b->count > 1) start_ns = clock_now_ns();
        item->failure.code = queue_run_alone(r, item, start_ns, &item->failure);
    }
}

/* Unequal lengths are rounded up to few sizes.  A model that takes no more than clients bring is asked for no more. */
static err_code run_rows(queue *q, const queue_run *r, const batch_run *b, err *e)
{
    const uint32_t rows = batch_size_rows(b->rows, q->opts.batching.max_batch);
    uint32_t length = b->extent;
    if (b->unequal && !atomic_load_explicit(&q->exactly, memory_order_relaxed)) length = batch_size_length(length);
    err_code rc = queue_run_rows(r, b, rows, length, e);
    if (rc == ERR_OK || rc == ERR_TIMEOUT || length == b->extent) return rc;
    rc = queue_run_rows(r, b, rows, b->extent, e);
    if (rc == ERR_OK) atomic_store_explicit(&q->exactly, true, memory_order_relaxed);
    return rc;
}

/* Together where there are several.  Returns whether it went as planned, so that its time says something. */
static bool run_batch(queue *q, const queue_run *r, const batch_run *b)
{
    err e;
    if (b->count > 1) {
        err_code rc = run_rows(q, r, b, &e);
        for (batch_item *i = b->items; i && (rc == ERR_OK || rc == ERR_TIMEOUT); i = i->next) {
            queue_item *item = queue_item_of(i);
            item->failure.code = ERR_OK;
            if (rc) item->failure = e;
        }
        if (rc == ERR_OK || rc == ERR_TIMEOUT) return rc == ERR_OK;
        if (rc == ERR_UNSUPPORTED && atomic_exchange(&q->together, false))
            log_write(LOG_WARN, NULL, "model '" STR_FMT "': not batched any more: %s", STR_ARG(q->opts.name), e.text);
    }
    run_each(r, b);
    return b->count == 1 && queue_item_of(b->items)->failure.code == ERR_OK;
}

/* Takes what there is to run, or NULL, and says so to whoever is to come next. */
static const batch_run *take(queue *q, outcome *ret)
{
    uint64_t again_ns, now_ns = clock_now_ns();
    lock_take(&q->lock);
    q->sent = NULL;
    const batch_run *b = batcher_take(q->batcher, told(q, now_ns), &again_ns);
    *ret = settle(q);
    lock_give(&q->lock);
    return b;
}

/* Its turn is over; b NULL = there was nothing to run.  The queue may go behind this. */
static void finish(queue *q, worker *w, const batch_run *b, uint64_t cost_ns, uint64_t now_ns)
{
    const queue_owner owner = q->opts.owner;
    lock_take(&q->lock);
    if (b) batcher_done(q->batcher, b, cost_ns, told(q, now_ns));
    dismiss(q, w);
    outcome o = settle(q);
    lock_give(&q->lock);
    carry_out(q, o);
    queue_owner_release(&owner);
}

/* One run more, within what may run at once. */
static bool enter(const queue *q)
{
    metric_gauge *running = &q->opts.metrics->running;
    if (atomic_fetch_add_explicit(running, 1, memory_order_acquire) < q->runs_max) return true;
    atomic_fetch_sub_explicit(running, 1, memory_order_relaxed);
    return false;
}

static void leave(const queue *q)
{
    atomic_fetch_sub_explicit(&q->opts.metrics->running, 1, memory_order_release);
}

/* There is a worker for as many runs as may be, so it waits for what loops run at most, which is short. */
static void enter_soon(const queue *q)
{
    while (!enter(q)) thread_yield();
}

static void work(model_turn *m, uint64_t charged_ns)
{
    queue *q = (queue *)(void *)((char *)m - offsetof(queue, turn));
    worker *w = q->sent;   /* this thread alone changes it */
    outcome o;
    const batch_run *b = take(q, &o);
    carry_out(q, o);
    if (!b) {
        turns_end(q->opts.turns, m, charged_ns, 0);
        finish(q, w, NULL, 0, 0);
        return;
    }
    INVARIANT(b->items);
    enter_soon(q);
    const uint64_t start_ns = b->start_ns;
    bool planned = run_batch(q, &w->run, b);
    leave(q);
    uint64_t end_ns = planned ? queue_item_of(b->items)->end_ns : clock_now_ns();
    const uint64_t took_ns = end_ns > start_ns ? end_ns - start_ns : 0;
    turns_end(q->opts.turns, m, charged_ns, took_ns ? took_ns : 1);
    finish(q, w, b, planned ? took_ns : 0, end_ns);
}

/* ---- push ------------------------------------------------------------------------------------------------------- */

enum { INPUTS_INLINE = 16 }; /* shapes on the stack up to here, which is nearly every model */

/* What can run on a loop: it has run before, so it neither plans nor allocates.  NULL = it cannot. */
static exec *take_cheap(const queue *q, const queue_item *item)
{
    shape shapes[INPUTS_INLINE] UNINIT;
    if (q->input_count > INPUTS_INLINE) return NULL;
    for (uint32_t i = 0; i < q->input_count; i++) shapes[i] = item->inputs[i].shape;
    return exec_take_cheap(q->opts.model, shapes, q->opts.inline_us);
}

static void run_here(queue *q, queue_item *item, exec *x)
{
    err e UNINIT;
    e.code = ERR_OK;
    item->start_ns = item->since_ns;   /* it does not wait: no second look at the clock */
    const queue_run r = {.model = q->opts.model, .pad = &q->opts.pad, .run_us_max = q->opts.run_us_max};
    bool before = compute_alone(true);
    err_code rc = queue_run_taken(&r, item, x, &e);
    (void)compute_alone(before);
    leave(q);
    item->done(item, rc ? &e : NULL);
}

/* How many rows each of its inputs has; 0 = they are not as many, or more than a run may have. */
static uint32_t rows_of(const queue *q, const queue_item *item)
{
    int64_t rows = 0;
    for (uint32_t i = 0; i < q->input_count; i++) {
        const shape *s = &item->inputs[i].shape;
        if (s->rank == 0 || (i && s->dim[0] != rows)) return 0;
        rows = s->dim[0];
    }
    return rows >= 1 && rows <= q->opts.batching.max_batch ? (uint32_t)rows : 0;
}

/* What is padded where others are longer; false: its inputs are not equally long, so it runs alone. */
static bool length_of(const queue *q, const queue_item *item, uint32_t *ret)
{
    int64_t length = 0;
    for (uint32_t i = 0; i < q->input_count && q->opts.pad.on; i++) {
        if (!padding_has(&q->opts.pad, i)) continue;
        int64_t own = item->inputs[i].shape.dim[1];
        if (own < 1 || own > UINT32_MAX || (length && own != length)) return false;
        length = own;
    }
    *ret = (uint32_t)length;
    return true;
}

/* Without a kind of its own it fills a run by itself. */
static void set_kind(queue *q, queue_item *item, uint32_t rows, uint64_t hash)
{
    item->kind = QUEUE_KIND_NONE;
    item->at.extent = 0;
    item->at.kind = (order_key){.hi = 0};
    item->at.rows = q->opts.batching.max_batch ? q->opts.batching.max_batch : 1;
    if (!rows || !length_of(q, item, &item->at.extent)) return;
    item->kind = queue_kinds_take(&q->kinds, item->inputs, hash, &item->at.kind.hi);
    if (item->kind != QUEUE_KIND_NONE) item->at.rows = rows;
    else item->at.extent = 0;
}

static void set_item(const queue *q, queue_item *item)
{
    const uint32_t levels = q->opts.batching.level_count;
    batch_item *i = &item->at;
    i->level = item->priority && item->priority <= levels ? (uint32_t)item->priority - 1 : q->opts.level;
    i->bytes = item->bytes;
    i->deadline_ns = item->deadline_us > UINT64_MAX / 1000 ? 0 : item->deadline_us * 1000;
    i->timeout_us = item->timeout_us;
    i->cancelled = &item->cancelled;
    item->failure.code = ERR_OK;
}

/* What a refused item is told. */
static err_code refuse(queue_item *item, batch_limit limit, uint64_t retry_ns, err *e)
{
    if (limit == BATCH_LIMIT_DEADLINE && item->timeout_us && !item->deadline_us)
        (void)queue_item_drop(item, BATCH_TIMEOUT, e);
    e->retry_ms = retry_ns / 1000000 < UINT32_MAX ? (uint32_t)((retry_ns + 999999) / 1000000) : UINT32_MAX;
    return e->code;
}

err_code queue_push(queue *q, queue_item *item, err *e)
{
    if (!item->since_ns) item->since_ns = clock_now_ns();
    item->start_ns = item->end_ns = 0;
    item->source = NULL;
    item->outputs.rows = 0;
    item->at.drop = BATCH_RAN;
    bool waits = atomic_load_explicit(&q->waiting, memory_order_relaxed) > 0;
    exec *cheap = q->opts.inline_us && !waits ? take_cheap(q, item) : NULL;
    if (cheap && !enter(q)) exec_give(TAKE(cheap));
    if (cheap) {
        run_here(q, item, cheap);
        return ERR_OK;
    }
    batch_limit limit;
    uint64_t retry_ns;
    uint32_t rows = atomic_load_explicit(&q->together, memory_order_relaxed) ? rows_of(q, item) : 0;
    uint64_t hash = rows ? queue_kinds_hash(item->inputs, q->input_count, q->opts.pad.inputs) : 0;
    set_item(q, item);
    atomic_store(&item->in, q);
    lock_take(&q->lock);
    set_kind(q, item, rows, hash);
    err_code rc = batcher_push(q->batcher, &item->at, told(q, item->since_ns), &limit, &retry_ns, e);
    if (rc) queue_kinds_give(&q->kinds, item->kind);
    outcome o = settle(q);
    lock_give(&q->lock);
    if (rc) rc = refuse(item, limit, retry_ns, e);
    carry_out(q, o);
    return rc;
}

void queue_cancel(queue_item *item)
{
    atomic_store(&item->cancelled, true);   /* whoever pushes it just now sees this, or this thread sees where */
    queue *q = atomic_load(&item->in);
    if (!q) return;
    uint64_t now_ns = clock_now_ns();
    lock_take(&q->lock);
    (void)batcher_cancel(q->batcher, &item->at, told(q, now_ns));
    outcome o = settle(q);
    lock_give(&q->lock);
    carry_out(q, o);
}
