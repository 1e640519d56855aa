/* Operators about shapes: what a shape says, and how a tensor takes another; impossible shapes are refused by name. */
#include "op_harness.h"

static bool shape_is(const op_case *t, shape want) { return shape_eq(&t->out[0].shape, &want); }

static void shape_and_size_are_read(void)
{
    op_case t;
    op_case_init(&t, "Shape", 15);
    op_case_int(&t, "start", -2);
    op_case_int(&t, "end", 9);
    IN(&t, DT_F32, SHAPE(2, 3, 4), 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(2), 0, 3, 4);
    op_case_fini(&t);
    op_case_init(&t, "Size", 13);
    IN(&t, DT_U8, SHAPE(2, 3, 4), 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SCALAR, 0, 24);
    op_case_fini(&t);
}

/* Reshapes 2 x 3 x 4 by `dims` and expects `want`, or the refusal. */
static void reshape(const double *dims, size_t count, bool zero, const char *refusal, const shape *want)
{
    op_case t;
    op_case_init(&t, "Reshape", 14);
    if (zero) op_case_int(&t, "allowzero", 1);
    IN(&t, DT_I8, SHAPE(2, 3, 4), 1, 2, 3, 4);
    int64_t n = (int64_t)count;
    op_case_in(&t, DT_I64, shape_make(1, &n), dims, count);
    err_code rc = op_case_run(&t);
    if (refusal) {
        CHECK(rc != ERR_OK);
        CHECK(strstr(t.e.text, refusal) != NULL);
    } else {
        CHECK(rc == ERR_OK);
        CHECK(shape_eq(&t.out[0].shape, want));
    }
    op_case_fini(&t);
}
#define RESHAPE(zero, refusal, want, ...) \
    reshape((const double[]){__VA_ARGS__}, COUNTOF(((double[]){__VA_ARGS__})), zero, refusal, want)

static void reshape_infers_copies_and_refuses(void)
{
    shape a = SHAPE(4, 6), b = SHAPE(2, 12), c = SHAPE(2, 3, 4, 1);
    RESHAPE(false, NULL, &a, 4, -1);
    RESHAPE(false, NULL, &a, -1, 6);
    RESHAPE(false, NULL, &b, 0, -1);
    RESHAPE(false, NULL, &c, 0, 0, 0, 1);
    RESHAPE(false, "cannot reshape [2,3,4] to [5,-1]", NULL, 5, -1);
    RESHAPE(false, "cannot reshape [2,3,4] to [5,5]", NULL, 5, 5);
    RESHAPE(false, "shape[1]: expected one -1 at most, got -1", NULL, -1, -1);
    RESHAPE(false, "shape[0]: expected one -1 at most, got -2", NULL, -2);
    RESHAPE(false, "shape[3]: 0 copies a dimension that input [2,3,4] has not", NULL, 2, 3, 4, 0);
    RESHAPE(true, "cannot reshape [2,3,4] to [0,24]", NULL, 0, 24);
}

static void flatten_and_squeeze_take_dimensions_away(void)
{
    op_case t;
    static const int64_t last[] = {-1};
    op_case_init(&t, "Flatten", 13);
    op_case_int(&t, "axis", -1);
    IN(&t, DT_F32, SHAPE(2, 3, 4), 0);
    CHECK(op_case_run(&t) == ERR_OK);
    CHECK(shape_is(&t, SHAPE(6, 4)));
    op_case_fini(&t);
    op_case_init(&t, "Squeeze", 11);
    op_case_ints(&t, "axes", last, 1);
    IN(&t, DT_F32, SHAPE(1, 3, 1), 1, 2, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    CHECK(shape_is(&t, SHAPE(1, 3)));
    op_case_fini(&t);
    op_case_init(&t, "Squeeze", 13);
    IN(&t, DT_F32, SHAPE(1, 3, 1), 1, 2, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    CHECK(shape_is(&t, SHAPE(3)));
    op_case_fini(&t);
    op_case_init(&t, "Squeeze", 13);
    IN(&t, DT_F32, SHAPE(1, 3, 1), 1, 2, 3);
    IN(&t, DT_I64, SHAPE(1), 1);
    REFUSED(&t, "node 'case' (Squeeze, ai.onnx 13): axes: expected a dimension of 1 at 1, got 3");
    op_case_fini(&t);
}

static void unsqueeze_puts_them_back(void)
{
    op_case t;
    op_case_init(&t, "Unsqueeze", 13);
    IN(&t, DT_F32, SHAPE(3, 2), 1);
    IN(&t, DT_I64, SHAPE(2), -1, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    CHECK(shape_is(&t, SHAPE(1, 3, 2, 1)));
    op_case_fini(&t);
    op_case_init(&t, "Unsqueeze", 13);
    IN(&t, DT_F32, SHAPE(3, 2), 1);
    IN(&t, DT_I64, SHAPE(2), 0, -4);
    REFUSED(&t, "node 'case' (Unsqueeze, ai.onnx 13): axes: expected each axis once, got 0 twice");
    op_case_fini(&t);
}

static void expand_and_constants_fill_a_shape(void)
{
    static uint8_t nine[] = {0x39};
    shape one = SHAPE(1);
    tensor nibble = tensor_make(DT_U4, &one, nine);
    op_case t;
    op_case_init(&t, "Expand", 13);
    IN(&t, DT_I16, SHAPE(3, 1), 1, 2, 3);
    IN(&t, DT_I64, SHAPE(3), 2, 1, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I16, SHAPE(2, 3, 2), 0, 1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3);
    op_case_fini(&t);
    op_case_init(&t, "ConstantOfShape", 21);
    op_case_tensor(&t, "value", &nibble);
    IN(&t, DT_I64, SHAPE(1), 5);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_U4, SHAPE(5), 0, 9, 9, 9, 9, 9);
    op_case_fini(&t);
    op_case_init(&t, "ConstantOfShape", 9);
    IN(&t, DT_I64, SHAPE(2), 2, -1);
    REFUSED(&t, "node 'case' (ConstantOfShape, ai.onnx 9): shape[1]: expected 0 or more, got -1");
    op_case_fini(&t);
}

static void ranges_count_up_and_down(void)
{
    op_case t;
    op_case_init(&t, "Range", 11);
    IN(&t, DT_I32, SCALAR, 10);
    IN(&t, DT_I32, SCALAR, 3);
    IN(&t, DT_I32, SCALAR, -3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I32, SHAPE(3), 0, 10, 7, 4);
    op_case_fini(&t);
    op_case_init(&t, "Range", 11);
    IN(&t, DT_F64, SCALAR, 1);
    IN(&t, DT_F64, SCALAR, 2);
    IN(&t, DT_F64, SCALAR, 0.3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F64, SHAPE(4), 1e-12, 1, 1.3, 1.6, 1.9);
    op_case_fini(&t);
    op_case_init(&t, "Range", 11);
    IN(&t, DT_I64, SCALAR, 1);
    IN(&t, DT_I64, SCALAR, 2);
    IN(&t, DT_I64, SCALAR, 0);
    REFUSED(&t, "node 'case' (Range, ai.onnx 11): delta: expected a step, got 0");
    op_case_fini(&t);
}

static void a_range_too_long_for_its_count_is_refused(void)
{
    static const double ends[][3] = {{0, -0x1p63, -1}, {-1, 0x1p63, 1}, {0, -0x1p63, -0x1p63}};
    for (size_t i = 0; i < COUNTOF(ends); i++) {
        op_case t;
        op_case_init(&t, "Range", 11);
        for (size_t k = 0; k < 3; k++) IN(&t, DT_I64, SCALAR, ends[i][k]);
        REFUSED(&t, "node 'case' (Range, ai.onnx 11): expected a range of fewer than 2^63 steps");
        op_case_fini(&t);
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(shape_and_size_are_read),
        TEST(reshape_infers_copies_and_refuses),
        TEST(flatten_and_squeeze_take_dimensions_away),
        TEST(unsqueeze_puts_them_back),
        TEST(expand_and_constants_fill_a_shape),
        TEST(ranges_count_up_and_down),
        TEST(a_range_too_long_for_its_count_is_refused),
    };
    return test_main(cases, COUNTOF(cases));
}
