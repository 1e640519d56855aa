/* Pools through the table: sizes rounded up, indices, every type, global pools and unpooling; values worked out by
 * hand. */
#include "op_harness.h"
#include "test.h"

static const int64_t twos[] = {2, 2}, threes[] = {3, 3};

static void sizes_are_rounded_up_on_request(void)
{
    op_case t;
    for (int64_t up = 0; up < 2; up++) {
        op_case_init(&t, "MaxPool", 12);
        op_case_ints(&t, "kernel_shape", threes, 2);
        op_case_ints(&t, "strides", twos, 2);
        op_case_int(&t, "ceil_mode", up);
        IN(&t, DT_F32, SHAPE(1, 1, 4, 4), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
        CHECK(op_case_run(&t) == ERR_OK);
        if (up) WANT(&t, 0, DT_F32, SHAPE(1, 1, 2, 2), 0, 11, 12, 15, 16);
        if (!up) WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 1), 0, 11);
        op_case_fini(&t);
    }
}

static void a_window_in_the_padding_does_not_count(void)
{
    /* 3 elements, pads 0 and 1, windows of 2 every 3: rounding up would start one at 3, in the padding. */
    static const int64_t two[] = {2}, three[] = {3}, pads[] = {0, 1};
    op_case t;
    op_case_init(&t, "AveragePool", 19);
    op_case_ints(&t, "kernel_shape", two, 1);
    op_case_ints(&t, "strides", three, 1);
    op_case_ints(&t, "pads", pads, 2);
    op_case_int(&t, "ceil_mode", 1);
    IN(&t, DT_F32, SHAPE(1, 1, 3), 1, 2, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 1), 1e-6, 1.5);
    op_case_fini(&t);
}

static void maxima_of_every_type_with_indices(void)
{
    static const dtype types[] = {DT_F32, DT_F16, DT_BF16, DT_F64, DT_I8, DT_U8};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        op_case t;
        op_case_init(&t, "MaxPool", 22);
        op_case_ints(&t, "kernel_shape", twos, 2);
        op_case_int(&t, "storage_order", 1);
        op_case_outputs(&t, 2);
        IN(&t, types[i], SHAPE(2, 1, 2, 3), 1, 5, 2, 3, 4, 9, 7, 1, 0, 2, 3, 4);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[i], SHAPE(2, 1, 1, 2), 0, 5, 9, 7, 4);
        WANT(&t, 1, DT_I64, SHAPE(2, 1, 1, 2), 0, 2, 5, 6, 11);
        op_case_fini(&t);
    }
}

static void averages_and_norms(void)
{
    static const dtype types[] = {DT_F32, DT_F64};
    static const int64_t pads[] = {1, 0, 0, 0};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        op_case t;
        op_case_init(&t, "AveragePool", 22);
        op_case_ints(&t, "kernel_shape", twos, 2);
        op_case_ints(&t, "pads", pads, 4);
        op_case_int(&t, "count_include_pad", (int64_t)i);
        IN(&t, types[i], SHAPE(1, 1, 2, 2), 2, 4, 6, 8);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[i], SHAPE(1, 1, 2, 1), 1e-6, i ? 1.5 : 3, 5);
        op_case_fini(&t);
        op_case_init(&t, "LpPool", 22);
        op_case_ints(&t, "kernel_shape", twos, 2);
        IN(&t, types[i], SHAPE(1, 1, 2, 2), 1, -1, 1, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[i], SHAPE(1, 1, 1, 1), 1e-6, 2);
        op_case_fini(&t);
    }
}

static void global_pools_see_the_whole_plane(void)
{
    static const struct {
        const char *op;
        double first, second;
    } rows[] = {{"GlobalMaxPool", 4, -1}, {"GlobalAveragePool", 2.5, -2.5}, {"GlobalLpPool", 5.477225575, 5.477225575}};
    static const dtype types[] = {DT_F32, DT_F64, DT_F16};
    for (size_t i = 0; i < COUNTOF(rows) * COUNTOF(types); i++) {
        op_case t;
        op_case_init(&t, rows[i % 3].op, 22);
        IN(&t, types[i / 3], SHAPE(1, 2, 2, 2), 1, 2, 3, 4, -1, -2, -3, -4);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[i / 3], SHAPE(1, 2, 1, 1), types[i / 3] == DT_F16 ? 1e-3 : 1e-6, rows[i % 3].first,
             rows[i % 3].second);
        op_case_fini(&t);
    }
}

static void unpooling_puts_values_back(void)
{
    op_case t;
    op_case_init(&t, "MaxUnpool", 11);
    op_case_ints(&t, "kernel_shape", twos, 2);
    op_case_ints(&t, "strides", twos, 2);
    IN(&t, DT_F32, SHAPE(1, 1, 1, 2), 5, 6);
    IN(&t, DT_I64, SHAPE(1, 1, 1, 2), 4, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 2, 4), 0, 0, 0, 0, 6, 5, 0, 0, 0);
    op_case_fini(&t);
    op_case_init(&t, "MaxUnpool", 11);
    op_case_ints(&t, "kernel_shape", twos, 2);
    IN(&t, DT_F32, SHAPE(1, 1, 1, 1), 5);
    IN(&t, DT_I64, SHAPE(1, 1, 1, 1), 4);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "input 1: expected indices below 4, got 4") != NULL);
    op_case_fini(&t);
}

static void planes_without_elements_are_not_walked(void)
{
    static const char *const ops[] = {"MaxPool", "AveragePool", "LpPool"};
    static const int64_t kernel[] = {1 << 22, 1 << 16, 1}, pads[] = {0, 0, 1, 0, 0, 0};
    for (size_t i = 0; i < COUNTOF(ops); i++) {
        op_case t;
        op_case_init(&t, ops[i], 19);
        op_case_ints(&t, "kernel_shape", kernel, 3);
        op_case_ints(&t, "pads", pads, 6);
        op_case_in(&t, DT_F32, SHAPE(1, 1, 1 << 22, 1 << 16, 0), NULL, 0);
        CHECK(op_case_run(&t) == ERR_INVALID);
        CHECK(strstr(t.e.text, "input 0: expected elements to pool, got none") != NULL);
        op_case_fini(&t);
    }
}

static void an_unpooled_size_does_not_overflow(void)
{
    static const int64_t kernel[] = {1}, strides[] = {1 << 24};
    op_case t;
    op_case_init(&t, "MaxUnpool", 11);
    op_case_ints(&t, "kernel_shape", kernel, 1);
    op_case_ints(&t, "strides", strides, 1);
    op_case_in(&t, DT_F32, SHAPE(0, 1, INT64_C(1) << 40), NULL, 0);
    op_case_in(&t, DT_I64, SHAPE(0, 1, INT64_C(1) << 40), NULL, 0);
    REFUSED(&t, "node 'case' (MaxUnpool, ai.onnx 11): an input of 1099511627776 with strides of 16777216 is too large");
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(sizes_are_rounded_up_on_request),   TEST(a_window_in_the_padding_does_not_count),
        TEST(maxima_of_every_type_with_indices), TEST(averages_and_norms),
        TEST(global_pools_see_the_whole_plane),  TEST(unpooling_puts_values_back),
        TEST(planes_without_elements_are_not_walked),
        TEST(an_unpooled_size_does_not_overflow)};
    return test_main(cases, COUNTOF(cases));
}
