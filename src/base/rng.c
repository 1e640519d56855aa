#include "base/rng.h"

/* splitmix64's finaliser spreads neighbouring seeds apart; the one seed that it maps to 0, where xorshift
 * would stay for ever, gets another state. */
void rng_init(rng *r, uint64_t seed)
{
    uint64_t z = seed + 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    r->state = z ? z : 1;
}

uint64_t rng_u64(rng *r)
{
    INVARIANT(r->state != 0);
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * 0x2545f4914f6cdd1du;
}

/* Lemire's multiply: the high word is the answer; low words under 2^64 mod n would favour some answers. */
uint64_t rng_below(rng *r, uint64_t n)
{
    INVARIANT(n > 0);
    __extension__ typedef unsigned __int128 u128;
    uint64_t reject = (0 - n) % n;
    u128 product;
    do {
        product = (u128)rng_u64(r) * n;
    } while ((uint64_t)product < reject);
    return (uint64_t)(product >> 64);
}

double rng_unit(rng *r) { return (double)(rng_u64(r) >> 11) * 0x1p-53; }
