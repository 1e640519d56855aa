/* A transposed convolution in single precision equals the naive spread of each input element in double, over
 * random shapes, groups, strides, dilations and cuts, within 1e-4 (sums of at most 64 products below 4).  Shapes
 * of the operators and sums of columns are worked out by hand. */
#include "tensor/deconv.h"

#include "base/rng.h"
#include "op_harness.h"
#include "test.h"

#include <math.h>

enum { ROOM = 1 << 16 };
static float x_data[ROOM], w_data[ROOM], y_data[ROOM + 1], bias[64];
static double x_wide[ROOM], w_wide[ROOM], y_wide[ROOM], bias_wide[64];

static size_t between(rng *r, size_t low, size_t high) { return low + rng_below(r, high - low + 1); }

static conv_shape random_shape(rng *r)
{
    conv_shape s = {.spatial = between(r, 1, 3),
                    .batch = between(r, 1, 2),
                    .groups = between(r, 1, 3),
                    .in = {1, 1, 1},
                    .out = {1, 1, 1},
                    .kernel = {1, 1, 1},
                    .stride = {1, 1, 1},
                    .dilation = {1, 1, 1}};
    s.in_channels = s.groups * between(r, 1, 4);
    s.out_channels = s.groups * between(r, 1, 4);
    for (size_t d = 3 - s.spatial; d < 3; d++) {
        s.in[d] = between(r, 1, 6);
        s.kernel[d] = between(r, 1, 4);
        s.stride[d] = between(r, 1, 3);
        s.dilation[d] = between(r, 1, 2);
        size_t full = (s.in[d] - 1) * s.stride[d] + (s.kernel[d] - 1) * s.dilation[d] + 1;
        s.pad[d] = rng_below(r, full < 3 ? full : 3);
        s.out[d] = full - s.pad[d] + rng_below(r, 2); /* may be cut after, or grow by output_padding */
        if (s.out[d] > 1) s.out[d] -= rng_below(r, 2);
    }
    return s;
}

static void float_equals_the_plain_loops_in_double(void)
{
    rng r;
    err e = {0};
    rng_init(&r, 12);
    for (size_t i = 0; i < ROOM; i++) {
        x_wide[i] = (double)(x_data[i] = (float)(int64_t)rng_below(&r, 2001) / 500.0f - 2.0f);
        w_wide[i] = (double)(w_data[i] = (float)(int64_t)rng_below(&r, 2001) / 500.0f - 2.0f);
    }
    for (size_t i = 0; i < COUNTOF(bias); i++) bias_wide[i] = (double)(bias[i] = (float)i);
    for (int turn = 0; turn < 200; turn++) {
        conv_shape s = random_shape(&r);
        size_t count = s.batch * s.out_channels * s.out[0] * s.out[1] * s.out[2];
        if (count > ROOM) continue;
        arena scratch;
        arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
        bool biased = rng_below(&r, 2);
        activation act = {.kind = rng_below(&r, 2) ? ACT_RELU : ACT_NONE};
        deconv_call c = {.shape = &s, .x = x_data, .w = w_data, .bias = biased ? bias : NULL, .y = y_data, .act = act};
        deconv_call_f64 wide = {
            .shape = &s, .x = x_wide, .w = w_wide, .bias = biased ? bias_wide : NULL, .y = y_wide, .act = act};
        y_data[count] = 77;
        CHECK(deconv_f32(&c, &kernel_active()->set, NULL, &scratch, &e) == ERR_OK);
        deconv_f64(&wide, NULL);
        size_t wrong = y_data[count] != 77;
        for (size_t i = 0; i < count; i++) wrong += !(fabs((double)y_data[i] - y_wide[i]) <= 1e-4);
        CHECK_U64(wrong, 0);
        arena_fini(&scratch);
    }
}

static void one_element_spreads_the_kernel(void)
{
    conv_shape s = {.spatial = 1,
                    .batch = 1,
                    .groups = 1,
                    .in_channels = 1,
                    .out_channels = 1,
                    .in = {1, 1, 2},
                    .out = {1, 1, 4},
                    .kernel = {1, 1, 3},
                    .stride = {1, 1, 2},
                    .dilation = {1, 1, 1},
                    .pad = {0, 0, 1}};
    double x[] = {1, 10}, w[] = {1, 2, 3}, y[4];
    deconv_call_f64 c = {.shape = &s, .x = x, .w = w, .y = y};
    deconv_f64(&c, NULL);
    CHECK(y[0] == 2 && y[1] == 3 + 10 && y[2] == 20 && y[3] == 30);
}

static void the_operator_finds_its_shape(void)
{
    static const int64_t two[] = {2}, five[] = {5}, extra[] = {1};
    op_case t;
    op_case_init(&t, "ConvTranspose", 22);
    op_case_ints(&t, "strides", two, 1);
    op_case_ints(&t, "output_padding", extra, 1);
    IN(&t, DT_F32, SHAPE(1, 1, 2), 1, 10);
    IN(&t, DT_F32, SHAPE(1, 2, 2), 1, 2, 3, 4);
    IN(&t, DT_F32, SHAPE(2), 0, 100);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 2, 5), 0, 1, 2, 10, 20, 0, 103, 104, 130, 140, 100);
    op_case_fini(&t);
    op_case_init(&t, "ConvTranspose", 22);
    op_case_ints(&t, "strides", two, 1);
    op_case_ints(&t, "output_shape", five, 1);
    op_case_str(&t, "auto_pad", "SAME_UPPER");
    IN(&t, DT_F64, SHAPE(1, 1, 3), 1, 10, 100);
    IN(&t, DT_F64, SHAPE(1, 1, 2), 1, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F64, SHAPE(1, 1, 5), 0, 1, 2, 10, 20, 100);
    op_case_fini(&t);
    op_case_init(&t, "ConvTranspose", 22);
    IN(&t, DT_F32, SHAPE(1, 2, 3), 1);
    IN(&t, DT_F32, SHAPE(1, 1, 2), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void columns_add_up_to_an_image(void)
{
    op_case t;
    op_case_init(&t, "Col2Im", 18);
    IN(&t, DT_F32, SHAPE(1, 2, 3), 1, 2, 3, 10, 20, 30);
    IN(&t, DT_I64, SHAPE(2), 1, 4);
    IN(&t, DT_I64, SHAPE(2), 1, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 4), 0, 1, 12, 23, 30);
    op_case_fini(&t);
    op_case_init(&t, "Col2Im", 18);
    IN(&t, DT_F32, SHAPE(1, 3, 3), 1);
    IN(&t, DT_I64, SHAPE(2), 1, 4);
    IN(&t, DT_I64, SHAPE(2), 1, 2);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void sizes_of_64_bits_are_refused(void)
{
    static const int64_t strides[] = {1 << 24}, pads[] = {1 << 23, 1 << 23, 1 << 23, 1 << 23, 1 << 23, 1 << 23};
    op_case t;
    op_case_init(&t, "ConvTranspose", 11);
    op_case_ints(&t, "strides", strides, 1);
    op_case_in(&t, DT_F32, SHAPE(0, 1, INT64_C(1) << 40), NULL, 0);
    IN(&t, DT_F32, SHAPE(1, 1, 1), 1);
    REFUSED(&t, "node 'case' (ConvTranspose, ai.onnx 11): an input of 1099511627776 with strides of 16777216 is too "
                "large");
    op_case_fini(&t);

    op_case_init(&t, "Col2Im", 18);                  /* 2^24 * 2^24 * 2^24 taps are 0 in 64 bits */
    op_case_ints(&t, "pads", pads, 6);
    IN(&t, DT_F32, SHAPE(1, 1, 1), 1);
    IN(&t, DT_I64, SHAPE(3), 1, 1, 1);
    IN(&t, DT_I64, SHAPE(3), 1 << 24, 1 << 24, 1 << 24);
    REFUSED(&t, "node 'case' (Col2Im, ai.onnx 18): image_shape and block_shape: expected fewer than 2^64 elements");
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {TEST(float_equals_the_plain_loops_in_double),
                                      TEST(one_element_spreads_the_kernel), TEST(the_operator_finds_its_shape),
                                      TEST(columns_add_up_to_an_image),
                                      TEST(sizes_of_64_bits_are_refused)};
    return test_main(cases, COUNTOF(cases));
}
