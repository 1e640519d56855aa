/* matmul.h - matrix products of the element types that have no kernels of their own: double and the integers.
 *
 * Plain loops, one row of the result per index of compute_for().  Integers wrap as ONNX's arithmetic does.
 * No operand overlaps y; sizes are the caller's to check (at most UINT32_MAX rows in all). */
#ifndef TENSOR_MATMUL_H
#define TENSOR_MATMUL_H
#include "async/compute.h"
#include "tensor/dtype.h"

typedef struct {
    dtype type; /* DT_F64, DT_I32, DT_I64, DT_U32, DT_U64; see matmul_has() */
    size_t batch, m, n, k;
    const void *a, *b;
    size_t a_row, a_column, b_row, b_column; /* strides, elements */
    const size_t *a_at, *b_at; /* where each product of the batch starts; NULL = all at 0 */
    void *y; /* [batch, m, n] */
    double alpha, beta; /* y = alpha * a * b + beta * c */
    const void *c; /* or NULL; every product's */
    size_t c_row, c_column;
} matmul_call;

bool matmul_has(dtype t);
void matmul(const matmul_call *m, compute *pool);

#endif
