/* onnx_build.h - tiny ONNX models made by tests, as bytes.
 *
 *   onnx_build b;
 *   onnx_build_start(&b, 13);
 *   onnx_build_input(&b, "x", DT_F32, "N,3");
 *   onnx_build_floats(&b, "w", "3,2", (const float[]){1, 2, 3, 4, 5, 6});
 *   onnx_build_node(&b, "MatMul", "x,w", "p", "");
 *   onnx_build_node(&b, "Softmax", "p", "y", "axis=1");
 *   onnx_build_output(&b, "y", DT_F32, "N,2");
 *   str bytes = onnx_build_bytes(&b);           lives until onnx_build_end(&b)
 *
 * Lists are comma-separated; a dimension is a number or a name; "" = a scalar, NULL = no shape.  An input
 * written as an empty item is left out.  Attributes are separated by blanks: i=3 f=0.5 s='text' ints=[1,2]
 * floats=[0.5,1.0] strings=['a','b']; a number with a '.' is a float. */
#ifndef TESTS_ONNX_BUILD_H
#define TESTS_ONNX_BUILD_H
#include "base/buf.h"
#include "tensor/tensor.h"

typedef struct {
    buf graph, model;
    int64_t opset, ir;
} onnx_build;

void onnx_build_start(onnx_build *b, int64_t opset);
void onnx_build_end(onnx_build *b);
void onnx_build_input(onnx_build *b, const char *name, dtype type, const char *dims);
void onnx_build_output(onnx_build *b, const char *name, dtype type, const char *dims);
void onnx_build_floats(onnx_build *b, const char *name, const char *dims, const float *values);
void onnx_build_ints(onnx_build *b, const char *name, const char *dims, const int64_t *values);
void onnx_build_tensor(onnx_build *b, const char *name, const tensor *t);
/* op may be "domain:Op". */
void onnx_build_node(onnx_build *b, const char *op, const char *ins, const char *outs, const char *attrs);
/* The same with a subgraph attribute; `sub` holds nodes, inputs and outputs and is not wrapped as a model. */
void onnx_build_node_graph(onnx_build *b, const char *op, const char *ins, const char *outs, const char *attr,
                           const onnx_build *sub, const char *attr2, const onnx_build *sub2);
/* The same with one subgraph and with plain attributes. */
void onnx_build_node_body(onnx_build *b, const char *op, const char *ins, const char *outs, const char *attrs,
                          const onnx_build *body);
/* opset_import of another domain, FunctionProto, ...: written beside the graph. */
void onnx_build_import(onnx_build *b, const char *domain, int64_t version);
str onnx_build_bytes(onnx_build *b);

#endif
