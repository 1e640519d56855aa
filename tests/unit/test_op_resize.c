/* Resize: the values of the ONNX specification's examples, by hand, for each filter and way of counting coordinates. */
#include "op_harness.h"

#include <math.h>
#include <string.h>

static bool shape_is(const op_case *t, shape want) { return shape_eq(&t->out[0].shape, &want); }

static void resize(op_case *t, const char *mode, const char *how, double scale)
{
    op_case_init(t, "Resize", 13);
    op_case_str(t, "mode", mode);
    if (how) op_case_str(t, "coordinate_transformation_mode", how);
    IN(t, DT_F32, SHAPE(1, 4), 1, 2, 3, 4);
    op_case_none(t);
    IN(t, DT_F32, SHAPE(2), 1, scale);
}

static void nearest_repeats(void)
{
    op_case t;
    resize(&t, "nearest", "asymmetric", 2);
    op_case_str(&t, "nearest_mode", "floor");
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 8), 0, 1, 1, 2, 2, 3, 3, 4, 4);
    op_case_fini(&t);
}

static void linear_weighs_two(void)
{
    op_case t;
    resize(&t, "linear", NULL, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 8), 1e-6, 1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4);
    op_case_fini(&t);
    resize(&t, "linear", "align_corners", 1.75);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 7), 1e-6, 1, 1.5, 2, 2.5, 3, 3.5, 4);
    op_case_fini(&t);
    resize(&t, "linear", NULL, 0.5);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 2), 1e-6, 1.5, 3.5);
    op_case_fini(&t);
}

static void cubic_weighs_four(void)
{
    op_case t;
    resize(&t, "cubic", NULL, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 8), 1e-5, 0.89453125, 1.19140625, 1.66796875, 2.296875, 2.703125, 3.33203125,
         3.80859375, 4.10546875);
    op_case_fini(&t);
}

static void sizes_keep_the_ratio_when_asked(void)
{
    op_case t;
    op_case_init(&t, "Resize", 18);
    op_case_str(&t, "keep_aspect_ratio_policy", "not_larger");
    IN(&t, DT_U8, SHAPE(2, 4), 1, 2, 3, 4, 5, 6, 7, 8);
    op_case_none(&t);
    op_case_none(&t);
    IN(&t, DT_I64, SHAPE(2), 2, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    CHECK(shape_is(&t, SHAPE(1, 2)));
    op_case_fini(&t);
}

static void old_upsample_is_resize(void)
{
    static const float scales[] = {1, 2};
    op_case t;
    op_case_init(&t, "Upsample", 7);
    op_case_floats(&t, "scales", scales, 2);
    IN(&t, DT_F32, SHAPE(2, 2), 1, 2, 3, 4);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 4), 0, 1, 1, 2, 2, 3, 3, 4, 4);
    op_case_fini(&t);
}

static void scales_must_be_positive_and_complete(void)
{
    op_case t;
    resize(&t, "nearest", NULL, 0);
    REFUSED(&t, "node 'case' (Resize, ai.onnx 13): scales[1]: expected more than 0, got 0");
    op_case_fini(&t);
    resize(&t, "lanczos", NULL, 2);
    REFUSED(&t, "node 'case' (Resize, ai.onnx 13): mode: 'lanczos' is not implemented");
    op_case_fini(&t);
}

static void regions_and_sizes_beyond_all_numbers(void)
{
    static const double ends[] = {1e30, INFINITY, NAN, -1e30};
    for (size_t i = 0; i < 2 * COUNTOF(ends); i++) {
        op_case t;
        op_case_init(&t, "Resize", 13);
        op_case_str(&t, "mode", i % 2 ? "nearest" : "cubic");
        op_case_str(&t, "coordinate_transformation_mode", "tf_crop_and_resize");
        IN(&t, DT_F32, SHAPE(1, 4), 1, 2, 3, 4);
        IN(&t, DT_F32, SHAPE(4), 0, 0, 1, ends[i / 2]);
        IN(&t, DT_F32, SHAPE(2), 1, 1);
        CHECK(op_case_run(&t) == ERR_INVALID);
        CHECK(strstr(t.e.text, "roi: expected fewer than 2^53 elements, got ") != NULL);
        op_case_fini(&t);
    }
    for (size_t i = 0; i < COUNTOF(ends); i++) {         /* what lies outside is the value of outside */
        op_case t;
        op_case_init(&t, "Resize", 13);
        op_case_str(&t, "mode", i % 2 ? "linear" : "nearest");
        op_case_str(&t, "coordinate_transformation_mode", "tf_crop_and_resize");
        op_case_float(&t, "extrapolation_value", 7);
        IN(&t, DT_F32, SHAPE(1, 4), 1, 2, 3, 4);
        IN(&t, DT_F32, SHAPE(4), 0, 1e30, 1, 2e30);
        op_case_in(&t, DT_F32, SHAPE(0), NULL, 0);
        IN(&t, DT_I64, SHAPE(2), 1, 2);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_F32, SHAPE(1, 2), 0, 7, 7);
        op_case_fini(&t);
    }
    op_case t;
    op_case_init(&t, "Resize", 18);
    op_case_str(&t, "keep_aspect_ratio_policy", "not_smaller");
    IN(&t, DT_F32, SHAPE(1, 4), 1);
    op_case_none(&t);
    op_case_none(&t);
    IN(&t, DT_I64, SHAPE(2), 0x1p63, 1);
    REFUSED(&t, "node 'case' (Resize, ai.onnx 18): sizes[0]: expected fewer than 2^53 elements, got 9.22337e+18");
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(nearest_repeats),        TEST(linear_weighs_two),
        TEST(cubic_weighs_four),      TEST(sizes_keep_the_ratio_when_asked),
        TEST(old_upsample_is_resize), TEST(scales_must_be_positive_and_complete),
        TEST(regions_and_sizes_beyond_all_numbers),
    };
    return test_main(cases, COUNTOF(cases));
}
