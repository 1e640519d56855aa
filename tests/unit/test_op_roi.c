/* Samples between elements: regions averaged and maximised, and convolutions that sample where their offsets say;
 * values are worked out by hand on planes that are linear, where interpolation is exact. */
#include "op_harness.h"
#include "test.h"

#include <math.h>

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

/* ---- RoiAlign beside a plain loop over all samples, those outside the plane included ------------------------- */

enum { PLANE = 5, BINS = 2 };

typedef struct {
    double x[PLANE * PLANE], roi[4];
    bool half_pixel, most;
    int sampling;
} align_case;

/* The weight of element i for a position along one side, which is held at the edges. */
static double tent(double at, int i)
{
    at = at < 0 ? 0 : at > PLANE - 1 ? PLANE - 1 : at;
    double far = fabs(at - i);
    return far < 1 ? 1 - far : 0;
}

static double naive_bin(const align_case *k, int ph, int pw)
{
    double offset = k->half_pixel ? 0.5 : 0, least = k->half_pixel ? -1e9 : 1, sum = 0, most = -1e9;
    double height = fmax(k->roi[3] - k->roi[1], least) / BINS, width = fmax(k->roi[2] - k->roi[0], least) / BINS;
    int rows = k->sampling ? k->sampling : (int)ceil(height), columns = k->sampling ? k->sampling : (int)ceil(width);
    for (int i = 0; i < rows * columns; i++) {
        double y = k->roi[1] - offset + ph * height + (i / columns + 0.5) * height / rows;
        double x = k->roi[0] - offset + pw * width + (i % columns + 0.5) * width / columns;
        bool inside = y >= -1 && y <= PLANE && x >= -1 && x <= PLANE;
        int neighbours = 0;
        for (int at = 0; at < PLANE * PLANE; at++) {
            double weight = inside ? tent(y, at / PLANE) * tent(x, at % PLANE) : 0;
            if (weight == 0) continue;
            sum += weight * k->x[at];
            most = fmax(most, weight * k->x[at]);
            neighbours++;
        }
        if (neighbours < 4) most = fmax(most, 0);   /* there are always four: of weight 0, or outside */
    }
    bool any = rows > 0 && columns > 0;
    return !any ? 0 : k->most ? most : sum / (rows * columns);
}

static void align_run(op_case *t, const align_case *k)
{
    op_case_init(t, "RoiAlign", 16);
    op_case_str(t, "mode", k->most ? "max" : "avg");
    op_case_str(t, "coordinate_transformation_mode", k->half_pixel ? "half_pixel" : "output_half_pixel");
    op_case_int(t, "output_height", BINS);
    op_case_int(t, "output_width", BINS);
    op_case_int(t, "sampling_ratio", k->sampling);
    op_case_in(t, DT_F32, SHAPE(1, 1, PLANE, PLANE), k->x, PLANE * PLANE);
    op_case_in(t, DT_F32, SHAPE(1, 4), k->roi, 4);
    IN(t, DT_I64, SHAPE(1), 0);
    CHECK(op_case_run(t) == ERR_OK);
}

/* Corners on eighths, so that float32 and double put samples on the same side of an edge. */
static void regions_inside_across_and_outside_are_as_the_plain_loop_has_them(void)
{
    uint64_t seed = 7;
    for (int n = 0; n < 4000; n++) {
        align_case k = {.half_pixel = n & 1, .most = n >> 1 & 1, .sampling = n >> 2 & 1 ? 2 << (n >> 3 & 1) : 0};
        int reach = n % 3 == 0 ? 8 : n % 3 == 1 ? 20 : 120;
        for (int i = 0; i < PLANE * PLANE; i++) k.x[i] = -1 - (double)(test_rand(&seed) % 64);
        for (int i = 0; i < 4; i++) k.roi[i] = (double)(test_rand(&seed) % (unsigned)(16 * reach)) / 8 - reach;
        double want[BINS * BINS];
        for (int i = 0; i < BINS * BINS; i++) want[i] = naive_bin(&k, i / BINS, i % BINS);
        op_case t;
        align_run(&t, &k);
        op_case_check(&t, 0, DT_F32, SHAPE(1, 1, BINS, BINS), 1e-5, want, BINS * BINS, __LINE__);
        op_case_fini(&t);
        if (test_failures) break;
    }
}

static void region(op_case *t, int64_t plane, double x0, double y0, double x1, double y1)
{
    op_case_init(t, "RoiAlign", 10);
    IN(t, DT_F32, SHAPE(1, 1, plane, plane), 1 << 22);
    IN(t, DT_F32, SHAPE(1, 4), x0, y0, x1, y1);
    IN(t, DT_I64, SHAPE(1), 0);
}

/* 7/3 - 1/3 is a last bit more than 2 in float32, so that there are three samples, as in ONNX Runtime. */
static void a_side_is_the_difference_of_its_scaled_ends(void)
{
    op_case t;
    op_case_init(&t, "RoiAlign", 16);
    op_case_str(&t, "mode", "max");
    op_case_float(&t, "spatial_scale", 1.0f / 3);
    IN(&t, DT_F32, SHAPE(1, 1, 1, 4), 0, 0, 9, 0);
    IN(&t, DT_F32, SHAPE(1, 4), 1, 0, 7, 3);
    IN(&t, DT_I64, SHAPE(1), 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 1), 1e-5, 4.5);   /* the third stands at 1.5; of two the second would at 4/3 */
    op_case_fini(&t);
}

/* Only the samples in the plane are visited: two of each side's millions, which is too little work for a look. */
static void a_huge_region_costs_no_more_than_the_plane(void)
{
    static const _Atomic bool yes = true;
    static const double side = 1 << 22;
    op_case t;
    region(&t, 1, -side, 0, side, 1);
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 1), 1e-6, 1);   /* 2 of 2^23 samples are in the plane */
    op_case_fini(&t);
    region(&t, 1, -side, -side, side, side);
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 1), 1e-12, 0x1p-22);   /* 4 of 2^46 */
    op_case_fini(&t);
    region(&t, 1, side, side, 2 * side, 2 * side);
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 1), 0, 0);
    op_case_fini(&t);
    region(&t, 1, 3e38, -3e38, 3e38, -3e38);
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 1), 0, 0);
    op_case_fini(&t);
}

static void regions_that_no_grid_can_cover_are_refused(void)
{
    op_case t;
    region(&t, 1, 0, 0, 0x1p23 + 1, 1);
    REFUSED(&t, "node 'case' (RoiAlign, ai.onnx 10): input 1: region 0: expected at most 8388608 samples along a side "
                "of a bin, got 8.38861e+06");
    op_case_fini(&t);
    region(&t, 1, 0, -3e38, 1, 3e38);
    REFUSED(&t, "node 'case' (RoiAlign, ai.onnx 10): input 1: region 0: expected at most 8388608 samples along a side "
                "of a bin, got inf");
    op_case_fini(&t);
    region(&t, 1, 0, 0, 1, (double)INFINITY);
    REFUSED(&t, "node 'case' (RoiAlign, ai.onnx 10): input 1: region 0: expected finite numbers, got inf");
    op_case_fini(&t);
    region(&t, 1, (double)NAN, 0, 1, 1);
    op_case_int(&t, "sampling_ratio", 2);
    REFUSED(&t, "node 'case' (RoiAlign, ai.onnx 10): input 1: region 0: expected finite numbers, got nan");
    op_case_fini(&t);
    region(&t, 1, 0, 0, 1, 1);
    op_case_int(&t, "sampling_ratio", 4097);
    REFUSED(&t, "node 'case' (RoiAlign, ai.onnx 10): sampling_ratio: expected at most 4096, got 4097");
    op_case_fini(&t);
}

static void a_run_can_end_between_two_rows_of_samples(void)
{
    static const _Atomic bool yes = true, no = false;
    op_case t;
    region(&t, 300, 0, 0, 300, 300);   /* 90,000 samples */
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_CANCELLED);
    CHECK_STR(t.e.text, "node 'case' (RoiAlign, ai.onnx 10): cancelled before the last node");
    op_case_fini(&t);
    region(&t, 300, 0, 0, 300, 300);
    CHECK(op_case_run_cancelled(&t, &no) == ERR_OK);
    op_case_fini(&t);
    region(&t, 1, 10, 10, 11, 11);   /* nothing in any of 70,000 bins */
    op_case_int(&t, "output_width", 70000);
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_CANCELLED);
    op_case_fini(&t);
    op_case_init(&t, "MaxRoiPool", 1);
    op_case_ints(&t, "pooled_shape", (const int64_t[]){1, 1}, 2);
    IN(&t, DT_F32, SHAPE(1, 1, 300, 300), 1);
    IN(&t, DT_F32, SHAPE(1, 5), 0, 0, 0, 299, 299);
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_CANCELLED);
    op_case_fini(&t);
}

/* ---- the others ---------------------------------------------------------------------------------------------- */

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
                                      TEST(regions_inside_across_and_outside_are_as_the_plain_loop_has_them),
                                      TEST(a_side_is_the_difference_of_its_scaled_ends),
                                      TEST(a_huge_region_costs_no_more_than_the_plane),
                                      TEST(regions_that_no_grid_can_cover_are_refused),
                                      TEST(a_run_can_end_between_two_rows_of_samples),
                                      TEST(a_pooled_region_has_bins), TEST(an_offset_moves_the_sample),
                                      TEST(groups_of_any_number_are_refused)};
    return test_main(cases, COUNTOF(cases));
}
