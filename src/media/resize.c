#include "media/resize.h"

#include "media/resize_taps.h"
#include "tensor/kernel.h"

#include <math.h>
#include <string.h>

static const char *const names[RESIZE_FILTERS] = {
    [RESIZE_NEAREST] = "nearest", [RESIZE_LANCZOS] = "lanczos", [RESIZE_BILINEAR] = "bilinear",
    [RESIZE_BICUBIC] = "bicubic", [RESIZE_BOX] = "box", [RESIZE_HAMMING] = "hamming",
    [RESIZE_MKS2013] = "mks2013", [RESIZE_MKS2021] = "mks2021"};

const char *resize_filter_name(resize_filter f)
{
    INVARIANT(f < RESIZE_FILTERS);
    return names[f];
}

bool resize_filter_find(str name, resize_filter *ret)
{
    for (resize_filter f = 0; f < RESIZE_FILTERS; f++)
        if (str_is_nocase(name, names[f]) || (name.len == 1 && name.p[0] == (char)('0' + f))) {
            *ret = f;
            return true;
        }
    return false;
}

enum {
    STRIP_ROWS = 16,   /* of a stream; one row of blocks of the commonest JPEGs */
    LINE = 64,         /* of a cache: rows are an odd number of lines apart, so that a column is not all in one set, */
    STRIP_OFF = 8      /* and begin beside one: libjpeg-turbo writes rows at multiples of 16 past the caches */
};

typedef struct {
    const image *from;
    resize_axis x, y;
    resize_filter filter;
    arena *memory;
    image to;
    err *e;
} job;

static err_code no_memory(const job *j, const char *what, size_t count)
{
    return err_set(j->e, j->memory->starved ? ERR_NOMEM : ERR_LIMIT, "resize: no memory for %zu %s", count, what);
}

/* ---- Pillow's two passes ----------------------------------------------------------------------------------------- */

static size_t row_bytes(const image *im)
{
    return (size_t)im->width * im->channels;
}

/* Rows first .. of `from`, as many as `to` has. */
static void across(const tap_table *t, const image *from, uint32_t first, const image *to)
{
    size_t row = row_bytes(from);
    kernel_active()->set.taps_across_u8(t, to->pixels, row_bytes(to), from->pixels + first * row, row, to->channels,
                                        to->height);
}

/* Columns left .. of `from`, whose first row is row `top` of what the weights count. */
static void down(const tap_table *t, const image *from, uint32_t left, uint32_t top, const image *to)
{
    size_t row = row_bytes(from), n = row_bytes(to);
    const uint8_t *x = from->pixels + left * from->channels;
    for (size_t i = 0; i < t->count; i++)
        kernel_active()->set.taps_down_u8(to->pixels + i * n, x + (t->runs[i].from - top) * row, row,
                                          t->low + i * t->step, t->high + i * t->step, t->runs[i].count, n);
}

/* Of the source, what any result asks for. */
static tap_run span(const tap_table *t)
{
    const tap_run *first = &t->runs[0], *last = &t->runs[t->count - 1];
    return (tap_run){first->from, last->from + last->count - first->from};
}

/* Along an axis that stays as it is no filter is applied: some would blur. */
static bool changes(const resize_axis *x)
{
    return x->source != x->result || x->begin > 0 || x->end < (float)x->result;
}

/* A window on such an axis is cut out by the box filter, whose only weight is then 1. */
static err_code taps_of(const job *j, const resize_axis *x, tap_table *ret)
{
    return resize_taps(x, changes(x) ? j->filter : RESIZE_BOX, j->memory, ret, j->e);
}

/* Pillow 13 begins with the columns where that takes away more than twice as many pixels of the height as rows would of
 * the width.  It goes by the whole picture, whatever box is asked for, and so do we by the whole result. */
static bool columns_first(const job *j)
{
    int64_t height_lost = (int64_t)j->y.source - j->y.result, width_lost = (int64_t)j->x.source - j->x.result;
    return height_lost > 0 && height_lost > 2 * width_lost;
}

static err_code both_ways(job *j, const tap_table *xs, const tap_table *ys)
{
    tap_run columns = span(xs), rows = span(ys);
    bool tall = columns_first(j);
    image half = {.width = tall ? columns.count : j->to.width, .height = tall ? j->to.height : rows.count,
                  .channels = j->to.channels};
    err_code rc = image_alloc(&half, j->memory, j->e);
    if (rc) return rc;
    if (tall) {
        tap_run *runs = arena_copy(j->memory, xs->runs, xs->count * sizeof *runs, _Alignof(tap_run));
        if (!runs) return no_memory(j, "runs", xs->count);
        for (size_t i = 0; i < xs->count; i++) runs[i].from -= columns.from;
        tap_table cut = *xs;
        cut.runs = runs;
        down(ys, j->from, columns.from, 0, &half);
        across(&cut, &half, 0, &j->to);
    } else {
        across(xs, j->from, rows.from, &half);
        down(ys, &half, 0, rows.from, &j->to);
    }
    return ERR_OK;
}

static err_code smooth(job *j)
{
    tap_table xs = {0}, ys = {0};
    bool x = changes(&j->x) || j->x.count != j->x.source, y = changes(&j->y) || j->y.count != j->y.source;
    err_code rc = x ? taps_of(j, &j->x, &xs) : ERR_OK;
    if (!rc && y) rc = taps_of(j, &j->y, &ys);
    if (rc) return rc;
    if (x && y) return both_ways(j, &xs, &ys);
    if (x) across(&xs, j->from, 0, &j->to);
    else if (y) down(&ys, j->from, 0, 0, &j->to);
    else memcpy(j->to.pixels, j->from->pixels, row_bytes(&j->to) * j->to.height);
    return ERR_OK;
}

/* ---- alpha ------------------------------------------------------------------------------------------------------- */

static err_code multiplied(const image *from, arena *a, image *ret, err *e)
{
    image im = *from;
    err_code rc = image_alloc(&im, a, e);
    if (rc) return rc;
    for (size_t i = 0, n = (size_t)im.width * im.height; i < n; i++) {
        const uint8_t *p = from->pixels + 4 * i;
        for (size_t c = 0; c < 3; c++) {
            uint32_t t = (uint32_t)p[c] * p[3] + 128;
            im.pixels[4 * i + c] = (uint8_t)(((t >> 8) + t) >> 8);   /* / 255 to the nearest */
        }
        im.pixels[4 * i + 3] = p[3];
    }
    *ret = im;
    return ERR_OK;
}

static void divide(image *im)
{
    for (size_t i = 0, n = (size_t)im->width * im->height; i < n; i++) {
        uint8_t *p = im->pixels + 4 * i, alpha = p[3];
        if (alpha == 0 || alpha == 255) continue;
        for (size_t c = 0; c < 3; c++) {
            uint32_t v = 255u * p[c] / alpha;
            p[c] = (uint8_t)(v > 255 ? 255 : v);
        }
    }
}

/* ---- the others -------------------------------------------------------------------------------------------------- */

static err_code nearest(job *j)
{
    uint32_t *xs, *ys;
    size_t channels = j->from->channels;
    err_code rc = resize_nearest(&j->x, j->memory, &xs, j->e);
    if (!rc) rc = resize_nearest(&j->y, j->memory, &ys, j->e);
    if (rc) return rc;
    uint8_t *put = j->to.pixels;
    for (size_t y = 0; y < j->y.count; y++)
        for (size_t x = 0; x < j->x.count; x++, put += channels) {
            bool in = xs[x] < j->from->width && ys[y] < j->from->height;
            const uint8_t *get = in ? image_pixel(j->from, xs[x], ys[y]) : NULL;
            for (size_t c = 0; c < channels; c++) put[c] = in ? get[c] : 0;
        }
    return ERR_OK;
}

static uint8_t rounded(float v)
{
    return (uint8_t)lrintf(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Rows are mixed first, in float and as wide as the source, then columns. */
static err_code aliased(job *j)
{
    resize_few *xs, *ys;
    size_t taps = j->filter == RESIZE_BICUBIC ? 4 : 2, channels = j->from->channels, row = j->from->width * channels;
    err_code rc = resize_neighbours(&j->x, j->filter, j->memory, &xs, j->e);
    if (!rc) rc = resize_neighbours(&j->y, j->filter, j->memory, &ys, j->e);
    if (rc) return rc;
    float *mixed = arena_push_raw(j->memory, row * sizeof *mixed, 64);
    if (!mixed) return no_memory(j, "pixels of a row", j->from->width);
    uint8_t *put = j->to.pixels;
    for (size_t y = 0; y < j->y.count; y++) {
        memset(mixed, 0, row * sizeof *mixed);
        for (size_t k = 0; k < taps; k++) {
            const uint8_t *get = j->from->pixels + ys[y].at[k] * row;
            float w = ys[y].weight[k];
            for (size_t i = 0; i < row; i++) mixed[i] += w * get[i];
        }
        for (size_t x = 0; x < j->x.count; x++, put += channels)
            for (size_t c = 0; c < channels; c++) {
                float sum = 0;
                for (size_t k = 0; k < taps; k++) sum += xs[x].weight[k] * mixed[xs[x].at[k] * channels + c];
                put[c] = rounded(sum);
            }
    }
    return ERR_OK;
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

static bool within(float begin, float end, uint32_t side)
{
    return begin >= 0 && begin < end && end <= (float)side;      /* false for NaN, too */
}

static err_code set_up(job *j, const image *from, const resize_options *o)
{
    resize_window w = o->window;
    const float *b = o->box;
    bool boxed = b[0] != 0 || b[1] != 0 || b[2] != 0 || b[3] != 0;   /* not 0 for NaN */
    if (!o->width || !o->height || o->width > RESIZE_SIDE_MAX || o->height > RESIZE_SIDE_MAX)
        return err_set(j->e, ERR_TOO_LARGE, "resize: expected sides of 1 to %d, got %ux%u", RESIZE_SIDE_MAX, o->width,
                       o->height);
    if (boxed && (!within(b[0], b[2], from->width) || !within(b[1], b[3], from->height)))
        return err_set(j->e, ERR_INVALID, "resize: box: expected a part of %ux%u pixels, got %g,%g to %g,%g",
                       from->width, from->height, (double)b[0], (double)b[1], (double)b[2], (double)b[3]);
    if (o->aliased && o->filter != RESIZE_BILINEAR && o->filter != RESIZE_BICUBIC)
        return err_set(j->e, ERR_INVALID, "resize: without antialias: expected bilinear or bicubic, got %s",
                       resize_filter_name(o->filter));
    if (!w.x && !w.y && !w.width && !w.height) w = (resize_window){0, 0, o->width, o->height};
    INVARIANT((uint64_t)w.x + w.width <= o->width && (uint64_t)w.y + w.height <= o->height);
    j->x = (resize_axis){from->width, 0, (float)from->width, o->width, w.x, w.width};
    j->y = (resize_axis){from->height, 0, (float)from->height, o->height, w.y, w.height};
    if (boxed) j->x.begin = b[0], j->y.begin = b[1], j->x.end = b[2], j->y.end = b[3];
    j->to = (image){.width = w.width, .height = w.height, .channels = from->channels, .orientation = from->orientation};
    return image_check(w.width, w.height, o->pixels_max, j->e);
}

err_code resize_image(const image *from, const resize_options *o, arena *a, image *ret, err *e)
{
    image source = *from;
    job j = {.from = &source, .filter = o->filter, .memory = a, .e = e};
    err_code rc = set_up(&j, from, o);
    if (!rc) rc = image_alloc(&j.to, a, e);
    if (rc) return rc;
    bool still = !changes(&j.x) && !changes(&j.y), alpha = from->channels == 4 && o->filter != RESIZE_NEAREST && !still;
    if (alpha) rc = multiplied(from, a, &source, e);
    if (rc) return rc;
    if (o->aliased) rc = aliased(&j);
    else if (o->filter == RESIZE_NEAREST) rc = nearest(&j);
    else rc = smooth(&j);
    if (rc) return rc;
    if (alpha) divide(&j.to);
    *ret = j.to;
    return ERR_OK;
}

/* ---- rows that come one after the other -------------------------------------------------------------------------- */

bool resize_can_stream(const image *head, const resize_options *o)
{
    err e;
    job j = {.from = head, .filter = o->filter, .e = &e};
    return !set_up(&j, head, o) && !o->aliased && o->filter != RESIZE_NEAREST && head->channels != 4 &&
           changes(&j.x) && changes(&j.y) && !columns_first(&j);
}

/* A strip of the source, and the last rows that were made narrow: as many as a result asks for, and room for what comes
 * before they are moved up.  Both stay in the second cache, whatever the picture's height. */
typedef struct {
    job *j;
    const tap_table *xs, *ys;
    uint8_t *strip;
    size_t strip_row;
    image near;               /* narrow rows */
    uint32_t first, end;      /* of the source: those in it */
    size_t made;              /* results */
} stream;

static err_code stream_open(stream *s, tap_run rows)
{
    const image *from = s->j->from;
    size_t lines = ((size_t)from->width * from->channels + STRIP_OFF + LINE - 1) / LINE;
    uint32_t most = 0;
    for (size_t i = 0; i < s->ys->count; i++)
        if (s->ys->runs[i].count > most) most = s->ys->runs[i].count;
    s->first = s->end = rows.from;
    s->near = (image){.width = s->j->to.width, .channels = from->channels,
                      .height = most < rows.count - most ? 2 * most + STRIP_ROWS : rows.count};
    s->strip_row = (lines | 1) * LINE;
    size_t bytes = STRIP_OFF + s->strip_row * STRIP_ROWS + IMAGE_SLACK;
    uint8_t *strip = arena_push_raw(s->j->memory, bytes, LINE);
    if (!strip) return no_memory(s->j, "bytes of rows", bytes);
    s->strip = strip + STRIP_OFF;
    return image_alloc(&s->near, s->j->memory, s->j->e);
}

/* Results whose last row is there. */
static void stream_make(stream *s)
{
    size_t n = row_bytes(&s->near);
    for (; s->made < s->ys->count; s->made++) {
        size_t i = s->made, at = i * s->ys->step;
        tap_run run = s->ys->runs[i];
        if (run.from + run.count > s->end) break;
        kernel_active()->set.taps_down_u8(s->j->to.pixels + i * n, s->near.pixels + (run.from - s->first) * n, n,
                                          s->ys->low + at, s->ys->high + at, run.count, n);
    }
}

/* No result to come asks for rows before that of the next. */
static void stream_drop(stream *s, uint32_t coming)
{
    size_t n = row_bytes(&s->near);
    if (s->end - s->first + coming <= s->near.height) return;
    uint32_t keep = s->made < s->ys->count ? s->ys->runs[s->made].from : s->end;
    if (keep > s->end) keep = s->end;
    memmove(s->near.pixels, s->near.pixels + (keep - s->first) * n, (s->end - keep) * n);
    s->first = keep;
    INVARIANT(s->end - s->first + coming <= s->near.height);
}

/* Rows y.. of the strip, as far as they are asked for. */
static void stream_take(stream *s, uint32_t y, uint32_t count, tap_run rows)
{
    uint32_t first = rows.from > y ? rows.from : y, end = rows.from + rows.count;
    if (end > y + count) end = y + count;
    if (first >= end) return;
    stream_drop(s, end - first);
    kernel_active()->set.taps_across_u8(s->xs, s->near.pixels + (s->end - s->first) * row_bytes(&s->near),
                                        row_bytes(&s->near), s->strip + (first - y) * s->strip_row, s->strip_row,
                                        s->near.channels, end - first);
    s->end = end;
    stream_make(s);
}

/* Rows that nobody asks for are pulled, too: a file is whole or refused. */
static err_code stream_run(stream *s, const resize_source *from, tap_run rows)
{
    uint32_t height = s->j->from->height;
    err_code rc = ERR_OK;
    for (uint32_t y = 0, count; y < height && !rc; y += count) {
        count = height - y < STRIP_ROWS ? height - y : STRIP_ROWS;
        rc = from->pull(from->ctx, s->strip, s->strip_row, count, s->j->e);
        if (!rc) stream_take(s, y, count, rows);
    }
    return rc;
}

err_code resize_stream(const image *head, const resize_source *from, const resize_options *o, arena *a, image *ret,
                       err *e)
{
    job j = {.from = head, .filter = o->filter, .memory = a, .e = e};
    tap_table xs, ys;
    INVARIANT(resize_can_stream(head, o));
    err_code rc = set_up(&j, head, o);
    if (!rc) rc = image_alloc(&j.to, a, e);
    if (!rc) rc = taps_of(&j, &j.x, &xs);
    if (!rc) rc = taps_of(&j, &j.y, &ys);
    if (rc) return rc;
    stream s = {.j = &j, .xs = &xs, .ys = &ys};
    tap_run rows = span(&ys);
    rc = stream_open(&s, rows);
    if (!rc) rc = stream_run(&s, from, rows);
    if (rc) return rc;
    INVARIANT(s.made == ys.count);
    *ret = j.to;
    return ERR_OK;
}
