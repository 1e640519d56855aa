#include "wire/sha256.h"

#include <string.h>

enum { BLOCK = 64, LENGTH_BYTES = 8 };

/* The first 32 bits of the fractions of the cube roots of the first 64 primes. */
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

/* One round: d and h get their new values, and the next round names all eight one further, so that nothing moves. */
static inline void step(const uint32_t s[6], uint32_t *d, uint32_t *h, uint32_t add)
{
    uint32_t a = s[0], b = s[1], c = s[2], e = s[3], f = s[4], g = s[5];
    uint32_t one = *h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (g ^ (e & (f ^ g))) + add;
    *d += one;
    *h = one + (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) | (c & (a | b)));
}

static void add_block(uint32_t to[8], const uint8_t *p)
{
    uint32_t w[64] UNINIT;
    for (int i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        w[i] = w[i - 16] + (turn(x, 7) ^ turn(x, 18) ^ x >> 3) + w[i - 7] + (turn(y, 17) ^ turn(y, 19) ^ y >> 10);
    }
    uint32_t a = to[0], b = to[1], c = to[2], d = to[3], e = to[4], f = to[5], g = to[6], h = to[7];
    for (int i = 0; i < 64; i += 8) {
        const uint32_t *k = constants + i, *v = w + i;
        step((uint32_t[6]){a, b, c, e, f, g}, &d, &h, k[0] + v[0]);
        step((uint32_t[6]){h, a, b, d, e, f}, &c, &g, k[1] + v[1]);
        step((uint32_t[6]){g, h, a, c, d, e}, &b, &f, k[2] + v[2]);
        step((uint32_t[6]){f, g, h, b, c, d}, &a, &e, k[3] + v[3]);
        step((uint32_t[6]){e, f, g, a, b, c}, &h, &d, k[4] + v[4]);
        step((uint32_t[6]){d, e, f, h, a, b}, &g, &c, k[5] + v[5]);
        step((uint32_t[6]){c, d, e, g, h, a}, &f, &b, k[6] + v[6]);
        step((uint32_t[6]){b, c, d, f, g, h}, &e, &a, k[7] + v[7]);
    }
    const uint32_t add[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) to[i] += add[i];
}

void sha256(str bytes, uint8_t ret[SHA256_BYTES])
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t last[2 * BLOCK] = {0};
    const uint8_t *p = (const uint8_t *)bytes.p;
    size_t left = bytes.len;
    for (; left >= BLOCK; left -= BLOCK, p += BLOCK) add_block(h, p);
    if (left) memcpy(last, p, left);
    last[left] = 0x80;
    size_t end = left + 1 + LENGTH_BYTES <= BLOCK ? BLOCK : 2 * BLOCK;
    uint64_t bits = (uint64_t)bytes.len * 8;
    for (size_t i = 1; i <= LENGTH_BYTES; i++, bits >>= 8) last[end - i] = (uint8_t)bits;
    for (size_t at = 0; at < end; at += BLOCK) add_block(h, last + at);
    for (size_t i = 0; i < SHA256_BYTES; i++) ret[i] = (uint8_t)(h[i / 4] >> (24 - i % 4 * 8));
}
