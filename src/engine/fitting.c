#include "engine/fitting.h"

#include "base/mem.h"
#include "engine/op.h"

#include <string.h>

/* The sizes of all open dimensions in further plans: the least, odd and even ones, and one that even in five dimensions
 * gives no tensor too large to be planned. */
static const int64_t trial_sizes[] = {1, 2, 3, 7, 251};

/* Room of the operators' infer for one node. */
#define FITTING_SCRATCH_MAX ((size_t)64 << 20)

enum { SIZES_MAX = 32, OPEN_MAX = 12 };

/* What a load may still spend on it. */
typedef struct {
    uint32_t reads, nodes;
} budget;

/* A node that refused its inputs, and what they are. */
typedef struct {
    const graph *g;
    const node *n;
    const kernel_set *k;
    arena *scratch;
    budget *left;
    tensor *in;                  /* [in_count] -1 = open; data of constants only */
    const tensor **args;         /* [in_count] into `in`; NULL = left out */
    tensor *made;                /* [out_count] */
    tensor **out;                /* [out_count] into `made`; NULL = not wanted */
    int64_t *open[OPEN_MAX];     /* the open dimensions, once they are collected */
    uint32_t open_count, size_count;
    int64_t sizes[SIZES_MAX];    /* to be tried for each */
} suspect;

/* ---- which operators are judged with open dimensions ---------------------------------------------------------- */

/* They compare dimensions with each other, with 1 and with 0, and count them; nothing else. */
static const char *const comparing[] = {
    "Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Mean", "Sum", "And", "Or", "Xor", "Equal", "Greater",
    "Less", "GreaterOrEqual", "LessOrEqual", "Where", "PRelu", "MatMul", "Gemm", "Softmax", "LogSoftmax", "Hardmax",
    "Flatten", "Transpose", "Gather", "Squeeze", "Unsqueeze", "Concat", "ArgMax", "ArgMin", "ReduceSum", "ReduceMean",
    "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
    "ReduceSumSquare", "LayerNormalization", "BatchNormalization", "InstanceNormalization", "GlobalAveragePool",
    "GlobalMaxPool",
};

/* Conv measures its picture, too, so that must be fixed; its channels are compared with the weights' by the groups. */
static bool conv_comparable(const suspect *s)
{
    for (uint32_t i = 0; i < s->n->in_count; i++) {
        for (uint32_t d = i == 0 ? 2 : 0; d < s->in[i].shape.rank; d++) {
            if (s->in[i].shape.dim[d] < 0) return false;
        }
    }
    return true;
}

static bool comparable(const suspect *s)
{
    if (s->n->domain.len) return false;
    if (str_is(s->n->op, "Conv")) return conv_comparable(s);
    for (size_t i = 0; i < COUNTOF(comparing); i++) {
        if (str_is(s->n->op, comparing[i])) return true;
    }
    return false;
}

/* ---- whether one fits at any size ----------------------------------------------------------------------------- */

static bool size_add(suspect *s, int64_t size)
{
    for (uint32_t i = 0; i < s->size_count; i++) {
        if (s->sizes[i] == size) return true;
    }
    if (s->size_count == SIZES_MAX) return false;
    s->sizes[s->size_count++] = size;
    return true;
}

/* Fills `open` and `sizes`, 1 the first of them; false = too many. */
static bool sizes_collect(suspect *s)
{
    s->open_count = s->size_count = 0;
    bool all = size_add(s, 1) && size_add(s, 0);
    for (uint32_t i = 0; i < s->n->in_count; i++) {
        for (uint32_t d = 0; d < s->in[i].shape.rank && all; d++) {
            int64_t *dim = &s->in[i].shape.dim[d];
            if (*dim >= 0) all = size_add(s, *dim);
            else if (s->open_count == OPEN_MAX) return false;
            else s->open[s->open_count++] = dim;
        }
    }
    int64_t channels;
    if (all && str_is(s->n->op, "Conv") && s->in[1].shape.rank > 1 &&
        !__builtin_mul_overflow(s->in[1].shape.dim[1], node_int(s->n, "group", 1), &channels) && channels > 0)
        all = size_add(s, channels);
    return all;
}

/* With the sizes as they stand in `open`.  ERR_OK where it fits, or where that hangs on data. */
static err_code infer(const suspect *s, err *e)
{
    arena lasting;
    for (uint32_t i = 0; i < s->n->in_count; i++)
        if (s->args[i] && !shape_bounded(&s->in[i].shape)) return ERR_OK;
    arena_init(&lasting, NULL, 0, FITTING_SCRATCH_MAX);
    op_call c = {.node = s->n,
                 .graph = s->g,
                 .in_count = s->n->in_count,
                 .out_count = s->n->out_count,
                 .in = s->args,
                 .out = s->out,
                 .state = s->n->state,
                 .k = s->k,
                 .scratch = s->scratch,
                 .lasting = &lasting};
    err_code rc = op_infer(&c, e);
    arena_reset(s->scratch);
    arena_fini(&lasting);
    return rc;
}

/* Every combination, like the digits of a number. */
static bool refuses_all(suspect *s, err *reterr_first)
{
    uint8_t at[OPEN_MAX] = {0};
    uint32_t digit = 0, cost = s->n->in_count + 1;
    err e;
    for (uint32_t tried = 0; digit < s->open_count || tried == 0; tried++) {
        if (tried == FITTING_TRIED_MAX || s->left->reads < cost) return false;
        s->left->reads -= cost;
        for (uint32_t i = 0; i < s->open_count; i++) *s->open[i] = s->sizes[at[i]];
        if (infer(s, tried ? &e : reterr_first) != ERR_INVALID) return false;
        for (digit = 0; digit < s->open_count && ++at[digit] == s->size_count; digit++) at[digit] = 0;
    }
    return true;
}

/* *reterr: how it refuses inputs whose open dimensions are 1. */
static bool never_fits(suspect *s, err *reterr)
{
    if (!sizes_collect(s) || (s->open_count && !comparable(s))) return false;
    bool never = refuses_all(s, reterr);
    for (uint32_t i = 0; i < s->open_count; i++) *s->open[i] = -1;
    return never;
}

/* ---- what its inputs are -------------------------------------------------------------------------------------- */

/* Whether it refused its inputs in this plan. */
static bool refused(const node *n, const tensor *values)
{
    for (uint32_t i = 0; i < n->in_count; i++)
        if (n->in[i] != VALUE_NONE && !values[n->in[i]].type) return false;
    return n->out_count && n->out[0] != VALUE_NONE && !values[n->out[0]].type;
}

/* One more plan: dimensions that differ in it are open.  false = it did not get to the node, or with other ranks. */
static bool merge(suspect *s, const tensor *values)
{
    if (!refused(s->n, values)) return false;
    for (uint32_t i = 0; i < s->n->in_count; i++) {
        if (!s->args[i]) continue;
        const tensor *now = &values[s->n->in[i]];
        shape *known = &s->in[i].shape;
        if (now->type != s->in[i].type || now->shape.rank != known->rank) return false;
        for (uint32_t d = 0; d < known->rank; d++)
            if (known->dim[d] != now->shape.dim[d]) known->dim[d] = -1;
    }
    return true;
}

static err_code suspect_make(suspect *s, const tensor *values, arena *work, err *e)
{
    const node *n = s->n;
    s->in = arena_new(work, tensor, n->in_count);
    s->args = arena_new(work, const tensor *, n->in_count);
    s->made = arena_new(work, tensor, n->out_count);
    s->out = arena_new(work, tensor *, n->out_count);
    if (!s->in || !s->args || !s->made || !s->out) return err_set(e, ERR_NOMEM, "no memory for shapes");
    for (uint32_t i = 0; i < n->in_count; i++) {
        if (n->in[i] == VALUE_NONE) continue;
        const value *v = &s->g->values[n->in[i]];
        s->in[i] = values[n->in[i]];
        s->in[i].data = v->from == VALUE_CONST ? v->init->data : NULL;
        s->args[i] = &s->in[i];
    }
    for (uint32_t i = 0; i < n->out_count; i++) s->out[i] = n->out[i] == VALUE_NONE ? NULL : &s->made[i];
    return ERR_OK;
}

/* ---- the graph ------------------------------------------------------------------------------------------------ */

static bool inputs_open(const graph *g)
{
    for (uint32_t i = 0; i < g->input_count; i++) {
        const value *v = &g->values[g->inputs[i]];
        for (uint32_t d = 0; v->ranked && d < v->declared.rank; d++)
            if (v->declared.dim[d] < 0) return true;
    }
    return false;
}

/* *ret_in: its inputs are the same kind in all trials, whose differences are now open. */
static err_code trials_merge(suspect *s, arena *work, bool *ret_in, err *e)
{
    tensor *values = arena_new(work, tensor, s->g->value_count);
    if (!values) return err_set(e, ERR_NOMEM, "no memory for shapes");
    err_code rc = ERR_OK;
    bool in = true;
    for (size_t i = 0; i < COUNTOF(trial_sizes) && in && !rc; i++) {
        rc = facts_trial(values, s->g, trial_sizes[i], s->k, work, e);
        in = !rc && merge(s, values);
    }
    *ret_in = in;
    return rc;
}

/* The suspect against facts first: few get farther than that, and only for them the graph is planned anew. */
static err_code judge(suspect *s, const facts *f, arena *work, err *e)
{
    err how = {0};
    bool in = true;
    err_code rc = suspect_make(s, f->one, work, e);
    if (rc) return rc;
    if (!merge(s, f->two) || (f->apart && !merge(s, f->apart)) || !never_fits(s, &how)) return ERR_OK;
    if (inputs_open(s->g)) {
        if (s->left->nodes == 0) return ERR_OK;
        s->left->nodes--;
        rc = trials_merge(s, work, &in, e);
    }
    if (rc || !in || !never_fits(s, &how)) return rc;
    return err_set(e, ERR_INVALID, "%s%s", how.text, s->open_count ? "; sizes that the model leaves open were 1" : "");
}

err_code fitting_check(const graph *g, const facts *f, const kernel_set *k, err *e)
{
    arena work, scratch;
    budget left = {FITTING_READ_MAX, FITTING_NODES_MAX};
    err_code rc = ERR_OK;
    INVARIANT(!g->parent && f->count == g->value_count);
    arena_init(&work, NULL, 0, SIZE_MAX / 2);
    arena_init(&scratch, NULL, 0, FITTING_SCRATCH_MAX);
    for (uint32_t i = 0; i < g->node_count && !rc; i++) {
        const node *n = &g->nodes[i];
        if (n->row->flags & (OP_RUNTIME | OP_GRAPH) || !refused(n, f->one)) continue;
        suspect s = {.g = g, .n = n, .k = k, .scratch = &scratch, .left = &left};
        rc = judge(&s, f, &work, e);
        arena_reset(&work);
    }
    arena_fini(&scratch);
    arena_fini(&work);
    return rc;
}
