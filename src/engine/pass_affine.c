/* y = k * x + b per channel, by constants, after a node with constant weights: k joins the weights, b the bias.
 * BatchNormalization is that, and so are Mul, Div, Add and Sub by a constant per channel or by a scalar. */
#include "engine/pass.h"

#include <math.h>

/* The node that is to swallow the rest: its weights seen as outer x channels x inner. */
typedef struct {
    node *n;
    const tensor *w, *bias;       /* bias: NULL = none */
    uint32_t bias_at;             /* input */
    uint64_t channels, outer, inner;
    uint32_t axis, rank;          /* of the output; rank 0 = not known, the channels are the last axis */
    double beta;                  /* what Gemm multiplies its bias by */
} linear;

typedef struct {
    double *k, *b;                /* [channels] */
} affine;

static bool is(const node *n, const char *op) { return !n->domain.len && str_is(n->op, op); }

static bool conv_of(const pass *p, linear *l, bool turned)
{
    const shape *s = &l->w->shape;
    uint64_t groups = (uint64_t)node_int(l->n, "group", 1);
    if (s->rank < 3 || groups == 0 || groups > INT32_MAX || s->dim[0] % (int64_t)groups) return false;
    l->rank = s->rank;
    l->axis = 1;
    l->channels = (uint64_t)s->dim[turned] * (turned ? groups : 1);
    /* ConvTranspose: [in, out / groups, ...]; only one group has its output channels on one axis. */
    if (turned && groups != 1) return false;
    l->outer = turned ? (uint64_t)s->dim[0] : 1;
    l->inner = shape_count_range(s, turned ? 2 : 1, s->rank);
    l->bias = l->n->in_count > 2 ? pass_floats(p, l->n->in[2]) : NULL;
    return l->n->in_count <= 2 || l->n->in[2] == VALUE_NONE || (l->bias && tensor_count(l->bias) == l->channels);
}

static bool gemm_of(const pass *p, linear *l)
{
    const shape *s = &l->w->shape;
    bool turned = node_int(l->n, "transB", 0) != 0;
    if (s->rank != 2) return false;
    l->rank = 2;
    l->axis = 1;
    l->channels = (uint64_t)s->dim[!turned];
    l->outer = turned ? 1 : (uint64_t)s->dim[0];
    l->inner = turned ? (uint64_t)s->dim[1] : 1;
    l->beta = node_float(l->n, "beta", 1);
    if (l->n->in_count <= 2 || l->n->in[2] == VALUE_NONE) return true;
    l->bias = pass_floats(p, l->n->in[2]);
    if (!l->bias || l->bias->shape.rank > 2) return false;
    if (l->bias->shape.rank == 2 && l->bias->shape.dim[0] != 1) return false;
    return tensor_count(l->bias) == 1 || tensor_count(l->bias) == l->channels;
}

static bool matmul_of(const pass *p, linear *l)
{
    const shape *s = &l->w->shape;
    uint32_t rank;
    if (s->rank != 2 || !(l->n->row->flags & OP_FUSES_ADD)) return false;
    l->rank = facts_rank(p->facts, l->n->out[0], &rank) ? rank : 0;
    l->axis = l->rank ? l->rank - 1 : 0;
    l->channels = (uint64_t)s->dim[1];
    l->outer = (uint64_t)s->dim[0];
    l->inner = 1;
    l->bias_at = l->n->row->in_max;
    return l->rank != 1;
}

static bool linear_of(const pass *p, node *n, linear *ret)
{
    if (!n || n->residual || n->act.kind != ACT_NONE || n->in_count < 2) return false;
    linear l = {.n = n, .w = pass_floats(p, n->in[1]), .bias_at = 2, .beta = 1};
    if (!l.w || tensor_count(l.w) == 0) return false;
    bool ok = is(n, "Conv")            ? conv_of(p, &l, false)
              : is(n, "ConvTranspose") ? conv_of(p, &l, true)
              : is(n, "Gemm")          ? gemm_of(p, &l)
              : is(n, "MatMul")        ? matmul_of(p, &l)
                                       : false;
    *ret = l;
    return ok && l.channels > 0;
}

/* A constant that has one value per channel, or one in all, and does not make the output larger. */
static const float *per_channel(const pass *p, const linear *l, value_id v, bool *ret_scalar)
{
    const tensor *t = pass_floats(p, v);
    if (!t || tensor_count(t) == 0) return NULL;
    *ret_scalar = tensor_count(t) == 1;
    if (l->rank == 0 ? t->shape.rank > 1 : t->shape.rank > l->rank) return NULL;
    uint32_t lead = (l->rank ? l->rank : 1) - t->shape.rank;
    for (uint32_t d = 0; d < t->shape.rank; d++) {
        bool channel = d + lead == l->axis;
        if (t->shape.dim[d] != 1 && !(channel && (uint64_t)t->shape.dim[d] == l->channels)) return NULL;
    }
    return t->data;
}

/* Parameter `i` of a BatchNormalization when it is a constant with one value per channel, else NULL. */
static const float *norm_constant(const pass *p, const linear *l, const node *n, uint32_t i)
{
    const tensor *t = pass_floats(p, n->in[i]);
    return t && tensor_count(t) == l->channels ? t->data : NULL;
}

static bool norm_of(const pass *p, const linear *l, const node *n, affine *a)
{
    if (l->rank < 2 || l->axis != 1 || node_int(n, "training_mode", 0) || !node_int(n, "spatial", 1)) return false;
    for (uint32_t i = 1; i < n->out_count; i++) {
        if (n->out[i] != VALUE_NONE && p->readers[n->out[i]]) return false;
    }
    const float *scale = norm_constant(p, l, n, 1), *shift = norm_constant(p, l, n, 2),
                *mean = norm_constant(p, l, n, 3), *var = norm_constant(p, l, n, 4);
    if (!scale || !shift || !mean || !var) return false;
    double epsilon = (double)node_float(n, "epsilon", 1e-5f);
    for (uint64_t c = 0; c < l->channels; c++) {
        a->k[c] = (double)scale[c] / sqrt((double)var[c] + epsilon);
        a->b[c] = (double)shift[c] - (double)mean[c] * a->k[c];
        if (!isfinite(a->k[c]) || !isfinite(a->b[c])) return false;
    }
    return true;
}

static bool affine_of(const pass *p, const linear *l, const node *n, value_id x, affine *a)
{
    if (is(n, "BatchNormalization")) return n->in_count == 5 && n->in[0] == x && norm_of(p, l, n, a);
    bool mul = is(n, "Mul"), add = is(n, "Add"), sub = is(n, "Sub"), div = is(n, "Div"), scalar;
    if ((!mul && !add && !sub && !div) || n->in_count != 2 || n->in[0] == n->in[1]) return false;
    bool second = n->in[0] == x;   /* the constant is the second input */
    if (div && !second) return false;
    const float *v = per_channel(p, l, n->in[second], &scalar);
    for (uint64_t c = 0; v && c < l->channels; c++) {
        double one = (double)v[scalar ? 0 : c];
        a->k[c] = mul ? one : div ? 1 / one : sub && !second ? -1 : 1;
        a->b[c] = add || (sub && !second) ? one : sub ? -one : 0;
        if (!isfinite(a->k[c])) return false;
    }
    return v != NULL;
}

static err_code weights_scale(pass *p, const linear *l, const affine *a, err *e)
{
    bool all_one = true;
    for (uint64_t c = 0; c < l->channels; c++) all_one &= a->k[c] == 1;
    if (all_one) return ERR_OK;
    value_id v;
    void *data = NULL;
    err_code rc = pass_constant_add(p, DT_F32, &l->w->shape, &v, &data, e);
    if (rc) return rc;
    const float *from = l->w->data;
    float *to = data;
    for (uint64_t o = 0; o < l->outer; o++) {
        for (uint64_t c = 0; c < l->channels; c++) {
            for (uint64_t i = 0; i < l->inner; i++) *to++ = (float)((double)*from++ * a->k[c]);
        }
    }
    l->n->in[1] = v;
    return ERR_OK;
}

static err_code bias_make(pass *p, const linear *l, const affine *a, err *e)
{
    value_id v;
    void *data = NULL;
    int64_t count = (int64_t)l->channels;
    shape s = shape_make(1, &count);
    err_code rc = pass_constant_add(p, DT_F32, &s, &v, &data, e);
    if (!rc) rc = pass_inputs_grow(p, l->n, l->bias_at + 1, e);
    if (rc) return rc;
    const float *old = l->bias ? l->bias->data : NULL;
    bool one = l->bias && tensor_count(l->bias) == 1;
    for (uint64_t c = 0; c < l->channels; c++)
        ((float *)data)[c] = (float)((old ? l->beta * (double)old[one ? 0 : c] * a->k[c] : 0) + a->b[c]);
    l->n->in[l->bias_at] = v;
    if (is(l->n, "MatMul")) l->n->residual = true;
    if (l->beta == 1) return ERR_OK;
    return pass_attr_set(p, l->n, (attr){.name = STR("beta"), .kind = ATTR_FLOAT, .f = 1}, e);
}

static err_code merge(pass *p, const linear *l, const affine *a, node *n, err *e)
{
    err_code rc = pass_fused(p, l->n, n, e);
    if (!rc) rc = weights_scale(p, l, a, e);
    if (!rc) rc = bias_make(p, l, a, e);
    if (!rc) pass_take_output(p, l->n, n);
    return rc;
}

err_code pass_affine(pass *p, err *e)
{
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < p->graph->node_count && !rc; i++) {
        node *n = &p->graph->nodes[i];
        for (uint32_t k = 0; k < 2 && k < n->in_count && !n->dead && !rc; k++) {
            linear l;
            value_id x = n->in[k];
            if (!linear_of(p, pass_only_feeds(p, x), &l) || !pass_joins(l.n, n)) continue;
            affine a = {.k = arena_new(p->scratch, double, l.channels), .b = arena_new(p->scratch, double, l.channels)};
            if (!a.k || !a.b) return err_set(e, ERR_NOMEM, "no memory to fold weights");
            if (affine_of(p, &l, n, x, &a)) rc = merge(p, &l, &a, n, e);
        }
    }
    return rc;
}
