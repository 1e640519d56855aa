/* AVX-512.  Built with -mavx512{f,bw,vl,dq} -mfma; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/unroll.h"

#include <immintrin.h>

enum { LANES = 16, VECTORS = GEMM_COLUMNS / LANES, PIECES = GEMM_COLUMNS + VECTORS };

/* A run cut at the edges of registers: the lanes of `mask` in register `vector` load from x + at, as if all 16 did. */
typedef struct {
    ptrdiff_t at;
    __mmask16 mask;
} piece;

typedef struct {
    piece all[VECTORS][LANES];
    size_t count[VECTORS];
} pieces;

ALWAYS_INLINE __mmask16 lanes_from(size_t first, size_t end)
{
    return (__mmask16)((0xffffu << first) & ~(0xffffffffu << end));
}

static void cut_runs(pieces *p, const lane_run *runs, size_t run_count)
{
    for (size_t v = 0; v < VECTORS; v++) p->count[v] = 0;
    for (size_t r = 0; r < run_count; r++)
        for (size_t lane = runs[r].lane, end = lane + runs[r].count; lane < end;) {
            size_t v = lane / LANES, stop = (v + 1) * LANES < end ? (v + 1) * LANES : end;
            p->all[v][p->count[v]++] =
                (piece){.at = (ptrdiff_t)runs[r].at - (ptrdiff_t)runs[r].lane + (ptrdiff_t)(v * LANES),
                        .mask = lanes_from(lane - v * LANES, stop - v * LANES)};
            lane = stop;
        }
}

static void im2col_whole(float *panel, const float *x, const size_t *at, size_t count)
{
    for (size_t c = 0; c < count; c++, panel += GEMM_COLUMNS)
        EACH (v, VECTORS) _mm512_storeu_ps(panel + v * LANES, _mm512_loadu_ps(x + at[c] + v * LANES));
}

static void im2col_dense(float *panel, const float *x, const size_t *at, size_t count, const lane_run *runs,
                         size_t run_count)
{
    pieces p;
    cut_runs(&p, runs, run_count);
    for (size_t v = 0; v < VECTORS; v++) {
        const piece *q = p.all[v], *end = q + p.count[v];
        float *y = panel + v * LANES;
        for (size_t c = 0; c < count; c++, y += GEMM_COLUMNS) {
            const float *from = x + at[c];
            __m512 row = _mm512_setzero_ps();
            for (const piece *i = q; i < end; i++) /* as many as cut_runs() wrote, which the analyzer loses */
                /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
                row = _mm512_mask_loadu_ps(row, i->mask, from + i->at);
            _mm512_storeu_ps(y, row);
        }
    }
}

static void im2col_strided(float *panel, const float *x, const size_t *at, size_t count, const lane_run *runs,
                           size_t run_count, size_t stride)
{
    /* Offsets are relative to the first run, so that 32 bits hold them for any plane of less than 2^31 elements. */
    int32_t lane_at[GEMM_COLUMNS] = {0};
    uint64_t mask = 0;
    size_t base = run_count ? runs[0].at : 0;
    for (size_t r = 0; r < run_count; r++)
        for (size_t i = 0; i < runs[r].count; i++) {
            lane_at[runs[r].lane + i] = (int32_t)(runs[r].at - base + i * stride);
            mask |= (uint64_t)1 << (runs[r].lane + i);
        }
    for (size_t v = 0; v < VECTORS; v++) {
        __m512i index = _mm512_loadu_si512(lane_at + v * LANES);
        __mmask16 m = (__mmask16)(mask >> (v * LANES));
        float *y = panel + v * LANES;
        for (size_t c = 0; c < count; c++, y += GEMM_COLUMNS)
            _mm512_storeu_ps(y, _mm512_mask_i32gather_ps(_mm512_setzero_ps(), m, index, x + at[c] + base, 4));
    }
}

void im2col_f32_avx512(float *panel, const float *x, const size_t *at, size_t count, const lane_run *runs,
                       size_t run_count, size_t stride)
{
    if (stride != 1)
        im2col_strided(panel, x, at, count, runs, run_count, stride);
    else if (run_count == 1 && runs[0].count == GEMM_COLUMNS)
        im2col_whole(panel, x + runs[0].at, at, count);
    else
        im2col_dense(panel, x, at, count, runs, run_count);
}

/* rows x vectors registers of y at x; `last` masks the last vector of each row. */
ALWAYS_INLINE void sum_block(const tap_set *t, float *y, const float *x, int rows, int vectors, __mmask16 last)
{
    __m512 acc[4][4];
    EACH (r, rows)
        EACH (v, vectors) acc[r][v] = _mm512_set1_ps(t->bias);
    for (size_t q = 0; q < t->count; q++) {
        __m512 w = _mm512_set1_ps(t->w[q]);
        const float *from = x + t->at[q];
        EACH (r, rows)
            EACH (v, vectors)
                acc[r][v] = _mm512_fmadd_ps(
                    _mm512_maskz_loadu_ps(v < vectors - 1 ? 0xffff : last, from + (size_t)r * t->x_row + v * LANES), w,
                    acc[r][v]);
    }
    const __m512 low = _mm512_set1_ps(t->low), high = _mm512_set1_ps(t->high);
    EACH (r, rows)
        EACH (v, vectors)
            _mm512_mask_storeu_ps(y + (size_t)r * t->y_row + v * LANES, v < vectors - 1 ? 0xffff : last,
                                  _mm512_min_ps(high, _mm512_max_ps(low, acc[r][v])));
}

/* vmaxps gives its second operand when one is NaN: a NaN that came before is put back. */
ALWAYS_INLINE __m512 max_nan(__m512 best, __m512 v)
{
    __mmask16 was_nan = _mm512_cmp_ps_mask(best, best, _CMP_UNORD_Q);
    return _mm512_mask_mov_ps(_mm512_max_ps(best, v), was_nan, best);
}

ALWAYS_INLINE void max_block(const tap_set *t, float *y, const float *x, int rows, int vectors, __mmask16 last)
{
    __m512 acc[4][4];
    EACH (r, rows)
        EACH (v, vectors)
            acc[r][v] =
                _mm512_maskz_loadu_ps(v < vectors - 1 ? 0xffff : last, x + t->at[0] + (size_t)r * t->x_row + v * LANES);
    for (size_t q = 1; q < t->count; q++) {
        const float *from = x + t->at[q];
        EACH (r, rows)
            EACH (v, vectors)
                acc[r][v] = max_nan(acc[r][v], _mm512_maskz_loadu_ps(v < vectors - 1 ? 0xffff : last,
                                                                     from + (size_t)r * t->x_row + v * LANES));
    }
    EACH (r, rows)
        EACH (v, vectors)
            _mm512_mask_storeu_ps(y + (size_t)r * t->y_row + v * LANES, v < vectors - 1 ? 0xffff : last, acc[r][v]);
}

/* Wide rows go by four registers, narrow ones by four rows. */
#define OVER_ROWS(block) \
    size_t r = 0, wide = n & ~(size_t)(4 * LANES - 1); \
    for (size_t i = 0; i < wide; i += 4 * LANES) \
        for (r = 0; r < rows; r++) block(t, y + r * t->y_row + i, x + r * t->x_row + i, 1, 4, 0xffff); \
    for (size_t i = wide; i < n; i += LANES) { \
        __mmask16 last = (__mmask16)(n - i < LANES ? (1u << (n - i)) - 1 : 0xffffu); \
        for (r = 0; r + 4 <= rows; r += 4) block(t, y + r * t->y_row + i, x + r * t->x_row + i, 4, 1, last); \
        for (; r < rows; r++) block(t, y + r * t->y_row + i, x + r * t->x_row + i, 1, 1, last); \
    }

void taps_sum_f32_avx512(const tap_set *t, float *y, const float *x, size_t rows, size_t n) { OVER_ROWS(sum_block) }

void taps_max_f32_avx512(const tap_set *t, float *y, const float *x, size_t rows, size_t n) { OVER_ROWS(max_block) }
#endif
