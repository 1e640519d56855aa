/* http1.h - HTTP/1 without I/O: bytes into requests, replies into bytes (RFC 9112).
 *
 * The reader is fed a connection's bytes in any cut and finds the same requests, or the same refusal.  It
 * stops behind each request, so that the caller may queue it before it feeds the next.  It is strict
 * (llhttp with every leniency off) and refuses all that two parsers might read in two ways: both lengths,
 * bare LF, folded lines, doubled Host.  All it stores is bounded by http1_limits; framing that it only
 * skips (blanks, chunk extensions, trailers) is bounded too.
 *
 * A body of known length may be read straight into the request: see http1_body_room(). */
#ifndef WIRE_HTTP1_H
#define WIRE_HTTP1_H
#include "base/buf.h"
#include "wire/http_message.h"

#include <llhttp.h>

typedef struct {
    size_t line_bytes_max;      /* request line; 414 */
    size_t header_bytes_max;    /* all headers, with their line ends; 431 */
    size_t header_count_max;    /* 431 */
    size_t body_bytes_max;      /* 413 */
    quota *bodies;              /* memory of the bodies of all requests; 503; NULL = not limited */
} http1_limits;

typedef enum {
    HTTP1_MORE,                 /* all bytes are used; the request goes on */
    HTTP1_HEAD,                 /* the head is complete and a body will follow: only if asked for, see http1_init() */
    HTTP1_PART,                 /* see http1_part(); feed again, even when no bytes are left */
    HTTP1_REQUEST,              /* the request is whole; give the next one with http1_next() */
    HTTP1_PREFACE,              /* the connection begins with HTTP/2's preface, now used up */
    HTTP1_STRANGER,             /* the connection's first line is of no HTTP: close without a word (RFC 9113 3.4) */
    HTTP1_REFUSED               /* answer, then close: the reader takes nothing more */
} http1_event;

typedef struct {
    /* private */
    llhttp_t parser;
    const http1_limits *limits;
    http_message *into;
    http_refusal *refusal;     /* the caller's, during http1_feed() */
    uint64_t raw, line_raw;     /* bytes of this request so far, framing included; those before the version */
    uint64_t chunks, expected;  /* chunk headers seen; Content-Length */
    size_t name_len, value_len; /* of the field that is being read; it sits at the end of into->head */
    const char *fed;            /* what llhttp is reading now */
    char tail[5];               /* the bytes before it */
    uint8_t state, hosts, encodings, settings;
    uint8_t event;              /* why it paused */
    uint8_t preface;            /* so many of the connection's first bytes are those of HTTP/2's preface */
    uint8_t judged;             /* of a first line without a known method: 1 + what was just read of " HTTP/"; else 0 */
    bool plain;                 /* its head was read by http1_head_read(), its body needs no parser */
    bool chunked, wants_continue, is_http, refused, seen, heads, streamed, paused;
    uint64_t passed;            /* bytes of a streamed body */
    str part;
} http1;

void http1_init(http1 *r, const http1_limits *limits, bool heads);   /* borrows limits, owns nothing; tell heads? */
void http1_next(http1 *r, http_message *into);             /* where the next request goes; it is clear */
http1_event http1_feed(http1 *r, const uint8_t *data, size_t len, size_t *ret_used, http_refusal *reterr);
/* Behind HTTP1_HEAD: the body is not gathered but told in parts, and no limit holds for its sum. */
void http1_stream(http1 *r);
str http1_part(const http1 *r);             /* behind HTTP1_PART: a view into what was fed */
/* Where the rest of a body of known length may be read to, then fed from; NULL when that does not apply. */
size_t http1_due(const http1 *r);   /* bytes of a body that must come before it is whole; 0 = nobody knows */
uint8_t *http1_body_room(http1 *r, size_t *ret_room);
bool http1_idle(const http1 *r);            /* no request has begun (blank lines do not count): a clean place to end */
bool http1_in_body(const http1 *r);         /* the head is complete, the body is not */
bool http1_offers_http2(const http1 *r);    /* the request has one HTTP2-Settings field */
/* True once per request that sent `Expect: 100-continue` and nothing of its body yet. */
bool http1_take_continue(http1 *r);

typedef struct {
    int status;
    str date;                   /* empty = no Date */
    str content_type;           /* empty = none */
    const http_header *headers;
    size_t header_count;
    uint64_t body_bytes;        /* Content-Length; not written for 1xx, 204 and 304 */
    bool uncounted;             /* no Content-Length */
    bool chunked;               /* instead of Content-Length */
    bool close;                 /* `Connection: close` */
    bool http10;                /* the request was 1.0: keeping the connection must be said */
} http1_reply;

/* Control characters in values become blanks, so that no text can split a reply. */
void http1_print_head(buf *out, const http1_reply *reply);
void http1_print_chunk(buf *out, str data);  /* nothing for empty data: that would end the body */
void http1_print_last_chunk(buf *out);
const char *http1_status_text(int status);

#endif
