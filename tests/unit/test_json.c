/* Documents are refused for what two readers could see differently; errors point into the text that the client sent. */
#include "wire/json.h"
#include "test.h"

static yyjson_val *parse(arena *a, const char *text, err *e)
{
    yyjson_val *v = NULL;
    *e = (err){0};
    arena_reset(a);
    return json_parse(str_of(text), &(json_opts){.memory = a, .depth_max = 4}, &v, e) ? NULL : v;
}

static void refuse(const char *text, const char *want)
{
    arena a;
    err e;
    arena_init(&a, NULL, 0, 1 << 16);
    CHECK(parse(&a, text, &e) == NULL && e.code == ERR_INVALID);
    e.text[strlen(want)] = 0;   /* what follows is yyjson's, and changes with its version */
    CHECK_STR(e.text, want);
    arena_fini(&a);
}

static void broken_documents_are_refused_with_their_byte(void)
{
    refuse("", "JSON: expected a document, got nothing");
    refuse("{\"a\":1,}", "JSON: byte ");
    refuse("{\"a\":NaN}", "JSON: byte 5: ");
    refuse("[1] 2", "JSON: byte 4: ");
    refuse("[\"\xff\"]", "JSON: byte ");
    refuse("[\"a", "JSON: byte 3: ");
}

static void nesting_is_limited(void)
{
    arena a;
    err e;
    arena_init(&a, NULL, 0, 1 << 16);
    CHECK(parse(&a, "[[[[1]]], {\"a\":{\"b\":[\"[[[[[[\"]}}]", &e) != NULL);
    arena_fini(&a);
    refuse("[[[[[1]]]]]", "JSON: byte 4: nesting: expected at most 4 levels, got more");
    refuse("[{\"a\":[{\"b\":{}}]}]", "JSON: byte 12: nesting: expected at most 4 levels, got more");
}

static void a_member_named_twice_is_refused(void)
{
    char many[2400], twice[4096];
    size_t n = 0;
    arena a;
    err e;
    arena_init(&a, NULL, 0, 1 << 18);
    for (int i = 0; i < 100; i++) n += (size_t)sprintf(many + n, "%c\"k%d\":{\"x\":1}", i ? ',' : '{', i);
    sprintf(twice, "%s,\"k\\u0037\":0}", many);
    strcpy(many + n, "}");
    CHECK(parse(&a, many, &e) != NULL);
    CHECK(parse(&a, twice, &e) == NULL);
    CHECK_STR(e.text, "JSON: expected member 'k7' once in its object, got it twice");
    CHECK(parse(&a, "[{\"a\":1},{\"a\":1,\"b\":{\"a\":1}}]", &e) != NULL);
    arena_fini(&a);
    refuse("[1,{\"x\":{\"a\":1,\"b\":2,\"\\u0061\":3}}]", "JSON: expected member 'a' once in its object, got it twice");
    refuse("{\"\":1,\"\":2}", "JSON: expected member '' once in its object, got it twice");
}

static void errors_in_a_skeleton_point_into_the_body(void)
{
    static const json_cut_path paths[] = {{{"instances"}}};
    static const char body[] = "{\"instances\":[1,2,3,4,5,6,7,8,9],\"a\":?}";
    static json_cut c;
    arena a;
    buf b;
    err e;
    yyjson_val *v;
    arena_init(&a, NULL, 0, 1 << 16);
    buf_init(&b, 4096);
    CHECK(json_cut_find(&c, str_of(body), paths, 1, &b, &e) == ERR_OK);
    CHECK(json_parse(buf_str(&b), &(json_opts){.memory = &a, .cut = &c}, &v, &e) == ERR_INVALID);
    CHECK(str_starts(str_of(e.text), STR("JSON: byte 37: ")));
    buf_fini(&b);
    arena_fini(&a);
}

static void getters_say_what_they_got(void)
{
    arena a;
    err e;
    str s;
    bool b;
    uint64_t u;
    int64_t i;
    double d;
    arena_init(&a, NULL, 0, 1 << 16);
    yyjson_val *v = parse(&a, "{\"s\":\"text\",\"u\":18446744073709551615,\"i\":-5,\"d\":0.5,\"b\":true,\"l\":[],"
                              "\"n\":null}", &e);
    CHECK(json_obj(v, "doc", &e) == ERR_OK && json_list(yyjson_obj_get(v, "l"), "l", &e) == ERR_OK);
    CHECK(json_str(yyjson_obj_get(v, "s"), "s", &s, &e) == ERR_OK && str_is(s, "text"));
    CHECK(json_u64(yyjson_obj_get(v, "u"), "u", &u, &e) == ERR_OK && u == UINT64_MAX);
    CHECK(json_i64(yyjson_obj_get(v, "i"), "i", &i, &e) == ERR_OK && i == -5);
    CHECK(json_f64(yyjson_obj_get(v, "i"), "i", &d, &e) == ERR_OK && d < -4.9);
    CHECK(json_bool(yyjson_obj_get(v, "b"), "b", &b, &e) == ERR_OK && b);

    CHECK(json_str(yyjson_obj_get(v, "x"), "inputs[0].name", &s, &e) == ERR_INVALID);
    CHECK_STR(e.text, "inputs[0].name: expected a string, got nothing");
    CHECK(json_u64(yyjson_obj_get(v, "i"), "size", &u, &e) == ERR_INVALID);
    CHECK_STR(e.text, "size: expected a non-negative integer, got -5");
    CHECK(json_i64(yyjson_obj_get(v, "u"), "size", &i, &e) == ERR_INVALID);
    CHECK_STR(e.text, "size: expected an integer in 64 bits, got 18446744073709551615");
    CHECK(json_i64(yyjson_obj_get(v, "d"), "size", &i, &e) == ERR_INVALID);
    CHECK_STR(e.text, "size: expected an integer in 64 bits, got 0.5");
    CHECK(json_bool(yyjson_obj_get(v, "s"), "flag", &b, &e) == ERR_INVALID);
    CHECK_STR(e.text, "flag: expected true or false, got 'text'");
    CHECK(json_f64(yyjson_obj_get(v, "b"), "x", &d, &e) == ERR_INVALID);
    CHECK_STR(e.text, "x: expected a number, got true");
    CHECK(json_list(v, "x", &e) == ERR_INVALID);
    CHECK_STR(e.text, "x: expected a list, got an object");
    CHECK(json_obj(yyjson_obj_get(v, "l"), "x", &e) == ERR_INVALID);
    CHECK_STR(e.text, "x: expected an object, got a list");
    CHECK(json_obj(yyjson_obj_get(v, "n"), "x", &e) == ERR_INVALID);
    CHECK_STR(e.text, "x: expected an object, got null");
    arena_fini(&a);
}

static void memory_is_the_arenas(void)
{
    char many[2048];
    uint8_t small[256];
    arena a;
    err e;
    yyjson_val *v;
    size_t n = 0;
    arena_init(&a, small, sizeof small, sizeof small);
    CHECK(parse(&a, "{\"a\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]}", &e) == NULL && e.code == ERR_LIMIT);
    CHECK_STR(e.text, "JSON: expected a document that fits 256 bytes of memory, got 58 bytes of text");
    for (int i = 0; i < 60; i++) n += (size_t)sprintf(many + n, "%c\"member%d\":%d", i ? ',' : '{', i, i);
    strcpy(many + n, "}");
    FAULT_SWEEP({
        arena_init(&a, NULL, 0, 1 << 18);
        err_code rc = json_parse(str_of(many), &(json_opts){.memory = &a}, &v, &e);
        CHECK(rc == ERR_OK || rc == ERR_LIMIT || rc == ERR_NOMEM);
        arena_fini(&a);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(broken_documents_are_refused_with_their_byte),
        TEST(nesting_is_limited),
        TEST(a_member_named_twice_is_refused),
        TEST(errors_in_a_skeleton_point_into_the_body),
        TEST(getters_say_what_they_got),
        TEST(memory_is_the_arenas),
    };
    return test_main(cases, COUNTOF(cases));
}
