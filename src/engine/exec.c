#include "engine/exec.h"

#include "engine/subrun.h"
#include "os/clock.h"

/* The clock is read before so many steps, some 3 ns for each, or before every one, which may take long by itself, where
 * tensors are large or of a size that is not known. */
enum { STEPS_PER_LOOK = 8, LOOK_BYTES = 64 << 10 };

static void *address_of(const exec *x, value_id v)
{
    const plan_value *pv = &x->plan->values[v];
    switch (pv->place) {
    case PLACE_KNOWN: return pv->t.data;
    case PLACE_INPUT: case PLACE_BUFFER: return pv->bytes ? x->memory + pv->offset : NULL;
    case PLACE_ALIAS: {
        place under = x->plan->values[pv->of].place;
        return under == PLACE_BUFFER || under == PLACE_KNOWN ? address_of(x, pv->of)
                                                             : NULL; /* others: a STEP_VIEW sets it */
    }
    default: return NULL;
    }
}

static void calls_bind(exec *x)
{
    const tensor **in = x->in;
    tensor **out = x->out;
    for (uint32_t i = 0; i < x->plan->step_count; i++) {
        const node *n = x->plan->steps[i].node;
        x->calls[i] = (op_call){.node = n,
                                .graph = x->plan->graph,
                                .in_count = n->in_count,
                                .out_count = n->out_count,
                                .in = in,
                                .out = out,
                                .state = n->state,
                                .pool = x->opts.pool,
                                .k = x->opts.kernels,
                                .scratch = &x->scratch,
                                .lasting = &x->lasting,
                                .within = x};
        for (uint32_t k = 0; k < n->in_count; k++) *in++ = n->in[k] == VALUE_NONE ? NULL : &x->values[n->in[k]];
        for (uint32_t k = 0; k < n->out_count; k++) *out++ = n->out[k] == VALUE_NONE ? NULL : &x->values[n->out[k]];
    }
}

static err_code no_memory(const plan *p, err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for an execution of %zu bytes", p->bytes);
}

static err_code over_share(const exec_opts *o, const plan *p, err *e)
{
    return err_set(e, ERR_LIMIT, "memory of the model's executions: expected at most %zu bytes in all, got %zu and %zu "
                   "more", o->share->max, quota_used(o->share), p->bytes);
}

err_code exec_new(exec **ret, const plan *p, const exec_opts *o, err *e)
{
    CLEANUP(exec) exec *x = mem_new0(exec, 1);
    if (!x) return no_memory(p, e);
    x->plan = p;
    x->opts = *o;
    arena_init(&x->tables, NULL, 0, SIZE_MAX / 2);
    x->tables.snug = true;
    arena_init(&x->lasting, NULL, 0, o->memory_max > p->bytes ? o->memory_max - p->bytes : 0);
    arena_init(&x->scratch, NULL, 0, o->memory_max);
    x->tables.share = x->lasting.share = x->scratch.share = o->share;
    if (!quota_follow(o->share, &x->taken, p->bytes)) return over_share(o, p, e);
    x->memory = mem_alloc_raw(p->bytes);
    x->values = arena_new(&x->tables, tensor, p->graph->value_count);
    x->calls = arena_new(&x->tables, op_call, p->step_count);
    x->in = arena_new(&x->tables, const tensor *, p->arg_count);
    x->out = arena_new(&x->tables, tensor *, p->arg_count);
    bool whole = x->memory && x->values && x->calls && x->in && x->out;
    if (!whole) return x->tables.shared_out ? over_share(o, p, e) : no_memory(p, e);
    for (value_id v = 0; v < p->graph->value_count; v++) {
        x->values[v] = p->values[v].t;
        x->values[v].data = address_of(x, v);
    }
    calls_bind(x);
    *ret = TAKE(x);
    return ERR_OK;
}

void exec_free(exec *x)
{
    if (!x) return;
    for (uint32_t i = 0; x->calls && i < x->plan->step_count; i++) subrun_free(x->calls[i].kept);
    arena_fini(&x->scratch);
    arena_fini(&x->lasting);
    arena_fini(&x->tables);
    mem_free(x->memory);
    if (x->opts.share) quota_give_all(x->opts.share, &x->taken);
    mem_free(x);
}

bool exec_shared_out(const exec *x)
{
    bool out = x->lasting.shared_out || x->scratch.shared_out;
    for (uint32_t i = 0; i < x->plan->step_count && !out; i++) out = subrun_shared_out(x->calls[i].kept);
    return out;
}

void exec_rest(exec *x)
{
    arena_reset(&x->lasting);
    x->lasting.shared_out = x->scratch.shared_out = false;
    x->held = x->plan->bytes + x->lasting.room + x->scratch.room;
    for (uint32_t i = 0; i < x->plan->step_count; i++) x->held += subrun_rest(x->calls[i].kept);
}

void exec_inputs_reset(exec *x)
{
    const graph *g = x->plan->graph;
    for (uint32_t i = 0; i < g->input_count; i++) x->values[g->inputs[i]].data = address_of(x, g->inputs[i]);
}

tensor *exec_input(exec *x, uint32_t i)
{
    INVARIANT(i < x->plan->graph->input_count);
    return &x->values[x->plan->graph->inputs[i]];
}

const tensor *exec_output(const exec *x, uint32_t i)
{
    INVARIANT(i < x->plan->graph->output_count);
    return &x->values[x->plan->graph->outputs[i]];
}

/* A node whose shapes hang on this request: inferred now, its memory taken from the growing arena. */
static err_code late_run(op_call *c, err *e)
{
    const op_row *row = c->node->row;
    for (uint32_t i = 0; i < c->out_count; i++) {
        if (c->out[i]) *c->out[i] = (tensor){0};
    }
    c->later = false;
    err_code rc = op_infer(c, e);
    if (rc) return rc;
    if (c->later) return op_err(c, e, ERR_INTERNAL, "asks for an input that is known");
    if (row->flags & OP_VIEW) {
        c->out[0]->data = c->in[0]->data;
        return ERR_OK;
    }
    for (uint32_t i = 0; i < c->out_count && !(row->flags & OP_RUNTIME) && !rc; i++) {
        if (!c->out[i]) continue;
        shape s = c->out[i]->shape;
        rc = op_alloc(c, i, c->out[i]->type, &s, e);
    }
    return rc || !op_makes_anything(c) ? rc : row->run(c, e);
}

err_code exec_stopped(const exec_stop *s, uint64_t now_us, err *e)
{
    if (s->cancelled && atomic_load_explicit(s->cancelled, memory_order_relaxed))
        return err_set(e, ERR_CANCELLED, "cancelled before the last node");
    if (s->until_us && now_us >= s->until_us)
        return err_set(e, ERR_TIMEOUT, "its time was over before the last node");
    return ERR_OK;
}

err_code exec_steps(exec *x, const exec_stop *stop, err *e)
{
    arena_reset(&x->lasting);
    x->stop = stop;
    bool each = x->plan->late_count > 0 || x->plan->bytes >= LOOK_BYTES;
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < x->plan->step_count && !rc; i++) {
        op_call *c = &x->calls[i];
        bool look = each || i % STEPS_PER_LOOK == STEPS_PER_LOOK - 1;
        if (stop && (rc = exec_stopped(stop, look && stop->until_us ? clock_now_us() : 0, e)) != ERR_OK) break;
        switch (x->plan->steps[i].kind) {
        case STEP_VIEW: c->out[0]->data = c->in[0]->data; break;
        case STEP_RUN: rc = c->node->row->run(c, e); break;
        case STEP_LATE: rc = late_run(c, e); break;
        }
        if (x->scratch.used) arena_reset(&x->scratch);
    }
    return rc;
}
