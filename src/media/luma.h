/* luma.h - fewer channels of a picture, in place, as Pillow's convert() computes them.
 *
 * Pure functions over rows of pixels; the result lies at the start of the same memory, n pixels of fewer bytes.
 * Rounding is Pillow's (ITU-R 601 luma in 16-bit fixed point; CMYK by exact division by 255). */
#ifndef MEDIA_LUMA_H
#define MEDIA_LUMA_H
#include "base/base.h"

void luma_from_rgb(uint8_t *p, size_t n);            /* [n, 3] to [n, 1] */
void luma_rgb_from_cmyk(uint8_t *p, size_t n);       /* Adobe's, inverted [n, 4] to [n, 3] */

#endif
