/* pass.h - rewrites of a graph that keep what it computes: what is known is computed once, what follows is folded in.
 *
 * A table of passes is run over the main graph until none changes anything, PASS_ROUNDS_MAX rounds at most.  A
 * pass sees each value's readers and its producer as they were when it began, edits nodes in place, and records
 * value replacements, which are applied when it ends.  Values never change their meaning: an output that is
 * taken over by another node keeps its id, name and declared shape.  A pass that cannot prove that a rewrite is
 * legal leaves the graph alone. */
#ifndef ENGINE_PASS_H
#define ENGINE_PASS_H
#include "engine/facts.h"
#include "engine/op.h"

enum { PASS_ROUNDS_MAX = 8 };

typedef struct {
    graph *graph;
    const facts *facts;
    const kernel_set *kernels;
    size_t fold_left;            /* bytes that constants computed now may still take */
    uint32_t changes;
    arena *scratch;              /* empty again after each pass */
    /* As they were when the pass began; helpers below keep what they can up to date. */
    uint32_t value_count;
    uint32_t *readers;           /* [values] nodes' inputs and graph outputs that name the value */
    uint32_t *producer;          /* [values] index of the node + 1; 0 = none */
    bool *is_output;             /* [values] of the graph */
    value_id *becomes;           /* [values] */
} pass;

typedef struct {
    const char *name;
    err_code (*run)(pass *p, err *e);
} pass_row;

extern const pass_row pass_table[];      /* ends with a NULL name */
extern const pass_row pass_lowering[];   /* the same; what must be done even when nothing is to be optimised */

typedef struct {
    const kernel_set *kernels;
    size_t fold_max;             /* bytes of all constants that are computed at load */
} pass_opts;

/* Runs a table, then puts the graph in order. */
err_code passes_run(graph *g, const pass_row *table, const facts *f, const pass_opts *o, err *e) MUST_USE;

/* Helpers for passes. */
const tensor *pass_constant(const pass *p, value_id v);                 /* NULL = not a constant, or left out */
const tensor *pass_floats(const pass *p, value_id v);                   /* the same, float32 only */
node *pass_producer(const pass *p, value_id v);                         /* NULL = none, or dead */
/* The node that computes v when `n` reads it and nobody else does: the two may become one. */
node *pass_only_feeds(const pass *p, value_id v);
void pass_replace(pass *p, value_id from, value_id to);                 /* every reader of `from` reads `to` instead */
/* into's output 0 becomes from's, which is dead; what was fused into `from` goes along: pass_joins() says if it can. */
void pass_take_output(pass *p, node *into, node *from);
bool pass_joins(const node *into, const node *from);
err_code pass_fused(pass *p, node *n, const node *part, err *e);        /* notes part's name for `model inspect` */
/* A new constant value with room for the tensor's elements; *ret_data is to be filled. */
err_code pass_constant_add(pass *p, dtype type, const shape *s, value_id *ret, void **ret_data, err *e) MUST_USE;
err_code pass_inputs_grow(pass *p, node *n, uint32_t count, err *e) MUST_USE;   /* new inputs are VALUE_NONE */
err_code pass_attr_set(pass *p, node *n, attr a, err *e) MUST_USE;              /* replaces or adds */

/* The passes, by file. */
err_code pass_fold(pass *p, err *e);             /* pass_fold.c: nodes with constant inputs only */
err_code pass_dead(pass *p, err *e);             /* pass_fold.c: nodes that nobody reads */
err_code pass_identity(pass *p, err *e);         /* pass_trim.c: Identity, Dropout */
err_code pass_align(pass *p, err *e);            /* pass_trim.c: constants of opsets before 7 get their final shape */
err_code pass_transpose(pass *p, err *e);        /* pass_trim.c: two in a row */
err_code pass_pad(pass *p, err *e);              /* pass_trim.c: zeros that a Conv can add itself */
err_code pass_affine(pass *p, err *e); /* pass_affine.c: BatchNormalization, Mul, Add, ... by constants into weights */
err_code pass_act(pass *p, err *e);              /* pass_act.c */
err_code pass_residual(pass *p, err *e);         /* pass_act.c: Add of two equal shapes into the node before it */
err_code pass_zipmap(pass *p, err *e);           /* pass_trim.c: a map of labels becomes the tensor with its labels */

#endif
