/* AVX2.  Built with -mavx2 -mfma -mf16c; only reached through kernel_select().
 *
 * Both kernels multiply 16-bit numbers in pairs (vpmaddwd): pixels, widened from bytes so that neighbours lie side by
 * side, by the low and by the high halves of their weights.  The halves' sums may wrap around; together they do not.
 *
 * Of long runs of RGB sixteen rows at a time are turned once, so that a register holds two or four neighbours of a
 * channel of eight of them, and no result shuffles anything.  What is turned stays in a ring, as results ask for it
 * from left to right.  The high halves, of four or five bits, are multiplied by four bytes at once (vpmaddubsw) and
 * added up in 16 bits, and only where there are any: a filter's outer lobes have none.  Floats, or one half alone,
 * would be fewer multiplications still: but some sums must then be made again, each after a branch that nobody
 * predicts. */
#include "base/base.h"
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/unroll.h"

#include <immintrin.h>
#include <string.h>

enum {
    ROWS = 4, COLUMNS = 32, WHOLE = 16,   /* rows that share the weights in registers; bytes per step */
    EIGHT = 8, BLOCK = 16, RGB = 3, FOUR = 4,
    RING = 32,                            /* fours of pixels of a block's rows: 18 KB of the first cache's 32 */
    RUN_MOST = FOUR * (RING - 2),
    RUN_LEAST = 8
};

ALWAYS_INLINE __m256i load(const void *p)
{
    return _mm256_loadu_si256(p);
}

ALWAYS_INLINE __m256i weights_at(const void *w)
{
    int32_t all;
    memcpy(&all, w, sizeof all);
    return _mm256_set1_epi32(all);
}

/* gcc 12 copies every sum around its own builtins, or keeps it in memory. */
ALWAYS_INLINE __m256i add_two(__m256i sum, __m256i weights, const __m256i *pixels)
{
    __m256i product;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(weights), "xm"(*pixels));
    return sum;
}

ALWAYS_INLINE __m256i add_four(__m256i sum, __m256i tops, const __m256i *pixels)
{
    __m256i product;
    __asm__("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(*pixels), "x"(tops));
    return sum;
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

/* ---- rows in blocks ---------------------------------------------------------------------------------------------- */

/* Four pixels of sixteen rows, turned: of each channel a register for the first and for the last eight rows, which has
 * the four side by side, and two where they are pairs of 16 bits. */
typedef struct {
    __m256i pairs[2][RGB][2], fours[RGB][2];
} group;

typedef struct {
    const uint8_t *x;         /* of the first row */
    size_t x_row;
    size_t from, to;          /* groups that are there */
    group at[RING];
} ring;

/* Bytes of four pixels: in each 32 bits a channel's, the middle two having changed places, and which channel is first
 * depends on the row: rows then need to be blended only, which processors do at twice the rate of shuffles. */
ALWAYS_INLINE __m256i order_of_row(size_t row)
{
    const __m128i first = _mm_setr_epi8(0, 6, 3, 9, 1, 7, 4, 10, 2, 8, 5, 11, -1, -1, -1, -1);
    return _mm256_broadcastsi128_si256(row == 0   ? first
                                       : row == 1 ? _mm_shuffle_epi32(first, _MM_SHUFFLE(2, 1, 0, 3))
                                       : row == 2 ? _mm_shuffle_epi32(first, _MM_SHUFFLE(1, 0, 3, 2))
                                                  : _mm_shuffle_epi32(first, _MM_SHUFFLE(0, 3, 2, 1)));
}

/* Four pixels of a row and of the fourth below it, a half each. */
ALWAYS_INLINE __m256i two_rows(const uint8_t *x, size_t x_row, size_t row)
{
    x += row * x_row;
    __m256i both = _mm256_castsi128_si256(_mm_loadu_si128((const void *)x));
    both = _mm256_inserti128_si256(both, _mm_loadu_si128((const void *)(x + FOUR * x_row)), 1);
    return _mm256_shuffle_epi8(both, order_of_row(row));
}

/* A channel of eight rows, four pixels in each 32 bits. */
ALWAYS_INLINE void put_channel(group *g, size_t channel, size_t half, __m256i rows)
{
    g->pairs[0][channel][half] = _mm256_and_si256(rows, _mm256_set1_epi16(255));
    g->pairs[1][channel][half] = _mm256_srli_epi16(rows, 8);
    g->fours[channel][half] = rows;
}

#define BLENDED(a, b, c, d) _mm256_blend_epi32(_mm256_blend_epi32(a, b, 0x22), _mm256_blend_epi32(c, d, 0x88), 0xcc)

/* In a half of red's the rows are a b c d, of green's d a b c, of blue's c d a b. */
ALWAYS_INLINE void turn(group *g, const uint8_t *x, size_t x_row, size_t half)
{
    __m256i a = two_rows(x, x_row, 0), b = two_rows(x, x_row, 1);
    __m256i c = two_rows(x, x_row, 2), d = two_rows(x, x_row, 3);
    put_channel(g, 0, half, BLENDED(a, b, c, d));
    put_channel(g, 1, half, BLENDED(d, a, b, c));
    put_channel(g, 2, half, BLENDED(c, d, a, b));
}

/* Runs may begin anywhere; those of a filter go on where the last one was. */
ALWAYS_INLINE void need(ring *r, size_t from, size_t to)
{
    if (from < r->from || from > r->to) r->from = r->to = from;
    for (; r->to < to; r->to++) {
        const uint8_t *x = r->x + r->to * FOUR * RGB;
        turn(&r->at[r->to % RING], x, r->x_row, 0);
        turn(&r->at[r->to % RING], x + EIGHT * r->x_row, r->x_row, 1);
    }
    if (r->to - r->from > RING) r->from = r->to - RING;
}

/* Groups that lie behind g without a gap, g being one of them. */
ALWAYS_INLINE size_t together(size_t g, size_t to)
{
    size_t end = g / RING * RING + RING;
    return end < to ? end : to;
}

/* Of sixteen rows, the first eight and the last; no arrays, which would live in memory. */
typedef struct {
    __m256i red, green, blue, red_last, green_last, blue_last;
} block_sums;

ALWAYS_INLINE block_sums sums_of(int32_t first)
{
    const __m256i all = _mm256_set1_epi32(first);
    return (block_sums){all, all, all, all, all, all};
}

ALWAYS_INLINE void add_pairs_of(block_sums *s, const __m256i (*pixels)[2], __m256i low)
{
    s->red = add_two(s->red, low, &pixels[0][0]);
    s->red_last = add_two(s->red_last, low, &pixels[0][1]);
    s->green = add_two(s->green, low, &pixels[1][0]);
    s->green_last = add_two(s->green_last, low, &pixels[1][1]);
    s->blue = add_two(s->blue, low, &pixels[2][0]);
    s->blue_last = add_two(s->blue_last, low, &pixels[2][1]);
}

ALWAYS_INLINE block_sums low_sums(const ring *r, const int16_t *low, size_t from, size_t to)
{
    block_sums s = sums_of(0);
    for (size_t g = from; g < to;) {
        const group *at = &r->at[g % RING];
        for (size_t end = together(g, to); g < end; g++, at++, low += FOUR) {
            add_pairs_of(&s, at->pairs[0], weights_at(low));
            add_pairs_of(&s, at->pairs[1], weights_at(low + 2));
        }
    }
    return s;
}

/* Two sums of 16 bits for each row, with a half of what is shifted out in the end. */
ALWAYS_INLINE block_sums top_sums(const ring *r, const int8_t *tops, size_t from, size_t to)
{
    block_sums s = sums_of(1 << (TAP_BITS - TAP_HALF_BITS - 1));
    for (size_t g = from; g < to;) {
        const group *at = &r->at[g % RING];
        for (size_t end = together(g, to); g < end; g++, at++, tops += FOUR) {
            __m256i w = weights_at(tops);
            s.red = add_four(s.red, w, &at->fours[0][0]);
            s.red_last = add_four(s.red_last, w, &at->fours[0][1]);
            s.green = add_four(s.green, w, &at->fours[1][0]);
            s.green_last = add_four(s.green_last, w, &at->fours[1][1]);
            s.blue = add_four(s.blue, w, &at->fours[2][0]);
            s.blue_last = add_four(s.blue_last, w, &at->fours[2][1]);
        }
    }
    return s;
}

/* Of two channels four rows each, in either half: 16 bits for a result.  Low sums of RUN_MOST pixels do not wrap
 * around, so that what they add to the shifted sum is in their upper halves. */
ALWAYS_INLINE __m256i rounded(__m256i low, __m256i other_low, __m256i top, __m256i other_top)
{
    __m256i lows = _mm256_packs_epi32(_mm256_srai_epi32(low, TAP_HALF_BITS),
                                      _mm256_srai_epi32(other_low, TAP_HALF_BITS));
    return _mm256_srai_epi16(_mm256_add_epi16(lows, _mm256_hadd_epi16(top, other_top)), TAP_BITS - TAP_HALF_BITS);
}

/* A pixel of every row, of 32 bits. */
ALWAYS_INLINE void block_result(ring *r, const tap_table *t, size_t i, __m256i *ret_first, __m256i *ret_last)
{
    const __m256i first = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 5, 10, -1, 1, 6, 11, -1, 2, 7, 8, -1, 3, 4, 9, -1));
    const __m256i last = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 5, 14, -1, 1, 6, 15, -1, 2, 7, 12, -1, 3, 4, 13, -1));
    tap_run run = t->runs[i], top = t->top_runs[i];
    size_t from = run.from / FOUR, to = (run.from + run.count + FOUR - 1) / FOUR;
    size_t top_from = top.from / FOUR, top_to = (top.from + top.count + FOUR - 1) / FOUR;
    need(r, from, to);
    block_sums l = low_sums(r, t->low + i * t->step, from, to);
    block_sums h = top_sums(r, t->tops + i * t->step + (top_from - from) * FOUR, top_from, top_to);
    __m256i blue = rounded(l.blue, l.blue_last, h.blue, h.blue_last);
    __m256i rest = rounded(l.red, l.green, h.red, h.green);
    __m256i rest_last = rounded(l.red_last, l.green_last, h.red_last, h.green_last);
    *ret_first = _mm256_shuffle_epi8(_mm256_packus_epi16(rest, blue), first);
    *ret_last = _mm256_shuffle_epi8(_mm256_packus_epi16(rest_last, blue), last);
}

/* Four results of a row; `more`: bytes behind them may be written, too, as what comes then writes them again. */
ALWAYS_INLINE void put_bytes(uint8_t *y, __m128i v, size_t bytes, bool more)
{
    uint8_t all[16] UNINIT;
    _mm_storeu_si128((void *)(more ? y : all), v);
    if (!more) memcpy(y, all, bytes);
}

/* Four results of eight rows, or the fewer that `bytes` of a row hold. */
ALWAYS_INLINE void put_eight(uint8_t *y, size_t y_row, const __m256i of[FOUR], size_t bytes, bool more)
{
    const __m256i dense = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    __m256i ab = _mm256_unpacklo_epi32(of[0], of[1]), cd = _mm256_unpacklo_epi32(of[2], of[3]);
    __m256i ab_high = _mm256_unpackhi_epi32(of[0], of[1]), cd_high = _mm256_unpackhi_epi32(of[2], of[3]);
    const __m256i rows[FOUR] = {_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd),
                                _mm256_unpacklo_epi64(ab_high, cd_high), _mm256_unpackhi_epi64(ab_high, cd_high)};
    EACH(k, FOUR) {
        __m256i two = _mm256_shuffle_epi8(rows[k], dense);
        put_bytes(y + (size_t)k * y_row, _mm256_castsi256_si128(two), bytes, more);
        put_bytes(y + (size_t)(k + FOUR) * y_row, _mm256_extracti128_si256(two, 1), bytes, more);
    }
}

static void block_rows(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row)
{
    ring r UNINIT;
    r.x = x, r.x_row = x_row, r.from = r.to = 0;
    for (size_t i = 0; i < t->count; i += FOUR, y += FOUR * RGB) {
        __m256i first[FOUR] UNINIT, last[FOUR] UNINIT;
        size_t left = t->count - i, now = left < FOUR ? left : FOUR;
        for (size_t k = 0; k < now; k++) block_result(&r, t, i + k, &first[k], &last[k]);
        if (left > FOUR + 1) {
            put_eight(y, y_row, first, FOUR * RGB, true);
            put_eight(y + EIGHT * y_row, y_row, last, FOUR * RGB, true);
        } else {
            put_eight(y, y_row, first, now * RGB, false);
            put_eight(y + EIGHT * y_row, y_row, last, now * RGB, false);
        }
    }
}

void taps_across_u8_avx2(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                         size_t channels, size_t rows)
{
    bool turned = channels == RGB && t->fours && t->tops && t->step <= RUN_MOST &&
                  t->runs[t->count / 2].count >= RUN_LEAST;
    for (; turned && rows >= BLOCK; rows -= BLOCK, y += BLOCK * y_row, x += BLOCK * x_row)
        block_rows(t, y, y_row, x, x_row);
    if (channels == 3) all_rows(t, y, y_row, x, x_row, 3, rows);
    else if (channels == 4) all_rows(t, y, y_row, x, x_row, 4, rows);
    else if (channels == 1) all_rows(t, y, y_row, x, x_row, 1, rows);
    else taps_across_u8_scalar(t, y, y_row, x, x_row, channels, rows);
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

ALWAYS_INLINE void add_columns(sums *s, __m256i pixels, __m256i low, __m256i high)
{
    s->low = add_two(s->low, low, &pixels);
    s->high = add_two(s->high, high, &pixels);
}

/* 32 columns: bytes of two rows are interleaved, widened, and come back into their order when they are packed. */
ALWAYS_INLINE __m256i columns(const uint8_t *x, size_t x_row, const int16_t *low, const int16_t *high, size_t count)
{
    const __m256i zero = _mm256_setzero_si256(), half = _mm256_set1_epi32(1 << (TAP_BITS - 1));
    sums a = {half, zero}, b = a, c = a, d = a;
    for (size_t k = 0; k < count; k += 2) {
        __m256i wl = weights_at(low + k), wh = weights_at(high + k);
        __m256i one = load(x + k * x_row), other = load(x + (k + 1 < count ? k + 1 : k) * x_row);
        __m256i near = _mm256_unpacklo_epi8(one, other), far = _mm256_unpackhi_epi8(one, other);
        add_columns(&a, _mm256_unpacklo_epi8(near, zero), wl, wh);
        add_columns(&b, _mm256_unpackhi_epi8(near, zero), wl, wh);
        add_columns(&c, _mm256_unpacklo_epi8(far, zero), wl, wh);
        add_columns(&d, _mm256_unpackhi_epi8(far, zero), wl, wh);
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
