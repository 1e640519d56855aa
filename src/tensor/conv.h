/* conv.h - single-precision convolution, [batch, channels, depth, height, width].
 *
 * Most convolutions are a matrix product: weights [out channels, in channels * taps] packed as A once, and columns
 * of the input gathered straight into the panels of B, block by block, so that the whole matrix of columns never
 * exists. Convolutions with one input channel per group (depthwise) sum shifted rows instead.  One- and two-
 * dimensional input has depth (and height) 1.  Bias, residual and activation are applied on the way out.  Sizes are
 * the caller's to check. */
#ifndef TENSOR_CONV_H
#define TENSOR_CONV_H
#include "async/compute.h"
#include "base/arena.h"
#include "tensor/activation.h"
#include "tensor/kernel.h"

typedef struct {
    size_t spatial; /* dimensions: 1, 2 or 3 */
    size_t batch, groups;
    size_t in_channels, out_channels; /* of all groups */
    size_t in[3], out[3], kernel[3], stride[3], dilation[3];
    size_t pad[3]; /* before; after: as far as `out` reaches */
} conv_shape;

typedef struct {
    const conv_shape *shape;
    const float *x; /* [batch, in_channels, in...] */
    const float *w; /* what conv_pack() wrote */
    const float *bias; /* [out_channels] or NULL */
    const float *residual; /* like y, or NULL; does not overlap y */
    float *y; /* [batch, out_channels, out...] */
    activation act;
} conv_call;

/* Packing depends on groups, channels and kernel only: the spatial sizes may still be unknown.
 * Floats for all weights; SIZE_MAX on overflow. */
size_t conv_room(const conv_shape *s);
void conv_pack(float *packed, const float *w, const conv_shape *s,
               const kernel_set *k); /* w: [out_channels, in_channels / groups, kernel...] */
err_code conv_f32(const conv_call *c, const kernel_set *k, compute *pool, arena *scratch, err *e) MUST_USE;

/* Double precision, plain loops; w as the model has it: [out_channels, in_channels / groups, kernel...]. */
typedef struct {
    const conv_shape *shape;
    const double *x, *w, *bias, *residual;
    double *y;
    activation act;
} conv_call_f64;
void conv_f64(const conv_call_f64 *c, compute *pool);

const char *conv_method(const conv_shape *s); /* "depthwise", "pointwise" or "columns", for `model inspect` */

#endif
