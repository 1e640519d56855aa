#include "base/siphash.h"

#include <string.h>

enum { WORD = 8, MARK_WIDE = 0xee, MARK_SECOND = 0xdd };

static uint64_t turned(uint64_t x, int by) { return x << by | x >> (64 - by); }

static inline void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = turned(v[1], 13) ^ v[0];
    v[0] = turned(v[0], 32);
    v[2] += v[3];
    v[3] = turned(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = turned(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = turned(v[1], 17) ^ v[2];
    v[2] = turned(v[2], 32);
}

static inline void word(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    mix(v);
    mix(v);
    v[0] ^= m;
}

void siphash_init(siphash *h, const siphash_key *key)
{
    const uint64_t a = key->half[0], b = key->half[1];
    *h = (siphash){.v = {a ^ 0x736f6d6570736575u, b ^ 0x646f72616e646f6du ^ MARK_WIDE, a ^ 0x6c7967656e657261u,
                         b ^ 0x7465646279746573u}};
}

void siphash_add(siphash *h, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint64_t m;
    for (; len && h->bytes % WORD; len--) {
        h->tail |= (uint64_t)*p++ << 8 * (h->bytes++ % WORD);
        if (h->bytes % WORD == 0) word(h->v, h->tail);
        if (h->bytes % WORD == 0) h->tail = 0;
    }
    h->bytes += len;
    for (; len >= WORD; len -= WORD, p += WORD) {
        memcpy(&m, p, sizeof m);
        word(h->v, m);
    }
    for (size_t i = 0; i < len; i++) h->tail |= (uint64_t)p[i] << 8 * i;
}

void siphash_add_u64(siphash *h, uint64_t n) { siphash_add(h, &n, sizeof n); }

static uint64_t half(siphash *h)
{
    for (int i = 0; i < 4; i++) mix(h->v);
    return h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3];
}

siphash_value siphash_end(siphash *h)
{
    siphash_value ret;
    word(h->v, h->tail | h->bytes << 56);
    h->v[2] ^= MARK_WIDE;
    ret.half[0] = half(h);
    h->v[1] ^= MARK_SECOND;
    ret.half[1] = half(h);
    return ret;
}
