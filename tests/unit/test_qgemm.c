/* Products and convolutions of 8-bit integers are exact: every ISA equals loops over the numbers themselves, for both
 * signs, zero points for all, for each row and for each column, batches, strides, padding and groups. */
#include "tensor/qgemm.h"

#include "base/rng.h"
#include "test.h"

enum { ROOM = 1 << 16 };
static uint8_t a_data[ROOM], b_data[ROOM];
static int32_t got[ROOM], zero_a[300], zero_b[300];
static int16_t a_panel[ROOM], b_panel[4 * ROOM];

static int32_t number(const void *p, bool is_signed, size_t i)
{
    return is_signed ? ((const int8_t *)p)[i] : ((const uint8_t *)p)[i];
}

static void fill(rng *r)
{
    for (size_t i = 0; i < ROOM; i++) a_data[i] = (uint8_t)rng_u64(r), b_data[i] = (uint8_t)rng_u64(r);
    for (size_t i = 0; i < COUNTOF(zero_a); i++)
        zero_a[i] = (int32_t)rng_below(r, 255) - 127, zero_b[i] = (int32_t)rng_below(r, 255) - 127;
}

static void every_isa_multiplies_pairs_exactly(void)
{
    static int32_t want[ROOM], before[ROOM];
    rng r;
    rng_init(&r, 2);
    for (size_t i = 0; i < COUNTOF(b_panel); i++) b_panel[i] = (int16_t)((int)rng_below(&r, 511) - 255);
    for (size_t i = 0; i < COUNTOF(a_panel); i++) a_panel[i] = (int16_t)((int)rng_below(&r, 511) - 255);
    for (size_t i = 0; i < ROOM; i++) before[i] = (int32_t)rng_u64(&r);
    for (int turn = 0; turn < 200; turn++) {
        gemm_block_i16 g = {.m = rng_below(&r, 60),
                            .n = rng_below(&r, 257),
                            .pairs = rng_below(&r, 130),
                            .a = a_panel,
                            .b = b_panel,
                            .add = rng_below(&r, 2)};
        g.a_panel = g.pairs * 2 * GEMM_ROWS;
        g.b_panel = g.pairs * 2 * GEMM_COLUMNS;
        g.c_row = g.n + rng_below(&r, 3);
        for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
            if (kernel_isa_at(isa)->needs & ~cpu_detect()) continue;
            memcpy(got, before, sizeof got);
            g.c = got + 1;
            kernel_isa_at(isa)->set.gemm_i16(&g);
            if (isa == 0) memcpy(want, got, sizeof got);
            CHECK(memcmp(got, want, sizeof got) == 0);
        }
    }
}

static int32_t zero_of(const qgemm_matrix *m, size_t i) { return m->zero ? m->zero[i * m->zero_step] : 0; }

static size_t wrong_in(const qgemm_call *g)
{
    size_t wrong = 0;
    for (size_t q = 0; q < g->batch; q++)
        for (size_t i = 0; i < g->m; i++)
            for (size_t j = 0; j < g->n; j++) {
                size_t a = (g->a.batch_at ? g->a.batch_at[q] : 0) + i * g->a.row,
                       b = (g->b.batch_at ? g->b.batch_at[q] : 0) + j * g->b.column;
                int64_t sum = 0;
                for (size_t p = 0; p < g->k; p++)
                    sum += (int64_t)(number(g->a.data, g->a.is_signed, a + p * g->a.column) - zero_of(&g->a, i)) *
                           (number(g->b.data, g->b.is_signed, b + p * g->b.row) - zero_of(&g->b, j));
                wrong += g->c[(q * g->m + i) * g->n + j] != (int32_t)sum;
            }
    return wrong;
}

static void a_product_is_exact(void)
{
    static const size_t starts[] = {0, 9, 100};
    rng r;
    err e = {0};
    rng_init(&r, 9);
    fill(&r);
    for (int turn = 0; turn < 60; turn++) {
        arena scratch;
        arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
        qgemm_call g = {.batch = 1 + rng_below(&r, 3),
                        .m = rng_below(&r, 60),
                        .n = rng_below(&r, 70),
                        .k = rng_below(&r, 80),
                        .c = got};
        if (turn == 0) g.k = 1700, g.m = 3, g.n = 5;
        g.a = (qgemm_matrix){.data = a_data,
                             .is_signed = rng_below(&r, 2),
                             .row = g.k,
                             .column = 1,
                             .zero = rng_below(&r, 3) ? zero_a : NULL,
                             .zero_step = rng_below(&r, 2),
                             .batch_at = rng_below(&r, 2) ? starts : NULL};
        g.b = (qgemm_matrix){.data = b_data,
                             .is_signed = rng_below(&r, 2),
                             .row = 1,
                             .column = g.k,
                             .zero = rng_below(&r, 3) ? zero_b : NULL,
                             .zero_step = rng_below(&r, 2),
                             .batch_at = rng_below(&r, 2) ? starts : NULL};
        CHECK(qgemm(&g, &kernel_active()->set, NULL, &scratch, &e) == ERR_OK);
        CHECK_U64(wrong_in(&g), 0);
        arena_fini(&scratch);
    }
}

/* x padded with its zero point, so that the padding adds nothing. */
static int32_t naive(const qconv_call *c, size_t n, size_t o, size_t y, size_t x)
{
    const conv_shape *s = c->shape;
    size_t channels = s->in_channels / s->groups, group = o / (s->out_channels / s->groups);
    int64_t sum = 0;
    for (size_t i = 0; i < channels * s->kernel[1] * s->kernel[2]; i++) {
        size_t kx = i % s->kernel[2], ky = i / s->kernel[2] % s->kernel[1], ch = i / s->kernel[2] / s->kernel[1];
        size_t iy = y * s->stride[1] + ky - s->pad[1], ix = x * s->stride[2] + kx - s->pad[2];
        if (iy >= s->in[1] || ix >= s->in[2]) continue;
        size_t at = ((n * s->in_channels + group * channels + ch) * s->in[1] + iy) * s->in[2] + ix;
        sum +=
            (int64_t)(number(c->x, c->x_signed, at) - c->x_zero) *
            (number(c->w, c->w_signed, o * channels * s->kernel[1] * s->kernel[2] + i) - c->w_zero[o * c->w_zero_step]);
    }
    return (int32_t)sum;
}

static void a_convolution_is_exact(void)
{
    err e = {0};
    for (size_t groups = 1; groups <= 3; groups++) {
        arena scratch;
        arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
        conv_shape s = {.spatial = 2,
                        .batch = 2,
                        .groups = groups,
                        .in_channels = 2 * groups,
                        .out_channels = 5 * groups,
                        .in = {1, 7, 9},
                        .out = {1, 4, 9},
                        .kernel = {1, 3, 3},
                        .stride = {1, 2, 1},
                        .dilation = {1, 1, 1},
                        .pad = {0, 1, 1}};
        qconv_call c = {.shape = &s,
                        .x = a_data,
                        .w = b_data,
                        .x_signed = groups == 2,
                        .w_signed = true,
                        .x_zero = groups == 2 ? -3 : 130,
                        .w_zero = zero_b,
                        .w_zero_step = groups != 3,
                        .y = got};
        CHECK(qconv(&c, &kernel_active()->set, NULL, &scratch, &e) == ERR_OK);
        size_t wrong = 0, at = 0;
        for (size_t n = 0; n < s.batch; n++)
            for (size_t o = 0; o < s.out_channels; o++)
                for (size_t p = 0; p < 36; p++) wrong += got[at++] != naive(&c, n, o, p / 9, p % 9);
        CHECK_U64(wrong, 0);
        arena_fini(&scratch);
    }
}

static void no_memory_is_an_error(void)
{
    err e = {0};
    arena scratch;
    arena_init(&scratch, NULL, 0, 0);
    qgemm_call g = {.batch = 1,
                    .m = 2,
                    .n = 2,
                    .k = 2,
                    .a = {.data = a_data, .row = 2, .column = 1},
                    .b = {.data = b_data, .row = 2, .column = 1},
                    .c = got};
    CHECK(qgemm(&g, &kernel_active()->set, NULL, &scratch, &e) == ERR_LIMIT);
    arena_fini(&scratch);
}

int main(void)
{
    static const test_case cases[] = {TEST(every_isa_multiplies_pairs_exactly), TEST(a_product_is_exact),
                                      TEST(a_convolution_is_exact), TEST(no_memory_is_an_error)};
    return test_main(cases, COUNTOF(cases));
}
