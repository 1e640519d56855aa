/* cost_curve.h - what a batch costs by its work, learned from the runs themselves.
 *
 * Work is rows, times the padded extent where a model pads: one curve serves all extents of a family.  Two bands per
 * doubling keep a clipped running mean (Huber's estimator) and the median deviation from it, one step per run: a run
 * that was stalled moves it little; four in a row far off are no stall but another machine, and the band begins anew.
 * Between bands the curve is straight; beyond the largest it follows the median slope between all bands (Theil-Sen).
 * With one band alone, up to twice its work counts as no dearer, and more as proportional: what is not known is hoped
 * for as far as a run may go beyond what was tried, or a second size would never be seen where two runs of the first
 * are too long.  It does not fall: more work never counts as cheaper.  Nothing allocates; adding costs about a
 * microsecond.  Not thread-safe. */
#ifndef SCHED_COST_CURVE_H
#define SCHED_COST_CURVE_H
#include "base/base.h"

enum { COST_BANDS = 48 };   /* work below 2^24; more is counted in the last; at most 64 */

typedef struct {
    /* private */
    struct cost_band {
        float work, cost_ns, spread_ns;   /* means, of the last some twenty runs */
        uint32_t runs;                    /* 0 = never seen */
        int32_t streak;                   /* runs in a row that were far above (> 0) or below the mean */
    } bands[COST_BANDS];
    uint64_t seen;  /* bit i: band i has runs */
    double slope;   /* ns per unit of work, where two bands are known; negative = not known */
} cost_curve;

void cost_curve_init(cost_curve *c);
void cost_curve_add(cost_curve *c, uint64_t work, uint64_t cost_ns);   /* work > 0 */
bool cost_curve_known(const cost_curve *c);
bool cost_curve_sloped(const cost_curve *c);                    /* it saw two sizes at least */
uint64_t cost_curve_mean(const cost_curve *c, uint64_t work);   /* 0 = nothing is known */
uint64_t cost_curve_high(const cost_curve *c, uint64_t work);   /* what few runs exceed: mean and four deviations */
uint64_t cost_curve_tried(const cost_curve *c);                 /* the largest work that ran, about; 0 = none */
/* The most work, up to work_max, whose high cost is within limit_ns; 0 = not even 1. */
uint64_t cost_curve_within(const cost_curve *c, uint64_t limit_ns, uint64_t work_max);
/* The most work, up to work_max, whose mean cost is at most a quarter more than that of the least. */
uint64_t cost_curve_cheap(const cost_curve *c, uint64_t work_max);
/* The least work that already runs at 9/10 of the best rate seen; beyond it a batch only makes its members wait for
 * each other.  UINT64_MAX while the largest that was tried is the best: more may be better still. */
uint64_t cost_curve_enough(const cost_curve *c);
void cost_curve_forget(cost_curve *c, uint64_t work);   /* what it learned about more work than this */

#endif
