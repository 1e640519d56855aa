#include "base/log.h"
#include "models/control_task.h"
#include "models/ensemble.h"

/* A load that nobody asked for: of an ensemble whose members are back. */
typedef struct {
    task task;
    model_wish wish;
} homecoming;

static void lost_set(model_control *c, size_t i, bool lost)
{
    memory *m = &c->names[i];
    if (lost && !m->lost) atomic_fetch_add(&c->orphans, 1);
    if (!lost && m->lost) atomic_fetch_sub(&c->orphans, 1);
    m->lost = lost;
    m->tried = c->changes;
}

void control_orphan(model_control *c, size_t i) { lost_set(c, i, true); }
void control_no_orphan(model_control *c, size_t i) { lost_set(c, i, false); }

bool control_there(const model_control *c, size_t i)
{
    const repository *r = c->opts.models;
    return repository_lineup(r, i) || repository_on_demand(r, repository_name_at(r, i));
}

bool control_wanted(const model_control *c, size_t i)
{
    return control_there(c, i) || (i < c->name_count && c->names[i].lost);
}

/* In Triton's words.  *ret_cold: one of them comes when it is asked for. */
static err_code members_there(const model_control *c, size_t i, bool *ret_cold, err *e)
{
    const repository *r = c->opts.models;
    str name;
    *ret_cold = false;
    for (size_t k = 0; (name = repository_member(r, i, k)).p; k++) {
        int64_t member = repository_leads(r, name);
        if (member < 0 || !control_there(c, (size_t)member))
            return err_set(e, ERR_INVALID, "ensemble " STR_FMT " contains models that are not available: " STR_FMT,
                           STR_ARG(repository_name_at(r, i)), STR_ARG(name));
        *ret_cold = *ret_cold || !repository_lineup(r, (size_t)member);
    }
    return ERR_OK;
}

static err_code members_fit(const model_control *c, size_t i, err *e)
{
    bool cold;
    const lineup *l = repository_lineup(c->opts.models, i);
    err_code rc = members_there(c, i, &cold, e);
    for (size_t k = 0; rc == ERR_OK && !cold && l && k < l->count; k++)
        if (l->all[k]->ensemble) rc = ensemble_check(l->all[k]->ensemble, l->all[k]->config, e);
    return rc;
}

static err_code leave(model_control *c, size_t i, const err *why, err *e)
{
    err said;
    repository *r = c->opts.models;
    bool cold = !repository_lineup(r, i);
    err_set(&said, why->code, "%s: %s", control_unloaded, why->text);
    err_code rc = control_change(c, i, NULL, said.text, e);
    if (rc) return rc;
    repository_demand(r, i, false);
    if (cold) repository_say(r, i, said.text);
    if (c->keeper) (void)keeper_unload(c->keeper, i);
    memory *m = &c->names[i];
    m->done = ++m->begun;
    control_orphan(c, i);
    log_write(LOG_WARN, NULL, "model '" STR_FMT "' is %s", STR_ARG(repository_name_at(r, i)), said.text);
    return ERR_OK;
}

/* One that leaves may be a member of another: until nothing changes any more. */
err_code control_orphans_leave(model_control *c, err *e)
{
    err_code rc = control_names_fill(c, e);
    for (bool more = true; rc == ERR_OK && more;) {
        more = false;
        for (size_t i = 0; rc == ERR_OK && i < c->name_count; i++) {
            err why;
            if (!repository_member(c->opts.models, i, 0).p || !control_there(c, i)) continue;
            err_code fit = members_fit(c, i, &why);
            if (fit == ERR_OK) continue;
            if (fit == ERR_NOMEM) *e = why;
            rc = fit == ERR_NOMEM ? fit : leave(c, i, &why, e);
            more = true;
        }
    }
    return rc;
}

err_code control_members_changed(model_control *c, err *e)
{
    c->changes++;
    return control_orphans_leave(c, e);
}

/* One that has its members again, and was not tried since anything changed; c->name_count = none. */
static size_t orphan_next(model_control *c)
{
    err ignored;
    bool cold;
    for (size_t i = 0; i < c->name_count; i++) {
        memory *m = &c->names[i];
        if (!m->lost || m->tried == c->changes || members_there(c, i, &cold, &ignored)) continue;
        m->tried = c->changes;
        return i;
    }
    return c->name_count;
}

/* `again`: this one is to be loaded.  Within a budget it comes when it is asked for, as it did before. */
static err_code orphan_find(model_control *c, task *t, err *e)
{
    homecoming *h = (homecoming *)(void *)t;
    repository *r = c->opts.models;
    err_code rc = control_names_fill(c, e);
    t->again = false;
    for (size_t i; rc == ERR_OK && (i = orphan_next(c)) < c->name_count;) {
        h->wish.name = repository_name_at(r, i);
        t->again = !c->keeper || repository_pinned(r, i);
        if (t->again) return ERR_OK;
        control_no_orphan(c, i);
        repository_say(r, i, repository_waits);
        repository_demand(r, i, true);
        c->changes++;
        if (c->opts.changed) c->opts.changed(c->opts.ctx);
        log_write(LOG_INFO, NULL, "model '" STR_FMT "' has its members again", STR_ARG(h->wish.name));
    }
    return rc;
}

void control_orphans_return(model_control *c)
{
    err e;
    bool more = atomic_load(&c->orphans) > 0;
    while (more) {
        homecoming h = {.wish = {.granted = true}};
        h.task = (task){.wish = &h.wish, .keeps = true, .quiet = true, .returns = true};
        more = control_do(c, &h.task, orphan_find, &e) == ERR_OK && h.task.again;
        if (more) (void)!control_load(c, &h.task, &e);   /* log, index and metric say why not */
    }
}
