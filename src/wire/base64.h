/* base64.h - base64 (RFC 4648): to bytes, as clients write it, and from bytes.
 *
 * Both alphabets are read, blanks and line ends may stand anywhere, padding may be left out; anything else is
 * refused, with the place of the first byte that is none.  Pure. */
#ifndef WIRE_BASE64_H
#define WIRE_BASE64_H
#include "base/buf.h"

/* Room that the bytes of a text of so many take at most. */
static inline size_t base64_room(size_t text_bytes) { return text_bytes / 4 * 3 + 3; }
/* false: *reterr_at is where it ends to be base64; text.len = it is cut off there. */
bool base64_read(str text, uint8_t *to, size_t *ret_len, size_t *reterr_at);
void base64_put(buf *out, str bytes, bool padded);

#endif
