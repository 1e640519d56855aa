/* Property: however a stream is cut, the reader finds the same requests or the same refusal; what two
 * parsers could read in two ways is refused; all that it stores is bounded; replies are exactly as printed. */
#include "test.h"
#include "wire/http1.h"

static const http1_limits limits = {
    .line_bytes_max = 300, .header_bytes_max = 600, .header_count_max = 12, .body_bytes_max = 20000};

/* ---- a transcript of what a stream means ---- */

static void note_request(buf *out, const http_message *q)
{
    buf_printf(out, STR_FMT " " STR_FMT " ?" STR_FMT " %s %s", STR_ARG(q->method), STR_ARG(q->path), STR_ARG(q->query),
               q->http10 ? "1.0" : "1.1", q->keep_alive ? "keep" : "close");
    for (size_t i = 0; i < q->header_count; i++) {
        buf_printf(out, " [" STR_FMT "|" STR_FMT "]", STR_ARG(q->headers[i].name), STR_ARG(q->headers[i].value));
    }
    buf_printf(out, " %zu:", q->body.len);
    buf_put_str(out, q->body);
}

typedef struct {
    http1 reader;
    http_message request;
    buf out;
    bool over;        /* refused, HTTP/2, or closed: the rest is not for the reader */
    bool in_place;    /* bodies by way of http1_body_room() */
    bool parts;       /* bodies by way of http1_stream() */
    buf body;         /* what the parts were */
    bool armed;
} stream;

static void stream_init(stream *s, const http1_limits *l, bool parts)
{
    *s = (stream){.parts = parts};
    http1_init(&s->reader, l, parts);
    buf_init(&s->body, 1 << 20);
    http_message_init(&s->request);
    buf_init(&s->out, 1 << 20);
}

static void stream_fini(stream *s)
{
    http_message_fini(&s->request);
    buf_fini(&s->body);
    buf_fini(&s->out);
}

static void stream_step(stream *s, const uint8_t *data, size_t len, size_t *ret_used)
{
    http_refusal why = {.status = 0};
    if (!s->armed) http1_next(&s->reader, &s->request);
    s->armed = true;
    size_t room = 0;
    uint8_t *place = s->in_place ? http1_body_room(&s->reader, &room) : NULL;
    if (place) {
        len = len < room ? len : room;
        memcpy(place, data, len);
        data = place;
    }
    http1_event got = http1_feed(&s->reader, data, len, ret_used, &why);
    bool tells = got != HTTP1_MORE && got != HTTP1_HEAD && got != HTTP1_PART;
    if (tells && s->out.len) buf_put_byte(&s->out, '\n');
    switch (got) {
    case HTTP1_MORE: CHECK_U64(*ret_used, len); break;
    case HTTP1_HEAD:
        CHECK(s->parts && s->request.path.len && s->request.headers && !s->request.body.len);
        http1_stream(&s->reader);
        break;
    case HTTP1_PART: buf_put_str(&s->body, http1_part(&s->reader)); break;
    case HTTP1_REQUEST:
        if (s->parts) {
            CHECK(!s->request.body.len);
            s->request.body = buf_str(&s->body);
            note_request(&s->out, &s->request);
            buf_clear(&s->body);
            s->request.body = STR("");
        } else
            note_request(&s->out, &s->request);
        s->over = !s->request.keep_alive;
        http_message_clear(&s->request);
        s->armed = false;
        CHECK(http1_idle(&s->reader));
        break;
    case HTTP1_PREFACE: buf_put_z(&s->out, "HTTP/2"); s->over = true; break;
    case HTTP1_STRANGER: buf_put_z(&s->out, "stranger"); s->over = true; break;
    case HTTP1_REFUSED: buf_printf(&s->out, "! %d %s", why.status, why.text); s->over = true; break;
    }
    if (got == HTTP1_PART && *ret_used == len && !s->over) stream_step(s, data, 0, &(size_t){0});
}

static void stream_feed(stream *s, const void *bytes, size_t len)
{
    const uint8_t *data = bytes;
    while (len && !s->over) {
        size_t used = 0;
        stream_step(s, data, len, &used);
        data += used;
        len -= used;
    }
}

static void stream_end(stream *s)
{
    if (!s->over && !http1_idle(&s->reader)) buf_put_z(&s->out, http1_in_body(&s->reader) ? "\n...body" : "\n...head");
    buf_put_byte(&s->out, 0);
}

/* Feeds `bytes` cut at a and b and appends the transcript. */
static void transcript(const http1_limits *l, const void *bytes, size_t len, size_t a, size_t b, bool in_place,
                       bool parts, buf *ret)
{
    stream s;
    stream_init(&s, l, parts);
    s.in_place = in_place;
    stream_feed(&s, bytes, a);
    stream_feed(&s, (const char *)bytes + a, b - a);
    stream_feed(&s, (const char *)bytes + b, len - b);
    stream_end(&s);
    buf_clear(ret);
    buf_put_str(ret, buf_str(&s.out));
    stream_fini(&s);
}

static void check_every_cut(const http1_limits *l, const void *bytes, size_t len, bool pairs, bool parts)
{
    buf want, got;
    buf_init(&want, 1 << 20);
    buf_init(&got, 1 << 20);
    transcript(l, bytes, len, 0, 0, false, false, &want);
    for (size_t a = 0; a <= len; a++) {
        for (size_t b = pairs ? a : len; b <= len; b++) {
            transcript(l, bytes, len, a, b, a & 1, parts, &got);
            if (!str_eq(buf_str(&got), buf_str(&want))) {
                printf("# cut at %zu and %zu\n", a, b);
                CHECK_STR((const char *)got.p, (const char *)want.p);
            }
        }
    }
    stream s;
    stream_init(&s, l, parts);
    for (size_t i = 0; i < len; i++) stream_feed(&s, (const char *)bytes + i, 1);
    stream_end(&s);
    CHECK_STR((const char *)s.out.p, (const char *)want.p);
    stream_fini(&s);
    buf_fini(&want);
    buf_fini(&got);
}

static void check_stream(const char *z, const char *want)
{
    buf got;
    buf_init(&got, 1 << 20);
    transcript(&limits, z, strlen(z), 0, 0, false, false, &got);
    CHECK_STR((const char *)got.p, want);
    buf_fini(&got);
    check_every_cut(&limits, z, strlen(z), false, false);
}

/* ---- tests ---- */

static const char mix[] =
    "GET /v2/health/ready HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\n\r\n"
    "\r\nPOST /v2/models/m%20x/infer?a=%41&b HTTP/1.1\r\nhost:b\r\nContent-Length: 11\r\nX-Empty:\r\n\r\nhello world"
    "POST /c HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;ext=\"v\"\r\nhello\r\nA\r\n, chunks!!\r\n0\r\nTrail: er\r\n\r\n"
    "PUT http://h.example/abs?q HTTP/1.1\r\nHost: h.example\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
    "Content-Length: 0\r\n\r\n"
    "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    "GET /last HTTP/1.1\r\nHost: [::1]:8080\r\nX: \t padded \t \r\nConnection: close\r\n\r\nnot read any more";

static void pipelined_requests_are_the_same_at_every_cut(void)
{
    check_stream(mix,
        "GET /v2/health/ready ? 1.1 keep [Host|a:80] [Accept|*/*] 0:\n"
        "POST /v2/models/m x/infer ?a=%41&b 1.1 keep [host|b] [Content-Length|11] [X-Empty|] 11:hello world\n"
        "POST /c ? 1.1 keep [Host|b] [Transfer-Encoding|chunked] 15:hello, chunks!!\n"
        "PUT /abs ?q 1.1 keep [Host|h.example] [Upgrade|h2c] [Connection|Upgrade] [Content-Length|0] 0:\n"
        "GET /old ? 1.0 keep [Connection|keep-alive] 0:\n"
        "GET /last ? 1.1 close [Host|[::1]:8080] [X|padded] [Connection|close] 0:");
}

static void short_streams_are_the_same_at_every_pair_of_cuts(void)
{
    static const char *const streams[] = {
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        ("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
         "GET /b%2Fc HTTP/1.0\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest",
        "PRI * HTTP/1.0\r\n\r\nSM\r\n\r\nrest",
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    for (size_t i = 0; i < COUNTOF(streams); i++) check_every_cut(&limits, streams[i], strlen(streams[i]), true, false);
}

static void a_body_told_in_parts_is_the_same_body_at_every_cut(void)
{
    static const char two[] = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
                              "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    check_every_cut(&limits, mix, strlen(mix), false, true);
    check_every_cut(&limits, two, strlen(two), true, true);
}

#define GET "GET / HTTP/1.1\r\n"
#define HOST "Host: h\r\n"
#define POST "POST / HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

typedef struct {
    const char *stream, *want;
} shape;

#define ODD_PREFACE "! 400 request: expected HTTP/1.1, got HTTP/2's preface, not as it has to be"

static const shape refused[] = {
    {POST "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", "! 400 request: Duplicate Content-Length"},
    {POST "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", "! 400 request: Duplicate Content-Length"},
    {POST "Content-Length: 4, 4\r\n\r\nabcd", "! 400 request: Invalid character in Content-Length"},
    {POST "Content-Length: +4\r\n\r\nabcd", "! 400 request: Invalid character in Content-Length"},
    {POST "Content-Length: -4\r\n\r\nabcd", "! 400 request: Invalid character in Content-Length"},
    {POST "Content-Length: 0x4\r\n\r\nabcd", "! 400 request: Invalid character in Content-Length"},
    {POST "Content-Length: 4 4\r\n\r\nabcd", "! 400 request: Invalid character in Content-Length"},
    {POST "Content-Length: \r\n\r\nabcd", "! 400 request: Empty Content-Length"},
    {POST "Content-Length:\r\n\r\nabcd", "! 400 request: Empty Content-Length"},
    {POST "Content-Length: 18446744073709551616\r\n\r\n", "! 400 request: Content-Length overflow"},
    {POST "Content-Length: 99999999999999999999999\r\n\r\n", "! 400 request: Content-Length overflow"},
    {POST "Content-Length : 4\r\n\r\nabcd", "! 400 request: Invalid header field char"},
    {POST "Content-Length\r\n: 4\r\n\r\nabcd", "! 400 request: Invalid header token"},
    {POST " Content-Length: 4\r\n\r\nabcd", "! 400 request: Unexpected whitespace after header value"},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "! 400 request: Invalid `Transfer-Encoding` header value"},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
     "! 400 Transfer-Encoding: expected once, got it twice"},
    {POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
     "! 400 request: Invalid `Transfer-Encoding` header value"},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "! 501 Transfer-Encoding: expected 'chunked'"},
    {POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
     "! 400 request: Invalid `Transfer-Encoding` header value"},
    {POST "Transfer-Encoding: identity\r\n\r\n", "! 501 Transfer-Encoding: expected 'chunked'"},
    {POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "! 501 Transfer-Encoding: expected 'chunked'"},
    {POST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", "! 400 request: Invalid header value char"},
    {POST "Transfer-Encoding: \r\n\r\n0\r\n\r\n", "! 501 Transfer-Encoding: expected 'chunked'"},
    {POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "! 400 request: Invalid header field char"},
    {POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "! 400 request: Invalid header value char"},
    {POST "Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n",
     "POST / ? 1.1 keep [Host|h] [Transfer_Encoding|chunked] 0:\n! 501 method: expected one of HTTP's"},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "! 400 Transfer-Encoding: expected none with HTTP/1.0"},
    {CHUNKED "g\r\n", "! 400 request: Invalid character in chunk size"},
    {CHUNKED "-1\r\n", "! 400 request: Invalid character in chunk size"},
    {CHUNKED "0x5\r\nhello\r\n", "! 400 request: Invalid character in chunk size"},
    {CHUNKED " 5\r\nhello\r\n", "! 400 request: Invalid character in chunk size"},
    {CHUNKED "5 \r\nhello\r\n", "! 400 request: Invalid character in chunk size"},
    {CHUNKED "5\nhello\r\n", "! 400 request: Missing expected CR after chunk size"},
    {CHUNKED "5\r\nhello\n0\r\n\r\n", "! 400 request: Missing expected CR after chunk data"},
    {CHUNKED "5\r\nhello0\r\n\r\n", "! 400 request: Expected LF after chunk data"},
    {CHUNKED "5\r\nhelloXX0\r\n\r\n", "! 400 request: Expected LF after chunk data"},
    {CHUNKED "ffffffffffffffff1\r\n", "! 400 request: Chunk size overflow"},
    {CHUNKED "ffffffffffffffff\r\n", "! 413 body: expected at most 20000 bytes, got more"},
    {CHUNKED "10000000000000000\r\n", "! 400 request: Chunk size overflow"},
    {CHUNKED "\r\n", "! 400 request: Invalid character in chunk size"},
    {CHUNKED ";x=y\r\n", "! 400 request: Invalid character in chunk size"},
    {CHUNKED "5;a=\"b\r\nhello\r\n", "! 400 request: Invalid character in chunk extensions quoted value"},
    {CHUNKED "5;\nhello\r\n0\r\n\r\n", "! 400 request: Missing expected CR after chunk extension name"},
    {CHUNKED "5\r\r\nhello", "! 400 request: Expected LF after chunk size"},
    {CHUNKED "0\r\n\n", "! 400 request: Invalid header field char"},
    {CHUNKED "0\r\nA: b\n\r\n", "! 400 request: Missing expected CR after header value"},
    {CHUNKED "0\r\nContent-Length: 5\r\n\r\n",
     "! 400 request: Content-Length can't be present with Transfer-Encoding"},
    {CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n",
     "! 400 request: Invalid `Transfer-Encoding` header value"},
    {CHUNKED "0\r\n bad\r\n\r\n", "! 400 request: Invalid header token"},
    {"GET / HTTP/1.1\nHost: h\n\n", "! 400 request: Expected CRLF after version"},
    {"GET / HTTP/1.1\r\nHost: h\n\r\n", "! 400 request: Missing expected CR after header value"},
    {"GET / HTTP/1.1\r\nHost: h\r\n\n", "! 400 request: Invalid header field char"},
    {"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", "! 400 request: Missing expected LF after header value"},
    {"GET / HTTP/1.1\rHost: h\r\n\r\n", "! 400 request: Expected CRLF after version"},
    {"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", "! 400 request: Missing expected LF after header value"},
    {"GET / HTTP/1.1\r\n\r\nHost: h\r\n\r\n", "! 400 Host: expected once, got none"},
    {GET HOST "A: b\r\n c\r\n\r\n", "! 400 request: Unexpected whitespace after header value"},
    {GET HOST "A: b\r\n\tc\r\n\r\n", "! 400 request: Unexpected whitespace after header value"},
    {GET HOST "A:\r\n c\r\n\r\n", "! 400 request: Invalid header value char"},
    {GET HOST " A: b\r\n\r\n", "! 400 request: Unexpected whitespace after header value"},
    {GET " Host: h\r\n\r\n", "! 400 request: Unexpected space after start line"},
    {GET HOST "A : b\r\n\r\n", "! 400 request: Invalid header token"},
    {GET HOST ": b\r\n\r\n", "! 400 request: Invalid header token"},
    {GET HOST "A\r\n\r\n", "! 400 request: Invalid header token"},
    {GET HOST "A\tB: c\r\n\r\n", "! 400 request: Invalid header token"},
    {GET HOST "A(B): c\r\n\r\n", "! 400 request: Invalid header token"},
    {GET HOST "A: b\001c\r\n\r\n", "! 400 request: Invalid header value char"},
    {GET HOST "A: b\177c\r\n\r\n", "! 400 request: Invalid header value char"},
    {GET HOST "\303\244: b\r\n\r\n", "! 400 request: Invalid header token"},
    {GET "\r\n", "! 400 Host: expected once, got none"},
    {GET HOST HOST "\r\n", "! 400 Host: expected once, got it twice"},
    {GET HOST "Host: other\r\n\r\n", "! 400 Host: expected once, got it twice"},
    {GET "Host: a b\r\n\r\n", "! 400 Host: expected a host name or address and a port"},
    {GET "Host: a/b\r\n\r\n", "! 400 Host: expected a host name or address and a port"},
    {GET "Host: a, b\r\n\r\n", "! 400 Host: expected a host name or address and a port"},
    {GET "Host: a@b\r\n\r\n", "! 400 Host: expected a host name or address and a port"},
    {"GET / HTTP/1.0\r\n" HOST HOST "\r\n", "! 400 Host: expected once, got it twice"},
    {"GET / HTTP/1.1 \r\n" HOST "\r\n", "! 400 request: Expected CRLF after version"},
    {"GET\t/\tHTTP/1.1\r\n" HOST "\r\n", "! 400 request: Expected space after method"},
    {" GET / HTTP/1.1\r\n" HOST "\r\n", "! 400 request: Invalid method encountered"},
    {"GET / HTTP/1.1" HOST "\r\n", "! 400 request: Expected CRLF after version"},
    {"GET /a b HTTP/1.1\r\n" HOST "\r\n", "! 400 request: Expected HTTP/"},
    {"GET /\177 HTTP/1.1\r\n" HOST "\r\n", "! 400 request: Invalid char in url path"},
    {"GET /\303\244 HTTP/1.1\r\n" HOST "\r\n", "! 400 request: Invalid char in url path"},
    {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", "! 400 request target: invalid character"},
    {"GET a HTTP/1.1\r\n" HOST "\r\n", "! 400 request: Invalid characters in url"},
    {"GET * HTTP/1.1\r\n" HOST "\r\n", "! 400 request target: expected a path or an http URL"},
    {"GET http:/// HTTP/1.1\r\n" HOST "\r\n", "! 400 request target: expected a path or an http URL"},
    {"GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", "! 400 request target: expected a path or an http URL"},
    {"GET /% HTTP/1.1\r\n" HOST "\r\n",
     "! 400 request target: expected two hexadecimal digits, not 00, behind '%'"},
    {"GET /%4 HTTP/1.1\r\n" HOST "\r\n",
     "! 400 request target: expected two hexadecimal digits, not 00, behind '%'"},
    {"GET /%4g HTTP/1.1\r\n" HOST "\r\n",
     "! 400 request target: expected two hexadecimal digits, not 00, behind '%'"},
    {"GET /%00 HTTP/1.1\r\n" HOST "\r\n",
     "! 400 request target: expected two hexadecimal digits, not 00, behind '%'"},
    {"CONNECT h:1 HTTP/1.1\r\n" HOST "\r\n", "! 501 method: expected any but CONNECT"},
    {"GET /\r\n\r\n", "! 505 HTTP version: expected 1.0 or 1.1"},
    {GET HOST "\r\nGET / HTTP/: a\r\n\r\n", "GET / ? 1.1 keep [Host|h] 0:\n! 505 HTTP version: expected 1.0 or 1.1"},
    {"GET / HTTP/0.9\r\n\r\n", "! 505 HTTP version: expected 1.0 or 1.1"},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", "! 505 HTTP version: expected 1.0 or 1.1"},
    {"GET / HTTP/2.0\r\n" HOST "\r\n", "! 505 HTTP version: expected 1.0 or 1.1"},
    {"GET / HTTP/3.0\r\n" HOST "\r\n", "! 505 HTTP version: expected 1.0 or 1.1"},
    {"GET / HTTP/11.1\r\n" HOST "\r\n", "! 400 request: Expected dot"},
    {"GET / http/1.1\r\n" HOST "\r\n", "! 400 request: Expected HTTP/"},
    {"GET / ICE/1.0\r\n" HOST "\r\n", "! 400 request: Expected SOURCE method for ICE/x.x request"},
    {"GET / RTSP/1.0\r\n" HOST "\r\n", "! 400 request: expected HTTP"},
    {"DESCRIBE / HTTP/1.1\r\n" HOST "\r\n", "! 400 request: Invalid method for HTTP/x.x request"},
    {"BREW / HTTP/1.1\r\n" HOST "\r\n", "! 501 method: expected one of HTTP's"},
    {"GETX / HTTP/1.1\r\n" HOST "\r\n", "! 501 method: expected one of HTTP's"},
    {"get / HTTP/1.1\r\n" HOST "\r\n", "! 501 method: expected one of HTTP's"},
    {"\026\003\001\002", "! 400 request: Invalid method encountered"},
    {"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", "! 505 HTTP version: expected 1.0 or 1.1"},
    {"PRI * HTTP/1.0\r\n\r\nSM\r\n\r\n", ODD_PREFACE},
    {"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", ODD_PREFACE},
    {"PRI / HTTP/2.0\r\n\r\nSM\r\n\r\n", ODD_PREFACE},
    {"PRI  * HTTP/2.0\r\n\r\nSM\r\n\r\n", ODD_PREFACE},
    {"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ODD_PREFACE},
    {"PRI / HTTP/1.1\r\n" HOST "\r\n", "! 400 request: Expected HTTP/2 Connection Preface"},
    {GET HOST "\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
     "GET / ? 1.1 keep [Host|h] 0:\n! 400 request: expected HTTP/1.1, got HTTP/2's preface"},
    {POST "Expect: 200-maybe\r\nContent-Length: 1\r\n\r\n", "! 417 Expect: expected '100-continue'"},
    {"\r\nBREW /  HTTP / HTTP/1.1\r\n" HOST "\r\n", "! 501 method: expected one of HTTP's"},
    {"BREW /\nGET / HTTP/1.1\r\n" HOST "\r\n", "stranger"},
    {"INVALID CONNECTION PREFACE\r\n\r\n", "stranger"},
    {HOST "\r\n", "stranger"},
    {GET HOST "\r\nBREW / \r\n", "GET / ? 1.1 keep [Host|h] 0:\n! 501 method: expected one of HTTP's"},
};

static const shape unusual[] = {
    {POST "Content-Length: 4 \r\n\r\nabcd", "POST / ? 1.1 keep [Host|h] [Content-Length|4] 4:abcd"},
    {POST "Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
     "POST / ? 1.1 keep [Host|h] [Transfer-Encoding|chunked] 0:"},
    {POST "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
     "POST / ? 1.1 keep [Host|h] [Transfer-Encoding|CHUNKED] 0:"},
    {POST "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n",
     "POST / ? 1.1 keep [Host|h] [Transfer-Encoding|chunked] 0:"},
    {GET HOST "A: b\tc\r\n\r\n", "GET / ? 1.1 keep [Host|h] [A|b\011c] 0:"},
    {GET HOST "A: \303\244\r\n\r\n", "GET / ? 1.1 keep [Host|h] [A|\303\244] 0:"},
    {GET "Host:\r\n\r\n", "GET / ? 1.1 keep [Host|] 0:"},
    {"GET / HTTP/1.0\r\n\r\n", "GET / ? 1.0 close 0:"},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", "GET / ? 1.1 keep [Host|h] 0:"},
    {"GET /  HTTP/1.1\r\n" HOST "\r\n", "GET / ? 1.1 keep [Host|h] 0:"},
    {"\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET / ? 1.1 keep [Host|h] 0:"},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS / ? 1.1 keep [Host|h] 0:"},
    {"GET http://a HTTP/1.1\r\n" HOST "\r\n", "GET / ? 1.1 keep [Host|h] 0:"},
    {"GET http://a?b/c HTTP/1.1\r\n" HOST "\r\n", "GET / ?b/c 1.1 keep [Host|h] 0:"},
    {"GET HTTPS://a:1/b/../c HTTP/1.1\r\n" HOST "\r\n", "GET /b/../c ? 1.1 keep [Host|h] 0:"},
    {"GET //a/b HTTP/1.1\r\n" HOST "\r\n", "GET //a/b ? 1.1 keep [Host|h] 0:"},
    {"GET /%41%2f%e4%0a?%zz HTTP/1.1\r\n" HOST "\r\n", "GET /A/\344\n ?%zz 1.1 keep [Host|h] 0:"},
    {"GET /?a?b HTTP/1.1\r\n" HOST "\r\n", "GET / ?a?b 1.1 keep [Host|h] 0:"},
    {"GET /\r\n", "\n...head"},
    {"SOURCE / HTTP/1.1\r\n" HOST "\r\n", "SOURCE / ? 1.1 keep [Host|h] 0:"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"},
    {POST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", "\n...body"},
    {GET HOST "Connection: keep-alive, close\r\n\r\nGET",
     "GET / ? 1.1 close [Host|h] [Connection|keep-alive, close] 0:"},
    {GET HOST "Connection: keep-alive\r\nConnection: close\r\n\r\nGET",
     "GET / ? 1.1 close [Host|h] [Connection|keep-alive] [Connection|close] 0:"},
    {"GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\nGET",
     "GET / ? 1.0 close [Connection|close, keep-alive] 0:"},
    {GET HOST "Upgrade: websocket\r\nConnection: upgrade\r\n\r\n",
     "GET / ? 1.1 keep [Host|h] [Upgrade|websocket] [Connection|upgrade] 0:"},
    {POST "Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nab",
     "POST / ? 1.1 keep [Host|h] [Upgrade|websocket] [Connection|upgrade] [Content-Length|2] 2:ab"},
    {GET HOST "Content-Length: 2\r\n\r\nab", "GET / ? 1.1 keep [Host|h] [Content-Length|2] 2:ab"},
    {"\r\n\r\n\r\n", ""},
};

static void shapes_that_two_parsers_could_read_in_two_ways_are_refused(void)
{
    for (size_t i = 0; i < COUNTOF(refused); i++) check_stream(refused[i].stream, refused[i].want);
}

static void unusual_shapes_with_one_meaning_are_read(void)
{
    for (size_t i = 0; i < COUNTOF(unusual); i++) check_stream(unusual[i].stream, unusual[i].want);
}

/* ---- limits ---- */

#define FILLER "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
static const char filler[] = FILLER;

static void put_times(buf *b, const char *z, size_t times)
{
    for (size_t i = 0; i < times; i++) buf_put_z(b, z);
}

static void check_buf(buf *b, const char *want)
{
    buf_put_byte(b, 0);
    CHECK(!b->full);
    check_stream((const char *)b->p, want);
    buf_fini(b);
}

static void each_limit_has_its_status_and_its_edge(void)
{
    buf b;
    buf_init(&b, 1 << 20);
    put_times(&b, "GET /", 1);
    put_times(&b, "x", 288);
    buf_put_z(&b, " HTTP/1.1\r\n" HOST "\r\n");
    buf want;
    buf_init(&want, 1000);
    put_times(&want, "GET /", 1);
    put_times(&want, "x", 199);   /* STR_FMT shows 200 bytes */
    buf_printf(&want, " ? 1.1 keep [Host|h] 0:%c", 0);
    check_buf(&b, (const char *)want.p);
    buf_fini(&want);

    put_times(&b, "GET /", 1);
    put_times(&b, "x", 289);
    buf_put_z(&b, " HTTP/");
    check_buf(&b, "! 414 request line: expected at most 300 bytes");

    put_times(&b, "BREW /", 1);
    put_times(&b, "x", 294);
    check_buf(&b, "! 414 request line: expected at most 300 bytes");
    put_times(&b, "BREW /", 1);
    put_times(&b, "x", 287);
    buf_put_z(&b, " HTTP/1.1");
    check_buf(&b, "! 501 method: expected one of HTTP's");

    put_times(&b, GET HOST "A: ", 1);
    put_times(&b, filler, 10);
    check_buf(&b, "! 431 headers: expected at most 600 bytes");

    put_times(&b, GET HOST, 1);
    put_times(&b, "A:\r\n", 13);
    check_buf(&b, "! 431 headers: expected at most 12 of them");

    put_times(&b, GET HOST, 1);
    put_times(&b, "A:\r\n", 11);
    put_times(&b, "\r\n", 1);
    check_buf(&b, "GET / ? 1.1 keep [Host|h] [A|] [A|] [A|] [A|] [A|] [A|] [A|] [A|] [A|] [A|] [A|] 0:");

    buf_put_z(&b, POST "Content-Length: 20000\r\n\r\n");
    check_buf(&b, "\n...body");
    buf_put_z(&b, CHUNKED "4e20\r\n");
    check_buf(&b, "\n...body");
    buf_put_z(&b, POST "Content-Length: 20001\r\n\r\n");
    check_buf(&b, "! 413 body: expected at most 20000 bytes, got 20001");
    buf_put_z(&b, POST "Content-Length: 18446744073709551615\r\n\r\n");
    check_buf(&b, "! 413 body: expected at most 20000 bytes, got 18446744073709551615");
    buf_put_z(&b, CHUNKED "4e21\r\n");
    check_buf(&b, "! 413 body: expected at most 20000 bytes, got more");
    buf_put_z(&b, CHUNKED "3\r\nabc\r\n4e1e\r\n");
    check_buf(&b, "! 413 body: expected at most 20000 bytes, got more");
}

static void framing_that_is_only_skipped_is_bounded(void)
{
    buf b;
    buf_init(&b, 1 << 20);
    put_times(&b, "\r\n", 450);
    check_buf(&b, "! 414 request line: expected at most 300 bytes");

    put_times(&b, GET "A:", 1);
    put_times(&b, "    ", 300);
    check_buf(&b, "! 431 headers: expected at most 600 bytes");

    put_times(&b, CHUNKED "1;", 1);
    put_times(&b, filler, 40);
    check_buf(&b, "! 400 chunks: expected at most 128 bytes of framing in each");

    put_times(&b, CHUNKED, 1);
    put_times(&b, "00000000", 300);
    check_buf(&b, "! 400 chunks: expected at most 128 bytes of framing in each");

    put_times(&b, CHUNKED "0\r\nT: ", 1);
    put_times(&b, filler, 40);
    check_buf(&b, "! 400 chunks: expected at most 128 bytes of framing in each");

    put_times(&b, CHUNKED, 1);
    put_times(&b, "1\r\nx\r\n", 600);   /* one byte per chunk is wasteful, but within bounds */
    put_times(&b, "0\r\n\r\n", 1);
    buf want;
    buf_init(&want, 1000);
    buf_put_z(&want, "POST / ? 1.1 keep [Host|h] [Transfer-Encoding|chunked] 600:");
    put_times(&want, "x", 600);
    buf_put_byte(&want, 0);
    check_buf(&b, (const char *)want.p);
    buf_fini(&want);
}

/* ---- bodies and memory ---- */

static const http1_limits wide = {
    .line_bytes_max = 8192, .header_bytes_max = 32768, .header_count_max = 100, .body_bytes_max = 64 << 20};

static void feed_whole(http1 *r, http_message *q, const void *bytes, size_t len)
{
    http_refusal why = {.status = 0};
    size_t used = 0;
    http1_next(r, q);
    CHECK_U64(http1_feed(r, bytes, len, &used, &why), HTTP1_REQUEST);
    CHECK_U64(used, len);
}

static void a_body_read_in_place_is_aligned_and_never_copied(void)
{
    enum { BODY = 9 << 20 };   /* longer than what is trusted to come */
    http1 r;
    http_message q;
    http_message_init(&q);
    http1_init(&r, &wide, false);
    http1_next(&r, &q);
    char head[128];
    int n = snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\nxyz", BODY);
    http_refusal why;
    size_t used, room = 0, sent = 3, places = 0;
    CHECK_U64(http1_feed(&r, (const uint8_t *)head, (size_t)n, &used, &why), HTTP1_MORE);
    CHECK(http1_in_body(&r) && !http1_idle(&r));
    http1_event got = HTTP1_MORE;
    while (got == HTTP1_MORE && sent < BODY) {
        uint8_t *place = http1_body_room(&r, &room), byte = (uint8_t)(sent * 31);
        if (place) places++;
        if (place && room > 100000) room = 100000;
        for (size_t i = 0; place && i < room; i++) place[i] = (uint8_t)((sent + i) * 31);
        got = place ? http1_feed(&r, place, room, &used, &why) : http1_feed(&r, &byte, 1, &used, &why);
        CHECK_U64(used, place ? room : 1);
        sent += used;
    }
    CHECK_U64(got, HTTP1_REQUEST);
    CHECK_U64(sent, BODY);
    CHECK(places > 80);
    CHECK_U64(q.body.len, BODY);
    CHECK_U64((uintptr_t)q.body.p % 64, 0);
    size_t wrong = memcmp(q.body.p, "xyz", 3) != 0;
    for (size_t i = 3; i < q.body.len; i++) wrong += (uint8_t)q.body.p[i] != (uint8_t)(i * 31);
    CHECK_U64(wrong, 0);
    http_message_fini(&q);
}

static void a_declared_length_alone_takes_little_memory(void)
{
    http1 r;
    http_message q;
    http_message_init(&q);
    http1_init(&r, &wide, false);
    http1_next(&r, &q);
    const char head[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000000\r\n\r\nx";
    http_refusal why;
    size_t used;
    CHECK_U64(http1_feed(&r, (const uint8_t *)head, sizeof head - 1, &used, &why), HTTP1_MORE);
    CHECK(http_message_room(&q) < 5 << 20);
    http_message_fini(&q);
}

static void what_is_due_is_not_known_of_chunks_and_streams(void)
{
    static const char *const heads[] = {"Transfer-Encoding: chunked\r\n\r\nffff\r\nabc",
                                        "Content-Length: 60000\r\n\r\nabc"};
    for (size_t i = 0; i < COUNTOF(heads); i++) {
        http1 r;
        http_message q;
        http_message_init(&q);
        http1_init(&r, &wide, true);
        http1_next(&r, &q);
        char text[200];
        http_refusal why;
        size_t used, at = 0, n = (size_t)snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: h\r\n%s", heads[i]);
        CHECK_U64(http1_due(&r), 0);
        http1_event got = http1_feed(&r, (const uint8_t *)text, n, &used, &why);
        if (got == HTTP1_HEAD && i) http1_stream(&r);
        for (at = used; got != HTTP1_MORE && at <= n; at += used)
            got = http1_feed(&r, (const uint8_t *)text + at, n - at, &used, &why);
        CHECK(http1_in_body(&r));
        CHECK_U64(http1_due(&r), 0);
        http_message_fini(&q);
    }
}

static void the_room_for_a_body_ends_with_it(void)
{
    http1 r;
    http_message q;
    http_message_init(&q);
    http1_init(&r, &wide, false);
    buf b;
    buf_init(&b, 1 << 20);
    buf_put_z(&b, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 64000\r\n\r\n");
    put_times(&b, filler, 1000);
    feed_whole(&r, &q, b.p, b.len);   /* leaves memory that is longer than the next body */
    http_message_clear(&q);
    http1_next(&r, &q);
    const char head[] = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000\r\n\r\nx";
    http_refusal why;
    size_t used, room = 0;
    CHECK_U64(http1_feed(&r, (const uint8_t *)head, sizeof head - 1, &used, &why), HTTP1_MORE);
    CHECK(http1_body_room(&r, &room) == q.bytes + 1);
    CHECK_U64(room, 8999);
    CHECK_U64(http1_due(&r), 8999);
    CHECK_U64(http1_feed(&r, b.p, 6000, &used, &why), HTTP1_MORE);
    CHECK(!http1_body_room(&r, &room));   /* too little for a read of its own */
    CHECK_U64(http1_due(&r), 2999);
    CHECK_U64(http1_feed(&r, b.p, 2999, &used, &why), HTTP1_REQUEST);
    CHECK_U64(http1_due(&r), 0);
    buf_fini(&b);
    http_message_fini(&q);
}

static void chunked_bodies_and_trailers_take_no_more_memory_than_they_may(void)
{
    http1 r;
    http_message q;
    http_message_init(&q);
    http1_init(&r, &limits, false);
    buf b;
    buf_init(&b, 1 << 20);
    buf_put_z(&b, "POST /path HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 312; i++) http1_print_chunk(&b, STR(FILLER));
    buf_put_z(&b, "0\r\n");
    put_times(&b, FILLER ": " FILLER "\r\n", 30);
    buf_put_z(&b, "\r\n");
    feed_whole(&r, &q, b.p, b.len);
    CHECK(str_is(q.path, "/path") && q.header_count == 2 && q.body.len == 19968);
    CHECK(http_message_room(&q) < 20000 + 1024 + 600);   /* the body's limit, and a small head */
    buf_fini(&b);
    http_message_fini(&q);
}

static void views_survive_the_growth_of_the_head(void)
{
    buf b;
    buf_init(&b, 1 << 20);
    buf_put_z(&b, "GET /path?query HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 90; i++) buf_printf(&b, "Name-%d: value %d %s\r\n", i, i, filler);
    buf_put_z(&b, "\r\n");
    http1 r;
    http_message q;
    http_message_init(&q);
    http1_init(&r, &wide, false);
    feed_whole(&r, &q, b.p, b.len);
    CHECK(str_is(q.path, "/path") && str_is(q.query, "query"));
    CHECK_U64(q.header_count, 91);
    for (int i = 0; i < 90; i++) {
        char name[32], value[128];
        snprintf(name, sizeof name, "nAME-%d", i);
        snprintf(value, sizeof value, "value %d %s", i, filler);
        CHECK(str_is(http_header_find(q.headers, q.header_count, name), value));
    }
    CHECK(str_is(http_header_find(q.headers, q.header_count, "absent"), ""));
    buf_fini(&b);
    http_message_fini(&q);
}

static void a_steady_load_allocates_nothing(void)
{
    http1 r;
    http_message q;
    http_message_init(&q);
    http1_init(&r, &wide, false);
    const char one[] = "POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    feed_whole(&r, &q, one, sizeof one - 1);
    long before = mem_allocs();
    for (int i = 0; i < 100; i++) {
        http_message_clear(&q);
        feed_whole(&r, &q, one, sizeof one - 1);
    }
    CHECK_U64((uint64_t)mem_allocs(), (uint64_t)before);
    http_message_fini(&q);
}

static void no_memory_is_a_refusal_and_leaks_nothing(void)
{
    FAULT_SWEEP({
        stream s;
        stream_init(&s, &limits, false);
        s.out.p = NULL;
        http_refusal why = {.status = 0};
        size_t used = 0;
        http1_next(&s.reader, &s.request);
        const char z[] = CHUNKED "5\r\nhello\r\n0\r\n\r\n";
        http1_event got = http1_feed(&s.reader, (const uint8_t *)z, sizeof z - 1, &used, &why);
        CHECK(got == HTTP1_REQUEST || (got == HTTP1_REFUSED && why.status == 503));
        stream_fini(&s);
    });
}

/* One request more; what it is fed stays in it until http_message_fini(). */
static void feed_part(http1 *r, http_message *q, const http1_limits *l, const char *head, size_t body, buf *ret)
{
    static uint8_t bytes[(4 << 20) + 100];
    http_refusal why = {.status = 0};
    size_t used, n = strlen(head);
    http_message_init(q);
    http1_init(r, l, false);
    http1_next(r, q);
    memcpy(bytes, head, n);
    memset(bytes + n, 'x', body);
    buf_clear(ret);
    if (http1_feed(r, bytes, n + body, &used, &why) == HTTP1_REFUSED) buf_printf(ret, "%d %s", why.status, why.text);
    buf_put_byte(ret, 0);
}

static void the_memory_of_bodies_is_taken_from_their_quota(void)
{
    quota bodies;
    quota_init(&bodies, 10000);
    http1_limits l = limits;
    l.bodies = &bodies;
    http1 r[3];
    http_message q[3];
    buf b;
    buf_init(&b, 1 << 16);
    feed_part(&r[0], &q[0], &l, POST "Content-Length: 5000\r\n\r\n", 0, &b);
    CHECK_U64(quota_used(&bodies), 0);
    http_message_fini(&q[0]);
    feed_part(&r[0], &q[0], &l, POST "Content-Length: 5000\r\n\r\n", 4999, &b);
    CHECK_U64(quota_used(&bodies), 5000);
    feed_part(&r[1], &q[1], &l, POST "Content-Length: 5001\r\n\r\n", 0, &b);   /* before any of it came */
    CHECK_STR((char *)b.p, "503 bodies: expected at most 10000 bytes in all requests, got 10001");
    http_message_fini(&q[1]);
    feed_part(&r[1], &q[1], &l, CHUNKED "1000\r\n", 4096, &b);
    CHECK_U64(quota_used(&bodies), 9096);
    feed_part(&r[2], &q[2], &l, CHUNKED "1\r\n", 1, &b);
    CHECK_STR((char *)b.p, "503 bodies: expected at most 10000 bytes in all requests, got 10120");
    http_message_fini(&q[2]);
    size_t used;
    http_refusal why;
    CHECK(http1_feed(&r[0], (const uint8_t *)"y", 1, &used, &why) == HTTP1_REQUEST);
    http_message_clear(&q[0]);
    CHECK_U64(quota_used(&bodies), 9096);   /* kept for the next */
    http_message_fini(&q[0]);
    CHECK_U64(quota_used(&bodies), 4096);
    http_message_fini(&q[1]);
    http_message_fini(&q[1]);
    CHECK_U64(quota_used(&bodies), 0);
    CHECK_U64(quota_refused(&bodies), 2);
    FAULT_SWEEP({
        feed_part(&r[0], &q[0], &l, POST "Content-Length: 5000\r\n\r\n", 4000, &b);
        http_message_fini(&q[0]);
        CHECK_U64(quota_used(&bodies), 0);
    });
    buf_fini(&b);
}

static void memory_follows_what_came_not_what_is_announced(void)
{
    static const struct { size_t body, room; } rows[] = {
        {0, 0}, {1, 64 << 10}, {64 << 10, 64 << 10}, {(64 << 10) + 1, 4 << 20}, {(4 << 20) + 1, 10000000},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        quota bodies;
        quota_init(&bodies, 64 << 20);
        http1_limits l = wide;
        l.bodies = &bodies;
        http1 r;
        http_message q;
        buf b;
        buf_init(&b, 1 << 16);
        feed_part(&r, &q, &l, POST "Content-Length: 10000000\r\n\r\n", rows[i].body, &b);
        CHECK_U64(quota_used(&bodies), rows[i].room);
        http_message_fini(&q);
        buf_fini(&b);
    }
}

static void continue_is_asked_for_once_and_only_before_the_body(void)
{
    static const struct { const char *stream; bool want; } rows[] = {
        {POST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", true},
        {POST "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n", true},
        {POST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nh", false},
        {POST "Content-Length: 5\r\n\r\n", false},
        {POST "Expect: 100-continue\r\nContent-Length: 5\r\n", false},
        {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", false},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        http1 r;
        http_message q;
        http_message_init(&q);
        http1_init(&r, &limits, false);
        http1_next(&r, &q);
        http_refusal why;
        size_t used;
        CHECK_U64(http1_feed(&r, (const uint8_t *)rows[i].stream, strlen(rows[i].stream), &used, &why), HTTP1_MORE);
        CHECK(http1_take_continue(&r) == rows[i].want);
        CHECK(!http1_take_continue(&r));
        http_message_fini(&q);
    }
}

/* ---- replies ---- */

static void check_reply(const http1_reply *reply, const char *want)
{
    buf b;
    buf_init(&b, 1 << 16);
    http1_print_head(&b, reply);
    buf_put_byte(&b, 0);
    CHECK_STR((const char *)b.p, want);
    buf_fini(&b);
}

static void reply_heads_are_printed_exactly(void)
{
    const http_header more[] = {{STR("X-Id"), STR("7")}, {STR("Evil"), STR("a\r\nSet-Cookie: b\r\n\177\n")}};
    const http1_reply ok = {
        .status = 200, .date = STR("D"), .content_type = STR("application/json"), .body_bytes = 170};
    check_reply(&ok,
        "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Type: application/json\r\nContent-Length: 170\r\n\r\n");
    check_reply(&(http1_reply){.status = 413, .headers = more, .header_count = 2, .close = true, .http10 = true},
        "HTTP/1.1 413 Content Too Large\r\nX-Id: 7\r\nEvil: a  Set-Cookie: b    \r\n"
        "Content-Length: 0\r\nConnection: close\r\n\r\n");
    check_reply(&(http1_reply){.status = 204, .body_bytes = 5, .http10 = true},
        "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n");
    check_reply(&(http1_reply){.status = 304, .body_bytes = 5}, "HTTP/1.1 304 Not Modified\r\n\r\n");
    check_reply(&(http1_reply){.status = 100}, "HTTP/1.1 100 Continue\r\n\r\n");
    check_reply(&(http1_reply){.status = 299, .chunked = true},
        "HTTP/1.1 299 Status\r\nTransfer-Encoding: chunked\r\n\r\n");
    check_reply(&(http1_reply){.status = 200, .body_bytes = UINT64_MAX},
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n");
}

static void chunks_printed_here_are_read_back_here(void)
{
    buf b;
    buf_init(&b, 1 << 16);
    buf_put_z(&b, CHUNKED);
    http1_print_chunk(&b, STR("hello, "));
    http1_print_chunk(&b, STR(""));
    http1_print_chunk(&b, STR("a chunk of more than 16 bytes"));
    http1_print_last_chunk(&b);
    check_buf(&b, "POST / ? 1.1 keep [Host|h] [Transfer-Encoding|chunked] 36:hello, a chunk of more than 16 bytes");
}

/* Wherever it stands: values are looked through eight bytes at a time. */
static void no_control_character_of_a_value_gets_into_a_head(void)
{
    char value[20], want[128];
    for (size_t len = 1; len < sizeof value; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                memset(value, '~', len);
                value[at] = (char)c;
                const http_header one = {STR("N"), {value, len}};
                char *to = want + snprintf(want, sizeof want, "HTTP/1.1 204 No Content\r\nN: ");
                memcpy(to, value, len);
                if (c < ' ' || c == 127) to[at] = ' ';
                memcpy(to + len, "\r\n\r\n", 5);
                check_reply(&(http1_reply){.status = 204, .headers = &one, .header_count = 1}, want);
            }
        }
    }
}

static void a_target_has_no_character_but_visible_ones(void)
{
    for (size_t len = 1; len < 20; len++) {
        for (size_t at = 1; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                if (c == '%') continue;   /* what follows it decides */
                http_message m;
                http_refusal why = {.status = 0};
                char target[20];
                memset(target, 'a', len);
                target[0] = '/';
                target[at] = (char)c;
                http_message_init(&m);
                bool ok = c > ' ' && c < 127 && c != '#';
                CHECK(http_message_put(&m, target, len, &why));
                CHECK(http_message_set_target(&m, 0, len, &why) == ok);
                CHECK(ok || (why.status == 400 && !strcmp(why.text, "request target: invalid character")));
                http_message_fini(&m);
            }
        }
    }
}

static void dates_follow_the_calendar(void)
{
    static const struct { uint64_t at; const char *want; } rows[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {1709251200, "Fri, 01 Mar 2024 00:00:00 GMT"},
        {1735689599, "Tue, 31 Dec 2024 23:59:59 GMT"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
        {UINT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char got[HTTP_HEADER_DATE_BYTES + 1] = {0};
        http_header_date(got, rows[i].at);
        CHECK_STR(got, rows[i].want);
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(pipelined_requests_are_the_same_at_every_cut),
        TEST(short_streams_are_the_same_at_every_pair_of_cuts),
        TEST(a_body_told_in_parts_is_the_same_body_at_every_cut),
        TEST(shapes_that_two_parsers_could_read_in_two_ways_are_refused),
        TEST(unusual_shapes_with_one_meaning_are_read),
        TEST(each_limit_has_its_status_and_its_edge),
        TEST(framing_that_is_only_skipped_is_bounded),
        TEST(a_body_read_in_place_is_aligned_and_never_copied),
        TEST(a_declared_length_alone_takes_little_memory),
        TEST(what_is_due_is_not_known_of_chunks_and_streams),
        TEST(the_room_for_a_body_ends_with_it),
        TEST(chunked_bodies_and_trailers_take_no_more_memory_than_they_may),
        TEST(views_survive_the_growth_of_the_head),
        TEST(a_steady_load_allocates_nothing),
        TEST(no_memory_is_a_refusal_and_leaks_nothing),
        TEST(the_memory_of_bodies_is_taken_from_their_quota),
        TEST(memory_follows_what_came_not_what_is_announced),
        TEST(continue_is_asked_for_once_and_only_before_the_body),
        TEST(reply_heads_are_printed_exactly),
        TEST(chunks_printed_here_are_read_back_here),
        TEST(no_control_character_of_a_value_gets_into_a_head), TEST(a_target_has_no_character_but_visible_ones),
        TEST(dates_follow_the_calendar),
    };
    return test_main(cases, COUNTOF(cases));
}
