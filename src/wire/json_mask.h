/* json_mask.h - where structure is, in 64 bytes of JSON.
 *
 * Pure, one implementation per instruction set; the build picks the file.  Knows no strings and no nesting: the caller
 * steps over strings, and pads the last bytes of a text with blanks. */
#ifndef WIRE_JSON_MASK_H
#define WIRE_JSON_MASK_H
#include "base/base.h"

enum { JSON_MASK_BYTES = 64 };

/* Bit i is set where p[i] is a bracket, a brace, a quote, a backslash or a bar (the last two are by-catch: they stand
 * between the brackets and the braces in ASCII, and never in an array of numbers). */
uint64_t json_mask(const char p[JSON_MASK_BYTES]);
/* p, or how far whole blocks from there have none of these. */
const char *json_mask_clean(const char *p, const char *end);
uint64_t json_mask_commas(const char p[JSON_MASK_BYTES]);   /* bit i: p[i] is a comma */

#endif
