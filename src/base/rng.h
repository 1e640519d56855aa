/* rng.h - seeded pseudo-random numbers (xorshift64*), for jitter, ids and tests.
 *
 * The same seed gives the same numbers on every machine, so that a failure's seed replays it.  Never for secrets:
 * two outputs reveal the rest.  Not thread-safe: an rng has one user. */
#ifndef BASE_RNG_H
#define BASE_RNG_H
#include "base/base.h"

typedef struct { uint64_t state; } rng;

void rng_init(rng *r, uint64_t seed);        /* any seed, 0 too */
uint64_t rng_u64(rng *r);
uint64_t rng_below(rng *r, uint64_t n);      /* 0 .. n-1; n > 0 */
double rng_unit(rng *r);                     /* [0, 1) */

#endif
