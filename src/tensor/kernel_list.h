/* kernel_list.h - the one list of kernels: name, result, arguments.
 *
 * Everything about kernels is generated from it (see kernel.h).  Names are op_type; n counts elements.
 * Sources and destination may be the same pointer, never partly overlapping, unless a row says otherwise. */
#ifndef TENSOR_KERNEL_LIST_H
#define TENSOR_KERNEL_LIST_H
#include <stddef.h>
#include <stdint.h>

#define KERNEL_LIST(X)                                                                      \
    /* name        returns  arguments */                                                    \
    X(add_f32,     void,    (float *y, const float *a, const float *b, size_t n))           \
    X(dot_f32,     float,   (const float *a, const float *b, size_t n))

#endif
