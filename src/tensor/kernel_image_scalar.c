/* The reference of resizing: plain sums, in the words of the list. */
#include "tensor/kernel_decl.h"

static int32_t weight(int16_t low, int16_t high)
{
    return high * (1 << TAP_HALF_BITS) + low;
}

static uint8_t pixel_of(int32_t sum)
{
    int32_t v = sum >> TAP_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

void taps_across_u8_scalar(const tap_table *t, uint8_t *y, size_t y_row, const uint8_t *x, size_t x_row,
                           size_t channels, size_t rows)
{
    for (size_t i = 0; i < t->count; i++) {
        const int16_t *low = t->low + i * t->step, *high = t->high + i * t->step;
        const uint8_t *from = x + t->runs[i].from * channels;
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < channels; c++) {
                int32_t sum = 1 << (TAP_BITS - 1);
                for (size_t k = 0; k < t->runs[i].count; k++)
                    sum += from[r * x_row + k * channels + c] * weight(low[k], high[k]);
                y[r * y_row + i * channels + c] = pixel_of(sum);
            }
    }
}

void taps_down_u8_scalar(uint8_t *y, const uint8_t *x, size_t x_row, const int16_t *low, const int16_t *high,
                         size_t count, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t sum = 1 << (TAP_BITS - 1);
        for (size_t k = 0; k < count; k++) sum += x[k * x_row + i] * weight(low[k], high[k]);
        y[i] = pixel_of(sum);
    }
}

bool taps_by_digits_scalar(void)
{
    return false;
}
