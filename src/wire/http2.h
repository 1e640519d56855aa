/* http2.h - HTTP/2 without I/O, the server's side (RFC 9113): bytes into requests, replies into bytes; nghttp2 inside.
 *
 * A session is fed a connection's bytes in any cut and tells the same events.  A stream is embedded in what its
 * owner keeps for a request and fills its http_message; it belongs to the session from open() to closed().
 * What a peer may cost is bounded: streams, headers, bodies by http2_limits, unread body bytes by the windows, and
 * frames that bring no request forward (pings, settings, resets, empty ones...) by a budget that time and answered
 * requests refill; who overdraws it gets GOAWAY with ENHANCE_YOUR_CALM.
 *
 * Nothing of a session may be called while one of its events runs, but for http2_send(), http2_took() and
 * http2_reset(), inside those of http2_feed(): what they have to send goes out with the next http2_flush(). */
#ifndef WIRE_HTTP2_H
#define WIRE_HTTP2_H
#include "base/buf.h"
#include "base/slab.h"
#include "wire/http2_places.h"
#include "wire/http_message.h"

enum {
    HTTP2_PREFACE_BYTES = 24,
    HTTP2_STREAM_WINDOW = 1 << 20,       /* body bytes of one request on their way or not taken */
    HTTP2_WINDOW = 16 << 20,             /* and of all of a connection */
    HTTP2_BUDGET_MAX = 1000,             /* frames that bring nothing forward, in a burst, */
    HTTP2_BUDGET_PER_S = 100,            /* and later on; besides */
    HTTP2_BUDGET_PER_REPLY = 6,          /* those that belong to an answered request, */
    HTTP2_BUDGET_PER_PART = 2,           /* to a part of an answer, */
    HTTP2_BUDGET_BYTES = 4096,           /* and so many bytes of bodies, either way, excuse one of them */
    HTTP2_SETTINGS_COST = 8,             /* may touch every stream */
    HTTP2_HEADERS_FACTOR_MAX = 8,        /* headers so many times too large are not even read to their end */
    HTTP2_IN_PLACE_MIN = 4096            /* less of a body is not worth a read of its own */
};

typedef struct {
    size_t streams_max;
    size_t line_bytes_max;      /* :path; 414 */
    size_t header_bytes_max;    /* names, values and 32 for each; 431 */
    size_t header_count_max;    /* 431 */
    size_t body_bytes_max;      /* 413; a streamed one may be longer unless it says so before */
    quota *bodies;              /* memory of the bodies of all requests; 503; NULL = not limited */
    quota *replies;             /* memory of bodies that wait for clients: who needs more is told to calm; the same */
} http2_limits;

typedef enum {   /* RFC 9113 7 */
    HTTP2_NO_ERROR = 0, HTTP2_PROTOCOL_ERROR = 1, HTTP2_INTERNAL_ERROR = 2, HTTP2_CANCEL = 8,
    HTTP2_ENHANCE_YOUR_CALM = 11
} http2_code;

typedef struct {
    int32_t id;                 /* 0 = closed */
    http_message *into;         /* set by the owner; clear when it opens */
    size_t awaited;             /* and this, in part(): bytes that must come before it can go on; see http2_due() */
    mem_span place;         /* the same: where they may be read to, until the next part; see http2_lay() */
    /* private */
    http_refusal why;
    size_t untaken;             /* bytes of parts, see http2_took() */
    size_t header_bytes, header_count, method_at, method_len, path_at, path_len, announced;
    bool in_trailers, streamed, expects, whole, begun, ending, reset, refused;
    str views[2];               /* of the reply's body, not sent yet; behind what `kept` holds */
    buf kept;
    quota *replies;             /* where its memory was taken from, */
    size_t taken;               /* so much of it */
    size_t used;                /* of it, already sent */
    http_header trailers[HTTP_TRAILERS_MAX];
    size_t trailer_count;
    buf trailer_text;           /* what they point into, once they have to wait */
} http2_stream;

typedef struct {
    http2_stream *(*open)(void *ctx);              /* a place for a request; NULL = no memory */
    bool (*head)(void *ctx, http2_stream *s);      /* the headers are complete, a body follows: wanted in parts? */
    void (*part)(void *ctx, http2_stream *s, str bytes);   /* see http2_took() */
    void (*whole)(void *ctx, http2_stream *s);     /* the request is complete */
    void (*refused)(void *ctx, http2_stream *s, const http_refusal *why);   /* is to be answered, unread */
    void (*closed)(void *ctx, http2_stream *s);    /* the session has forgotten it */
    /* Out: `put` is given the bytes in order, `lasting` ones stay where they are until `push` has returned; `room` is
     * asked before each frame of a body. */
    bool (*room)(void *ctx);
    void (*put)(void *ctx, str bytes, bool lasting);
    void (*push)(void *ctx);
} http2_events;

typedef struct {
    const http2_limits *limits; /* borrowed, like the others */
    const http2_events *events;
    void *ctx;
    slab *memory;
    bool preface;               /* the client's preface is still to come */
    bool upgraded;              /* begin with http2_upgrade(); it is, then, too */
} http2_opts;

typedef struct http2 http2;

http2 *http2_new(const http2_opts *opts) MUST_USE;         /* NULL = no memory */
void http2_free(http2 *h);                                 /* tells no events: its streams are its owner's to forget */
/* The request of HTTP/1 that asked for it becomes stream 1: `settings` = HTTP2-Settings.  false = they are invalid. */
bool http2_upgrade(http2 *h, http2_stream *s, str settings) MUST_USE;
void http2_feed(http2 *h, const uint8_t *data, size_t len, uint64_t now_us);
/* In the middle of a body that has its place, a message's or what part() said: the next read may go to *ret, `most`
 * bytes at most, and is fed from there; part() is given what lies in its place already.  `spare` has room for `most`
 * bytes.  false = it may go anywhere. */
bool http2_lay(const http2 *h, http2_places *ret, size_t most);
void http2_feed_laid(http2 *h, const http2_places *p, size_t len, uint8_t *spare, uint64_t now_us);
void http2_flush(http2 *h);                                /* out with all that windows and room() allow */
size_t http2_due(const http2 *h);                          /* of the body that came last; 0 = nobody knows */
bool http2_over(const http2 *h);                           /* nothing more will be read or sent, once the rest is out */
bool http2_failed(const http2 *h);                         /* over, because of the peer or of memory */
bool http2_calm(const http2 *h);                           /* over, because the peer overdrew the budget of frames */
size_t http2_kept(const http2 *h);                         /* bytes of all replies that wait */
size_t http2_stream_growth(const http2_stream *s, size_t n);   /* what n more of its reply may take of their memory */
void http2_stream_disown(http2_stream *s);                 /* its memory counts no more: the session is over */
bool http2_asked(const http2 *h);                          /* a request came, or began to */
bool http2_leaving(const http2 *h);
/* First call: tells the client to open no more streams (a goodbye that races with none).  The second, or the client's
 * answer: the last word; then it is over when the streams are. */
void http2_leave(http2 *h);

typedef struct {
    int status;                 /* 0 = the reply has begun */
    bool bodiless;              /* to HEAD, 204, 304: what `body` says is not sent */
    const http_header *headers; /* names in any case */
    size_t header_count;
    str body[2];                /* copied when it cannot be sent at once */
    const http_header *trailers;
    size_t trailer_count;
    bool ends;
} http2_reply;

/* Sends a reply or more of it, to a stream that is neither closed nor reset.  false = it is closed by now; else how
 * many bytes wait. */
bool http2_send(http2 *h, http2_stream *s, const http2_reply *reply, size_t *ret_waiting);
void http2_took(http2 *h, http2_stream *s, size_t bytes);  /* of parts: the client may send as many more */
void http2_reset(http2 *h, http2_stream *s, http2_code code);   /* it is closed now, or when there is room again */

void http2_stream_init(http2_stream *s, http_message *into);   /* allocates nothing */
void http2_stream_clear(http2_stream *s);                  /* ready to be opened; keeps a little memory */
void http2_stream_fini(http2_stream *s);
size_t http2_stream_room(const http2_stream *s);           /* bytes of memory it holds on to */
size_t http2_stream_waiting(const http2_stream *s);        /* bytes of its reply */

/* SETTINGS and GOAWAY for a client that is not wanted at all. */
void http2_print_refusal(buf *out, const char *text);

#endif
