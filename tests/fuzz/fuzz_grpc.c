/* Any bytes as a gRPC stream: cut anywhere it holds the same messages or the same refusal, and what it holds is what a
 * naive reader finds.  The same bytes as grpc-timeout and as a text for grpc-message.
 *
 * The first byte says how the stream is cut and whether messages may be compressed. */
#include "wire/grpc.h"

#include <string.h>

enum { LIMIT = 300 };

/* Messages as u32 length and bytes, then the error's text. */
static void read_cut(buf *out, str stream, size_t cut, bool encoded)
{
    grpc_reader r;
    err e = {0};
    size_t start = 0;
    buf_clear(out);
    grpc_reader_init(&r, LIMIT, encoded);
    for (size_t at = 0; at < stream.len;) {
        size_t n = cut < stream.len - at ? cut : stream.len - at;
        str in = {stream.p + at, n}, piece = {0};
        at += n;
        for (grpc_event event; (event = grpc_reader_feed(&r, &in, &piece, &e)) != GRPC_MORE;) {
            if (event == GRPC_REFUSED) {
                buf_put_z(out, e.text);
                return;
            }
            if (start == 0) {
                uint32_t len = (uint32_t)r.len;
                buf_put(out, &len, sizeof len);
                start = out->len;
            }
            INVARIANT(piece.p >= stream.p && piece.p + piece.len <= stream.p + at);
            buf_put_str(out, piece);
            if (event == GRPC_MESSAGE) {
                INVARIANT(out->len - start == r.len && r.len <= LIMIT);
                start = 0;
            }
        }
        INVARIANT(in.len == 0);
    }
    if (grpc_reader_end(&r, &e)) buf_put_z(out, e.text);
}

/* Whole messages until one is wrong. */
static void naive(const buf *got, str stream, bool encoded)
{
    const uint8_t *p = (const uint8_t *)stream.p;
    size_t at = 0, seen = 0;
    while (stream.len - at >= GRPC_PREFIX_BYTES) {
        size_t len = (size_t)p[at + 1] << 24 | (size_t)p[at + 2] << 16 | (size_t)p[at + 3] << 8 | p[at + 4];
        if (p[at] > encoded || len > LIMIT || len > stream.len - at - GRPC_PREFIX_BYTES) return;
        uint32_t stored;
        INVARIANT(got->len - seen >= sizeof stored + len);
        memcpy(&stored, got->p + seen, sizeof stored);
        INVARIANT(stored == len);
        INVARIANT(memcmp(got->p + seen + sizeof stored, p + at + GRPC_PREFIX_BYTES, len) == 0);
        seen += sizeof stored + len;
        at += GRPC_PREFIX_BYTES + len;
    }
    if (at == stream.len) INVARIANT(seen == got->len);
}

static unsigned hex(uint8_t c) { return c <= '9' ? c - '0' : c - 'A' + 10; }

static void check_text(buf *out, str text)
{
    buf_clear(out);
    grpc_message_print(out, text);
    size_t n = 0;
    for (size_t i = 0; i < out->len; i++, n++) {
        uint8_t c = out->p[i];
        INVARIANT(c >= ' ' && c <= '~');
        if (c == '%') {
            INVARIANT(out->len - i > 2);
            c = (uint8_t)(hex(out->p[i + 1]) << 4 | hex(out->p[i + 2]));
            i += 2;
        }
        INVARIANT(n < text.len && c == (uint8_t)text.p[n]);
    }
    INVARIANT(n == text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static buf whole, cut;
    uint64_t us;
    err e;
    if (size == 0 || size > 4096) return 0;
    if (!whole.p) {
        buf_init(&whole, 1 << 16);
        buf_init(&cut, 1 << 16);
    }
    str stream = {(const char *)data + 1, size - 1};
    bool encoded = data[0] & 1;
    read_cut(&whole, stream, size, encoded);
    read_cut(&cut, stream, 1 + data[0] / 2, encoded);
    INVARIANT(str_eq(buf_str(&whole), buf_str(&cut)));
    naive(&whole, stream, encoded);
    if (grpc_timeout_parse(stream, &us, &e) == ERR_OK) INVARIANT(stream.len >= 2 && us <= UINT64_C(359999996400000000));
    check_text(&cut, stream);
    return 0;
}
