#include "models/queue.h"

#include "base/mem.h"
#include "os/clock.h"

#include <inttypes.h>

struct queue {
    queue_opts opts;
    stage *stage;
    uint32_t input_count;
};

/* ---- outputs --------------------------------------------------------------------------------------------------- */

static tensor own_output(const queue_item *item, uint32_t i) { return *exec_output(item->outputs.of, i); }
static void own_release(queue_item *item) { exec_give(item->outputs.of); }
static const queue_source own = {own_output, own_release};

void queue_item_hold(queue_item *item, exec *x)
{
    item->source = &own;
    item->outputs.of = x;
}

void queue_release(queue_item *item)
{
    const queue_source *from = item->source;
    if (!from) return;
    item->source = NULL;
    from->release(item);
}

/* ---- runs ------------------------------------------------------------------------------------------------------- */

enum { INPUTS_INLINE = 16 }; /* shapes on the stack up to here, which is nearly every model */

/* What can run on a loop: it has run before, so it neither plans nor allocates.  NULL = it cannot. */
static exec *take_cheap(const queue *q, const queue_item *item)
{
    shape shapes[INPUTS_INLINE] UNINIT;
    if (q->input_count > INPUTS_INLINE) return NULL;
    for (uint32_t i = 0; i < q->input_count; i++) shapes[i] = item->inputs[i].shape;
    return exec_take_cheap(q->opts.model, shapes, q->opts.inline_us);
}

static err_code take(queue *q, const queue_item *item, exec **ret, err *e)
{
    shape few[INPUTS_INLINE] UNINIT, *shapes = few;
    if (q->input_count > INPUTS_INLINE && !(shapes = mem_new0(shape, q->input_count)))
        return err_set(e, ERR_NOMEM, "no memory for %u input shapes", q->input_count);
    for (uint32_t i = 0; i < q->input_count; i++) shapes[i] = item->inputs[i].shape;
    err_code rc = exec_take(ret, q->opts.model, shapes, e);
    if (shapes != few) mem_free(shapes);
    return rc;
}

static void run(queue *q, queue_item *item, exec *x)
{
    metrics_model *m = q->opts.metrics;
    err e UNINIT;
    e.code = ERR_OK;
    for (uint32_t i = 0; i < q->input_count; i++) exec_input(x, i)->data = item->inputs[i].data;
    atomic_fetch_add_explicit(&m->running, 1, memory_order_relaxed);
    const uint64_t most_us = q->opts.run_us_max;
    const exec_stop stop = {.cancelled = &item->cancelled,
                            .since_ns = item->start_ns,
                            .until_us = most_us ? item->start_ns / 1000 + most_us : 0};
    err_code rc = exec_run(x, &stop, &e);
    if (rc == ERR_TIMEOUT) err_set(&e, rc, "run: expected its end within %" PRIu64 " ms", most_us / 1000);
    atomic_fetch_sub_explicit(&m->running, 1, memory_order_relaxed);
    item->end_ns = exec_until_ns(x);
    if (rc) exec_give(x);
    else queue_item_hold(item, x);
    item->done(item, rc ? &e : NULL);
}

/* Does anybody still wait for it? */
static err_code alive(const queue_item *item, err *e)
{
    if (atomic_load_explicit(&item->cancelled, memory_order_relaxed))
        return err_set(e, ERR_CANCELLED, "cancelled while it waited");
    if (item->deadline_us && clock_now_us() >= item->deadline_us)
        return err_set(e, ERR_TIMEOUT, "the deadline passed while it waited");
    return ERR_OK;
}

static void serve(void *ctx, stage *s)
{
    queue *q = ctx;
    stage_item *link = stage_take(s);
    if (!link) return;
    atomic_fetch_sub_explicit(&q->opts.metrics->waiting, 1, memory_order_relaxed);
    queue_item *item = (queue_item *)(void *)((char *)link - offsetof(queue_item, link));
    exec *x = NULL;
    err e UNINIT;
    if (alive(item, &e) || take(q, item, &x, &e)) {
        item->done(item, &e);
        return;
    }
    item->start_ns = clock_now_ns();
    run(q, item, x);
}

err_code queue_new(queue **ret, const queue_opts *opts, err *e)
{
    CLEANUP(queue) queue *q = mem_new0(queue, 1);
    if (!q) return err_set(e, ERR_NOMEM, "queue: no memory");
    q->opts = *opts;
    q->input_count = model_input_count(opts->model);
    stage_opts so = {.pool = opts->pool,
                     .depth_max = opts->depth_max,
                     .workers_max = compute_threads(opts->pool),
                     .serve = serve,
                     .ctx = q};
    err_code rc = stage_new(&q->stage, &so, e);
    if (rc) return rc;
    *ret = TAKE(q);
    return ERR_OK;
}

void queue_free(queue *q)
{
    if (!q) return;
    stage_free(q->stage);
    mem_free(q);
}

bool queue_quiet(queue *q) { return stage_quiet(q->stage); }

err_code queue_push(queue *q, queue_item *item, err *e)
{
    if (!item->since_ns) item->since_ns = clock_now_ns();
    item->start_ns = item->end_ns = 0;
    item->source = NULL;
    exec *cheap = q->opts.inline_us && stage_idle(q->stage) ? take_cheap(q, item) : NULL;
    if (cheap) {
        item->start_ns = item->since_ns;   /* it does not wait: no second look at the clock */
        bool before = compute_alone(true);
        run(q, item, cheap);
        (void)compute_alone(before);
        return ERR_OK;
    }
    atomic_fetch_add_explicit(&q->opts.metrics->waiting, 1, memory_order_relaxed);
    err_code rc = stage_push(q->stage, &item->link, e);
    if (rc) atomic_fetch_sub_explicit(&q->opts.metrics->waiting, 1, memory_order_relaxed);
    return rc;
}
