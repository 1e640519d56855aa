#include "tensor/conv.h"

#include "base/mem.h"

#include "tensor/gemm.h"
#include "tensor/window.h"

#include <math.h>
#include <string.h>

enum {
    CHANNEL_BLOCK =
        32, /* K runs over (channels / 32, taps, 32 channels): the taps of a block re-read input that is in L1 */
    DEPTHWISE_MAX = 2, /* output channels per input channel up to which summing rows beats a product with k = taps */
    NARROW_MAX = 12, /* output rows up to this width are computed as one long row, gaps included */
};

static size_t taps_of(const conv_shape *s) { return s->kernel[0] * s->kernel[1] * s->kernel[2]; }

static size_t plane_of(const size_t d[3]) { return d[0] * d[1] * d[2]; }

static bool is_depthwise(const conv_shape *s)
{
    return s->spatial <= 2 && s->groups > 1 && s->in_channels == s->groups &&
           s->out_channels / s->groups <= DEPTHWISE_MAX && s->kernel[1] <= WINDOW_TAPS_MAX &&
           s->kernel[2] <= WINDOW_TAPS_MAX && taps_of(s) <= WINDOW_TAPS_MAX;
}

const char *conv_method(const conv_shape *s)
{
    return is_depthwise(s) ? "depthwise" : taps_of(s) == 1 ? "pointwise" : "columns";
}

size_t conv_room(const conv_shape *s)
{
    size_t k, total;
    if (is_depthwise(s)) return s->out_channels * taps_of(s);
    if (__builtin_mul_overflow(s->in_channels / s->groups, taps_of(s), &k)) return SIZE_MAX;
    size_t each = gemm_a_room(s->out_channels / s->groups, k);
    return each == SIZE_MAX || __builtin_mul_overflow(each, s->groups, &total) || total > SIZE_MAX / sizeof(float)
               ? SIZE_MAX
               : total;
}

/* Where position p of K lies: a channel and a tap, and how many of the next positions are that tap's next channels. */
typedef struct {
    size_t channel, tap, run;
} k_place;

static k_place place_of(size_t p, size_t channels, size_t taps)
{
    size_t first = p / (CHANNEL_BLOCK * taps) * CHANNEL_BLOCK, width = least(CHANNEL_BLOCK, channels - first);
    size_t inner = p - first * taps, at = inner % width;
    return (k_place){.channel = first + at, .tap = inner / width, .run = width - at};
}

void conv_pack(float *packed, const float *w, const conv_shape *s, const kernel_set *ks)
{
    size_t channels = s->in_channels / s->groups, taps = taps_of(s), k = channels * taps,
           rows = s->out_channels / s->groups;
    if (is_depthwise(s)) {
        memcpy(packed, w, s->out_channels * taps * sizeof *w);
        return;
    }
    size_t block = gemm_k_block(k), panels = (rows + GEMM_ROWS - 1) / GEMM_ROWS;
    for (size_t g = 0; g < s->groups; g++, w += rows * k)
        for (size_t at = 0; at < k; at += block) {
            size_t length = least(block, k - at);
            for (size_t i = 0; i < panels; i++, packed += length * GEMM_ROWS) {
                size_t n = least(GEMM_ROWS, rows - i * GEMM_ROWS);
                const float *from = w + i * GEMM_ROWS * k;
                if (n < GEMM_ROWS) memset(packed, 0, length * GEMM_ROWS * sizeof *packed);
                if (taps == 1) {
                    ks->transpose_f32(packed, GEMM_ROWS, from + at, k, n, length);
                    continue;
                }
                for (size_t p = 0; p < length; p++) {
                    k_place place = place_of(at + p, channels, taps);
                    const float *column = from + place.channel * taps + place.tap;
                    for (size_t r = 0; r < n; r++) packed[p * GEMM_ROWS + r] = column[r * k];
                }
            }
        }
}

/* One convolution as compute_for() sees it. */
typedef struct {
    const conv_call *call;
    conv_shape s; /* pointwise ones: the plane as one row */
    const kernel_set *k;
    size_t taps, plane, points; /* points: elements of an output plane */
    size_t channels, rows, kk; /* of a group: input channels, output channels, K */
    size_t k_block;
    gemm_cut cut;
    gemm_slots slots;
    const window *window; /* of a strip of output rows (columns) or of a plane (depthwise); NULL: see below */
    size_t pitch; /* from an output row to the next, in what the columns are gathered from */
    const size_t *at; /* [K] where each row of K starts in it */
    size_t strip, panels; /* floats of a slot: padded channels, packed columns */
    size_t *low, *high; /* without a strip: the output columns for which tap kw reads inside a row */
} plan;

/* Neighbouring output positions of one output row, in lanes of a panel. */
typedef struct {
    size_t lane, count, z, y, x;
} segment;

/* The panel's columns from output position `first` on. */
static size_t segments_of(const conv_shape *s, size_t first, size_t columns, segment *to)
{
    size_t n = 0, x = first % s->out[2], y = first / s->out[2] % s->out[1], z = first / s->out[2] / s->out[1];
    for (size_t lane = 0; lane < columns; n++) {
        size_t count = least(columns - lane, s->out[2] - x);
        to[n] = (segment){.lane = lane, .count = count, .z = z, .y = y, .x = x};
        lane += count;
        x = 0;
        if (++y == s->out[1]) {
            y = 0;
            z++;
        }
    }
    return n;
}

/* What one tap reads for these positions: the runs that are inside the input. */
static size_t runs_of(const plan *p, const segment *seg, size_t count, size_t tap, lane_run *to)
{
    const conv_shape *s = &p->s;
    size_t n = 0, kx = tap % s->kernel[2], ky = tap / s->kernel[2] % s->kernel[1],
           kz = tap / s->kernel[2] / s->kernel[1];
    for (size_t i = 0; i < count; i++) {
        /* Positions before the input wrap round and are too large as well. */
        size_t z = seg[i].z * s->stride[0] + kz * s->dilation[0] - s->pad[0];
        size_t y = seg[i].y * s->stride[1] + ky * s->dilation[1] - s->pad[1];
        size_t x = seg[i].x > p->low[kx] ? seg[i].x : p->low[kx], end = least(seg[i].x + seg[i].count, p->high[kx]);
        if (z >= s->in[0] || y >= s->in[1] || x >= end) continue;
        to[n++] = (lane_run){.lane = (uint32_t)(seg[i].lane + x - seg[i].x),
                             .count = (uint32_t)(end - x),
                             .at = (z * s->in[1] + y) * s->in[2] + x * s->stride[2] + kx * s->dilation[2] - s->pad[2]};
    }
    return n;
}

/* Rows at..at+length-1 of K for the columns of one panel, tap by tap: three dimensions, and very large kernels. */
static void gather_taps(const plan *p, float *panel, const float *x, size_t at, size_t length, size_t first,
                        size_t columns)
{
    segment seg[GEMM_COLUMNS];
    lane_run runs[GEMM_COLUMNS];
    size_t segments = segments_of(&p->s, first, columns, seg), channel_at[CHANNEL_BLOCK];
    for (size_t c = 0; c < CHANNEL_BLOCK; c++) channel_at[c] = c * p->plane;
    for (size_t end = at + length; at < end;) {
        k_place place = place_of(at, p->channels, p->taps);
        size_t count = least(place.run, end - at), n = runs_of(p, seg, segments, place.tap, runs);
        p->k->im2col_f32(panel, x + place.channel * p->plane, channel_at, count, runs, n, p->s.stride[2]);
        panel += count * GEMM_COLUMNS;
        at += count;
    }
}

/* The same from planes where every tap of an output position lies at a fixed distance; they start at output row
 * `row`. */
static void gather_planes(const plan *p, float *panel, const float *x, size_t at, size_t length, size_t first,
                          size_t columns, size_t row)
{
    segment seg[GEMM_COLUMNS];
    lane_run runs[GEMM_COLUMNS];
    size_t n = segments_of(&p->s, first, columns, seg);
    for (size_t i = 0; i < n; i++)
        runs[i] = (lane_run){.lane = (uint32_t)seg[i].lane,
                             .count = (uint32_t)seg[i].count,
                             .at = (seg[i].y - row) * p->pitch + seg[i].x};
    p->k->im2col_f32(panel, x, p->at + at, length, runs, n, 1);
}

static void run_block(void *ctx, uint32_t index)
{
    plan *p = ctx;
    const conv_call *c = p->call;
    const gemm_piece piece = gemm_cut_piece(&p->cut, index);
    size_t product = piece.product, i = piece.i, j = piece.j, slot;
    size_t group = product % p->s.groups, channel = group * p->rows + i, out = (product * p->rows + i) * p->points + j;
    const float *x = c->x + product * p->channels * p->plane, *w = c->w + group * gemm_a_room(p->rows, p->kk);
    float *buffer = gemm_slots_take(&p->slots, &slot), *strip = buffer + p->panels;
    gemm_block b = {.m = piece.rows,
                    .n = piece.columns,
                    .a_row = 1,
                    .a_step = GEMM_ROWS,
                    .b = buffer,
                    .b_step = GEMM_COLUMNS,
                    .c = c->y + out,
                    .c_row = p->points,
                    .alpha = 1,
                    .beta = 1,
                    .bias_row = c->bias ? c->bias + channel : NULL,
                    .residual = c->residual ? c->residual + out : NULL,
                    .residual_row = p->points};
    gemm_clamp(&b, &c->act);
    size_t padded = gemm_a_room(p->rows, 1), at = 0, row = p->window ? j / p->s.out[2] : 0;
    for (size_t q = 0; q < p->channels && p->window; q++)
        window_load(p->window, strip + q * p->window->floats, x + q * p->plane, row, 0, p->k);
    do {
        b.k = least(p->k_block, p->kk - at);
        b.add = at > 0;
        b.last = at + b.k == p->kk;
        b.a = w + at * padded + i * b.k;
        b.a_panel = GEMM_ROWS * b.k;
        b.b_panel = GEMM_COLUMNS * b.k;
        for (size_t q = 0; q < b.n; q += GEMM_COLUMNS) {
            size_t columns = least(GEMM_COLUMNS, b.n - q);
            if (p->at)
                gather_planes(p, buffer + q * b.k, p->window ? strip : x, at, b.k, j + q, columns, row);
            else
                gather_taps(p, buffer + q * b.k, x, at, b.k, j + q, columns);
        }
        p->k->gemm_f32(&b);
        at += b.k;
    } while (at < p->kk);
    gemm_activate(&c->act, b.c, b.c_row, b.m, b.n, p->k);
    gemm_slots_give(&p->slots, slot);
}

/* A kernel of one tap that visits every element sees the plane as one row: longer runs, fewer edges. */
static void flatten(conv_shape *s)
{
    for (int d = 0; d < 3; d++)
        if (s->kernel[d] != 1 || s->stride[d] != 1 || s->pad[d] != 0 || s->in[d] != s->out[d]) return;
    s->in[2] = s->out[2] = plane_of(s->in);
    s->in[0] = s->in[1] = s->out[0] = s->out[1] = 1;
}

static window_shape window_of(const conv_shape *s, size_t rows)
{
    return (window_shape){.in = {s->in[1], s->in[2]},
                          .out = {rows, s->out[2]},
                          .kernel = {s->kernel[1], s->kernel[2]},
                          .stride = {s->stride[1], s->stride[2]},
                          .dilation = {s->dilation[1], s->dilation[2]},
                          .pad = {s->pad[1], s->pad[2]}};
}

/* Every output position reads inside the input, at every element: it serves as it lies. */
static bool needs_no_strip(const conv_shape *s)
{
    for (int d = 1; d < 3; d++)
        if (s->stride[d] != 1 || s->pad[d] != 0 || s->out[d] + (s->kernel[d] - 1) * s->dilation[d] > s->in[d])
            return false;
    return true;
}

/* Two dimensions: where each row of K starts, in the input or in a strip of it that is padded and split by phases. */
static err_code plan_planes(plan *p, window *w, arena *scratch, err *e)
{
    const conv_shape *s = &p->s;
    bool direct = needs_no_strip(s);
    window_shape ws = window_of(s, least(s->out[1], p->cut.columns / s->out[2] + 2));
    size_t channel = p->plane, *at;
    if (s->in[0] != 1 || s->out[0] != 1 || s->kernel[0] != 1 || !window_init(w, &ws)) return ERR_OK;
    if (!direct) {
        channel = w->floats;
        p->window = w;
        if (__builtin_mul_overflow(w->floats, p->channels, &p->strip)) p->strip = SIZE_MAX / sizeof(float);
    }
    p->pitch = direct ? s->in[2] : w->pitch;
    at = arena_push_raw(scratch, (p->kk + 1) * sizeof *at, MEM_ALIGN);
    if (!at) return err_set(e, ERR_LIMIT, "convolution: no memory for %zu rows of columns", p->kk);
    p->at = at;
    for (size_t first = 0; first < p->channels; first += CHANNEL_BLOCK)
        for (size_t tap = 0; tap < p->taps; tap++) {
            size_t y = tap / s->kernel[2] * s->dilation[1], x = tap % s->kernel[2] * s->dilation[2];
            size_t from = direct ? y * s->in[2] + x : w->at[tap];
            for (size_t c = first; c < least(first + CHANNEL_BLOCK, p->channels); c++) *at++ = c * channel + from;
        }
    return ERR_OK;
}

static err_code plan_taps(plan *p, arena *scratch, err *e)
{
    const conv_shape *s = &p->s;
    p->low = arena_new(scratch, size_t, s->kernel[2]);
    p->high = arena_new(scratch, size_t, s->kernel[2]);
    if (!p->low || !p->high) return err_set(e, ERR_LIMIT, "convolution: no memory for %zu taps", s->kernel[2]);
    for (size_t q = 0; q < s->kernel[2]; q++) {
        size_t shift = q * s->dilation[2], step = s->stride[2];
        p->low[q] = shift < s->pad[2] ? (s->pad[2] - shift + step - 1) / step : 0;
        p->high[q] = s->in[2] + s->pad[2] > shift ? least(s->out[2], (s->in[2] + s->pad[2] - shift - 1) / step + 1) : 0;
    }
    return ERR_OK;
}

static err_code columns_f32(plan *p, window *w, compute *pool, arena *scratch, err *e)
{
    const conv_shape *s = &p->s;
    p->rows = s->out_channels / s->groups;
    p->kk = p->channels * p->taps;
    p->k_block = gemm_k_block(p->kk);
    pool = gemm_pool(pool, s->batch * s->groups, p->rows, p->points, p->kk);
    p->cut = gemm_cut_make(s->batch * s->groups, p->rows, p->points, pool);
    size_t blocks = s->batch * s->groups * p->cut.row_blocks * p->cut.column_blocks;
    if (blocks > UINT32_MAX)
        return err_set(e, ERR_LIMIT, "convolution: %zu blocks are more than %u", blocks, UINT32_MAX);
    err_code code = plan_planes(p, w, scratch, e);
    if (code == ERR_OK && !p->at) code = plan_taps(p, scratch, e);
    if (code != ERR_OK) return code;
    p->panels = p->cut.columns * p->k_block;
    code = gemm_slots_init(&p->slots, p->panels + p->strip, pool, scratch, e);
    if (code == ERR_OK) compute_for(pool, (uint32_t)blocks, run_block, p);
    return code;
}

static void add_residual(const conv_call *c, float *y, size_t n, float low, float high)
{
    const float *r = c->residual + (y - c->y);
    for (size_t i = 0; i < n; i++) {
        float v = y[i] + r[i];
        y[i] = v < low ? low : v > high ? high : v;
    }
}

/* One output channel of one image. */
static void run_channel(void *ctx, uint32_t index)
{
    plan *p = ctx;
    const conv_call *c = p->call;
    const window *w = p->window;
    size_t slot, channel = index % p->s.out_channels, per_input = p->s.out_channels / p->s.groups;
    size_t height = p->s.out[1], width = p->s.out[2];
    float *buffer = gemm_slots_take(&p->slots, &slot), *y = c->y + index * p->points, *line = buffer + w->floats;
    gemm_block limits = {.low = -INFINITY, .high = INFINITY};
    if (!c->residual) gemm_clamp(&limits, &c->act);
    tap_set t = {.count = w->tap_count,
                 .at = w->at,
                 .w = c->w + channel * p->taps,
                 .y_row = width,
                 .x_row = w->pitch,
                 .bias = c->bias ? c->bias[channel] : 0,
                 .low = limits.low,
                 .high = limits.high};
    window_load(w, buffer, c->x + index / per_input * p->plane, 0, 0, p->k);
    if (width > NARROW_MAX) {
        p->k->taps_sum_f32(&t, y, buffer, height, width);
    } else {
        p->k->taps_sum_f32(&t, line, buffer, 1, (height - 1) * w->pitch + width);
        for (size_t i = 0; i < height; i++) memcpy(y + i * width, line + i * w->pitch, width * sizeof *y);
    }
    if (c->residual) {
        gemm_clamp(&limits, &c->act);
        add_residual(c, y, p->points, limits.low, limits.high);
    }
    gemm_activate(&c->act, y, width, height, width, p->k);
    gemm_slots_give(&p->slots, slot);
}

static err_code depthwise_f32(plan *p, window *w, compute *pool, arena *scratch, err *e)
{
    const conv_shape *s = &p->s;
    window_shape ws = window_of(s, s->out[1]);
    size_t floats, line, units;
    if (!window_init(w, &ws) || __builtin_mul_overflow(w->pitch, s->out[1], &line) ||
        __builtin_add_overflow(w->floats, line, &floats) || __builtin_mul_overflow(s->batch, s->out_channels, &units) ||
        units > UINT32_MAX)
        return err_set(e, ERR_LIMIT, "convolution: %zu x %zu channels with padded planes are too large", s->batch,
                       s->out_channels);
    p->window = w;
    pool = gemm_pool(pool, s->batch, s->out_channels, p->points, 4 * w->tap_count); /* bound by loads, not sums */
    err_code code = gemm_slots_init(&p->slots, floats, pool, scratch, e);
    if (code == ERR_OK) compute_for(pool, (uint32_t)units, run_channel, p);
    return code;
}

err_code conv_f32(const conv_call *c, const kernel_set *k, compute *pool, arena *scratch, err *e)
{
    window w;
    plan p = {.call = c, .s = *c->shape, .k = k, .taps = taps_of(c->shape)};
    if (p.s.batch == 0 || p.s.out_channels == 0 || plane_of(p.s.out) == 0) return ERR_OK;
    flatten(&p.s);
    p.plane = plane_of(p.s.in);
    p.points = plane_of(p.s.out);
    p.channels = p.s.in_channels / p.s.groups;
    return is_depthwise(&p.s) ? depthwise_f32(&p, &w, pool, scratch, e) : columns_f32(&p, &w, pool, scratch, e);
}
