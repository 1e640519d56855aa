/* AVX-512 integers.  Built with -mavx512{f,bw,vl,dq} -mfma; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/unroll.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 16, STRIP = 8, VECTORS = GEMM_COLUMNS / LANES };

/* `rows` x `vectors` accumulators at C(i,j); `last` masks the last vector.  The panels are padded: loads are whole. */
ALWAYS_INLINE void tile(const gemm_block_i16 *g, size_t i, size_t j, __mmask16 last, int rows, int vectors)
{
    const int16_t *a = g->a + i / GEMM_ROWS * g->a_panel + i % GEMM_ROWS * 2, *b = g->b + j / GEMM_COLUMNS * g->b_panel;
    __m512i acc[STRIP][VECTORS], x[VECTORS];
    EACH (r, rows)
        EACH (v, vectors) acc[r][v] = _mm512_setzero_si512();
    for (size_t p = g->pairs; p > 0; p--, a += 2 * GEMM_ROWS, b += 2 * GEMM_COLUMNS) {
        EACH (v, vectors) x[v] = _mm512_loadu_si512(b + v * 2 * LANES);
        EACH (r, rows) {
            int32_t pair;
            memcpy(&pair, a + 2 * r, sizeof pair);
            __m512i s = _mm512_set1_epi32(pair);
            EACH (v, vectors) acc[r][v] = _mm512_add_epi32(acc[r][v], _mm512_madd_epi16(s, x[v]));
        }
    }
    EACH (r, rows)
        EACH (v, vectors) {
            __mmask16 mask = v < vectors - 1 ? 0xffff : last;
            int32_t *c = g->c + (i + (size_t)r) * g->c_row + j + v * LANES;
            if (g->add) acc[r][v] = _mm512_add_epi32(acc[r][v], _mm512_maskz_loadu_epi32(mask, c));
            _mm512_mask_storeu_epi32(c, mask, acc[r][v]);
        }
}

typedef void tile_fn(const gemm_block_i16 *g, size_t i, size_t j, __mmask16 last);

#define TILE(rows, vectors) \
    static void tile_##rows##x##vectors(const gemm_block_i16 *g, size_t i, size_t j, __mmask16 last) \
    { \
        tile(g, i, j, last, rows, vectors); \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3)
TILES(1)
TILES(2)
TILES(3) TILES(4) TILES(5) TILES(6) TILES(7) TILES(8)

#define ROW(rows) \
    { \
        tile_##rows##x1, tile_##rows##x2, tile_##rows##x3 \
    }
    static tile_fn *const tiles[STRIP][VECTORS] = {ROW(1), ROW(2), ROW(3), ROW(4), ROW(5), ROW(6), ROW(7), ROW(8)};

void gemm_i16_avx512(const gemm_block_i16 *g)
{
    for (size_t j = 0; j < g->n; j += GEMM_COLUMNS) {
        size_t columns = g->n - j < GEMM_COLUMNS ? g->n - j : GEMM_COLUMNS, v = (columns - 1) / LANES;
        __mmask16 last = (__mmask16)(0xffffu >> (LANES * (v + 1) - columns));
        for (size_t i = 0; i < g->m; i += STRIP) {
            size_t rows = g->m - i < STRIP ? g->m - i : STRIP;
            tiles[rows - 1][v](g, i, j, last);
        }
    }
}
#endif
