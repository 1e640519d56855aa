/* The matrix kernels of every ISA against the double-precision reference: random block sizes up to 257, packed and
 * strided operands at unaligned addresses, every part of the epilogue, and guard values around C that must stay.
 * Bound: |got - want| <= 2^-22 * sum |a*b| + 1e-5.  Single-precision sums round at most half a unit of the running
 * sum each time; with signs at random that stays far below the sum of magnitudes. */
#include "base/rng.h"
#include "tensor/kernel.h"
#include "test.h"

#include <math.h>

enum { SIDE = 257, PAD = 64, ROOM = (SIDE + PAD) * (SIDE + PAD) };
static float a_data[ROOM], b_data[ROOM], c_got[ROOM], c_want[ROOM], extra[ROOM], bias_row[SIDE + 1], bias_col[SIDE + 1];

static float number(rng *r) { return (float)(int64_t)rng_below(r, 2001) / 500.0f - 2.0f; }

static void fill(float *v, size_t n, rng *r)
{
    for (size_t i = 0; i < n; i++) v[i] = number(r);
}

static gemm_block random_block(rng *r)
{
    size_t top = rng_below(r, 3) == 0 ? SIDE : 70;
    gemm_block g = {.m = rng_below(r, top + 1),
                    .n = rng_below(r, top + 1),
                    .k = rng_below(r, top + 1),
                    .alpha = rng_below(r, 2) ? 1.0f : 0.5f,
                    .beta = rng_below(r, 2) ? 1.0f : -2.0f,
                    .low = -INFINITY,
                    .high = INFINITY,
                    .add = rng_below(r, 2),
                    .last = rng_below(r, 4) != 0};
    g.a = a_data + rng_below(r, 3);
    g.b = b_data + rng_below(r, 3);
    g.a_row = rng_below(r, 2) ? 1 : g.k + rng_below(r, 3);
    g.a_step = g.a_row == 1 && g.k != 1 ? GEMM_ROWS : 1;
    g.a_panel = g.a_step == GEMM_ROWS ? GEMM_ROWS * g.k : GEMM_ROWS * g.a_row;
    bool packed = rng_below(r, 2);
    g.b_step = packed ? GEMM_COLUMNS : g.n + rng_below(r, 3);
    g.b_panel = packed ? GEMM_COLUMNS * g.k : GEMM_COLUMNS;
    g.c_row = g.n + rng_below(r, 5);
    if (rng_below(r, 2)) g.bias_row = bias_row + rng_below(r, 2);
    if (rng_below(r, 2)) g.bias_col = bias_col + rng_below(r, 2);
    if (rng_below(r, 2)) {
        g.residual = extra + 1;
        g.residual_row = g.n + rng_below(r, 3);
    }
    if (rng_below(r, 3) == 0) g.low = 0;
    if (rng_below(r, 3) == 0) g.high = 6;
    return g;
}

static double magnitude(const gemm_block *g, size_t i, size_t j)
{
    const float *a = g->a + i / GEMM_ROWS * g->a_panel + i % GEMM_ROWS * g->a_row;
    const float *b = g->b + j / GEMM_COLUMNS * g->b_panel + j % GEMM_COLUMNS;
    double sum = 0;
    for (size_t p = 0; p < g->k; p++) sum += fabs((double)a[p * g->a_step] * (double)b[p * g->b_step]);
    return sum;
}

static bool near(const gemm_block *g, const float *got, const float *want)
{
    for (size_t i = 0; i < g->m; i++)
        for (size_t j = 0; j < g->n; j++) {
            double d = fabs((double)got[i * g->c_row + j] - (double)want[i * g->c_row + j]);
            if (d > 0x1p-22 * magnitude(g, i, j) + 1e-5) return false;
        }
    return true;
}

static bool gaps_untouched(const gemm_block *g, const float *got, const float *before)
{
    for (size_t i = 0; i <= g->m; i++)
        for (size_t j = i < g->m ? g->n : 0; j < g->c_row; j++)
            if (got[i * g->c_row + j] != before[i * g->c_row + j]) return false;
    return true;
}

static void every_isa_multiplies_as_the_reference_does(void)
{
    static float before[ROOM];
    rng r;
    rng_init(&r, 11);
    fill(a_data, ROOM, &r);
    fill(b_data, ROOM, &r);
    fill(extra, ROOM, &r);
    fill(bias_row, COUNTOF(bias_row), &r);
    fill(bias_col, COUNTOF(bias_col), &r);
    fill(before, ROOM, &r);
    for (int turn = 0; turn < 250; turn++) {
        gemm_block g = random_block(&r);
        memcpy(c_want, before, sizeof before);
        g.c = c_want + 3;
        kernel_isa_at(0)->set.gemm_f32(&g);
        for (size_t isa = 1; isa < kernel_isa_count(); isa++) {
            if (kernel_isa_at(isa)->needs & ~cpu_detect()) continue;
            memcpy(c_got, before, sizeof before);
            g.c = c_got + 3;
            kernel_isa_at(isa)->set.gemm_f32(&g);
            bool ok = near(&g, c_got + 3, c_want + 3) && gaps_untouched(&g, c_got + 3, before + 3);
            CHECK(ok);
            if (!ok) printf("# turn %d %s: %zu x %zu x %zu\n", turn, kernel_isa_at(isa)->name, g.m, g.n, g.k);
            CHECK(memcmp(c_got, before, 3 * sizeof *before) == 0);
        }
    }
}

static void the_clamp_lets_nan_through(void)
{
    for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
        if (kernel_isa_at(isa)->needs & ~cpu_detect()) continue;
        float a[GEMM_ROWS] = {NAN, 1}, b[GEMM_COLUMNS] = {2}, c[2] = {0};
        gemm_block g = {.m = 2,
                        .n = 1,
                        .k = 1,
                        .a = a,
                        .a_row = 1,
                        .a_step = GEMM_ROWS,
                        .a_panel = GEMM_ROWS,
                        .b = b,
                        .b_step = GEMM_COLUMNS,
                        .b_panel = GEMM_COLUMNS,
                        .c = c,
                        .c_row = 1,
                        .last = true,
                        .alpha = 1,
                        .high = 1};
        kernel_isa_at(isa)->set.gemm_f32(&g);
        CHECK(isnan(c[0]) && c[1] == 1.0f);
    }
}

static void every_isa_transposes_exactly(void)
{
    rng r;
    rng_init(&r, 5);
    fill(a_data, ROOM, &r);
    for (int turn = 0; turn < 100; turn++) {
        size_t rows = rng_below(&r, 70), columns = rng_below(&r, SIDE), x_row = columns + rng_below(&r, 3),
               y_row = rows + rng_below(&r, 3);
        for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
            if (kernel_isa_at(isa)->needs & ~cpu_detect()) continue;
            memset(c_got, 0, sizeof c_got);
            kernel_isa_at(isa)->set.transpose_f32(c_got + 1, y_row, a_data + 1, x_row, rows, columns);
            size_t wrong = 0;
            for (size_t j = 0; j <= columns; j++)
                for (size_t i = 0; i < y_row; i++)
                    wrong += c_got[1 + j * y_row + i] != (i < rows && j < columns ? a_data[1 + i * x_row + j] : 0);
            CHECK_U64(wrong, 0);
        }
    }
}

static void every_isa_has_the_dot_product_of_the_reference(void)
{
    rng r;
    rng_init(&r, 6);
    fill(a_data, ROOM, &r);
    fill(b_data, ROOM, &r);
    for (size_t n = 0; n <= SIDE; n++)
        for (size_t isa = 1; isa < kernel_isa_count(); isa++) {
            if (kernel_isa_at(isa)->needs & ~cpu_detect()) continue;
            float want = kernel_isa_at(0)->set.dot_f32(a_data + 1, b_data + n % 3, n);
            float got = kernel_isa_at(isa)->set.dot_f32(a_data + 1, b_data + n % 3, n);
            CHECK(fabsf(got - want) <= 1e-6f * 4.0f * (float)(n + 1));
        }
}

int main(void)
{
    static const test_case cases[] = {TEST(every_isa_multiplies_as_the_reference_does),
                                      TEST(the_clamp_lets_nan_through), TEST(every_isa_transposes_exactly),
                                      TEST(every_isa_has_the_dot_product_of_the_reference)};
    return test_main(cases, COUNTOF(cases));
}
