#include "sched/fair.h"

/* What a charge is at most, so that its step fits 64 bits: three hours. */
#define COST_NS_MAX UINT64_C(10000000000000)

void fair_init(fair *f) { *f = (fair){0}; }

static uint64_t step_of(const fair_share *s, uint64_t cost_ns)
{
    INVARIANT(s->weight <= FAIR_WEIGHT_MAX && s->priority <= FAIR_PRIORITY_MAX);
    const uint64_t most = cost_ns < COST_NS_MAX ? cost_ns : COST_NS_MAX;
    return most * FAIR_WEIGHT_MAX * (s->priority ? s->priority : 1) / (s->weight ? s->weight : 1);
}

static void at_add(order_key *at, uint64_t step) { at->hi += __builtin_add_overflow(at->lo, step, &at->lo); }

static void at_sub(order_key *at, uint64_t step)
{
    if (order_compare(*at, (order_key){.lo = step}) <= 0) *at = (order_key){0};
    else at->hi -= __builtin_sub_overflow(at->lo, step, &at->lo);
}

void fair_ready(fair *f, fair_share *s, bool ready)
{
    if (ready == order_has(&s->place)) return;
    if (!ready) {
        order_del(&f->ready, &s->place);
        return;
    }
    if (order_compare(s->at, f->now) < 0) s->at = f->now;
    order_put(&f->ready, &s->place, s->at);
}

fair_share *fair_first(const fair *f, fair_may *may, void *of)
{
    for (order_node *n = order_first(&f->ready); n; n = order_next(n)) {
        fair_share *s = ORDER_OF(n, fair_share, place);
        if (!may || may(s, of)) return s;
    }
    return NULL;
}

void fair_pick(fair *f, const fair_share *s)
{
    if (order_compare(s->at, f->now) > 0) f->now = s->at;
}

void fair_charge(fair *f, fair_share *s, int64_t cost_ns)
{
    uint64_t size = cost_ns < 0 ? 0 - (uint64_t)cost_ns : (uint64_t)cost_ns;
    uint64_t step = step_of(s, size);
    bool ready = order_has(&s->place);
    if (ready) order_del(&f->ready, &s->place);
    if (cost_ns < 0) {
        at_sub(&s->at, step);
        s->used_ns -= size < s->used_ns ? size : s->used_ns;
    } else {
        at_add(&s->at, step);
        s->used_ns += size;
    }
    if (ready) order_put(&f->ready, &s->place, s->at);
}
