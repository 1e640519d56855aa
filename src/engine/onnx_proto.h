/* onnx_proto.h - the messages of onnx.proto taken apart into arrays, and nothing more.
 *
 * Names and bytes are views into the file; arrays live in the arena.  Tensors and attributes stay messages
 * (pb) until somebody wants them.  What is checked here: the encoding, UTF-8 of every name, IR version 1 to 13,
 * shapes that a model declares (-1 or a name = symbolic).  What names mean is onnx.c's business. */
#ifndef ENGINE_ONNX_PROTO_H
#define ENGINE_ONNX_PROTO_H
#include "base/arena.h"
#include "tensor/tensor.h"
#include "wire/pb.h"

enum { ONNX_IR_MAX = 13 };
#define ONNX_PIPELINE_KEY "proa"   /* of metadata_props: models/pipeline.h reads its value */

typedef struct {
    str domain;                   /* "" = ai.onnx */
    int64_t version;
} onnx_import;

typedef struct {
    str name, op, domain, overload;
    str *in, *out;
    pb *attrs;                    /* AttributeProto */
    uint32_t in_count, out_count, attr_count;
} onnx_node;

typedef struct {
    str name;
    dtype type;                   /* DT_NONE = not declared */
    bool ranked;
    shape shape;
    str dim_name[TENSOR_RANK_MAX];
    const char *other;            /* "sequence", "map", "optional", "sparse tensor"; NULL = a tensor */
} onnx_value;

typedef struct {
    str name;
    onnx_node *nodes;
    onnx_value *inputs, *outputs, *infos;
    pb *tensors, *sparse;         /* TensorProto, SparseTensorProto */
    uint32_t node_count, input_count, output_count, info_count, tensor_count, sparse_count;
} onnx_graph;

typedef struct {
    str name, domain, overload;
    onnx_import *imports;
    str *in, *out;
    pb *defaults;                 /* AttributeProto */
    onnx_node *nodes;
    uint32_t import_count, in_count, out_count, default_count, node_count;
} onnx_function;

typedef struct {
    int64_t ir_version;
    onnx_import *imports;
    onnx_function *functions;
    uint32_t import_count, function_count;
    bool has_graph;
    pb graph;                     /* GraphProto */
    str pipeline;                 /* of the metadata; p NULL = none */
} onnx_model;

err_code onnx_model_parse(onnx_model *ret, str bytes, arena *a, err *e) MUST_USE;
err_code onnx_graph_parse(onnx_graph *ret, pb message, arena *a, err *e) MUST_USE;

#endif
