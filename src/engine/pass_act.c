/* What is done to a node's result element by element is done by the node itself, before the result leaves the cache. */
#include "engine/pass.h"

#include <float.h>
#include <math.h>

static bool is(const node *n, const char *op) { return !n->domain.len && str_is(n->op, op); }

/* A bound of Clip: an attribute before opset 11, then a constant input; absent = no bound. */
static bool bound(const pass *p, const node *n, const char *name, uint32_t input, float absent, float *ret)
{
    *ret = node_float(n, name, absent);
    if (input >= n->in_count || n->in[input] == VALUE_NONE) return true;
    const tensor *t = pass_floats(p, n->in[input]);
    if (!t || tensor_count(t) != 1) return false;
    *ret = *(const float *)t->data;
    return !isnan(*ret);
}

/* The activation that a node of one input is; false = it is something else. */
static bool activation_of(const pass *p, const node *n, activation *ret)
{
    *ret = (activation){0};
    if (n->act.kind != ACT_NONE || n->residual) return false;
    if (is(n, "Relu")) ret->kind = ACT_RELU;
    else if (is(n, "Sigmoid")) ret->kind = ACT_SIGMOID;
    else if (is(n, "Tanh")) ret->kind = ACT_TANH;
    else if (is(n, "HardSwish")) ret->kind = ACT_HARD_SWISH;
    else if (is(n, "LeakyRelu")) *ret = (activation){ACT_LEAKY_RELU, node_float(n, "alpha", 0.01f), 0};
    else if (is(n, "HardSigmoid"))
        *ret = (activation){ACT_HARD_SIGMOID, node_float(n, "alpha", 0.2f), node_float(n, "beta", 0.5f)};
    else if (is(n, "Clip") && bound(p, n, "min", 1, -FLT_MAX, &ret->a) && bound(p, n, "max", 2, FLT_MAX, &ret->b))
        ret->kind = ACT_CLIP;
    return ret->kind != ACT_NONE;
}

static bool takes_act(const pass *p, const node *n)
{
    return n && n->row->flags & OP_FUSES_ACT && n->act.kind == ACT_NONE && facts_type(p->facts, n->out[0]) == DT_F32;
}

static err_code give(pass *p, node *to, activation a, node *n, err *e)
{
    err_code rc = pass_fused(p, to, n, e);
    if (rc) return rc;
    to->act = a;
    pass_take_output(p, to, n);
    return ERR_OK;
}

/* x * Sigmoid(x) and x * HardSigmoid(x; 1/6, 1/2), where nobody else wants x or the factor. */
static err_code gated(pass *p, node *n, err *e)
{
    for (uint32_t i = 0; i < 2; i++) {
        node *gate = pass_only_feeds(p, n->in[i]);
        activation a;
        if (!gate || gate->in_count == 0 || gate->in[0] != n->in[1 - i] || !activation_of(p, gate, &a)) continue;
        bool hard = a.kind == ACT_HARD_SIGMOID && fabsf(a.a - 1.0f / 6) < 1e-6f && a.b == 0.5f;
        if (a.kind != ACT_SIGMOID && !hard) continue;
        node *to = pass_producer(p, n->in[1 - i]);
        if (!takes_act(p, to) || to->out[0] != n->in[1 - i] || p->readers[to->out[0]] != 2) continue;
        gate->dead = true;
        return give(p, to, (activation){.kind = hard ? ACT_HARD_SWISH : ACT_SILU}, n, e);
    }
    return ERR_OK;
}

err_code pass_act(pass *p, err *e)
{
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < p->graph->node_count && !rc; i++) {
        node *n = &p->graph->nodes[i];
        activation a;
        if (n->dead || n->in_count == 0) continue;
        if (is(n, "Mul") && n->in_count == 2 && n->act.kind == ACT_NONE && !n->residual) {
            rc = gated(p, n, e);
            continue;
        }
        node *to = pass_only_feeds(p, n->in[0]);
        if (takes_act(p, to) && activation_of(p, n, &a)) rc = give(p, to, a, n, e);
    }
    return rc;
}

/* ---- residual -------------------------------------------------------------------------------------------------- */

static bool takes_add(const pass *p, const node *n)
{
    return n && n->row->flags & OP_FUSES_ADD && !n->residual && n->act.kind == ACT_NONE &&
           facts_type(p->facts, n->out[0]) == DT_F32;
}

/* Nothing that `other` hangs on can hang on n: n's only reader is the Add.  So the graph stays free of cycles. */
static err_code residual(pass *p, node *add, err *e)
{
    for (uint32_t i = 2; i-- > 0;) {
        node *n = pass_only_feeds(p, add->in[i]);
        value_id other = add->in[1 - i];
        if (!takes_add(p, n) || !pass_joins(n, add) || other == add->in[i] || facts_type(p->facts, other) != DT_F32)
            continue;
        if (!facts_same_shape(p->facts, n->out[0], other) || !facts_same_shape(p->facts, other, add->out[0])) continue;
        err_code rc = pass_inputs_grow(p, n, n->row->in_max + 1u, e);
        if (!rc) rc = pass_fused(p, n, add, e);
        if (rc) return rc;
        n->in[n->row->in_max] = other;
        n->residual = true;
        pass_take_output(p, n, add);
        return ERR_OK;
    }
    return ERR_OK;
}

err_code pass_residual(pass *p, err *e)
{
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < p->graph->node_count && !rc; i++) {
        node *n = &p->graph->nodes[i];
        if (n->dead || n->in_count != 2 || !(is(n, "Add") || is(n, "Sum"))) continue;
        rc = residual(p, n, e);
    }
    return rc;
}
