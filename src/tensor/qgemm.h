/* qgemm.h - exact products of 8-bit integer matrices and convolutions, less their zero points, into 32 bits.
 *
 * (a - a_zero) * (b - b_zero) fits 16 bits each side, so zero points are taken off while the operands are packed, and
 * may differ for each row of a and each column of b.  Sums wrap at 32 bits as ONNX's do.
 * No heap: packing buffers come from the caller's arena.  Sizes are the caller's to check. */
#ifndef TENSOR_QGEMM_H
#define TENSOR_QGEMM_H
#include "async/compute.h"
#include "base/arena.h"
#include "tensor/conv.h"
#include "tensor/kernel.h"

typedef struct {
    const void *data; /* int8 or uint8 */
    bool is_signed;
    size_t row, column; /* strides, elements */
    const size_t *batch_at; /* where each product of the batch starts; NULL = all at data */
    const int32_t *zero; /* of each row of a or column of b; NULL = none */
    size_t zero_step; /* 0: one for all */
} qgemm_matrix;

typedef struct {
    size_t batch, m, n, k;
    qgemm_matrix a, b; /* [m, k], [k, n] */
    int32_t *c; /* [batch, m, n], dense */
} qgemm_call;

err_code qgemm(const qgemm_call *g, const kernel_set *k, compute *pool, arena *scratch, err *e) MUST_USE;

typedef struct {
    const conv_shape *shape;
    const void *x, *w; /* w: [out_channels, in_channels / groups, kernel...] */
    bool x_signed, w_signed;
    int32_t x_zero;
    const int32_t *w_zero; /* of each output channel, or one for all (w_zero_step 0); NULL = none */
    size_t w_zero_step;
    int32_t *y;
} qconv_call;

/* A position in the padding counts as x_zero: it adds nothing. */
err_code qconv(const qconv_call *c, const kernel_set *k, compute *pool, arena *scratch, err *e) MUST_USE;

#endif
