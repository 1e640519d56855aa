#include "models/model_keeper.h"

#include "base/log.h"
#include "base/mem.h"
#include "models/served.h"
#include "os/clock.h"
#include "sched/batch.h"

#include <string.h>

/* What is known of a name, beside what the core knows. */
typedef struct {
    model_summons *first, **last;   /* who waits for it, in the order in which they came */
    uint32_t waiting;
    uint64_t failed_us;             /* when its load failed last; 0 = it did not */
    err failure;
} kept;

struct model_keeper {
    model_keeper_opts opts;
    residency *core;
    kept *all;
    size_t count;
    waker_call timer;
    compute_job tick;
    _Atomic bool ticking;           /* that waits for the thread */
    _Atomic bool stopped;
    bool turning, again;            /* a turn is under way, and something happened in it */
    uint64_t look_us;               /* when it is looked what models have come to take; 0 = nothing has run since */
    uint64_t used_us, looked_us;    /* the last use of any, and that at the last look */
    _Atomic uint64_t bytes, waiting, in, misses, joined, evictions, refused, timeouts;
    metric_histogram wait;
};

static void turn(model_keeper *k);

#define OF(type, member, p) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* ---- who waits ---- */

static void over(model_summons *s, const err *why)
{
    s->failure.code = ERR_OK;
    if (why) s->failure = *why;
    loop_post(s->on, &s->msg);
}

static void leave(model_keeper *k, kept *of, model_summons **at)
{
    model_summons *s = *at;
    *at = s->next;
    if (!*at) of->last = at;
    of->waiting--;
    atomic_fetch_sub(&k->waiting, 1);
}

/* Whoever waits for it does not any more. */
static void all_over(model_keeper *k, size_t i, const err *why)
{
    kept *of = &k->all[i];
    uint64_t now_us = clock_now_us();
    while (of->first) {
        model_summons *s = of->first;
        leave(k, of, &of->first);
        if (!why) metric_time(&k->wait, (now_us - s->since_us) * 1000);
        over(s, why);
    }
}

static uint64_t until(const model_keeper *k, const model_summons *s)
{
    uint64_t most_us = s->since_us + k->opts.wait_us;
    if (s->deadline_us && s->deadline_us < most_us) most_us = s->deadline_us;
    return s->timeout_us && s->timeout_us < most_us ? s->timeout_us : most_us;
}

static void time_is_up(model_keeper *k, const model_summons *s, err *e)
{
    bool own = s->deadline_us && until(k, s) == s->deadline_us;
    bool timeout = s->timeout_us && until(k, s) == s->timeout_us;
    atomic_fetch_add(&k->timeouts, 1);
    if (timeout)
        err_set(e, ERR_UNAVAILABLE, "Request timeout expired");   /* as in the queue */
    else if (own)
        err_set(e, ERR_TIMEOUT, "model '" STR_FMT "': the deadline passed before it was in memory", STR_ARG(s->name));
    else
        err_set(e, ERR_UNAVAILABLE, "model '" STR_FMT "': models-wait-ms: expected it in memory within %llu ms, it has "
                "to wait for others to leave", STR_ARG(s->name), (unsigned long long)(k->opts.wait_us / 1000));
}

/* Whose time is up is told so.  Returns when the next one's is, 0 = nobody waits. */
static uint64_t expire(model_keeper *k, uint64_t now_us)
{
    uint64_t next_us = 0, left = atomic_load(&k->waiting);
    for (size_t i = 0; left > 0; i++) {   /* of many names few are waited for */
        kept *of = &k->all[i];
        INVARIANT(i < k->count && of->waiting <= left);
        left -= of->waiting;
        for (model_summons **at = &of->first; *at;) {
            model_summons *s = *at;
            uint64_t its_us = until(k, s);
            if (now_us < its_us) {
                if (!next_us || its_us < next_us) next_us = its_us;
                at = &s->next;
                continue;
            }
            err e;
            time_is_up(k, s, &e);
            leave(k, of, at);
            over(s, &e);
        }
    }
    return next_us;
}

static err_code join(model_keeper *k, size_t i, model_summons *s, err *e)
{
    kept *of = &k->all[i];
    bool failed = of->failed_us && s->since_us < of->failed_us + KEEPER_FAILED_US;
    if (failed) *e = of->failure;
    if (failed) return e->code;
    uint32_t own = repository_patience(k->opts.models, s->name).size_max, most = k->opts.waiting_max;
    bool less = own && own < most;
    if (of->waiting >= (less ? own : most)) {
        const char *limit = batch_limit_name(less ? BATCH_LIMIT_LEVEL : BATCH_LIMIT_REQUESTS);
        (void)err_set(e, ERR_LIMIT, "model '" STR_FMT "': %s: expected at most %u requests that wait for it to be "
                      "loaded, got one more", STR_ARG(s->name), limit, less ? own : most);
        e->limit = limit;
        return e->code;
    }
    s->next = NULL;
    if (!of->first) of->last = &of->first;
    *of->last = s;
    of->last = &s->next;
    of->waiting++;
    atomic_fetch_add(&k->waiting, 1);
    if (!residency_want(k->core, i)) atomic_fetch_add(&k->joined, 1);
    return ERR_OK;
}

static void arrive(compute_job *j)
{
    model_summons *s = OF(model_summons, job, j);
    model_keeper *k = s->keeper;
    err e;
    int64_t i = repository_leads(k->opts.models, s->name);
    err_code rc = ERR_OK;
    if (atomic_load(&k->stopped)) rc = err_set(&e, ERR_UNAVAILABLE, "the server is leaving");
    if (rc == ERR_OK) rc = keeper_fill(k, &e);
    bool gone = i < 0;   /* an alias may go, a name does not */
    if (rc == ERR_OK && (gone || repository_lineup(k->opts.models, (size_t)i) ||
                         !repository_on_demand(k->opts.models, s->name))) {
        over(s, NULL);   /* it is there by now, or is not to come: whoever asks finds that */
        return;
    }
    if (rc == ERR_OK) rc = join(k, (size_t)i, s, &e);
    if (rc) over(s, &e);
    else turn(k);
}

void keeper_summon(model_keeper *k, model_summons *s)
{
    err e;
    s->keeper = k;
    s->job = (compute_job){.run = arrive};
    atomic_fetch_add(&k->misses, 1);
    if (compute_submit(k->opts.thread, &s->job, &e)) over(s, &e);
}

/* ---- turns ---- */

static void see(model_keeper *k, size_t i)
{
    const lineup *l = repository_lineup(k->opts.models, i);
    uint64_t bytes = 0, used_us = 0;
    bool busy = false;
    for (size_t v = 0; l && v < l->count; v++) {
        uint64_t its_us = served_used_us(l->all[v]);
        bytes += served_held_bytes(l->all[v]);
        busy = busy || served_busy(l->all[v]);
        if (its_us > used_us) used_us = its_us;
    }
    if (used_us > k->used_us) k->used_us = used_us;
    residency_see(k->core, i, bytes, used_us, busy);
}

static uint64_t resting_bytes(const model_keeper *k, size_t i)
{
    const lineup *l = repository_lineup(k->opts.models, i);
    uint64_t bytes = 0;
    for (size_t v = 0; l && v < l->count; v++) bytes += served_resting_bytes(l->all[v]);
    return bytes;
}

static void spare(model_keeper *k, size_t i)
{
    const lineup *l = repository_lineup(k->opts.models, i);
    for (size_t v = 0; l && v < l->count; v++) served_spare(l->all[v]);
    see(k, i);
}

/* Executions at rest make room before anybody is refused for want of it, where that helps. */
static bool room_spared(model_keeper *k, size_t i)
{
    uint64_t bytes = residency_needed_bytes(k->core, i), resting = 0;
    for (size_t n = 0; n < k->count; n++) resting += residency_counts_in(k->core, n) ? resting_bytes(k, n) : 0;
    if (resting > bytes || bytes - resting > k->opts.bytes_max) return false;
    for (size_t n = 0; n < k->count; n++)
        if (residency_counts_in(k->core, n)) spare(k, n);
    return residency_needed_bytes(k->core, i) <= k->opts.bytes_max;
}

static void refuse(model_keeper *k, size_t i, uint64_t bytes)
{
    err e;
    if (room_spared(k, i)) {
        residency_readmit(k->core, i);
        return;
    }
    err_set(&e, ERR_TOO_LARGE, "model '" STR_FMT "': models-memory-max: expected at most %llu bytes with what it needs "
            "and what is pinned, got %llu", STR_ARG(repository_name_at(k->opts.models, i)),
            (unsigned long long)k->opts.bytes_max, (unsigned long long)bytes);
    e.code = ERR_UNAVAILABLE;   /* no request is too large */
    log_write(LOG_WARN, NULL, "%s", e.text);
    all_over(k, i, &e);
}

/* false: there is no memory to do it, so it is asked for again after a while. */
static bool step_do(model_keeper *k, const residency_step *s)
{
    switch (s->what) {
    case RESIDENCY_LOAD: k->opts.load(k->opts.ctx, s->model); break;
    case RESIDENCY_EVICT:
        if (k->opts.evict(k->opts.ctx, s->model)) break;
        residency_stays(k->core, s->model);
        return false;
    case RESIDENCY_REFUSE: refuse(k, s->model, s->bytes); break;
    case RESIDENCY_NOTHING: break;
    }
    return true;
}

static void numbers_set(model_keeper *k)
{
    residency_counts c;
    residency_read(k->core, &c);
    atomic_store(&k->bytes, c.used);
    atomic_store(&k->in, c.in);
    atomic_store(&k->evictions, c.evictions);
    atomic_store(&k->refused, c.refused);
}

static void sooner(uint64_t *at_us, uint64_t than_us)
{
    if (than_us && (!*at_us || than_us < *at_us)) *at_us = than_us;
}

static void see_all(model_keeper *k)
{
    for (size_t i = 0; i < k->count; i++)
        if (residency_of(k->core, i) == RESIDENCY_IN) see(k, i);
}

/* Returns when to come again; 0 = time changes nothing. */
static uint64_t steps_do(model_keeper *k)
{
    for (bool seen = false;;) {
        if (!seen && residency_tight(k->core)) {
            see_all(k);
            seen = true;
        }
        residency_step s = residency_next(k->core, clock_now_us());
        if (s.what == RESIDENCY_NOTHING) return s.again_us;
        if (!step_do(k, &s)) return clock_now_us() + KEEPER_LOOK_US;
    }
}

/* All that can be done now is, and the timer set for what time will change. */
static void turn(model_keeper *k)
{
    uint64_t next_us = 0;
    k->again = true;
    if (k->turning) return;
    k->turning = true;
    while (k->again) {
        k->again = false;
        next_us = steps_do(k);
    }
    k->turning = false;
    uint64_t now_us = clock_now_us();
    sooner(&next_us, k->look_us);
    sooner(&next_us, expire(k, now_us));
    numbers_set(k);
    if (next_us && !atomic_load(&k->stopped)) waker_by(k->opts.waker, &k->timer, next_us);
}

static void tick(compute_job *j)
{
    model_keeper *k = OF(model_keeper, tick, j);
    uint64_t now_us = clock_now_us();
    atomic_store(&k->ticking, false);
    if (k->look_us && now_us >= k->look_us) {   /* what is used may grow */
        see_all(k);
        k->look_us = k->used_us > k->looked_us ? now_us + KEEPER_LOOK_US : 0;
        k->looked_us = k->used_us;
    }
    turn(k);
}

static void ring(waker_call *c)
{
    model_keeper *k = OF(model_keeper, timer, c);
    err e;
    if (atomic_load(&k->stopped) || atomic_exchange(&k->ticking, true)) return;
    k->tick = (compute_job){.run = tick};
    if (compute_submit(k->opts.thread, &k->tick, &e) == ERR_OK) return;
    atomic_store(&k->ticking, false);
    waker_by(k->opts.waker, &k->timer, clock_now_us() + KEEPER_LOOK_US);
}

/* ---- life ---- */

err_code keeper_new(model_keeper **ret, const model_keeper_opts *opts, err *e)
{
    CLEANUP(model_keeper) model_keeper *k = mem_new0(model_keeper, 1);
    const residency_opts o = {.bytes_max = opts->bytes_max, .stay_us = opts->stay_us, .loads_max = KEEPER_LOADS_MAX};
    if (!k) return err_set(e, ERR_NOMEM, "models: no memory for their budget");
    k->opts = *opts;
    k->timer.ring = ring;
    waker_add(opts->waker, &k->timer);
    err_code rc = residency_new(&k->core, &o, e);
    if (rc == ERR_OK) rc = keeper_fill(k, e);
    if (rc == ERR_OK) *ret = TAKE(k);
    return rc;
}

void model_keeper_free(model_keeper *k)
{
    if (!k) return;
    waker_remove(k->opts.waker, &k->timer);
    for (size_t i = 0; i < k->count; i++) INVARIANT(!k->all[i].first);
    residency_free(k->core);
    mem_free(k->all);
    mem_free(k);
}

void keeper_stop(model_keeper *k)
{
    err e;
    atomic_store(&k->stopped, true);
    err_set(&e, ERR_UNAVAILABLE, "the server is leaving");
    for (size_t i = 0; i < k->count; i++) all_over(k, i, &e);
}

err_code keeper_fill(model_keeper *k, err *e)
{
    size_t n = repository_count(k->opts.models);
    if (n == k->count) return ERR_OK;
    kept *all = mem_new0(kept, n);
    if (!all) return err_set(e, ERR_NOMEM, "models: no memory for %zu", n);
    for (size_t i = 0; i < k->count; i++) {
        all[i] = k->all[i];
        if (!all[i].first) all[i].last = NULL;
    }
    mem_free(k->all);
    k->all = all;
    while (k->count < n) {
        err_code rc = residency_count(k->core) <= k->count ? residency_add(k->core, e) : ERR_OK;
        if (rc) return rc;
        residency_pin(k->core, k->count, repository_pinned(k->opts.models, k->count));
        residency_guess(k->core, k->count, repository_file_bytes(k->opts.models, k->count));
        k->count++;
    }
    return ERR_OK;
}

/* ---- what control tells ---- */

static uint64_t lineup_bytes(const lineup *l)
{
    uint64_t bytes = 0;
    for (size_t i = 0; l && i < l->count; i++) bytes += served_held_bytes(l->all[i]);
    return bytes;
}

static bool failed_lately(const kept *of, uint64_t now_us)
{
    return of->failed_us && now_us < of->failed_us + KEEPER_FAILED_US;
}

err_code keeper_need(model_keeper *k, const keeper_group *g, bool *ret_there, err *e)
{
    uint64_t now_us = clock_now_us();
    size_t n = 0, *needs = mem_new0(size_t, g->count + 1);
    if (!needs) return err_set(e, ERR_NOMEM, "models: no memory for an ensemble's members");
    for (size_t i = 0; i < g->count; i++) {
        size_t m = g->members[i];
        bool comes = repository_lineup(k->opts.models, m) ||
                     (repository_on_demand(k->opts.models, repository_name_at(k->opts.models, m)) &&
                      !failed_lately(&k->all[m], now_us));
        if (comes && m != g->of) needs[n++] = m;   /* of another the ensemble itself says that it is missing */
    }
    err_code rc = residency_need(k->core, g->of, needs, n, e);
    mem_free(needs);
    if (rc) return rc;
    *ret_there = residency_needs_all(k->core, g->of) || !g->parks;
    if (*ret_there) return ERR_OK;
    residency_again(k->core, g->of);
    turn(k);
    return ERR_OK;
}

err_code keeper_check(model_keeper *k, size_t i, const lineup *got, err *e)
{
    if (residency_fits(k->core, i, lineup_bytes(got))) return ERR_OK;
    if (room_spared(k, i)) {
        residency_readmit(k->core, i);
        if (residency_fits(k->core, i, lineup_bytes(got))) return ERR_OK;
    }
    return err_set(e, ERR_LIMIT, "models-memory-max: expected at most %llu bytes with what it needs and what is "
                   "pinned, got %llu", (unsigned long long)k->opts.bytes_max,
                   (unsigned long long)residency_needed_bytes(k->core, i));
}

/* Of a request it says that the model is not there, whatever is wrong with its files. */
static void failure_keep(kept *of, str name, const err *failed)
{
    of->failed_us = clock_now_us();
    of->failure = *failed;
    (void)!err_wrap(&of->failure, "failed to load '" STR_FMT "'", STR_ARG(name));
    if (failed->code != ERR_NOMEM) of->failure.code = ERR_UNAVAILABLE;
}

void keeper_ended(model_keeper *k, size_t i, const err *failed)
{
    const lineup *now = repository_lineup(k->opts.models, i);
    kept *of = &k->all[i];
    of->failed_us = 0;
    residency_pin(k->core, i, repository_pinned(k->opts.models, i));
    residency_guess(k->core, i, repository_file_bytes(k->opts.models, i));
    if (now) residency_came(k->core, i, lineup_bytes(now), clock_now_us());
    else residency_failed(k->core, i);
    if (failed && !now) failure_keep(of, repository_name_at(k->opts.models, i), failed);
    all_over(k, i, of->failed_us ? &of->failure : NULL);
    if (!k->look_us) k->look_us = clock_now_us() + KEEPER_LOOK_US;
    turn(k);
}

bool keeper_unload(model_keeper *k, size_t i)
{
    bool was = residency_drop(k->core, i);
    k->all[i].failed_us = 0;
    all_over(k, i, NULL);
    return was;
}

void keeper_left(model_keeper *k, size_t i)
{
    residency_left(k->core, i);
    turn(k);
}

void keeper_look(model_keeper *k)
{
    see_all(k);
    turn(k);
}

void keeper_stats_read(const model_keeper *k, model_keeper_stats *ret)
{
    *ret = (model_keeper_stats){.bytes_max = 0};
    if (!k) return;
    *ret = (model_keeper_stats){.bytes_max = k->opts.bytes_max,
                                .bytes = atomic_load(&k->bytes),
                                .waiting = atomic_load(&k->waiting),
                                .in = atomic_load(&k->in),
                                .misses = atomic_load(&k->misses),
                                .joined = atomic_load(&k->joined),
                                .evictions = atomic_load(&k->evictions),
                                .refused = atomic_load(&k->refused),
                                .timeouts = atomic_load(&k->timeouts),
                                .wait = &k->wait};
}
