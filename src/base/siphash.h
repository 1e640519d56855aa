/* siphash.h - SipHash-2-4 with 128 bits (Aumasson and Bernstein): a hash that who does not know its key cannot collide.
 *
 * Bytes come in pieces; where they are cut makes no difference.  Whoever hashes several things in a row says how long
 * each is, or two rows may read the same. */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H
#include "base/base.h"

typedef struct { uint64_t half[2]; } siphash_key;
typedef struct { uint64_t half[2]; } siphash_value;

typedef struct {
    /* private */
    uint64_t v[4], tail, bytes;     /* tail: of the last word, what has come */
} siphash;

void siphash_init(siphash *h, const siphash_key *key);
void siphash_add(siphash *h, const void *bytes, size_t len);
void siphash_add_u64(siphash *h, uint64_t n);
siphash_value siphash_end(siphash *h);

#endif
