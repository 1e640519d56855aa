/* AVX2 + FMA.  Built with -mavx2 -mfma -mf16c; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/simd_avx2.h"
#include "tensor/unroll.h"

enum { STRIP = 4, VECTORS = 3 }; /* 12 accumulators, 3 vectors of B and one scalar: 16 registers */
#define EACH_STRIP(X) X(1) X(2) X(3) X(4)
#include "tensor/kernel_gemm_body.h"

void gemm_f32_avx2(const gemm_block *g)
{
    enum { WIDE = V_N * VECTORS }; /* half a panel */
    for (size_t j = 0; j < g->n; j += WIDE) tile_columns(g, j, g->n - j < WIDE ? g->n - j : WIDE, is_packed(g));
}

ALWAYS_INLINE void transpose_8x8(float *y, size_t y_row, const float *x, size_t x_row)
{
    __m256 a[8], b[8];
    EACH (i, 8) a[i] = _mm256_loadu_ps(x + (size_t)i * x_row);
    UNROLL
    for (size_t i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    UNROLL
    for (size_t i = 0; i < 8; i += 4) {
        a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
        a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
        a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
        a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
    }
    EACH (i, 4) {
        _mm256_storeu_ps(y + (size_t)i * y_row, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
        _mm256_storeu_ps(y + ((size_t)i + 4) * y_row, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
    }
}

void transpose_f32_avx2(float *y, size_t y_row, const float *x, size_t x_row, size_t rows, size_t columns)
{
    size_t whole_rows = rows & ~(size_t)7, whole_columns = columns & ~(size_t)7;
    for (size_t j = 0; j < whole_columns; j += 8)
        for (size_t i = 0; i < whole_rows; i += 8) transpose_8x8(y + j * y_row + i, y_row, x + i * x_row + j, x_row);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = i < whole_rows ? whole_columns : 0; j < columns; j++) y[j * y_row + i] = x[i * x_row + j];
}
#endif
