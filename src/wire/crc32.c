#include "wire/crc32.h"

#include <string.h>

static inline uint32_t sum_of(const uint32_t table[8][256], uint32_t sum, str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p, *end = p + bytes.len;
    sum = ~sum;
    for (; end - p >= 8; p += 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        v ^= sum;
        sum = table[7][v & 255] ^ table[6][v >> 8 & 255] ^ table[5][v >> 16 & 255] ^ table[4][v >> 24 & 255] ^
              table[3][v >> 32 & 255] ^ table[2][v >> 40 & 255] ^ table[1][v >> 48 & 255] ^ table[0][v >> 56];
    }
    for (; p < end; p++) sum = sum >> 8 ^ table[0][(sum ^ *p) & 255];
    return ~sum;
}

uint32_t crc32_of(uint32_t sum, str bytes) { return sum_of(crc32_table, sum, bytes); }
uint32_t crc32c_of(uint32_t sum, str bytes) { return sum_of(crc32c_table, sum, bytes); }
