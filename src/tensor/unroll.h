/* unroll.h - loops over registers, which must be unrolled whole or the registers become memory.
 *
 * EACH() takes a bound that is a constant after inlining, at most 32.  The two pragmas say the same to gcc and to
 * clang. */
#ifndef TENSOR_UNROLL_H
#define TENSOR_UNROLL_H

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif
/* for i in 0 .. n-1 */
#define EACH(i, n) UNROLL for (int i = 0; i < (n); i++)
#define ALWAYS_INLINE static inline __attribute__((always_inline))

#endif
