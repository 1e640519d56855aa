#include "wire/crc32.h"

#include <string.h>

uint32_t crc32_of(uint32_t sum, str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p, *end = p + bytes.len;
    sum = ~sum;
    for (; end - p >= 8; p += 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        v ^= sum;
        sum = crc32_table[7][v & 255] ^ crc32_table[6][v >> 8 & 255] ^ crc32_table[5][v >> 16 & 255] ^
              crc32_table[4][v >> 24 & 255] ^ crc32_table[3][v >> 32 & 255] ^ crc32_table[2][v >> 40 & 255] ^
              crc32_table[1][v >> 48 & 255] ^ crc32_table[0][v >> 56];
    }
    for (; p < end; p++) sum = sum >> 8 ^ crc32_table[0][(sum ^ *p) & 255];
    return ~sum;
}
