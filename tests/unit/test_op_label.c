/* Every pair of key and value types is looked up as the attributes say, what is missing gets the default, and lists
 * that do not fit are refused when the model is loaded. */
#include "op_harness.h"

#include <math.h>

static void init(op_case *t, const char *op, int64_t version)
{
    op_case_init(t, op, version);
    t->node.domain = STR("ai.onnx.ml");
}

static const str texts[] = {{"a", 1}, {"b", 1}, {"a", 1}};

static void classes_of_version_1_go_both_ways(void)
{
    op_case t;
    init(&t, "LabelEncoder", 1);
    op_case_texts(&t, "classes_strings", texts, 2);
    op_case_strings(&t, SHAPE(3), (const char *const[]){"b", "z", "a"});
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(3), 0, 1, -1, 0);
    op_case_fini(&t);

    init(&t, "LabelEncoder", 1);
    op_case_texts(&t, "classes_strings", texts, 2);
    op_case_str(&t, "default_string", "?");
    IN(&t, DT_I64, SHAPE(3), 1, 5, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(3), "b", "?", "a");
    op_case_fini(&t);
}

static void of_equal_keys_the_first_counts(void)
{
    op_case t;
    init(&t, "LabelEncoder", 2);
    op_case_texts(&t, "keys_strings", texts, 3);
    op_case_floats(&t, "values_floats", (const float[]){1.5f, 2, 3}, 3);
    op_case_strings(&t, SHAPE(1, 3), (const char *const[]){"b", "z", "a"});
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 3), 0, 2, -0.0, 1.5);
    op_case_fini(&t);
}

static void a_nan_is_a_key_from_version_4_on(void)
{
    for (int64_t version = 2; version <= 4; version += 2) {
        op_case t;
        init(&t, "LabelEncoder", version);
        op_case_floats(&t, "keys_floats", (const float[]){NAN, 0}, 2);
        op_case_ints(&t, "values_int64s", (const int64_t[]){5, 6}, 2);
        IN(&t, DT_F32, SHAPE(3), (double)NAN, -0.0, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_I64, SHAPE(3), 0, version == 4 ? 5 : -1, 6, -1);
        op_case_fini(&t);
    }
}

static void tensors_of_other_types_are_keys_and_values(void)
{
    double keys[] = {0.1, 0.2};
    int16_t values[] = {-7, 300}, otherwise = 42;
    shape two = SHAPE(2), one = SHAPE(1);
    tensor k = tensor_make(DT_F64, &two, keys), v = tensor_make(DT_I16, &two, values),
           d = tensor_make(DT_I16, &one, &otherwise), wrong = tensor_make(DT_I64, &one, keys);
    op_case t;
    init(&t, "LabelEncoder", 4);
    op_case_tensor(&t, "keys_tensor", &k);
    op_case_tensor(&t, "values_tensor", &v);
    op_case_tensor(&t, "default_tensor", &d);
    IN(&t, DT_F64, SHAPE(3), 0.2, 0.3, 0.1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I16, SHAPE(3), 0, 300, 42, -7);
    op_case_fini(&t);

    init(&t, "LabelEncoder", 4);
    op_case_tensor(&t, "keys_tensor", &k);
    op_case_tensor(&t, "values_tensor", &v);
    op_case_tensor(&t, "default_tensor", &wrong);
    IN(&t, DT_F64, SHAPE(1), 0.2);
    REFUSED(&t, "node 'case' (LabelEncoder, ai.onnx.ml 4): default_tensor: expected one int16, got 1 int64");
    op_case_fini(&t);
}

static void lists_that_do_not_fit_are_refused(void)
{
    op_case t;
    init(&t, "LabelEncoder", 2);
    op_case_texts(&t, "keys_strings", texts, 3);
    op_case_ints(&t, "values_int64s", (const int64_t[]){1}, 1);
    IN(&t, DT_F32, SHAPE(1), 1);
    REFUSED(&t, "node 'case' (LabelEncoder, ai.onnx.ml 2): expected as many keys as values, got 3 and 1");
    op_case_fini(&t);

    init(&t, "LabelEncoder", 2);
    op_case_texts(&t, "keys_strings", texts, 1);
    op_case_ints(&t, "keys_int64s", (const int64_t[]){1}, 1);
    IN(&t, DT_F32, SHAPE(1), 1);
    REFUSED(&t, "node 'case' (LabelEncoder, ai.onnx.ml 2): keys_int64s: expected only one list of its kind");
    op_case_fini(&t);

    init(&t, "LabelEncoder", 2);
    op_case_texts(&t, "keys_strings", texts, 1);
    IN(&t, DT_F32, SHAPE(1), 1);
    REFUSED(&t, "node 'case' (LabelEncoder, ai.onnx.ml 2): values: expected a list, got none");
    op_case_fini(&t);

    init(&t, "LabelEncoder", 2);   /* the input's type is not the keys' */
    op_case_texts(&t, "keys_strings", texts, 1);
    op_case_ints(&t, "values_int64s", (const int64_t[]){1}, 1);
    IN(&t, DT_F32, SHAPE(1), 1);
    REFUSED(&t, "node 'case' (LabelEncoder, ai.onnx.ml 2): input 0 '': expected string, got float32");
    op_case_fini(&t);
}

static void category_mapper_goes_both_ways(void)
{
    op_case t;
    init(&t, "CategoryMapper", 1);
    op_case_texts(&t, "cats_strings", texts, 2);
    op_case_ints(&t, "cats_int64s", (const int64_t[]){30, 40}, 2);
    op_case_int(&t, "default_int64", 8);
    op_case_strings(&t, SHAPE(2), (const char *const[]){"b", ""});
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(2), 0, 40, 8);
    op_case_fini(&t);

    init(&t, "CategoryMapper", 1);
    op_case_texts(&t, "cats_strings", texts, 2);
    op_case_ints(&t, "cats_int64s", (const int64_t[]){30, 40}, 2);
    IN(&t, DT_I64, SHAPE(2), 41, 30);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(2), "_Unused", "a");
    op_case_fini(&t);
}

static void one_hot_encoder_sets_the_column_of_the_category(void)
{
    op_case t;
    init(&t, "OneHotEncoder", 1);
    op_case_ints(&t, "cats_int64s", (const int64_t[]){4, 7}, 2);
    IN(&t, DT_F32, SHAPE(1, 4), 7.9, 4, 5, (double)NAN);   /* cut to integers */
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 4, 2), 0, 0, 1, 1, 0, 0, 0, 0, 0);
    op_case_fini(&t);

    init(&t, "OneHotEncoder", 1);
    op_case_texts(&t, "cats_strings", texts, 2);
    op_case_int(&t, "zeros", 0);
    op_case_strings(&t, SHAPE(2), (const char *const[]){"b", "c"});
    REFUSED(&t, "node 'case' (OneHotEncoder, ai.onnx.ml 1): element 1: its category is not among the 2 that are known");
    op_case_fini(&t);
}

static void many_keys_are_all_found(void)
{
    enum { N = 3000 };
    int64_t keys[N];
    double wanted[N];
    uint64_t seed = 5;
    for (int i = 0; i < N; i++) {
        keys[i] = (int64_t)(test_rand(&seed) >> 16);
        wanted[i] = (double)keys[i];
    }
    op_case t;
    init(&t, "LabelEncoder", 2);
    op_case_ints(&t, "keys_int64s", keys, N);
    op_case_ints(&t, "values_int64s", keys, N);
    op_case_in(&t, DT_I64, SHAPE(N), wanted, N);
    CHECK(op_case_run(&t) == ERR_OK);
    op_case_check(&t, 0, DT_I64, SHAPE(N), 0, wanted, N, __LINE__);
    op_case_fini(&t);
}

static void complex_values_need_a_default(void)
{
    static const int64_t keys[] = {1};
    static const double number[] = {1};
    const shape scalar = SCALAR;
    tensor one = tensor_make(DT_C64, &scalar, (void *)(uintptr_t)number);
    op_case t;
    op_case_init(&t, "LabelEncoder", 4);
    t.node.domain = STR("ai.onnx.ml");
    op_case_ints(&t, "keys_int64s", keys, 1);
    op_case_tensor(&t, "values_tensor", &one);
    IN(&t, DT_I64, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_UNSUPPORTED);
    CHECK(strstr(t.e.text, "values: complex64 is not supported") != NULL);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(classes_of_version_1_go_both_ways),
        TEST(of_equal_keys_the_first_counts),
        TEST(a_nan_is_a_key_from_version_4_on),
        TEST(tensors_of_other_types_are_keys_and_values),
        TEST(lists_that_do_not_fit_are_refused),
        TEST(category_mapper_goes_both_ways),
        TEST(one_hot_encoder_sets_the_column_of_the_category),
        TEST(many_keys_are_all_found),
        TEST(complex_values_need_a_default),
    };
    return test_main(cases, COUNTOF(cases));
}
