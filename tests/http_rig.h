/* http_rig.h - the model server without its main(): one loop, real sockets, and a client on that same loop.
 *
 * All but the compute pool runs on the calling thread, so mem_fault_after() hits the server.  http_rig_ask() writes a
 * request, turns the loop until its answer is whole and returns it without Date and X-Request-Id. */
#ifndef TESTS_HTTP_RIG_H
#define TESTS_HTTP_RIG_H
#include "serve/conf_models.h"
#include "serve/endpoint.h"
#include "serve_rig.h"

typedef struct {
    conf conf;
    arena memory;
    compute *pool;
    loop *loop;
    server *server;
    endpoint_pools pools;
    endpoints endpoints;
    /* the client */
    loop_fd client; /* fd -1 = not connected */
    loop_timer timeout;
    const char *out;
    size_t out_len, out_at, got_len, body_at, body_len;
    bool whole, closed, timed_out;
    char *got;
    char request_id[160], text[4096];
} http_rig;

typedef struct {
    /* NULL = the default */
    const char *inline_us, *queue_max, *threads, *memory_bytes_max, *reply_bytes_max, *body_bytes_max,
        *replies_bytes_max, *compute_wait_ms, *model_control, *model_repository, *trace_file, *load_model,
        *models_memory_max, *models_stay_ms, *models_wait_ms, *pin_models, *alias;
} http_rig_opts;

/* Models: NAME PATH pairs, NULL ends them.  False when something (memory) was missing: then all is freed. */
bool http_rig_start(http_rig *r, const http_rig_opts *o, const char *const *models);
void http_rig_stop(http_rig *r);
/* "closed" and "timeout" are answers too.  A connection is kept as long as the server keeps it. */
const char *http_rig_ask(http_rig *r, const void *request, size_t len);
const char *http_rig_get(http_rig *r, const char *path);
const char *http_rig_post(http_rig *r, const char *path, const char *headers, const void *body, size_t len);
/* Whether `want` is in the answer; what came instead is printed. */
bool http_rig_gets(http_rig *r, const char *path, const char *want);
bool http_rig_answers(http_rig *r, const char *path, const char *body, const char *want);
bool http_rig_index_says(http_rig *r, const char *want);   /* the repository's, in time: turns the loop until then */
/* Sends without waiting for the answer, and turns the loop for `ms`. */
void http_rig_send(http_rig *r, const void *request, size_t len);
void http_rig_turn(http_rig *r, uint64_t ms);
/* Turns the loop until that is so; the check behind it says when it never was. */
#define HTTP_RIG_UNTIL(r, condition)                                                                 \
    for (int turns_ = 0; turns_ < 12000 && !(condition); turns_++) http_rig_turn((r), 5)
bool http_rig_has(const http_rig *r, const char *text);   /* what came so far */
void http_rig_hang_up(http_rig *r, bool reset);
served *http_rig_model(http_rig *r, const char *name);
/* One of its counters, over all lanes: http_rig_count(m, offsetof(metrics_lane, success)), or COUNT(m, success). */
uint64_t http_rig_count(const served *m, size_t offset);
#define COUNT(m, member) http_rig_count(m, offsetof(metrics_lane, member))
/* "a c e ": the first letters of what the index has as ready, in its order; until the next call. */
const char *http_rig_ready(http_rig *r);

#endif
