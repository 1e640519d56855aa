/* SVMClassifier and SVMRegressor: kernels against the support vectors, then (libsvm) one vote for each pair of classes
 * or (liblinear) one score for each class.
 *
 * coefficients of a classifier are [classes - 1, vectors]; vectors lie class after class.  For i < j the decision
 * between class i and class j sums row j - 1 over the vectors of i and row i over those of j. */
#include "engine/features.h"
#include "engine/scores.h"
#include "tensor/gemm.h"

#include <math.h>
#include <string.h>

typedef enum { SVM_LINEAR, SVM_POLY, SVM_RBF, SVM_SIGMOID } svm_kernel;
enum { CLASSES_MAX = 65535 };

typedef struct {
    svm_kernel kernel;
    double gamma, offset, degree;
    size_t vectors, features; /* no vectors: the coefficients are one vector for each score */
    const float *support; /* [vectors, features] */
    const float *coefficients, *rho, *prob_a, *prob_b;
    uint32_t coefficient_count, rho_count, prob_count;
    scores how;
    classes labels;
    size_t pairs; /* of classes */
    const int64_t *per_class; /* [classes] vectors of each */
} svm;

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static const float *floats(const node *n, const char *name, uint32_t *ret_count)
{
    const attr *a = node_attr(n, name);
    *ret_count = a ? a->count : 0;
    return a ? a->floats : NULL;
}

static err_code kernel_of(const op_call *c, svm *s, err *e)
{
    static const char *const names[] = {"LINEAR", "POLY", "RBF", "SIGMOID"};
    str name = node_str(c->node, "kernel_type", STR("LINEAR"));
    uint32_t count;
    const float *p = floats(c->node, "kernel_params", &count);
    if (count && count != 3)
        return op_err(c, e, ERR_INVALID, "kernel_params: expected gamma, coef0 and degree, got %u values", count);
    if (count) {
        s->gamma = (double)p[0];
        s->offset = (double)p[1];
        s->degree = (double)p[2];
    }
    for (size_t i = 0; i < COUNTOF(names); i++) {
        if (!str_is(name, names[i])) continue;
        s->kernel = (svm_kernel)i;
        return ERR_OK;
    }
    return op_err(c, e, ERR_INVALID, "kernel_type: expected LINEAR, POLY, RBF or SIGMOID, got '" STR_FMT "'",
                  STR_ARG(name));
}

/* Attributes that both operators have; `vectors` is set, `linear` is how many scores there are without vectors. */
static err_code common_of(const op_call *c, const features *x, size_t linear, svm *s, err *e)
{
    uint32_t support = 0;
    size_t wanted;
    err_code rc = kernel_of(c, s, e);
    if (!rc) rc = scores_of(&s->how, c->graph, c->node, e);
    if (rc) return rc;
    s->features = x->count;
    s->coefficients = floats(c->node, "coefficients", &s->coefficient_count);
    s->rho = floats(c->node, "rho", &s->rho_count);
    s->support = floats(c->node, "support_vectors", &support);
    if (s->vectors == 0) s->kernel = SVM_LINEAR;
    if (__builtin_mul_overflow(s->vectors ? s->vectors : linear, x->count, &wanted) ||
        wanted != (s->vectors ? support : s->coefficient_count))
        return op_err(c, e, ERR_INVALID, "%s: expected %zu of %zu features, got %u values",
                      s->vectors ? "support_vectors" : "coefficients", s->vectors ? s->vectors : linear, x->count,
                      s->vectors ? support : s->coefficient_count);
    if (s->rho_count == 0) return op_err(c, e, ERR_INVALID, "rho: expected at least one value");
    return ERR_OK;
}

/* Lists of libsvm: as many as the classes and their pairs ask for. */
static err_code votes_check(const op_call *c, const svm *s, err *e)
{
    uint32_t a, b;
    size_t rows = s->labels.count - 1u, wanted;
    (void)floats(c->node, "prob_a", &a);
    (void)floats(c->node, "prob_b", &b);
    if (s->labels.count < 2)
        return op_err(c, e, ERR_INVALID, "class labels: expected 2 or more, got %u", s->labels.count);
    if (__builtin_mul_overflow(rows, s->vectors, &wanted) || s->coefficient_count < wanted)
        return op_err(c, e, ERR_INVALID, "coefficients: expected %zu of %zu vectors, got %u values", rows, s->vectors,
                      s->coefficient_count);
    if (s->rho_count < s->pairs)
        return op_err(c, e, ERR_INVALID, "rho: expected %zu values, got %u", s->pairs, s->rho_count);
    if (a != b || (a && a < s->pairs))
        return op_err(c, e, ERR_INVALID, "prob_a, prob_b: expected %zu values each or none, got %u and %u", s->pairs, a,
                      b);
    return ERR_OK;
}

static err_code classifier_of(const op_call *c, const features *x, svm *ret, err *e)
{
    uint32_t groups;
    const int64_t *per_class = node_ints(c->node, "vectors_per_class", &groups);
    svm s = {.labels = classes_of(c->node, "classlabels_strings", "classlabels_ints"), .per_class = per_class};
    if (s.labels.count == 0 || s.labels.count > CLASSES_MAX)
        return op_err(c, e, ERR_INVALID, "class labels: expected 1 to %d, got %u", CLASSES_MAX, s.labels.count);
    if (groups && groups != s.labels.count)
        return op_err(c, e, ERR_INVALID, "vectors_per_class: expected %u values, got %u", s.labels.count, groups);
    for (uint32_t i = 0; i < groups; i++) {
        if (per_class[i] < 0 || __builtin_add_overflow(s.vectors, (size_t)per_class[i], &s.vectors))
            return op_err(c, e, ERR_INVALID, "vectors_per_class[%u]: expected 0 or more, got %lld", i,
                          (long long)per_class[i]);
    }
    s.pairs = (size_t)s.labels.count * (s.labels.count - 1) / 2;
    s.prob_a = floats(c->node, "prob_a", &s.prob_count);
    s.prob_b = floats(c->node, "prob_b", &s.prob_count);
    err_code rc = common_of(c, x, s.labels.count, &s, e);
    if (!rc && s.vectors) rc = votes_check(c, &s, e);
    if (!rc) *ret = s;
    return rc;
}

static err_code regressor_of(const op_call *c, const features *x, svm *ret, err *e)
{
    int64_t vectors = node_int(c->node, "n_supports", 0);
    svm s = {0};
    if (vectors < 0) return op_err(c, e, ERR_INVALID, "n_supports: expected 0 or more, got %lld", (long long)vectors);
    s.vectors = (size_t)vectors;
    err_code rc = common_of(c, x, 1, &s, e);
    if (!rc && s.vectors && s.coefficient_count < s.vectors)
        rc = op_err(c, e, ERR_INVALID, "coefficients: expected %zu, got %u", s.vectors, s.coefficient_count);
    if (!rc) *ret = s;
    return rc;
}

/* ---- kernels ---------------------------------------------------------------------------------------------------- */

/* Squared distances: a difference is squared as it stands, because |a|^2 - 2ab + |b|^2 would lose what is small. */
static void rbf(const svm *s, const features *x, float *y)
{
    for (size_t r = 0; r < x->rows; r++) {
        for (size_t v = 0; v < s->vectors; v++) {
            const float *a = x->at + r * x->count, *b = s->support + v * x->count;
            float sum = 0;
            for (size_t i = 0; i < x->count; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
            y[r * s->vectors + v] = (float)exp(-s->gamma * (double)sum);
        }
    }
}

/* y[rows, n] = kernel of each row of x with each of the n vectors of b. */
static err_code kernels(op_call *c, const svm *s, const features *x, const float *b, size_t n, float *y, err *e)
{
    if (s->kernel == SVM_RBF) {
        rbf(s, x, y);
        return ERR_OK;
    }
    gemm_call g = {.batch = 1,
                   .m = x->rows,
                   .n = n,
                   .k = x->count,
                   .a = {.data = x->at, .row = x->count, .column = 1},
                   .b = {.data = b, .row = 1, .column = x->count},
                   .c = y,
                   .c_row = n,
                   .alpha = s->kernel == SVM_LINEAR ? 1 : (float)s->gamma};
    err_code rc = gemm_f32(&g, c->k, c->pool, c->scratch, e);
    for (size_t i = 0; i < x->rows * n && s->kernel != SVM_LINEAR && !rc; i++) {
        double v = (double)y[i] + s->offset;
        y[i] = (float)(s->kernel == SVM_POLY ? pow(v, s->degree) : tanh(v));
    }
    return rc;
}

/* The kernels of all rows with all vectors, or without vectors one product for each of `linear` scores. */
static err_code products(op_call *c, const svm *s, const features *x, size_t linear, float **ret, err *e)
{
    size_t n = s->vectors ? s->vectors : linear, count;
    float *y = NULL;
    if (!__builtin_mul_overflow(x->rows * sizeof *y, n, &count)) y = arena_push_raw(c->scratch, count, MEM_ALIGN);
    if (!y) return op_err(c, e, ERR_LIMIT, "no memory for %zu kernels of %zu rows", n, x->rows);
    *ret = y;
    return kernels(c, s, x, s->vectors ? s->support : s->coefficients, n, y, e);
}

/* ---- SVMClassifier ---------------------------------------------------------------------------------------------- */

/* What a row is worked out in. */
typedef struct {
    double *scores; /* [pairs or classes] */
    double *p, *q, *qp; /* probabilities [classes, classes], [classes, classes], [classes] */
    uint32_t *votes; /* [classes] */
} svm_room;

static size_t scores_out(const svm *s)
{
    if (s->vectors == 0 || s->prob_count) return s->labels.count;
    return s->labels.count > 2 ? s->pairs : 2;
}

static err_code room_make(op_call *c, const svm *s, svm_room *ret, err *e)
{
    size_t n = s->labels.count, square = s->prob_count && s->vectors ? n * n : 1;
    *ret = (svm_room){arena_new(c->scratch, double, s->pairs + n + 1), arena_new(c->scratch, double, square),
                      arena_new(c->scratch, double, square), arena_new(c->scratch, double, n),
                      arena_new(c->scratch, uint32_t, n)};
    if (ret->scores && ret->p && ret->q && ret->qp && ret->votes) return ERR_OK;
    return op_err(c, e, ERR_LIMIT, "no memory for the scores of %zu classes", n);
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

/* A decision for each pair; the winner of each gets a vote.  k: the row's kernels. */
static void decide(const svm *s, const float *k, svm_room *w)
{
    size_t n = s->labels.count, pair = 0, at_i = 0;
    memset(w->votes, 0, n * sizeof *w->votes);
    for (size_t i = 0; i + 1 < n; at_i += (size_t)s->per_class[i++]) {
        size_t at_j = at_i + (size_t)s->per_class[i];
        for (size_t j = i + 1; j < n; at_j += (size_t)s->per_class[j++]) {
            double sum = dot(s->coefficients + (j - 1) * s->vectors + at_i, k + at_i, (size_t)s->per_class[i]) +
                         dot(s->coefficients + i * s->vectors + at_j, k + at_j, (size_t)s->per_class[j]) +
                         (double)s->rho[pair];
            w->scores[pair++] = sum;
            w->votes[sum > 0 ? i : j]++;
        }
    }
}

/* Probabilities p of n classes that agree best with those of the pairs, r[i, j] = P(i | i or j): the second method of
 * Wu, Lin and Weng, "Probability estimates for multi-class classification by pairwise coupling", as libsvm has it. */
static void couple(size_t n, const double *r, double *q, double *qp, double *p)
{
    enum { ROUNDS_MAX = 100 };
    double enough = 0.005 / (double)n;
    for (size_t i = 0; i < n; i++) {
        p[i] = 1 / (double)n;
        q[i * n + i] = 0;
        for (size_t j = 0; j < n; j++) {
            if (j == i) continue;
            q[i * n + i] += r[j * n + i] * r[j * n + i];
            q[i * n + j] = -r[j * n + i] * r[i * n + j];
        }
    }
    for (int round = 0; round < ROUNDS_MAX; round++) {
        double pqp = 0, worst = 0;
        for (size_t i = 0; i < n; i++) {
            qp[i] = 0;
            for (size_t j = 0; j < n; j++) qp[i] += q[i * n + j] * p[j];
            pqp += p[i] * qp[i];
        }
        for (size_t i = 0; i < n; i++) worst = fmax(worst, fabs(qp[i] - pqp));
        if (worst < enough) return;
        for (size_t i = 0; i < n; i++) {
            double by = (pqp - qp[i]) / q[i * n + i], whole = 1 + by;
            p[i] += by;
            pqp = (pqp + by * (by * q[i * n + i] + 2 * qp[i])) / whole / whole;
            for (size_t j = 0; j < n; j++) {
                qp[j] = (qp[j] + by * q[i * n + j]) / whole;
                p[j] /= whole;
            }
        }
    }
}

/* From decisions to probabilities of the classes, in w->scores. */
static void probabilities(const svm *s, svm_room *w)
{
    size_t n = s->labels.count, pair = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i + 1; j < n; j++, pair++) {
            double v = 1 - scores_logistic(w->scores[pair] * (double)s->prob_a[pair] + (double)s->prob_b[pair]);
            v = fmin(fmax(v, 1e-7), 1 - 1e-7);
            w->p[i * n + j] = v;
            w->p[j * n + i] = 1 - v;
        }
    }
    couple(n, w->p, w->q, w->qp, w->scores);
}

static size_t most_votes(const uint32_t *votes, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (votes[i] > votes[best]) best = i;
    }
    return best;
}

/* Without votes the largest score wins; of two classes the second where it is over the line, which is at 0.5 when no
 * coefficient is negative (ONNX Runtime's rule, which models converted for it rely on). */
static size_t best_linear(const svm *s, const double *row)
{
    size_t n = s->labels.count, best = scores_best(row, n);
    if (n != 2) return best;
    bool positive = true;
    for (uint32_t i = 0; i < s->coefficient_count; i++) positive &= s->coefficients[i] >= 0;
    return row[best] > (positive ? 0.5 : 0) || (positive && row[best] == 0.5) ? 1 : best;
}

static size_t classify(const svm *s, const float *k, svm_room *w, double pair[2])
{
    size_t n = s->labels.count;
    if (s->vectors == 0) {
        for (size_t i = 0; i < n; i++) w->scores[i] = (double)(k[i] + s->rho[0]);
        size_t best = best_linear(s, w->scores);
        scores_apply(s->how, w->scores, n);
        return best;
    }
    decide(s, k, w);
    if (s->prob_count) probabilities(s, w);
    if (n == 2 && !s->prob_count) {
        scores_pair(s->how, s->how != SCORES_NONE, w->scores[0], pair);
        memcpy(w->scores, pair, 2 * sizeof *pair);
    } else {
        scores_apply(s->how, w->scores, scores_out(s));
    }
    return most_votes(w->votes, n);
}

static err_code classifier_infer(op_call *c, err *e)
{
    features x;
    svm s;
    err_code rc = features_shape(&x, c, e);
    if (!rc) rc = classifier_of(c, &x, &s, e);
    if (rc) return rc;
    shape rows = shape_make(1, (const int64_t[]){(int64_t)x.rows}),
          all = shape_make(2, (const int64_t[]){(int64_t)x.rows, (int64_t)scores_out(&s)});
    rc = op_set(c, 0, classes_type(&s.labels), &rows, e);
    return rc ? rc : op_set(c, 1, DT_F32, &all, e);
}

static err_code classifier_run(op_call *c, err *e)
{
    features x;
    svm s;
    svm_room w;
    float *k = NULL;
    err_code rc = features_of(&x, c, e);
    if (!rc) rc = classifier_of(c, &x, &s, e);
    if (!rc) rc = room_make(c, &s, &w, e);
    if (!rc) rc = products(c, &s, &x, s.labels.count, &k, e);
    if (rc) return rc;
    tensor *labels = c->out[0], *all = c->out_count > 1 ? c->out[1] : NULL;
    size_t step = s.vectors ? s.vectors : s.labels.count, out = scores_out(&s);
    for (size_t r = 0; r < x.rows; r++) {
        double pair[2];
        size_t best = classify(&s, k + r * step, &w, pair);
        if (labels) classes_put(&s.labels, labels, r, best, 0);
        for (size_t i = 0; all && i < out; i++) ((float *)all->data)[r * out + i] = (float)w.scores[i];
    }
    return ERR_OK;
}

/* ---- SVMRegressor ----------------------------------------------------------------------------------------------- */

static err_code regressor_infer(op_call *c, err *e)
{
    features x;
    svm s;
    err_code rc = features_shape(&x, c, e);
    if (!rc) rc = regressor_of(c, &x, &s, e);
    if (rc) return rc;
    shape out = shape_make(2, (const int64_t[]){(int64_t)x.rows, 1});
    return op_set(c, 0, DT_F32, &out, e);
}

static err_code regressor_run(op_call *c, err *e)
{
    features x;
    svm s;
    float *k = NULL, *y = c->out[0]->data;
    err_code rc = features_of(&x, c, e);
    if (!rc) rc = regressor_of(c, &x, &s, e);
    if (!rc) rc = products(c, &s, &x, 1, &k, e);
    if (rc) return rc;
    bool one_class = node_int(c->node, "one_class", 0) != 0;
    for (size_t r = 0; r < x.rows; r++) {
        double v = (s.vectors ? dot(s.coefficients, k + r * s.vectors, s.vectors) : (double)k[r]) + (double)s.rho[0];
        scores_apply(s.how, &v, 1);
        y[r] = one_class ? (v > 0 ? 1 : -1) : (float)v;
    }
    return ERR_OK;
}

#define SHARED \
    {"coefficients", ATTR_FLOATS, true}, {"kernel_params", ATTR_FLOATS, false}, {"kernel_type", ATTR_STRING, false}, \
        {"post_transform", ATTR_STRING, false}, {"rho", ATTR_FLOATS, true}, \
    { \
        "support_vectors", ATTR_FLOATS, false \
    }
const op_row op_rows_svm[] = {
    {.name = "SVMClassifier",
     .domain = "ai.onnx.ml",
     .since = 1,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 2,
     .attrs = {SHARED,
               {"classlabels_ints", ATTR_INTS, false},
               {"classlabels_strings", ATTR_STRINGS, false},
               {"prob_a", ATTR_FLOATS, false},
               {"prob_b", ATTR_FLOATS, false},
               {"vectors_per_class", ATTR_INTS, false}},
     .infer = classifier_infer,
     .run = classifier_run},
    {.name = "SVMRegressor",
     .domain = "ai.onnx.ml",
     .since = 1,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = 1,
     .attrs = {SHARED, {"n_supports", ATTR_INT, false}, {"one_class", ATTR_INT, false}},
     .infer = regressor_infer,
     .run = regressor_run},
    {0},
};
