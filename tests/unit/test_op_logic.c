/* Comparisons give bool for every type, NaN is equal to nothing, bits are those of the type, and Where takes from the
 * side that its condition names. */
#include "op_harness.h"

#include <math.h>

static void two(const char *op, dtype type, const double *a, const double *b, size_t n, dtype out, const double *want,
                int line)
{
    op_case t;
    shape s = SHAPE((int64_t)n);
    op_case_init(&t, op, 26);
    op_case_in(&t, type, s, a, n);
    op_case_in(&t, type, s, b, n);
    CHECK(op_case_run(&t) == ERR_OK);
    op_case_check(&t, 0, out, s, 0, want, n, line);
    op_case_fini(&t);
}
#define LIST(...) (const double[]){__VA_ARGS__}
#define TWO(op, type, a, b, n, out, ...) two(op, type, a, b, n, out, LIST(__VA_ARGS__), __LINE__)

static void comparisons_are_bool_in_every_type(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_BF16, DT_U8,  DT_I8,
                                  DT_U16, DT_I16, DT_U32, DT_I32,  DT_U64, DT_I64};
    for (size_t k = 0; k < COUNTOF(types); k++) {
        const double *a = LIST(1, 2, 3), *b = LIST(2, 2, 2);
        TWO("Equal", types[k], a, b, 3, DT_BOOL, 0, 1, 0);
        TWO("Less", types[k], a, b, 3, DT_BOOL, 1, 0, 0);
        TWO("Greater", types[k], a, b, 3, DT_BOOL, 0, 0, 1);
        TWO("LessOrEqual", types[k], a, b, 3, DT_BOOL, 1, 1, 0);
        TWO("GreaterOrEqual", types[k], a, b, 3, DT_BOOL, 0, 1, 1);
    }
    double nan = (double)NAN;
    TWO("Equal", DT_F32, LIST(nan, 0), LIST(nan, -0.0), 2, DT_BOOL, 0, 1);
    TWO("Less", DT_F32, LIST(nan, 1), LIST(1, nan), 2, DT_BOOL, 0, 0);
    TWO("Less", DT_U64, LIST(0x1p63, 1), LIST(1, 0x1p63), 2, DT_BOOL, 0, 1);      /* no sign */
    TWO("Equal", DT_BOOL, LIST(1, 0), LIST(1, 1), 2, DT_BOOL, 1, 0);
}

static void strings_are_equal_byte_for_byte(void)
{
    op_case t;
    op_case_init(&t, "Equal", 19);
    op_case_strings(&t, SHAPE(3), (const char *const[]){"a", "bc", ""});
    op_case_strings(&t, SHAPE(1), (const char *const[]){"bc"});
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_BOOL, SHAPE(3), 0, 0, 1, 0);
    op_case_fini(&t);
}

static void logic_and_bits(void)
{
    const double *a = LIST(0, 0, 1, 1), *b = LIST(0, 1, 0, 1);
    TWO("And", DT_BOOL, a, b, 4, DT_BOOL, 0, 0, 0, 1);
    TWO("Or", DT_BOOL, a, b, 4, DT_BOOL, 0, 1, 1, 1);
    TWO("Xor", DT_BOOL, a, b, 4, DT_BOOL, 0, 1, 1, 0);
    TWO("BitwiseAnd", DT_I8, LIST(-1, 12), LIST(5, 10), 2, DT_I8, 5, 8);
    TWO("BitwiseOr", DT_U16, LIST(65280, 12), LIST(5, 10), 2, DT_U16, 65285, 14);
    TWO("BitwiseXor", DT_U64, LIST(0x1p63, 12), LIST(0x1p63, 10), 2, DT_U64, 0, 6);
    op_case t;
    op_case_init(&t, "Not", 1);
    IN(&t, DT_BOOL, SHAPE(2), 0, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_BOOL, SHAPE(2), 0, 1, 0);
    op_case_fini(&t);
    op_case_init(&t, "BitwiseNot", 18);
    IN(&t, DT_U8, SHAPE(2), 0, 200);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_U8, SHAPE(2), 0, 255, 55);
    op_case_fini(&t);
}

static void shifts_lose_what_leaves_the_type(void)
{
    static const struct { const char *direction; dtype type; double a, b, want;
    } rows[] = {{"LEFT", DT_U8, 129, 1, 2},       {"LEFT", DT_U32, 1, 31, 0x1p31}, {"LEFT", DT_U64, 1, 63, 0x1p63},
                {"LEFT", DT_U8, 1, 8, 0},         {"LEFT", DT_U64, 1, 64, 0},      {"RIGHT", DT_U8, 129, 1, 64},
                {"RIGHT", DT_U64, 0x1p63, 63, 1}, {"RIGHT", DT_U32, 7, 200, 0}};
    for (size_t k = 0; k < COUNTOF(rows); k++) {
        op_case t;
        op_case_init(&t, "BitShift", 11);
        op_case_str(&t, "direction", rows[k].direction);
        op_case_in(&t, rows[k].type, SHAPE(1), &rows[k].a, 1);
        op_case_in(&t, rows[k].type, SHAPE(1), &rows[k].b, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, rows[k].type, SHAPE(1), 0, &rows[k].want, 1, __LINE__);
        op_case_fini(&t);
    }
}

static void infinities_and_nans_are_told_apart(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_BF16, DT_F8E5M2};
    double inf = (double)INFINITY, nan = (double)NAN;
    uint8_t e5m2[5] = {0x7c, 0xfc, 0x7e, 0x00, 0x3c};
    for (size_t k = 0; k < COUNTOF(types); k++) {
        for (int64_t which = 0; which < 3; which++) {      /* 0: NaN, 1: both infinities, 2: only the positive one */
            op_case t;
            op_case_init(&t, which ? "IsInf" : "IsNaN", 20);
            if (which == 2)
                op_case_int(&t, "detect_negative", 0);
            IN(&t, types[k], SHAPE(5), inf, -inf, nan, 0, 1);
            if (types[k] == DT_F8E5M2)
                memcpy(t.in[0].data, e5m2, sizeof e5m2);      /* putting saturates */
            CHECK(op_case_run(&t) == ERR_OK);
            WANT(&t, 0, DT_BOOL, SHAPE(5), 0, which > 0, which == 1, which == 0, 0, 0);
            op_case_fini(&t);
        }
    }
}

static void where_takes_the_chosen_side(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_BF16, DT_U8, DT_I64, DT_U64, DT_BOOL};
    op_case t;
    for (size_t k = 0; k < COUNTOF(types); k++) {
        op_case_init(&t, "Where", 16);
        IN(&t, DT_BOOL, SHAPE(2, 1), 1, 0);
        IN(&t, types[k], SHAPE(2), 1, 0);
        IN(&t, types[k], SCALAR, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[k], SHAPE(2, 2), 0, 1, 0, 1, 1);
        op_case_fini(&t);
    }
    op_case_init(&t, "Where", 16);
    IN(&t, DT_BOOL, SHAPE(2), 1, 0);
    op_case_strings(&t, SHAPE(1), (const char *const[]){"yes"});
    op_case_strings(&t, SHAPE(1), (const char *const[]){"no"});
    CHECK(op_case_run(&t) == ERR_OK);
    CHECK(str_is(((str *)t.out[0].data)[0], "yes") && str_is(((str *)t.out[0].data)[1], "no"));
    op_case_fini(&t);
    op_case_init(&t, "Where", 16);
    IN(&t, DT_F32, SHAPE(2), 1, 0);
    IN(&t, DT_F32, SHAPE(2), 1, 0);
    IN(&t, DT_F32, SHAPE(2), 1, 0);
    CHECK(op_case_run(&t) == ERR_UNSUPPORTED);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(comparisons_are_bool_in_every_type),
        TEST(strings_are_equal_byte_for_byte),
        TEST(logic_and_bits),
        TEST(shifts_lose_what_leaves_the_type),
        TEST(infinities_and_nans_are_told_apart),
        TEST(where_takes_the_chosen_side),
    };
    return test_main(cases, COUNTOF(cases));
}
