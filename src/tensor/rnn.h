/* rnn.h - one direction of a recurrent layer (plain, GRU, LSTM), single precision.
 *
 * The inputs of all steps are multiplied by W in one product; each step then adds h * R and applies the gates.
 * Weights are packed once.  Sequences of a batch may have different lengths: past its end a sequence keeps its state
 * and its outputs are 0.  Gates lie in ONNX's order: LSTM i, o, f, c; GRU z, r, h.  Scratch comes from the caller. */
#ifndef TENSOR_RNN_H
#define TENSOR_RNN_H
#include "async/compute.h"
#include "base/arena.h"
#include "tensor/kernel.h"

typedef enum { RNN_PLAIN, RNN_GRU, RNN_LSTM } rnn_kind;
typedef enum {
    RNN_RELU,
    RNN_TANH,
    RNN_SIGMOID,
    RNN_AFFINE,
    RNN_LEAKY_RELU,
    RNN_THRESHOLDED_RELU,
    RNN_SCALED_TANH,
    RNN_HARD_SIGMOID,
    RNN_ELU,
    RNN_SOFTSIGN,
    RNN_SOFTPLUS,
} rnn_function;

typedef struct {
    rnn_function f;
    float alpha, beta;
} rnn_act;

/* Packed weights of one direction. */
typedef struct {
    const float *w; /* [input, gates * hidden] */
    const float *r; /* [hidden, gates * hidden]; GRU: the gates z and r */
    const float *r_new; /* GRU: [hidden, hidden] of the gate h; else NULL */
    const float *bias; /* [gates * hidden], both biases added; GRU's h with linear_before_reset: W's only */
    const float *bias_new; /* [hidden] GRU with linear_before_reset: R's bias of h; else NULL */
    const float *peephole; /* [3 * hidden] LSTM: of i, o, f; or NULL */
} rnn_weights;

typedef struct {
    rnn_kind kind;
    size_t steps, batch, input, hidden;
    const float *x; /* row (t, b), `input` floats, at t * x_step + b * x_batch */
    size_t x_step, x_batch;
    rnn_weights weights;
    rnn_act act[3]; /* f, g, h of ONNX */
    float clip; /* INFINITY = none; holds what goes into the gates' functions */
    bool reverse, input_forget, linear_before_reset;
    const int32_t *lengths; /* [batch], 0..steps, or NULL */
    float *y; /* row (t, b), `hidden` floats, at t * y_step + b * y_batch; or NULL */
    size_t y_step, y_batch;
    float *h, *c; /* [batch, hidden] in: initial, out: final state; c: LSTM only */
} rnn_call;

size_t rnn_gates(rnn_kind kind); /* 1, 3, 4 */
/* Floats for the weights of one direction; SIZE_MAX on overflow. */
size_t rnn_room(rnn_kind kind, size_t input, size_t hidden);
/* w: [gates * hidden, input], r: [gates * hidden, hidden], b: [2 * gates * hidden] or NULL, p: [3 * hidden] or NULL. */
void rnn_pack(rnn_weights *ret, float *memory, const rnn_call *shape, const float *w, const float *r, const float *b,
              const float *p, const kernel_set *k);
err_code rnn_f32(const rnn_call *c, const kernel_set *k, compute *pool, arena *scratch, err *e) MUST_USE;

#endif
