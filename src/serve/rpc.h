/* rpc.h - gRPC calls: messages out of a request's body, answers into a reply with trailers.
 *
 * A method is a row of rpc_list.h; its kind says how many messages come and go.  The answers of a stream go out in the
 * order of its messages, however they end; a message that fails is an answer, too, in ModelStreamInfer, unless the
 * client asked for the stream to end with it (header triton_grpc_error).  At the deadline the call ends, and what has
 * not run yet is dropped.  Where the client compresses and accepts the same, answers are compressed.
 *
 * One pool per loop, all of it used by that loop alone.  Bounded: messages of a call under way (RPC_ASKS_MAX; what
 * comes meanwhile waits unread, within the window of the stream), their size, the number of answers that wait for a
 * slow client (none is begun while one waits). */
#ifndef SERVE_RPC_H
#define SERVE_RPC_H
#include "net/http.h"
#include "serve/ask.h"

enum {
    RPC_ASKS_MAX = 64,                  /* messages of one call under way */
    RPC_TURN_MAX = 64,                  /* answers of one call sent in a row */
    RPC_LEAVE_US = 200000,              /* a message may be on its way */
    RPC_WATCHED_MAX = 4096,             /* bytes of a name that is watched */
    RPC_IDLE_MAX = 256                  /* calls kept per loop for later */
};

typedef struct rpc_pool rpc_pool;

err_code rpc_pool_new(rpc_pool **ret, const ask_opts *opts, err *e) MUST_USE;
void rpc_pool_free(rpc_pool *p);        /* every call was answered or its client is gone */
DEFINE_CLEANUP(rpc_pool)
void rpc_pool_trim(rpc_pool *p);        /* on its loop, at rest: what it keeps for later goes back */

/* By its content type: what the server asks when a request's headers are there. */
bool rpc_is(const http_request *req);
void rpc_start(rpc_pool *p, http_call *call, const http_request *req);   /* takes over the call */
/* On its loop: the server is not ready any more.  Who watches its health is told. */
void rpc_pool_leave(rpc_pool *p);
void rpc_pool_look(rpc_pool *p);        /* on its loop: models were loaded or unloaded; who watches one is told */
/* The server drains: a stream that rests for RPC_LEAVE_US - every message was answered, no other has begun - ends with
 * UNAVAILABLE. */
void rpc_pool_drain(rpc_pool *p);

#endif
