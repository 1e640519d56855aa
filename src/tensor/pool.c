#include "tensor/pool.h"

#include "base/mem.h"
#include "tensor/gemm.h"
#include "tensor/window.h"

#include <math.h>

enum { NARROW_MAX = 12 }; /* output rows up to this width are computed as one long row, gaps included */

static size_t plane_of(const size_t d[3]) { return d[0] * d[1] * d[2]; }

/* The cells of a window along one dimension that lie inside the input: first, first + dilation, ... while count. */
typedef struct {
    size_t first, count;
    size_t padded; /* cells that lie inside the input or its padding */
} span;

static span span_of(const pool_shape *s, int d, size_t out)
{
    size_t at = out * s->stride[d], step = s->dilation[d], end = s->in[d] + s->pad[d];
    size_t skip = at < s->pad[d] ? (s->pad[d] - at + step - 1) / step : 0, all = s->kernel[d];
    span r = {.first = at + skip * step - s->pad[d]};
    if (skip < all && at + skip * step < end) {
        r.count = (end - at - skip * step - 1) / step + 1;
        if (r.count > all - skip) r.count = all - skip;
    }
    size_t reach = end + s->pad_end[d] > at ? (end + s->pad_end[d] - at - 1) / step + 1 : 0;
    r.padded = reach < all ? reach : all;
    return r;
}

/* One window: spans along depth, height and width. */
typedef struct {
    span d[3];
} cell_box;

/* Calls `body` for each window of plane x with the box and the position in y. */
#define EACH_WINDOW(s, body) \
    for (size_t z = 0, at = 0; z < (s)->out[0]; z++) \
        for (size_t h = 0; h < (s)->out[1]; h++) \
            for (size_t w = 0; w < (s)->out[2]; w++, at++) { \
                cell_box b = {{span_of(s, 0, z), span_of(s, 1, h), span_of(s, 2, w)}}; \
                body; \
            }

/* And `body` for each cell, `from` being its index in the plane. */
#define EACH_CELL(s, b, body) \
    for (size_t cz = 0; cz < (b).d[0].count; cz++) \
        for (size_t ch = 0; ch < (b).d[1].count; ch++) \
            for (size_t cw = 0; cw < (b).d[2].count; cw++) { \
                size_t pz = (b).d[0].first + cz * (s)->dilation[0], ph = (b).d[1].first + ch * (s)->dilation[1]; \
                size_t pw = (b).d[2].first + cw * (s)->dilation[2]; \
                size_t from = (pz * (s)->in[1] + ph) * (s)->in[2] + pw; \
                body; \
            }

/* A NaN is a maximum: no number is larger, and it stays. */
#define DEFINE_MAX(name, type, lowest) \
    static type largest_##name(const type *x, const pool_shape *s, const cell_box *b, size_t *ret_at) \
    { \
        type best = lowest; \
        *ret_at = (b->d[0].first * s->in[1] + b->d[1].first) * s->in[2] + b->d[2].first; \
        EACH_CELL(s, *b, { \
            if (x[from] > best || x[from] != x[from]) { \
                best = x[from]; \
                *ret_at = from; \
            } \
        }) \
        return best; \
    } \
    static void max_##name(const pool_call *c, size_t plane) \
    { \
        const pool_shape *s = c->shape; \
        size_t base = plane * plane_of(s->in), out = plane * plane_of(s->out); \
        const type *x = (const type *)c->x + base; \
        type *y = (type *)c->y + out; \
        EACH_WINDOW(s, { \
            size_t best_at; \
            y[at] = largest_##name(x, s, &b, &best_at); \
            if (c->index) c->index[out + at] = index_of(c, base, best_at); \
        }) \
    }

static int64_t index_of(const pool_call *c, size_t base, size_t at)
{
    const size_t *in = c->shape->in;
    if (!c->column_major) return (int64_t)(base + at);
    size_t w = at % in[2], h = at / in[2] % in[1], z = at / in[2] / in[1];
    return (int64_t)(base + z + in[0] * (h + in[1] * w));
}

DEFINE_MAX(f32, float, -INFINITY)
DEFINE_MAX(f64, double, (double)-INFINITY)
DEFINE_MAX(i8, int8_t, INT8_MIN)
DEFINE_MAX(u8, uint8_t, 0)

#define DEFINE_SUMS(name, type) \
    static void average_##name(const pool_call *c, size_t plane) \
    { \
        const pool_shape *s = c->shape; \
        const type *x = (const type *)c->x + plane * plane_of(s->in); \
        type *y = (type *)c->y + plane * plane_of(s->out); \
        EACH_WINDOW(s, { \
            double sum = 0; \
            EACH_CELL(s, b, sum += (double)x[from];) \
            size_t count = c->count_pad ? b.d[0].padded * b.d[1].padded * b.d[2].padded \
                                        : b.d[0].count * b.d[1].count * b.d[2].count; \
            y[at] = (type)(count ? sum / (double)count : 0); \
        }) \
    } \
    static void lp_##name(const pool_call *c, size_t plane) \
    { \
        const pool_shape *s = c->shape; \
        const type *x = (const type *)c->x + plane * plane_of(s->in); \
        type *y = (type *)c->y + plane * plane_of(s->out); \
        EACH_WINDOW(s, { \
            double sum = 0; \
            EACH_CELL(s, b, sum += power((double)x[from], c->p);) \
            y[at] = (type)root(sum, c->p); \
        }) \
    }

static double power(double x, int64_t p) { return p == 1 ? fabs(x) : p == 2 ? x * x : pow(fabs(x), (double)p); }

static double root(double x, int64_t p) { return p == 1 ? x : p == 2 ? sqrt(x) : pow(x, 1 / (double)p); }

DEFINE_SUMS(f32, float)
DEFINE_SUMS(f64, double)

typedef void plane_fn(const pool_call *c, size_t plane);

static plane_fn *plain_of(pool_kind kind, dtype type)
{
    bool max = kind == POOL_MAX, average = kind == POOL_AVERAGE;
    switch (type) {
    case DT_F32: return max ? max_f32 : average ? average_f32 : lp_f32;
    case DT_F64: return max ? max_f64 : average ? average_f64 : lp_f64;
    case DT_I8: return max ? max_i8 : NULL;
    case DT_U8: return max ? max_u8 : NULL;
    default: return NULL;
    }
}

bool pool_has(pool_kind kind, dtype type) { return plain_of(kind, type) != NULL; }

/* One call as compute_for() sees it.  Windows are separable: first the rows under each output row become one row, at
 * full speed since its columns lie side by side, then the columns of that. */
typedef struct {
    const pool_call *call;
    plane_fn *plain;
    const kernel_set *k;
    void (*fn)(const tap_set *t, float *y, const float *x, size_t rows, size_t n);
    const window *window; /* over the columns of the reduced rows */
    const size_t *row_at; /* [kernel height] */
    const float *ones; /* [kernel height] AVERAGE: weights of the rows */
    const float *weights; /* [kernel width] AVERAGE: weights of the columns */
    const float *inverse; /* [out] AVERAGE: one over each window's count, or NULL when the weights hold it */
    gemm_slots slots;
} plan;

static void run_plain(void *ctx, uint32_t index)
{
    const plan *p = ctx;
    p->plain(p->call, index);
}

/* to: [out height, in width] */
static void reduce_rows(const plan *p, float *to, const float *plane)
{
    const pool_shape *s = p->call->shape;
    size_t width = s->in[2], all = s->kernel[1], n;
    for (size_t h = 0; h < s->out[1]; h += n) {
        span rows = span_of(s, 1, h);
        n = 1;
        while (rows.count == all && h + n < s->out[1] && span_of(s, 1, h + n).count == all) n++;
        tap_set t = {.count = rows.count,
                     .at = p->row_at,
                     .w = p->ones,
                     .y_row = width,
                     .x_row = s->stride[1] * width,
                     .low = -INFINITY,
                     .high = INFINITY};
        if (rows.count > 0) p->fn(&t, to + h * width, plane + rows.first * width, n, width);
        for (size_t i = 0; i < width && rows.count == 0; i++)
            to[h * width + i] = p->call->kind == POOL_MAX ? -INFINITY : 0;
    }
}

static void run_window(void *ctx, uint32_t index)
{
    plan *p = ctx;
    const pool_shape *s = p->call->shape;
    const window *w = p->window;
    size_t slot, height = s->out[1], width = s->out[2], points = height * width;
    float *rows = gemm_slots_take(&p->slots, &slot), *buffer = rows + height * s->in[2], *line = buffer + w->floats;
    float *y = (float *)p->call->y + index * points;
    bool narrow = width <= NARROW_MAX;
    tap_set t = {.count = w->tap_count,
                 .at = w->at,
                 .w = p->weights,
                 .y_row = width,
                 .x_row = w->pitch,
                 .low = -INFINITY,
                 .high = INFINITY};
    reduce_rows(p, rows, (const float *)p->call->x + index * plane_of(s->in));
    window_load(w, buffer, rows, 0, p->call->kind == POOL_MAX ? -INFINITY : 0, p->k);
    p->fn(&t, narrow ? line : y, buffer, narrow ? 1 : height, narrow ? (height - 1) * w->pitch + width : width);
    for (size_t i = 0; narrow && i < height; i++)
        for (size_t j = 0; j < width; j++) y[i * width + j] = line[i * w->pitch + j];
    if (p->inverse) p->k->mul_f32(y, y, p->inverse, points);
    gemm_slots_give(&p->slots, slot);
}

/* The weights of an average: one over the count, or ones and a plane of inverses where the counts differ. */
static bool average_weights(plan *p, arena *scratch)
{
    const pool_shape *s = p->call->shape;
    size_t taps = s->kernel[1] * s->kernel[2], points = s->out[1] * s->out[2];
    float *ones = arena_new(scratch, float, s->kernel[1]), *weights = arena_new(scratch, float, s->kernel[2]);
    float *inverse = arena_push_raw(scratch, points * sizeof *inverse, MEM_ALIGN);
    if (!ones || !weights || !inverse) return false;
    bool even = true;
    for (size_t i = 0; i < s->out[1]; i++) {
        span h = span_of(s, 1, i);
        for (size_t j = 0; j < s->out[2]; j++) {
            span w = span_of(s, 2, j);
            size_t count = p->call->count_pad ? h.padded * w.padded : h.count * w.count;
            inverse[i * s->out[2] + j] = count ? 1.0f / (float)count : 0;
            even = even && count == taps;
        }
    }
    for (size_t i = 0; i < s->kernel[1]; i++) ones[i] = 1;
    for (size_t i = 0; i < s->kernel[2]; i++) weights[i] = even ? 1.0f / (float)taps : 1;
    p->ones = ones;
    p->weights = weights;
    p->inverse = even ? NULL : inverse;
    return true;
}

static bool fits_window(const pool_call *c, window *w, size_t row_at[WINDOW_TAPS_MAX], size_t *ret_floats)
{
    const pool_shape *s = c->shape;
    bool flat = s->in[0] == 1 && s->out[0] == 1 && s->kernel[0] == 1 && s->kernel[1] <= WINDOW_TAPS_MAX;
    window_shape ws = {.in = {s->out[1], s->in[2]},
                       .out = {s->out[1], s->out[2]},
                       .kernel = {1, s->kernel[2]},
                       .stride = {1, s->stride[2]},
                       .dilation = {1, s->dilation[2]},
                       .pad = {0, s->pad[2]}};
    if (c->type != DT_F32 || c->kind == POOL_LP || c->index || !flat || !window_init(w, &ws)) return false;
    for (size_t i = 0; i < s->kernel[1]; i++) row_at[i] = i * s->dilation[1] * s->in[2];
    size_t line, rows;
    return !__builtin_mul_overflow(w->pitch, s->out[1], &line) && !__builtin_mul_overflow(s->out[1], s->in[2], &rows) &&
           !__builtin_add_overflow(line, rows, ret_floats) &&
           !__builtin_add_overflow(*ret_floats, w->floats, ret_floats);
}

err_code pool_run(const pool_call *c, const kernel_set *k, compute *pool, arena *scratch, err *e)
{
    const pool_shape *s = c->shape;
    plan p = {.call = c, .k = k, .plain = plain_of(c->kind, c->type)};
    INVARIANT(p.plain);
    if (s->planes == 0 || plane_of(s->out) == 0) return ERR_OK;
    if (s->planes > UINT32_MAX)
        return err_set(e, ERR_LIMIT, "pool: %zu planes are more than %u", s->planes, UINT32_MAX);
    window w;
    size_t floats, row_at[WINDOW_TAPS_MAX];
    pool = gemm_pool(pool, s->planes, plane_of(s->out), s->kernel[1], 4 * s->kernel[2]);
    if (!fits_window(c, &w, row_at, &floats)) {
        compute_for(pool, (uint32_t)s->planes, run_plain, &p);
        return ERR_OK;
    }
    p.window = &w;
    p.row_at = row_at;
    p.fn = c->kind == POOL_MAX ? k->taps_max_f32 : k->taps_sum_f32;
    if (c->kind == POOL_AVERAGE && !average_weights(&p, scratch))
        return err_set(e, ERR_LIMIT, "pool: no memory for the counts of %zu windows", plane_of(s->out));
    err_code rc = gemm_slots_init(&p.slots, floats, pool, scratch, e);
    if (!rc) compute_for(pool, (uint32_t)s->planes, run_window, &p);
    return rc;
}
