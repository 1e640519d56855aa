/* kernel_list.h - the one list of kernels: name, result, arguments, and whose version each ISA uses.
 *
 * Everything about kernels is generated from it (see kernel.h).  A family keeps its rows in its own
 * kernel_list_FAMILY.h and its code in kernel_FAMILY_scalar.c, _avx2.c and _avx512.c.  The last two columns say
 * which version the AVX2 and the AVX-512 table hold: an ISA's own, or that of an ISA before it.
 * Names are op_type; n counts elements.
 * Sources and destination may be the same pointer, never partly overlapping, unless a row says otherwise. */
#ifndef TENSOR_KERNEL_LIST_H
#define TENSOR_KERNEL_LIST_H
#include "tensor/kernel_list_conv.h"
#include "tensor/kernel_list_convert.h"
#include "tensor/kernel_list_gemm.h"
#include "tensor/kernel_list_image.h"
#include "tensor/kernel_list_math.h"
#include "tensor/kernel_list_norm.h"

#define KERNEL_LIST(X)     \
    KERNEL_LIST_MATH(X)    \
    KERNEL_LIST_NORM(X)    \
    KERNEL_LIST_CONVERT(X) \
    KERNEL_LIST_GEMM(X)    \
    KERNEL_LIST_CONV(X)    \
    KERNEL_LIST_IMAGE(X)

#endif
