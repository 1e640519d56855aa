/* base64.h - base64 to bytes (RFC 4648), as clients write it.
 *
 * Both alphabets are read, blanks and line ends may stand anywhere, padding may be left out; anything else is
 * refused, with the place of the first byte that is none.  Pure. */
#ifndef WIRE_BASE64_H
#define WIRE_BASE64_H
#include "base/str.h"

/* Room that the bytes of a text of so many take at most. */
static inline size_t base64_room(size_t text_bytes) { return text_bytes / 4 * 3 + 3; }
/* false: *reterr_at is where it ends to be base64; text.len = it is cut off there. */
bool base64_read(str text, uint8_t *to, size_t *ret_len, size_t *reterr_at);

#endif
