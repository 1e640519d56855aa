/* unroll.h - loops over registers, which must be unrolled whole or the registers become memory. */
#ifndef TENSOR_UNROLL_H
#define TENSOR_UNROLL_H

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))

#endif
