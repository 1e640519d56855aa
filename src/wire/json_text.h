/* json_text.h - strings as JSON spells them: where one ends, what it says, how to write one.
 *
 * Reading refuses what RFC 8259 refuses (bare control characters, unknown escapes, lone surrogates, bytes that are not
 * UTF-8), so a decoded string is always UTF-8; it may hold NUL.  Writing never fails: bytes that are no UTF-8 become
 * U+FFFD, because an error text must reach its reader whatever it quotes. */
#ifndef WIRE_JSON_TEXT_H
#define WIRE_JSON_TEXT_H
#include "base/buf.h"

/* p is past the opening quote; the closing quote, or NULL when there is none before end.  Looks at no escape closer. */
const char *json_text_end(const char *p, const char *end, bool *ret_escaped);
/* What stands between the quotes, decoded into `to`, which has room for raw.len bytes; false = malformed. */
bool json_text_decode(str raw, char *to, size_t *ret_len);
bool json_text_plain_ok(str raw);                       /* the same test for text without backslashes */
void json_text_put(buf *b, str s);                      /* with quotes and escapes */

#endif
