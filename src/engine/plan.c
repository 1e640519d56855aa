#include "engine/plan.h"

#include "engine/holes.h"

/* The life of a value's memory is counted in steps: node i is step i + 1, inputs live from 0; outputs of the graph: */
#define FOREVER UINT32_MAX

typedef struct {
    plan *p;
    const plan_opts *o;
    arena *work;                  /* dies when the plan is made */
    arena *scratch;               /* of the node being run */
    uint32_t *last;               /* [values] the last node + 1 that reads the value, or one that shares its memory */
    bool *gone;                   /* [values] its memory was given back */
    const tensor **in;            /* arguments of the node at hand */
    tensor **out;
    holes holes;
} planner;

static err_code no_memory(err *e) { return err_set(e, ERR_NOMEM, "no memory for a plan"); }

/* The value whose memory v shares; a late view names it too, once it is made. */
static value_id root_of(const plan *p, value_id v) { return p->values[v].of != VALUE_NONE ? p->values[v].of : v; }

static void lives_until(planner *w, value_id v, uint32_t step)
{
    if (step > w->last[v]) w->last[v] = step;
}

static void lives_find(planner *w)
{
    const graph *g = w->p->graph;
    value_id v;
    for (uint32_t i = 0; i < g->node_count; i++) {
        for (uint32_t at = 0; node_reads(&g->nodes[i], &at, &v);) {
            if (v != VALUE_NONE) lives_until(w, v, i + 1);
        }
    }
    for (uint32_t i = 0; i < g->output_count; i++) w->last[g->outputs[i]] = FOREVER;
}

/* ---- memory --------------------------------------------------------------------------------------------------- */

static err_code buffer_take(planner *w, value_id v, place where, err *e)
{
    plan_value *pv = &w->p->values[v];
    size_t bytes = tensor_bytes(&pv->t);
    bool too_large = bytes > OP_BYTES_MAX;   /* a model may declare any shape; SIZE_MAX would round up to 0 */
    pv->place = where;
    pv->bytes = too_large ? 0 : round_up(bytes, MEM_ALIGN);
    if (!bytes) return ERR_OK;
    pv->offset = too_large ? SIZE_MAX : holes_take(&w->holes, pv->bytes);
    if (pv->offset == SIZE_MAX || w->holes.end > w->o->memory_max)
        return err_set(e, ERR_LIMIT, "one execution needs more than the %zu bytes it may use", w->o->memory_max);
    return ERR_OK;
}

static void buffer_give(planner *w, value_id v, uint32_t step)
{
    v = root_of(w->p, v);
    plan_value *pv = &w->p->values[v];
    if ((pv->place != PLACE_BUFFER && pv->place != PLACE_INPUT) || !pv->bytes || w->last[v] > step || w->gone[v])
        return;
    holes_give(&w->holes, pv->offset, pv->bytes);
    w->gone[v] = true;
}

static void alias(planner *w, value_id v, value_id of)
{
    of = root_of(w->p, of);
    w->p->values[v].place = PLACE_ALIAS;
    w->p->values[v].of = of;
    lives_until(w, of, w->last[v]);
}

/* The dying input whose memory output 0 may take over, or VALUE_NONE.  Never the caller's inputs: they are not ours. */
static value_id reusable(const planner *w, const node *n, uint32_t step)
{
    if (!(n->row->flags & OP_INPLACE) || n->out[0] == VALUE_NONE) return VALUE_NONE;
    const tensor *out = &w->p->values[n->out[0]].t;
    for (uint32_t i = 0; i < n->in_count; i++) {
        if (n->in[i] == VALUE_NONE) continue;
        const tensor *in = &w->p->values[n->in[i]].t;
        value_id root = root_of(w->p, n->in[i]);
        const plan_value *r = &w->p->values[root];
        if (r->place == PLACE_BUFFER && w->last[root] == step && in->type == out->type &&
            shape_eq(&in->shape, &out->shape) && r->bytes == round_up(tensor_bytes(out), MEM_ALIGN))
            return n->in[i];
    }
    return VALUE_NONE;
}

/* ---- nodes ---------------------------------------------------------------------------------------------------- */

static void call_make(planner *w, const node *n, op_call *c)
{
    for (uint32_t i = 0; i < n->in_count; i++) w->in[i] = n->in[i] == VALUE_NONE ? NULL : &w->p->values[n->in[i]].t;
    for (uint32_t i = 0; i < n->out_count; i++) w->out[i] = n->out[i] == VALUE_NONE ? NULL : &w->p->values[n->out[i]].t;
    *c = (op_call){.node = n,
                   .graph = w->p->graph,
                   .in_count = n->in_count,
                   .out_count = n->out_count,
                   .in = w->in,
                   .out = w->out,
                   .state = n->state,
                   .k = w->o->kernels,
                   .scratch = w->scratch,
                   .lasting = &w->p->memory};
}

static bool is_late(const planner *w, const node *n)
{
    value_id v;
    for (uint32_t at = 0; node_reads(n, &at, &v);) {
        if (v != VALUE_NONE && w->p->values[v].place == PLACE_LATE) return true;
    }
    return false;
}

static bool can_fold(const op_call *c)
{
    uint32_t flags = c->node->row->flags;
    if (flags & (OP_RANDOM | OP_GRAPH)) return false;
    if (!(flags & OP_SHAPE)) {
        for (uint32_t i = 0; i < c->in_count; i++) {
            if (!op_known(c, i)) return false;
        }
    }
    size_t bytes = 0;
    for (uint32_t i = 0; i < c->out_count && !(flags & (OP_VIEW | OP_RUNTIME)); i++) {
        size_t one = c->out[i] ? tensor_bytes(c->out[i]) : 0;
        if (one > PLAN_FOLD_MAX || (bytes += one) > PLAN_FOLD_MAX) return false;
    }
    return true;
}

static err_code fold(planner *w, op_call *c, err *e)
{
    const node *n = c->node;
    err_code rc = ERR_OK;
    if (n->row->flags & OP_VIEW) {
        c->out[0]->data = c->in[0]->data;
    } else {
        for (uint32_t i = 0; i < c->out_count && !(n->row->flags & OP_RUNTIME); i++) {
            size_t bytes = c->out[i] ? tensor_bytes(c->out[i]) : 0;
            if (!bytes) continue;
            c->out[i]->data = arena_push_raw(&w->p->memory, bytes, MEM_ALIGN);
            if (!c->out[i]->data)
                return op_err(c, e, ERR_LIMIT, "more than %zu bytes are known before the run", PLAN_FOLD_TOTAL);
        }
        if (op_makes_anything(c)) rc = n->row->run(c, e);
        arena_reset(w->scratch);
    }
    for (uint32_t i = 0; i < n->out_count; i++) {
        if (n->out[i] != VALUE_NONE) w->p->values[n->out[i]].place = PLACE_KNOWN;
    }
    return rc;
}

static void step_add(planner *w, const node *n, step_kind kind)
{
    w->p->steps[w->p->step_count++] = (plan_step){n, kind};
    w->p->arg_count += n->in_count + n->out_count;
    w->p->late_count += kind == STEP_LATE;
    w->p->uneven |= kind == STEP_LATE || n->row->flags & OP_UNEVEN;
}

static void late_place(planner *w, const node *n)
{
    for (uint32_t i = 0; i < n->out_count; i++) {
        if (n->out[i] == VALUE_NONE) continue;
        w->p->values[n->out[i]].place = PLACE_LATE;
        w->p->values[n->out[i]].t = (tensor){0};
    }
    /* A late view may turn out to look at planned memory, which must then live as long as the view. */
    if (!(n->row->flags & OP_VIEW)) return;
    w->p->values[n->out[0]].of = root_of(w->p, n->in[0]);
    lives_until(w, w->p->values[n->out[0]].of, w->last[n->out[0]]);
}

static err_code outputs_place(planner *w, const op_call *c, uint32_t step, err *e)
{
    const node *n = c->node;
    bool aliased = false;
    if (n->row->flags & OP_VIEW) {
        place under = w->p->values[root_of(w->p, n->in[0])].place;
        alias(w, n->out[0], n->in[0]);
        if (under != PLACE_BUFFER && under != PLACE_KNOWN) step_add(w, n, STEP_VIEW);   /* its address is not fixed */
        return ERR_OK;
    }
    value_id from = reusable(w, n, step);
    if (from != VALUE_NONE) {
        alias(w, n->out[0], from);
        aliased = true;
    }
    if (op_makes_anything(c)) step_add(w, n, STEP_RUN);
    err_code rc = ERR_OK;
    for (uint32_t i = aliased; i < n->out_count && !rc; i++) {
        if (n->out[i] != VALUE_NONE) rc = buffer_take(w, n->out[i], PLACE_BUFFER, e);
    }
    return rc;
}

static err_code node_plan(planner *w, uint32_t index, err *e)
{
    const node *n = &w->p->graph->nodes[index];
    err_code rc = ERR_OK;
    op_call c;
    call_make(w, n, &c);
    bool late = is_late(w, n);
    if (!late) rc = op_infer(&c, e);
    arena_reset(w->scratch);
    bool known = !rc && !late && !c.later && can_fold(&c);
    if (known) rc = fold(w, &c, e);
    if (rc && w->o->probe) {
        late = true;
        known = false;
        rc = ERR_OK;
    }
    if (rc) return rc;
    if (late || c.later || (n->row->flags & OP_RUNTIME && !known)) {
        late_place(w, n);
        step_add(w, n, STEP_LATE);
    } else if (!known) {
        for (uint32_t i = 0; i < n->out_count; i++) INVARIANT(!c.out[i] || c.out[i]->type != DT_NONE);
        rc = outputs_place(w, &c, index + 1, e);
    }
    value_id v;
    for (uint32_t at = 0; node_reads(n, &at, &v);) {
        if (v != VALUE_NONE) buffer_give(w, v, index + 1);
    }
    for (uint32_t i = 0; i < n->out_count; i++) {
        if (n->out[i] != VALUE_NONE) buffer_give(w, n->out[i], index + 1);
    }
    return rc;
}

static err_code values_start(planner *w, err *e)
{
    const graph *g = w->p->graph;
    err_code rc = ERR_OK;
    for (value_id v = 0; v < g->value_count; v++) {
        plan_value *pv = &w->p->values[v];
        pv->of = VALUE_NONE;
        if (g->values[v].from == VALUE_CONST) {
            pv->t = *g->values[v].init;
            pv->place = PLACE_KNOWN;
        } else if (g->values[v].from == VALUE_OUTER) {
            INVARIANT(w->o->outer);
            pv->t = w->o->outer[g->values[v].outer];
            pv->place = pv->t.type == DT_NONE ? PLACE_LATE : pv->t.data ? PLACE_KNOWN : PLACE_OUTER;
        }
    }
    for (uint32_t i = 0; i < g->input_count && !rc; i++) {
        const tensor *in = &w->o->inputs[i];
        char text[SHAPE_TEXT_MAX];
        if (!shape_bounded(&in->shape))
            return err_set(e, ERR_LIMIT, "input '" STR_FMT "': shape %s is too large",
                           STR_ARG(g->values[g->inputs[i]].name), shape_text(&in->shape, text));
        w->p->values[g->inputs[i]].t = *in;
        w->p->values[g->inputs[i]].t.data = NULL;
        rc = buffer_take(w, g->inputs[i], PLACE_INPUT, e);
    }
    return rc;
}

static err_code build(planner *w, err *e)
{
    const graph *g = w->p->graph;
    uint32_t in_max = 0, out_max = 0;
    for (uint32_t i = 0; i < g->node_count; i++) {
        if (g->nodes[i].in_count > in_max) in_max = g->nodes[i].in_count;
        if (g->nodes[i].out_count > out_max) out_max = g->nodes[i].out_count;
    }
    w->last = arena_new(w->work, uint32_t, g->value_count);
    w->gone = arena_new(w->work, bool, g->value_count);
    w->in = arena_new(w->work, const tensor *, in_max);
    w->out = arena_new(w->work, tensor *, out_max);
    w->p->values = arena_new(&w->p->memory, plan_value, g->value_count);
    w->p->steps = arena_new(&w->p->memory, plan_step, g->node_count);
    if (!w->last || !w->gone || !w->in || !w->out || !w->p->values || !w->p->steps ||
        !holes_init(&w->holes, w->work, PLAN_HOLES_MAX))
        return no_memory(e);
    lives_find(w);
    err_code rc = values_start(w, e);
    for (uint32_t i = 0; i < g->node_count && !rc; i++) rc = node_plan(w, i, e);
    w->p->bytes = w->holes.end;
    return rc;
}

err_code plan_new(plan **ret, const graph *g, const plan_opts *o, err *e)
{
    CLEANUP(plan) plan *p = mem_new0(plan, 1);
    if (!p) return no_memory(e);
    p->graph = g;
    arena_init(&p->memory, NULL, 0, PLAN_FOLD_TOTAL + (size_t)g->value_count * 256 + (size_t)g->node_count * 64);
    p->memory.snug = true;
    arena work, scratch;
    arena_init(&work, NULL, 0, SIZE_MAX / 2);
    /* What is only looked at has no bound of its own, but nodes are run for it. */
    arena_init(&scratch, NULL, 0, o->probe && o->memory_max > PLAN_FOLD_TOTAL ? PLAN_FOLD_TOTAL : o->memory_max);
    planner w = {.p = p, .o = o, .work = &work, .scratch = &scratch};
    err_code rc = build(&w, e);
    arena_fini(&scratch);
    arena_fini(&work);
    if (!rc) *ret = TAKE(p);
    return rc;
}

void plan_free(plan *p)
{
    if (!p) return;
    arena_fini(&p->memory);
    mem_free(p);
}

/* ---- for people ----------------------------------------------------------------------------------------------- */

enum { SHOWN_MAX = 64 };

/* The call of a step with its first SHOWN_MAX arguments; false when shapes are not known before the run. */
static bool step_call(const plan *p, const plan_step *s, const tensor *in[SHOWN_MAX], tensor out_copies[SHOWN_MAX],
                      tensor *out[SHOWN_MAX], op_call *c)
{
    const node *n = s->node;
    if (s->kind != STEP_RUN || n->in_count > SHOWN_MAX || n->out_count > SHOWN_MAX) return false;
    for (uint32_t i = 0; i < n->in_count; i++) in[i] = n->in[i] == VALUE_NONE ? NULL : &p->values[n->in[i]].t;
    for (uint32_t i = 0; i < n->out_count; i++) {
        if (n->out[i] != VALUE_NONE) out_copies[i] = p->values[n->out[i]].t;
        out[i] = n->out[i] == VALUE_NONE ? NULL : &out_copies[i];
    }
    *c = (op_call){.node = n,
                   .graph = p->graph,
                   .in_count = n->in_count,
                   .out_count = n->out_count,
                   .in = in,
                   .out = out,
                   .state = n->state};
    return true;
}

uint64_t plan_step_flops(const plan *p, const plan_step *s)
{
    const tensor *in[SHOWN_MAX];
    tensor out_copies[SHOWN_MAX], *out[SHOWN_MAX];
    op_call c;
    uint64_t sum = 0;
    if (!step_call(p, s, in, out_copies, out, &c)) return 0;
    if (s->node->row->flops) return s->node->row->flops(&c);
    for (uint32_t i = 0; i < c.out_count; i++) sum += out[i] ? tensor_count(out[i]) : 0;
    return sum;
}

const char *plan_step_kernel(const plan *p, const plan_step *s, const char *isa)
{
    const tensor *in[SHOWN_MAX];
    tensor out_copies[SHOWN_MAX], *out[SHOWN_MAX];
    op_call c;
    if (!step_call(p, s, in, out_copies, out, &c)) return "";
    return s->node->row->kernel ? s->node->row->kernel(&c) : isa;
}
