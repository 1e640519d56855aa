#include "base/log.h"
#include "base/mem.h"
#include "models/control_task.h"

#include <string.h>

typedef struct {
    task task;
    arena *memory;
    str folder;
    model_control_names names;
} census;

static err_code census_take(model_control *c, task *t, err *e)
{
    census *s = (census *)(void *)t;
    const repository *r = c->opts.models;
    size_t n = repository_count(r);
    s->names.all = arena_new(s->memory, str, n + 1);
    if (!s->names.all) return err_set(e, ERR_NOMEM, "models: no memory for %zu names", n);
    for (size_t i = 0; i < n; i++) {
        str path = repository_path(r, i), folder = s->folder, its = repository_name_at(r, i);
        if (!control_wanted(c, i) || path.len != folder.len + 1 + its.len) continue;
        if (!str_starts(path, folder) || !str_ends(path, its)) continue;
        str name = str_copy(s->memory, its);
        if (!name.p) return err_set(e, ERR_NOMEM, "models: no memory for a name");
        s->names.all[s->names.count++] = name;
    }
    return ERR_OK;
}

err_code model_control_served(model_control *c, arena *a, str folder, model_control_names *ret, err *e)
{
    census s = {.memory = a, .folder = folder};
    err_code rc = control_do(c, &s.task, census_take, e);
    if (rc == ERR_OK) *ret = s.names;
    return rc;
}

static err_code unload_one(model_control *c, size_t i, err *e)
{
    err_code rc = control_change(c, i, NULL, control_unloaded, e);
    if (rc) return rc;
    repository_demand(c->opts.models, i, false);
    if (c->keeper) (void)keeper_unload(c->keeper, i);   /* who waits for it does so in vain */
    memory *m = &c->names[i];
    m->done = ++m->begun;
    m->pin[0] = '\0';
    mem_free(m->config);
    m->config = NULL;
    control_no_orphan(c, i);
    return ERR_OK;
}

/* Calls `each` with the members of name i, while it is wanted; true = one of the calls was. */
static bool members_any(const model_control *c, size_t i, bool (*each)(void *ctx, size_t member), void *ctx)
{
    bool any = false;
    str name;
    if (!control_wanted(c, i)) return false;
    for (size_t n = 0; (name = repository_member(c->opts.models, i, n)).p; n++) {
        int64_t member = repository_leads(c->opts.models, name);
        if (member >= 0 && each(ctx, (size_t)member)) any = true;
    }
    return any;
}

static bool is_it(void *ctx, size_t member) { return *(const size_t *)ctx == member; }

static bool suspect(void *ctx, size_t member)
{
    ((bool *)ctx)[member] = true;
    return true;
}

static bool is_needed(const model_control *c, size_t i)
{
    for (size_t k = 0; k < c->name_count; k++)
        if (members_any(c, k, is_it, &i)) return true;
    return false;
}

/* Members of what leaves are looked at again and again, for one may be needed by another that leaves later. */
static err_code unload_with(model_control *c, size_t first, err *e)
{
    bool *suspects = mem_new0(bool, c->name_count), more = true;
    if (!suspects) return err_set(e, ERR_NOMEM, "models: no memory for an unload");
    (void)members_any(c, first, suspect, suspects);
    err_code rc = unload_one(c, first, e);
    while (rc == ERR_OK && more) {
        more = false;
        for (size_t i = 0; rc == ERR_OK && i < c->name_count; i++) {
            bool leaves = suspects[i] && repository_brought(c->opts.models, i) && control_wanted(c, i);
            if (!leaves || is_needed(c, i)) continue;
            (void)members_any(c, i, suspect, suspects);
            rc = unload_one(c, i, e);
            more = true;
        }
    }
    mem_free(suspects);
    return rc;
}

static err_code unload_now(model_control *c, task *t, err *e)
{
    err_code rc = control_known(c, t, e);
    if (rc == ERR_OK) rc = t->wish->dependents ? unload_with(c, t->index, e) : unload_one(c, t->index, e);
    return rc ? rc : control_orphans_leave(c, e);
}

err_code model_control_unload(model_control *c, const model_wish *w, err *e)
{
    task t = {.wish = w};
    err_code rc = control_allowed(c, w, e);
    return rc ? rc : control_do(c, &t, unload_now, e);
}

/* `again`: it is not served, so it has to be loaded. */
static err_code activate_now(model_control *c, task *t, err *e)
{
    err_code rc = control_known(c, t, e);
    if (rc) return rc;
    lineup *l;
    str version = t->wish->version;
    memory *m = &c->names[t->index];
    const lineup *now = repository_lineup(c->opts.models, t->index);
    t->again = !now || !version.len || !lineup_find(now, version);
    if (t->again) return ERR_OK;
    if ((rc = lineup_new(&l, now->count, e)) != ERR_OK) return rc;
    for (size_t i = 0; i < now->count; i++) {
        l->all[l->count++] = now->all[i];
        if (str_eq(now->all[i]->version, version)) l->first = i;
    }
    if ((rc = control_change(c, t->index, l, control_unloaded, e)) != ERR_OK) {
        lineup_free(l);
        return rc;
    }
    memset(m->pin, 0, sizeof m->pin);
    memcpy(m->pin, version.p, version.len);
    return ERR_OK;
}

err_code model_control_activate(model_control *c, const model_wish *w, err *e)
{
    str name = w->name, version = w->version;
    task t = {.wish = w, .activates = true, .keeps = true};
    err_code rc = control_allowed(c, w, e);
    if (rc == ERR_OK && version.len >= MODEL_CONTROL_VERSION_MAX)
        rc = err_set(e, ERR_INVALID, "version: expected at most %d bytes, got %zu", MODEL_CONTROL_VERSION_MAX - 1,
                     version.len);
    if (rc == ERR_OK) rc = control_do(c, &t, activate_now, e);
    if (rc == ERR_OK && t.again) rc = control_load(c, &t, e);
    if (rc) return rc;
    log_write(LOG_INFO, NULL, "model '" STR_FMT "': %s" STR_FMT " serves who names no version", STR_ARG(name),
              version.len ? "version " : "the newest version", STR_ARG(version));
    return ERR_OK;
}
