#include "engine/typing.h"

#include "engine/op.h"
#include "engine/op_types.h"

/* A graph being typed; unknown = DT_NONE. */
typedef struct typing typing;
struct typing {
    const graph *g;
    const typing *around;        /* of the graph around a subgraph */
    arena *work;
    uint8_t *types;              /* [values] dtype */
    tensor *in;                  /* [in_max] of the node at hand, type only */
    const tensor **known;        /* [in_max] into `in`; NULL = unknown, or left out */
};

static dtype type_at(const typing *t, value_id v) { return v == VALUE_NONE ? DT_NONE : (dtype)t->types[v]; }
static dtype type_in(const typing *t, const node *n, uint32_t i) { return i < n->in_count ? type_at(t, n->in[i]) : 0; }
static dtype type_out(const typing *t, uint32_t i)
{
    return i < t->g->output_count ? type_at(t, t->g->outputs[i]) : DT_NONE;
}

static bool is(const node *n, const char *op) { return n->domain.len == 0 && str_is(n->op, op); }

/* ---- outputs that an attribute gives their type --------------------------------------------------------------- */

enum { LIKE_INPUT = DT_COUNT };

typedef struct {
    const char *op, *attr;
    uint8_t absent;              /* where the attribute is not there: dtype; DT_NONE = unknown */
} told;

static const told tolds[] = {
    {"Cast", "to", DT_NONE},
    {"BitCast", "to", DT_NONE},
    {"EyeLike", "dtype", LIKE_INPUT},
    {"RandomNormal", "dtype", DT_F32},
    {"RandomUniform", "dtype", DT_F32},
    {"RandomNormalLike", "dtype", LIKE_INPUT},
    {"RandomUniformLike", "dtype", LIKE_INPUT},
    {"Bernoulli", "dtype", LIKE_INPUT},
    {"Multinomial", "dtype", DT_I32},
    {"HannWindow", "output_datatype", DT_F32},
    {"HammingWindow", "output_datatype", DT_F32},
    {"BlackmanWindow", "output_datatype", DT_F32},
    {"MelWeightMatrix", "output_datatype", DT_F32},
};

static dtype type_told(const typing *t, const node *n)
{
    if (is(n, "ConstantOfShape")) {
        const attr *given = node_attr(n, "value");
        return given ? given->t->type : DT_F32;
    }
    for (const told *as = tolds; as < tolds + COUNTOF(tolds); as++) {
        if (!is(n, as->op)) continue;
        int64_t type = node_int(n, as->attr, as->absent == LIKE_INPUT ? type_in(t, n, 0) : as->absent);
        return type > DT_NONE && type < DT_COUNT ? (dtype)type : DT_NONE;
    }
    return DT_NONE;
}

/* ---- subgraphs ------------------------------------------------------------------------------------------------ */

/* What an iteration finds as input i of the body; a branch has none. */
static dtype type_given(const typing *around, const node *n, uint32_t i)
{
    if (is(n, "Loop")) return i == 0 ? DT_I64 : i == 1 ? DT_BOOL : type_in(around, n, i);
    return is(n, "Scan") ? type_in(around, n, i) : DT_NONE;
}

/* Of a value that is stacked up; without an iteration it is what the body declares. */
static dtype type_stacked(const typing *body, uint32_t i)
{
    dtype type = type_out(body, i);
    dtype declared = i < body->g->output_count ? body->g->values[body->g->outputs[i]].type : DT_NONE;
    return declared && declared != type ? DT_NONE : type;
}

/* Of output i as the subgraph `sub` makes it.  A carried value stays what it was where no iteration runs. */
static dtype type_made(const typing *around, const node *n, const typing *sub, uint32_t i)
{
    if (is(n, "If")) return type_out(sub, i);
    uint32_t before, after, carried;   /* inputs before the carried ones; outputs of the body before them */
    int64_t scans = node_int(n, "num_scan_inputs", 1);
    if (is(n, "Loop")) {
        before = 2;
        after = 1;
        carried = n->in_count > 2 ? n->in_count - 2 : 0;
    } else if (is(n, "Scan") && scans >= 1 && scans <= n->in_count) {
        before = after = 0;
        carried = n->in_count - (uint32_t)scans;
    } else {
        return DT_NONE;
    }
    if (i >= carried) return type_stacked(sub, i + after);
    dtype type = type_out(sub, i + after);
    return type == type_in(around, n, i + before) ? type : DT_NONE;
}

static err_code graph_type(typing *t, const node *caller, err *e);

/* In all branches an output has one type, or it is unknown. */
static err_code subgraphs_type(typing *t, const node *n, err *e)
{
    const graph *sub;
    for (uint32_t s = 0; (sub = node_graph(n, s)); s++) {
        typing inside = {.g = sub, .around = t, .work = t->work};
        err_code rc = graph_type(&inside, n, e);
        if (rc) return rc;
        for (uint32_t i = 0; i < n->out_count; i++) {
            if (n->out[i] == VALUE_NONE) continue;
            uint8_t *type = &t->types[n->out[i]], made = (uint8_t)type_made(t, n, &inside, i);
            *type = s == 0 || *type == made ? made : DT_NONE;
        }
    }
    return ERR_OK;
}

/* ---- the graph ------------------------------------------------------------------------------------------------ */

/* The type of the first known input of this variable; all of them have it. */
static dtype type_of_variable(const op_call *c, uint32_t wanted)
{
    uint32_t set, var;
    for (uint32_t i = 0; i < c->in_count && op_types_input(c->node->types, i, &set, &var); i++) {
        if (var == wanted && c->in[i]) return c->in[i]->type;
    }
    return DT_NONE;
}

static err_code node_type(typing *t, const node *n, err *e)
{
    for (uint32_t i = 0; i < n->in_count; i++) {
        t->in[i].type = type_in(t, n, i);
        t->known[i] = t->in[i].type ? &t->in[i] : NULL;
    }
    op_call c = {.node = n, .graph = t->g, .in_count = n->in_count, .in = t->known};
    err_code rc = op_types_fit(&c, e);
    if (rc || !n->types) return rc;
    for (uint32_t i = 0; i < n->out_count; i++) {
        uint32_t type, var;
        if (n->out[i] == VALUE_NONE) continue;
        op_types_output(n->types, i, &type, &var);
        if (var) type = type_of_variable(&c, var);
        if (!type && i == 0) type = type_told(t, n);
        t->types[n->out[i]] = (uint8_t)type;
    }
    return n->row->flags & OP_GRAPH ? subgraphs_type(t, n, e) : ERR_OK;
}

static dtype type_at_start(const typing *t, value_id v)
{
    const value *of = &t->g->values[v];
    if (of->from == VALUE_CONST) return of->init->type;
    if (of->from == VALUE_OUTER) {
        INVARIANT(t->around);
        return type_at(t->around, of->outer);
    }
    return of->from == VALUE_INPUT && !t->around ? of->type : DT_NONE;
}

/* Nested at most GRAPH_DEPTH_MAX deep, as the loader sees to. */
static err_code graph_type(typing *t, const node *caller, err *e)
{
    const graph *g = t->g;
    uint32_t in_max = 0;
    INVARIANT(!caller == !t->around && !g->parent == !t->around);
    for (uint32_t i = 0; i < g->node_count; i++) in_max = g->nodes[i].in_count > in_max ? g->nodes[i].in_count : in_max;
    t->types = arena_new(t->work, uint8_t, g->value_count);
    t->in = arena_new(t->work, tensor, in_max);
    t->known = arena_new(t->work, const tensor *, in_max);
    if (!t->types || !t->in || !t->known) return err_set(e, ERR_NOMEM, "no memory for types");
    for (value_id v = 0; v < g->value_count; v++) t->types[v] = (uint8_t)type_at_start(t, v);
    for (uint32_t i = 0; i < g->input_count && caller; i++)
        t->types[g->inputs[i]] = (uint8_t)type_given(t->around, caller, i);
    err_code rc = ERR_OK;
    for (uint32_t i = 0; i < g->node_count && !rc; i++) rc = node_type(t, &g->nodes[i], e);
    return rc;
}

/* What is served as the type of an output is what it will have. */
static err_code outputs_check(const typing *t, err *e)
{
    for (uint32_t i = 0; i < t->g->output_count; i++) {
        const value *v = &t->g->values[t->g->outputs[i]];
        dtype type = type_out(t, i);
        if (type && v->type && v->type != type)
            return err_set(e, ERR_INVALID, "output '" STR_FMT "': expected %s, as its node computes, got %s",
                           STR_ARG(v->name), dtype_name(type), dtype_name(v->type));
    }
    return ERR_OK;
}

err_code typing_check(const graph *g, err *e)
{
    arena work;
    arena_init(&work, NULL, 0, SIZE_MAX / 2);
    typing t = {.g = g, .work = &work};
    err_code rc = graph_type(&t, NULL, e);
    if (!rc) rc = outputs_check(&t, e);
    arena_fini(&work);
    return rc;
}
