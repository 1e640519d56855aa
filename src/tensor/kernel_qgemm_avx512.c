/* AVX-512 integers.  Built with -mavx512{f,bw,vl,dq} -mfma; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/simd_avx512.h"
#include "tensor/unroll.h"

enum { STRIP = 8, VECTORS = GEMM_COLUMNS / V_N };
#define EACH_STRIP(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#include "tensor/kernel_qgemm_body.h"
#endif
