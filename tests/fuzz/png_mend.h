/* png_mend.h - makes the checksums of a PNG right, in place, so that a fuzzer comes past its first chunk. */
#ifndef TESTS_FUZZ_PNG_MEND_H
#define TESTS_FUZZ_PNG_MEND_H
#include "base/str.h"
#include "wire/crc32.h"

static inline uint32_t png_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void png_mend(uint8_t *p, size_t len)
{
    for (size_t at = 8; len >= 20 && len - at >= 12;) {
        size_t bytes = png_be32(p + at);
        if (bytes > len - at - 12) return;
        uint32_t sum = crc32_of(0, (str){(const char *)p + at + 4, bytes + 4});
        for (size_t i = 0; i < 4; i++) p[at + 8 + bytes + i] = (uint8_t)(sum >> (24 - 8 * i));
        at += bytes + 12;
    }
}

#endif
