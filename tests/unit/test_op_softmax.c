/* Softmax and its kin along any axis equal the plain loop in double, in both meanings of the axis; running sums and
 * products in both directions. */
#include "op_harness.h"

#include <math.h>

/* The n elements of a lane, `inner` apart. */
typedef struct {
    double max, sum;
    uint64_t best;
} lane;

static lane lane_of(const tensor *x, uint64_t first, uint64_t n, uint64_t inner)
{
    lane l = {.max = -(double)INFINITY};
    for (uint64_t k = 0; k < n; k++) {
        double v = tensor_f64(x, first + k * inner);
        if (v > l.max) {
            l.max = v;
            l.best = k;
        }
    }
    for (uint64_t k = 0; k < n; k++) l.sum += exp(tensor_f64(x, first + k * inner) - l.max);
    return l;
}

/* Element k of a lane whose value is v. */
static double naive(const char *op, const lane *l, uint64_t k, double v)
{
    return *op == 'S' ? exp(v - l->max) / l->sum : *op == 'L' ? v - l->max - log(l->sum) : k == l->best;
}

static bool lane_right(const op_case *t, const char *op, uint64_t first, uint64_t n, uint64_t inner)
{
    lane l = lane_of(&t->in[0], first, n, inner);
    double within = t->in[0].type == DT_F16 ? 2e-3 : 2e-6;
    for (uint64_t k = 0; k < n; k++) {
        uint64_t i = first + k * inner;
        double got = tensor_f64(&t->out[0], i), want = naive(op, &l, k, tensor_f64(&t->in[0], i));
        if (fabs(got - want) <= within * (1 + fabs(want))) continue;
        printf("# %s [%llu]: got %g, want %g\n", op, (unsigned long long)i, got, want);
        return false;
    }
    return true;
}

static void every_axis_matches_the_plain_loop(void)
{
    static const char *const ops[] = {"Softmax", "LogSoftmax", "Hardmax"};
    static const dtype types[] = {DT_F32, DT_F32, DT_F64, DT_F16};
    uint64_t seed = 9;
    err e;
    compute *pool = NULL;
    CHECK(compute_new(&pool, 2, &e) == ERR_OK);
    for (int round = 0; round < 300; round++) {
        op_case t;
        const char *op = ops[round % 3];
        dtype type = types[test_rand(&seed) % COUNTOF(types)];
        shape s = {.rank = 1 + (uint32_t)(test_rand(&seed) % 4)};
        for (uint32_t d = 0; d < s.rank; d++)
            s.dim[d] = 1 + (int64_t)(test_rand(&seed) % (round % 20 == 0 && d + 1 == s.rank ? 1500 : 9));
        uint32_t axis = (uint32_t)(test_rand(&seed) % s.rank);
        bool matrix = round % 2;
        double values[37];
        for (size_t i = 0; i < COUNTOF(values); i++)
            values[i] = (double)(int64_t)(test_rand(&seed) % 400) / 16 - 12;
        op_case_init(&t, op, matrix ? 11 : 13);
        op_case_int(&t, "axis", round % 4 < 2 ? (int64_t)axis : (int64_t)axis - s.rank);
        t.pool = round % 3 ? pool : NULL;
        op_case_in(&t, type, s, values, COUNTOF(values));
        CHECK(op_case_run(&t) == ERR_OK);
        uint64_t n = (uint64_t)s.dim[axis], inner = shape_count_range(&s, axis + 1, s.rank);
        if (matrix) {
            n *= inner;
            inner = 1;
        }
        bool right = true;
        for (uint64_t i = 0; right && i < tensor_count(&t.out[0]) / n; i++)
            right = lane_right(&t, op, i / inner * n * inner + i % inner, n, inner);
        CHECK(right);
        op_case_fini(&t);
    }
    compute_free(pool);
}

static void it_works_in_place(void)
{
    for (int64_t axis = 0; axis < 2; axis++) {
        op_case t;
        op_case_init(&t, "Softmax", 13);
        op_case_int(&t, "axis", axis);
        t.inplace = true;
        IN(&t, DT_F32, SHAPE(2, 2), 0, 0, 0, 0);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_F32, SHAPE(2, 2), 1e-7, 0.5, 0.5, 0.5, 0.5);
        op_case_fini(&t);
    }
}

static void running_sums_go_both_ways(void)
{
    static const struct { const char *op; int64_t exclusive, reverse; double want[6];
    } rows[] = {{"CumSum", 0, 0, {1, 3, 6, 4, 9, 15}},    {"CumSum", 1, 0, {0, 1, 3, 0, 4, 9}},
                {"CumSum", 0, 1, {6, 5, 3, 15, 11, 6}},   {"CumSum", 1, 1, {5, 3, 0, 11, 6, 0}},
                {"CumProd", 0, 0, {1, 2, 6, 4, 20, 120}}, {"CumProd", 1, 1, {6, 3, 1, 30, 6, 1}}};
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_I32, DT_U64};
    for (size_t r = 0; r < COUNTOF(rows); r++) {
        for (size_t k = 0; k < COUNTOF(types); k++) {
            op_case t;
            op_case_init(&t, rows[r].op, 26);
            op_case_int(&t, "exclusive", rows[r].exclusive);
            op_case_int(&t, "reverse", rows[r].reverse);
            IN(&t, types[k], SHAPE(2, 3), 1, 2, 3, 4, 5, 6);
            IN(&t, DT_I32, SCALAR, -1);
            CHECK(op_case_run(&t) == ERR_OK);
            op_case_check(&t, 0, types[k], SHAPE(2, 3), 0, rows[r].want, 6, __LINE__);
            op_case_fini(&t);
        }
    }
    op_case t;
    op_case_init(&t, "CumSum", 14);
    IN(&t, DT_F32, SHAPE(2, 2), 1, 2, 3, 4);
    IN(&t, DT_I64, SHAPE(1), 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 2), 0, 1, 2, 4, 6);
    op_case_fini(&t);
    op_case_init(&t, "CumSum", 14);
    IN(&t, DT_F32, SHAPE(2), 1, 2);
    IN(&t, DT_I64, SCALAR, 3);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_axis_matches_the_plain_loop), TEST(it_works_in_place), TEST(running_sums_go_both_ways)};
    return test_main(cases, COUNTOF(cases));
}
