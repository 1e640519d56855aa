#include "sched/batch_rule.h"

#include "sched/batch_size.h"

#include <stdlib.h>
#include <string.h>

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

static bool cancelled(const batch_item *i)
{
    return i->cancelled && atomic_load_explicit(i->cancelled, memory_order_relaxed);
}

/* What was looked at of a lane, most urgent first. */
typedef struct {
    batch_item *items[BATCH_LOOK_MAX];
    uint32_t count;
} view;

/* `rows` = how many are enough: more need not be seen. */
static void look(view *v, const lane *l, uint64_t rows, batch_item **ret_cancelled)
{
    batch_item **gone = ret_cancelled;
    uint32_t looked = 0;
    uint64_t seen = 0;
    v->count = 0;
    *ret_cancelled = NULL;
    for (batch_item *i = lane_first(l); i && looked < BATCH_LOOK_MAX && seen < rows; i = lane_after(i), looked++) {
        if (cancelled(i)) {
            i->next = NULL;
            *gone = i;
            gone = &i->next;
            continue;
        }
        v->items[v->count++] = i;
        seen += i->rows;
    }
}

static void join(batch_run *b, const batch_item *i)
{
    b->unequal |= b->count && i->extent != b->extent;
    if (i->extent > b->extent) b->extent = i->extent;
    b->rows += i->rows;
    b->count++;
    b->wanted += lane_work(i->rows, i->extent);
}

/* ---- rows of one length ------------------------------------------------------------------------------------------ */

static uint32_t in_order(const view *v, uint32_t target)
{
    uint32_t count = 1;
    uint64_t rows = v->items[0]->rows;
    while (count < v->count && rows < target && rows + v->items[count]->rows <= target)
        rows += v->items[count++]->rows;
    return count;
}

/* ---- rows of unequal lengths ------------------------------------------------------------------------------------- */

/* As it is run: rounded up where it is several requests. */
static uint64_t run_work(const batch_rule *r, const batch_run *b)
{
    if (!b->extent || b->count < 2) return lane_work(b->rows, b->extent);
    return lane_work(batch_size_rows(b->rows, r->max_batch), b->unequal ? batch_size_length(b->extent) : b->extent);
}

static bool allowed(const batch_rule *r, const lane *l, const batch_run *b, uint32_t target)
{
    const uint64_t all = lane_work(b->rows, b->extent);
    if (b->rows > target || (all - b->wanted) * 100 > all * r->waste_percent) return false;
    return r->mode != BATCH_ADAPTIVE || run_work(r, b) <= l->cap_work;
}

static double cost_of(const batch_rule *r, const lane *l, const batch_run *b)
{
    return (double)cost_curve_mean(&l->curve, run_work(r, b)) + 1;
}

/* What a run brings beyond what its time brings otherwise, at the rate at which the lane does what is wanted of it:
 * whoever makes the most of that in each run does the most in the long run (Dinkelbach, "On nonlinear fractional
 * programming", 1967).  More at once counts as better where nobody knows. */
static double merit(const batch_rule *r, const lane *l, const batch_run *b, double rate)
{
    if (r->mode != BATCH_ADAPTIVE || !cost_curve_sloped(&l->curve)) return b->count;
    return (double)b->wanted - rate * cost_of(r, l, b);
}

/* The lane's, or that of who runs in any case, alone, where that is better. */
static double rate_of(const batch_rule *r, const lane *l, const batch_run *alone)
{
    double rate = (double)alone->wanted / cost_of(r, l, alone);
    return rate > lane_rate(l) ? rate : lane_rate(l);
}

static int shorter(const void *a, const void *b)
{
    const batch_item *x = *(batch_item *const *)a, *y = *(batch_item *const *)b;
    if (x->extent != y->extent) return x->extent < y->extent ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* The most urgent and those whose lengths are nearest to its own, as many of them as make the best of the time.  Leaves
 * them at the beginning of the view, in any order, and returns how many they are. */
static uint32_t neighbours(const batch_rule *r, const lane *l, view *v, uint32_t target)
{
    batch_item *const anchor = v->items[0], *sorted[BATCH_LOOK_MAX];
    const uint32_t count = v->count;
    uint32_t up = 0, taken = 1, best = 1;
    memcpy(sorted, v->items, count * sizeof(batch_item *));
    qsort(sorted, count, sizeof(batch_item *), shorter);
    while (sorted[up] != anchor) up++;
    uint32_t down = up++;   /* what is next on either side: sorted[down - 1] and sorted[up] */
    batch_run b = {0};
    join(&b, anchor);
    const double rate = rate_of(r, l, &b);
    for (double most = merit(r, l, &b, rate); (down > 0 || up < count) && b.rows < target;) {
        batch_run with[2] = {b, b};
        if (down > 0) join(&with[0], sorted[down - 1]);
        if (up < count) join(&with[1], sorted[up]);
        const uint64_t padded[2] = {lane_work(with[0].rows, with[0].extent) - with[0].wanted,
                                    lane_work(with[1].rows, with[1].extent) - with[1].wanted};
        const bool upwards = down == 0 || (up < count && padded[1] < padded[0]);
        batch_item *next = upwards ? sorted[up++] : sorted[--down];
        if (!allowed(r, l, &with[upwards], target)) continue;
        b = with[upwards];
        v->items[taken++] = next;
        double m = merit(r, l, &b, rate);
        if (m < most) continue;
        most = m;
        best = taken;
    }
    return best;
}

static int more_urgent(const void *a, const void *b)
{
    const batch_item *x = *(batch_item *const *)a, *y = *(batch_item *const *)b;
    return order_compare(x->place.key, y->place.key);
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

void batch_rule_choose(const batch_rule *r, const lane *l, uint64_t now_ns, batch_run *ret, batch_item **ret_cancelled)
{
    view v;
    const uint32_t target = target_rows(r, l, now_ns);
    *ret = (batch_run){0};
    look(&v, l, r->mode == BATCH_OFF ? 1 : l->extent_max ? UINT64_MAX : target, ret_cancelled);
    if (v.count == 0) return;
    uint32_t count = 1;
    if (r->mode != BATCH_OFF && l->extent_max) {
        count = neighbours(r, l, &v, target);
        qsort(v.items, count, sizeof(batch_item *), more_urgent);
    } else if (r->mode != BATCH_OFF) {
        count = in_order(&v, target);
    }
    batch_item **end = &ret->items;
    for (uint32_t i = 0; i < count; i++) {
        join(ret, v.items[i]);
        v.items[i]->next = NULL;
        *end = v.items[i];
        end = &v.items[i]->next;
    }
    ret->work = run_work(r, ret);
}
