#include "engine/onnx_proto.h"

/* Field numbers of onnx.proto. */
enum { MODEL_IR = 1, MODEL_GRAPH = 7, MODEL_IMPORT = 8, MODEL_METADATA = 14, MODEL_FUNCTION = 25 };
enum { ENTRY_KEY = 1, ENTRY_VALUE = 2 };
enum { IMPORT_DOMAIN = 1, IMPORT_VERSION = 2 };
enum {
    GRAPH_NODE = 1,
    GRAPH_NAME = 2,
    GRAPH_TENSOR = 5,
    GRAPH_INPUT = 11,
    GRAPH_OUTPUT = 12,
    GRAPH_INFO = 13,
    GRAPH_SPARSE = 15
};
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OP = 4, NODE_ATTR = 5, NODE_DOMAIN = 7, NODE_OVERLOAD = 8 };
enum { INFO_NAME = 1, INFO_TYPE = 2 };
enum { TYPE_TENSOR = 1, TYPE_SEQUENCE = 4, TYPE_MAP = 5, TYPE_SPARSE = 8, TYPE_OPTIONAL = 9 };
enum { TENSOR_ELEM = 1, TENSOR_SHAPE = 2, SHAPE_DIM = 1, DIM_VALUE = 1, DIM_PARAM = 2 };
enum {
    FN_NAME = 1,
    FN_INPUT = 4,
    FN_OUTPUT = 5,
    FN_NODE = 7,
    FN_IMPORT = 9,
    FN_DOMAIN = 10,
    FN_DEFAULT = 11,
    FN_OVERLOAD = 13
};
enum { NUMBERS = 32 };   /* over every field number above */

/* How often each field occurs, so that arrays are made once; false = no memory for `what`. */
static void count_fields(pb r, uint32_t counts[NUMBERS])
{
    pb_field f;
    for (int i = 0; i < NUMBERS; i++) counts[i] = 0;
    while (pb_next(&r, &f)) {
        if (f.number < NUMBERS) counts[f.number]++;
    }
}

static err_code no_memory(err *e) { return err_set(e, ERR_NOMEM, "no memory for the model's graph"); }

static str domain_of(str s) { return str_is(s, "ai.onnx") ? (str){.p = "", .len = 0} : s; }

static err_code import_parse(onnx_import *ret, pb r, err *e)
{
    pb_field f;
    *ret = (onnx_import){.domain = {.p = "", .len = 0}};
    while (pb_next(&r, &f)) {
        if (f.number == IMPORT_DOMAIN) ret->domain = domain_of(pb_text(&r, &f));
        if (f.number == IMPORT_VERSION) ret->version = pb_i64(&r, &f);
    }
    return pb_check(&r, "opset_import", e);
}

static err_code node_parse(onnx_node *ret, pb r, arena *a, err *e)
{
    uint32_t counts[NUMBERS];
    pb_field f;
    count_fields(r, counts);
    onnx_node n = {.in = arena_new(a, str, counts[NODE_INPUT]),
                   .out = arena_new(a, str, counts[NODE_OUTPUT]),
                   .attrs = arena_new(a, pb, counts[NODE_ATTR])};
    if (!n.in || !n.out || !n.attrs) return no_memory(e);
    while (pb_next(&r, &f)) {
        switch (f.number) {
        case NODE_INPUT: n.in[n.in_count++] = pb_text(&r, &f); break;
        case NODE_OUTPUT: n.out[n.out_count++] = pb_text(&r, &f); break;
        case NODE_NAME: n.name = pb_text(&r, &f); break;
        case NODE_OP: n.op = pb_text(&r, &f); break;
        case NODE_DOMAIN: n.domain = domain_of(pb_text(&r, &f)); break;
        case NODE_OVERLOAD: n.overload = pb_text(&r, &f); break;
        case NODE_ATTR: n.attrs[n.attr_count++] = pb_sub(&r, &f); break;
        default: break;
        }
    }
    err_code rc = pb_check(&r, "NodeProto", e);
    if (!rc) *ret = n;
    return rc;
}

static err_code dim_parse(onnx_value *v, pb r, err *e)
{
    int64_t dim = -1;
    str name = {0};
    pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == DIM_VALUE) dim = pb_i64(&r, &f);
        if (f.number == DIM_PARAM) name = pb_text(&r, &f);
    }
    err_code rc = pb_check(&r, "dim", e);
    if (rc) return rc;
    if (dim < -1)
        return err_set(e, ERR_INVALID, "value '" STR_FMT "': dimension: expected 0 or more, got %lld", STR_ARG(v->name),
                       (long long)dim);
    if (v->shape.rank < TENSOR_RANK_MAX) v->dim_name[v->shape.rank] = name;
    return shape_push(&v->shape, dim, e);
}

static err_code tensor_type_parse(onnx_value *v, pb r, err *e)
{
    pb_field f, d;
    err_code rc = ERR_OK;
    while (!rc && pb_next(&r, &f)) {
        if (f.number == TENSOR_ELEM) {
            int64_t type = pb_i64(&r, &f);
            if (type != 0 && !dtype_ok(type))
                return err_set(e, ERR_UNSUPPORTED, "value '" STR_FMT "': data type %lld: not implemented",
                               STR_ARG(v->name), (long long)type);
            v->type = (dtype)type;
        }
        if (f.number != TENSOR_SHAPE) continue;
        pb dims = pb_sub(&r, &f);
        v->ranked = true;
        while (!rc && pb_next(&dims, &d)) {
            if (d.number == SHAPE_DIM) rc = dim_parse(v, pb_sub(&dims, &d), e);
        }
        if (!rc) rc = pb_check(&dims, "shape", e);
    }
    return rc ? rc : pb_check(&r, "tensor_type", e);
}

static err_code type_parse(onnx_value *v, pb r, err *e)
{
    pb_field f;
    err_code rc = ERR_OK;
    while (!rc && pb_next(&r, &f)) {
        switch (f.number) {
        case TYPE_TENSOR: rc = tensor_type_parse(v, pb_sub(&r, &f), e); break;
        case TYPE_SEQUENCE: v->other = "sequence"; break;
        case TYPE_MAP: v->other = "map"; break;
        case TYPE_SPARSE: v->other = "sparse tensor"; break;
        case TYPE_OPTIONAL: v->other = "optional"; break;
        default: break;
        }
    }
    return rc ? rc : pb_check(&r, "type", e);
}

static err_code value_parse(onnx_value *v, pb r, err *e)
{
    pb_field f;
    pb type = {0};   /* a value without a type is one of any type: an empty message */
    *v = (onnx_value){0};
    while (pb_next(&r, &f)) {
        if (f.number == INFO_NAME) v->name = pb_text(&r, &f);
        if (f.number == INFO_TYPE) type = pb_sub(&r, &f);
    }
    err_code rc = pb_check(&r, "ValueInfoProto", e);
    return rc ? rc : type_parse(v, type, e);
}

err_code onnx_graph_parse(onnx_graph *ret, pb message, arena *a, err *e)
{
    uint32_t counts[NUMBERS];
    pb r = message;
    pb_field f;
    count_fields(r, counts);
    onnx_graph g = {.nodes = arena_new(a, onnx_node, counts[GRAPH_NODE]),
                    .inputs = arena_new(a, onnx_value, counts[GRAPH_INPUT]),
                    .outputs = arena_new(a, onnx_value, counts[GRAPH_OUTPUT]),
                    .infos = arena_new(a, onnx_value, counts[GRAPH_INFO]),
                    .tensors = arena_new(a, pb, counts[GRAPH_TENSOR]),
                    .sparse = arena_new(a, pb, counts[GRAPH_SPARSE])};
    if (!g.nodes || !g.inputs || !g.outputs || !g.infos || !g.tensors || !g.sparse) return no_memory(e);
    err_code rc = ERR_OK;
    while (!rc && pb_next(&r, &f)) {
        switch (f.number) {
        case GRAPH_NODE: rc = node_parse(&g.nodes[g.node_count++], pb_sub(&r, &f), a, e); break;
        case GRAPH_NAME: g.name = pb_text(&r, &f); break;
        case GRAPH_TENSOR: g.tensors[g.tensor_count++] = pb_sub(&r, &f); break;
        case GRAPH_SPARSE: g.sparse[g.sparse_count++] = pb_sub(&r, &f); break;
        case GRAPH_INPUT: rc = value_parse(&g.inputs[g.input_count++], pb_sub(&r, &f), e); break;
        case GRAPH_OUTPUT: rc = value_parse(&g.outputs[g.output_count++], pb_sub(&r, &f), e); break;
        case GRAPH_INFO: rc = value_parse(&g.infos[g.info_count++], pb_sub(&r, &f), e); break;
        default: break;
        }
    }
    if (!rc) rc = pb_check(&r, "GraphProto", e);
    if (!rc) *ret = g;
    return rc;
}

static err_code function_parse(onnx_function *ret, pb r, arena *a, err *e)
{
    uint32_t counts[NUMBERS];
    pb_field f;
    count_fields(r, counts);
    onnx_function fn = {.imports = arena_new(a, onnx_import, counts[FN_IMPORT]),
                        .in = arena_new(a, str, counts[FN_INPUT]),
                        .out = arena_new(a, str, counts[FN_OUTPUT]),
                        .defaults = arena_new(a, pb, counts[FN_DEFAULT]),
                        .nodes = arena_new(a, onnx_node, counts[FN_NODE])};
    if (!fn.imports || !fn.in || !fn.out || !fn.defaults || !fn.nodes) return no_memory(e);
    err_code rc = ERR_OK;
    while (!rc && pb_next(&r, &f)) {
        switch (f.number) {
        case FN_NAME: fn.name = pb_text(&r, &f); break;
        case FN_DOMAIN: fn.domain = domain_of(pb_text(&r, &f)); break;
        case FN_OVERLOAD: fn.overload = pb_text(&r, &f); break;
        case FN_INPUT: fn.in[fn.in_count++] = pb_text(&r, &f); break;
        case FN_OUTPUT: fn.out[fn.out_count++] = pb_text(&r, &f); break;
        case FN_IMPORT: rc = import_parse(&fn.imports[fn.import_count++], pb_sub(&r, &f), e); break;
        case FN_DEFAULT: fn.defaults[fn.default_count++] = pb_sub(&r, &f); break;
        case FN_NODE: rc = node_parse(&fn.nodes[fn.node_count++], pb_sub(&r, &f), a, e); break;
        default: break;
        }
    }
    if (!rc) rc = pb_check(&r, "FunctionProto", e);
    if (!rc) *ret = fn;
    return rc;
}

/* Of what tools write about a model only what is meant for us. */
static err_code metadata_parse(onnx_model *m, pb r, err *e)
{
    str key = {0}, value = {0};
    pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == ENTRY_KEY) key = pb_text(&r, &f);
        if (f.number == ENTRY_VALUE) value = pb_text(&r, &f);
    }
    err_code rc = pb_check(&r, "metadata_props", e);
    if (!rc && str_is(key, ONNX_PIPELINE_KEY)) m->pipeline = value;
    return rc;
}

err_code onnx_model_parse(onnx_model *ret, str bytes, arena *a, err *e)
{
    uint32_t counts[NUMBERS];
    pb r;
    pb_field f;
    pb_init(&r, bytes.p, bytes.len);
    count_fields(r, counts);
    onnx_model m = {.imports = arena_new(a, onnx_import, counts[MODEL_IMPORT]),
                    .functions = arena_new(a, onnx_function, counts[MODEL_FUNCTION])};
    if (!m.imports || !m.functions) return no_memory(e);
    err_code rc = ERR_OK;
    while (!rc && pb_next(&r, &f)) {
        switch (f.number) {
        case MODEL_IR: m.ir_version = pb_i64(&r, &f); break;
        case MODEL_IMPORT: rc = import_parse(&m.imports[m.import_count++], pb_sub(&r, &f), e); break;
        case MODEL_METADATA: rc = metadata_parse(&m, pb_sub(&r, &f), e); break;
        case MODEL_FUNCTION: rc = function_parse(&m.functions[m.function_count++], pb_sub(&r, &f), a, e); break;
        case MODEL_GRAPH:
            if (m.has_graph) return err_set(e, ERR_INVALID, "graph: given twice");
            m.has_graph = true;
            m.graph = pb_sub(&r, &f);
            break;
        default: break;
        }
    }
    if (!rc) rc = pb_check(&r, "not an ONNX model", e);
    if (rc) return rc;
    if (!m.has_graph) return err_set(e, ERR_INVALID, "not an ONNX model: no graph in it");
    if (m.ir_version < 1 || m.ir_version > ONNX_IR_MAX)
        return err_set(e, ERR_UNSUPPORTED, "IR version: expected 1 to %d, got %lld", ONNX_IR_MAX,
                       (long long)m.ir_version);
    *ret = m;
    return ERR_OK;
}
