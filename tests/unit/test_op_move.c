/* Operators that put elements elsewhere: each against values worked out by hand, ends and steps by numpy's rules. */
#include "op_harness.h"

static void transposes_permute(void)
{
    static const int64_t perm[] = {1, -1, 0}, twice[] = {0, 0, 1};
    static const dtype types[] = {DT_F32, DT_I8, DT_F64, DT_I4};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        op_case t;
        op_case_init(&t, "Transpose", 21);
        op_case_ints(&t, "perm", perm, 3);
        IN(&t, types[i], SHAPE(2, 1, 3), 1, 2, 3, 4, 5, 6);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[i], SHAPE(1, 3, 2), 0, 1, 4, 2, 5, 3, 6);
        op_case_fini(&t);
    }
    op_case t;
    op_case_init(&t, "Transpose", 13);
    op_case_ints(&t, "perm", twice, 3);
    IN(&t, DT_F32, SHAPE(2, 1, 3), 1);
    REFUSED(&t, "node 'case' (Transpose, ai.onnx 13): perm: expected a permutation of 3 axes, got 0");
    op_case_fini(&t);
}

static void parts_join_and_come_apart(void)
{
    op_case t;
    op_case_init(&t, "Concat", 13);
    op_case_int(&t, "axis", -1);
    IN(&t, DT_I32, SHAPE(2, 1), 1, 4);
    IN(&t, DT_I32, SHAPE(2, 0), 0);
    IN(&t, DT_I32, SHAPE(2, 2), 2, 3, 5, 6);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I32, SHAPE(2, 3), 0, 1, 2, 3, 4, 5, 6);
    op_case_fini(&t);
    op_case_init(&t, "Split", 18);
    op_case_int(&t, "axis", 1);
    op_case_int(&t, "num_outputs", 2);
    op_case_outputs(&t, 2);
    IN(&t, DT_I32, SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I32, SHAPE(2, 2), 0, 1, 2, 4, 5);
    WANT(&t, 1, DT_I32, SHAPE(2, 1), 0, 3, 6);
    op_case_fini(&t);
    op_case_init(&t, "Split", 13);
    op_case_outputs(&t, 2);
    IN(&t, DT_I32, SHAPE(3), 1, 2, 3);
    IN(&t, DT_I64, SHAPE(2), 2, 2);
    REFUSED(&t, "node 'case' (Split, ai.onnx 13): split: expected parts that add up to 3");
    op_case_fini(&t);
}

/* x = 0 1 2 3 4 5 */
static void slice(double start, double end, double step, const double *want, size_t count)
{
    op_case t;
    int64_t n = (int64_t)count;
    op_case_init(&t, "Slice", 13);
    IN(&t, DT_F32, SHAPE(6), 0, 1, 2, 3, 4, 5);
    IN(&t, DT_I64, SHAPE(1), start);
    IN(&t, DT_I64, SHAPE(1), end);
    IN(&t, DT_I64, SHAPE(1), -1);
    IN(&t, DT_I64, SHAPE(1), step);
    CHECK(op_case_run(&t) == ERR_OK);
    op_case_check(&t, 0, DT_F32, shape_make(1, &n), 0, want, count, __LINE__);
    op_case_fini(&t);
}
#define SLICE(start, end, step, ...) \
    slice(start, end, step, (const double[]){__VA_ARGS__}, COUNTOF(((double[]){__VA_ARGS__})))

static void slices_follow_numpy(void)
{
    SLICE(1, 4, 1, 1, 2, 3);
    SLICE(-2, 100, 1, 4, 5);
    SLICE(-100, 2, 1, 0, 1);
    SLICE(0, 6, 4, 0, 4);
    SLICE(4, 0, -1, 4, 3, 2, 1);
    SLICE(100, -100, -2, 5, 3, 1);
    SLICE(-1, -7, -5, 5, 0);
    SLICE(1, 9223372036854774784.0, 3, 1, 4);
    slice(4, 2, 1, NULL, 0);
    slice(-100, 0, -1, NULL, 0);
    slice(2, 4, -1, NULL, 0);
}

static void tiles_repeat_every_axis(void)
{
    op_case t;
    op_case_init(&t, "Tile", 13);
    IN(&t, DT_U16, SHAPE(2, 2), 1, 2, 3, 4);
    IN(&t, DT_I64, SHAPE(2), 2, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_U16, SHAPE(4, 6), 0, 1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4, 1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4);
    op_case_fini(&t);
}

static void depth_and_space_are_inverses(void)
{
    op_case t;
    op_case_init(&t, "DepthToSpace", 13);
    op_case_int(&t, "blocksize", 2);
    IN(&t, DT_F32, SHAPE(1, 4, 1, 2), 0, 1, 2, 3, 4, 5, 6, 7);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 2, 4), 0, 0, 2, 1, 3, 4, 6, 5, 7);
    op_case_fini(&t);
    op_case_init(&t, "SpaceToDepth", 13);
    op_case_int(&t, "blocksize", 2);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 4), 0, 2, 1, 3, 4, 6, 5, 7);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 4, 1, 2), 0, 0, 1, 2, 3, 4, 5, 6, 7);
    op_case_fini(&t);
    op_case_init(&t, "SpaceToDepth", 13);
    op_case_int(&t, "blocksize", 0);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 4), 0);
    REFUSED(&t, "node 'case' (SpaceToDepth, ai.onnx 13): blocksize: expected a divisor of the input's dimensions, "
                "got 0");
    op_case_fini(&t);
}

static void sequences_turn_round_and_triangles_stay(void)
{
    op_case t;
    op_case_init(&t, "ReverseSequence", 10);
    op_case_int(&t, "time_axis", 1);
    op_case_int(&t, "batch_axis", 0);
    IN(&t, DT_F32, SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    IN(&t, DT_I64, SHAPE(2), 2, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 3), 0, 2, 1, 3, 6, 5, 4);
    op_case_fini(&t);
    op_case_init(&t, "Trilu", 14);
    IN(&t, DT_I64, SHAPE(3, 3), 1, 2, 3, 4, 5, 6, 7, 8, 9);
    IN(&t, DT_I64, SCALAR, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(3, 3), 0, 0, 2, 3, 0, 0, 6, 0, 0, 0);
    op_case_fini(&t);
    op_case_init(&t, "Trilu", 14);
    op_case_int(&t, "upper", 0);
    IN(&t, DT_I64, SHAPE(3, 2), 1, 2, 3, 4, 5, 6);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(3, 2), 0, 1, 0, 3, 4, 5, 6);
    op_case_fini(&t);
}

/* A step past the end takes one element; a multiple of it, which is never walked, must not be computed either. */
static void numbers_far_outside_stay_numbers(void)
{
    static const double steps[] = {0x1p63, -0x1p63};
    for (size_t i = 0; i < COUNTOF(steps); i++) {
        op_case t;
        op_case_init(&t, "Slice", 13);
        IN(&t, DT_F32, SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
        IN(&t, DT_I64, SHAPE(1), (double)i);
        IN(&t, DT_I64, SHAPE(1), i == 0 ? 2 : -0x1p63);
        IN(&t, DT_I64, SHAPE(1), 0);
        IN(&t, DT_I64, SHAPE(1), steps[i]);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_F32, SHAPE(1, 3), 0, i ? 4 : 1, i ? 5 : 2, i ? 6 : 3);
        op_case_fini(&t);
    }
    op_case t;
    op_case_init(&t, "SpaceToDepth", 13);
    op_case_int(&t, "blocksize", 1 << 14);
    op_case_in(&t, DT_F32, SHAPE(1, INT64_C(1) << 40, 0, 0), NULL, 0);
    REFUSED(&t, "node 'case' (SpaceToDepth, ai.onnx 13): output 0: shape [1,9223372036854775807,0,0] is too large");
    op_case_fini(&t);
    op_case_init(&t, "Trilu", 14);
    IN(&t, DT_F32, SHAPE(2, 2), 1);
    op_case_in(&t, DT_I64, SHAPE(0), NULL, 0);
    REFUSED(&t, "node 'case' (Trilu, ai.onnx 14): k: expected one number, got 0");
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(transposes_permute),           TEST(parts_join_and_come_apart),
        TEST(slices_follow_numpy),          TEST(tiles_repeat_every_axis),
        TEST(depth_and_space_are_inverses), TEST(sequences_turn_round_and_triangles_stay),
        TEST(numbers_far_outside_stay_numbers),
    };
    return test_main(cases, COUNTOF(cases));
}
