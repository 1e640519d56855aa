/* AVX2.  Built with -mavx2 -mfma -mf16c; only reached through kernel_select().
 *
 * Both kernels multiply 16-bit numbers in pairs (vpmaddwd): pixels, widened from bytes so that neighbours lie side by
 * side, by the low and by the high halves of their weights.  The halves' sums may wrap around; together they do not.
 *
 * Long runs of RGB are summed in floats, where a tap of eight rows is one instruction: sixteen rows at a time are
 * turned once, so that a register holds a channel of eight of them, and no result shuffles anything.  n
 * taps are rounded n + 1 times, by at most half of a last place below 256 each: a sum that lies farther than that from
 * a half rounds to the same byte.  The others, one of some hundred, are made again in halves. */
#include "base/base.h"
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/unroll.h"

#include <immintrin.h>
#include <string.h>

enum {
    ROWS = 4, COLUMNS = 32, WHOLE = 16,   /* rows that share the weights in registers; bytes per step */
    EIGHT = 8, BLOCK = 16, RGB = 3, FOUR = 4,
    HELD = 128,                           /* pixels of a block's rows: 24 KB of the first cache's 32 */
    RUN_MOST = HELD - 2 * FOUR,
    /* Shorter runs may add up to halves exactly, as two times smaller pictures do, and would all be made again. */
    RUN_LEAST = 14
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

/* ---- rows in floats ---------------------------------------------------------------------------------------------- */

/* A window on a block of rows, which moves to the right. */
typedef struct {
    const uint8_t *x;         /* of the first row */
    size_t x_row;
    size_t from, to;          /* pixels that are there: multiples of FOUR */
    float at[HELD][RGB][BLOCK];
} window;

/* Four pixels of a row and of the fourth below it, less 128: in each half the four values of a channel side by side. */
ALWAYS_INLINE __m256i two_rows(const uint8_t *x, size_t x_row)
{
    const __m256i order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
    __m256i both = _mm256_castsi128_si256(_mm_loadu_si128((const void *)x));
    both = _mm256_inserti128_si256(both, _mm_loadu_si128((const void *)(x + FOUR * x_row)), 1);
    return _mm256_xor_si256(_mm256_shuffle_epi8(both, order), _mm256_set1_epi8(INT8_MIN));
}

/* A channel of eight rows, four pixels in each 32 bits, the highest byte of which is the number that counts. */
ALWAYS_INLINE void put_channel(float (*to)[RGB][BLOCK], size_t channel, size_t row, __m256i rows)
{
    EACH(k, FOUR) {
        const __m256i highest = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            -1, -1, -1, (char)k, -1, -1, -1, (char)(4 + k), -1, -1, -1, (char)(8 + k), -1, -1, -1, (char)(12 + k)));
        __m256i one = _mm256_shuffle_epi8(rows, highest);
        _mm256_store_ps(&to[k][channel][row], _mm256_cvtepi32_ps(one));
    }
}

ALWAYS_INLINE void turn(window *v, size_t row)
{
    const uint8_t *x = v->x + row * v->x_row + v->to * RGB;
    __m256i a = two_rows(x, v->x_row), b = two_rows(x + v->x_row, v->x_row);
    __m256i c = two_rows(x + 2 * v->x_row, v->x_row), d = two_rows(x + 3 * v->x_row, v->x_row);
    __m256i ab = _mm256_unpacklo_epi32(a, b), cd = _mm256_unpacklo_epi32(c, d);
    __m256i blue = _mm256_unpacklo_epi64(_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
    float (*to)[RGB][BLOCK] = v->at + (v->to - v->from);
    put_channel(to, 0, row, _mm256_unpacklo_epi64(ab, cd));
    put_channel(to, 1, row, _mm256_unpackhi_epi64(ab, cd));
    put_channel(to, 2, row, blue);
}

/* Drops what lies before `from`; one that begins elsewhere begins anew. */
static __attribute__((noinline)) void move_window(window *v, size_t from)
{
    bool goes_on = from >= v->from && from < v->to;
    size_t kept = goes_on ? v->to - from : 0;
    if (kept) memmove(v->at, v->at + (from - v->from), kept * sizeof v->at[0]);
    v->from = from;
    v->to = from + kept;
}

/* The first of `count` pixels from `from` on. */
ALWAYS_INLINE float (*look(window *v, size_t from, size_t count))[RGB][BLOCK]
{
    size_t to = from + count;
    if (from < v->from || from > v->to || to + FOUR > v->from + HELD) move_window(v, from / FOUR * FOUR);
    for (; v->to < to; v->to += FOUR) {
        turn(v, 0);
        turn(v, EIGHT);
    }
    return v->at + (from - v->from);
}

/* Of eight rows, the first or the last of a block. */
typedef struct {
    __m256 red, green, blue;
} colours;

typedef struct {
    colours first, last;
} block_sums;

ALWAYS_INLINE void add_pixel(block_sums *s, float (*at)[BLOCK], const float *weight)
{
    __m256 w = _mm256_broadcast_ss(weight);
    s->first.red = _mm256_fmadd_ps(_mm256_load_ps(at[0]), w, s->first.red);
    s->last.red = _mm256_fmadd_ps(_mm256_load_ps(at[0] + EIGHT), w, s->last.red);
    s->first.green = _mm256_fmadd_ps(_mm256_load_ps(at[1]), w, s->first.green);
    s->last.green = _mm256_fmadd_ps(_mm256_load_ps(at[1] + EIGHT), w, s->last.green);
    s->first.blue = _mm256_fmadd_ps(_mm256_load_ps(at[2]), w, s->first.blue);
    s->last.blue = _mm256_fmadd_ps(_mm256_load_ps(at[2] + EIGHT), w, s->last.blue);
}

/* The nearest whole number; `open` gets a sign where the sum may lie on the other side of a half. */
ALWAYS_INLINE __m256i nearest(__m256 sum, __m256 sure, __m256 *open)
{
    __m256i whole = _mm256_cvtps_epi32(sum);
    __m256 off = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_sub_ps(sum, _mm256_cvtepi32_ps(whole)));
    *open = _mm256_or_ps(*open, _mm256_cmp_ps(off, sure, _CMP_GT_OQ));
    return whole;
}

/* Eight pixels of 32 bits; whether some of them are open. */
ALWAYS_INLINE __m256i eight_pixels(colours even, colours odd, __m256 sure, bool *ret_open)
{
    const __m256i pixel = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, -1, 1, 5, 9, -1, 2, 6, 10, -1, 3, 7, 11, -1));
    __m256 open = _mm256_setzero_ps();
    __m256i red = nearest(_mm256_add_ps(even.red, odd.red), sure, &open);
    __m256i green = nearest(_mm256_add_ps(even.green, odd.green), sure, &open);
    __m256i blue = nearest(_mm256_add_ps(even.blue, odd.blue), sure, &open);
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(red, green), _mm256_packs_epi32(blue, blue));
    *ret_open = _mm256_movemask_ps(open);
    return _mm256_shuffle_epi8(_mm256_xor_si256(bytes, _mm256_set1_epi8(INT8_MIN)), pixel);
}

typedef struct {
    __m256i first, last;      /* a pixel of every row */
    bool open[2];             /* some of the first, of the last rows */
} block_pixels;

/* Two sums, in turns: an addition waits for the last one to be done. */
ALWAYS_INLINE block_pixels block_result(window *v, const tap_floats *t, size_t i, __m256 sure)
{
    float (*at)[RGB][BLOCK] = look(v, t->from[i], t->count);
    const float *w = t->weights + i * t->count;
    __m256 beside = _mm256_broadcast_ss(t->beside + i);
    colours zero = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    block_sums even = {{beside, beside, beside}, {beside, beside, beside}}, odd = {zero, zero};
    block_pixels ret UNINIT;
    for (size_t k = 0; k < t->count; k += 2) {
        add_pixel(&even, at[k], w + k);
        add_pixel(&odd, at[k + 1], w + k + 1);
    }
    ret.first = eight_pixels(even.first, odd.first, sure, &ret.open[0]);
    ret.last = eight_pixels(even.last, odd.last, sure, &ret.open[1]);
    return ret;
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

/* Result i of eight rows, in halves. */
static __attribute__((noinline)) void again(const tap_table *t, size_t i, uint8_t *y, size_t y_row, const uint8_t *x,
                                            size_t x_row)
{
    tap_table one = *t;
    one.count = 1;
    one.runs += i;
    one.low += i * t->step;
    one.high += i * t->step;
    all_rows(&one, y + i * RGB, y_row, x, x_row, RGB, EIGHT);
}

static void block_rows(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row)
{
    const float half_place = 1.0f / (1 << 17);      /* of a number below 256 */
    const __m256 sure = _mm256_set1_ps(0.5f - (float)(t->floats.count + 1) * half_place);
    window v UNINIT;
    v.x = x, v.x_row = x_row, v.from = v.to = 0;
    for (size_t i = 0; i < t->count; i += FOUR) {
        size_t now = t->count - i < FOUR ? t->count - i : FOUR;
        /* Zeros, for gcc's analyzer loses that the loop writes all of them. */
        __m256i first[FOUR] = {_mm256_setzero_si256()}, last[FOUR] = {_mm256_setzero_si256()};
        bool open[FOUR][2] UNINIT;
        for (size_t k = 0; k < FOUR; k++) {
            block_pixels p = block_result(&v, &t->floats, i + (k < now ? k : now - 1), sure);
            first[k] = p.first, last[k] = p.last;
            open[k][0] = p.open[0], open[k][1] = p.open[1];
        }
        put_eight(y + i * RGB, y_row, first, now * RGB);
        put_eight(y + i * RGB + EIGHT * y_row, y_row, last, now * RGB);
        for (size_t k = 0; k < now; k++)
            for (size_t half = 0; half < 2; half++)
                if (open[k][half]) again(t, i + k, y + half * EIGHT * y_row, y_row, x + half * EIGHT * x_row, x_row);
    }
}

void taps_across_u8_avx2(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                         size_t channels, size_t rows)
{
    bool floats = channels == RGB && t->floats.count >= RUN_LEAST && t->floats.count <= RUN_MOST;
    for (; floats && rows >= BLOCK; rows -= BLOCK, y += BLOCK * y_row, x += BLOCK * x_row)
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
