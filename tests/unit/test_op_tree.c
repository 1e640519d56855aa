/* The tree ensembles' attributes: what their scores become in each of the binary cases, sums, extremes and base values,
 * and one line for everything that does not fit.  (That walks are right is shown by test_tree_build.) */
#include "op_harness.h"

#include <math.h>

/* x0 <= 0.5 ? leaf 1 : leaf 2; NaN goes to leaf 2.  The nodes are not in order. */
static const int64_t tree_ids[] = {0, 0, 0}, node_ids[] = {0, 2, 1}, features[] = {0, 0, 0}, yes[] = {1, 0, 0},
                     no[] = {2, 0, 0};
static const float thresholds[] = {0.5f, 0, 0};
static const str modes[] = {{"BRANCH_LEQ", 10}, {"LEAF", 4}, {"LEAF", 4}};

static void init(op_case *t, const char *op, int64_t version, uint32_t outputs)
{
    op_case_init(t, op, version);
    t->node.domain = STR("ai.onnx.ml");
    op_case_outputs(t, outputs);
    op_case_ints(t, "nodes_treeids", tree_ids, 3);
    op_case_ints(t, "nodes_nodeids", node_ids, 3);
    op_case_ints(t, "nodes_featureids", features, 3);
    op_case_floats(t, "nodes_values", thresholds, 3);
    op_case_texts(t, "nodes_modes", modes, 3);
    op_case_ints(t, "nodes_truenodeids", yes, 3);
    op_case_ints(t, "nodes_falsenodeids", no, 3);
}

/* Weights of leaf 1, then of leaf 2, for the targets `ids`. */
static void leaves(op_case *t, bool classes, const int64_t *ids, const float *weights, uint32_t each)
{
    static const int64_t trees[] = {0, 0, 0, 0, 0, 0}, numbers[2][4] = {{1, 2}, {1, 1, 2, 2}};
    op_case_ints(t, classes ? "class_ids" : "target_ids", ids, 2 * each);
    op_case_ints(t, classes ? "class_nodeids" : "target_nodeids", numbers[each - 1], 2 * each);
    op_case_ints(t, classes ? "class_treeids" : "target_treeids", trees, 2 * each);
    op_case_floats(t, classes ? "class_weights" : "target_weights", weights, 2 * each);
}

/* Values that ONNX Runtime 1.31 gives. */
static void two_classes_are_decided_as_everybody_does(void)
{
    static const struct {
        int64_t ids[4];
        float weights[4];
        uint32_t each, base_count;
        const char *how;
        double labels[2], scores[4];
    } cases[] = {
        {{0, 0}, {1, -2}, 1, 0, "NONE", {5, 7}, {-1, 1, 2, -2}},
        {{0, 0}, {0.75f, 0.25f}, 1, 0, "NONE", {5, 7}, {0.25, 0.75, 0.75, 0.25}},
        {{0, 0}, {1, -2}, 1, 1, "NONE", {5, 5}, {-11, 11, -8, 8}},
        {{0, 0}, {1, -2}, 1, 2, "NONE", {5, 5}, {11, 0, 8, 0}},
        {{1, 1}, {1, -2}, 1, 0, "NONE", {5, 7}, {0, 1, 0, -2}},
        {{1, 1}, {1, -2}, 1, 1, "NONE", {5, 7}, {0, 1, 0, -2}},
        {{1, 1}, {1, -2}, 1, 2, "NONE", {5, 5}, {0, 100, 0, 100}},
        {{0, 1, 0, 1}, {1, 0.5f, -2, -0.25f}, 2, 0, "NONE", {5, 7}, {1, 0.5, -2, -0.25}},
        {{0, 1, 0, 1}, {1, 0.5f, -2, -0.25f}, 2, 1, "NONE", {5, 7}, {11, 0.5, 8, -0.25}},
        {{0, 1, 0, 1}, {1, 0.5f, -2, -0.25f}, 2, 2, "NONE", {5, 5}, {-101, 101, -98, 98}},
        {{0, 0}, {1, -2}, 1, 0, "LOGISTIC", {5, 7}, {0.26894142, 0.73105858, 0.88079708, 0.11920292}},
    };
    static const float bases[] = {10, 100};
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        op_case t;
        init(&t, "TreeEnsembleClassifier", 1, 2);
        leaves(&t, true, cases[i].ids, cases[i].weights, cases[i].each);
        op_case_ints(&t, "classlabels_int64s", (const int64_t[]){7, 5}, 2);
        op_case_str(&t, "post_transform", cases[i].how);
        if (cases[i].base_count) op_case_floats(&t, "base_values", bases, cases[i].base_count);
        IN(&t, DT_F32, SHAPE(2, 1), 0, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_I64, SHAPE(2), 0, cases[i].labels, 2, __LINE__);
        op_case_check(&t, 1, DT_F32, SHAPE(2, 2), 1e-6, cases[i].scores, 4, __LINE__);
        op_case_fini(&t);
    }
}

static void three_classes_choose_among_those_voted_for(void)
{
    static const str names[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    op_case t;
    init(&t, "TreeEnsembleClassifier", 3, 2);
    leaves(&t, true, (const int64_t[]){2, 1}, (const float[]){-1, -3}, 1);
    op_case_texts(&t, "classlabels_strings", names, 3);
    IN(&t, DT_I64, SHAPE(2, 1), 0, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(2), "c", "b");   /* though the others' zeros are larger */
    WANT(&t, 1, DT_F32, SHAPE(2, 3), 0, 0, 0, -1, 0, -3, 0);
    op_case_fini(&t);
}

static void regressors_merge_and_shift(void)
{
    static const struct { const char *how; double want[4]; } cases[] = {
        {"SUM", {101, 202, 103, 204}}, {"AVERAGE", {101, 202, 103, 204}}, {"MIN", {101, 202, 103, 204}},
        {"MAX", {101, 202, 103, 204}}};
    static const dtype types[] = {DT_F32, DT_F64, DT_I32, DT_I64};
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        op_case t;
        init(&t, "TreeEnsembleRegressor", 3, 1);
        leaves(&t, false, (const int64_t[]){0, 1, 0, 1}, (const float[]){1, 2, 3, 4}, 2);
        op_case_int(&t, "n_targets", 2);
        op_case_floats(&t, "base_values", (const float[]){100, 200}, 2);
        op_case_str(&t, "aggregate_function", cases[i].how);
        IN(&t, types[i], SHAPE(2, 1), 0, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_F32, SHAPE(2, 2), 0, cases[i].want, 4, __LINE__);
        op_case_fini(&t);
    }
}

static void averages_are_over_trees(void)
{
    /* Two trees of one leaf each. */
    static const int64_t trees[] = {3, 8}, zeros[] = {0, 0};
    op_case t;
    op_case_init(&t, "TreeEnsembleRegressor", 1);
    t.node.domain = STR("ai.onnx.ml");
    op_case_ints(&t, "nodes_treeids", trees, 2);
    op_case_ints(&t, "nodes_nodeids", zeros, 2);
    op_case_ints(&t, "nodes_featureids", zeros, 2);
    op_case_floats(&t, "nodes_values", thresholds, 2);
    op_case_texts(&t, "nodes_modes", modes + 1, 2);
    op_case_ints(&t, "nodes_truenodeids", zeros, 2);
    op_case_ints(&t, "nodes_falsenodeids", zeros, 2);
    op_case_ints(&t, "target_ids", zeros, 2);
    op_case_ints(&t, "target_nodeids", zeros, 2);
    op_case_ints(&t, "target_treeids", trees, 2);
    op_case_floats(&t, "target_weights", (const float[]){1, 4}, 2);
    op_case_str(&t, "aggregate_function", "AVERAGE");
    IN(&t, DT_F32, SHAPE(1), 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1), 0, 2.5);
    op_case_fini(&t);
}

static void sets_are_members_of_the_newest_operator(void)
{
    /* x0 <= 11 ? (x0 in {1, 7} ? 1000 : 100) : 5 */
    double splits[] = {11, 0}, weights[] = {1000, 100, 5}, members[] = {7, 1, (double)NAN};
    uint8_t tests[] = {0, 6};
    shape two = SHAPE(2), three = SHAPE(3);
    tensor s = tensor_make(DT_F64, &two, splits), w = tensor_make(DT_F64, &three, weights),
           m = tensor_make(DT_F64, &three, members), k = tensor_make(DT_U8, &two, tests);
    for (int bad = 0; bad < 2; bad++) {
        op_case t;
        op_case_init(&t, "TreeEnsemble", 5);
        t.node.domain = STR("ai.onnx.ml");
        op_case_tensor(&t, "nodes_splits", &s);
        op_case_tensor(&t, "leaf_weights", &w);
        op_case_tensor(&t, "membership_values", &m);
        op_case_tensor(&t, "nodes_modes", &k);
        op_case_ints(&t, "leaf_targetids", (const int64_t[]){0, 1, 0}, 3);
        op_case_int(&t, "n_targets", 2);
        op_case_ints(&t, "nodes_featureids", (const int64_t[]){0, 0}, 2);
        op_case_ints(&t, "nodes_truenodeids", (const int64_t[]){1, 0}, 2);
        op_case_ints(&t, "nodes_trueleafs", (const int64_t[]){0, 1}, 2);
        op_case_ints(&t, "nodes_falsenodeids", (const int64_t[]){2, 1}, 2);
        op_case_ints(&t, "nodes_falseleafs", (const int64_t[]){1, 1}, 2);
        op_case_ints(&t, "tree_roots", (const int64_t[]){0}, 1);
        IN(&t, bad ? DT_F32 : DT_F64, SHAPE(5, 1), 1, 2, 7, 12, (double)NAN);
        members[2] = bad ? 3 : (double)NAN;
        if (bad) {
            REFUSED(&t, "node 'case' (TreeEnsemble, ai.onnx.ml 5): membership_values: the set of node 1 does not end "
                        "in NaN");
        } else {
            CHECK(op_case_run(&t) == ERR_OK);
            WANT(&t, 0, DT_F64, SHAPE(5, 2), 0, 1000, 0, 0, 100, 1000, 0, 5, 0, 5, 0);
        }
        op_case_fini(&t);
    }
}

/* One attribute at a time is broken. */
static void what_does_not_fit_is_refused_with_one_line(void)
{
    static const int64_t twice[] = {0, 0, 1}, nowhere[] = {9, 0, 0}, wide[] = {4, 0, 0}, minus[] = {-1, 0, 0};
    static const str odd[] = {{"BRANCH_MAYBE", 12}, {"LEAF", 4}, {"LEAF", 4}};
    static const struct { uint32_t attr; attr with; const char *text; } cases[] = {
        {0, {.name = {"nodes_treeids", 13}, .kind = ATTR_INTS, .count = 2, .ints = tree_ids},
         "nodes_nodeids: expected 2 values, got 3"},
        {1, {.name = {"nodes_nodeids", 13}, .kind = ATTR_INTS, .count = 3, .ints = twice},
         "node 0 of tree 0 is there twice"},
        {2, {.name = {"nodes_featureids", 16}, .kind = ATTR_INTS, .count = 3, .ints = wide},
         "expected at least 5 features, got 1"},
        {2, {.name = {"nodes_featureids", 16}, .kind = ATTR_INTS, .count = 3, .ints = minus},
         "nodes_featureids[0]: expected 0..2147483646, got -1"},
        {4, {.name = {"nodes_modes", 11}, .kind = ATTR_STRINGS, .count = 3, .strings = odd},
         "nodes_modes[0]: expected BRANCH_LEQ, ... or LEAF, got 'BRANCH_MAYBE'"},
        {5, {.name = {"nodes_truenodeids", 17}, .kind = ATTR_INTS, .count = 3, .ints = nowhere},
         "nodes_truenodeids[0]: tree 0 has no node 9"},
        {5, {.name = {"nodes_truenodeids", 17}, .kind = ATTR_INTS, .count = 3, .ints = features},
         "node 0 of the trees is reached twice"},
        {7, {.name = {"target_ids", 10}, .kind = ATTR_INTS, .count = 2, .ints = wide},
         "target_ids[0]: expected 0..0, got 4"},
        {8, {.name = {"target_nodeids", 14}, .kind = ATTR_INTS, .count = 2, .ints = nowhere},
         "weight 0: tree 0 has no node 9"},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        op_case t;
        char text[300];
        init(&t, "TreeEnsembleRegressor", 1, 1);
        leaves(&t, false, (const int64_t[]){0, 0}, (const float[]){1, 2}, 1);
        t.attrs[cases[i].attr] = cases[i].with;
        IN(&t, DT_F32, SHAPE(1, 1), 0);
        snprintf(text, sizeof text, "node 'case' (TreeEnsembleRegressor, ai.onnx.ml 1): %s", cases[i].text);
        op_case_refused(&t, text, (int)i);
        op_case_fini(&t);
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(two_classes_are_decided_as_everybody_does),
        TEST(three_classes_choose_among_those_voted_for),
        TEST(regressors_merge_and_shift),
        TEST(averages_are_over_trees),
        TEST(sets_are_members_of_the_newest_operator),
        TEST(what_does_not_fit_is_refused_with_one_line),
    };
    return test_main(cases, COUNTOF(cases));
}
