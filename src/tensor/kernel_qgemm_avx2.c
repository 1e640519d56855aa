/* AVX2 integers.  Built with -mavx2 -mfma -mf16c; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/unroll.h"

#include <immintrin.h>
#include <string.h>

enum { LANES = 8, STRIP = 4, VECTORS = 3 }; /* half a panel of B at a time, as in kernel_gemm_avx2.c */

/* `rows` x `vectors` accumulators at C(i,j); `last` masks the last vector.  The panels are padded: loads are whole. */
ALWAYS_INLINE void tile(const gemm_block_i16 *g, size_t i, size_t j, __m256i last, int rows, int vectors)
{
    const int16_t *a = g->a + i / GEMM_ROWS * g->a_panel + i % GEMM_ROWS * 2;
    const int16_t *b = g->b + j / GEMM_COLUMNS * g->b_panel + j % GEMM_COLUMNS * 2;
    __m256i acc[STRIP][VECTORS], x[VECTORS];
    EACH (r, rows)
        EACH (v, vectors) acc[r][v] = _mm256_setzero_si256();
    for (size_t p = g->pairs; p > 0; p--, a += 2 * GEMM_ROWS, b += 2 * GEMM_COLUMNS) {
        EACH (v, vectors) x[v] = _mm256_loadu_si256((const __m256i_u *)(const void *)(b + v * 2 * LANES));
        EACH (r, rows) {
            int32_t pair;
            memcpy(&pair, a + 2 * r, sizeof pair);
            __m256i s = _mm256_set1_epi32(pair);
            EACH (v, vectors) acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_madd_epi16(s, x[v]));
        }
    }
    EACH (r, rows)
        EACH (v, vectors) {
            __m256i mask = v < vectors - 1 ? _mm256_set1_epi32(-1) : last;
            int32_t *c = g->c + (i + (size_t)r) * g->c_row + j + v * LANES;
            if (g->add) acc[r][v] = _mm256_add_epi32(acc[r][v], _mm256_maskload_epi32(c, mask));
            _mm256_maskstore_epi32(c, mask, acc[r][v]);
        }
}

typedef void tile_fn(const gemm_block_i16 *g, size_t i, size_t j, __m256i last);

#define TILE(rows, vectors) \
    static void tile_##rows##x##vectors(const gemm_block_i16 *g, size_t i, size_t j, __m256i last) \
    { \
        tile(g, i, j, last, rows, vectors); \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3)
TILES(1)
TILES(2)
TILES(3) TILES(4)

#define ROW(rows) \
    { \
        tile_##rows##x1, tile_##rows##x2, tile_##rows##x3 \
    }
    static tile_fn *const tiles[STRIP][VECTORS] = {ROW(1), ROW(2), ROW(3), ROW(4)};

void gemm_i16_avx2(const gemm_block_i16 *g)
{
    enum { WIDE = LANES * VECTORS };
    for (size_t j = 0; j < g->n; j += WIDE) {
        size_t columns = g->n - j < WIDE ? g->n - j : WIDE, v = (columns - 1) / LANES;
        const __m256i last = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(columns - v * LANES)),
                                                _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        for (size_t i = 0; i < g->m; i += STRIP) {
            size_t rows = g->m - i < STRIP ? g->m - i : STRIP;
            tiles[rows - 1][v](g, i, j, last);
        }
    }
}
#endif
