/* Rotations, caches that are written in place, and the layers that keep a state: values are worked out by hand,
 * and running in two steps with the state carried over equals running once. */
#include "op_harness.h"
#include "test.h"

#include <math.h>

static void a_quarter_turn_swaps_the_pair(void)
{
    for (int64_t interleaved = 0; interleaved < 2; interleaved++) {
        op_case t;
        op_case_init(&t, "RotaryEmbedding", 23);
        op_case_int(&t, "interleaved", interleaved);
        op_case_int(&t, "rotary_embedding_dim", 4);
        op_case_int(&t, "num_heads", 1);
        IN(&t, DT_F32, SHAPE(1, 2, 5), 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
        IN(&t, DT_F32, SHAPE(2, 2), 1, 1, 0, 1);
        IN(&t, DT_F32, SHAPE(2, 2), 0, 0, 1, 0);
        IN(&t, DT_I64, SHAPE(1, 2), 1, 0);
        CHECK(op_case_run(&t) == ERR_OK);
        if (interleaved) WANT(&t, 0, DT_F32, SHAPE(1, 2, 5), 0, -2, 1, 3, 4, 5, 6, 7, 8, 9, 10);
        if (!interleaved) WANT(&t, 0, DT_F32, SHAPE(1, 2, 5), 0, -3, 2, 1, 4, 5, 6, 7, 8, 9, 10);
        op_case_fini(&t);
    }
    op_case t;
    op_case_init(&t, "RotaryEmbedding", 23);
    IN(&t, DT_F32, SHAPE(1, 1, 1, 2), 1, 2);
    IN(&t, DT_F32, SHAPE(2, 1), 1);
    IN(&t, DT_F32, SHAPE(2, 1), 0);
    IN(&t, DT_I64, SHAPE(1, 1), 2);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "expected positions below 2, got 2") != NULL);
    op_case_fini(&t);
}

static void rows_are_written_where_the_indices_say(void)
{
    op_case t;
    op_case_init(&t, "TensorScatter", 24);
    op_case_str(&t, "mode", "circular");
    IN(&t, DT_F32, SHAPE(2, 3, 1), 1, 2, 3, 4, 5, 6);
    IN(&t, DT_F32, SHAPE(2, 2, 1), 10, 20, 30, 40);
    IN(&t, DT_I64, SHAPE(2), 0, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 3, 1), 0, 10, 20, 3, 40, 5, 30);
    op_case_fini(&t);
    op_case_init(&t, "TensorScatter", 24);
    IN(&t, DT_I8, SHAPE(1, 3, 1), 1);
    IN(&t, DT_I8, SHAPE(1, 2, 1), 1);
    IN(&t, DT_I64, SHAPE(1), 2);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void a_causal_convolution_looks_back_only(void)
{
    op_case t;
    op_case_init(&t, "CausalConvWithState", 27);
    IN(&t, DT_F32, SHAPE(1, 2, 3), 1, 2, 3, 10, 20, 30);
    IN(&t, DT_F32, SHAPE(2, 1, 2), 1, 1, 2, 1);
    IN(&t, DT_F32, SHAPE(2), 0, 0.5);
    IN(&t, DT_F32, SHAPE(1, 2, 1), 100, 1000);
    op_case_outputs(&t, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 2, 3), 0, 101, 3, 5, 2010.5, 40.5, 70.5);
    WANT(&t, 1, DT_F32, SHAPE(1, 2, 1), 0, 3, 30);
    op_case_fini(&t);
}

/* Two positions of one head with keys and values of two numbers; positions `first` to `last`-1 from `state`. */
static void run_linear(op_case *t, size_t first, size_t last, const double *state)
{
    static const double q[] = {1, 0, 1, 1}, k[] = {1, 0, 0.5, 1}, v[] = {1, 2, 3, 4}, decay[] = {0, -0.5},
                        beta[] = {1, 0.5};
    int64_t n = (int64_t)(last - first);
    op_case_init(t, "LinearAttention", 27);
    op_case_int(t, "q_num_heads", 1);
    op_case_int(t, "kv_num_heads", 1);
    op_case_float(t, "scale", 1);
    op_case_in(t, DT_F32, SHAPE(1, n, 2), q + 2 * first, 4);
    op_case_in(t, DT_F32, SHAPE(1, n, 2), k + 2 * first, 4);
    op_case_in(t, DT_F32, SHAPE(1, n, 2), v + 2 * first, 4);
    op_case_in(t, DT_F32, SHAPE(1, 1, 2, 2), state, 4);
    op_case_in(t, DT_F32, SHAPE(1, n, 1), decay + first, 2);
    op_case_in(t, DT_F32, SHAPE(1, n, 1), beta + first, 2);
    op_case_outputs(t, 2);
    CHECK(op_case_run(t) == ERR_OK);
}

static void a_state_carried_over_equals_one_run(void)
{
    static const double zero[4] = {0};
    op_case one, first, second;
    double state[4];
    run_linear(&one, 0, 2, zero);
    run_linear(&first, 0, 1, zero);
    WANT(&first, 0, DT_F32, SHAPE(1, 1, 2), 1e-6, 1, 2);
    for (uint64_t i = 0; i < 4; i++) state[i] = tensor_f64(&first.out[1], i);
    run_linear(&second, 1, 2, state);
    /* the state d = e^-0.5 [1 2; 0 0]; v' = (v - k d) / 2; y = (1 1) (d + k v') */
    double d = exp(-0.5), v0 = (3 - 0.5 * d) / 2, v1 = (4 - d) / 2;
    WANT(&second, 0, DT_F32, SHAPE(1, 1, 2), 1e-6, d + 1.5 * v0, 2 * d + 1.5 * v1);
    for (uint64_t i = 0; i < 2; i++) CHECK(fabs(tensor_f64(&one.out[0], 2 + i) - tensor_f64(&second.out[0], i)) < 1e-6);
    for (uint64_t i = 0; i < 4; i++) CHECK(fabs(tensor_f64(&one.out[1], i) - tensor_f64(&second.out[1], i)) < 1e-6);
    op_case_fini(&one);
    op_case_fini(&first);
    op_case_fini(&second);
}

static void keys_of_no_number_leave_no_state(void)
{
    op_case t;
    op_case_init(&t, "LinearAttention", 27);
    op_case_str(&t, "update_rule", "linear");
    op_case_int(&t, "q_num_heads", 1);
    op_case_int(&t, "kv_num_heads", 1);
    op_case_in(&t, DT_F32, SHAPE(1, 2, 0), NULL, 0);
    op_case_in(&t, DT_F32, SHAPE(1, 2, 0), NULL, 0);
    IN(&t, DT_F32, SHAPE(1, 2, 3), 1, 2, 3, 4, 5, 6);
    op_case_outputs(&t, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 2, 3), 0, 0, 0, 0, 0, 0, 0);
    CHECK(t.out[1].shape.rank == 4 && tensor_count(&t.out[1]) == 0);
    op_case_fini(&t);
}

/* 0 divides by any number of heads: 2^62 + 1 of them with 4 values each are no 4 values. */
static void heads_of_no_number_are_counted_too(void)
{
    static const int64_t heads[] = {INT64_MAX, (INT64_C(1) << 62) + 1};
    for (size_t i = 0; i < COUNTOF(heads); i++) {
        op_case t;
        op_case_init(&t, "LinearAttention", 27);
        op_case_int(&t, "q_num_heads", heads[i]);
        op_case_int(&t, "kv_num_heads", 1);
        op_case_str(&t, "update_rule", "linear");
        op_case_in(&t, DT_F32, SHAPE(1, 1, 0), NULL, 0);
        op_case_in(&t, DT_F32, SHAPE(1, 1, 0), NULL, 0);
        IN(&t, DT_F32, SHAPE(1, 1, 4), 1);
        CHECK(op_case_run(&t) != ERR_OK);
        op_case_fini(&t);
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(a_quarter_turn_swaps_the_pair),           TEST(rows_are_written_where_the_indices_say),
        TEST(a_causal_convolution_looks_back_only),    TEST(a_state_carried_over_equals_one_run),
        TEST(keys_of_no_number_leave_no_state),
        TEST(heads_of_no_number_are_counted_too),
    };
    return test_main(cases, COUNTOF(cases));
}
