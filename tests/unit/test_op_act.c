/* Activations with parameters: hand-checked values in every float type, absent attributes take ONNX's values, and both
 * ways of giving Clip its bounds. */
#include "op_harness.h"

#include <math.h>

typedef struct {
    const char *op;
    int64_t opset;
    const char *attr;      /* one float attribute, or NULL */
    float v;
    double want[5];
} row;

static const double input[5] = {-2, -0.5, 0, 0.5, 2};

static const row rows[] = {
    {"LeakyRelu", 16, NULL, 0, {-0.02, -0.005, 0, 0.5, 2}},
    {"LeakyRelu", 6, "alpha", 0.25f, {-0.5, -0.125, 0, 0.5, 2}},
    {"Elu", 6, NULL, 0, {-0.8646647168, -0.3934693403, 0, 0.5, 2}},
    {"Elu", 22, "alpha", 2, {-1.7293294335, -0.7869386806, 0, 0.5, 2}},
    {"Celu", 12, "alpha", 2, {-1.2642411177, -0.4423984339, 0, 0.5, 2}},
    {"Selu", 6, NULL, 0, {-1.5201664686, -0.6917581878, 0, 0.5253505, 2.1014020}},
    {"Selu", 6, "gamma", 1, {-1.4468117, -0.6583778, 0, 0.5, 2}},
    {"ThresholdedRelu", 10, NULL, 0, {0, 0, 0, 0, 2}},
    {"ThresholdedRelu", 22, "alpha", 0.25f, {0, 0, 0, 0.5, 2}},
    {"HardSigmoid", 6, NULL, 0, {0.1, 0.4, 0.5, 0.6, 0.9}},
    {"HardSigmoid", 6, "alpha", 0.5f, {0, 0.25, 0.5, 0.75, 1}},
    {"HardSwish", 14, NULL, 0, {-1.0 / 3, -0.2083333333, 0, 0.2916666667, 5.0 / 3}},
    {"Mish", 18, NULL, 0, {-0.2525014826, -0.2207437093, 0, 0.3752450654, 1.9439589595}},
    {"Gelu", 20, NULL, 0, {-0.0455002639, -0.1542687694, 0, 0.3457312306, 1.9544997361}},
    {"Swish", 24, NULL, 0, {-0.2384058440, -0.1887703344, 0, 0.3112296656, 1.7615941560}},
    {"Swish", 24, "alpha", 2, {-0.0359724199, -0.1344707107, 0, 0.3655292893, 1.9640275801}},
    {"Shrink", 9, NULL, 0, {-2, 0, 0, 0, 2}},
    {"Shrink", 9, "bias", 0.5f, {-1.5, 0, 0, 0, 1.5}},
};

static void each_activation_has_its_values(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_BF16};
    static const double within[] = {1e-6, 1e-6, 2e-3, 1.6e-2};
    for (size_t r = 0; r < COUNTOF(rows); r++) {
        for (size_t k = 0; k < COUNTOF(types); k++) {
            op_case t;
            op_case_init(&t, rows[r].op, rows[r].opset);
            if (rows[r].attr)
                op_case_float(&t, rows[r].attr, rows[r].v);
            op_case_in(&t, types[k], SHAPE(5), input, 5);
            CHECK(op_case_run(&t) == ERR_OK);
            op_case_check(&t, 0, types[k], SHAPE(5), within[k], rows[r].want, 5, __LINE__);
            op_case_fini(&t);
        }
    }
}

static void gelu_has_two_forms_and_no_third(void)
{
    op_case t;
    op_case_init(&t, "Gelu", 20);
    op_case_str(&t, "approximate", "tanh");
    op_case_in(&t, DT_F32, SHAPE(5), input, 5);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(5), 1e-6, -0.0454023059, -0.1542859831, 0, 0.3457140169, 1.9545976941);
    op_case_fini(&t);
    op_case_init(&t, "Gelu", 20);
    op_case_str(&t, "approximate", "guess");
    op_case_in(&t, DT_F32, SHAPE(5), input, 5);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void far_out_the_limits_hold(void)
{
    static const struct { const char *op; double low, high; } ends[] = {
        {"Mish", 0, (double)INFINITY}, {"Gelu", 0, (double)INFINITY}, {"Swish", 0, (double)INFINITY},
        {"HardSwish", 0, (double)INFINITY}};
    for (size_t k = 0; k < COUNTOF(ends); k++) {
        op_case t;
        op_case_init(&t, ends[k].op, 24);
        IN(&t, DT_F32, SHAPE(5), -(double)INFINITY, -200, 200, (double)INFINITY, (double)NAN);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_F32, SHAPE(5), 1e-6, ends[k].low, 0, 200, ends[k].high, (double)NAN);
        op_case_fini(&t);
    }
}

static void prelu_sees_its_slope_with_the_shape_of_its_input(void)
{
    op_case t;
    op_case_init(&t, "PRelu", 16);
    IN(&t, DT_F32, SHAPE(2, 2), -1, 2, -3, -4);
    IN(&t, DT_F32, SHAPE(2, 1), 0.5, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 2), 0, -0.5, 2, -6, -8);
    op_case_fini(&t);
    op_case_init(&t, "PRelu", 16);
    IN(&t, DT_F32, SHAPE(1, 2), 1);
    IN(&t, DT_F32, SHAPE(2, 2), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
    op_case_init(&t, "PRelu", 9);
    IN(&t, DT_I32, SHAPE(3), -1, 2, -3);
    IN(&t, DT_I32, SHAPE(1), 4);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I32, SHAPE(3), 0, -4, 2, -12);
    op_case_fini(&t);
}

static void clip_takes_attributes_then_inputs(void)
{
    op_case t;
    op_case_init(&t, "Clip", 6);
    op_case_float(&t, "max", 1);
    op_case_in(&t, DT_F32, SHAPE(5), input, 5);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(5), 0, -2, -0.5, 0, 0.5, 1);
    op_case_fini(&t);
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_I8, DT_I64};
    for (size_t k = 0; k < COUNTOF(types); k++) {
        op_case_init(&t, "Clip", 13);
        IN(&t, types[k], SHAPE(4), -100, -1, 1, 100);
        op_case_none(&t);
        IN(&t, types[k], SCALAR, 50);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[k], SHAPE(4), 0, -100, -1, 1, 50);
        op_case_fini(&t);
        op_case_init(&t, "Clip", 13);
        IN(&t, types[k], SHAPE(4), -100, -1, 1, 100);
        IN(&t, types[k], SCALAR, 10);
        IN(&t, types[k], SCALAR, 5);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[k], SHAPE(4), 0, 5, 5, 5, 5);      /* the upper bound wins */
        op_case_fini(&t);
    }
    op_case_init(&t, "Clip", 13);
    IN(&t, DT_U64, SHAPE(2), 0x1p63, 1);
    IN(&t, DT_U64, SCALAR, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_U64, SHAPE(2), 0, 0x1p63, 2);
    op_case_fini(&t);
    op_case_init(&t, "Clip", 13);
    IN(&t, DT_F32, SHAPE(2), 1);
    IN(&t, DT_F32, SHAPE(2), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void shrunk_integers_are_held_in_range(void)
{
    static const dtype types[] = {DT_I64, DT_U64, DT_I8, DT_U32};
    static const float bias[] = {1e30f, -1e30f, INFINITY, NAN};
    for (size_t i = 0; i < COUNTOF(types) * COUNTOF(bias); i++) {
        op_case t;
        op_case_init(&t, "Shrink", 9);
        op_case_float(&t, "bias", bias[i % COUNTOF(bias)]);
        op_case_float(&t, "lambd", 1);
        IN(&t, types[i / COUNTOF(bias)], SHAPE(3), 0, 1, 2);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_fini(&t);
    }
    op_case t;
    op_case_init(&t, "Shrink", 9);
    op_case_float(&t, "bias", 1e30f);
    op_case_float(&t, "lambd", 1);
    IN(&t, DT_I64, SHAPE(3), -2, 0, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(3), 0, 0x1p63, 0, -0x1p63);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(each_activation_has_its_values), TEST(gelu_has_two_forms_and_no_third), TEST(far_out_the_limits_hold),
        TEST(prelu_sees_its_slope_with_the_shape_of_its_input), TEST(clip_takes_attributes_then_inputs),
        TEST(shrunk_integers_are_held_in_range),
    };
    return test_main(cases, COUNTOF(cases));
}
