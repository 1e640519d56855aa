/* The gathering and window kernels of every ISA against the reference: random runs, strides, row widths 0..257,
 * unaligned addresses, guard values after the result.  Copies and maxima are exact; sums are within 2^-22 * sum
 * |w*x| + 1e-6. */
#include "base/rng.h"
#include "tensor/kernel.h"
#include "test.h"

#include <math.h>

enum { ROOM = 1 << 16, WIDE = 257, TAPS = 25 };
static float x_data[ROOM], got[ROOM], want[ROOM], before[ROOM];

static void fill(float *v, size_t n, rng *r)
{
    for (size_t i = 0; i < n; i++) v[i] = (float)(int64_t)rng_below(r, 2001) / 500.0f - 2.0f;
}

static const kernel_set *runnable(size_t isa)
{
    return kernel_isa_at(isa)->needs & ~cpu_detect() ? NULL : &kernel_isa_at(isa)->set;
}

static size_t random_runs(lane_run *runs, size_t stride, rng *r)
{
    size_t n = 0, lane = rng_below(r, 20);
    while (lane < GEMM_COLUMNS) {
        size_t count = 1 + rng_below(r, rng_below(r, 2) ? 48 : 7);
        if (count > GEMM_COLUMNS - lane) count = GEMM_COLUMNS - lane;
        runs[n++] = (lane_run){.lane = (uint32_t)lane, .count = (uint32_t)count, .at = rng_below(r, 900)};
        lane += count + rng_below(r, 3);
    }
    if (rng_below(r, 6) == 0)
        runs[0] = (lane_run){.lane = 0, .count = GEMM_COLUMNS, .at = rng_below(r, 900 * stride)}, n = 1;
    return n;
}

static void every_isa_gathers_the_same_panel(void)
{
    rng r;
    rng_init(&r, 1);
    fill(x_data, ROOM, &r);
    fill(before, ROOM, &r);
    for (int turn = 0; turn < 300; turn++) {
        lane_run runs[GEMM_COLUMNS];
        size_t stride = rng_below(&r, 2) ? 1 : 2 + rng_below(&r, 3), count = rng_below(&r, 40), at[40];
        for (size_t i = 0; i < count; i++) at[i] = rng_below(&r, 40000);
        size_t n = turn == 0 ? 0 : random_runs(runs, stride, &r);
        for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
            if (!runnable(isa)) continue;
            memcpy(got, before, sizeof got);
            runnable(isa)->im2col_f32(got + 1, x_data + 1, at, count, runs, n, stride);
            if (isa == 0) memcpy(want, got, sizeof got);
            CHECK(memcmp(got, want, sizeof got) == 0);
            CHECK(got[0] == before[0] && got[1 + count * GEMM_COLUMNS] == before[1 + count * GEMM_COLUMNS]);
        }
    }
}

static void every_isa_picks_every_nth(void)
{
    rng r;
    rng_init(&r, 2);
    fill(before, ROOM, &r);
    for (size_t n = 0; n <= WIDE; n++)
        for (size_t stride = 1; stride <= 3; stride++)
            for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
                if (!runnable(isa)) continue;
                memcpy(got, before, sizeof got);
                runnable(isa)->every_f32(got + 1, n + 2, x_data + 3, 300, stride, 3, n);
                size_t wrong =
                    got[0] != before[0] || got[n + 1] != before[n + 1] || got[3 * n + 5] != before[3 * n + 5];
                for (size_t i = 0; i < 3 * n; i++)
                    wrong += got[1 + i / n * (n + 2) + i % n] != x_data[3 + i / n * 300 + i % n * stride];
                CHECK_U64(wrong, 0);
            }
}

static tap_set random_taps(size_t *at, float *w, size_t n, rng *r)
{
    tap_set t = {.count = 1 + rng_below(r, TAPS),
                 .at = at,
                 .w = w,
                 .y_row = n + rng_below(r, 3),
                 .x_row = n + rng_below(r, 5),
                 .bias = 0.5f,
                 .low = -INFINITY,
                 .high = INFINITY};
    if (rng_below(r, 2)) t.low = 0, t.high = 4;
    for (size_t i = 0; i < t.count; i++)
        at[i] = rng_below(r, 300), w[i] = (float)(int64_t)rng_below(r, 200) / 100.0f - 1.0f;
    return t;
}

static void every_isa_sums_and_maximises_windows_alike(void)
{
    rng r;
    rng_init(&r, 3);
    for (int turn = 0; turn < 400; turn++) {
        size_t at[TAPS], n = rng_below(&r, turn % 2 ? 20 : WIDE + 1), rows = rng_below(&r, 11);
        float w[TAPS];
        tap_set t = random_taps(at, w, n, &r);
        fill(x_data, ROOM, &r);
        x_data[rng_below(&r, 3000)] = turn % 7 ? 1 : NAN;
        kernel_isa_at(0)->set.taps_sum_f32(&t, memcpy(want, before, sizeof want), x_data + 1, rows, n);
        for (size_t isa = 1; isa < kernel_isa_count(); isa++) {
            if (!runnable(isa)) continue;
            runnable(isa)->taps_sum_f32(&t, memcpy(got, before, sizeof got), x_data + 1, rows, n);
            size_t wrong = 0;
            for (size_t i = 0; i < ROOM; i++)
                wrong +=
                    !(fabsf(got[i] - want[i]) <= 0x1p-22f * 2.0f * TAPS + 1e-6f || (isnan(got[i]) && isnan(want[i])));
            CHECK_U64(wrong, 0);
        }
        kernel_isa_at(0)->set.taps_max_f32(&t, memcpy(want, before, sizeof want), x_data + 1, rows, n);
        for (size_t isa = 1; isa < kernel_isa_count(); isa++) {
            if (!runnable(isa)) continue;
            runnable(isa)->taps_max_f32(&t, memcpy(got, before, sizeof got), x_data + 1, rows, n);
            CHECK(memcmp(got, want, sizeof got) == 0);
        }
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(every_isa_gathers_the_same_panel), TEST(every_isa_picks_every_nth),
                                      TEST(every_isa_sums_and_maximises_windows_alike)};
    return test_main(cases, COUNTOF(cases));
}
