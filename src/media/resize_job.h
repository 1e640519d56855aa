/* resize_job.h - a resize that is set up: which part of each axis becomes what, and which pass comes first.
 *
 * For resize.c, which has a whole picture, and resize_stream.c, to which rows come one after the other.  Axes are those
 * of the source as it lies there: where the options speak of a picture that is turned first, so do the weights, in the
 * order and with the roundings that the turned picture would see. */
#ifndef MEDIA_RESIZE_JOB_H
#define MEDIA_RESIZE_JOB_H
#include "media/resize_cache.h"

typedef struct {
    const image *from;            /* its pixels are for resize.c */
    resize_axis x, y;
    bool across, down;            /* whether rows and columns are summed at all */
    bool columns_first;           /* where both are */
    resize_filter filter;
    arena *memory;
    image to;                     /* without pixels, at first */
    err *e;
} resize_job;

err_code resize_job_make(resize_job *j, const image *from, const resize_options *o, arena *a, err *e) MUST_USE;

/* Of passes that are made; the others' are empty.  `columns` is what the pass across reads of a row, which it then
 * counts from there: all of it, or, behind a pass down, what its results ask for. */
typedef struct {
    tap_table xs, ys;
    tap_run columns, rows;        /* rows: what the results ask for */
    resize_slot *x_slot, *y_slot; /* private */
} resize_tables;
err_code resize_job_tables(const resize_job *j, resize_tables *ret) MUST_USE;
void resize_job_give(resize_tables *t);         /* once they were made */

bool resize_changes(const resize_axis *x);      /* else no filter is applied along it: some would blur */
err_code resize_no_memory(const arena *a, const char *what, size_t count, err *e);

static inline size_t resize_row(const image *im)
{
    return (size_t)im->width * im->channels;
}

#endif
