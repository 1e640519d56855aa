/* Flags are read from one table: both spellings, operands between them, and a near miss gets a suggestion. */
#include "cli/flags.h"
#include "test.h"

typedef struct {
    const char *path;
    uint64_t threads;
    bool json;
    flag_texts shapes;
    const char *operands[2];
    size_t count;
} parsed;

/* The line's words as argv. */
static err_code parse(parsed *p, const char *line, err *e)
{
    static char copy[4096], *argv[256];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = copy; *word; argc++) {
        argv[argc] = word;
        word += strcspn(word, " ");
        if (*word) *word++ = 0;
    }
    const flag flags[] = {
        {.name = "inputs", .kind = FLAG_TEXT, .to = &p->path, .value = "PATH", .help = "where from"},
        {.name = "threads", .kind = FLAG_NUMBER, .to = &p->threads, .value = "N", .help = "how many", .min = 1,
         .max = 8},
        {.name = "json", .kind = FLAG_SWITCH, .to = &p->json, .help = "for machines"},
        {.name = "shape", .kind = FLAG_TEXTS, .to = &p->shapes, .value = "S", .help = "one of several"},
    };
    flag_operands operands = {.at = p->operands, .max = 2};
    err_code rc = flags_parse(flags, COUNTOF(flags), argc, argv, &operands, e);
    p->count = operands.count;
    return rc;
}

static void both_spellings_and_operands_are_read(void)
{
    parsed p = {0};
    err e;
    CHECK(parse(&p, "m.onnx --inputs a --threads=3 --json --shape x=1 --shape=y=2x3 -- --odd", &e) == ERR_OK);
    CHECK_STR(p.path, "a");
    CHECK_U64(p.threads, 3);
    CHECK(p.json);
    CHECK_U64(p.shapes.count, 2);
    CHECK_STR(p.shapes.items[1], "y=2x3");
    CHECK_U64(p.count, 2);
    CHECK_STR(p.operands[0], "m.onnx");
    CHECK_STR(p.operands[1], "--odd");
}

static void what_is_wrong_is_named(void)
{
    parsed p = {0};
    err e;
    CHECK(parse(&p, "--inptus a", &e) == ERR_INVALID);
    CHECK_STR(e.text, "--inptus: unknown flag, did you mean --inputs?");
    CHECK(parse(&p, "--threads 9", &e) == ERR_INVALID);
    CHECK_STR(e.text, "--threads: expected a number in 1..8, got '9'");
    CHECK(parse(&p, "--threads 0", &e) == ERR_INVALID);
    CHECK(parse(&p, "--threads 1", &e) == ERR_OK && p.threads == 1);
    CHECK(parse(&p, "--threads 8", &e) == ERR_OK && p.threads == 8);
    CHECK(parse(&p, "--threads two", &e) == ERR_INVALID);
    CHECK(parse(&p, "--inputs", &e) == ERR_INVALID);
    CHECK_STR(e.text, "--inputs: expected a value, got none");
    CHECK(parse(&p, "--json=yes", &e) == ERR_INVALID);
    CHECK_STR(e.text, "--json: takes no value");
    CHECK(parse(&p, "a b c", &e) == ERR_INVALID);
    CHECK_STR(e.text, "'c': expected at most 2 operands");
}

static void a_flag_may_be_given_only_so_often(void)
{
    char line[4096] = "";
    parsed p = {0};
    err e;
    for (size_t i = 0; i < FLAG_TEXTS_MAX; i++) strcat(line, "--shape x=1 "); /* style: bounded by the loop */
    CHECK(parse(&p, line, &e) == ERR_OK);
    strcat(line, "--shape x=1"); /* style: the same */
    p = (parsed){0};
    CHECK(parse(&p, line, &e) == ERR_LIMIT);
}

static void a_flag_that_is_needed_and_absent_is_named(void)
{
    const char *from = NULL, *to = NULL;
    const flag flags[] = {{.name = "from", .kind = FLAG_TEXT, .to = &from, .value = "PATH"},
                          {.name = "to", .kind = FLAG_TEXT, .to = &to, .value = "PATH", .needed = true}};
    err e;
    CHECK(flags_check(flags, COUNTOF(flags), &e) == ERR_INVALID);
    CHECK_STR(e.text, "--to: expected PATH, got none");
    to = "there";
    CHECK(flags_check(flags, COUNTOF(flags), &e) == ERR_OK);
}

static void help_names_every_flag(void)
{
    const flag flags[] = {{.name = "json", .kind = FLAG_SWITCH, .help = "for machines"},
                          {.name = "runs", .kind = FLAG_NUMBER, .value = "N", .help = "how many"}};
    char text[200];
    flags_help(flags, COUNTOF(flags), text, sizeof text);
    CHECK_STR(text, "  --json                       for machines\n  --runs N                     how many\n");
    memset(text, 'x', sizeof text);
    flags_help(flags, COUNTOF(flags), text, 10);
    CHECK_U64(strlen(text), 9);
    for (size_t i = 10; i < sizeof text; i++) CHECK(text[i] == 'x');
}

int main(void)
{
    static const test_case cases[] = {TEST(both_spellings_and_operands_are_read), TEST(what_is_wrong_is_named),
                                      TEST(a_flag_may_be_given_only_so_often),
                                      TEST(a_flag_that_is_needed_and_absent_is_named), TEST(help_names_every_flag)};
    return test_main(cases, COUNTOF(cases));
}
