#include "engine/model.h"

#include "base/mem.h"
#include "engine/exec.h"
#include "engine/fitting.h"
#include "engine/onnx.h"
#include "engine/pass.h"
#include "engine/typing.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/lock.h"   /* style: loops and workers take executions of one model at the same time */

#include <string.h>

enum { PAGE_BYTES = 4096 };

/* A plan, the shapes it is for, and the executions of it that nobody uses now. */
typedef struct cached cached;
struct cached {
    cached *next;
    plan *plan;
    shape *inputs;               /* [input_count] */
    exec *idle;
    uint32_t users;              /* execs taken, and takers between two holds of the lock */
    bool dropped;                /* out of the list; the last user frees it */
    uint64_t used_at;
    _Atomic uint64_t cost_ns;    /* of a run; 0 = none has ended */
    model *of;
};

/* A file of external data, mapped once. */
typedef struct external external;
struct external {
    external *next;
    str location;
    file_map map;
};

struct model {
    model_opts opts;
    arena memory;
    graph *graph;
    model_io *inputs, *outputs;
    file_map file;
    onnx_external source;        /* what the loader calls for external data */
    const char *folder;
    external *externals;
    const kernel_set *kernels;
    batch_axis batch;
    quota share;                 /* of opts.share_max, where there is one */
    _Atomic uint64_t refused;    /* executions, for want of it */

    lock guard;                  /* all below.  Never held while planning, running, or allocating an execution */
    cached *plans;
    uint32_t plan_count, busy;
    uint64_t tick;
    size_t idle_bytes;
};

static err_code cached_make(cached **ret, model *m, const shape *inputs, err *e);

size_t model_bytes(const model *m)
{
    size_t bytes = m->file.len + m->memory.total;
    for (const external *x = m->externals; x; x = x->next) bytes += x->map.len;
    return bytes;
}

/* As it is mapped. */
static size_t pages(size_t bytes) { return round_up(bytes, PAGE_BYTES); }

static size_t idle_cost(const cached *c)
{
    size_t bytes = 0;
    for (const exec *x = c->idle; x; x = x->next) bytes += sizeof *x + mem_cost(x->held) + arena_held(&x->tables);
    return bytes;
}

size_t model_held_bytes(model *m)
{
    size_t bytes = sizeof *m + pages(m->file.len) + arena_held(&m->memory);
    for (const external *x = m->externals; x; x = x->next) bytes += pages(x->map.len);
    lock_take(&m->guard);
    for (const cached *c = m->plans; c; c = c->next)
        bytes += sizeof *c + sizeof *c->plan + arena_held(&c->plan->memory) + idle_cost(c);
    lock_give(&m->guard);
    return bytes;
}

size_t model_resting_bytes(model *m)
{
    size_t bytes = 0;
    lock_take(&m->guard);
    for (const cached *c = m->plans; c; c = c->next) bytes += idle_cost(c);
    lock_give(&m->guard);
    return bytes;
}

/* ---- loading -------------------------------------------------------------------------------------------------- */

static err_code external_open(model *m, str location, external **ret, err *e)
{
    for (external *x = m->externals; x; x = x->next) {
        if (str_eq(x->location, location)) {
            *ret = x;
            return ERR_OK;
        }
    }
    external *x = arena_new(&m->memory, external, 1);
    str name = str_copy(&m->memory, location);
    if (!x || !name.p) return err_set(e, ERR_NOMEM, "no memory for external data");
    if (memchr(name.p, 0, name.len)) return err_set(e, ERR_INVALID, "external data: location: a zero byte in it");
    err_code rc = file_map_open_beneath(m->folder, name.p, &x->map, e);
    if (rc) return err_wrap(e, "external data");
    x->location = name;
    x->next = m->externals;
    m->externals = x;
    m->memory.limit += x->map.len;   /* what is copied or packed from it */
    *ret = x;
    return ERR_OK;
}

static err_code external_map(onnx_external *source, str location, uint64_t offset, uint64_t bytes, str *ret, err *e)
{
    model *m = (model *)(void *)((char *)source - offsetof(model, source));
    external *x = NULL;
    err_code rc = external_open(m, location, &x, e);
    if (rc) return rc;
    if (offset > x->map.len || bytes > x->map.len - offset)
        return err_set(e, ERR_INVALID, "external data '" STR_FMT "': expected %llu bytes at %llu, got a file of %zu",
                       STR_ARG(location), (unsigned long long)bytes, (unsigned long long)offset, x->map.len);
    *ret = (str){(const char *)x->map.p + offset, (size_t)bytes};
    return ERR_OK;
}

static void io_of(const graph *g, const facts *f, value_id v, model_io *ret)
{
    const value *from = &g->values[v];
    *ret = (model_io){.name = from->name,
                      .type = from->type,
                      .ranked = from->ranked,
                      .shape = from->declared,
                      .labels = from->labels};
    memcpy(ret->dim_name, from->dim_name, sizeof ret->dim_name);
    if (!ret->type) ret->type = facts_type(f, v);
    if (!ret->ranked) ret->ranked = facts_shape(f, v, &ret->shape);
}

static err_code io_check(const value *v, const char *what, err *e)
{
    if (v->other)
        return err_set(e, ERR_UNSUPPORTED, "%s '" STR_FMT "': expected a tensor, got a %s: not implemented", what,
                       STR_ARG(v->name), v->other);
    char text[SHAPE_TEXT_MAX];
    if (v->ranked && !shape_bounded(&v->declared))
        return err_set(e, ERR_TOO_LARGE, "%s '" STR_FMT "': shape %s is too large", what, STR_ARG(v->name),
                       shape_text(&v->declared, text));
    return ERR_OK;
}

/* What is served as the type of an output is what it will have. */
static err_code output_check(const value *v, dtype computed, err *e)
{
    err_code rc = io_check(v, "output", e);
    if (rc || !v->type || !computed || v->type == computed) return rc;
    return err_set(e, ERR_INVALID, "output '" STR_FMT "': expected %s, as its node computes, got %s", STR_ARG(v->name),
                   dtype_name(computed), dtype_name(v->type));
}

static err_code io_make(model *m, const facts *f, err *e)
{
    const graph *g = m->graph;
    m->inputs = arena_new(&m->memory, model_io, g->input_count);
    m->outputs = arena_new(&m->memory, model_io, g->output_count);
    if (!m->inputs || !m->outputs) return err_set(e, ERR_NOMEM, "no memory for inputs and outputs");
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < g->input_count && !rc; i++) {
        const value *v = &g->values[g->inputs[i]];
        rc = io_check(v, "input", e);
        if (!rc && !v->type)
            rc = err_set(e, ERR_INVALID, "input '" STR_FMT "': expected a data type, got none", STR_ARG(v->name));
        io_of(g, f, g->inputs[i], &m->inputs[i]);
    }
    if (!rc && g->output_count == 0) rc = err_set(e, ERR_INVALID, "outputs: expected at least one, got none");
    for (uint32_t i = 0; i < g->output_count && !rc; i++) {
        rc = output_check(&g->values[g->outputs[i]], facts_type(f, g->outputs[i]), e);
        io_of(g, f, g->outputs[i], &m->outputs[i]);
    }
    return rc;
}

static err_code node_prepare(graph *g, node *n, const kernel_set *k, arena *scratch, err *e)
{
    if (!n->row->prepare) return ERR_OK;
    const tensor **in = arena_new(scratch, const tensor *, n->in_count);
    if (!in) return err_set(e, ERR_NOMEM, "no memory to prepare nodes");
    for (uint32_t i = 0; i < n->in_count; i++) in[i] = n->in[i] == VALUE_NONE ? NULL : g->values[n->in[i]].init;
    op_prep p = {.graph = g, .node = n, .in = in, .memory = g->memory, .k = k};
    err_code rc = n->row->prepare(&p, &n->state, e);
    arena_reset(scratch);
    return rc;
}

/* A graph and those inside it; nested at most GRAPH_DEPTH_MAX deep, as the loader sees to. */
static err_code graph_prepare(graph *g, const kernel_set *k, arena *scratch, err *e)
{
    err_code rc = ERR_OK;
    graph *sub;
    for (uint32_t i = 0; i < g->node_count && !rc; i++) {
        rc = node_prepare(g, &g->nodes[i], k, scratch, e);
        for (uint32_t s = 0; !rc && (sub = node_graph(&g->nodes[i], s)); s++) rc = graph_prepare(sub, k, scratch, e);
    }
    return rc;
}

static err_code prepare(model *m, err *e)
{
    arena scratch;
    arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
    err_code rc = graph_prepare(m->graph, m->kernels, &scratch, e);
    arena_fini(&scratch);
    return rc;
}

/* What the graph around knows to be constant is constant in here: weights are packed, and fold. */
static void constants_adopt(graph *g)
{
    for (value_id v = 0; v < g->value_count; v++) {
        value *mine = &g->values[v];
        const value *outer = mine->from == VALUE_OUTER ? &g->parent->values[mine->outer] : NULL;
        if (!outer || outer->from != VALUE_CONST) continue;
        mine->from = VALUE_CONST;
        mine->init = outer->init;
    }
}

static err_code graph_optimise(model *m, graph *g, const facts *around, facts *ret, arena *work, err *e);

/* With memory of its own: of many subgraphs one at a time needs it. */
static err_code inside_optimise(model *m, graph *g, const facts *around, err *e)
{
    arena work;
    facts inside;
    arena_init(&work, NULL, 0, SIZE_MAX / 2);
    err_code rc = graph_optimise(m, g, around, &inside, &work, e);
    arena_fini(&work);
    return rc;
}

/* *ret: what is sure about g.  Its subgraphs come after it, when what it folds is constant. */
static err_code graph_optimise(model *m, graph *g, const facts *around, facts *ret, arena *work, err *e)
{
    pass_opts o = {.kernels = m->kernels, .fold_max = m->opts.memory_max / 2};
    graph *sub;
    if (g->parent) constants_adopt(g);
    err_code rc = passes_run(g, pass_lowering, &(facts){0}, &o, e);
    if (!rc) rc = facts_find(ret, g, around, m->kernels, work, e);
    if (!rc && !g->parent) rc = fitting_check(g, ret, m->kernels, e);
    if (!rc && !g->parent) rc = batch_axis_find(&m->batch, g, m->kernels, work, e);
    if (!rc && !m->opts.no_passes) rc = passes_run(g, pass_table, ret, &o, e);
    if (!rc) rc = facts_extend(ret, g, work, e);
    for (uint32_t i = 0; i < g->node_count && !rc; i++) {
        for (uint32_t s = 0; !rc && (sub = node_graph(&g->nodes[i], s)); s++) rc = inside_optimise(m, sub, ret, e);
    }
    return rc;
}

static err_code optimise_with(model *m, arena *work, err *e)
{
    facts f;
    err_code rc = graph_optimise(m, m->graph, NULL, &f, work, e);
    return rc ? rc : io_make(m, &f, e);
}

static err_code optimise(model *m, err *e)
{
    arena work;
    arena_init(&work, NULL, 0, SIZE_MAX / 2);
    err_code rc = optimise_with(m, &work, e);
    arena_fini(&work);
    return rc;
}

/* Where the model leaves no dimension open its one plan is made now, so that a model that cannot run is refused now. */
static err_code plan_ahead(model *m, err *e)
{
    uint32_t count = m->graph->input_count;
    bool fixed = true;
    for (uint32_t i = 0; i < count; i++) {
        fixed &= m->inputs[i].ranked;
        for (uint32_t d = 0; d < m->inputs[i].shape.rank; d++) fixed &= m->inputs[i].shape.dim[d] >= 0;
    }
    shape *shapes = fixed ? mem_new0(shape, count) : NULL;
    if (!fixed) return ERR_OK;
    if (!shapes) return err_set(e, ERR_NOMEM, "no memory for shapes");
    for (uint32_t i = 0; i < count; i++) shapes[i] = m->inputs[i].shape;
    err_code rc = cached_make(&m->plans, m, shapes, e);
    m->plan_count = !rc;
    mem_free(shapes);
    return rc;
}

static bool is_wanted(const graph *g, value_id output, const model_opts *opts)
{
    for (size_t k = 0; k < opts->output_count; k++)
        if (str_eq(g->values[output].name, opts->outputs[k])) return true;
    return false;
}

/* What only others need is dead from here on, and passes drop it. */
static void outputs_keep(graph *g, const model_opts *opts)
{
    uint32_t kept = 0;
    for (size_t k = 0; k < opts->output_count; k++) {
        uint32_t i = 0;
        while (i < g->output_count && !str_eq(g->values[g->outputs[i]].name, opts->outputs[k])) i++;
        if (i == g->output_count) return;
    }
    for (uint32_t i = 0; i < g->output_count; i++)
        if (is_wanted(g, g->outputs[i], opts)) g->outputs[kept++] = g->outputs[i];
    g->output_count = kept;
}

static err_code load(model *m, str bytes, const model_opts *opts, err *e)
{
    m->opts = *opts;
    m->opts.outputs = NULL;
    m->opts.output_count = 0;
    if (!m->opts.memory_max) m->opts.memory_max = (size_t)4 << 30;
    quota_init(&m->share, m->opts.share_max);
    /* Copies of misaligned weights, packed weights, names: a few times the file, and no more than one run may use. */
    m->memory.limit = m->opts.memory_max + 4 * bytes.len;
    m->source.map = external_map;
    m->kernels = &kernel_active()->set;
    onnx_source source = {.bytes = bytes, .memory = &m->memory, .external = m->folder ? &m->source : NULL};
    err_code rc = onnx_load(&m->graph, &source, e);
    if (!rc) rc = typing_check(m->graph, e);
    if (!rc && opts->outputs) outputs_keep(m->graph, opts);
    if (!rc) rc = optimise(m, e);
    if (!rc) rc = prepare(m, e);
    return rc ? rc : plan_ahead(m, e);
}

static model *model_make(err *e)
{
    model *m = mem_new0(model, 1);
    if (!m) {
        err_set(e, ERR_NOMEM, "no memory for a model");
        return NULL;
    }
    arena_init(&m->memory, NULL, 0, SIZE_MAX / 2);
    m->memory.snug = true;
    lock_init(&m->guard);
    return m;
}

err_code model_open_bytes(model **ret, str bytes, const char *name, const char *folder, const model_opts *opts, err *e)
{
    CLEANUP(model) model *m = model_make(e);
    if (!m) return ERR_NOMEM;
    m->folder = folder;
    err_code rc = load(m, bytes, opts, e);
    if (rc) return err_wrap(e, "%s", name);
    *ret = TAKE(m);
    return ERR_OK;
}

err_code model_open(model **ret, const char *path, const model_opts *opts, err *e)
{
    CLEANUP(model) model *m = model_make(e);
    if (!m) return ERR_NOMEM;
    err_code rc = file_map_open(path, &m->file, e);
    if (rc) return rc;
    const char *slash = strrchr(path, '/');
    m->folder = slash == path ? "/" : slash ? arena_printf(&m->memory, "%.*s", (int)(slash - path), path) : ".";
    if (!m->folder) return err_set(e, ERR_NOMEM, "no memory for a path");
    rc = load(m, (str){(const char *)m->file.p, m->file.len}, opts, e);
    if (rc) return err_wrap(e, "%s", path);
    *ret = TAKE(m);
    return ERR_OK;
}

static void cached_free(cached *c)
{
    while (c->idle) {
        exec *next = c->idle->next;
        exec_free(c->idle);
        c->idle = next;
    }
    plan_free(c->plan);
    mem_free(c->inputs);
    mem_free(c);
}

void model_free(model *m)
{
    if (!m) return;
    INVARIANT(m->busy == 0);
    while (m->plans) {
        cached *next = m->plans->next;
        cached_free(m->plans);
        m->plans = next;
    }
    for (external *x = m->externals; x; x = x->next) file_map_close(&x->map);
    file_map_close(&m->file);
    lock_fini(&m->guard);
    arena_fini(&m->memory);
    mem_free(m);
}

uint32_t model_input_count(const model *m) { return m->graph->input_count; }
uint32_t model_output_count(const model *m) { return m->graph->output_count; }
const graph *model_graph(const model *m) { return m->graph; }
const batch_axis *model_batch(const model *m) { return &m->batch; }

const model_io *model_input(const model *m, uint32_t i)
{
    INVARIANT(i < m->graph->input_count);
    return &m->inputs[i];
}

const model_io *model_output(const model *m, uint32_t i)
{
    INVARIANT(i < m->graph->output_count);
    return &m->outputs[i];
}

/* ---- executions ----------------------------------------------------------------------------------------------- */

static err_code shapes_check(const model *m, const shape *inputs, err *e)
{
    for (uint32_t i = 0; i < m->graph->input_count; i++) {
        const model_io *io = &m->inputs[i];
        const shape *s = &inputs[i];
        char want[SHAPE_TEXT_MAX], got[SHAPE_TEXT_MAX];
        bool fits = !io->ranked || s->rank == io->shape.rank;
        for (uint32_t d = 0; d < s->rank && fits && io->ranked; d++)
            fits = io->shape.dim[d] < 0 || io->shape.dim[d] == s->dim[d];
        if (!fits)
            return err_set(e, ERR_INVALID, "input '" STR_FMT "': expected shape %s, got %s", STR_ARG(io->name),
                           shape_text(&io->shape, want), shape_text(s, got));
    }
    return ERR_OK;
}

static cached *cached_find(const model *m, const shape *inputs)
{
    for (cached *c = m->plans; c; c = c->next) {
        bool same = true;
        for (uint32_t i = 0; i < m->graph->input_count && same; i++) same = shape_eq(&c->inputs[i], &inputs[i]);
        if (same) return c;
    }
    return NULL;
}

static err_code cached_make(cached **ret, model *m, const shape *inputs, err *e)
{
    uint32_t count = m->graph->input_count;
    cached *c = mem_new0(cached, 1);
    shape *copy = mem_new0(shape, count);
    tensor *t = mem_new0(tensor, count);
    err_code rc = c && copy && t ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for a plan");
    for (uint32_t i = 0; i < count && !rc; i++) {
        copy[i] = inputs[i];
        t[i] = tensor_make(m->inputs[i].type, &inputs[i], NULL);
    }
    plan_opts o = {.inputs = t, .kernels = m->kernels, .memory_max = m->opts.memory_max};
    if (!rc) rc = plan_new(&c->plan, m->graph, &o, e);
    mem_free(t);
    if (rc) {
        mem_free(copy);
        mem_free(c);
        return rc;
    }
    c->inputs = copy;
    c->of = m;
    *ret = c;
    return ERR_OK;
}

/* With the lock held: takes the plan that was used longest ago out of the list; the caller frees what comes back. */
static cached *evict(model *m)
{
    cached **oldest = NULL;
    if (m->plan_count < MODEL_PLANS_MAX) return NULL;
    for (cached **p = &m->plans; *p; p = &(*p)->next) {
        if (!oldest || (*p)->used_at < (*oldest)->used_at) oldest = p;
    }
    INVARIANT(oldest);
    cached *c = *oldest;
    *oldest = c->next;
    m->plan_count--;
    c->dropped = true;
    for (exec *x = c->idle; x; x = x->next) m->idle_bytes -= x->held;
    return c->users ? NULL : c;
}

/* With the lock held: one more user, and an execution that nobody uses or NULL. */
static exec *user_enters(cached *c)
{
    model *m = c->of;
    exec *x = c->idle;
    m->busy++;
    c->users++;
    c->used_at = ++m->tick;
    if (x) {
        m->idle_bytes -= x->held;
        c->idle = x->next;
    }
    return x;
}

/* With the lock held: the exec goes out of use; what must be freed is given back to the caller. */
static cached *user_leaves(cached *c)
{
    c->of->busy--;
    return --c->users == 0 && c->dropped ? c : NULL;
}

/* A run that is over a limit by itself stays so, whoever else runs: only "too many at once" is worth another try. */
static err_code too_large(err_code rc, err *e) { return rc == ERR_LIMIT ? (e->code = ERR_TOO_LARGE) : rc; }

/* Finds or makes the plan and counts the caller as its user. */
static err_code cached_take(cached **ret, exec **ret_idle, model *m, const shape *inputs, err *e)
{
    cached *fresh = NULL, *old = NULL;
    err_code rc = ERR_OK;
    for (;;) {
        lock_take(&m->guard);
        cached *c = cached_find(m, inputs);
        if (!c && fresh) {
            old = evict(m);
            c = fresh;
            fresh = NULL;
            c->next = m->plans;
            m->plans = c;
            m->plan_count++;
        }
        if (c && m->busy >= MODEL_EXECS_MAX) {
            rc = err_set(e, ERR_LIMIT, "executions at once: expected at most %d, got one more", MODEL_EXECS_MAX);
            e->limit = "model-executions";
        } else if (c) {
            *ret = c;
            *ret_idle = user_enters(c);
        }
        lock_give(&m->guard);
        if (old) cached_free(old);
        if (c || rc) break;
        rc = too_large(cached_make(&fresh, m, inputs, e), e);
        if (rc) return rc;
    }
    if (fresh) cached_free(fresh);   /* another thread made the same one meanwhile */
    return rc;
}

static exec *entered(exec *x, cached *c)
{
    x->owner = c;
    x->next = NULL;
    exec_inputs_reset(x);
    return x;
}

/* With the lock held: the executions of a plan that nobody uses, where `keep` but one of the plan that was used last;
 * the caller is its user until they are freed, because they need it for that.  NULL = there are none. */
static cached *idle_out(model *m, bool keep, exec **ret)
{
    cached *last = keep ? m->plans : NULL, *c = m->plans;
    for (cached *i = last; i; i = i->next)
        if (i->used_at > last->used_at) last = i;
    while (c && !(c == last ? c->idle && c->idle->next : c->idle != NULL)) c = c->next;
    if (!c) return NULL;
    exec **from = c == last ? &c->idle->next : &c->idle;
    *ret = *from;
    *from = NULL;
    for (const exec *x = *ret; x; x = x->next) m->idle_bytes -= x->held;
    m->busy++;
    c->users++;
    return c;
}

static void idle_free(model *m, bool keep)
{
    for (int i = 0; i < MODEL_PLANS_MAX; i++) {   /* others may go on giving execs back */
        exec *x = NULL;
        lock_take(&m->guard);
        cached *c = idle_out(m, keep, &x);
        lock_give(&m->guard);
        if (!c) return;
        for (exec *next; x; x = next) {
            next = x->next;
            exec_free(x);
        }
        lock_take(&m->guard);
        cached *done = user_leaves(c);
        lock_give(&m->guard);
        if (done) cached_free(done);
    }
}

void model_trim(model *m, bool keep) { idle_free(m, keep); }

/* Of what all executions may have nothing is left.  Where others have some, that may change. */
static err_code shared_out(model *m, bool others, err *e)
{
    atomic_fetch_add_explicit(&m->refused, 1, memory_order_relaxed);
    e->limit = "model-memory-max";
    return e->code = others ? ERR_LIMIT : ERR_TOO_LARGE;
}

/* Those that rest make room. */
static err_code exec_make(exec **ret, model *m, const plan *p, err *e)
{
    exec_opts o = {.pool = m->opts.pool,
                   .kernels = m->kernels,
                   .memory_max = m->opts.memory_max,
                   .share = m->opts.share_max ? &m->share : NULL};
    err_code rc = exec_new(ret, p, &o, e);
    if (rc != ERR_LIMIT) return rc;
    idle_free(m, false);
    rc = exec_new(ret, p, &o, e);
    return rc == ERR_LIMIT ? shared_out(m, quota_used(&m->share) > 0, e) : rc;
}

err_code exec_take(exec **ret, model *m, const shape *inputs, err *e)
{
    cached *c = NULL;
    exec *x = NULL;
    err_code rc = shapes_check(m, inputs, e);
    if (!rc) rc = cached_take(&c, &x, m, inputs, e);
    if (rc) return rc;
    if (!x) rc = exec_make(&x, m, c->plan, e);
    if (rc) {
        lock_take(&m->guard);
        cached *done = user_leaves(c);
        lock_give(&m->guard);
        if (done) cached_free(done);
        return rc;
    }
    *ret = entered(x, c);
    return ERR_OK;
}

/* Microseconds begun; 0 = it has not run yet. */
static uint32_t cost_us_of(const cached *c)
{
    uint64_t ns = atomic_load_explicit(&c->cost_ns, memory_order_relaxed), us = ns ? ns / 1000 + 1 : 0;
    return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

exec *exec_take_cheap(model *m, const shape *inputs, uint32_t cost_us_max)
{
    lock_take(&m->guard);
    cached *c = cached_find(m, inputs);
    uint32_t cost_us = c ? cost_us_of(c) : 0;
    bool cheap = cost_us > 0 && cost_us <= cost_us_max && c->idle && m->busy < MODEL_EXECS_MAX;
    cheap = cheap && !c->plan->uneven;
    exec *x = cheap ? user_enters(c) : NULL;
    lock_give(&m->guard);
    return x ? entered(x, c) : NULL;
}

void exec_share(exec *x, uint32_t count)
{
    INVARIANT(count > 0 && atomic_load_explicit(&x->sharers, memory_order_relaxed) == 0);
    atomic_store_explicit(&x->sharers, count, memory_order_relaxed);
}

void exec_give(exec *x)
{
    bool shared = atomic_load_explicit(&x->sharers, memory_order_relaxed) > 0;
    if (shared && atomic_fetch_sub_explicit(&x->sharers, 1, memory_order_acq_rel) > 1) return;
    cached *c = x->owner;
    model *m = c->of;
    exec_rest(x);
    lock_take(&m->guard);
    bool keep = !c->dropped && x->held <= m->opts.memory_max - m->idle_bytes;
    if (keep) {
        x->next = c->idle;
        c->idle = x;
        m->idle_bytes += x->held;
    }
    cached *done = user_leaves(c);
    lock_give(&m->guard);
    if (!keep) exec_free(x);
    if (done) cached_free(done);
}

model_share model_share_read(const model *m)
{
    return (model_share){.bytes = quota_used(&m->share),
                         .bytes_max = m->share.max,
                         .refused = atomic_load_explicit(&m->refused, memory_order_relaxed)};
}

/* An eighth of each new run; a lost update between threads costs nothing but one sample.  A run counts as no more than
 * COST_LEAP times what was known: one that was interrupted for milliseconds leaves a cheap model cheap, but where more
 * than one in COST_LEAP is that long all of it comes to count. */
enum { COST_LEAP = 8 };

static void cost_learn(cached *c, uint64_t ns)
{
    uint64_t before = atomic_load_explicit(&c->cost_ns, memory_order_relaxed), now = ns ? ns : 1;
    if (before && now / COST_LEAP > before) now = before * COST_LEAP;
    uint64_t next = before ? before - before / 8 + now / 8 : now;
    atomic_store_explicit(&c->cost_ns, next, memory_order_relaxed);
}

/* A run that grew until there was no more: it cannot begin anew, as it may have written where its inputs were.  All
 * that rest make room for the next one: where one stayed that has what this one lacks, each would fail like this. */
static err_code run_shared_out(exec *x, err *e)
{
    model *m = ((cached *)x->owner)->of;
    lock_take(&m->guard);
    bool others = m->busy > 1 || m->idle_bytes > 0;
    lock_give(&m->guard);
    idle_free(m, false);
    err_set(e, ERR_LIMIT, "memory of the model's executions: expected at most %zu bytes in all, got more",
            m->share.max);
    return shared_out(m, others, e);
}

err_code exec_run(exec *x, const exec_stop *stop, err *e)
{
    uint64_t since_ns = stop && stop->since_ns ? stop->since_ns : clock_now_ns();
    err_code rc = stop ? exec_stopped(stop, since_ns / 1000, e) : ERR_OK;
    if (!rc && (rc = exec_steps(x, stop, e)) != ERR_OK)
        rc = exec_shared_out(x) ? run_shared_out(x, e) : too_large(rc, e);
    x->until_ns = clock_now_ns();
    if (!rc) cost_learn(x->owner, x->until_ns - since_ns);
    return rc;
}

uint64_t exec_until_ns(const exec *x) { return x->until_ns; }
uint32_t exec_cost_us(const exec *x) { return cost_us_of(x->owner); }
