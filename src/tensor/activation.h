/* activation.h - the function that a layer applies to its result before it leaves the registers.
 *
 * The graph's passes fold an activation into the node that feeds it; kernels apply it to the tile they
 * have just computed.  A zero activation is ACT_NONE: nothing is done. */
#ifndef TENSOR_ACTIVATION_H
#define TENSOR_ACTIVATION_H
#include <stddef.h>

typedef enum { ACT_NONE, ACT_RELU, ACT_CLIP, ACT_LEAKY_RELU, ACT_SIGMOID, ACT_TANH, ACT_HARD_SIGMOID, ACT_HARD_SWISH,
               ACT_SILU, ACT_GELU } act_kind;

typedef struct {
    act_kind kind;
    float a, b;                        /* CLIP: low, high; LEAKY_RELU: slope; HARD_SIGMOID: alpha, beta */
} activation;

/* In place, in double precision; float32 has the kernel row act_f32. */
void activation_f64(const activation *act, double *y, size_t n);

#endif
