/* NonMaxSuppression and CenterCropPad. */
#include "engine/op_watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- NonMaxSuppression ------------------------------------------------------------------------------------------ */

enum { IN_BOXES, IN_SCORES, IN_COUNT, IN_OVERLAP, IN_SCORE };

typedef struct {
    float top, left, bottom, right, area;
} box;

typedef struct {
    float score;
    uint32_t index;
} candidate;

typedef struct {
    int64_t count_max; /* of one class */
    float overlap_max, score_min;
    bool has_score_min, centered;
    size_t batches, classes, boxes;
} nms;

static err_code nms_infer(op_call *c, err *e)
{
    const shape *b = &c->in[IN_BOXES]->shape, *s = &c->in[IN_SCORES]->shape;
    err_code rc = op_type(c, IN_BOXES, T1(DT_F32), e);
    if (!rc) rc = op_type(c, IN_SCORES, T1(DT_F32), e);
    if (!rc) rc = op_type(c, IN_COUNT, T1(DT_I64), e);
    if (!rc) rc = op_type(c, IN_OVERLAP, T1(DT_F32), e);
    if (!rc) rc = op_type(c, IN_SCORE, T1(DT_F32), e);
    if (!rc) rc = op_rank(c, IN_BOXES, 3, 3, e);
    if (!rc) rc = op_rank(c, IN_SCORES, 3, 3, e);
    if (rc) return rc;
    if (b->dim[2] != 4 || b->dim[0] != s->dim[0] || b->dim[1] != s->dim[2]) {
        char t1[SHAPE_TEXT_MAX], t2[SHAPE_TEXT_MAX];
        return op_err(c, e, ERR_INVALID, "expected boxes [n,m,4] and scores [n,classes,m], got %s and %s",
                      shape_text(b, t1), shape_text(s, t2));
    }
    if (b->dim[1] > UINT32_MAX) return op_err(c, e, ERR_LIMIT, "expected at most %u boxes", UINT32_MAX);
    if (c->out[0]) c->out[0]->type = DT_I64;
    return ERR_OK;
}

/* The one number of an optional input. */
static const tensor *number_in(const op_call *c, uint32_t i)
{
    return i < c->in_count && c->in[i] && tensor_count(c->in[i]) ? c->in[i] : NULL;
}

static nms nms_read(const op_call *c)
{
    const tensor *count = number_in(c, IN_COUNT), *overlap = number_in(c, IN_OVERLAP), *score = number_in(c, IN_SCORE);
    const shape *s = &c->in[IN_SCORES]->shape;
    return (nms){.count_max = count ? *(const int64_t *)count->data : 0,
                 .overlap_max = overlap ? *(const float *)overlap->data : 0,
                 .score_min = score ? *(const float *)score->data : 0,
                 .has_score_min = score,
                 .centered = node_int(c->node, "center_point_box", 0) != 0,
                 .batches = (size_t)s->dim[0],
                 .classes = (size_t)s->dim[1],
                 .boxes = (size_t)s->dim[2]};
}

/* Corners may be given in any order. */
static box box_read(const nms *n, const float *b)
{
    float y1 = b[0], x1 = b[1], y2 = b[2], x2 = b[3];
    if (n->centered) {
        x1 = b[0] - b[2] / 2;
        x2 = b[0] + b[2] / 2;
        y1 = b[1] - b[3] / 2;
        y2 = b[1] + b[3] / 2;
    }
    box r = {fminf(y1, y2), fminf(x1, x2), fmaxf(y1, y2), fmaxf(x1, x2), 0};
    r.area = (r.bottom - r.top) * (r.right - r.left);
    return r;
}

static bool overlap(const box *a, const box *b, float limit)
{
    float height = fminf(a->bottom, b->bottom) - fmaxf(a->top, b->top);
    float width = fminf(a->right, b->right) - fmaxf(a->left, b->left);
    if (!(height > 0 && width > 0 && a->area > 0 && b->area > 0)) return false;
    float both = height * width;
    return both / (a->area + b->area - both) > limit;
}

/* The highest score first, of equal ones the first box. */
static int compare_candidates(const void *pa, const void *pb)
{
    const candidate *a = pa, *b = pb;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

typedef struct {
    box *boxes; /* of one batch */
    candidate *work;
    uint32_t *kept; /* these three: [boxes] */
    op_watch watch;
} nms_room;

/* The boxes of one class that stay, into `kept`. */
static err_code suppress(const nms *n, nms_room *r, const float *scores, size_t *ret_count, err *e)
{
    candidate *work = r->work;
    size_t count = 0, kept_count = 0;
    err_code rc = op_watch_add(&r->watch, n->boxes, e);
    if (rc) return rc;
    for (size_t i = 0; i < n->boxes; i++) {
        if (n->has_score_min ? scores[i] > n->score_min : !isnan(scores[i]))
            work[count++] = (candidate){scores[i], (uint32_t)i};
    }
    qsort(work, count, sizeof *work, compare_candidates);
    for (size_t i = 0; i < count && kept_count < (uint64_t)n->count_max && !rc; i++) {
        bool free = true;
        size_t k = 0;
        for (; k < kept_count && free; k++)
            free = !overlap(&r->boxes[work[i].index], &r->boxes[r->kept[k]], n->overlap_max);
        if (free) r->kept[kept_count++] = work[i].index;
        rc = op_watch_add(&r->watch, k, e);
    }
    *ret_count = kept_count;
    return rc;
}

static err_code no_room(op_call *c, const nms *n, err *e)
{
    return op_err(c, e, ERR_LIMIT, "no memory for %zu boxes", n->boxes);
}

static err_code nms_all(op_call *c, const nms *n, int64_t **ret, size_t *ret_count, err *e)
{
    nms_room r = {.boxes = arena_new(c->scratch, box, n->boxes),
                  .work = arena_new(c->scratch, candidate, n->boxes),
                  .kept = arena_new(c->scratch, uint32_t, n->boxes),
                  .watch = {.call = c}};
    /* The largest result is all boxes of all classes, or the limit for each class. */
    uint64_t each = n->count_max < 0 ? 0 : (uint64_t)n->count_max < n->boxes ? (uint64_t)n->count_max : n->boxes, room;
    if (__builtin_mul_overflow(each, n->batches * n->classes, &room) || room > OP_BYTES_MAX / 24)
        return no_room(c, n, e);
    int64_t(*found)[3] = arena_push_raw(c->scratch, room * sizeof *found, _Alignof(int64_t));
    size_t at = 0, count;
    if (!r.boxes || !r.work || !r.kept || !found) return no_room(c, n, e);
    for (size_t b = 0; b < n->batches && each; b++) {
        const float *from = (const float *)c->in[IN_BOXES]->data + b * n->boxes * 4;
        for (size_t i = 0; i < n->boxes; i++) r.boxes[i] = box_read(n, from + 4 * i);
        for (size_t k = 0; k < n->classes; k++) {
            const float *scores = (const float *)c->in[IN_SCORES]->data + (b * n->classes + k) * n->boxes;
            err_code rc = suppress(n, &r, scores, &count, e);
            if (rc) return rc;
            for (size_t i = 0; i < count; i++, at++) {
                found[at][0] = (int64_t)b;
                found[at][1] = (int64_t)k;
                found[at][2] = r.kept[i];
            }
        }
    }
    *ret = at ? found[0] : NULL;
    *ret_count = at;
    return ERR_OK;
}

static err_code nms_run(op_call *c, err *e)
{
    nms n = nms_read(c);
    int64_t *found;
    size_t count;
    if (!(n.overlap_max >= 0 && n.overlap_max <= 1))
        return op_err(c, e, ERR_INVALID, "iou_threshold: expected 0 to 1, got %g", (double)n.overlap_max);
    err_code rc = nms_all(c, &n, &found, &count, e);
    if (rc) return rc;
    shape s = shape_make(2, (const int64_t[]){(int64_t)count, 3});
    rc = op_alloc(c, 0, DT_I64, &s, e);
    if (!rc && count && c->out[0]) memcpy(c->out[0]->data, found, count * 3 * sizeof *found);
    return rc;
}

/* ---- CenterCropPad ---------------------------------------------------------------------------------------------- */

static err_code crop_shape(op_call *c, shape *ret, err *e)
{
    const shape *x = &c->in[0]->shape;
    op_ints axes, sizes;
    err_code rc = op_rank(c, 1, 1, 1, e);
    if (!rc) rc = op_axes_of(c, UINT32_MAX, "axes", x->rank, &axes, e);
    if (!rc) rc = op_ints_of(c, 1, NULL, &sizes, e);
    if (rc) return rc;
    bool all = !node_attr(c->node, "axes");
    if (all) axes.count = x->rank;
    if (sizes.count != axes.count)
        return op_err(c, e, ERR_INVALID, "shape: expected %u sizes, got %u", axes.count, sizes.count);
    *ret = *x;
    for (uint32_t i = 0; i < axes.count; i++) ret->dim[all ? i : axes.at[i]] = sizes.at[i];
    return ERR_OK;
}

static err_code crop_infer(op_call *c, err *e)
{
    shape s;
    if (!op_known(c, 1)) return op_later(c, 1);
    if (dtype_bits(c->in[0]->type) < 8)
        return op_err(c, e, ERR_UNSUPPORTED, "%s is not supported", dtype_name(c->in[0]->type));
    err_code rc = op_type(c, 1, T1(DT_I32) | T1(DT_I64), e);
    if (!rc) rc = crop_shape(c, &s, e);
    return rc ? rc : op_set(c, 0, c->in[0]->type, &s, e);
}

/* Copies the rows that input and output share; of an odd difference one more is cut or filled at the end. */
static err_code crop_run(op_call *c, err *e)
{
    (void)e;
    const shape *x = &c->in[0]->shape, *y = &c->out[0]->shape;
    size_t size = dtype_bits(c->in[0]->type) / 8, run = size, from = 0, to = 0;
    view in = view_of(x), out = view_of(y);
    if (tensor_count(c->out[0]) == 0) return ERR_OK;
    memset(c->out[0]->data, 0, tensor_bytes(c->out[0]));
    for (uint32_t d = 0; d < x->rank; d++) {
        int64_t less = (x->dim[d] - y->dim[d]) / 2, more = (y->dim[d] - x->dim[d]) / 2;
        from += less > 0 ? (size_t)(less * in.stride[d]) : 0;
        to += more > 0 ? (size_t)(more * out.stride[d]) : 0;
        in.dim[d] = x->dim[d] < y->dim[d] ? x->dim[d] : y->dim[d];
    }
    uint64_t rows = 1;
    for (uint32_t d = 0; d < x->rank; d++) rows *= (uint64_t)in.dim[d];
    if (rows == 0) return ERR_OK;
    if (x->rank) {
        run *= (size_t)in.dim[x->rank - 1];
        rows /= (uint64_t)in.dim[x->rank - 1];
    }
    for (uint64_t r = 0; r < rows; r++) {
        size_t a = from, b = to;
        uint64_t rest = r;
        for (uint32_t d = x->rank > 0 ? x->rank - 1 : 0; d-- > 0;) {
            uint64_t k = rest % (uint64_t)in.dim[d];
            rest /= (uint64_t)in.dim[d];
            a += (size_t)k * (size_t)in.stride[d];
            b += (size_t)k * (size_t)out.stride[d];
        }
        memcpy((char *)c->out[0]->data + b * size, (const char *)c->in[0]->data + a * size, run);
    }
    return ERR_OK;
}

#define ROW(n, version) .name = (n), .domain = "", .since = (version), .out_min = 1, .out_max = 1
const op_row op_rows_vision[] = {
    {ROW("NonMaxSuppression", 10), .flags = OP_RUNTIME, .in_min = 2, .in_max = 5,
     .attrs = {{"center_point_box", ATTR_INT, false}}, .infer = nms_infer, .run = nms_run},
    {ROW("CenterCropPad", 18), .in_min = 2, .in_max = 2, .attrs = {{"axes", ATTR_INTS, false}}, .infer = crop_infer,
     .run = crop_run},
    {0},
};
