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

typedef struct {
    __m256i low, high;         /* sums with either half of the weights */
} sums;

ALWAYS_INLINE void add_pairs(sums *s, __m256i pixels, __m256i low, __m256i high)
{
    s->low = _mm256_add_epi32(s->low, _mm256_madd_epi16(pixels, low));
    s->high = _mm256_add_epi32(s->high, _mm256_madd_epi16(pixels, high));
}

ALWAYS_INLINE __m256i joined(sums s)
{
    return _mm256_add_epi32(_mm256_slli_epi32(s.high, TAP_HALF_BITS), s.low);
}

/* The four channels of a pixel, rounded and shifted, not yet held to 0..255. */
ALWAYS_INLINE __m128i halves_joined(sums s)
{
    __m256i both = joined(s);
    __m128i sum = _mm_hadd_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    return _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(1 << (TAP_BITS - 1))), TAP_BITS);
}

/* Four weights, again and again: a load, no shuffle. */
ALWAYS_INLINE __m256i four_weights(const int16_t *w)
{
    int64_t four;
    memcpy(&four, w, sizeof four);
    return _mm256_set1_epi64x(four);
}

/* Bytes of four pixels to 16-bit numbers, four of one channel side by side: red and green in the lower half, blue and
 * alpha in the upper. */
ALWAYS_INLINE __m256i order_of(size_t channels)
{
    return channels == 3 ? _mm256_setr_epi8(0, -1, 3, -1, 6, -1, 9, -1, 1, -1, 4, -1, 7, -1, 10, -1,
                                            2, -1, 5, -1, 8, -1, 11, -1, -1, -1, -1, -1, -1, -1, -1, -1)
                         : _mm256_setr_epi8(0, -1, 4, -1, 8, -1, 12, -1, 1, -1, 5, -1, 9, -1, 13, -1,
                                            2, -1, 6, -1, 10, -1, 14, -1, 3, -1, 7, -1, 11, -1, 15, -1);
}

ALWAYS_INLINE void add_colours(sums *s, const uint8_t *from, __m256i order, __m256i low, __m256i high)
{
    __m256i four = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)from));
    add_pairs(s, _mm256_shuffle_epi8(four, order), low, high);
}

ALWAYS_INLINE void put_pixel(uint8_t *y, int pixel, size_t channels)
{
    uint16_t two = (uint16_t)pixel;
    memcpy(y, &two, sizeof two);
    y[2] = (uint8_t)(pixel >> 16);
    if (channels == 4) y[3] = (uint8_t)(pixel >> 24);
}

/* rows (1 or ROWS) and channels are constants where this is used; sums are no array, which would live in memory. */
ALWAYS_INLINE void colour_rows(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                               size_t channels, size_t rows)
{
    const __m256i order = order_of(channels);
    for (size_t i = 0; i < t->count; i++, y += channels) {
        const int16_t *low = t->low + i * t->step, *high = t->high + i * t->step;
        const uint8_t *from = x + t->runs[i].from * channels;
        sums a = {_mm256_setzero_si256(), _mm256_setzero_si256()}, b = a, c = a, d = a;
        for (size_t k = 0, count = t->runs[i].count; k < count; k += 4, from += 4 * channels) {
            __m256i wl = four_weights(low + k), wh = four_weights(high + k);
            add_colours(&a, from, order, wl, wh);
            if (rows == 1) continue;
            add_colours(&b, from + x_row, order, wl, wh);
            add_colours(&c, from + 2 * x_row, order, wl, wh);
            add_colours(&d, from + 3 * x_row, order, wl, wh);
        }
        __m128i two = _mm_packs_epi32(halves_joined(a), rows == 1 ? _mm_setzero_si128() : halves_joined(b));
        __m128i more = rows == 1 ? two : _mm_packs_epi32(halves_joined(c), halves_joined(d));
        __m128i all = _mm_packus_epi16(two, more);
        put_pixel(y, _mm_cvtsi128_si32(all), channels);
        if (rows == 1) continue;
        put_pixel(y + y_row, _mm_extract_epi32(all, 1), channels);
        put_pixel(y + 2 * y_row, _mm_extract_epi32(all, 2), channels);
        put_pixel(y + 3 * y_row, _mm_extract_epi32(all, 3), channels);
    }
}

ALWAYS_INLINE void add_greys(sums *s, const uint8_t *from, __m256i low, __m256i high)
{
    add_pairs(s, _mm256_cvtepu8_epi16(_mm_loadu_si128((const void *)from)), low, high);
}

ALWAYS_INLINE uint8_t grey_of(sums s)
{
    __m256i both = joined(s);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    sum = _mm_hadd_epi32(sum, sum);
    sum = _mm_hadd_epi32(sum, sum);
    int32_t v = (_mm_cvtsi128_si32(sum) + (1 << (TAP_BITS - 1))) >> TAP_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

ALWAYS_INLINE void grey_rows(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row, size_t rows)
{
    for (size_t i = 0; i < t->count; i++, y++) {
        const int16_t *low = t->low + i * t->step, *high = t->high + i * t->step;
        const uint8_t *from = x + t->runs[i].from;
        sums a = {_mm256_setzero_si256(), _mm256_setzero_si256()}, b = a, c = a, d = a;
        for (size_t k = 0, count = t->runs[i].count; k < count; k += WHOLE, from += WHOLE) {
            __m256i wl = load(low + k), wh = load(high + k);
            add_greys(&a, from, wl, wh);
            if (rows == 1) continue;
            add_greys(&b, from + x_row, wl, wh);
            add_greys(&c, from + 2 * x_row, wl, wh);
            add_greys(&d, from + 3 * x_row, wl, wh);
        }
        y[0] = grey_of(a);
        if (rows == 1) continue;
        y[y_row] = grey_of(b);
        y[2 * y_row] = grey_of(c);
        y[3 * y_row] = grey_of(d);
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
    sums a = {half, zero}, b = a, c = a, d = a;
    for (size_t k = 0; k < count; k += 2) {
        int32_t pair_low, pair_high;
        memcpy(&pair_low, low + k, sizeof pair_low);
        memcpy(&pair_high, high + k, sizeof pair_high);
        __m256i wl = _mm256_set1_epi32(pair_low), wh = _mm256_set1_epi32(pair_high);
        __m256i one = load(x + k * x_row), other = load(x + (k + 1 < count ? k + 1 : k) * x_row);
        __m256i near = _mm256_unpacklo_epi8(one, other), far = _mm256_unpackhi_epi8(one, other);
        add_pairs(&a, _mm256_unpacklo_epi8(near, zero), wl, wh);
        add_pairs(&b, _mm256_unpackhi_epi8(near, zero), wl, wh);
        add_pairs(&c, _mm256_unpacklo_epi8(far, zero), wl, wh);
        add_pairs(&d, _mm256_unpackhi_epi8(far, zero), wl, wh);
    }
    return _mm256_packus_epi16(
        _mm256_packs_epi32(_mm256_srai_epi32(joined(a), TAP_BITS), _mm256_srai_epi32(joined(b), TAP_BITS)),
        _mm256_packs_epi32(_mm256_srai_epi32(joined(c), TAP_BITS), _mm256_srai_epi32(joined(d), TAP_BITS)));
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
