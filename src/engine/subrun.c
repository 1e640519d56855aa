#include "engine/subrun.h"

#include "base/mem.h"
#include "os/clock.h"

#include <string.h>

/* A plan for one set of inputs and outer values, and its execution. */
typedef struct entry entry;
struct entry {
    entry *next; /* used longer ago */
    const graph *graph;
    plan *plan;
    exec *exec;
    tensor *seen; /* inputs, then outer values: types and shapes */
};

struct subrun {
    entry *entries; /* the one used last first */
    uint32_t count;
    arena between[2];
    bool shared_out; /* an execution could not be made for want of the model's share */
};

static void entry_free(entry *x)
{
    if (!x) return;
    exec_free(x->exec);
    plan_free(x->plan);
    mem_free(x->seen);
    mem_free(x);
}
DEFINE_CLEANUP(entry)

void subrun_free(subrun *s)
{
    if (!s) return;
    while (s->entries) {
        entry *next = s->entries->next;
        entry_free(s->entries);
        s->entries = next;
    }
    arena_fini(&s->between[0]);
    arena_fini(&s->between[1]);
    mem_free(s);
}

size_t subrun_rest(subrun *s)
{
    size_t held = 0;
    for (entry *x = s ? s->entries : NULL; x; x = x->next) {
        exec_rest(x->exec);   /* nested at most GRAPH_DEPTH_MAX deep */
        held += x->exec->held;
    }
    if (s) s->shared_out = false;
    for (int i = 0; s && i < 2; i++) {
        arena_reset(&s->between[i]);
        s->between[i].shared_out = false;
        held += s->between[i].room;
    }
    return held;
}

bool subrun_shared_out(const subrun *s)
{
    bool out = s && (s->between[0].shared_out || s->between[1].shared_out || s->shared_out);
    for (const entry *x = s ? s->entries : NULL; x && !out; x = x->next) out = exec_shared_out(x->exec);
    return out;
}

static err_code no_memory(const op_call *c, err *e) { return op_err(c, e, ERR_NOMEM, "no memory to run a subgraph"); }

static err_code kept(op_call *c, subrun **ret, err *e)
{
    INVARIANT(c->within);
    if (!c->kept) {
        c->kept = mem_new0(subrun, 1);
        if (!c->kept) return no_memory(c, e);
        for (int i = 0; i < 2; i++) arena_init(&c->kept->between[i], NULL, 0, c->within->opts.memory_max);
        for (int i = 0; i < 2; i++) c->kept->between[i].share = c->within->opts.share;
    }
    *ret = c->kept;
    return ERR_OK;
}

err_code subrun_arena(op_call *c, int which, arena **ret, err *e)
{
    subrun *s;
    err_code rc = kept(c, &s, e);
    if (!rc) *ret = &s->between[which];
    return rc;
}

/* ---- finding or making an entry --------------------------------------------------------------------------------- */

static bool alike(const tensor *a, const tensor *b) { return a->type == b->type && shape_eq(&a->shape, &b->shape); }

static bool fits(const entry *x, const graph *g, const tensor *inputs, const tensor *around)
{
    if (x->graph != g) return false;
    const tensor *seen = x->seen;
    for (uint32_t i = 0; i < g->input_count; i++) {
        if (!alike(seen++, &inputs[i])) return false;
    }
    for (value_id v = 0; v < g->value_count; v++) {
        if (g->values[v].from == VALUE_OUTER && !alike(seen++, &around[g->values[v].outer])) return false;
    }
    return true;
}

/* Those values around that the subgraph names, as the plan may know them: data only of what this execution never
 * changes. */
static tensor *outer_make(const exec *within, const graph *g)
{
    tensor *outer = mem_new0(tensor, (size_t)within->plan->graph->value_count + 1);
    for (value_id v = 0; outer && v < g->value_count; v++) {
        value_id at = g->values[v].outer;
        if (g->values[v].from != VALUE_OUTER) continue;
        outer[at] = within->values[at];
        if (within->plan->values[at].place != PLACE_KNOWN) outer[at].data = NULL;
    }
    return outer;
}

static err_code entry_plan(entry *x, const op_call *c, const tensor *inputs, err *e)
{
    const exec_opts *mine = &c->within->opts;
    size_t used = c->within->plan->bytes, left = mine->memory_max > used ? mine->memory_max - used : 0;
    tensor *outer = outer_make(c->within, x->graph);
    err inner;
    if (!outer) return no_memory(c, e);
    plan_opts o = {.inputs = inputs, .outer = outer, .kernels = c->k, .memory_max = left};
    err_code rc = plan_new(&x->plan, x->graph, &o, &inner);
    mem_free(outer);
    exec_opts xo = {.pool = mine->pool, .kernels = c->k, .memory_max = left, .share = mine->share};
    if (!rc) {
        rc = exec_new(&x->exec, x->plan, &xo, &inner);
        c->kept->shared_out = rc == ERR_LIMIT;
    }
    return rc ? op_err(c, e, rc, "%s", inner.text) : ERR_OK;
}

static err_code entry_make(entry **ret, const op_call *c, const graph *g, const tensor *inputs, err *e)
{
    CLEANUP(entry) entry *x = mem_new0(entry, 1);
    const tensor *around = c->within->values;
    size_t count = g->input_count, at = 0;
    for (value_id v = 0; v < g->value_count; v++) count += g->values[v].from == VALUE_OUTER;
    if (!x) return no_memory(c, e);
    x->graph = g;
    x->seen = mem_new0(tensor, count + 1);
    if (!x->seen) return no_memory(c, e);
    for (uint32_t i = 0; i < g->input_count; i++) x->seen[at++] = inputs[i];
    for (value_id v = 0; v < g->value_count; v++) {
        if (g->values[v].from == VALUE_OUTER) x->seen[at++] = around[g->values[v].outer];
    }
    err_code rc = entry_plan(x, c, inputs, e);
    if (!rc) *ret = TAKE(x);
    return rc;
}

/* Moves the entry that fits to the front, or puts a new one there. */
static err_code entry_take(entry **ret, subrun *s, const op_call *c, const graph *g, const tensor *inputs, err *e)
{
    entry *x = NULL;
    for (entry **at = &s->entries; *at; at = &(*at)->next) {
        if (!fits(*at, g, inputs, c->within->values)) continue;
        x = *at;
        *at = x->next;
        break;
    }
    if (!x) {
        err_code rc = entry_make(&x, c, g, inputs, e);
        if (rc) return rc;
        s->count++;
    }
    x->next = s->entries;
    s->entries = x;
    if (s->count > SUBRUN_MAX) {
        entry **last = &s->entries;
        while ((*last)->next) last = &(*last)->next;
        entry_free(*last);
        *last = NULL;
        s->count--;
    }
    *ret = x;
    return ERR_OK;
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

err_code subrun_run(exec **ret, op_call *c, uint32_t which, const tensor *inputs, err *e)
{
    const graph *g = node_graph(c->node, which);
    subrun *s;
    entry *x = NULL;
    err inner;
    INVARIANT(g);
    err_code rc = kept(c, &s, e);
    if (!rc) rc = entry_take(&x, s, c, g, inputs, e);
    if (rc) return rc;
    for (uint32_t i = 0; i < g->input_count; i++) exec_input(x->exec, i)->data = inputs[i].data;
    for (value_id v = 0; v < g->value_count; v++) {
        if (g->values[v].from == VALUE_OUTER) x->exec->values[v].data = c->within->values[g->values[v].outer].data;
    }
    const exec_stop *stop = c->within->stop;
    if (stop) rc = exec_stopped(stop, stop->until_us ? clock_now_us() : 0, &inner);
    if (!rc) rc = exec_steps(x->exec, stop, &inner);
    if (rc) return op_err(c, e, rc, "%s", inner.text);
    *ret = x->exec;
    return ERR_OK;
}

err_code subrun_copy(tensor *ret, const op_call *c, const tensor *t, arena *a, err *e)
{
    size_t bytes = tensor_bytes(t);
    tensor copy = *t;
    copy.data = arena_copy(a, t->data, bytes, MEM_ALIGN);
    if (!copy.data) return op_err(c, e, ERR_LIMIT, "no room for %zu bytes of a subgraph's output", bytes);
    str *texts = copy.data;
    size_t text_count = t->type == DT_STRING ? bytes / sizeof *texts : 0;
    for (size_t i = 0; i < text_count; i++) {
        texts[i] = str_copy(a, texts[i]);
        if (!texts[i].p) return op_err(c, e, ERR_LIMIT, "no room for the strings of a subgraph's output");
    }
    *ret = copy;
    return ERR_OK;
}

err_code subrun_give(op_call *c, uint32_t i, const tensor *t, err *e)
{
    return i < c->out_count && c->out[i] ? subrun_copy(c->out[i], c, t, c->lasting, e) : ERR_OK;
}
