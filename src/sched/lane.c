#include "sched/lane.h"

/* So many batches are kept smaller because larger ones did not pay or took too long; then what was learned about
 * those is forgotten: it may have been a stall, and machines change. */
enum { FORBIDDEN_MAX = 512 };

void lane_init(lane *l)
{
    *l = (lane){.cap_work = UINT64_MAX};
    order_init(&l->line);
    cost_curve_init(&l->curve);
}

static order_key key_of(const batch_item *i, bool delayed)
{
    return (order_key){.hi = (uint64_t)i->level << 1 | delayed, .lo = i->number};
}

void lane_put(lane *l, batch_item *i, bool delayed, uint64_t now_ns)
{
    order_put(&l->line, &i->place, key_of(i, delayed));
    i->ready_ns = now_ns;
    i->younger = NULL;
    i->older = l->youngest;
    *(i->older ? &i->older->younger : &l->oldest) = i;
    l->youngest = i;
    l->rows += i->rows;
    l->work += lane_work(i->rows, i->extent);
    l->count++;
    if (i->extent > l->extent_max) l->extent_max = i->extent;
}

void lane_del(lane *l, batch_item *i)
{
    INVARIANT(l->count > 0 && l->rows >= i->rows);
    order_del(&l->line, &i->place);
    *(i->older ? &i->older->younger : &l->oldest) = i->younger;
    *(i->younger ? &i->younger->older : &l->youngest) = i->older;
    i->older = i->younger = NULL;
    l->rows -= i->rows;
    l->work -= lane_work(i->rows, i->extent);
    l->count--;
}

void lane_delay(lane *l, batch_item *i)
{
    order_del(&l->line, &i->place);
    order_put(&l->line, &i->place, key_of(i, true));
}

batch_item *lane_first(const lane *l) { return ORDER_OF(order_first(&l->line), batch_item, place); }
batch_item *lane_after(const batch_item *i) { return ORDER_OF(order_next(&i->place), batch_item, place); }

uint64_t lane_oldest_ns(const lane *l)
{
    INVARIANT(l->oldest != NULL);
    return l->oldest->ready_ns;
}

order_key lane_urgency(const lane *l)
{
    INVARIANT(l->count > 0);
    return order_first(&l->line)->key;
}

uint32_t lane_cap_rows(const lane *l, uint32_t extent, uint32_t max_batch)
{
    uint64_t rows = l->cap_work / (extent ? extent : 1);
    return rows < 1 ? 1 : rows < max_batch ? (uint32_t)rows : max_batch;
}

/* What one run may take, so that a request that just missed it can wait for its end and then for its own, with k
 * instances: (1 + 1/k) of it.  Where a run of the least work takes more than that, no size does; then half of what it
 * leaves of the objective, so that those who come in the other half find a place in the next, and the others are told
 * at once that they would be late. */
static uint64_t budget_ns(const lane *l, const lane_plan *p)
{
    uint64_t all = p->objective_ns * p->instances / (p->instances + 1), least = cost_curve_high(&l->curve, 1);
    return least <= all || least >= p->objective_ns ? all : least + (p->objective_ns - least) / 2;
}

/* Two bounds.  A run takes at most the budget, or little more than the least run does: who is made so little later
 * would else be refused, and where costs are too unsteady for any budget all would run alone.  And it is at most twice
 * what was ever tried while the budget matters: the curve is not trusted far beyond what it saw.  And where larger
 * batches bring little and the rate of arrivals can be served without them, they only make their members wait for each
 * other. */
static uint64_t cap_of(const lane *l, const lane_plan *p)
{
    uint64_t most = lane_work(p->max_batch, l->extent_max), cap = most;
    if (p->objective_ns) {
        uint64_t tried = cost_curve_tried(&l->curve), within = cost_curve_within(&l->curve, budget_ns(l, p), most);
        uint64_t cheap = cost_curve_cheap(&l->curve, most);
        if (within < cheap) within = cheap;
        cap = tried * 2 < within ? tried * 2 : within;
    }
    uint64_t enough = cost_curve_enough(&l->curve);
    if (enough >= cap) return cap;
    double unit = l->extent_max ? l->extent_max : 1;
    double rate = p->instances * (double)enough / unit * 1e9 / (double)(cost_curve_mean(&l->curve, enough) + 1);
    return rate >= 1.25 * p->rows_per_s ? enough : cap;
}

void lane_learn(lane *l, const batch_run *b, uint64_t cost_ns, const lane_plan *p)
{
    const double kept = 15.0 / 16;
    cost_curve_add(&l->curve, b->work, cost_ns);
    l->runs = l->runs * kept + 1;
    l->wanted = l->wanted * kept + (double)b->wanted;
    l->took_ns = l->took_ns * kept + (double)cost_ns;
    l->cap_work = cap_of(l, p);
    uint64_t most = lane_work(p->max_batch, l->extent_max);
    if (l->cap_work < most && l->rows > 0 && ++l->forbade >= FORBIDDEN_MAX) {
        cost_curve_forget(&l->curve, l->cap_work);
        l->forbade = 0;
        l->cap_work = cap_of(l, p);
    }
}

bool lane_crowded(const lane *l) { return l->runs > 0 && (double)l->work * l->runs > 2 * l->wanted; }

double lane_rate(const lane *l) { return l->took_ns > 0 ? l->wanted / l->took_ns : 0; }

void lane_set_backlog(lane *l, uint32_t max_batch)
{
    l->backlog_ns = 0;
    if (l->rows == 0) return;
    uint32_t extent = l->extent_max ? (uint32_t)((l->work + l->rows - 1) / l->rows) : 0;
    uint32_t cap = lane_cap_rows(l, extent, max_batch);
    uint64_t rest = l->rows % cap;
    if (l->rows >= cap) l->backlog_ns = l->rows / cap * cost_curve_mean(&l->curve, lane_work(cap, extent));
    if (rest) l->backlog_ns += cost_curve_mean(&l->curve, lane_work((uint32_t)rest, extent));
}
