/* Einsum gives the sums its equation says: products, diagonals, traces, broadcasts, three operands, implicit
 * results and every type; equations that do not fit are refused.  Determinants of matrices that need pivots.
 * Values are exact. */
#include "op_harness.h"
#include "test.h"

static void start(op_case *t, const char *equation)
{
    op_case_init(t, "Einsum", 12);
    op_case_str(t, "equation", equation);
}

static void two_operands_are_contracted(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_I32, DT_I8, DT_U64};
    for (size_t i = 0; i < COUNTOF(types); i++) {
        op_case t;
        start(&t, "ij, kj -> ki");
        IN(&t, types[i], SHAPE(2, 2), 1, 2, 3, 4);
        IN(&t, types[i], SHAPE(3, 2), 1, 0, 0, 1, 1, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[i], SHAPE(3, 2), 0, 1, 3, 2, 4, 3, 7);
        op_case_fini(&t);
    }
}

static void one_operand_is_turned_summed_or_cut(void)
{
    static const struct {
        const char *equation;
        uint32_t rank;
        int64_t dim[2];
        double want[4];
    } rows[] = {
        {"ij->ji", 2, {2, 2}, {1, 3, 2, 4}}, {"ij->j", 1, {2}, {4, 6}}, {"ij->", 0, {0}, {10}},
        {"ii->i", 1, {2}, {1, 4}},           {"ii", 0, {0}, {5}},       {"ba", 2, {2, 2}, {1, 3, 2, 4}},
        {"...j->...", 1, {2}, {3, 7}},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        op_case t;
        shape want = shape_make(rows[i].rank, rows[i].dim);
        start(&t, rows[i].equation);
        IN(&t, DT_F32, SHAPE(2, 2), 1, 2, 3, 4);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_F32, want, 0, rows[i].want, shape_count(&want), __LINE__);
        op_case_fini(&t);
    }
}

static void dots_broadcast_and_three_operands_chain(void)
{
    op_case t;
    start(&t, "...ij,...jk->...ik");
    IN(&t, DT_F32, SHAPE(2, 1, 1, 2), 1, 2, 3, 4);
    IN(&t, DT_F32, SHAPE(3, 2, 1), 1, 1, 1, 2, 2, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 3, 1, 1), 0, 3, 5, 4, 7, 11, 10);
    op_case_fini(&t);
    start(&t, "i,ij,j");
    IN(&t, DT_F32, SHAPE(2), 1, 2);
    IN(&t, DT_F32, SHAPE(2, 2), 1, 2, 3, 4);
    IN(&t, DT_F32, SHAPE(2), 10, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SCALAR, 0, 12 + 68);
    op_case_fini(&t);
    start(&t, "ij,ij->ij");
    IN(&t, DT_F32, SHAPE(1, 2), 3, 4);
    IN(&t, DT_F32, SHAPE(1, 2), 5, 6);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 2), 0, 15, 24);
    op_case_fini(&t);
    start(&t, "ij,jk->ik");
    op_case_in(&t, DT_F32, SHAPE(2, 0), NULL, 0);
    op_case_in(&t, DT_F32, SHAPE(0, 1), NULL, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 1), 0, 0, 0);
    op_case_fini(&t);
}

static void equations_that_do_not_fit_are_refused(void)
{
    static const char *const bad[] = {"ij,jk", "i",        "ijk", "ij->k",  "ij->ii", "i!",
                                      "ij-",   "ij->ij->", "",    "...ijk", "i.j"};
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        op_case t;
        start(&t, bad[i]);
        IN(&t, DT_F32, SHAPE(2, 2), 1);
        CHECK(op_case_run(&t) == ERR_INVALID);
        if (t.e.code != ERR_INVALID) printf("# '%s' was taken\n", bad[i]);
        op_case_fini(&t);
    }
    op_case t;
    start(&t, "ij,jk->ik");
    IN(&t, DT_F32, SHAPE(2, 2), 1);
    IN(&t, DT_F32, SHAPE(3, 2), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void determinants_pivot(void)
{
    op_case t;
    op_case_init(&t, "Det", 22);
    IN(&t, DT_F32, SHAPE(3, 2, 2), 0, 1, 1, 0, 2, 1, 4, 2, 1, 2, 3, 4);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(3), 1e-6, -1, 0, -2);
    op_case_fini(&t);
    op_case_init(&t, "Det", 22);
    IN(&t, DT_F64, SHAPE(3, 3), 2, 0, 0, 0, 0, 3, 0, 5, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F64, SCALAR, 1e-12, -30);
    op_case_fini(&t);
    op_case_init(&t, "Det", 22);
    IN(&t, DT_F32, SHAPE(2, 3), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

/* The product of all dimensions that are kept for later terms is 0, and the one of some of them is 2^80. */
static void what_has_no_element_has_no_strides(void)
{
    const int64_t most = INT64_C(1) << 40;
    op_case t;
    op_case_init(&t, "Einsum", 12);
    op_case_str(&t, "equation", "ab,cd,ba,da->");
    op_case_in(&t, DT_F32, SHAPE(0, most), NULL, 0);
    op_case_in(&t, DT_F32, SHAPE(0, most), NULL, 0);
    op_case_in(&t, DT_F32, SHAPE(most, 0), NULL, 0);
    op_case_in(&t, DT_F32, SHAPE(most, 0), NULL, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SCALAR, 0, 0);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {TEST(two_operands_are_contracted), TEST(one_operand_is_turned_summed_or_cut),
                                      TEST(dots_broadcast_and_three_operands_chain),
                                      TEST(equations_that_do_not_fit_are_refused), TEST(determinants_pivot),
                                      TEST(what_has_no_element_has_no_strides)};
    return test_main(cases, COUNTOF(cases));
}
