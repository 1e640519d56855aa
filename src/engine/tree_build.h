/* tree_build.h - from trees as ONNX describes them to the flat ensemble of tensor/trees.h.
 *
 * A part is a node or a leaf; its children are other parts.  Every kind of test becomes one or more questions
 * x[feature] <= value.  What is reached twice, and so might be a cycle, is refused; leaves may be shared. */
#ifndef ENGINE_TREE_BUILD_H
#define ENGINE_TREE_BUILD_H
#include "base/arena.h"
#include "base/err.h"
#include "tensor/trees.h"

/* The numbers are those of TreeEnsemble's nodes_modes. */
typedef enum { TREE_LEQ, TREE_LT, TREE_GTE, TREE_GT, TREE_EQ, TREE_NEQ, TREE_MEMBER, TREE_LEAF } tree_test;

typedef struct {
    tree_test test;
    bool nan_yes;                    /* a missing value (NaN) passes the test */
    uint32_t feature;
    uint32_t yes, no;                /* parts */
    uint32_t first, count;           /* MEMBER: of its members; LEAF: of its weights */
    double value;
} tree_part;

typedef struct {
    const tree_part *parts;
    const uint32_t *roots;           /* parts */
    const double *members;
    const trees_weight *weights;
    uint32_t part_count, root_count, weight_count, target_count;
    trees_merge merge;
} tree_source;

/* The ensemble lives in `memory`.  wide: for x in double. */
err_code tree_build(trees *ret, const tree_source *s, bool wide, arena *memory, err *e) MUST_USE;

#endif
