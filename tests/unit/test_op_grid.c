/* GridSample looks where the grid says, in each mode, padding and number of dimensions; AffineGrid's identity gives the
 * plane back. */
#include "op_harness.h"

#include <math.h>

static void init(op_case *t, int64_t opset, const char *mode, const char *padding, bool align)
{
    op_case_init(t, "GridSample", opset);
    op_case_str(t, "mode", mode);
    op_case_str(t, "padding_mode", padding);
    op_case_int(t, "align_corners", align);
}

static void linear_weighs_the_four_neighbours(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_F16};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        op_case t;
        init(&t, 16, "bilinear", "zeros", true);
        IN(&t, types[i], SHAPE(1, 2, 2, 2), 1, 2, 3, 4, 10, 20, 30, 40);
        /* corners, the middle, half an element outside */
        IN(&t, types[i], SHAPE(1, 1, 4, 2), -1, -1, 1, 1, 0, 0, 2, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[i], SHAPE(1, 2, 1, 4), 1e-6, 1, 4, 2.5, 2, 10, 40, 25, 20);
        op_case_fini(&t);
    }
}

static void paddings_differ_outside_only(void)
{
    static const struct { const char *padding; double want[4]; } cases[] = {
        {"zeros", {0, 2, 0, 0}}, {"border", {1, 2, 3, 3}}, {"reflection", {2, 2, 2, 1}}};
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        op_case t;
        init(&t, 20, "nearest", cases[i].padding, false);
        IN(&t, DT_F32, SHAPE(1, 1, 3), 1, 2, 3);                              /* elements -1, 1, 4 and 5 */
        IN(&t, DT_F32, SHAPE(1, 4, 1), -5.0 / 3 + 1e-3 - 2.0 / 3, 0, 2, 8.0 / 3);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_F32, SHAPE(1, 1, 4), 0, cases[i].want, 4, __LINE__);
        op_case_fini(&t);
    }
}

static void coordinates_that_are_no_numbers_stay_inside(void)
{
    static const char *const modes[] = {"linear", "nearest", "cubic"},
                      *const pads[] = {"zeros", "border", "reflection"};
    for (int i = 0; i < 18; i++) {
        op_case t;
        init(&t, 20, modes[i % 3], pads[i / 3 % 3], i / 9);
        IN(&t, DT_F32, SHAPE(1, 1, 1, 3), 1, 2, 3);
        IN(&t, DT_F32, SHAPE(1, 1, 4, 2), (double)NAN, 0, (double)INFINITY, 0, -1e30, 1e30, 0, (double)NAN);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_fini(&t);
    }
}

static void cubic_reproduces_a_line(void)
{
    op_case t;
    init(&t, 20, "cubic", "border", true);
    IN(&t, DT_F64, SHAPE(1, 1, 1, 5), 0, 1, 2, 3, 4);
    IN(&t, DT_F64, SHAPE(1, 1, 2, 2), 0, -1, 0.125, -1);   /* elements 2 and 2.25 */
    CHECK(op_case_run(&t) == ERR_OK);
    /* The kernel with a = -0.75 overshoots a line by t (1 - t) (1 - 2 t) / 2. */
    WANT(&t, 0, DT_F64, SHAPE(1, 1, 1, 2), 1e-12, 2, 2.25 + 0.25 * 0.75 * 0.5 / 2);
    op_case_fini(&t);
}

static void volumes_have_eight_neighbours(void)
{
    op_case t;
    init(&t, 20, "linear", "zeros", true);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 2, 2), 0, 1, 2, 3, 4, 5, 6, 7);
    IN(&t, DT_F32, SHAPE(1, 1, 1, 2, 3), 0, 0, 0, 1, 0, -1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 1, 2), 1e-6, 3.5, 2);
    op_case_fini(&t);
}

static void what_does_not_fit_is_refused(void)
{
    op_case t;
    init(&t, 16, "linear", "zeros", true);   /* a name of version 20 */
    IN(&t, DT_F32, SHAPE(1, 1, 2, 2), 0);
    IN(&t, DT_F32, SHAPE(1, 1, 1, 2), 0);
    REFUSED(&t, "node 'case' (GridSample, ai.onnx 16): mode: expected bilinear, nearest or bicubic, got 'linear'");
    op_case_fini(&t);
    init(&t, 20, "linear", "zeros", true);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 2), 0);
    IN(&t, DT_F32, SHAPE(1, 1, 1, 3), 0);
    REFUSED(&t, "node 'case' (GridSample, ai.onnx 20): grid: expected [1,...,2], got [1,1,1,3]");
    op_case_fini(&t);
    init(&t, 20, "linear", "zeros", true);
    IN(&t, DT_F32, SHAPE(1, 1, 0, 2), 0);
    IN(&t, DT_F32, SHAPE(1, 1, 1, 2), 0);
    REFUSED(&t, "node 'case' (GridSample, ai.onnx 20): expected planes with elements to look at");
    op_case_fini(&t);
}

static void the_identity_gives_the_places_of_the_elements(void)
{
    op_case t;
    op_case_init(&t, "AffineGrid", 20);
    IN(&t, DT_F32, SHAPE(1, 2, 3), 1, 0, 0, 0, 1, 0);
    IN(&t, DT_I64, SHAPE(4), 1, 9, 2, 4);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 2, 4, 2), 1e-6, -0.75, -0.5, -0.25, -0.5, 0.25, -0.5, 0.75, -0.5, -0.75, 0.5, -0.25,
         0.5, 0.25, 0.5, 0.75, 0.5);
    op_case_fini(&t);

    op_case_init(&t, "AffineGrid", 20);
    op_case_int(&t, "align_corners", 1);
    IN(&t, DT_F64, SHAPE(1, 3, 4), 0, 0, 1, 10, 0, 2, 0, 0, 1, 0, 0, 0);   /* z + 10, 2 y, x */
    IN(&t, DT_I64, SHAPE(5), 1, 1, 2, 1, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F64, SHAPE(1, 2, 1, 2, 3), 1e-12, 9, -2, -1, 9, -2, 1, 11, -2, -1, 11, -2, 1);
    op_case_fini(&t);

    op_case_init(&t, "AffineGrid", 20);
    IN(&t, DT_F32, SHAPE(1, 2, 3), 1);
    IN(&t, DT_I64, SHAPE(5), 1, 1, 1, 1, 1);
    REFUSED(&t, "node 'case' (AffineGrid, ai.onnx 20): expected theta [n,2,3] with a size of 4 or [n,3,4] with one of "
                "5, got [1,2,3] and 5");
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(linear_weighs_the_four_neighbours),
        TEST(paddings_differ_outside_only),
        TEST(coordinates_that_are_no_numbers_stay_inside),
        TEST(cubic_reproduces_a_line),
        TEST(volumes_have_eight_neighbours),
        TEST(what_does_not_fit_is_refused),
        TEST(the_identity_gives_the_places_of_the_elements),
    };
    return test_main(cases, COUNTOF(cases));
}
