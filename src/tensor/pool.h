/* pool.h - maximum, average and Lp pooling over windows of planes.
 *
 * float32 planes of one or two dimensions go through window.h and the vector kernels; everything else (three
 * dimensions, other types, positions of the maxima, very large windows) through plain loops.  A window cell outside the
 * input is never a maximum and adds nothing; whether it counts for an average is the caller's choice. */
#ifndef TENSOR_POOL_H
#define TENSOR_POOL_H
#include "async/compute.h"
#include "base/arena.h"
#include "tensor/kernel.h"

/* Depth, height, width. */
typedef struct {
    size_t planes; /* batch times channels */
    size_t in[3], out[3], kernel[3], stride[3], dilation[3];
    size_t pad[3], pad_end[3];
} pool_shape;

typedef enum { POOL_MAX, POOL_AVERAGE, POOL_LP } pool_kind;

typedef struct {
    pool_kind kind;
    const pool_shape *shape;
    dtype type; /* see pool_has() */
    const void *x;
    void *y;
    int64_t *index; /* MAX: where each maximum is in x, or NULL */
    bool column_major; /* index counts the rows of a plane first */
    bool count_pad; /* AVERAGE: cells of the padding count */
    int64_t p; /* LP */
} pool_call;

bool pool_has(pool_kind kind, dtype type);
err_code pool_run(const pool_call *c, const kernel_set *k, compute *pool, arena *scratch, err *e) MUST_USE;

#endif
