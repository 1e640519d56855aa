#include "engine/facts.h"

#include "base/mem.h"
#include "engine/plan.h"

#include <string.h>

/* Made-up sizes: multiples of 32, so that nets which halve their input five times accept them, and each another one,
 * however many there are: two symbols of one size would be taken for the same shape. */
enum { PROBE_STEP = 64, PROBE_SHIFT = 32 };

typedef struct {
    const graph *g;
    str *names;                  /* of symbols met, in order */
    uint32_t name_count;
} symbols;

typedef struct {
    const kernel_set *kernels;
    int64_t shift;               /* added to each made-up size */
    bool apart;                  /* a size for every dimension, whatever its name */
    int64_t size;                /* this one for all; 0 = made up */
} probing;

/* Each named symbol its own number, each anonymous dimension another. */
static int64_t probe_size(symbols *s, str name, const probing *how)
{
    uint32_t i = how->apart ? s->name_count : 0;
    if (how->size) return how->size;
    while (i < s->name_count && !(name.len && str_eq(s->names[i], name))) i++;
    if (i == s->name_count) s->names[s->name_count++] = name;
    return (int64_t)PROBE_STEP * (i + 2) + how->shift;
}

/* Whether two dimensions of the inputs have the same symbol. */
static bool symbol_twice(const graph *g, arena *a)
{
    static const probing by_name;
    symbols s = {.g = g, .names = arena_new(a, str, (size_t)g->input_count * TENSOR_RANK_MAX)};
    uint32_t open = 0;
    for (uint32_t i = 0; s.names && i < g->input_count; i++) {
        const value *v = &g->values[g->inputs[i]];
        for (uint32_t d = 0; v->ranked && d < v->declared.rank; d++) {
            if (v->declared.dim[d] >= 0) continue;
            (void)probe_size(&s, v->dim_name[d], &by_name);
            open++;
        }
    }
    return s.name_count < open;
}

static err_code probe(tensor *ret, const graph *g, const tensor *around, const probing *how, arena *a, err *e)
{
    tensor *in = arena_new(a, tensor, g->input_count);
    symbols s = {.g = g, .names = arena_new(a, str, (size_t)g->input_count * TENSOR_RANK_MAX)};
    if (!in || !s.names) return err_set(e, ERR_NOMEM, "no memory for shapes");
    for (uint32_t i = 0; i < g->input_count; i++) {
        const value *v = &g->values[g->inputs[i]];
        if (!v->ranked || !v->type) return ERR_OK;
        shape sh = v->declared;
        for (uint32_t d = 0; d < sh.rank; d++) {
            if (sh.dim[d] < 0) sh.dim[d] = probe_size(&s, v->dim_name[d], how);
        }
        in[i] = tensor_make(v->type, &sh, NULL);
    }
    CLEANUP(plan) plan *p = NULL;
    plan_opts o = {.inputs = in, .outer = around, .kernels = how->kernels, .memory_max = SIZE_MAX / 4, .probe = true};
    err inner;
    err_code rc = plan_new(&p, g, &o, &inner);
    if (rc == ERR_NOMEM) return err_set(e, rc, "%s", inner.text);
    if (rc) return ERR_OK;
    for (value_id v = 0; v < g->value_count; v++) {
        ret[v] = p->values[v].t;
        ret[v].data = NULL;
    }
    return ERR_OK;
}

/* What is known around is taken from the plan of the same kind. */
static err_code probe_inside(tensor **ret, const graph *g, const facts *around, const probing *how, arena *a, err *e)
{
    tensor *found = arena_new(a, tensor, g->value_count);
    if (!found) return err_set(e, ERR_NOMEM, "no memory for shapes");
    const tensor *known = !around                        ? NULL
                          : how->apart && around->apart ? around->apart
                          : how->shift                  ? around->two
                                                        : around->one;
    err_code rc = probe(found, g, known, how, a, e);
    if (!rc) *ret = found;
    return rc;
}

static bool extend(tensor **values, uint32_t count, uint32_t more, arena *a)
{
    tensor *wider = arena_new(a, tensor, more);
    if (wider && count) memcpy(wider, *values, count * sizeof *wider);
    *values = wider;
    return wider != NULL;
}

err_code facts_extend(facts *f, const graph *g, arena *a, err *e)
{
    uint32_t more = g->value_count;
    if (more == f->count) return ERR_OK;
    bool done = extend(&f->one, f->count, more, a) && extend(&f->two, f->count, more, a);
    if (!done || (f->apart && !extend(&f->apart, f->count, more, a)))
        return err_set(e, ERR_NOMEM, "no memory for shapes");
    f->count = more;
    return ERR_OK;
}

err_code facts_find(facts *ret, const graph *g, const facts *around, const kernel_set *k, arena *a, err *e)
{
    INVARIANT(!g->parent || (around && around->count == g->parent->value_count));
    facts f = {.count = g->value_count};
    bool apart = (around && around->apart) || symbol_twice(g, a);
    err_code rc = probe_inside(&f.one, g, around, &(probing){.kernels = k}, a, e);
    if (!rc) rc = probe_inside(&f.two, g, around, &(probing){.kernels = k, .shift = PROBE_SHIFT}, a, e);
    if (!rc && apart) rc = probe_inside(&f.apart, g, around, &(probing){.kernels = k, .apart = true}, a, e);
    if (!rc) *ret = f;
    return rc;
}

err_code facts_trial(tensor *ret, const graph *g, int64_t size, const kernel_set *k, arena *a, err *e)
{
    INVARIANT(!g->parent && size > 0);
    memset(ret, 0, g->value_count * sizeof *ret);
    return probe(ret, g, NULL, &(probing){.kernels = k, .size = size}, a, e);
}

dtype facts_type(const facts *f, value_id v)
{
    return v < f->count && f->one[v].type == f->two[v].type ? f->one[v].type : DT_NONE;
}

bool facts_rank(const facts *f, value_id v, uint32_t *ret)
{
    if (!facts_type(f, v) || f->one[v].shape.rank != f->two[v].shape.rank) return false;
    *ret = f->one[v].shape.rank;
    return true;
}

bool facts_shape(const facts *f, value_id v, shape *ret)
{
    uint32_t rank;
    if (!facts_rank(f, v, &rank)) return false;
    shape s = f->one[v].shape;
    for (uint32_t d = 0; d < rank; d++) {
        if (s.dim[d] != f->two[v].shape.dim[d]) s.dim[d] = -1;
    }
    *ret = s;
    return true;
}

bool facts_same_shape(const facts *f, value_id a, value_id b)
{
    uint32_t rank;
    if (f->apart && a < f->count && b < f->count && f->apart[a].type && f->apart[b].type &&
        !shape_eq(&f->apart[a].shape, &f->apart[b].shape))
        return false;
    return facts_rank(f, a, &rank) && facts_rank(f, b, &rank) && shape_eq(&f->one[a].shape, &f->one[b].shape) &&
           shape_eq(&f->two[a].shape, &f->two[b].shape);
}
