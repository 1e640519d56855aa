/* kernel_list_conv.h - what convolution and pooling do besides multiplying matrices. */
#ifndef TENSOR_KERNEL_LIST_CONV_H
#define TENSOR_KERNEL_LIST_CONV_H
#include <stddef.h>
#include <stdint.h>

/* Lanes lane .. lane+count-1 of a panel's row come from x[at], x[at + stride], ... */
typedef struct {
    uint32_t lane, count;
    size_t at;
} lane_run;

#define KERNEL_LIST_CONV(X)                                                                                           \
    /* name           returns  arguments                                                          avx2  avx512 */     \
    /* panel is [count, 48]; row c is gathered from x + at[c], and is 0 outside the runs, which ascend. */           \
    X(im2col_f32,     void,    (float *panel, const float *x, const size_t *at, size_t count, const lane_run *runs,   \
                                size_t run_count, size_t stride),                                 avx2, avx512)       \
    /* y[r][i] = x[r * x_row + i * stride], stride >= 1; reads nothing after the last of a row. */                   \
    X(every_f32,      void,    (float *y, size_t y_row, const float *x, size_t x_row, size_t stride, size_t rows,     \
                                size_t n),                                                        avx2, avx2)         \
    /* y[r][i] = clamp(bias + sum over t of w[t] * x[r * x_row + at[t] + i]); NaN passes. */                           \
    X(taps_sum_f32,   void,    (const tap_set *t, float *y, const float *x, size_t rows, size_t n), avx2, avx512)  \
    /* y[r][i] = the largest of x[r * x_row + at[t] + i]; NaN when one of them is. */                                 \
    X(taps_max_f32,   void,    (const tap_set *t, float *y, const float *x, size_t rows, size_t n),  avx2, avx512)

/* A window over rows of x: count >= 1 taps.  Max ignores w, bias, low and high. */
typedef struct {
    size_t count;
    const size_t *at;
    const float *w;
    size_t y_row, x_row;
    float bias, low, high;
} tap_set;

#endif
