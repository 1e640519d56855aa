/* Support vector machines: every kernel against a sum worked out by hand, votes and their probabilities, and lists that
 * do not fit refused. */
#include "op_harness.h"

#include <math.h>

static void init(op_case *t, const char *op, uint32_t outputs)
{
    op_case_init(t, op, 1);
    t->node.domain = STR("ai.onnx.ml");
    op_case_outputs(t, outputs);
}

static const float vectors[] = {1, 0, 0, 2, -1, -1}, rho[] = {0.25f, -0.5f, 0.125f};

static void each_kernel_is_its_formula(void)
{
    static const char *const names[] = {"LINEAR", "POLY", "RBF", "SIGMOID"};
    const double x[2] = {0.5, -1};
    for (size_t i = 0; i < COUNTOF(names); i++) {
        double sum = 0.25;
        for (int v = 0; v < 3; v++) {
            double a = (double)vectors[2 * v], b = (double)vectors[2 * v + 1], dot = a * x[0] + b * x[1];
            double far = (a - x[0]) * (a - x[0]) + (b - x[1]) * (b - x[1]), weight = v + 1.0;
            double by = i == 0 ? dot : i == 1 ? pow(0.5 * dot + 1, 3) : i == 2 ? exp(-0.5 * far) : tanh(0.5 * dot + 1);
            sum += weight * by;
        }
        op_case t;
        init(&t, "SVMRegressor", 1);
        op_case_str(&t, "kernel_type", names[i]);
        op_case_floats(&t, "kernel_params", (const float[]){0.5f, 1, 3}, 3);
        op_case_floats(&t, "coefficients", (const float[]){1, 2, 3}, 3);
        op_case_floats(&t, "support_vectors", vectors, 6);
        op_case_floats(&t, "rho", rho, 1);
        op_case_int(&t, "n_supports", 3);
        op_case_in(&t, DT_F32, SHAPE(1, 2), x, 2);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_F32, SHAPE(1, 1), 1e-5, sum);
        op_case_fini(&t);
    }
}

static void one_class_answers_with_its_sign(void)
{
    op_case t;
    init(&t, "SVMRegressor", 1);
    op_case_floats(&t, "coefficients", (const float[]){1, 1}, 2);   /* no vectors: linear */
    op_case_floats(&t, "rho", (const float[]){-1}, 1);
    op_case_int(&t, "one_class", 1);
    IN(&t, DT_F32, SHAPE(3, 2), 1, 1, 1, 0, -1, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(3, 1), 0, 1, -1, -1);
    op_case_fini(&t);
}

static void votes_init(op_case *t, uint32_t classes)
{
    static const int64_t labels[] = {5, 6, 7}, one_each[] = {1, 1, 1};
    static const float coefficients[] = {1, 2, 3, -1, 4, -2};
    init(t, "SVMClassifier", 2);
    op_case_floats(t, "coefficients", coefficients, classes == 2 ? 2 : 6);
    op_case_floats(t, "support_vectors", vectors, 2 * classes);
    op_case_floats(t, "rho", rho, 3);
    op_case_ints(t, "vectors_per_class", one_each, classes);
    op_case_ints(t, "classlabels_ints", labels, classes);
}

static void pairs_of_classes_vote(void)
{
    /* Linear kernels of (1, 1) are 1, 2, -2.  Rows of coefficients are (1, 2, 3) and (-1, 4, -2):
     * 0 or 1: 1 * 1 + 2 * 2 + 0.25;  0 or 2: -1 * 1 + 3 * -2 - 0.5;  1 or 2: 4 * 2 + -2 * -2 + 0.125 */
    op_case t;
    votes_init(&t, 3);
    IN(&t, DT_F32, SHAPE(1, 2), 1, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(1), 0, 5);   /* one vote each: the first */
    WANT(&t, 1, DT_F32, SHAPE(1, 3), 1e-6, 5.25, -7.5, 12.125);
    op_case_fini(&t);
}

static void two_classes_have_two_scores(void)
{
    op_case t;
    votes_init(&t, 2);
    IN(&t, DT_F32, SHAPE(2, 2), 1, 1, -1, -1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(2), 0, 5, 6);
    WANT(&t, 1, DT_F32, SHAPE(2, 2), 1e-6, -5.25, 5.25, 4.75, -4.75);
    op_case_fini(&t);
}

static void probabilities_sum_to_one_and_follow_the_decisions(void)
{
    op_case t;
    votes_init(&t, 3);
    op_case_floats(&t, "prob_a", (const float[]){-1, -1, -1}, 3);
    op_case_floats(&t, "prob_b", (const float[]){0, 0, 0}, 3);
    IN(&t, DT_F32, SHAPE(1, 2), -1, 1);   /* decisions 3.25, 0.5, 8.125 */
    CHECK(op_case_run(&t) == ERR_OK);
    const float *p = t.out[1].data;
    CHECK(fabsf(p[0] + p[1] + p[2] - 1) < 1e-5f);
    CHECK(p[0] > p[1] && p[0] > p[2] && p[1] > 0 && p[2] > 0);
    op_case_fini(&t);
}

static void a_pair_with_probabilities_is_the_sigmoid(void)
{
    op_case t;
    votes_init(&t, 2);
    op_case_floats(&t, "prob_a", (const float[]){-1}, 1);
    op_case_floats(&t, "prob_b", (const float[]){0.5f}, 1);
    IN(&t, DT_F32, SHAPE(1, 2), 0, 0);   /* decision 0.25 */
    CHECK(op_case_run(&t) == ERR_OK);
    double p = 1 - 1 / (1 + exp(0.25 - 0.5));
    WANT(&t, 1, DT_F32, SHAPE(1, 2), 5e-3, p, 1 - p);   /* the iteration stops 0.0025 from it */
    op_case_fini(&t);
}

static void lists_that_do_not_fit_are_refused(void)
{
    op_case t;
    votes_init(&t, 3);
    t.attrs[1].count = 4;
    IN(&t, DT_F32, SHAPE(1, 2), 1);
    REFUSED(&t, "node 'case' (SVMClassifier, ai.onnx.ml 1): support_vectors: expected 3 of 2 features, got 4 values");
    op_case_fini(&t);
    votes_init(&t, 3);
    t.attrs[2].count = 2;
    IN(&t, DT_F32, SHAPE(1, 2), 1);
    REFUSED(&t, "node 'case' (SVMClassifier, ai.onnx.ml 1): rho: expected 3 values, got 2");
    op_case_fini(&t);
    votes_init(&t, 3);
    t.attrs[0].count = 5;
    IN(&t, DT_F32, SHAPE(1, 2), 1);
    REFUSED(&t, "node 'case' (SVMClassifier, ai.onnx.ml 1): coefficients: expected 2 of 3 vectors, got 5 values");
    op_case_fini(&t);
    votes_init(&t, 3);
    t.attrs[3].count = 2;
    IN(&t, DT_F32, SHAPE(1, 2), 1);
    REFUSED(&t, "node 'case' (SVMClassifier, ai.onnx.ml 1): vectors_per_class: expected 3 values, got 2");
    op_case_fini(&t);
    votes_init(&t, 3);
    op_case_str(&t, "kernel_type", "CUBE");
    IN(&t, DT_F32, SHAPE(1, 2), 1);
    REFUSED(&t, "node 'case' (SVMClassifier, ai.onnx.ml 1): kernel_type: expected LINEAR, POLY, RBF or SIGMOID, "
                "got 'CUBE'");
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(each_kernel_is_its_formula),
        TEST(one_class_answers_with_its_sign),
        TEST(pairs_of_classes_vote),
        TEST(two_classes_have_two_scores),
        TEST(probabilities_sum_to_one_and_follow_the_decisions),
        TEST(a_pair_with_probabilities_is_the_sigmoid),
        TEST(lists_that_do_not_fit_are_refused),
    };
    return test_main(cases, COUNTOF(cases));
}
