/* half.h - lets an operator that computes in float32 take and give float16 and bfloat16 tensors.
 *
 * Conversions go through the call's scratch memory, which dies with the node; float32 tensors are used where
 * they lie.  Other types are the caller's to refuse (INVARIANT). */
#ifndef ENGINE_HALF_H
#define ENGINE_HALF_H
#include "engine/op.h"

/* float32, float16 or bfloat16 elements as float32; *ret is NULL for an absent input. */
err_code half_in(op_call *c, uint32_t input, const float **ret, err *e) MUST_USE;
/* Where to write output 0 and on: its own data, or scratch that half_done() converts. */
err_code half_out(op_call *c, uint32_t output, float **ret, err *e) MUST_USE;
void half_done(op_call *c, uint32_t output, const float *y);
/* The same for one tensor while a model is prepared: `to` has room for tensor_count(t) elements. */
void half_widen(float *to, const tensor *t, const kernel_set *k);

#endif
