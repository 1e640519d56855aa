/* AVX2.  Built with -mavx2 -mfma -mf16c; only reached through kernel_select().
 *
 * Both kernels multiply 16-bit numbers in pairs (vpmaddwd): pixels, widened from bytes so that neighbours lie side by
 * side, by the low and by the high halves of their weights.  The halves' sums may wrap around; together they do not. */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/unroll.h"

#include <immintrin.h>
#include <string.h>

enum { ROWS = 4, COLUMNS = 32, WHOLE = 16 };   /* rows that share the weights in registers; bytes per step */

ALWAYS_INLINE __m256i load(const void *p)
{
    return _mm256_loadu_si256(p);
}

/* high * 2^15 + low, rounded and shifted: 32-bit numbers that may still lie outside 0..255. */
ALWAYS_INLINE __m256i joined(__m256i low, __m256i high)
{
    return _mm256_add_epi32(_mm256_slli_epi32(high, TAP_HALF_BITS), low);
}

/* Four weights as pairs: the first pair in all of the lower half, the second in the upper. */
ALWAYS_INLINE __m256i pairs(const int16_t *w)
{
    const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    return _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(_mm_loadl_epi64((const void *)w)), spread);
}

/* Bytes of four pixels to 16-bit numbers, neighbours of one channel side by side, two pixels in each half. */
ALWAYS_INLINE __m256i order_of(size_t channels)
{
    return channels == 3 ? _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
                                            6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1)
                         : _mm256_setr_epi8(0, -1, 4, -1, 1, -1, 5, -1, 2, -1, 6, -1, 3, -1, 7, -1,
                                            8, -1, 12, -1, 9, -1, 13, -1, 10, -1, 14, -1, 11, -1, 15, -1);
}

/* rows and channels are constants where this is used. */
ALWAYS_INLINE void colour_rows(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                               size_t channels, size_t rows)
{
    const __m256i order = order_of(channels);
    for (size_t i = 0; i < t->count; i++, y += channels) {
        const int16_t *w_low = t->low + i * t->step, *w_high = t->high + i * t->step;
        const uint8_t *from = x + t->runs[i].from * channels;
        __m256i low[ROWS], high[ROWS];
        UNROLL for (size_t r = 0; r < rows; r++) low[r] = high[r] = _mm256_setzero_si256();
        for (size_t k = 0; k < t->runs[i].count; k += 4) {
            __m256i wl = pairs(w_low + k), wh = pairs(w_high + k);
            UNROLL for (size_t r = 0; r < rows; r++) {
                __m128i four = _mm_loadu_si128((const void *)(from + r * x_row + k * channels));
                __m256i p = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(four), order);
                low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(p, wl));
                high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(p, wh));
            }
        }
        UNROLL for (size_t r = 0; r < rows; r++) {
            __m256i both = joined(low[r], high[r]);
            __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
            sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(1 << (TAP_BITS - 1))), TAP_BITS);
            sum = _mm_packs_epi32(sum, sum);
            int32_t pixel = _mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
            memcpy(y + r * y_row, &pixel, channels);
        }
    }
}

ALWAYS_INLINE void grey_rows(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row, size_t rows)
{
    for (size_t i = 0; i < t->count; i++, y++) {
        const int16_t *w_low = t->low + i * t->step, *w_high = t->high + i * t->step;
        const uint8_t *from = x + t->runs[i].from;
        __m256i low[ROWS], high[ROWS];
        UNROLL for (size_t r = 0; r < rows; r++) low[r] = high[r] = _mm256_setzero_si256();
        for (size_t k = 0; k < t->runs[i].count; k += WHOLE) {
            __m256i wl = load(w_low + k), wh = load(w_high + k);
            UNROLL for (size_t r = 0; r < rows; r++) {
                __m256i p = _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)(from + r * x_row + k)));
                low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(p, wl));
                high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(p, wh));
            }
        }
        UNROLL for (size_t r = 0; r < rows; r++) {
            __m256i both = joined(low[r], high[r]);
            __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
            sum = _mm_hadd_epi32(sum, sum);
            sum = _mm_hadd_epi32(sum, sum);
            int32_t v = (_mm_cvtsi128_si32(sum) + (1 << (TAP_BITS - 1))) >> TAP_BITS;
            y[r * y_row] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}

ALWAYS_INLINE void rows_of(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                           size_t channels, size_t rows)
{
    if (channels == 1) grey_rows(t, y, y_row, x, x_row, rows);
    else colour_rows(t, y, y_row, x, x_row, channels, rows);
}

ALWAYS_INLINE void all_rows(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                            size_t channels, size_t rows)
{
    for (; rows >= ROWS; rows -= ROWS, y += ROWS * y_row, x += ROWS * x_row)
        rows_of(t, y, y_row, x, x_row, channels, ROWS);
    for (; rows; rows--, y += y_row, x += x_row) rows_of(t, y, y_row, x, x_row, channels, 1);
}

void taps_across_u8_avx2(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                         size_t channels, size_t rows)
{
    if (channels == 3) all_rows(t, y, y_row, x, x_row, 3, rows);
    else if (channels == 4) all_rows(t, y, y_row, x, x_row, 4, rows);
    else if (channels == 1) all_rows(t, y, y_row, x, x_row, 1, rows);
    else taps_across_u8_scalar(t, y, y_row, x, x_row, channels, rows);
}

/* 32 columns: bytes of two rows are interleaved, widened, and come back into their order when they are packed. */
ALWAYS_INLINE __m256i columns(const uint8_t *x, size_t x_row, const int16_t *low, const int16_t *high, size_t count)
{
    const __m256i zero = _mm256_setzero_si256(), half = _mm256_set1_epi32(1 << (TAP_BITS - 1));
    __m256i sum_low[4] = {zero, zero, zero, zero}, sum_high[4] = {zero, zero, zero, zero};
    for (size_t k = 0; k < count; k += 2) {
        int32_t pair_low, pair_high;
        memcpy(&pair_low, low + k, sizeof pair_low);
        memcpy(&pair_high, high + k, sizeof pair_high);
        __m256i wl = _mm256_set1_epi32(pair_low), wh = _mm256_set1_epi32(pair_high);
        __m256i a = load(x + k * x_row), b = load(x + (k + 1 < count ? k + 1 : k) * x_row);
        __m256i near = _mm256_unpacklo_epi8(a, b), far = _mm256_unpackhi_epi8(a, b);
        const __m256i p[4] = {_mm256_unpacklo_epi8(near, zero), _mm256_unpackhi_epi8(near, zero),
                              _mm256_unpacklo_epi8(far, zero), _mm256_unpackhi_epi8(far, zero)};
        UNROLL for (size_t i = 0; i < 4; i++) {
            sum_low[i] = _mm256_add_epi32(sum_low[i], _mm256_madd_epi16(p[i], wl));
            sum_high[i] = _mm256_add_epi32(sum_high[i], _mm256_madd_epi16(p[i], wh));
        }
    }
    __m256i v[4];
    UNROLL for (size_t i = 0; i < 4; i++)
        v[i] = _mm256_srai_epi32(_mm256_add_epi32(joined(sum_low[i], sum_high[i]), half), TAP_BITS);
    return _mm256_packus_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
}

/* The last columns are done together with some before them, again. */
void taps_down_u8_avx2(uint8_t *y, const uint8_t *x, size_t x_row, const int16_t *low, const int16_t *high,
                       size_t count, size_t n)
{
    if (n < COLUMNS) {
        taps_down_u8_scalar(y, x, x_row, low, high, count, n);
        return;
    }
    for (size_t i = 0; i < n; i += COLUMNS) {
        size_t at = i + COLUMNS <= n ? i : n - COLUMNS;
        _mm256_storeu_si256((void *)(y + at), columns(x + at, x_row, low, high, count));
    }
}
#endif
