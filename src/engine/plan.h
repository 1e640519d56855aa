/* plan.h - a graph made ready for one set of input shapes: what runs, in which order, and where every value lies.
 *
 *   offset 0                                             plan->bytes
 *   | input x | conv1 ------- | relu2 (in place of conv1) | ... |     one block of memory per execution
 *             | x dead: reused by pool3 |
 *
 * Nodes whose inputs are known when the plan is made are run then and cost nothing later; so are Shape and its like.
 * Views (Reshape, ...) share the memory of what they look at; elementwise nodes overwrite an input that dies.
 * A value whose shape hangs on the request's data is `late`: its node is inferred when the run comes to it and its
 * memory comes from the execution's growing arena, as do those of all nodes behind it.
 * A plan is immutable once made and may be used by many executions at once. */
#ifndef ENGINE_PLAN_H
#define ENGINE_PLAN_H
#include "engine/op.h"

enum {
    PLAN_FOLD_MAX = 1 << 20,          /* bytes of the outputs of one node run at plan time; more is left to the run */
    PLAN_HOLES_MAX = 1024             /* gaps the memory planner remembers; the smallest is forgotten beyond that */
};
#define PLAN_FOLD_TOTAL ((size_t)256 << 20)   /* bytes of all of them */

typedef enum {
    PLACE_NONE,                       /* nobody computes it: an output that is not wanted, or a dead node's */
    PLACE_KNOWN,                      /* t.data: a constant, or computed at plan time */
    PLACE_INPUT,                      /* at `offset`, or where the caller says */
    PLACE_BUFFER,                     /* at `offset` */
    PLACE_ALIAS,                      /* in the memory of `of`, which is of another kind */
    PLACE_LATE,                       /* made by the run */
    PLACE_OUTER                       /* a value of the graph around */
} place;

typedef struct {
    tensor t;                         /* type and shape; of a PLACE_LATE value nothing is known */
    place place;
    value_id of;
    size_t offset, bytes;
} plan_value;

typedef enum { STEP_RUN, STEP_VIEW, STEP_LATE } step_kind;

typedef struct {
    const node *node;
    step_kind kind;
} plan_step;

typedef struct plan plan;
struct plan {
    const graph *graph;
    plan_value *values;               /* [graph->value_count] */
    plan_step *steps;
    uint32_t step_count, late_count;
    bool uneven;                      /* values of the inputs decide on the cost of a run: late steps, or OP_UNEVEN */
    uint32_t arg_count;               /* inputs and outputs of all steps */
    size_t bytes;                     /* of one execution's memory */
    arena memory;                     /* all of the above, and what was computed at plan time */
};

typedef struct {
    const tensor *inputs;             /* [graph->input_count] type and shape; data where it is known */
    const tensor *outer;              /* [parent's values]; NULL for the main graph */
    const kernel_set *kernels;
    size_t memory_max;
    bool probe; /* a node that refuses its inputs makes its outputs late: the plan is only looked at */
} plan_opts;

err_code plan_new(plan **ret, const graph *g, const plan_opts *o, err *e) MUST_USE;
void plan_free(plan *p);
DEFINE_CLEANUP(plan)
/* What the step costs, for `model inspect`; 0 and "" when that is only known in the run. */
uint64_t plan_step_flops(const plan *p, const plan_step *s);
const char *plan_step_kernel(const plan *p, const plan_step *s, const char *isa);

#endif
