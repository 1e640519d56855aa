/* Elementwise arithmetic: hand-checked values of every operator through the table, every type that it takes, and
 * random broadcasts against a plain double loop, on every ISA, with and without threads, in place and not. */
#include "engine/op.h"
#include "op_harness.h"

#include <math.h>

static const dtype float_types[] = {DT_F32, DT_F64, DT_F16, DT_BF16};

/* y = op(x) for one input, in all float types; `within` is for float32, the narrow types get their own. */
static void one(const char *op, int64_t opset, const double *x, const double *want, size_t n)
{
    static const double within[] = {1e-6, 1e-12, 2e-3, 1.6e-2};
    for (size_t k = 0; k < COUNTOF(float_types); k++) {
        op_case t;
        shape s = SHAPE((int64_t)n);
        op_case_init(&t, op, opset);
        op_case_in(&t, float_types[k], s, x, n);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, float_types[k], s, within[k], want, n, __LINE__);
        op_case_fini(&t);
    }
}
#define ONE(op, opset, x, ...) one(op, opset, x, (const double[]){__VA_ARGS__}, COUNTOF(((double[]){__VA_ARGS__})))

static void each_function_has_its_values(void)
{
    static const double x[] = {-1.5, -0.5, 0, 0.5, 2.5}, unit[] = {-0.5, 0, 0.5}, plus[] = {0.25, 1, 4},
                        from1[] = {1, 2};
    ONE("Abs", 13, x, 1.5, 0.5, 0, 0.5, 2.5);
    ONE("Neg", 13, x, 1.5, 0.5, 0, -0.5, -2.5);
    ONE("Sign", 13, x, -1, -1, 0, 1, 1);
    ONE("Relu", 14, x, 0, 0, 0, 0.5, 2.5);
    ONE("Floor", 13, x, -2, -1, 0, 0, 2);
    ONE("Ceil", 13, x, -1, 0, 0, 1, 3);
    ONE("Round", 11, x, -2, 0, 0, 0, 2);
    ONE("Sqrt", 13, plus, 0.5, 1, 2);
    ONE("Reciprocal", 13, plus, 4, 1, 0.25);
    ONE("Exp", 13, unit, 0.60653065971263342, 1, 1.6487212707001282);
    ONE("Log", 13, plus, -1.3862943611198906, 0, 1.3862943611198906);
    ONE("Tanh", 13, unit, -0.46211715726000976, 0, 0.46211715726000976);
    ONE("Sigmoid", 13, unit, 0.37754066879814543, 0.5, 0.62245933120185457);
    ONE("Erf", 13, unit, -0.52049987781304654, 0, 0.52049987781304654);
    ONE("Softplus", 1, unit, 0.47407698418010669, 0.69314718055994531, 0.97407698418010669);
    ONE("Softsign", 1, x, -0.6, -0.33333333333333331, 0, 0.33333333333333331, 0.7142857142857143);
    ONE("Sin", 7, unit, -0.47942553860420301, 0, 0.47942553860420301);
    ONE("Cos", 7, unit, 0.87758256189037276, 1, 0.87758256189037276);
    ONE("Tan", 7, unit, -0.54630248984379048, 0, 0.54630248984379048);
    ONE("Asin", 7, unit, -0.52359877559829893, 0, 0.52359877559829893);
    ONE("Acos", 7, unit, 2.0943951023931957, 1.5707963267948966, 1.0471975511965979);
    ONE("Atan", 7, unit, -0.46364760900080609, 0, 0.46364760900080609);
    ONE("Sinh", 9, unit, -0.52109530549374738, 0, 0.52109530549374738);
    ONE("Cosh", 9, unit, 1.1276259652063807, 1, 1.1276259652063807);
    ONE("Asinh", 9, unit, -0.48121182505960347, 0, 0.48121182505960347);
    ONE("Acosh", 9, from1, 0, 1.3169578969248166);
    ONE("Atanh", 9, unit, -0.54930614433405489, 0, 0.54930614433405489);
}

static void whole_numbers_keep_their_type(void)
{
    op_case t;
    op_case_init(&t, "Abs", 13);
    IN(&t, DT_I8, SHAPE(4), -128, -5, 0, 127);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I8, SHAPE(4), 0, -128, 5, 0, 127);      /* 128 does not fit: it wraps, as NumPy's does */
    op_case_fini(&t);
    op_case_init(&t, "Sign", 13);
    IN(&t, DT_U64, SHAPE(2), 0, 0x1p63);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_U64, SHAPE(2), 0, 0, 1);
    op_case_fini(&t);
    op_case_init(&t, "Relu", 14);
    IN(&t, DT_I32, SHAPE(2), -7, 7);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I32, SHAPE(2), 0, 0, 7);
    op_case_fini(&t);
}

/* a op b in a type; the result has `out`. */
static void two(const char *op, dtype type, const double *a, const double *b, size_t n, dtype out, const double *want)
{
    op_case t;
    shape s = SHAPE((int64_t)n);
    op_case_init(&t, op, 26);
    op_case_in(&t, type, s, a, n);
    op_case_in(&t, type, s, b, n);
    CHECK(op_case_run(&t) == ERR_OK);
    op_case_check(&t, 0, out, s, 0, want, n, __LINE__);
    op_case_fini(&t);
}
#define LIST(...) (const double[]){__VA_ARGS__}

static void integer_arithmetic_wraps_and_never_traps(void)
{
    two("Add", DT_U8, LIST(200, 1), LIST(100, 1), 2, DT_U8, LIST(44, 2));
    two("Sub", DT_U32, LIST(1, 5), LIST(2, 3), 2, DT_U32, LIST(4294967295.0, 2));
    two("Mul", DT_I16, LIST(300, -3), LIST(300, 4), 2, DT_I16, LIST(24464, -12));
    two("Div", DT_I32, LIST(-7, 7, 7, INT32_MIN), LIST(2, -2, 0, -1), 4, DT_I32, LIST(-3, -3, 0, INT32_MIN));
    two("Div", DT_I64, LIST(-0x1p63, 9), LIST(-1, 2), 2, DT_I64, LIST(-0x1p63, 4));
    two("Div", DT_U64, LIST(0x1p63, 1), LIST(2, 0), 2, DT_U64, LIST(0x1p62, 0));
    two("Max", DT_U64, LIST(0x1p63, 1), LIST(2, 3), 2, DT_U64, LIST(0x1p63, 3));
    two("Min", DT_U64, LIST(0x1p63, 1), LIST(2, 3), 2, DT_U64, LIST(2, 1));
    two("Max", DT_I8, LIST(-5, 4), LIST(3, -4), 2, DT_I8, LIST(3, 4));
    two("Mod", DT_I32, LIST(-4, 7, 5, -4, 7, 5), LIST(2, -3, 8, 3, 0, -1), 6, DT_I32, LIST(0, -2, 5, 2, 0, 0));
    two("Mod", DT_U8, LIST(250, 7), LIST(7, 0), 2, DT_U8, LIST(5, 0));
    two("Pow", DT_I64, LIST(2, -3, 5, 1, -1, 7), LIST(62, 3, 0, -5, -3, -1), 6, DT_I64, LIST(0x1p62, -27, 1, 1, -1, 0));
}

static void a_nan_comes_through_max_and_min(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_F16};
    double nan = (double)NAN;
    for (size_t k = 0; k < COUNTOF(types); k++) {
        two("Max", types[k], LIST(nan, 1, 2), LIST(0, nan, 1), 3, types[k], LIST(nan, nan, 2));
        two("Min", types[k], LIST(nan, 1, 2), LIST(0, nan, 1), 3, types[k], LIST(nan, nan, 1));
    }
}

static void fmod_takes_the_sign_of_the_dividend(void)
{
    op_case t;
    op_case_init(&t, "Mod", 13);
    op_case_int(&t, "fmod", 1);
    IN(&t, DT_F32, SHAPE(3), -4.25, 7.5, 5);
    IN(&t, DT_F32, SHAPE(3), 2, -3, 8);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(3), 0, -0.25, 1.5, 5);
    op_case_fini(&t);
}

static void pow_takes_two_types(void)
{
    op_case t;
    op_case_init(&t, "Pow", 15);
    IN(&t, DT_F32, SHAPE(3), 1, 2, 3);
    IN(&t, DT_I64, SHAPE(3), 4, 5, 6);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(3), 1e-7, 1, 32, 729);
    op_case_fini(&t);
    op_case_init(&t, "Pow", 15);
    IN(&t, DT_I32, SHAPE(3), 1, 2, 9);
    IN(&t, DT_F32, SHAPE(1), 0.5);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_I32, SHAPE(3), 0, 1, 1, 3);
    op_case_fini(&t);
    static const double exponents[] = {2, 0.5, 3, -1, 0};
    for (size_t k = 0; k < COUNTOF(exponents) * 2; k++) {   /* a few elements, and as many as make one value for all */
        double p = exponents[k / 2], want[99];
        int64_t n = k % 2 ? 99 : 3;
        for (int i = 0; i < n; i++) want[i] = pow(i % 3 == 0 ? 0.25 : i % 3 == 1 ? 4 : 9, p);
        op_case_init(&t, "Pow", 15);
        IN(&t, DT_F32, SHAPE(n), 0.25, 4, 9);
        op_case_in(&t, DT_F32, SCALAR, &p, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_F32, SHAPE(n), 1e-6, want, (size_t)n, __LINE__);
        op_case_fini(&t);
    }
}

static double plain(const char *op, double a, double b, bool whole)
{
    switch (op[0] + op[1]) {
    case 'A' + 'd': return a + b;
    case 'S' + 'u': return a - b;
    case 'M' + 'u': return a * b;
    case 'D' + 'i': return whole ? trunc(a / b) : a / b;
    case 'M' + 'a': return a > b ? a : b;
    case 'M' + 'i': return a < b ? a : b;
    case 'M' + 'o': return fmod(a, b);
    default: return pow(a, b);
    }
}

/* Element by element, and with one value for all on either side, in runs that are short and long; the numbers are such
 * that nothing wraps and fmod says what Mod does. */
static void every_type_computes_alike(void)
{
    static const char *const ops[] = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Mod", "Pow"};
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_BF16, DT_I8, DT_I16, DT_I32, DT_I64, DT_U8, DT_U16,
                                  DT_U32, DT_U64};
    enum { MOST = 1200 };
    for (size_t i = 0; i < COUNTOF(ops) * COUNTOF(types) * 6; i++) {
        const char *op = ops[i % COUNTOF(ops)];
        dtype type = types[i / COUNTOF(ops) % COUNTOF(types)];
        size_t how = i / COUNTOF(ops) / COUNTOF(types), n = how < 3 ? 5 : MOST;
        bool floats = dtype_kind_of(type) == KIND_FLOAT;
        double a[MOST], b[MOST], want[MOST];
        if (*op == 'P' && type == DT_BF16) continue;   /* not a type of Pow's */
        for (size_t k = 0; k < n; k++) {
            a[k] = how % 3 == 1 ? 5 : 3 + (double)(k % 3);
            b[k] = how % 3 == 2 ? 2 : 1 + (double)(k % 3);
            want[k] = plain(op, a[k], b[k], !floats);
        }
        op_case t;
        op_case_init(&t, op, 13);
        if (*op == 'M' && op[1] == 'o' && floats) op_case_int(&t, "fmod", 1);
        op_case_in(&t, type, how % 3 == 1 ? SCALAR : SHAPE((int64_t)n), a, how % 3 == 1 ? 1 : n);
        op_case_in(&t, type, how % 3 == 2 ? SCALAR : SHAPE((int64_t)n), b, how % 3 == 2 ? 1 : n);
        if (op_case_run(&t)) CHECK_STR(t.e.text, op);
        op_case_check(&t, 0, type, SHAPE((int64_t)n), type == DT_BF16 ? 1e-2 : type == DT_F16 ? 1e-3 : 1e-6, want, n,
                      (int)i);
        op_case_fini(&t);
    }
}

static void any_number_of_inputs_fold(void)
{
    static const struct { const char *op; double want[3]; } rows[] = {
        {"Sum", {9, 6, 3}}, {"Mean", {3, 2, 1}}, {"Max", {5, 3, 3}}, {"Min", {1, 1, -3}}};
    for (size_t k = 0; k < COUNTOF(rows); k++) {
        op_case t;
        op_case_init(&t, rows[k].op, 13);
        IN(&t, DT_F32, SHAPE(3), 1, 2, 3);
        IN(&t, DT_F32, SHAPE(1), 3);
        IN(&t, DT_F32, SHAPE(3), 5, 1, -3);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_F32, SHAPE(3), 1e-6, rows[k].want, 3, __LINE__);
        op_case_fini(&t);
        op_case_init(&t, rows[k].op, 13);
        IN(&t, DT_F64, SHAPE(2), 1, 2);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_F64, SHAPE(2), 0, 1, 2);
        op_case_fini(&t);
    }
}

static void types_that_do_not_fit_are_refused(void)
{
    op_case t;
    op_case_init(&t, "Add", 13);
    IN(&t, DT_F32, SHAPE(1), 1);
    IN(&t, DT_F64, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_UNSUPPORTED);
    CHECK(strstr(t.e.text, "expected float32, got float64") != NULL);
    op_case_fini(&t);
    op_case_init(&t, "Exp", 13);
    IN(&t, DT_I32, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_UNSUPPORTED);
    op_case_fini(&t);
    op_case_init(&t, "Mul", 13);
    IN(&t, DT_F32, SHAPE(2), 1);
    IN(&t, DT_F32, SHAPE(3), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
    op_case_init(&t, "Exp", 13);
    op_case_int(&t, "nosuch", 1);
    IN(&t, DT_F32, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_UNSUPPORTED);
    op_case_fini(&t);
}

/* Shapes that broadcast to `big`: dimensions dropped from the front or set to 1. */
static shape smaller(const shape *big, uint64_t *seed)
{
    uint32_t drop = (uint32_t)(test_rand(seed) % (big->rank + 1));
    shape s = shape_make(big->rank - drop, big->dim + drop);
    for (uint32_t i = 0; i < s.rank; i++)
        if (test_rand(seed) % 3 == 0)
            s.dim[i] = 1;
    return s;
}

static double element(const tensor *t, const shape *as, uint64_t at)
{
    view v = view_broadcast(&t->shape, as);
    int64_t offset = 0;
    for (uint32_t d = as->rank; d-- > 0; at /= (uint64_t)as->dim[d])
        offset += (int64_t)(at % (uint64_t)as->dim[d]) * v.stride[d];
    return tensor_f64(t, (uint64_t)offset);
}

static double naive(const char *op, double a, double b)
{
    return *op == 'A' ? a + b : *op == 'S' ? a - b : *op == 'M' ? a * b : a / b;
}

static void broadcasts_are_those_of_the_plain_loop(void)
{
    static const char *const ops[] = {"Add", "Sub", "Mul", "Div"};
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_I32, DT_F32};
    uint64_t seed = 11;
    err e;
    compute *pool = NULL;
    CHECK(compute_new(&pool, 2, &e) == ERR_OK);
    for (int round = 0; round < 400; round++) {
        op_case t;
        dtype type = types[test_rand(&seed) % COUNTOF(types)];
        const char *op = ops[test_rand(&seed) % (type == DT_I32 ? 3 : 4)];
        shape s = {.rank = (uint32_t)(test_rand(&seed) % 5)};
        for (uint32_t i = 0; i < s.rank; i++)
            s.dim[i] = 1 + (int64_t)(test_rand(&seed) % (round % 40 == 0 && i == 0 ? 20000 : 9));
        double values[64];
        for (size_t i = 0; i < COUNTOF(values); i++)
            values[i] = (double)(int64_t)(test_rand(&seed) % 128) / 4 - 15.875;
        shape a = smaller(&s, &seed), b = smaller(&s, &seed);
        op_case_init(&t, op, 13);
        t.pool = round % 2 ? pool : NULL;
        t.k = &kernel_isa_at((size_t)round % kernel_isa_count())->set;
        if (kernel_isa_at((size_t)round % kernel_isa_count())->needs & ~cpu_detect())
            t.k = NULL;
        op_case_in(&t, type, a, values, 61);
        op_case_in(&t, type, b, values + 1, 59);
        CHECK(op_case_run(&t) == ERR_OK);
        for (uint64_t i = 0; i < tensor_count(&t.out[0]); i++) {
            double want = naive(op, element(&t.in[0], &t.out[0].shape, i), element(&t.in[1], &t.out[0].shape, i));
            double got = tensor_f64(&t.out[0], i);
            if (fabs(got - want) > (type == DT_F16 ? 1e-3 : 1e-6) * (1 + fabs(want))) {
                printf("# round %d %s %s [%llu]: got %g, want %g\n", round, op, dtype_name(type), (unsigned long long)i,
                       got, want);
                test_failures++;
                break;
            }
        }
        op_case_fini(&t);
    }
    compute_free(pool);
}

static void a_result_may_take_the_memory_of_its_input(void)
{
    static const dtype types[] = {DT_F32, DT_F16, DT_I64, DT_I8};
    for (size_t k = 0; k < COUNTOF(types); k++) {
        op_case t;
        op_case_init(&t, "Add", 13);
        t.inplace = true;
        double values[2] = {1, 2};
        op_case_in(&t, types[k], SHAPE(1500), values, 2);
        IN(&t, types[k], SHAPE(1), 3);
        CHECK(op_case_run(&t) == ERR_OK);
        for (uint64_t i = 0; i < 1500; i++)
            CHECK(tensor_f64(&t.out[0], i) == (i % 2 ? 5 : 4));
        op_case_fini(&t);
    }
}

static void an_activation_in_the_node_is_applied(void)
{
    static const dtype types[] = {DT_F32, DT_F64, DT_BF16, DT_I32};
    for (size_t k = 0; k < COUNTOF(types); k++) {
        op_case t;
        op_case_init(&t, "Add", 13);
        t.node.act = (activation){.kind = ACT_CLIP, .a = 0, .b = 6};
        IN(&t, types[k], SHAPE(3), -4, 2, 9);
        IN(&t, types[k], SCALAR, 1);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, types[k], SHAPE(3), 0, 0, 3, 6);
        op_case_fini(&t);
    }
}

static void nothing_comes_of_nothing(void)
{
    op_case t;
    op_case_init(&t, "Add", 13);
    IN(&t, DT_F32, SHAPE(0, 3), 1);
    IN(&t, DT_F32, SHAPE(3), 1);
    CHECK(op_case_run(&t) == ERR_OK);
    CHECK(tensor_count(&t.out[0]) == 0 && t.out[0].shape.dim[1] == 3);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(each_function_has_its_values),         TEST(whole_numbers_keep_their_type),
        TEST(integer_arithmetic_wraps_and_never_traps), TEST(a_nan_comes_through_max_and_min),
        TEST(fmod_takes_the_sign_of_the_dividend),  TEST(pow_takes_two_types),
        TEST(every_type_computes_alike),
        TEST(any_number_of_inputs_fold),            TEST(types_that_do_not_fit_are_refused),
        TEST(broadcasts_are_those_of_the_plain_loop), TEST(a_result_may_take_the_memory_of_its_input),
        TEST(an_activation_in_the_node_is_applied), TEST(nothing_comes_of_nothing),
    };
    return test_main(cases, COUNTOF(cases));
}
