#include "sched/cost_curve.h"

#include <math.h>
#include <stdlib.h>

enum {
    MEMORY = 16,   /* runs that a mean remembers */
    TRUSTED = 4,   /* runs from which a band may judge others */
    STREAK = 4     /* runs in a row far off that are no accident */
};
#define HIGH_SPREADS 4.0

typedef struct cost_band cost_band;

void cost_curve_init(cost_curve *c) { *c = (cost_curve){.slope = -1}; }

static uint32_t top_of(uint64_t bits) { return 63 - (uint32_t)__builtin_clzll(bits); }

/* The first band from `i` on that was seen; COST_BANDS = none. */
static uint32_t seen_from(const cost_curve *c, uint32_t i)
{
    uint64_t left = i < COST_BANDS ? c->seen >> i : 0;
    return left ? i + (uint32_t)__builtin_ctzll(left) : COST_BANDS;
}

static uint32_t band_of(uint64_t work)
{
    uint32_t top = top_of(work);
    uint32_t half = top ? (uint32_t)(work >> (top - 1) & 1) : 0;
    uint32_t i = 2 * top + half;
    return i < COST_BANDS ? i : COST_BANDS - 1;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Theil-Sen: the median of the slopes between all pairs of bands; never negative. */
static double median_slope(const cost_curve *c)
{
    enum { POINTS_MAX = 16 };   /* the larger ones, which are what is extrapolated from */
    const cost_band *points[POINTS_MAX];
    double slopes[POINTS_MAX * (POINTS_MAX - 1) / 2];
    size_t count = 0, pairs = 0;
    for (uint64_t left = c->seen; left && count < POINTS_MAX; left ^= 1ull << top_of(left))
        points[count++] = &c->bands[top_of(left)];
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            slopes[pairs++] = (double)(points[i]->cost_ns - points[j]->cost_ns) / (points[i]->work - points[j]->work);
    if (pairs == 0) return -1;
    qsort(slopes, pairs, sizeof slopes[0], compare);
    double middle = pairs % 2 ? slopes[pairs / 2] : (slopes[pairs / 2 - 1] + slopes[pairs / 2]) / 2;
    return middle > 0 ? middle : 0;
}

/* One run more.  Within a band costs differ by the work too: only what the slope does not explain is deviation. */
static void follow(cost_band *b, float work, float cost_ns, double slope)
{
    float gain = 1.0f / (float)(b->runs < MEMORY ? b->runs : MEMORY);
    float along = slope > 0 ? (float)slope * (work - b->work) : 0;
    float off = cost_ns - along - b->cost_ns, most = 3 * b->spread_ns + b->cost_ns / 64;
    bool far = fabsf(off) > most;
    b->streak = !far ? 0 : (off > 0) == (b->streak > 0) ? b->streak + (off > 0 ? 1 : -1) : off > 0 ? 1 : -1;
    if (abs(b->streak) == STREAK) {
        *b = (cost_band){.work = work, .cost_ns = cost_ns, .spread_ns = cost_ns / 8, .runs = TRUSTED};
        return;
    }
    float step = far ? copysignf(most, off) : off;
    float least = fminf(b->cost_ns, cost_ns), greatest = fmaxf(b->cost_ns, cost_ns);
    b->work += (work - b->work) * gain;
    /* One stalled run elsewhere may make the slope as steep as it likes: the mean stays between itself and the run. */
    b->cost_ns = fminf(fmaxf(b->cost_ns + (step + along) * gain, least), greatest);
    b->spread_ns *= fabsf(off) > b->spread_ns ? 1.125f : 0.875f;   /* to where as many are above as below */
    if (b->spread_ns < b->cost_ns / 256) b->spread_ns = b->cost_ns / 256;
}

/* Of a band's first run nobody knows how steady it is: as steady as the nearest smaller one that is trusted. */
static float first_spread(const cost_curve *c, uint32_t band, float cost_ns)
{
    for (uint32_t i = band; i-- > 0;)
        if (c->bands[i].runs >= TRUSTED && c->bands[i].cost_ns > 0)
            return cost_ns * c->bands[i].spread_ns / c->bands[i].cost_ns;
    return cost_ns / 8;
}

void cost_curve_add(cost_curve *c, uint64_t work, uint64_t cost_ns)
{
    INVARIANT(work > 0);
    cost_band *b = &c->bands[band_of(work)];
    c->seen |= 1ull << band_of(work);
    float x = (float)cost_ns;
    if (b->runs < UINT32_MAX) b->runs++;
    if (b->runs == 1) {
        *b = (cost_band){.work = (float)work,
                         .cost_ns = x,
                         .spread_ns = first_spread(c, band_of(work), x),
                         .runs = 1};
    } else {
        follow(b, (float)work, x, c->slope);
    }
    c->slope = median_slope(c);
}

bool cost_curve_known(const cost_curve *c) { return c->seen != 0; }
bool cost_curve_sloped(const cost_curve *c) { return c->slope >= 0; }

/* Beyond the last band: along the slope.  Before the first: never more than the first. */
static double beyond(const cost_curve *c, const cost_band *b, double work, double at)
{
    double by = work - (double)b->work;
    if (by > 0 && c->slope >= 0) return at + c->slope * by;
    if (by > 0) return by <= (double)b->work ? at : at * work / (2 * (double)b->work);
    double down = c->slope >= 0 ? at + c->slope * by : at;
    return down > at / 4 ? down : at / 4;
}

static double cost_at(const cost_curve *c, uint64_t work, double spreads)
{
    const cost_band *low = NULL;
    double at = 0, w = (double)work;
    for (uint32_t i = seen_from(c, 0); i < COST_BANDS; i = seen_from(c, i + 1)) {
        const cost_band *b = &c->bands[i];
        double cost = (double)b->cost_ns + spreads * (double)b->spread_ns;
        if ((double)b->work > w) {
            if (!low) return beyond(c, b, w, cost);
            if (cost < at) cost = at;
            return at + (cost - at) * (w - (double)low->work) / (double)(b->work - low->work);
        }
        low = b;
        if (cost > at) at = cost;
    }
    return low ? beyond(c, low, w, at) : 0;
}

/* Far beyond what was seen a cost may be more than a clock can count. */
static uint64_t whole(double ns) { return ns < 0x1p63 ? (uint64_t)ns : UINT64_C(1) << 63; }

uint64_t cost_curve_mean(const cost_curve *c, uint64_t work) { return whole(cost_at(c, work, 0)); }
uint64_t cost_curve_high(const cost_curve *c, uint64_t work) { return whole(cost_at(c, work, HIGH_SPREADS)); }

uint64_t cost_curve_tried(const cost_curve *c)
{
    return c->seen ? (uint64_t)llroundf(c->bands[top_of(c->seen)].work) : 0;
}

/* The curve does not fall, so halving finds the edge. */
static uint64_t within(const cost_curve *c, double spreads, uint64_t limit_ns, uint64_t work_max)
{
    uint64_t fits = 0, not = work_max + 1;
    while (not - fits > 1) {
        uint64_t middle = fits + (not - fits) / 2;
        if (whole(cost_at(c, middle, spreads)) <= limit_ns)
            fits = middle;
        else
            not = middle;
    }
    return fits;
}

uint64_t cost_curve_within(const cost_curve *c, uint64_t limit_ns, uint64_t work_max)
{
    return within(c, HIGH_SPREADS, limit_ns, work_max);
}

uint64_t cost_curve_cheap(const cost_curve *c, uint64_t work_max)
{
    uint64_t least_ns = cost_curve_mean(c, 1);
    return within(c, 0, least_ns + least_ns / 4, work_max);
}

uint64_t cost_curve_enough(const cost_curve *c)
{
    double best = 0;
    const cost_band *last = NULL;
    for (uint32_t i = seen_from(c, 0); i < COST_BANDS; i = seen_from(c, i + 1)) {
        const cost_band *b = &c->bands[i];
        if (b->runs < TRUSTED) continue;
        double rate = (double)b->work / (double)(b->cost_ns + 1);
        if (rate > best) best = rate;
        last = b;
    }
    for (uint32_t i = seen_from(c, 0); i < COST_BANDS; i = seen_from(c, i + 1)) {
        const cost_band *b = &c->bands[i];
        if (b->runs >= TRUSTED && (double)b->work / (double)(b->cost_ns + 1) >= 0.9 * best)
            return b == last ? UINT64_MAX : (uint64_t)llroundf(b->work);
    }
    return UINT64_MAX;
}

void cost_curve_forget(cost_curve *c, uint64_t work)
{
    for (uint32_t i = seen_from(c, work ? band_of(work) + 1 : 0); i < COST_BANDS; i = seen_from(c, i + 1)) {
        c->bands[i] = (cost_band){0};
        c->seen ^= 1ull << i;
    }
    c->slope = median_slope(c);
}
