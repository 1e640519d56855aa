/* gemm.h - single-precision matrix products: C = act(alpha * A * B + bias + beta * residual).
 *
 * Operands lie anywhere (any strides, so a transpose is free) or were packed before; a constant operand is packed
 * once, when its model is loaded.  The product is cut into blocks of C, one block per index of compute_for(),
 * and every element is summed in the same order whatever the number of threads.
 * No heap: packing buffers come from the caller's arena.  Sizes are the caller's to check. */
#ifndef TENSOR_GEMM_H
#define TENSOR_GEMM_H
#include "async/compute.h"
#include "base/arena.h"
#include "tensor/activation.h"
#include "tensor/kernel.h"

typedef struct {
    const float *data;
    size_t row, column; /* strides, elements */
    const size_t *batch_at; /* where each product of the batch starts, elements; NULL = all at data */
    bool packed; /* data is what gemm_pack_a() or gemm_pack_b() wrote; strides are unused */
} gemm_matrix;

typedef struct {
    size_t batch, m, n, k; /* batch 0 or m 0 or n 0: nothing is done */
    gemm_matrix a, b; /* [m, k], [k, n] */
    float *c; /* [batch, m, n] */
    size_t c_row, c_batch; /* strides, elements */
    float alpha, beta; /* beta scales the residual */
    const float *bias_row; /* [m] or NULL */
    const float *bias_column; /* [n] or NULL */
    const float *residual; /* [batch, m, n] or NULL; does not overlap c */
    size_t residual_row, residual_batch;
    activation act;
} gemm_call;

/* What gemm_f32() takes from `scratch`, bytes; SIZE_MAX on overflow. */
size_t gemm_scratch(const gemm_call *g, compute *pool);
err_code gemm_f32(const gemm_call *g, const kernel_set *k, compute *pool, arena *scratch, err *e) MUST_USE;

/* Packed operands: the floats they take (SIZE_MAX on overflow), and packing into 64-byte aligned memory. */
size_t gemm_a_room(size_t m, size_t k);
size_t gemm_b_room(size_t k, size_t n);
void gemm_pack_a(float *packed, const gemm_matrix *a, size_t m, size_t k, const kernel_set *ks);
void gemm_pack_b(float *packed, const gemm_matrix *b, size_t k, size_t n, const kernel_set *ks);

/* What a driver of its own (convolution) needs. */
enum { GEMM_K_BLOCK = 384 }; /* a B panel of one k-block, 72 KiB, streams from L2; shorter would re-read C too often */
size_t gemm_k_block(size_t k); /* the even length of the k-blocks of a product */
void gemm_clamp(gemm_block *b, const activation *act); /* low and high; other activations need gemm_activate() */
/* Applies what gemm_clamp() did not to [rows, columns] of c. */
void gemm_activate(const activation *act, float *c, size_t c_row, size_t rows, size_t columns, const kernel_set *k);

/* How batch products of [m, n] are cut into blocks: whole panels, at most GEMM_BLOCK_MAX a side, enough for the
 * threads, and blocks of a side differ by one panel at most: threads that share them end together. */
enum { GEMM_BLOCK_MAX = 576 }; /* a packed operand of one block takes 864 KiB of L2 at most */
typedef struct {
    size_t rows, columns; /* of the largest block: whole panels */
    size_t row_blocks, column_blocks;
    size_t m, n; /* of each product */
} gemm_cut;
typedef struct {
    size_t product; /* of the batch */
    size_t i, j, rows, columns; /* of C; the last block of a side ends with it */
} gemm_piece;
gemm_cut gemm_cut_make(size_t batch, size_t m, size_t n, const compute *pool);
gemm_piece gemm_cut_piece(const gemm_cut *c, size_t index);

/* The pool for work of so many multiply-adds, or NULL when waking a thread would cost more than it brings. */
compute *gemm_pool(compute *pool, size_t batch, size_t m, size_t n, size_t k);

/* Buffers that concurrent indices of one compute_for() share: at most one holder each. */
enum { GEMM_SLOTS_MAX = COMPUTE_THREADS_MAX + 1 };
typedef struct {
    float *memory;
    size_t each, count;
    _Atomic bool taken[GEMM_SLOTS_MAX];
} gemm_slots;
err_code gemm_slots_init(gemm_slots *s, size_t floats, const compute *pool, arena *scratch, err *e) MUST_USE;
size_t gemm_slots_bytes(size_t floats, const compute *pool);   /* what init takes from scratch; SIZE_MAX on overflow */
float *gemm_slots_take(gemm_slots *s, size_t *ret_slot);
void gemm_slots_give(gemm_slots *s, size_t slot);

#endif
