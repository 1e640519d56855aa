/* Boxes are suppressed by the rule, whatever the order of their corners; cropping and padding keep the centre. */
#include "op_harness.h"

#include <math.h>

static void nms(op_case *t, double count, double overlap)
{
    op_case_init(t, "NonMaxSuppression", 11);
    IN(t, DT_F32, SHAPE(1, 5, 4), 0, 0, 1, 1, /* the same with its corners the other way round */ 1, 1, 0, 0,
       /* half of it */ 0, 0.5, 1, 1.5, /* far away */ 5, 5, 6, 6, /* without area */ 5, 5, 5, 5);
    IN(t, DT_F32, SHAPE(1, 1, 5), 0.5, 0.9, 0.75, 0.5, 0.25);
    IN(t, DT_I64, SHAPE(1), count);
    IN(t, DT_F32, SHAPE(1), overlap);
}

static void the_best_of_overlapping_boxes_stay(void)
{
    op_case t;
    nms(&t, 9, 0.25);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(3, 3), 0, 0, 0, 1, 0, 0, 3, 0, 0, 4);
    op_case_fini(&t);
    nms(&t, 9, 0.5);   /* half and half overlap by a third */
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(4, 3), 0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 4);
    op_case_fini(&t);
    nms(&t, 1, 0.5);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(1, 3), 0, 0, 0, 1);
    op_case_fini(&t);
}

static void no_count_and_negative_ones_select_nothing(void)
{
    op_case t;
    nms(&t, -1, 0.5);
    CHECK(op_case_run(&t) == ERR_OK);
    CHECK_U64((uint64_t)t.out[0].shape.dim[0], 0);
    op_case_fini(&t);
    op_case_init(&t, "NonMaxSuppression", 10);
    IN(&t, DT_F32, SHAPE(1, 1, 4), 0, 0, 1, 1);
    IN(&t, DT_F32, SHAPE(1, 1, 1), 1);
    CHECK(op_case_run(&t) == ERR_OK);
    CHECK_U64((uint64_t)t.out[0].shape.dim[0], 0);
    op_case_fini(&t);
}

static void low_scores_and_nans_are_left_out(void)
{
    op_case t;
    op_case_init(&t, "NonMaxSuppression", 11);
    op_case_int(&t, "center_point_box", 1);
    IN(&t, DT_F32, SHAPE(1, 3, 4), 0, 0, 1, 1, 9, 0, 1, 1, 18, 0, 1, 1);
    IN(&t, DT_F32, SHAPE(1, 1, 3), 0.5, (double)NAN, 0.75);
    IN(&t, DT_I64, SHAPE(1), 5);
    op_case_none(&t);
    IN(&t, DT_F32, SHAPE(1), 0.5);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(1, 3), 0, 0, 0, 2);
    op_case_fini(&t);
}

static void boxes_that_do_not_fit_their_scores_are_refused(void)
{
    op_case t;
    op_case_init(&t, "NonMaxSuppression", 11);
    IN(&t, DT_F32, SHAPE(1, 3, 4), 0);
    IN(&t, DT_F32, SHAPE(1, 1, 2), 0);
    REFUSED(&t, "node 'case' (NonMaxSuppression, ai.onnx 11): expected boxes [n,m,4] and scores [n,classes,m], got "
                "[1,3,4] and [1,1,2]");
    op_case_fini(&t);
    nms(&t, 1, 1.5);
    REFUSED(&t, "node 'case' (NonMaxSuppression, ai.onnx 11): iou_threshold: expected 0 to 1, got 1.5");
    op_case_fini(&t);
}

/* `boxes` that do not touch, so that each is compared with all that stay before it. */
static void apart(op_case *t, int64_t boxes, int64_t classes, int64_t count, double score)
{
    double corners[4 * 512];
    INVARIANT(boxes <= 512);
    for (int i = 0; i < boxes; i++) memcpy(corners + 4 * i, (double[]){2 * i, 0, 2 * i + 1, 1}, 4 * sizeof *corners);
    op_case_init(t, "NonMaxSuppression", 11);
    op_case_in(t, DT_F32, SHAPE(1, boxes, 4), corners, (size_t)(4 * boxes));
    IN(t, DT_F32, SHAPE(1, classes, boxes), score);
    IN(t, DT_I64, SHAPE(1), (double)count);
    IN(t, DT_F32, SHAPE(1), 0.5);
    IN(t, DT_F32, SHAPE(1), 0.25);
}

static void a_run_can_end_between_two_boxes_or_classes(void)
{
    static const _Atomic bool yes = true, no = false;
    op_case t;
    apart(&t, 400, 1, 400, 1);   /* 79,800 pairs */
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_CANCELLED);
    CHECK_STR(t.e.text, "node 'case' (NonMaxSuppression, ai.onnx 11): cancelled before the last node");
    op_case_fini(&t);
    apart(&t, 400, 1, 400, 1);
    CHECK(op_case_run_cancelled(&t, &no) == ERR_OK);
    CHECK_U64((uint64_t)t.out[0].shape.dim[0], 400);
    op_case_fini(&t);
    apart(&t, 50, 1400, 1, 0);   /* none is compared: 70,000 scores */
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_CANCELLED);
    op_case_fini(&t);
    apart(&t, 20, 1, 20, 1);
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_OK);   /* over before it was worth a look */
    op_case_fini(&t);
}

static void crops_and_pads_keep_the_centre(void)
{
    op_case t;
    op_case_init(&t, "CenterCropPad", 18);
    IN(&t, DT_I16, SHAPE(2, 4), 1, 2, 3, 4, 5, 6, 7, 8);
    IN(&t, DT_I64, SHAPE(2), 5, 1);   /* one row before and two behind; columns 1 .. 1 */
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I16, SHAPE(5, 1), 0, 0, 2, 6, 0, 0);
    op_case_fini(&t);

    op_case_init(&t, "CenterCropPad", 18);
    op_case_ints(&t, "axes", (const int64_t[]){-1}, 1);
    IN(&t, DT_F32, SHAPE(2, 2), 1, 2, 3, 4);
    IN(&t, DT_I32, SHAPE(1), 5);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 5), 0, 0, 1, 2, 0, 0, 0, 3, 4, 0, 0);
    op_case_fini(&t);

    op_case_init(&t, "CenterCropPad", 18);
    IN(&t, DT_F32, SHAPE(2, 2), 1);
    IN(&t, DT_I64, SHAPE(1), 5);
    REFUSED(&t, "node 'case' (CenterCropPad, ai.onnx 18): shape: expected 2 sizes, got 1");
    op_case_fini(&t);

    op_case_init(&t, "CenterCropPad", 18);
    IN(&t, DT_F32, SHAPE(2, 2), 1);
    IN(&t, DT_I64, SHAPE(2), 5, -1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(the_best_of_overlapping_boxes_stay),
        TEST(no_count_and_negative_ones_select_nothing),
        TEST(low_scores_and_nans_are_left_out),
        TEST(boxes_that_do_not_fit_their_scores_are_refused),
        TEST(a_run_can_end_between_two_boxes_or_classes),
        TEST(crops_and_pads_keep_the_centre),
    };
    return test_main(cases, COUNTOF(cases));
}
