/* Gemm and MatMul through the table: transposes, every shape of C, vectors, broadcast batches, all types; values are
 * worked out by hand.  What does not fit is refused with both shapes. */
#include "op_harness.h"

#include <math.h>
#include "test.h"

static void gemm_takes_every_shape_of_c(void)
{
    /* A = 1 2, B = 1 0 1; A * B = 1 4 1 | 3 8 3, halved */
    static const struct {
        shape c;
        double want[6];
    } rows[] = {
        {{0}, {0.5 + 20, 2 + 20, 0.5 + 20, 1.5 + 20, 4 + 20, 1.5 + 20}},
        {{1, {3}}, {0.5 + 20, 2 + 40, 0.5 + 60, 1.5 + 20, 4 + 40, 1.5 + 60}},
        {{2, {1, 3}}, {0.5 + 20, 2 + 40, 0.5 + 60, 1.5 + 20, 4 + 40, 1.5 + 60}},
        {{2, {2, 1}}, {0.5 + 20, 2 + 20, 0.5 + 20, 1.5 + 40, 4 + 40, 1.5 + 40}},
        {{2, {2, 3}}, {0.5 + 20, 2 + 40, 0.5 + 60, 1.5 + 80, 4 + 100, 1.5 + 120}},
    };
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_BF16};
    for (size_t i = 0; i < COUNTOF(rows) * COUNTOF(types); i++) {
        op_case t;
        dtype type = types[i % COUNTOF(types)];
        op_case_init(&t, "Gemm", 13);
        op_case_float(&t, "alpha", 0.5f);
        op_case_float(&t, "beta", 2);
        op_case_int(&t, "transA", 1);
        IN(&t, type, SHAPE(2, 2), 1, 3, 2, 4);
        op_case_int(&t, "transB", 1);
        IN(&t, type, SHAPE(3, 2), 1, 0, 0, 2, 1, 0);
        IN(&t, type, rows[i / COUNTOF(types)].c, 10, 20, 30, 40, 50, 60);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, type, SHAPE(2, 3), type == DT_BF16 ? 0.01 : 0, rows[i / COUNTOF(types)].want, 6, __LINE__);
        op_case_fini(&t);
    }
}

static void integers_are_multiplied_exactly(void)
{
    op_case t;
    op_case_init(&t, "Gemm", 13);
    IN(&t, DT_I64, SHAPE(1, 2), 3037000500.0, 1);
    IN(&t, DT_I64, SHAPE(2, 1), 3, -7);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(1, 1), 0, 9111001493.0);
    op_case_fini(&t);
    op_case_init(&t, "MatMul", 13);
    IN(&t, DT_U32, SHAPE(2), 4294967295.0, 2);
    IN(&t, DT_U32, SHAPE(2), 2, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_U32, SCALAR, 0, 4); /* modulo 2^32 */
    op_case_fini(&t);
}

static void matmul_follows_numpy(void)
{
    op_case t;
    op_case_init(&t, "MatMul", 13);
    IN(&t, DT_F32, SHAPE(2), 1, 2);
    IN(&t, DT_F32, SHAPE(2, 2, 2), 1, 2, 3, 4, 5, 6, 7, 8);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 2), 0, 7, 10, 19, 22);
    op_case_fini(&t);
    op_case_init(&t, "MatMul", 13);
    IN(&t, DT_F32, SHAPE(2, 1, 1, 2), 1, 2, 3, 4);
    IN(&t, DT_F32, SHAPE(3, 2, 1), 1, 10, 2, 20, 3, 30);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 3, 1, 1), 0, 21, 42, 63, 43, 86, 129);
    op_case_fini(&t);
    op_case_init(&t, "MatMul", 13);
    IN(&t, DT_F64, SHAPE(2, 1, 2), 1, 2, 3, 4);
    IN(&t, DT_F64, SHAPE(2, 2), 1, 0, 0, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F64, SHAPE(2, 1, 2), 0, 1, 2, 3, 4);
    op_case_fini(&t);
    op_case_init(&t, "MatMul", 13);
    op_case_in(&t, DT_F32, SHAPE(2, 0), NULL, 0);
    op_case_in(&t, DT_F32, SHAPE(0, 2), NULL, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 2), 0, 0, 0, 0, 0);
    op_case_fini(&t);
}

static void shapes_that_do_not_fit_are_refused(void)
{
    op_case t;
    op_case_init(&t, "MatMul", 13);
    IN(&t, DT_F32, SHAPE(2, 3), 1);
    IN(&t, DT_F32, SHAPE(2, 3), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK_STR(t.e.text, "node 'case' (MatMul, ai.onnx 13): shapes [2,3] and [2,3] do not fit");
    op_case_fini(&t);
    op_case_init(&t, "MatMul", 13);
    IN(&t, DT_F32, SCALAR, 1);
    IN(&t, DT_F32, SHAPE(2, 3), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
    op_case_init(&t, "Gemm", 13);
    IN(&t, DT_F32, SHAPE(2, 2), 1);
    IN(&t, DT_F32, SHAPE(2, 2), 1);
    IN(&t, DT_F32, SHAPE(3), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
    op_case_init(&t, "Gemm", 13);
    IN(&t, DT_F32, SHAPE(2, 2), 1);
    IN(&t, DT_F64, SHAPE(2, 2), 1);
    CHECK(op_case_run(&t) == ERR_UNSUPPORTED);
    op_case_fini(&t);
}

static void scaled_integers_are_held_in_range(void)
{
    static const dtype types[] = {DT_I32, DT_U32, DT_I64, DT_U64};
    static const float factors[] = {1e30f, -1e30f, INFINITY, NAN};
    for (size_t i = 0; i < COUNTOF(types) * COUNTOF(factors); i++) {
        op_case t;
        op_case_init(&t, "Gemm", 13);
        op_case_float(&t, "alpha", factors[i % COUNTOF(factors)]);
        op_case_float(&t, "beta", factors[i % COUNTOF(factors)]);
        IN(&t, types[i / COUNTOF(factors)], SHAPE(1, 1), 3);
        IN(&t, types[i / COUNTOF(factors)], SHAPE(1, 1), 5);
        IN(&t, types[i / COUNTOF(factors)], SHAPE(1, 1), 7);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_fini(&t);
    }
    op_case t;
    op_case_init(&t, "Gemm", 13);
    op_case_float(&t, "alpha", 1e30f);
    IN(&t, DT_I64, SHAPE(1, 2), 1, 1);
    IN(&t, DT_I64, SHAPE(2, 1), 1, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(1, 1), 0, 0x1p63);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {TEST(gemm_takes_every_shape_of_c), TEST(integers_are_multiplied_exactly),
                                      TEST(matmul_follows_numpy), TEST(shapes_that_do_not_fit_are_refused),
                                      TEST(scaled_integers_are_held_in_range)};
    return test_main(cases, COUNTOF(cases));
}
