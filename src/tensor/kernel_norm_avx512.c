/* Row kernels for avx512; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/simd_avx512.h"

#include "tensor/kernel_norm_body.h"
#endif
