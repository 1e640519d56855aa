#include "sched/slots.h"

#include "base/mem.h"
#include "sched/batch.h"

#include <string.h>

enum { WAITING_MAX = 1024 };

struct slots {
    slots_opts opts;
    map by_id;                     /* that were not told to end */
    order_tree backlog, ready, running, idle;   /* by when they came, could run, began to, were last seen */
    uint64_t turn;                 /* counts what is put into the first three */
    slots_counts counts;
};

err_code slots_new(slots **ret, const slots_opts *opts, err *e)
{
    INVARIANT(opts->bytes >= sizeof(slot_sequence));
    slots *s = mem_new0(slots, 1);
    if (!s) return err_set(e, ERR_NOMEM, "sequences: no memory for their slots");
    s->opts = *opts;
    if (!s->opts.count) s->opts.count = 1;
    if (!s->opts.waiting_max) s->opts.waiting_max = WAITING_MAX;
    map_init(&s->by_id);
    order_init(&s->backlog);
    order_init(&s->ready);
    order_init(&s->running);
    order_init(&s->idle);
    *ret = s;
    return ERR_OK;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static slot_sequence *first_of(const order_tree *o) { return ORDER_OF(order_first(o), slot_sequence, place); }
static order_key key_of(uint64_t hi) { return (order_key){.hi = hi}; }

/* Which order a sequence stands in follows from what it is. */
static order_tree *order_of(slots *s, const slot_sequence *q)
{
    if (q->running) return &s->running;
    if (!q->seated) return &s->backlog;
    return q->first ? &s->ready : &s->idle;
}

static void leave(slots *s, slot_sequence *q)
{
    if (order_has(&q->place)) order_del(order_of(s, q), &q->place);
}

static void stand(slots *s, slot_sequence *q)
{
    order_tree *o = order_of(s, q);
    order_put(o, &q->place, key_of(o == &s->idle ? q->seen_us : ++s->turn));
}

static void free_sequence(slots *s, slot_sequence *q)
{
    if (s->opts.forget) s->opts.forget(q);
    mem_free(q);
}

/* Free slots go to the backlog, the oldest first. */
static void seat(slots *s)
{
    while (s->counts.seated < s->opts.count && s->counts.backlog) {
        slot_sequence *q = first_of(&s->backlog);
        INVARIANT(q);
        leave(s, q);
        q->seated = true;
        s->counts.backlog--;
        s->counts.seated++;
        stand(s, q);
    }
}

/* It stands in no order any more. */
static void forget(slots *s, slot_sequence *q)
{
    INVARIANT(!q->first && !q->running && !order_has(&q->place));
    if (!q->ended) (void)map_del(&s->by_id, q->id);
    if (q->seated) s->counts.seated--;
    else s->counts.backlog--;
    free_sequence(s, q);
    seat(s);
}

void slots_free(slots *s)
{
    if (!s) return;
    INVARIANT(s->counts.waiting == 0 && s->counts.running == 0 && s->counts.backlog == 0);
    for (slot_sequence *q; (q = first_of(&s->idle)) != NULL;) {
        order_del(&s->idle, &q->place);
        free_sequence(s, q);
    }
    map_fini(&s->by_id);
    mem_free(s);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static slot_sequence *sequence_new(slots *s, str id)
{
    slot_sequence *q = mem_alloc0(1, s->opts.bytes + id.len + 1);
    if (!q) return NULL;
    char *text = (char *)q + s->opts.bytes;
    if (id.len) memcpy(text, id.p, id.len);
    q->id = (str){text, id.len};
    if (!map_put(&s->by_id, q->id, q)) {
        mem_free(q);
        return NULL;
    }
    s->counts.backlog++;
    return q;
}

err_code slots_push(slots *s, slot_item *i, str id, uint64_t now_us, bool *ret_again, err *e)
{
    slot_sequence *q = map_get(&s->by_id, id);
    if (!q && !i->start)
        return err_set(e, ERR_INVALID, "must specify the START flag on the first request of the sequence");
    if (s->counts.waiting >= s->opts.waiting_max) {
        (void)err_set(e, ERR_LIMIT, "sequences: expected at most %u requests that wait, got one more",
                      s->opts.waiting_max);
        e->limit = batch_limit_name(BATCH_LIMIT_REQUESTS);
        return e->code;
    }
    *ret_again = q && i->start;
    uint64_t since = q ? q->place.key.hi : 0;
    if (q) leave(s, q);
    else if (!(q = sequence_new(s, id))) return err_set(e, ERR_NOMEM, "sequences: no memory for another");
    bool first = !q->first;
    i->of = q;
    i->next = NULL;
    if (first) q->first = i;
    else q->last->next = i;
    q->last = i;
    q->seen_us = now_us;
    s->counts.waiting++;
    if (i->end) {
        (void)map_del(&s->by_id, q->id);
        q->ended = true;
    }
    if (first) stand(s, q);
    else order_put(order_of(s, q), &q->place, key_of(since));   /* it keeps its turn */
    seat(s);
    return ERR_OK;
}

slot_item *slots_take(slots *s, uint64_t now_us)
{
    slot_sequence *q = first_of(&s->ready);
    if (!q) return NULL;
    leave(s, q);
    slot_item *i = q->first;
    q->first = i->next;
    q->running = true;
    q->seen_us = now_us;
    s->counts.waiting--;
    s->counts.running++;
    stand(s, q);
    return i;
}

void slots_done(slots *s, slot_sequence *q, uint64_t now_us)
{
    INVARIANT(q->running && q->seated);
    leave(s, q);
    q->running = false;
    q->seen_us = now_us;
    s->counts.running--;
    if (q->ended && !q->first) forget(s, q);
    else stand(s, q);
}

/* Takes out what goes and what comes behind it, up to a START: that depends on nothing before.  `lost`: the request
 * before them is gone.  Whether the last one is gone. */
static bool cut(slots *s, slot_sequence *q, bool (*goes)(const slot_item *i), bool lost, slot_item ***tail)
{
    slot_item *kept = NULL, **at = &kept, *next;
    for (slot_item *i = q->first; i; i = next) {
        next = i->next;
        i->next = NULL;
        lost = (lost && !i->start) || (goes && goes(i));
        if (lost) {
            **tail = i;
            *tail = &i->next;
            s->counts.waiting--;
            continue;
        }
        *at = i;
        at = &i->next;
        q->last = i;
    }
    q->first = kept;
    return lost;
}

/* Nobody can go on with it. */
static void over(slots *s, slot_sequence *q)
{
    if (!q->ended) (void)map_del(&s->by_id, q->id);
    q->ended = true;
}

static bool any_goes(const slot_sequence *q, bool (*goes)(const slot_item *i))
{
    bool any = false;
    for (const slot_item *i = q->first; i; i = i->next) any = goes(i) || any;
    return any;
}

slot_item *slots_drop(slots *s, bool (*goes)(const slot_item *i))
{
    slot_item *gone = NULL, **tail = &gone;
    order_tree *const all[] = {&s->backlog, &s->ready, &s->running};
    for (size_t k = 0; k < COUNTOF(all); k++) {
        for (order_node *n = order_first(all[k]), *next; n; n = next) {
            next = order_next(n);
            slot_sequence *q = ORDER_OF(n, slot_sequence, place);
            if (!any_goes(q, goes)) continue;
            if (cut(s, q, goes, false, &tail)) over(s, q);
            if (q->first || q->running) continue;
            order_del(all[k], n);
            if (q->seated) s->counts.seated--;
            else s->counts.backlog--;
            free_sequence(s, q);
        }
    }
    seat(s);
    return gone;
}

slot_item *slots_lose(slots *s, slot_sequence *q)
{
    slot_item *gone = NULL, **tail = &gone;
    INVARIANT(q->running);
    if (cut(s, q, NULL, true, &tail)) over(s, q);
    return gone;
}

slot_item *slots_refuse(slots *s, slot_sequence *q)
{
    slot_item *gone = NULL, **tail = &gone;
    INVARIANT(q->running);
    bool last = cut(s, q, NULL, true, &tail);
    if (last && q->ended && !map_get(&s->by_id, q->id)) q->ended = !map_put(&s->by_id, q->id, q);
    return gone;
}

uint64_t slots_expire(slots *s, uint64_t now_us)
{
    for (slot_sequence *q; (q = first_of(&s->idle)) != NULL;) {
        uint64_t until_us;
        if (__builtin_add_overflow(q->seen_us, s->opts.idle_us, &until_us)) return SLOTS_NEVER;
        if (until_us > now_us) return until_us;
        order_del(&s->idle, &q->place);
        s->counts.forgotten++;
        forget(s, q);
    }
    return SLOTS_NEVER;
}

void slots_read(const slots *s, slots_counts *ret) { *ret = s->counts; }
