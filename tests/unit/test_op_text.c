/* Strings are joined, cut and normalised as ONNX's reference does it. */
#include "op_harness.h"

#define WORDS(...) (const char *const[]){__VA_ARGS__}

static void concat_broadcasts(void)
{
    op_case t;
    op_case_init(&t, "StringConcat", 20);
    op_case_strings(&t, SHAPE(2, 1), WORDS("a", ""));
    op_case_strings(&t, SHAPE(3), WORDS("x", "yy", ""));
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(2, 3), "ax", "ayy", "a", "x", "yy", "");
    op_case_fini(&t);
}

static void split(op_case *t, const char *delimiter, int64_t max)
{
    op_case_init(t, "StringSplit", 20);
    op_case_outputs(t, 2);
    if (delimiter) op_case_str(t, "delimiter", delimiter);
    if (max >= 0) op_case_int(t, "maxsplit", max);
}

static void blanks_separate_in_runs(void)
{
    op_case t;
    split(&t, NULL, -1);
    op_case_strings(&t, SHAPE(3), WORDS(" a \t b\n", "", "c"));
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(3, 2), "a", "b", "", "", "c", "");
    WANT(&t, 1, DT_I64, SHAPE(3), 0, 2, 0, 1);
    op_case_fini(&t);

    split(&t, "", 1);
    op_case_strings(&t, SHAPE(1), WORDS(" a  b c "));
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(1, 2), "a", "b c ");
    op_case_fini(&t);
}

static void every_delimiter_separates(void)
{
    op_case t;
    split(&t, "ab", -1);
    op_case_strings(&t, SHAPE(2), WORDS("abxababy", ""));
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(2, 4), "", "x", "", "y", "", "", "", "");
    WANT(&t, 1, DT_I64, SHAPE(2), 0, 4, 1);
    op_case_fini(&t);

    split(&t, ",", 1);
    op_case_strings(&t, SHAPE(1), WORDS("a,b,c"));
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(1, 2), "a", "b,c");
    op_case_fini(&t);
}

static void no_strings_have_no_parts(void)
{
    op_case t;
    split(&t, NULL, -1);
    op_case_strings(&t, SHAPE(0), WORDS(""));
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(0, 0), "");
    op_case_fini(&t);
}

static void normalizer(op_case *t, const char *action, bool exact)
{
    static const str stops[] = {{"the", 3}, {"Ö", 2}};
    op_case_init(t, "StringNormalizer", 10);
    op_case_str(t, "case_change_action", action);
    op_case_int(t, "is_case_sensitive", exact);
    op_case_texts(t, "stopwords", stops, 2);
}

static void stop_words_go_and_letters_change(void)
{
    op_case t;
    normalizer(&t, "UPPER", false);
    op_case_strings(&t, SHAPE(1, 5), WORDS("The", "é", "ö", "ÿ1", "σς"));
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(1, 3), "É", "Ÿ1", "ΣΣ");
    op_case_fini(&t);

    normalizer(&t, "LOWER", true);
    op_case_strings(&t, SHAPE(4), WORDS("The", "the", "ЖÀŽΆ", "\xff\xc3"));   /* the last is no UTF-8 */
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(3), "the", "жàžά", "\xff\xc3");
    op_case_fini(&t);
}

static void where_nothing_is_left_there_is_one_empty_string(void)
{
    op_case t;
    normalizer(&t, "NONE", true);
    op_case_strings(&t, SHAPE(1, 2), WORDS("the", "the"));
    CHECK(op_case_run(&t) == ERR_OK);
    WANT_STRINGS(&t, 0, SHAPE(1, 1), "");
    op_case_fini(&t);
}

static void what_does_not_fit_is_refused(void)
{
    op_case t;
    normalizer(&t, "MIDDLE", true);
    op_case_strings(&t, SHAPE(1), WORDS("a"));
    REFUSED(&t, "node 'case' (StringNormalizer, ai.onnx 10): case_change_action: expected NONE, LOWER or UPPER, got "
                "'MIDDLE'");
    op_case_fini(&t);
    normalizer(&t, "NONE", true);
    op_case_strings(&t, SHAPE(2, 1), WORDS("a", "b"));
    REFUSED(&t, "node 'case' (StringNormalizer, ai.onnx 10): expected [n] or [1,n], got 2 rows");
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(concat_broadcasts),
        TEST(blanks_separate_in_runs),
        TEST(every_delimiter_separates),
        TEST(no_strings_have_no_parts),
        TEST(stop_words_go_and_letters_change),
        TEST(where_nothing_is_left_there_is_one_empty_string),
        TEST(what_does_not_fit_is_refused),
    };
    return test_main(cases, COUNTOF(cases));
}
