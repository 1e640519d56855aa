#include "engine/batch_axis.h"

#include "engine/plan.h"

#include <stdio.h>
#include <string.h>

/* Made-up numbers of rows: nobody writes 7 or 11 into a model by chance and means the batch in both plans. */
enum { ROWS_FEW = 7, ROWS_MORE = 11, OPEN_STEP = 64 };

/* What a value has to do with the rows. */
typedef enum {
    ROLE_FREE,                   /* nothing: the same whatever is asked */
    ROLE_ROWS,                   /* carries them on `axis`, each as many neighbouring entries as the others */
    ROLE_COUNTED,                /* its elements tell how many there are */
} role_kind;

typedef struct {
    role_kind kind;
    uint32_t axis;
} role;

typedef struct {
    const graph *g;
    const plan *few, *more;
    role *roles;                 /* [values] */
    bool open;                   /* the inputs have open dimensions beside the rows */
} finding;

typedef struct rule rule;
typedef struct {
    const finding *f;
    const node *n;
    const rule *rule;
    uint32_t output, axis;       /* the output that is looked at, and where the plans show its rows */
} asked;

struct rule {
    const char *op;
    bool (*keeps)(const asked *q);   /* the node keeps the rows of this output apart */
    int64_t axis;                    /* the default of attribute 'axis', of operators that have it */
};

/* ---- reading the plans ---------------------------------------------------------------------------------------- */

static const tensor *few_of(const finding *f, value_id v) { return &f->few->values[v].t; }
static const tensor *more_of(const finding *f, value_id v) { return &f->more->values[v].t; }

/* The one dimension that follows the number of rows; false where there is none, or more than one. */
static bool rows_axis(const finding *f, value_id v, uint32_t *ret)
{
    const tensor *a = few_of(f, v), *b = more_of(f, v);
    uint32_t found = 0;
    if (!a->type || a->type != b->type || a->shape.rank != b->shape.rank) return false;
    for (uint32_t d = 0; d < a->shape.rank; d++) {
        int64_t few = a->shape.dim[d], more = b->shape.dim[d];
        if (few == more) continue;
        if (few % ROWS_FEW || few <= 0 || more != few / ROWS_FEW * ROWS_MORE) return false;
        *ret = d;
        found++;
    }
    return found == 1;
}

/* Both plans have computed it. */
static bool known(const finding *f, value_id v)
{
    return f->few->values[v].place == PLACE_KNOWN && f->more->values[v].place == PLACE_KNOWN;
}

static bool same_content(const tensor *a, const tensor *b)
{
    if (a->type != b->type || !shape_eq(&a->shape, &b->shape)) return false;
    uint64_t count = tensor_count(a);
    if (a->data == b->data || count == 0) return true;
    if (a->type != DT_STRING) return memcmp(a->data, b->data, tensor_bytes(a)) == 0;
    const str *left = a->data, *right = b->data;
    for (uint64_t i = 0; i < count; i++) {
        if (!str_eq(left[i], right[i])) return false;
    }
    return true;
}

/* Every row of `t` on `axis` is the first row of `first`. */
static bool rows_alike(const tensor *t, const tensor *first, uint32_t axis, int64_t rows)
{
    if (t->type == DT_STRING || dtype_bits(t->type) < 8) return false;
    size_t size = dtype_bits(t->type) / 8, before = shape_count_range(&t->shape, 0, axis);
    size_t row = size * shape_count_range(&t->shape, axis, t->shape.rank) / (size_t)rows;
    size_t first_stride = size * shape_count_range(&first->shape, axis, first->shape.rank);
    if (row == 0) return true;               /* without a value there is no data to compare */
    const char *at = t->data, *like = first->data;
    for (size_t p = 0; p < before; p++, like += first_stride) {
        for (int64_t i = 0; i < rows; i++, at += row) {
            if (memcmp(at, like, row) != 0) return false;
        }
    }
    return true;
}

static role role_of_known(const finding *f, value_id v)
{
    const tensor *few = few_of(f, v), *more = more_of(f, v);
    uint32_t axis;
    if (same_content(few, more)) return (role){ROLE_FREE, 0};
    if (rows_axis(f, v, &axis) && rows_alike(few, few, axis, ROWS_FEW) && rows_alike(more, few, axis, ROWS_MORE))
        return (role){ROLE_ROWS, axis};
    return (role){ROLE_COUNTED, 0};
}

/* ---- what rules ask ------------------------------------------------------------------------------------------- */

static bool given(const asked *q, uint32_t i) { return i < q->n->in_count && q->n->in[i] != VALUE_NONE; }
static const tensor *input(const asked *q, uint32_t i) { return few_of(q->f, q->n->in[i]); }
static const tensor *output(const asked *q) { return few_of(q->f, q->n->out[q->output]); }
static role role_in(const asked *q, uint32_t i) { return given(q, i) ? q->f->roles[q->n->in[i]] : (role){0}; }
static bool carries(const asked *q, uint32_t i) { return role_in(q, i).kind == ROLE_ROWS; }
static bool carries_on(const asked *q, uint32_t i, uint32_t axis)
{
    return carries(q, i) && role_in(q, i).axis == axis;
}
static bool is_free(const asked *q, uint32_t i) { return role_in(q, i).kind == ROLE_FREE; }

/* Inputs from..to-1 have nothing to do with the rows, or are left out. */
static bool all_free(const asked *q, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to && i < q->n->in_count; i++) {
        if (!is_free(q, i)) return false;
    }
    return true;
}

/* The same for inputs of which only the shape that comes of them counts: the plans have shown it. */
static bool no_rows(const asked *q, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (carries(q, i)) return false;
    }
    return true;
}

/* Input i known before any request, and the same for all; NULL = it is not. */
static const tensor *operand(const asked *q, uint32_t i)
{
    return given(q, i) && is_free(q, i) && known(q->f, q->n->in[i]) ? input(q, i) : NULL;
}

/* Input i, broadcast, adds nothing that differs by row except its own rows. */
static bool lines_up(const asked *q, uint32_t i)
{
    if (!given(q, i)) return true;
    uint32_t rank = input(q, i)->shape.rank, behind = output(q)->shape.rank - q->axis;
    role r = role_in(q, i);
    if (r.kind == ROLE_ROWS) return rank - r.axis == behind;
    return r.kind == ROLE_FREE && (rank < behind || input(q, i)->shape.dim[rank - behind] == 1);
}

/* The attribute 'axis', or the rule's default, of input 0; the rank itself where it lies nowhere. */
static uint32_t axis_at(const asked *q)
{
    int64_t rank = input(q, 0)->shape.rank, axis = node_int(q->n, "axis", q->rule->axis);
    if (axis < 0) axis += rank;
    return axis >= 0 && axis < rank ? (uint32_t)axis : (uint32_t)rank;
}

/* Whether `axis` of `rank` is among the axes of input i or of attribute `name`; `absent` where neither is there.  One
 * that lies nowhere, which only a run refuses, is not known to be another. */
static bool touches(const asked *q, uint32_t i, const char *name, uint32_t axis, uint32_t rank, bool absent)
{
    uint32_t count = 0;
    const int64_t *ints = node_ints(q->n, name, &count);
    const tensor *t = operand(q, i);
    if (given(q, i) && !t) return true;
    if (t) count = (uint32_t)tensor_count(t);
    if (count == 0) return absent;
    for (uint32_t a = 0; a < count; a++) {
        int64_t at = t ? tensor_int(t, a) : ints[a];
        if (at < 0) at += rank;
        if (at == axis || at < 0 || at >= rank) return true;
    }
    return false;
}

/* ---- the rules ------------------------------------------------------------------------------------------------ */

/* Element by element, broadcast. */
static bool keeps_each(const asked *q)
{
    for (uint32_t i = 0; i < q->n->in_count; i++) {
        if (!lines_up(q, i)) return false;
    }
    return true;
}

/* Another shape for the same elements: what lies before the rows does, and no entry reaches from one row into the next
 * for any size of the other open dimensions. */
static bool keeps_view(const asked *q)
{
    if (!carries(q, 0) || !no_rows(q, 1, q->n->in_count)) return false;
    const shape *in = &input(q, 0)->shape, *out = &output(q)->shape;
    uint32_t axis = role_in(q, 0).axis;
    if (shape_count_range(in, 0, axis) != shape_count_range(out, 0, q->axis)) return false;
    uint64_t row = shape_count_range(in, axis, in->rank) / ROWS_FEW;
    uint64_t entry = shape_count_range(out, q->axis + 1, out->rank), behind = 1;
    bool whole = !q->f->open || entry == row;
    for (uint32_t d = in->rank; d > axis && !whole; behind *= (uint64_t)in->dim[--d]) whole = behind == entry;
    return whole;
}

/* Rows first in input 0 and in whatever else carries them; weights are the same for all.  One dimension alone would be
 * taken for the features of one row. */
static bool keeps_first(const asked *q)
{
    if (!carries_on(q, 0, 0) || q->axis != 0 || input(q, 0)->shape.rank < 2) return false;
    for (uint32_t i = 1; i < q->n->in_count; i++) {
        if (!is_free(q, i) && !carries_on(q, i, 0)) return false;
    }
    return true;
}

/* The same where only output 0 is apart: the others number elements across all rows. */
static bool keeps_first_of(const asked *q) { return q->output == 0 && keeps_first(q); }

static bool keeps_batch_normal(const asked *q) { return !node_int(q->n, "training_mode", 0) && keeps_first_of(q); }

/* A new last dimension for each element. */
static bool keeps_encoded(const asked *q) { return carries(q, 0) && q->axis == role_in(q, 0).axis; }

/* Works along one axis, which is not the rows'. */
static bool keeps_along(const asked *q)
{
    return carries(q, 0) && all_free(q, 1, q->n->in_count) && role_in(q, 0).axis != axis_at(q);
}

/* Works over all axes from one on, which come after the rows'. */
static bool keeps_behind(const asked *q)
{
    return carries(q, 0) && all_free(q, 1, q->n->in_count) && role_in(q, 0).axis < axis_at(q);
}

/* Softmax and its like took all axes from `axis` on, 1 by default, before opset 13. */
static bool keeps_softmax(const asked *q)
{
    if (q->n->opset >= 13) return keeps_along(q);
    static const rule before = {.axis = 1};
    asked old = *q;
    old.rule = &before;
    return keeps_behind(&old);
}

/* The axis is input 1. */
static bool keeps_running(const asked *q)
{
    if (!carries(q, 0) || !operand(q, 1)) return false;
    return !touches(q, 1, "axis", role_in(q, 0).axis, input(q, 0)->shape.rank, true);
}

static bool keeps_reduced(const asked *q)
{
    if (!carries(q, 0)) return false;
    bool all = node_int(q->n, "noop_with_empty_axes", 0) == 0;
    return !touches(q, 1, "axes", role_in(q, 0).axis, input(q, 0)->shape.rank, all);
}

static bool keeps_normal(const asked *q)   /* MeanVarianceNormalization: over [0,2,3] by default */
{
    return carries(q, 0) && !touches(q, 1, "axes", role_in(q, 0).axis, input(q, 0)->shape.rank, true);
}

static bool keeps_concat(const asked *q)
{
    for (uint32_t i = 0; i < q->n->in_count; i++) {
        if (!carries_on(q, i, role_in(q, 0).axis)) return false;
    }
    return q->n->in_count && role_in(q, 0).axis != axis_at(q);
}

static bool keeps_transpose(const asked *q)
{
    uint32_t count = 0, rank = output(q)->shape.rank;
    const int64_t *order = node_ints(q->n, "perm", &count);
    if (!carries(q, 0)) return false;
    int64_t from = count == rank ? order[q->axis] : (int64_t)(rank - 1 - q->axis);
    return from == role_in(q, 0).axis;
}

/* By indices that come with the rows out of one table, or by the same indices out of each row. */
static bool keeps_gather(const asked *q)
{
    if (is_free(q, 0)) return carries(q, 1);
    return keeps_along(q);
}

static bool keeps_gather_each(const asked *q)
{
    uint32_t axis = role_in(q, 0).axis;
    return carries(q, 0) && carries_on(q, 1, axis) && axis != axis_at(q);
}

static bool keeps_gather_nd(const asked *q)
{
    int64_t shared = node_int(q->n, "batch_dims", 0);
    if (shared > 0) return carries_on(q, 0, 0) && carries_on(q, 1, 0);
    return is_free(q, 0) && carries(q, 1) && role_in(q, 1).axis + 1 < input(q, 1)->shape.rank;
}

static bool keeps_scatter(const asked *q)
{
    uint32_t axis = role_in(q, 0).axis;
    return carries(q, 0) && carries_on(q, 1, axis) && carries_on(q, 2, axis) && axis != axis_at(q);
}

static bool keeps_one_hot(const asked *q)
{
    if (!carries(q, 0) || !all_free(q, 1, q->n->in_count)) return false;
    int64_t rank = (int64_t)input(q, 0)->shape.rank + 1, at = node_int(q->n, "axis", -1);
    return q->axis == role_in(q, 0).axis + ((at < 0 ? at + rank : at) <= role_in(q, 0).axis);
}

static bool keeps_expand(const asked *q) { return no_rows(q, 1, 2) && lines_up(q, 0); }

static bool keeps_fill(const asked *q) { return !carries(q, 0); }

/* Input 0 stays as long as it is on the rows' axis, in both plans. */
static bool same_rows(const asked *q)
{
    uint32_t axis = role_in(q, 0).axis;
    return carries(q, 0) && axis == q->axis && input(q, 0)->shape.dim[axis] == output(q)->shape.dim[axis];
}

static bool keeps_tile(const asked *q)
{
    if (is_free(q, 0)) return no_rows(q, 1, 2) && lines_up(q, 0);
    return no_rows(q, 1, 2) && same_rows(q);
}

/* All rows, in their order; along other axes by bounds that are the same for all. */
static bool keeps_slice(const asked *q)
{
    if (!same_rows(q) || !no_rows(q, 1, q->n->in_count)) return false;
    uint32_t rank = input(q, 0)->shape.rank, count = 0;
    const tensor *steps = operand(q, 4), *axes = operand(q, 3);
    if ((given(q, 4) && !steps) || (given(q, 3) && !axes)) return false;
    (void)node_ints(q->n, "starts", &count);
    if (given(q, 1)) count = (uint32_t)tensor_count(input(q, 1));
    if (!axes && !node_attr(q->n, "axes") ? q->axis >= count : !touches(q, 3, "axes", q->axis, rank, false))
        return all_free(q, 1, q->n->in_count);
    for (uint64_t i = 0; steps && i < tensor_count(steps); i++) {
        if (tensor_int(steps, i) != 1) return false;
    }
    return count == 1 || all_free(q, 1, q->n->in_count);
}

static bool keeps_pad(const asked *q)
{
    uint32_t rank = input(q, 0)->shape.rank, count = 0;
    const int64_t *pads = node_ints(q->n, "pads", &count);
    const tensor *t = operand(q, 1);
    if (!same_rows(q) || !all_free(q, 1, q->n->in_count)) return false;
    if (given(q, 3)) return t && !touches(q, 3, "axes", q->axis, rank, true);
    if (t) return tensor_count(t) == 2 * (uint64_t)rank && !tensor_int(t, q->axis) && !tensor_int(t, q->axis + rank);
    return !given(q, 1) && count == 2 * rank && !pads[q->axis] && !pads[q->axis + rank];
}

static bool keeps_resize(const asked *q)
{
    str mode = node_str(q->n, "coordinate_transformation_mode", STR("half_pixel"));
    return same_rows(q) && no_rows(q, 1, q->n->in_count) && !str_is(mode, "tf_crop_and_resize");
}

/* [time, rows, features], states [directions, rows, hidden]; layout 1 has the rows first in both. */
static bool keeps_recurrent(const asked *q)
{
    uint32_t at = node_int(q->n, "layout", 0) == 0;
    return carries_on(q, 0, at) && all_free(q, 1, 4) && (!given(q, 4) || carries_on(q, 4, 0)) &&
           (!given(q, 5) || carries_on(q, 5, at)) && (!given(q, 6) || carries_on(q, 6, at)) && all_free(q, 7, 8);
}

static bool keeps_gemm(const asked *q)
{
    return carries_on(q, 0, node_int(q->n, "transA", 0) != 0) && is_free(q, 1) && lines_up(q, 2) && q->axis == 0;
}

/* Rows among the leading dimensions of a, b or both, or as the rows of a alone. */
static bool keeps_product(const asked *q, uint32_t a, uint32_t b)
{
    uint32_t behind = output(q)->shape.rank - q->axis;
    uint32_t wide = input(q, b)->shape.rank > 1, rank = input(q, a)->shape.rank;
    if (behind > 2) return rank > 1 && wide && lines_up(q, a) && lines_up(q, b);
    return carries(q, a) && is_free(q, b) && rank > 1 && rank - role_in(q, a).axis == 2 && behind == 1 + wide;
}

static bool keeps_matmul(const asked *q) { return keeps_product(q, 0, 1) && all_free(q, 2, q->n->in_count); }

static bool keeps_qlinear_matmul(const asked *q)
{
    return keeps_product(q, 0, 3) && all_free(q, 1, 3) && all_free(q, 4, q->n->in_count);
}

/* Scales by tensor, or along an axis that is not the rows'. */
static bool keeps_quantised(const asked *q)
{
    if (!carries(q, 0) || !all_free(q, 1, q->n->in_count) || input(q, 1)->shape.rank > 1) return false;
    return tensor_count(input(q, 1)) == 1 || role_in(q, 0).axis != axis_at(q);
}

static bool keeps_dropout(const asked *q)
{
    const tensor *training = operand(q, 2);
    return carries(q, 0) && is_free(q, 1) && (!given(q, 2) || (training && !tensor_int(training, 0)));
}

/* The last two axes are one matrix. */
static bool keeps_matrix(const asked *q)
{
    return carries(q, 0) && role_in(q, 0).axis + 2 < input(q, 0)->shape.rank && all_free(q, 1, q->n->in_count);
}

static const rule rules[] = {
    {"Identity", keeps_view, 0}, {"Reshape", keeps_view, 0}, {"Flatten", keeps_view, 0}, {"Squeeze", keeps_view, 0},
    {"Unsqueeze", keeps_view, 0}, {"AlignAxis", keeps_view, 0}, {"ZipMap", keeps_view, 0},
    {"Abs", keeps_each, 0}, {"Acos", keeps_each, 0}, {"Acosh", keeps_each, 0}, {"Add", keeps_each, 0},
    {"And", keeps_each, 0}, {"Asin", keeps_each, 0}, {"Asinh", keeps_each, 0}, {"Atan", keeps_each, 0},
    {"Atanh", keeps_each, 0}, {"Binarizer", keeps_each, 0}, {"BitShift", keeps_each, 0},
    {"BitwiseAnd", keeps_each, 0}, {"BitwiseNot", keeps_each, 0}, {"BitwiseOr", keeps_each, 0},
    {"BitwiseXor", keeps_each, 0}, {"Cast", keeps_each, 0}, {"CategoryMapper", keeps_each, 0}, {"Ceil", keeps_each, 0},
    {"Celu", keeps_each, 0}, {"Clip", keeps_each, 0}, {"Cos", keeps_each, 0}, {"Cosh", keeps_each, 0},
    {"Div", keeps_each, 0}, {"Elu", keeps_each, 0}, {"Equal", keeps_each, 0}, {"Erf", keeps_each, 0},
    {"Exp", keeps_each, 0}, {"Floor", keeps_each, 0}, {"Gelu", keeps_each, 0}, {"Greater", keeps_each, 0},
    {"GreaterOrEqual", keeps_each, 0}, {"HardSigmoid", keeps_each, 0}, {"HardSwish", keeps_each, 0},
    {"IsInf", keeps_each, 0}, {"IsNaN", keeps_each, 0}, {"LabelEncoder", keeps_each, 0}, {"LeakyRelu", keeps_each, 0},
    {"Less", keeps_each, 0}, {"LessOrEqual", keeps_each, 0}, {"Log", keeps_each, 0}, {"Max", keeps_each, 0},
    {"Mean", keeps_each, 0}, {"Min", keeps_each, 0}, {"Mish", keeps_each, 0}, {"Mod", keeps_each, 0},
    {"Mul", keeps_each, 0}, {"Neg", keeps_each, 0}, {"Not", keeps_each, 0}, {"Or", keeps_each, 0},
    {"PRelu", keeps_each, 0}, {"Pow", keeps_each, 0}, {"Reciprocal", keeps_each, 0}, {"Relu", keeps_each, 0},
    {"Round", keeps_each, 0}, {"Selu", keeps_each, 0}, {"Shrink", keeps_each, 0}, {"Sigmoid", keeps_each, 0},
    {"Sign", keeps_each, 0}, {"Sin", keeps_each, 0}, {"Sinh", keeps_each, 0}, {"Softplus", keeps_each, 0},
    {"Softsign", keeps_each, 0}, {"Sqrt", keeps_each, 0}, {"StringConcat", keeps_each, 0}, {"Sub", keeps_each, 0},
    {"Sum", keeps_each, 0}, {"Swish", keeps_each, 0}, {"Tan", keeps_each, 0}, {"Tanh", keeps_each, 0},
    {"ThresholdedRelu", keeps_each, 0}, {"Where", keeps_each, 0}, {"Xor", keeps_each, 0},
    {"AveragePool", keeps_first, 0}, {"BatchNormalization", keeps_batch_normal, 0}, {"Conv", keeps_first, 0},
    {"ConvInteger", keeps_first, 0}, {"ConvTranspose", keeps_first, 0}, {"DeformConv", keeps_first, 0},
    {"DepthToSpace", keeps_first, 0}, {"GlobalAveragePool", keeps_first, 0}, {"GlobalLpPool", keeps_first, 0},
    {"GlobalMaxPool", keeps_first, 0}, {"GridSample", keeps_first, 0}, {"GroupNormalization", keeps_first, 0},
    {"ImageScaler", keeps_first, 0}, {"InstanceNormalization", keeps_first, 0}, {"LRN", keeps_first, 0},
    {"LpPool", keeps_first, 0}, {"MaxPool", keeps_first_of, 0}, {"QLinearConv", keeps_first, 0},
    {"SpaceToDepth", keeps_first, 0}, {"Attention", keeps_first, 0}, {"RotaryEmbedding", keeps_first, 0},
    {"Imputer", keeps_first, 0}, {"LinearClassifier", keeps_first, 0}, {"LinearRegressor", keeps_first, 0},
    {"Normalizer", keeps_first, 0}, {"OneHotEncoder", keeps_encoded, 0}, {"SVMClassifier", keeps_first, 0},
    {"SVMRegressor", keeps_first, 0}, {"Scaler", keeps_first, 0}, {"TfIdfVectorizer", keeps_first, 0},
    {"TreeEnsemble", keeps_first, 0}, {"TreeEnsembleClassifier", keeps_first, 0},
    {"TreeEnsembleRegressor", keeps_first, 0},
    {"ArgMax", keeps_along, 0}, {"ArgMin", keeps_along, 0}, {"ArrayFeatureExtractor", keeps_along, -1},
    {"LpNormalization", keeps_along, -1}, {"Split", keeps_along, 0}, {"TopK", keeps_along, -1},
    {"LayerNormalization", keeps_behind, -1}, {"RMSNormalization", keeps_behind, -1},
    {"Softmax", keeps_softmax, -1}, {"LogSoftmax", keeps_softmax, -1}, {"Hardmax", keeps_softmax, -1},
    {"CumSum", keeps_running, 0}, {"CumProd", keeps_running, 0},
    {"ReduceL1", keeps_reduced, 0}, {"ReduceL2", keeps_reduced, 0}, {"ReduceLogSum", keeps_reduced, 0},
    {"ReduceLogSumExp", keeps_reduced, 0}, {"ReduceMax", keeps_reduced, 0}, {"ReduceMean", keeps_reduced, 0},
    {"ReduceMin", keeps_reduced, 0}, {"ReduceProd", keeps_reduced, 0}, {"ReduceSum", keeps_reduced, 0},
    {"ReduceSumSquare", keeps_reduced, 0}, {"MeanVarianceNormalization", keeps_normal, 0},
    {"Concat", keeps_concat, 0}, {"Transpose", keeps_transpose, 0}, {"Gather", keeps_gather, 0},
    {"GatherElements", keeps_gather_each, 0}, {"GatherND", keeps_gather_nd, 0},
    {"ScatterElements", keeps_scatter, 0}, {"OneHot", keeps_one_hot, -1}, {"Expand", keeps_expand, 0},
    {"ConstantOfShape", keeps_fill, 0}, {"Tile", keeps_tile, 0}, {"Slice", keeps_slice, 0}, {"Pad", keeps_pad, 0},
    {"Resize", keeps_resize, 0}, {"Upsample", keeps_resize, 0}, {"LSTM", keeps_recurrent, 0},
    {"GRU", keeps_recurrent, 0}, {"RNN", keeps_recurrent, 0}, {"Gemm", keeps_gemm, 0}, {"MatMul", keeps_matmul, 0},
    {"MatMulInteger", keeps_matmul, 0}, {"QLinearMatMul", keeps_qlinear_matmul, 0},
    {"QuantizeLinear", keeps_quantised, 1}, {"DequantizeLinear", keeps_quantised, 1}, {"Dropout", keeps_dropout, 0},
    {"Trilu", keeps_matrix, 0}, {"Det", keeps_matrix, 0},
};

/* ---- the walk ------------------------------------------------------------------------------------------------- */

static const rule *rule_of(const node *n)
{
    for (size_t i = 0; i < COUNTOF(rules); i++) {
        if (str_is(n->op, rules[i].op)) return &rules[i];
    }
    return NULL;
}

/* Nothing that a request brings comes into it. */
static bool settled(const finding *f, const node *n)
{
    for (uint32_t i = 0; i < n->in_count; i++) {
        if (n->in[i] != VALUE_NONE && f->roles[n->in[i]].kind != ROLE_FREE) return false;
    }
    return !node_graph(n, 0) && !(n->row->flags & (OP_RANDOM | OP_RUNTIME));
}

static bool visit_output(finding *f, const node *n, uint32_t output)
{
    value_id v = n->out[output];
    if (known(f, v)) {
        f->roles[v] = role_of_known(f, v);
        return true;
    }
    const tensor *few = few_of(f, v), *more = more_of(f, v);
    if (settled(f, n)) return few->type && few->type == more->type && shape_eq(&few->shape, &more->shape);
    uint32_t axis;
    const rule *r = node_graph(n, 0) ? NULL : rule_of(n);
    if (!r || !rows_axis(f, v, &axis)) return false;
    asked q = {.f = f, .n = n, .rule = r, .output = output, .axis = axis};
    f->roles[v] = (role){ROLE_ROWS, axis};
    return r->keeps(&q);
}

static bool visit(finding *f, const node *n, char why[BATCH_WHY_MAX])
{
    char text[200];
    for (uint32_t i = 0; i < n->out_count; i++) {
        if (n->out[i] == VALUE_NONE || visit_output(f, n, i)) continue;
        snprintf(why, BATCH_WHY_MAX, "%s: is not known to keep the rows of a batch apart", node_text(f->g, n, text));
        return false;
    }
    return true;
}

static bool rows_first(const finding *f, value_id v)
{
    return f->roles[v].kind == ROLE_ROWS && f->roles[v].axis == 0 && few_of(f, v)->shape.dim[0] == ROWS_FEW;
}

static bool walk(finding *f, char why[BATCH_WHY_MAX])
{
    const graph *g = f->g;
    for (uint32_t i = 0; i < g->input_count; i++) f->roles[g->inputs[i]] = (role){ROLE_ROWS, 0};
    for (uint32_t i = 0; i < g->node_count; i++) {
        if (!g->nodes[i].dead && !visit(f, &g->nodes[i], why)) return false;
    }
    for (uint32_t i = 0; i < g->output_count; i++) {
        if (rows_first(f, g->outputs[i])) continue;
        snprintf(why, BATCH_WHY_MAX, "output '" STR_FMT "': its first dimension does not follow the inputs' rows",
                 STR_ARG(g->values[g->outputs[i]].name));
        return false;
    }
    return true;
}

/* ---- the plans ------------------------------------------------------------------------------------------------ */

/* Inputs with `rows` rows, further open dimensions by their names; false: one has no open first dimension. */
static bool inputs_make(tensor *in, str *names, const graph *g, int64_t rows, bool *ret_open, char why[BATCH_WHY_MAX])
{
    uint32_t name_count = 0;
    *ret_open = false;
    for (uint32_t i = 0; i < g->input_count; i++) {
        const value *v = &g->values[g->inputs[i]];
        if (!v->ranked || !v->type || v->declared.rank == 0 || v->declared.dim[0] >= 0) {
            snprintf(why, BATCH_WHY_MAX, "input '" STR_FMT "': its first dimension is not open", STR_ARG(v->name));
            return false;
        }
        shape s = v->declared;
        s.dim[0] = rows;
        for (uint32_t d = 1; d < s.rank; d++) {
            if (s.dim[d] >= 0) continue;
            uint32_t at = 0;
            while (at < name_count && !(v->dim_name[d].len && str_eq(names[at], v->dim_name[d]))) at++;
            if (at == name_count) names[name_count++] = v->dim_name[d];
            s.dim[d] = (int64_t)OPEN_STEP * (at + 2);
            *ret_open = true;
        }
        in[i] = tensor_make(v->type, &s, NULL);
    }
    return g->input_count > 0;
}

static err_code plan_rows(plan **ret, const graph *g, const tensor *in, const kernel_set *k, err *e)
{
    plan_opts o = {.inputs = in, .kernels = k, .memory_max = SIZE_MAX / 4, .probe = true};
    return plan_new(ret, g, &o, e);
}

err_code batch_axis_find(batch_axis *ret, const graph *g, const kernel_set *k, arena *a, err *e)
{
    CLEANUP(plan) plan *few = NULL;
    CLEANUP(plan) plan *more = NULL;
    finding f = {.g = g, .roles = arena_new(a, role, g->value_count)};
    tensor *in = arena_new(a, tensor, g->input_count);
    str *names = arena_new(a, str, (size_t)g->input_count * TENSOR_RANK_MAX);
    *ret = (batch_axis){.proven = false};
    if (!f.roles || !in || !names) return err_set(e, ERR_NOMEM, "no memory for shapes");
    if (!inputs_make(in, names, g, ROWS_FEW, &f.open, ret->why)) return ERR_OK;
    err inner;
    err_code rc = plan_rows(&few, g, in, k, &inner);
    for (uint32_t i = 0; i < g->input_count; i++) in[i].shape.dim[0] = ROWS_MORE;
    if (!rc) rc = plan_rows(&more, g, in, k, &inner);
    if (rc == ERR_NOMEM) return err_set(e, rc, "%s", inner.text);
    if (rc) {
        snprintf(ret->why, BATCH_WHY_MAX, "%.200s", inner.text);
        return ERR_OK;
    }
    f.few = few;
    f.more = more;
    ret->proven = walk(&f, ret->why);
    return ERR_OK;
}
