/* Attention equals its definition, computed one number at a time in double precision, over random heads, caches,
 * masks and windows in both layouts (within 1e-5); rows with nothing to look at are 0; what does not fit is
 * refused. */
#include "base/rng.h"
#include "op_harness.h"
#include "test.h"

#include <math.h>

enum { ROOM = 4096 };
static double q[ROOM], k[ROOM], v[ROOM], mask[ROOM], past_k[ROOM], past_v[ROOM], want[ROOM], lengths[8];

typedef struct {
    int64_t batch, heads, kv_heads, length, past, fresh, size, v_size, left, right;
    bool flat, causal, masked, counted;
    double softcap;
} setting;

static void fill(double *x, size_t n, rng *r)
{
    for (size_t i = 0; i < n; i++) x[i] = (double)(float)(rng_unit(r) * 2 - 1);
}

/* Element (b, h, t, i) of a tensor of `heads` heads of `size` numbers. */
static double at(const double *x, bool flat, int64_t heads, int64_t length, int64_t size, int64_t b, int64_t h,
                 int64_t t, int64_t i)
{
    return flat ? x[((b * length + t) * heads + h) * size + i] : x[((b * heads + h) * length + t) * size + i];
}

static double key(const setting *s, const double *fresh, const double *past, int64_t size, int64_t b, int64_t h,
                  int64_t t, int64_t i)
{
    if (t < s->past) return at(past, false, s->kv_heads, s->past, size, b, h, t, i);
    return at(fresh, s->flat, s->kv_heads, s->fresh, size, b, h, t - s->past, i);
}

static bool open_to(const setting *s, int64_t b, int64_t t, int64_t j)
{
    int64_t end = s->counted ? (int64_t)lengths[b] : s->past + s->fresh;
    int64_t place = t + (s->counted ? end - s->length : s->past);
    return j < end && (!s->causal || j <= place) && (s->left < 0 || j >= place - s->left) &&
           (s->right < 0 || j <= place + s->right);
}

static void naive_row(const setting *s, int64_t b, int64_t h, int64_t t)
{
    int64_t n = s->past + s->fresh, kv = h / (s->heads / s->kv_heads);
    double score[64], sum = 0, most = -INFINITY;
    for (int64_t j = 0; j < n; j++) {
        double dot = 0;
        for (int64_t i = 0; i < s->size; i++)
            dot += at(q, s->flat, s->heads, s->length, s->size, b, h, t, i) * key(s, k, past_k, s->size, b, kv, j, i);
        dot /= sqrt((double)s->size);
        if (s->softcap > 0) dot = s->softcap * tanh(dot / s->softcap);
        score[j] = open_to(s, b, t, j) ? dot + (s->masked ? mask[t * n + j] : 0) : -INFINITY;
        most = fmax(most, score[j]);
    }
    for (int64_t j = 0; j < n; j++) sum += score[j] = most == -INFINITY ? 0 : exp(score[j] - most);
    for (int64_t i = 0; i < s->v_size; i++) {
        double y = 0;
        for (int64_t j = 0; j < n && sum > 0; j++) y += score[j] / sum * key(s, v, past_v, s->v_size, b, kv, j, i);
        int64_t to = s->flat ? ((b * s->length + t) * s->heads + h) * s->v_size + i
                             : ((b * s->heads + h) * s->length + t) * s->v_size + i;
        want[to] = y;
    }
}

static setting random_setting(rng *r)
{
    setting s = {.batch = 1 + (int64_t)rng_below(r, 2),
                 .kv_heads = 1 + (int64_t)rng_below(r, 2),
                 .length = 1 + (int64_t)rng_below(r, 12),
                 .past = rng_below(r, 2) ? (int64_t)rng_below(r, 7) : 0,
                 .fresh = 1 + (int64_t)rng_below(r, 12),
                 .size = 1 + (int64_t)rng_below(r, 9),
                 .v_size = 1 + (int64_t)rng_below(r, 9),
                 .left = -1,
                 .right = -1,
                 .flat = rng_below(r, 2),
                 .causal = rng_below(r, 2),
                 .masked = rng_below(r, 2),
                 .softcap = rng_below(r, 3) ? 0 : 2};
    s.heads = s.kv_heads * (1 + (int64_t)rng_below(r, 3));
    s.counted = s.past == 0 && rng_below(r, 3) == 0;
    if (rng_below(r, 3) == 0) s.left = (int64_t)rng_below(r, 4);
    if (rng_below(r, 3) == 0) s.right = (int64_t)rng_below(r, 4);
    return s;
}

static void start(op_case *t, const setting *s, shape *y)
{
    op_case_init(t, "Attention", 25);
    op_case_int(t, "is_causal", s->causal);
    op_case_int(t, "left_window_size", s->left);
    op_case_int(t, "right_window_size", s->right);
    op_case_float(t, "softcap", (float)s->softcap);
    if (s->flat) {
        op_case_int(t, "q_num_heads", s->heads);
        op_case_int(t, "kv_num_heads", s->kv_heads);
    }
    *y = s->flat ? SHAPE(s->batch, s->length, s->heads * s->v_size) : SHAPE(s->batch, s->heads, s->length, s->v_size);
    op_case_in(t, DT_F32,
               s->flat ? SHAPE(s->batch, s->length, s->heads * s->size) : SHAPE(s->batch, s->heads, s->length, s->size),
               q, ROOM);
    op_case_in(t, DT_F32,
               s->flat ? SHAPE(s->batch, s->fresh, s->kv_heads * s->size)
                       : SHAPE(s->batch, s->kv_heads, s->fresh, s->size),
               k, ROOM);
    op_case_in(t, DT_F32,
               s->flat ? SHAPE(s->batch, s->fresh, s->kv_heads * s->v_size)
                       : SHAPE(s->batch, s->kv_heads, s->fresh, s->v_size),
               v, ROOM);
    if (s->masked)
        op_case_in(t, DT_F32, SHAPE(s->length, s->past + s->fresh), mask, ROOM);
    else
        op_case_none(t);
    if (s->past) {
        op_case_in(t, DT_F32, SHAPE(s->batch, s->kv_heads, s->past, s->size), past_k, ROOM);
        op_case_in(t, DT_F32, SHAPE(s->batch, s->kv_heads, s->past, s->v_size), past_v, ROOM);
    } else {
        op_case_none(t);
        op_case_none(t);
    }
    if (s->counted) op_case_in(t, DT_I64, SHAPE(s->batch), lengths, 8);
    op_case_outputs(t, s->past ? 3 : 1);
}

static void attention_equals_its_definition(void)
{
    rng r;
    rng_init(&r, 31);
    for (int turn = 0; turn < 200; turn++) {
        setting s = random_setting(&r);
        op_case t;
        shape y;
        fill(q, ROOM, &r), fill(k, ROOM, &r), fill(v, ROOM, &r), fill(past_k, ROOM, &r), fill(past_v, ROOM, &r);
        fill(mask, ROOM, &r);
        for (size_t i = 0; i < ROOM; i += 3) mask[i] = -INFINITY;
        for (size_t i = 0; i < COUNTOF(lengths); i++) lengths[i] = (double)rng_below(&r, (uint64_t)s.fresh + 1);
        start(&t, &s, &y);
        for (int64_t i = 0; i < s.batch * s.heads * s.length; i++)
            naive_row(&s, i / s.length / s.heads, i / s.length % s.heads, i % s.length);
        CHECK(op_case_run(&t) == ERR_OK);
        op_case_check(&t, 0, DT_F32, y, 1e-5, want, shape_count(&y), turn);
        op_case_fini(&t);
    }
}

static void the_scores_can_be_seen_at_every_stage(void)
{
    static const double stages[4][2] = {{1, 2}, {1, 2}, {1, -INFINITY}, {1, 0}};
    for (int64_t mode = 0; mode < 4; mode++) {
        op_case t;
        op_case_init(&t, "Attention", 24);
        op_case_int(&t, "qk_matmul_output_mode", mode);
        IN(&t, DT_F32, SHAPE(1, 1, 1, 1), 1);
        IN(&t, DT_F32, SHAPE(1, 1, 2, 1), 1, 2);
        IN(&t, DT_F32, SHAPE(1, 1, 2, 1), 10, 20);
        IN(&t, DT_BOOL, SHAPE(1, 2), 1, 0);
        op_case_outputs(&t, 4);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 1), 1e-6, 10);
        WANT(&t, 1, DT_F32, SHAPE(1, 1, 2, 1), 0, 1, 2);
        op_case_check(&t, 3, DT_F32, SHAPE(1, 1, 1, 2), 1e-6, stages[mode], 2, __LINE__);
        op_case_fini(&t);
    }
}

static void what_does_not_fit_is_refused(void)
{
    op_case t;
    op_case_init(&t, "Attention", 24);
    IN(&t, DT_F32, SHAPE(1, 3, 2, 4), 1);
    IN(&t, DT_F32, SHAPE(1, 2, 2, 4), 1);
    IN(&t, DT_F32, SHAPE(1, 2, 2, 4), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
    op_case_init(&t, "Attention", 24);
    IN(&t, DT_F32, SHAPE(1, 2, 4), 1);
    IN(&t, DT_F32, SHAPE(1, 2, 4), 1);
    IN(&t, DT_F32, SHAPE(1, 2, 4), 1);
    CHECK(op_case_run(&t) == ERR_INVALID); /* three dimensions need the numbers of heads */
    op_case_fini(&t);
    op_case_init(&t, "Attention", 24);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 4), 1);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 4), 1);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 4), 1);
    IN(&t, DT_F32, SHAPE(2, 3), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "input 3: shape [2,3] does not fit") != NULL);
    op_case_fini(&t);
}

static void keys_of_no_number_weigh_all_values_alike(void)
{
    op_case t;
    op_case_init(&t, "Attention", 24);
    op_case_float(&t, "scale", 1);
    op_case_in(&t, DT_F32, SHAPE(1, 1, 1, 0), NULL, 0);
    op_case_in(&t, DT_F32, SHAPE(1, 1, 2, 0), NULL, 0);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 2), 1, 2, 3, 6);
    op_case_outputs(&t, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 1, 1, 2), 1e-6, 2, 4);
    CHECK(t.out[1].shape.rank == 4 && tensor_count(&t.out[1]) == 0);
    WANT(&t, 2, DT_F32, SHAPE(1, 1, 2, 2), 0, 1, 2, 3, 6);
    op_case_fini(&t);
}

/* 0 divides by any number of heads. */
static void heads_of_no_number_are_counted_too(void)
{
    op_case t;
    op_case_init(&t, "Attention", 23);
    op_case_int(&t, "q_num_heads", INT64_MAX);
    op_case_int(&t, "kv_num_heads", 1);
    op_case_in(&t, DT_F32, SHAPE(1, 1, 0), NULL, 0);
    op_case_in(&t, DT_F32, SHAPE(1, 1, 0), NULL, 0);
    IN(&t, DT_F32, SHAPE(1, 1, 2), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void values_of_no_number_leave_the_scores(void)
{
    op_case t;
    op_case_init(&t, "Attention", 24);
    op_case_float(&t, "scale", 1);
    op_case_int(&t, "qk_matmul_output_mode", 3);
    IN(&t, DT_F32, SHAPE(1, 1, 1, 2), 1);
    IN(&t, DT_F32, SHAPE(1, 1, 2, 2), 3);
    op_case_in(&t, DT_F32, SHAPE(1, 1, 2, 0), NULL, 0);
    op_case_outputs(&t, 4);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 3, DT_F32, SHAPE(1, 1, 1, 2), 1e-6, 0.5, 0.5);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {TEST(attention_equals_its_definition),
                                      TEST(keys_of_no_number_weigh_all_values_alike),
                                      TEST(the_scores_can_be_seen_at_every_stage), TEST(what_does_not_fit_is_refused),
                                      TEST(heads_of_no_number_are_counted_too),
                                      TEST(values_of_no_number_leave_the_scores)};
    return test_main(cases, COUNTOF(cases));
}
