/* Nodes that move nothing, or move what the next node can move itself. */
#include "engine/pass.h"

#include <string.h>

static bool is(const node *n, const char *op) { return !n->domain.len && str_is(n->op, op); }

/* ---- Identity and what amounts to it -------------------------------------------------------------------------- */

static bool drops_nothing(const pass *p, const node *n)
{
    for (uint32_t i = 1; i < n->out_count; i++) {
        if (n->out[i] != VALUE_NONE && p->readers[n->out[i]]) return false;   /* somebody wants the mask */
    }
    if (n->in_count < 3 || n->in[2] == VALUE_NONE) return node_int(n, "training_mode", 0) == 0;
    const tensor *training = pass_constant(p, n->in[2]);
    return training && training->type == DT_BOOL && tensor_count(training) == 1 && !tensor_int(training, 0);
}

static bool is_identity(const pass *p, const node *n)
{
    if (is(n, "Identity")) return true;
    if (is(n, "Dropout")) return drops_nothing(p, n);
    if (is(n, "Cast")) return (int64_t)facts_type(p->facts, n->in[0]) == node_int(n, "to", -1);
    return false;
}

/* Readers of the output read the input.  An output of the graph keeps its name: the input's producer takes it over. */
static void bypass(pass *p, node *n)
{
    value_id from = n->in[0], to = n->out[0];
    if (!p->is_output[to]) {
        pass_replace(p, to, from);
        n->dead = true;
        return;
    }
    node *m = pass_producer(p, from);
    if (!m || p->is_output[from] || p->becomes[from] != VALUE_NONE) return;
    for (uint32_t i = 0; i < m->out_count; i++) {
        if (m->out[i] == from) m->out[i] = to;
    }
    p->producer[to] = p->producer[from];
    n->dead = true;
    pass_replace(p, from, to);
}

err_code pass_identity(pass *p, err *e)
{
    (void)e;
    for (uint32_t i = 0; i < p->graph->node_count; i++) {
        node *n = &p->graph->nodes[i];
        if (!n->dead && is_identity(p, n)) bypass(p, n);
    }
    return ERR_OK;
}

/* ---- broadcasting before opset 7 -------------------------------------------------------------------------------- */

err_code pass_align(pass *p, err *e)
{
    for (uint32_t i = 0; i < p->graph->node_count; i++) {
        node *n = &p->graph->nodes[i];
        const tensor *t =
            str_is(n->domain, "proa.legacy") && str_is(n->op, "AlignAxis") ? pass_constant(p, n->in[0]) : NULL;
        shape s;
        if (!t || n->dead || !facts_shape(p->facts, n->out[0], &s) || shape_count(&s) != tensor_count(t)) continue;
        tensor *seen = arena_new(p->graph->memory, tensor, 1);
        if (!seen) return err_set(e, ERR_NOMEM, "no memory for a constant");
        *seen = tensor_make(t->type, &s, t->data);
        value *v = &p->graph->values[n->out[0]];
        v->from = VALUE_CONST;
        v->init = seen;
        v->type = t->type;
        v->ranked = true;
        v->declared = s;
        n->dead = true;
        p->changes++;
    }
    return ERR_OK;
}

/* ---- Transpose after Transpose --------------------------------------------------------------------------------- */

/* The node's order of axes; where it is not given it is the reverse, for which the rank must be known. */
static bool order_of(const pass *p, const node *n, uint32_t *ret_rank, int64_t order[TENSOR_RANK_MAX])
{
    uint32_t count;
    const int64_t *perm = node_ints(n, "perm", &count);
    if (count > TENSOR_RANK_MAX) return false;
    if (perm) {
        for (uint32_t i = 0; i < count; i++) {
            if (perm[i] < 0 || perm[i] >= count) return false;
            order[i] = perm[i];
        }
        *ret_rank = count;
        return true;
    }
    if (!facts_rank(p->facts, n->in[0], ret_rank)) return false;
    for (uint32_t i = 0; i < *ret_rank; i++) order[i] = (int64_t)*ret_rank - 1 - i;
    return true;
}

static err_code transpose_merge(pass *p, node *n, err *e)
{
    const node *m = pass_producer(p, n->in[0]);
    int64_t first[TENSOR_RANK_MAX], second[TENSOR_RANK_MAX];
    uint32_t rank, rank2;
    if (!m || !is(m, "Transpose") || p->becomes[m->in[0]] != VALUE_NONE) return ERR_OK;
    if (!order_of(p, m, &rank, first) || !order_of(p, n, &rank2, second) || rank != rank2) return ERR_OK;
    int64_t *both = arena_new(p->graph->memory, int64_t, rank);
    if (!both) return err_set(e, ERR_NOMEM, "no memory for an attribute");
    bool same = true;
    for (uint32_t i = 0; i < rank; i++) {
        both[i] = first[second[i]];
        same &= both[i] == i;
    }
    err_code rc = pass_attr_set(p, n, (attr){.name = STR("perm"), .kind = ATTR_INTS, .count = rank, .ints = both}, e);
    if (rc) return rc;
    p->readers[n->in[0]]--;
    p->readers[m->in[0]]++;
    n->in[0] = m->in[0];
    p->changes++;
    if (same) bypass(p, n);
    return ERR_OK;
}

err_code pass_transpose(pass *p, err *e)
{
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < p->graph->node_count && !rc; i++) {
        node *n = &p->graph->nodes[i];
        if (!n->dead && is(n, "Transpose")) rc = transpose_merge(p, n, e);
    }
    return rc;
}

/* ---- Pad before Conv ------------------------------------------------------------------------------------------- */

/* The pads of a Pad node that adds zeros around all but the first two axes; NULL = it is another kind. */
static const int64_t *zero_pads(const pass *p, const node *n, uint32_t *ret_rank)
{
    const tensor *t = n->in_count > 1 ? pass_constant(p, n->in[1]) : NULL,
                 *v = n->in_count > 2 ? pass_constant(p, n->in[2]) : NULL;
    bool zero = n->in_count <= 2 || n->in[2] == VALUE_NONE ||
                (v && T1(v->type) & T_FLOAT && tensor_count(v) == 1 && tensor_f64(v, 0) == 0);
    uint32_t count;
    const int64_t *pads = node_ints(n, "pads", &count);
    if (!str_is(node_str(n, "mode", STR("constant")), "constant") || node_float(n, "value", 0) != 0 || n->in_count > 3)
        return NULL;
    if (!zero) return NULL;
    if (!pads && t && t->type == DT_I64) {
        pads = t->data;
        count = (uint32_t)tensor_count(t);
    }
    uint32_t rank = count / 2;
    if (!pads || count % 2 || rank < 3 || rank > TENSOR_RANK_MAX) return NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (pads[i] < 0 || pads[i] > INT32_MAX || (i % rank < 2 && pads[i])) return NULL;
    }
    *ret_rank = rank;
    return pads;
}

static err_code pad_merge(pass *p, node *conv, err *e)
{
    node *n = pass_only_feeds(p, conv->in[0]);
    uint32_t rank, count;
    const int64_t *own = node_ints(conv, "pads", &count), *extra = n && is(n, "Pad") ? zero_pads(p, n, &rank) : NULL;
    if (!extra || !str_is(node_str(conv, "auto_pad", STR("NOTSET")), "NOTSET") || (own && count != 2 * (rank - 2)))
        return ERR_OK;
    uint32_t spatial = rank - 2;
    int64_t *pads = arena_new(p->graph->memory, int64_t, 2 * (size_t)spatial);
    if (!pads) return err_set(e, ERR_NOMEM, "no memory for an attribute");
    for (uint32_t i = 0; i < spatial; i++) {
        pads[i] = extra[2 + i];
        pads[spatial + i] = extra[rank + 2 + i];
        if (own && (__builtin_add_overflow(pads[i], own[i], &pads[i]) ||
                    __builtin_add_overflow(pads[spatial + i], own[spatial + i], &pads[spatial + i]))) return ERR_OK;
    }
    attr a = {.name = STR("pads"), .kind = ATTR_INTS, .count = 2 * spatial, .ints = pads};
    err_code rc = pass_attr_set(p, conv, a, e);
    if (!rc) rc = pass_fused(p, conv, n, e);
    if (rc) return rc;
    conv->in[0] = n->in[0];
    n->dead = true;
    p->changes++;
    return ERR_OK;
}

err_code pass_pad(pass *p, err *e)
{
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < p->graph->node_count && !rc; i++) {
        node *n = &p->graph->nodes[i];
        if (!n->dead && is(n, "Conv")) rc = pad_merge(p, n, e);
    }
    return rc;
}

/* ---- ZipMap ----------------------------------------------------------------------------------------------------- */

err_code pass_zipmap(pass *p, err *e)
{
    (void)e;
    for (uint32_t i = 0; i < p->graph->node_count; i++) {
        const node *n = &p->graph->nodes[i];
        if (!str_is(n->domain, "ai.onnx.ml") || !str_is(n->op, "ZipMap")) continue;
        value *v = &p->graph->values[n->out[0]];
        const attr *labels = node_attr(n, "classlabels_strings");
        const value *x = &p->graph->values[n->in[0]];
        v->labels = labels ? labels : node_attr(n, "classlabels_int64s");
        v->other = NULL;
        v->type = DT_F32;
        v->ranked = x->ranked;
        v->declared = x->declared;
        memcpy(v->dim_name, x->dim_name, sizeof v->dim_name);
    }
    return ERR_OK;
}
