/* inner.h - a request that the server asks itself: no connection, the same handler, an answer that is handed over.
 *
 * On one of the server's loops.  What is asked is copied, its body aligned and taken from the memory for bodies as any
 * other.  answered() runs once, on the loop, possibly before inner_ask() returns; the answer lives until it returns.
 * NULL = the server ends: there is none, and nothing may be answered any more.  Answers in parts are not for inner
 * requests: their handlers are not to be asked. */
#ifndef NET_INNER_H
#define NET_INNER_H
#include "net/server.h"

typedef void inner_answered(void *ctx, const http_response *answer);

typedef struct {
    str method, target;             /* "/v2/models/m/infer": path and query, percent-encoded as in a request line */
    const http_header *headers;
    size_t header_count;
    str body;
    size_t aligned;                 /* byte of the body that lies at a multiple of 64 */
    inner_answered *answered;
    void *ctx;
} inner_request;

/* *ret_call: for inner_cancel(), until it is answered; NULL = it is answered.  On an error answered() is not called. */
err_code inner_ask(server *s, loop *on, const inner_request *q, http_call **ret_call, err *e) MUST_USE;
/* A request target of a path that is decoded; false = it is longer than `room`. */
bool inner_target(char *to, size_t room, str path, str query, size_t *ret_len) MUST_USE;
/* Nobody waits for the answer any more; it still comes. */
void inner_cancel(http_call *call);

#endif
