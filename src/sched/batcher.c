#include "sched/batcher.h"

#include "base/mem.h"
#include "sched/answers.h"
#include "sched/arrival.h"
#include "sched/batch_rule.h"
#include "sched/forecast.h"
#include "sched/pace.h"
#include "sched/rate_limit.h"
#include "sched/waiting.h"

#include <inttypes.h>

enum {
    UNSEEN = 125   /* thousandths of an objective: for a request's way here and its answer's way back */
};

typedef struct slot slot;
struct slot {
    batch_run batch;      /* first: what take() gives is the slot */
    slot *next;       /* among the free ones */
    uint64_t end_ns;  /* expected; 0 = it is free */
};

struct batcher {
    batcher_opts opts;
    batch_rule rule;
    waiting waiting;
    answers answers;
    arrival arrival;
    pace pace;
    rate_limit rate;
    batcher_stats stats;   /* without what batcher_read() adds */
    uint64_t last_ns;      /* what the last batch took */
    uint64_t idle_ns;      /* since when at least one instance is free, while one is */
    slot *free;
    uint32_t slot_count;
    slot slots[];
};

/* ---- made and unmade ------------------------------------------------------------------------------------------- */

static err_code opts_check(const batcher_opts *o, err *e)
{
    const uint64_t instances = (uint64_t)o->instances + o->crowded;
    if (instances > BATCH_INSTANCES_MAX)
        return err_set(e, ERR_INVALID, "instances: expected at most %d, got %" PRIu64, BATCH_INSTANCES_MAX, instances);
    if (o->level_count > BATCH_LEVELS_MAX)
        return err_set(e, ERR_INVALID, "priority levels: expected at most %d, got %u", BATCH_LEVELS_MAX,
                       o->level_count);
    if (o->preferred_count > BATCH_PREFERRED_MAX)
        return err_set(e, ERR_INVALID, "preferred batch sizes: expected at most %d, got %u", BATCH_PREFERRED_MAX,
                       o->preferred_count);
    for (uint32_t i = 0; i < o->preferred_count; i++)
        if (o->preferred[i] == 0 || o->preferred[i] > o->max_batch || (i && o->preferred[i] <= o->preferred[i - 1]))
            return err_set(e, ERR_INVALID, "preferred batch size: expected ascending from 1 to max_batch %u, got %u",
                           o->max_batch, o->preferred[i]);
    if (o->waste_percent > 100)
        return err_set(e, ERR_INVALID, "padding waste: expected at most 100 percent, got %u", o->waste_percent);
    if (o->max_delay_us > UINT32_MAX || o->objective_us > UINT32_MAX)
        return err_set(e, ERR_INVALID, "delay and objective: expected at most %u us, got %" PRIu64 " and %" PRIu64,
                       UINT32_MAX, o->max_delay_us, o->objective_us);
    return ERR_OK;
}

static void set_defaults(batcher_opts *o)
{
    if (!o->max_batch) o->max_batch = 1;
    if (!o->instances) o->instances = 1;
    if (o->mode != BATCH_ADAPTIVE) o->objective_us = 0;
    if (o->mode != BATCH_ADAPTIVE || o->objective_us) o->crowded = 0;
    if (!o->waste_percent) o->waste_percent = 50;
    if (!o->requests_max) o->requests_max = 1024;
    if (!o->kinds_max) o->kinds_max = 64;
    if (!o->level_count) o->level_count = 1;
}

err_code batcher_new(batcher **ret, const batcher_opts *opts, err *e)
{
    err_code rc = opts_check(opts, e);
    if (rc) return rc;
    batcher_opts o = *opts;
    set_defaults(&o);
    const uint32_t slots = o.instances + o.crowded;
    batcher *b = mem_alloc0(1, sizeof *b + slots * sizeof(slot));
    if (!b) return err_set(e, ERR_NOMEM, "no memory for a batcher of %u instances", slots);
    b->opts = o;
    b->slot_count = slots;
    b->rule = (batch_rule){.mode = o.mode,
                           .max_batch = o.max_batch,
                           .max_delay_ns = o.max_delay_us * 1000,
                           .preferred_count = o.preferred_count,
                           .enough = o.enough,
                           .waste_percent = o.waste_percent};
    for (uint32_t i = 0; i < o.preferred_count; i++) b->rule.preferred[i] = o.preferred[i];
    waiting_init(&b->waiting, &b->rule, o.kinds_max);
    answers_init(&b->answers, o.preserve_ordering);
    arrival_init(&b->arrival);
    pace_init(&b->pace, o.objective_us * (1000 - UNSEEN));
    rate_limit_init(&b->rate, o.rate_per_s, o.rate_burst);
    for (uint32_t i = slots; i-- > 0;) {
        b->slots[i].next = b->free;
        b->free = &b->slots[i];
    }
    *ret = b;
    return ERR_OK;
}

bool batcher_quiet(const batcher *b)
{
    return b->waiting.count == 0 && b->stats.running == 0 && b->answers.withheld == 0;
}

void batcher_free(batcher *b)
{
    if (!b) return;
    INVARIANT(batcher_quiet(b) && !b->answers.ready);
    waiting_fini(&b->waiting);
    mem_free(b);
}

static void drop(batcher *b, batch_item *i, batch_drop why, uint64_t now_ns)
{
    lane *l = i->lane;
    waiting_take(&b->waiting, i);
    waiting_file(&b->waiting, l, now_ns);
    waiting_let_go(&b->waiting, i, now_ns);
    i->drop = why;
    b->stats.dropped[why]++;
    answers_put(&b->answers, i);
}

bool batcher_cancel(batcher *b, batch_item *i, uint64_t now_ns)
{
    if (i->state != BATCH_BEHIND && i->state != BATCH_WAITS) return false;
    drop(b, i, BATCH_CANCELLED, now_ns);
    return true;
}

batch_item *batcher_answers(batcher *b) { return answers_collect(&b->answers); }

/* ---- admission -------------------------------------------------------------------------------------------------- */

static bool has_idle(const batcher *b) { return b->stats.running < b->opts.instances; }

/* How long until an instance is free. */
static uint64_t busy_ns(const batcher *b, uint64_t now_ns)
{
    if (has_idle(b)) return 0;
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < b->slot_count; i++) {
        const slot *s = &b->slots[i];
        if (s->batch.count == 0) continue;
        /* One that is overdue may end any moment, or be stalled: a quarter of a run is between the two. */
        uint64_t left = s->end_ns > now_ns ? s->end_ns - now_ns : s->batch.cost_ns / 4;
        if (left < least) least = left;
    }
    return least;
}

typedef struct {
    batch_limit limit;
    uint64_t most, got, retry_ns;
} refusal;

static refusal late(batch_limit limit, uint64_t most_ns, uint64_t got_ns)
{
    return (refusal){limit, most_ns / 1000, got_ns / 1000 + 1, got_ns - most_ns};
}

/* It joins the next run, for which it hardly waits.  Where all of those are refused runs are of one request each, and
 * on a machine that stalls they stay so: what is late by its stalls takes the plan away, and nothing brings it back. */
static bool joins_soon(const forecast *f, uint64_t objective_ns)
{
    return 2 * f->start_ns <= f->likely_ns - f->start_ns && f->likely_ns <= objective_ns;
}

/* The promise that would be broken by taking it in. */
static refusal too_late(const batcher *b, const batch_item *i, uint64_t now_ns)
{
    if (b->opts.mode != BATCH_ADAPTIVE || (has_idle(b) && b->waiting.ripe_count == 0)) return (refusal){0};
    const uint64_t objective_ns = pace_ns(&b->pace);
    if (!objective_ns && !i->deadline_ns && !i->timeout_ns) return (refusal){0};
    forecast f = forecast_make(&(forecast_facts){.waiting = &b->waiting,
                                                 .max_batch = b->opts.max_batch,
                                                 .instances = b->opts.instances,
                                                 .busy_ns = busy_ns(b, now_ns),
                                                 .rows_per_s = arrival_rows_per_s(&b->arrival)},
                               i);
    if (objective_ns && f.end_ns > objective_ns && !joins_soon(&f, b->opts.objective_us * 1000))
        return late(BATCH_LIMIT_OBJECTIVE, objective_ns, f.end_ns);
    if (i->deadline_ns && f.end_ns > i->deadline_ns - now_ns)
        return late(BATCH_LIMIT_DEADLINE, i->deadline_ns - now_ns, f.end_ns);
    if (i->timeout_ns && !b->opts.levels[i->level].delay && f.start_ns > i->timeout_ns - now_ns)
        return late(BATCH_LIMIT_DEADLINE, i->timeout_ns - now_ns, f.start_ns);
    return (refusal){0};
}

/* When a batch will have left the queue. */
static uint64_t room_ns(const batcher *b, uint64_t now_ns)
{
    return busy_ns(b, now_ns) + batcher_next_cost_ns(b) / b->opts.instances;
}

/* What stands against it, cheapest question first. */
static refusal refused(const batcher *b, const batch_item *i, uint64_t now_ns)
{
    const batcher_opts *o = &b->opts;
    const waiting *w = &b->waiting;
    const uint32_t level_max = o->levels[i->level].max_queue_size;
    if (i->rows > o->max_batch)
        return (refusal){.limit = BATCH_LIMIT_ROWS, .most = o->max_batch, .got = i->rows};
    if (o->bytes_max && i->bytes > o->bytes_max)
        return (refusal){.limit = BATCH_LIMIT_BYTES, .most = o->bytes_max, .got = i->bytes};
    if (w->count >= o->requests_max)
        return (refusal){BATCH_LIMIT_REQUESTS, o->requests_max, w->count + 1, room_ns(b, now_ns)};
    if (o->bytes_max && w->bytes > o->bytes_max - i->bytes)
        return (refusal){BATCH_LIMIT_BYTES, o->bytes_max, w->bytes + i->bytes, room_ns(b, now_ns)};
    if (level_max && w->count_at[i->level] >= level_max)
        return (refusal){BATCH_LIMIT_LEVEL, level_max, w->count_at[i->level] + 1, room_ns(b, now_ns)};
    uint64_t wait_ns = rate_limit_wait_ns(&b->rate, now_ns);
    if (wait_ns) return (refusal){BATCH_LIMIT_RATE, o->rate_per_s, (uint64_t)o->rate_per_s + 1, wait_ns};
    return too_late(b, i, now_ns);
}

/* ---- push ------------------------------------------------------------------------------------------------------- */

static void set_timeout(const batcher *b, batch_item *i)
{
    const batch_level *l = &b->opts.levels[i->level];
    uint64_t us = l->default_timeout_us;
    if (!l->keep_timeout && i->timeout_us && (!us || i->timeout_us < us)) us = i->timeout_us;
    bool far = us > (UINT64_MAX - i->since_ns) / 1000;
    i->timeout_ns = us && !far ? i->since_ns + us * 1000 : 0;
}

err_code batcher_push(batcher *b, batch_item *i, uint64_t now_ns, batch_limit *reterr_limit, uint64_t *reterr_retry_ns,
                      err *e)
{
    INVARIANT(i->rows > 0 && i->state == BATCH_OUTSIDE);
    *reterr_limit = BATCH_LIMIT_NONE;
    *reterr_retry_ns = 0;
    arrival_note(&b->arrival, i->rows, now_ns);
    i->since_ns = now_ns;
    if (i->level >= b->opts.level_count) i->level = b->opts.level_count - 1;
    set_timeout(b, i);
    if (i->deadline_ns && i->deadline_ns <= now_ns) {
        b->stats.refused[BATCH_LIMIT_DEADLINE]++;
        *reterr_limit = BATCH_LIMIT_DEADLINE;
        return err_set(e, ERR_TIMEOUT, "the deadline had passed when the request came");
    }
    refusal r = refused(b, i, now_ns);
    if (r.limit == BATCH_LIMIT_NONE && !(i->lane = lanes_pin(&b->waiting.lanes, i->kind))) {
        const lanes *s = &b->waiting.lanes;
        if (s->count < s->max) return err_set(e, ERR_NOMEM, "no memory for requests of a new shape");
        r = (refusal){BATCH_LIMIT_KINDS, s->max, s->count, busy_ns(b, now_ns)};
    }
    if (r.limit == BATCH_LIMIT_NONE) {
        rate_limit_take(&b->rate, now_ns);
        i->drop = BATCH_RAN;
        b->stats.pushed++;
        answers_expect(&b->answers, i);
        waiting_enter(&b->waiting, i, now_ns);
        return ERR_OK;
    }
    if (r.limit == BATCH_LIMIT_OBJECTIVE) pace_refused(&b->pace);
    b->stats.refused[r.limit]++;
    *reterr_limit = r.limit;
    if (r.limit == BATCH_LIMIT_ROWS)
        return err_set(e, ERR_INVALID, "batch: expected at most %" PRIu64 " rows, got %" PRIu64, r.most, r.got);
    bool alone = r.limit == BATCH_LIMIT_BYTES && i->bytes > r.most;   /* over it by itself, and will be at any time */
    if (!alone) *reterr_retry_ns = r.retry_ns > 1000000 ? r.retry_ns : 1000000;
    (void)err_set(e, alone ? ERR_TOO_LARGE : ERR_LIMIT, "queue: %s: the limit is %" PRIu64 ", got %" PRIu64,
                  alone ? "bytes of one request" : batch_limit_text(r.limit), r.most, r.got);
    e->limit = batch_limit_name(r.limit);
    return e->code;
}

/* ---- take ------------------------------------------------------------------------------------------------------- */

static void expire(batcher *b, uint64_t now_ns)
{
    for (batch_item *i; (i = waiting_overdue(&b->waiting, now_ns));) {
        if (i->deadline_ns && i->deadline_ns <= now_ns)
            drop(b, i, BATCH_DEADLINE, now_ns);
        else if (b->opts.levels[i->level].delay)
            waiting_delay(&b->waiting, i, now_ns);
        else
            drop(b, i, BATCH_TIMEOUT, now_ns);
    }
}

/* An instance is free and this lane could run: until when does waiting for those who come back pay?  0 = not at all. */
static uint64_t hold_ns(const batcher *b, const lane *l, uint64_t now_ns)
{
    uint64_t until = 0;
    if (b->opts.mode != BATCH_ADAPTIVE || b->waiting.ripe_count != 1) return 0;
    double back = arrival_expected(&b->arrival, now_ns, &until);
    const uint64_t run_ns = l->backlog_ns;   /* where that is one batch */
    if (back <= 0 || run_ns == 0 || l->rows >= lane_cap_rows(l, l->extent_max, b->opts.max_batch)) return 0;
    uint64_t since = lane_oldest_ns(l) > b->idle_ns ? lane_oldest_ns(l) : b->idle_ns;
    uint64_t most = run_ns < b->last_ns ? run_ns / 2 : b->last_ns / 2;
    if (b->rule.max_delay_ns && b->rule.max_delay_ns < most) most = b->rule.max_delay_ns;
    if (until > since + most) until = since + most;
    if (until <= now_ns) return 0;
    double wait = (double)(until - now_ns);
    if (back * ((double)run_ns - wait) <= l->count * wait) return 0;
    const uint64_t objective_ns = pace_ns(&b->pace);
    uint64_t then = (uint64_t)((double)l->work * (1 + back / l->count));
    if (objective_ns && until - lane_oldest_ns(l) + cost_curve_high(&l->curve, then) > objective_ns) return 0;
    return until;
}

static void start(batcher *b, slot *s, lane *l, uint64_t now_ns)
{
    batch_run *t = &s->batch;
    INVARIANT(t->count > 0);
    t->lane = l;
    t->start_ns = now_ns;
    t->cost_ns = cost_curve_mean(&l->curve, t->work);
    s->end_ns = now_ns + t->cost_ns;
    pace_started(&b->pace, now_ns - t->items->since_ns, t->cost_ns, now_ns);
    for (batch_item *i = t->items; i; i = i->next) {
        waiting_take(&b->waiting, i);
        i->state = BATCH_RUNS;
        b->stats.dropped[BATCH_RAN]++;
    }
    waiting_file(&b->waiting, l, now_ns);
    b->free = s->next;
    b->stats.running++;
    b->stats.batches++;
    b->stats.rows += t->rows;
    b->stats.work += t->work;
    b->stats.padding += t->work - t->wanted;
}

/* More than `instances` may run: waiting goes on in the lane, or for longer than two runs in others. */
static bool crowded(const batcher *b, const lane *l)
{
    return lane_crowded(l) || b->waiting.backlog_ns - l->backlog_ns > 2 * b->last_ns;
}

/* The most urgent lane, where it may run now; NULL = none does. */
static lane *next_lane(batcher *b, uint64_t now_ns)
{
    lane *l = b->free ? waiting_ripe(&b->waiting, now_ns) : NULL;
    return l && (has_idle(b) || crowded(b, l)) ? l : NULL;
}

/* The first lane that may run and is worth running now. */
static const batch_run *take_batch(batcher *b, uint64_t now_ns, uint64_t *again_ns)
{
    for (lane *l; (l = next_lane(b, now_ns));) {
        uint64_t hold = hold_ns(b, l, now_ns);
        if (hold) {
            *again_ns = hold;
            return NULL;
        }
        slot *s = b->free;
        batch_item *cancelled;
        batch_rule_choose(&b->rule, l, now_ns, &s->batch, &cancelled);
        if (!cancelled) {
            start(b, s, l, now_ns);
            return &s->batch;
        }
        do {   /* they go first, since others of their sequences may now be the most urgent */
            batch_item *i = cancelled;
            cancelled = i->next;
            drop(b, i, BATCH_CANCELLED, now_ns);
        } while (cancelled);
    }
    *again_ns = has_idle(b) ? waiting_ripe_ns(&b->waiting) : BATCHER_NEVER;
    return NULL;
}

bool batcher_ripe(batcher *b, uint64_t now_ns, uint64_t *ret_again_ns)
{
    expire(b, now_ns);
    uint64_t again = BATCHER_NEVER;
    lane *l = next_lane(b, now_ns);
    if (l) again = hold_ns(b, l, now_ns);
    else if (has_idle(b)) again = waiting_ripe_ns(&b->waiting);
    uint64_t timer_ns = waiting_timer_ns(&b->waiting);
    *ret_again_ns = again && again < timer_ns ? again : timer_ns;
    return l && !again;
}

const batch_run *batcher_take(batcher *b, uint64_t now_ns, uint64_t *ret_again_ns)
{
    expire(b, now_ns);
    uint64_t again = BATCHER_NEVER;
    const batch_run *t = take_batch(b, now_ns, &again);
    uint64_t timer_ns = waiting_timer_ns(&b->waiting);
    *ret_again_ns = timer_ns < again ? timer_ns : again;
    return t;
}

/* ---- done ------------------------------------------------------------------------------------------------------- */

static void learn_cost(batcher *b, const batch_run *t, uint64_t cost_ns, uint64_t now_ns)
{
    lane_plan p = {.objective_ns = b->opts.objective_us * 1000,
                   .max_batch = b->opts.max_batch,
                   .instances = b->opts.instances,
                   .rows_per_s = arrival_rows_per_s(&b->arrival)};
    lane_learn(t->lane, t, cost_ns, &p);
    waiting_file(&b->waiting, t->lane, now_ns);
}

/* What the run says about costs, lateness and clients. */
static void learn(batcher *b, const batch_run *t, uint64_t cost_ns, uint64_t now_ns)
{
    const uint64_t most_ns = b->pace.objective_ns;
    uint32_t late = 0;
    for (const batch_item *i = t->items; i; i = i->next) late += now_ns - i->since_ns > most_ns;
    if (most_ns) pace_note(&b->pace, late, t->count - late);
    learn_cost(b, t, cost_ns, now_ns);
    b->last_ns = cost_ns;
    arrival_answered(&b->arrival, t->count, cost_ns / 2, now_ns);
}

void batcher_teach(batcher *b, order_key kind, uint32_t rows, uint32_t extent, uint64_t cost_ns, uint64_t now_ns)
{
    INVARIANT(rows > 0 && cost_ns > 0);
    const uint64_t work = lane_work(rows, extent);
    batch_run t = {.work = work, .wanted = work, .lane = lanes_pin(&b->waiting.lanes, kind)};
    if (!t.lane) return;
    if (extent > t.lane->extent_max) t.lane->extent_max = extent;
    learn_cost(b, &t, cost_ns, now_ns);
    lanes_unpin(&b->waiting.lanes, t.lane);
}

void batcher_done(batcher *b, const batch_run *ran, uint64_t cost_ns, uint64_t now_ns)
{
    slot *s = &b->slots[(const slot *)(const void *)ran - b->slots];
    INVARIANT(b->stats.running > 0 && &s->batch == ran && ran->count > 0);
    if (cost_ns) learn(b, ran, cost_ns, now_ns);
    for (batch_item *i = ran->items, *next; i; i = next) {
        next = i->next;
        waiting_let_go(&b->waiting, i, now_ns);
        answers_put(&b->answers, i);
    }
    if (b->stats.running == b->opts.instances) b->idle_ns = now_ns;
    *s = (slot){.next = b->free};
    b->free = s;
    b->stats.running--;
}

/* ---- seen from outside ------------------------------------------------------------------------------------------ */

uint64_t batcher_waiting(const batcher *b) { return b->waiting.count; }

uint64_t batcher_next_cost_ns(const batcher *b)
{
    const lane *l = waiting_next(&b->waiting);
    if (!l) return 0;
    uint32_t extent = lane_first(l)->extent, cap = lane_cap_rows(l, extent, b->opts.max_batch);
    return cost_curve_mean(&l->curve, lane_work(l->rows < cap ? (uint32_t)l->rows : cap, extent));
}

void batcher_read(const batcher *b, batcher_stats *ret)
{
    *ret = b->stats;
    ret->waiting = b->waiting.count;
    ret->waiting_rows = b->waiting.rows;
    ret->waiting_bytes = b->waiting.bytes;
    ret->planned_ns = pace_ns(&b->pace);
    ret->rows_per_s = arrival_rows_per_s(&b->arrival);
}
