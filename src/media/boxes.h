/* boxes.h - non-maximum suppression: of boxes that show the same thing the best stays.
 *
 * As torchvision's nms() and batched_nms() and ONNX's NonMaxSuppression have it: boxes are taken in the order of their
 * scores (rank.h), and one is dropped when it overlaps a kept one of its kind by more than `overlap_max`.  Corners may
 * come in either order; boxes with a NaN overlap nothing.  Time is bounded by candidates_max * keep_max. */
#ifndef MEDIA_BOXES_H
#define MEDIA_BOXES_H
#include "base/arena.h"
#include "base/err.h"

enum { BOXES_CANDIDATES_MAX = 30000, BOXES_KEEP_MAX = 300 };

typedef struct {
    float x1, y1, x2, y2;
} box;

typedef struct {
    const box *boxes;
    const float *scores;        /* one for each box */
    const uint32_t *kinds;      /* the same, or NULL where all are of one kind */
    size_t count;
} boxes_scored;

typedef struct {
    float overlap_max;          /* intersection over union, 0..1 */
    float score_min;            /* boxes below are not looked at; those without a score (NaN) never are */
    size_t candidates_max;      /* the best so many take part; 0 = BOXES_CANDIDATES_MAX */
    size_t keep_max;            /* 0 = BOXES_KEEP_MAX */
} boxes_options;

box box_of_center(float x, float y, float width, float height);
float box_overlap(box a, box b);          /* intersection over union; 0 where there is no area */

/* *ret lives in the arena: indices, best first. */
err_code boxes_best(const boxes_scored *of, const boxes_options *o, arena *a, uint32_t **ret, size_t *ret_count,
                    err *e) MUST_USE;

#endif
