/* Operators of ai.onnx.ml that prepare features: ArrayFeatureExtractor, Binarizer, FeatureVectorizer, Imputer,
 * Normalizer and Scaler. */
#include "engine/features.h"

#include <math.h>
#include <string.h>

/* ---- ArrayFeatureExtractor: picks columns of the last axis ------------------------------------------------------ */

static err_code extract_infer(op_call *c, err *e)
{
    err_code rc = op_rank(c, 0, 1, TENSOR_RANK_MAX, e);
    if (!rc) rc = op_type(c, 0, T_NUMBER | T1(DT_STRING) | T1(DT_BOOL), e);
    if (!rc) rc = op_type(c, 1, T1(DT_I64), e);
    if (rc) return rc;
    uint64_t picked = tensor_count(c->in[1]);
    if (picked == 0 || picked > INT64_MAX) return op_err(c, e, ERR_INVALID, "indices: expected at least 1, got 0");
    /* A vector counts as one row, as in every runtime that has this operator. */
    shape s = c->in[0]->shape;
    if (s.rank == 1) s = shape_make(2, (const int64_t[]){1, s.dim[0]});
    s.dim[s.rank - 1] = (int64_t)picked;
    return op_set(c, 0, c->in[0]->type, &s, e);
}

static err_code extract_run(op_call *c, err *e)
{
    const tensor *x = c->in[0];
    const int64_t *at = c->in[1]->data;
    size_t size = dtype_bits(x->type) / 8, length = (size_t)x->shape.dim[x->shape.rank - 1];
    size_t rows = (size_t)shape_count_range(&x->shape, 0, x->shape.rank - 1), n = (size_t)tensor_count(c->in[1]);
    for (size_t i = 0; i < n; i++) {
        if (at[i] < 0 || (uint64_t)at[i] >= length)
            return op_err(c, e, ERR_INVALID, "indices[%zu]: expected 0..%lld, got %lld", i, (long long)length - 1,
                          (long long)at[i]);
    }
    for (size_t r = 0; r < rows; r++) {
        const char *from = (const char *)x->data + r * length * size;
        char *to = (char *)c->out[0]->data + r * n * size;
        for (size_t i = 0; i < n; i++) memcpy(to + i * size, from + (size_t)at[i] * size, size);
    }
    return ERR_OK;
}

/* ---- Binarizer -------------------------------------------------------------------------------------------------- */

static err_code binarizer_infer(op_call *c, err *e)
{
    err_code rc = op_type(c, 0, T_FEATURE, e);
    return rc ? rc : op_same(c, e);
}

static err_code binarizer_run(op_call *c, err *e)
{
    (void)e;
    const tensor *x = c->in[0];
    float threshold = node_float(c->node, "threshold", 0);
    uint64_t n = tensor_count(x);
    if (x->type == DT_F32) {
        const float *from = x->data;
        float *to = c->out[0]->data;
        for (uint64_t i = 0; i < n; i++) to[i] = from[i] > threshold ? 1 : 0;
        return ERR_OK;
    }
    for (uint64_t i = 0; i < n; i++) tensor_put_f64(c->out[0], i, tensor_f64(x, i) > (double)threshold ? 1 : 0);
    return ERR_OK;
}

/* ---- Normalizer ------------------------------------------------------------------------------------------------- */

typedef enum { NORM_MAX, NORM_L1, NORM_L2 } norm;

static err_code norm_of(const op_call *c, norm *ret, err *e)
{
    static const char *const names[] = {"MAX", "L1", "L2"};
    str name = node_str(c->node, "norm", STR("MAX"));
    for (size_t i = 0; i < COUNTOF(names); i++) {
        if (!str_is(name, names[i])) continue;
        *ret = (norm)i;
        return ERR_OK;
    }
    return op_err(c, e, ERR_INVALID, "norm: expected MAX, L1 or L2, got '" STR_FMT "'", STR_ARG(name));
}

static err_code normalizer_infer(op_call *c, err *e)
{
    features x;
    norm kind;
    err_code rc = features_shape(&x, c, e);
    if (!rc) rc = norm_of(c, &kind, e);
    return rc ? rc : op_set(c, 0, DT_F32, &c->in[0]->shape, e);
}

static double norm_find(norm kind, const float *x, size_t n)
{
    double sum = 0, max = -(double)INFINITY;
    for (size_t i = 0; i < n; i++) {
        double v = (double)x[i];
        max = v > max ? v : max;
        sum += kind == NORM_L1 ? fabs(v) : v * v;
    }
    return kind == NORM_MAX ? max : kind == NORM_L1 ? sum : sqrt(sum);
}

static err_code normalizer_run(op_call *c, err *e)
{
    features x;
    norm kind;
    err_code rc = features_of(&x, c, e);
    if (!rc) rc = norm_of(c, &kind, e);
    if (rc) return rc;
    for (size_t r = 0; r < x.rows; r++) {
        const float *from = x.at + r * x.count;
        float *to = (float *)c->out[0]->data + r * x.count;
        double by = norm_find(kind, from, x.count);
        if (by == 0) by = 1;
        for (size_t i = 0; i < x.count; i++) to[i] = (float)((double)from[i] / by);
    }
    return ERR_OK;
}

/* ---- Scaler ----------------------------------------------------------------------------------------------------- */

/* A list of one value for all features, or of one for each; left out, `otherwise` for all. */
typedef struct {
    const float *at;
    size_t step;
} per_feature;

static err_code per_feature_of(const op_call *c, const char *name, const float *otherwise, size_t count,
                               per_feature *ret, err *e)
{
    const attr *a = node_attr(c->node, name);
    if (a && a->count != 1 && a->count != count)
        return op_err(c, e, ERR_INVALID, "%s: expected 1 or %zu values, got %u", name, count, a->count);
    *ret = (per_feature){a ? a->floats : otherwise, a && a->count > 1};
    return ERR_OK;
}

static err_code scaler_lists(const op_call *c, size_t count, per_feature *ret_offset, per_feature *ret_scale, err *e)
{
    static const float zero = 0, one = 1;
    err_code rc = per_feature_of(c, "offset", &zero, count, ret_offset, e);
    return rc ? rc : per_feature_of(c, "scale", &one, count, ret_scale, e);
}

static err_code scaler_infer(op_call *c, err *e)
{
    features x;
    per_feature offset, scale;
    err_code rc = features_shape(&x, c, e);
    if (!rc) rc = scaler_lists(c, x.count, &offset, &scale, e);
    return rc ? rc : op_set(c, 0, DT_F32, &c->in[0]->shape, e);
}

static err_code scaler_run(op_call *c, err *e)
{
    features x;
    per_feature offset, scale;
    err_code rc = features_of(&x, c, e);
    if (!rc) rc = scaler_lists(c, x.count, &offset, &scale, e);
    if (rc) return rc;
    float *to = c->out[0]->data;
    for (size_t r = 0; r < x.rows; r++) {
        const float *from = x.at + r * x.count;
        for (size_t i = 0; i < x.count; i++) *to++ = (from[i] - offset.at[i * offset.step]) * scale.at[i * scale.step];
    }
    return ERR_OK;
}

/* ---- Imputer ---------------------------------------------------------------------------------------------------- */

static const attr *imputed(const op_call *c)
{
    bool real = dtype_kind_of(c->in[0]->type) == KIND_FLOAT;
    return node_attr(c->node, real ? "imputed_value_floats" : "imputed_value_int64s");
}

static err_code imputer_infer(op_call *c, err *e)
{
    features x;
    err_code rc = features_shape(&x, c, e);
    if (rc) return rc;
    const attr *values = imputed(c);
    uint32_t got = values ? values->count : 0;
    if (got != 1 && got != x.count)
        return op_err(c, e, ERR_INVALID, "values for %s: expected 1 or %zu, got %u", dtype_name(c->in[0]->type),
                      x.count, got);
    return op_same(c, e);
}

static err_code imputer_run(op_call *c, err *e)
{
    (void)e;
    const tensor *x = c->in[0];
    tensor *y = c->out[0];
    const attr *values = imputed(c);
    uint64_t n = tensor_count(x), count = (uint64_t)x->shape.dim[x->shape.rank - 1];
    double hole = (double)node_float(c->node, "replaced_value_float", 0);
    int64_t whole_hole = node_int(c->node, "replaced_value_int64", 0);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t k = values->count > 1 ? i % count : 0;
        if (values->kind == ATTR_INTS) {
            int64_t v = tensor_int(x, i);
            tensor_put_int(y, i, v == whole_hole ? values->ints[k] : v);
        } else {
            double v = tensor_f64(x, i);
            tensor_put_f64(y, i, v == hole || (isnan(v) && isnan(hole)) ? (double)values->floats[k] : v);
        }
    }
    return ERR_OK;
}

/* ---- FeatureVectorizer: concatenates, each input cut or filled with zeros to its declared size ------------------- */

static size_t rows_of(const tensor *t) { return t->shape.rank == 1 ? 1 : (size_t)t->shape.dim[0]; }

static int64_t width_of(const op_call *c, uint32_t i)
{
    uint32_t count;
    const int64_t *wanted = node_ints(c->node, "inputdimensions", &count);
    const shape *s = &c->in[i]->shape;
    return wanted ? wanted[i] : s->dim[s->rank - 1];
}

static err_code vectorizer_infer(op_call *c, err *e)
{
    uint32_t count;
    int64_t width = 0;
    if (node_ints(c->node, "inputdimensions", &count) && count != c->in_count)
        return op_err(c, e, ERR_INVALID, "inputdimensions: expected %u values, got %u", c->in_count, count);
    for (uint32_t i = 0; i < c->in_count; i++) {
        if (!c->in[i]) return op_err(c, e, ERR_INVALID, "input %u: expected a value, got none", i);
        err_code rc = op_type(c, i, T_FEATURE, e);
        if (!rc) rc = op_rank(c, i, 1, 2, e);
        if (rc) return rc;
        if (rows_of(c->in[i]) != rows_of(c->in[0]))
            return op_err(c, e, ERR_INVALID, "input %u: expected %zu rows, got %zu", i, rows_of(c->in[0]),
                          rows_of(c->in[i]));
        if (width_of(c, i) < 0 || __builtin_add_overflow(width, width_of(c, i), &width))
            return op_err(c, e, ERR_INVALID, "inputdimensions: expected sizes, got %lld", (long long)width_of(c, i));
    }
    shape s = shape_make(2, (const int64_t[]){(int64_t)rows_of(c->in[0]), width});
    return op_set(c, 0, DT_F32, &s, e);
}

static err_code vectorizer_run(op_call *c, err *e)
{
    (void)e;
    size_t rows = (size_t)c->out[0]->shape.dim[0], width = (size_t)c->out[0]->shape.dim[1], at = 0;
    for (uint32_t i = 0; i < c->in_count; i++) {
        const tensor *t = c->in[i];
        size_t wanted = (size_t)width_of(c, i), has = (size_t)t->shape.dim[t->shape.rank - 1];
        for (size_t r = 0; r < rows; r++) {
            float *to = (float *)c->out[0]->data + r * width + at;
            for (size_t k = 0; k < wanted; k++)
                to[k] = k >= has            ? 0
                        : t->type == DT_F32 ? ((const float *)t->data)[r * has + k]
                                            : (float)tensor_f64(t, r * has + k);
        }
        at += wanted;
    }
    return ERR_OK;
}

#define ROW(n) .name = (n), .domain = "ai.onnx.ml", .since = 1, .in_min = 1, .in_max = 1, .out_min = 1, .out_max = 1
const op_row op_rows_ml[] = {
    {.name = "ArrayFeatureExtractor",
     .domain = "ai.onnx.ml",
     .since = 1,
     .in_min = 2,
     .in_max = 2,
     .out_min = 1,
     .out_max = 1,
     .infer = extract_infer,
     .run = extract_run},
    {ROW("Binarizer"), .flags = OP_INPLACE, .attrs = {{"threshold", ATTR_FLOAT, false}}, .infer = binarizer_infer,
     .run = binarizer_run},
    {ROW("Normalizer"), .attrs = {{"norm", ATTR_STRING, false}}, .infer = normalizer_infer, .run = normalizer_run},
    {ROW("Scaler"), .attrs = {{"offset", ATTR_FLOATS, false}, {"scale", ATTR_FLOATS, false}}, .infer = scaler_infer,
     .run = scaler_run},
    {ROW("Imputer"), .flags = OP_INPLACE,
     .attrs = {{"imputed_value_floats", ATTR_FLOATS, false},
               {"imputed_value_int64s", ATTR_INTS, false},
               {"replaced_value_float", ATTR_FLOAT, false},
               {"replaced_value_int64", ATTR_INT, false}},
     .infer = imputer_infer, .run = imputer_run},
    {.name = "FeatureVectorizer",
     .domain = "ai.onnx.ml",
     .since = 1,
     .in_min = 1,
     .in_max = OP_ANY,
     .out_min = 1,
     .out_max = 1,
     .attrs = {{"inputdimensions", ATTR_INTS, false}},
     .infer = vectorizer_infer,
     .run = vectorizer_run},
    {0},
};
