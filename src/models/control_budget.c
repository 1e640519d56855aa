#include "models/control_task.h"

#include "base/mem.h"

/* A load that a request asked for. */
typedef struct {
    compute_job job;
    model_control *of;
    str name;
} fetch;

static void fetch_job(compute_job *j)
{
    fetch *f = (fetch *)(void *)((char *)j - offsetof(fetch, job));
    const model_wish w = {.name = f->name, .granted = true};
    task t = {.wish = &w, .on_demand = true};
    err e;
    (void)!control_load(f->of, &t, &e);   /* who waits is told by then */
    mem_free(f);
}

static void fetch_begin(void *ctx, size_t i)
{
    model_control *c = ctx;
    fetch *f = mem_new0(fetch, 1);
    err e;
    if (f) *f = (fetch){.job = {.run = fetch_job}, .of = c, .name = repository_name_at(c->opts.models, i)};
    err_code rc = f ? crew_submit(c->readers, &f->job, &e) : err_set(&e, ERR_NOMEM, "models: no memory for a load");
    if (rc == ERR_OK) return;
    mem_free(f);
    keeper_ended(c->keeper, i, &e);
}

static bool evict(void *ctx, size_t i)
{
    err e;
    return control_change(ctx, i, NULL, control_evicted, &e) == ERR_OK;
}

void control_gone(void *ctx, size_t i) { keeper_left(((model_control *)ctx)->keeper, i); }

err_code control_budget_open(model_control *c, err *e)
{
    const model_keeper_opts o = {.models = c->opts.models,
                                 .thread = c->leavers.thread,
                                 .waker = repository_waker(c->opts.models),
                                 .bytes_max = c->opts.budget.bytes_max,
                                 .stay_us = c->opts.budget.stay_us,
                                 .wait_us = c->opts.budget.wait_us,
                                 .waiting_max = c->opts.budget.waiting_max,
                                 .load = fetch_begin,
                                 .evict = evict,
                                 .ctx = c};
    return keeper_new(&c->keeper, &o, e);
}

model_keeper *model_control_keeper(model_control *c) { return c->keeper; }

err_code model_control_bring_pinned(model_control *c, err *e)
{
    err_code rc = ERR_OK;
    for (size_t i = 0; rc == ERR_OK && c->keeper && i < repository_count(c->opts.models); i++) {
        const model_wish w = {.name = repository_name_at(c->opts.models, i), .granted = true};
        if (repository_pinned(c->opts.models, i) && !repository_lineup(c->opts.models, i))
            rc = model_control_load(c, &w, e);
    }
    return rc;
}
