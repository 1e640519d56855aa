/* AVX-512 with VNNI, where the processor has that; else what AVX2 does.
 *
 * vpdpbusd adds the products of four bytes and four digits of weights at once.  For rows, four neighbours of a channel
 * make the four bytes: sixteen rows at a time are turned once, so that a register holds such a four of every row, and
 * then each result that asks for them costs one instruction for each of the three digits, without a shuffle.  What is
 * turned stays in a ring, as results ask for it from left to right:
 *
 *   groups of four pixels    0   1   2   3   4   5 ...
 *   result i                     [-----------]            weights at group * 4 - from, zeros around them
 *   result i + 1                     [-----------]
 *
 * For columns vpdpwssd adds two rows at once, in 16 bits, to the sums of either half of the weights.
 * Sums of a digit or half may wrap around; together they do not. */
#include "base/base.h"
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/unroll.h"

#include <immintrin.h>
#include <string.h>

#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define VNNI_INLINE VNNI static inline __attribute__((always_inline))

enum {
    ROWS = 16, FOUR = 4,      /* pixels of a group */
    RING = 64,                /* groups: of RGB they take 12 KB of the first cache's 32 */
    RUN_MOST = (RING - 2) * FOUR,
    CHANNELS = 4, COLUMNS = 64
};

static bool has_vnni(void) { return __builtin_cpu_supports("avx512vnni"); }

/* ---- rows -------------------------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *x;         /* of the first row */
    size_t x_row;
    size_t from, to;          /* groups that are there */
    __m512i at[RING][CHANNELS];
} ring;

ALWAYS_INLINE __m128i load(const uint8_t *p)
{
    return _mm_loadu_si128((const void *)p);
}

/* A group of each of four rows, in each quarter the four values of a channel side by side. */
VNNI_INLINE __m512i four_rows(const uint8_t *p, size_t x_row, __m512i order)
{
    __m512i all = _mm512_castsi128_si512(load(p));
    all = _mm512_inserti32x4(all, load(p + x_row), 1);
    all = _mm512_inserti32x4(all, load(p + 2 * x_row), 2);
    all = _mm512_inserti32x4(all, load(p + 3 * x_row), 3);
    return _mm512_shuffle_epi8(all, order);
}

/* Of group g a register for each channel: its 32 bits 4 * l + q are those of row 4 * q + l. */
VNNI_INLINE void turn(ring *r, size_t g, __m512i order, size_t channels)
{
    const uint8_t *p = r->x + g * FOUR * channels;
    size_t four = 4 * r->x_row;
    __m512i a = four_rows(p, r->x_row, order), b = four_rows(p + four, r->x_row, order);
    __m512i c = four_rows(p + 2 * four, r->x_row, order), d = four_rows(p + 3 * four, r->x_row, order);
    __m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);
    __m512i ab_high = _mm512_unpackhi_epi32(a, b), cd_high = _mm512_unpackhi_epi32(c, d);
    __m512i *to = r->at[g % RING];
    to[0] = _mm512_unpacklo_epi64(ab, cd);
    to[1] = _mm512_unpackhi_epi64(ab, cd);
    to[2] = _mm512_unpacklo_epi64(ab_high, cd_high);
    if (channels == 4) to[3] = _mm512_unpackhi_epi64(ab_high, cd_high);
}

/* Runs may begin anywhere; those of a filter go on where the last one was. */
VNNI_INLINE void need(ring *r, size_t from, size_t to, __m512i order, size_t channels)
{
    if (from < r->from || from > r->to) r->from = r->to = from;
    for (; r->to < to; r->to++) turn(r, r->to, order, channels);
    if (r->to - r->from > RING) r->from = r->to - RING;
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

/* Result i of sixteen rows, 32 bits of each: red, green, blue and alpha.  Sums are no array, which would live in
 * memory. */
VNNI_INLINE __m512i result(ring *r, const tap_table *t, size_t i, __m512i order, size_t channels)
{
    const __m512i zero = _mm512_setzero_si512(), half = _mm512_set1_epi32(1 << (TAP_BITS - 1));
    const __m512i pixel = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    size_t from = t->runs[i].from / FOUR, to = (t->runs[i].from + t->runs[i].count + FOUR - 1) / FOUR;
    const int8_t *w = t->digits + i * t->step * TAP_DIGITS + (ptrdiff_t)(from * FOUR) - (ptrdiff_t)t->runs[i].from;
    __m512i r0 = half, r1 = zero, r2 = zero, g0 = half, g1 = zero, g2 = zero, b0 = half, b1 = zero, b2 = zero;
    __m512i a0 = half, a1 = zero, a2 = zero;
    need(r, from, to, order, channels);
    for (size_t g = from; g < to; g++, w += FOUR) {
        const __m512i *at = r->at[g % RING];
        __m512i w0 = weights_at(w), w1 = weights_at(w + t->step), w2 = weights_at(w + 2 * t->step);
        r0 = add_four(r0, at[0], w0), r1 = add_four(r1, at[0], w1), r2 = add_four(r2, at[0], w2);
        g0 = add_four(g0, at[1], w0), g1 = add_four(g1, at[1], w1), g2 = add_four(g2, at[1], w2);
        b0 = add_four(b0, at[2], w0), b1 = add_four(b1, at[2], w1), b2 = add_four(b2, at[2], w2);
        if (channels == 4) a0 = add_four(a0, at[3], w0), a1 = add_four(a1, at[3], w1), a2 = add_four(a2, at[3], w2);
    }
    __m512i rg = _mm512_packs_epi32(joined(r0, r1, r2), joined(g0, g1, g2));
    __m512i ba = _mm512_packs_epi32(joined(b0, b1, b2), channels == 4 ? joined(a0, a1, a2) : zero);
    return _mm512_shuffle_epi8(_mm512_packus_epi16(rg, ba), pixel);
}

/* Four results of rows 4 * q + 0..3, one row in each quarter. */
VNNI_INLINE void put_rows(uint8_t *y, size_t y_row, __m512i rows, __mmask16 bytes)
{
    _mm_mask_storeu_epi8(y, bytes, _mm512_castsi512_si128(rows));
    _mm_mask_storeu_epi8(y + y_row, bytes, _mm512_extracti32x4_epi32(rows, 1));
    _mm_mask_storeu_epi8(y + 2 * y_row, bytes, _mm512_extracti32x4_epi32(rows, 2));
    _mm_mask_storeu_epi8(y + 3 * y_row, bytes, _mm512_extracti32x4_epi32(rows, 3));
}

VNNI_INLINE void put_four(uint8_t *y, size_t y_row, __m512i a, __m512i b, __m512i c, __m512i d, size_t channels,
                          __mmask16 bytes)
{
    const __m512i dense = _mm512_broadcast_i32x4(
        channels == 3 ? _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1)
                      : _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    __m512i ab = _mm512_unpacklo_epi32(a, b), cd = _mm512_unpacklo_epi32(c, d);
    __m512i ab_high = _mm512_unpackhi_epi32(a, b), cd_high = _mm512_unpackhi_epi32(c, d);
    size_t four = 4 * y_row;
    put_rows(y, y_row, _mm512_shuffle_epi8(_mm512_unpacklo_epi64(ab, cd), dense), bytes);
    put_rows(y + four, y_row, _mm512_shuffle_epi8(_mm512_unpackhi_epi64(ab, cd), dense), bytes);
    put_rows(y + 2 * four, y_row, _mm512_shuffle_epi8(_mm512_unpacklo_epi64(ab_high, cd_high), dense), bytes);
    put_rows(y + 3 * four, y_row, _mm512_shuffle_epi8(_mm512_unpackhi_epi64(ab_high, cd_high), dense), bytes);
}

/* channels is a constant where this is used. */
VNNI_INLINE void sixteen_rows(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                              size_t channels)
{
    const __m512i zero = _mm512_setzero_si512(), order = _mm512_broadcast_i32x4(
        channels == 3 ? _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1)
                      : _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    ring r UNINIT;
    r.x = x, r.x_row = x_row, r.from = r.to = 0;
    for (size_t i = 0; i < t->count; i += FOUR, y += FOUR * channels) {
        size_t left = t->count - i;
        __m512i a = result(&r, t, i, order, channels);
        __m512i b = left > 1 ? result(&r, t, i + 1, order, channels) : zero;
        __m512i c = left > 2 ? result(&r, t, i + 2, order, channels) : zero;
        __m512i d = left > 3 ? result(&r, t, i + 3, order, channels) : zero;
        size_t bytes = (left < FOUR ? left : FOUR) * channels;
        put_four(y, y_row, a, b, c, d, channels, (__mmask16)((1u << bytes) - 1));
    }
}

VNNI static void by_digits(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                           size_t channels)
{
    if (channels == 3) sixteen_rows(t, y, y_row, x, x_row, 3);
    else sixteen_rows(t, y, y_row, x, x_row, 4);
}

void taps_across_u8_avx512(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                           size_t channels, size_t rows)
{
    bool can = t->digits && channels >= 3 && t->step <= RUN_MOST && has_vnni();
    for (; can && rows >= ROWS; rows -= ROWS, y += ROWS * y_row, x += ROWS * x_row)
        by_digits(t, y, y_row, x, x_row, channels);
    taps_across_u8_avx2(t, y, y_row, x, x_row, channels, rows);
}

bool taps_by_digits_avx512(void)
{
    return has_vnni();
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

typedef struct {
    __m512i low, high;        /* sums with either half of the weights */
} sums;

VNNI_INLINE __m512i add_two(__m512i sum, __m512i pixels, __m512i halves)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(pixels), "v"(halves));
    return sum;
}

VNNI_INLINE void add_pairs(sums *s, __m512i pixels, __m512i low, __m512i high)
{
    s->low = add_two(s->low, pixels, low);
    s->high = add_two(s->high, pixels, high);
}

VNNI_INLINE __m512i shifted(sums s)
{
    return _mm512_srai_epi32(_mm512_add_epi32(_mm512_slli_epi32(s.high, TAP_HALF_BITS), s.low), TAP_BITS);
}

VNNI_INLINE __m512i pair_at(const int16_t *w)
{
    int32_t pair;
    memcpy(&pair, w, sizeof pair);
    return _mm512_set1_epi32(pair);
}

/* 64 columns: bytes of two rows are interleaved, widened, and come back into their order when they are packed. */
VNNI_INLINE __m512i columns(const uint8_t *x, size_t x_row, const int16_t *low, const int16_t *high, size_t count)
{
    const __m512i zero = _mm512_setzero_si512(), half = _mm512_set1_epi32(1 << (TAP_BITS - 1));
    sums a = {half, zero}, b = a, c = a, d = a;
    for (size_t k = 0; k < count; k += 2) {
        __m512i wl = pair_at(low + k), wh = pair_at(high + k);
        __m512i one = _mm512_loadu_si512(x + k * x_row);
        __m512i other = _mm512_loadu_si512(x + (k + 1 < count ? k + 1 : k) * x_row);
        __m512i near = _mm512_unpacklo_epi8(one, other), far = _mm512_unpackhi_epi8(one, other);
        add_pairs(&a, _mm512_unpacklo_epi8(near, zero), wl, wh);
        add_pairs(&b, _mm512_unpackhi_epi8(near, zero), wl, wh);
        add_pairs(&c, _mm512_unpacklo_epi8(far, zero), wl, wh);
        add_pairs(&d, _mm512_unpackhi_epi8(far, zero), wl, wh);
    }
    return _mm512_packus_epi16(_mm512_packs_epi32(shifted(a), shifted(b)), _mm512_packs_epi32(shifted(c), shifted(d)));
}

VNNI static void all_columns(uint8_t *y, const uint8_t *x, size_t x_row, const int16_t *low, const int16_t *high,
                             size_t count, size_t n)
{
    for (size_t i = 0; i < n; i += COLUMNS) {
        size_t at = i + COLUMNS <= n ? i : n - COLUMNS;
        _mm512_storeu_si512(y + at, columns(x + at, x_row, low, high, count));
    }
}

/* The last columns are done together with some before them, again. */
void taps_down_u8_avx512(uint8_t *y, const uint8_t *x, size_t x_row, const int16_t *low, const int16_t *high,
                         size_t count, size_t n)
{
    if (n < COLUMNS || !has_vnni()) taps_down_u8_avx2(y, x, x_row, low, high, count, n);
    else all_columns(y, x, x_row, low, high, count, n);
}
#endif
