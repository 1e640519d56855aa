/* JSON text becomes a tensor of the asked type and shape, or of its own nesting, and goes back to the same text; memory
 * is bounded by the text, whatever shape it claims. */
#include "serve/json_tensor.h"
#include "test.h"

static arena memory;

static err_code read(tensor *t, dtype type, const shape *want, const char *json, err *e)
{
    arena_fini(&memory);
    arena_init(&memory, NULL, 0, 1 << 20);
    return json_tensor_read(t, &memory, STR("x"), type, want, str_of(json), e);
}

static shape dims(uint32_t rank, int64_t a, int64_t b) { return shape_make(rank, (const int64_t[]){a, b}); }

static void text_and_tensor_are_each_others_reverse(void)
{
    static const struct {
        dtype type;
        const char *json;
    } rows[] = {{DT_F32, "[[1.0,-0.0],[1e-45,3.4028235e38]]"},
                {DT_F64, "[[0.1,5e-324],[-1.7976931348623157e308,0.0]]"},
                {DT_I8, "[[-128,127],[0,1]]"},
                {DT_U8, "[[0,255],[1,2]]"},
                {DT_I16, "[[-32768,32767],[0,1]]"},
                {DT_U16, "[[0,65535],[1,2]]"},
                {DT_I32, "[[-2147483648,2147483647],[0,1]]"},
                {DT_U32, "[[0,4294967295],[1,2]]"},
                {DT_I64, "[[-9223372036854775808,9223372036854775807],[0,1]]"},
                {DT_U64, "[[0,18446744073709551615],[1,2]]"},
                {DT_BOOL, "[[true,false],[false,true]]"},
                {DT_STRING, "[[\"\",\"a\\\"\"],[\"\303\251\",\"\\u0000\"]]"}};
    buf b;
    err e;
    tensor t;
    shape s = dims(2, 2, 2);
    buf_init(&b, 1 << 16);
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        for (int given = 0; given < 2; given++) {
            CHECK(read(&t, rows[i].type, given ? &s : NULL, rows[i].json, &e) == ERR_OK);
            CHECK(t.type == rows[i].type && shape_eq(&t.shape, &s));
            buf_clear(&b);
            CHECK(json_tensor_print_nested(&b, STR("y"), &t, &e) == ERR_OK);
            buf_put_byte(&b, 0);
            CHECK_STR((const char *)b.p, rows[i].json);
        }
        buf_clear(&b);
        CHECK(json_tensor_print_row(&b, STR("y"), &t, 1, &e) == ERR_OK);
        buf_put_str(&b, STR(" "));
        CHECK(json_tensor_print(&b, STR("y"), &t, &e) == ERR_OK);
        buf_put_byte(&b, 0);
        const char *row = strstr(rows[i].json, "],[") + 2, *flat = strchr((const char *)b.p, ' ') + 1;
        CHECK(strncmp((const char *)b.p, row, strlen(row) - 1) == 0);
        CHECK(flat[0] == '[' && flat[1] != '[');
    }
    buf_fini(&b);
}

static void scalars_and_empty_tensors_have_their_forms(void)
{
    buf b;
    err e;
    tensor t;
    shape scalar = shape_make(0, NULL), none = dims(2, 0, 3);
    buf_init(&b, 1 << 16);
    CHECK(read(&t, DT_F32, &scalar, "[2.5]", &e) == ERR_OK && t.shape.rank == 0);
    CHECK(json_tensor_print_nested(&b, STR("y"), &t, &e) == ERR_OK);
    CHECK(json_tensor_print(&b, STR("y"), &t, &e) == ERR_OK);
    CHECK(read(&t, DT_F32, &none, " [ ] ", &e) == ERR_OK);
    CHECK(json_tensor_print(&b, STR("y"), &t, &e) == ERR_OK);
    CHECK(json_tensor_print_nested(&b, STR("y"), &t, &e) == ERR_OK);
    shape row = dims(1, 2, 0);
    CHECK(read(&t, DT_I64, &row, "[7,8]", &e) == ERR_OK);
    CHECK(json_tensor_print_row(&b, STR("y"), &t, 1, &e) == ERR_OK);
    buf_put_byte(&b, 0);
    CHECK_STR((const char *)b.p, "2.5[2.5][][]8");
    buf_fini(&b);
}

static void what_is_not_finite_is_a_word_in_v2_and_null_in_v1(void)
{
    static const dtype types[] = {DT_F32, DT_F64};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        buf b;
        err e;
        tensor t;
        shape s = dims(2, 2, 2), one = dims(1, 1, 0);
        buf_init(&b, 1 << 16);
        CHECK(read(&t, types[i], &s, "[[NaN,Infinity],[-Inf,1]]", &e) == ERR_OK);
        CHECK(json_tensor_print(&b, STR("y"), &t, &e) == ERR_OK);
        CHECK(json_tensor_print_nested(&b, STR("y"), &t, &e) == ERR_OK);
        CHECK(json_tensor_print_row(&b, STR("y"), &t, 1, &e) == ERR_OK);
        CHECK(read(&t, types[i], &one, "[-Infinity]", &e) == ERR_OK);
        CHECK(json_tensor_print_one(&b, STR("y"), &t, &e) == ERR_OK);
        t.shape.rank = 0;
        CHECK(json_tensor_print_nested(&b, STR("y"), &t, &e) == ERR_OK);
        buf_put_byte(&b, 0);
        CHECK_STR((const char *)b.p, "[NaN,Infinity,-Infinity,1.0][[null,null],[null,1.0]][null,1.0]-Infinitynull");
        buf_fini(&b);
    }
}

static void what_does_not_fit_is_refused_by_the_inputs_name(void)
{
    err e;
    tensor t;
    shape s = dims(2, 2, 2), huge = dims(2, 1 << 30, 1 << 30);
    CHECK(read(&t, DT_F32, &s, "[1,2,3]", &e) == ERR_INVALID);
    CHECK_STR(e.text, "input 'x': data: expected 4 elements for shape [2,2], got 3");
    CHECK(read(&t, DT_F32, &s, "[[1],[2],[3],[4]]", &e) == ERR_INVALID);
    CHECK_STR(e.text, "input 'x': data: expected nesting [2,2], got [4,1]");
    CHECK(read(&t, DT_F32, &huge, "[1]", &e) == ERR_INVALID);
    CHECK_STR(e.text,
              "input 'x': data: expected 1152921504606846976 elements for shape [1073741824,1073741824], got 1");
    CHECK(memory.total < 4096);
    CHECK(read(&t, DT_BF16, &s, "[1,2,3,4]", &e) == ERR_INVALID);
    CHECK_STR(e.text,
              "input 'x': data: BF16 cannot be sent as JSON, send it as binary data (Inference-Header-Content-Length)");
    CHECK(read(&t, DT_I4, NULL, "[1]", &e) == ERR_INVALID);
    CHECK_STR(e.text,
              "input 'x': data: int4 cannot be sent as JSON, send it as binary data (Inference-Header-Content-Length)");
    CHECK(read(&t, DT_F32, NULL, "[[[[[[[[[1]]]]]]]]]", &e) == ERR_INVALID);
    CHECK_STR(e.text, "input 'x': data: expected nesting of at most 8, got 9");
}

static void an_answer_that_is_full_is_left_as_it_is(void)
{
    err e;
    tensor t;
    shape scalar = shape_make(0, NULL);
    CHECK(read(&t, DT_F32, &scalar, "[2.5]", &e) == ERR_OK);
    bool fits = false;
    for (size_t limit = 1; !fits; limit++) {   /* the printer may want more room than it fills */
        buf b;
        buf_init(&b, limit);
        buf_put_z(&b, "1");
        CHECK(json_tensor_print_nested(&b, STR("y"), &t, &e) == ERR_OK);   /* the caller looks at `full` */
        fits = !b.full;
        CHECK(limit < 200 && b.len >= 1 && b.p[0] == '1');
        if (fits) CHECK(str_is(buf_str(&b), "12.5"));
        buf_fini(&b);
    }
}

static void no_memory_is_an_error(void)
{
    err e;
    tensor t;
    arena_fini(&memory);
    FAULT_SWEEP({
        if (read(&t, DT_STRING, NULL, "[\"\\u0041\",\"b\"]", &e)) CHECK(e.code == ERR_NOMEM);
        arena_fini(&memory);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(text_and_tensor_are_each_others_reverse),
        TEST(scalars_and_empty_tensors_have_their_forms),
        TEST(what_is_not_finite_is_a_word_in_v2_and_null_in_v1),
        TEST(what_does_not_fit_is_refused_by_the_inputs_name),
        TEST(an_answer_that_is_full_is_left_as_it_is),
        TEST(no_memory_is_an_error),
    };
    int failed = test_main(cases, COUNTOF(cases));
    arena_fini(&memory);
    return failed;
}
