/* Matrix products and convolutions as a fraction of the multiply-add rate that this core reaches in registers
 * alone, both measured in turns in one run (median of ROUNDS).  Exit status 1 when a fraction is under its floor,
 * which is set well below the usual value: a neighbour on the machine takes more from one side than from the
 * other. */
#include "tensor/conv.h"
#include "tensor/gemm.h"
#include "tensor/unroll.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 21, ROOM = 1 << 24 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The rate in registers: 24 (AVX2: 12) independent sums, which cover the latency of the multiply-add on both ports. */
enum { SUMS = 24, TURNS = 20000 };
#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f"), noinline)) static float registers_avx512(void)
{
    __m512 s[SUMS], a = _mm512_set1_ps(1.0001f), b = _mm512_set1_ps(0.5f);
    for (int i = 0; i < SUMS; i++) s[i] = _mm512_set1_ps((float)i);
    for (int t = 0; t < TURNS; t++)
        EACH (i, SUMS) s[i] = _mm512_fmadd_ps(s[i], a, b);
    for (int i = 1; i < SUMS; i++) s[0] = _mm512_add_ps(s[0], s[i]);
    return _mm512_reduce_add_ps(s[0]);
}

__attribute__((target("avx2,fma"), noinline)) static float registers_avx2(void)
{
    __m256 s[SUMS / 2], a = _mm256_set1_ps(1.0001f), b = _mm256_set1_ps(0.5f);
    float out[8];
    for (int i = 0; i < SUMS / 2; i++) s[i] = _mm256_set1_ps((float)i);
    for (int t = 0; t < TURNS; t++)
        EACH (i, SUMS / 2) s[i] = _mm256_fmadd_ps(s[i], a, b);
    for (int i = 1; i < SUMS / 2; i++) s[0] = _mm256_add_ps(s[0], s[i]);
    _mm256_storeu_ps(out, s[0]);
    return out[0];
}
#endif

__attribute__((noinline)) static float registers_scalar(void)
{
    float s[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (int t = 0; t < TURNS; t++)
        EACH (i, 8) s[i] = s[i] * 1.0001f + 0.5f;
    for (int i = 1; i < 8; i++) s[0] += s[i];
    return s[0];
}

static const struct {
    const char *isa;
    float (*run)(void);
    double sums;
} roofs[] = {
    {"scalar", registers_scalar, 8},
#if defined(__x86_64__)
    {"avx2", registers_avx2, SUMS / 2 * 8},
    {"avx512", registers_avx512, SUMS * 16},
#endif
};

static double roofline(const kernel_isa *isa)
{
    static volatile float sink;
    size_t i = COUNTOF(roofs) - 1;
    while (i > 0 && strcmp(roofs[i].isa, isa->name) != 0) i--;
    double from = now(), turns = 0;
    for (; now() - from < 2e-3; turns++) sink = roofs[i].run();
    (void)sink;
    return 2 * roofs[i].sums * TURNS * turns / (now() - from);
}

typedef struct {
    const char *name;
    size_t m, n, k; /* a product, or */
    size_t channels, outputs, side, kernel, stride, groups; /* a convolution with padding kernel / 2 */
    double floor;
} row;

static const row rows[] = {
    {"gemm 512", 512, 512, 512, 0, 0, 0, 0, 0, 0, 0.60},
    {"gemm 1024", 1024, 1024, 1024, 0, 0, 0, 0, 0, 0, 0.55},
    {"gemm 64", 64, 64, 64, 0, 0, 0, 0, 0, 0, 0.35},
    {"gemm 128x768x768", 128, 768, 768, 0, 0, 0, 0, 0, 0, 0.55},
    {"gemm 1x1024x1024", 1, 1024, 1024, 0, 0, 0, 0, 0, 0, 0.02},
    {"conv 3x3 64 56x56", 0, 0, 0, 64, 64, 56, 3, 1, 1, 0.50},
    {"conv 3x3 256 14x14", 0, 0, 0, 256, 256, 14, 3, 1, 1, 0.50},
    {"conv 1x1 256-64 56x56", 0, 0, 0, 256, 64, 56, 1, 1, 1, 0.45},
    {"conv 1x1 512-2048 7x7", 0, 0, 0, 512, 2048, 7, 1, 1, 1, 0.40},
    {"conv 7x7/2 3-64 224", 0, 0, 0, 3, 64, 224, 7, 2, 1, 0.30},
    {"conv 3x3 depthwise 28", 0, 0, 0, 256, 256, 28, 3, 1, 256, 0.05},
};

static float *x, *w, *y, *packed;

static double run_gemm(const row *r, const kernel_set *k, arena *scratch)
{
    gemm_call g = {.batch = 1,
                   .m = r->m,
                   .n = r->n,
                   .k = r->k,
                   .a = {.data = x, .row = r->k, .column = 1},
                   .b = {.data = packed, .packed = true},
                   .c = y,
                   .c_row = r->n,
                   .alpha = 1};
    err e;
    double from = now();
    size_t turns = 0;
    for (; now() - from < 5e-3; turns++) {
        arena_reset(scratch);
        if (gemm_f32(&g, k, NULL, scratch, &e)) exit(2);
    }
    return 2.0 * (double)(r->m * r->n * r->k) * (double)turns / (now() - from);
}

static double run_conv(const row *r, const kernel_set *k, arena *scratch)
{
    size_t out = (r->side + 2 * (r->kernel / 2) - r->kernel) / r->stride + 1, pad = r->kernel / 2;
    conv_shape s = {.spatial = 2,
                    .batch = 1,
                    .groups = r->groups,
                    .in_channels = r->channels,
                    .out_channels = r->outputs,
                    .in = {1, r->side, r->side},
                    .out = {1, out, out},
                    .kernel = {1, r->kernel, r->kernel},
                    .stride = {1, r->stride, r->stride},
                    .dilation = {1, 1, 1},
                    .pad = {0, pad, pad}};
    conv_call c = {.shape = &s, .x = x, .w = packed, .bias = w, .y = y, .act = {.kind = ACT_RELU}};
    err e;
    conv_pack(packed, w, &s, k);
    double from = now();
    size_t turns = 0;
    for (; now() - from < 5e-3; turns++) {
        arena_reset(scratch);
        if (conv_f32(&c, k, NULL, scratch, &e)) exit(2);
    }
    double sums = (double)(r->outputs * r->channels / r->groups * r->kernel * r->kernel * out * out);
    return 2.0 * sums * (double)turns / (now() - from);
}

static int by_value(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

int main(void)
{
    const kernel_isa *isa = kernel_active();
    rng r;
    arena scratch;
    int status = 0;
    rng_init(&r, 1);
    arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
    float **all[] = {&x, &w, &y, &packed};
    for (size_t i = 0; i < COUNTOF(all); i++) {
        *all[i] = mem_alloc_raw(ROOM * sizeof **all[i]);
        if (!*all[i]) return 2;
        for (size_t q = 0; q < ROOM; q++) (*all[i])[q] = (float)rng_unit(&r) - 0.5f;
    }
    printf("%-24s %10s %10s %8s %6s\n", isa->name, "GFLOP/s", "roofline", "fraction", "floor");
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        double fraction[ROUNDS], rate[ROUNDS], roof[ROUNDS];
        gemm_matrix b = {.data = w, .row = rows[i].n, .column = 1};
        if (rows[i].m) gemm_pack_b(packed, &b, rows[i].k, rows[i].n, &isa->set);
        for (int turn = 0; turn < ROUNDS; turn++) {
            roof[turn] = roofline(isa);
            rate[turn] = rows[i].m ? run_gemm(&rows[i], &isa->set, &scratch) : run_conv(&rows[i], &isa->set, &scratch);
            fraction[turn] = rate[turn] / roof[turn];
        }
        qsort(fraction, ROUNDS, sizeof *fraction, by_value);
        qsort(rate, ROUNDS, sizeof *rate, by_value);
        qsort(roof, ROUNDS, sizeof *roof, by_value);
        double middle = fraction[ROUNDS / 2];
        printf("%-24s %10.1f %10.1f %8.2f %6.2f%s\n", rows[i].name, 1e-9 * rate[ROUNDS / 2], 1e-9 * roof[ROUNDS / 2],
               middle, rows[i].floor, middle < rows[i].floor ? "  UNDER" : "");
        if (middle < rows[i].floor) status = 1;
    }
    for (size_t i = 0; i < COUNTOF(all); i++) mem_free(*all[i]);
    arena_fini(&scratch);
    return status;
}
