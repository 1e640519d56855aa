#include "sched/forecast.h"

/* Of the work in lanes, the part of its level or a more urgent one. */
static double part_before(const waiting *w, uint32_t level)
{
    uint64_t before = 0, all = 0;
    for (uint32_t k = 0; k < BATCH_LEVELS_MAX; k++) {
        all += w->rows_at[k];
        if (k <= level) before += w->rows_at[k];
    }
    return all ? (double)before / (double)all : 1;
}

forecast forecast_make(const forecast_facts *f, const batch_item *i)
{
    const lane *l = lanes_find(&f->waiting->lanes, i->kind);
    if (!l || !cost_curve_known(&l->curve)) return (forecast){0};
    const uint32_t cap = lane_cap_rows(l, i->extent, f->max_batch);
    uint64_t before = f->waiting->backlog_ns - l->backlog_ns, rest = l->rows % cap;
    if (l->rows >= cap) before += l->rows / cap * cost_curve_mean(&l->curve, lane_work(cap, i->extent));
    if (rest + i->rows > cap) {   /* the rest is full without it */
        before += cost_curve_mean(&l->curve, lane_work((uint32_t)rest, i->extent));
        rest = 0;
    }
    before = (uint64_t)((double)before * part_before(f->waiting, i->level));
    forecast ret = {.start_ns = f->busy_ns + before / f->instances};
    double joined = (double)(rest + i->rows) + f->rows_per_s * (double)ret.start_ns / 1e9;
    uint32_t own = joined < cap ? (uint32_t)joined : cap;
    if (own < i->rows) own = i->rows;
    uint32_t extent = i->extent && own > i->rows ? l->extent_max : i->extent;   /* others may be longer */
    ret.end_ns = ret.start_ns + cost_curve_high(&l->curve, lane_work(own, extent));
    ret.likely_ns = ret.start_ns + cost_curve_mean(&l->curve, lane_work(own, extent));
    return ret;
}
