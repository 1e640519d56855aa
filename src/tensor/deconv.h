/* deconv.h - transposed convolution, and the sum of columns back into planes that it is made of.
 *
 * For each image and group one product gives, for each input position, what it adds under every tap of the
 * kernel; those columns are then added up where they land.  In a conv_shape `in` are the positions of the
 * columns and `out` the planes: the pad is what is cut off before.  Sizes are the caller's to check. */
#ifndef TENSOR_DECONV_H
#define TENSOR_DECONV_H
#include "tensor/conv.h"
#include "tensor/gemm.h"

typedef struct {
    const conv_shape *shape;
    const float *x; /* [batch, in_channels, in...] */
    const float *w; /* [in_channels, out_channels / groups, kernel...] */
    const float *bias; /* [out_channels] or NULL */
    float *y; /* [batch, out_channels, out...] */
    activation act;
} deconv_call;

err_code deconv_f32(const deconv_call *c, const kernel_set *k, compute *pool, arena *scratch, err *e) MUST_USE;

typedef struct {
    const conv_shape *shape;
    const double *x, *w, *bias;
    double *y;
    activation act;
} deconv_call_f64;
void deconv_f64(const deconv_call_f64 *c, compute *pool); /* plain loops */

/* Adds columns [kernel taps, positions] of one channel to its plane. */
void columns_add(const conv_shape *s, float *plane, const float *columns);

#endif
