/* A field has the number of its name in whatever case, and only of that; asking by number finds what asking by name
 * finds, whether or not somebody has looked before. */
#include "wire/http_field.h"
#include "test.h"

#include <ctype.h>
#include <string.h>

static void every_name_has_its_own_number_in_any_case(void)
{
    for (unsigned f = 0; f < HTTP_FIELD_OTHER; f++) {
        char text[64];
        str name = http_field_name((http_field)f);
        CHECK(name.len < sizeof text);
        CHECK_U64(http_field_of(name), f);
        for (size_t i = 0; i < name.len; i++) text[i] = (char)toupper((uint8_t)name.p[i]);
        CHECK_U64(http_field_of((str){text, name.len}), f);
        for (size_t i = 0; i < name.len; i += 2) text[i] = name.p[i];
        CHECK_U64(http_field_of((str){text, name.len}), f);
    }
}

static void a_name_that_differs_in_a_byte_or_in_length_is_another(void)
{
    for (unsigned f = 0; f < HTTP_FIELD_OTHER; f++) {
        char text[64];
        str name = http_field_name((http_field)f);
        for (size_t i = 0; i < name.len; i++) {
            for (int c = 0; c < 256; c++) {
                memcpy(text, name.p, name.len);
                text[i] = (char)c;
                bool same = str_is_nocase((str){text, name.len}, name.p);
                http_field got = http_field_of((str){text, name.len});
                CHECK(same == (got == (http_field)f));
            }
        }
        memcpy(text, name.p, name.len);
        text[name.len] = 's';
        CHECK_U64(http_field_of((str){text, name.len + 1}), HTTP_FIELD_OTHER);
        CHECK_U64(http_field_of((str){text + 1, name.len - 1}), HTTP_FIELD_OTHER);
    }
    CHECK_U64(http_field_of(STR("")), HTTP_FIELD_OTHER);
    CHECK_U64(http_field_of(STR("a-name-that-is-longer-than-any-of-those-that-are-asked-for")), HTTP_FIELD_OTHER);
}

static void an_index_finds_what_a_search_by_name_finds(void)
{
    static const http_header all[] = {
        {{"Host", 4}, {"h", 1}},       {{"x-other", 7}, {"1", 1}}, {{"ACCEPT", 6}, {"text/plain", 10}},
        {{"Origin", 6}, {"first", 5}}, {{"a", 1}, {"", 0}},        {{"origin", 6}, {"second", 6}},
    };
    http_field_index x = {.has = 0};
    for (size_t i = 0; i < COUNTOF(all); i++) http_field_index_add(&x, http_field_of(all[i].name), i);
    for (unsigned f = 0; f < HTTP_FIELD_OTHER; f++) {
        str want = http_header_find(all, COUNTOF(all), http_field_name((http_field)f).p);
        str got = http_field_get(&x, (http_field)f, all, COUNTOF(all));
        CHECK(got.p && str_eq(got, want));
        got = http_field_get(NULL, (http_field)f, all, COUNTOF(all));
        CHECK(got.p && str_eq(got, want));
    }
    http_header_span s = http_field_span(&x, HTTP_FIELD_ACCEPT, all, COUNTOF(all));
    CHECK(s.at == &all[2] && s.count == 1);
    s = http_field_span(&x, HTTP_FIELD_ORIGIN, all, COUNTOF(all));
    CHECK(s.at == &all[3] && s.count == 3);   /* the second one is among them */
    CHECK_U64(http_field_span(&x, HTTP_FIELD_EXPECT, all, COUNTOF(all)).count, 0);
    s = http_field_span(NULL, HTTP_FIELD_EXPECT, all, COUNTOF(all));
    CHECK(s.at == all && s.count == COUNTOF(all));
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_name_has_its_own_number_in_any_case),
        TEST(a_name_that_differs_in_a_byte_or_in_length_is_another),
        TEST(an_index_finds_what_a_search_by_name_finds),
    };
    return test_main(cases, COUNTOF(cases));
}
