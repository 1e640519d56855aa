/* What is known before any request is computed once; what nobody reads is not computed at all. */
#include "engine/pass.h"

static bool foldable(const pass *p, const node *n)
{
    if (n->dead || n->row->flags & (OP_RANDOM | OP_GRAPH)) return false;
    for (uint32_t i = 0; i < n->in_count; i++) {
        if (n->in[i] != VALUE_NONE && !pass_constant(p, n->in[i])) return false;
    }
    return true;
}

/* The outputs' memory, in the model's arena.  *ret_fits = false: over the budget, the node is left to the run. */
static err_code outputs_alloc(pass *p, op_call *c, bool *ret_fits, err *e)
{
    size_t sum = 0;
    *ret_fits = true;
    for (uint32_t i = 0; i < c->out_count; i++) {
        size_t bytes = c->out[i] ? tensor_bytes(c->out[i]) : 0;
        if (bytes > p->fold_left || __builtin_add_overflow(sum, bytes, &sum) || sum > p->fold_left) {
            *ret_fits = false;
            return ERR_OK;
        }
    }
    for (uint32_t i = 0; i < c->out_count; i++) {
        size_t bytes = c->out[i] ? tensor_bytes(c->out[i]) : 0;
        if (!bytes) continue;
        c->out[i]->data = arena_push_raw(p->graph->memory, bytes, MEM_ALIGN);
        if (!c->out[i]->data) return err_set(e, ERR_NOMEM, "no memory for %zu bytes", bytes);
    }
    p->fold_left -= sum;
    return ERR_OK;
}

static void become_constants(pass *p, node *n, tensor *const *out)
{
    for (uint32_t i = 0; i < n->out_count; i++) {
        if (n->out[i] == VALUE_NONE) continue;
        value *v = &p->graph->values[n->out[i]];
        v->from = VALUE_CONST;
        v->init = out[i];
        v->type = out[i]->type;
        v->ranked = true;
        v->declared = out[i]->shape;
    }
    n->dead = true;
    p->changes++;
}

static err_code fold(pass *p, node *n, arena *scratch, err *e)
{
    const tensor **in = arena_new(scratch, const tensor *, n->in_count);
    tensor **out = arena_new(scratch, tensor *, n->out_count);
    tensor *made = arena_new(p->graph->memory, tensor, n->out_count);
    arena run_scratch;
    if (!in || !out || !made) return err_set(e, ERR_NOMEM, "no memory to fold a node");
    for (uint32_t i = 0; i < n->in_count; i++) in[i] = pass_constant(p, n->in[i]);
    for (uint32_t i = 0; i < n->out_count; i++) out[i] = n->out[i] == VALUE_NONE ? NULL : &made[i];
    arena_init(&run_scratch, NULL, 0, SIZE_MAX / 2);
    op_call c = {.node = n, .graph = p->graph, .in_count = n->in_count, .out_count = n->out_count, .in = in, .out = out,
                 .k = p->kernels, .scratch = &run_scratch, .lasting = p->graph->memory};
    bool fits = true;
    err_code rc = op_infer(&c, e);
    if (!rc && c.later) fits = false;
    arena_reset(&run_scratch);
    if (!rc && fits && n->row->flags & OP_VIEW) {
        out[0]->data = in[0]->data;
    } else if (!rc && fits) {
        if (!(n->row->flags & OP_RUNTIME)) rc = outputs_alloc(p, &c, &fits, e);
        if (!rc && fits && op_makes_anything(&c)) rc = n->row->run(&c, e);
    }
    if (!rc && fits) become_constants(p, n, out);
    arena_fini(&run_scratch);
    return rc;
}

/* A node of a subgraph that cannot be computed may never be reached: its error is the run's. */
static bool is_forgiven(const pass *p, err_code rc) { return p->graph->parent && rc != ERR_NOMEM; }

err_code pass_fold(pass *p, err *e)
{
    arena scratch;
    err_code rc = ERR_OK;
    arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
    /* In order, so that a chain of constants folds in one round. */
    for (uint32_t i = 0; i < p->graph->node_count && !rc; i++) {
        node *n = &p->graph->nodes[i];
        if (!foldable(p, n)) continue;
        rc = fold(p, n, &scratch, e);
        if (rc && is_forgiven(p, rc)) rc = ERR_OK;
        arena_reset(&scratch);
    }
    arena_fini(&scratch);
    return rc;
}

err_code pass_dead(pass *p, err *e)
{
    (void)e;
    value_id v;
    /* Against the order: a reader goes before what it reads. */
    for (uint32_t i = p->graph->node_count; i-- > 0;) {
        node *n = &p->graph->nodes[i];
        bool read = false;
        for (uint32_t k = 0; k < n->out_count; k++) {
            if (n->out[k] == VALUE_NONE) continue;
            if (p->readers[n->out[k]]) read = true;
            else if (k > 0) n->out[k] = VALUE_NONE;   /* left out, not taken off: Split and If count their outputs */
        }
        if (read || n->dead) continue;
        n->dead = true;
        p->changes++;
        for (uint32_t at = 0; node_reads(n, &at, &v);) {
            if (v != VALUE_NONE) p->readers[v]--;
        }
    }
    return ERR_OK;
}
