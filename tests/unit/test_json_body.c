/* The values at the paths are cut out whole and everything else stays in the tree; what is printed from the tree is the
 * client's text again, digit for digit. */
#include "serve/json_body.h"
#include "test.h"

static const json_cut_path paths[] = {{{"data"}}};
static arena memory;
static buf scratch;
static json_body body;

static err_code read(const char *text, bool prints, err *e)
{
    arena_fini(&memory);
    arena_init(&memory, NULL, 0, 1 << 20);
    json_body_opts o = {.memory = &memory, .scratch = &scratch, .paths = paths, .path_count = 1, .prints = prints};
    err_code rc = json_body_read(&body, str_of(text), &o, e);
    CHECK_U64(scratch.len, 0);
    return rc;
}

static void values_at_the_paths_are_views_into_the_text(void)
{
    err e;
    str text;
    for (int prints = 0; prints < 2; prints++) {
        CHECK(read("{\"data\": [1, [2]] ,\"other\":5}", prints, &e) == ERR_OK);
        CHECK(json_body_is_cut(yyjson_obj_get(body.root, "data")));
        CHECK(json_body_text(&body, yyjson_obj_get(body.root, "data"), &text, &e) == ERR_OK);
        CHECK(str_is(text, "[1, [2]]"));
        CHECK(read("{\"data\":{\"a\":[]}}", prints, &e) == ERR_OK);
        CHECK(json_body_text(&body, yyjson_obj_get(body.root, "data"), &text, &e) == ERR_INVALID);
        CHECK_STR(e.text, "data: expected an array of values, got an object");
        CHECK(json_body_text(&body, NULL, &text, &e) == ERR_INVALID);
        CHECK_STR(e.text, "data: expected an array of values, got nothing");
    }
}

static void what_is_printed_is_what_came(void)
{
    static const char *const texts[] = {"0",
                                        "-0",
                                        "-0.0",
                                        "18446744073709551616",
                                        "1.00000005960464477540",
                                        "1e-400",
                                        "1E+2",
                                        "true",
                                        "false",
                                        "null",
                                        "\"\"",
                                        "\"a\\\"\\\\\\u0001b\"",
                                        "[]",
                                        "{}",
                                        "[[]]",
                                        "[{}]",
                                        "{\"a\":{}}",
                                        "{\"a\":[]}",
                                        "[1,[2,[3]],4]",
                                        "{\"a\":1,\"b\":[true,null],\"c\":{\"d\":\"e\"}}",
                                        "[[],[],{}]",
                                        "{\"a\":[],\"b\":[{}]}",
                                        "[{\"a\":1},{\"a\":2}]",
                                        "[[[[1]]],2]",
                                        "{\"a\":{\"b\":{\"c\":0}},\"d\":1}",
                                        "NaN",
                                        "[-Infinity,Inf,[-NaN,nan]]",
                                        "{\"a\":inf,\"b\":[NaN,1,NaN]}"};
    char text[200];
    buf out;
    err e;
    buf_init(&out, 4096);
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        snprintf(text, sizeof text, "{\"v\":%s}", texts[i]);
        CHECK(read(text, true, &e) == ERR_OK);
        buf_clear(&out);
        json_body_print(&out, yyjson_obj_get(body.root, "v"));
        buf_put_byte(&out, 0);
        CHECK_STR((const char *)out.p, texts[i]);
        buf_clear(&out);
        json_body_print(&out, body.root);
        buf_put_byte(&out, 0);
        CHECK_STR((const char *)out.p, text);
    }
    buf_fini(&out);
}

static void words_are_let_in_for_printing_and_found(void)
{
    static const char *const with[] = {"NaN", "[1,[Infinity]]", "{\"a\":{\"b\":[\"NaN\",-inf]}}", "[{},{\"a\":nan}]"},
                             *const without[] = {"1", "-0.5", "\"NaN\"", "[null,\"Infinity\",{\"NaN\":1}]", "{}"};
    char text[100];
    err e;
    for (size_t i = 0; i < COUNTOF(with); i++) {
        snprintf(text, sizeof text, "{\"v\":%s,\"w\":NaN}", with[i]);
        CHECK(read(text, false, &e) == ERR_INVALID && str_starts(str_of(e.text), STR("JSON: byte 5: ")) == (i == 0));
        CHECK(read(text, true, &e) == ERR_OK);
        CHECK(json_body_words_check(yyjson_obj_get(body.root, "v"), STR("v"), &e) == ERR_INVALID);
        if (i == 0) CHECK_STR(e.text, "'v': expected JSON, got NaN, which only tensors may hold");
    }
    for (size_t i = 0; i < COUNTOF(without); i++) {
        snprintf(text, sizeof text, "{\"v\":%s,\"w\":NaN}", without[i]);
        CHECK(read(text, true, &e) == ERR_OK);
        CHECK(json_body_words_check(yyjson_obj_get(body.root, "v"), STR("v"), &e) == ERR_OK);
    }
    CHECK(read("{\"v\":Nan0}", true, &e) == ERR_INVALID);
    CHECK(read("{\"v\":NaN,NaN:1}", true, &e) == ERR_INVALID);
    CHECK(read("{\"data\":[NaN]}", false, &e) == ERR_OK);
}

static void depth_at_its_limit_is_printed(void)
{
    char text[2 * JSON_DEPTH_MAX + 8] = "{\"v\":";
    buf out;
    err e;
    buf_init(&out, 4096);
    size_t at = 5;
    for (int i = 1; i < JSON_DEPTH_MAX; i++) text[at++] = '[';
    for (int i = 1; i < JSON_DEPTH_MAX; i++) text[at++] = ']';
    text[at++] = '}';
    text[at] = 0;
    CHECK(read(text, true, &e) == ERR_OK);
    json_body_print(&out, body.root);
    buf_put_byte(&out, 0);
    CHECK_STR((const char *)out.p, text);
    buf_fini(&out);
}

static void refusals_count_bytes_in_the_body(void)
{
    err e;
    CHECK(read("{\"data\":[1,2,3],\"a\":x}", false, &e) == ERR_INVALID);
    CHECK(strncmp(e.text, "JSON: byte 20: ", 15) == 0);
    CHECK(read("3", false, &e) == ERR_INVALID);
    CHECK_STR(e.text, "request: expected an object, got 3");
    CHECK(read("3", true, &e) == ERR_INVALID);
    CHECK_STR(e.text, "request: expected an object, got 3");
}

static void no_memory_is_an_error_wherever_it_happens(void)
{
    err e;
    arena_fini(&memory);
    buf_fini(&scratch);
    FAULT_SWEEP({
        if (read("{\"data\":[1],\"b\":[1,2,3]}", false, &e)) CHECK(e.code == ERR_NOMEM || e.code == ERR_LIMIT);
        arena_fini(&memory);
        buf_fini(&scratch);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(values_at_the_paths_are_views_into_the_text),
        TEST(what_is_printed_is_what_came),
        TEST(words_are_let_in_for_printing_and_found),
        TEST(depth_at_its_limit_is_printed),
        TEST(refusals_count_bytes_in_the_body),
        TEST(no_memory_is_an_error_wherever_it_happens),
    };
    buf_init(&scratch, 1 << 20);
    int failed = test_main(cases, COUNTOF(cases));
    buf_fini(&scratch);
    arena_fini(&memory);
    return failed;
}
