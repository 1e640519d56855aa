/* endpoint.h - what answers each path: the table of routes, and the small answers (health, metadata, metrics).
 *
 * Inference goes to infer.h with the protocol of its path; everything else is answered here, on the loop, from
 * state that is only read.  Statuses and texts are KServe's. */
#ifndef SERVE_ENDPOINT_H
#define SERVE_ENDPOINT_H
#include "net/server.h"
#include "serve/infer.h"
#include "serve/repository.h"

typedef struct {
    repository *models;
    infer_pool *(*requests_of)(void *ctx, const loop *on); /* the pool of a loop */
    void *ctx;
    const server *server;
    const compute *pool;
    loop **loops;
    size_t loop_count;
    uint64_t start_us; /* since the epoch */
    _Atomic bool leaving; /* SIGTERM came: not ready */
} endpoints;

http_handler endpoints_handle; /* ctx = endpoints */
void endpoints_leave(endpoints *s);

#endif
