/* crc32.h - the CRC-32 of ZIP, gzip and Ethernet, and CRC-32C (Castagnoli) of iSCSI and logs.
 *
 * Eight bytes per step from constant tables (tools/crc32.py); finds accidents, not attacks.  Both go on from an earlier
 * sum, so text may come in pieces: crc32_of(crc32_of(0, a), b). */
#ifndef WIRE_CRC32_H
#define WIRE_CRC32_H
#include "base/str.h"

extern const uint32_t crc32_table[8][256], crc32c_table[8][256];
uint32_t crc32_of(uint32_t sum, str bytes);
uint32_t crc32c_of(uint32_t sum, str bytes);

#endif
