/* fitting.h - shapes that contradict each other whatever a request asks: such a model cannot serve one.
 *
 * Facts (facts.h) show which nodes refuse their inputs in plans with made-up sizes.  Most of them are right to do so:
 * an export may be hard-wired to eight rows or to one picture size.  A node is held to be wrong only where it would be
 * for every size:
 *
 *   x [N,4]  w [5,4]      the dimensions of its inputs that are the same in each of many plans, from 1 on, are taken
 *      \      /           for fixed (4, 5, 4), the others for open (N), as if they were anything
 *     MatMul              an open dimension is tried at every size that the node can compare it with: 1, 0, 5, 4
 *
 * and it refuses all of them as invalid.  That proves something only where an operator compares sizes with each other
 * and counts dimensions, so where a dimension is open only the operators of a list are judged; where none is, all are.
 * What hangs on data, what lies behind a node that refused a plan, and subgraphs, of which a branch may never be
 * taken, are not judged. */
#ifndef ENGINE_FITTING_H
#define ENGINE_FITTING_H
#include "engine/facts.h"

enum {
    FITTING_TRIED_MAX = 4096,    /* combinations of sizes at one node; where there are more it is not judged */
    FITTING_READ_MAX = 1 << 17,  /* inputs read in all of them: some 50 ms; what comes after that is not judged */
    FITTING_NODES_MAX = 4,       /* nodes for which the graph is planned anew; the same */
};

/* The main graph before any pass, and what is known of it.  ERR_INVALID: the node and the shapes. */
err_code fitting_check(const graph *g, const facts *f, const kernel_set *k, err *e) MUST_USE;

#endif
