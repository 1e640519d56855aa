/* op_real.h - lets an operator compute in float32 (float32, float16, bfloat16) or in double (float64).
 *
 * Which of the two follows from input 0.  Tensors of that type are used where they lie, others are converted
 * through the call's scratch memory, which dies with the node.  half.h is the same for operators without float64. */
#ifndef ENGINE_OP_REAL_H
#define ENGINE_OP_REAL_H
#include "engine/op_each.h"

typedef struct {
    op_call *call;
    const kernel_set *k;
    bool wide;           /* double; else float */
} real;

real real_of(op_call *c);
/* An input of any float type, dense; *ret is NULL for an absent one. */
err_code real_in(const real *r, uint32_t input, const void **ret, err *e) MUST_USE;
/* The same, repeated to the shape `as` that it broadcasts to; ERR_INVALID where it does not. */
err_code real_broadcast(const real *r, uint32_t input, const shape *as, const void **ret, err *e) MUST_USE;
err_code real_out(const real *r, uint32_t output, void **ret, err *e) MUST_USE;
void real_done(const real *r, uint32_t output, const void *y);     /* into the tensor, where y is not its memory */
err_code real_room(const real *r, uint64_t count, void **ret, err *e) MUST_USE;

const void *real_at(const real *r, const void *p, uint64_t i);     /* element i */
double real_get(const real *r, const void *p, uint64_t i);
void real_put(const real *r, void *p, uint64_t i, double v);

/* Rows; y may be x. */
void real_moments(const real *r, const void *x, size_t n, double *ret_mean, double *ret_var);
double real_sumsq(const real *r, const void *x, size_t n);
void real_scale_shift(const real *r, void *y, const void *x, double scale, double shift, size_t n);
/* (x - mean) * rstd * scale[i] + bias[i]; scale and bias may be NULL. */
typedef struct {
    double mean, rstd;
    const void *scale, *bias;
} affine;
void real_affine(const real *r, void *y, const void *x, const affine *a, size_t n);

#endif
