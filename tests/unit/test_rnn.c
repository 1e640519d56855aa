/* Recurrent layers equal their equations, computed one number at a time in double precision, over random sizes, both
 * orders of rows, reversed, with sequences of unequal length, clips, peepholes and coupled gates.  Bound: 2e-5 absolute
 * (states stay within -1..1).  Through the table: both directions, both layouts, functions by name, and bad input. */
#include "tensor/rnn.h"

#include "base/rng.h"
#include "op_harness.h"
#include "test.h"

#include <math.h>

enum { MOST = 40, ROOM = 4 * MOST * MOST * 4 };
static float x_data[ROOM], w_data[ROOM], r_data[ROOM], b_data[ROOM], p_data[ROOM], y_data[ROOM], h_data[2][ROOM],
    c_data[2][ROOM];
static float packed[2 * ROOM] __attribute__((aligned(MEM_ALIGN)));
static double h_want[ROOM], c_want[ROOM], y_want[ROOM];

static void fill(float *v, size_t n, rng *r, float scale)
{
    for (size_t i = 0; i < n; i++) v[i] = ((float)(int64_t)rng_below(r, 2001) / 1000.0f - 1.0f) * scale;
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static double held(const rnn_call *c, double x)
{
    double m = (double)c->clip;
    return x > m ? m : x < -m ? -m : x;
}

/* x * W[gate] + biases; and h * R[gate] */
static double from_x(const rnn_call *c, size_t gate, const float *x, size_t j)
{
    size_t row = gate * c->hidden + j;
    double sum = (double)b_data[row];
    for (size_t i = 0; i < c->input; i++) sum += (double)x[i] * (double)w_data[row * c->input + i];
    return sum;
}

static double from_h(const rnn_call *c, size_t gate, const double *h, size_t j)
{
    size_t row = gate * c->hidden + j, all = rnn_gates(c->kind) * c->hidden;
    double sum = (double)b_data[all + row];
    for (size_t i = 0; i < c->hidden; i++) sum += h[i] * (double)r_data[row * c->hidden + i];
    return sum;
}

static void naive_lstm(const rnn_call *c, bool peephole, const float *x, double *h, double *s)
{
    double next[MOST];
    for (size_t j = 0; j < c->hidden; j++) {
        double i = from_x(c, 0, x, j) + from_h(c, 0, h, j), f = from_x(c, 2, x, j) + from_h(c, 2, h, j);
        double o = from_x(c, 1, x, j) + from_h(c, 1, h, j), g = tanh(held(c, from_x(c, 3, x, j) + from_h(c, 3, h, j)));
        if (peephole) i += (double)p_data[j] * s[j], f += (double)p_data[2 * c->hidden + j] * s[j];
        i = sigmoid(held(c, i));
        f = c->input_forget ? 1 - i : sigmoid(held(c, f));
        s[j] = f * s[j] + i * g;
        if (peephole) o += (double)p_data[c->hidden + j] * s[j];
        next[j] = sigmoid(held(c, o)) * tanh(s[j]);
    }
    memcpy(h, next, c->hidden * sizeof *h);
}

static void naive_gru(const rnn_call *c, const float *x, double *h)
{
    double z[MOST], reset[MOST], kept[MOST], next[MOST];
    for (size_t j = 0; j < c->hidden; j++) {
        z[j] = sigmoid(held(c, from_x(c, 0, x, j) + from_h(c, 0, h, j)));
        reset[j] = sigmoid(held(c, from_x(c, 1, x, j) + from_h(c, 1, h, j)));
        kept[j] = reset[j] * h[j];
    }
    for (size_t j = 0; j < c->hidden; j++) {
        double from = c->linear_before_reset ? reset[j] * from_h(c, 2, h, j) : from_h(c, 2, kept, j);
        next[j] = (1 - z[j]) * tanh(held(c, from_x(c, 2, x, j) + from)) + z[j] * h[j];
    }
    memcpy(h, next, c->hidden * sizeof *h);
}

static void naive(const rnn_call *c, bool peephole)
{
    for (size_t b = 0; b < c->batch; b++) {
        size_t length = c->lengths ? (size_t)c->lengths[b] : c->steps;
        double *h = h_want + b * c->hidden, *s = c_want + b * c->hidden;
        for (size_t q = 0; q < c->steps; q++) {
            size_t t = q < length && c->reverse ? length - 1 - q : q;
            const float *x = c->x + t * c->x_step + b * c->x_batch;
            double next[MOST], *y = y_want + t * c->y_step + b * c->y_batch;
            if (q < length && c->kind == RNN_LSTM) naive_lstm(c, peephole, x, h, s);
            if (q < length && c->kind == RNN_GRU) naive_gru(c, x, h);
            if (q < length && c->kind == RNN_PLAIN) {
                for (size_t j = 0; j < c->hidden; j++) next[j] = tanh(held(c, from_x(c, 0, x, j) + from_h(c, 0, h, j)));
                memcpy(h, next, c->hidden * sizeof *h);
            }
            for (size_t j = 0; j < c->hidden; j++) y[j] = q < length ? h[j] : 0;
        }
    }
}

static bool near(const float *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= 2e-5)) return false;
    return true;
}

static rnn_call random_call(rng *r, int32_t *lengths)
{
    rnn_call c = {.kind = (rnn_kind)rng_below(r, 3),
                  .steps = 1 + rng_below(r, 6),
                  .batch = 1 + rng_below(r, rng_below(r, 3) ? 3 : 12),
                  .input = 1 + rng_below(r, 20),
                  .hidden = 1 + rng_below(r, rng_below(r, 4) ? 9 : MOST),
                  .x = x_data,
                  .clip = rng_below(r, 3) ? INFINITY : 0.4f,
                  .reverse = rng_below(r, 2),
                  .input_forget = rng_below(r, 4) == 0,
                  .linear_before_reset = rng_below(r, 2),
                  .y = y_data,
                  .h = h_data[0],
                  .c = c_data[0]};
    bool batch_first = rng_below(r, 2);
    c.x_step = batch_first ? c.input : c.batch * c.input;
    c.x_batch = batch_first ? c.steps * c.input : c.input;
    c.y_step = c.batch * c.hidden;
    c.y_batch = c.hidden;
    static const rnn_function gates[3][3] = {{RNN_TANH}, {RNN_SIGMOID, RNN_TANH}, {RNN_SIGMOID, RNN_TANH, RNN_TANH}};
    for (size_t i = 0; i < 3; i++) c.act[i].f = gates[c.kind][i];
    for (size_t b = 0; b < c.batch; b++) lengths[b] = (int32_t)rng_below(r, c.steps + 1);
    if (rng_below(r, 2)) c.lengths = lengths;
    return c;
}

static void a_layer_equals_its_equations(void)
{
    rng r;
    err e = {0};
    rng_init(&r, 4);
    for (int turn = 0; turn < 200; turn++) {
        int32_t lengths[16];
        arena scratch;
        rnn_call c = random_call(&r, lengths);
        bool peephole = c.kind == RNN_LSTM && rng_below(&r, 2);
        size_t state = c.batch * c.hidden;
        fill(x_data, c.steps * c.batch * c.input, &r, 1);
        fill(w_data, 4 * c.hidden * c.input, &r, 0.6f);
        fill(r_data, 4 * c.hidden * c.hidden, &r, 0.4f);
        fill(b_data, 8 * c.hidden, &r, 0.5f);
        fill(p_data, 3 * c.hidden, &r, 0.5f);
        fill(h_data[0], state, &r, 1);
        fill(c_data[0], state, &r, 1);
        for (size_t i = 0; i < state; i++) h_want[i] = (double)h_data[0][i], c_want[i] = (double)c_data[0][i];
        naive(&c, peephole);
        memcpy(h_data[1], h_data[0], sizeof h_data[0]);
        memcpy(c_data[1], c_data[0], sizeof c_data[0]);
        for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
            const kernel_set *k = &kernel_isa_at(isa)->set;
            if (kernel_isa_at(isa)->needs & ~cpu_detect()) continue;
            memcpy(h_data[0], h_data[1], sizeof h_data[0]);
            memcpy(c_data[0], c_data[1], sizeof c_data[0]);
            arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
            CHECK(rnn_room(c.kind, c.input, c.hidden) <= COUNTOF(packed));
            rnn_pack(&c.weights, packed, &c, w_data, r_data, b_data, peephole ? p_data : NULL, k);
            CHECK(rnn_f32(&c, k, NULL, &scratch, &e) == ERR_OK);
            bool ok = near(y_data, y_want, c.steps * state) && near(h_data[0], h_want, state) &&
                      (c.kind != RNN_LSTM || near(c_data[0], c_want, state));
            CHECK(ok);
            if (!ok)
                printf("# turn %d kind %d steps %zu batch %zu hidden %zu\n", turn, (int)c.kind, c.steps, c.batch,
                       c.hidden);
            arena_fini(&scratch);
        }
    }
}

static void both_directions_lie_side_by_side(void)
{
    op_case t;
    for (int64_t layout = 0; layout < 2; layout++) {
        op_case_init(&t, "RNN", 22);
        op_case_str(&t, "direction", "bidirectional");
        op_case_int(&t, "layout", layout);
        op_case_int(&t, "hidden_size", 1);
        attr *a = &t.attrs[t.node.attr_count++]; /* Affine with its defaults is the identity */
        static const str names[] = {{"affine", 6}, {"Affine", 6}};
        *a = (attr){.name = {"activations", 11}, .kind = ATTR_STRINGS, .count = 2, .strings = names};
        IN(&t, DT_F32, layout ? SHAPE(1, 3, 1) : SHAPE(3, 1, 1), 1, 2, 3);
        IN(&t, DT_F32, SHAPE(2, 1, 1), 1, 10);
        IN(&t, DT_F32, SHAPE(2, 1, 1), 0.5);
        op_case_outputs(&t, 2);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, DT_F32, layout ? SHAPE(1, 3, 2, 1) : SHAPE(3, 2, 1, 1), 1e-6, 1, 27.5, 2.5, 35, 4.25, 30);
        WANT(&t, 1, DT_F32, layout ? SHAPE(1, 2, 1) : SHAPE(2, 1, 1), 1e-6, 4.25, 27.5);
        op_case_fini(&t);
    }
}

static void weights_of_another_size_are_refused(void)
{
    op_case t;
    op_case_init(&t, "GRU", 22);
    IN(&t, DT_F32, SHAPE(3, 1, 2), 1);
    IN(&t, DT_F32, SHAPE(1, 6, 1), 1);
    IN(&t, DT_F32, SHAPE(1, 6, 2), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "input 1: expected shape [1,6,2], got [1,6,1]") != NULL);
    op_case_fini(&t);
    op_case_init(&t, "LSTM", 22);
    op_case_str(&t, "direction", "sideways");
    IN(&t, DT_F32, SHAPE(1, 1, 1), 1);
    IN(&t, DT_F32, SHAPE(1, 4, 1), 1);
    IN(&t, DT_F32, SHAPE(1, 4, 1), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "got 'sideways'") != NULL);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {TEST(a_layer_equals_its_equations), TEST(both_directions_lie_side_by_side),
                                      TEST(weights_of_another_size_are_refused)};
    return test_main(cases, COUNTOF(cases));
}
