/* tree_read.h - the attributes of the tree ensembles as the source that tree_build() takes.
 *
 * Lists of different lengths, ids that name nothing, features and targets out of range, unknown modes: ERR_INVALID,
 * with the node's name.  The source lives in the arena; its order of trees is that of their ids. */
#ifndef ENGINE_TREE_READ_H
#define ENGINE_TREE_READ_H
#include "engine/op.h"
#include "engine/tree_build.h"

/* Real numbers that are an attribute of floats or a tensor. */
typedef struct {
    uint32_t count;
    const float *floats;
    const tensor *tensor;
} tree_reals;
/* Count 0 where neither is there; ERR_INVALID where both are. */
err_code tree_reals_of(const graph *g, const node *n, const char *floats_name, const char *tensor_name, tree_reals *ret,
                       err *e) MUST_USE;
double tree_real(const tree_reals *r, uint32_t i);

/* aggregate_function: AVERAGE sums, too; the division is the caller's. */
err_code tree_merge_of(const graph *g, const node *n, trees_merge *ret, bool *ret_average, err *e) MUST_USE;
/* TreeEnsembleClassifier and -Regressor: `classes` says which. */
err_code tree_read(tree_source *ret, const graph *g, const node *n, bool classes, uint32_t targets, arena *a,
                   err *e) MUST_USE;
/* TreeEnsemble. */
err_code tree_read_whole(tree_source *ret, const graph *g, const node *n, uint32_t targets, arena *a, err *e) MUST_USE;

#endif
