/* Samples between elements: regions averaged and maximised, and convolutions that sample where their offsets say;
 * values are worked out by hand on planes that are linear, where interpolation is exact. */
#include "op_harness.h"
#include "test.h"

static void a_region_of_a_linear_plane_averages_to_its_centre(void)
{
    op_case t;
    op_case_init(&t, "RoiAlign", 16);
    op_case_str(&t, "coordinate_transformation_mode", "output_half_pixel");
    op_case_int(&t, "output_height", 1);
    op_case_int(&t, "output_width", 2);
    op_case_int(&t, "sampling_ratio", 2);
    IN(&t, DT_F32, SHAPE(2, 1, 2, 4), 0, 1, 2, 3, 10, 11, 12, 13);
    IN(&t, DT_F32, SHAPE(1, 4), 0, 0, 2, 1);
    IN(&t, DT_I64, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 2), 1e-6, 0.5 + 5, 1.5 + 5);
    op_case_fini(&t);
    op_case_init(&t, "RoiAlign", 16);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 2), 1);
    IN(&t, DT_F32, SHAPE(1, 4), 0, 0, 2, 1);
    IN(&t, DT_I64, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "input 2: expected indices below 1, got 1") != NULL);
    op_case_fini(&t);
    op_case_init(&t, "RoiAlign", 10);
    op_case_str(&t, "mode", "max");
    op_case_int(&t, "sampling_ratio", 1);
    IN(&t, DT_F32, SHAPE(1, 1, 3, 3), 1, 2, 3, 4, 5, 6, 7, 8, 9);
    IN(&t, DT_F32, SHAPE(1, 4), 0, 0, 2, 2);
    IN(&t, DT_I64, SHAPE(1), 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 1), 1e-6, 5); /* one sample, exactly on the centre */
    op_case_fini(&t);
}

static void a_pooled_region_has_bins(void)
{
    static const int64_t size[] = {1, 2};
    op_case t;
    op_case_init(&t, "MaxRoiPool", 22);
    op_case_ints(&t, "pooled_shape", size, 2);
    op_case_float(&t, "spatial_scale", 0.5f);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 4), 8, 1, 2, 3, 4, 5, 6, 7);
    IN(&t, DT_F32, SHAPE(1, 5), 0, 2, 0, 6, 2); /* columns 1..3, both rows */
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 2), 0, 6, 7);
    op_case_fini(&t);
}

static void an_offset_moves_the_sample(void)
{
    op_case t;
    op_case_init(&t, "DeformConv", 19);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 2), 0, 1, 10, 11);
    IN(&t, DT_F32, SHAPE(2, 1, 1, 1), 1, 2);
    IN(&t, DT_F32, SHAPE(1, 2, 2, 2), 0.5, 0, 0, 1, 0.25, 0, 0, 0); /* rows, then columns */
    IN(&t, DT_F32, SHAPE(2), 0, 100);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 2), 1, 1, 0.5, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 2, 2, 2), 1e-6, 5.25, 1, 5, 0, 110.5, 102, 110, 100);
    op_case_fini(&t);
    op_case_init(&t, "DeformConv", 19);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 2), 1);
    IN(&t, DT_F32, SHAPE(2, 1, 1, 1), 1);
    IN(&t, DT_F32, SHAPE(1, 2, 2, 1), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void groups_of_any_number_are_refused(void)
{
    static const char *const names[] = {"group", "offset_group"};
    for (size_t i = 0; i < COUNTOF(names); i++) {
        op_case t;
        op_case_init(&t, "DeformConv", 19);
        op_case_int(&t, names[i], INT64_MAX);
        op_case_in(&t, DT_F32, SHAPE(1, i ? 0 : 2, 2, 2), (const double[]){1}, 1);
        op_case_in(&t, DT_F32, SHAPE(0, i ? 0 : 2, 1, 1), NULL, 0);
        op_case_in(&t, DT_F32, SHAPE(1, 0, 2, 2), NULL, 0);
        REFUSED(&t, "node 'case' (DeformConv, ai.onnx 19): groups, offsets, mask or bias do not fit the input and the "
                    "weights");
        op_case_fini(&t);
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(a_region_of_a_linear_plane_averages_to_its_centre),
                                      TEST(a_pooled_region_has_bins), TEST(an_offset_moves_the_sample),
                                      TEST(groups_of_any_number_are_refused)};
    return test_main(cases, COUNTOF(cases));
}
