#include "sched/lanes.h"

#include "base/mem.h"

void lanes_init(lanes *s, uint32_t max)
{
    *s = (lanes){.max = max};
    order_init(&s->kinds);
}

void lanes_fini(lanes *s)
{
    order_node *n;
    while ((n = order_first(&s->kinds))) {
        lane *l = ORDER_OF(n, lane, at);
        INVARIANT(l->pins == 0);
        order_del(&s->kinds, n);
        mem_free(l);
    }
}

lane *lanes_find(const lanes *s, order_key kind) { return ORDER_OF(order_find(&s->kinds, kind), lane, at); }

static void unrest(lanes *s, lane *l)
{
    *(l->staler ? &l->staler->newer : &s->stalest) = l->newer;
    *(l->newer ? &l->newer->staler : &s->newest) = l->staler;
    l->newer = l->staler = NULL;
}

lane *lanes_pin(lanes *s, order_key kind)
{
    lane *l = lanes_find(s, kind);
    if (l) {
        if (l->pins++ == 0) unrest(s, l);
        return l;
    }
    if (s->count == s->max) {
        if (!(l = s->stalest)) return NULL;
        unrest(s, l);
        order_del(&s->kinds, &l->at);
    } else {
        if (!(l = mem_new0(lane, 1))) return NULL;
        s->count++;
    }
    lane_init(l);
    order_put(&s->kinds, &l->at, kind);
    l->pins = 1;
    return l;
}

void lanes_unpin(lanes *s, lane *l)
{
    INVARIANT(l->pins > 0);
    if (--l->pins) return;
    INVARIANT(l->count == 0);
    l->staler = s->newest;
    l->newer = NULL;
    *(s->newest ? &s->newest->newer : &s->stalest) = l;
    s->newest = l;
}
