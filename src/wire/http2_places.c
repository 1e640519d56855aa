#include "wire/http2_places.h"

#include <string.h>

enum { DATA = 0, END_STREAM = 1 };   /* RFC 9113 6.1 */

http2_head http2_head_of(const uint8_t bytes[HTTP2_HEAD_BYTES])
{
    const uint8_t *p = bytes;
    uint32_t stream = (uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8];
    return (http2_head){.len = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2], .type = p[3], .flags = p[4],
                        .stream = (int32_t)(stream & INT32_MAX)};
}

static void add(http2_places *p, void *at, size_t len, size_t *most)
{
    p->v[p->count++] = (mem_span){.p = at, .len = len};
    *most -= len;
}

void http2_places_lay(http2_places *p, int32_t stream, mem_span body, size_t rest, bool last, size_t most)
{
    uint8_t *at = body.p, *end = at + body.len;
    size_t n = least(least(rest, body.len), most);
    p->count = 0;
    p->stream = stream;
    p->first = rest > 0;
    if (rest > 0) add(p, at, n, &most);
    if (last) return;
    for (at += n; at < end && most > HTTP2_HEAD_BYTES && p->count + 2 <= HTTP2_PLACES_MAX; at += n) {
        add(p, p->heads[p->count / 2], HTTP2_HEAD_BYTES, &most);
        n = least(least((size_t)(end - at), HTTP2_FRAME_MAX), most);
        add(p, at, n, &most);
    }
}

/* Piece i is a head, and the next one is to be its frame's, or begin it if there is no other behind that. */
static bool guessed(const http2_places *p, size_t i)
{
    const http2_head f = http2_head_of(p->v[i].p);
    bool last = i + 2 == p->count;
    size_t len = p->v[i + 1].len;
    return f.type == DATA && f.stream == p->stream && (f.flags & ~(last ? END_STREAM : 0)) == 0 &&
           (last ? f.len >= len : f.len == len);
}

size_t http2_places_right(const http2_places *p, size_t came)
{
    size_t at = 0;
    for (size_t i = 0; i < p->count && at < came; at += p->v[i++].len) {
        bool head = i >= p->first && (i - p->first) % 2 == 0;
        if (head && came - at >= HTTP2_HEAD_BYTES && !guessed(p, i)) return at;
    }
    return least(at, came);
}

size_t http2_places_take_out(const http2_places *p, size_t from, size_t came, uint8_t *into)
{
    size_t at = 0, taken = 0;
    for (size_t i = 0; i < p->count && at < came; at += p->v[i++].len) {
        size_t len = least(p->v[i].len, came - at), skip = from > at ? least(from - at, len) : 0;
        memcpy(into + taken, (const uint8_t *)p->v[i].p + skip, len - skip);
        taken += len - skip;
    }
    return taken;
}
