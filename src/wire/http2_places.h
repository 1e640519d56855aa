/* http2_places.h - where the bytes of one read go when they are a body's: to its place, the heads of its frames beside.
 *
 *   socket    ...rest of a frame | head | 16384 bytes | head | 16384 bytes...
 *   body      ...rest of a frame        | 16384 bytes        | 16384 bytes...
 *   heads                        | head |             | head |
 *
 * So a body is not copied from where it was read to.  It is a guess: who has much to say fills its frames and sends one
 * behind the other.  http2_places_right() says how far it came true; what lies behind that is taken out of the body's
 * memory, where it does not belong, before anybody is told of any of it.  Nothing here is allocated. */
#ifndef WIRE_HTTP2_PLACES_H
#define WIRE_HTTP2_PLACES_H
#include "base/base.h"

enum {
    HTTP2_HEAD_BYTES = 9,           /* RFC 9113 4.1 */
    HTTP2_FRAME_MAX = 16384,        /* SETTINGS_MAX_FRAME_SIZE as it is where nobody says otherwise */
    HTTP2_PLACES_MAX = 33           /* pieces: a rest, then heads and bodies by turns */
};

typedef struct {
    size_t len;
    uint8_t type, flags;
    int32_t stream;
} http2_head;

typedef struct {
    mem_span v[HTTP2_PLACES_MAX];
    size_t count;
    /* private */
    int32_t stream;
    size_t first;                   /* piece that is a head; the others follow, every second one */
    uint8_t heads[HTTP2_PLACES_MAX / 2 + 1][HTTP2_HEAD_BYTES];
} http2_places;

http2_head http2_head_of(const uint8_t bytes[HTTP2_HEAD_BYTES]);

/* `room` bytes at `body` are for what comes of the stream's body; `rest` of them are left of the frame that is being
 * read, 0 = a head is next; `last` = it ends the body.  One read shall bring at most `most` bytes. */
void http2_places_lay(http2_places *p, int32_t stream, mem_span body, size_t rest, bool last, size_t most);
/* `came` bytes were read: so many of them, from the first on, are what was guessed. */
size_t http2_places_right(const http2_places *p, size_t came);
/* Copies those from `from` up to `came` to `into`; returns how many. */
size_t http2_places_take_out(const http2_places *p, size_t from, size_t came, uint8_t *into);

#endif
