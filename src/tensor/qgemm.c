#include "tensor/qgemm.h"

#include "base/mem.h"
#include "tensor/gemm.h"

#include <string.h>

enum { K_BLOCK = 2 * GEMM_K_BLOCK }; /* as many bytes of a panel as single precision has */

static int32_t element(const void *p, bool is_signed, size_t i)
{
    return is_signed ? ((const int8_t *)p)[i] : ((const uint8_t *)p)[i];
}

/* `lines` rows of A (or columns of B) into panels of `width` lines of pairs; a line past the edge is 0. */
static void pack(int16_t *to, const qgemm_matrix *m, size_t base, size_t line, size_t step, size_t first, size_t lines,
                 size_t at, size_t k, size_t width)
{
    size_t pairs = (k + 1) / 2;
    memset(to, 0, round_up(lines, width) * pairs * 2 * sizeof *to);
    for (size_t i = 0; i < lines; i++) {
        int16_t *panel = to + i / width * width * pairs * 2 + i % width * 2;
        int32_t zero = m->zero ? m->zero[(first + i) * m->zero_step] : 0;
        size_t from = base + (first + i) * line + at * step;
        for (size_t p = 0; p < k; p++)
            panel[p / 2 * width * 2 + p % 2] = (int16_t)(element(m->data, m->is_signed, from + p * step) - zero);
    }
}

/* One product as compute_for() sees it. */
typedef struct {
    const qgemm_call *g;
    const kernel_set *k;
    gemm_cut cut;
    size_t k_block;
    gemm_slots slots;
} plan;

static void run_block(void *ctx, uint32_t index)
{
    plan *p = ctx;
    const qgemm_call *g = p->g;
    const gemm_piece piece = gemm_cut_piece(&p->cut, index);
    size_t batch = piece.product, i = piece.i, j = piece.j, slot;
    int16_t *a = (int16_t *)(void *)gemm_slots_take(&p->slots, &slot), *b = a + p->cut.rows * p->k_block;
    gemm_block_i16 t = {.m = piece.rows,
                        .n = piece.columns,
                        .a = a,
                        .b = b,
                        .c = g->c + (batch * g->m + i) * g->n + j,
                        .c_row = g->n};
    size_t at = 0;
    do {
        size_t k = least(p->k_block, g->k - at);
        pack(a, &g->a, g->a.batch_at ? g->a.batch_at[batch] : 0, g->a.row, g->a.column, i, t.m, at, k, GEMM_ROWS);
        pack(b, &g->b, g->b.batch_at ? g->b.batch_at[batch] : 0, g->b.column, g->b.row, j, t.n, at, k, GEMM_COLUMNS);
        t.pairs = (k + 1) / 2;
        t.a_panel = t.pairs * 2 * GEMM_ROWS;
        t.b_panel = t.pairs * 2 * GEMM_COLUMNS;
        t.add = at > 0;
        p->k->gemm_i16(&t);
        at += k;
    } while (at < g->k);
    gemm_slots_give(&p->slots, slot);
}

/* Even blocks of an even number of elements, so that pairs never cross them. */
static size_t block_of(size_t k)
{
    size_t blocks = (k + K_BLOCK - 1) / K_BLOCK;
    return blocks ? round_up((k + blocks - 1) / blocks, 2) : 2;
}

err_code qgemm(const qgemm_call *g, const kernel_set *k, compute *pool, arena *scratch, err *e)
{
    if (g->batch == 0 || g->m == 0 || g->n == 0) return ERR_OK;
    pool = gemm_pool(pool, g->batch, g->m, g->n, g->k);
    plan p = {.g = g, .k = k, .cut = gemm_cut_make(g->batch, g->m, g->n, pool), .k_block = block_of(g->k)};
    size_t blocks = g->batch * p.cut.row_blocks * p.cut.column_blocks;
    if (blocks > UINT32_MAX) return err_set(e, ERR_LIMIT, "%zu blocks are more than %u", blocks, UINT32_MAX);
    err_code rc = gemm_slots_init(&p.slots, (p.cut.rows + p.cut.columns) * p.k_block / 2, pool, scratch, e);
    if (!rc) compute_for(pool, (uint32_t)blocks, run_block, &p);
    return rc;
}

/* ---- convolution: the columns of one image and group become a matrix ----------------------------------------- */

/* Row `row` of the matrix of columns, an input channel and a tap; a position in the padding is `zero`. */
static void column_row(const conv_shape *s, uint8_t *to, const uint8_t *plane, size_t tap, uint8_t zero)
{
    size_t kx = tap % s->kernel[2], ky = tap / s->kernel[2] % s->kernel[1], kz = tap / s->kernel[2] / s->kernel[1];
    for (size_t z = 0; z < s->out[0]; z++)
        for (size_t y = 0; y < s->out[1]; y++)
            for (size_t x = 0; x < s->out[2]; x++) {
                /* Positions before the input wrap round and are too large as well. */
                size_t iz = z * s->stride[0] + kz * s->dilation[0] - s->pad[0];
                size_t iy = y * s->stride[1] + ky * s->dilation[1] - s->pad[1];
                size_t ix = x * s->stride[2] + kx * s->dilation[2] - s->pad[2];
                bool inside = iz < s->in[0] && iy < s->in[1] && ix < s->in[2];
                *to++ = inside ? plane[(iz * s->in[1] + iy) * s->in[2] + ix] : zero;
            }
}

err_code qconv(const qconv_call *c, const kernel_set *k, compute *pool, arena *scratch, err *e)
{
    const conv_shape *s = c->shape;
    size_t taps = s->kernel[0] * s->kernel[1] * s->kernel[2], plane = s->in[0] * s->in[1] * s->in[2];
    size_t points = s->out[0] * s->out[1] * s->out[2], channels = s->in_channels / s->groups;
    size_t rows = s->out_channels / s->groups, kk = channels * taps, bytes;
    if (points == 0 || rows == 0) return ERR_OK;
    uint8_t *columns =
        __builtin_mul_overflow(kk, points, &bytes) ? NULL : arena_push_raw(scratch, bytes + 1, MEM_ALIGN);
    /* The products of all images and groups pack into the same memory, one after the other. */
    pool = gemm_pool(pool, 1, rows, points, kk);
    plan worst = {.cut = gemm_cut_make(1, rows, points, pool), .k_block = block_of(kk)};
    size_t packing = gemm_slots_bytes((worst.cut.rows + worst.cut.columns) * worst.k_block / 2, pool);
    void *room = packing == SIZE_MAX ? NULL : arena_push_raw(scratch, packing, MEM_ALIGN);
    if (!columns || !room) return err_set(e, ERR_LIMIT, "no memory for %zu x %zu columns", kk, points);
    arena inner;
    arena_init(&inner, room, packing, packing);
    for (size_t product = 0; product < s->batch * s->groups; product++) {
        size_t group = product % s->groups;
        const uint8_t *x = (const uint8_t *)c->x + product * channels * plane;
        for (size_t r = 0; r < kk; r++)
            column_row(s, columns + r * points, x + r / taps * plane, r % taps, (uint8_t)c->x_zero);
        qgemm_call g = {
            .batch = 1,
            .m = rows,
            .n = points,
            .k = kk,
            .c = c->y + product * rows * points,
            .a = {.data = (const uint8_t *)c->w + group * rows * kk,
                  .is_signed = c->w_signed,
                  .row = kk,
                  .column = 1,
                  .zero = c->w_zero ? c->w_zero + group * rows * c->w_zero_step : NULL,
                  .zero_step = c->w_zero_step},
            .b = {.data = columns, .is_signed = c->x_signed, .row = points, .column = 1, .zero = &c->x_zero}};
        arena_reset(&inner);
        err_code rc = qgemm(&g, k, pool, &inner, e);
        if (rc) return rc;
    }
    return ERR_OK;
}
