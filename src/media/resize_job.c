#include "media/resize_job.h"

#include "tensor/kernel.h"

err_code resize_no_memory(const arena *a, const char *what, size_t count, err *e)
{
    return err_set(e, a->starved ? ERR_NOMEM : ERR_LIMIT, "resize: no memory for %zu %s", count, what);
}

bool resize_changes(const resize_axis *x)
{
    return x->source != x->result || x->begin > 0 || x->end < (float)x->result;
}

static bool within(float begin, float end, uint32_t side)
{
    return begin >= 0 && begin < end && end <= (float)side;      /* false for NaN, too */
}

static err_code check(const resize_options *o, uint32_t width, uint32_t height, bool boxed, err *e)
{
    const float *b = o->box;
    if (!o->width || !o->height || o->width > RESIZE_SIDE_MAX || o->height > RESIZE_SIDE_MAX)
        return err_set(e, ERR_TOO_LARGE, "resize: expected sides of 1 to %d, got %ux%u", RESIZE_SIDE_MAX, o->width,
                       o->height);
    if (boxed && (!within(b[0], b[2], width) || !within(b[1], b[3], height)))
        return err_set(e, ERR_INVALID, "resize: box: expected a part of %ux%u pixels, got %g,%g to %g,%g", width,
                       height, (double)b[0], (double)b[1], (double)b[2], (double)b[3]);
    if (o->aliased && o->filter != RESIZE_BILINEAR && o->filter != RESIZE_BICUBIC)
        return err_set(e, ERR_INVALID, "resize: without antialias: expected bilinear or bicubic, got %s",
                       resize_filter_name(o->filter));
    return ERR_OK;
}

/* Pillow 13 begins with the columns where that takes away more than twice as many pixels of the height as rows would of
 * the width.  It goes by the whole picture, whatever box is asked for, and so do we by the whole result. */
static bool columns_first(const resize_axis *x, const resize_axis *y)
{
    int64_t height_lost = (int64_t)y->source - y->result, width_lost = (int64_t)x->source - x->result;
    return height_lost > 0 && height_lost > 2 * width_lost;
}

/* Which of exif.h's turns leave the source's columns, its rows the other way round. */
static bool columns_mirrored(uint32_t turn) { return turn == 2 || turn == 3 || turn == 7 || turn == 8; }
static bool rows_mirrored(uint32_t turn) { return turn == 3 || turn == 4 || turn == 6 || turn == 7; }

err_code resize_job_make(resize_job *j, const image *from, const resize_options *o, arena *a, err *e)
{
    uint32_t turn = o->turned ? from->orientation : 1;
    bool lies = turn >= 5;
    uint32_t width = lies ? from->height : from->width, height = lies ? from->width : from->height;
    resize_window w = o->window;
    const float *b = o->box;
    bool boxed = b[0] != 0 || b[1] != 0 || b[2] != 0 || b[3] != 0;   /* not 0 for NaN */
    err_code rc = check(o, width, height, boxed, e);
    if (rc) return rc;
    if (!w.x && !w.y && !w.width && !w.height) w = (resize_window){0, 0, o->width, o->height};
    INVARIANT((uint64_t)w.x + w.width <= o->width && (uint64_t)w.y + w.height <= o->height);
    resize_axis x = {width, 0, (float)width, o->width, w.x, w.width, false, false};
    resize_axis y = {height, 0, (float)height, o->height, w.y, w.height, false, false};
    if (boxed) x.begin = b[0], y.begin = b[1], x.end = b[2], y.end = b[3];
    *j = (resize_job){.from = from, .filter = o->filter, .memory = a, .e = e, .x = lies ? y : x, .y = lies ? x : y};
    j->columns_first = columns_first(&x, &y) != lies;
    j->x.fours = true;
    j->x.mirrored = columns_mirrored(turn);
    j->y.mirrored = rows_mirrored(turn);
    j->across = resize_changes(&j->x) || j->x.count != j->x.source;
    j->down = resize_changes(&j->y) || j->y.count != j->y.source;
    j->to = (image){.width = j->x.count, .height = j->y.count, .channels = from->channels,
                    .orientation = from->orientation};
    return image_check(w.width, w.height, o->pixels_max, e);
}

/* Of the source, what any result asks for. */
static tap_run span(const tap_table *t)
{
    const tap_run *first = &t->runs[0], *last = &t->runs[t->count - 1];
    return (tap_run){first->from, last->from + last->count - first->from};
}

/* A window on an axis that stays as it is is cut out by the box filter, whose only weight is then 1. */
static err_code taps_of(const resize_job *j, const resize_axis *x, resize_kind kind, tap_table *ret,
                        resize_slot **ret_slot)
{
    resize_key k = {.x = *x, .filter = resize_changes(x) ? j->filter : RESIZE_BOX, .kind = kind};
    return resize_cache_take(&k, j->memory, ret, ret_slot, j->e);
}

/* Counts from `columns` on, which begin at a multiple of four pixels as runs do. */
static err_code cut(const resize_job *j, tap_table *t, tap_run columns)
{
    tap_run *runs = arena_copy(j->memory, t->runs, t->count * sizeof *runs, _Alignof(tap_run));
    tap_run *tops = t->tops ? arena_copy(j->memory, t->top_runs, t->count * sizeof *tops, _Alignof(tap_run)) : NULL;
    if (!runs || (t->tops && !tops)) return resize_no_memory(j->memory, "runs", t->count, j->e);
    for (size_t i = 0; i < t->count; i++) {
        runs[i].from -= columns.from;
        if (tops) tops[i].from -= columns.from;
    }
    t->runs = runs;
    t->top_runs = tops;
    return ERR_OK;
}

err_code resize_job_tables(const resize_job *j, resize_tables *ret)
{
    resize_tables t = {.columns = {0, j->from->width}, .rows = {0, j->from->height}};
    bool behind = j->across && j->down && j->columns_first;
    resize_kind kind = kernel_active()->set.taps_by_digits() ? RESIZE_DIGITS : RESIZE_TOPS;
    err_code rc = j->across ? taps_of(j, &j->x, kind, &t.xs, &t.x_slot) : ERR_OK;
    if (!rc && behind) {
        t.columns = span(&t.xs);
        rc = cut(j, &t.xs, t.columns);
    }
    if (!rc && j->down) rc = taps_of(j, &j->y, RESIZE_HALVES, &t.ys, &t.y_slot);
    if (rc) {
        resize_job_give(&t);
        return rc;
    }
    if (j->down) t.rows = span(&t.ys);
    *ret = t;
    return ERR_OK;
}

void resize_job_give(resize_tables *t)
{
    resize_cache_give(t->x_slot);
    resize_cache_give(t->y_slot);
    t->x_slot = t->y_slot = NULL;
}
