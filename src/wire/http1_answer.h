/* http1_answer.h - HTTP/1 as a client speaks it, without I/O: a request into bytes, bytes into the answer (RFC 9112).
 *
 * The reader is fed a connection's bytes in any cut and finds the same answer, or the same refusal.  It is as strict
 * as the reader of requests (wire/http1.h): llhttp with every leniency off, no other transfer coding than chunked.
 * Interim answers (1xx) are passed over; 101 is refused, since nobody asks for it.  All it stores is bounded by
 * http1_answer_limits, and so is the framing that it skips.  A refusal's status is one that a gateway would give. */
#ifndef WIRE_HTTP1_ANSWER_H
#define WIRE_HTTP1_ANSWER_H
#include "base/buf.h"
#include "wire/http_message.h"

#include <llhttp.h>

typedef struct {
    size_t header_bytes_max;    /* status line and all headers with their line ends, interim answers too */
    size_t header_count_max;
    size_t body_bytes_max;
} http1_answer_limits;

typedef enum {
    HTTP1_ANSWER_MORE,          /* all bytes are used; the answer goes on */
    HTTP1_ANSWER_WHOLE,         /* bytes behind `used` belong to no answer that was asked for */
    HTTP1_ANSWER_REFUSED        /* close: the reader takes nothing more */
} http1_answer_event;

typedef struct {
    /* private */
    llhttp_t parser;
    const http1_answer_limits *limits;
    http_message *into;
    http_refusal *refusal;      /* the caller's, during a call */
    uint64_t raw, chunks, expected;
    size_t name_len, value_len; /* of the field that is being read; it sits at the end of into->head */
    int status;
    bool in_body, chunked, coded, to_head, whole, refused, begun;
} http1_answer;

/* Borrows limits and into, which is clear and gets headers, body and keep_alive.  to_head: the request was HEAD. */
void http1_answer_init(http1_answer *a, const http1_answer_limits *limits, http_message *into, bool to_head);
http1_answer_event http1_answer_feed(http1_answer *a, const uint8_t *data, size_t len, size_t *ret_used,
                                     http_refusal *reterr);
/* The peer has closed: WHOLE where that ends the body, else REFUSED. */
http1_answer_event http1_answer_end(http1_answer *a, http_refusal *reterr);
int http1_answer_status(const http1_answer *a);      /* of a whole answer */
bool http1_answer_begun(const http1_answer *a);      /* some byte has come */

typedef struct {
    str method, target;         /* "POST", "/v2/models/m/infer"; what no target may hold is percent-encoded */
    str host;
    const http_header *headers; /* besides Host, Content-Length, Connection */
    size_t header_count;
    uint64_t body_bytes;        /* Content-Length, written for every method but GET and HEAD, or when > 0 */
} http1_ask;

/* Control characters in names and values become blanks, so that no text can split a request. */
void http1_answer_print_ask(buf *out, const http1_ask *ask);

#endif
