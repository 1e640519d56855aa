/* A cast gives, for every pair of types, what the exact value rounded once to the new type is; texts read back as the
 * value that they were made from. */
#include "op_harness.h"

#include <math.h>

static const dtype numbers[] = {
    DT_F32, DT_F64,  DT_F16,      DT_BF16,       DT_U8,     DT_I8,         DT_U16, DT_I16, DT_U32,    DT_I32, DT_U64,
    DT_I64, DT_BOOL, DT_F8E4M3FN, DT_F8E4M3FNUZ, DT_F8E5M2, DT_F8E5M2FNUZ, DT_U4,  DT_I4,  DT_F4E2M1, DT_U2,  DT_I2};

static void small_whole_numbers_survive_every_pair(void)
{
    for (size_t i = 0; i < COUNTOF(numbers); i++) {
        for (size_t k = 0; k < COUNTOF(numbers); k++) {
            op_case t;
            op_case_init(&t, "Cast", 25);
            op_case_int(&t, "to", numbers[k]);
            IN(&t, numbers[i], SHAPE(3), 0, 1, 1);
            CHECK(op_case_run(&t) == ERR_OK);
            WANT(&t, 0, numbers[k], SHAPE(3), 0, 0, 1, 1);
            op_case_fini(&t);
        }
    }
}

static void one(dtype from, dtype to, double v, double want, int line)
{
    op_case t;
    op_case_init(&t, "Cast", 25);
    op_case_int(&t, "to", to);
    op_case_in(&t, from, SHAPE(1), &v, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    op_case_check(&t, 0, to, SHAPE(1), 0, &want, 1, line);
    op_case_fini(&t);
}
#define ONE(from, to, v, want) one(from, to, v, want, __LINE__)

static void values_are_rounded_once(void)
{
    ONE(DT_F64, DT_F16, 1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-10);      /* through float32 it would be 1 */
    ONE(DT_F64, DT_BF16, 1 + 0x1p-8 + 0x1p-40, 1 + 0x1p-7);
    ONE(DT_I32, DT_BF16, 0x1p30 + 0x1p22 + 1, 0x1p30 + 0x1p23);
    ONE(DT_F32, DT_F16, 65520, (double)INFINITY);
    ONE(DT_I64, DT_F32, 0x1p24 + 1, 0x1p24);
    ONE(DT_U64, DT_F64, 0x1p63, 0x1p63);
    ONE(DT_U64, DT_F32, 0x1p63, 0x1p63);
    ONE(DT_F32, DT_I32, -1.9, -1);
    ONE(DT_F64, DT_I64, 1e30, (double)INT64_MAX);
    ONE(DT_F32, DT_U64, 0x1p63, 0x1p63);
    ONE(DT_F32, DT_I64, (double)NAN, 0);
    ONE(DT_I16, DT_I8, 200, -56);
    ONE(DT_I32, DT_U8, -1, 255);
    ONE(DT_F32, DT_BOOL, 0.25, 1);
    ONE(DT_F32, DT_BOOL, (double)NAN, 1);
    ONE(DT_BOOL, DT_F16, 1, 1);
    ONE(DT_F32, DT_I4, -9, 7);
    ONE(DT_F32, DT_F4E2M1, 100, 6);
    ONE(DT_F32, DT_F8E4M3FN, 1e9, 448);
    ONE(DT_F32, DT_F8E5M2, -(double)INFINITY, -57344);
}

static void saturation_can_be_turned_off(void)
{
    static const struct { dtype to; double want;
    } rows[] = {{DT_F8E4M3FN, (double)NAN},
                {DT_F8E4M3FNUZ, (double)NAN},
                {DT_F8E5M2, (double)INFINITY},
                {DT_F8E5M2FNUZ, (double)NAN}};
    for (size_t k = 0; k < COUNTOF(rows); k++) {
        op_case t;
        op_case_init(&t, "CastLike", 19);
        op_case_int(&t, "saturate", 0);
        IN(&t, DT_F32, SHAPE(1), 1e9);
        IN(&t, rows[k].to, SCALAR, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, rows[k].to, SHAPE(1), 0, &rows[k].want, 1, __LINE__);
        op_case_fini(&t);
    }
}

static void powers_of_two_round_as_the_attribute_says(void)
{
    static const struct { const char *mode; double v, want; } rows[] = {
        {"up", 1.1, 2}, {"down", 1.9, 1}, {"nearest", 1.4, 1}, {"nearest", 1.5, 2}};
    for (size_t k = 0; k < COUNTOF(rows); k++) {
        op_case t;
        op_case_init(&t, "Cast", 24);
        op_case_int(&t, "to", DT_F8E8M0);
        op_case_str(&t, "round_mode", rows[k].mode);
        op_case_in(&t, DT_F32, SHAPE(1), &rows[k].v, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_F8E8M0, SHAPE(1), 0, &rows[k].want, 1, __LINE__);
        op_case_fini(&t);
    }
    op_case t;
    op_case_init(&t, "Cast", 24);
    op_case_int(&t, "to", DT_F8E8M0);
    op_case_str(&t, "round_mode", "sideways");
    IN(&t, DT_F32, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void numbers_become_text_and_come_back(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_BF16, DT_I64, DT_U8};
    double values[] = {3.14159, -2.5e-7, 0, 1e20, (double)INFINITY, (double)NAN};
    for (size_t k = 0; k < COUNTOF(types); k++) {
        op_case t, back;
        op_case_init(&t, "Cast", 13);
        op_case_int(&t, "to", DT_STRING);
        op_case_in(&t, types[k], SHAPE(6), values, 6);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_init(&back, "Cast", 13);
        op_case_int(&back, "to", types[k]);
        char text[6][40];
        const char *list[6];
        for (size_t i = 0; i < 6; i++) {
            snprintf(text[i], sizeof text[i], STR_FMT, STR_ARG(((str *)t.out[0].data)[i]));
            list[i] = text[i];
        }
        op_case_strings(&back, SHAPE(6), list);
        CHECK(op_case_run(&back) == ERR_OK);
        for (uint64_t i = 0; i < 6; i++) {
            double a = tensor_f64(&t.in[0], i), b = tensor_f64(&back.out[0], i);
            CHECK(a == b || (isnan(a) && isnan(b)));
        }
        op_case_fini(&t);
        op_case_fini(&back);
    }
}

static void texts_are_read_as_onnx_says(void)
{
    op_case t;
    op_case_init(&t, "Cast", 13);
    op_case_int(&t, "to", DT_F32);
    op_case_strings(&t, SHAPE(6), (const char *const[]){"1e-5", "+Inf", "-INF", "nan", " 100.5 ", "1E8"});
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(6), 1e-7, 1e-5, (double)INFINITY, -(double)INFINITY, (double)NAN, 100.5, 1e8);
    op_case_fini(&t);
    op_case_init(&t, "Cast", 13);
    op_case_int(&t, "to", DT_I32);
    op_case_strings(&t, SHAPE(2), (const char *const[]){"-12", "100.5"});
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I32, SHAPE(2), 0, -12, 100);
    op_case_fini(&t);
    op_case_init(&t, "Cast", 13);
    op_case_int(&t, "to", DT_F32);
    op_case_strings(&t, SHAPE(1), (const char *const[]){"Hello"});
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "element 0: expected a number, got 'Hello'") != NULL);
    op_case_fini(&t);
}

static void what_cannot_be_cast_is_refused(void)
{
    op_case t;
    op_case_init(&t, "Cast", 13);
    op_case_int(&t, "to", DT_C64);
    IN(&t, DT_F32, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_UNSUPPORTED);
    op_case_fini(&t);
    op_case_init(&t, "Cast", 13);
    op_case_int(&t, "to", 99);
    IN(&t, DT_F32, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
    op_case_init(&t, "Cast", 13);      /* an attribute of a later version */
    op_case_int(&t, "to", DT_I32);
    op_case_int(&t, "saturate", 1);
    IN(&t, DT_F32, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_UNSUPPORTED);
    op_case_fini(&t);
}

/* Lengths around tiles and jobs, both ways through every kind of tile. */
static void long_rows_are_cast_whole(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_I8, DT_I32, DT_I64, DT_U64, DT_I4};
    static const int64_t lengths[] = {511, 512, 513, 32769};
    double values[8] = {-3, -2, -1, 0, 1, 2, 3, 4};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        for (size_t k = 0; k < COUNTOF(types); k++) {
            op_case t;
            bool whole = types[i] == DT_U64 || types[k] == DT_U64;      /* then without a sign */
            op_case_init(&t, "Cast", 25);
            op_case_int(&t, "to", types[k]);
            op_case_in(&t, types[i], SHAPE(lengths[(i + k) % 4]), whole ? values + 3 : values, whole ? 5 : 8);
            CHECK(op_case_run(&t) == ERR_OK);
            for (uint64_t at = 0; at < tensor_count(&t.in[0]); at++)
                CHECK(tensor_f64(&t.out[0], at) == tensor_f64(&t.in[0], at));
            op_case_fini(&t);
        }
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(small_whole_numbers_survive_every_pair), TEST(values_are_rounded_once),
        TEST(saturation_can_be_turned_off),           TEST(powers_of_two_round_as_the_attribute_says),
        TEST(numbers_become_text_and_come_back),      TEST(texts_are_read_as_onnx_says),
        TEST(what_cannot_be_cast_is_refused),         TEST(long_rows_are_cast_whole),
    };
    return test_main(cases, COUNTOF(cases));
}
