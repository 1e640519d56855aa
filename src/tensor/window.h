/* window.h - a sliding window over one plane, turned into plain sums over shifted rows.
 *
 * The plane is copied once with its padding, split by the phase of the stride, so that every tap of the window is
 * the same distance from the output position in memory whatever the stride and the dilation:
 *
 *   stride 2, columns  p p 0 1 2 3 4 5 p      ->  phase 0: p 0 2 4 p    phase 1: p 1 3 5
 *   tap kw reads padded column ow * 2 + kw    ->  phase kw % 2, index ow + kw / 2
 *
 * Depthwise convolution and pooling are then one vector kernel each, for any window. */
#ifndef TENSOR_WINDOW_H
#define TENSOR_WINDOW_H
#include "tensor/kernel.h"

enum { WINDOW_TAPS_MAX = 256 }; /* larger windows take a slow path of their own */

/* Height, width. */
typedef struct {
    size_t in[2], out[2], kernel[2], stride[2], dilation[2];
    size_t pad[2]; /* before; what lies after is padding as far as the outputs reach */
} window_shape;

typedef struct {
    window_shape s;
    size_t rows, pitch; /* of one phase's plane */
    size_t floats; /* of the whole buffer */
    size_t tap_count;
    size_t
        at[WINDOW_TAPS_MAX]; /* of each tap, from the position of output (0,0); output (i,j) is i * pitch + j further */
} window;

/* False when the window has too many taps or the buffer's size overflows.  All sizes are at least 1. */
bool window_init(window *w, const window_shape *s) MUST_USE;
/* Copies a plane into buffer[w->floats] with `fill` around it, from output row `row` on: the s.out[0] rows that w was
 * made for may be a strip of a larger output. */
void window_load(const window *w, float *buffer, const float *plane, size_t row, float fill, const kernel_set *k);

#endif
