/* decimal.h - between decimal text and binary floating point, exact both ways.
 *
 * Reading: decimal_scan() takes a number in JSON's grammar, decimal_bits() rounds it to the nearest value of a
 * format, ties to even, straight from the decimal digits (never through a wider format, which would round twice).
 * Writing: decimal_shortest() gives the fewest digits that read back as the same value, the nearest of those, and
 * decimal_print() lays them out.  Formats are rows, so float16 and bfloat16 are as exact as the others.  Nothing here
 * depends on the locale, allocates or fails for any length of text.
 *
 * Methods: one 64 x 128 bit product with an error bound (after Eisel and Lemire), where its bounds round apart an
 * exact comparison in big integers; Schubfach (Giulietti) for the shortest digits. */
#ifndef WIRE_DECIMAL_H
#define WIRE_DECIMAL_H
#include "base/base.h"

enum {
    DECIMAL_TEXT_MAX = 48,           /* room that decimal_print and decimal_print_* need for their 24 bytes at most */
    DECIMAL_TEN_MAX = 22
};
extern const double decimal_ten[DECIMAL_TEN_MAX + 1];           /* powers of ten, exact, */
static const uint64_t DECIMAL_EXACT_MAX = (uint64_t)1 << 53;    /* as are all integers up to this one */

typedef struct {
    int fraction, exponent;          /* bits of the two fields: 23 and 8 in float32 */
} decimal_format;
extern const decimal_format decimal_f16, decimal_bf16, decimal_f32, decimal_f64;

/* The value is (-1)^minus * w * 10^exp10, where `more` says that non-zero digits follow those in w. */
typedef struct {
    uint64_t w;
    int64_t exp10;
    bool minus, more;
    const char *digits;              /* borrowed: the significand's text, from its first digit to past its last */
    const char *digits_end;
} decimal;

/* One past the number at p, or NULL when it is none: -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?  The byte at
 * end - 1 must be neither a digit nor a sign, a point or an e: it stops every loop. */
const char *decimal_scan(const char *p, const char *end, decimal *ret);
bool decimal_bits(const decimal *d, const decimal_format *f, uint64_t *ret);   /* false = too large */
bool decimal_f32_bits(const decimal *d, uint32_t *ret);                        /* the same with a fast path */
bool decimal_f64_bits(const decimal *d, uint64_t *ret);

void decimal_shortest(uint64_t bits, const decimal_format *f, decimal *ret);   /* of a finite value */
bool decimal_finite(uint64_t bits, const decimal_format *f);
/* The others have words, which are no JSON: read as rapidjson reads them - NaN, Inf, Infinity, each perhaps behind a
 * minus, which says nothing of a NaN - and written as it and Python write them: NaN, Infinity, -Infinity.  One past the
 * word at p, or NULL when there is none; some byte behind p must be no letter. */
const char *decimal_word_scan(const char *p, const decimal_format *f, uint64_t *ret);
size_t decimal_word_print(char *to, uint64_t bits, const decimal_format *f);
/* How long the text is: "0.1", "-12.0", "1.5e-7", "1e23"; always with a point or an exponent.  What lies behind it, up
 * to DECIMAL_TEXT_MAX, is undefined. */
size_t decimal_print(char *to, const decimal *d);
size_t decimal_print_u64(char *to, uint64_t v);
size_t decimal_print_i64(char *to, int64_t v);

#endif
