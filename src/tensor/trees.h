/* trees.h - an ensemble of decision trees, flattened so that walking it is one loop of comparisons.
 *
 *   x[feature] <= value ?  next[0] : next[1]          a leaf is its own next[0] and next[1]
 *
 * All nodes of all trees lie in one array, a node before its first child.  TREES_LANES walks (rows in one tree, or
 * trees for one row) go on in step until none of them moves: none waits for the memory or the comparison of another.
 * Every other question is made of this one when an ensemble is built (engine/tree_build.h).  Borrows its arrays; has
 * no state of its own: any number of threads may score at once. */
#ifndef TENSOR_TREES_H
#define TENSOR_TREES_H
#include "base/base.h"

enum { TREES_LANES = 8, TREES_ROWS = 64 };   /* rows that go through a tree while it is in the cache */
#define TREES_NAN (UINT32_C(1) << 31)        /* in `feature`: a NaN goes to next[0], else to next[1] */

typedef struct {
    float value;                     /* of a leaf in a `single` ensemble: its weight */
    uint32_t feature;
    uint32_t next[2];
} trees_node;

typedef struct {
    double value;
    uint32_t feature;
    uint32_t next[2];
} trees_node_f64;

typedef struct {
    uint32_t target;
    double value;
} trees_weight;

typedef enum { TREES_SUM, TREES_MIN, TREES_MAX } trees_merge;

typedef struct {
    trees_merge merge;
    bool wide;                       /* nodes are trees_node_f64 and x is double, else trees_node and float */
    bool nan;                        /* some node has TREES_NAN */
    bool single;                     /* each leaf has one weight, all for `target` */
    uint32_t node_count, root_count, feature_count, target_count, target;
    const void *nodes;
    const uint32_t *roots;
    const uint32_t *leaf;            /* [node_count] of a leaf: its number; unused where single */
    const uint32_t *first;           /* [leaves + 1] of a leaf: its weights are weights[first[i]] .. */
    const trees_weight *weights;
} trees;

/* x: [rows, count], count >= feature_count and >= 1.  scores, has: [rows, target_count]; has[i] = some leaf had a
 * weight for it, else its score is 0. */
void trees_run(const trees *t, const void *x, size_t rows, size_t count, double *scores, bool *has);

#endif
