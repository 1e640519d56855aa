/* kernel_gemm_body.h - the dot product and the tiles of gemm_f32 on registers; included once per ISA.
 *
 * After its simd header, unroll.h, and from the including file: STRIP rows of a tile, three VECTORS across it, and
 * EACH_STRIP(X), which is X(1) X(2) ... X(STRIP).  A tile's size is a constant of its function, so that the sums are
 * registers; the tables choose by what is left of C.  gemm_f32() itself is the including file's. */
#ifndef TENSOR_KERNEL_GEMM_BODY_H
#define TENSOR_KERNEL_GEMM_BODY_H
#include "base/base.h"
#include "tensor/kernel_decl.h"

float ISA(dot_f32)(const float *a, const float *b, size_t n)
{
    /* Four accumulators hide the 4-cycle latency of the multiply-add. */
    vf s0 = v_set(0), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 4 * V_N <= n; i += 4 * V_N) {
        s0 = v_fma(v_load(a + i), v_load(b + i), s0);
        s1 = v_fma(v_load(a + i + V_N), v_load(b + i + V_N), s1);
        s2 = v_fma(v_load(a + i + 2 * V_N), v_load(b + i + 2 * V_N), s2);
        s3 = v_fma(v_load(a + i + 3 * V_N), v_load(b + i + 3 * V_N), s3);
    }
    for (; i < n; i += V_N) {
        vl in = n - i < V_N ? l_first(n - i) : l_all();
        s0 = v_fma(v_load_lanes(a + i, in), v_load_lanes(b + i, in), s0);
    }
    return v_sum(v_add(v_add(s0, s1), v_add(s2, s3)));
}

/* The lanes `in` of row i from column j on leave for C. */
ALWAYS_INLINE void store(const gemm_block *g, vf v, size_t i, size_t j, vl in)
{
    float *c = g->c + i * g->c_row + j;
    if (g->add) v = v_add(v, v_load_lanes(c, in));
    if (g->last) {
        vf bias = v_set(g->bias_row ? g->bias_row[i] : 0.0f);
        if (g->bias_col) bias = v_add(bias, v_load_lanes(g->bias_col + j, in));
        v = v_fma(v, v_set(g->alpha), bias);
        if (g->residual) v = v_fma(v_load_lanes(g->residual + i * g->residual_row + j, in), v_set(g->beta), v);
        /* The second operand comes through when one is NaN. */
        v = v_min(v_set(g->high), v_max(v_set(g->low), v));
    }
    v_store_lanes(c, v, in);
}

/* `rows` x `vectors` accumulators at C(i,j); `last` masks the last vector. */
ALWAYS_INLINE void tile(const gemm_block *g, size_t i, size_t j, vl last, int rows, int vectors, bool packed)
{
    const size_t a_row = packed ? 1 : g->a_row, a_step = packed ? GEMM_ROWS : g->a_step, b_step = g->b_step;
    const float *a = g->a + i / GEMM_ROWS * g->a_panel + i % GEMM_ROWS * a_row;
    const float *b = g->b + j / GEMM_COLUMNS * g->b_panel + j % GEMM_COLUMNS;
    /* One or two rows alone would wait for each other's sums: neighbours in k go to sums of their own. */
    const int split = rows == 1 ? 4 : rows == 2 ? 2 : 1;
    vf acc[STRIP][VECTORS], x[VECTORS];
    size_t p = g->k;
    EACH (r, rows * split)
        EACH (v, vectors) acc[r][v] = v_set(0);
    for (; split > 1 && p >= (size_t)split; p -= (size_t)split)
        EACH (q, split) {
            EACH (v, vectors) x[v] = v < vectors - 1 ? v_load(b + v * V_N) : v_load_lanes(b + v * V_N, last);
            EACH (r, rows) {
                vf s = v_set(a[(size_t)r * a_row]);
                EACH (v, vectors) acc[q * rows + r][v] = v_fma(s, x[v], acc[q * rows + r][v]);
            }
            a += a_step;
            b += b_step;
        }
    for (; p > 0; p--, a += a_step, b += b_step) {
        EACH (v, vectors) x[v] = v < vectors - 1 ? v_load(b + v * V_N) : v_load_lanes(b + v * V_N, last);
        EACH (r, rows) {
            vf s = v_set(a[(size_t)r * a_row]);
            EACH (v, vectors) acc[r][v] = v_fma(s, x[v], acc[r][v]);
        }
    }
    EACH (r, rows * (split - 1))
        EACH (v, vectors) acc[r % rows][v] = v_add(acc[r % rows][v], acc[rows + r][v]);
    EACH (r, rows)
        EACH (v, vectors) store(g, acc[r][v], i + (size_t)r, j + (size_t)v * V_N, v < vectors - 1 ? l_all() : last);
}

typedef void tile_fn(const gemm_block *g, size_t i, size_t j, vl last);

#define TILE(rows, vectors) \
    static void packed_##rows##x##vectors(const gemm_block *g, size_t i, size_t j, vl last) \
    { \
        tile(g, i, j, last, rows, vectors, true); \
    } \
    static void strided_##rows##x##vectors(const gemm_block *g, size_t i, size_t j, vl last) \
    { \
        tile(g, i, j, last, rows, vectors, false); \
    }
#define TILES(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3)
/* clang-format off */
EACH_STRIP(TILES)

#define STRIDED(rows) {strided_##rows##x1, strided_##rows##x2, strided_##rows##x3},
#define PACKED(rows) {packed_##rows##x1, packed_##rows##x2, packed_##rows##x3},
static tile_fn *const tiles[2][STRIP][VECTORS] = {{EACH_STRIP(STRIDED)}, {EACH_STRIP(PACKED)}};
/* clang-format on */

/* Of the tile at row i: what is left of a panel of A is cut evenly, since a tile of one row costs almost as much as one
 * of three.  Within panels, so that how C was cut into blocks changes no sum. */
ALWAYS_INLINE size_t strip_rows(const gemm_block *g, size_t i)
{
    size_t rest = g->m - i, in_panel = GEMM_ROWS - i % GEMM_ROWS, room = rest < in_panel ? rest : in_panel;
    size_t strips = (room + STRIP - 1) / STRIP;
    return (room + strips - 1) / strips;
}

/* All rows of C, `columns` of it from column j on, at most VECTORS registers of them. */
ALWAYS_INLINE void tile_columns(const gemm_block *g, size_t j, size_t columns, bool packed)
{
    size_t v = (columns - 1) / V_N;
    const vl last = l_first(columns - v * V_N);
    for (size_t i = 0, rows; i < g->m; i += rows) {
        rows = strip_rows(g, i);
        tiles[packed][rows - 1][v](g, i, j, last);
    }
}

ALWAYS_INLINE bool is_packed(const gemm_block *g) { return g->a_row == 1 && g->a_step == GEMM_ROWS; }

#endif
