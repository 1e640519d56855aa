#include "engine/onnx_legacy.h"

#include "engine/op.h"

#include <string.h>

static err_code no_memory(err *e) { return err_set(e, ERR_NOMEM, "no memory for a node of an old opset"); }

static void attr_drop(node *n, const char *name)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n->attr_count; i++) {
        if (!str_is(n->attrs[i].name, name)) n->attrs[kept++] = n->attrs[i];
    }
    n->attr_count = kept;
}

static attr *attr_of(node *n, const char *name)
{
    for (uint32_t i = 0; i < n->attr_count; i++) {
        if (str_is(n->attrs[i].name, name)) return &n->attrs[i];
    }
    return NULL;
}

/* Adds or replaces; the node's attributes are its own, since it is not in the graph yet. */
static err_code attr_put(graph *g, node *n, attr a, err *e)
{
    attr *attrs = arena_new(g->memory, attr, (size_t)n->attr_count + 1);
    if (!attrs) return no_memory(e);
    if (n->attr_count) memcpy(attrs, n->attrs, n->attr_count * sizeof *attrs);
    n->attrs = attrs;
    attr *old = NULL;
    for (uint32_t i = 0; i < n->attr_count && !old; i++) old = str_eq(attrs[i].name, a.name) ? &attrs[i] : NULL;
    if (!old) old = &attrs[n->attr_count++];
    *old = a;
    return ERR_OK;
}

static err_code refused(const graph *g, const node *n, const char *what, err *e)
{
    char text[200];
    return err_set(e, ERR_UNSUPPORTED, "%s: %s: not implemented", node_text(g, n, text), what);
}

/* A second input [c] that lies along axis k of the first becomes [c,1,...,1]: a view that waits for the rank. */
static err_code align(graph *g, node *n, uint32_t input, int64_t axis, err *e)
{
    value_id v;
    node *made;
    err_code rc = graph_value_add(g, &v, e);
    if (!rc) rc = graph_node_add(g, &made, e);
    if (rc) return rc;
    value_id *io = arena_new(g->memory, value_id, 3);
    attr *a = arena_new(g->memory, attr, 1);
    if (!io || !a) return no_memory(e);
    io[0] = n->in[input];
    io[1] = n->in[0];
    io[2] = v;
    *a = (attr){.name = STR("axis"), .kind = ATTR_INT, .i = axis};
    *made = (node){.name = n->name,
                   .op = STR("AlignAxis"),
                   .domain = STR("proa.legacy"),
                   .opset = 1,
                   .in_count = 2,
                   .out_count = 1,
                   .in = io,
                   .out = &io[2],
                   .attrs = a,
                   .attr_count = 1,
                   .row = op_find(STR("proa.legacy"), STR("AlignAxis"), 1, NULL)};
    n->in[input] = v;
    return ERR_OK;
}

static err_code binary(graph *g, node *n, err *e)
{
    const attr *axis = attr_of(n, "axis");
    bool spread = node_int(n, "broadcast", 0) != 0 && axis && axis->kind == ATTR_INT && n->in_count == 2 &&
                  n->in[0] != VALUE_NONE && n->in[1] != VALUE_NONE;
    err_code rc = spread ? align(g, n, 1, axis->i, e) : ERR_OK;
    attr_drop(n, "broadcast");
    attr_drop(n, "axis");
    return rc;
}

/* Gemm and its like: C broadcast when the attribute said so, which opset 7 always does. */
static err_code broadcast_drop(graph *g, node *n, err *e)
{
    (void)g;
    (void)e;
    attr_drop(n, "broadcast");
    return ERR_OK;
}

/* Whether a node trains is told by its outputs since opset 7. */
static err_code is_test_drop(graph *g, node *n, err *e)
{
    (void)g;
    (void)e;
    attr_drop(n, "is_test");
    return ERR_OK;
}

static err_code reshape(graph *g, node *n, err *e)
{
    uint32_t count;
    const int64_t *dims = node_ints(n, "shape", &count);
    if (!dims) return ERR_OK;
    int64_t length = count;
    shape s = shape_make(1, &length);
    tensor *t = arena_new(g->memory, tensor, 1);
    value_id *in = arena_new(g->memory, value_id, 2), v;
    if (!t || !in || n->in_count != 1) return t && in ? refused(g, n, "a shape given twice", e) : no_memory(e);
    err_code rc = graph_value_add(g, &v, e);
    if (rc) return rc;
    *t = tensor_make(DT_I64, &s, (void *)(uintptr_t)dims);   /* constants are never written to */
    g->values[v] =
        (value){.from = VALUE_CONST, .type = DT_I64, .ranked = true, .declared = s, .init = t, .outer = VALUE_NONE};
    in[0] = n->in[0];
    in[1] = v;
    n->in = in;
    n->in_count = 2;
    attr_drop(n, "shape");
    return ERR_OK;
}

static err_code concat(graph *g, node *n, err *e)
{
    if (node_attr(n, "axis")) return ERR_OK;
    return attr_put(g, n, (attr){.name = STR("axis"), .kind = ATTR_INT, .i = 1}, e);
}

static err_code cast(graph *g, node *n, err *e)
{
    attr *to = attr_of(n, "to");
    if (!to || to->kind != ATTR_STRING) return ERR_OK;
    static const char *const names[] = {NULL,    "FLOAT",  "UINT8", "INT8",    "UINT16", "INT16",  "INT32",
                                        "INT64", "STRING", "BOOL",  "FLOAT16", "DOUBLE", "UINT32", "UINT64"};
    for (int64_t i = 1; i < (int64_t)COUNTOF(names); i++) {
        if (!str_is_nocase(to->s, names[i])) continue;
        *to = (attr){.name = to->name, .kind = ATTR_INT, .i = i};
        return ERR_OK;
    }
    return refused(g, n, "this type", e);
}

static err_code pad(graph *g, node *n, err *e)
{
    (void)g;
    (void)e;
    attr *a = attr_of(n, "paddings");
    if (a) a->name = STR("pads");
    return ERR_OK;
}

static err_code upsample(graph *g, node *n, err *e)
{
    if (node_attr(n, "scales")) return ERR_OK;
    float *scales = arena_new(g->memory, float, 4);
    if (!scales) return no_memory(e);
    scales[0] = scales[1] = 1;
    scales[2] = node_float(n, "height_scale", 1);
    scales[3] = node_float(n, "width_scale", 1);
    attr_drop(n, "height_scale");
    attr_drop(n, "width_scale");
    return attr_put(g, n, (attr){.name = STR("scales"), .kind = ATTR_FLOATS, .count = 4, .floats = scales}, e);
}

static err_code split(graph *g, node *n, err *e)
{
    return n->in_count > 1 ? refused(g, n, "lengths as an input at this version", e) : ERR_OK;
}

static err_code tile(graph *g, node *n, err *e)
{
    return n->in_count > 2 ? refused(g, n, "tiles and axis as inputs", e) : ERR_OK;
}

static err_code lp_pool(graph *g, node *n, err *e)
{
    attr *p = attr_of(n, "p");
    if (!p || p->kind != ATTR_FLOAT) return ERR_OK;
    if (!(p->f >= 1 && p->f <= 1 << 20) || p->f != (float)(int)p->f) return refused(g, n, "this p", e);
    *p = (attr){.name = p->name, .kind = ATTR_INT, .i = (int64_t)p->f};
    return ERR_OK;
}

static err_code recurrent(graph *g, node *n, err *e)
{
    (void)g;
    (void)e;
    attr_drop(n, "output_sequence");
    return ERR_OK;
}

/* One slope for each channel, on axis 1. */
static err_code prelu(graph *g, node *n, err *e)
{
    if (n->in_count != 2 || n->in[1] == VALUE_NONE || n->in[0] == VALUE_NONE) return ERR_OK;
    const value *slope = &g->values[n->in[1]];
    return slope->ranked && slope->declared.rank == 1 ? align(g, n, 1, 1, e) : ERR_OK;
}

static const struct {
    const char *op;
    err_code (*rewrite)(graph *g, node *n, err *e);
} rules[] = {
    {"Add", binary},
    {"Sub", binary},
    {"Mul", binary},
    {"Div", binary},
    {"Pow", binary},
    {"And", binary},
    {"Or", binary},
    {"Xor", binary},
    {"Equal", binary},
    {"Greater", binary},
    {"Less", binary},
    {"PRelu", prelu},
    {"Gemm", broadcast_drop},
    {"BatchNormalization", is_test_drop},
    {"Dropout", is_test_drop},
    {"Reshape", reshape},
    {"Concat", concat},
    {"Cast", cast},
    {"Pad", pad},
    {"Upsample", upsample},
    {"Split", split},
    {"Tile", tile},
    {"LpPool", lp_pool},
    {"GlobalLpPool", lp_pool},
    {"RNN", recurrent},
    {"GRU", recurrent},
    {"LSTM", recurrent},
};

err_code onnx_legacy_rewrite(graph *g, node *n, err *e)
{
    attr_drop(n, "consumed_inputs");
    for (size_t i = 0; i < COUNTOF(rules); i++) {
        if (str_is(n->op, rules[i].op)) return rules[i].rewrite(g, n, e);
    }
    return ERR_OK;
}
