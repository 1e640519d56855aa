#include "models/control_task.h"

#include "base/mem.h"
#include "os/futex.h"

#include <string.h>

static void tell(const model_control *c)
{
    if (c->opts.changed) c->opts.changed(c->opts.ctx);
}

const char control_unloaded[] = "unloaded", control_evicted[] = "unloaded: evicted, memory";

err_code control_change(model_control *c, size_t i, lineup *now, const char *why, err *e)
{
    farewell *f;
    const lineup *before = repository_lineup(c->opts.models, i);
    err_code rc = now ? repository_rows(c->opts.models, i, now, e) : ERR_OK;
    if (rc == ERR_OK) rc = farewell_new(&f, &c->leavers, before ? before->count : 0, e);
    if (rc) return rc;
    bool counted = !now && before && c->keeper && (why == control_evicted || keeper_unload(c->keeper, i));
    if (counted) farewell_tag(f, i);
    farewell_send(f, repository_swap(c->opts.models, i, now, why), now);
    tell(c);
    return ERR_OK;
}

static void task_job(compute_job *j)
{
    task *t = (task *)(void *)((char *)j - offsetof(task, job));
    t->failure.code = t->run(t->of, t, &t->failure);
    atomic_store(&t->done, 1);
    (void)futex_wake(&t->done, 1);
}

err_code control_do(model_control *c, task *t, err_code (*run)(model_control *c, task *t, err *e), err *e)
{
    if (atomic_load(&c->leavers.stopped)) return err_set(e, ERR_UNAVAILABLE, "the server is leaving");
    t->of = c;
    t->run = run;
    t->job = (compute_job){.run = task_job};
    atomic_store(&t->done, 0);
    err_code rc = compute_submit(c->leavers.thread, &t->job, e);
    if (rc) return rc;
    while (!atomic_load(&t->done)) (void)futex_wait(&t->done, 0, FUTEX_FOREVER);
    if (t->failure.code) *e = t->failure;
    return t->failure.code;
}

err_code control_names_fill(model_control *c, err *e)
{
    size_t n = repository_count(c->opts.models);
    if (n <= c->name_count) return ERR_OK;
    memory *all = mem_grow(c->names, c->name_count * sizeof(memory), n, sizeof(memory));
    if (!all) return err_set(e, ERR_NOMEM, "models: no memory for %zu", n);
    memset(all + c->name_count, 0, (n - c->name_count) * sizeof(memory));
    c->names = all;
    c->name_count = n;
    return c->keeper ? keeper_fill(c->keeper, e) : ERR_OK;
}

err_code control_known(model_control *c, task *t, err *e)
{
    int64_t i = repository_index(c->opts.models, t->wish->name);
    if (i < 0)
        return err_set(e, ERR_NOT_FOUND, "Model with name " STR_FMT " does not exist.", STR_ARG(t->wish->name));
    t->index = (size_t)i;
    t->known = true;
    return control_names_fill(c, e);
}

err_code control_known_or_added(model_control *c, task *t, err *e)
{
    farewell *f;
    repository_names *old;
    if (repository_index(c->opts.models, t->wish->name) >= 0) return control_known(c, t, e);
    err_code rc = farewell_new(&f, &c->leavers, 0, e);
    if (rc) return rc;
    if ((rc = repository_add(c->opts.models, t->wish->name, t->wish->path, &old, e)) != ERR_OK) {
        farewell_drop(f);
        return rc;
    }
    farewell_send_names(f, old);
    return control_known(c, t, e);
}

err_code control_allowed(const model_control *c, const model_wish *w, err *e)
{
    if (!c->opts.allowed && !w->granted)
        return err_set(e, ERR_UNAVAILABLE, "explicit model load / unload is not allowed if polling is enabled");
    if (atomic_load(&c->leaving)) return err_set(e, ERR_UNAVAILABLE, "the server is leaving");
    return ERR_OK;
}
