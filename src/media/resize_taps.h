/* resize_taps.h - which source pixels make a result pixel along one axis, and how much each counts.
 *
 * For resize.c.  Pillow's computation, in double, turned into the fixed-point tables of tensor/kernel_list_image.h.
 * Tables live in the arena; only the results of the window are in them. */
#ifndef MEDIA_RESIZE_TAPS_H
#define MEDIA_RESIZE_TAPS_H
#include "media/resize.h"
#include "tensor/kernel_list_image.h"

typedef struct {
    uint32_t source;          /* pixels along the axis */
    float begin, end;         /* the part of them that becomes the result */
    uint32_t result;          /* pixels of the whole result */
    uint32_t first, count;    /* of the result: what the table is for */
    bool mirrored;            /* the source lies the other way round, and so will the result */
    bool fours;               /* runs begin at multiples of four pixels: for rows */
} resize_axis;

err_code resize_taps(const resize_axis *x, resize_filter f, arena *a, tap_table *ret, err *e) MUST_USE;
/* Adds digits or tops, where the weights have them: which of them taps_by_digits says. */
err_code resize_taps_digits(tap_table *t, arena *a, err *e) MUST_USE;
err_code resize_taps_tops(tap_table *t, arena *a, err *e) MUST_USE;
/* For RESIZE_NEAREST: the source pixel of each result; UINT32_MAX = none, rounding led out of the picture. */
err_code resize_nearest(const resize_axis *x, arena *a, uint32_t **ret, err *e) MUST_USE;

/* For aliased filters: the 2 or 4 neighbours, held to the picture's edge. */
typedef struct {
    uint32_t at[4];
    float weight[4];
} resize_few;
err_code resize_neighbours(const resize_axis *x, resize_filter f, arena *a, resize_few **ret, err *e) MUST_USE;

#endif
