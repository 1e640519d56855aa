#include "tensor/fft.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

static void multiply(double *x, const double *y)
{
    double re = x[0] * y[0] - x[1] * y[1], im = x[0] * y[1] + x[1] * y[0];
    x[0] = re;
    x[1] = im;
}

static void reverse_bits(double *x, size_t n)
{
    for (size_t i = 1, j = 0; i < n; i++) {
        size_t bit = n >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i >= j) continue;
        double re = x[2 * i], im = x[2 * i + 1];
        x[2 * i] = x[2 * j];
        x[2 * i + 1] = x[2 * j + 1];
        x[2 * j] = re;
        x[2 * j + 1] = im;
    }
}

/* Forward, of m elements. */
static void radix2(const fft *f, double *x)
{
    reverse_bits(x, f->m);
    for (size_t half = 1; half < f->m; half *= 2)
        for (size_t at = 0; at < f->m; at += 2 * half)
            for (size_t i = 0; i < half; i++) {
                double *a = x + 2 * (at + i), *b = a + 2 * half;
                multiply(b, f->twiddle + 2 * (i * (f->m / 2 / half)));
                double re = b[0], im = b[1];
                b[0] = a[0] - re;
                b[1] = a[1] - im;
                a[0] += re;
                a[1] += im;
            }
}

static void conjugate(double *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[2 * i + 1] = -x[2 * i + 1];
}

bool fft_init(fft *f, size_t n, arena *memory)
{
    INVARIANT(n >= 1 && n <= FFT_LENGTH_MAX);
    size_t m = 1;
    while (m < n) m *= 2;
    bool direct = m == n;
    while (!direct && m < 2 * n - 1) m *= 2;
    *f = (fft){.n = n, .m = m};
    double *twiddle = arena_push(memory, m, sizeof(double), 16);
    if (m == 1) twiddle = arena_push(memory, 2, sizeof(double), 16);
    if (!twiddle) return false;
    for (size_t i = 0; i < m / 2; i++) {
        twiddle[2 * i] = cos(2 * pi * (double)i / (double)m);
        twiddle[2 * i + 1] = -sin(2 * pi * (double)i / (double)m);
    }
    f->twiddle = twiddle;
    if (direct) return true;
    double *chirp = arena_push(memory, 2 * n, sizeof(double), 16),
           *filter = arena_push(memory, 2 * m, sizeof(double), 16);
    if (!chirp || !filter) return false;
    for (size_t i = 0; i < n; i++) {
        double angle =
            pi * (double)((uint64_t)i * i % (2 * n)) / (double)n; /* i * i modulo a period keeps the digits */
        chirp[2 * i] = cos(angle);
        chirp[2 * i + 1] = -sin(angle);
        for (size_t at = i; at < m; at = i && at == i ? m - i : m) {
            filter[2 * at] = chirp[2 * i];
            filter[2 * at + 1] = -chirp[2 * i + 1];
        }
    }
    radix2(f, filter);
    f->chirp = chirp;
    f->filter = filter;
    return true;
}

size_t fft_work(const fft *f) { return f->chirp ? 2 * f->m : 0; }

/* x[k] = chirp[k] * sum of (x[i] * chirp[i]) * conj(chirp[k - i]): a circular convolution of m elements. */
static void bluestein(const fft *f, double *x, double *work)
{
    memset(work, 0, 2 * f->m * sizeof *work);
    for (size_t i = 0; i < f->n; i++) {
        memcpy(work + 2 * i, x + 2 * i, 2 * sizeof *x);
        multiply(work + 2 * i, f->chirp + 2 * i);
    }
    radix2(f, work);
    for (size_t i = 0; i < f->m; i++) multiply(work + 2 * i, f->filter + 2 * i);
    conjugate(work, f->m);
    radix2(f, work);
    conjugate(work, f->m);
    for (size_t i = 0; i < f->n; i++) {
        x[2 * i] = work[2 * i] / (double)f->m;
        x[2 * i + 1] = work[2 * i + 1] / (double)f->m;
        multiply(x + 2 * i, f->chirp + 2 * i);
    }
}

void fft_run(const fft *f, double *x, bool inverse, double *work)
{
    if (inverse) conjugate(x, f->n);
    if (f->chirp)
        bluestein(f, x, work);
    else
        radix2(f, x);
    if (!inverse) return;
    conjugate(x, f->n);
    for (size_t i = 0; i < 2 * f->n; i++) x[i] /= (double)f->n;
}
