#include "models/farewell.h"

#include "base/log.h"
#include "base/mem.h"
#include "models/served.h"

/* To one loop. */
typedef struct {
    loop_msg msg;
    farewell *of;
} notice;

/* A version that is out of the repository, until nobody has it any more. */
typedef struct {
    farewell *of;
    served *model;
    compute_job job;
} leaver;

/* What was taken out in one change.  `parts` keep it: all loops together, and each leaver. */
struct farewell {
    farewells *of;
    lineup *old;                 /* which no loop holds longer than a callback; may be NULL */
    repository_names *names;     /* the same */
    aliases *aliases;            /* the same */
    _Atomic size_t loops_left;   /* that may still be in a callback which has found it */
    _Atomic size_t parts;
    _Atomic size_t leavers_left;
    size_t tag;
    leaver *leavers;
    size_t leaver_count;
    notice notices[];
};

static void part_end(farewell *f)
{
    if (atomic_fetch_sub(&f->parts, 1) != 1) return;
    mem_free(f->leavers);
    mem_free(f);
}

/* It takes milliseconds: not for each of many that leave one behind the other. */
static void trim(farewells *c, uint64_t bytes)
{
    c->untrimmed += bytes;
    if (c->untrimmed < c->trim_bytes) return;
    c->untrimmed = 0;
    mem_trim();
}

static void bury(leaver *l)
{
    farewells *c = l->of->of;
    bool tagged = l->of->tag != (size_t)FAREWELL_NO_TAG;
    log_write(tagged ? LOG_DEBUG : LOG_INFO, NULL, "model '" STR_FMT "' version " STR_FMT ": unloaded",
              STR_ARG(l->model->name), STR_ARG(l->model->version));
    atomic_fetch_add(&c->left, 1);
    repository_left(l->model);
    uint64_t bytes = served_held_bytes(l->model);
    served_free(l->model);
    trim(c, bytes);
    bool last = atomic_fetch_sub(&l->of->leavers_left, 1) == 1;
    if (last && tagged && !atomic_load(&c->stopped)) c->gone(c->ctx, l->of->tag);
    part_end(l->of);
}

static void bury_job(compute_job *j) { bury((leaver *)(void *)((char *)j - offsetof(leaver, job))); }

/* On whichever thread gave it back last. */
static void unused(served *s)
{
    leaver *l = s->owner;
    farewells *c = l->of->of;
    err e;
    l->job = (compute_job){.run = bury_job};
    if (atomic_load(&c->stopped) || compute_submit(c->thread, &l->job, &e)) bury(l);
}

static void noticed(loop *on, loop_msg *m)
{
    (void)on;
    farewell *f = ((notice *)(void *)m)->of;
    if (atomic_fetch_sub(&f->loops_left, 1) != 1) return;
    lineup_free(f->old);
    repository_names_free(f->names);
    aliases_free(f->aliases);
    for (size_t i = 0; i < f->leaver_count; i++) served_release(f->leavers[i].model);
    part_end(f);
}

err_code farewell_new(farewell **ret, farewells *of, size_t versions, err *e)
{
    size_t n = of->loop_count;
    farewell *f = mem_alloc0(1, sizeof *f + n * sizeof(notice));
    leaver *leavers = versions ? mem_new0(leaver, versions) : NULL;
    if (!f || (versions && !leavers)) {
        mem_free(f);
        mem_free(leavers);
        return err_set(e, ERR_NOMEM, "models: no memory for a change");
    }
    f->of = of;
    f->leavers = leavers;
    f->loops_left = n;
    f->tag = (size_t)FAREWELL_NO_TAG;
    f->parts = 1;
    for (size_t i = 0; i < n; i++) f->notices[i] = (notice){.msg = {.run = noticed}, .of = f};
    *ret = f;
    return ERR_OK;
}

void farewell_drop(farewell *f)
{
    mem_free(f->leavers);
    mem_free(f);
}

/* The last of them may free f. */
static void notices_send(farewell *f)
{
    farewells *c = f->of;
    size_t n = c->loop_count;
    for (size_t i = 0; i < n; i++) loop_post(c->loops[i], &f->notices[i].msg);
}

void farewell_tag(farewell *f, size_t tag) { f->tag = tag; }

void farewell_send(farewell *f, lineup *old, const lineup *now)
{
    f->old = old;
    for (size_t k = 0; old && k < old->count; k++) {
        served *s = old->all[k];
        if (lineup_has(now, s)) continue;
        leaver *l = &f->leavers[f->leaver_count++];
        *l = (leaver){.of = f, .model = s};
        s->unused = unused;
        s->owner = l;
    }
    f->parts += f->leaver_count;
    f->leavers_left = f->leaver_count;
    notices_send(f);
}

void farewell_send_names(farewell *f, repository_names *old)
{
    f->names = old;
    notices_send(f);
}

void farewell_send_aliases(farewell *f, aliases *old)
{
    f->aliases = old;
    notices_send(f);
}
