/* Protobuf's text format becomes a tree that prints as JSON and as protobuf; what is not in the table or not in the
 * grammar is refused with its place. */
#include "wire/pbtxt.h"
#include "test.h"

#include <math.h>

static const pbdef_value colour_values[] = {{"RED", 0}, {"GREEN", 1}, {"DIM", -1}};
static const pbdef_enum colour = {colour_values, COUNTOF(colour_values)};
static const pbdef_field leaf_fields[] = {
    {.name = "name", .number = 1, .kind = PBDEF_TEXT},
    {.name = "dims", .number = 2, .kind = PBDEF_I64, .repeated = true},
};
static const pbdef leaf = {"Leaf", leaf_fields, COUNTOF(leaf_fields), false};
static const pbdef_field entry_fields[] = {
    {.name = "key", .number = 1, .kind = PBDEF_TEXT},
    {.name = "value", .number = 2, .kind = PBDEF_MESSAGE, .message = &leaf},
};
static const pbdef entry = {"MapEntry", entry_fields, COUNTOF(entry_fields), true};
static const pbdef_field level_fields[] = {
    {.name = "key", .number = 1, .kind = PBDEF_U64},
    {.name = "value", .number = 2, .kind = PBDEF_TEXT},
};
static const pbdef level = {"LevelEntry", level_fields, COUNTOF(level_fields), true};
static const pbdef_field root_fields[] = {
    {.name = "name", .number = 1, .kind = PBDEF_TEXT},
    {.name = "max_batch_size", .number = 2, .kind = PBDEF_I32},
    {.name = "on", .number = 3, .kind = PBDEF_BOOL},
    {.name = "colour", .number = 4, .kind = PBDEF_ENUM, .values = &colour},
    {.name = "delay", .number = 5, .kind = PBDEF_U64},
    {.name = "count", .number = 6, .kind = PBDEF_U32},
    {.name = "ratio", .number = 7, .kind = PBDEF_F32},
    {.name = "buckets", .number = 8, .kind = PBDEF_F64, .repeated = true},
    {.name = "leaf", .number = 9, .kind = PBDEF_MESSAGE, .message = &leaf},
    {.name = "leaves", .number = 10, .kind = PBDEF_MESSAGE, .repeated = true, .message = &leaf},
    {.name = "map", .number = 11, .kind = PBDEF_MESSAGE, .repeated = true, .message = &entry},
    {.name = "levels", .number = 12, .kind = PBDEF_MESSAGE, .repeated = true, .message = &level},
    {.name = "left", .number = 13, .kind = PBDEF_MESSAGE, .oneof = 1, .message = &leaf},
    {.name = "right", .number = 14, .kind = PBDEF_BOOL, .oneof = 1},
    {.name = "seed", .number = 15, .kind = PBDEF_I64},
};
static const pbdef root = {"Root", root_fields, COUNTOF(root_fields), false};

static char shown[4096];

/* The tree as JSON without what stands at its default, or the error. */
static const char *read_len(const char *text, size_t len)
{
    arena a;
    err e = {0};
    buf out;
    pbtree *m = NULL;
    arena_init(&a, NULL, 0, 1 << 20);
    buf_init(&out, sizeof shown - 1);
    if (pbtxt_parse((str){text, len}, "c.pbtxt", &root, &a, &m, &e)) {
        snprintf(shown, sizeof shown, "%s", e.text);
    } else {
        buf_put_byte(&out, '{');
        for (size_t i = 0; i < root.count; i++) {
            const pbtree_list *l = &m->fields[i];
            if (!l->count) continue;
            pbtree only = *m;
            pbtree_list lists[COUNTOF(root_fields)] = {0};
            lists[i] = *l;
            only.fields = lists;
            buf all;
            buf_init(&all, sizeof shown);
            pbtree_print(&all, &only);
            buf_put_byte(&all, 0);
            char key[64];
            snprintf(key, sizeof key, "\"%s\":", root.fields[i].name);
            const char *from = strstr((const char *)all.p, key), *end = from;
            CHECK(from);
            int depth = 0;
            for (bool quoted = false; *end; end++) {
                if (*end == '"' && end[-1] != '\\') quoted = !quoted;
                if (quoted) continue;
                if (depth == 0 && (*end == ',' || *end == '}')) break;
                depth += (*end == '{' || *end == '[') - (*end == '}' || *end == ']');
            }
            if (out.len > 1) buf_put_byte(&out, ',');
            buf_put(&out, from, (size_t)(end - from));
            buf_fini(&all);
        }
        buf_put_byte(&out, '}');
        snprintf(shown, sizeof shown, "%.*s", (int)out.len, (const char *)out.p);
    }
    buf_fini(&out);
    arena_fini(&a);
    return shown;
}

static const char *reads(const char *text) { return read_len(text, strlen(text)); }

static void fields_are_read_with_all_separators_and_brackets(void)
{
    CHECK_STR(reads(""), "{}");
    CHECK_STR(reads(" \n# only a comment"), "{}");
    CHECK_STR(reads("name: 'm'; max_batch_size: 8, on: true # end\ncolour:GREEN"),
              "{\"name\":\"m\",\"max_batch_size\":8,\"on\":true,\"colour\":\"GREEN\"}");
    CHECK_STR(reads("leaf { name: \"a\" dims: 1 dims: [2, 3] dims: [] }"),
              "{\"leaf\":{\"name\":\"a\",\"dims\":[1,2,3]}}");
    CHECK_STR(reads("leaf: < dims: [ -1 ] >"), "{\"leaf\":{\"name\":\"\",\"dims\":[-1]}}");
    CHECK_STR(reads("leaves [ {name:'a'}, <name:'b'> ] leaves {} leaves: []"),
              "{\"leaves\":[{\"name\":\"a\",\"dims\":[]},{\"name\":\"b\",\"dims\":[]},{\"name\":\"\",\"dims\":[]}]}");
}

static void numbers_are_read_in_every_notation(void)
{
    CHECK_STR(reads("seed: -9223372036854775808 delay: 18446744073709551615"),
              "{\"delay\":18446744073709551615,\"seed\":-9223372036854775808}");
    CHECK_STR(reads("count: 4294967295 max_batch_size: -2147483648"),
              "{\"max_batch_size\":-2147483648,\"count\":4294967295}");
    CHECK_STR(reads("seed: -0x10 delay: 0xFF count: 017"), "{\"delay\":255,\"count\":15,\"seed\":-16}");
    CHECK_STR(reads("seed: - # a comment\n 5"), "{\"seed\":-5}");
    CHECK_STR(reads("buckets: [1, 1., .5, 1.5e3, 2f, 2.5F, -inf, nan, Infinity, 0, -1e-2]"),
              "{\"buckets\":[1.0,1.0,0.5,1500.0,2.0,2.5,\"-Infinity\",\"NaN\",\"Infinity\",0.0,-0.01]}");
    CHECK_STR(reads("ratio: 0.1"), "{\"ratio\":0.1}");
    CHECK_STR(reads("on: 1 colour: -1 right: f"), "{\"on\":true,\"colour\":\"DIM\",\"right\":false}");
    CHECK_STR(reads("on: t right: True colour: 0x1"), "{\"on\":true,\"colour\":\"GREEN\",\"right\":true}");
}

static void strings_are_joined_and_their_escapes_decoded(void)
{
    CHECK_STR(reads("name: \"a\" 'b' # and\n \"c\""), "{\"name\":\"abc\"}");
    CHECK_STR(reads("name: '\\x41\\102\\u0043\\U00000044\\'\\?'"), "{\"name\":\"ABCD'?\"}");
    CHECK_STR(reads("name: '\\303\\274\\xC3\\xBC\\u00fc'"), "{\"name\":\"\303\274\303\274\303\274\"}");
    CHECK_STR(reads("name: '\\ud83d\\ude00'"), "{\"name\":\"\360\237\230\200\"}");
    CHECK_STR(reads("name: '\\\\\\n'"), "{\"name\":\"\\\\\\n\"}");
    CHECK_STR(reads("name: ''"), "{\"name\":\"\"}");
}

static void maps_are_entries_of_which_the_last_with_a_key_counts(void)
{
    CHECK_STR(reads("map { key: 'a' value { dims: 1 } } map { key: 'b' } map { value { dims: 3 } key: 'a' }"),
              "{\"map\":{\"a\":{\"name\":\"\",\"dims\":[3]},\"b\":{\"name\":\"\",\"dims\":[]}}}");
    CHECK_STR(reads("levels [{ key: 2 value: 'x' }, { value: 'y' }]"), "{\"levels\":{\"2\":\"x\",\"0\":\"y\"}}");
}

static void an_unknown_field_is_told_with_what_is_near(void)
{
    CHECK_STR(reads("name: 'm'\n\n      max_bach_size: 8"),
              "c.pbtxt:3:7: unknown field 'max_bach_size', did you mean 'max_batch_size'?");
    CHECK_STR(reads("leaf { \303\274 }"), "c.pbtxt:1:8: expected a field name, got '\303\274'");
    CHECK_STR(reads("leaf { zzzz: 1 }"), "c.pbtxt:1:8: unknown field 'zzzz' of Leaf");
    CHECK_STR(reads("[my.pkg.ext]: 1"),
              "c.pbtxt:1:1: expected a field name, got the extension '[my.pkg.ext]'");
    CHECK_STR(reads("[type.googleapis.com/my.Message] { a: 1 }"),
              "c.pbtxt:1:1: expected a field name, got the extension '[type.googleapis.com/my.Message]'");
    CHECK_STR(reads("7: 1"), "c.pbtxt:1:1: expected a field name, got '7'");
}

static void what_the_grammar_does_not_have_is_refused_with_its_place(void)
{
    CHECK_STR(reads("name 'm'"), "c.pbtxt:1:6: expected ':', got '''");
    CHECK_STR(reads("name: m"), "c.pbtxt:1:7: expected a string in quotes, got 'm'");
    CHECK_STR(reads("name: 'm"), "c.pbtxt:1:7: expected a string that ends on its line");
    CHECK_STR(reads("name: 'a\nb'"), "c.pbtxt:1:7: expected a string that ends on its line");
    CHECK(strncmp(reads("name: 'a\\q'"), "c.pbtxt:1:9: expected one of the escapes", 40) == 0);
    CHECK(strncmp(reads("name: '\\ud83d'"), "c.pbtxt:1:8: expected one of the escapes", 40) == 0);
    CHECK_STR(reads("name: 'a\\000b'"), "c.pbtxt:1:7: expected a string without NUL");
    CHECK_STR(reads("name: '\\377'"), "c.pbtxt:1:7: expected a string of UTF-8");
    CHECK_STR(reads("leaf 5"), "c.pbtxt:1:6: expected '{' for 'leaf', which is a message, got '5'");
    CHECK_STR(reads("leaf {\n name: 'x'"), "c.pbtxt:2:11: expected '}' for line 1, got the end of the file");
    CHECK_STR(reads("leaf < name: 'x' }"), "c.pbtxt:1:18: expected a field name, got '}'");
    CHECK_STR(reads("leaf { dims: [1 2] }"), "c.pbtxt:1:17: expected ',' or ']', got '2'");
    CHECK_STR(reads("leaf { dims: [1,] }"), "c.pbtxt:1:17: expected a whole number of 64 bits, got ']'");
    CHECK_STR(reads("name: ['a']"), "c.pbtxt:1:7: expected one value, as 'name' is no list, got '['");
    CHECK_STR(reads("}"), "c.pbtxt:1:1: expected a field name, got '}'");
    CHECK_STR(reads("name: 'a',, on: 1"), "c.pbtxt:1:11: expected a field name, got ','");
    CHECK_STR(read_len("on: 1 \0", 7), "c.pbtxt:1:7: expected a field name, got byte 0x00");
    CHECK_STR(reads("on: \377"), "c.pbtxt:1:5: expected true or false, got byte 0xff");
}

static void values_that_do_not_fit_are_refused(void)
{
    CHECK_STR(reads("max_batch_size: 2147483648"),
              "c.pbtxt:1:17: expected a whole number from -2147483648 to 2147483647, got '2147483648'");
    CHECK_STR(reads("max_batch_size: 10foo"),
              "c.pbtxt:1:17: expected a whole number from -2147483648 to 2147483647, got '10foo'");
    CHECK_STR(reads("count: -1"), "c.pbtxt:1:8: expected a whole number from 0 to 4294967295, got '-1'");
    CHECK_STR(reads("count: - 1"), "c.pbtxt:1:8: expected a whole number from 0 to 4294967295, got '-1'");
    CHECK_STR(reads("count: -"), "c.pbtxt:1:8: expected a whole number from 0 to 4294967295, got '-'");
    CHECK_STR(reads("colour: -7"), "c.pbtxt:1:9: expected one of RED, GREEN, DIM, got '-7'");
    CHECK_STR(reads("count: 1.5"), "c.pbtxt:1:8: expected a whole number from 0 to 4294967295, got '1.5'");
    CHECK_STR(reads("delay: 0x10000000000000000"),
              "c.pbtxt:1:8: expected a whole number from 0 to 18446744073709551615, got '0x10000000000000000'");
    CHECK_STR(reads("delay: 09"), "c.pbtxt:1:8: expected a whole number from 0 to 18446744073709551615, got '09'");
    CHECK_STR(reads("ratio: 1e39"), "c.pbtxt:1:8: expected a number of 32 bits, got '1e39'");
    CHECK_STR(reads("buckets: 1e999"), "c.pbtxt:1:10: expected a number, got '1e999'");
    CHECK_STR(reads("buckets: 007"), "c.pbtxt:1:10: expected a number, got '007'");
    CHECK_STR(reads("buckets: 0x1f"), "c.pbtxt:1:10: expected a number, got '0x1f'");
    CHECK_STR(reads("buckets: f"), "c.pbtxt:1:10: expected a number, got 'f'");
    CHECK_STR(reads("on: yes"), "c.pbtxt:1:5: expected true or false, got 'yes'");
    CHECK_STR(reads("colour: BLUE"), "c.pbtxt:1:9: expected one of RED, GREEN, DIM, got 'BLUE'");
    CHECK_STR(reads("colour: -RED"), "c.pbtxt:1:9: expected one of RED, GREEN, DIM, got '-RED'");
    CHECK_STR(reads("colour: 7"), "c.pbtxt:1:9: expected one of RED, GREEN, DIM, got '7'");
    CHECK_STR(reads("name: 'a'\nname: 'b'"), "c.pbtxt:2:1: expected 'name' once, got it again after line 1");
    CHECK_STR(reads("left {} right: true"), "c.pbtxt:1:9: expected one of 'left' and 'right', got both");
}

static void a_message_of_the_tree_is_written_as_protobuf(void)
{
    static const uint8_t want[] = {0x0a, 1, 'm', 0x10, 8, 0x3d, 0, 0, 0, 0x3f, 0x42, 8, 0, 0, 0,
                                   0, 0, 0, 0xf8, 0x3f, 0x4a, 13, 0x12, 11, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 1, 2, 0x70, 0};
    arena a;
    err e;
    buf out;
    pbtree *m = NULL;
    arena_init(&a, NULL, 0, 1 << 20);
    buf_init(&out, 1 << 10);
    str text = STR("leaf { dims: [-1, 2] } buckets: 1.5 name: 'm' max_batch_size: 8 on: false ratio: 0.5 right: false");
    CHECK(pbtxt_parse(text, "c.pbtxt", &root, &a, &m, &e) == ERR_OK);
    pbtree_put(&out, m);
    CHECK_U64(out.len, sizeof want);
    CHECK(out.len == sizeof want && memcmp(out.p, want, sizeof want) == 0);
    buf_fini(&out);
    arena_fini(&a);
}

static void a_tree_can_be_asked_and_changed(void)
{
    arena a;
    arena_init(&a, NULL, 0, 1 << 20);
    pbtree *m = pbtree_new(&a, &root);
    CHECK(m && !pbtree_has(m, "name") && pbtree_text(m, "name").len == 0 && pbtree_i64(m, "seed") == 0);
    CHECK(pbtree_set_text(&a, m, "name", STR("x")) && str_is(pbtree_text(m, "name"), "x"));
    CHECK(pbtree_set_i64(&a, m, "seed", -3) && pbtree_i64(m, "seed") == -3 && pbtree_set_i64(&a, m, "on", 1));
    CHECK(pbtree_bool(m, "on") && !pbtree_bool(m, "right"));
    CHECK(pbtree_u64(m, "delay") == 0 && pbtree_f64(m, "ratio") == 0);
    pbtree *l = pbtree_open(&a, m, "leaf");
    CHECK(l && pbtree_open(&a, m, "leaf") == l && pbtree_append(&a, l, "dims") && pbtree_append(&a, l, "dims"));
    CHECK_U64(pbtree_count(l, "dims"), 2);
    CHECK(pbtree_get(NULL, "x") == NULL && pbtree_count(NULL, "x") == 0);
    arena_fini(&a);
}

static const char whole_text[] =
    "name: \"m\" # c\nleaf { name: '\\x41' \"b\" dims: [1, -2] }\nmap { key: 'k' value < dims: 3 > }\nbuckets: 1.5e3\n"
    "colour: GREEN; leaves [{}, {}]\n";

static void a_text_cut_anywhere_is_read_or_refused(void)
{
    char copy[sizeof whole_text];
    for (size_t n = 0; n < sizeof whole_text; n++) {
        arena a;
        err e = {0};
        pbtree *m = NULL;
        memcpy(copy, whole_text, n);
        arena_init(&a, NULL, 0, 1 << 20);
        if (pbtxt_parse((str){copy, n}, "c.pbtxt", &root, &a, &m, &e)) CHECK(strncmp(e.text, "c.pbtxt:", 8) == 0 && !m);
        else CHECK(m);
        arena_fini(&a);
    }
}

/* No table that a tool makes is like this one; the reader holds all the same. */
static const pbdef self;
static const pbdef_field self_fields[] = {{.name = "a", .number = 1, .kind = PBDEF_MESSAGE, .message = &self}};
static const pbdef self = {"Self", self_fields, 1, false};

static void depth_size_and_memory_are_limited(void)
{
    char deep[8 * PBTXT_DEPTH_MAX];
    arena a;
    err e = {0};
    pbtree *m = NULL;
    size_t n = 0;
    for (size_t i = 0; i <= PBTXT_DEPTH_MAX; i++, n += 2) memcpy(deep + n, "a{", 2);
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(pbtxt_parse((str){deep, n}, "c.pbtxt", &self, &a, &m, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "c.pbtxt:1:66: expected messages at most 32 deep, got more");
    CHECK(pbtxt_parse((str){deep, PBTXT_BYTES_MAX + 1}, "c.pbtxt", &self, &a, &m, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "c.pbtxt: expected at most 4194304 bytes, got 4194305");
    arena_fini(&a);
    arena_init(&a, NULL, 0, 512);
    CHECK(pbtxt_parse(STR("leaves {} leaves {} leaves {} leaves {}"), "c.pbtxt", &root, &a, &m, &e) == ERR_LIMIT);
    arena_fini(&a);
}

static void no_memory_at_any_point_leaves_nothing(void)
{
    FAULT_SWEEP({
        arena a;
        err e = {0};
        pbtree *m = NULL;
        arena_init(&a, NULL, 0, 1 << 20);
        err_code rc = pbtxt_parse(str_of(whole_text), "c.pbtxt", &root, &a, &m, &e);
        CHECK(rc == ERR_OK || rc == ERR_NOMEM);
        arena_fini(&a);
    })
}

int main(void)
{
    static const test_case cases[] = {
        TEST(fields_are_read_with_all_separators_and_brackets),
        TEST(numbers_are_read_in_every_notation),
        TEST(strings_are_joined_and_their_escapes_decoded),
        TEST(maps_are_entries_of_which_the_last_with_a_key_counts),
        TEST(an_unknown_field_is_told_with_what_is_near),
        TEST(what_the_grammar_does_not_have_is_refused_with_its_place),
        TEST(values_that_do_not_fit_are_refused),
        TEST(a_message_of_the_tree_is_written_as_protobuf),
        TEST(a_tree_can_be_asked_and_changed),
        TEST(a_text_cut_anywhere_is_read_or_refused),
        TEST(depth_size_and_memory_are_limited),
        TEST(no_memory_at_any_point_leaves_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
