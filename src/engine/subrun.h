/* subrun.h - running the subgraphs of a node (If, Loop, Scan).
 *
 * Each execution keeps, for each such node, plans and executions of the subgraphs for the types and shapes met so far;
 * at most SUBRUN_MAX, the one used longest ago goes.  What a subgraph reads of the graphs around it is bound anew
 * before every run, so nothing is copied in; what comes out is the caller's to copy, because the next run overwrites
 * it.
 */
#ifndef ENGINE_SUBRUN_H
#define ENGINE_SUBRUN_H
#include "engine/exec.h"

enum { SUBRUN_MAX = 8 };

typedef struct subrun subrun;

void subrun_free(subrun *s);
/* Lets go of the values between runs and of late values inside; returns the bytes that stay.  NULL: none. */
size_t subrun_rest(subrun *s);
bool subrun_shared_out(const subrun *s);   /* as exec_shared_out(); NULL: no */
/* Runs subgraph number `which` of c's node.  inputs: [its input_count], data read where it lies.  The outputs,
 * exec_output(*ret, i), hold until the next run for this node. */
err_code subrun_run(exec **ret, op_call *c, uint32_t which, const tensor *inputs, err *e) MUST_USE;
/* An arena of the node's own that lives as long as its execution, for values between two runs; which: 0 or 1. */
err_code subrun_arena(op_call *c, int which, arena **ret, err *e) MUST_USE;

/* t with its data, and the bytes of its strings, in arena a. */
err_code subrun_copy(tensor *ret, const op_call *c, const tensor *t, arena *a, err *e) MUST_USE;
/* Output i of c becomes a copy of t. */
err_code subrun_give(op_call *c, uint32_t i, const tensor *t, err *e) MUST_USE;

#endif
