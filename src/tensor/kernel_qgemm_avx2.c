/* AVX2 integers.  Built with -mavx2 -mfma -mf16c; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/simd_avx2.h"
#include "tensor/unroll.h"

enum { STRIP = 4, VECTORS = 3 }; /* half a panel of B at a time, as in kernel_gemm_avx2.c */
#define EACH_STRIP(X) X(1) X(2) X(3) X(4)
#include "tensor/kernel_qgemm_body.h"
#endif
