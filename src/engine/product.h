/* product.h - NumPy's rules for a product of two tensors, as matrices with a common batch.
 *
 * A vector is a matrix of one row (on the left) or one column (on the right).  Leading dimensions are broadcast.
 * Operands that do not fit, and more than UINT32_MAX products, are refused with a message that names the node. */
#ifndef ENGINE_PRODUCT_H
#define ENGINE_PRODUCT_H
#include "engine/op.h"

typedef struct {
    size_t m, n, k, batch;
    shape lead; /* the batch dimensions, broadcast */
    shape lead_a, lead_b; /* those of each operand */
    shape y;
} product;

/* Of two inputs of the node; ERR_INVALID names both shapes when they do not fit. */
err_code product_of(const op_call *c, uint32_t left, uint32_t right, product *ret, err *e) MUST_USE;
/* Where each matrix of the batch starts in an operand with batch dimensions `lead` and `matrix` elements each; NULL
 * when there is only one.  The list lies in the call's scratch. */
err_code product_starts(op_call *c, const product *p, const shape *lead, size_t matrix, const size_t **ret,
                        err *e) MUST_USE;
err_code product_mismatch(const op_call *c, const shape *a, const shape *b, err *e);

#endif
