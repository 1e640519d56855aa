#include "engine/onnx.h"

#include "base/map.h"
#include "engine/onnx_attr.h"
#include "engine/onnx_legacy.h"
#include "engine/onnx_proto.h"
#include "engine/op.h"
#include "engine/op_types.h"

#include <string.h>

typedef struct scope scope;

/* One load.  Messages taken apart live in `scratch`, which dies with it. */
typedef struct {
    const onnx_source *source;
    onnx_tensor_opts tensors;
    arena *scratch;
    onnx_model model;
    uint64_t nodes;                /* over all graphs and expanded functions */
} loader;

/* Where names are looked up: a graph, or the body of a function that is being expanded into one. */
struct scope {
    scope *up;                     /* of the graph around a subgraph; NULL: names end here */
    graph *g;
    map names;                     /* name -> value_id + 1 */
    const onnx_import *imports;
    uint32_t import_count, depth, calls;
    const onnx_function *fn;       /* body of a function: what attributes may refer to */
    const attr *args;
    uint32_t arg_count;
};

static void scope_fini(scope *s) { map_fini(&s->names); }
#define CLEANUP_SCOPE __attribute__((cleanup(scope_fini)))

static err_code graph_fill(loader *l, scope *s, pb message, err *e);

/* ---- names ---------------------------------------------------------------------------------------------------- */

static err_code name_bind(scope *s, str name, value_id v, err *e)
{
    if (!map_put(&s->names, name, (void *)((uintptr_t)v + 1))) return err_set(e, ERR_NOMEM, "no memory for names");
    return ERR_OK;
}

static bool name_find(const scope *s, str name, value_id *ret)
{
    void *p = map_get(&s->names, name);
    if (p) *ret = (value_id)((uintptr_t)p - 1);
    return p != NULL;
}

/* A new value under a name that is not taken in this scope. */
static err_code name_define(scope *s, str name, value_source from, value_id *ret, err *e)
{
    value_id v;
    if (name_find(s, name, &v)) return err_set(e, ERR_INVALID, "value '" STR_FMT "': defined twice", STR_ARG(name));
    err_code rc = graph_value_add(s->g, &v, e);
    if (rc) return rc;
    s->g->values[v].name = name;
    s->g->values[v].from = from;
    *ret = v;
    return name_bind(s, name, v, e);
}

/* Here or in a graph around; the graphs between get a VALUE_OUTER each.  Goes up at most GRAPH_DEPTH_MAX. */
static err_code name_lookup(scope *s, str name, value_id *ret, bool *ret_found, err *e)
{
    value_id outer;
    *ret_found = name_find(s, name, ret);
    if (*ret_found || !s->up) return ERR_OK;
    err_code rc = name_lookup(s->up, name, &outer, ret_found, e);
    if (rc || !*ret_found) return rc;
    if (outer == VALUE_NONE) {         /* an argument that a function's caller left out */
        *ret = VALUE_NONE;
        return ERR_OK;
    }
    rc = name_define(s, name, VALUE_OUTER, ret, e);
    if (rc) return rc;
    value *v = &s->g->values[*ret];
    const value *o = &s->up->g->values[outer];
    v->outer = outer;
    v->type = o->type;
    v->ranked = o->ranked;
    v->declared = o->declared;
    return ERR_OK;
}

/* ---- attributes ----------------------------------------------------------------------------------------------- */

static err_code subgraph_read(loader *l, scope *up, pb message, graph **ret, err *e)
{
    if (up->depth + 1 >= GRAPH_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "subgraphs: nested deeper than %d", GRAPH_DEPTH_MAX);
    graph *g = arena_new(l->source->memory, graph, 1);
    if (!g) return err_set(e, ERR_NOMEM, "no memory for a subgraph");
    *g = (graph){.parent = up->g, .memory = l->source->memory, .opset = up->g->opset, .opset_ml = up->g->opset_ml};
    CLEANUP_SCOPE scope s = {.up = up,
                             .g = g,
                             .imports = up->imports,
                             .import_count = up->import_count,
                             .depth = up->depth + 1,
                             .calls = up->calls,
                             .fn = up->fn,
                             .args = up->args,
                             .arg_count = up->arg_count};
    map_init(&s.names);
    *ret = g;
    return graph_fill(l, &s, message, e);
}

/* An attribute of a function's body that refers to one of the call, or to the function's default. */
static err_code attr_refer(loader *l, scope *s, const onnx_attr *raw, attr *ret, bool *ret_there, err *e)
{
    *ret_there = false;
    if (!s->fn)
        return err_set(e, ERR_INVALID, "attribute '" STR_FMT "': refers to '" STR_FMT "' outside of a function",
                       STR_ARG(raw->name), STR_ARG(raw->refers_to));
    for (uint32_t i = 0; i < s->arg_count && !*ret_there; i++) {
        if (!str_eq(s->args[i].name, raw->refers_to)) continue;
        *ret = s->args[i];
        *ret_there = true;
    }
    for (uint32_t i = 0; i < s->fn->default_count && !*ret_there; i++) {
        onnx_attr by_default;
        err_code rc = onnx_attr_parse(&by_default, s->fn->defaults[i], l->scratch, e);
        if (rc) return rc;
        if (!str_eq(by_default.name, raw->refers_to)) continue;
        rc = onnx_attr_read(ret, &by_default, &l->tensors, e);
        if (rc) return rc;
        *ret_there = true;
    }
    ret->name = raw->name;
    if (*ret_there && (ret->kind == ATTR_GRAPHS || (ret->kind == ATTR_GRAPH && (!ret->g || ret->g->parent != s->g))))
        return err_set(e, ERR_UNSUPPORTED,
                       "attribute '" STR_FMT "': a graph handed down by a function: not implemented",
                       STR_ARG(raw->name));
    return ERR_OK;
}

static err_code graphs_read(loader *l, scope *s, const onnx_attr *raw, attr *ret, err *e)
{
    if (raw->kind == ATTR_GRAPH) return subgraph_read(l, s, raw->graphs[0], &ret->g, e);
    ret->graphs = arena_new(l->source->memory, graph *, raw->graph_count);
    if (!ret->graphs) return err_set(e, ERR_NOMEM, "no memory for subgraphs");
    for (ret->count = 0; ret->count < raw->graph_count; ret->count++) {
        err_code rc = subgraph_read(l, s, raw->graphs[ret->count], &ret->graphs[ret->count], e);
        if (rc) return rc;
    }
    return ERR_OK;
}

static err_code attrs_read(loader *l, scope *s, const onnx_node *raw, attr **ret, uint32_t *ret_count, err *e)
{
    if (raw->attr_count > GRAPH_ATTRS_MAX)
        return err_set(e, ERR_LIMIT, "attributes: expected at most %d, got %u", GRAPH_ATTRS_MAX, raw->attr_count);
    attr *attrs = arena_new(l->source->memory, attr, raw->attr_count);
    if (!attrs) return err_set(e, ERR_NOMEM, "no memory for attributes");
    uint32_t count = 0;
    for (uint32_t i = 0; i < raw->attr_count; i++) {
        onnx_attr a;
        bool there = true;
        err_code rc = onnx_attr_parse(&a, raw->attrs[i], l->scratch, e);
        if (rc) return rc;
        if (a.refers_to.len) rc = attr_refer(l, s, &a, &attrs[count], &there, e);
        else rc = onnx_attr_read(&attrs[count], &a, &l->tensors, e);
        if (!rc && there && a.graph_count) rc = graphs_read(l, s, &a, &attrs[count], e);
        if (rc) return rc;
        for (uint32_t k = 0; k < count && there; k++) {
            if (str_eq(attrs[k].name, a.name))
                return err_set(e, ERR_INVALID, "attribute '" STR_FMT "': given twice", STR_ARG(a.name));
        }
        count += there;
    }
    *ret = attrs;
    *ret_count = count;
    return ERR_OK;
}

/* ---- nodes ---------------------------------------------------------------------------------------------------- */

static int64_t import_version(const scope *s, str domain)
{
    for (uint32_t i = 0; i < s->import_count; i++) {
        if (str_eq(s->imports[i].domain, domain)) return s->imports[i].version;
    }
    return 0;
}

static const onnx_function *function_find(const loader *l, const onnx_node *n)
{
    for (uint32_t i = 0; i < l->model.function_count; i++) {
        const onnx_function *fn = &l->model.functions[i];
        if (str_eq(fn->name, n->op) && str_eq(fn->domain, n->domain) && str_eq(fn->overload, n->overload)) return fn;
    }
    return NULL;
}

static err_code inputs_resolve(loader *l, scope *s, const onnx_node *raw, value_id **ret, err *e)
{
    value_id *in = arena_new(l->source->memory, value_id, raw->in_count);
    if (!in) return err_set(e, ERR_NOMEM, "no memory for inputs");
    for (uint32_t i = 0; i < raw->in_count; i++) {
        bool found = true;
        in[i] = VALUE_NONE;
        if (!raw->in[i].len) continue;
        err_code rc = name_lookup(s, raw->in[i], &in[i], &found, e);
        if (rc) return rc;
        if (!found) return err_set(e, ERR_INVALID, "input '" STR_FMT "': no such value", STR_ARG(raw->in[i]));
    }
    *ret = in;
    return ERR_OK;
}

/* The outputs were given values before any node was read; every one is in this scope. */
static err_code outputs_resolve(loader *l, const scope *s, const onnx_node *raw, value_id **ret, err *e)
{
    value_id *out = arena_new(l->source->memory, value_id, raw->out_count);
    if (!out) return err_set(e, ERR_NOMEM, "no memory for outputs");
    for (uint32_t i = 0; i < raw->out_count; i++) {
        out[i] = VALUE_NONE;
        INVARIANT(!raw->out[i].len || name_find(s, raw->out[i], &out[i]));
    }
    *ret = out;
    return ERR_OK;
}

static err_code row_find(const scope *s, graph *g, node *n, err *e)
{
    char text[200];
    int newest = 0, known = op_opset_max(n->domain);
    n->opset = import_version(s, n->domain);
    if (n->opset == 0)
        return err_set(e, ERR_INVALID, "%s: the model imports no opset of this domain", node_text(g, n, text));
    if (known && n->opset > known)
        return err_set(e, ERR_UNSUPPORTED, "%s: opset %lld: not implemented, the newest is %d", node_text(g, n, text),
                       (long long)n->opset, known);
    int64_t rows_of = n->opset < ONNX_LEGACY_TO && !n->domain.len ? ONNX_LEGACY_TO : n->opset;
    n->row = op_find(n->domain, n->op, rows_of, &newest);
    n->types = op_types_find(n->domain, n->op, rows_of);
    if (n->row) return op_check(g, n, e);
    if (newest)
        return err_set(e, ERR_UNSUPPORTED, "%s: operator not implemented at this version, only from later ones on",
                       node_text(g, n, text));
    return err_set(e, ERR_UNSUPPORTED, "%s: operator not implemented", node_text(g, n, text));
}

static err_code function_expand(loader *l, scope *s, const onnx_function *fn, const node *call, err *e);

static err_code node_read(loader *l, scope *s, const onnx_node *raw, err *e)
{
    graph *g = s->g;
    node n = {.name = raw->name, .op = raw->op, .domain = raw->domain, .opset = import_version(s, raw->domain),
              .in_count = raw->in_count, .out_count = raw->out_count};
    if (++l->nodes > GRAPH_NODES_MAX) return err_set(e, ERR_LIMIT, "more than %d nodes", GRAPH_NODES_MAX);
    char text[200];
    err_code rc = outputs_resolve(l, s, raw, &n.out, e);
    if (!rc) rc = inputs_resolve(l, s, raw, &n.in, e);
    if (!rc) rc = attrs_read(l, s, raw, &n.attrs, &n.attr_count, e);
    if (rc) return err_wrap(e, "%s", node_text(g, &n, text));
    const onnx_function *fn = function_find(l, raw);
    if (fn) return function_expand(l, s, fn, &n, e);
    if (!n.domain.len && str_is(n.op, "Constant")) return onnx_constant(g, &n, e);
    if (!n.domain.len && n.opset < ONNX_LEGACY_TO) {
        rc = onnx_legacy_rewrite(g, &n, e);
        if (rc) return rc;
    }
    while (n.in_count && n.in[n.in_count - 1] == VALUE_NONE) n.in_count--;   /* left out at the end = not written */
    while (n.out_count > 1 && n.out[n.out_count - 1] == VALUE_NONE) n.out_count--;
    rc = row_find(s, g, &n, e);
    /* Rows whose outputs are not all optional count on the first one: it gets a value that nobody reads. */
    if (!rc && n.row->out_min && n.out[0] == VALUE_NONE) rc = graph_value_add(g, &n.out[0], e);
    if (rc) return rc;
    node *made;
    rc = graph_node_add(g, &made, e);
    if (!rc) *made = n;
    return rc;
}

/* Gives every output of the nodes a value; those already bound (results of a function) keep theirs. */
static err_code outputs_define(scope *s, const onnx_node *nodes, uint32_t count, const map *results, err *e)
{
    value_id v;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < nodes[i].out_count; k++) {
            str name = nodes[i].out[k];
            if (!name.len || (results && map_get(results, name))) continue;
            err_code rc = name_define(s, name, VALUE_NODE, &v, e);
            if (rc) return rc;
        }
    }
    return ERR_OK;
}

/* ---- functions ------------------------------------------------------------------------------------------------ */

static err_code identity_add(graph *g, value_id from, value_id to, int64_t opset, err *e)
{
    node *n;
    err_code rc = graph_node_add(g, &n, e);
    if (rc) return rc;
    value_id *io = arena_new(g->memory, value_id, 2);
    if (!io) return err_set(e, ERR_NOMEM, "no memory for a node");
    io[0] = from;
    io[1] = to;
    *n = (node){.op = STR("Identity"),
                .opset = opset,
                .row = op_find((str){0}, STR("Identity"), 1, NULL),
                .in_count = 1,
                .out_count = 1,
                .in = &io[0],
                .out = &io[1]};
    return ERR_OK;
}

/* Binds the formal names of a call; *results then holds those of the outputs. */
static err_code arguments_bind(scope *s, const onnx_function *fn, const node *call, map *results, err *e)
{
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < fn->in_count && !rc; i++) {
        value_id v = VALUE_NONE;
        if (name_find(s, fn->in[i], &v))
            return err_set(e, ERR_INVALID, "input '" STR_FMT "': given twice", STR_ARG(fn->in[i]));
        rc = name_bind(s, fn->in[i], i < call->in_count ? call->in[i] : VALUE_NONE, e);
    }
    for (uint32_t i = 0; i < fn->out_count && !rc; i++) {
        value_id from, to = i < call->out_count ? call->out[i] : VALUE_NONE;
        bool through = name_find(s, fn->out[i], &from);
        if (through && to != VALUE_NONE && from != VALUE_NONE) rc = identity_add(s->g, from, to, call->opset, e);
        if (through || rc) continue;
        if (to == VALUE_NONE) rc = graph_value_add(s->g, &to, e);
        if (!rc) rc = name_bind(s, fn->out[i], to, e);
        if (!rc && !map_put(results, fn->out[i], s)) rc = err_set(e, ERR_NOMEM, "no memory for names");
    }
    return rc;
}

static err_code function_body(loader *l, scope *s, const onnx_function *fn, const node *call, map *results, err *e)
{
    err_code rc = arguments_bind(s, fn, call, results, e);
    if (!rc) rc = outputs_define(s, fn->nodes, fn->node_count, results, e);
    for (uint32_t i = 0; i < fn->node_count && !rc; i++) rc = node_read(l, s, &fn->nodes[i], e);
    return rc;
}

static err_code function_expand(loader *l, scope *s, const onnx_function *fn, const node *call, err *e)
{
    char text[200];
    if (s->calls + 1 > ONNX_CALLS_MAX)
        return err_set(e, ERR_LIMIT, "%s: functions call each other deeper than %d", node_text(s->g, call, text),
                       ONNX_CALLS_MAX);
    if (call->in_count > fn->in_count || call->out_count > fn->out_count)
        return err_set(e, ERR_INVALID, "%s: expected at most %u inputs and %u outputs, got %u and %u",
                       node_text(s->g, call, text), fn->in_count, fn->out_count, call->in_count, call->out_count);
    bool imports = fn->import_count != 0;
    CLEANUP_SCOPE scope body = {.g = s->g,
                                .imports = imports ? fn->imports : s->imports,
                                .import_count = imports ? fn->import_count : s->import_count,
                                .depth = s->depth,
                                .calls = s->calls + 1,
                                .fn = fn,
                                .args = call->attrs,
                                .arg_count = call->attr_count};
    map results;
    map_init(&body.names);
    map_init(&results);
    err_code rc = function_body(l, &body, fn, call, &results, e);
    map_fini(&results);
    /* The outermost call says where to look; all of them would leave no room for what was wrong. */
    return rc && s->calls == 0 ? err_wrap(e, "%s", node_text(s->g, call, text)) : rc;
}

/* ---- graphs --------------------------------------------------------------------------------------------------- */

static void declare(value *v, const onnx_value *as)
{
    if (as->type) v->type = as->type;
    if (as->other) v->other = as->other;
    if (!as->ranked) return;
    v->ranked = true;
    v->declared = as->shape;
    memcpy(v->dim_name, as->dim_name, sizeof v->dim_name);
}

static err_code constant_define(loader *l, scope *s, pb message, bool sparse, err *e)
{
    tensor *t = arena_new(l->source->memory, tensor, 1);
    str name = {0};
    value_id v;
    if (!t) return err_set(e, ERR_NOMEM, "no memory for initializers");
    err_code rc = sparse ? onnx_sparse_read(t, &name, message, &l->tensors, e)
                         : onnx_tensor_read(t, &name, message, &l->tensors, e);
    if (rc) return rc;
    if (!name.len) return err_set(e, ERR_INVALID, "initializer: expected a name, got none");
    rc = name_define(s, name, VALUE_CONST, &v, e);
    if (rc) return rc;
    value *c = &s->g->values[v];
    c->init = t;
    c->type = t->type;
    c->ranked = true;
    c->declared = t->shape;
    return ERR_OK;
}

/* Inputs that have no initializer; one that has is a constant and was declared only for IR versions before 4. */
static err_code inputs_define(loader *l, scope *s, const onnx_graph *raw, err *e)
{
    graph *g = s->g;
    g->inputs = arena_new(l->source->memory, value_id, raw->input_count);
    if (!g->inputs) return err_set(e, ERR_NOMEM, "no memory for inputs");
    for (uint32_t i = 0; i < raw->input_count; i++) {
        const onnx_value *in = &raw->inputs[i];
        value_id v;
        if (!in->name.len) return err_set(e, ERR_INVALID, "input %u: expected a name, got none", i);
        if (name_find(s, in->name, &v) && g->values[v].from == VALUE_CONST) continue;
        err_code rc = name_define(s, in->name, VALUE_INPUT, &v, e);
        if (rc) return rc;
        declare(&g->values[v], in);
        g->inputs[g->input_count++] = v;
    }
    return ERR_OK;
}

static err_code outputs_find(loader *l, scope *s, const onnx_graph *raw, err *e)
{
    graph *g = s->g;
    g->outputs = arena_new(l->source->memory, value_id, raw->output_count);
    if (!g->outputs) return err_set(e, ERR_NOMEM, "no memory for outputs");
    for (uint32_t i = 0; i < raw->output_count; i++) {
        const onnx_value *out = &raw->outputs[i];
        bool found;
        value_id v;
        err_code rc = name_lookup(s, out->name, &v, &found, e);
        if (rc) return rc;
        if (!found || v == VALUE_NONE)
            return err_set(e, ERR_INVALID, "output '" STR_FMT "': no node computes it", STR_ARG(out->name));
        if (g->values[v].from == VALUE_NODE || g->values[v].from == VALUE_OUTER) declare(&g->values[v], out);
        g->outputs[g->output_count++] = v;
    }
    return ERR_OK;
}

static err_code outputs_check(const graph *g, arena *scratch, err *e)
{
    bool *made = arena_new(scratch, bool, (size_t)g->value_count + 1);
    if (!made) return err_set(e, ERR_NOMEM, "no memory to check the outputs");
    for (uint32_t i = 0; i < g->node_count; i++) {
        for (uint32_t k = 0; k < g->nodes[i].out_count; k++) {
            if (g->nodes[i].out[k] != VALUE_NONE) made[g->nodes[i].out[k]] = true;
        }
    }
    for (uint32_t i = 0; i < g->output_count; i++) {
        const value *v = &g->values[g->outputs[i]];
        if (v->from == VALUE_NODE && !made[g->outputs[i]])
            return err_set(e, ERR_INVALID, "output '" STR_FMT "': no node computes it", STR_ARG(v->name));
    }
    return ERR_OK;
}

static err_code graph_fill(loader *l, scope *s, pb message, err *e)
{
    onnx_graph raw;
    err_code rc = onnx_graph_parse(&raw, message, l->scratch, e);
    if (rc) return rc;
    s->g->name = raw.name;
    for (uint32_t i = 0; i < raw.tensor_count && !rc; i++) rc = constant_define(l, s, raw.tensors[i], false, e);
    for (uint32_t i = 0; i < raw.sparse_count && !rc; i++) rc = constant_define(l, s, raw.sparse[i], true, e);
    if (!rc) rc = inputs_define(l, s, &raw, e);
    if (!rc) rc = outputs_define(s, raw.nodes, raw.node_count, NULL, e);
    for (uint32_t i = 0; i < raw.info_count && !rc; i++) {
        value_id v;
        if (name_find(s, raw.infos[i].name, &v) && s->g->values[v].from == VALUE_NODE)
            declare(&s->g->values[v], &raw.infos[i]);
    }
    for (uint32_t i = 0; i < raw.node_count && !rc; i++) rc = node_read(l, s, &raw.nodes[i], e);
    if (!rc) rc = outputs_find(l, s, &raw, e);
    if (!rc) rc = graph_sort(s->g, e);
    return rc ? rc : outputs_check(s->g, l->scratch, e);
}

static err_code imports_check(onnx_model *m, arena *scratch, err *e)
{
    bool standard = false;
    for (uint32_t i = 0; i < m->import_count; i++) {
        const onnx_import *o = &m->imports[i];
        int known = op_opset_max(o->domain);
        if (o->version < 1)
            return err_set(e, ERR_INVALID, "opset of '" STR_FMT "': expected 1 or more, got %lld", STR_ARG(o->domain),
                           (long long)o->version);
        if (known && o->version > known)
            return err_set(e, ERR_UNSUPPORTED, "opset %lld of %s" STR_FMT ": not implemented, the newest is %d",
                           (long long)o->version, o->domain.len ? "" : "ai.onnx", STR_ARG(o->domain), known);
        standard |= !o->domain.len;
    }
    if (standard || m->ir_version >= 3) return ERR_OK;
    /* Before IR 3 a model without the import meant opset 1. */
    onnx_import *with = arena_new(scratch, onnx_import, (size_t)m->import_count + 1);
    if (!with) return err_set(e, ERR_NOMEM, "no memory for imports");
    if (m->import_count) memcpy(with, m->imports, m->import_count * sizeof *with);
    with[m->import_count++] = (onnx_import){.domain = {.p = "", .len = 0}, .version = 1};
    m->imports = with;
    return ERR_OK;
}

static err_code load(loader *l, graph **ret, err *e)
{
    graph *g = arena_new(l->source->memory, graph, 1);
    if (!g) return err_set(e, ERR_NOMEM, "no memory for a graph");
    err_code rc = onnx_model_parse(&l->model, l->source->bytes, l->scratch, e);
    if (!rc) rc = imports_check(&l->model, l->scratch, e);
    if (rc) return rc;
    CLEANUP_SCOPE scope s = {.g = g, .imports = l->model.imports, .import_count = l->model.import_count};
    map_init(&s.names);
    *g = (graph){.memory = l->source->memory,
                 .pipeline = l->model.pipeline,
                 .opset = import_version(&s, (str){0}),
                 .opset_ml = import_version(&s, STR("ai.onnx.ml"))};
    rc = graph_fill(l, &s, l->model.graph, e);
    if (!rc) *ret = g;
    return rc;
}

err_code onnx_load(graph **ret, const onnx_source *source, err *e)
{
    arena scratch;
    arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
    loader l = {.source = source, .scratch = &scratch,
                .tensors = {.memory = source->memory, .external = source->external, .dense_max = ONNX_SPARSE_MAX}};
    err_code rc = load(&l, ret, e);
    arena_fini(&scratch);
    return rc;
}
