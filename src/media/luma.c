#include "media/luma.h"

void luma_from_rgb(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t *c = p + 3 * i;
        p[i] = (uint8_t)((c[0] * 19595u + c[1] * 38470u + c[2] * 7471u + 0x8000u) >> 16);   /* 0.299 0.587 0.114 */
    }
}

/* a * b / 255 to the nearest */
static uint8_t product(uint32_t a, uint32_t b)
{
    uint32_t t = a * b + 128;
    return (uint8_t)(((t >> 8) + t) >> 8);
}

/* Inverted, a component c stands for 255 - c of ink, and black for 255 - k: what is left of the paper's white is
 * k - k * (255 - c) / 255, rounded as Pillow does, which may be 1 off k * c / 255. */
void luma_rgb_from_cmyk(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t *in = p + 4 * i;
        uint8_t k = in[3];
        uint8_t rgb[3] = {product(255u - in[0], k), product(255u - in[1], k), product(255u - in[2], k)};
        for (size_t c = 0; c < 3; c++) p[3 * i + c] = (uint8_t)(k - rgb[c]);
    }
}
