#include "media/boxes.h"

#include "media/rank.h"

#include <math.h>

box box_of_center(float x, float y, float width, float height)
{
    return (box){x - width / 2, y - height / 2, x + width / 2, y + height / 2};
}

static float area(box b)
{
    return (b.x2 - b.x1) * (b.y2 - b.y1);
}

static box upright(box b)
{
    return (box){fminf(b.x1, b.x2), fminf(b.y1, b.y2), fmaxf(b.x1, b.x2), fmaxf(b.y1, b.y2)};
}

float box_overlap(box a, box b)
{
    a = upright(a);
    b = upright(b);
    box both = {fmaxf(a.x1, b.x1), fmaxf(a.y1, b.y1), fminf(a.x2, b.x2), fminf(a.y2, b.y2)};
    if (!(both.x2 > both.x1) || !(both.y2 > both.y1)) return 0;
    float shared = area(both), all = area(a) + area(b) - shared;
    return shared > 0 && all > 0 ? shared / all : 0;
}

static bool has_nan(box b)
{
    return isnan(b.x1) || isnan(b.y1) || isnan(b.x2) || isnan(b.y2);
}

/* The better ones are kept already; does this one repeat one of them? */
static bool repeats(const boxes_scored *of, uint32_t i, const uint32_t *kept, size_t count, float most)
{
    const box *boxes = of->boxes;
    const uint32_t *kinds = of->kinds;
    if (has_nan(boxes[i])) return false;
    for (size_t k = 0; k < count; k++)
        if ((!kinds || kinds[kept[k]] == kinds[i]) && !has_nan(boxes[kept[k]]) &&
            box_overlap(boxes[i], boxes[kept[k]]) > most)
            return true;
    return false;
}

err_code boxes_best(const boxes_scored *of, const boxes_options *o, arena *a, uint32_t **ret, size_t *ret_count, err *e)
{
    const size_t n = of->count;
    size_t candidates = o->candidates_max ? o->candidates_max : BOXES_CANDIDATES_MAX;
    size_t most = o->keep_max ? o->keep_max : BOXES_KEEP_MAX, count = 0;
    if (n > UINT32_MAX) return err_set(e, ERR_TOO_LARGE, "boxes: expected at most %u, got %zu", UINT32_MAX, n);
    if (candidates > n) candidates = n;
    if (most > candidates) most = candidates;
    uint32_t *order = arena_push_raw(a, (candidates + 1) * sizeof *order, _Alignof(uint32_t));
    uint32_t *kept = arena_push_raw(a, (most + 1) * sizeof *kept, _Alignof(uint32_t));
    if (!order || !kept) return err_set(e, ERR_NOMEM, "boxes: no memory for %zu candidates", candidates);
    candidates = rank_top(of->scores, n, candidates, order);
    for (size_t i = 0; i < candidates && count < most; i++) {
        if (!(of->scores[order[i]] >= o->score_min)) break;      /* the others are lower, or NaN */
        if (!repeats(of, order[i], kept, count, o->overlap_max)) kept[count++] = order[i];
    }
    *ret = kept;
    *ret_count = count;
    return ERR_OK;
}
