/* AVX2.  Built with -mavx2 -mfma -mf16c; only reached through kernel_select().
 *
 * Both kernels multiply 16-bit numbers in pairs (vpmaddwd): pixels, widened from bytes so that neighbours lie side by
 * side, by the low and by the high halves of their weights.  The halves' sums may wrap around; together they do not.
 *
 * Of long runs of RGB sixteen rows at a time are turned once, so that a register holds two neighbours of a channel of
 * eight of them, and no result shuffles anything.  What is turned stays in a ring, as results ask for it from left to
 * right.  Floats with what they are off by would be one multiplication instead of two, and one half alone, too: but
 * which sums must then be made again nobody can predict, and processors lose more by that than they save. */
#include "base/base.h"
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/unroll.h"

#include <immintrin.h>
#include <string.h>

enum {
    ROWS = 4, COLUMNS = 32, WHOLE = 16,   /* rows that share the weights in registers; bytes per step */
    EIGHT = 8, BLOCK = 16, RGB = 3, FOUR = 4,
    RING = 64,                            /* pairs of pixels of a block's rows: 12 KB of the first cache's 32 */
    RUN_MOST = 2 * (RING - 2),
    RUN_LEAST = 8
};

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

/* ---- rows in pairs ----------------------------------------------------------------------------------------------- */

/* Pairs of pixels of a block of rows, turned: of each channel a register for its first and for its last eight rows,
 * which holds both pixels of a row side by side. */
typedef struct {
    const uint8_t *x;         /* of the first row */
    size_t x_row;
    size_t from, to;          /* pairs that are there: even numbers */
    __m256i at[RING][RGB][2];
} ring;

/* Four pixels of a row and of the fourth below it: in each half the four values of a channel side by side. */
ALWAYS_INLINE __m256i two_rows(const uint8_t *x, size_t x_row)
{
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
    __m256i both = _mm256_castsi128_si256(_mm_loadu_si128((const void *)x));
    both = _mm256_inserti128_si256(both, _mm_loadu_si128((const void *)(x + FOUR * x_row)), 1);
    return _mm256_shuffle_epi8(both, order);
}

/* A channel of eight rows, four pixels in each 32 bits. */
ALWAYS_INLINE void put_channel(__m256i (*to)[RGB][2], size_t channel, size_t half, __m256i rows)
{
    const __m256i first = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
    const __m256i last = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1));
    to[0][channel][half] = _mm256_shuffle_epi8(rows, first);
    to[1][channel][half] = _mm256_shuffle_epi8(rows, last);
}

ALWAYS_INLINE void turn(ring *r, size_t half)
{
    const uint8_t *x = r->x + half * EIGHT * r->x_row + r->to * 2 * RGB;
    __m256i a = two_rows(x, r->x_row), b = two_rows(x + r->x_row, r->x_row);
    __m256i c = two_rows(x + 2 * r->x_row, r->x_row), d = two_rows(x + 3 * r->x_row, r->x_row);
    __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
    __m256i blue = _mm256_unpacklo_epi64(_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
    __m256i (*to)[RGB][2] = r->at + r->to % RING;
    put_channel(to, 0, half, _mm256_unpacklo_epi64(ab, cd));
    put_channel(to, 1, half, _mm256_unpackhi_epi64(ab, cd));
    put_channel(to, 2, half, blue);
}

/* Runs may begin anywhere; those of a filter go on where the last one was. */
ALWAYS_INLINE void need(ring *r, size_t from, size_t to)
{
    if (from < r->from || from > r->to) r->from = r->to = from / 2 * 2;
    for (; r->to < to; r->to += 2) {
        turn(r, 0);
        turn(r, 1);
    }
    if (r->to - r->from > RING) r->from = r->to - RING;
}

typedef struct {
    size_t from, to;
} pairs;

ALWAYS_INLINE pairs pairs_of(tap_run run)
{
    return (pairs){run.from / 2, (run.from + run.count + 1) / 2};
}

/* The pairs that lie behind p without a gap, p being one of them. */
ALWAYS_INLINE size_t together(size_t p, size_t to)
{
    size_t end = p / RING * RING + RING;
    return end < to ? end : to;
}

ALWAYS_INLINE __m256i pair_at(const int16_t *w)
{
    int32_t pair;
    memcpy(&pair, w, sizeof pair);
    return _mm256_set1_epi32(pair);
}

/* With the twelve sums of a block all registers are taken: gcc 12 keeps four of them in memory around its own
 * builtins. */
ALWAYS_INLINE __m256i add_product(__m256i sum, __m256i pixels, __m256i weights)
{
    __m256i product;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(pixels), "x"(weights));
    return sum;
}

/* A channel of eight rows, the first or the last of a block. */
ALWAYS_INLINE void add_rows(sums *s, const __m256i *pixels, __m256i low, __m256i high)
{
    __m256i all = _mm256_load_si256(pixels);
    s->low = add_product(s->low, all, low);
    s->high = add_product(s->high, all, high);
}

/* Of sixteen rows; no arrays, which would live in memory. */
typedef struct {
    sums red[2], green[2], blue[2];
} block_sums;

ALWAYS_INLINE block_sums block_run(const ring *r, const tap_table *t, size_t i, pairs run)
{
    const int16_t *low = t->low + i * t->step, *high = t->high + i * t->step;
    const sums none = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    block_sums s = {{none, none}, {none, none}, {none, none}};
    for (size_t p = run.from; p < run.to;) {
        const __m256i (*at)[RGB][2] = r->at + p % RING;
        for (size_t end = together(p, run.to); p < end; p++, at++, low += 2, high += 2) {
            __m256i wl = pair_at(low), wh = pair_at(high);
            add_rows(&s.red[0], &at[0][0][0], wl, wh);
            add_rows(&s.red[1], &at[0][0][1], wl, wh);
            add_rows(&s.green[0], &at[0][1][0], wl, wh);
            add_rows(&s.green[1], &at[0][1][1], wl, wh);
            add_rows(&s.blue[0], &at[0][2][0], wl, wh);
            add_rows(&s.blue[1], &at[0][2][1], wl, wh);
        }
    }
    return s;
}

ALWAYS_INLINE __m256i rounded(sums s)
{
    return _mm256_srai_epi32(_mm256_add_epi32(joined(s), _mm256_set1_epi32(1 << (TAP_BITS - 1))), TAP_BITS);
}

/* Eight pixels of 32 bits. */
ALWAYS_INLINE __m256i eight_pixels(sums red, sums green, sums blue)
{
    const __m256i pixel = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, -1, 1, 5, 9, -1, 2, 6, 10, -1, 3, 7, 11, -1));
    __m256i rg = _mm256_packs_epi32(rounded(red), rounded(green)), b = rounded(blue);
    return _mm256_shuffle_epi8(_mm256_packus_epi16(rg, _mm256_packs_epi32(b, b)), pixel);
}

typedef struct {
    __m256i first, last;      /* a pixel of every row */
} block_pixels;

static __attribute__((noinline)) block_pixels block_result(ring *r, const tap_table *t, size_t i)
{
    pairs run = pairs_of(t->runs[i]);
    need(r, run.from, run.to);
    block_sums s = block_run(r, t, i, run);
    return (block_pixels){eight_pixels(s.red[0], s.green[0], s.blue[0]),
                          eight_pixels(s.red[1], s.green[1], s.blue[1])};
}

ALWAYS_INLINE void put_bytes(uint8_t *y, __m128i v, size_t bytes)
{
    uint8_t all[16] UNINIT;
    _mm_storeu_si128((void *)all, v);
    if (bytes == FOUR * RGB) memcpy(y, all, FOUR * RGB);
    else memcpy(y, all, bytes);
}

/* Four results of eight rows, or the fewer that `bytes` of a row hold. */
ALWAYS_INLINE void put_eight(uint8_t *y, size_t y_row, const __m256i of[FOUR], size_t bytes)
{
    const __m256i dense = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
    __m256i ab = _mm256_unpacklo_epi32(of[0], of[1]), cd = _mm256_unpacklo_epi32(of[2], of[3]);
    __m256i ab_high = _mm256_unpackhi_epi32(of[0], of[1]), cd_high = _mm256_unpackhi_epi32(of[2], of[3]);
    const __m256i rows[FOUR] = {_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd),
                                _mm256_unpacklo_epi64(ab_high, cd_high), _mm256_unpackhi_epi64(ab_high, cd_high)};
    EACH(k, FOUR) {
        __m256i two = _mm256_shuffle_epi8(rows[k], dense);
        put_bytes(y + (size_t)k * y_row, _mm256_castsi256_si128(two), bytes);
        put_bytes(y + (size_t)(k + FOUR) * y_row, _mm256_extracti128_si256(two, 1), bytes);
    }
}

static void block_rows(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row)
{
    ring r UNINIT;
    r.x = x, r.x_row = x_row, r.from = r.to = 0;
    for (size_t i = 0; i < t->count; i += FOUR) {
        size_t now = t->count - i < FOUR ? t->count - i : FOUR, end = i + now - 1;
        block_pixels a = block_result(&r, t, i), b = block_result(&r, t, i + 1 < end ? i + 1 : end);
        block_pixels c = block_result(&r, t, i + 2 < end ? i + 2 : end), d = block_result(&r, t, end);
        const __m256i first[FOUR] = {a.first, b.first, c.first, d.first};
        const __m256i last[FOUR] = {a.last, b.last, c.last, d.last};
        put_eight(y + i * RGB, y_row, first, now * RGB);
        put_eight(y + i * RGB + EIGHT * y_row, y_row, last, now * RGB);
    }
}

void taps_across_u8_avx2(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                         size_t channels, size_t rows)
{
    bool turned = channels == RGB && t->even && t->step <= RUN_MOST && t->runs[t->count / 2].count >= RUN_LEAST;
    for (; turned && rows >= BLOCK; rows -= BLOCK, y += BLOCK * y_row, x += BLOCK * x_row)
        block_rows(t, y, y_row, x, x_row);
    if (channels == 3) all_rows(t, y, y_row, x, x_row, 3, rows);
    else if (channels == 4) all_rows(t, y, y_row, x, x_row, 4, rows);
    else if (channels == 1) all_rows(t, y, y_row, x, x_row, 1, rows);
    else taps_across_u8_scalar(t, y, y_row, x, x_row, channels, rows);
}

/* ---- columns ----------------------------------------------------------------------------------------------------- */

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
