/* spatial.h - kernel_shape, strides, dilations, pads and auto_pad, which convolutions and pools share.
 *
 * Everything is laid out as depth, height, width; what a lower-dimensional operator lacks is a size of 1.
 * Lists of the wrong length, sizes and steps out of range, and kernels that do not fit their input are refused. */
#ifndef ENGINE_SPATIAL_H
#define ENGINE_SPATIAL_H
#include "engine/op.h"

enum { SPATIAL_MAX = 3 };

typedef enum { PAD_NOTSET, PAD_SAME_UPPER, PAD_SAME_LOWER, PAD_VALID } pad_mode;

/* The attributes as they stand in the node; a count of 0 = absent. */
typedef struct {
    pad_mode mode;
    bool ceil;
    uint32_t kernel_count, stride_count, dilation_count, pad_count;
    const int64_t *kernel, *stride, *dilation, *pad;
} spatial;

/* For one input shape. */
typedef struct {
    uint32_t count; /* real dimensions: 1 to 3 */
    size_t in[SPATIAL_MAX], out[SPATIAL_MAX], kernel[SPATIAL_MAX], stride[SPATIAL_MAX], dilation[SPATIAL_MAX];
    size_t pad[SPATIAL_MAX], pad_end[SPATIAL_MAX];
} spatial_fit;

err_code spatial_read(spatial *ret, const graph *g, const node *n, err *e) MUST_USE;
/* in: [count] input sizes; kernel: [count], or NULL for the attribute.  Sets everything of *ret. */
err_code spatial_of(spatial_fit *ret, const spatial *s, const op_call *c, uint32_t count, const int64_t *in,
                    const int64_t *kernel, err *e) MUST_USE;
/* Only kernel, stride, dilation and explicit pads, for a transposed convolution, which computes its own output. */
err_code spatial_lists(spatial_fit *ret, const spatial *s, const op_call *c, uint32_t count, const int64_t *in,
                       const int64_t *kernel, err *e) MUST_USE;

#endif
