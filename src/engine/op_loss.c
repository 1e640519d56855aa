/* The two losses of classification: the negative log-probability of the right class, with or without the softmax. */
#include "engine/op_lanes.h"

#include <math.h>

typedef struct {
    op_call *call;
    lanes l;                /* along the classes, one for each label, in the order of the labels */
    bool softmax, ignores;
    int64_t ignored;        /* this label counts for nothing */
    double *loss, *weight;  /* of each label */
} losses;

typedef enum { NONE, SUM, MEAN } reduction;

static err_code reduction_of(const op_call *c, reduction *ret, err *e)
{
    static const char *const names[] = {[NONE] = "none", [SUM] = "sum", [MEAN] = "mean"};
    str how = node_str(c->node, "reduction", STR("mean"));
    for (size_t i = 0; i < COUNTOF(names); i++) {
        if (str_is(how, names[i])) {
            *ret = (reduction)i;
            return ERR_OK;
        }
    }
    return op_err(c, e, ERR_INVALID, "reduction: expected none, sum or mean, got '" STR_FMT "'", STR_ARG(how));
}

static err_code loss_infer(op_call *c, err *e)
{
    const shape *x = &c->in[0]->shape, *labels = &c->in[1]->shape;
    reduction how = NONE;
    err_code rc = op_type(c, 0, T_FLOAT, e);
    if (!rc)
        rc = op_type(c, 1, T1(DT_I32) | T1(DT_I64), e);
    if (!rc)
        rc = op_type(c, 2, T1(c->in[0]->type), e);
    if (!rc)
        rc = op_rank(c, 0, 2, TENSOR_RANK_MAX, e);
    if (!rc)
        rc = reduction_of(c, &how, e);
    if (rc)
        return rc;
    shape want = {.rank = x->rank - 1, .dim = {x->dim[0]}};
    for (uint32_t d = 2; d < x->rank; d++)
        want.dim[d - 1] = x->dim[d];
    char text[SHAPE_TEXT_MAX], got[SHAPE_TEXT_MAX];
    if (!shape_eq(labels, &want))
        return op_err(c, e, ERR_INVALID, "labels: expected shape %s, got %s", shape_text(&want, text),
                      shape_text(labels, got));
    if (c->in_count > 2 && c->in[2] && tensor_count(c->in[2]) != (uint64_t)x->dim[1])
        return op_err(c, e, ERR_INVALID, "weights: expected %lld elements, got %llu", (long long)x->dim[1],
                      (unsigned long long)tensor_count(c->in[2]));
    if (how != NONE)
        want = (shape){0};
    rc = op_set(c, 0, c->in[0]->type, &want, e);
    return rc ? rc : op_set(c, 1, c->in[0]->type, x, e);
}

static err_code check_labels(const losses *s, err *e)
{
    const op_call *c = s->call;
    int64_t classes = c->in[0]->shape.dim[1];
    for (uint64_t i = 0; i < s->l.count; i++) {
        int64_t label = tensor_int(c->in[1], i);
        if ((label < 0 || label >= classes) && !(s->ignores && label == s->ignored))
            return op_err(c, e, ERR_INVALID, "label %llu: expected a class under %lld, got %lld", (unsigned long long)i,
                          (long long)classes, (long long)label);
    }
    return ERR_OK;
}

/* What is subtracted from each score to make it a log-probability. */
static double log_sum_exp(const tensor *x, const view *v, uint64_t classes)
{
    double max = -(double)INFINITY, sum = 0;
    if (classes == 0) return max;
    for (uint64_t k = 0; k < classes; k++)
        max = fmax(max, tensor_f64(x, (uint64_t)v->offset + k * (uint64_t)v->stride[0]));
    for (uint64_t k = 0; k < classes; k++)
        sum += exp(tensor_f64(x, (uint64_t)v->offset + k * (uint64_t)v->stride[0]) - max);
    return max + log(sum);
}

static void loss_lanes(void *ctx, uint64_t first, uint64_t count)
{
    const losses *s = ctx;
    op_call *c = s->call;
    const tensor *x = c->in[0], *weights = c->in_count > 2 ? c->in[2] : NULL;
    tensor *log_prob = c->out_count > 1 ? c->out[1] : NULL;
    for (uint64_t i = first; i < first + count; i++) {
        view v = lanes_at(&s->l, i);
        int64_t label = tensor_int(c->in[1], i);
        bool counts = !(s->ignores && label == s->ignored);
        double shift = s->softmax ? log_sum_exp(x, &v, s->l.length) : 0;
        for (uint64_t k = 0; log_prob && k < s->l.length; k++) {
            uint64_t at = (uint64_t)v.offset + k * (uint64_t)v.stride[0];
            tensor_put_f64(log_prob, at, tensor_f64(x, at) - shift);
        }
        s->weight[i] = !counts ? 0 : weights ? tensor_f64(weights, (uint64_t)label) : 1;
        uint64_t at = counts ? (uint64_t)v.offset + (uint64_t)label * (uint64_t)v.stride[0] : 0;
        s->loss[i] = counts ? (shift - tensor_f64(x, at)) * s->weight[i] : 0;
    }
}

static err_code loss_run(op_call *c, err *e)
{
    reduction how = NONE;
    err_code rc = reduction_of(c, &how, e);
    if (rc)
        return rc;
    const attr *ignore = node_attr(c->node, "ignore_index");
    losses s = {.call = c, .l = lanes_of(&c->in[0]->shape, 1u << 1), .softmax = c->node->row->data != NULL,
                .ignores = ignore != NULL, .ignored = ignore ? ignore->i : 0};
    if (s.l.lane.rank == 0)      /* one class: a lane is one element */
        s.l.lane = (view){.rank = 1, .dim = {1}, .stride = {1}};
    rc = check_labels(&s, e);
    if (rc)
        return rc;
    s.loss = arena_new(c->scratch, double, s.l.count + 1);
    s.weight = arena_new(c->scratch, double, s.l.count + 1);
    if (!s.loss || !s.weight)
        return op_err(c, e, ERR_LIMIT, "no memory for the losses of %llu labels", (unsigned long long)s.l.count);
    lanes_for(c->pool, &s.l, loss_lanes, &s);
    double sum = 0, weight = 0;
    for (uint64_t i = 0; i < s.l.count; i++) {
        sum += s.loss[i];
        weight += s.weight[i];
        if (how == NONE && c->out[0])
            tensor_put_f64(c->out[0], i, s.loss[i]);
    }
    if (how != NONE && c->out[0])
        tensor_put_f64(c->out[0], 0, how == MEAN ? sum / weight : sum);
    return ERR_OK;
}

#define ROW(op, first, outputs, which)                                                                          \
    {.name = op, .domain = "", .since = first, .in_min = 2, .in_max = 3, .out_min = 1, .out_max = outputs,      \
     .infer = loss_infer, .run = loss_run, .data = which,                                                       \
     .attrs = {{"ignore_index", ATTR_INT, false}, {"reduction", ATTR_STRING, false}}}

const op_row op_rows_loss[] = {
    ROW("NegativeLogLikelihoodLoss", 12, 1, NULL),
    ROW("SoftmaxCrossEntropyLoss", 12, 2, "softmax"),
    {0},
};
