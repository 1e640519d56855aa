/* LinearClassifier, LinearRegressor and the scores' transforms give values worked out by hand; lists that do not fit
 * are refused. */
#include "engine/scores.h"
#include "op_harness.h"

#include <math.h>

static void init(op_case *t, const char *op, uint32_t outputs)
{
    op_case_init(t, op, 1);
    t->node.domain = STR("ai.onnx.ml");
    op_case_outputs(t, outputs);
}

static const float weights[] = {1, 2, -1, 0.5f}, shifts[] = {0.5f, -0.5f};
static const int64_t labels[] = {7, 9};
static const str texts[] = {{"no", 2}, {"yes", 3}};

static void one_score_makes_two_classes(void)
{
    op_case t;
    init(&t, "LinearClassifier", 2);
    op_case_floats(&t, "coefficients", weights, 2);
    op_case_floats(&t, "intercepts", shifts, 1);
    op_case_texts(&t, "classlabels_strings", texts, 2);
    IN(&t, DT_F32, SHAPE(2, 2), 1, 1, -1, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(2), "yes", "no");
    WANT(&t, 1, DT_F32, SHAPE(2, 2), 1e-6, -2.5, 3.5, 1.5, -0.5);
    op_case_fini(&t);
}

static void the_largest_of_several_scores_wins(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_I64, DT_I32};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        op_case t;
        init(&t, "LinearClassifier", 2);
        op_case_floats(&t, "coefficients", weights, 4);
        op_case_floats(&t, "intercepts", shifts, 2);
        op_case_ints(&t, "classlabels_ints", labels, 2);
        op_case_str(&t, "post_transform", "LOGISTIC");
        IN(&t, types[i], SHAPE(2, 2), 1, 1, -2, 0);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_I64, SHAPE(2), 0, 7, 9);
        WANT(&t, 1, DT_F32, SHAPE(2, 2), 1e-6, 1 / (1 + exp(-3.5)), 1 / (1 + exp(1.0)), 1 / (1 + exp(1.5)),
             1 / (1 + exp(-1.5)));
        op_case_fini(&t);
    }
}

static void regressor_adds_what_intercepts_there_are(void)
{
    for (int with = 0; with < 2; with++) {
        op_case t;
        init(&t, "LinearRegressor", 1);
        op_case_floats(&t, "coefficients", weights, 4);
        if (with) op_case_floats(&t, "intercepts", shifts, 2);
        op_case_int(&t, "targets", 2);
        IN(&t, DT_F32, SHAPE(2), 1, 1);   /* a vector is one row */
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_F32, SHAPE(1, 2), 1e-6, 3 + 0.5 * with, -0.5 - 0.5 * with);
        op_case_fini(&t);
    }
}

static void no_rows_give_no_rows(void)
{
    op_case t;
    init(&t, "LinearClassifier", 2);
    op_case_floats(&t, "coefficients", weights, 2);
    op_case_texts(&t, "classlabels_strings", texts, 2);
    IN(&t, DT_F32, SHAPE(0, 2), 1);
    CHECK(op_case_run(&t) == ERR_OK);
    CHECK_U64(tensor_count(&t.out[0]), 0);
    CHECK_U64(tensor_count(&t.out[1]), 0);
    op_case_fini(&t);
}

static void lists_that_do_not_fit_are_refused(void)
{
    op_case t;
    init(&t, "LinearRegressor", 1);
    op_case_floats(&t, "coefficients", weights, 3);
    op_case_int(&t, "targets", 2);
    IN(&t, DT_F32, SHAPE(1, 2), 1);
    REFUSED(&t, "node 'case' (LinearRegressor, ai.onnx.ml 1): coefficients: expected 2 for each of 2 features, got 3");
    op_case_fini(&t);

    init(&t, "LinearRegressor", 1);
    op_case_floats(&t, "coefficients", weights, 2);
    op_case_floats(&t, "intercepts", shifts, 2);
    IN(&t, DT_F32, SHAPE(1, 2), 1);
    REFUSED(&t, "node 'case' (LinearRegressor, ai.onnx.ml 1): intercepts: expected 1 values, got 2");
    op_case_fini(&t);

    init(&t, "LinearClassifier", 2);
    op_case_floats(&t, "coefficients", weights, 4);
    op_case_ints(&t, "classlabels_ints", labels, 1);
    IN(&t, DT_F32, SHAPE(1, 2), 1);
    REFUSED(&t, "node 'case' (LinearClassifier, ai.onnx.ml 1): class labels: expected 2, got 1");
    op_case_fini(&t);

    init(&t, "LinearRegressor", 1);
    op_case_floats(&t, "coefficients", weights, 2);
    op_case_str(&t, "post_transform", "HALF");
    IN(&t, DT_F32, SHAPE(1, 2), 1);
    REFUSED(&t, "node 'case' (LinearRegressor, ai.onnx.ml 1): post_transform: expected NONE, SOFTMAX, LOGISTIC, "
                "SOFTMAX_ZERO or PROBIT, got 'HALF'");
    op_case_fini(&t);
}

static void check_row(scores how, size_t n, const double *in, const double *want)
{
    double row[3];
    memcpy(row, in, n * sizeof *in);
    scores_apply(how, row, n);
    for (size_t i = 0; i < n; i++) CHECK(fabs(row[i] - want[i]) < 1e-6);
}

static void transforms_do_what_their_names_say(void)
{
    double e = exp(1.0), sum = e + 1 + 1 / e;
    check_row(SCORES_SOFTMAX, 3, (const double[]){1, 0, -1}, (const double[]){e / sum, 1 / sum, 1 / e / sum});
    check_row(SCORES_SOFTMAX_ZERO, 3, (const double[]){1, 0, -1},
              (const double[]){1 / (1 + 1 / e / e), 0, 1 / (1 + e * e)});
    check_row(SCORES_SOFTMAX, 2, (const double[]){1000, 1000}, (const double[]){0.5, 0.5});   /* no overflow */
    check_row(SCORES_LOGISTIC, 2, (const double[]){-1000, 1000}, (const double[]){0, 1});
    check_row(SCORES_PROBIT, 1, (const double[]){0.5}, (const double[]){0});
    double quantile = 0.975;
    scores_apply(SCORES_PROBIT, &quantile, 1);
    CHECK(fabs(quantile - 1.959964) < 5e-3);   /* an approximation, the same as everybody's */
    check_row(SCORES_LOGISTIC, 1, (const double[]){3}, (const double[]){3});
    CHECK_U64(scores_best((const double[]){(double)NAN, 1, 3, 3}, 4), 2);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(one_score_makes_two_classes),
        TEST(the_largest_of_several_scores_wins),
        TEST(regressor_adds_what_intercepts_there_are),
        TEST(no_rows_give_no_rows),
        TEST(lists_that_do_not_fit_are_refused),
        TEST(transforms_do_what_their_names_say),
    };
    return test_main(cases, COUNTOF(cases));
}
