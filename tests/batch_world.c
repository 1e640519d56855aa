#include "batch_world.h"

#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef enum { UNBORN, REFUSED, BEHIND, WAITS, RUNS, RAN, DROPPED } life;

typedef struct {
    batch_item item;
    _Atomic bool flag;
    life life;
    uint32_t client, place;        /* place: among those that wait */
    uint64_t arrival, ready_ns, start_ns, cancel_ns;
    bool delayed, answered;
} request;

typedef struct {
    const batch_run *b;
    uint64_t end_ns, cost_ns;
} run;

typedef struct {
    const world_opts *o;
    uint64_t seed, now, next_ns, again_ns, idle_ns, done_ns, cost_max_ns;
    rng r;
    batcher *b;
    request *all;
    request **waiting;             /* those that stand behind others too */
    uint32_t born, waits, accepted, answered;
    uint64_t bytes, level_waits[BATCH_LEVELS_MAX];
    run runs[BATCH_INSTANCES_MAX];
    uint32_t running;
    uint64_t *client_ns;           /* when each asks again; UINT64_MAX = it waits for an answer */
    uint64_t order_answered;       /* arrival of the last that was answered after running */
    int broken;
    world_result *ret;
    double *latency;
    uint64_t good_ns;
} world;

static void PRINTF(2, 3) broken(world *w, const char *fmt, ...)
{
    if (w->broken++ > 3) return;
    va_list args;
    va_start(args, fmt);
    printf("# seed %" PRIu64 ", at %" PRIu64 " ns: ", w->seed, w->now);
    vprintf(fmt, args);
    printf("\n");
    va_end(args);
}

#define PROMISE(c, ...) ((c) ? (void)0 : broken(w, __VA_ARGS__))

double world_exponential(rng *r, double mean) { return -mean * log(1 - rng_unit(r)); }

static request *of(batch_item *i) { return (request *)(void *)i; }

static bool chance(world *w, double part) { return part > 0 && rng_unit(&w->r) < part; }

/* ---- requests --------------------------------------------------------------------------------------------------- */

static void unwait(world *w, request *q)
{
    request *last = w->waiting[--w->waits];
    w->waiting[q->place] = last;
    last->place = q->place;
    w->bytes -= q->item.bytes;
    w->level_waits[q->item.level]--;
}

/* The first of its sequence that has neither run nor been dropped may go. */
static void promote(world *w, uint64_t sequence)
{
    request *first = NULL;
    if (!sequence) return;
    for (uint32_t k = 0; k < w->running; k++)
        for (batch_item *i = w->runs[k].b->items; i; i = i->next)
            if (i->sequence == sequence) return;
    for (uint32_t i = 0; i < w->waits; i++) {
        request *q = w->waiting[i];
        if (q->item.sequence == sequence && (!first || q->arrival < first->arrival)) first = q;
    }
    if (!first || first->life == WAITS) return;
    first->life = WAITS;
    first->ready_ns = w->now;
}

static uint64_t patience(world *w) { return w->now + 1 + (uint64_t)world_exponential(&w->r, w->o->patience_ns); }

static void make(world *w, request *q)
{
    const world_opts *o = w->o;
    batch_item *i = &q->item;
    uint32_t levels = o->batcher.level_count ? o->batcher.level_count : 1;
    i->kind = (order_key){rng_below(&w->r, o->kinds ? o->kinds : 1), 1};
    i->rows = 1 + (uint32_t)rng_below(&w->r, chance(w, 0.3) && o->rows_max ? o->rows_max : 1);
    i->extent = o->extent_max ? 1 + (uint32_t)rng_below(&w->r, o->extent_max) : 0;
    i->bytes = o->bytes_max ? 1 + rng_below(&w->r, o->bytes_max) : 0;
    i->level = (uint32_t)rng_below(&w->r, levels + 1);
    if (chance(w, o->part_sequence)) i->sequence = 1 + rng_below(&w->r, o->sequences);
    if (chance(w, o->part_deadline)) i->deadline_ns = patience(w) - chance(w, 0.02);
    if (chance(w, o->part_timeout)) i->timeout_us = (patience(w) - w->now) / 1000;
    q->cancel_ns = chance(w, o->part_cancel) ? patience(w) : UINT64_MAX;
    if (chance(w, 0.9)) i->cancelled = &q->flag;
}

static bool idle_and_empty(const world *w)
{
    uint32_t instances = w->o->batcher.instances ? w->o->batcher.instances : 1;
    return w->waits == 0 && w->running < instances;
}

static void check_refusal(world *w, const request *q, err_code rc, batch_limit limit, uint64_t retry_ns, bool lone)
{
    const batcher_opts *o = &w->o->batcher;
    const batch_item *i = &q->item;
    const batch_level *l = &o->levels[i->level];
    bool adaptive = o->mode == BATCH_ADAPTIVE, rows = i->rows > (o->max_batch ? o->max_batch : 1);
    bool late = i->deadline_ns && i->deadline_ns <= w->now;
    bool full = w->waits >= (o->requests_max ? o->requests_max : 1024);
    bool bytes = o->bytes_max && w->bytes + i->bytes > o->bytes_max;
    bool level = l->max_queue_size && w->level_waits[i->level] >= l->max_queue_size;
    bool must = rows || late || full || bytes || level;
    if (rc == ERR_OK) {
        PROMISE(!must, "request %" PRIu64 " was accepted beyond a limit", q->arrival);
        return;
    }
    PROMISE(must || adaptive || o->rate_per_s || limit == BATCH_LIMIT_KINDS, "refused without need by %s",
            batch_limit_name(limit));
    bool needless = adaptive && !o->rate_per_s && !must && limit != BATCH_LIMIT_KINDS;
    PROMISE(!lone || !needless, "a lone request was refused by %s", batch_limit_name(limit));
    PROMISE(limit != BATCH_LIMIT_REQUESTS || full, "refused: requests, while %u wait", w->waits);
    PROMISE(limit != BATCH_LIMIT_BYTES || bytes, "refused: bytes, while %" PRIu64 " wait", w->bytes);
    PROMISE(limit != BATCH_LIMIT_ROWS || rows, "refused: %u rows", i->rows);
    PROMISE(limit != BATCH_LIMIT_LEVEL || level, "refused: level %u", i->level);
    PROMISE(limit != BATCH_LIMIT_RATE || o->rate_per_s, "refused: rate");
    PROMISE(rc == ERR_LIMIT ? retry_ns > 0 : retry_ns == 0, "refused by %s: retry after %" PRIu64,
            batch_limit_name(limit), retry_ns);
}

static void arrive(world *w, uint32_t client)
{
    request *q = &w->all[w->born];
    q->arrival = ++w->born;
    q->client = client;
    make(w, q);
    uint32_t level_count = w->o->batcher.level_count ? w->o->batcher.level_count : 1;
    bool lone = idle_and_empty(w);
    batch_limit limit;
    uint64_t retry_ns;
    err e;
    err_code rc = batcher_push(w->b, &q->item, w->now, &limit, &retry_ns, &e);
    PROMISE(q->item.level < level_count, "level %u of %u", q->item.level, level_count);
    if (w->o->checked) check_refusal(w, q, rc, limit, retry_ns, lone);
    if (rc) {
        q->life = REFUSED;
        w->ret->refused++;
        if (w->client_ns) w->client_ns[client] = w->now + (uint64_t)w->o->think_ns + retry_ns;
        return;
    }
    w->accepted++;
    q->place = w->waits;
    w->waiting[w->waits++] = q;
    w->bytes += q->item.bytes;
    w->level_waits[q->item.level]++;
    q->life = q->item.sequence ? BEHIND : WAITS;
    q->ready_ns = w->now;
    promote(w, q->item.sequence);
}

/* ---- what a batch must be --------------------------------------------------------------------------------------- */

static uint64_t timeout_of(const world *w, const request *q)
{
    const batch_level *l = &w->o->batcher.levels[q->item.level];
    uint64_t us = l->default_timeout_us, own = l->keep_timeout ? 0 : q->item.timeout_us;
    if (own && (!us || own < us)) us = own;
    return us ? q->item.since_ns + us * 1000 : UINT64_MAX;
}

static bool timed_out(const world *w, const request *q) { return timeout_of(w, q) <= w->now; }

static order_key urgency(const world *w, const request *q)
{
    bool delayed = w->o->batcher.levels[q->item.level].delay && timed_out(w, q);
    return (order_key){(uint64_t)q->item.level << 1 | delayed, q->arrival};
}

static bool preferred(const batcher_opts *o, uint32_t rows)
{
    bool is = o->preferred_count == 0;
    for (uint32_t i = 0; i < o->preferred_count; i++) is = is || o->preferred[i] == rows;
    return is;
}

/* What was left behind: nothing more urgent may be among it. */
static void check_left(world *w, const batch_run *b, order_key first, order_key last)
{
    const batcher_opts *o = &w->o->batcher;
    uint64_t oldest_ns = UINT64_MAX;
    const request *next = NULL;
    for (const batch_item *i = b->items; i; i = i->next)
        if (((const request *)(const void *)i)->ready_ns < oldest_ns)
            oldest_ns = ((const request *)(const void *)i)->ready_ns;
    for (uint32_t n = 0; n < w->waits; n++) {
        const request *q = w->waiting[n];
        if (q->life != WAITS) continue;
        order_key key = urgency(w, q);
        bool kin = order_compare(q->item.kind, b->items->kind) == 0;
        PROMISE(o->mode == BATCH_FIXED || order_compare(first, key) < 0,
                "request %" PRIu64 " was more urgent than the batch that runs", q->arrival);
        if (!kin) continue;
        if (q->ready_ns < oldest_ns) oldest_ns = q->ready_ns;
        PROMISE(order_compare(b->extent ? first : last, key) < 0, "request %" PRIu64 " was overtaken by its own kind",
                q->arrival);
        if (!next || order_compare(key, urgency(w, next)) < 0) next = q;
    }
    if (o->mode != BATCH_FIXED || !o->max_delay_us || b->extent) return;
    uint32_t most = o->preferred_count ? o->preferred[o->preferred_count - 1] : o->max_batch;
    bool waited = w->now >= oldest_ns + o->max_delay_us * 1000;
    bool closed = b->rows >= most || (next && b->rows + next->item.rows > most);
    PROMISE(waited || closed || (o->preferred_count && preferred(o, b->rows)),
            "%u rows ran before their delay was over", b->rows);
}

static void check_batch(world *w, const batch_run *b)
{
    const batcher_opts *o = &w->o->batcher;
    uint32_t rows = 0, count = 0, extent = 0;
    uint64_t full = 0;
    order_key first = {0}, last = {0};
    for (const batch_item *i = b->items; i; i = i->next) {
        const request *q = (const request *)(const void *)i;
        rows += i->rows;
        count++;
        extent = i->extent > extent ? i->extent : extent;
        full += (uint64_t)i->rows * (i->extent ? i->extent : 1);
        PROMISE(q->life == WAITS, "request %" PRIu64 " was started in state %d", q->arrival, (int)q->life);
        PROMISE(!i->deadline_ns || i->deadline_ns > w->now, "request %" PRIu64 " was started after its deadline",
                q->arrival);
        PROMISE(o->levels[i->level].delay || !timed_out(w, q), "request %" PRIu64 " was started after its timeout",
                q->arrival);
        PROMISE(!i->cancelled || !*i->cancelled, "request %" PRIu64 " was started after it was cancelled", q->arrival);
        PROMISE(order_compare(i->kind, b->items->kind) == 0, "two kinds in one batch");
        order_key key = urgency(w, q);
        PROMISE(count == 1 || order_compare(last, key) < 0, "request %" PRIu64 " is out of order in its batch",
                q->arrival);
        first = count == 1 ? key : first;
        last = key;
        for (const batch_item *j = b->items; i->sequence && j != i; j = j->next)
            PROMISE(j->sequence != i->sequence, "two of sequence %" PRIu64 " in one batch", i->sequence);
    }
    uint64_t work = (uint64_t)rows * (extent ? extent : 1);
    PROMISE(count > 0 && count == b->count && rows == b->rows && extent == b->extent, "the batch's sums are wrong");
    PROMISE(full == b->wanted && (extent ? work <= b->work : work == b->work), "the batch's work is wrong");
    PROMISE((work - full) * 100 <= work * (o->waste_percent ? o->waste_percent : 50), "%" PRIu64 " of %" PRIu64
            " is padding", work - full, work);
    PROMISE(rows <= (o->max_batch ? o->max_batch : 1), "%u rows in a batch", rows);
    PROMISE(o->mode != BATCH_OFF || count == 1, "%u requests in a batch that should be one", count);
    uint32_t most = (o->instances ? o->instances : 1);
    if (o->mode == BATCH_ADAPTIVE && !o->objective_us) most += o->crowded;
    PROMISE(w->running < most, "%u batches run already", w->running);
    for (batch_item *i = b->items; i; i = i->next) unwait(w, of(i));
    check_left(w, b, first, last);
}

static void start(world *w, const batch_run *b)
{
    const world_opts *o = w->o;
    if (o->checked)
        check_batch(w, b);
    else
        for (batch_item *i = b->items; i; i = i->next) unwait(w, of(i));
    for (batch_item *i = b->items; i; i = i->next) {
        of(i)->life = RUNS;
        of(i)->start_ns = w->now;
    }
    double work = (double)b->work, cost = o->base_ns + work * (o->row_ns + o->bend_ns * work);
    cost *= 1 + o->noise * (2 * rng_unit(&w->r) - 1);
    if (o->stalls && rng_below(&w->r, o->stalls) == 0) cost *= o->stall_times > 0 ? o->stall_times : 10;
    w->runs[w->running++] = (run){.b = b, .cost_ns = (uint64_t)cost + 1, .end_ns = w->now + (uint64_t)cost + 1};
    if ((uint64_t)cost + 1 > w->cost_max_ns) w->cost_max_ns = (uint64_t)cost + 1;
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static void answered(world *w, request *q)
{
    PROMISE(!q->answered, "request %" PRIu64 " was answered twice", q->arrival);
    q->answered = true;
    w->answered++;
    if (w->client_ns) w->client_ns[q->client] = w->now + (uint64_t)world_exponential(&w->r, w->o->think_ns) + 1;
    if (q->item.drop == BATCH_RAN) {
        PROMISE(q->life == RAN, "request %" PRIu64 " was answered without having run", q->arrival);
        PROMISE(!w->o->batcher.preserve_ordering || q->arrival > w->order_answered,
                "request %" PRIu64 " was answered after %" PRIu64, q->arrival, w->order_answered);
        w->order_answered = q->arrival;
        w->latency[w->ret->ran++] = (double)(w->now - q->item.since_ns);
        w->ret->good += w->now - q->item.since_ns <= w->good_ns;
        return;
    }
    PROMISE(q->life == WAITS || q->life == BEHIND, "request %" PRIu64 " was dropped in state %d", q->arrival,
            (int)q->life);
    batch_drop d = q->item.drop;
    PROMISE(d != BATCH_DEADLINE || (q->item.deadline_ns && q->item.deadline_ns <= w->now),
            "dropped before its deadline");
    PROMISE(d != BATCH_TIMEOUT || timed_out(w, q), "dropped before its timeout");
    PROMISE(d != BATCH_CANCELLED || q->cancel_ns <= w->now, "dropped as cancelled, which nobody did");
    w->ret->dropped++;
    unwait(w, q);
    q->life = DROPPED;
    promote(w, q->item.sequence);
}

static void collect(world *w)
{
    for (batch_item *i = batcher_answers(w->b), *next; i; i = next) {
        next = i->next;
        answered(w, of(i));
    }
}

static void finish(world *w, uint32_t n)
{
    run r = w->runs[n];
    batch_item *items = r.b->items;
    uint64_t sequences[512], count = 0;
    w->runs[n] = w->runs[--w->running];
    for (batch_item *i = items; i; i = i->next) {
        of(i)->life = RAN;
        if (i->sequence && count < COUNTOF(sequences)) sequences[count++] = i->sequence;
    }
    bool failed = w->o->failures && rng_below(&w->r, w->o->failures) == 0;
    if (w->running + 1 == (w->o->batcher.instances ? w->o->batcher.instances : 1)) w->idle_ns = w->now;
    batcher_done(w->b, r.b, failed ? 0 : r.cost_ns, w->now);
    w->done_ns = w->now;
    for (uint64_t i = 0; i < count; i++) promote(w, sequences[i]);
    collect(w);
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

/* Nothing that could run waits beside an idle instance for longer than it may. */
static void check_idle(world *w)
{
    const batcher_opts *o = &w->o->batcher;
    uint32_t waiting = 0;
    uint64_t delay_ns = o->max_delay_us * 1000, first_timer = UINT64_MAX;
    for (uint32_t i = 0; i < w->waits; i++) {
        const request *q = w->waiting[i];
        uint64_t timer = q->item.deadline_ns ? q->item.deadline_ns : UINT64_MAX, timeout = timeout_of(w, q);
        bool delays = o->levels[q->item.level].delay;
        PROMISE(timer > w->now && (delays || timeout > w->now), "request %" PRIu64 " waits overdue", q->arrival);
        if (timeout > w->now && timeout < timer) timer = timeout;
        if (timer < first_timer) first_timer = timer;
        if (q->life != WAITS) continue;
        waiting++;
        if (w->running >= (o->instances ? o->instances : 1)) continue;
        PROMISE(o->mode != BATCH_OFF, "an instance is idle while request %" PRIu64 " waits", q->arrival);
        uint64_t since = q->ready_ns > w->idle_ns ? q->ready_ns : w->idle_ns, most = delay_ns;
        if (o->mode == BATCH_FIXED) since = q->ready_ns;
        if (o->mode == BATCH_ADAPTIVE && (!most || most > w->cost_max_ns / 2)) most = w->cost_max_ns / 2;
        PROMISE(w->now <= since + most && w->again_ns <= since + most + 1 && w->again_ns > w->now,
                "an instance is idle while request %" PRIu64 " waits for %" PRIu64 " ns", q->arrival,
                w->now - since);
        PROMISE(o->mode == BATCH_FIXED || w->done_ns + w->cost_max_ns / 2 >= w->now,
                "request %" PRIu64 " did not start at once, and nobody was to come back", q->arrival);
    }
    PROMISE(w->again_ns <= first_timer, "the next look is after the next deadline");
    batcher_stats s;
    batcher_read(w->b, &s);
    PROMISE(s.waiting == w->waits && s.running == w->running && s.waiting_bytes == w->bytes,
            "it says that %" PRIu64 " wait and %" PRIu64 " run; %u and %u do", s.waiting, s.running, w->waits,
            w->running);
    PROMISE(batcher_quiet(w->b) <= (w->waits == 0 && w->running == 0), "it calls itself quiet");
}

static void take(world *w)
{
    for (;;) {
        const batch_run *b = batcher_take(w->b, w->now, &w->again_ns);
        collect(w);
        if (!b) break;
        start(w, b);
    }
    if (w->o->checked) check_idle(w);
}

static void cancel(world *w, request *q)
{
    bool flag = q->item.cancelled && chance(w, w->o->part_flag);
    if (flag) {
        q->flag = true;
        return;
    }
    bool was = q->life == WAITS || q->life == BEHIND;
    PROMISE(batcher_cancel(w->b, &q->item, w->now) == was, "request %" PRIu64 " was cancelled in state %d", q->arrival,
            (int)q->life);
    collect(w);
}

/* Everything that is due now, then a look. */
static void step(world *w)
{
    for (uint32_t i = 0; i < w->running;)
        if (w->runs[i].end_ns <= w->now)
            finish(w, i);
        else
            i++;
    for (uint32_t i = 0; w->o->part_cancel > 0 && i < w->waits; i++)
        if (w->waiting[i]->cancel_ns <= w->now && !w->waiting[i]->flag) {
            cancel(w, w->waiting[i]);
            i = UINT32_MAX;   /* the order has changed */
        }
    for (uint32_t c = 0; c < w->o->clients && w->born < w->o->requests; c++)
        if (w->client_ns[c] <= w->now) {
            w->client_ns[c] = UINT64_MAX;
            arrive(w, c);
        }
    while (!w->client_ns && w->born < w->o->requests && w->next_ns <= w->now) {
        arrive(w, 0);
        w->next_ns = w->now + (uint64_t)w->o->gap(w->o->ctx, &w->r, w->born, w->now);
    }
    take(w);
}

static uint64_t next_event(const world *w)
{
    uint64_t at = w->again_ns;
    for (uint32_t i = 0; i < w->running; i++)
        if (w->runs[i].end_ns < at) at = w->runs[i].end_ns;
    for (uint32_t i = 0; w->o->part_cancel > 0 && i < w->waits; i++)
        if (w->waiting[i]->cancel_ns < at && !w->waiting[i]->flag) at = w->waiting[i]->cancel_ns;
    bool more = w->born < w->o->requests;
    if (more && !w->client_ns && w->next_ns < at) at = w->next_ns;
    for (uint32_t c = 0; more && c < w->o->clients; c++)
        if (w->client_ns[c] < at) at = w->client_ns[c];
    return at;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void live(world *w)
{
    for (uint32_t stuck = 0; w->broken == 0;) {
        uint64_t before = w->now;
        step(w);
        uint64_t next = next_event(w);
        if (next == UINT64_MAX) break;
        PROMISE(next > w->now || w->again_ns != next, "it asks to be called again at once");
        w->now = next > w->now ? next : w->now;
        stuck = w->now == before ? stuck + 1 : 0;
        PROMISE(stuck < 100000, "time stands still");
    }
}

int world_run(const world_opts *o, uint64_t seed, uint64_t good_ns, world_result *ret)
{
    world space = {.o = o, .seed = seed, .again_ns = UINT64_MAX, .good_ns = good_ns, .ret = ret}, *w = &space;
    err e;
    *ret = (world_result){0};
    rng_init(&w->r, seed);
    w->now = 1 + rng_below(&w->r, 1000000000);
    w->all = mem_new0(request, o->requests);
    w->waiting = mem_new0(request *, o->requests);
    ret->latency_ns = w->latency = mem_new0(double, o->requests);
    w->client_ns = o->clients ? mem_new0(uint64_t, o->clients) : NULL;
    if (!w->all || !w->waiting || !w->latency || (o->clients && !w->client_ns) ||
        batcher_new(&w->b, &o->batcher, &e) != ERR_OK) {
        broken(w, "no batcher: %s", e.text);
    } else {
        w->next_ns = w->now;
        live(w);
        PROMISE(w->answered == w->accepted && w->waits == 0, "%u requests of %u were never answered",
                w->accepted - w->answered, w->accepted);
        batcher_read(w->b, &ret->stats);
        PROMISE(w->broken || ret->stats.dropped[BATCH_RAN] == ret->ran, "it counted wrongly");
        if (batcher_quiet(w->b) && !w->broken) batcher_free(w->b);
        ret->end_ns = w->now;
        ret->batch_mean = ret->stats.batches ? (double)ret->stats.rows / (double)ret->stats.batches : 0;
        qsort(ret->latency_ns, ret->ran, sizeof(double), compare);
    }
    mem_free(w->client_ns);
    mem_free(w->waiting);
    mem_free(w->all);
    return w->broken;
}

void world_result_fini(world_result *r) { mem_free(r->latency_ns); }

double world_percentile(const world_result *r, double part)
{
    if (r->ran == 0) return 0;
    uint32_t i = (uint32_t)(part * r->ran);
    return r->latency_ns[i < r->ran ? i : r->ran - 1];
}
