/* kernel_qgemm_body.h - gemm_i16 on registers; included once per ISA.
 *
 * After its simd header, unroll.h, and from the including file: STRIP rows of a tile, VECTORS registers across it, and
 * EACH_STRIP(X), as for kernel_gemm_body.h, whose tiles these are with pairs of 16-bit integers for elements. */
#ifndef TENSOR_KERNEL_QGEMM_BODY_H
#define TENSOR_KERNEL_QGEMM_BODY_H
#include "base/base.h"
#include "tensor/kernel_decl.h"

#include <string.h>

/* `rows` x `vectors` accumulators at C(i,j); `last` masks the last vector.  The panels are padded: loads are whole. */
ALWAYS_INLINE void tile(const gemm_block_i16 *g, size_t i, size_t j, vl last, int rows, int vectors)
{
    const int16_t *a = g->a + i / GEMM_ROWS * g->a_panel + i % GEMM_ROWS * 2;
    const int16_t *b = g->b + j / GEMM_COLUMNS * g->b_panel + j % GEMM_COLUMNS * 2;
    vi acc[STRIP][VECTORS], x[VECTORS];
    EACH (r, rows)
        EACH (v, vectors) acc[r][v] = i_set(0);
    for (size_t p = g->pairs; p > 0; p--, a += 2 * GEMM_ROWS, b += 2 * GEMM_COLUMNS) {
        EACH (v, vectors) x[v] = i_load(b + v * 2 * V_N);
        EACH (r, rows) {
            int32_t pair;
            memcpy(&pair, a + 2 * r, sizeof pair);
            vi s = i_set(pair);
            EACH (v, vectors) acc[r][v] = i_add(acc[r][v], i_dot_pairs(s, x[v]));
        }
    }
    EACH (r, rows)
        EACH (v, vectors) {
            vl in = v < vectors - 1 ? l_all() : last;
            int32_t *c = g->c + (i + (size_t)r) * g->c_row + j + v * V_N;
            if (g->add) acc[r][v] = i_add(acc[r][v], i_load_lanes(c, in));
            i_store_lanes(c, acc[r][v], in);
        }
}

typedef void tile_fn(const gemm_block_i16 *g, size_t i, size_t j, vl last);

#define TILE(rows, vectors) \
    static void tile_##rows##x##vectors(const gemm_block_i16 *g, size_t i, size_t j, vl last) \
    { \
        tile(g, i, j, last, rows, vectors); \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3)
/* clang-format off */
EACH_STRIP(TILES)

#define ROW(rows) {tile_##rows##x1, tile_##rows##x2, tile_##rows##x3},
static tile_fn *const tiles[STRIP][VECTORS] = {EACH_STRIP(ROW)};
/* clang-format on */

void ISA(gemm_i16)(const gemm_block_i16 *g)
{
    enum { WIDE = V_N * VECTORS };
    for (size_t j = 0; j < g->n; j += WIDE) {
        size_t columns = g->n - j < WIDE ? g->n - j : WIDE, v = (columns - 1) / V_N;
        const vl last = l_first(columns - v * V_N);
        for (size_t i = 0; i < g->m; i += STRIP) {
            size_t rows = g->m - i < STRIP ? g->m - i : STRIP;
            tiles[rows - 1][v](g, i, j, last);
        }
    }
}

#endif
