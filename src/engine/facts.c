#include "engine/facts.h"

#include "base/mem.h"
#include "engine/plan.h"

/* Made-up sizes: multiples of 32, so that nets which halve their input five times accept them, and each another one,
 * however many there are: two symbols of one size would be taken for the same shape. */
enum { PROBE_STEP = 64, PROBE_SHIFT = 32 };

typedef struct {
    const graph *g;
    str *names;                  /* of symbols met, in order */
    uint32_t name_count;
} symbols;

/* Each named symbol its own number, each anonymous dimension another. */
static int64_t probe_size(symbols *s, str name, int64_t shift)
{
    uint32_t i = 0;
    while (i < s->name_count && !(name.len && str_eq(s->names[i], name))) i++;
    if (i == s->name_count) s->names[s->name_count++] = name;
    return (int64_t)PROBE_STEP * (i + 2) + shift;
}

/* What is known of the values around, one element for each, also for those that came later. */
static err_code around_make(tensor **ret, const graph *g, const tensor *known, uint32_t count, arena *a, err *e)
{
    *ret = NULL;
    if (!g->parent) return ERR_OK;
    *ret = arena_new(a, tensor, g->parent->value_count);
    if (!*ret) return err_set(e, ERR_NOMEM, "no memory for shapes");
    for (uint32_t i = 0; i < count && i < g->parent->value_count; i++) (*ret)[i] = known[i];
    return ERR_OK;
}

static err_code probe(tensor *ret, const graph *g, const tensor *around, const kernel_set *k, int64_t shift, arena *a,
                      err *e)
{
    tensor *in = arena_new(a, tensor, g->input_count);
    symbols s = {.g = g, .names = arena_new(a, str, (size_t)g->input_count * TENSOR_RANK_MAX)};
    if (!in || !s.names) return err_set(e, ERR_NOMEM, "no memory for shapes");
    for (uint32_t i = 0; i < g->input_count; i++) {
        const value *v = &g->values[g->inputs[i]];
        if (!v->ranked || !v->type) return ERR_OK;
        shape sh = v->declared;
        for (uint32_t d = 0; d < sh.rank; d++) {
            if (sh.dim[d] < 0) sh.dim[d] = probe_size(&s, v->dim_name[d], shift);
        }
        if (shape_count(&sh) == UINT64_MAX) return ERR_OK;
        in[i] = tensor_make(v->type, &sh, NULL);
    }
    CLEANUP(plan) plan *p = NULL;
    plan_opts o = {.inputs = in, .outer = around, .kernels = k, .memory_max = SIZE_MAX / 4, .probe = true};
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

err_code facts_find(facts *ret, const graph *g, const facts *around, const kernel_set *k, arena *a, err *e)
{
    facts f = {.count = g->value_count,
               .one = arena_new(a, tensor, g->value_count),
               .two = arena_new(a, tensor, g->value_count)};
    if (!f.one || !f.two) return err_set(e, ERR_NOMEM, "no memory for shapes");
    tensor *one, *two;
    err_code rc = around_make(&one, g, around ? around->one : NULL, around ? around->count : 0, a, e);
    if (!rc) rc = around_make(&two, g, around ? around->two : NULL, around ? around->count : 0, a, e);
    if (!rc) rc = probe(f.one, g, one, k, 0, a, e);
    if (!rc) rc = probe(f.two, g, two, k, PROBE_SHIFT, a, e);
    if (!rc) *ret = f;
    return rc;
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
    return facts_rank(f, a, &rank) && facts_rank(f, b, &rank) && shape_eq(&f->one[a].shape, &f->one[b].shape) &&
           shape_eq(&f->two[a].shape, &f->two[b].shape);
}
