#include "engine/onnx_attr.h"

/* Field numbers of AttributeProto. */
enum {
    A_NAME = 1,
    A_FLOAT = 2,
    A_INT = 3,
    A_STRING = 4,
    A_TENSOR = 5,
    A_GRAPH = 6,
    A_FLOATS = 7,
    A_INTS = 8,
    A_STRINGS = 9,
    A_TENSORS = 10,
    A_GRAPHS = 11,
    A_TYPE_PROTO = 14,
    A_TYPE = 20,
    A_REF = 21,
    A_SPARSE = 22,
    A_SPARSES = 23
};
/* AttributeProto.AttributeType is attr_kind up to GRAPHS; then these. */
enum { KIND_SPARSE = 11, KIND_SPARSES = 12, KIND_TYPE = 13 };

static attr_kind kind_of_field(uint32_t field)
{
    switch (field) {
    case A_FLOAT: return ATTR_FLOAT;
    case A_INT: return ATTR_INT;
    case A_STRING: return ATTR_STRING;
    case A_TENSOR: case A_SPARSE: return ATTR_TENSOR;
    case A_GRAPH: return ATTR_GRAPH;
    case A_FLOATS: return ATTR_FLOATS;
    case A_INTS: return ATTR_INTS;
    case A_STRINGS: return ATTR_STRINGS;
    case A_TENSORS: case A_SPARSES: return ATTR_TENSORS;
    case A_GRAPHS: return ATTR_GRAPHS;
    case A_TYPE_PROTO: return ATTR_TYPE;
    default: return ATTR_NONE;
    }
}

static err_code kind_of_type(attr_kind *ret, bool *ret_sparse, int64_t type, str name, err *e)
{
    *ret_sparse = type == KIND_SPARSE || type == KIND_SPARSES;
    if (type >= ATTR_FLOAT && type <= ATTR_GRAPHS) *ret = (attr_kind)type;
    else if (*ret_sparse) *ret = type == KIND_SPARSE ? ATTR_TENSOR : ATTR_TENSORS;
    else if (type == KIND_TYPE) *ret = ATTR_TYPE;
    else
        return err_set(e, ERR_UNSUPPORTED, "attribute '" STR_FMT "': type %lld: not implemented", STR_ARG(name),
                       (long long)type);
    return ERR_OK;
}

err_code onnx_attr_parse(onnx_attr *ret, pb message, arena *scratch, err *e)
{
    onnx_attr a = {.message = message};
    pb r = message;
    pb_field f;
    int64_t type = 0;
    attr_kind seen = ATTR_NONE;
    uint32_t graphs = 0;
    while (pb_next(&r, &f)) {
        if (f.number == A_NAME) a.name = pb_text(&r, &f);
        if (f.number == A_REF) a.refers_to = pb_text(&r, &f);
        if (f.number == A_TYPE) type = pb_i64(&r, &f);
        if (kind_of_field(f.number)) seen = kind_of_field(f.number);
        if (f.number == A_SPARSE || f.number == A_SPARSES) a.sparse = true;
        graphs += f.number == A_GRAPH || f.number == A_GRAPHS;
    }
    err_code rc = pb_check(&r, "AttributeProto", e);
    if (rc) return rc;
    /* Before IR 2 there was no type: the field that is there says it. */
    a.kind = seen;
    if (type) rc = kind_of_type(&a.kind, &a.sparse, type, a.name, e);
    if (rc) return rc;
    bool holds_graphs = a.kind == ATTR_GRAPH || a.kind == ATTR_GRAPHS;
    if (!a.kind && !a.refers_to.len)
        return err_set(e, ERR_INVALID, "attribute '" STR_FMT "': expected a value, got none", STR_ARG(a.name));
    if (graphs && !holds_graphs)
        return err_set(e, ERR_INVALID, "attribute '" STR_FMT "': holds a graph that its type denies", STR_ARG(a.name));
    if (graphs && a.refers_to.len)
        return err_set(e, ERR_INVALID, "attribute '" STR_FMT "': refers to '" STR_FMT "' and holds a graph",
                       STR_ARG(a.name), STR_ARG(a.refers_to));
    if (a.kind == ATTR_GRAPH && graphs != 1 && !a.refers_to.len)
        return err_set(e, ERR_INVALID, "attribute '" STR_FMT "': expected one graph, got %u", STR_ARG(a.name), graphs);
    a.graphs = arena_new(scratch, pb, graphs);
    if (!a.graphs) return err_set(e, ERR_NOMEM, "no memory for attributes");
    for (r = message; graphs && pb_next(&r, &f);) {
        if (f.number == A_GRAPH || f.number == A_GRAPHS) a.graphs[a.graph_count++] = pb_sub(&r, &f);
    }
    *ret = a;
    return ERR_OK;
}

static err_code no_memory(err *e) { return err_set(e, ERR_NOMEM, "no memory for attributes"); }

static err_code scalar_read(attr *a, pb r, err *e)
{
    pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == A_FLOAT && a->kind == ATTR_FLOAT) a->f = pb_f32(&r, &f);
        if (f.number == A_INT && a->kind == ATTR_INT) a->i = pb_i64(&r, &f);
        if (f.number == A_STRING && a->kind == ATTR_STRING) a->s = pb_bytes(&r, &f);
        if (f.number == A_TYPE_PROTO && a->kind == ATTR_TYPE) a->s = pb_bytes(&r, &f);
    }
    return pb_check(&r, "AttributeProto", e);
}

static err_code numbers_read(attr *a, pb message, arena *memory, err *e)
{
    bool floats = a->kind == ATTR_FLOATS;
    uint32_t field = floats ? A_FLOATS : A_INTS;
    pb_type item = floats ? PB_FIXED32 : PB_VARINT;
    size_t count = 0, n = 0;
    uint64_t v;
    pb_field f;
    for (pb r = message; pb_next(&r, &f);) {
        if (f.number != field) continue;
        pb it = pb_items(&r, &f, item);
        count += pb_item_count(&it, item);
    }
    if (count > UINT32_MAX) return err_set(e, ERR_LIMIT, "attribute of %zu numbers", count);
    int64_t *ints = floats ? NULL : arena_new(memory, int64_t, count);
    uint32_t *bits = floats ? arena_new(memory, uint32_t, count) : NULL;
    if (!ints && !bits) return no_memory(e);
    for (pb r = message; pb_next(&r, &f);) {
        if (f.number != field) continue;
        pb it = pb_items(&r, &f, item);
        for (; pb_item(&it, item, &v); n++) {
            INVARIANT(n < count);
            if (ints) ints[n] = (int64_t)v;
            else bits[n] = (uint32_t)v;
        }
        err_code rc = pb_check(&it, "AttributeProto", e);
        if (rc) return rc;
    }
    a->count = (uint32_t)n;
    if (ints) a->ints = ints;
    else a->floats = (const float *)(const void *)bits;
    return ERR_OK;
}

static err_code strings_read(attr *a, pb message, arena *memory, err *e)
{
    pb_field f;
    uint32_t count = 0;
    for (pb r = message; pb_next(&r, &f);) count += f.number == A_STRINGS;
    str *s = arena_new(memory, str, count);
    if (!s) return no_memory(e);
    pb r = message;
    while (pb_next(&r, &f)) {
        if (f.number == A_STRINGS) s[a->count++] = pb_bytes(&r, &f);
    }
    a->strings = s;
    return pb_check(&r, "AttributeProto", e);
}

static err_code tensors_read(attr *a, const onnx_attr *raw, const onnx_tensor_opts *o, err *e)
{
    bool many = raw->kind == ATTR_TENSORS;
    uint32_t field = raw->sparse ? (many ? A_SPARSES : A_SPARSE) : many ? A_TENSORS : A_TENSOR, count = 0;
    pb_field f;
    for (pb r = raw->message; pb_next(&r, &f);) count += f.number == field;
    if (!many && count != 1) return err_set(e, ERR_INVALID, "expected one tensor, got %u", count);
    tensor *t = arena_new(o->memory, tensor, count);
    if (!t) return no_memory(e);
    a->count = many ? count : 0;
    count = 0;
    for (pb r = raw->message; pb_next(&r, &f);) {
        if (f.number != field) continue;
        str name;
        pb sub = pb_sub(&r, &f);
        err_code rc =
            raw->sparse ? onnx_sparse_read(&t[count], &name, sub, o, e) : onnx_tensor_read(&t[count], &name, sub, o, e);
        if (rc) return rc;
        count++;
    }
    if (many) a->tensors = t;
    else a->t = t;
    return ERR_OK;
}

err_code onnx_attr_read(attr *ret, const onnx_attr *raw, const onnx_tensor_opts *o, err *e)
{
    err_code rc = ERR_OK;
    *ret = (attr){.name = raw->name, .kind = raw->kind};
    switch (raw->kind) {
    case ATTR_FLOAT: case ATTR_INT: case ATTR_STRING: case ATTR_TYPE: rc = scalar_read(ret, raw->message, e); break;
    case ATTR_FLOATS: case ATTR_INTS: rc = numbers_read(ret, raw->message, o->memory, e); break;
    case ATTR_STRINGS: rc = strings_read(ret, raw->message, o->memory, e); break;
    case ATTR_TENSOR: case ATTR_TENSORS: rc = tensors_read(ret, raw, o, e); break;
    default: break;
    }
    return rc ? err_wrap(e, "attribute '" STR_FMT "'", STR_ARG(raw->name)) : ERR_OK;
}

/* The tensor that one attribute of a Constant node means; scalars and lists become tensors of rank 0 and 1. */
static err_code constant_tensor(tensor *ret, const attr *a, arena *memory, err *e)
{
    bool list = a->kind == ATTR_FLOATS || a->kind == ATTR_INTS || a->kind == ATTR_STRINGS;
    int64_t count = a->count;
    shape s = list ? shape_make(1, &count) : (shape){0};
    const void *items = NULL;
    dtype type = DT_NONE;
    switch (a->kind) {
    case ATTR_TENSOR: *ret = *a->t; return ERR_OK;
    case ATTR_FLOAT: type = DT_F32; items = &a->f; break;
    case ATTR_FLOATS: type = DT_F32; items = a->floats; break;
    case ATTR_INT: type = DT_I64; items = &a->i; break;
    case ATTR_INTS: type = DT_I64; items = a->ints; break;
    case ATTR_STRING: type = DT_STRING; items = &a->s; break;
    case ATTR_STRINGS: type = DT_STRING; items = a->strings; break;
    default: return err_set(e, ERR_UNSUPPORTED, "attribute '" STR_FMT "': not implemented", STR_ARG(a->name));
    }
    *ret = tensor_make(type, &s, NULL);
    if (tensor_count(ret) == 0) return ERR_OK;
    ret->data = arena_copy(memory, items, tensor_bytes(ret), 16);
    return ret->data ? ERR_OK : no_memory(e);
}

err_code onnx_constant(graph *g, const node *n, err *e)
{
    static const char *const names[] = {"value",      "value_float",  "value_floats",  "value_int",
                                        "value_ints", "value_string", "value_strings", "sparse_value"};
    char text[200];
    const attr *a = NULL;
    for (size_t i = 0; i < COUNTOF(names) && !a; i++) a = node_attr(n, names[i]);
    if (!a || n->attr_count != 1 || n->in_count || n->out_count != 1 || n->out[0] == VALUE_NONE)
        return err_set(e, ERR_INVALID, "%s: expected one attribute with the value and one output",
                       node_text(g, n, text));
    tensor *t = arena_new(g->memory, tensor, 1);
    if (!t) return no_memory(e);
    err_code rc = constant_tensor(t, a, g->memory, e);
    if (rc) return err_wrap(e, "%s", node_text(g, n, text));
    value *v = &g->values[n->out[0]];
    v->from = VALUE_CONST;
    v->init = t;
    v->type = t->type;
    v->ranked = true;
    v->declared = t->shape;
    return ERR_OK;
}
