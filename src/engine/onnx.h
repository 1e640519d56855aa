/* onnx.h - an ONNX model to a graph.
 *
 * Takes IR versions 1 to 13 and opsets up to the newest of the operator table.  Nodes of an opset before 7 are
 * rewritten as opset 7 (onnx_legacy.h); model-local functions are expanded where they are called; Constant
 * nodes become constants; nodes are put in order.  Everything that the graph points to lives in `memory` or in
 * `bytes`.  Refused with one line that names the culprit: names used twice, values that nobody computes,
 * cycles, nesting deeper than GRAPH_DEPTH_MAX, calls deeper than ONNX_CALLS_MAX, operators, attributes and
 * versions that the table does not know. */
#ifndef ENGINE_ONNX_H
#define ENGINE_ONNX_H
#include "engine/graph.h"
#include "engine/onnx_tensor.h"

enum { ONNX_CALLS_MAX = 16 };          /* functions calling functions */

typedef struct {
    str bytes;
    arena *memory;
    onnx_external *external;           /* NULL: external data is refused */
} onnx_source;

err_code onnx_load(graph **ret, const onnx_source *source, err *e) MUST_USE;

#endif
