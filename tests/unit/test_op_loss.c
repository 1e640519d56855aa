/* The losses of ONNX's own examples, with weights, ignored labels and every reduction; wrong labels are refused. */
#include "op_harness.h"

#include <math.h>

static const double scores[12] = {1, 2, 2, 2, 3, 2, 0, 1, 2, 2, 1, 2}, labels[4] = {2, 1, 0, 2};

static void open_case(op_case *t, const char *op, const char *how, dtype type)
{
    op_case_init(t, op, 13);
    op_case_str(t, "reduction", how);
    op_case_in(t, type, SHAPE(2, 3, 2), scores, 12);
    op_case_in(t, DT_I64, SHAPE(2, 2), labels, 4);
}

static void the_examples_of_onnx(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_F16};
    for (size_t k = 0; k < COUNTOF(types); k++) {
        op_case t;
        open_case(&t, "NegativeLogLikelihoodLoss", "none", types[k]);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[k], SHAPE(2, 2), 0, -3, -2, 0, -2);
        op_case_fini(&t);
        open_case(&t, "NegativeLogLikelihoodLoss", "sum", types[k]);
        IN(&t, types[k], SHAPE(3), 0.2, 0.3, 0.1);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[k], SCALAR, 1e-3, -1.1);
        op_case_fini(&t);
        open_case(&t, "NegativeLogLikelihoodLoss", "mean", types[k]);
        IN(&t, types[k], SHAPE(3), 0.2, 0.3, 0.1);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[k], SCALAR, 1e-3, -1.1 / 0.7);
        op_case_fini(&t);
    }
}

static void an_ignored_label_counts_for_nothing(void)
{
    static const struct { const char *how; int64_t ignored; double want; } rows[] = {
        {"mean", 2, -2.0 / 2}, {"sum", 2, -2}, {"mean", 9, -7.0 / 4}};
    for (size_t k = 0; k < COUNTOF(rows); k++) {
        op_case t;
        open_case(&t, "NegativeLogLikelihoodLoss", rows[k].how, DT_F32);
        op_case_int(&t, "ignore_index", rows[k].ignored);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_F32, SCALAR, 1e-6, &rows[k].want, 1, __LINE__);
        op_case_fini(&t);
    }
}

static void softmax_comes_first(void)
{
    op_case t;
    op_case_init(&t, "SoftmaxCrossEntropyLoss", 13);
    op_case_outputs(&t, 2);
    IN(&t, DT_F32, SHAPE(2, 2), 1000, 1000 + log(3), 0, 0);
    IN(&t, DT_I32, SHAPE(2), 0, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SCALAR, 1e-4, (log(4) + log(2)) / 2);
    WANT(&t, 1, DT_F32, SHAPE(2, 2), 1e-4, -log(4), log(0.75), -log(2), -log(2));
    op_case_fini(&t);
}

static void wrong_labels_and_shapes_are_refused(void)
{
    op_case t;
    op_case_init(&t, "NegativeLogLikelihoodLoss", 13);
    IN(&t, DT_F32, SHAPE(1, 2), 1, 2);
    IN(&t, DT_I64, SHAPE(1), 2);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "label 0: expected a class under 2, got 2") != NULL);
    op_case_fini(&t);
    op_case_init(&t, "SoftmaxCrossEntropyLoss", 13);
    IN(&t, DT_F32, SHAPE(1, 2, 3), 1);
    IN(&t, DT_I64, SHAPE(1, 2), 0);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
    open_case(&t, "NegativeLogLikelihoodLoss", "median", DT_F32);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {TEST(the_examples_of_onnx), TEST(an_ignored_label_counts_for_nothing),
                                      TEST(softmax_comes_first), TEST(wrong_labels_and_shapes_are_refused)};
    return test_main(cases, COUNTOF(cases));
}
