/* Every reduction over every set of axes equals the plain loop in double, however it walks memory; nothing reduced
 * gives the neutral element; ArgMax and ArgMin name the first (or last) best. */
#include "op_harness.h"

#include <math.h>

static const char *const ops[] = {"ReduceSum", "ReduceMean", "ReduceMax",    "ReduceMin",       "ReduceProd",
                                  "ReduceL1",  "ReduceL2",   "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"};

static void step(const char *op, double *acc, double v)
{
    if (!strcmp(op, "ReduceMax"))
        *acc = v > *acc ? v : *acc;
    else if (!strcmp(op, "ReduceMin"))
        *acc = v < *acc ? v : *acc;
    else if (!strcmp(op, "ReduceProd"))
        *acc *= v;
    else if (!strcmp(op, "ReduceL1"))
        *acc += fabs(v);
    else if (!strcmp(op, "ReduceL2") || !strcmp(op, "ReduceSumSquare"))
        *acc += v * v;
    else
        *acc += strcmp(op, "ReduceLogSumExp") ? v : exp(v);
}

static double neutral(const char *op)
{
    return !strcmp(op, "ReduceMax")   ? -(double)INFINITY
           : !strcmp(op, "ReduceMin") ? (double)INFINITY
                                      : !strcmp(op, "ReduceProd");
}

static double last(const char *op, double acc, double count)
{
    if (!strcmp(op, "ReduceMean"))
        return acc / count;
    if (!strcmp(op, "ReduceL2"))
        return sqrt(acc);
    return strncmp(op, "ReduceLog", 9) ? acc : log(acc);
}

/* The plain loop: each element is added to the result that its kept indices name. */
static void naive(const char *op, const tensor *x, uint32_t axes, double *y, uint64_t results)
{
    uint64_t total = tensor_count(x);
    for (uint64_t i = 0; i < results; i++)
        y[i] = neutral(op);
    for (uint64_t i = 0; i < total; i++) {
        uint64_t rest = i, to = 0, stride = 1;
        for (uint32_t d = x->shape.rank; d-- > 0; rest /= (uint64_t)x->shape.dim[d]) {
            if (axes >> d & 1)
                continue;
            to += rest % (uint64_t)x->shape.dim[d] * stride;
            stride *= (uint64_t)x->shape.dim[d];
        }
        step(op, &y[to], tensor_f64(x, i));
    }
    for (uint64_t i = 0; i < results; i++)
        y[i] = last(op, y[i], (double)total / (double)results);
}

static void random_axes_match_the_plain_loop(void)
{
    static const dtype types[] = {DT_F32, DT_F32, DT_F64, DT_F16, DT_I32, DT_I64};
    static double want[20000];
    uint64_t seed = 5;
    err e;
    compute *pool = NULL;
    CHECK(compute_new(&pool, 2, &e) == ERR_OK);
    for (int round = 0; round < 600; round++) {
        op_case t;
        const char *op = ops[(size_t)round % COUNTOF(ops)];
        dtype type = types[test_rand(&seed) % COUNTOF(types)];
        shape s = {.rank = 1 + (uint32_t)(test_rand(&seed) % 4)};
        for (uint32_t d = 0; d < s.rank; d++)
            s.dim[d] = 1 + (int64_t)(test_rand(&seed) % (d + 1 == s.rank ? 70 : 6));
        uint32_t axes = 1 + (uint32_t)test_rand(&seed) % ((1u << s.rank) - 1), count = 0;
        int64_t list[4];
        double values[31];
        for (size_t i = 0; i < COUNTOF(values); i++)
            values[i] = (double)(test_rand(&seed) % 9) / (type == DT_I32 || type == DT_I64 ? 1 : 4) +
                        (strcmp(op, "ReduceProd") ? 0.25 : 0.5);
        for (uint32_t d = 0; d < s.rank; d++)
            if (axes >> d & 1)
                list[count++] = d % 2 ? (int64_t)d : (int64_t)d - s.rank;
        op_case_init(&t, op, round % 2 ? 11 : 20);
        t.pool = round % 3 ? pool : NULL;
        op_case_in(&t, type, s, values, COUNTOF(values));
        op_case_int(&t, "keepdims", 0);
        double axis_values[4];
        for (uint32_t i = 0; i < count; i++)
            axis_values[i] = (double)list[i];
        if (round % 2)
            op_case_ints(&t, "axes", list, count);
        else
            op_case_in(&t, DT_I64, SHAPE(count), axis_values, count);
        CHECK(op_case_run(&t) == ERR_OK);
        uint64_t results = tensor_count(&t.out[0]);
        naive(op, &t.in[0], axes, want, results);
        double within = type == DT_F16 ? 3e-3 : type == DT_F64 ? 1e-12 : 2e-6;
        for (uint64_t i = 0; i < results; i++) {
            double got = tensor_f64(&t.out[0], i), exact = want[i];
            if (type == DT_I32 || type == DT_I64)
                exact = fabs(exact) < 0x1p31 ? trunc(exact) : got;      /* products wrap */
            if (fabs(exact) > (type == DT_F16 ? 65504 : type == DT_F32 ? 3e38 : 1e300))
                continue;
            if (!(fabs(got - exact) <= within * (1 + fabs(exact)))) {
                printf("# round %d %s %s axes %x [%llu]: got %.9g, want %.9g\n", round, op, dtype_name(type), axes,
                       (unsigned long long)i, got, exact);
                test_failures++;
                break;
            }
        }
        op_case_fini(&t);
    }
    compute_free(pool);
}

static void nothing_gives_the_neutral_element(void)
{
    static const double want[] = {0, (double)NAN, -(double)INFINITY, (double)INFINITY,  1,
                                  0, 0,           -(double)INFINITY, -(double)INFINITY, 0};
    for (size_t k = 0; k < COUNTOF(ops); k++) {
        op_case t;
        op_case_init(&t, ops[k], 20);
        op_case_int(&t, "keepdims", 1);
        IN(&t, DT_F32, SHAPE(2, 0), 1);
        IN(&t, DT_I64, SHAPE(1), 1);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_F32, SHAPE(2, 1), 0, (double[]){want[k], want[k]}, 2, __LINE__);
        op_case_fini(&t);
    }
    op_case t;
    op_case_init(&t, "ReduceMax", 20);
    IN(&t, DT_I8, SHAPE(0), 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I8, SHAPE(1), 0, -128);
    op_case_fini(&t);
    op_case_init(&t, "ReduceMin", 20);
    IN(&t, DT_U64, SHAPE(0), 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_U64, SHAPE(1), 0, 0x1p64);
    op_case_fini(&t);
}

static void no_axes_mean_all_or_none(void)
{
    op_case t;
    op_case_init(&t, "ReduceSumSquare", 18);
    IN(&t, DT_F32, SHAPE(1, 3), 1, 2, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1), 0, 14);
    op_case_fini(&t);
    op_case_init(&t, "ReduceSumSquare", 18);
    op_case_int(&t, "noop_with_empty_axes", 1);
    IN(&t, DT_F32, SHAPE(1, 3), 1, 2, 3);
    op_case_in(&t, DT_I64, SHAPE(0), NULL, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 3), 0, 1, 4, 9);      /* each element over no axes */
    op_case_fini(&t);
    op_case_init(&t, "ReduceSum", 13);
    IN(&t, DT_F32, SHAPE(2), 1, 2);
    IN(&t, DT_I64, SHAPE(1), 5);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void extremes_do_not_overflow_or_lose_a_nan(void)
{
    op_case t;
    op_case_init(&t, "ReduceLogSumExp", 18);
    IN(&t, DT_F32, SHAPE(3, 2), 1000, -1000, 1000, -1000, 1000, -1000);
    IN(&t, DT_I64, SHAPE(1), 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 2), 1e-6, 1001.0986122886681, -998.9013877113319);
    op_case_fini(&t);
    op_case_init(&t, "ReduceMax", 18);
    IN(&t, DT_F32, SHAPE(3), 1, (double)NAN, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1), 0, (double)NAN);
    op_case_fini(&t);
    op_case_init(&t, "ReduceMax", 20);
    IN(&t, DT_BOOL, SHAPE(2, 2), 0, 1, 0, 0);
    IN(&t, DT_I64, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_BOOL, SHAPE(2, 1), 0, 1, 0);
    op_case_fini(&t);
}

static void the_best_is_the_first_or_the_last(void)
{
    static const struct { const char *op; int64_t last; double want[2]; } rows[] = {
        {"ArgMax", 0, {1, 0}}, {"ArgMax", 1, {3, 2}}, {"ArgMin", 0, {0, 1}}, {"ArgMin", 1, {2, 3}}};
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_I8, DT_U64};
    for (size_t r = 0; r < COUNTOF(rows); r++) {
        for (size_t k = 0; k < COUNTOF(types); k++) {
            op_case t;
            op_case_init(&t, rows[r].op, 13);
            op_case_int(&t, "axis", -1);
            op_case_int(&t, "keepdims", 0);
            op_case_int(&t, "select_last_index", rows[r].last);
            IN(&t, types[k], SHAPE(2, 4), 1, 5, 1, 5, 7, 2, 7, 2);
            CHECK(op_case_run(&t) == ERR_OK);
            op_case_check(&t, 0, DT_I64, SHAPE(2), 0, rows[r].want, 2, __LINE__);
            op_case_fini(&t);
        }
    }
    op_case t;
    op_case_init(&t, "ArgMax", 13);
    IN(&t, DT_F32, SHAPE(3, 2), 1, (double)NAN, 3, 9, 2, (double)NAN);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I64, SHAPE(1, 2), 0, 1, 0);
    op_case_fini(&t);
    op_case_init(&t, "ArgMax", 13);
    IN(&t, DT_F32, SHAPE(0), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(random_axes_match_the_plain_loop), TEST(nothing_gives_the_neutral_element), TEST(no_axes_mean_all_or_none),
        TEST(extremes_do_not_overflow_or_lose_a_nan), TEST(the_best_is_the_first_or_the_last),
    };
    return test_main(cases, COUNTOF(cases));
}
