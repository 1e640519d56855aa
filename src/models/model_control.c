#include "models/model_control.h"

#include "base/log.h"
#include "base/mem.h"
#include "models/ensemble.h"
#include "models/served.h"
#include "os/clock.h"
#include "os/futex.h"

enum { QUIET_US = 1000 };   /* how often it is looked whether workers have left a queue */

struct model_control {
    model_control_opts opts;
    compute *thread;
    _Atomic bool leaving;        /* what waits is refused */
    bool stopped;                /* there is no thread any more, nor any loop that runs */
    compute_job rest;
    _Atomic bool resting;        /* that waits for the thread */
};

typedef struct farewell farewell;

/* To one loop. */
typedef struct {
    loop_msg msg;
    farewell *of;
} notice;

/* A model that is out of the repository, until nobody has it any more. */
struct farewell {
    model_control *of;
    served *model;
    repository_names *names;     /* or these, which no loop holds longer than a callback; NULL = the model */
    size_t index;
    compute_job job;
    _Atomic size_t loops_left;   /* that may still be in a callback which has found it */
    notice notices[];
};

static void bury(farewell *f)
{
    model_control *c = f->of;
    /* A worker may still be on its way out of the queue, or wait for its turn in the pool to find that it is empty. */
    _Atomic uint32_t never = 0;
    while (!served_quiet(f->model)) (void)futex_wait(&never, 0, clock_now_us() + QUIET_US);
    log_write(LOG_INFO, NULL, "model '" STR_FMT "' version " STR_FMT ": unloaded", STR_ARG(f->model->name),
              STR_ARG(f->model->version));
    served_free(f->model);
    mem_trim();
    repository_leaving(c->opts.models, f->index, -1);
    mem_free(f);
}

static void bury_job(compute_job *j) { bury((farewell *)(void *)((char *)j - offsetof(farewell, job))); }

/* On whichever thread gave it back last. */
static void unused(served *s)
{
    farewell *f = s->owner;
    err e;
    f->job = (compute_job){.run = bury_job};
    if (f->of->stopped || model_control_submit(f->of, &f->job, &e)) bury(f);
}

static void noticed(loop *on, loop_msg *m)
{
    (void)on;
    farewell *f = ((notice *)(void *)m)->of;
    if (atomic_fetch_sub(&f->loops_left, 1) != 1) return;
    if (!f->names) {
        served_release(f->model);
        return;
    }
    repository_names_free(f->names);
    mem_free(f);
}

static err_code farewell_new(farewell **ret, model_control *c, size_t index, err *e)
{
    size_t n = c->opts.loop_count;
    farewell *f = mem_alloc0(1, sizeof *f + n * sizeof(notice));
    if (!f) return err_set(e, ERR_NOMEM, "models: no memory for a change");
    f->of = c;
    f->index = index;
    f->loops_left = n;
    for (size_t i = 0; i < n; i++) f->notices[i] = (notice){.msg = {.run = noticed}, .of = f};
    *ret = f;
    return ERR_OK;
}

/* The last of them may free f. */
static void notices_send(farewell *f)
{
    model_control *c = f->of;
    size_t n = c->opts.loop_count;
    for (size_t i = 0; i < n; i++) loop_post(c->opts.loops[i], &f->notices[i].msg);
}

/* `now` is what is found from here on. */
static void change(farewell *f, served *now)
{
    model_control *c = f->of;
    repository_leaving(c->opts.models, f->index, 1);
    served *old = repository_swap(c->opts.models, f->index, now);
    if (!old) {
        repository_leaving(c->opts.models, f->index, -1);
        mem_free(f);
        return;
    }
    f->model = old;
    old->unused = unused;
    old->owner = f;
    notices_send(f);
}

err_code model_control_new(model_control **ret, const model_control_opts *opts, err *e)
{
    CLEANUP(model_control) model_control *c = mem_new0(model_control, 1);
    if (!c) return err_set(e, ERR_NOMEM, "models: no memory for their control");
    c->opts = *opts;
    err_code rc = compute_new(&c->thread, 1, e);
    if (rc == ERR_OK) *ret = TAKE(c);
    return rc;
}

void model_control_stop(model_control *c)
{
    if (!c) return;
    compute *thread = c->thread;
    atomic_store(&c->leaving, true);
    compute_free(thread);
    c->thread = NULL;
    c->stopped = true;
}

void model_control_free(model_control *c)
{
    if (!c) return;
    model_control_stop(c);
    mem_free(c);
}

err_code model_control_submit(model_control *c, compute_job *j, err *e)
{
    return c->stopped ? err_set(e, ERR_UNAVAILABLE, "the server is leaving") : compute_submit(c->thread, j, e);
}

/* No other thread takes models out. */
static void rest_job(compute_job *j)
{
    model_control *c = (model_control *)(void *)((char *)j - offsetof(model_control, rest));
    atomic_store(&c->resting, false);   /* the next one may be behind this one */
    for (size_t i = 0; i < repository_count(c->opts.models); i++) {
        served *s = repository_at(c->opts.models, i);
        if (s && s->model) model_trim(s->model);
    }
    mem_trim();
}

void model_control_rest(model_control *c)
{
    err e;
    if (atomic_exchange(&c->resting, true)) return;
    c->rest = (compute_job){.run = rest_job};
    if (model_control_submit(c, &c->rest, &e)) atomic_store(&c->resting, false);
}

static err_code allowed(const model_control *c, const model_wish *w, err *e)
{
    if (!c->opts.allowed && !w->granted)
        return err_set(e, ERR_UNAVAILABLE, "explicit model load / unload is not allowed if polling is enabled");
    if (atomic_load(&c->leaving)) return err_set(e, ERR_UNAVAILABLE, "the server is leaving");
    return ERR_OK;
}

static void tell(const model_control *c)
{
    if (c->opts.changed) c->opts.changed(c->opts.ctx);
}

static err_code load(model_control *c, size_t i, const model_wish *w, err *e)
{
    served *s = NULL;
    farewell *f = NULL;
    err_code rc = farewell_new(&f, c, i, e);
    if (rc) return rc;
    if ((rc = repository_load(c->opts.models, i, &(repository_from){w->path, w->config}, &s, e)) != ERR_OK) {
        mem_free(f);
        return rc;
    }
    repository_reason(c->opts.models, i, "");
    change(f, s);
    return ERR_OK;
}

static err_code load_again(model_control *c, size_t i, const model_wish *w, err *e)
{
    repository_loading(c->opts.models, i, true);
    err_code rc = load(c, i, w, e);
    if (rc) repository_reason(c->opts.models, i, e->text);
    repository_loading(c->opts.models, i, false);
    return rc;
}

static err_code load_new(model_control *c, const model_wish *w, err *e)
{
    farewell *f = NULL;
    err_code rc = farewell_new(&f, c, 0, e);
    if (rc) return rc;
    const repository_from from = {w->path, w->config};
    if ((rc = repository_add(c->opts.models, w->name, &from, &f->names, e)) != ERR_OK) {
        mem_free(f);
        return rc;
    }
    notices_send(f);
    return ERR_OK;
}

/* No other thread takes out what is found here. */
static void tell_loaded(const model_control *c, str name, const err *failed)
{
    served *s = NULL;
    err e;
    if (!c->opts.loaded || (!failed && repository_find(c->opts.models, name, STR(""), &s, &e))) return;
    c->opts.loaded(c->opts.ctx, name, s, failed);
}

static err_code load_deep(model_control *c, const model_wish *w, uint32_t depth, err *e);

/* An ensemble needs its members: those that are not loaded are, before it. */
static err_code members_load(model_control *c, const model_wish *w, uint32_t depth, err *e)
{
    err ignored;
    served *s;
    str member;
    CLEANUP(model_config) model_config *mc = NULL;
    err_code rc = ERR_OK;
    const repository_from from = {w->path, w->config};
    if (depth > ENSEMBLE_DEPTH_MAX || repository_config(c->opts.models, w->name, &from, &mc, &ignored)) return ERR_OK;
    for (size_t i = 0; rc == ERR_OK && (member = model_config_member(mc, i)).p; i++) {
        const model_wish its = {.name = member, .granted = w->granted};
        if (str_eq(member, w->name)) continue;
        if (repository_find(c->opts.models, member, STR(""), &s, &ignored)) rc = load_deep(c, &its, depth + 1, e);
    }
    return rc == ERR_NOT_FOUND ? ERR_OK : rc;   /* which the ensemble itself says better */
}

static err_code load_deep(model_control *c, const model_wish *w, uint32_t depth, err *e)
{
    err_code rc = members_load(c, w, depth, e);
    if (rc) return rc;
    int64_t i = repository_index(c->opts.models, w->name);
    rc = i < 0 ? load_new(c, w, e) : load_again(c, (size_t)i, w, e);
    if (rc == ERR_OK) tell(c);
    tell_loaded(c, w->name, rc ? e : NULL);
    if (rc == ERR_OK) return ERR_OK;
    log_write(LOG_WARN, NULL, "model '" STR_FMT "' is not loaded: %s", STR_ARG(w->name), e->text);
    if (rc == ERR_NOT_FOUND && i < 0 && !w->path.p)   /* the words are Triton's */
        return err_set(e, rc, "failed to load '" STR_FMT "', failed to poll from model repository", STR_ARG(w->name));
    return err_wrap(e, "failed to load '" STR_FMT "'", STR_ARG(w->name));
}

err_code model_control_load(model_control *c, const model_wish *w, err *e)
{
    err_code rc = allowed(c, w, e);
    return rc ? rc : load_deep(c, w, 1, e);
}

err_code model_control_unload(model_control *c, const model_wish *w, err *e)
{
    str name = w->name;
    farewell *f = NULL;
    err_code rc = allowed(c, w, e);
    if (rc) return rc;
    int64_t i = repository_index(c->opts.models, name);
    if (i < 0) return err_set(e, ERR_NOT_FOUND, "Model with name " STR_FMT " does not exist.", STR_ARG(name));
    if ((rc = farewell_new(&f, c, (size_t)i, e)) != ERR_OK) return rc;
    repository_reason(c->opts.models, (size_t)i, "unloaded");
    change(f, NULL);
    tell(c);
    return ERR_OK;
}
