#include "engine/op.h"

#include "engine/op_types.h"
#include "os/lock.h"   /* style: the first of the threads that load models fills the index for all */

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define OP_FAMILY(name) extern const op_row op_rows_##name[];
#include "engine/op_list.h"
#undef OP_FAMILY

static const op_row *const families[] = {
#define OP_FAMILY(name) op_rows_##name,
#include "engine/op_list.h"
#undef OP_FAMILY
};

/* Rows by hash of domain and name, linear probing; built once, then only read. */
enum { SLOTS = 4096 };
static const op_row *slots[SLOTS];
static const op_row *distinct[SLOTS / 2];
static size_t distinct_count;
static lock build_lock = LOCK_INIT;   /* guards the building */
static _Atomic bool built;

static str domain_of(str domain) { return str_is(domain, "ai.onnx") ? STR("") : domain; }

static size_t slot_of(str domain, str name) { return (size_t)(str_hash(name) + 31 * str_hash(domain)) % SLOTS; }

static bool names(const op_row *r, str domain, str name) { return str_is(name, r->name) && str_is(domain, r->domain); }

static void build(void)
{
    size_t rows = 0;
    for (size_t f = 0; f < COUNTOF(families); f++) {
        for (const op_row *r = families[f]; r->name; r++) {
            INVARIANT(++rows < SLOTS / 2 && r->infer && r->in_min <= r->in_max && r->out_min <= r->out_max &&
                      r->since > 0);
            INVARIANT(r->run || r->flags & (OP_VIEW | OP_GRAPH));
            str domain = str_of(r->domain), name = str_of(r->name);
            size_t i = slot_of(domain, name);
            bool first = true;
            for (; slots[i]; i = (i + 1) % SLOTS) {
                if (!names(slots[i], domain, name)) continue;
                INVARIANT(slots[i]->since != r->since);   /* two rows for the same version */
                first = false;
            }
            slots[i] = r;
            if (first) distinct[distinct_count++] = r;
        }
    }
}

static void build_once(void)
{
    if (atomic_load_explicit(&built, memory_order_acquire)) return;
    lock_take(&build_lock);
    if (!atomic_load_explicit(&built, memory_order_relaxed)) build();
    atomic_store_explicit(&built, true, memory_order_release);
    lock_give(&build_lock);
}

const op_row *op_find(str domain, str name, int64_t opset, int *reterr_newest)
{
    build_once();
    domain = domain_of(domain);
    const op_row *best = NULL;
    int newest = 0;
    for (size_t i = slot_of(domain, name); slots[i]; i = (i + 1) % SLOTS) {
        const op_row *r = slots[i];
        if (!names(r, domain, name)) continue;
        if (r->since > newest) newest = r->since;
        if (r->since <= opset && (!best || r->since > best->since)) best = r;
    }
    if (!best && reterr_newest) *reterr_newest = newest;
    return best;
}

size_t op_count(void)
{
    build_once();
    return distinct_count;
}

const op_row *op_at(size_t i)
{
    INVARIANT(i < op_count());
    return distinct[i];
}

int op_opset_max(str domain)
{
    static const struct { const char *domain; int newest; } known[] = {
        {"", 27}, {"ai.onnx.ml", 5}, {"ai.onnx.preview.training", 1}, {"ai.onnx.training", 1}, {"com.microsoft", 1},
    };
    domain = domain_of(domain);
    for (size_t i = 0; i < COUNTOF(known); i++) {
        if (str_is(domain, known[i].domain)) return known[i].newest;
    }
    return 0;
}

/* ---- checks at load ----------------------------------------------------------------------------------------- */

static const char *const kind_names[] = {"none",   "float", "int",     "string",  "tensor", "graph",
                                         "floats", "ints",  "strings", "tensors", "graphs", "type"};

static err_code attr_check(const graph *g, const node *n, const attr *a, err *e)
{
    char text[200];
    for (const op_attr *want = n->row->attrs; want < n->row->attrs + OP_ATTRS_MAX && want->name; want++) {
        if (!str_is(a->name, want->name)) continue;
        if (a->kind == want->kind) return ERR_OK;
        return err_set(e, ERR_INVALID, "%s: attribute '%s': expected %s, got %s", node_text(g, n, text), want->name,
                       kind_names[want->kind], kind_names[a->kind]);
    }
    return err_set(e, ERR_UNSUPPORTED, "%s: attribute '" STR_FMT "': not implemented", node_text(g, n, text),
                   STR_ARG(a->name));
}

static err_code count_check(const graph *g, const node *n, const char *what, uint32_t got, uint8_t min, uint8_t max,
                            err *e)
{
    char text[200];
    if (got >= min && (max == OP_ANY || got <= max)) return ERR_OK;
    if (min == max)
        return err_set(e, ERR_INVALID, "%s: %s: expected %u, got %u", node_text(g, n, text), what, min, got);
    if (max == OP_ANY)
        return err_set(e, ERR_INVALID, "%s: %s: expected at least %u, got %u", node_text(g, n, text), what, min, got);
    return err_set(e, ERR_INVALID, "%s: %s: expected %u to %u, got %u", node_text(g, n, text), what, min, max, got);
}

err_code op_check(const graph *g, const node *n, err *e)
{
    const op_row *r = n->row;
    char text[200];
    err_code rc = count_check(g, n, "inputs", n->in_count, r->in_min, r->in_max, e);
    if (!rc) rc = count_check(g, n, "outputs", n->out_count, r->out_min, r->out_max, e);
    for (uint32_t i = 0; i < r->in_min && !rc; i++) {
        if (n->in[i] == VALUE_NONE)
            rc = err_set(e, ERR_INVALID, "%s: input %u: expected a value, got none", node_text(g, n, text), i);
    }
    for (uint32_t i = 0; i < n->attr_count && !rc; i++) {
        rc = attr_check(g, n, &n->attrs[i], e);
    }
    for (const op_attr *a = r->attrs; a < r->attrs + OP_ATTRS_MAX && a->name && !rc; a++) {
        if (a->required && !node_attr(n, a->name))
            rc = err_set(e, ERR_INVALID, "%s: attribute '%s': expected %s, got none", node_text(g, n, text), a->name,
                         kind_names[a->kind]);
    }
    return rc;
}

/* ---- helpers of infer and run ------------------------------------------------------------------------------- */

err_code op_later(op_call *c, uint32_t input)
{
    (void)input;
    c->later = true;
    return ERR_OK;
}

bool op_known(const op_call *c, uint32_t input)
{
    if (input >= c->in_count || !c->in[input]) return true;
    return c->in[input]->data || tensor_count(c->in[input]) == 0;
}

err_code op_set(op_call *c, uint32_t output, dtype type, const shape *s, err *e)
{
    if (output >= c->out_count || !c->out[output]) return ERR_OK;
    char text[SHAPE_TEXT_MAX];
    for (uint32_t i = 0; i < s->rank; i++) {
        if (s->dim[i] < 0)
            return op_err(c, e, ERR_INVALID, "output %u: expected dimensions of 0 or more, got %s", output,
                          shape_text(s, text));
    }
    if (!shape_bounded(s) || dtype_bytes(type, shape_count(s)) > OP_BYTES_MAX)
        return op_err(c, e, ERR_LIMIT, "output %u: shape %s is too large", output, shape_text(s, text));
    *c->out[output] = tensor_make(type, s, NULL);
    return ERR_OK;
}

err_code op_same(op_call *c, err *e) { return op_set(c, 0, c->in[0]->type, &c->in[0]->shape, e); }

err_code op_broadcast(op_call *c, err *e)
{
    shape s = c->in[0]->shape;
    for (uint32_t i = 1; i < c->in_count; i++) {
        if (!c->in[i]) continue;
        shape wider;
        err inner;
        if (shape_broadcast(&wider, &s, &c->in[i]->shape, &inner)) return op_err(c, e, inner.code, "%s", inner.text);
        s = wider;
    }
    return op_set(c, 0, c->in[0]->type, &s, e);
}

/* "input 1 'w'" for messages. */
static const char *input_text(const op_call *c, uint32_t input, char text[120])
{
    value_id v = input < c->node->in_count ? c->node->in[input] : VALUE_NONE;
    str name = v != VALUE_NONE && c->graph && v < c->graph->value_count ? c->graph->values[v].name : (str){0};
    snprintf(text, 120, "input %u '%.*s'", input, (int)(name.len < 80 ? name.len : 80), name.p ? name.p : "");
    return text;
}

err_code op_type(const op_call *c, uint32_t input, uint32_t types, err *e)
{
    if (input >= c->in_count || !c->in[input] || types & T1(c->in[input]->type)) return ERR_OK;
    char where[120], want[120];
    size_t n = 0;
    want[0] = 0;
    for (uint32_t t = 1; t < DT_COUNT; t++) {
        if (!(types & T1(t)) || n > sizeof want - 24) continue;
        n += (size_t)snprintf(want + n, sizeof want - n, "%s%s", n ? " or " : "", dtype_name((dtype)t));
    }
    return op_err(c, e, ERR_UNSUPPORTED, "%s: expected %s, got %s", input_text(c, input, where), want,
                  dtype_name(c->in[input]->type));
}

err_code op_types_fit(const op_call *c, err *e)
{
    const op_types *t = c->node->types;
    uint32_t set, var, first[OP_TYPES_VARS] = {0};
    err_code rc = ERR_OK;
    for (uint32_t i = 0; t && i < c->in_count && !rc && op_types_input(t, i, &set, &var); i++) {
        if (!c->in[i]) continue;
        rc = op_type(c, i, set, e);
        if (rc || var == 0) continue;
        if (!first[var]) first[var] = i + 1;
        dtype want = c->in[first[var] - 1]->type;
        char where[120];
        if (c->in[i]->type != want)
            rc = op_err(c, e, ERR_INVALID, "%s: expected %s like input %u, got %s", input_text(c, i, where),
                        dtype_name(want), first[var] - 1, dtype_name(c->in[i]->type));
    }
    return rc;
}

err_code op_infer(op_call *c, err *e)
{
    err_code rc = op_types_fit(c, e);
    return rc ? rc : c->node->row->infer(c, e);
}

err_code op_rank(const op_call *c, uint32_t input, uint32_t rank_min, uint32_t rank_max, err *e)
{
    if (input >= c->in_count || !c->in[input]) return ERR_OK;
    const shape *s = &c->in[input]->shape;
    if (s->rank >= rank_min && s->rank <= rank_max) return ERR_OK;
    char where[120], text[SHAPE_TEXT_MAX];
    if (rank_min == rank_max)
        return op_err(c, e, ERR_INVALID, "%s: expected rank %u, got shape %s", input_text(c, input, where), rank_min,
                      shape_text(s, text));
    return op_err(c, e, ERR_INVALID, "%s: expected rank %u to %u, got shape %s", input_text(c, input, where), rank_min,
                  rank_max, shape_text(s, text));
}

err_code op_ints_of(const op_call *c, uint32_t input, const char *attr_name, op_ints *ret, err *e)
{
    op_ints list = {0};
    const tensor *t = input < c->in_count ? c->in[input] : NULL;
    uint32_t attr_count = 0;
    const int64_t *ints = attr_name ? node_ints(c->node, attr_name, &attr_count) : NULL;
    uint64_t count = t ? tensor_count(t) : attr_count;
    char where[120];
    if (count > OP_INTS_MAX)
        return op_err(c, e, ERR_LIMIT, "%s: expected at most %d integers, got %llu",
                      t ? input_text(c, input, where) : attr_name, OP_INTS_MAX, (unsigned long long)count);
    if (t && !(T1(t->type) & (T_INT | T_UINT)))
        return op_err(c, e, ERR_INVALID, "%s: expected integers, got %s", input_text(c, input, where),
                      dtype_name(t->type));
    for (; list.count < count; list.count++) list.at[list.count] = t ? tensor_int(t, list.count) : ints[list.count];
    *ret = list;
    return ERR_OK;
}

err_code op_axis_of(const op_call *c, int64_t axis, uint32_t rank, const char *what, uint32_t *ret, err *e)
{
    err inner;
    err_code rc = shape_axis(ret, axis, rank, what, &inner);
    return rc ? op_err(c, e, rc, "%s", inner.text) : ERR_OK;
}

err_code op_axis(const op_call *c, int64_t absent, uint32_t rank, uint32_t *ret, err *e)
{
    return op_axis_of(c, node_int(c->node, "axis", absent), rank, "axis", ret, e);
}

err_code op_axes_of(const op_call *c, uint32_t input, const char *attr_name, uint32_t rank, op_ints *ret, err *e)
{
    uint32_t seen = 0, axis;
    err_code rc = op_ints_of(c, input, attr_name, ret, e);
    if (rc) return rc;
    for (uint32_t i = 0; i < ret->count; i++) {
        rc = op_axis_of(c, ret->at[i], rank, "axes", &axis, e);
        if (rc) return rc;
        if (seen & 1u << axis) return op_err(c, e, ERR_INVALID, "axes: expected each axis once, got %u twice", axis);
        seen |= 1u << axis;
        ret->at[i] = axis;
    }
    return ERR_OK;
}

bool op_makes_anything(const op_call *c)
{
    bool any = (c->node->row->flags & OP_RUNTIME) != 0;
    for (uint32_t i = 0; i < c->out_count && !any; i++) any = c->out[i] && tensor_count(c->out[i]) > 0;
    return any;
}

err_code op_alloc(op_call *c, uint32_t output, dtype type, const shape *s, err *e)
{
    err_code rc = op_set(c, output, type, s, e);
    if (rc || output >= c->out_count || !c->out[output]) return rc;
    size_t bytes = tensor_bytes(c->out[output]);
    if (bytes == 0) return ERR_OK;
    c->out[output]->data = arena_push_raw(c->lasting, bytes, MEM_ALIGN);
    if (!c->out[output]->data)
        return op_err(c, e, ERR_LIMIT, "output %u: %zu bytes are over what is left of the %zu that one run may use",
                      output, bytes, c->lasting->limit);
    return ERR_OK;
}

err_code (op_err)(const op_call *c, err *e, err_code code, const char *fmt, ...)
{
    char text[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    e->code = code;
    return err_wrap(e, "%s", node_text(c->graph, c->node, text));
}
