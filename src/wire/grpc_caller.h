/* grpc_caller.h - gRPC as a client speaks it, without I/O: unary calls, one after the other, on a connection of HTTP/2.
 *
 * A caller is fed a connection's bytes in any cut and comes to the same result; what it has to send gathers in `out`,
 * bounded by GRPC_CALLER_OUT_MAX and the server's windows.  nghttp2 inside, prior knowledge, no push, no compression.
 * An answer's message, headers and trailers are bounded.  What a server says of a call is its status; an error of
 * these functions means that the connection is of no further use.  The request's message is borrowed until the call
 * is over. */
#ifndef WIRE_GRPC_CALLER_H
#define WIRE_GRPC_CALLER_H
#include "base/buf.h"
#include "wire/http_header.h"

enum {
    GRPC_CALLER_OUT_MAX = 256 << 10,      /* gathered at a time */
    GRPC_CALLER_HEADERS_MAX = 64,         /* of a call */
    GRPC_CALLER_HEADER_BYTES_MAX = 64 << 10,   /* of an answer, trailers too */
    GRPC_CALLER_TEXT_MAX = 300            /* of grpc-message, decoded */
};

typedef struct grpc_caller grpc_caller;

typedef struct {
    str authority, path;                  /* "h:80", "/package.Service/Method" */
    bool secure;                          /* behind TLS: says so to the server */
    const http_header *metadata;          /* names in lower case */
    size_t metadata_count;
    uint64_t wait_us;                     /* sent as grpc-timeout; 0 = none */
    str message;
} grpc_ask;

typedef struct {
    int status;                           /* of gRPC; 0 = fine */
    const char *text;                     /* what the server says to it, cut; may be empty */
    str message;                          /* until the next call */
} grpc_result;

grpc_caller *grpc_caller_new(size_t message_bytes_max) MUST_USE;   /* NULL = no memory; its preface is in out */
void grpc_caller_free(grpc_caller *c);
DEFINE_CLEANUP(grpc_caller)
buf *grpc_caller_out(grpc_caller *c);     /* the user sends from its front and buf_drop()s that, then feeds or pumps */
void grpc_caller_pump(grpc_caller *c);    /* puts more there, if there is more to say */
err_code grpc_caller_begin(grpc_caller *c, const grpc_ask *ask, err *e) MUST_USE;   /* no call is under way */
err_code grpc_caller_feed(grpc_caller *c, const uint8_t *data, size_t len, err *e) MUST_USE;
bool grpc_caller_begun(const grpc_caller *c);   /* something of the answer has come */
bool grpc_caller_over(const grpc_caller *c);
/* It is over because the server has said goodbye, and that it has done nothing of it (RFC 9113 6.8, 8.7). */
bool grpc_caller_untouched(const grpc_caller *c);
bool grpc_caller_failed(const grpc_caller *c);   /* no memory for what is to be sent: hang up */
bool grpc_caller_usable(const grpc_caller *c);   /* another call may begin: the server has not said goodbye */
grpc_result grpc_caller_result(const grpc_caller *c);   /* when it is over */

#endif
