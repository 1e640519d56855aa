/* Elementwise kernels for avx2; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/simd_avx2.h"

#include "tensor/kernel_math_body.h"
#endif
