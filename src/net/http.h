/* http.h - what a handler sees of HTTP: a request, and a reply to give.  Never a protocol version.
 *
 * The server reads a whole request (line, headers, body, all within http_limits) before it calls the
 * handler, on the loop that owns the connection.  The handler answers with http_reply() at once or later,
 * on that same loop; an http_call stays valid until then, even when the client goes away (http_call_gone()
 * says so, and the reply is dropped).  Each call is answered exactly once.  Header names are matched
 * without case.  The request and what it points to, in the connection's buffers, live until the reply.
 *
 * Streams, each way by itself:
 *   request: server_opts.begin says which requests are wanted in parts; the handler is then called when the
 *            headers are complete, with an empty body, and sets http_call_on_part() before it returns or
 *            answers.  What it was given and has not taken (http_call_took()) is bounded: reading waits.
 *   reply:   http_reply_begin(), http_reply_part() as often as wanted, http_reply_end().  A part is always
 *            accepted; false says that it has to wait for the client, and that the next one has to wait for
 *            http_call_on_drain().  A call may be answered before its body has come: the rest is dropped. */
#ifndef NET_HTTP_H
#define NET_HTTP_H
#include "async/loop.h"
#include "wire/http_message.h"

typedef struct http_call http_call;

typedef struct {
    str method;                 /* "GET" */
    str path;                   /* "/v2/models/m", percent-decoded, always starts with '/' */
    str query;                  /* after '?', as sent; may be empty */
    const http_header *headers;
    size_t header_count;
    const http_field_index *known;   /* of these; NULL = they are searched by name */
    str body;                   /* contiguous, 64-byte aligned; unchunked, Content-Encoding as sent */
} http_request;

typedef struct {
    int status;
    str content_type;           /* empty = none */
    const http_header *headers; /* besides Content-Type, Content-Length, Date, Connection, which the server writes */
    size_t header_count;
    str body[2];                /* sent in order; what cannot be written at once is copied: reuse them at will */
    const http_header *trailers;   /* behind the body, or with the head when there is none; HTTP/1 drops them */
    size_t trailer_count;          /* with trailers, or http_reply_begin(), there is no Content-Length */
} http_response;

typedef struct {
    size_t line_bytes_max;      /* request line; 414 */
    size_t header_bytes_max;    /* all headers; 431 */
    size_t header_count_max;    /* 431 */
    size_t body_bytes_max;      /* 413 */
    size_t bodies_bytes_max;    /* per server: memory of all bodies, until their answers; 503 */
    size_t replies_bytes_max;   /* per server: memory of replies that wait for clients; see net/spare.h */
    size_t connections_max;     /* per server; the newest is refused with 503 and closed */
    size_t pipelined_max;       /* requests of one connection waiting for their turn; reading stops there */
    size_t streams_max;         /* HTTP/2: requests of one connection at a time, beyond it they are reset */
    uint64_t header_wait_us;    /* first byte to end of headers; 408 */
    uint64_t body_wait_us;      /* between two reads of a body; 408 */
    uint64_t idle_wait_us;      /* keep-alive between requests; closed silently */
    uint64_t write_wait_us;     /* no progress of a reply; closed */
} http_limits;
extern const http_limits http_limits_default;

typedef void http_handler(void *ctx, http_call *call, const http_request *req);

/* Asked when the headers of a request are complete, its body still to come (`req` has none): wanted in parts?  If not,
 * byte *ret_aligned of the body, 0 unless it is set, will lie at a multiple of 64. */
typedef bool http_begin(void *ctx, const http_request *req, size_t *ret_aligned);
/* More of a body; the bytes live until it returns.  The last part may be empty. */
typedef void http_part(void *ctx, str bytes, bool last);

/* What became of a call, for who logs it. */
typedef struct {
    int status;
    uint64_t body_bytes;
    const http_header *trailers;   /* of its end; live until it returns */
    size_t trailer_count;
} http_answer;
typedef void http_replied(void *ctx, const http_call *call, const http_request *req, const http_answer *answer);

enum {
    HTTP_REPLY_WAITING_MAX = 256 << 10,   /* bytes of a streamed reply that wait: see above */
    HTTP_ADDED_MAX = 6
};

void http_reply(http_call *call, const http_response *res);
/* A JSON error as every protocol here writes it: {"error": "text"}; 429 and 503 say when to try again. */
void http_reply_error(http_call *call, int status, const char *text);
void http_reply_failed(http_call *call, const err *e);   /* its status, and when to come again, if known */
void http_reply_error_with(http_call *call, int status, const char *text, const http_header *field);   /* NULL = none */
void http_reply_begin(http_call *call, const http_response *res);   /* without body and trailers */
bool http_reply_part(http_call *call, str bytes);
void http_reply_end(http_call *call, const http_header *trailers, size_t count);
void http_reply_abort(http_call *call);   /* it has begun and cannot be ended: the client is shown that it is cut */
/* A field that every answer to this call has besides its own; name and value live until then.  At most
 * HTTP_ADDED_MAX, before the reply begins. */
void http_call_add_header(http_call *call, str name, str value);
/* The handler has unpacked the body: the request's becomes that of `from`, and lives as long as the other would. */
void http_call_take_body(http_call *call, http_message *from);
bool http_call_in_parts(const http_call *call);   /* begin() was asked and said yes: a body is to come */
void http_call_on_part(http_call *call, http_part *fn, void *ctx);
/* In a part: nothing can be done before so many more bytes came, which may be read to `place`, as far as it goes, until
 * the next part or the answer.  A hint: the next part may be shorter, and lie elsewhere. */
void http_call_await(http_call *call, size_t bytes, mem_span place);
void http_call_took(http_call *call, size_t bytes);   /* of parts: so many more may come */
/* fn(ctx) runs on the call's loop, once, when http_reply_part() said false and half of what waited is gone. */
void http_call_on_drain(http_call *call, void (*fn)(void *ctx), void *ctx);
bool http_call_gone(const http_call *call);
bool http_call_inner(const http_call *call);   /* the server asks itself: inner.h */
/* Set by the handler while the client is there: fn(ctx) runs on the call's loop, once, if the client goes away before
 * the reply.  The call must still be answered.  fn == NULL takes it back. */
void http_call_on_gone(http_call *call, void (*fn)(void *ctx), void *ctx);
bool http_call_secure(const http_call *call);   /* it came through TLS; false once the client is gone */
loop *http_call_loop(const http_call *call);
str http_header_get(const http_request *req, http_field f);       /* empty when absent; first one when repeated */
http_header_span http_headers_of(const http_request *req, http_field f);   /* all of that name, and maybe others */
uint64_t http_call_id(const http_call *call);                     /* unique in this process */
str http_call_request_id(const http_call *call);   /* for logs: X-Request-Id if the client sent a sane one, else ours */
uint64_t http_call_since_us(const http_call *call);               /* when its last byte was read */

#endif
