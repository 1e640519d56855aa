/* Rows that come one after the other, through one of two ways, of which the second is for what Pillow begins with the
 * columns of, and for rows that stay as wide as they are:
 *
 *     strip of the source -> across -> belt of narrow rows -> down -> result
 *     belt of source rows -> down -> batch of short columns' rows -> across -> result
 *
 * A belt holds as many rows as a result asks for, and room for what comes before they are moved up. */
#include "media/resize_job.h"
#include "tensor/kernel.h"

#include <string.h>

enum {
    STRIP_ROWS = 16,   /* one row of blocks of the commonest JPEGs */
    LINE = 64,         /* of a cache: rows are an odd number of lines apart, so that a column is not all in one set, */
    STRIP_OFF = 8      /* and begin beside one: libjpeg-turbo writes rows at multiples of 16 past the caches */
};

typedef struct {
    uint8_t *rows;
    size_t row;               /* bytes from one to the next */
    uint32_t room;            /* rows */
    uint32_t first, end;      /* of the source: those in it */
} belt;

typedef struct {
    const resize_job *j;
    resize_tables t;
    bool wide;                /* the belt holds source rows */
    belt strip, held;         /* strip: only where rows are made narrow first */
    image batch;              /* rows between down and across; its height is STRIP_ROWS */
    uint32_t made;            /* results, of which the last are in the batch: */
    uint32_t waiting;
} stream;

static const kernel_set *kernels(void) { return &kernel_active()->set; }

/* Rows that a decoder writes to and kernels read from: behind each lies what an image has behind its last. */
static err_code belt_alloc(const resize_job *j, size_t bytes, uint32_t rows, belt *ret)
{
    size_t lines = (bytes + IMAGE_SLACK + LINE - 1) / LINE, row = (lines | 1) * LINE, all = STRIP_OFF + row * rows;
    uint8_t *p = arena_push_raw(j->memory, all, LINE);
    if (!p) return resize_no_memory(j->memory, "bytes of rows", all, j->e);
    *ret = (belt){.rows = p + STRIP_OFF, .row = row, .room = rows};
    for (uint32_t y = 0; y < rows; y++) memset(ret->rows + y * row + bytes, 0, row - bytes);
    return ERR_OK;
}

/* Rows that a belt needs: twice as many as any result asks for, lest they are moved up all the time. */
static uint32_t belt_room(const stream *s)
{
    uint32_t most = 0;
    for (size_t i = 0; i < s->t.ys.count; i++)
        if (s->t.ys.runs[i].count > most) most = s->t.ys.runs[i].count;
    return most < s->t.rows.count - most ? 2 * most + STRIP_ROWS : s->t.rows.count;
}

static err_code stream_open(stream *s)
{
    const resize_job *j = s->j;
    size_t source = resize_row(j->from), narrow = resize_row(&j->to);
    err_code rc = ERR_OK;
    s->wide = j->down && (!j->across || j->columns_first);
    s->batch = (image){.width = s->t.columns.count, .height = STRIP_ROWS, .channels = j->to.channels};
    if (!s->wide) rc = belt_alloc(j, source, STRIP_ROWS, &s->strip);
    if (!rc && j->down) rc = belt_alloc(j, s->wide ? source : narrow, belt_room(s), &s->held);
    if (!rc && s->wide && j->across) rc = image_alloc(&s->batch, j->memory, j->e);
    if (!rc && s->batch.pixels) memset(s->batch.pixels, 0, STRIP_ROWS * resize_row(&s->batch));   /* behind the last */
    s->held.first = s->held.end = s->t.rows.from;
    return rc;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* Makes what waits between the passes narrow. */
static void flush(stream *s)
{
    size_t row = resize_row(&s->j->to), from = s->made - s->waiting;
    kernels()->taps_across_u8(&s->t.xs, s->j->to.pixels + from * row, row, s->batch.pixels, resize_row(&s->batch),
                              s->batch.channels, s->waiting);
    s->waiting = 0;
}

static void make_one(stream *s)
{
    const tap_table *t = &s->t.ys;
    size_t i = s->made, at = i * t->step, row = resize_row(&s->j->to);
    bool batched = s->wide && s->j->across;
    const uint8_t *x = s->held.rows + (t->runs[i].from - s->held.first) * s->held.row;
    uint8_t *to = s->j->to.pixels + i * row;
    if (batched) {
        x += (size_t)s->t.columns.from * s->batch.channels;
        row = resize_row(&s->batch);
        to = s->batch.pixels + s->waiting * row;
    }
    kernels()->taps_down_u8(to, x, s->held.row, t->low + at, t->high + at, t->runs[i].count, row);
    s->made++;
    if (batched && ++s->waiting == STRIP_ROWS) flush(s);
}

/* Results whose last row is there. */
static void make_ready(stream *s)
{
    for (; s->made < s->t.ys.count; make_one(s)) {
        tap_run run = s->t.ys.runs[s->made];
        if (run.from + run.count > s->held.end) return;
    }
    if (s->waiting) flush(s);
}

/* Room for rows to come; no result to come asks for rows before that of the next. */
static uint8_t *make_room(stream *s, uint32_t coming)
{
    belt *b = &s->held;
    if (b->end - b->first + coming > b->room) {
        uint32_t keep = s->made < s->t.ys.count ? s->t.ys.runs[s->made].from : b->end;
        if (keep > b->end) keep = b->end;
        memmove(b->rows, b->rows + (keep - b->first) * b->row, (b->end - keep) * b->row);
        b->first = keep;
        INVARIANT(b->end - b->first + coming <= b->room);
    }
    return b->rows + (b->end - b->first) * b->row;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* Rows y.. of the source, which are asked for, from `x` on. */
static void take_narrow(stream *s, const uint8_t *x, uint32_t y, uint32_t count)
{
    size_t row = resize_row(&s->j->to);
    bool down = s->j->down;
    uint8_t *to = down ? make_room(s, count) : s->j->to.pixels + y * row;
    kernels()->taps_across_u8(&s->t.xs, to, down ? s->held.row : row, x, s->strip.row, s->j->to.channels, count);
    if (!down) return;
    s->held.end += count;
    make_ready(s);
}

/* Where the next rows go: those that are asked for into a belt of source rows, the others wherever there is room. */
static uint8_t *place_of(stream *s, uint32_t y, uint32_t *count, bool *ret_asked)
{
    uint32_t from = s->t.rows.from, end = from + s->t.rows.count;
    *ret_asked = y >= from && y < end;
    if (y < from && *count > from - y) *count = from - y;
    if (*ret_asked && *count > end - y) *count = end - y;
    if (!s->wide) return s->strip.rows;
    if (*ret_asked) return make_room(s, *count);
    if (*count > s->held.room) *count = s->held.room;
    return s->held.rows;              /* nothing is in it yet, or any more of use */
}

/* Rows that nobody asks for are pulled, too: a file is whole or refused. */
static err_code stream_run(stream *s, const resize_source *from)
{
    uint32_t height = s->j->from->height;
    err_code rc = ERR_OK;
    for (uint32_t y = 0, count; y < height && !rc; y += count) {
        bool asked;
        count = height - y < STRIP_ROWS ? height - y : STRIP_ROWS;
        uint8_t *to = place_of(s, y, &count, &asked);
        rc = from->pull(from->ctx, to, s->wide ? s->held.row : s->strip.row, count, s->j->e);
        if (rc || !asked) continue;
        if (!s->wide) {
            take_narrow(s, to, y, count);
        } else {
            s->held.end += count;
            make_ready(s);
        }
    }
    return rc;
}

static bool can(const resize_job *j, const resize_options *o)
{
    return !o->aliased && o->filter != RESIZE_NEAREST && j->from->channels != 4 && (j->across || j->down);
}

bool resize_can_stream(const image *head, const resize_options *o)
{
    err e;
    resize_job j;
    return !resize_job_make(&j, head, o, NULL, &e) && can(&j, o);
}

err_code resize_stream(const image *head, const resize_source *from, const resize_options *o, arena *a, image *ret,
                       err *e)
{
    resize_job j;
    stream s = {.j = &j};
    err_code rc = resize_job_make(&j, head, o, a, e);
    INVARIANT(rc || can(&j, o));
    if (!rc) rc = image_alloc(&j.to, a, e);
    if (!rc) rc = resize_job_tables(&j, &s.t);
    if (!rc) rc = stream_open(&s);
    if (!rc) rc = stream_run(&s, from);
    INVARIANT(rc || (s.made == s.t.ys.count && !s.waiting));
    resize_job_give(&s.t);
    if (rc) return rc;
    *ret = j.to;
    return ERR_OK;
}
