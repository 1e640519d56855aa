#include "engine/pass.h"

#include <string.h>

const pass_row pass_lowering[] = {
    {"zipmap", pass_zipmap},
    {0},
};

const pass_row pass_table[] = {
    {"identity", pass_identity}, {"fold", pass_fold},
    {"align", pass_align},       {"transpose", pass_transpose},
    {"pad", pass_pad},           {"affine", pass_affine},
    {"residual", pass_residual}, {"act", pass_act},
    {"dead", pass_dead},         {0},
};

static err_code no_memory(err *e) { return err_set(e, ERR_NOMEM, "no memory for a pass"); }

const tensor *pass_constant(const pass *p, value_id v)
{
    if (v == VALUE_NONE || p->graph->values[v].from != VALUE_CONST) return NULL;
    return p->graph->values[v].init;
}

const tensor *pass_floats(const pass *p, value_id v)
{
    const tensor *t = pass_constant(p, v);
    return t && t->type == DT_F32 ? t : NULL;
}

node *pass_producer(const pass *p, value_id v)
{
    if (v == VALUE_NONE || v >= p->value_count || !p->producer[v]) return NULL;
    node *n = &p->graph->nodes[p->producer[v] - 1];
    return n->dead ? NULL : n;
}

node *pass_only_feeds(const pass *p, value_id v)
{
    node *n = pass_producer(p, v);
    return n && p->readers[v] == 1 && n->out[0] == v ? n : NULL;
}

void pass_replace(pass *p, value_id from, value_id to)
{
    INVARIANT(from < p->value_count && p->becomes[from] == VALUE_NONE && from != to);
    INVARIANT(!p->is_output[from]);   /* outputs keep their names */
    p->becomes[from] = to;
    p->changes++;
}

bool pass_joins(const node *into, const node *from)
{
    if (from->residual) return false;
    return from->act.kind == ACT_NONE || (into->act.kind == ACT_NONE && into->row->flags & OP_FUSES_ACT);
}

void pass_take_output(pass *p, node *into, node *from)
{
    if (from->act.kind != ACT_NONE) into->act = from->act;
    into->out[0] = from->out[0];
    p->producer[from->out[0]] = (uint32_t)(into - p->graph->nodes) + 1;
    from->dead = true;
    p->changes++;
}

err_code pass_fused(pass *p, node *n, const node *part, err *e)
{
    n->fused = arena_printf(p->graph->memory, "%s%s" STR_FMT "%s%s", n->fused ? n->fused : "", n->fused ? "+" : "",
                            STR_ARG(part->op), part->fused ? "+" : "", part->fused ? part->fused : "");
    return n->fused ? ERR_OK : no_memory(e);
}

err_code pass_constant_add(pass *p, dtype type, const shape *s, value_id *ret, void **ret_data, err *e)
{
    tensor *t = arena_new(p->graph->memory, tensor, 1);
    if (!t) return no_memory(e);
    *t = tensor_make(type, s, NULL);
    size_t bytes = tensor_bytes(t);
    if (bytes && !(t->data = arena_push_raw(p->graph->memory, bytes, MEM_ALIGN))) return no_memory(e);
    err_code rc = graph_value_add(p->graph, ret, e);
    if (rc) return rc;
    p->graph->values[*ret] =
        (value){.from = VALUE_CONST, .type = type, .ranked = true, .declared = *s, .init = t, .outer = VALUE_NONE};
    *ret_data = t->data;
    return ERR_OK;
}

err_code pass_inputs_grow(pass *p, node *n, uint32_t count, err *e)
{
    if (n->in_count >= count) return ERR_OK;
    value_id *in = arena_new(p->graph->memory, value_id, count);
    if (!in) return no_memory(e);
    for (uint32_t i = 0; i < count; i++) in[i] = i < n->in_count ? n->in[i] : VALUE_NONE;
    n->in = in;
    n->in_count = count;
    return ERR_OK;
}

err_code pass_attr_set(pass *p, node *n, attr a, err *e)
{
    attr *attrs = arena_new(p->graph->memory, attr, (size_t)n->attr_count + 1);   /* the old ones may be shared */
    if (!attrs) return no_memory(e);
    uint32_t at = n->attr_count;
    for (uint32_t i = 0; i < n->attr_count; i++) {
        attrs[i] = n->attrs[i];
        if (str_eq(n->attrs[i].name, a.name)) at = i;
    }
    attrs[at] = a;
    n->attrs = attrs;
    if (at == n->attr_count) n->attr_count++;
    return ERR_OK;
}

/* ---- running a table ------------------------------------------------------------------------------------------ */

static err_code begin(pass *p, err *e)
{
    graph *g = p->graph;
    value_id v;
    p->value_count = g->value_count;
    p->readers = arena_new(p->scratch, uint32_t, g->value_count);
    p->producer = arena_new(p->scratch, uint32_t, g->value_count);
    p->becomes = arena_new(p->scratch, value_id, g->value_count);
    p->is_output = arena_new(p->scratch, bool, g->value_count);
    if (!p->readers || !p->producer || !p->becomes || !p->is_output) return no_memory(e);
    for (v = 0; v < g->value_count; v++) p->becomes[v] = VALUE_NONE;
    for (uint32_t i = 0; i < g->node_count; i++) {
        const node *n = &g->nodes[i];
        for (uint32_t at = 0; node_reads(n, &at, &v);) {
            if (v != VALUE_NONE) p->readers[v]++;
        }
        for (uint32_t k = 0; k < n->out_count; k++) {
            if (n->out[k] != VALUE_NONE) p->producer[n->out[k]] = i + 1;
        }
    }
    for (uint32_t i = 0; i < g->output_count; i++) {
        p->readers[g->outputs[i]]++;
        p->is_output[g->outputs[i]] = true;
    }
    return ERR_OK;
}

static bool moved_on(const pass *p, value_id v)
{
    return v != VALUE_NONE && v < p->value_count && p->becomes[v] != VALUE_NONE;
}

/* What a value became, through chains of replacements, which end: each was made by an earlier node than the last.  All
 * on the way then know it, too: a chain of a million costs a million steps, not their square. */
static value_id end_of(pass *p, value_id v)
{
    value_id end = v, next;
    while (moved_on(p, end)) end = p->becomes[end];
    for (; v != end && (next = p->becomes[v]) != end; v = next) p->becomes[v] = end;
    return end;
}

static void replace_all(pass *p)
{
    graph *g = p->graph;
    const graph *sub;
    for (uint32_t i = 0; i < g->node_count; i++) {
        node *n = &g->nodes[i];
        for (uint32_t k = 0; k < n->in_count; k++) n->in[k] = end_of(p, n->in[k]);
        for (uint32_t k = 0; (sub = node_graph(n, k)); k++) {
            for (value_id v = 0; v < sub->value_count; v++) {
                if (sub->values[v].from == VALUE_OUTER) sub->values[v].outer = end_of(p, sub->values[v].outer);
            }
        }
    }
}

static err_code run_one(pass *p, const pass_row *row, err *e)
{
    err_code rc = begin(p, e);
    if (!rc) rc = row->run(p, e);
    if (rc) return err_wrap(e, "pass %s", row->name);
    replace_all(p);
    arena_reset(p->scratch);
    return graph_sort(p->graph, e);
}

err_code passes_run(graph *g, const pass_row *table, const facts *f, const pass_opts *o, err *e)
{
    arena scratch;
    arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
    pass p = {.graph = g, .facts = f, .kernels = o->kernels, .fold_left = o->fold_max, .scratch = &scratch};
    err_code rc = ERR_OK;
    for (int round = 0; round < PASS_ROUNDS_MAX && !rc; round++) {
        p.changes = 0;
        for (const pass_row *row = table; row->name && !rc; row++) rc = run_one(&p, row, e);
        if (!p.changes) break;
    }
    arena_fini(&scratch);
    return rc;
}
