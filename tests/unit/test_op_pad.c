/* Pad: every mode on an axis of three, cuts, and what cannot be. */
#include "op_harness.h"

static void every_mode_fills_in_its_way(void)
{
    static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
    static const double want[][8] = {
        {9, 9, 9, 1, 2, 3, 9, 9}, {2, 3, 2, 1, 2, 3, 2, 1}, {1, 1, 1, 1, 2, 3, 3, 3}, {1, 2, 3, 1, 2, 3, 1, 2}};
    for (size_t i = 0; i < COUNTOF(modes); i++) {
        op_case t;
        op_case_init(&t, "Pad", 19);
        op_case_str(&t, "mode", modes[i]);
        IN(&t, DT_F32, SHAPE(3), 1, 2, 3);
        IN(&t, DT_I64, SHAPE(2), 3, 2);
        IN(&t, DT_F32, SCALAR, 9);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_F32, SHAPE(8), 0, want[i], 8, __LINE__);
        op_case_fini(&t);
    }
}

static void chosen_axes_are_padded_and_cut(void)
{
    op_case t;
    op_case_init(&t, "Pad", 18);
    IN(&t, DT_I16, SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
    IN(&t, DT_I64, SHAPE(2), -1, 1);
    op_case_none(&t);
    IN(&t, DT_I64, SHAPE(1), -1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I16, SHAPE(2, 3), 0, 2, 3, 0, 5, 6, 0);
    op_case_fini(&t);
}

static void rows_outside_are_constant(void)
{
    static const int64_t pads[] = {1, 0, 0, 1};
    op_case t;
    op_case_init(&t, "Pad", 2);
    op_case_ints(&t, "pads", pads, 4);
    op_case_float(&t, "value", 0.5f);
    IN(&t, DT_F64, SHAPE(1, 2), 1, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F64, SHAPE(2, 3), 0, 0.5, 0.5, 0.5, 1, 2, 0.5);
    op_case_fini(&t);
}

static void what_cannot_be_is_refused(void)
{
    op_case t;
    op_case_init(&t, "Pad", 13);
    IN(&t, DT_F32, SHAPE(3), 1, 2, 3);
    IN(&t, DT_I64, SHAPE(2), -2, -2);
    REFUSED(&t, "node 'case' (Pad, ai.onnx 13): pads: axis 0 of 3 cannot take -2 and -2");
    op_case_fini(&t);
    op_case_init(&t, "Pad", 13);
    op_case_str(&t, "mode", "mirror");
    IN(&t, DT_F32, SHAPE(3), 1, 2, 3);
    IN(&t, DT_I64, SHAPE(2), 1, 1);
    REFUSED(&t, "node 'case' (Pad, ai.onnx 13): mode: expected constant, reflect, edge or wrap, got 'mirror'");
    op_case_fini(&t);
    op_case_init(&t, "Pad", 13);
    op_case_str(&t, "mode", "edge");
    IN(&t, DT_F32, SHAPE(0), 0);
    IN(&t, DT_I64, SHAPE(2), 1, 1);
    REFUSED(&t, "node 'case' (Pad, ai.onnx 13): pads: axis 0 has no element to repeat");
    op_case_fini(&t);
}

/* The two undo each other, and either alone is no number to turn round. */
static void pads_are_no_larger_than_shapes(void)
{
    op_case t;
    op_case_init(&t, "Pad", 13);
    IN(&t, DT_F32, SHAPE(2), 1, 2);
    IN(&t, DT_I64, SHAPE(2), -0x1p63, 0x1p63);
    REFUSED(&t, "node 'case' (Pad, ai.onnx 13): pads: axis 0 of 2 cannot take -9223372036854775808 and "
                "9223372036854775807");
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_mode_fills_in_its_way),
        TEST(chosen_axes_are_padded_and_cut),
        TEST(rows_outside_are_constant),
        TEST(what_cannot_be_is_refused),
        TEST(pads_are_no_larger_than_shapes),
    };
    return test_main(cases, COUNTOF(cases));
}
