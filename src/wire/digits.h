/* digits.h - runs of decimal digits, eight bytes at a time.
 *
 * Inline because a number costs a few nanoseconds: no branch here looks at how many digits there are, since a wrong
 * guess would cost more than all the rest.  Bytes are little-endian: the first one of the text is the lowest. */
#ifndef WIRE_DIGITS_H
#define WIRE_DIGITS_H
#include "base/base.h"

#include <string.h>

enum { DIGITS_BYTES = 8 };   /* that must be readable at p */

static const uint64_t digits_ten[DIGITS_BYTES + 1] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

/* The bytes at p; digits among them have become 0..9. */
static inline uint64_t digits_load(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v ^ 0x3030303030303030u;
}

/* How many bytes of v are digits before the first other one: 0..8. */
static inline size_t digits_count(uint64_t v)
{
    /* The lowest marked byte is the first one that is no digit; carries only spoil the marks above it. */
    uint64_t other = ((v + 0x7676767676767676u) | v) & 0x8080808080808080u;
    return other ? (size_t)__builtin_ctzll(other) / 8 : 8;
}

static inline bool digits_all(uint64_t v) { return !(((v + 0x7676767676767676u) | v) & 0x8080808080808080u); }

/* The first n bytes of v, n in 1..8, moved to its end behind zeros. */
static inline uint64_t digits_last(uint64_t v, size_t n) { return v << (64 - 8 * n); }

/* The number that eight digits make: pairs, then fours, then all. */
static inline uint64_t digits_value(uint64_t v)
{
    v = (v * 10 + (v >> 8)) & 0x00ff00ff00ff00ffu;
    v = (v * 100 + (v >> 16)) & 0x0000ffff0000ffffu;
    return (v * 10000 + (v >> 32)) & 0xffffffffu;
}

#endif
