#include "media/resize_taps.h"

#include "tensor/unroll.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FOUR = 4, TWO = 2 };

/* Weights of two neighbours, computed at once. */
typedef double pair __attribute__((vector_size(16)));

static inline pair load_pair(const double *x)
{
    pair v;
    memcpy(&v, x, sizeof v);
    return v;
}

static inline void put_pair(double *to, pair v) { memcpy(to, &v, sizeof v); }

/* ---- filters ----------------------------------------------------------------------------------------------------- */

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys' cubic with a = -0.5, multiplied out. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

/* Two that are made of sines, from the sine and the cosine of x * turn, which neighbours have at the cost of a
 * multiplication: a sine for each of 20,000 weights is a twentieth of the time that the picture takes to be decoded.
 * They are right to some 1e-16, of which the 22 bits that are kept see nothing; x is not 0, and no further away than
 * runs reach.  The coefficients are floats in Pillow, whose bits these are. */
static inline pair hamming(pair x, pair sine, pair cosine)
{
    return sine / (x * M_PI) * (0.54f + 0.46f * cosine);
}

/* sin(3y) sin(y) / 3y^2 at y = x * turn, and sin(3y) is (3 - 4 sin^2 y) sin(y). */
static inline pair lanczos(pair x, pair sine, pair cosine)
{
    (void)cosine;
    pair y = x * (M_PI / 3), square = sine * sine;
    return square * (3 - 4 * square) / (3 * y * y);
}

/* Costella's "magic kernel" of 2013 and of 2021, each with its sharpening folded in. */
static double mks2013(double x)
{
    x = fabs(x);
    if (x >= 2.5) return 0.0;
    if (x >= 1.5) return -0.125 * (x - 2.5) * (x - 2.5);
    if (x >= 0.5) return 0.25 * (4.0 * x * x - 11.0 * x + 7.0);
    return 1.0625 - 1.75 * x * x;
}

static double mks2021(double x)
{
    x = fabs(x);
    if (x >= 4.5) return 0.0;
    if (x >= 3.5) return -1.0 / 288 * (x - 4.5) * (x - 4.5);
    if (x >= 2.5) return 1.0 / 36 * (x - 3.0) * (x - 3.75);
    if (x >= 1.5) return 1.0 / 6 * (x - 2.0) * (65.0 / 24 - x);
    if (x >= 0.5) return 35.0 / 36 * (x - 1.0) * (x - 239.0 / 140);
    return 577.0 / 576 - 239.0 / 144 * x * x;
}

typedef struct {
    double reach;
    double (*weight)(double x);                              /* or: */
    double turn;
    pair (*weights)(pair x, pair sine, pair cosine);
} filter;

static const filter filters[RESIZE_FILTERS] = {
    [RESIZE_BOX] = {.reach = 0.5, .weight = box}, [RESIZE_BILINEAR] = {.reach = 1, .weight = bilinear},
    [RESIZE_HAMMING] = {.reach = 1, .turn = M_PI, .weights = hamming},
    [RESIZE_BICUBIC] = {.reach = 2, .weight = bicubic},
    [RESIZE_LANCZOS] = {.reach = 3, .turn = M_PI / 3, .weights = lanczos},
    [RESIZE_MKS2013] = {.reach = 2.5, .weight = mks2013}, [RESIZE_MKS2021] = {.reach = 4.5, .weight = mks2021}};

/* ---- weights of one result --------------------------------------------------------------------------------------- */

typedef struct {
    const filter *f;
    double begin, scale, stretch, reach;   /* stretch: scale, at least 1; reach: in source pixels */
    uint32_t source;
    const double *sines, *cosines;         /* of steps of 1 / stretch, turned, as many back as forth */
} sampler;

static sampler sampler_of(const resize_axis *x, const filter *f)
{
    double scale = (double)(x->end - x->begin) / x->result, stretch = scale < 1.0 ? 1.0 : scale;
    return (sampler){f, x->begin, scale, stretch, f->reach * stretch, x->source, NULL, NULL};
}

static double center_of(const sampler *s, uint32_t i)
{
    return s->begin + (i + 0.5) * s->scale;
}

static tap_run run_of(const sampler *s, uint32_t i)
{
    double center = center_of(s, i), first = center - s->reach + 0.5, end = center + s->reach + 0.5;
    uint32_t from = first > 0 ? (uint32_t)first : 0, to = end < s->source ? (uint32_t)end : s->source;
    INVARIANT(from < to);
    return (tap_run){from, to - from};
}

/* count: the most pixels of a run. */
static bool steps_of(sampler *s, size_t count, arena *a)
{
    if (!s->f->weights) return true;
    size_t all = 2 * count + 1;
    double *sines = arena_push_raw(a, 2 * all * sizeof *sines, _Alignof(double));
    if (!sines) return false;
    double *cosines = sines + all;
    sines += count, cosines += count;
    for (size_t k = 0; k <= count; k++) {
        double angle = (double)k / s->stretch * s->f->turn;
        sines[k] = sin(angle), cosines[k] = cos(angle);
        *(sines - k) = -sines[k], *(cosines - k) = cosines[k];
    }
    s->sines = sines, s->cosines = cosines;
    return true;
}

/* sin(a + b) and cos(a + b) from those of the pixel that is nearest to the center and of steps from there: so are those
 * of small angles as good as those of large ones.  `weights` is a constant where this is used: a call for each weight
 * takes longer than the weight. */
ALWAYS_INLINE void weigh_turned(const sampler *s, double center, tap_run run, double *w,
                                pair (*weights)(pair, pair, pair))
{
    double narrow = 1.0 / s->stretch;
    uint32_t near = (uint32_t)center - run.from;
    INVARIANT(near < run.count);
    double x = (near + run.from - center + 0.5) * narrow, sine = sin(x * s->f->turn), cosine = cos(x * s->f->turn);
    const double *sines = s->sines - near, *cosines = s->cosines - near;
    const pair first = {run.from, run.from + 1.0};
    for (uint32_t k = 0; k < run.count; k += TWO) {
        pair by_sine = load_pair(sines + k), by_cosine = load_pair(cosines + k);
        put_pair(w + k, weights((first + k - center + 0.5) * narrow, sine * by_cosine + cosine * by_sine,
                                cosine * by_cosine - sine * by_sine));
    }
    if (x == 0.0) w[near] = 1.0;
}

/* To a sum of 1, with one division, where Pillow divides each: as right as they were.  w has room for one more. */
static void even_out(double *w, uint32_t count)
{
    pair sum = {0, 0};
    w[count] = 0;
    for (uint32_t k = 0; k < count; k += TWO) sum += load_pair(w + k);
    double by = 1.0 / (sum[0] + sum[1]);
    for (uint32_t k = 0; k < count; k += TWO) put_pair(w + k, load_pair(w + k) * by);
}

/* Weights in the run of result i, their sum 1 where that is possible; w has room for one more. */
static void weigh(const sampler *s, uint32_t i, tap_run run, double *w)
{
    double center = center_of(s, i), sum = 0, narrow = 1.0 / s->stretch;
    if (s->f->weights) {
        if (s->f->weights == lanczos) weigh_turned(s, center, run, w, lanczos);
        else weigh_turned(s, center, run, w, hamming);
        even_out(w, run.count);
        return;
    }
    for (uint32_t k = 0; k < run.count; k++) w[k] = s->f->weight((k + run.from - center + 0.5) * narrow);
    for (uint32_t k = 0; k < run.count; k++) sum += w[k];
    if (sum == 0.0) return;
    w[run.count] = 0;
    for (uint32_t k = 0; k < run.count; k += TWO) put_pair(w + k, load_pair(w + k) / sum);
}

/* What an axis looks like from its other end. */
static tap_run mirrored_run(tap_run run, uint32_t source)
{
    return (tap_run){source - run.from - run.count, run.count};
}

static void mirror(double *w, uint32_t count)
{
    for (uint32_t k = 0; k < count / 2; k++) {
        double last = w[count - 1 - k];
        w[count - 1 - k] = w[k];
        w[k] = last;
    }
}

static void put_halves(const double *w, uint32_t count, int16_t *low, int16_t *high)
{
    for (uint32_t k = 0; k < count; k++) {
        int32_t v = (int32_t)(w[k] * (1 << TAP_BITS) + copysign(0.5, w[k]));
        low[k] = (int16_t)v;
        high[k] = (int16_t)((v - low[k]) >> TAP_HALF_BITS);
    }
}

static err_code no_memory(const arena *a, size_t count, err *e)
{
    return err_set(e, a->starved ? ERR_NOMEM : ERR_LIMIT, "resize: no memory for the weights of %zu pixels", count);
}

err_code resize_taps(const resize_axis *x, resize_filter f, arena *a, tap_table *ret, err *e)
{
    INVARIANT(f < RESIZE_FILTERS && (filters[f].weight || filters[f].weights));
    sampler s = sampler_of(x, &filters[f]);
    size_t most = 0;
    tap_run *runs = arena_push_raw(a, x->count * sizeof *runs, _Alignof(tap_run));
    if (!runs) return no_memory(a, x->count, e);
    for (uint32_t i = 0; i < x->count; i++) {
        uint32_t count = run_of(&s, x->first + i).count;
        if (count > most) most = count;
    }
    size_t step = round_up(most + (x->fours ? FOUR - 1 : 0) + TAP_ZEROS, TAP_STEP);
    double *w = arena_push_raw(a, (most + 1) * sizeof *w, _Alignof(double));
    int16_t *low = w ? arena_push(a, x->count * step, sizeof *low, 64) : NULL;
    int16_t *high = low ? arena_push(a, x->count * step, sizeof *high, 64) : NULL;
    if (!high || !steps_of(&s, most, a)) return no_memory(a, x->count, e);
    for (uint32_t i = 0; i < x->count; i++) {
        size_t at = x->mirrored ? x->count - 1 - i : i;
        tap_run run = run_of(&s, x->first + i);
        weigh(&s, x->first + i, run, w);
        if (x->mirrored) mirror(w, run.count);
        if (x->mirrored) run = mirrored_run(run, x->source);
        uint32_t early = x->fours ? run.from % FOUR : 0;
        put_halves(w, run.count, low + at * step + early, high + at * step + early);
        runs[at] = (tap_run){run.from - early, run.count + early};
    }
    *ret = (tap_table){.count = x->count, .step = step, .runs = runs, .low = low, .high = high, .fours = x->fours};
    return ERR_OK;
}

/* digits: of the first weight; the next digits lie `step` further. */
static bool put_digits(const tap_table *t, size_t i, int8_t *digits)
{
    bool fits = true;
    for (size_t k = 0; k < t->runs[i].count; k++) {
        int8_t d[TAP_DIGITS];
        fits = tap_digits(tap_weight(t, i, k), d) && fits;
        for (size_t n = 0; n < TAP_DIGITS; n++) digits[n * t->step + k] = d[n];
    }
    return fits;
}

err_code resize_taps_digits(tap_table *t, arena *a, err *e)
{
    int8_t *digits = arena_push(a, TAP_STEP + t->count * t->step * TAP_DIGITS, 1, 64);
    bool fit = true;
    if (!digits) return no_memory(a, t->count, e);
    digits += TAP_STEP;
    for (size_t i = 0; i < t->count; i++) fit = put_digits(t, i, digits + i * t->step * TAP_DIGITS) && fit;
    t->digits = fit ? digits : NULL;
    return ERR_OK;
}

/* tops: of the first weight.  A step is whole fours, and so is what lies in it where there is any. */
static bool put_tops(const tap_table *t, size_t i, int8_t *tops, tap_run *ret)
{
    const int16_t *high = t->high + i * t->step;
    uint32_t sum = 0, begin = 0, end = t->runs[i].count;
    while (end && !high[end - 1]) end--;
    while (begin < end && !high[begin]) begin++;
    for (uint32_t k = begin / FOUR * FOUR; k < end; k += FOUR)
        UNROLL for (uint32_t n = 0; n < FOUR; n++) {
            tops[k + tap_top_at(n)] = (int8_t)high[k + n];
            sum += (uint32_t)abs(high[k + n]);
        }
    *ret = (tap_run){t->runs[i].from + begin, end - begin};
    return sum <= TAP_TOPS_MOST;
}

err_code resize_taps_tops(tap_table *t, arena *a, err *e)
{
    int8_t *tops = arena_push(a, TAP_STEP + t->count * t->step, 1, 64);
    tap_run *runs = tops ? arena_push_raw(a, t->count * sizeof *runs, _Alignof(tap_run)) : NULL;
    bool fit = true;
    if (!runs) return no_memory(a, t->count, e);
    tops += TAP_STEP;
    for (size_t i = 0; i < t->count; i++) fit = put_tops(t, i, tops + i * t->step, &runs[i]) && fit;
    t->tops = fit ? tops : NULL;
    t->top_runs = runs;
    return ERR_OK;
}

/* Pillow adds the scale up from one pixel to the next, rounding each time: so do we, from the first. */
err_code resize_nearest(const resize_axis *x, arena *a, uint32_t **ret, err *e)
{
    double scale = (double)(x->end - x->begin) / x->result, at = x->begin + scale * 0.5;
    uint32_t *from = arena_push_raw(a, x->count * sizeof *from, _Alignof(uint32_t));
    if (!from) return no_memory(a, x->count, e);
    for (uint32_t i = 0; i < x->first; i++) at += scale;
    for (uint32_t i = 0; i < x->count; i++, at += scale) from[i] = at < x->source ? (uint32_t)at : UINT32_MAX;
    *ret = from;
    return ERR_OK;
}

/* ---- a few neighbours -------------------------------------------------------------------------------------------- */

static uint32_t held(double at, uint32_t source)
{
    return at < 0 ? 0 : at >= source ? source - 1 : (uint32_t)at;
}

/* Keys' cubic with OpenCV's and PyTorch's a, at distances 1 + t, t, 1 - t, 2 - t. */
static void cubic_weights(double t, float w[4])
{
    const double a = -0.75, u = 1 - t;
    w[0] = (float)(((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a);
    w[1] = (float)(((a + 2) * t - (a + 3)) * t * t + 1);
    w[2] = (float)(((a + 2) * u - (a + 3)) * u * u + 1);
    w[3] = (float)(((a * (u + 1) - 5 * a) * (u + 1) + 8 * a) * (u + 1) - 4 * a);
}

err_code resize_neighbours(const resize_axis *x, resize_filter f, arena *a, resize_few **ret, err *e)
{
    double scale = (double)(x->end - x->begin) / x->result;
    resize_few *few = arena_new(a, resize_few, x->count);
    if (!few) return no_memory(a, x->count, e);
    for (uint32_t i = 0; i < x->count; i++) {
        double at = x->begin + (x->first + i + 0.5) * scale - 0.5, below = floor(at);
        if (f == RESIZE_BICUBIC) {
            for (int k = 0; k < 4; k++) few[i].at[k] = held(below - 1 + k, x->source);
            cubic_weights(at - below, few[i].weight);
        } else {
            for (int k = 0; k < 2; k++) few[i].at[k] = held(below + k, x->source);
            few[i].weight[0] = (float)(1 - (at - below));
            few[i].weight[1] = (float)(at - below);
        }
    }
    *ret = few;
    return ERR_OK;
}
