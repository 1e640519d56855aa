/* Operators that pick or place by index: values worked out by hand, negative indices, and every index
 * outside refused. */
#include "op_harness.h"

#include <math.h>

static void gather_takes_whole_slices(void)
{
    op_case t;
    op_case_init(&t, "Gather", 13);
    op_case_int(&t, "axis", 1);
    IN(&t, DT_F32, SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    IN(&t, DT_I32, SHAPE(2, 1), -1, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 2, 1), 0, 3, 1, 6, 4);
    op_case_fini(&t);
}

static void indices_outside_are_refused(void)
{
    static const double outside[] = {3, -4};
    static const char *const texts[] = {"node 'case' (Gather, ai.onnx 13): indices[0]: expected -3..2, got 3",
                                        "node 'case' (Gather, ai.onnx 13): indices[0]: expected -3..2, got -4"};
    for (size_t i = 0; i < COUNTOF(outside); i++) {
        op_case t;
        op_case_init(&t, "Gather", 13);
        IN(&t, DT_F32, SHAPE(3), 1, 2, 3);
        IN(&t, DT_I64, SHAPE(1), outside[i]);
        REFUSED(&t, texts[i]);
        op_case_fini(&t);
    }
}

static void gather_elements_and_nd(void)
{
    op_case t;
    op_case_init(&t, "GatherElements", 13);
    op_case_int(&t, "axis", 1);
    IN(&t, DT_I8, SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    IN(&t, DT_I64, SHAPE(2, 2), 0, -1, 1, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I8, SHAPE(2, 2), 0, 1, 3, 5, 5);
    op_case_fini(&t);
    op_case_init(&t, "GatherND", 13);
    op_case_int(&t, "batch_dims", 1);
    IN(&t, DT_F64, SHAPE(2, 2, 2), 0, 1, 2, 3, 4, 5, 6, 7);
    IN(&t, DT_I64, SHAPE(2, 1), 1, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F64, SHAPE(2, 2), 0, 2, 3, 4, 5);
    op_case_fini(&t);
}

static void scatter_puts_and_reduces(void)
{
    static const char *const how[] = {"none", "add", "mul", "min", "max"};
    static const double want[][3] = {{1, 30, 3}, {1, 42, 3}, {1, 600, 3}, {1, 2, 3}, {1, 30, 3}};
    for (size_t i = 0; i < COUNTOF(how); i++) {
        op_case t;
        op_case_init(&t, "ScatterElements", 18);
        op_case_str(&t, "reduction", how[i]);
        IN(&t, DT_I32, SHAPE(3), 1, 2, 3);
        IN(&t, DT_I64, SHAPE(2), 1, -2);
        IN(&t, DT_I32, SHAPE(2), 10, 30);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_I32, SHAPE(3), 0, want[i], 3, __LINE__);
        op_case_fini(&t);
    }
    op_case t;
    op_case_init(&t, "ScatterND", 18);
    IN(&t, DT_F32, SHAPE(3, 2), 1, 2, 3, 4, 5, 6);
    IN(&t, DT_I64, SHAPE(2, 1), 2, 0);
    IN(&t, DT_F32, SHAPE(2, 2), 50, 60, 10, 20);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(3, 2), 0, 10, 20, 3, 4, 50, 60);
    op_case_fini(&t);
}

static void nonzero_and_compress_keep_what_counts(void)
{
    op_case t;
    op_case_init(&t, "NonZero", 13);
    IN(&t, DT_F32, SHAPE(2, 3), 1, 0, 2, 0, 0, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(2, 3), 0, 0, 0, 1, 0, 2, 2);
    op_case_fini(&t);
    op_case_init(&t, "Compress", 11);
    op_case_int(&t, "axis", 1);
    IN(&t, DT_F32, SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    IN(&t, DT_BOOL, SHAPE(2), 0, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 1), 0, 2, 5);
    op_case_fini(&t);
    op_case_init(&t, "OneHot", 11);
    op_case_int(&t, "axis", 0);
    IN(&t, DT_I64, SHAPE(3), 1, -1, 7);
    IN(&t, DT_I64, SHAPE(1), 2);
    IN(&t, DT_F32, SHAPE(2), 8, 9);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 3), 0, 8, 8, 8, 9, 9, 8);
    op_case_fini(&t);
}

static void top_k_ranks_with_ties_by_index(void)
{
    for (int64_t largest = 0; largest < 2; largest++) {
        op_case t;
        op_case_init(&t, "TopK", 11);
        op_case_outputs(&t, 2);
        op_case_int(&t, "largest", largest);
        op_case_int(&t, "axis", 0);
        IN(&t, DT_I64, SHAPE(4, 1), 5, 9, 5, 1);
        IN(&t, DT_I64, SHAPE(1), 3);
        CHECK(op_case_run(&t) == ERR_OK);
        if (largest) {
            WANT(&t, 0, DT_I64, SHAPE(3, 1), 0, 9, 5, 5);
            WANT(&t, 1, DT_I64, SHAPE(3, 1), 0, 1, 0, 2);
        } else {
            WANT(&t, 0, DT_I64, SHAPE(3, 1), 0, 1, 5, 5);
            WANT(&t, 1, DT_I64, SHAPE(3, 1), 0, 3, 0, 2);
        }
        op_case_fini(&t);
    }
}

static void unique_sorts_or_keeps_the_order(void)
{
    for (int64_t sorted = 0; sorted < 2; sorted++) {
        op_case t;
        op_case_init(&t, "Unique", 11);
        op_case_outputs(&t, 4);
        op_case_int(&t, "sorted", sorted);
        IN(&t, DT_F32, SHAPE(5), 3, 1, 3, 2, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        if (sorted) {
            WANT(&t, 0, DT_F32, SHAPE(3), 0, 1, 2, 3);
            WANT(&t, 1, DT_I64, SHAPE(3), 0, 1, 3, 0);
            WANT(&t, 2, DT_I64, SHAPE(5), 0, 2, 0, 2, 1, 0);
            WANT(&t, 3, DT_I64, SHAPE(3), 0, 2, 1, 2);
        } else {
            WANT(&t, 0, DT_F32, SHAPE(3), 0, 3, 1, 2);
            WANT(&t, 1, DT_I64, SHAPE(3), 0, 0, 1, 3);
            WANT(&t, 2, DT_I64, SHAPE(5), 0, 0, 1, 0, 2, 1);
            WANT(&t, 3, DT_I64, SHAPE(3), 0, 2, 2, 1);
        }
        op_case_fini(&t);
    }
}

static void what_rounds_to_class_0_is_class_0(void)
{
    op_case t;
    op_case_init(&t, "OneHot", 11);
    IN(&t, DT_F32, SHAPE(4), 1.9, -1.5, NAN, -0.5);
    IN(&t, DT_I64, SHAPE(1), 2);
    IN(&t, DT_F32, SHAPE(2), 0, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(4, 2), 0, 0, 1, 0, 1, 0, 0, 1, 0);
    op_case_fini(&t);
}

/* Rows of no index name the whole of the data: 2^40 of them times 2^24 bytes are no number of 64 bits. */
static void updates_must_be_there_for_every_row(void)
{
    op_case t;
    op_case_init(&t, "ScatterND", 18);
    IN(&t, DT_F64, SHAPE(1 << 21), 1);
    op_case_in(&t, DT_I64, SHAPE(INT64_C(1) << 40, 0), NULL, 0);
    op_case_in(&t, DT_F64, SHAPE(0), NULL, 0);
    REFUSED(&t, "node 'case' (ScatterND, ai.onnx 18): updates: expected the data's type and 1099511627776 slices");
    op_case_fini(&t);
}

static void a_nan_is_larger_than_all_numbers(void)
{
    for (int64_t largest = 0; largest < 2; largest++) {
        op_case t;
        op_case_init(&t, "TopK", 11);
        op_case_outputs(&t, 2);
        op_case_int(&t, "largest", largest);
        IN(&t, DT_F32, SHAPE(6), 5, NAN, INFINITY, 1, NAN, -INFINITY);
        IN(&t, DT_I64, SHAPE(1), 6);
        CHECK(op_case_run(&t) == ERR_OK);
        if (largest) WANT(&t, 1, DT_I64, SHAPE(6), 0, 1, 4, 2, 0, 3, 5);
        else WANT(&t, 1, DT_I64, SHAPE(6), 0, 5, 3, 0, 2, 1, 4);
        op_case_fini(&t);
    }
    op_case t;
    op_case_init(&t, "Unique", 11);
    IN(&t, DT_F64, SHAPE(6), 3, NAN, 1, NAN, 2, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F64, SHAPE(4), 0, 1, 2, 3, NAN);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(gather_takes_whole_slices),
        TEST(indices_outside_are_refused),
        TEST(gather_elements_and_nd),
        TEST(scatter_puts_and_reduces),
        TEST(nonzero_and_compress_keep_what_counts),
        TEST(top_k_ranks_with_ties_by_index),
        TEST(unique_sorts_or_keeps_the_order),
        TEST(what_rounds_to_class_0_is_class_0),
        TEST(updates_must_be_there_for_every_row),
        TEST(a_nan_is_larger_than_all_numbers),
    };
    return test_main(cases, COUNTOF(cases));
}
