/* kernel_decl.h - prototypes of every version of every kernel, for the kernel_*.c files and kernel.c only.
 *
 * All other code calls kernels through a kernel_set: a direct call would bypass PROA_CPU, and run instructions
 * that the machine may not have. */
#ifndef TENSOR_KERNEL_DECL_H
#define TENSOR_KERNEL_DECL_H
#include "tensor/kernel_list.h"

/* A row whose AVX2 or AVX-512 column names an older ISA declares that one twice, which C allows. */
#define X(name, ret, args, on_avx2, on_avx512) \
    ret name##_scalar args;                    \
    ret name##_##on_avx2 args;                 \
    ret name##_##on_avx512 args;
KERNEL_LIST(X)
#undef X

#endif
