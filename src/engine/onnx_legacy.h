/* onnx_legacy.h - nodes of opsets 1 to 6, rewritten in terms of opset 7.
 *
 * Opset 7 is where broadcasting became NumPy's.  Before it, nodes carried hints (`consumed_inputs`, `is_test`),
 * broadcast by attributes, and gave shapes as attributes.  A node whose meaning has no counterpart in opset 7
 * is refused. */
#ifndef ENGINE_ONNX_LEGACY_H
#define ENGINE_ONNX_LEGACY_H
#include "engine/graph.h"

enum { ONNX_LEGACY_TO = 7 };

/* n is not in the graph yet; the rewrite may add constants and nodes before it. */
err_code onnx_legacy_rewrite(graph *g, node *n, err *e) MUST_USE;

#endif
