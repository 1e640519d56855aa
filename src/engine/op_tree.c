/* TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble.
 *
 * The attributes become a flat ensemble (tree_build.h) when the model is loaded: one for float, one for double where
 * the model does not say which it will get.  What a binary classifier makes of its scores is what ONNX Runtime makes of
 * them: the specification leaves it open, and converters rely on it. */
#include "engine/features.h"
#include "engine/scores.h"
#include "engine/tree_read.h"

#include <math.h>
#include <string.h>

typedef enum { KIND_CLASSIFIER, KIND_REGRESSOR, KIND_ENSEMBLE } tree_kind;

/* How the scores of a row become its output. */
typedef struct {
    tree_kind kind;
    scores how;
    classes labels;
    uint32_t targets; /* scores of a row */
    bool average;
    bool one_class; /* two classes and weights for only one of them */
    bool positive; /* no weight is negative */
    uint32_t base_count;
    const double *base;
} finish;

typedef struct {
    finish finish;
    bool made[2]; /* [wide] */
    trees trees[2];
} ensemble;

static tree_kind kind_of(const op_row *row) { return *(const tree_kind *)row->data; }

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static err_code base_read(const graph *g, const node *n, finish *f, arena *a, err *e)
{
    tree_reals list;
    char text[200];
    err_code rc = tree_reals_of(g, n, "base_values", "base_values_as_tensor", &list, e);
    if (rc) return rc;
    bool two = f->kind == KIND_CLASSIFIER && f->targets <= 2;
    if (list.count != 0 && list.count != f->targets && !(two && list.count <= 2))
        return err_set(e, ERR_INVALID, "%s: base_values: expected %u or none, got %u", node_text(g, n, text),
                       f->targets, list.count);
    double *base = arena_new(a, double, list.count);
    if (!base) return err_set(e, ERR_NOMEM, "%s: no memory for base values", node_text(g, n, text));
    for (uint32_t i = 0; i < list.count; i++) base[i] = tree_real(&list, i);
    f->base = base;
    f->base_count = list.count;
    return ERR_OK;
}

/* Everything but the trees; infer needs no more. */
static err_code finish_read(const graph *g, const node *n, finish *ret, err *e)
{
    tree_kind kind = kind_of(n->row);
    finish f = {.kind = kind};
    char text[200];
    int64_t targets = node_int(n, "n_targets", 1), how = node_int(n, "post_transform", SCORES_NONE);
    if (kind == KIND_CLASSIFIER) {
        f.labels = classes_of(n, "classlabels_strings", "classlabels_int64s");
        targets = f.labels.count;
    }
    if (targets < 1 || targets > INT32_MAX)
        return err_set(e, ERR_INVALID, "%s: expected 1 or more %s, got %lld", node_text(g, n, text),
                       kind == KIND_CLASSIFIER ? "class labels" : "targets", (long long)targets);
    f.targets = (uint32_t)targets;
    trees_merge merge;
    err_code rc = tree_merge_of(g, n, &merge, &f.average, e);
    if (rc) return rc;
    if (kind != KIND_ENSEMBLE) {
        if ((rc = scores_of(&f.how, g, n, e)) != ERR_OK) return rc;
    } else if (how < 0 || how >= SCORES_COUNT) {
        return err_set(e, ERR_INVALID, "%s: post_transform: expected 0..%d, got %lld", node_text(g, n, text),
                       SCORES_COUNT - 1, (long long)how);
    } else {
        f.how = (scores)how;
    }
    *ret = f;
    return ERR_OK;
}

static void weights_look(finish *f, const tree_source *s)
{
    f->positive = f->one_class = true;
    for (uint32_t i = 0; i < s->weight_count; i++) {
        f->positive &= s->weights[i].value >= 0;
        f->one_class &= s->weights[i].target == s->weights[0].target;
    }
    f->one_class &= f->targets == 2 && s->weight_count > 0;
}

/* x: the type of the input where it is known. */
static err_code ensemble_read(const graph *g, const node *n, dtype x, ensemble *ret, arena *a, err *e)
{
    char text[200];
    arena work;
    tree_source s;
    ensemble m = {0};
    arena_init(&work, NULL, 0, SIZE_MAX / 2);
    err_code rc = finish_read(g, n, &m.finish, e);
    if (!rc) rc = base_read(g, n, &m.finish, a, e);
    if (!rc)
        rc = m.finish.kind == KIND_ENSEMBLE
                 ? tree_read_whole(&s, g, n, m.finish.targets, &work, e)
                 : tree_read(&s, g, n, m.finish.kind == KIND_CLASSIFIER, m.finish.targets, &work, e);
    for (int wide = 0; wide < 2 && !rc; wide++) {
        if (x != DT_NONE && (x == DT_F64) != wide) continue;
        err inner;
        rc = tree_build(&m.trees[wide], &s, wide, a, &inner);
        if (rc) err_set(e, rc, "%s: %s", node_text(g, n, text), inner.text);
        m.made[wide] = !rc;
    }
    if (!rc) weights_look(&m.finish, &s);
    arena_fini(&work);
    if (!rc) *ret = m;
    return rc;
}

static err_code prepare(op_prep *p, void **ret_state, err *e)
{
    ensemble *m = arena_new(p->memory, ensemble, 1);
    if (!m) return err_set(e, ERR_NOMEM, "no memory for trees");
    err_code rc = ensemble_read(p->graph, p->node, p->graph->values[p->node->in[0]].type, m, p->memory, e);
    if (!rc) *ret_state = m;
    return rc;
}

/* The prepared ensemble; a node that is folded before it is prepared, or declared with another type than it gets, has
 * one made for the call. */
static err_code ensemble_of(op_call *c, const ensemble **ret, err *e)
{
    *ret = c->state;
    if (*ret && (*ret)->made[c->in[0]->type == DT_F64]) return ERR_OK;
    ensemble *m = arena_new(c->scratch, ensemble, 1);
    *ret = m;
    return m ? ensemble_read(c->graph, c->node, c->in[0]->type, m, c->scratch, e)
             : op_err(c, e, ERR_LIMIT, "no memory for trees");
}

/* ---- scores to outputs ------------------------------------------------------------------------------------------ */

typedef struct {
    const finish *f;
    const trees *t;
    const void *x;
    size_t rows, features, block; /* block: rows of one job */
    double *scores; /* [rows, targets] */
    bool *has;
    tensor *labels, *out; /* NULL = not wanted */
} scoring;

static void write_row(const scoring *r, size_t row, const double *v)
{
    uint32_t n = r->f->targets;
    if (!r->out) return;
    for (uint32_t i = 0; i < n; i++) {
        if (r->out->type == DT_F32)
            ((float *)r->out->data)[row * n + i] = (float)v[i];
        else
            tensor_put_f64(r->out, row * n + i, v[i]);
    }
}

static void label(const scoring *r, size_t row, size_t class_index)
{
    if (r->labels) classes_put(&r->f->labels, r->labels, row, class_index, 0);
}

/* A class that no tree voted for is not chosen, whatever its score. */
static size_t best_of(const double *v, const bool *has, uint32_t n)
{
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) {
        if (has[i] && (best == UINT32_MAX || v[i] > v[best])) best = i;
    }
    return best == UINT32_MAX ? 0 : best;
}

/* One score, of whichever class it was for, decides between two. */
static void finish_binary(const scoring *r, size_t row, double *v, const bool *has)
{
    const finish *f = r->f;
    bool probability = f->one_class && f->positive, two = f->base_count == 2 || has[1];
    if (f->base_count == 2 && has[1]) {
        v[1] = f->base[1] + v[0];
        v[0] = -v[1];
    } else if (f->base_count == 2) {
        v[0] += f->base[0];
        v[1] += f->base[1];
    } else if (f->base_count == 1) {
        v[0] += f->base[0];
    }
    double decides = has[1] ? v[1] : has[0] ? v[0] : 0;
    label(r, row, decides > (probability ? 0.5 : 0));
    for (int i = 0; i < 2 && two; i++) v[i] = has[i] ? v[i] : 0;
    if (two)
        scores_apply(f->how, v, 2);
    else
        scores_pair(f->how, probability, v[0], v);
}

static void finish_classifier(const scoring *r, size_t row, double *v, bool *has)
{
    const finish *f = r->f;
    if (f->targets == 2) {
        finish_binary(r, row, v, has);
        return;
    }
    for (uint32_t i = 0; i < f->targets && f->base_count == f->targets; i++) {
        v[i] += f->base[i];
        has[i] = true;
    }
    label(r, row, best_of(v, has, f->targets));
    scores_apply(f->how, v, f->targets);
}

static void finish_regressor(const scoring *r, double *v)
{
    const finish *f = r->f;
    for (uint32_t i = 0; i < f->targets; i++) {
        if (f->average) v[i] /= r->t->root_count;
        if (f->base_count) v[i] += f->base[i];
    }
    scores_apply(f->how, v, f->targets);
}

static void block_job(void *ctx, uint32_t index)
{
    const scoring *r = ctx;
    size_t from = index * r->block, n = r->rows - from < r->block ? r->rows - from : r->block, targets = r->f->targets;
    size_t size = r->t->wide ? sizeof(double) : sizeof(float);
    trees_run(r->t, (const char *)r->x + from * r->features * size, n, r->features, r->scores + from * targets,
              r->has + from * targets);
    for (size_t row = from; row < from + n; row++) {
        double *v = r->scores + row * targets;
        if (r->f->kind == KIND_CLASSIFIER)
            finish_classifier(r, row, v, r->has + row * targets);
        else
            finish_regressor(r, v);
        write_row(r, row, v);
    }
}

/* ---- infer and run ---------------------------------------------------------------------------------------------- */

/* Rows of features; of TreeEnsemble in float16 too. */
static err_code input_check(op_call *c, features *ret, err *e)
{
    const shape *s = &c->in[0]->shape;
    bool any = kind_of(c->node->row) == KIND_ENSEMBLE;
    err_code rc = op_type(c, 0, any ? T1(DT_F32) | T1(DT_F64) | T1(DT_F16) : T_FEATURE, e);
    if (!rc) rc = op_rank(c, 0, 1, 2, e);
    if (!rc) *ret = (features){s->rank == 1 ? 1 : (size_t)s->dim[0], (size_t)s->dim[s->rank - 1], NULL};
    return rc;
}

static err_code tree_infer(op_call *c, err *e)
{
    features x;
    finish f;
    err_code rc = input_check(c, &x, e);
    if (!rc) rc = finish_read(c->graph, c->node, &f, e);
    if (rc) return rc;
    shape rows = shape_make(1, (const int64_t[]){(int64_t)x.rows}),
          all = shape_make(2, (const int64_t[]){(int64_t)x.rows, (int64_t)f.targets});
    if (f.kind != KIND_CLASSIFIER) return op_set(c, 0, f.kind == KIND_ENSEMBLE ? c->in[0]->type : DT_F32, &all, e);
    rc = op_set(c, 0, classes_type(&f.labels), &rows, e);
    return rc ? rc : op_set(c, 1, DT_F32, &all, e);
}

/* The values of the input in the type the ensemble compares in. */
static err_code values_of(op_call *c, features *x, const void **ret, err *e)
{
    const tensor *t = c->in[0];
    size_t n = (size_t)tensor_count(t);
    *ret = t->data;
    if (t->type == DT_F32 || t->type == DT_F64) return ERR_OK;
    if (t->type != DT_F16) {
        err_code rc = features_of(x, c, e);
        *ret = x->at;
        return rc;
    }
    float *floats = arena_push_raw(c->scratch, n * sizeof *floats, MEM_ALIGN);
    if (!floats) return op_err(c, e, ERR_LIMIT, "no memory for %zu features", n);
    for (size_t i = 0; i < n; i++) floats[i] = dtype_f16_to_f32(((const uint16_t *)t->data)[i]);
    *ret = floats;
    return ERR_OK;
}

static err_code tree_run(op_call *c, err *e)
{
    features x;
    const ensemble *m;
    const void *values;
    err_code rc = input_check(c, &x, e);
    if (!rc) rc = ensemble_of(c, &m, e);
    if (!rc) rc = values_of(c, &x, &values, e);
    if (rc || x.rows == 0) return rc;
    const trees *t = &m->trees[c->in[0]->type == DT_F64];
    size_t total = 0, threads = c->pool ? compute_threads(c->pool) : 1;
    if (x.count < t->feature_count || x.count == 0)
        return op_err(c, e, ERR_INVALID, "expected at least %u features, got %zu",
                      t->feature_count ? t->feature_count : 1, x.count);
    scoring r = {.f = &m->finish, .t = t, .x = values, .rows = x.rows, .features = x.count};
    if (!__builtin_mul_overflow(x.rows, (size_t)m->finish.targets, &total)) {
        r.scores = arena_new(c->scratch, double, total);
        r.has = arena_new(c->scratch, bool, total);
    }
    if (!r.scores || !r.has) return op_err(c, e, ERR_LIMIT, "no memory for the scores of %zu rows", x.rows);
    r.labels = m->finish.kind == KIND_CLASSIFIER ? c->out[0] : NULL;
    r.out = m->finish.kind != KIND_CLASSIFIER ? c->out[0] : c->out_count > 1 ? c->out[1] : NULL;
    r.block = (x.rows + threads - 1) / threads;
    r.block = r.block > TREES_ROWS ? TREES_ROWS : round_up(r.block, TREES_LANES);
    compute_for(c->pool, (uint32_t)((x.rows + r.block - 1) / r.block), block_job, &r);
    return ERR_OK;
}

static uint64_t tree_flops(const op_call *c)
{
    /* A comparison for each level of each tree would need the data; nodes are the nearest thing to it that is known. */
    const ensemble *m = c->state;
    const shape *s = &c->in[0]->shape;
    uint64_t rows = s->rank == 1 ? 1 : (uint64_t)s->dim[0];
    return m ? rows * m->trees[c->in[0]->type == DT_F64].root_count : rows;
}

static const tree_kind classifier = KIND_CLASSIFIER, regressor = KIND_REGRESSOR, whole = KIND_ENSEMBLE;

#define NODES \
    {"nodes_falsenodeids", ATTR_INTS, true}, {"nodes_featureids", ATTR_INTS, true}, \
        {"nodes_hitrates", ATTR_FLOATS, false}, {"nodes_missing_value_tracks_true", ATTR_INTS, false}, \
        {"nodes_modes", ATTR_STRINGS, true}, {"nodes_nodeids", ATTR_INTS, true}, {"nodes_treeids", ATTR_INTS, true}, \
        {"nodes_truenodeids", ATTR_INTS, true}, {"nodes_values", ATTR_FLOATS, false}, \
        {"base_values", ATTR_FLOATS, false}, \
    { \
        "post_transform", ATTR_STRING, false \
    }
#define NODE_TENSORS \
    {"base_values_as_tensor", ATTR_TENSOR, false}, {"nodes_hitrates_as_tensor", ATTR_TENSOR, false}, \
    { \
        "nodes_values_as_tensor", ATTR_TENSOR, false \
    }
#define CLASSES \
    {"class_ids", ATTR_INTS, true}, {"class_nodeids", ATTR_INTS, true}, {"class_treeids", ATTR_INTS, true}, \
        {"class_weights", ATTR_FLOATS, false}, {"classlabels_int64s", ATTR_INTS, false}, \
    { \
        "classlabels_strings", ATTR_STRINGS, false \
    }
#define TARGETS \
    {"aggregate_function", ATTR_STRING, false}, {"n_targets", ATTR_INT, false}, {"target_ids", ATTR_INTS, true}, \
        {"target_nodeids", ATTR_INTS, true}, {"target_treeids", ATTR_INTS, true}, \
    { \
        "target_weights", ATTR_FLOATS, false \
    }
#define ROW(n, version, outs) \
    .name = (n), .domain = "ai.onnx.ml", .since = (version), .in_min = 1, .in_max = 1, .out_min = 1, \
    .out_max = (outs), .prepare = prepare, .infer = tree_infer, .run = tree_run, .flops = tree_flops
const op_row op_rows_tree[] = {
    {ROW("TreeEnsembleClassifier", 1, 2), .attrs = {NODES, CLASSES}, .data = &classifier},
    {ROW("TreeEnsembleClassifier", 3, 2),
     .attrs = {NODES, CLASSES, NODE_TENSORS, {"class_weights_as_tensor", ATTR_TENSOR, false}}, .data = &classifier},
    {ROW("TreeEnsembleRegressor", 1, 1), .attrs = {NODES, TARGETS}, .data = &regressor},
    {ROW("TreeEnsembleRegressor", 3, 1),
     .attrs = {NODES, TARGETS, NODE_TENSORS, {"target_weights_as_tensor", ATTR_TENSOR, false}}, .data = &regressor},
    {ROW("TreeEnsemble", 5, 1),
     .attrs = {{"aggregate_function", ATTR_INT, false},
               {"leaf_targetids", ATTR_INTS, true},
               {"leaf_weights", ATTR_TENSOR, true},
               {"membership_values", ATTR_TENSOR, false},
               {"n_targets", ATTR_INT, false},
               {"nodes_falseleafs", ATTR_INTS, true},
               {"nodes_falsenodeids", ATTR_INTS, true},
               {"nodes_featureids", ATTR_INTS, true},
               {"nodes_hitrates", ATTR_TENSOR, false},
               {"nodes_missing_value_tracks_true", ATTR_INTS, false},
               {"nodes_modes", ATTR_TENSOR, true},
               {"nodes_splits", ATTR_TENSOR, true},
               {"nodes_trueleafs", ATTR_INTS, true},
               {"nodes_truenodeids", ATTR_INTS, true},
               {"post_transform", ATTR_INT, false},
               {"tree_roots", ATTR_INTS, true}},
     .data = &whole},
    {0},
};
