/* The sums of resizing in every ISA against the reference, byte for byte: runs of any length and place, channels 1 to
 * 4, 0 to 35 rows, widths 0 to 200, unaligned; nothing is written beside the result. */
#include "base/rng.h"
#include "tensor/kernel.h"
#include "test.h"

#include <stdlib.h>

enum { WIDTH = 300, RESULTS = 40, TAPS = 48, ROWS_MOST = 35, ROW = WIDTH * 4 + 5, COLUMNS_MOST = 200 };

static uint8_t x_data[ROW * TAPS + 16], got[RESULTS * 4 * (ROWS_MOST + 1)], want[sizeof got];
static int16_t low[RESULTS * TAPS], high[RESULTS * TAPS];
static int8_t digit_data[TAP_ZEROS + RESULTS * TAPS * TAP_DIGITS], *const digits = digit_data + TAP_ZEROS;
static int8_t top_data[TAP_ZEROS + RESULTS * TAPS], *const tops = top_data + TAP_ZEROS;
static tap_run runs[RESULTS], top_runs[RESULTS];

static const kernel_set *runnable(size_t isa)
{
    return kernel_isa_at(isa)->needs & ~cpu_detect() ? NULL : &kernel_isa_at(isa)->set;
}

/* Weights of both signs whose sums stay within 32 bits, as those of filters do. */
static void random_weights(int16_t *l, int16_t *h, size_t count, size_t step, rng *r)
{
    for (size_t k = 0; k < step; k++) {
        int32_t limit = (int32_t)((3u << TAP_BITS) / 2 / (count ? count : 1));
        int32_t v = k < count ? (int32_t)rng_below(r, 2 * (uint64_t)limit) - limit : 0;
        l[k] = (int16_t)v;
        h[k] = (int16_t)((v - l[k]) >> TAP_HALF_BITS);
    }
}

/* Returns whether they fit: where some do not, they are no tops. */
static bool same_tops(const tap_table *t, size_t i)
{
    size_t begin = 0, end = t->runs[i].count, sum = 0;
    memset(tops + i * t->step, 0, t->step);
    while (end && !t->high[i * t->step + end - 1]) end--;
    while (begin < end && !t->high[i * t->step + begin]) begin++;
    for (size_t k = begin; k < end; k++) {
        tops[i * t->step + tap_top_at(k)] = (int8_t)t->high[i * t->step + k];
        sum += (size_t)abs(t->high[i * t->step + k]);
    }
    top_runs[i] = (tap_run){(uint32_t)(t->runs[i].from + begin), (uint32_t)(end - begin)};
    return sum <= TAP_TOPS_MOST;
}

static void same_weights(const tap_table *t, size_t i)
{
    for (size_t k = 0; k < t->step; k++) {
        int8_t d[TAP_DIGITS];
        CHECK(tap_digits(tap_weight(t, i, k), d));
        for (size_t n = 0; n < TAP_DIGITS; n++) digits[(i * TAP_DIGITS + n) * t->step + k] = d[n];
    }
}

static void digits_say_what_the_weight_says(void)
{
    for (int32_t v = -(1 << 23) + (1 << 16); v < (1 << 23) - (1 << 16); v += 997) {
        int8_t d[TAP_DIGITS];
        CHECK(tap_digits(v, d) && (d[2] * 256 + d[1]) * 256 + d[0] == v);
    }
    int8_t none[TAP_DIGITS];
    CHECK(!tap_digits(1 << 23, none) && !tap_digits(-(1 << 23) - (1 << 16), none));
}

static void every_isa_sums_rows_as_the_reference_does(void)
{
    rng r;
    rng_init(&r, 3);
    for (int turn = 0; turn < 400; turn++) {
        size_t channels = 1 + rng_below(&r, 4), rows = rng_below(&r, ROWS_MOST + 1), at = rng_below(&r, 4);
        tap_table t = {.count = rng_below(&r, RESULTS), .step = turn % 2 ? TAPS : TAP_STEP, .runs = runs, .low = low,
                       .high = high, .digits = turn % 3 ? digits : NULL, .fours = turn % 5, .top_runs = top_runs};
        bool fit = true;
        size_t y_row = t.count * channels + rng_below(&r, 3);
        for (size_t i = 0; i < sizeof x_data; i++) x_data[i] = (uint8_t)(turn % 5 ? rng_below(&r, 256) : 255);
        for (size_t i = 0; i < t.count; i++) {
            runs[i].count = (uint32_t)(1 + rng_below(&r, t.step - TAP_ZEROS));
            uint32_t room = WIDTH - runs[i].count;
            if (turn % 4 < 2) runs[i].from = (uint32_t)rng_below(&r, room + 1);
            else runs[i].from = (uint32_t)(i + 1 < t.count ? i * (WIDTH - TAPS) / t.count : 0);   /* right, and back */
            if (t.fours) runs[i].from -= runs[i].from % 4;
            random_weights(low + i * t.step, high + i * t.step, runs[i].count, t.step, &r);
            same_weights(&t, i);
            fit = same_tops(&t, i) && fit;
        }
        t.tops = fit ? tops : NULL;
        for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
            if (!runnable(isa)) continue;
            memset(got, 77, sizeof got);
            runnable(isa)->taps_across_u8(&t, got, y_row, x_data + at, WIDTH * channels + at, channels, rows);
            if (isa == 0) memcpy(want, got, sizeof got);
            CHECK(memcmp(got, want, sizeof got) == 0);
        }
    }
}

/* Runs that go on without a gap to the row's end, and one where they began: what was turned for them lies there no
 * more. */
static void the_last_run_may_lie_where_the_first_did(void)
{
    enum { LENGTH = 24, STEP = 8, COUNT = (WIDTH - LENGTH) / STEP };
    const tap_table t = {.count = COUNT + 1, .step = TAPS, .runs = runs, .low = low, .high = high, .digits = digits,
                         .fours = true, .tops = tops, .top_runs = top_runs};
    rng r;
    rng_init(&r, 6);
    for (size_t i = 0; i < sizeof x_data; i++) x_data[i] = (uint8_t)rng_below(&r, 256);
    for (size_t i = 0; i <= COUNT; i++) {
        runs[i] = (tap_run){(uint32_t)(i < COUNT ? i * STEP : 0), LENGTH};
        random_weights(low + i * TAPS, high + i * TAPS, LENGTH, TAPS, &r);
        same_weights(&t, i);
        CHECK(same_tops(&t, i));
    }
    for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
        if (!runnable(isa)) continue;
        runnable(isa)->taps_across_u8(&t, got, (COUNT + 1) * 3, x_data, WIDTH * 3, 3, ROWS_MOST);
        if (isa == 0) memcpy(want, got, sizeof got);
        CHECK(memcmp(got, want, (COUNT + 1) * 3 * ROWS_MOST) == 0);
    }
}

/* Sixteen weights of 1/16, or fifteen of 1/8 and -1/8: many sums lie just between two bytes. */
static void sums_that_lie_at_a_half_are_rounded_up(void)
{
    const tap_table t = {.count = RESULTS, .step = TAPS, .runs = runs, .low = low, .high = high, .fours = true,
                         .tops = tops, .top_runs = top_runs};
    rng r;
    rng_init(&r, 5);
    for (int turn = 0; turn < 20; turn++) {
        for (size_t i = 0; i < sizeof x_data; i++) x_data[i] = (uint8_t)(rng_below(&r, 32) * 8 + (i / 3 % 2 ? 0 : 4));
        memset(low, 0, sizeof low);
        memset(high, 0, sizeof high);
        for (size_t i = 0; i < RESULTS; i++) {
            runs[i] = (tap_run){(uint32_t)rng_below(&r, WIDTH / 4 - 4) * 4, 16};
            for (size_t k = 0; k < 16; k++)
                high[i * TAPS + k] = (int16_t)((1 << (TAP_BITS - TAP_HALF_BITS)) / (turn % 2 ? 16 : k < 11 ? 8 : -8));
            if (turn % 2 == 0) high[i * TAPS + 15] = 0;
            CHECK(same_tops(&t, i));
        }
        for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
            if (!runnable(isa)) continue;
            runnable(isa)->taps_across_u8(&t, got, RESULTS * 3, x_data, WIDTH * 3, 3, ROWS_MOST);
            if (isa == 0) memcpy(want, got, sizeof got);
            CHECK(memcmp(got, want, RESULTS * 3 * ROWS_MOST) == 0);
        }
    }
}

/* Tops up to what they may add up to, of one sign or of both, in any four of a run or nowhere; low halves that are all
 * as small or as large as the sum's 32 bits allow; pixels of 255. */
static void the_largest_weights_are_exact(void)
{
    enum { LENGTH = 112, STEP = 128, COUNT = 6 };
    static int16_t wide_low[COUNT * STEP], wide_high[COUNT * STEP];
    static int8_t wide[TAP_ZEROS + COUNT * STEP];
    static const int8_t one[COUNT] = {-64, 64, -64, 64}, another[COUNT] = {-63, -63, 63, 63};
    static const int16_t lows[COUNT][2] = {{INT16_MAX, -1},        {INT16_MAX, INT16_MIN}, {INT16_MIN, INT16_MAX},
                                           {INT16_MIN, -1},        {INT16_MAX, INT16_MIN}, {INT16_MIN, 1}};
    tap_run top[COUNT];
    const tap_table t = {.count = COUNT, .step = STEP, .runs = runs, .low = wide_low, .high = wide_high, .fours = true,
                         .tops = wide + TAP_ZEROS, .top_runs = top};
    for (size_t turn = 0; turn < 6 * LENGTH; turn++) {
        memset(x_data, turn % 7 ? 255 : 254, sizeof x_data);
        memset(wide_high, 0, sizeof wide_high);
        memset(wide, 0, sizeof wide);
        for (size_t i = 0; i < COUNT; i++) {
            size_t first = (turn + i * 5) % LENGTH, second = (first + turn / LENGTH) % LENGTH;
            size_t least = first < second ? first : second, most = first < second ? second : first;
            int16_t *h = wide_high + i * STEP;
            for (size_t k = 0; k < STEP; k++) wide_low[i * STEP + k] = k < LENGTH ? lows[i][turn % 2] : 0;
            h[first] = one[i];
            h[second] = (int16_t)(h[second] + another[i]);
            for (size_t k = 0; k < LENGTH; k++) wide[TAP_ZEROS + i * STEP + tap_top_at(k)] = (int8_t)h[k];
            runs[i] = (tap_run){(uint32_t)(4 * i), LENGTH};
            top[i] = i < 4 ? (tap_run){(uint32_t)(4 * i + least), (uint32_t)(most - least + 1)}
                           : (tap_run){(uint32_t)(4 * i + LENGTH), 0};
        }
        for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
            if (!runnable(isa)) continue;
            memset(got, 77, sizeof got);
            runnable(isa)->taps_across_u8(&t, got, COUNT * 3, x_data, WIDTH * 3, 3, 16);
            if (isa == 0) memcpy(want, got, sizeof got);
            CHECK(memcmp(got, want, sizeof got) == 0);
        }
    }
}

static void every_isa_sums_columns_as_the_reference_does(void)
{
    rng r;
    rng_init(&r, 4);
    for (int turn = 0; turn < 400; turn++) {
        size_t count = 1 + rng_below(&r, TAPS - 1), n = rng_below(&r, COLUMNS_MOST + 1), at = rng_below(&r, 4);
        /* In a block of its own size, so that the sanitizer sees a read past it. */
        size_t row = n + at, bytes = (count - 1) * row + n;
        uint8_t *x = malloc(bytes + at);
        for (size_t i = 0; i < bytes + at; i++) x[i] = (uint8_t)(turn % 5 ? rng_below(&r, 256) : 255);
        random_weights(low, high, count, TAPS, &r);
        for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
            if (!runnable(isa)) continue;
            memset(got, 77, sizeof got);
            runnable(isa)->taps_down_u8(got + 1, x + at, row, low, high, count, n);
            if (isa == 0) memcpy(want, got, sizeof got);
            CHECK(memcmp(got, want, sizeof got) == 0);
            CHECK(got[0] == 77 && got[n + 1] == 77);
        }
        free(x);
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(digits_say_what_the_weight_says),
                                      TEST(every_isa_sums_rows_as_the_reference_does),
                                      TEST(the_last_run_may_lie_where_the_first_did),
                                      TEST(sums_that_lie_at_a_half_are_rounded_up),
                                      TEST(the_largest_weights_are_exact),
                                      TEST(every_isa_sums_columns_as_the_reference_does)};
    return test_main(cases, COUNTOF(cases));
}
