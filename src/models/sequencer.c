#include "models/sequencer.h"

#include "base/mem.h"
#include "models/sequence_io.h"
#include "os/clock.h"
#include "sched/slots.h"

#include <stdio.h>
#include <string.h>

enum { ID_BYTES_MAX = 128 };      /* of a correlation id, as in Triton */

typedef enum { MAIL_PUSHED, MAIL_BACK, MAIL_POKE } mail_kind;

typedef struct letter letter;
struct letter {
    letter *next;
    mail_kind kind;
};

/* What is known of a sequence. */
typedef struct {
    slot_sequence at;
    sequence_block *states;       /* for its next request; NULL = it has not run */
    letter back;                 /* its request is back, */
    bool lost;                    /* and did not run */
} sequence;

/* A request. */
struct sequence_turn {
    queue_item inner;             /* in the model's queue */
    slot_item at;
    letter pushed;
    sequencer *of;
    queue_item *client;
    sequence_block *states;       /* that it runs on: its outputs may lie there */
    sequence_values values;
    tensor inputs[];
};

struct sequencer {
    sequencer_opts opts;
    sequence_io *io;
    slots *slots;
    _Atomic(letter *) mail;      /* the last that came; &nobody = and no thread is on it */
    _Atomic uint32_t inside;      /* requests in the model's queue */
    _Atomic bool poked;           /* `poke` is in the mail */
    letter poke;
    waker_call timer;
    /* of the thread that is on it */
    uint64_t now_us;
    uint64_t due_us;              /* the first of those that wait is dropped then; UINT64_MAX = none */
};

static letter nobody;

#define OF(type, member, p) ((type *)(void *)((char *)(p)-offsetof(type, member)))

static void go_on(sequencer *q);
static void turn_done(queue_item *inner, const err *e);

/* ---- mail -------------------------------------------------------------------------------------------------------- */

/* The sequencer is not touched any more where another thread has it.  Who posts holds its owner meanwhile, but for the
 * timer: that is removed before the sequencer goes, which waits for it. */
static void post(sequencer *q, letter *n)
{
    letter *before = atomic_load(&q->mail);
    do n->next = before == &nobody ? NULL : before;
    while (!atomic_compare_exchange_weak(&q->mail, &before, n));
    if (before == &nobody) go_on(q);
}

static void poke(sequencer *q)
{
    if (!atomic_exchange(&q->poked, true)) post(q, &q->poke);
}

static void on_timer(waker_call *c) { poke(OF(sequencer, timer, c)); }

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void sequence_forget(slot_sequence *s) { sequence_block_release(((sequence *)(void *)s)->states); }

static uint32_t slot_count(const model_config *c)
{
    const sequence_batching *s = &c->scheduling.sequence;
    int64_t each = s->oldest ? s->candidates_max : c->max_batch_size;
    uint64_t all = (uint64_t)(each > 1 ? each : 1) * (c->instance_count ? c->instance_count : 1);
    return all < UINT32_MAX ? (uint32_t)all : UINT32_MAX;
}

err_code sequencer_new(sequencer **ret, const sequencer_opts *opts, err *e)
{
    CLEANUP(sequencer) sequencer *q = mem_new0(sequencer, 1);
    if (!q) return err_set(e, ERR_NOMEM, "sequences: no memory for the model");
    q->opts = *opts;
    q->mail = &nobody;
    q->poke.kind = MAIL_POKE;
    q->timer.ring = on_timer;
    const slots_opts so = {.count = slot_count(opts->config),
                           .waiting_max = opts->waiting_max,
                           .idle_us = opts->config->scheduling.sequence.idle_us,
                           .bytes = sizeof(sequence),
                           .forget = sequence_forget};
    err_code rc = sequence_io_new(&q->io, opts->config, opts->model, e);
    if (rc == ERR_OK) rc = slots_new(&q->slots, &so, e);
    if (rc) return rc;
    waker_add(opts->waker, &q->timer);
    *ret = TAKE(q);
    return ERR_OK;
}

void sequencer_free(sequencer *q)
{
    if (!q) return;
    if (q->slots) waker_remove(q->opts.waker, &q->timer);
    slots_free(q->slots);
    sequence_io_free(q->io);
    mem_free(q);
}

/* In this order: nothing comes back any more, and the thread that read the last of it is gone. */
bool sequencer_quiet(sequencer *q) { return atomic_load(&q->inside) == 0 && atomic_load(&q->mail) == &nobody; }

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static tensor turn_output(const queue_item *item, uint32_t i)
{
    return queue_output(&item->turn->inner, sequence_io_output(item->turn->of->io, i));
}

static void turn_release(queue_item *item) { queue_release(&item->turn->inner); }

static const queue_source source = {turn_output, turn_release};

void sequencer_end(queue_item *item)
{
    sequence_turn *t = atomic_exchange(&item->turn, NULL);
    if (!t) return;
    queue_release(&t->inner);
    sequence_block_release(t->states);
    mem_free(t);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* It never ran.  The turn may be gone afterwards. */
static void refuse(sequence_turn *t, const err *e) { t->client->done(t->client, e); }

/* Numbers and texts are different ids.  Empty where there is none. */
static str id_of(const queue_item *item, char room[1 + ID_BYTES_MAX])
{
    const str text = item->sequence.text;
    room[0] = text.len ? 's' : 'n';
    if (text.len) memcpy(room + 1, text.p, text.len);
    else memcpy(room + 1, &item->sequence.number, sizeof item->sequence.number);
    return (str){room, 1 + (text.len ? text.len : sizeof item->sequence.number)};
}

/* Its own timeout, from when it came. */
static uint64_t expires_us(const queue_item *c)
{
    uint64_t at_us;
    bool never = !c->timeout_us || __builtin_add_overflow(c->since_ns / 1000, c->timeout_us, &at_us);
    return never ? UINT64_MAX : at_us;
}

/* When it is dropped unless it has begun to run; UINT64_MAX = never. */
static uint64_t due_us(const sequence_turn *t)
{
    const uint64_t expires = expires_us(t->client), deadline = t->client->deadline_us;
    return deadline && deadline < expires ? deadline : expires;
}

static batch_drop drop_of(const sequence_turn *t)
{
    const uint64_t now_us = t->of->now_us;
    if (atomic_load(&t->inner.cancelled)) return BATCH_CANCELLED;
    if (t->client->deadline_us && now_us >= t->client->deadline_us) return BATCH_DEADLINE;
    return now_us >= due_us(t) ? BATCH_TIMEOUT : BATCH_RAN;
}

/* One that is in time itself: it hears of the other. */
static void refuse_behind(sequence_turn *t, bool over)
{
    err e;
    t->client->at.drop = BATCH_CANCELLED;
    err_set(&e, ERR_UNAVAILABLE, over ? "the sequence ended before this request: one before it was dropped"
                                      : "a request of this sequence before this one was refused");
    refuse(t, &e);
}

/* Some for reasons of their own, others as they come behind them; `over`: their sequence has ended. */
static void refuse_all(slot_item *gone, bool over)
{
    slot_item *next;
    err e;
    for (slot_item *i = gone; i; i = next) {
        sequence_turn *t = OF(sequence_turn, at, i);
        batch_drop why = drop_of(t);
        next = i->next;
        if (why == BATCH_RAN) {
            refuse_behind(t, over);
            continue;
        }
        (void)queue_item_drop(t->client, why, &e);
        refuse(t, &e);
    }
}

static void pushed(sequencer *q, sequence_turn *t)
{
    char room[1 + ID_BYTES_MAX], id[ID_BYTES_MAX + 1];
    const queue_item *c = t->client;
    bool again;
    err e;
    err_code rc = slots_push(q->slots, &t->at, id_of(c, room), q->now_us, &again, &e);
    if (rc == ERR_OK) {
        ((sequence *)(void *)t->at.of)->back.kind = MAIL_BACK;
        if (due_us(t) != UINT64_MAX) waker_by(q->opts.waker, &q->timer, due_us(t));
        if (atomic_load(&t->inner.cancelled)) poke(q);   /* before it was here: nobody else looks */
        return;
    }
    if (rc == ERR_INVALID) {   /* the words are Triton's */
        char why[sizeof e.text];
        memcpy(why, e.text, sizeof why);
        if (c->sequence.text.len) snprintf(id, sizeof id, STR_FMT, STR_ARG(c->sequence.text));
        else snprintf(id, sizeof id, "%llu", (unsigned long long)c->sequence.number);
        (void)err_set(&e, rc, "inference request for sequence %s to model '" STR_FMT "' %s", id,
                      STR_ARG(q->opts.config->name), why);
    }
    refuse(t, &e);
}

/* The model's queue counts from here on: what the request waited for until now it has waited for its sequence. */
static void inner_set(sequencer *q, sequence_turn *t)
{
    const uint64_t expires = expires_us(t->client);
    t->inner.inputs = t->inputs;
    t->inner.empty = sequence_io_empty(q->io);
    t->inner.done = turn_done;
    t->inner.since_ns = 0;
    t->inner.deadline_us = t->client->deadline_us;
    t->inner.timeout_us = expires == UINT64_MAX ? 0 : expires - q->now_us;
    t->inner.priority = t->client->priority;
    t->inner.bytes = t->client->bytes;
}

/* The turn and, where it was the last, the sequence may be gone afterwards. */
static err_code begin(sequencer *q, sequence_turn *t, err *e)
{
    sequence *s = (sequence *)(void *)t->at.of;
    if (t->at.start || !s->states) {
        sequence_block_release(s->states);
        s->states = sequence_io_first(q->io);
    }
    t->states = s->states;
    sequence_block_hold(t->states);
    err_code rc = sequence_io_fill(q->io, t->client, t->states, &t->values, t->inputs, e);
    if (rc) return rc;
    inner_set(q, t);
    s->lost = false;
    atomic_fetch_add(&q->inside, 1);
    rc = queue_push(q->opts.queue, &t->inner, e);
    if (rc) atomic_fetch_sub(&q->inside, 1);
    return rc;
}

static void turns_begin(sequencer *q)
{
    slot_item *i;
    err e;
    while ((i = slots_take(q->slots, q->now_us)) != NULL) {
        sequence_turn *t = OF(sequence_turn, at, i);
        slot_sequence *s = i->of;
        batch_drop why = drop_of(t);
        if (why == BATCH_RAN && begin(q, t, &e) == ERR_OK) continue;
        if (why == BATCH_RAN) why = t->inner.at.drop;
        /* Who began with it has nothing to go on with; others may send it again. */
        const bool over = why != BATCH_RAN || e.code == ERR_TIMEOUT || t->at.start;
        slot_item *gone = over ? slots_lose(q->slots, s) : slots_refuse(q->slots, s);
        slots_done(q->slots, s, q->now_us);
        (void)queue_item_drop(t->client, why, &e);
        refuse(t, &e);
        refuse_all(gone, over);
    }
}

static void turn_done(queue_item *inner, const err *e)
{
    sequence_turn *t = OF(sequence_turn, inner, inner);
    sequencer *q = t->of;
    const queue_owner owner = q->opts.owner;
    queue_item *client = t->client;
    sequence *s = (sequence *)(void *)t->at.of;
    sequence_block *next;
    err mine;
    queue_owner_hold(&owner);
    if (!e && sequence_io_keep(q->io, inner, &next, &mine)) e = &mine;
    client->start_ns = inner->start_ns;
    client->end_ns = inner->end_ns;
    client->at.drop = inner->at.drop;
    s->lost = inner->at.drop != BATCH_RAN || (e && (e->code == ERR_CANCELLED || e->code == ERR_TIMEOUT));
    if (!e) {   /* no other request of the sequence runs */
        sequence_block_release(s->states);
        s->states = next;
        client->outputs = inner->outputs;   /* which run it was, and whose it was, too */
        client->source = &source;
    }
    client->done(client, e);
    post(q, &s->back);
    queue_owner_release(&owner);
}

static bool leaves(const slot_item *i)
{
    const sequence_turn *t = OF(const sequence_turn, at, i);
    const uint64_t at_us = due_us(t);
    if (drop_of(t) != BATCH_RAN) return true;
    if (at_us < t->of->due_us) t->of->due_us = at_us;
    return false;
}

static void waiting_drop(sequencer *q)
{
    q->due_us = UINT64_MAX;
    refuse_all(slots_drop(q->slots, leaves), true);
    if (q->due_us != UINT64_MAX) waker_by(q->opts.waker, &q->timer, q->due_us);
}

static void read(sequencer *q, letter *n)
{
    sequence *s;
    switch (n->kind) {
    case MAIL_PUSHED:
        pushed(q, OF(sequence_turn, pushed, n));
        break;
    case MAIL_BACK:
        s = OF(sequence, back, n);
        if (s->lost) refuse_all(slots_lose(q->slots, &s->at), true);
        slots_done(q->slots, &s->at, q->now_us);
        atomic_fetch_sub(&q->inside, 1);
        break;
    default:
        atomic_store(&q->poked, false);
        waiting_drop(q);
    }
}

static void counts_show(sequencer *q)
{
    slots_counts c;
    slots_read(q->slots, &c);
    atomic_store_explicit(&q->opts.metrics->sequences, c.seated, memory_order_relaxed);
    atomic_store_explicit(&q->opts.metrics->backlog, c.backlog, memory_order_relaxed);
    atomic_store_explicit(&q->opts.metrics->in_sequences, c.waiting, memory_order_relaxed);
}

/* This thread alone is on it until nothing comes any more.  Mail is read in the order in which it came. */
static void go_on(sequencer *q)
{
    for (;;) {
        letter *none = NULL, *next, *first = NULL;
        for (letter *n = atomic_exchange(&q->mail, NULL); n; n = next) {
            next = n->next;
            n->next = first;
            first = n;
        }
        q->now_us = clock_now_us();
        for (; first; first = next) {
            next = first->next;
            read(q, first);
        }
        uint64_t again_us = slots_expire(q->slots, q->now_us);
        turns_begin(q);
        counts_show(q);
        if (again_us != SLOTS_NEVER) waker_by(q->opts.waker, &q->timer, again_us);
        if (atomic_compare_exchange_strong(&q->mail, &none, &nobody)) return;
    }
}

static err_code asked_check(const sequencer *q, const queue_item *item, err *e)
{
    const model_config *c = q->opts.config;
    const tensor *first = c->ios.input_count ? &item->inputs[0] : NULL;
    if (c->max_batch_size > 0 && first && first->shape.rank > 0 && first->shape.dim[0] != 1)   /* Triton's words */
        return err_set(e, ERR_INVALID, "inference request to model '" STR_FMT "' must specify batch-size 1 due to "
                       "requirements of sequence batcher", STR_ARG(c->name));
    if (!item->sequence.number && !item->sequence.text.len)
        return err_set(e, ERR_INVALID, "inference request to model '" STR_FMT "' must specify a non-zero or non-empty "
                       "correlation ID", STR_ARG(c->name));
    if (item->sequence.text.len > ID_BYTES_MAX)
        return err_set(e, ERR_INVALID, "string correlation ID cannot be longer than %d characters", ID_BYTES_MAX);
    return ERR_OK;
}

err_code sequencer_push(sequencer *q, queue_item *item, err *e)
{
    err_code rc = asked_check(q, item, e);
    if (rc) return rc;
    sequence_turn *t = mem_alloc0(1, sizeof *t + sequence_io_inputs(q->io) * sizeof(tensor));
    if (!t) return err_set(e, ERR_NOMEM, "sequences: no memory for a request");
    if (!item->since_ns) item->since_ns = clock_now_ns();
    item->start_ns = item->end_ns = 0;
    item->source = NULL;
    item->outputs.rows = 0;
    item->at.drop = BATCH_RAN;
    t->of = q;
    t->client = item;
    t->at = (slot_item){.start = item->sequence.start, .end = item->sequence.end};
    t->pushed.kind = MAIL_PUSHED;
    atomic_store(&item->turn, t);   /* whoever cancels just now sees it, or is seen here */
    if (atomic_load(&item->cancelled)) atomic_store(&t->inner.cancelled, true);
    const queue_owner owner = q->opts.owner;
    queue_owner_hold(&owner);
    post(q, &t->pushed);
    queue_owner_release(&owner);
    return ERR_OK;
}

void sequencer_cancel(queue_item *item)
{
    sequence_turn *t = atomic_load(&item->turn);
    sequencer *q = t->of;
    const queue_owner owner = q->opts.owner;
    queue_owner_hold(&owner);
    queue_cancel(&t->inner);
    poke(q);
    queue_owner_release(&owner);
}
