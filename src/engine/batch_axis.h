/* batch_axis.h - whether requests may share a run: every row of a model's first dimension is computed as if alone.
 *
 * A model that takes any number of rows need not keep them apart: it may subtract the mean of all, sort them, or count
 * them.  So nothing is batched that is not proven here.  The graph is planned with two made-up numbers of rows; the
 * dimension that follows them is where a value carries the rows.  Each node must then keep them apart by what its
 * operator says (the table in batch_axis.c); one that is not in the table does not.  What is counted from the rows
 * (Shape and what comes of it) may only decide on shapes.  Requests with further open dimensions may share a run where
 * these are equal. */
#ifndef ENGINE_BATCH_AXIS_H
#define ENGINE_BATCH_AXIS_H
#include "engine/graph.h"
#include "tensor/kernel.h"

enum { BATCH_WHY_MAX = 240 };

typedef struct {
    bool proven;                 /* rows of all inputs and outputs lie on dimension 0, and are computed apart */
    char why[BATCH_WHY_MAX];     /* where it is not: "node 'm' (ReduceMean, ai.onnx 13): mixes the rows of its input" */
} batch_axis;

/* Looks at the main graph as it was loaded, before the passes.  Fails for want of memory only. */
err_code batch_axis_find(batch_axis *ret, const graph *g, const kernel_set *k, arena *a, err *e) MUST_USE;

#endif
