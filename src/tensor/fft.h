/* fft.h - the discrete Fourier transform of any length, double precision.
 *
 * Lengths that are powers of two go by the radix-2 algorithm; others become a convolution of such a length (Bluestein).
 * A plan is made once in the caller's arena and may then be used by several threads, each with its own work memory. */
#ifndef TENSOR_FFT_H
#define TENSOR_FFT_H
#include "base/arena.h"

enum { FFT_LENGTH_MAX = 1 << 26 }; /* keeps every size here far from overflow */

typedef struct {
    size_t n;
    size_t m; /* the power of two that is transformed: n itself, or at least 2 * n - 1 */
    const double *twiddle; /* [m / 2] complex */
    const double *chirp; /* [n] complex, Bluestein only */
    const double *filter; /* [m] complex, Bluestein only: the transformed chirp */
} fft;

/* n 1 to FFT_LENGTH_MAX; false when the arena is full. */
bool fft_init(fft *f, size_t n, arena *memory) MUST_USE;
size_t fft_work(const fft *f); /* doubles of work memory */
/* In place: x is [n] complex, real and imaginary part side by side.  The inverse is divided by n. */
void fft_run(const fft *f, double *x, bool inverse, double *work);

#endif
