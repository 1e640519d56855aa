/* AVX2 + FMA.  Built with -mavx2 -mfma -mf16c; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/unroll.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 8, VECTORS = GEMM_COLUMNS / LANES };

ALWAYS_INLINE __m256i lanes_from(size_t first, size_t end)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)first), lane),
                               _mm256_cmpgt_epi32(_mm256_set1_epi32((int)end), lane));
}

static void im2col_strided(float *panel, const float *x, const size_t *at, size_t count, const lane_run *runs,
                           size_t run_count, size_t stride)
{
    memset(panel, 0, count * GEMM_COLUMNS * sizeof *panel);
    for (size_t c = 0; c < count; c++, panel += GEMM_COLUMNS)
        for (size_t r = 0; r < run_count; r++) {
            const float *from = x + at[c] + runs[r].at;
            float *y = panel + runs[r].lane;
            for (size_t i = 0; i < runs[r].count; i++) y[i] = from[i * stride];
        }
}

void im2col_f32_avx2(float *panel, const float *x, const size_t *at, size_t count, const lane_run *runs,
                     size_t run_count, size_t stride)
{
    if (stride != 1) {
        im2col_strided(panel, x, at, count, runs, run_count, stride);
        return;
    }
    /* A run cut at the edges of registers: the lanes of its mask load from x + at, as if all 8 did. */
    struct {
        ptrdiff_t at;
        __m256i mask;
    } piece[VECTORS][LANES];
    size_t pieces[VECTORS] = {0};
    for (size_t r = 0; r < run_count; r++)
        for (size_t lane = runs[r].lane, end = lane + runs[r].count; lane < end;) {
            size_t v = lane / LANES, stop = (v + 1) * LANES < end ? (v + 1) * LANES : end, i = pieces[v]++;
            piece[v][i].at = (ptrdiff_t)runs[r].at - (ptrdiff_t)runs[r].lane + (ptrdiff_t)(v * LANES);
            piece[v][i].mask = lanes_from(lane - v * LANES, stop - v * LANES);
            lane = stop;
        }
    for (size_t v = 0; v < VECTORS; v++) {
        float *y = panel + v * LANES;
        for (size_t c = 0; c < count; c++, y += GEMM_COLUMNS) {
            const float *from = x + at[c];
            __m256 row = _mm256_setzero_ps();
            for (size_t i = 0; i < pieces[v]; i++) /* as many as were written above, which the analyzer loses */
                /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
                row = _mm256_or_ps(row, _mm256_maskload_ps(from + piece[v][i].at, piece[v][i].mask));
            _mm256_storeu_ps(y, row);
        }
    }
}

static void copy_row(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) _mm256_storeu_ps(y + i, _mm256_loadu_ps(x + i));
    __m256i last = lanes_from(0, n - i);
    if (i < n) _mm256_maskstore_ps(y + i, last, _mm256_maskload_ps(x + i, last));
}

static void halve_row(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + LANES < n; i += LANES) { /* < : the last odd element need not exist */
        __m256 even = _mm256_shuffle_ps(_mm256_loadu_ps(x + 2 * i), _mm256_loadu_ps(x + 2 * i + LANES), 0x88);
        _mm256_storeu_ps(y + i, _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(even), 0xd8)));
    }
    for (; i < n; i++) y[i] = x[2 * i];
}

void every_f32_avx2(float *y, size_t y_row, const float *x, size_t x_row, size_t stride, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++, y += y_row, x += x_row) {
        if (stride == 1)
            copy_row(y, x, n);
        else if (stride == 2)
            halve_row(y, x, n);
        else
            for (size_t i = 0; i < n; i++) y[i] = x[i * stride];
    }
}

ALWAYS_INLINE __m256 load(const float *x, bool whole, __m256i last)
{
    return whole ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, last);
}

/* rows x vectors registers of y at x; `last` masks the last vector of each row. */
ALWAYS_INLINE void sum_block(const tap_set *t, float *y, const float *x, int rows, int vectors, __m256i last)
{
    __m256 acc[4][4];
    EACH (r, rows)
        EACH (v, vectors) acc[r][v] = _mm256_set1_ps(t->bias);
    for (size_t q = 0; q < t->count; q++) {
        __m256 w = _mm256_set1_ps(t->w[q]);
        const float *from = x + t->at[q];
        EACH (r, rows)
            EACH (v, vectors)
                acc[r][v] =
                    _mm256_fmadd_ps(load(from + (size_t)r * t->x_row + v * LANES, v < vectors - 1, last), w, acc[r][v]);
    }
    const __m256 low = _mm256_set1_ps(t->low), high = _mm256_set1_ps(t->high);
    EACH (r, rows)
        EACH (v, vectors)
            _mm256_maskstore_ps(y + (size_t)r * t->y_row + v * LANES, v < vectors - 1 ? _mm256_set1_epi32(-1) : last,
                                _mm256_min_ps(high, _mm256_max_ps(low, acc[r][v])));
}

/* vmaxps gives its second operand when one is NaN: a NaN that came before is put back. */
ALWAYS_INLINE __m256 max_nan(__m256 best, __m256 v)
{
    return _mm256_blendv_ps(_mm256_max_ps(best, v), best, _mm256_cmp_ps(best, best, _CMP_UNORD_Q));
}

ALWAYS_INLINE void max_block(const tap_set *t, float *y, const float *x, int rows, int vectors, __m256i last)
{
    __m256 acc[4][4];
    EACH (r, rows)
        EACH (v, vectors) acc[r][v] = load(x + t->at[0] + (size_t)r * t->x_row + v * LANES, v < vectors - 1, last);
    for (size_t q = 1; q < t->count; q++) {
        const float *from = x + t->at[q];
        EACH (r, rows)
            EACH (v, vectors)
                acc[r][v] = max_nan(acc[r][v], load(from + (size_t)r * t->x_row + v * LANES, v < vectors - 1, last));
    }
    EACH (r, rows)
        EACH (v, vectors)
            _mm256_maskstore_ps(y + (size_t)r * t->y_row + v * LANES, v < vectors - 1 ? _mm256_set1_epi32(-1) : last,
                                acc[r][v]);
}

/* Wide rows go by four registers, narrow ones by four rows. */
#define OVER_ROWS(block) \
    const __m256i all = _mm256_set1_epi32(-1); \
    size_t r = 0, wide = n & ~(size_t)(4 * LANES - 1); \
    for (size_t i = 0; i < wide; i += 4 * LANES) \
        for (r = 0; r < rows; r++) block(t, y + r * t->y_row + i, x + r * t->x_row + i, 1, 4, all); \
    for (size_t i = wide; i < n; i += LANES) { \
        __m256i last = lanes_from(0, n - i < LANES ? n - i : LANES); \
        for (r = 0; r + 4 <= rows; r += 4) block(t, y + r * t->y_row + i, x + r * t->x_row + i, 4, 1, last); \
        for (; r < rows; r++) block(t, y + r * t->y_row + i, x + r * t->x_row + i, 1, 1, last); \
    }

void taps_sum_f32_avx2(const tap_set *t, float *y, const float *x, size_t rows, size_t n) { OVER_ROWS(sum_block) }

void taps_max_f32_avx2(const tap_set *t, float *y, const float *x, size_t rows, size_t n) { OVER_ROWS(max_block) }
#endif
