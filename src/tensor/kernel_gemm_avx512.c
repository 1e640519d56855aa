/* AVX-512.  Built with -mavx512{f,bw,vl,dq} -mfma; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/simd_avx512.h"
#include "tensor/unroll.h"

enum { STRIP = 8, VECTORS = GEMM_COLUMNS / V_N, NARROW = 8 };
#define EACH_STRIP(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#include "tensor/kernel_gemm_body.h"

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
    UNINIT float out[4][NARROW][V_N];
    EACH (q, panels)
        EACH (c, columns) _mm512_storeu_ps(out[q][c], acc[q][c]);
    size_t rows = g->m - i < (size_t)panels * V_N ? g->m - i : (size_t)panels * V_N;
    const __m512i column =
        _mm512_mullo_epi32(_mm512_set1_epi32(V_N), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0));
    __mmask16 mask = (__mmask16)((1u << columns) - 1);
    for (size_t r = 0; r < rows; r++) {
        __m512 v = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), mask, column, &out[r / V_N][0][r % V_N], 4);
        store(g, v, i + r, j, mask);
    }
}

typedef void narrow_fn(const gemm_block *g, size_t i, size_t j);
/* X(columns, panels at once): what leaves registers for all accumulators. */
#define EACH_NARROW(X) X(1, 4) X(2, 4) X(3, 4) X(4, 4) X(5, 2) X(6, 2) X(7, 2) X(8, 2)
#define NARROWS(columns, panels) \
    static void wide_narrow_##columns(const gemm_block *g, size_t i, size_t j) { narrow(g, i, j, panels, columns); } \
    static void one_narrow_##columns(const gemm_block *g, size_t i, size_t j) { narrow(g, i, j, 1, columns); }
#define NARROW_ROW(columns, panels) {panels, wide_narrow_##columns, one_narrow_##columns},
/* clang-format off */
EACH_NARROW(NARROWS)
static const struct {
    size_t panels;
    narrow_fn *wide, *one;
} narrows[NARROW] = {EACH_NARROW(NARROW_ROW)};
/* clang-format on */

static void narrow_panel(const gemm_block *g, size_t j, size_t columns)
{
    size_t wide = narrows[columns - 1].panels * GEMM_ROWS, i = 0;
    for (; i + wide <= g->m; i += wide) narrows[columns - 1].wide(g, i, j);
    for (; i < g->m; i += GEMM_ROWS) narrows[columns - 1].one(g, i, j);
}

void gemm_f32_avx512(const gemm_block *g)
{
    const bool packed = is_packed(g);
    for (size_t j = 0; j < g->n; j += GEMM_COLUMNS) {
        size_t columns = g->n - j < GEMM_COLUMNS ? g->n - j : GEMM_COLUMNS;
        if (packed && columns <= NARROW)   /* however many rows: a block's last ones are summed as any others */
            narrow_panel(g, j, columns);
        else
            tile_columns(g, j, columns, packed);
    }
}
#endif
