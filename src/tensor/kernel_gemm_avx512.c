/* AVX-512.  Built with -mavx512{f,bw,vl,dq} -mfma; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/unroll.h"

#include <immintrin.h>

enum { LANES = 16, STRIP = 8, VECTORS = GEMM_COLUMNS / LANES, NARROW = 8 };

float dot_f32_avx512(const float *a, const float *b, size_t n)
{
    /* Four accumulators hide the 4-cycle latency of the multiply-add. */
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
        s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
        s2 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32), s2);
        s3 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48), s3);
    }
    for (; i < n; i += LANES) {
        __mmask16 m = (__mmask16)(n - i < LANES ? (1u << (n - i)) - 1 : 0xffffu);
        s0 = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, a + i), _mm512_maskz_loadu_ps(m, b + i), s0);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3)));
}

/* Up to 16 elements of row i from column j on leave for C. */
ALWAYS_INLINE void store(const gemm_block *g, __m512 v, size_t i, size_t j, __mmask16 mask)
{
    float *c = g->c + i * g->c_row + j;
    if (g->add) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, c));
    if (g->last) {
        __m512 bias = _mm512_set1_ps(g->bias_row ? g->bias_row[i] : 0.0f);
        if (g->bias_col) bias = _mm512_add_ps(bias, _mm512_maskz_loadu_ps(mask, g->bias_col + j));
        v = _mm512_fmadd_ps(v, _mm512_set1_ps(g->alpha), bias);
        if (g->residual)
            v = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, g->residual + i * g->residual_row + j),
                                _mm512_set1_ps(g->beta), v);
        /* The second operand comes through when one is NaN. */
        v = _mm512_min_ps(_mm512_set1_ps(g->high), _mm512_max_ps(_mm512_set1_ps(g->low), v));
    }
    _mm512_mask_storeu_ps(c, mask, v);
}

/* `rows` x `vectors` accumulators at C(i,j); `last` masks the last vector. */
ALWAYS_INLINE void tile(const gemm_block *g, size_t i, size_t j, __mmask16 last, int rows, int vectors, bool packed)
{
    const size_t a_row = packed ? 1 : g->a_row, a_step = packed ? GEMM_ROWS : g->a_step, b_step = g->b_step;
    const float *a = g->a + i / GEMM_ROWS * g->a_panel + i % GEMM_ROWS * a_row;
    const float *b = g->b + j / GEMM_COLUMNS * g->b_panel + j % GEMM_COLUMNS;
    /* One or two rows alone would wait for each other's sums: neighbours in k go to sums of their own. */
    const int split = rows == 1 ? 4 : rows == 2 ? 2 : 1;
    __m512 acc[STRIP][VECTORS], x[VECTORS];
    size_t p = g->k;
    EACH (r, rows * split)
        EACH (v, vectors) acc[r][v] = _mm512_setzero_ps();
    for (; split > 1 && p >= (size_t)split; p -= (size_t)split)
        EACH (q, split) {
            EACH (v, vectors)
                x[v] = v < vectors - 1 ? _mm512_loadu_ps(b + v * LANES) : _mm512_maskz_loadu_ps(last, b + v * LANES);
            EACH (r, rows) {
                __m512 s = _mm512_set1_ps(a[(size_t)r * a_row]);
                EACH (v, vectors) acc[q * rows + r][v] = _mm512_fmadd_ps(s, x[v], acc[q * rows + r][v]);
            }
            a += a_step;
            b += b_step;
        }
    for (; p > 0; p--, a += a_step, b += b_step) {
        EACH (v, vectors)
            x[v] = v < vectors - 1 ? _mm512_loadu_ps(b + v * LANES) : _mm512_maskz_loadu_ps(last, b + v * LANES);
        EACH (r, rows) {
            __m512 s = _mm512_set1_ps(a[(size_t)r * a_row]);
            EACH (v, vectors) acc[r][v] = _mm512_fmadd_ps(s, x[v], acc[r][v]);
        }
    }
    EACH (r, rows * (split - 1))
        EACH (v, vectors) acc[r % rows][v] = _mm512_add_ps(acc[r % rows][v], acc[rows + r][v]);
    EACH (r, rows)
        EACH (v, vectors) store(g, acc[r][v], i + (size_t)r, j + (size_t)v * LANES, v < vectors - 1 ? 0xffff : last);
}

typedef void tile_fn(const gemm_block *g, size_t i, size_t j, __mmask16 last);

#define TILE(rows, vectors) \
    static void packed_##rows##x##vectors(const gemm_block *g, size_t i, size_t j, __mmask16 last) \
    { \
        tile(g, i, j, last, rows, vectors, true); \
    } \
    static void strided_##rows##x##vectors(const gemm_block *g, size_t i, size_t j, __mmask16 last) \
    { \
        tile(g, i, j, last, rows, vectors, false); \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3)
TILES(1)
TILES(2)
TILES(3)
TILES(4) TILES(5) TILES(6) TILES(7) TILES(8)

#define ROW(kind, rows) \
    { \
        kind##_##rows##x1, kind##_##rows##x2, kind##_##rows##x3 \
    }
#define TABLE(kind) \
    { \
        ROW(kind, 1), ROW(kind, 2), ROW(kind, 3), ROW(kind, 4), ROW(kind, 5), ROW(kind, 6), ROW(kind, 7), ROW(kind, 8) \
    }
    static tile_fn *const tiles[2][STRIP][VECTORS] = {TABLE(strided), TABLE(packed)};

/* A few columns of C: lanes run down the rows of A's panels, so that no lane is idle. */
ALWAYS_INLINE void narrow(const gemm_block *g, size_t i, size_t j, int panels, int columns)
{
    const float *a = g->a + i / GEMM_ROWS * g->a_panel;
    const float *b = g->b + j / GEMM_COLUMNS * g->b_panel + j % GEMM_COLUMNS;
    __m512 acc[4][NARROW], x[4];
    EACH (q, panels)
        EACH (c, columns) acc[q][c] = _mm512_setzero_ps();
    for (size_t p = g->k; p > 0; p--, a += GEMM_ROWS, b += g->b_step) {
        EACH (q, panels) x[q] = _mm512_loadu_ps(a + (size_t)q * g->a_panel);
        EACH (c, columns) {
            __m512 s = _mm512_set1_ps(b[c]);
            EACH (q, panels) acc[q][c] = _mm512_fmadd_ps(x[q], s, acc[q][c]);
        }
    }
    float out[4][NARROW][LANES];
    EACH (q, panels)
        EACH (c, columns) _mm512_storeu_ps(out[q][c], acc[q][c]);
    size_t rows = g->m - i < (size_t)panels * LANES ? g->m - i : (size_t)panels * LANES;
    const __m512i column =
        _mm512_mullo_epi32(_mm512_set1_epi32(LANES), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0));
    __mmask16 mask = (__mmask16)((1u << columns) - 1);
    for (size_t r = 0; r < rows; r++) {
        __m512 v = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), mask, column, &out[r / LANES][0][r % LANES], 4);
        store(g, v, i + r, j, mask);
    }
}

typedef void narrow_fn(const gemm_block *g, size_t i, size_t j);
#define NARROWS(columns, panels) \
    static void wide_narrow_##columns(const gemm_block *g, size_t i, size_t j) { narrow(g, i, j, panels, columns); } \
    static void one_narrow_##columns(const gemm_block *g, size_t i, size_t j) { narrow(g, i, j, 1, columns); }
NARROWS(1, 4)
NARROWS(2, 4) NARROWS(3, 4) NARROWS(4, 4) NARROWS(5, 2) NARROWS(6, 2) NARROWS(7, 2) NARROWS(8, 2) static const struct {
    size_t panels;
    narrow_fn *wide, *one;
} narrows[NARROW] = {{4, wide_narrow_1, one_narrow_1}, {4, wide_narrow_2, one_narrow_2},
                     {4, wide_narrow_3, one_narrow_3}, {4, wide_narrow_4, one_narrow_4},
                     {2, wide_narrow_5, one_narrow_5}, {2, wide_narrow_6, one_narrow_6},
                     {2, wide_narrow_7, one_narrow_7}, {2, wide_narrow_8, one_narrow_8}};

static void narrow_panel(const gemm_block *g, size_t j, size_t columns)
{
    size_t wide = narrows[columns - 1].panels * GEMM_ROWS, i = 0;
    for (; i + wide <= g->m; i += wide) narrows[columns - 1].wide(g, i, j);
    for (; i < g->m; i += GEMM_ROWS) narrows[columns - 1].one(g, i, j);
}

void gemm_f32_avx512(const gemm_block *g)
{
    const bool packed = g->a_row == 1 && g->a_step == GEMM_ROWS;
    for (size_t j = 0; j < g->n; j += GEMM_COLUMNS) {
        size_t columns = g->n - j < GEMM_COLUMNS ? g->n - j : GEMM_COLUMNS, v = (columns - 1) / LANES;
        if (packed && columns <= NARROW && g->m >= STRIP) {
            narrow_panel(g, j, columns);
            continue;
        }
        __mmask16 last = (__mmask16)(0xffffu >> (LANES * (v + 1) - columns));
        for (size_t i = 0; i < g->m; i += STRIP) {
            size_t rows = g->m - i < STRIP ? g->m - i : STRIP;
            tiles[packed][rows - 1][v](g, i, j, last);
        }
    }
}
#endif
