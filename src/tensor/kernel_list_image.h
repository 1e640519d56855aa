/* kernel_list_image.h - weighted sums of 8-bit pixels, which is what resizing a picture is made of.
 *
 * A weight w is kept as w * 2^22, rounded, in two halves: high * 2^15 + low with 0 <= low < 2^15, so that two taps
 * go into one multiplication of 16-bit numbers.  A sum is exact in 32 bits, then 2^21 is added and 22 bits are shifted
 * out, and the result is held to 0..255: every ISA gives the same bytes.
 *
 * Beside that a weight may lie there as three digits of 8 bits, signed, the lowest first: processors that multiply four
 * bytes at a time want it so, in fours that begin at any multiple of four pixels: around a run's digits are zeros. */
#ifndef TENSOR_KERNEL_LIST_IMAGE_H
#define TENSOR_KERNEL_LIST_IMAGE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TAP_BITS = 22, TAP_HALF_BITS = 15, TAP_STEP = 16, TAP_DIGITS = 3, TAP_ZEROS = 3 };

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
    bool even;                    /* every run begins at an even pixel, its first weight being 0 where need be */
} tap_table;

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
                                  const int16_t *high, size_t count, size_t n),                       avx2, avx512)

#endif
