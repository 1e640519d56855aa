/* AVX-512 with VNNI, where the processor has that; else what AVX2 does.
 *
 * vpdpbusd adds the products of four bytes and four digits of weights at once, so four neighbours of a channel take one
 * instruction for each of the three digits, and the quarters of a register are four rows: their sums need no shuffle.
 * Sums of a digit may wrap around; together they do not. */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/unroll.h"

#include <immintrin.h>
#include <string.h>

#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define VNNI_INLINE VNNI static inline __attribute__((always_inline))

enum { ROWS = 8, HALF = 4, FOUR = 4 };   /* rows that share the weights in registers; pixels per step */

ALWAYS_INLINE __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const void *)p);
}

/* Four pixels of each of four rows, the four values of a channel side by side. */
VNNI_INLINE __m512i four_pixels(const uint8_t *one, const uint8_t *third, size_t x_row, __m512i order)
{
    __m512i all = _mm512_castsi128_si512(load(one));
    all = _mm512_inserti32x4(all, load(one + x_row), 1);
    all = _mm512_inserti32x4(all, load(third), 2);
    all = _mm512_inserti32x4(all, load(third + x_row), 3);
    return _mm512_shuffle_epi8(all, order);
}

VNNI_INLINE __m512i weights_at(const int8_t *w)
{
    int32_t four;
    memcpy(&four, w, sizeof four);
    return _mm512_set1_epi32(four);
}

/* Four products for each 32 bits of the sum.  gcc 12 copies every sum twice around its own builtin. */
VNNI_INLINE __m512i add_four(__m512i sum, __m512i pixels, __m512i digits)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(pixels), "v"(digits));
    return sum;
}

VNNI_INLINE __m512i joined(__m512i lowest, __m512i middle, __m512i highest)
{
    __m512i high = _mm512_add_epi32(_mm512_slli_epi32(highest, 8), middle);
    return _mm512_srai_epi32(_mm512_add_epi32(_mm512_slli_epi32(high, 8), lowest), TAP_BITS);
}

/* Result i of eight rows: quarter r has row r's pixel and then row HALF + r's.  Sums are no array, which would live in
 * memory. */
VNNI_INLINE __m512i eight_rows(const tap_table *t, size_t i, const uint8_t *x, size_t x_row, size_t channels,
                               __m512i order)
{
    const int8_t *w = t->digits + i * t->step * TAP_DIGITS, *middle = w + t->step, *highest = middle + t->step;
    const uint8_t *p = x + t->runs[i].from * channels, *q = p + 2 * x_row, *r = q + 2 * x_row, *s = r + 2 * x_row;
    const __m512i zero = _mm512_setzero_si512();
    __m512i a0 = _mm512_set1_epi32(1 << (TAP_BITS - 1)), a1 = zero, a2 = zero, b0 = a0, b1 = zero, b2 = zero;
    size_t count = t->runs[i].count, k = 0;
    do {
        size_t at = k * channels;
        __m512i one = four_pixels(p + at, q + at, x_row, order), two = four_pixels(r + at, s + at, x_row, order);
        __m512i w0 = weights_at(w + k), w1 = weights_at(middle + k), w2 = weights_at(highest + k);
        a0 = add_four(a0, one, w0);
        a1 = add_four(a1, one, w1);
        a2 = add_four(a2, one, w2);
        b0 = add_four(b0, two, w0);
        b1 = add_four(b1, two, w1);
        b2 = add_four(b2, two, w2);
        k += FOUR;
    } while (k < count);
    __m512i both = _mm512_packs_epi32(joined(a0, a1, a2), joined(b0, b1, b2));
    return _mm512_packus_epi16(both, both);
}

VNNI_INLINE void put_pixel(uint8_t *y, int pixel, size_t channels, bool last)
{
    if (channels == 4 || !last) {   /* of three, the fourth is written over by the next pixel */
        memcpy(y, &pixel, sizeof pixel);
        return;
    }
    memcpy(y, &pixel, 2);
    y[2] = (uint8_t)(pixel >> 16);
}

VNNI_INLINE void put_two(uint8_t *y, size_t y_row, __m128i two, size_t channels, bool last)
{
    put_pixel(y, _mm_cvtsi128_si32(two), channels, last);
    put_pixel(y + HALF * y_row, _mm_extract_epi32(two, 1), channels, last);
}

/* channels is a constant where this is used. */
VNNI_INLINE void colour_rows(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                             size_t channels)
{
    const __m512i order = _mm512_broadcast_i32x4(
        channels == 3 ? _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1)
                      : _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    for (size_t i = 0; i < t->count; i++, y += channels) {
        __m512i all = eight_rows(t, i, x, x_row, channels, order);
        bool last = i + 1 == t->count;
        put_two(y, y_row, _mm512_castsi512_si128(all), channels, last);
        put_two(y + y_row, y_row, _mm512_extracti32x4_epi32(all, 1), channels, last);
        put_two(y + 2 * y_row, y_row, _mm512_extracti32x4_epi32(all, 2), channels, last);
        put_two(y + 3 * y_row, y_row, _mm512_extracti32x4_epi32(all, 3), channels, last);
    }
}

VNNI static void by_digits(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                           size_t channels)
{
    if (channels == 3) colour_rows(t, y, y_row, x, x_row, 3);
    else colour_rows(t, y, y_row, x, x_row, 4);
}

void taps_across_u8_avx512(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                           size_t channels, size_t rows)
{
    bool can = t->digits && channels >= 3 && __builtin_cpu_supports("avx512vnni");
    for (; can && rows >= ROWS; rows -= ROWS, y += ROWS * y_row, x += ROWS * x_row)
        by_digits(t, y, y_row, x, x_row, channels);
    taps_across_u8_avx2(t, y, y_row, x, x_row, channels, rows);
}
#endif
