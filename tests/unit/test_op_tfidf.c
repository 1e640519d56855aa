/* n-grams of the pool are counted with gaps between their tokens, in all three modes; pools that do not hang together
 * are refused. */
#include "op_harness.h"

/* 1-grams 2, 3, 5; 2-grams 5 4, 5 6, 7 8, 6 7; columns as they are listed. */
static const int64_t pool[] = {2, 3, 5, 5, 4, 5, 6, 7, 8, 6, 7}, counts[] = {0, 3}, columns[] = {0, 1, 2, 3, 4, 5, 6};

static void init(op_case *t, const char *mode, int64_t shortest, int64_t longest, int64_t skip)
{
    op_case_init(t, "TfIdfVectorizer", 9);
    op_case_str(t, "mode", mode);
    op_case_int(t, "min_gram_length", shortest);
    op_case_int(t, "max_gram_length", longest);
    op_case_int(t, "max_skip_count", skip);
    op_case_ints(t, "ngram_counts", counts, 2);
    op_case_ints(t, "ngram_indexes", columns, 7);
    op_case_ints(t, "pool_int64s", pool, 11);
}

static void tokens(op_case *t, dtype type)
{
    IN(t, type, SHAPE(2, 6), 1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8);
}

static void lengths_and_gaps_choose_what_is_counted(void)
{
    op_case t;
    init(&t, "TF", 1, 1, 5);
    tokens(&t, DT_I32);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 7), 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0);
    op_case_fini(&t);
    init(&t, "TF", 2, 2, 0);
    tokens(&t, DT_I64);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 7), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1);
    op_case_fini(&t);
    init(&t, "TF", 1, 2, 5);   /* the 8 three after the 7, and four after its other */
    tokens(&t, DT_I64);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 7), 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1);
    op_case_fini(&t);
}

static void weights_are_those_of_the_ngrams(void)
{
    static const float weights[] = {0.5f, 2, 3, 4, 5, 6, 7};
    static const int64_t turned[] = {6, 5, 4, 3, 2, 1, 0};
    for (int idf = 0; idf < 2; idf++) {
        op_case t;
        init(&t, idf ? "IDF" : "TFIDF", 1, 2, 0);
        t.attrs[5].ints = turned;
        op_case_floats(&t, "weights", weights, 7);
        IN(&t, DT_I64, SHAPE(5), 3, 3, 2, 6, 7);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_F32, SHAPE(7), 0, 7, 0, 0, 0, 0, idf ? 2 : 4, 0.5);
        op_case_fini(&t);
    }
}

static void strings_are_tokens_too(void)
{
    static const str words[] = {{"a", 1}, {"b", 1}, {"a", 1}};
    op_case t;
    init(&t, "TF", 1, 2, 0);
    t.node.attr_count--;
    t.attrs[4].ints = (const int64_t[]){0, 1};
    t.attrs[5].count = 2;
    op_case_texts(&t, "pool_strings", words, 3);
    op_case_strings(&t, SHAPE(4), (const char *const[]){"b", "a", "b", "a"});
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2), 0, 2, 2);
    op_case_fini(&t);
}

static void pools_that_do_not_hang_together_are_refused(void)
{
    op_case t;
    init(&t, "TF", 1, 2, 0);
    t.attrs[4].ints = (const int64_t[]){0, 2};
    tokens(&t, DT_I64);
    REFUSED(&t, "node 'case' (TfIdfVectorizer, ai.onnx 9): ngram_counts: 9 items are no whole number of 2-grams");
    op_case_fini(&t);
    init(&t, "TF", 1, 2, 0);
    t.attrs[4].ints = (const int64_t[]){0, 12};
    tokens(&t, DT_I64);
    REFUSED(&t, "node 'case' (TfIdfVectorizer, ai.onnx 9): ngram_counts[0]: expected places in the pool in order, got "
                "0");
    op_case_fini(&t);
    init(&t, "TF", 1, 2, 0);
    t.attrs[5].count = 6;
    tokens(&t, DT_I64);
    REFUSED(&t, "node 'case' (TfIdfVectorizer, ai.onnx 9): ngram_indexes: expected one for each n-gram, got 6");
    op_case_fini(&t);
    init(&t, "TF", 1, 2, 0);
    t.attrs[5].ints = (const int64_t[]){0, 1, 2, 3, 4, 5, -1};
    tokens(&t, DT_I64);
    REFUSED(&t, "node 'case' (TfIdfVectorizer, ai.onnx 9): ngram_indexes[6]: expected 0..67108863, got -1");
    op_case_fini(&t);
    init(&t, "DF", 1, 2, 0);
    tokens(&t, DT_I64);
    REFUSED(&t, "node 'case' (TfIdfVectorizer, ai.onnx 9): mode: expected TF, IDF or TFIDF, got 'DF'");
    op_case_fini(&t);
    init(&t, "TF", 2, 1, 0);
    tokens(&t, DT_I64);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

/* With n tokens and any gap between two of them there are n * n / 2 pairs. */
static void a_run_can_end_between_two_ngrams(void)
{
    static const _Atomic bool yes = true, no = false;
    op_case t;
    init(&t, "TF", 2, 2, INT32_MAX);
    IN(&t, DT_I64, SHAPE(400), 7);
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_CANCELLED);
    CHECK_STR(t.e.text, "node 'case' (TfIdfVectorizer, ai.onnx 9): cancelled before the last node");
    op_case_fini(&t);
    init(&t, "TF", 2, 2, INT32_MAX);
    IN(&t, DT_I64, SHAPE(400), 7, 8);   /* each 7 with each 8 behind it */
    CHECK(op_case_run_cancelled(&t, &no) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(7), 0, 0, 0, 0, 0, 0, 200 * 201 / 2, 0);
    op_case_fini(&t);
    init(&t, "TF", 2, 2, 0);
    IN(&t, DT_I64, SHAPE(400, 200), 7);   /* rows add up */
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_CANCELLED);
    op_case_fini(&t);
}

static void single_tokens_are_walked_once_whatever_the_gap(void)
{
    static const _Atomic bool yes = true;
    op_case t;
    init(&t, "TF", 1, 1, INT32_MAX);
    IN(&t, DT_I64, SHAPE(20000), 5);
    CHECK(op_case_run_cancelled(&t, &yes) == ERR_OK);   /* too little work for a look */
    WANT(&t, 0, DT_F32, SHAPE(7), 0, 0, 0, 20000, 0, 0, 0, 0);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(lengths_and_gaps_choose_what_is_counted),
        TEST(weights_are_those_of_the_ngrams),
        TEST(strings_are_tokens_too),
        TEST(pools_that_do_not_hang_together_are_refused),
        TEST(a_run_can_end_between_two_ngrams),
        TEST(single_tokens_are_walked_once_whatever_the_gap),
    };
    return test_main(cases, COUNTOF(cases));
}
