/* Property: names come from lines or from Hugging Face's tables, in their order, and what is neither is refused. */
#include "media/labels.h"
#include "test.h"

static void check_names(const char *text, const char *want)
{
    arena a;
    err e = {.text = ""};
    labels l;
    char got[500] = "";
    size_t len = 0;
    arena_init(&a, NULL, 0, 1 << 20);
    if (labels_parse(str_of(text), "l.txt", &a, &l, &e)) snprintf(got, sizeof got, "%s", e.text);
    else for (size_t i = 0; i < l.count; i++)
        len += (size_t)snprintf(got + len, sizeof got - len, "%s" STR_FMT, i ? "|" : "", STR_ARG(labels_name(&l, i)));
    CHECK_STR(got, want);
    arena_fini(&a);
}

static void a_line_is_a_name(void)
{
    check_names("", "");
    check_names("cat\ndog, hound\r\n\nmouse", "cat|dog, hound||mouse");
    check_names("cat\n", "cat");
    check_names("\ncat", "|cat");
    check_names("a\n\xff", "l.txt:2: labels: expected UTF-8");
}

static void there_are_only_so_many(void)
{
    const size_t most = LABELS_MAX + 2;
    arena a;
    err e;
    labels l;
    arena_init(&a, NULL, 0, 64 << 20);
    char *text = arena_push_raw(&a, most, 1);
    INVARIANT(text);
    memset(text, '\n', most);
    text[0] = 'a';
    CHECK(labels_parse((str){text, most - 1}, "l.txt", &a, &l, &e) == ERR_OK && l.count == LABELS_MAX);
    CHECK(labels_parse((str){text, most}, "l.txt", &a, &l, &e) == ERR_LIMIT);
    CHECK_STR(e.text, "l.txt: labels: expected at most 1048576, got 1048577");
    arena_fini(&a);
}

static void tables_of_hugging_face_are_read(void)
{
    check_names("{\"model_type\": \"vit\", \"id2label\": {\"0\": \"cat\", \"2\": \"dog\"}, \"label2id\": {\"x\": 0}}",
                "cat||dog");
    check_names(" {\"label2id\": {\"dog\": 1, \"cat\": 0}}", "cat|dog");
    check_names("{\"id2label\": {\"zero\": \"cat\"}}", "l.txt:1:15: id2label: expected numbers as keys, got 'zero'");
    check_names("{\"id2label\": {\"1048576\": \"cat\"}}", "l.txt: labels: expected at most 1048576, got 1048576");
    check_names("{\"id2label\": [1]}", "l.txt:1:14: id2label: expected a map, got a list");
    check_names("{\"labels\": 1}", "l.txt:1:1: expected a member 'id2label', got a map");
}

static void lists_of_json_are_read(void)
{
    check_names("[\"cat\", \"dog, hound\"]", "cat|dog, hound");
    check_names("\n[\r\n\t \"cat\",\n\"d\\u00f6g\"\n]\n", "cat|d\xc3\xb6g");
    check_names("[UNK]\ncat", "[UNK]|cat");
    check_names("[", "[");
    check_names("[\"cat\", [1]]", "l.txt:1:9: expected a string, got a list");
}

static void a_byte_order_mark_is_no_name(void)
{
    check_names("\xef\xbb\xbf" "cat\ndog", "cat|dog");
    check_names("\xef\xbb\xbf[\"cat\"]", "cat");
    check_names("\xef\xbb\xbf{\"id2label\": {\"0\": \"cat\"}}", "cat");
    check_names("\xef\xbb\xbf", "");
}

static void a_class_without_a_name_has_an_empty_one(void)
{
    labels none = {0};
    CHECK(labels_name(&none, 0).len == 0);
}

static void parse_once(str text)
{
    arena a;
    err e = {.text = ""};
    labels l;
    arena_init(&a, NULL, 0, 1 << 20);
    CHECK(labels_parse(text, "l.txt", &a, &l, &e) == ERR_OK || e.text[0]);
    arena_fini(&a);
}

static void without_memory_nothing_is_left(void)
{
    FAULT_SWEEP(parse_once(STR("a\nb")));
    FAULT_SWEEP(parse_once(STR("[\"a\"]")));
    FAULT_SWEEP(parse_once(STR("{\"id2label\": {\"0\": \"cat\"}}")));
}

int main(void)
{
    static const test_case cases[] = {TEST(a_line_is_a_name), TEST(there_are_only_so_many),
                                      TEST(tables_of_hugging_face_are_read),
                                      TEST(lists_of_json_are_read), TEST(a_byte_order_mark_is_no_name),
                                      TEST(a_class_without_a_name_has_an_empty_one),
                                      TEST(without_memory_nothing_is_left)};
    return test_main(cases, COUNTOF(cases));
}
