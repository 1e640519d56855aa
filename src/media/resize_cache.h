/* resize_cache.h - weights of sizes that come again, as those of a camera's or of a data set's pictures do.
 *
 * For resize_job.c.  Of RESIZE_SLOTS axes the tables are kept, in memory that is there from the start and is all that
 * this ever takes.  What is taken is nobody's to change until it is given back, and as many as like have it at a time.
 * Nobody waits: where all is in use, or a table is too large to be kept, it is made in the arena.  Any thread. */
#ifndef MEDIA_RESIZE_CACHE_H
#define MEDIA_RESIZE_CACHE_H
#include "media/resize_taps.h"

enum { RESIZE_SLOTS = 8, RESIZE_SLOT_BYTES = 256 << 10 };   /* 1920 pixels to 224 take 80 to 110 KB */

typedef enum { RESIZE_HALVES, RESIZE_DIGITS, RESIZE_TOPS } resize_kind;   /* what a table has beside halves */

typedef struct {
    resize_axis x;
    resize_filter filter;
    resize_kind kind;
} resize_key;

typedef struct resize_slot resize_slot;

/* The table lives until *ret_slot is given back, or, where that is NULL, in the arena. */
err_code resize_cache_take(const resize_key *k, arena *a, tap_table *ret, resize_slot **ret_slot, err *e) MUST_USE;
void resize_cache_give(resize_slot *s);      /* NULL: nothing to do */

#endif
