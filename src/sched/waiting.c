#include "sched/waiting.h"

void waiting_init(waiting *w, const batch_rule *rule, uint32_t kinds_max)
{
    *w = (waiting){.rule = rule};
    lanes_init(&w->lanes, kinds_max);
    order_init(&w->ripe);
    order_init(&w->unripe);
    order_init(&w->timers);
    sequences_init(&w->sequences);
}

void waiting_fini(waiting *w)
{
    INVARIANT(w->count == 0 && w->timers.count == 0);
    lanes_fini(&w->lanes);
}

void waiting_file(waiting *w, lane *l, uint64_t now_ns)
{
    if (order_has(&l->turn)) order_del(l->ripe ? &w->ripe : &w->unripe, &l->turn);
    w->backlog_ns -= l->backlog_ns;
    lane_set_backlog(l, w->rule->max_batch);
    w->backlog_ns += l->backlog_ns;
    if (l->count) {
        uint64_t ripe_ns = batch_rule_ripe_ns(w->rule, l);
        l->ripe = ripe_ns <= now_ns;
        order_put(l->ripe ? &w->ripe : &w->unripe, &l->turn, l->ripe ? lane_urgency(l) : (order_key){.hi = ripe_ns});
    }
    w->ripe_count = (uint32_t)w->ripe.count;
    w->unripe_count = (uint32_t)w->unripe.count;
}

static void set_timer(waiting *w, batch_item *i)
{
    uint64_t at = i->deadline_ns;
    if (i->timeout_ns && (!at || i->timeout_ns < at)) at = i->timeout_ns;
    if (at) order_put(&w->timers, &i->timer, (order_key){.hi = at, .lo = i->number});
}

/* Nothing of its sequence is before it any more. */
static void step_forward(waiting *w, batch_item *i, uint64_t now_ns)
{
    lane_put(i->lane, i, i->delayed, now_ns);
    i->state = BATCH_WAITS;
    w->rows_at[i->level] += i->rows;
    waiting_file(w, i->lane, now_ns);
}

void waiting_enter(waiting *w, batch_item *i, uint64_t now_ns)
{
    INVARIANT(i->lane && i->level < BATCH_LEVELS_MAX);
    i->number = ++w->number;
    i->delayed = false;
    i->state = BATCH_BEHIND;
    w->count_at[i->level]++;
    w->count++;
    w->rows += i->rows;
    w->bytes += i->bytes;
    set_timer(w, i);
    if (sequences_join(&w->sequences, i)) step_forward(w, i, now_ns);
}

void waiting_take(waiting *w, batch_item *i)
{
    INVARIANT(i->state == BATCH_BEHIND || i->state == BATCH_WAITS);
    if (i->state == BATCH_WAITS) {
        lane_del(i->lane, i);
        w->rows_at[i->level] -= i->rows;
    }
    if (order_has(&i->timer)) order_del(&w->timers, &i->timer);
    w->count_at[i->level]--;
    w->count--;
    w->rows -= i->rows;
    w->bytes -= i->bytes;
}

void waiting_let_go(waiting *w, batch_item *i, uint64_t now_ns)
{
    batch_item *next = sequences_leave(&w->sequences, i);
    if (next) step_forward(w, next, now_ns);
    lanes_unpin(&w->lanes, i->lane);
    i->lane = NULL;
}

batch_item *waiting_overdue(const waiting *w, uint64_t now_ns)
{
    return waiting_timer_ns(w) <= now_ns ? ORDER_OF(order_first(&w->timers), batch_item, timer) : NULL;
}

void waiting_delay(waiting *w, batch_item *i, uint64_t now_ns)
{
    order_del(&w->timers, &i->timer);
    i->timeout_ns = 0;
    i->delayed = true;
    set_timer(w, i);
    if (i->state != BATCH_WAITS) return;
    lane_delay(i->lane, i);
    waiting_file(w, i->lane, now_ns);
}

lane *waiting_ripe(waiting *w, uint64_t now_ns)
{
    for (order_node *n; (n = order_first(&w->unripe)) && n->key.hi <= now_ns;)
        waiting_file(w, ORDER_OF(n, lane, turn), now_ns);
    return ORDER_OF(order_first(&w->ripe), lane, turn);
}

lane *waiting_next(const waiting *w)
{
    order_node *n = order_first(&w->ripe);
    return ORDER_OF(n ? n : order_first(&w->unripe), lane, turn);
}

uint64_t waiting_ripe_ns(const waiting *w)
{
    order_node *n = order_first(&w->unripe);
    return n ? n->key.hi : UINT64_MAX;
}

uint64_t waiting_timer_ns(const waiting *w)
{
    order_node *n = order_first(&w->timers);
    return n ? n->key.hi : UINT64_MAX;
}
