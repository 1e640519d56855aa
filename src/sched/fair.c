#include "sched/fair.h"

void fair_init(fair *f) { *f = (fair){0}; }

static uint64_t weight_of(const fair_share *s)
{
    INVARIANT(s->weight <= FAIR_WEIGHT_MAX);
    return s->weight ? s->weight : 1;
}

void fair_ready(fair *f, fair_share *s, bool ready)
{
    if (ready == order_has(&s->place)) return;
    if (!ready) {
        order_del(&f->ready, &s->place);
        return;
    }
    if (s->at < f->now) s->at = f->now;
    order_put(&f->ready, &s->place, (order_key){.hi = s->at});
}

fair_share *fair_pick(fair *f)
{
    fair_share *s = ORDER_OF(order_first(&f->ready), fair_share, place);
    if (s && s->at > f->now) f->now = s->at;
    return s;
}

void fair_charge(fair *f, fair_share *s, int64_t cost_ns)
{
    uint64_t size = cost_ns < 0 ? 0 - (uint64_t)cost_ns : (uint64_t)cost_ns;
    uint64_t step = size * FAIR_WEIGHT_MAX / weight_of(s);
    bool ready = order_has(&s->place);
    if (ready) order_del(&f->ready, &s->place);
    if (cost_ns < 0) {
        s->at -= step < s->at ? step : s->at;
        s->used_ns -= size < s->used_ns ? size : s->used_ns;
    } else {
        s->at += step;
        s->used_ns += size;
    }
    if (ready) order_put(&f->ready, &s->place, (order_key){.hi = s->at});
}
