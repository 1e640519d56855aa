/* typing.h - the element types along a graph, known before any request: a model whose types contradict each other
 * cannot serve one.
 *
 * From inputs as declared and from constants on, each node's inputs are checked as op_infer() will check them, and its
 * outputs get the types that ONNX's tables (op_types.h) or an attribute give.  Subgraphs are typed with what they
 * are called with.  What neither says is unknown, and an unknown type contradicts nothing: operators that ONNX does
 * not define, sequences, value_info.  Shapes play no part, so it is sure also where they depend on data. */
#ifndef ENGINE_TYPING_H
#define ENGINE_TYPING_H
#include "engine/graph.h"

/* The main graph as it was loaded, before any pass.  Refuses by the node, its input, what it expects and got. */
err_code typing_check(const graph *g, err *e) MUST_USE;

#endif
