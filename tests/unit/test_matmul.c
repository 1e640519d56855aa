/* Products of double and integer matrices: exact integers that wrap, any strides, batches, alpha and beta; and
 * activations in double precision at the values where their pieces meet. */
#include "tensor/matmul.h"

#include "tensor/activation.h"
#include "test.h"

#include <math.h>

static void integers_multiply_exactly_and_wrap(void)
{
    int32_t a[] = {1, 2, 3, INT32_MAX}, b[] = {2, 0, 1, 2}, y[4];
    matmul_call m = {.type = DT_I32,
                     .batch = 1,
                     .m = 2,
                     .n = 2,
                     .k = 2,
                     .a = a,
                     .b = b,
                     .a_row = 2,
                     .a_column = 1,
                     .b_row = 2,
                     .b_column = 1,
                     .y = y,
                     .alpha = 1,
                     .beta = 1};
    matmul(&m, NULL);
    CHECK(y[0] == 4 && y[1] == 4 && y[2] == INT32_MIN + 5 && y[3] == -2);
}

static void strides_transpose_and_a_batch_may_share_an_operand(void)
{
    int64_t a[] = {1, 2, 3, 4, 5, 6, 7, 8}, b[] = {1, 10, 100, 1000}, y[8];
    size_t starts[] = {0, 4};
    matmul_call m = {.type = DT_I64,
                     .batch = 2,
                     .m = 2,
                     .n = 2,
                     .k = 2,
                     .a = a,
                     .b = b,
                     .a_row = 1,
                     .a_column = 2,
                     .b_row = 1,
                     .b_column = 2,
                     .a_at = starts,
                     .y = y,
                     .alpha = 1,
                     .beta = 1};
    matmul(&m, NULL);
    const int64_t want[] = {1 + 30, 100 + 3000, 2 + 40, 200 + 4000, 5 + 70, 500 + 7000, 6 + 80, 600 + 8000};
    CHECK(memcmp(y, want, sizeof want) == 0);
}

static void doubles_take_alpha_and_beta(void)
{
    double a[] = {1e-17, 1}, b[] = {1, 1}, c[] = {0.25}, y[1];
    matmul_call m = {.type = DT_F64,
                     .batch = 1,
                     .m = 1,
                     .n = 1,
                     .k = 2,
                     .a = a,
                     .b = b,
                     .a_row = 2,
                     .a_column = 1,
                     .b_row = 1,
                     .b_column = 1,
                     .y = y,
                     .alpha = 0.5,
                     .beta = 2,
                     .c = c};
    matmul(&m, NULL);
    CHECK(y[0] == 0.5 + 0.5);
    m.k = 0;
    matmul(&m, NULL);
    CHECK(y[0] == 0.5);
    CHECK(matmul_has(DT_U64) && !matmul_has(DT_F32) && !matmul_has(DT_I8));
}

static double once(act_kind kind, float a, float b, double x)
{
    activation act = {.kind = kind, .a = a, .b = b};
    activation_f64(&act, &x, 1);
    return x;
}

static void activations_in_double_precision(void)
{
    CHECK(once(ACT_NONE, 0, 0, -3) == -3 && once(ACT_RELU, 0, 0, -3) == 0 && once(ACT_RELU, 0, 0, 3) == 3);
    CHECK(once(ACT_CLIP, -1, 2, -3) == -1 && once(ACT_CLIP, -1, 2, 3) == 2 && once(ACT_CLIP, -1, 2, 0.5) == 0.5);
    CHECK(once(ACT_LEAKY_RELU, 0.5f, 0, -3) == -1.5 && once(ACT_SIGMOID, 0, 0, 0) == 0.5 &&
          once(ACT_TANH, 0, 0, 0) == 0);
    CHECK(once(ACT_HARD_SIGMOID, 0.5f, 0.25f, 1) == 0.75 && once(ACT_HARD_SIGMOID, 1, 0, 9) == 1);
    CHECK(once(ACT_HARD_SWISH, 0, 0, 3) == 3 && once(ACT_HARD_SWISH, 0, 0, -3) == 0 && once(ACT_SILU, 0, 0, 0) == 0);
    CHECK(fabs(once(ACT_GELU, 0, 0, 1) - 0.84134474606854293) < 1e-15 && isnan(once(ACT_RELU, 0, 0, NAN)));
}

int main(void)
{
    static const test_case cases[] = {TEST(integers_multiply_exactly_and_wrap),
                                      TEST(strides_transpose_and_a_batch_may_share_an_operand),
                                      TEST(doubles_take_alpha_and_beta), TEST(activations_in_double_precision)};
    return test_main(cases, COUNTOF(cases));
}
