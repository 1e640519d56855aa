/* kernel_list_image.h - weighted sums of 8-bit pixels, which is what resizing a picture is made of.
 *
 * A weight w is kept as w * 2^22, rounded, in two halves: high * 2^16 + low, both signed, so that two taps go into one
 * multiplication of 16-bit numbers.  A sum is exact in 32 bits, then 2^21 is added and 22 bits are shifted out, and the
 * result is held to 0..255: every ISA gives the same bytes.
 *
 * Beside that a weight may lie there as three digits of 8 bits, signed, the lowest first: processors that multiply four
 * bytes at a time want it so, in fours that begin at any multiple of four pixels: around a run's digits are zeros.
 * For the others its high half may lie there in a byte, too: a top. */
#ifndef TENSOR_KERNEL_LIST_IMAGE_H
#define TENSOR_KERNEL_LIST_IMAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TAP_BITS = 22, TAP_HALF_BITS = 16, TAP_STEP = 16, TAP_DIGITS = 3, TAP_ZEROS = 3, TAP_TOPS_MOST = 127 };

/* Sources of one result: count >= 1 neighbours. */
typedef struct {
    uint32_t from, count;
} tap_run;

typedef struct {
    size_t count;                 /* results */
    size_t step;                  /* weights per result, a multiple of TAP_STEP; those behind a run's count are 0 */
    const tap_run *runs;          /* [count] */
    const int16_t *low, *high;    /* [count, step] */
    /* [count, TAP_DIGITS, step], where at least TAP_ZEROS of a step are behind any run's count; as many zeros stand
     * before the first.  NULL = some weight has more digits. */
    const int8_t *digits;
    /* [count, step]: high again, with zeros as digits have them, and where it is not 0.  NULL = some result's add up to
     * more than TAP_TOPS_MOST, by their amounts: up to that, sums of them and of bytes are exact in 16 bits. */
    const int8_t *tops;
    const tap_run *top_runs;      /* [count]: pixels as in runs; where tops are */
    bool fours;                   /* every run begins at a multiple of four pixels, its first weights 0 where need be */
} tap_table;

/* Where the top of weight k lies: the middle two of four have changed places. */
static inline size_t tap_top_at(size_t k)
{
    return k % 4 == 1 ? k + 1 : k % 4 == 2 ? k - 1 : k;
}

/* * 2^TAP_BITS */
static inline int32_t tap_weight(const tap_table *t, size_t result, size_t k)
{
    size_t at = result * t->step + k;
    return t->high[at] * (1 << TAP_HALF_BITS) + t->low[at];
}

/* false: it takes more digits; those below -1.99 and over 1.99 do. */
static inline bool tap_digits(int32_t weight, int8_t ret[TAP_DIGITS])
{
    int32_t lowest = (int8_t)weight, rest = (weight - lowest) / 256;
    int32_t middle = (int8_t)rest, high = (rest - middle) / 256;
    ret[0] = (int8_t)lowest, ret[1] = (int8_t)middle, ret[2] = (int8_t)high;
    return high >= INT8_MIN && high <= INT8_MAX;
}

#define KERNEL_LIST_IMAGE(X)                                                                                          \
    /* name             returns  arguments                                                            avx2  avx512 */ \
    /* y[r][i][c] = sum over a run's pixels of x[r]; y_row and x_row in bytes; reads up to 16 bytes behind the last   \
     * row of x, whatever lies there; channels 1 to 4. */                                                             \
    X(taps_across_u8,   void,    (const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,       \
                                  size_t channels, size_t rows),                                      avx2, avx512)   \
    /* y[i] = sum over count rows of x[k * x_row + i]; low and high hold a zero behind an odd count; y is no x. */    \
    X(taps_down_u8,     void,    (uint8_t *y, const uint8_t *x, size_t x_row, const int16_t *low,                     \
                                  const int16_t *high, size_t count, size_t n),                       avx2, avx512) \
    /* Whether rows are summed by digits, else by halves and tops: what the others are made of need not be there. */  \
    X(taps_by_digits,   bool,    (void),                                                              scalar, avx512)

#endif
