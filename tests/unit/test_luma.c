/* Property: grey of colour and colour of inks are Pillow's to the last bit, in place. */
#include "media/luma.h"
#include "test.h"

static void grey_is_the_weighted_sum_rounded(void)
{
    /* Image.convert("L") of each */
    uint8_t p[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 2, 3, 255, 255, 255, 200, 100, 50};
    static const uint8_t want[] = {76, 150, 29, 2, 255, 124};
    luma_from_rgb(p, 6);
    CHECK(memcmp(p, want, 6) == 0);
    for (int v = 0; v < 256; v++) {
        uint8_t same[3] = {(uint8_t)v, (uint8_t)v, (uint8_t)v};
        luma_from_rgb(same, 1);
        CHECK_U64(same[0], (uint64_t)v);
    }
    luma_from_rgb(p, 0);
}

static void inks_darken_the_paper(void)
{
    uint8_t p[] = {255, 255, 255, 255, 0, 0, 0, 255, 255, 255, 255, 0, 128, 64, 200, 100, 10, 20, 30, 255};
    static const uint8_t want[] = {255, 255, 255, 0, 0, 0, 0, 0, 0, 50, 25, 78, 10, 20, 30};
    luma_rgb_from_cmyk(p, 5);
    CHECK(memcmp(p, want, sizeof want) == 0);
}

/* Of each ink and each black: what is taken from the black is rounded to the nearest. */
static void every_ink_is_rounded_to_the_nearest(void)
{
    for (unsigned black = 0; black < 256; black++)
        for (unsigned ink = 0; ink < 256; ink++) {
            uint8_t p[4] = {(uint8_t)ink, 0, 255, (uint8_t)black};
            luma_rgb_from_cmyk(p, 1);
            CHECK_U64(p[0], black - (2 * (255 - ink) * black + 255) / 510);
            CHECK(p[1] == 0 && p[2] == black);
        }
}

int main(void)
{
    static const test_case cases[] = {TEST(grey_is_the_weighted_sum_rounded), TEST(inks_darken_the_paper),
                                      TEST(every_ink_is_rounded_to_the_nearest)};
    return test_main(cases, COUNTOF(cases));
}
