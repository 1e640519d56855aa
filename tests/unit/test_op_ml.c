/* Operators that prepare features give values worked out by hand, and refuse what does not fit with one line. */
#include "op_harness.h"

#include <math.h>

static void init(op_case *t, const char *op)
{
    op_case_init(t, op, 1);
    t->node.domain = STR("ai.onnx.ml");
}

static void array_feature_extractor_picks_columns(void)
{
    op_case t;
    init(&t, "ArrayFeatureExtractor");
    IN(&t, DT_F32, SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    IN(&t, DT_I64, SHAPE(1, 2), 2, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 2), 0, 3, 1, 6, 4);
    op_case_fini(&t);

    init(&t, "ArrayFeatureExtractor");   /* a vector is one row */
    op_case_strings(&t, SHAPE(3), (const char *const[]){"a", "b", "c"});
    IN(&t, DT_I64, SHAPE(2), 1, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(1, 2), "b", "b");
    op_case_fini(&t);
}

static void indices_outside_the_axis_are_refused(void)
{
    static const double bad[] = {3, -1, 9e18};
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        op_case t;
        init(&t, "ArrayFeatureExtractor");
        IN(&t, DT_F32, SHAPE(1, 3), 1, 2, 3);
        IN(&t, DT_I64, SHAPE(1), bad[i]);
        CHECK(op_case_run(&t) == ERR_INVALID);
        op_case_fini(&t);
    }
    op_case t;
    init(&t, "ArrayFeatureExtractor");
    IN(&t, DT_F32, SHAPE(1, 3), 1, 2, 3);
    IN(&t, DT_I64, SHAPE(1), 3);
    REFUSED(&t, "node 'case' (ArrayFeatureExtractor, ai.onnx.ml 1): indices[0]: expected 0..2, got 3");
    op_case_fini(&t);
}

static void binarizer_is_one_above_the_threshold(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_I64, DT_I32};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        op_case t;
        init(&t, "Binarizer");
        op_case_float(&t, "threshold", 1);
        t.inplace = i % 2;
        IN(&t, types[i], SHAPE(4), -1, 1, 2, 0);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[i], SHAPE(4), 0, 0, 0, 1, 0);
        op_case_fini(&t);
    }
}

static void normalizer_divides_each_row_by_its_norm(void)
{
    static const struct { const char *norm; double want[6]; } cases[] = {
        {"MAX", {-4.0 / 3, 1, 0, 0, 0, 0}}, {"L1", {-4.0 / 7, 3.0 / 7, 0, 0, 0, 0}}, {"L2", {-0.8, 0.6, 0, 0, 0, 0}}};
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        for (int whole = 0; whole < 2; whole++) {
            op_case t;
            init(&t, "Normalizer");
            op_case_str(&t, "norm", cases[i].norm);
            IN(&t, whole ? DT_I64 : DT_F32, SHAPE(2, 3), -4, 3, 0, 0, 0, 0);   /* a row of zeros stays */
            CHECK(op_case_run(&t) == ERR_OK);
            op_case_check(&t, 0, DT_F32, SHAPE(2, 3), 1e-6, cases[i].want, 6, __LINE__);
            op_case_fini(&t);
        }
    }
    op_case t;
    init(&t, "Normalizer");
    op_case_str(&t, "norm", "L3");
    IN(&t, DT_F32, SHAPE(1, 1), 1);
    REFUSED(&t, "node 'case' (Normalizer, ai.onnx.ml 1): norm: expected MAX, L1 or L2, got 'L3'");
    op_case_fini(&t);
}

static void scaler_shifts_then_scales(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_I64, DT_I32};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        op_case t;
        init(&t, "Scaler");
        op_case_floats(&t, "offset", (const float[]){1, 2}, 2);
        op_case_floats(&t, "scale", (const float[]){0.5f}, 1);
        IN(&t, types[i], SHAPE(2, 2), 3, 4, 5, 6);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_F32, SHAPE(2, 2), 0, 1, 1, 2, 2);
        op_case_fini(&t);
    }
    op_case t;
    init(&t, "Scaler");
    op_case_floats(&t, "scale", (const float[]){1, 2, 3}, 3);
    IN(&t, DT_F32, SHAPE(1, 2), 1, 2);
    REFUSED(&t, "node 'case' (Scaler, ai.onnx.ml 1): scale: expected 1 or 2 values, got 3");
    op_case_fini(&t);
}

static void imputer_fills_holes_by_column(void)
{
    op_case t;
    init(&t, "Imputer");
    op_case_floats(&t, "imputed_value_floats", (const float[]){7, 8}, 2);
    op_case_float(&t, "replaced_value_float", NAN);
    IN(&t, DT_F32, SHAPE(2, 2), (double)NAN, 1, 2, (double)NAN);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 2), 0, 7, 1, 2, 8);
    op_case_fini(&t);

    init(&t, "Imputer");
    op_case_ints(&t, "imputed_value_int64s", (const int64_t[]){9}, 1);
    op_case_int(&t, "replaced_value_int64", -1);
    IN(&t, DT_I64, SHAPE(1, 3), -1, 0, -1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(1, 3), 0, 9, 0, 9);
    op_case_fini(&t);

    init(&t, "Imputer");
    op_case_floats(&t, "imputed_value_floats", (const float[]){7}, 1);
    IN(&t, DT_I64, SHAPE(1, 3), 1, 2, 3);
    REFUSED(&t, "node 'case' (Imputer, ai.onnx.ml 1): values for int64: expected 1 or 3, got 0");
    op_case_fini(&t);
}

static void feature_vectorizer_cuts_and_fills(void)
{
    op_case t;
    init(&t, "FeatureVectorizer");
    op_case_ints(&t, "inputdimensions", (const int64_t[]){1, 3}, 2);
    IN(&t, DT_F32, SHAPE(2, 2), 1, 2, 3, 4);
    IN(&t, DT_I64, SHAPE(2, 2), 5, 6, 7, 8);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 4), 0, 1, 5, 6, 0, 3, 7, 8, 0);
    op_case_fini(&t);

    init(&t, "FeatureVectorizer");
    op_case_ints(&t, "inputdimensions", (const int64_t[]){2, 2}, 2);
    IN(&t, DT_F32, SHAPE(2, 2), 1);
    IN(&t, DT_F32, SHAPE(3, 2), 1);
    REFUSED(&t, "node 'case' (FeatureVectorizer, ai.onnx.ml 1): input 1: expected 2 rows, got 3");
    op_case_fini(&t);

    init(&t, "FeatureVectorizer");
    op_case_ints(&t, "inputdimensions", (const int64_t[]){2}, 1);
    IN(&t, DT_F32, SHAPE(2, 2), 1);
    IN(&t, DT_F32, SHAPE(2, 2), 1);
    REFUSED(&t, "node 'case' (FeatureVectorizer, ai.onnx.ml 1): inputdimensions: expected 2 values, got 1");
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(array_feature_extractor_picks_columns),
        TEST(indices_outside_the_axis_are_refused),
        TEST(binarizer_is_one_above_the_threshold),
        TEST(normalizer_divides_each_row_by_its_norm),
        TEST(scaler_shifts_then_scales),
        TEST(imputer_fills_holes_by_column),
        TEST(feature_vectorizer_cuts_and_fills),
    };
    return test_main(cases, COUNTOF(cases));
}
