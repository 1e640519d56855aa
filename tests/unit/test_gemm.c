/* A whole product equals a naive loop in double precision, whichever operands are packed, transposed or strided, at
 * sizes that cross every block edge, with each activation, and does not write beyond C.  Bound as for the kernels:
 * 2^-22 * sum |a*b| + 2e-5. */
#include "tensor/gemm.h"

#include "base/rng.h"
#include "test.h"

#include <math.h>

enum { ROOM = 700 * 820 };
static float a_data[ROOM], b_data[ROOM], c_data[ROOM], residual[ROOM],
    packed[2][ROOM] __attribute__((aligned(MEM_ALIGN)));
static float bias[2][900];

static float number(rng *r) { return (float)(int64_t)rng_below(r, 2001) / 500.0f - 2.0f; }

static double act_of(const activation *a, double x)
{
    switch (a->kind) {
    case ACT_RELU: return x < 0 ? 0 : x;
    case ACT_CLIP: return x < (double)a->a ? (double)a->a : x > (double)a->b ? (double)a->b : x;
    case ACT_LEAKY_RELU: return x < 0 ? (double)a->a * x : x;
    case ACT_SIGMOID: return 1 / (1 + exp(-x));
    case ACT_TANH: return tanh(x);
    case ACT_HARD_SIGMOID: return fmax(0, fmin(1, (double)a->a * x + (double)a->b));
    case ACT_HARD_SWISH: return x * fmax(0, fmin(1, x / 6 + 0.5));
    case ACT_SILU: return x / (1 + exp(-x));
    case ACT_GELU: return 0.5 * x * (1 + erf(x / sqrt(2.0)));
    case ACT_NONE: break;
    }
    return x;
}

static bool right(const gemm_call *g, const gemm_matrix *a, const gemm_matrix *b)
{
    for (size_t q = 0; q < g->batch; q++)
        for (size_t i = 0; i < g->m; i++)
            for (size_t j = 0; j < g->n; j++) {
                const float *x = a->data + (a->batch_at ? a->batch_at[q] : 0) + i * a->row;
                const float *y = b->data + (b->batch_at ? b->batch_at[q] : 0) + j * b->column;
                double sum = 0, size = 0;
                for (size_t p = 0; p < g->k; p++) {
                    double v = (double)x[p * a->column] * (double)y[p * b->row];
                    sum += v;
                    size += fabs(v);
                }
                sum = (double)g->alpha * sum + (g->bias_row ? (double)g->bias_row[i] : 0) +
                      (g->bias_column ? (double)g->bias_column[j] : 0);
                if (g->residual)
                    sum += (double)g->beta * (double)g->residual[q * g->residual_batch + i * g->residual_row + j];
                double got = (double)g->c[q * g->c_batch + i * g->c_row + j];
                if (fabs(got - act_of(&g->act, sum)) >
                    (0x1p-22 * size + 2e-5) * (g->act.kind == ACT_HARD_SWISH ? 3 : 1))
                    return false;
            }
    return true;
}

static const size_t starts[3] = {0, 7, 40};

static void random_call(gemm_call *g, gemm_matrix *a, gemm_matrix *b, rng *r)
{
    size_t top = rng_below(r, 6) == 0 ? 640 : rng_below(r, 3) == 0 ? 150 : 40;
    *g = (gemm_call){.batch = 1 + rng_below(r, 3),
                     .m = rng_below(r, top),
                     .n = rng_below(r, top),
                     .k = rng_below(r, top),
                     .c = c_data + 1,
                     .alpha = 1,
                     .beta = 1};
    if (rng_below(r, 3) == 0) g->m = 1 + rng_below(r, 2);
    if (rng_below(r, 12) == 0) g->k = 800, g->n = g->m = 20;
    *a = (gemm_matrix){.data = a_data, .row = g->k, .column = 1, .batch_at = rng_below(r, 2) ? starts : NULL};
    *b = (gemm_matrix){.data = b_data, .row = g->n, .column = 1, .batch_at = rng_below(r, 2) ? starts : NULL};
    if (rng_below(r, 2)) *a = (gemm_matrix){.data = a_data, .row = 1, .column = g->m, .batch_at = a->batch_at};
    if (rng_below(r, 2)) *b = (gemm_matrix){.data = b_data, .row = 1, .column = g->k, .batch_at = b->batch_at};
    g->c_row = g->n + rng_below(r, 3);
    g->c_batch = g->m * g->c_row;
    g->batch = g->batch * g->c_batch < ROOM / 2 ? g->batch : 1;
    if (rng_below(r, 2)) g->bias_row = bias[0];
    if (rng_below(r, 2)) g->bias_column = bias[1];
    if (rng_below(r, 3) == 0) g->residual = residual, g->residual_row = g->n, g->residual_batch = 3;
    if (rng_below(r, 2)) g->alpha = 0.25f, g->beta = 0.5f;
    if (rng_below(r, 2)) g->act = (activation){.kind = (act_kind)rng_below(r, ACT_GELU + 1), .a = 0.1f, .b = 0.7f};
}

static void a_product_equals_the_naive_loop(void)
{
    rng r;
    err e = {0};
    rng_init(&r, 3);
    for (size_t i = 0; i < ROOM; i++) a_data[i] = number(&r), b_data[i] = number(&r), residual[i] = number(&r);
    for (size_t i = 0; i < COUNTOF(bias[0]); i++) bias[0][i] = number(&r), bias[1][i] = number(&r);
    const kernel_set *k = &kernel_active()->set;
    for (int turn = 0; turn < 120; turn++) {
        arena scratch;
        arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
        gemm_call g;
        gemm_matrix a, b;
        random_call(&g, &a, &b, &r);
        g.a = a;
        g.b = b;
        if (!a.batch_at && rng_below(&r, 2)) {
            gemm_pack_a(packed[0], &a, g.m, g.k, k);
            g.a = (gemm_matrix){.data = packed[0], .packed = true};
        }
        if (!b.batch_at && rng_below(&r, 2)) {
            gemm_pack_b(packed[1], &b, g.k, g.n, k);
            g.b = (gemm_matrix){.data = packed[1], .packed = true};
        }
        for (size_t i = 0; i < ROOM; i++) c_data[i] = 77;
        CHECK(gemm_f32(&g, k, NULL, &scratch, &e) == ERR_OK);
        CHECK(right(&g, &a, &b));
        CHECK(c_data[0] == 77 && c_data[1 + g.batch * g.c_batch] == 77);
        arena_fini(&scratch);
    }
}

static void threads_change_no_bit(void)
{
    static float alone[400 * 300];
    const kernel_set *k = &kernel_active()->set;
    compute *pool;
    err e = {0};
    CHECK(compute_new(&pool, 3, &e) == ERR_OK);
    gemm_call g = {.batch = 1,
                   .m = 400,
                   .n = 300,
                   .k = 500,
                   .a = {.data = a_data, .row = 500, .column = 1},
                   .b = {.data = b_data, .row = 1, .column = 500},
                   .c = alone,
                   .c_row = 300,
                   .alpha = 1,
                   .act = {.kind = ACT_TANH}};
    for (int turn = 0; turn < 2; turn++) {
        arena scratch;
        arena_init(&scratch, NULL, 0, gemm_scratch(&g, turn ? pool : NULL) + 4096); /* and what it says is enough */
        g.c = turn ? c_data : alone;
        CHECK(gemm_f32(&g, k, turn ? pool : NULL, &scratch, &e) == ERR_OK);
        arena_fini(&scratch);
    }
    CHECK(memcmp(alone, c_data, sizeof alone) == 0);
    /* The last row is a block of its own, of a few columns, or not. */
    const gemm_matrix rows = {.data = a_data, .row = 2400, .column = 1};
    gemm_pack_a(packed[0], &rows, 17, 2400, k);
    gemm_call few = {.batch = 1,
                     .m = 17,
                     .n = 53,
                     .k = 2400,
                     .a = {.data = packed[0], .packed = true},
                     .b = {.data = b_data, .row = 53, .column = 1},
                     .c_row = 53,
                     .alpha = 1};
    for (int turn = 0; turn < 2; turn++) {
        arena scratch;
        arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
        few.c = turn ? c_data : alone;
        CHECK(gemm_f32(&few, k, turn ? pool : NULL, &scratch, &e) == ERR_OK);
        arena_fini(&scratch);
    }
    CHECK(memcmp(alone, c_data, 17 * 53 * sizeof *alone) == 0);
    compute_free(pool);
}

/* Each element of C lies in one block; blocks of a side differ by one panel at most, and none is longer than the cut
 * says, which is what the packing buffers are made for. */
static void blocks_cover_c_and_are_even(void)
{
    static uint8_t seen[2 * 700 * 1300];
    rng r;
    err e = {0};
    rng_init(&r, 5);
    for (int turn = 0; turn < 60; turn++) {
        compute *pool;
        CHECK(compute_new(&pool, (uint32_t)(1 + rng_below(&r, 5)), &e) == ERR_OK);
        size_t batch = 1 + rng_below(&r, 2), m = 1 + rng_below(&r, 700), n = 1 + rng_below(&r, 1300), covered = 0;
        gemm_cut cut = gemm_cut_make(batch, m, n, pool);
        size_t blocks = batch * cut.row_blocks * cut.column_blocks;
        CHECK(cut.rows <= GEMM_BLOCK_MAX && cut.columns <= GEMM_BLOCK_MAX);
        memset(seen, 0, sizeof seen);
        for (size_t index = 0; index < blocks; index++) {
            gemm_piece p = gemm_cut_piece(&cut, index);
            CHECK(p.product < batch && p.i + p.rows <= m && p.j + p.columns <= n);
            CHECK(p.rows <= cut.rows && (p.rows + GEMM_ROWS >= cut.rows || p.i + p.rows == m));
            CHECK(p.columns <= cut.columns && (p.columns + GEMM_COLUMNS >= cut.columns || p.j + p.columns == n));
            CHECK(p.i % GEMM_ROWS == 0 && p.j % GEMM_COLUMNS == 0);
            for (size_t i = p.i; i < p.i + p.rows; i++)
                for (size_t j = p.j; j < p.j + p.columns; j++) covered += !seen[(p.product * m + i) * n + j]++;
        }
        CHECK_U64(covered, batch * m * n);
        compute_free(pool);
    }
    /* 22 panels for two threads: six blocks of 4 and 3, where blocks of 4 alone would leave one of 2 at the end. */
    compute *pool;
    CHECK(compute_new(&pool, 2, &e) == ERR_OK);
    gemm_cut cut = gemm_cut_make(1, 16, 1024, pool);
    static const size_t columns[] = {192, 192, 144, 192, 192, 112};
    CHECK_U64(cut.column_blocks, COUNTOF(columns));
    for (size_t q = 0; q < COUNTOF(columns); q++) CHECK_U64(gemm_cut_piece(&cut, q).columns, columns[q]);
    compute_free(pool);
}

static void threads_are_for_work_that_lasts(void)
{
    compute *pool;
    err e = {0};
    CHECK(compute_new(&pool, 2, &e) == ERR_OK);
    CHECK(gemm_pool(pool, 1, 2, 1024, 1024) == pool && !gemm_pool(pool, 1, 2, 1024, 1023));
    CHECK(gemm_pool(pool, 4, 128, 64, 64) == pool && !gemm_pool(pool, 3, 128, 64, 64));
    CHECK(gemm_pool(pool, 1, 1, 1024, 1024) == pool && !gemm_pool(pool, 1, 1, 1024, 1023));
    CHECK(gemm_pool(pool, 1, 1024, 1, 1024) == pool && !gemm_pool(pool, 1, 1023, 1, 1024));
    CHECK(!gemm_pool(NULL, 1, 1024, 1024, 1024));
    compute_free(pool);
}

static void an_empty_sum_leaves_the_bias(void)
{
    err e = {0};
    arena scratch;
    arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
    float two[2] = {2, -3}, c[4] = {9, 9, 9, 9};
    gemm_call g = {.batch = 1,
                   .m = 2,
                   .n = 2,
                   .k = 0,
                   .a = {.row = 0, .column = 1},
                   .b = {.row = 2, .column = 1},
                   .c = c,
                   .c_row = 2,
                   .alpha = 1,
                   .bias_row = two,
                   .act = {.kind = ACT_RELU}};
    CHECK(gemm_f32(&g, &kernel_active()->set, NULL, &scratch, &e) == ERR_OK);
    CHECK(c[0] == 2 && c[1] == 2 && c[2] == 0 && c[3] == 0);
    arena_fini(&scratch);
}

static void no_memory_for_packing_is_an_error(void)
{
    err e = {0};
    arena scratch;
    arena_init(&scratch, NULL, 0, 0);
    gemm_call g = {.batch = 1,
                   .m = 64,
                   .n = 64,
                   .k = 64,
                   .a = {.data = a_data, .row = 64, .column = 1},
                   .b = {.data = b_data, .row = 64, .column = 1},
                   .c = c_data,
                   .c_row = 64,
                   .alpha = 1};
    CHECK(gemm_f32(&g, &kernel_active()->set, NULL, &scratch, &e) == ERR_LIMIT);
    CHECK_U64(gemm_a_room(SIZE_MAX, 2), SIZE_MAX);
    CHECK_U64(gemm_b_room(SIZE_MAX / 2, 49), SIZE_MAX);
    CHECK_U64(gemm_b_room(5, 49), 96 * 5);
    arena_fini(&scratch);
}

int main(void)
{
    static const test_case cases[] = {TEST(a_product_equals_the_naive_loop), TEST(threads_change_no_bit),
                                      TEST(blocks_cover_c_and_are_even), TEST(threads_are_for_work_that_lasts),
                                      TEST(an_empty_sum_leaves_the_bias), TEST(no_memory_for_packing_is_an_error)};
    return test_main(cases, COUNTOF(cases));
}
