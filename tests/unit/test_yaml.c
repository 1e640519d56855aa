/* A document becomes a tree that knows its places; what is unsafe or ambiguous is refused with its line and column. */
#include "wire/yaml.h"
#include "test.h"

#include <math.h>

static yaml *parse(arena *a, const char *text, err *e)
{
    yaml *y = NULL;
    *e = (err){0};
    return yaml_parse(str_of(text), "c.yaml", a, &y, e) ? NULL : y;
}

static void refuse(const char *text, const char *want)
{
    arena a;
    err e;
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(parse(&a, text, &e) == NULL);
    CHECK_STR(e.text, want);
    arena_fini(&a);
}

static void a_document_becomes_a_tree_with_places(void)
{
    arena a;
    err e;
    str s;
    uint64_t port;
    bool on;
    arena_init(&a, NULL, 0, 1 << 20);
    yaml *y = parse(&a, "# configuration\nhttp:\n  port: 8080\n  on: true\n"
                        "models:\n  - digits\n  - {name: \"other\", path: 'a b'}\n", &e);
    CHECK(y && yaml_map(y, &e) == ERR_OK && y->count == 2);
    const yaml *http = yaml_get(y, "http"), *models = yaml_get(y, "models");
    CHECK(yaml_u64(yaml_get(http, "port"), &port, &e) == ERR_OK && port == 8080);
    CHECK(yaml_get(http, "port")->line == 3 && yaml_get(http, "port")->column == 9);
    CHECK(yaml_get(http, "port")->key_line == 3 && yaml_get(http, "port")->key_column == 3);
    CHECK(yaml_bool(yaml_get(http, "on"), &on, &e) == ERR_OK && on);
    CHECK(yaml_list(models, &e) == ERR_OK && models->count == 2);
    CHECK(yaml_str(models->first, &s, &e) == ERR_OK && str_is(s, "digits") && models->first->key.p == NULL);
    const yaml *other = models->first->next;
    CHECK(yaml_str(yaml_get(other, "path"), &s, &e) == ERR_OK && str_is(s, "a b") && !other->next);
    CHECK(yaml_get(other, "none") == NULL && yaml_get(models, "name") == NULL && yaml_get(NULL, "x") == NULL);
    arena_fini(&a);
}

static void a_byte_order_mark_in_front_is_skipped(void)
{
    arena a;
    err e;
    uint64_t port;
    arena_init(&a, NULL, 0, 1 << 20);
    yaml *y = parse(&a, "\xef\xbb\xbfport: 80\nqueue: 5\n", &e);
    CHECK(y && y->count == 2 && yaml_u64(yaml_get(y, "port"), &port, &e) == ERR_OK && port == 80);
    CHECK(y && yaml_get(y, "port")->line == 1 && yaml_get(y, "port")->column == 7);
    y = parse(&a, "\xef\xbb\xbf", &e);
    CHECK(y && yaml_is_null(y));
    arena_fini(&a);
    refuse("\xef\xbb\xbfport: 80\n\x01: 5\n", "c.yaml: byte 12: control characters are not allowed");
}

static void empty_documents_are_null(void)
{
    static const char *const texts[] = {"", "\n", "# only a comment\n", "---\n", "~", "null", "--- \n...\n"};
    arena a;
    err e;
    arena_init(&a, NULL, 0, 1 << 20);
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        yaml *y = parse(&a, texts[i], &e);
        CHECK(y && yaml_is_null(y));
    }
    arena_fini(&a);
}

/* Reads one scalar through all getters; a dash where one refuses. */
static void reads(const char *text, const char *want)
{
    char got[200];
    arena a;
    err e;
    str s = STR("-");
    bool b;
    uint64_t u;
    int64_t i;
    double d;
    size_t n = 0;
    arena_init(&a, NULL, 0, 1 << 20);
    yaml *y = parse(&a, text, &e);
    CHECK(y);
    if (yaml_str(y, &s, &e)) s = STR("-");
    n += (size_t)snprintf(got + n, sizeof got - n, STR_FMT, STR_ARG(s));
    n += (size_t)snprintf(got + n, sizeof got - n, " %s", yaml_bool(y, &b, &e) ? "-" : b ? "yes" : "no");
    if (yaml_u64(y, &u, &e)) n += (size_t)snprintf(got + n, sizeof got - n, " -");
    else n += (size_t)snprintf(got + n, sizeof got - n, " %llu", (unsigned long long)u);
    if (yaml_i64(y, &i, &e)) n += (size_t)snprintf(got + n, sizeof got - n, " -");
    else n += (size_t)snprintf(got + n, sizeof got - n, " %lld", (long long)i);
    if (yaml_f64(y, &d, &e)) snprintf(got + n, sizeof got - n, " -");
    else snprintf(got + n, sizeof got - n, isnan(d) ? " nan" : " %g", d);
    CHECK_STR(got, want);
    arena_fini(&a);
}

static void scalars_follow_the_core_schema(void)
{
    reads("12", "12 - 12 12 12");
    reads("-5", "-5 - - -5 -5");
    reads("+7", "+7 - 7 7 7");
    reads("-0", "-0 - 0 0 -0");
    reads("0x1F", "0x1F - 31 31 31");
    reads("0o17", "0o17 - 15 15 15");
    reads("012", "012 - 12 12 12");
    reads("0x", "0x - - - -");
    reads("0b1", "0b1 - - - -");
    reads("1_000", "1_000 - - - -");
    reads("18446744073709551615", "18446744073709551615 - 18446744073709551615 - 1.84467e+19");
    reads("18446744073709551616", "18446744073709551616 - - - 1.84467e+19");
    reads("-9223372036854775808", "-9223372036854775808 - - -9223372036854775808 -9.22337e+18");
    reads("1.5e3", "1.5e3 - - - 1500");
    reads("+1.5", "+1.5 - - - 1.5");
    reads("+-1.5", "+-1.5 - - - -");
    reads(".5", ".5 - - - 0.5");
    reads("-.inf", "-.inf - - - -inf");
    reads(".NaN", ".NaN - - - nan");
    reads("true", "true yes - - -");
    reads("False", "False no - - -");
    reads("yes", "yes - - - -");
    reads("off", "off - - - -");
    reads("\"12\"", "12 - - - -");
    reads("'true'", "true - - - -");
    reads("~", "- - - - -");
    reads("''", " - - - -");
    reads("|\n  two\n  lines\n", "two\nlines\n - - - -");
}

static void what_is_unsafe_or_ambiguous_is_refused(void)
{
    refuse("a: &x [1]\nb: *x\n", "c.yaml:2:4: aliases are not supported: write the value again");
    refuse("a: !!python/object x\n", "c.yaml:1:4: tags are not supported");
    refuse("- !list [1]\n", "c.yaml:1:3: tags are not supported");
    refuse("a: 1\nb: 2\na: 3\n", "c.yaml:3:1: expected 'a' once, got it again after line 1");
    refuse("x:\n  k: {a: 1, \"a\": 2}\n", "c.yaml:2:13: expected 'a' once, got it again after line 2");
    refuse("[1]: 2\n", "c.yaml:1:1: key: expected a scalar, got a list or map");
    refuse("a: 1\n---\nb: 2\n", "c.yaml:2:1: expected one document, got another");
    refuse("a: \xff\n", "c.yaml: expected UTF-8, got other bytes");
}

static void syntax_errors_have_their_place(void)
{
    refuse("a: [1, 2\n", "c.yaml:2:1: did not find expected ',' or ']' while parsing a flow sequence");
    refuse("a: 1\n b: 2\n", "c.yaml:2:3: mapping values are not allowed in this context");
    refuse("\tkey: 1\n", "c.yaml:1:1: found character that cannot start any token while scanning for the next token");
    refuse("a: \"x\n", "c.yaml:2:1: found unexpected end of stream while scanning a quoted scalar");
    refuse("a: \x01\n", "c.yaml: byte 3: control characters are not allowed");
}

static void every_cut_gives_a_tree_or_an_error(void)
{
    static const char text[] = "a: [1, {b: 'c\xc3\xa9'}]\nd: |\n  text\ne:\n- \"\\u00e9\"\n- 0x1F # comment\n";
    arena a;
    err e;
    yaml *y;
    arena_init(&a, NULL, 0, 1 << 16);
    for (size_t cut = 0; cut < sizeof text; cut++) {
        char *copy = mem_alloc_raw(cut), *at = copy + (MEM_ALIGN - cut % MEM_ALIGN) % MEM_ALIGN;
        memcpy(at, text, cut);
        arena_reset(&a);
        e.code = ERR_OK;
        if (yaml_parse((str){at, cut}, "c.yaml", &a, &y, &e)) CHECK(e.code == ERR_INVALID && cut < sizeof text - 1);
        mem_free(copy);
    }
    arena_fini(&a);
}

static void limits_hold(void)
{
    static char text[400000];
    arena a;
    err e;
    size_t n = 0;
    memset(text, '[', 70);
    refuse(text, "c.yaml:1:65: nesting: expected at most 64 levels, got more");
    arena_init(&a, NULL, 0, 1 << 26);
    for (int i = 0; i < 100000; i++) n += (size_t)sprintf(text + n, "- \n");
    CHECK(parse(&a, text, &e) == NULL && e.code == ERR_LIMIT);
    CHECK_STR(e.text, "c.yaml:100000:2: expected at most 100000 values, got more");
    arena_fini(&a);
    arena_init(&a, NULL, 0, 300);
    CHECK(parse(&a, "[1, 2, 3, 4, 5]", &e) == NULL && e.code == ERR_LIMIT);
    CHECK_STR(e.text, "c.yaml: expected a document that fits 300 bytes of memory");
    arena_fini(&a);
}

static void many_keys_are_checked_too(void)
{
    char text[4096];
    size_t n = 0;
    arena a;
    err e;
    arena_init(&a, NULL, 0, 1 << 20);
    for (int i = 0; i < 100; i++) n += (size_t)sprintf(text + n, "key%d: %d\n", i, i);
    yaml *y = parse(&a, text, &e);
    CHECK(y && y->count == 100 && yaml_get(y, "key99"));
    FAULT_SWEEP({
        arena b;
        arena_init(&b, NULL, 0, 1 << 20);
        yaml *z = parse(&b, text, &e);
        CHECK(z || e.code == ERR_NOMEM);
        arena_fini(&b);
    });
    sprintf(text + n, "key7: 1\n");
    CHECK(parse(&a, text, &e) == NULL);
    CHECK_STR(e.text, "c.yaml:101:1: expected 'key7' once, got it again after line 8");
    arena_fini(&a);
}

static void refusals_name_member_and_place(void)
{
    arena a;
    err e;
    uint64_t u;
    str s;
    arena_init(&a, NULL, 0, 1 << 20);
    yaml *y = parse(&a, "http:\n    port: \"80\"\n    name:\n    list: [a]\n    on: no\n", &e);
    const yaml *http = yaml_get(y, "http");
    CHECK(yaml_u64(yaml_get(http, "port"), &u, &e) == ERR_INVALID);
    CHECK_STR(e.text, "c.yaml:2:11: port: expected a non-negative integer, got '80' in quotes");
    CHECK(yaml_str(yaml_get(http, "name"), &s, &e) == ERR_INVALID);
    CHECK_STR(e.text, "c.yaml:3:10: name: expected a string, got nothing");
    CHECK(yaml_map(yaml_get(http, "list"), &e) == ERR_INVALID);
    CHECK_STR(e.text, "c.yaml:4:11: list: expected a map, got a list");
    CHECK(yaml_u64(yaml_get(http, "list")->first, &u, &e) == ERR_INVALID);
    CHECK_STR(e.text, "c.yaml:4:12: expected a non-negative integer, got 'a'");
    bool b;
    CHECK(yaml_bool(yaml_get(http, "on"), &b, &e) == ERR_INVALID);
    CHECK_STR(e.text, "c.yaml:5:9: on: expected true or false, got 'no'");
    arena_fini(&a);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_document_becomes_a_tree_with_places),
        TEST(a_byte_order_mark_in_front_is_skipped),
        TEST(empty_documents_are_null),
        TEST(scalars_follow_the_core_schema),
        TEST(what_is_unsafe_or_ambiguous_is_refused),
        TEST(syntax_errors_have_their_place),
        TEST(every_cut_gives_a_tree_or_an_error),
        TEST(limits_hold),
        TEST(many_keys_are_checked_too),
        TEST(refusals_name_member_and_place),
    };
    return test_main(cases, COUNTOF(cases));
}
