/* A command of `proa model` runs only with a whole line: one model and every flag that is needed; else its status is
 * decided and the reason said before it has begun. */
#include "cli/cmd.h"
#include "cli/model_line.h"
#include "test.h"

typedef struct {
    const char *model, *inputs;
    uint64_t threads;
    int status;
} parsed;

/* `text` holds at most 8 words. */
static bool parse(parsed *p, const char *text)
{
    static char copy[200], *argv[8];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = copy; *word; argc++) {
        argv[argc] = word;
        word += strcspn(word, " ");
        if (*word) *word++ = 0;
    }
    *p = (parsed){.status = -1};
    const flag flags[] = {model_line_inputs(&p->inputs), model_line_threads(&p->threads)};
    const model_line line = {.path = "proa model test", .args = "MODEL", .flags = flags, .flag_count = COUNTOF(flags)};
    return model_line_parse(&line, argc, argv, &p->model, &p->status);
}

static void a_whole_line_sets_the_model_and_the_flags(void)
{
    parsed p;
    CHECK(parse(&p, "--threads=2 m.onnx --inputs there"));
    CHECK_STR(p.model, "m.onnx");
    CHECK_STR(p.inputs, "there");
    CHECK_U64(p.threads, 2);
}

static void a_line_that_lacks_or_misspells_something_ends_in_the_usage_status(void)
{
    parsed p;
    CHECK(!parse(&p, "--inputs there"));
    CHECK(p.status == CMD_USAGE);
    CHECK(!parse(&p, "m.onnx"));
    CHECK(p.status == CMD_USAGE);
    CHECK(!parse(&p, "m.onnx --inptus there"));
    CHECK(p.status == CMD_USAGE);
    CHECK(!parse(&p, "m.onnx other.onnx --inputs there"));
    CHECK(p.status == CMD_USAGE);
}

static void help_needs_nothing_else_and_is_no_failure(void)
{
    parsed p;
    CHECK(!parse(&p, "--help"));
    CHECK(p.status == CMD_OK);
}

int main(void)
{
    static const test_case cases[] = {TEST(a_whole_line_sets_the_model_and_the_flags),
                                      TEST(a_line_that_lacks_or_misspells_something_ends_in_the_usage_status),
                                      TEST(help_needs_nothing_else_and_is_no_failure)};
    return test_main(cases, COUNTOF(cases));
}
