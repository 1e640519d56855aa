#include "engine/tree_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PARTS_MAX (UINT32_C(1) << 30)

/* What all steps of reading one node need. */
typedef struct {
    const graph *g;
    const node *n;
    arena *a;
    char text[200]; /* the node, for messages */
} reader;

static err_code no_memory(const reader *r, err *e) { return err_set(e, ERR_NOMEM, "%s: no memory for trees", r->text); }

static reader reader_make(const graph *g, const node *n, arena *a)
{
    reader r = {.g = g, .n = n, .a = a};
    node_text(g, n, r.text);
    return r;
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

err_code tree_reals_of(const graph *g, const node *n, const char *floats_name, const char *tensor_name, tree_reals *ret,
                       err *e)
{
    const attr *f = floats_name ? node_attr(n, floats_name) : NULL, *t = node_attr(n, tensor_name);
    char text[200];
    *ret = (tree_reals){0};
    if (f && f->count && t)
        return err_set(e, ERR_INVALID, "%s: expected one of %s and %s, got both", node_text(g, n, text), floats_name,
                       tensor_name);
    if (t && !(T1(t->t->type) & T_FLOAT))
        return err_set(e, ERR_INVALID, "%s: %s: expected floats, got %s", node_text(g, n, text), tensor_name,
                       dtype_name(t->t->type));
    if (t && tensor_count(t->t) > PARTS_MAX)
        return err_set(e, ERR_LIMIT, "%s: %s: more than %u values", node_text(g, n, text), tensor_name, PARTS_MAX);
    if (t)
        *ret = (tree_reals){.count = (uint32_t)tensor_count(t->t), .tensor = t->t};
    else if (f)
        *ret = (tree_reals){.count = f->count, .floats = f->floats};
    return ERR_OK;
}

double tree_real(const tree_reals *r, uint32_t i)
{
    INVARIANT(i < r->count);
    return r->tensor ? tensor_f64(r->tensor, i) : (double)r->floats[i];
}

/* An attribute of integers that must have `count` of them, or may have none. */
static err_code ints(const reader *r, const char *name, uint32_t count, bool optional, const int64_t **ret, err *e)
{
    uint32_t got;
    *ret = node_ints(r->n, name, &got);
    if (got == count || (optional && got == 0)) return ERR_OK;
    return err_set(e, ERR_INVALID, "%s: %s: expected %u values, got %u", r->text, name, count, got);
}

static err_code reals(const reader *r, const char *floats_name, const char *tensor_name, uint32_t count,
                      tree_reals *ret, err *e)
{
    err_code rc = tree_reals_of(r->g, r->n, floats_name, tensor_name, ret, e);
    if (rc || ret->count == count) return rc;
    return err_set(e, ERR_INVALID, "%s: %s: expected %u values, got %u", r->text,
                   floats_name ? floats_name : tensor_name, count, ret->count);
}

/* v in 0 .. count - 1 */
static err_code index_check(const reader *r, const char *name, uint32_t i, int64_t v, uint32_t count, err *e)
{
    if (v >= 0 && v < count) return ERR_OK;
    return err_set(e, ERR_INVALID, "%s: %s[%u]: expected 0..%lld, got %lld", r->text, name, i, (long long)count - 1,
                   (long long)v);
}

err_code tree_merge_of(const graph *g, const node *n, trees_merge *ret, bool *ret_average, err *e)
{
    static const char *const names[] = {"AVERAGE", "SUM", "MIN", "MAX"}; /* in the order of TreeEnsemble's numbers */
    static const trees_merge merges[] = {TREES_SUM, TREES_SUM, TREES_MIN, TREES_MAX};
    const attr *a = node_attr(n, "aggregate_function");
    char text[200];
    for (int64_t i = 0; i < (int64_t)COUNTOF(names); i++) {
        bool is = !a ? i == 1 : a->kind == ATTR_INT ? a->i == i : str_is(a->s, names[i]);
        if (!is) continue;
        *ret = merges[i];
        *ret_average = i == 0;
        return ERR_OK;
    }
    if (a->kind == ATTR_INT)
        return err_set(e, ERR_INVALID, "%s: aggregate_function: expected 0..3, got %lld", node_text(g, n, text),
                       (long long)a->i);
    return err_set(e, ERR_INVALID, "%s: aggregate_function: expected AVERAGE, SUM, MIN or MAX, got '" STR_FMT "'",
                   node_text(g, n, text), STR_ARG(a->s));
}

/* ---- TreeEnsembleClassifier, TreeEnsembleRegressor -------------------------------------------------------------- */

/* Nodes are named by tree and number, in any order; most models list them in order, so a guess comes first. */
typedef struct {
    uint32_t count;
    const int64_t *tree, *number;
    uint32_t *order; /* nodes by tree, then number */
} names;

static int compare_names(const names *m, uint32_t a, int64_t tree, int64_t number)
{
    if (m->tree[a] != tree) return m->tree[a] < tree ? -1 : 1;
    return m->number[a] < number ? -1 : m->number[a] > number;
}

static int compare_nodes(const void *pa, const void *pb, void *ctx)
{
    const names *m = ctx;
    uint32_t b = *(const uint32_t *)pb;
    return compare_names(m, *(const uint32_t *)pa, m->tree[b], m->number[b]);
}

static err_code names_make(const reader *r, names *m, err *e)
{
    bool sorted = true;
    m->order = arena_push_raw(r->a, m->count * sizeof *m->order, _Alignof(uint32_t));
    if (!m->order) return no_memory(r, e);
    for (uint32_t i = 0; i < m->count; i++) {
        m->order[i] = i;
        sorted &= i == 0 || compare_names(m, i - 1, m->tree[i], m->number[i]) < 0;
    }
    if (sorted) return ERR_OK;
    qsort_r(m->order, m->count, sizeof *m->order, compare_nodes, m);
    for (uint32_t i = 1; i < m->count; i++) {
        uint32_t a = m->order[i - 1], b = m->order[i];
        if (compare_names(m, a, m->tree[b], m->number[b]) == 0)
            return err_set(e, ERR_INVALID, "%s: node %lld of tree %lld is there twice", r->text,
                           (long long)m->number[b], (long long)m->tree[b]);
    }
    return ERR_OK;
}

static bool names_find(const names *m, int64_t tree, int64_t number, uint32_t near, uint32_t *ret)
{
    int64_t guess;
    if (!__builtin_sub_overflow(number, m->number[near], &guess) &&
        !__builtin_add_overflow(guess, (int64_t)near, &guess) && guess >= 0 && guess < m->count &&
        compare_names(m, (uint32_t)guess, tree, number) == 0) {
        *ret = (uint32_t)guess;
        return true;
    }
    for (uint32_t lo = 0, hi = m->count; lo < hi;) {
        uint32_t mid = lo + (hi - lo) / 2;
        int way = compare_names(m, m->order[mid], tree, number);
        if (way == 0) {
            *ret = m->order[mid];
            return true;
        }
        if (way < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

static err_code child(const reader *r, const names *m, const char *name, uint32_t i, int64_t number, uint32_t *ret,
                      err *e)
{
    if (names_find(m, m->tree[i], number, i, ret)) return ERR_OK;
    return err_set(e, ERR_INVALID, "%s: %s[%u]: tree %lld has no node %lld", r->text, name, i, (long long)m->tree[i],
                   (long long)number);
}

static err_code mode(const reader *r, uint32_t i, str name, tree_test *ret, err *e)
{
    static const struct {
        const char *name;
        tree_test test;
    } modes[] = {
        {"LEAF", TREE_LEAF},    {"BRANCH_LEQ", TREE_LEQ}, {"BRANCH_LT", TREE_LT},   {"BRANCH_GTE", TREE_GTE},
        {"BRANCH_GT", TREE_GT}, {"BRANCH_EQ", TREE_EQ},   {"BRANCH_NEQ", TREE_NEQ},
    };
    for (size_t k = 0; k < COUNTOF(modes); k++) {
        if (!str_is(name, modes[k].name)) continue;
        *ret = modes[k].test;
        return ERR_OK;
    }
    return err_set(e, ERR_INVALID, "%s: nodes_modes[%u]: expected BRANCH_LEQ, ... or LEAF, got '" STR_FMT "'", r->text,
                   i, STR_ARG(name));
}

static err_code parts_read(const reader *r, names *m, tree_part *parts, err *e)
{
    const attr *modes = node_attr(r->n, "nodes_modes");
    const int64_t *feature, *yes, *no, *missing;
    tree_reals values;
    if (modes->count != m->count)
        return err_set(e, ERR_INVALID, "%s: nodes_modes: expected %u values, got %u", r->text, m->count, modes->count);
    err_code rc = ints(r, "nodes_featureids", m->count, false, &feature, e);
    if (!rc) rc = ints(r, "nodes_truenodeids", m->count, false, &yes, e);
    if (!rc) rc = ints(r, "nodes_falsenodeids", m->count, false, &no, e);
    if (!rc) rc = ints(r, "nodes_missing_value_tracks_true", m->count, true, &missing, e);
    if (!rc) rc = reals(r, "nodes_values", "nodes_values_as_tensor", m->count, &values, e);
    for (uint32_t i = 0; i < m->count && !rc; i++) {
        tree_part *p = &parts[i];
        rc = mode(r, i, modes->strings[i], &p->test, e);
        if (rc || p->test == TREE_LEAF) continue;
        p->value = tree_real(&values, i);
        p->nan_yes = missing && missing[i] != 0;
        p->feature = (uint32_t)feature[i];
        rc = index_check(r, "nodes_featureids", i, feature[i], INT32_MAX, e);
        if (!rc) rc = child(r, m, "nodes_truenodeids", i, yes[i], &p->yes, e);
        if (!rc) rc = child(r, m, "nodes_falsenodeids", i, no[i], &p->no, e);
    }
    return rc;
}

/* The weights leaf after leaf.  Those of inner nodes, which old converters wrote, count for nothing. */
static err_code weights_read(const reader *r, const names *m, bool classes, uint32_t targets, tree_part *parts,
                             tree_source *s, err *e)
{
    const char *target_name = classes ? "class_ids" : "target_ids";
    const int64_t *target, *number, *tree;
    tree_reals values;
    uint32_t count, at = 0;
    (void)node_ints(r->n, target_name, &count);
    err_code rc = ints(r, target_name, count, false, &target, e);
    if (!rc) rc = ints(r, classes ? "class_nodeids" : "target_nodeids", count, false, &number, e);
    if (!rc) rc = ints(r, classes ? "class_treeids" : "target_treeids", count, false, &tree, e);
    if (!rc)
        rc = reals(r, classes ? "class_weights" : "target_weights",
                   classes ? "class_weights_as_tensor" : "target_weights_as_tensor", count, &values, e);
    if (rc) return rc;
    uint32_t *leaf = arena_new(r->a, uint32_t, count);
    trees_weight *weights = arena_new(r->a, trees_weight, count);
    if (!leaf || !weights) return no_memory(r, e);
    for (uint32_t i = 0; i < count; i++) {
        rc = index_check(r, target_name, i, target[i], targets, e);
        if (rc) return rc;
        if (!names_find(m, tree[i], number[i], i ? leaf[i - 1] : 0, &leaf[i]))
            return err_set(e, ERR_INVALID, "%s: weight %u: tree %lld has no node %lld", r->text, i, (long long)tree[i],
                           (long long)number[i]);
        if (parts[leaf[i]].test == TREE_LEAF) parts[leaf[i]].count++;
    }
    for (uint32_t i = 0; i < m->count; i++) {
        if (parts[i].test != TREE_LEAF) continue;
        parts[i].first = at;
        at += parts[i].count;
        parts[i].count = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        tree_part *p = &parts[leaf[i]];
        if (p->test == TREE_LEAF)
            weights[p->first + p->count++] = (trees_weight){(uint32_t)target[i], tree_real(&values, i)};
    }
    s->weights = weights;
    s->weight_count = at;
    return ERR_OK;
}

/* The root of a tree is the node of it that is listed first. */
static err_code roots_read(const reader *r, const names *m, tree_source *s, err *e)
{
    uint32_t *roots = arena_new(r->a, uint32_t, m->count);
    if (!roots) return no_memory(r, e);
    for (uint32_t i = 0; i < m->count; i++) {
        uint32_t n = m->order[i];
        if (i == 0 || m->tree[n] != m->tree[m->order[i - 1]])
            roots[s->root_count++] = n;
        else if (n < roots[s->root_count - 1])
            roots[s->root_count - 1] = n;
    }
    s->roots = roots;
    return ERR_OK;
}

err_code tree_read(tree_source *ret, const graph *g, const node *n, bool classes, uint32_t targets, arena *a, err *e)
{
    reader r = reader_make(g, n, a);
    tree_source s = {.target_count = targets};
    names m = {0};
    bool average;
    m.tree = node_ints(n, "nodes_treeids", &m.count);
    if (m.count == 0 || m.count > PARTS_MAX)
        return err_set(e, ERR_INVALID, "%s: nodes_treeids: expected 1 to %u values, got %u", r.text, PARTS_MAX,
                       m.count);
    err_code rc = tree_merge_of(g, n, &s.merge, &average, e);
    if (!rc) rc = ints(&r, "nodes_nodeids", m.count, false, &m.number, e);
    if (!rc) rc = names_make(&r, &m, e);
    if (rc) return rc;
    tree_part *parts = arena_new(a, tree_part, m.count);
    if (!parts) return no_memory(&r, e);
    s.parts = parts;
    s.part_count = m.count;
    rc = parts_read(&r, &m, parts, e);
    if (!rc) rc = weights_read(&r, &m, classes, targets, parts, &s, e);
    if (!rc) rc = roots_read(&r, &m, &s, e);
    if (!rc) *ret = s;
    return rc;
}

/* ---- TreeEnsemble ----------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t nodes, leaves;
} sizes;

/* Node i's child on one side: a node, or a leaf, which as a part comes behind all nodes. */
static err_code side(const reader *r, const sizes *z, const char *id_name, const char *leaf_name, bool yes,
                     tree_part *parts, err *e)
{
    const int64_t *id, *is_leaf;
    err_code rc = ints(r, id_name, z->nodes, false, &id, e);
    if (!rc) rc = ints(r, leaf_name, z->nodes, false, &is_leaf, e);
    for (uint32_t i = 0; i < z->nodes && !rc; i++) {
        rc = index_check(r, id_name, i, id[i], is_leaf[i] ? z->leaves : z->nodes, e);
        uint32_t part = (uint32_t)id[i] + (is_leaf[i] ? z->nodes : 0);
        *(yes ? &parts[i].yes : &parts[i].no) = part;
    }
    return rc;
}

/* The members of the sets, in the order of the nodes that ask for them, a NaN behind each set. */
static err_code members_read(const reader *r, const sizes *z, tree_part *parts, tree_source *s, err *e)
{
    tree_reals list;
    err_code rc = tree_reals_of(r->g, r->n, NULL, "membership_values", &list, e);
    if (rc) return rc;
    double *members = arena_new(r->a, double, list.count);
    if (!members) return no_memory(r, e);
    uint32_t at = 0, kept = 0;
    for (uint32_t i = 0; i < z->nodes; i++) {
        tree_part *p = &parts[i];
        if (p->test != TREE_MEMBER) continue;
        for (p->first = kept; at < list.count && !isnan(tree_real(&list, at)); at++) {
            members[kept++] = tree_real(&list, at);
            p->count++;
        }
        if (at == list.count)
            return err_set(e, ERR_INVALID, "%s: membership_values: the set of node %u does not end in NaN", r->text, i);
        at++;
    }
    s->members = members;
    return ERR_OK;
}

static err_code nodes_read(const reader *r, const sizes *z, tree_part *parts, err *e)
{
    const tensor *modes = node_attr(r->n, "nodes_modes")->t;
    const int64_t *feature, *missing;
    tree_reals values;
    if (modes->type != DT_U8 || tensor_count(modes) != z->nodes)
        return err_set(e, ERR_INVALID, "%s: nodes_modes: expected %u uint8, got %llu %s", r->text, z->nodes,
                       (unsigned long long)tensor_count(modes), dtype_name(modes->type));
    err_code rc = ints(r, "nodes_featureids", z->nodes, false, &feature, e);
    if (!rc) rc = ints(r, "nodes_missing_value_tracks_true", z->nodes, true, &missing, e);
    if (!rc) rc = reals(r, NULL, "nodes_splits", z->nodes, &values, e);
    for (uint32_t i = 0; i < z->nodes && !rc; i++) {
        int64_t test = tensor_int(modes, i);
        rc = index_check(r, "nodes_modes", i, test, TREE_LEAF, e);
        if (!rc) rc = index_check(r, "nodes_featureids", i, feature[i], INT32_MAX, e);
        parts[i].test = (tree_test)test;
        parts[i].feature = (uint32_t)feature[i];
        parts[i].value = tree_real(&values, i);
        parts[i].nan_yes = missing && missing[i] != 0;
    }
    if (!rc) rc = side(r, z, "nodes_truenodeids", "nodes_trueleafs", true, parts, e);
    return rc ? rc : side(r, z, "nodes_falsenodeids", "nodes_falseleafs", false, parts, e);
}

static err_code leaves_read(const reader *r, const sizes *z, uint32_t targets, tree_part *parts, tree_source *s, err *e)
{
    const int64_t *target;
    tree_reals values;
    trees_weight *weights = arena_new(r->a, trees_weight, z->leaves);
    if (!weights) return no_memory(r, e);
    err_code rc = ints(r, "leaf_targetids", z->leaves, false, &target, e);
    if (!rc) rc = reals(r, NULL, "leaf_weights", z->leaves, &values, e);
    for (uint32_t i = 0; i < z->leaves && !rc; i++) {
        rc = index_check(r, "leaf_targetids", i, target[i], targets, e);
        weights[i] = (trees_weight){(uint32_t)target[i], tree_real(&values, i)};
        parts[z->nodes + i] = (tree_part){.test = TREE_LEAF, .first = i, .count = 1};
    }
    s->weights = weights;
    s->weight_count = z->leaves;
    return rc;
}

err_code tree_read_whole(tree_source *ret, const graph *g, const node *n, uint32_t targets, arena *a, err *e)
{
    reader r = reader_make(g, n, a);
    tree_source s = {.target_count = targets};
    sizes z;
    bool average;
    (void)node_ints(n, "nodes_featureids", &z.nodes);
    (void)node_ints(n, "leaf_targetids", &z.leaves);
    const int64_t *roots = node_ints(n, "tree_roots", &s.root_count);
    if (z.nodes > PARTS_MAX || z.leaves > PARTS_MAX)
        return err_set(e, ERR_LIMIT, "%s: more than %u nodes or leaves", r.text, PARTS_MAX);
    tree_part *parts = arena_new(a, tree_part, (size_t)z.nodes + z.leaves);
    uint32_t *starts = arena_new(a, uint32_t, s.root_count);
    if (!parts || !starts) return no_memory(&r, e);
    s.parts = parts;
    s.part_count = z.nodes + z.leaves;
    err_code rc = tree_merge_of(g, n, &s.merge, &average, e);
    if (!rc) rc = nodes_read(&r, &z, parts, e);
    if (!rc) rc = members_read(&r, &z, parts, &s, e);
    if (!rc) rc = leaves_read(&r, &z, targets, parts, &s, e);
    for (uint32_t i = 0; i < s.root_count && !rc; i++) {
        rc = index_check(&r, "tree_roots", i, roots[i], z.nodes, e);
        starts[i] = (uint32_t)roots[i];
    }
    s.roots = starts;
    if (!rc) *ret = s;
    return rc;
}
