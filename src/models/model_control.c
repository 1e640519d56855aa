#include "models/model_control.h"

#include "base/log.h"
#include "base/mem.h"
#include "models/control_task.h"
#include "models/ensemble.h"

#include <string.h>

enum {
    LOAD_AGAIN_MAX = 4 /* times that a load begins anew because what it builds on has changed */
};

err_code model_control_new(model_control **ret, const model_control_opts *opts, err *e)
{
    CLEANUP(model_control) model_control *c = mem_new0(model_control, 1);
    if (!c) return err_set(e, ERR_NOMEM, "models: no memory for their control");
    c->opts = *opts;
    c->leavers.loops = opts->loops;
    c->leavers.loop_count = opts->loop_count;
    c->leavers.gone = control_gone;
    c->leavers.ctx = c;
    c->leavers.trim_bytes = opts->budget.bytes_max / KEEPER_TRIM_SHARE;
    err_code rc = compute_new(&c->leavers.thread, 1, e);
    if (rc == ERR_OK) rc = crew_new(&c->readers, "load", MODEL_CONTROL_LOADS_MAX, e);
    if (rc == ERR_OK && opts->budget.bytes_max) rc = control_budget_open(c, e);
    if (rc == ERR_OK) *ret = TAKE(c);
    return rc;
}

static err_code dismiss(model_control *c, task *t, err *e)
{
    (void)t, (void)e;
    keeper_stop(c->keeper);
    return ERR_OK;
}

bool model_control_stop(model_control *c)
{
    if (!c || atomic_load(&c->leavers.stopped)) return !c || !c->left;
    atomic_store(&c->leaving, true);
    task t = {.index = 0};
    err e;
    if (c->keeper) (void)!control_do(c, &t, dismiss, &e);
    c->left = !crew_free(c->readers, MODEL_CONTROL_STOP_US);
    atomic_store(&c->leavers.stopped, true);
    if (c->left) log_write(LOG_WARN, NULL, "models: a load has not ended: left behind");
    if (c->left) return false;
    compute_free(c->leavers.thread);
    c->leavers.thread = NULL;
    c->readers = NULL;
    return true;
}

void model_control_free(model_control *c)
{
    if (!model_control_stop(c) || !c) return;
    for (size_t i = 0; i < c->name_count; i++) {
        mem_free(c->names[i].config);
        mem_free(c->names[i].failed);
    }
    mem_free(c->names);
    model_keeper_free(c->keeper);
    mem_free(c);
}

err_code model_control_submit(model_control *c, compute_job *j, err *e)
{
    if (atomic_load(&c->leavers.stopped)) return err_set(e, ERR_UNAVAILABLE, "the server is leaving");
    return crew_submit(c->readers, j, e);
}

void model_control_stats_read(const model_control *c, model_control_stats *ret)
{
    ret->loaded = atomic_load(&c->loaded);
    ret->failed = atomic_load(&c->failed);
    ret->unloaded = atomic_load(&c->leavers.left);
    ret->orphans = atomic_load(&c->orphans);
}

/* No other thread takes models out. */
static void rest_job(compute_job *j)
{
    model_control *c = (model_control *)(void *)((char *)j - offsetof(model_control, rest));
    atomic_store(&c->resting, false);   /* the next one may be behind this one */
    for (size_t i = 0; i < repository_count(c->opts.models); i++) {
        const lineup *l = repository_lineup(c->opts.models, i);
        for (size_t k = 0; l && k < l->count; k++)
            if (l->all[k]->model) model_trim(l->all[k]->model, true);
    }
    mem_trim();
    if (c->keeper) keeper_look(c->keeper);
}

void model_control_rest(model_control *c)
{
    err e;
    if (atomic_exchange(&c->resting, true)) return;
    c->rest = (compute_job){.run = rest_job};
    bool refused = atomic_load(&c->leavers.stopped) || compute_submit(c->leavers.thread, &c->rest, &e);
    if (refused) atomic_store(&c->resting, false);
}

/* ---- loads: begin, found and end on the control's thread, what is between them on a reader's ---- */

/* What is served now stays where it is until the load has looked whether it can be kept. */
static err_code keep(const lineup *now, lineup **ret, err *e)
{
    lineup *l = NULL;
    err_code rc = now ? lineup_new(&l, now->count, e) : ERR_OK;
    for (size_t i = 0; rc == ERR_OK && l && i < now->count; i++) {
        served_hold(now->all[i]);
        l->all[l->count++] = now->all[i];
    }
    if (rc == ERR_OK) *ret = l;
    return rc;
}

/* Whether what a client gave still counts: until its own next load, and whatever brings the model meanwhile. */
static bool recalls(const task *t) { return t->keeps || t->on_demand || t->depth > 0; }

/* A copy: what is remembered may change while the load goes on. */
static err_code recall(task *t, const memory *m, err *e)
{
    repository_load *l = &t->load;
    bool old_config = recalls(t) && m->config;
    l->pin = str_copy(&l->memory, t->activates ? t->wish->version : str_of(m->pin));
    l->path = str_copy(&l->memory, t->wish->path.p ? t->wish->path : repository_path(t->of->opts.models, t->index));
    l->config = old_config ? str_copy(&l->memory, str_of(m->config)) : t->wish->config;
    bool ok = l->pin.p && l->path.p && (!old_config || l->config.p);
    return ok ? ERR_OK : err_set(e, ERR_NOMEM, "models: no memory for a load");
}

static err_code load_begin(model_control *c, task *t, err *e)
{
    err_code rc = control_known_or_added(c, t, e);
    if (rc) return rc;
    memory *m = &c->names[t->index];
    if (m->under_way == MODEL_CONTROL_LOADS_EACH)
        return err_set(e, ERR_UNAVAILABLE, "expected at most %d loads of a model at a time, got %d",
                       MODEL_CONTROL_LOADS_EACH, MODEL_CONTROL_LOADS_EACH + 1);
    rc = recall(t, m, e);
    if (rc == ERR_OK && t->keeps) rc = keep(repository_lineup(c->opts.models, t->index), &t->load.kept, e);
    if (rc) return rc;
    repository_load_of(c->opts.models, t->index, &t->load);
    if (!t->number) t->number = ++m->begun;
    m->under_way++;
    return ERR_OK;
}

static err_code load_found(model_control *c, task *t, err *e)
{
    return repository_loading(c->opts.models, &t->load, e);
}

static err_code remember(memory *m, const repository_load *l, err *e)
{
    char *config = NULL;
    if (l->config.p && !(config = mem_alloc0(1, l->config.len + 1)))
        return err_set(e, ERR_NOMEM, "models: no memory for a configuration");
    if (config) memcpy(config, l->config.p, l->config.len);
    mem_free(m->config);
    m->config = config;
    memset(m->pin, 0, sizeof m->pin);
    memcpy(m->pin, l->pin.p, l->pin.len);
    return ERR_OK;
}

/* Another version was activated, another configuration given, or what it kept has left. */
static bool is_stale(const task *t, const memory *m, const lineup *now)
{
    if (!t->activates && !str_is(t->load.pin, m->pin)) return true;
    if (recalls(t) && !str_is(t->load.config, m->config)) return true;
    for (size_t i = 0; t->load.got && i < t->load.got->count; i++) {
        const served *s = t->load.got->all[i];
        if (lineup_has(t->load.kept, s) && !lineup_has(now, s)) return true;
    }
    return false;
}

/* What is served is what was found. */
static bool is_served(const lineup *now, const lineup *got)
{
    bool same = now && now->count == got->count && now->first == got->first;
    for (size_t i = 0; same && i < got->count; i++) same = now->all[i] == got->all[i];
    return same;
}

/* Whether it failed so the last time, too. */
static bool failed_again(memory *m, const char *why)
{
    if (m->failed && why && strcmp(m->failed, why) == 0) return true;
    mem_free(m->failed);
    m->failed = why ? mem_alloc0(1, strlen(why) + 1) : NULL;
    if (m->failed) memcpy(m->failed, why, strlen(why));
    return false;
}

/* What was read is served from now on. */
static err_code load_take(model_control *c, task *t, memory *m, err *e)
{
    repository *r = c->opts.models;
    err_code rc = c->keeper ? keeper_check(c->keeper, t->index, t->load.got, e) : ERR_OK;
    if (rc == ERR_OK && t->wish->path.p) rc = repository_move(r, t->index, t->load.path, e);
    if (rc == ERR_OK) rc = remember(m, &t->load, e);
    if (rc == ERR_OK) rc = repository_members_note(&t->load, e);
    if (rc == ERR_OK) rc = control_change(c, t->index, t->load.got, control_unloaded, e);
    if (rc) return rc;
    t->load.got = NULL;
    if (c->keeper) repository_demand(r, t->index, true);
    m->done = t->number;
    if (!t->returns) repository_brought_set(r, t->index, t->depth > 0);
    control_no_orphan(c, t->index);
    if (!t->on_demand && control_members_changed(c, e))
        log_write(LOG_WARN, NULL, "models: %s", e->text);   /* it is served all the same */
    return ERR_OK;
}

/* An ensemble that is not there in spite of a wish comes when its members do. */
static void load_failed(model_control *c, const task *t, const err *why)
{
    err ignored;
    repository *r = c->opts.models;
    repository_failed(r, &t->load, why->text);
    bool waits = !t->on_demand && why->code != ERR_NOMEM && !control_there(c, t->index);
    if (!waits || !repository_load_member(&t->load, 0).p) return;
    if (repository_members_note(&t->load, &ignored)) return;
    if (!t->returns) repository_brought_set(r, t->index, t->depth > 0);
    control_orphan(c, t->index);
}

/* With what was read, or with why it was not. */
static err_code load_end(model_control *c, task *t, err *e)
{
    memory *m = &c->names[t->index];
    err_code rc = t->result.code;
    repository_loading_end(&t->load);
    m->under_way--;
    if (m->done > t->number) return ERR_OK;   /* as if it had come before that */
    t->again = is_stale(t, m, repository_lineup(c->opts.models, t->index));
    if (t->again) return ERR_OK;
    if (rc) *e = t->result;
    bool stays = rc == ERR_OK && t->quiet && is_served(repository_lineup(c->opts.models, t->index), t->load.got);
    if (stays) repository_settled(c->opts.models, t->index);   /* also behind a load that failed */
    t->same = failed_again(m, rc ? t->result.text : NULL) || stays;
    if (t->same && t->quiet) return rc;
    if (rc == ERR_OK) rc = load_take(c, t, m, e);
    if (rc) load_failed(c, t, e);
    atomic_fetch_add(rc == ERR_OK ? &c->loaded : &c->failed, 1);
    return rc;
}

/* Nothing takes out what is found here. */
static err_code tell_loaded(model_control *c, task *t, err *e)
{
    served *s = NULL;
    t->told = true;
    const err *failed = t->result.code ? &t->result : NULL;
    if (c->keeper && t->known) keeper_ended(c->keeper, t->index, failed);
    if (!c->opts.loaded) return ERR_OK;
    bool found = failed || repository_find(c->opts.models, t->wish->name, STR(""), &s, e) == ERR_OK;
    if (found) c->opts.loaded(c->opts.ctx, t->wish->name, s, failed);
    return ERR_OK;
}

static bool is_to_be_told(const model_control *c, const task *t)
{
    return (c->opts.loaded || c->keeper) && !t->told && !(t->same && t->quiet);
}

/* In one go: a way to the thread and back is a wait behind all others for whoever waits for the model. */
static err_code load_end_told(model_control *c, task *t, err *e)
{
    err ignored;
    err_code rc = load_end(c, t, e);
    if (t->again || !is_to_be_told(c, t)) return rc;
    if (rc) t->result = *e;
    t->result.code = rc;
    (void)!tell_loaded(c, t, &ignored);
    return rc;
}

/* Not now: what it needs comes before it. */
static err_code load_park(model_control *c, task *t, err *e)
{
    (void)e;
    c->names[t->index].under_way--;
    return ERR_OK;
}

/* What the budget has to know of an ensemble before its members are looked for. */
static err_code members_tell(model_control *c, task *t, err *e)
{
    str member;
    bool there = true;
    size_t all[RESIDENCY_GROUP_MAX];
    keeper_group g = {.of = t->index, .members = all, .parks = t->on_demand};
    for (size_t i = 0; g.count < COUNTOF(all) && (member = repository_load_member(&t->load, i)).p; i++) {
        int64_t at = repository_leads(c->opts.models, member);
        if (at >= 0) all[g.count++] = (size_t)at;
    }
    err_code rc = keeper_need(c->keeper, &g, &there, e);
    t->parked = rc == ERR_OK && !there;
    return rc;
}

static err_code load_open(model_control *c, task *t, err *e)
{
    return repository_load_open(c->opts.models, &t->load, e);
}

static err_code find_now(model_control *c, task *t, err *e)
{
    served *s;
    return repository_find(c->opts.models, t->wish->name, STR(""), &s, e);
}

/* An ensemble needs its members: those that are not loaded are, before it. */
static err_code members_load(model_control *c, const task *t, err *e)
{
    err_code rc = ERR_OK;
    str member;
    for (size_t i = 0; rc == ERR_OK && (member = repository_load_member(&t->load, i)).p; i++) {
        const model_wish wish = {.name = member, .granted = t->wish->granted};
        task its = {.wish = &wish, .depth = t->depth + 1, .quiet = t->quiet};
        if (str_eq(member, t->wish->name) || its.depth > ENSEMBLE_DEPTH_MAX) continue;
        rc = control_do(c, &its, find_now, e);
        if (rc == ERR_NOT_FOUND) rc = control_load(c, &its, e);
    }
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;   /* which the ensemble itself says better */
}

static err_code load_once(model_control *c, task *t, err *e)
{
    repository *r = c->opts.models;
    t->again = false;
    err_code rc = control_do(c, t, load_begin, e);
    if (rc) return rc;
    rc = repository_load_plan(&t->load, &t->result);
    bool grouped = rc == ERR_OK && c->keeper && repository_load_member(&t->load, 0).p;
    if (grouped) rc = control_do(c, t, members_tell, &t->result);
    if (t->parked) return control_do(c, t, load_park, e);
    if (rc == ERR_OK && !t->on_demand && !t->returns) rc = members_load(c, t, &t->result);
    if (rc == ERR_OK) rc = control_do(c, t, load_found, &t->result);
    bool alone = rc == ERR_OK && repository_load_member(&t->load, 0).p == NULL;
    if (alone) rc = repository_load_open(r, &t->load, &t->result);
    else if (rc == ERR_OK) rc = control_do(c, t, load_open, &t->result);
    t->result.code = rc;
    return control_do(c, t, load_end_told, e);
}

static err_code load(model_control *c, task *t, err *e)
{
    for (int i = 0; i < LOAD_AGAIN_MAX; i++) {
        t->load = (repository_load){0};
        repository_load_init(&t->load);
        err_code rc = load_once(c, t, e);
        repository_load_fini(&t->load);
        if (!t->again) return rc;
    }
    return err_set(e, ERR_UNAVAILABLE, "expected a model that stays as it is while it is loaded, got a change in each "
                   "of %d tries", LOAD_AGAIN_MAX);
}

err_code control_load(model_control *c, task *t, err *e)
{
    str name = t->wish->name;
    err ignored;
    err_code rc = load(c, t, e);
    if (rc) t->result = *e;
    t->result.code = rc;
    if (t->parked) return ERR_OK;
    if (is_to_be_told(c, t)) (void)!control_do(c, t, tell_loaded, &ignored);
    if (!t->depth && !t->returns && !t->on_demand) control_orphans_return(c);
    if (rc == ERR_OK) return ERR_OK;
    if (t->same && t->quiet) return rc;
    log_write(LOG_WARN, NULL, "model '" STR_FMT "' is not loaded: %s", STR_ARG(name), e->text);
    if (rc == ERR_NOT_FOUND && !t->known && !t->wish->path.p)   /* the words are Triton's */
        return err_set(e, rc, "failed to load '" STR_FMT "', failed to poll from model repository", STR_ARG(name));
    return err_wrap(e, "failed to load '" STR_FMT "'", STR_ARG(name));
}

err_code model_control_load(model_control *c, const model_wish *w, err *e)
{
    task t = {.wish = w};
    err_code rc = control_allowed(c, w, e);
    return rc ? rc : control_load(c, &t, e);
}

/* What is not in memory is not brought there for a look at its files: `again` = it is there, and may be another. */
static err_code refresh_begin(model_control *c, task *t, err *e)
{
    err_code rc = control_known_or_added(c, t, e);
    if (rc) return rc;
    bool lost = c->names[t->index].lost;   /* it may not need any more what it misses */
    t->again = repository_lineup(c->opts.models, t->index) || repository_pinned(c->opts.models, t->index) || lost;
    if (!lost && !control_there(c, t->index)) c->changes++;   /* it is new, or has been away */
    if (!lost) repository_demand(c->opts.models, t->index, true);
    if (!t->again) repository_versions_forget(c->opts.models, t->index);
    if (!t->again) (void)keeper_unload(c->keeper, t->index);   /* its size, and why it failed, may be others now */
    return ERR_OK;
}

err_code model_control_refresh(model_control *c, const model_wish *w, err *e)
{
    task t = {.wish = w, .keeps = true, .quiet = true};
    err_code rc = control_allowed(c, w, e);
    if (rc == ERR_OK && c->keeper) {
        rc = control_do(c, &t, refresh_begin, e);
        if (rc == ERR_OK && !t.again) control_orphans_return(c);
        if (rc == ERR_OK && !t.again) return ERR_OK;
    }
    return rc ? rc : control_load(c, &t, e);
}
