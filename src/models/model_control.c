#include "models/model_control.h"

#include "async/crew.h"
#include "base/log.h"
#include "base/mem.h"
#include "models/ensemble.h"
#include "models/farewell.h"
#include "os/futex.h"

#include <string.h>

enum {
    LOAD_AGAIN_MAX = 4 /* times that a load begins anew because what it builds on has changed */
};

/* What is remembered of a name, beside what is served; the control's thread alone. */
typedef struct {
    char *config;                /* that a client gave; NULL = none */
    char pin[MODEL_CONTROL_VERSION_MAX];   /* the version that was activated; "" = none */
    uint64_t begun, done;        /* changes of it: numbers of the last that began, and of the last that took effect */
    uint32_t under_way;          /* loads */
    char *failed;                /* why the last load failed; NULL = it did not */
} memory;

struct model_control {
    model_control_opts opts;
    farewells leavers;           /* what was taken out; its thread changes everything */
    crew *readers;
    _Atomic bool leaving;        /* what waits is refused */
    bool left;                   /* for good: a reader has not ended */
    compute_job rest;
    _Atomic bool resting;        /* that waits for the thread */
    memory *names;               /* as the repository counts them */
    size_t name_count;
    _Atomic uint64_t loaded, failed;
};

static void tell(const model_control *c)
{
    if (c->opts.changed) c->opts.changed(c->opts.ctx);
}

/* `now` is what is found from here on; NULL = nothing.  It is the caller's on an error. */
static err_code change(model_control *c, size_t i, lineup *now, err *e)
{
    farewell *f;
    const lineup *before = repository_lineup(c->opts.models, i);
    err_code rc = now ? repository_rows(c->opts.models, i, now, e) : ERR_OK;
    if (rc == ERR_OK) rc = farewell_new(&f, &c->leavers, before ? before->count : 0, e);
    if (rc) return rc;
    farewell_send(f, repository_swap(c->opts.models, i, now), now);
    tell(c);
    return ERR_OK;
}

/* ---- the thread that changes ---- */

typedef struct task task;
struct task {
    compute_job job;
    model_control *of;
    err_code (*run)(model_control *c, task *t, err *e);
    const model_wish *wish;
    repository_load load;
    uint32_t depth;              /* of an ensemble's member, and its members */
    uint64_t number;             /* of the load, among the changes of its name */
    bool activates;              /* the wish's version is to serve who names none, as the last step of the load */
    bool keeps;                  /* what has not changed is not read again */
    bool quiet;                  /* nor is said what was said before, */
    bool same;                   /* as this was */
    bool again;                  /* what it builds on has changed meanwhile */
    bool known;                  /* the name, at index */
    size_t index;
    err result;                  /* of what was read */
    err failure;
    _Atomic uint32_t done;
};

static void task_job(compute_job *j)
{
    task *t = (task *)(void *)((char *)j - offsetof(task, job));
    t->failure.code = t->run(t->of, t, &t->failure);
    atomic_store(&t->done, 1);
    (void)futex_wake(&t->done, 1);
}

/* Returns when it has run there. */
static err_code change_by(model_control *c, task *t, err_code (*run)(model_control *c, task *t, err *e), err *e)
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

/* Room for what is remembered of all names that there are. */
static err_code names_fill(model_control *c, err *e)
{
    size_t n = repository_count(c->opts.models);
    if (n <= c->name_count) return ERR_OK;
    memory *all = mem_grow(c->names, c->name_count * sizeof(memory), n, sizeof(memory));
    if (!all) return err_set(e, ERR_NOMEM, "models: no memory for %zu", n);
    memset(all + c->name_count, 0, (n - c->name_count) * sizeof(memory));
    c->names = all;
    c->name_count = n;
    return ERR_OK;
}

static err_code known(model_control *c, task *t, err *e)
{
    int64_t i = repository_index(c->opts.models, t->wish->name);
    if (i < 0)
        return err_set(e, ERR_NOT_FOUND, "Model with name " STR_FMT " does not exist.", STR_ARG(t->wish->name));
    t->index = (size_t)i;
    t->known = true;
    return names_fill(c, e);
}

static err_code known_or_added(model_control *c, task *t, err *e)
{
    farewell *f;
    repository_names *old;
    if (repository_index(c->opts.models, t->wish->name) >= 0) return known(c, t, e);
    err_code rc = farewell_new(&f, &c->leavers, 0, e);
    if (rc) return rc;
    if ((rc = repository_add(c->opts.models, t->wish->name, t->wish->path, &old, e)) != ERR_OK) {
        farewell_drop(f);
        return rc;
    }
    farewell_send_names(f, old);
    return known(c, t, e);
}

err_code model_control_new(model_control **ret, const model_control_opts *opts, err *e)
{
    CLEANUP(model_control) model_control *c = mem_new0(model_control, 1);
    if (!c) return err_set(e, ERR_NOMEM, "models: no memory for their control");
    c->opts = *opts;
    c->leavers.loops = opts->loops;
    c->leavers.loop_count = opts->loop_count;
    err_code rc = compute_new(&c->leavers.thread, 1, e);
    if (rc == ERR_OK) rc = crew_new(&c->readers, "load", MODEL_CONTROL_LOADS_MAX, e);
    if (rc == ERR_OK) *ret = TAKE(c);
    return rc;
}

bool model_control_stop(model_control *c)
{
    if (!c || atomic_load(&c->leavers.stopped)) return !c || !c->left;
    atomic_store(&c->leaving, true);
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
}

/* No other thread takes models out. */
static void rest_job(compute_job *j)
{
    model_control *c = (model_control *)(void *)((char *)j - offsetof(model_control, rest));
    atomic_store(&c->resting, false);   /* the next one may be behind this one */
    for (size_t i = 0; i < repository_count(c->opts.models); i++) {
        const lineup *l = repository_lineup(c->opts.models, i);
        for (size_t k = 0; l && k < l->count; k++)
            if (l->all[k]->model) model_trim(l->all[k]->model);
    }
    mem_trim();
}

void model_control_rest(model_control *c)
{
    err e;
    if (atomic_exchange(&c->resting, true)) return;
    c->rest = (compute_job){.run = rest_job};
    bool refused = atomic_load(&c->leavers.stopped) || compute_submit(c->leavers.thread, &c->rest, &e);
    if (refused) atomic_store(&c->resting, false);
}

static err_code allowed(const model_control *c, const model_wish *w, err *e)
{
    if (!c->opts.allowed && !w->granted)
        return err_set(e, ERR_UNAVAILABLE, "explicit model load / unload is not allowed if polling is enabled");
    if (atomic_load(&c->leaving)) return err_set(e, ERR_UNAVAILABLE, "the server is leaving");
    return ERR_OK;
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

/* A copy: what is remembered may change while the load goes on. */
static err_code recall(task *t, const memory *m, err *e)
{
    repository_load *l = &t->load;
    bool old_config = t->keeps && m->config;
    l->pin = str_copy(&l->memory, t->activates ? t->wish->version : str_of(m->pin));
    l->path = str_copy(&l->memory, t->wish->path.p ? t->wish->path : repository_path(t->of->opts.models, t->index));
    l->config = old_config ? str_copy(&l->memory, str_of(m->config)) : t->wish->config;
    bool ok = l->pin.p && l->path.p && (!old_config || l->config.p);
    return ok ? ERR_OK : err_set(e, ERR_NOMEM, "models: no memory for a load");
}

static err_code load_begin(model_control *c, task *t, err *e)
{
    err_code rc = known_or_added(c, t, e);
    if (rc) return rc;
    memory *m = &c->names[t->index];
    if (m->under_way == MODEL_CONTROL_LOADS_EACH)
        return err_set(e, ERR_UNAVAILABLE, "expected at most %d loads of a model at a time, got %d",
                       MODEL_CONTROL_LOADS_EACH, MODEL_CONTROL_LOADS_EACH + 1);
    rc = recall(t, m, e);
    if (rc == ERR_OK && t->keeps) rc = keep(repository_lineup(c->opts.models, t->index), &t->load.kept, e);
    if (rc) return rc;
    t->load.index = t->index;
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

/* Another version was activated, or what it kept has left. */
static bool is_stale(const task *t, const memory *m, const lineup *now)
{
    if (!t->activates && !str_is(t->load.pin, m->pin)) return true;
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
    t->same = failed_again(m, rc ? t->result.text : NULL) ||
              (rc == ERR_OK && t->quiet && is_served(repository_lineup(c->opts.models, t->index), t->load.got));
    if (t->same && t->quiet) return rc;
    if (rc == ERR_OK && t->wish->path.p) rc = repository_move(c->opts.models, t->index, t->load.path, e);
    if (rc == ERR_OK) rc = remember(m, &t->load, e);
    if (rc == ERR_OK && (rc = change(c, t->index, t->load.got, e)) == ERR_OK) t->load.got = NULL;
    if (rc == ERR_OK) m->done = t->number;
    if (rc == ERR_OK) repository_brought_set(c->opts.models, t->index, t->depth > 0);
    else repository_failed(c->opts.models, &t->load, e->text);
    atomic_fetch_add(rc == ERR_OK ? &c->loaded : &c->failed, 1);
    return rc;
}

static err_code load_open(model_control *c, task *t, err *e)
{
    return repository_load_open(c->opts.models, &t->load, e);
}

static err_code load_and_tell(model_control *c, task *t, err *e);

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
        task its = {.wish = &wish, .depth = t->depth + 1};
        if (str_eq(member, t->wish->name) || its.depth > ENSEMBLE_DEPTH_MAX) continue;
        rc = change_by(c, &its, find_now, e);
        if (rc == ERR_NOT_FOUND) rc = load_and_tell(c, &its, e);
    }
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;   /* which the ensemble itself says better */
}

static err_code load_once(model_control *c, task *t, err *e)
{
    repository *r = c->opts.models;
    t->again = false;
    err_code rc = change_by(c, t, load_begin, e);
    if (rc) return rc;
    rc = repository_load_plan(r, &t->load, &t->result);
    if (rc == ERR_OK) rc = members_load(c, t, &t->result);
    if (rc == ERR_OK) rc = change_by(c, t, load_found, &t->result);
    bool alone = rc == ERR_OK && repository_load_member(&t->load, 0).p == NULL;
    if (alone) rc = repository_load_open(r, &t->load, &t->result);
    else if (rc == ERR_OK) rc = change_by(c, t, load_open, &t->result);
    t->result.code = rc;
    return change_by(c, t, load_end, e);
}

static err_code load(model_control *c, task *t, err *e)
{
    for (int i = 0; i < LOAD_AGAIN_MAX; i++) {
        t->load = (repository_load){.index = 0};
        repository_load_init(&t->load);
        err_code rc = load_once(c, t, e);
        repository_load_fini(&t->load);
        if (!t->again) return rc;
    }
    return err_set(e, ERR_UNAVAILABLE, "expected a model that stays as it is while it is loaded, got a change in each "
                   "of %d tries", LOAD_AGAIN_MAX);
}

/* Nothing takes out what is found here. */
static err_code tell_loaded(model_control *c, task *t, err *e)
{
    served *s = NULL;
    const err *failed = t->result.code ? &t->result : NULL;
    bool found = failed || repository_find(c->opts.models, t->wish->name, STR(""), &s, e) == ERR_OK;
    if (found) c->opts.loaded(c->opts.ctx, t->wish->name, s, failed);
    return ERR_OK;
}

static err_code load_and_tell(model_control *c, task *t, err *e)
{
    str name = t->wish->name;
    err ignored;
    err_code rc = load(c, t, e);
    if (rc) t->result = *e;
    t->result.code = rc;
    if (c->opts.loaded && !(t->same && t->quiet)) (void)!change_by(c, t, tell_loaded, &ignored);
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
    err_code rc = allowed(c, w, e);
    return rc ? rc : load_and_tell(c, &t, e);
}

err_code model_control_refresh(model_control *c, const model_wish *w, err *e)
{
    task t = {.wish = w, .keeps = true, .quiet = true};
    err_code rc = allowed(c, w, e);
    return rc ? rc : load_and_tell(c, &t, e);
}

/* ---- what needs no reading ---- */

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
        const served *m = repository_at(r, i);
        str path = repository_path(r, i), folder = s->folder;
        if (!m || path.len != folder.len + 1 + m->name.len) continue;
        if (!str_starts(path, folder) || !str_ends(path, m->name)) continue;
        str name = str_copy(s->memory, m->name);
        if (!name.p) return err_set(e, ERR_NOMEM, "models: no memory for a name");
        s->names.all[s->names.count++] = name;
    }
    return ERR_OK;
}

err_code model_control_served(model_control *c, arena *a, str folder, model_control_names *ret, err *e)
{
    census s = {.memory = a, .folder = folder};
    err_code rc = change_by(c, &s.task, census_take, e);
    if (rc == ERR_OK) *ret = s.names;
    return rc;
}

static err_code unload_one(model_control *c, size_t i, err *e)
{
    err_code rc = change(c, i, NULL, e);
    if (rc) return rc;
    memory *m = &c->names[i];
    m->done = ++m->begun;
    m->pin[0] = '\0';
    mem_free(m->config);
    m->config = NULL;
    return ERR_OK;
}

/* Calls `each` with the members of what is served under name i, more than once where versions share them; true = one
 * of the calls was. */
static bool members_any(const model_control *c, size_t i, bool (*each)(void *ctx, size_t member), void *ctx)
{
    const lineup *l = repository_lineup(c->opts.models, i);
    bool any = false;
    str name;
    for (size_t k = 0; l && k < l->count; k++)
        for (size_t n = 0; (name = model_config_member(l->all[k]->config, n)).p; n++) {
            int64_t member = repository_index(c->opts.models, name);
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
            bool leaves = suspects[i] && repository_brought(c->opts.models, i) && repository_lineup(c->opts.models, i);
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
    err_code rc = known(c, t, e);
    if (rc) return rc;
    return t->wish->dependents ? unload_with(c, t->index, e) : unload_one(c, t->index, e);
}

err_code model_control_unload(model_control *c, const model_wish *w, err *e)
{
    task t = {.wish = w};
    err_code rc = allowed(c, w, e);
    return rc ? rc : change_by(c, &t, unload_now, e);
}

/* `again`: it is not served, so it has to be loaded. */
static err_code activate_now(model_control *c, task *t, err *e)
{
    err_code rc = known(c, t, e);
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
    if ((rc = change(c, t->index, l, e)) != ERR_OK) {
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
    err_code rc = allowed(c, w, e);
    if (rc == ERR_OK && version.len >= MODEL_CONTROL_VERSION_MAX)
        rc = err_set(e, ERR_INVALID, "version: expected at most %d bytes, got %zu", MODEL_CONTROL_VERSION_MAX - 1,
                     version.len);
    if (rc == ERR_OK) rc = change_by(c, &t, activate_now, e);
    if (rc == ERR_OK && t.again) rc = load_and_tell(c, &t, e);
    if (rc) return rc;
    log_write(LOG_INFO, NULL, "model '" STR_FMT "': %s" STR_FMT " serves who names no version", STR_ARG(name),
              version.len ? "version " : "the newest version", STR_ARG(version));
    return ERR_OK;
}
