/* Seeded draws repeat, unseeded ones do not; their moments are those asked for; Dropout keeps, scales and marks. */
#include "op_harness.h"

#include <math.h>

static void run(op_case *t, const char *op, dtype type, const float *seed)
{
    op_case_init(t, op, 22);
    op_case_int(t, "dtype", type);
    if (seed)
        op_case_float(t, "seed", *seed);
    bool uniform = strstr(op, "Uniform") != NULL;
    op_case_float(t, uniform ? "low" : "mean", uniform ? -1 : 3);
    op_case_float(t, uniform ? "high" : "scale", uniform ? 2 : 0.5f);
    static const int64_t dims[] = {100, 50};
    if (strstr(op, "Like"))
        IN(t, DT_I32, SHAPE(100, 50), 0);
    else
        op_case_ints(t, "shape", dims, 2);
    CHECK(op_case_run(t) == ERR_OK);
    CHECK(t->out[0].type == type && tensor_count(&t->out[0]) == 5000);
}

static void moments_are_those_asked_for(void)
{
    static const struct { const char *op; double mean, deviation;
    } rows[] = {{"RandomNormal", 3, 0.5},
                {"RandomNormalLike", 3, 0.5},
                {"RandomUniform", 0.5, 0.8660254},
                {"RandomUniformLike", 0.5, 0.8660254}};
    static const dtype types[] = {DT_F32, DT_F64, DT_F16};
    float seed = 7;
    for (size_t r = 0; r < COUNTOF(rows); r++) {
        for (size_t k = 0; k < COUNTOF(types); k++) {
            op_case t;
            double sum = 0, squares = 0;
            run(&t, rows[r].op, types[k], &seed);
            for (uint64_t i = 0; i < 5000; i++) {
                double v = tensor_f64(&t.out[0], i);
                sum += v;
                squares += v * v;
                CHECK(r < 2 || (v >= -1 && v <= 2));
            }
            double mean = sum / 5000, deviation = sqrt(squares / 5000 - mean * mean);
            CHECK(fabs(mean - rows[r].mean) < 0.06 && fabs(deviation - rows[r].deviation) < 0.04);
            op_case_fini(&t);
        }
    }
}

static void a_seed_repeats_and_no_seed_does_not(void)
{
    float seed = 1;
    op_case a, b;
    run(&a, "RandomUniform", DT_F32, &seed);
    run(&b, "RandomUniform", DT_F32, &seed);
    CHECK(memcmp(a.out[0].data, b.out[0].data, 20000) == 0);
    op_case_fini(&a);
    op_case_fini(&b);
    run(&a, "RandomUniform", DT_F32, NULL);
    run(&b, "RandomUniform", DT_F32, NULL);
    CHECK(memcmp(a.out[0].data, b.out[0].data, 20000) != 0);
    op_case_fini(&a);
    op_case_fini(&b);
}

static void draws_follow_their_probabilities(void)
{
    op_case t;
    op_case_init(&t, "Bernoulli", 22);
    op_case_float(&t, "seed", 3);
    op_case_int(&t, "dtype", DT_BOOL);
    IN(&t, DT_F32, SHAPE(3000), 0, 1, 0.25);
    CHECK(op_case_run(&t) == ERR_OK);
    int ones = 0;
    for (uint64_t i = 0; i < 3000; i++) {
        CHECK(i % 3 == 2 || tensor_int(&t.out[0], i) == (int64_t)(i % 3));
        ones += i % 3 == 2 && tensor_int(&t.out[0], i);
    }
    CHECK(ones > 200 && ones < 300);
    op_case_fini(&t);
    op_case_init(&t, "Multinomial", 22);
    op_case_float(&t, "seed", 3);
    op_case_int(&t, "dtype", DT_I64);
    op_case_int(&t, "sample_size", 1000);
    IN(&t, DT_F64, SHAPE(2, 3), 1000 + log(0.25), 1000 + log(0.75), -(double)INFINITY, 0, 0, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    int count[2][3] = {{0}};
    for (uint64_t i = 0; i < 2000; i++)
        count[i / 1000][tensor_int(&t.out[0], i)]++;
    CHECK(count[0][0] > 200 && count[0][0] < 300 && count[0][2] == 0);
    CHECK(count[1][0] > 280 && count[1][1] > 280 && count[1][2] > 280);
    op_case_fini(&t);
}

static void dropout_is_the_identity_unless_training(void)
{
    static const struct { int64_t opset; dtype mask; } rows[] = {{7, DT_F32}, {10, DT_BOOL}, {13, DT_BOOL}};
    for (size_t k = 0; k < COUNTOF(rows); k++) {
        op_case t;
        op_case_init(&t, "Dropout", rows[k].opset);
        op_case_outputs(&t, 2);
        IN(&t, DT_F32, SHAPE(3), 1, 2, 3);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_F32, SHAPE(3), 0, 1, 2, 3);
        WANT(&t, 1, rows[k].mask, SHAPE(3), 0, 1, 1, 1);
        op_case_fini(&t);
    }
}

static void dropout_in_training_keeps_the_expected_sum(void)
{
    op_case t;
    op_case_init(&t, "Dropout", 13);
    op_case_outputs(&t, 2);
    op_case_int(&t, "seed", 5);
    IN(&t, DT_F32, SHAPE(4000), 1);
    IN(&t, DT_F32, SCALAR, 0.75);
    IN(&t, DT_BOOL, SCALAR, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    double sum = 0;
    for (uint64_t i = 0; i < 4000; i++) {
        CHECK(tensor_f64(&t.out[0], i) == 4 * tensor_f64(&t.out[1], i));
        sum += tensor_f64(&t.out[0], i);
    }
    CHECK(fabs(sum / 4000 - 1) < 0.15);
    op_case_fini(&t);
    op_case_init(&t, "Dropout", 13);
    IN(&t, DT_F32, SHAPE(2), 1);
    IN(&t, DT_F32, SCALAR, 2);
    IN(&t, DT_BOOL, SCALAR, 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void eye_has_its_diagonal(void)
{
    static const struct { int64_t k; double want[6];
    } rows[] = {{0, {1, 0, 0, 0, 1, 0}}, {1, {0, 1, 0, 0, 0, 1}}, {-1, {0, 0, 0, 1, 0, 0}}, {5, {0}},
                {INT64_MIN, {0}},        {INT64_MAX, {0}}};
    for (size_t r = 0; r < COUNTOF(rows); r++) {
        op_case t;
        op_case_init(&t, "EyeLike", 9);
        op_case_int(&t, "k", rows[r].k);
        op_case_int(&t, "dtype", DT_F64);
        IN(&t, DT_I32, SHAPE(2, 3), 9);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_F64, SHAPE(2, 3), 0, rows[r].want, 6, __LINE__);
        op_case_fini(&t);
    }
}

static void impossible_types_and_shapes_are_refused(void)
{
    op_case t;
    op_case_init(&t, "RandomNormalLike", 22);      /* the input's own type is no float */
    IN(&t, DT_I32, SHAPE(2), 0);
    CHECK(op_case_run(&t) == ERR_UNSUPPORTED);
    op_case_fini(&t);
    op_case_init(&t, "RandomNormal", 22);
    static const int64_t bad[] = {2, -1};
    op_case_ints(&t, "shape", bad, 2);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
    op_case_init(&t, "Multinomial", 22);
    IN(&t, DT_F32, SHAPE(2, 0), 0);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(moments_are_those_asked_for),             TEST(a_seed_repeats_and_no_seed_does_not),
        TEST(draws_follow_their_probabilities),        TEST(dropout_is_the_identity_unless_training),
        TEST(dropout_in_training_keeps_the_expected_sum), TEST(eye_has_its_diagonal),
        TEST(impossible_types_and_shapes_are_refused),
    };
    return test_main(cases, COUNTOF(cases));
}
