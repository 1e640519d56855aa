/* LinearClassifier and LinearRegressor: one product with the coefficients, then the scores' transform. */
#include "engine/features.h"
#include "engine/scores.h"
#include "tensor/gemm.h"

#include <string.h>

typedef struct {
    size_t scores; /* rows of coefficients */
    size_t features;
    const float *coefficients; /* [scores, features] */
    const float *intercepts; /* [scores] or NULL */
    scores how;
    classes labels; /* of a classifier */
    bool pair; /* one score makes the two of a binary classifier */
} linear;

static err_code fit(const op_call *c, const features *x, linear *ret, err *e)
{
    const attr *w = node_attr(c->node, "coefficients"), *b = node_attr(c->node, "intercepts");
    size_t wanted = 0;
    err_code rc = scores_of(&ret->how, c->graph, c->node, e);
    if (rc) return rc;
    if (b && b->count && b->count != ret->scores)
        return op_err(c, e, ERR_INVALID, "intercepts: expected %zu values, got %u", ret->scores, b->count);
    if (__builtin_mul_overflow(ret->scores, x->count, &wanted) || w->count != wanted)
        return op_err(c, e, ERR_INVALID, "coefficients: expected %zu for each of %zu features, got %u", ret->scores,
                      x->count, w->count);
    ret->features = x->count;
    ret->coefficients = w->floats;
    ret->intercepts = b && b->count ? b->floats : NULL;
    return ERR_OK;
}

static err_code classifier_of(const op_call *c, const features *x, linear *ret, err *e)
{
    const attr *b = node_attr(c->node, "intercepts"), *w = node_attr(c->node, "coefficients");
    linear l = {.labels = classes_of(c->node, "classlabels_strings", "classlabels_ints")};
    l.scores = b && b->count ? b->count : x->count ? w->count / x->count : 0;
    l.pair = l.scores == 1 && l.labels.count == 2;
    if (l.scores == 0) return op_err(c, e, ERR_INVALID, "coefficients: expected at least one class");
    if (!l.pair && l.labels.count != l.scores && !(l.scores == 1 && l.labels.count == 0))
        return op_err(c, e, ERR_INVALID, "class labels: expected %zu, got %u", l.scores, l.labels.count);
    err_code rc = fit(c, x, &l, e);
    if (!rc) *ret = l;
    return rc;
}

static err_code regressor_of(const op_call *c, const features *x, linear *ret, err *e)
{
    int64_t targets = node_int(c->node, "targets", 1);
    if (targets < 1 || targets > INT32_MAX)
        return op_err(c, e, ERR_INVALID, "targets: expected 1 or more, got %lld", (long long)targets);
    linear l = {.scores = (size_t)targets};
    err_code rc = fit(c, x, &l, e);
    if (!rc) *ret = l;
    return rc;
}

static err_code product(op_call *c, const features *x, const linear *l, float *y, err *e)
{
    gemm_call g = {.batch = 1,
                   .m = x->rows,
                   .n = l->scores,
                   .k = x->count,
                   .a = {.data = x->at, .row = x->count, .column = 1},
                   .b = {.data = l->coefficients, .row = 1, .column = x->count},
                   .c_row = l->scores,
                   .alpha = 1,
                   .bias_column = l->intercepts};
    g.c = y;
    return gemm_f32(&g, c->k, c->pool, c->scratch, e);
}

/* Room for the product, and for one row of it in double. */
static err_code rooms(op_call *c, const features *x, const linear *l, float **ret_product, double **ret_row, err *e)
{
    size_t bytes;
    float *y = NULL;
    double *row = arena_push_raw(c->scratch, (l->scores + 1) * sizeof *row, _Alignof(double));
    if (!__builtin_mul_overflow(x->rows * sizeof *y, l->scores, &bytes))
        y = arena_push_raw(c->scratch, bytes, MEM_ALIGN);
    if (!y || !row)
        return op_err(c, e, ERR_LIMIT, "no memory for %zu scores of %zu rows", l->scores, x->rows);
    *ret_product = y;
    *ret_row = row;
    return ERR_OK;
}

/* ---- LinearClassifier ------------------------------------------------------------------------------------------- */

static err_code classifier_infer(op_call *c, err *e)
{
    features x;
    linear l;
    err_code rc = features_shape(&x, c, e);
    if (!rc) rc = classifier_of(c, &x, &l, e);
    if (rc) return rc;
    shape rows = shape_make(1, (const int64_t[]){(int64_t)x.rows}),
          all = shape_make(2, (const int64_t[]){(int64_t)x.rows, l.pair ? 2 : (int64_t)l.scores});
    rc = op_set(c, 0, classes_type(&l.labels), &rows, e);
    return rc ? rc : op_set(c, 1, DT_F32, &all, e);
}

/* The label of a row is chosen before the transform. */
static void classify(op_call *c, const linear *l, size_t r, double *row)
{
    bool single = l->scores == 1;
    size_t best = single ? row[0] > 0 : scores_best(row, l->scores), out = l->pair ? 2 : l->scores;
    tensor *labels = c->out[0], *all = c->out_count > 1 ? c->out[1] : NULL;
    if (labels) classes_put(&l->labels, labels, r, single && !l->pair ? 0 : best, (int64_t)best);
    if (!all) return;
    if (l->pair)
        scores_pair(l->how, true, row[0], row);
    else
        scores_apply(l->how, row, l->scores);
    for (size_t i = 0; i < out; i++) ((float *)all->data)[r * out + i] = (float)row[i];
}

static err_code classifier_run(op_call *c, err *e)
{
    features x;
    linear l;
    float *y;
    double *row;
    err_code rc = features_of(&x, c, e);
    if (!rc) rc = classifier_of(c, &x, &l, e);
    if (!rc) rc = rooms(c, &x, &l, &y, &row, e);
    if (!rc) rc = product(c, &x, &l, y, e);
    if (rc) return rc;
    for (size_t r = 0; r < x.rows; r++) {
        for (size_t i = 0; i < l.scores; i++) row[i] = (double)y[r * l.scores + i];
        classify(c, &l, r, row);
    }
    return ERR_OK;
}

/* ---- LinearRegressor -------------------------------------------------------------------------------------------- */

static err_code regressor_infer(op_call *c, err *e)
{
    features x;
    linear l;
    err_code rc = features_shape(&x, c, e);
    if (!rc) rc = regressor_of(c, &x, &l, e);
    if (rc) return rc;
    shape s = shape_make(2, (const int64_t[]){(int64_t)x.rows, (int64_t)l.scores});
    return op_set(c, 0, DT_F32, &s, e);
}

static err_code regressor_run(op_call *c, err *e)
{
    features x;
    linear l;
    float *y = c->out[0]->data;
    err_code rc = features_of(&x, c, e);
    if (!rc) rc = regressor_of(c, &x, &l, e);
    if (!rc) rc = product(c, &x, &l, y, e);
    if (rc || l.how == SCORES_NONE) return rc;
    double *row = arena_new(c->scratch, double, l.scores);
    if (!row) return op_err(c, e, ERR_LIMIT, "no memory for %zu scores", l.scores);
    for (size_t r = 0; r < x.rows; r++, y += l.scores) {
        for (size_t i = 0; i < l.scores; i++) row[i] = (double)y[i];
        scores_apply(l.how, row, l.scores);
        for (size_t i = 0; i < l.scores; i++) y[i] = (float)row[i];
    }
    return ERR_OK;
}

const op_row op_rows_linear[] = {
    {.name = "LinearClassifier",
     .domain = "ai.onnx.ml",
     .since = 1,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 2,
     .attrs = {{"coefficients", ATTR_FLOATS, true},
               {"intercepts", ATTR_FLOATS, false},
               {"classlabels_ints", ATTR_INTS, false},
               {"classlabels_strings", ATTR_STRINGS, false},
               {"multi_class", ATTR_INT, false},
               {"post_transform", ATTR_STRING, false}},
     .infer = classifier_infer,
     .run = classifier_run},
    {.name = "LinearRegressor",
     .domain = "ai.onnx.ml",
     .since = 1,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"coefficients", ATTR_FLOATS, true},
               {"intercepts", ATTR_FLOATS, false},
               {"targets", ATTR_INT, false},
               {"post_transform", ATTR_STRING, false}},
     .infer = regressor_infer,
     .run = regressor_run},
    {0},
};
