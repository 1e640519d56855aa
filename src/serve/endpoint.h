/* endpoint.h - what answers each path: the table of routes, and the small answers (health, metadata, metrics).
 *
 * Inference goes to infer.h with the protocol of its path; everything else is answered here, on the loop, from
 * state that is only read.  Statuses and texts are KServe's. */
#ifndef SERVE_ENDPOINT_H
#define SERVE_ENDPOINT_H
#include "models/repository.h"
#include "net/server.h"
#include "serve/coding.h"
#include "serve/cors.h"
#include "serve/guard.h"
#include "serve/infer.h"
#include "serve/route.h"
#include "serve/trace_log.h"
#include "serve/tracer.h"

typedef struct rpc_pool rpc_pool;
typedef struct model_control model_control;
typedef struct model_keeper model_keeper;
typedef struct jobs jobs;

/* What a loop has for the requests on it. */
typedef struct {
    infer_pool *requests;
    rpc_pool *rpcs;
    metrics_loop counts;
    tracer_lane *traces; /* NULL = nothing is traced */
    loop_msg models_msg;
    _Atomic bool models_told; /* that is on its way */
} endpoint_pools;

typedef struct {
    repository *models;
    model_control *control;
    model_keeper *keeper; /* of the budget of all models; NULL = there is none */
    shm_set *regions;
    trace_setting trace; /* of the server */
    const int64_t *trace_defaults; /* of it; NULL = Triton's */
    str trace_file; /* "" = none */
    trace_log *trace_log; /* NULL = none */
    jobs *jobs; /* NULL = none */
    endpoint_pools *(*pools_of)(void *ctx, const loop *on);
    void *ctx;
    server *server;
    coding coding;
    cors cors;
    guard guard;
    const compute *pool;
    loop **loops;
    size_t loop_count;
    uint64_t start_us; /* since the epoch */
    metrics_names metrics_names;
    tracer *tracer; /* or NULL */
    _Atomic bool leaving; /* SIGTERM came: not ready */
    bool slot; /* ready only while a model is served */
} endpoints;

http_handler endpoints_handle; /* ctx = endpoints, here and in the next */
http_handler endpoints_handle_owner; /* the same for who may do everything; REST alone */
http_begin endpoints_begin; /* gRPC's bodies come in parts */
void endpoints_rested(void *ctx, loop *on, bool last); /* a loop has come to rest: see server_opts */
void endpoints_leave(endpoints *s);
bool endpoints_ready(const endpoints *s);

typedef struct {
    str name, version;
} model_id;
/* Answers the call once more, as the row of its path does. */
void endpoints_again(endpoints *s, http_call *call, const http_request *req, const route_args *args);
/* The model, if whoever asks may use it. */
err_code endpoints_find(endpoints *s, const api_key *who, const model_id *id, served **ret, err *e) MUST_USE;

typedef struct {
    endpoints *endpoints; /* borrowed, at its last place */
    loop *on;
    infer_opts infer;
    tracer_lane *traces; /* of the loop; or NULL */
    size_t message_bytes_max; /* of gRPC */
} endpoint_pools_opts;

/* At its last place. */
err_code endpoint_pools_init(endpoint_pools *p, const endpoint_pools_opts *opts, err *e) MUST_USE; /* one per loop */
void endpoint_pools_fini(endpoint_pools *p); /* half-built, too; everything was answered */
/* Any thread, while loops run or are yet to be flushed: who watches the health of models is told.  ctx = endpoints. */
void endpoints_models_changed(void *ctx);
void endpoint_pools_leave(endpoint_pools *p); /* on the loop, behind endpoints_leave(): who watches is told */
void endpoint_pools_drain(endpoint_pools *p); /* on the loop, when the server drains: idle streams end */

#endif
