/* onnx_attr.h - AttributeProto to attr, and what a Constant node says to a constant.
 *
 * Subgraphs are given back as messages, since only the loader knows the names around them.  What is read lives in
 * the options' arena or is a view into the message; kinds that ONNX does not know are refused by name. */
#ifndef ENGINE_ONNX_ATTR_H
#define ENGINE_ONNX_ATTR_H
#include "engine/graph.h"
#include "engine/onnx_tensor.h"

/* An AttributeProto taken apart.  One that refers to another has no graphs of its own. */
typedef struct {
    str name, refers_to;          /* refers_to: ref_attr_name, in the body of a function; "" elsewhere */
    attr_kind kind;
    bool sparse;                  /* kind is ATTR_TENSOR or ATTR_TENSORS of SparseTensorProto */
    pb message;
    pb *graphs;
    uint32_t graph_count;
} onnx_attr;

err_code onnx_attr_parse(onnx_attr *ret, pb message, arena *scratch, err *e) MUST_USE;
/* All but graphs, which are left NULL. */
err_code onnx_attr_read(attr *ret, const onnx_attr *raw, const onnx_tensor_opts *o, err *e) MUST_USE;
/* Turns the output of a Constant node into a constant value. */
err_code onnx_constant(graph *g, const node *n, err *e) MUST_USE;

#endif
