#include "engine/tree_build.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX (UINT32_C(1) << 30)
#define UNSEEN UINT32_MAX

typedef struct {
    const tree_source *s;
    trees *t;
    arena *work;
    uint32_t *at; /* [parts] the first node of each, UNSEEN before it was reached */
    uint32_t *order; /* [parts] parts in the order of their nodes */
    uint32_t ordered;
    double *sorted; /* members of the test at hand */
    void *nodes; /* of t, as those below */
    uint32_t *leaf, *first;
    trees_weight *weights;
    uint32_t leaves, weight_count; /* written */
} build;

static err_code no_memory(const tree_source *s, err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for %u nodes of trees", s->part_count);
}

/* ---- where the nodes go ----------------------------------------------------------------------------------------- */

/* Nodes that a part becomes.  MEMBER searches: a comparison between each two members, two to equal each, and one for
 * NaN where that passes. */
static uint64_t node_count(const tree_part *p)
{
    switch (p->test) {
    case TREE_EQ:
    case TREE_NEQ: return 2;
    case TREE_MEMBER: return p->count ? 3 * (uint64_t)p->count - 1 + p->nan_yes : 1;
    default: return 1;
    }
}

/* A tree from its root on: a part before its children, the `yes` side first. */
static err_code place(build *b, uint32_t root, uint32_t *stack, err *e)
{
    uint32_t depth = 0;
    stack[depth++] = root;
    while (depth) {
        uint32_t i = stack[--depth];
        const tree_part *p = &b->s->parts[i];
        if (b->at[i] != UNSEEN) {
            if (p->test == TREE_LEAF) continue;
            return err_set(e, ERR_INVALID, "node %u of the trees is reached twice", i);
        }
        uint64_t n = node_count(p);
        if (n > NODES_MAX - b->t->node_count) return err_set(e, ERR_LIMIT, "trees of more than %u nodes", NODES_MAX);
        b->at[i] = b->t->node_count;
        b->t->node_count += (uint32_t)n;
        b->order[b->ordered++] = i;
        if (p->test == TREE_LEAF) continue;
        if (p->feature >= b->t->feature_count) b->t->feature_count = p->feature + 1;
        stack[depth++] = p->no; /* each part is pushed by one parent, but leaves: at most two pushes a part */
        stack[depth++] = p->yes;
    }
    return ERR_OK;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static void put(const build *b, uint32_t i, double value, uint32_t feature, bool nan_first, uint32_t first,
                uint32_t second)
{
    feature |= nan_first ? TREES_NAN : 0;
    b->t->nan |= nan_first;
    if (b->t->wide)
        ((trees_node_f64 *)b->nodes)[i] = (trees_node_f64){value, feature, {first, second}};
    else
        ((trees_node *)b->nodes)[i] = (trees_node){(float)value, feature, {first, second}};
}

/* The largest number of x's type that is <= v, or < v: x < v is x <= before(v, true). */
static double before(const build *b, double v, bool strict)
{
    if (isnan(v)) return v;
    if (b->t->wide) return !strict ? v : v == -(double)INFINITY ? (double)NAN : nextafter(v, -(double)INFINITY);
    float f = (float)v;
    if ((double)f > v) return (double)nextafterf(f, -INFINITY);
    if (!strict || (double)f < v) return (double)f;
    return f == -INFINITY ? (double)NAN : (double)nextafterf(f, -INFINITY);
}

/* Two nodes from i on: v <= value, then not v < value. */
static void put_equal(const build *b, uint32_t i, double value, uint32_t feature, bool nan_yes, uint32_t yes,
                      uint32_t no)
{
    double low = before(b, value, false), lower = before(b, value, true);
    bool never = !b->t->wide && low != value; /* no float equals it */
    put(b, i, low, feature, nan_yes, i + 1, no);
    put(b, i + 1, never ? (double)INFINITY : lower, feature, false, no, yes);
}

typedef struct {
    uint32_t feature, yes, no;
} verdict;

/* Members lo..hi-1 from node i on; returns the node behind the last.  Depth: log2 of their number, at most 32. */
static uint32_t put_members(const build *b, uint32_t i, uint32_t lo, uint32_t hi, const verdict *v)
{
    if (hi - lo == 1) {
        put_equal(b, i, b->sorted[lo], v->feature, false, v->yes, v->no);
        return i + 2;
    }
    uint32_t mid = lo + (hi - lo) / 2;
    uint32_t second = put_members(b, i + 1, lo, mid, v);
    put(b, i, before(b, b->sorted[mid - 1], false), v->feature, false, i + 1, second);
    return put_members(b, second, mid, hi, v);
}

static int compare_f64(const void *pa, const void *pb)
{
    double a = *(const double *)pa, b = *(const double *)pb;
    return a < b ? -1 : a > b;
}

static void put_set(build *b, const tree_part *p, uint32_t i)
{
    verdict v = {p->feature, b->at[p->yes], b->at[p->no]};
    if (p->nan_yes || p->count == 0) { /* only a NaN is not <= infinity */
        put(b, i, (double)INFINITY, p->feature, false, p->count ? i + 1 : v.no, p->nan_yes ? v.yes : v.no);
        i++;
    }
    if (p->count == 0) return;
    memcpy(b->sorted, b->s->members + p->first, p->count * sizeof *b->sorted);
    qsort(b->sorted, p->count, sizeof *b->sorted, compare_f64);
    put_members(b, i, 0, p->count, &v);
}

static void put_leaf(build *b, const tree_part *p, uint32_t i)
{
    double sum = p->count ? b->s->weights[p->first].value : 0;
    if (b->t->single) {
        for (uint32_t k = 1; k < p->count; k++) {
            double v = b->s->weights[p->first + k].value;
            sum = b->t->merge == TREES_SUM ? sum + v : b->t->merge == TREES_MIN ? fmin(sum, v) : fmax(sum, v);
        }
    } else {
        b->leaf[i] = b->leaves;
        b->first[b->leaves++] = b->weight_count;
        for (uint32_t k = 0; k < p->count; k++) b->weights[b->weight_count++] = b->s->weights[p->first + k];
    }
    put(b, i, sum, 0, false, i, i);
}

static void put_part(build *b, uint32_t part)
{
    const tree_part *p = &b->s->parts[part];
    uint32_t i = b->at[part];
    if (p->test == TREE_LEAF) {
        put_leaf(b, p, i);
        return;
    }
    if (p->test == TREE_MEMBER) {
        put_set(b, p, i);
        return;
    }
    uint32_t yes = b->at[p->yes], no = b->at[p->no];
    bool below = p->test == TREE_LEQ || p->test == TREE_LT || isnan(p->value); /* nothing is > NaN */
    switch (p->test) {
    case TREE_EQ: put_equal(b, i, p->value, p->feature, p->nan_yes, yes, no); break;
    /* A NaN differs from every value: it is `yes` with or without nan_yes, so it takes the way of "not equal". */
    case TREE_NEQ: put_equal(b, i, p->value, p->feature, false, no, yes); break;
    default:
        put(b, i, before(b, p->value, p->test == TREE_LT || p->test == TREE_GTE), p->feature,
            below ? p->nan_yes : !p->nan_yes, below ? yes : no, below ? no : yes);
    }
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

/* One score is enough where all weights are for the same target and every leaf has one (or adds nothing). */
static bool is_single(const tree_source *s)
{
    for (uint32_t i = 1; i < s->weight_count; i++) {
        if (s->weights[i].target != s->weights[0].target) return false;
    }
    for (uint32_t i = 0; i < s->part_count; i++) {
        if (s->parts[i].test == TREE_LEAF && s->parts[i].count == 0 && s->merge != TREES_SUM) return false;
    }
    return s->weight_count > 0;
}

static err_code memory_take(build *b, arena *memory, err *e)
{
    trees *t = b->t;
    size_t leaves = 0, n = t->node_count;
    for (uint32_t i = 0; i < b->ordered; i++) leaves += b->s->parts[b->order[i]].test == TREE_LEAF;
    uint32_t *roots = arena_new(memory, uint32_t, b->s->root_count);
    b->nodes = arena_push_raw(memory, n * (t->wide ? sizeof(trees_node_f64) : sizeof(trees_node)), MEM_ALIGN);
    if (!roots || !b->nodes) return no_memory(b->s, e);
    for (uint32_t i = 0; i < b->s->root_count; i++) roots[i] = b->at[b->s->roots[i]];
    t->roots = roots;
    t->nodes = b->nodes;
    if (t->single) return ERR_OK;
    t->leaf = b->leaf = arena_new(memory, uint32_t, n);
    t->first = b->first = arena_new(memory, uint32_t, leaves + 1);
    t->weights = b->weights = arena_new(memory, trees_weight, b->s->weight_count);
    return b->leaf && b->first && b->weights ? ERR_OK : no_memory(b->s, e);
}

static err_code work_take(build *b, uint32_t **ret_stack, err *e)
{
    size_t members = 0, n = b->s->part_count;
    for (uint32_t i = 0; i < n; i++) {
        const tree_part *p = &b->s->parts[i];
        if (p->test == TREE_MEMBER && p->count > members) members = p->count;
    }
    b->at = arena_new(b->work, uint32_t, n);
    b->order = arena_new(b->work, uint32_t, n);
    b->sorted = arena_new(b->work, double, members);
    *ret_stack = arena_new(b->work, uint32_t, n + 2); /* each step takes one and adds two, for each part at most once */
    if (!b->at || !b->order || !b->sorted || !*ret_stack) return no_memory(b->s, e);
    for (size_t i = 0; i < n; i++) b->at[i] = UNSEEN;
    return ERR_OK;
}

err_code tree_build(trees *ret, const tree_source *s, bool wide, arena *memory, err *e)
{
    trees t = {.merge = s->merge,
               .wide = wide,
               .single = is_single(s),
               .root_count = s->root_count,
               .target_count = s->target_count,
               .target = s->weight_count ? s->weights[0].target : 0};
    arena work;
    uint32_t *stack;
    arena_init(&work, NULL, 0, SIZE_MAX / 2);
    build b = {.s = s, .t = &t, .work = &work};
    err_code rc = work_take(&b, &stack, e);
    for (uint32_t i = 0; i < s->root_count && !rc; i++) rc = place(&b, s->roots[i], stack, e);
    if (!rc) rc = memory_take(&b, memory, e);
    for (uint32_t i = 0; i < b.ordered && !rc; i++) put_part(&b, b.order[i]);
    if (!rc && !t.single) b.first[b.leaves] = b.weight_count;
    arena_fini(&work);
    if (!rc) *ret = t;
    return rc;
}
