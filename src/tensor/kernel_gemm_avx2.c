/* AVX2 + FMA.  Built with -mavx2 -mfma -mf16c; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/unroll.h"

#include <immintrin.h>
#include <stdint.h>

enum { LANES = 8, STRIP = 4, VECTORS = 3 }; /* 12 accumulators, 3 vectors of B and one scalar: 16 registers */

float dot_f32_avx2(const float *a, const float *b, size_t n)
{
    /* Four accumulators hide the 4-cycle FMA latency; the tail is scalar and at most 31 long. */
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
        s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
        s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
    }
    float lane[8];
    _mm256_storeu_ps(lane, _mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
    float sum = 0;
    for (int k = 0; k < 8; k++) sum += lane[k];
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* The first `lanes` of 8 lanes. */
ALWAYS_INLINE __m256i lane_mask(size_t lanes)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)lanes), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* Up to 8 elements of row i from column j on leave for C. */
ALWAYS_INLINE void store(const gemm_block *g, __m256 v, size_t i, size_t j, __m256i mask)
{
    float *c = g->c + i * g->c_row + j;
    if (g->add) v = _mm256_add_ps(v, _mm256_maskload_ps(c, mask));
    if (g->last) {
        __m256 bias = _mm256_set1_ps(g->bias_row ? g->bias_row[i] : 0.0f);
        if (g->bias_col) bias = _mm256_add_ps(bias, _mm256_maskload_ps(g->bias_col + j, mask));
        v = _mm256_fmadd_ps(v, _mm256_set1_ps(g->alpha), bias);
        if (g->residual)
            v = _mm256_fmadd_ps(_mm256_maskload_ps(g->residual + i * g->residual_row + j, mask),
                                _mm256_set1_ps(g->beta), v);
        /* The second operand comes through when one is NaN. */
        v = _mm256_min_ps(_mm256_set1_ps(g->high), _mm256_max_ps(_mm256_set1_ps(g->low), v));
    }
    _mm256_maskstore_ps(c, mask, v);
}

/* `rows` x `vectors` accumulators at C(i,j); `last` masks the last vector. */
ALWAYS_INLINE void tile(const gemm_block *g, size_t i, size_t j, __m256i last, int rows, int vectors, bool packed)
{
    const size_t a_row = packed ? 1 : g->a_row, a_step = packed ? GEMM_ROWS : g->a_step, b_step = g->b_step;
    const float *a = g->a + i / GEMM_ROWS * g->a_panel + i % GEMM_ROWS * a_row;
    const float *b = g->b + j / GEMM_COLUMNS * g->b_panel + j % GEMM_COLUMNS;
    /* One or two rows alone would wait for each other's sums: neighbours in k go to sums of their own. */
    const int split = rows == 1 ? 4 : rows == 2 ? 2 : 1;
    __m256 acc[STRIP][VECTORS], x[VECTORS];
    size_t p = g->k;
    EACH (r, rows * split)
        EACH (v, vectors) acc[r][v] = _mm256_setzero_ps();
    for (; split > 1 && p >= (size_t)split; p -= (size_t)split)
        EACH (q, split) {
            EACH (v, vectors)
                x[v] = v < vectors - 1 ? _mm256_loadu_ps(b + v * LANES) : _mm256_maskload_ps(b + v * LANES, last);
            EACH (r, rows) {
                __m256 s = _mm256_set1_ps(a[(size_t)r * a_row]);
                EACH (v, vectors) acc[q * rows + r][v] = _mm256_fmadd_ps(s, x[v], acc[q * rows + r][v]);
            }
            a += a_step;
            b += b_step;
        }
    for (; p > 0; p--, a += a_step, b += b_step) {
        EACH (v, vectors)
            x[v] = v < vectors - 1 ? _mm256_loadu_ps(b + v * LANES) : _mm256_maskload_ps(b + v * LANES, last);
        EACH (r, rows) {
            __m256 s = _mm256_set1_ps(a[(size_t)r * a_row]);
            EACH (v, vectors) acc[r][v] = _mm256_fmadd_ps(s, x[v], acc[r][v]);
        }
    }
    EACH (r, rows * (split - 1))
        EACH (v, vectors) acc[r % rows][v] = _mm256_add_ps(acc[r % rows][v], acc[rows + r][v]);
    const __m256i all = _mm256_set1_epi32(-1);
    EACH (r, rows)
        EACH (v, vectors) store(g, acc[r][v], i + (size_t)r, j + (size_t)v * LANES, v < vectors - 1 ? all : last);
}

typedef void tile_fn(const gemm_block *g, size_t i, size_t j, __m256i last);

#define TILE(rows, vectors) \
    static void packed_##rows##x##vectors(const gemm_block *g, size_t i, size_t j, __m256i last) \
    { \
        tile(g, i, j, last, rows, vectors, true); \
    } \
    static void strided_##rows##x##vectors(const gemm_block *g, size_t i, size_t j, __m256i last) \
    { \
        tile(g, i, j, last, rows, vectors, false); \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3)
TILES(1)
TILES(2)
TILES(3)
TILES(4)

#define ROW(kind, rows) \
    { \
        kind##_##rows##x1, kind##_##rows##x2, kind##_##rows##x3 \
    }
#define TABLE(kind) \
    { \
        ROW(kind, 1), ROW(kind, 2), ROW(kind, 3), ROW(kind, 4) \
    }
    static tile_fn *const tiles[2][STRIP][VECTORS] = {TABLE(strided), TABLE(packed)};

void gemm_f32_avx2(const gemm_block *g)
{
    enum { WIDE = LANES * VECTORS }; /* half a panel */
    const bool packed = g->a_row == 1 && g->a_step == GEMM_ROWS;
    for (size_t j = 0; j < g->n; j += WIDE) {
        size_t columns = g->n - j < WIDE ? g->n - j : WIDE, v = (columns - 1) / LANES;
        const __m256i last = lane_mask(columns - v * LANES);
        for (size_t i = 0; i < g->m; i += STRIP) {
            size_t rows = g->m - i < STRIP ? g->m - i : STRIP;
            tiles[packed][rows - 1][v](g, i, j, last);
        }
    }
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
