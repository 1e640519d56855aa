/* sha256.h - SHA-256 of bytes in memory (FIPS 180-4).
 *
 * 0.5 us for up to 55 bytes, plain C.  What it is for here: API keys, which are random (serve/api_keys.h).  It is no
 * hash for passwords that people choose.  Its time depends on the length alone. */
#ifndef WIRE_SHA256_H
#define WIRE_SHA256_H
#include "base/str.h"

enum { SHA256_BYTES = 32 };

void sha256(str bytes, uint8_t ret[SHA256_BYTES]);

#endif
