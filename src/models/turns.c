#include "models/turns.h"

#include "base/mem.h"
#include "os/lock.h"   /* style: the queues of all models meet at the workers, and none of them belongs to a loop */

/* What stands in the pool's line for a run, whoever's it will be: as many as there are runs asked for, but for those
 * that have to wait for resources. */
typedef struct token token;
struct token {
    compute_job job;
    turns *of;
    token *next;
};

struct turns {
    compute *pool;
    bool by_runs;
    lock lock;                     /* guards all below; held while a decision is made, never while calling out */
    fair fair;
    resources resources;
    token *free;                   /* as many as joined, less those in the line */
    size_t sent;                   /* those in the line */
};

/* What a run counts by runs; any number would do that a weight divides well. */
enum { RUN_NS = 1000000 };

err_code turns_new(turns **ret, compute *pool, bool by_runs, err *e)
{
    turns *t = mem_new0(turns, 1);
    if (!t) return err_set(e, ERR_NOMEM, "models: no memory for their turns");
    t->pool = pool;
    t->by_runs = by_runs;
    lock_init(&t->lock);
    fair_init(&t->fair);
    resources_init(&t->resources);
    *ret = t;
    return ERR_OK;
}

void turns_free(turns *t)
{
    if (!t) return;
    INVARIANT(!t->free && t->sent == 0);
    lock_fini(&t->lock);
    mem_free(t);
}

compute *turns_pool(const turns *t) { return t->pool; }
bool turns_by_runs(const turns *t) { return t->by_runs; }

err_code turns_say(turns *t, str resource, uint32_t count, err *e)
{
    return resources_say(&t->resources, resource, count, e);
}

/* ---- who shares -------------------------------------------------------------------------------------------------- */

static void token_run(compute_job *j);

static fair_share share_of(const turns *t, const turn_opts *o)
{
    if (!t->by_runs) return (fair_share){.weight = o->weight};
    return (fair_share){.weight = o->instances < FAIR_WEIGHT_MAX ? o->instances : FAIR_WEIGHT_MAX,
                        .priority = o->priority};
}

err_code turns_join(turns *t, model_turn *m, const turn_opts *o, err *e)
{
    token *k = mem_new0(token, 1);
    if (!k) return err_set(e, ERR_NOMEM, "models: no memory for a model's turns");
    INVARIANT(m->run && o->weight <= FAIR_WEIGHT_MAX && o->priority <= FAIR_PRIORITY_MAX);
    *k = (token){.job = {.run = token_run}, .of = t};
    m->share = share_of(t, o);
    lock_take(&t->lock);
    err_code rc = resources_join(&t->resources, &m->claim, o->needs, t->by_runs ? o->need_count : 0, e);
    if (rc == ERR_OK) {
        k->next = t->free;
        t->free = TAKE(k);
    }
    lock_give(&t->lock);
    mem_free(k);
    return rc;
}

void turns_leave(turns *t, model_turn *m)
{
    lock_take(&t->lock);
    INVARIANT(t->free && !order_has(&m->share.place));
    token *k = t->free;
    t->free = k->next;
    resources_leave(&t->resources, &m->claim);
    lock_give(&t->lock);
    mem_free(k);
}

/* ---- who is next ------------------------------------------------------------------------------------------------- */

typedef struct {
    const resources *of;
    uint64_t short_of;
} looking;

static bool may_go(const fair_share *s, void *of)
{
    const model_turn *m = (const model_turn *)(const void *)((const char *)s - offsetof(model_turn, share));
    looking *l = of;
    return resources_fit(l->of, &m->claim, &l->short_of);
}

static model_turn *next_of(const turns *t)
{
    looking l = {.of = &t->resources};
    fair_share *s = fair_first(&t->fair, may_go, &l);
    return s ? (model_turn *)(void *)((char *)s - offsetof(model_turn, share)) : NULL;
}

/* With the lock held. */
static void go(turns *t, model_turn *m)
{
    fair_pick(&t->fair, &m->share);
    fair_ready(&t->fair, &m->share, false);
    fair_charge(&t->fair, &m->share, (int64_t)m->expected_ns);
    resources_take(&t->resources, &m->claim);
}

/* With the lock held: a token for the line, where somebody may go that has none there. */
static token *token_take(turns *t)
{
    if (t->sent == fair_count(&t->fair) || !next_of(t)) return NULL;
    token *k = t->free;
    INVARIANT(k != NULL);
    t->free = k->next;
    t->sent++;
    return k;
}

/* A pool whose line is full, or that cannot start: nothing may be left without a worker. */
static void token_send(turns *t, token *k)
{
    err e;
    if (k && compute_submit(t->pool, &k->job, &e) != ERR_OK) token_run(&k->job);
}

static void token_run(compute_job *j)
{
    token *k = (token *)(void *)j;
    turns *t = k->of;
    lock_take(&t->lock);
    k->next = t->free;
    t->free = k;
    t->sent--;
    model_turn *m = next_of(t);
    if (m) go(t, m);
    const uint64_t charged_ns = m ? m->expected_ns : 0;
    token *more = m ? token_take(t) : NULL;
    lock_give(&t->lock);
    token_send(t, more);
    if (m) m->run(m, charged_ns);
}

void turns_ask(turns *t, model_turn *m, uint64_t expected_ns)
{
    lock_take(&t->lock);
    INVARIANT(!order_has(&m->share.place));
    m->expected_ns = t->by_runs ? RUN_NS : expected_ns;
    fair_ready(&t->fair, &m->share, true);
    token *k = token_take(t);
    lock_give(&t->lock);
    token_send(t, k);
}

void turns_end(turns *t, model_turn *m, uint64_t charged_ns, uint64_t took_ns)
{
    const uint64_t took = t->by_runs && took_ns ? RUN_NS : took_ns;
    lock_take(&t->lock);
    fair_charge(&t->fair, &m->share, (int64_t)(took - charged_ns));
    resources_give(&t->resources, &m->claim);
    token *k = token_take(t);
    lock_give(&t->lock);
    token_send(t, k);
}
