/* Conv through the table: shapes from every kind of padding, half precision and double, weights known and not, and
 * input that does not fit is refused by name.  The arithmetic itself is test_conv's; values here are worked out by
 * hand. */
#include "op_harness.h"
#include "test.h"

static void padding_decides_the_shape(void)
{
    static const struct {
        const char *mode;
        int64_t out;
        double first, last;
    } rows[] = {{"SAME_UPPER", 3, 1 + 2 + 3, 5},
                {"SAME_LOWER", 3, 1 + 2, 4 + 5},
                {"VALID", 2, 1 + 2 + 3, 3 + 4 + 5},
                {"NOTSET", 2, 6, 12}};
    static const int64_t two[] = {2};
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        op_case t;
        op_case_init(&t, "Conv", 22);
        op_case_str(&t, "auto_pad", rows[i].mode);
        op_case_ints(&t, "strides", two, 1);
        IN(&t, DT_F32, SHAPE(1, 1, 5), 1, 2, 3, 4, 5);
        IN(&t, DT_F32, SHAPE(1, 1, 3), 1);
        CHECK(op_case_run(&t) == ERR_OK);
        CHECK(t.out[0].shape.dim[2] == rows[i].out);
        const float *y = t.out[0].data;
        if (i > 0) CHECK((double)y[0] == rows[i].first);
        CHECK((double)y[rows[i].out - 1] == (i == 0 ? 4 + 5 : rows[i].last));
        op_case_fini(&t);
    }
}

static void every_float_type_and_a_bias(void)
{
    static const dtype types[] = {DT_F32, DT_F16, DT_BF16, DT_F64};
    static const int64_t pads[] = {1, 1, 0, 0}, dilations[] = {1, 2};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        op_case t;
        op_case_init(&t, "Conv", 22);
        op_case_int(&t, "group", 2);
        op_case_ints(&t, "pads", pads, 4);
        op_case_ints(&t, "dilations", dilations, 2);
        IN(&t, types[i], SHAPE(1, 2, 1, 2), 1, 2, 3, 4);
        IN(&t, types[i], SHAPE(2, 1, 2, 2), 1, 2, 3, 4, 5, 6, 7, 8);
        IN(&t, types[i], SHAPE(2), 0.5, -1);
        CHECK(op_case_run(&t) == ERR_OK);
        /* kernel row 1 lies on the input row; columns -1 and 1 under the only output */
        WANT(&t, 0, types[i], SHAPE(1, 2, 1, 1), 0, 4 * 2 + 0.5, 8 * 4 - 1);
        op_case_fini(&t);
    }
}

static void what_does_not_fit_is_refused(void)
{
    op_case t;
    op_case_init(&t, "Conv", 22);
    IN(&t, DT_F32, SHAPE(1, 3, 4), 1);
    IN(&t, DT_F32, SHAPE(2, 2, 3), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "1 groups of weights [2,2,3] do not fit input [1,3,4]") != NULL);
    op_case_fini(&t);
    op_case_init(&t, "Conv", 22);
    IN(&t, DT_F32, SHAPE(1, 2, 2), 1);
    IN(&t, DT_F32, SHAPE(2, 2, 3), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "a kernel of 3, dilation 1, does not fit into 0 + 2 + 0 elements") != NULL);
    op_case_fini(&t);
    op_case_init(&t, "Conv", 22);
    op_case_str(&t, "auto_pad", "SAME");
    IN(&t, DT_F32, SHAPE(1, 2, 2), 1);
    IN(&t, DT_F32, SHAPE(2, 2, 1), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "expected NOTSET, SAME_UPPER, SAME_LOWER or VALID, got 'SAME'") != NULL);
    op_case_fini(&t);
    op_case_init(&t, "Conv", 22);
    IN(&t, DT_I32, SHAPE(1, 2, 2), 1);
    IN(&t, DT_I32, SHAPE(2, 2, 1), 1);
    CHECK(op_case_run(&t) == ERR_UNSUPPORTED);
    op_case_fini(&t);
    op_case_init(&t, "Conv", 22);
    op_case_int(&t, "group", 0);
    IN(&t, DT_F32, SHAPE(1, 2, 2), 1);
    IN(&t, DT_F32, SHAPE(2, 2, 1), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void an_empty_batch_gives_an_empty_result(void)
{
    op_case t;
    op_case_init(&t, "Conv", 22);
    op_case_in(&t, DT_F32, SHAPE(0, 1, 4), NULL, 0);
    IN(&t, DT_F32, SHAPE(2, 1, 3), 1);
    CHECK(op_case_run(&t) == ERR_OK);
    CHECK(t.out[0].shape.dim[0] == 0 && t.out[0].shape.dim[2] == 2);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {TEST(padding_decides_the_shape), TEST(every_float_type_and_a_bias),
                                      TEST(what_does_not_fit_is_refused), TEST(an_empty_batch_gives_an_empty_result)};
    return test_main(cases, COUNTOF(cases));
}
