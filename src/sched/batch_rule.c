#include "sched/batch_rule.h"

static bool preferred(const batch_rule *r, uint64_t rows)
{
    for (uint32_t i = 0; i < r->preferred_count; i++)
        if (r->preferred[i] == rows) return true;
    return false;
}

static uint32_t preferred_max(const batch_rule *r)
{
    return r->preferred_count ? r->preferred[r->preferred_count - 1] : r->max_batch;
}

static bool delayed_enough(const batch_rule *r, const lane *l, uint64_t now_ns)
{
    return r->max_delay_ns && now_ns >= lane_oldest_ns(l) + r->max_delay_ns;
}

/* The rows of the longest run of first members that is a preferred size, or that another member would carry beyond
 * all preferred sizes; 0 = there is none yet. */
static uint32_t preferred_rows(const batch_rule *r, const lane *l)
{
    uint64_t rows = 0;
    uint32_t best = 0;
    for (const batch_item *i = lane_first(l); i; i = lane_after(i)) {
        if (rows > 0 && rows + i->rows > preferred_max(r) && best == 0) best = (uint32_t)rows;
        rows += i->rows;
        if (rows > r->max_batch) break;
        if (preferred(r, rows)) best = (uint32_t)rows;
        if (rows >= preferred_max(r)) break;
    }
    return best ? best : rows >= preferred_max(r) ? (uint32_t)rows : 0;
}

uint64_t batch_rule_ripe_ns(const batch_rule *r, const lane *l)
{
    const uint32_t enough = r->enough ? r->enough : preferred_max(r);
    if (r->mode != BATCH_FIXED || r->max_delay_ns == 0 || l->rows >= enough) return 0;
    if (r->preferred_count && preferred_rows(r, l)) return 0;
    return lane_oldest_ns(l) + r->max_delay_ns;
}

/* The most rows that a batch of this lane gets now, while its extent is that of its first member. */
static uint32_t target_rows(const batch_rule *r, const lane *l, uint64_t now_ns)
{
    if (r->mode == BATCH_FIXED) {
        uint32_t best = r->preferred_count && !delayed_enough(r, l, now_ns) ? preferred_rows(r, l) : 0;
        return best ? best : r->max_batch;
    }
    uint32_t cap = lane_cap_rows(l, lane_first(l)->extent, r->max_batch);
    uint64_t there = l->rows < cap ? l->rows : cap;
    for (uint32_t i = r->preferred_count; i-- > 0;)
        if (r->preferred[i] <= there) return r->preferred[i];
    return cap;
}

typedef enum { JOINS, SKIPPED, FULL } verdict;

/* Would the batch, now for one more, still be worth it: within the waste that is allowed, and where the curve knows,
 * not dearer than running the newcomer alone. */
static verdict judge(const batch_rule *r, const lane *l, const batch_run *b, const batch_item *i, uint32_t target)
{
    uint64_t rows = (uint64_t)b->rows + i->rows;
    if (rows > target) return FULL;
    if (!b->extent) return JOINS;
    uint32_t extent = i->extent > b->extent ? i->extent : b->extent;
    uint64_t work = lane_work((uint32_t)rows, extent), full = b->work - b->padding + lane_work(i->rows, i->extent);
    if ((work - full) * 100 > work * r->waste_percent) return SKIPPED;
    if (r->mode != BATCH_ADAPTIVE || (extent == b->extent && i->extent == extent)) return JOINS;
    if (rows > lane_cap_rows(l, extent, r->max_batch)) return SKIPPED;
    if (!cost_curve_sloped(&l->curve)) return JOINS;
    uint64_t apart = cost_curve_mean(&l->curve, b->work) + cost_curve_mean(&l->curve, lane_work(i->rows, i->extent));
    return cost_curve_mean(&l->curve, work) <= apart ? JOINS : SKIPPED;
}

static void join(batch_run *b, batch_item *i)
{
    uint64_t full = b->work - b->padding + lane_work(i->rows, i->extent);
    if (i->extent > b->extent) b->extent = i->extent;
    b->rows += i->rows;
    b->count++;
    b->work = lane_work(b->rows, b->extent);
    b->padding = b->work - full;
}

static bool cancelled(const batch_item *i)
{
    return i->cancelled && atomic_load_explicit(i->cancelled, memory_order_relaxed);
}

void batch_rule_choose(const batch_rule *r, const lane *l, uint64_t now_ns, batch_run *ret, batch_item **ret_cancelled)
{
    uint32_t target = target_rows(r, l, now_ns), looked = 0;
    batch_item **end = &ret->items, **gone = ret_cancelled;
    *ret = (batch_run){0};
    *ret_cancelled = NULL;
    for (batch_item *i = lane_first(l); i && looked < BATCH_LOOK_MAX; i = lane_after(i), looked++) {
        if (cancelled(i)) {
            i->next = NULL;
            *gone = i;
            gone = &i->next;
            continue;
        }
        verdict v = ret->count ? judge(r, l, ret, i, target) : JOINS;
        if (v == FULL) break;
        if (v == SKIPPED) continue;
        join(ret, i);
        i->next = NULL;
        *end = i;
        end = &i->next;
        if (r->mode == BATCH_OFF || ret->rows >= target) break;
    }
}
