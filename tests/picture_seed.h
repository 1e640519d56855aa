/* picture_seed.h - pictures for tests: those that the fuzzer of images begins with, and their base64. */
#ifndef TESTS_PICTURE_SEED_H
#define TESTS_PICTURE_SEED_H
#include "base/str.h"
#include "test.h"

#include <stdio.h>

/* A seed of 11 x 9 pixels (png-*) or 35 x 27 (jpeg-*).  Valid until the next call but three. */
static inline str picture_seed(const char *name)
{
    static char bytes[4][1 << 14];
    static unsigned turn;
    char path[200], *to = bytes[turn++ % 4];
    snprintf(path, sizeof path, "tests/fuzz/corpus/image/%s", name);
    FILE *f = fopen(path, "rb");
    INVARIANT(f);
    size_t n = fread(to, 1, sizeof bytes[0], f);
    fclose(f);
    return (str){to, n};
}

/* Valid until the next call but three. */
static inline const char *picture_base64(str file)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static char text[4][1 << 15];
    static unsigned turn;
    char *to = text[turn++ % 4], *p = to;
    INVARIANT(file.len / 3 * 4 + 8 < sizeof text[0]);
    for (size_t i = 0; i < file.len; i += 3) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++) bits = bits << 8 | (i + k < file.len ? (uint8_t)file.p[i + k] : 0);
        for (size_t k = 0; k < 4; k++) *p++ = i + k <= file.len ? digits[bits >> (18 - 6 * k) & 63] : '=';
    }
    *p = 0;
    return to;
}

#endif
