/* If, Loop and Scan. */
#include "engine/subrun.h"

#include "base/buf.h"

#include <string.h>

static err_code control_infer(op_call *c, err *e)
{
    (void)c;
    (void)e;
    return ERR_OK; /* types and shapes are those of the subgraph's run */
}

static err_code subgraph_check(const op_call *c, const graph *g, uint32_t inputs, uint32_t outputs, err *e)
{
    if (g->input_count != inputs)
        return op_err(c, e, ERR_INVALID, "subgraph: expected %u inputs, got %u", inputs, g->input_count);
    if (g->output_count < outputs)
        return op_err(c, e, ERR_INVALID, "subgraph: expected at least %u outputs, got %u", outputs, g->output_count);
    return ERR_OK;
}

/* The number of the subgraph among the node's attributes. */
static uint32_t graph_index(const node *n, const char *name)
{
    const graph *g = node_attr(n, name)->g;
    uint32_t i = 0;
    while (node_graph(n, i) != g) i++;
    return i;
}

static err_code truth_of(const op_call *c, const tensor *t, const char *what, bool *ret, err *e)
{
    if (t->type != DT_BOOL || tensor_count(t) != 1) {
        char text[SHAPE_TEXT_MAX];
        return op_err(c, e, ERR_INVALID, "%s: expected one bool, got %s %s", what, dtype_name(t->type),
                      shape_text(&t->shape, text));
    }
    *ret = *(const bool *)t->data;
    return ERR_OK;
}

/* ---- If --------------------------------------------------------------------------------------------------------- */

static err_code if_run(op_call *c, err *e)
{
    bool yes;
    exec *x = NULL;
    err_code rc = truth_of(c, c->in[0], "cond", &yes, e);
    if (rc) return rc;
    uint32_t which = graph_index(c->node, yes ? "then_branch" : "else_branch");
    rc = subgraph_check(c, node_graph(c->node, which), 0, c->out_count, e);
    if (!rc) rc = subrun_run(&x, c, which, NULL, e);
    for (uint32_t i = 0; i < c->out_count && !rc; i++) rc = subrun_give(c, i, exec_output(x, i), e);
    return rc;
}

/* ---- what Loop and Scan share ----------------------------------------------------------------------------------- */

/* Outputs of an iteration put one beside the other along an axis of the whole. */
typedef struct {
    tensor whole; /* type NONE before the first */
    uint32_t axis;
    buf rows; /* Loop: it is not known how many will come */
} stack;

static err_code same_shape(const op_call *c, const tensor *first, const shape *got, uint32_t i, err *e)
{
    char want_text[SHAPE_TEXT_MAX], got_text[SHAPE_TEXT_MAX];
    return op_err(c, e, ERR_INVALID, "scan output %u: expected %s in every iteration, got %s", i,
                  shape_text(&first->shape, want_text), shape_text(got, got_text));
}

/* Where no iteration ran: what the subgraph declares, unknown sizes as 0. */
static err_code declared_give(op_call *c, uint32_t out, const graph *g, value_id v, uint32_t axis, err *e)
{
    const value *d = &g->values[v];
    shape s = {0};
    if (d->type == DT_NONE)
        return op_err(c, e, ERR_INVALID, "output %u: its type is not known without an iteration", out);
    if (d->ranked && d->declared.rank < TENSOR_RANK_MAX) {
        s = d->declared;
        for (uint32_t k = 0; k < s.rank; k++) s.dim[k] = s.dim[k] < 0 ? 0 : s.dim[k];
    }
    if (axis > s.rank) axis = s.rank;
    memmove(s.dim + axis + 1, s.dim + axis, (s.rank - axis) * sizeof *s.dim);
    s.dim[axis] = 0;
    s.rank++;
    return op_alloc(c, out, d->type, &s, e);
}

/* A loop whose condition never fails, or a scan of [2^40, 0], ends by the request's cancellation, or here. */
enum { TRIPS_MAX = INT32_MAX };

/* ---- Loop ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const graph *body;
    uint32_t which, carried, scans;
    int64_t trips_max; /* INT64_MAX: no limit */
    bool going;
    tensor *in; /* [2 + carried] number of the iteration, condition, carried values */
    stack *out; /* [scans] */
} loop_state;

static err_code loop_start(op_call *c, loop_state *l, err *e)
{
    uint32_t carried = c->in_count > 2 ? c->in_count - 2 : 0;
    *l = (loop_state){.which = graph_index(c->node, "body"), .carried = carried, .trips_max = INT64_MAX, .going = true};
    l->body = node_graph(c->node, l->which);
    err_code rc = subgraph_check(c, l->body, 2 + carried, 1 + carried, e);
    if (rc) return rc;
    l->scans = l->body->output_count - 1 - carried;
    if (c->out_count > carried + l->scans)
        return op_err(c, e, ERR_INVALID, "outputs: expected at most %u, got %u", carried + l->scans, c->out_count);
    const tensor *trips = c->in_count > 0 ? c->in[0] : NULL, *cond = c->in_count > 1 ? c->in[1] : NULL;
    if (trips && tensor_count(trips) != 1) return op_err(c, e, ERR_INVALID, "trip count: expected one number");
    if (trips) l->trips_max = *(const int64_t *)trips->data;
    if (cond) rc = truth_of(c, cond, "cond", &l->going, e);
    if (rc) return rc;
    l->in = arena_new(c->scratch, tensor, 2 + (size_t)carried);
    l->out = arena_new(c->scratch, stack, l->scans);
    if (!l->in || !l->out) return op_err(c, e, ERR_NOMEM, "no memory for %u values", carried + l->scans);
    for (uint32_t i = 0; i < carried; i++) {
        if (!c->in[2 + i]) return op_err(c, e, ERR_INVALID, "input %u: expected a value, got none", 2 + i);
        l->in[2 + i] = *c->in[2 + i];
    }
    for (uint32_t i = 0; i < l->scans; i++) buf_init(&l->out[i].rows, c->lasting->limit);
    return ERR_OK;
}

static err_code rows_add(op_call *c, stack *s, uint32_t i, const tensor *t, err *e)
{
    tensor copy = *t;
    err_code rc = ERR_OK;
    if (s->whole.type == DT_NONE) s->whole = *t;
    if (s->whole.type != t->type || !shape_eq(&s->whole.shape, &t->shape))
        return same_shape(c, &s->whole, &t->shape, i, e);
    if (dtype_bits(t->type) < 8) return op_err(c, e, ERR_UNSUPPORTED, "%s is not supported", dtype_name(t->type));
    if (t->type == DT_STRING) rc = subrun_copy(&copy, c, t, c->lasting, e);
    if (rc) return rc;
    size_t bytes = tensor_bytes(t);
    if (bytes) buf_put(&s->rows, copy.data, bytes);
    return buf_check(&s->rows, "scan output", e);
}

/* One iteration; carried values move from the arena of the last one to the other. */
static err_code loop_step(op_call *c, loop_state *l, int64_t number, err *e)
{
    exec *x = NULL;
    arena *next;
    l->in[0] = tensor_make(DT_I64, &(shape){0}, &number);
    l->in[1] = tensor_make(DT_BOOL, &(shape){0}, &l->going);
    /* A body may declare these two as [1]. */
    for (int i = 0; i < 2; i++) {
        const value *v = &l->body->values[l->body->inputs[i]];
        if (v->ranked && v->declared.rank == 1) l->in[i].shape = (shape){1, {1}};
    }
    err_code rc = subrun_run(&x, c, l->which, l->in, e);
    if (!rc) rc = truth_of(c, exec_output(x, 0), "cond of the body", &l->going, e);
    if (!rc) rc = subrun_arena(c, (int)(number & 1), &next, e);
    if (rc) return rc;
    arena_reset(next);
    for (uint32_t i = 0; i < l->carried && !rc; i++) rc = subrun_copy(&l->in[2 + i], c, exec_output(x, 1 + i), next, e);
    for (uint32_t i = 0; i < l->scans && !rc; i++)
        rc = rows_add(c, &l->out[i], i, exec_output(x, 1 + l->carried + i), e);
    return rc;
}

static err_code rows_give(op_call *c, const loop_state *l, uint32_t i, int64_t count, err *e)
{
    const stack *s = &l->out[i];
    uint32_t out = l->carried + i;
    if (out >= c->out_count || !c->out[out]) return ERR_OK;
    if (count == 0) return declared_give(c, out, l->body, l->body->outputs[1 + out], 0, e);
    shape whole = {.rank = s->whole.shape.rank + 1, .dim = {count}};
    if (whole.rank > TENSOR_RANK_MAX)
        return op_err(c, e, ERR_UNSUPPORTED, "expected rank of at most %d", TENSOR_RANK_MAX);
    memcpy(whole.dim + 1, s->whole.shape.dim, s->whole.shape.rank * sizeof *whole.dim);
    err_code rc = op_alloc(c, out, s->whole.type, &whole, e);
    if (!rc && s->rows.len) memcpy(c->out[out]->data, s->rows.p, s->rows.len);
    return rc;
}

static err_code loop_all(op_call *c, err *e)
{
    loop_state l;
    int64_t number = 0;
    err_code rc = loop_start(c, &l, e);
    if (rc) return rc;
    while (number < l.trips_max && l.going && !rc) {
        rc = number < TRIPS_MAX ? loop_step(c, &l, number, e)
                                : op_err(c, e, ERR_LIMIT, "more than %d iterations", TRIPS_MAX);
        if (!rc) number++;
    }
    for (uint32_t i = 0; i < l.carried && !rc; i++) rc = subrun_give(c, i, &l.in[2 + i], e);
    for (uint32_t i = 0; i < l.scans && !rc; i++) rc = rows_give(c, &l, i, number, e);
    for (uint32_t i = 0; i < l.scans; i++) buf_fini(&l.out[i].rows);
    return rc;
}

/* ---- Scan ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const graph *body;
    uint32_t which, states, scans, outs; /* scans: inputs; outs: scan outputs */
    int64_t length;
    tensor *in; /* [states + scans] of an iteration */
    const int64_t *in_axes, *in_backward, *out_axes, *out_backward; /* NULL: all 0 */
} scan_state;

static err_code scan_list(const op_call *c, const char *name, uint32_t count, const int64_t **ret, err *e)
{
    uint32_t got;
    *ret = node_ints(c->node, name, &got);
    if (got == 0) *ret = NULL;
    if (got == 0 || got == count) return ERR_OK;
    return op_err(c, e, ERR_INVALID, "%s: expected %u values, got %u", name, count, got);
}

static err_code scan_axis(const op_call *c, const int64_t *axes, uint32_t i, uint32_t rank, uint32_t *ret, err *e)
{
    *ret = 0;
    if (rank == 0) return op_err(c, e, ERR_INVALID, "scan input %u: expected rank 1 or more", i);
    return axes ? op_axis_of(c, axes[i], rank, "scan axes", ret, e) : ERR_OK;
}

static err_code scan_start(op_call *c, scan_state *s, err *e)
{
    int64_t scans = node_int(c->node, "num_scan_inputs", 1);
    if (scans < 1 || scans > c->in_count)
        return op_err(c, e, ERR_INVALID, "num_scan_inputs: expected 1 to %u, got %lld", c->in_count, (long long)scans);
    *s = (scan_state){.which = graph_index(c->node, "body"),
                      .states = c->in_count - (uint32_t)scans,
                      .scans = (uint32_t)scans,
                      .length = -1};
    s->body = node_graph(c->node, s->which);
    err_code rc = subgraph_check(c, s->body, c->in_count, s->states, e);
    if (rc) return rc;
    s->outs = s->body->output_count - s->states;
    if (c->out_count > s->body->output_count)
        return op_err(c, e, ERR_INVALID, "outputs: expected at most %u, got %u", s->body->output_count, c->out_count);
    rc = scan_list(c, "scan_input_axes", s->scans, &s->in_axes, e);
    if (!rc) rc = scan_list(c, "scan_input_directions", s->scans, &s->in_backward, e);
    if (!rc) rc = scan_list(c, "scan_output_axes", s->outs, &s->out_axes, e);
    if (!rc) rc = scan_list(c, "scan_output_directions", s->outs, &s->out_backward, e);
    for (uint32_t i = 0; i < s->scans && !rc; i++) {
        const tensor *t = c->in[s->states + i];
        uint32_t axis;
        if (!t) return op_err(c, e, ERR_INVALID, "input %u: expected a value, got none", s->states + i);
        rc = scan_axis(c, s->in_axes, i, t->shape.rank, &axis, e);
        if (rc) return rc;
        if (dtype_bits(t->type) < 8) return op_err(c, e, ERR_UNSUPPORTED, "%s is not supported", dtype_name(t->type));
        if (s->length >= 0 && s->length != t->shape.dim[axis])
            return op_err(c, e, ERR_INVALID, "scan input %u: expected length %lld, got %lld", i, (long long)s->length,
                          (long long)t->shape.dim[axis]);
        s->length = t->shape.dim[axis];
    }
    if (rc) return rc;
    if (s->length > TRIPS_MAX)
        return op_err(c, e, ERR_LIMIT, "scan inputs: expected at most %d iterations, got %lld", TRIPS_MAX,
                      (long long)s->length);
    s->in = arena_new(c->scratch, tensor, c->in_count);
    if (!s->in) return op_err(c, e, ERR_NOMEM, "no memory for %u values", c->in_count);
    for (uint32_t i = 0; i < s->states; i++) {
        if (!c->in[i]) return op_err(c, e, ERR_INVALID, "input %u: expected a value, got none", i);
        s->in[i] = *c->in[i];
    }
    return ERR_OK;
}

/* Copies `outer` runs between the slice (dense) and its place in the whole; `put`: into the whole. */
static void slice_copy(char *slice, char *whole, const shape *s, uint32_t axis, int64_t at, size_t size, bool put)
{
    size_t outer = (size_t)shape_count_range(s, 0, axis), run = (size_t)shape_count_range(s, axis + 1, s->rank) * size;
    for (size_t o = 0; o < outer && run; o++) {
        char *there = whole + (o * (size_t)s->dim[axis] + (size_t)at) * run, *here = slice + o * run;
        memcpy(put ? there : here, put ? here : there, run);
    }
}

/* Scan input i of iteration t: a view where the axis is the first, else a copy in memory of its own. */
static err_code slice_take(op_call *c, scan_state *s, uint32_t i, int64_t t, err *e)
{
    const tensor *whole = c->in[s->states + i];
    tensor *slice = &s->in[s->states + i];
    size_t size = dtype_bits(whole->type) / 8;
    uint32_t axis;
    err_code rc = scan_axis(c, s->in_axes, i, whole->shape.rank, &axis, e);
    if (rc) return rc;
    int64_t at = s->in_backward && s->in_backward[i] ? s->length - 1 - t : t;
    shape part = whole->shape;
    memmove(part.dim + axis, part.dim + axis + 1, (part.rank - axis - 1) * sizeof *part.dim);
    part.rank--;
    size_t bytes = (size_t)shape_count(&part) * size;
    if (axis == 0) {
        *slice = tensor_make(whole->type, &part, bytes ? (char *)whole->data + (size_t)at * bytes : NULL);
        return ERR_OK;
    }
    if (!slice->data || t == 0) {
        *slice = tensor_make(whole->type, &part, arena_push_raw(c->scratch, bytes, MEM_ALIGN));
        if (!slice->data) return op_err(c, e, ERR_LIMIT, "no memory for a slice of %zu bytes", bytes);
    }
    slice_copy(slice->data, whole->data, &whole->shape, axis, at, size, false);
    return ERR_OK;
}

/* Output i of an iteration goes to its place in the whole, which the first iteration makes. */
static err_code slice_put(op_call *c, const scan_state *s, uint32_t i, int64_t t, const tensor *slice, err *e)
{
    uint32_t out = s->states + i, axis;
    if (out >= c->out_count || !c->out[out]) return ERR_OK;
    tensor *whole = c->out[out], copy = *slice;
    shape full = {.rank = slice->shape.rank + 1};
    if (full.rank > TENSOR_RANK_MAX)
        return op_err(c, e, ERR_UNSUPPORTED, "expected rank of at most %d", TENSOR_RANK_MAX);
    err_code rc = scan_axis(c, s->out_axes, i, full.rank, &axis, e);
    if (rc) return rc;
    for (uint32_t d = 0; d < full.rank; d++) full.dim[d] = d == axis ? s->length : slice->shape.dim[d - (d > axis)];
    if (dtype_bits(slice->type) < 8)
        return op_err(c, e, ERR_UNSUPPORTED, "%s is not supported", dtype_name(slice->type));
    if (t == 0) rc = op_alloc(c, out, slice->type, &full, e);
    if (!rc && slice->type == DT_STRING) rc = subrun_copy(&copy, c, slice, c->lasting, e);
    if (rc) return rc;
    if (whole->type != slice->type || !shape_eq(&whole->shape, &full)) return same_shape(c, whole, &full, i, e);
    int64_t at = s->out_backward && s->out_backward[i] ? s->length - 1 - t : t;
    slice_copy(copy.data, whole->data, &full, axis, at, dtype_bits(slice->type) / 8, true);
    return ERR_OK;
}

static err_code scan_step(op_call *c, scan_state *s, int64_t t, err *e)
{
    exec *x = NULL;
    arena *next;
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < s->scans && !rc; i++) rc = slice_take(c, s, i, t, e);
    if (!rc) rc = subrun_run(&x, c, s->which, s->in, e);
    if (!rc) rc = subrun_arena(c, (int)(t & 1), &next, e);
    if (rc) return rc;
    arena_reset(next);
    for (uint32_t i = 0; i < s->states && !rc; i++) rc = subrun_copy(&s->in[i], c, exec_output(x, i), next, e);
    for (uint32_t i = 0; i < s->outs && !rc; i++) rc = slice_put(c, s, i, t, exec_output(x, s->states + i), e);
    return rc;
}

static err_code scan_run(op_call *c, err *e)
{
    scan_state s;
    err_code rc = scan_start(c, &s, e);
    for (int64_t t = 0; !rc && t < s.length; t++) rc = scan_step(c, &s, t, e);
    for (uint32_t i = 0; !rc && i < s.states; i++) rc = subrun_give(c, i, &s.in[i], e);
    for (uint32_t i = 0; !rc && s.length == 0 && i < s.outs; i++) {
        value_id v = s.body->outputs[s.states + i];
        uint32_t axis = 0, rank = s.body->values[v].declared.rank + 1;
        rc = scan_axis(c, s.out_axes, i, rank, &axis, e);
        if (!rc && s.states + i < c->out_count) rc = declared_give(c, s.states + i, s.body, v, axis, e);
    }
    return rc;
}

#define CONTROL .domain = "", .flags = OP_GRAPH | OP_RUNTIME, .infer = control_infer
const op_row op_rows_control[] = {
    {.name = "If",
     .since = 1,
     CONTROL,
     .in_min = 1,
     .in_max = 1,
     .out_min = 1,
     .out_max = OP_ANY,
     .attrs = {{"else_branch", ATTR_GRAPH, true}, {"then_branch", ATTR_GRAPH, true}},
     .run = if_run},
    {.name = "Loop",
     .since = 1,
     CONTROL,
     .in_min = 0,
     .in_max = OP_ANY,
     .out_min = 0,
     .out_max = OP_ANY,
     .attrs = {{"body", ATTR_GRAPH, true}},
     .run = loop_all},
    {.name = "Scan",
     .since = 9,
     CONTROL,
     .in_min = 1,
     .in_max = OP_ANY,
     .out_min = 1,
     .out_max = OP_ANY,
     .attrs = {{"body", ATTR_GRAPH, true},
               {"num_scan_inputs", ATTR_INT, true},
               {"scan_input_axes", ATTR_INTS, false},
               {"scan_input_directions", ATTR_INTS, false},
               {"scan_output_axes", ATTR_INTS, false},
               {"scan_output_directions", ATTR_INTS, false}},
     .run = scan_run},
    {0},
};
