/* The skeleton and the spans together say what the body said, for every body; nothing but the paths is cut. */
#include "wire/json_cut.h"
#include "wire/json_mask.h"
#include "test.h"

static const json_cut_path paths[] = {{{"inputs", "[]", "data"}}, {{"instances"}}};

static void cuts(const char *body, const char *skeleton, const char *spans)
{
    static json_cut c;
    char got[512] = "";
    err e = {0};
    buf b;
    buf_init(&b, 4096);
    if (json_cut_find(&c, str_of(body), paths, COUNTOF(paths), &b, &e)) {
        CHECK_STR(e.text, skeleton);
    } else {
        buf_put_byte(&b, 0);
        CHECK_STR((const char *)b.p, skeleton);
        for (size_t i = 0, n = 0; i < c.count; i++)
            n += (size_t)snprintf(got + n, sizeof got - n, "%s" STR_FMT, i ? "|" : "", STR_ARG(c.spans[i]));
        CHECK_STR(got, spans);
    }
    buf_fini(&b);
}

static void only_values_at_the_paths_are_cut(void)
{
    cuts("{\"inputs\":[{\"name\":\"x\",\"data\":[1,2]},{\"data\":[[3],[4]],\"shape\":[2]}]}",
         "{\"inputs\":[{\"name\":\"x\",\"data\": 0 },{\"data\": 1 ,\"shape\":[2]}]}", "[1,2]|[[3],[4]]");
    cuts("{\"instances\":[[1,2],[3,4]]}", "{\"instances\": 0 }", "[[1,2],[3,4]]");
    cuts("{\"data\":[1],\"inputs\":[[{\"data\":[1]}],{\"parameters\":{\"data\":[2]}}],\"x\":{\"instances\":[3]}}",
         "{\"data\":[1],\"inputs\":[[{\"data\":[1]}],{\"parameters\":{\"data\":[2]}}],\"x\":{\"instances\":[3]}}", "");
    cuts("{\"inputs\":{\"data\":[1]}}", "{\"inputs\":{\"data\":[1]}}", "");
    cuts("[{\"instances\":[1]}]", "[{\"instances\":[1]}]", "");
    cuts("{\"a\":\"instances\",\"instances\" : [1] }", "{\"a\":\"instances\",\"instances\" :  0  }", "[1]");
    cuts("{\"instance\":[1],\"instances2\":[2],\"\":[3]}", "{\"instance\":[1],\"instances2\":[2],\"\":[3]}", "");
    cuts("", "", "");
}

static void scalars_at_a_path_are_cut_so_no_number_can_pose_as_ours(void)
{
    cuts("{\"instances\":7}", "{\"instances\": 0 }", "7");
    cuts("{\"instances\":\"a,]\\\"}\"}", "{\"instances\": 0 }", "\"a,]\\\"}\"");
    cuts("{\"inputs\":[{\"data\":0},{\"data\":null},{\"data\":[5]}]}",
         "{\"inputs\":[{\"data\": 0 },{\"data\": 1 },{\"data\": 2 }]}", "0|null|[5]");
    cuts("{\"inst\\u0061nces\":[1]}", "{\"inst\\u0061nces\": 0 }", "[1]");
    cuts("{\"\\u0069\\u006e\\u0073\\u0074\\u0061\\u006e\\u0063\\u0065\\u0073\":3}",
         "{\"\\u0069\\u006e\\u0073\\u0074\\u0061\\u006e\\u0063\\u0065\\u0073\": 0 }", "3");
    cuts("{\"instances\\q\":1,\"instances\\u00e9\":2}", "{\"instances\\q\":1,\"instances\\u00e9\":2}", "");
}

static void arrays_with_objects_stay_for_the_dom(void)
{
    cuts("{\"instances\":[{\"a\":[1]},2]}", "{\"instances\":[{\"a\":[1]},2]}", "");
    cuts("{\"instances\":{\"a\":1}}", "{\"instances\":{\"a\":1}}", "");
    cuts("{\"instances\":[\"{\"]}", "{\"instances\": 0 }", "[\"{\"]");
    cuts("{\"inputs\":[{\"data\":[{\"data\":[1]}]},{\"data\":[2]}]}",
         "{\"inputs\":[{\"data\":[{\"data\":[1]}]},{\"data\": 0 }]}",
         "[2]");
}

static void strings_hide_structure(void)
{
    cuts("{\"instances\":[\"]\",\"\\\"]\",\"\\\\\"]}", "{\"instances\": 0 }", "[\"]\",\"\\\"]\",\"\\\\\"]");
    cuts("{\"a\":\"{\\\"instances\\\":[1]}\",\"instances\":[2]}",
         "{\"a\":\"{\\\"instances\\\":[1]}\",\"instances\": 0 }", "[2]");
    cuts("{\"a\":\"x", "JSON: byte 5: a string without its closing quote", "");
    cuts("{\"instances\":[NaN,[-Infinity]],\"a\":[[Inf]]}", "{\"instances\": 0 ,\"a\":[[Inf]]}",
         "[NaN,[-Infinity]]");
    cuts("{\"instances\":NaN}", "{\"instances\": 0 }", "NaN");
    cuts("{\"instances\":[\"x]}", "JSON: byte 14: a string without its closing quote", "");
}

/* What is broken stays broken: an unclosed array is not cut, and a number never melts with what stands around it. */
static void broken_bodies_give_broken_skeletons(void)
{
    cuts("{\"instances\":[1,2", "{\"instances\":[1,2", "");
    cuts("{\"instances\":[1}", "{\"instances\":[1}", "");
    cuts("{\"instances\":[1]5}", "{\"instances\": 0  1 }", "[1]|5");
    cuts("{\"instances\":5[1]}", "{\"instances\": 0  1 }", "5|[1]");
    cuts("]}{\"instances\":[1]}", "]}{\"instances\": 0 }", "[1]");
    cuts("{\"instances\":1x-y}", "{\"instances\": 0 }", "1x-y");
}

static void depth_and_count_are_limited(void)
{
    char body[4 * JSON_CUT_MAX + 400] = "";
    size_t n = 0;
    memset(body, '[', 65);
    cuts(body, "JSON: byte 64: nesting: expected at most 64 levels, got more", "");
    memset(body, '{', 65);
    cuts(body, "JSON: byte 64: nesting: expected at most 64 levels, got more", "");
    n = (size_t)sprintf(body, "{\"instances\":");
    memset(body + n, '[', 65);
    body[n + 65] = 0;
    cuts(body, "JSON: byte 76: nesting: expected at most 64 levels, got more", "");
    n = (size_t)sprintf(body, "{\"instances\":");
    for (size_t i = 0; i <= JSON_CUT_MAX; i++) n += (size_t)sprintf(body + n, "[] ");
    cuts(body, "JSON: byte 781: expected at most 256 tensors, got more", "");
}

static void long_arrays_end_where_they_end(void)
{
    static char body[600];
    static json_cut c;
    err e;
    buf b;
    for (size_t len = 2; len < 300; len++) {
        size_t n = (size_t)sprintf(body, "{\"instances\":[");
        for (size_t i = 0; i + 2 < len; i++) body[n++] = "NaN,-Infinity,1,"[i % 16];
        n += (size_t)sprintf(body + n, "],\"x\":[1]}");
        for (size_t cut = 0; cut <= n; cut += cut < 13 ? 13 : 1) {
            buf_init(&b, 4096);
            char *copy = mem_alloc_raw(cut), *at = copy + (MEM_ALIGN - cut % MEM_ALIGN) % MEM_ALIGN;
            memcpy(at, body, cut);
            CHECK(json_cut_find(&c, (str){at, cut}, paths, COUNTOF(paths), &b, &e) == ERR_OK || cut < n);
            CHECK_U64(c.count, cut >= 13 + len);
            if (c.count) CHECK(c.spans[0].p == at + 13 && c.spans[0].len == len);
            mem_free(copy);
            buf_fini(&b);
        }
    }
}

static void the_mask_marks_every_structural_byte(void)
{
    char block[JSON_MASK_BYTES];
    for (int c = 0; c < 256; c++) {
        for (size_t i = 0; i < sizeof block; i++) {
            memset(block, '0', sizeof block);
            block[i] = (char)c;
            CHECK_U64(json_mask(block), (uint64_t)(c && strchr("[]{}\"\\|", c)) << i);
            CHECK_U64(json_mask_commas(block), (uint64_t)(c == ',') << i);
        }
    }
}

static void whole_blocks_without_structure_are_stepped_over(void)
{
    char text[4 * JSON_MASK_BYTES + 9];
    for (size_t len = 0; len <= sizeof text; len++) {
        for (size_t at = 0; at <= len; at++) {
            size_t stop = (at < len ? at : len) / JSON_MASK_BYTES * JSON_MASK_BYTES;
            memset(text, ',', sizeof text);
            if (at < len) text[at] = "[]{}\""[at % 5];
            CHECK(json_mask_clean(text, text + len) == text + stop);
        }
    }
}

static void positions_map_back_to_the_body(void)
{
    static const char body[] = "{\"inputs\":[{\"data\":[1,2,3,4,5],\"a\":1},{\"data\":[6],\"b\":?}]}";
    static json_cut c;
    err e;
    buf b;
    buf_init(&b, 4096);
    CHECK(json_cut_find(&c, str_of(body), paths, COUNTOF(paths), &b, &e) == ERR_OK && c.count == 2);
    for (size_t i = 0, at; i < b.len; i++) {
        at = json_cut_origin(&c, i);
        CHECK(at < sizeof body - 1);
        if (b.p[i] == ' ' || (i && b.p[i - 1] == ' ' && b.p[i + 1] == ' ')) CHECK(body[at] == '[');
        else CHECK(body[at] == (char)b.p[i]);
    }
    CHECK_U64(json_cut_origin(&c, b.len), sizeof body - 1);
    CHECK_U64(json_cut_origin(&c, SIZE_MAX / 2), sizeof body - 1);
    buf_fini(&b);
    FAULT_SWEEP({
        buf_init(&b, 4096);
        CHECK(json_cut_find(&c, str_of(body), paths, COUNTOF(paths), &b, &e) == ERR_OK);
        buf_fini(&b);
    });
}

int main(void)
{
    static const test_case cases[] = {
        TEST(only_values_at_the_paths_are_cut),
        TEST(scalars_at_a_path_are_cut_so_no_number_can_pose_as_ours),
        TEST(arrays_with_objects_stay_for_the_dom),
        TEST(strings_hide_structure),
        TEST(broken_bodies_give_broken_skeletons),
        TEST(depth_and_count_are_limited),
        TEST(long_arrays_end_where_they_end),
        TEST(the_mask_marks_every_structural_byte),
        TEST(whole_blocks_without_structure_are_stepped_over),
        TEST(positions_map_back_to_the_body),
    };
    return test_main(cases, COUNTOF(cases));
}
