/* Quantising rounds half to even and saturates; zero points, axes, blocks and the small types are taken; the integer
 * products and convolutions give the sums and roundings worked out by hand.  All values here are exact. */
#include "op_harness.h"
#include "test.h"

#include <math.h>

static void quantising_rounds_to_even_and_saturates(void)
{
    op_case t;
    op_case_init(&t, "QuantizeLinear", 13);
    IN(&t, DT_F32, SHAPE(8), 0, 1, 3, 5, 1000, -1000, -1, NAN);
    IN(&t, DT_F32, SCALAR, 2);
    IN(&t, DT_U8, SCALAR, 128);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_U8, SHAPE(8), 0, 128, 128, 130, 130, 255, 0, 128, 0);
    op_case_fini(&t);
}

static void an_axis_and_a_block_have_scales_of_their_own(void)
{
    op_case t;
    op_case_init(&t, "QuantizeLinear", 21);
    op_case_int(&t, "axis", 0);
    IN(&t, DT_F32, SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    IN(&t, DT_F32, SHAPE(2), 1, 2);
    IN(&t, DT_I8, SHAPE(2), 0, -1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I8, SHAPE(2, 3), 0, 1, 2, 3, 1, 1, 2);
    op_case_fini(&t);
    op_case_init(&t, "DequantizeLinear", 21);
    op_case_int(&t, "axis", 1);
    op_case_int(&t, "block_size", 2);
    IN(&t, DT_I4, SHAPE(2, 3), 1, -2, 3, -4, 5, -6);
    IN(&t, DT_F32, SHAPE(2, 2), 1, 10, 100, 1000);
    IN(&t, DT_I4, SHAPE(2, 2), 0, 1, 0, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 3), 0, 1, -2, 20, -400, 500, -6000);
    op_case_fini(&t);
    op_case_init(&t, "DequantizeLinear", 13);
    IN(&t, DT_U8, SHAPE(2, 3), 1);
    IN(&t, DT_F32, SHAPE(2), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "input 1: expected scales [3], got [2]") != NULL);
    op_case_fini(&t);
}

static void output_dtype_chooses_the_type(void)
{
    op_case t;
    op_case_init(&t, "QuantizeLinear", 25);
    op_case_int(&t, "output_dtype", DT_I16);
    IN(&t, DT_F32, SHAPE(2), 1e9, -300);
    IN(&t, DT_F32, SCALAR, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I16, SHAPE(2), 0, 32767, -300);
    op_case_fini(&t);
    op_case_init(&t, "QuantizeLinear", 19);
    op_case_int(&t, "saturate", 0);
    IN(&t, DT_F32, SHAPE(2), 0.5, 1e6);
    IN(&t, DT_F32, SCALAR, 0.5);
    IN(&t, DT_F8E4M3FN, SCALAR, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F8E4M3FN, SHAPE(2), 0, 1, NAN);
    op_case_fini(&t);
}

static void a_dynamic_scale_covers_zero(void)
{
    op_case t;
    op_case_init(&t, "DynamicQuantizeLinear", 13);
    IN(&t, DT_F32, SHAPE(4), 255, 51, 102, 0.4);
    op_case_outputs(&t, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_U8, SHAPE(4), 0, 255, 51, 102, 0);
    WANT(&t, 1, DT_F32, SCALAR, 0, 1);
    WANT(&t, 2, DT_U8, SCALAR, 0, 0);
    op_case_fini(&t);
}

static void integer_products_take_zero_points_off(void)
{
    op_case t;
    op_case_init(&t, "MatMulInteger", 10);
    IN(&t, DT_U8, SHAPE(2, 2), 11, 7, 3, 255);
    IN(&t, DT_I8, SHAPE(2, 2), 1, 4, -2, 5);
    IN(&t, DT_U8, SHAPE(2), 12, 0);
    IN(&t, DT_I8, SHAPE(2), 0, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I32, SHAPE(2, 2), 0, -1 + 10, -3 - 20, 3 - 510, 9 + 1020);
    op_case_fini(&t);
    op_case_init(&t, "QLinearMatMul", 10);
    IN(&t, DT_U8, SHAPE(1, 2), 10, 20);
    IN(&t, DT_F32, SCALAR, 0.5);
    IN(&t, DT_U8, SCALAR, 0);
    IN(&t, DT_U8, SHAPE(2, 1), 3, 4);
    IN(&t, DT_F32, SCALAR, 1);
    IN(&t, DT_U8, SCALAR, 0);
    IN(&t, DT_F32, SCALAR, 2);
    IN(&t, DT_U8, SCALAR, 5);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_U8, SHAPE(1, 1), 0, 28 + 5); /* 110 * 0.25 = 27.5, to even */
    op_case_fini(&t);
}

static void integer_convolutions_pad_with_the_zero_point(void)
{
    op_case t;
    static const int64_t pads[] = {1, 0};
    op_case_init(&t, "ConvInteger", 10);
    op_case_ints(&t, "pads", pads, 2);
    IN(&t, DT_U8, SHAPE(1, 1, 3), 2, 3, 4);
    IN(&t, DT_U8, SHAPE(1, 1, 2), 1, 10);
    IN(&t, DT_U8, SCALAR, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I32, SHAPE(1, 1, 3), 0, 10, 21, 32);
    op_case_fini(&t);
    op_case_init(&t, "QLinearConv", 10);
    IN(&t, DT_I8, SHAPE(1, 1, 2), 4, -4);
    IN(&t, DT_F32, SCALAR, 1);
    IN(&t, DT_I8, SCALAR, 0);
    IN(&t, DT_I8, SHAPE(2, 1, 1), 2, 100);
    IN(&t, DT_F32, SHAPE(2), 0.5, 1);
    IN(&t, DT_I8, SHAPE(2), 0, 0);
    IN(&t, DT_F32, SCALAR, 1);
    IN(&t, DT_I8, SCALAR, -1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I8, SHAPE(1, 2, 2), 0, 3, -5, 127, -128);
    op_case_fini(&t);
}

static void blocks_larger_than_the_axis_are_one(void)
{
    op_case t;
    op_case_init(&t, "QuantizeLinear", 21);
    op_case_int(&t, "axis", 0);
    op_case_int(&t, "block_size", INT64_MAX);
    IN(&t, DT_F32, SHAPE(3), 1, 2, 3);
    IN(&t, DT_F32, SHAPE(1), 0.5);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_U8, SHAPE(3), 0, 2, 4, 6);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(quantising_rounds_to_even_and_saturates), TEST(an_axis_and_a_block_have_scales_of_their_own),
        TEST(output_dtype_chooses_the_type),           TEST(a_dynamic_scale_covers_zero),
        TEST(integer_products_take_zero_points_off),   TEST(integer_convolutions_pad_with_the_zero_point),
        TEST(blocks_larger_than_the_axis_are_one)};
    return test_main(cases, COUNTOF(cases));
}
