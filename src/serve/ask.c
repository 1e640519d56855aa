#include "serve/ask.h"

#include "base/mem.h"
#include "models/model_control.h"
#include "serve/summon.h"
#include "serve/trace_entry.h"
#include "serve/v2_pb.h"
#include "serve/v2_rpc.h"
#include "wire/grpc.h"
#include "wire/pb_fields.h"

#include <string.h>

enum { ALIGN = 64 };

struct ask_pool {
    ask_opts opts;
    ask *idle;
    uint32_t idle_count;
    size_t idle_bytes;
};

#define OF(member, p) ((ask *)(void *)((char *)(p)-offsetof(ask, member)))

static void unpack_on_worker(compute_job *j);
static void unpacked_on_loop(loop *on, loop_msg *m);

err_code ask_pool_new(ask_pool **ret, const ask_opts *opts, err *e)
{
    ask_pool *p = mem_new0(ask_pool, 1);
    if (!p) return err_set(e, ERR_NOMEM, "gRPC: no memory for the pool");
    p->opts = *opts;
    *ret = p;
    return ERR_OK;
}

static quota *bodies(const ask *a) { return server_bodies(a->pool->opts.endpoints->server); }

static quota *replies(const ask *a) { return server_replies(a->pool->opts.endpoints->server); }

/* Memory for messages is one quota's, whatever protocol they come by; what is kept for the next stays counted. */
static err_code bodies_take(ask *a, size_t bytes, err *e)
{
    quota *q = bodies(a);
    if (!bytes || quota_take(q, bytes)) return ERR_OK;
    return err_set(e, ERR_UNAVAILABLE, "bodies: expected at most %zu bytes in all requests, got %zu", q->max,
                   quota_used(q) + bytes);
}

static void ask_free(ask *a)
{
    if (a->room) quota_give(bodies(a), a->room);
    mem_free(a->bytes);
    buf_fini(&a->unpacked);
    buf_fini(&a->reply);
    mem_free(a);
}

void ask_pool_trim(ask_pool *p)
{
    while (p->idle) {
        ask *a = p->idle;
        p->idle = a->next;
        ask_free(a);
    }
    p->idle_count = 0;
    p->idle_bytes = 0;
}

void ask_pool_free(ask_pool *p)
{
    if (!p) return;
    ask_pool_trim(p);
    mem_free(p);
}

static size_t room_of(const ask *a) { return a->room + a->reply.room; }

ask *ask_take(ask_pool *p)
{
    ask *a = p->idle;
    if (a) {
        p->idle = a->next;
        p->idle_count--;
        p->idle_bytes -= room_of(a);
    } else {
        a = mem_new0(ask, 1);
        if (!a) return NULL;
        a->pool = p;
        buf_init(&a->unpacked, p->opts.message_bytes_max);
        buf_init(&a->reply, p->opts.reply_bytes_max);
    }
    a->of = NULL;
    a->next = NULL;
    a->answered = a->dropped = false;
    a->failure.code = ERR_OK;
    a->id = (str){0};
    a->len = a->have = 0;
    a->request = NULL;
    a->asked_us = 0;
    return a;
}

/* Of memory that all loops share: some of it only. */
static size_t kept_max(const ask_pool *p)
{
    const endpoints *s = p->opts.endpoints;
    size_t share = server_bodies(s->server)->max / ASK_KEEP_SHARE / s->loop_count;
    return share < ASK_KEEP_BYTES_MAX ? share : ASK_KEEP_BYTES_MAX;
}

void ask_give(ask *a)
{
    ask_pool *p = a->pool;
    if (a->request) infer_give(a->request);
    a->request = NULL;
    quota_give_all(replies(a), &a->waiting);
    if (a->unpacked.room) buf_fini(&a->unpacked);   /* seldom used, and large */
    if (a->unpacked_bytes) quota_give(bodies(a), a->unpacked_bytes);
    a->unpacked_bytes = 0;
    buf_clear(&a->reply);
    size_t bytes = room_of(a);
    if (bytes > ASK_KEEP_BYTES || p->idle_bytes + bytes > kept_max(p) || p->idle_count == ASK_IDLE_MAX) {
        ask_free(a);
        return;
    }
    a->next = p->idle;
    p->idle = a;
    p->idle_count++;
    p->idle_bytes += bytes;
}

void ask_drop(ask *a)
{
    INVARIANT(!a->answered);
    a->dropped = true;
    if (!a->request) return;
    infer_cancel(a->request);
    a->request->request_id = a->request->trace_id = (str){0};   /* they go with the call */
}

/* ---- the message comes ---- */

static err_code room_grow(ask *a, size_t need, size_t most, err *e)
{
    if (need <= a->room) return ERR_OK;
    size_t room = 2 * a->room > need ? 2 * a->room : need;
    if (room > most) room = most;
    err_code rc = bodies_take(a, room - a->room, e);
    if (rc) return rc;
    uint8_t *bytes = mem_alloc_raw(room);
    if (!bytes) {
        quota_give(bodies(a), room - a->room);
        return err_set(e, ERR_NOMEM, "message: no memory for %zu bytes", room);
    }
    if (a->have) memcpy(bytes + a->start, a->bytes + a->start, a->have);
    mem_free(a->bytes);
    a->bytes = bytes;
    a->room = room;
    return ERR_OK;
}

err_code ask_expect(ask *a, size_t len, err *e)
{
    a->len = len;
    a->start = (ALIGN - len % ALIGN) % ALIGN;
    return room_grow(a, a->start + (len < ASK_TRUST_MAX ? len : ASK_TRUST_MAX), a->start + len, e);
}

err_code ask_put(ask *a, str piece, err *e)
{
    INVARIANT(piece.len <= a->len - a->have);
    err_code rc = room_grow(a, a->start + a->have + piece.len, a->start + a->len, e);
    if (rc) return rc;
    uint8_t *to = a->bytes + a->start + a->have;
    if (piece.len && (const uint8_t *)piece.p != to) memcpy(to, piece.p, piece.len);
    a->have += piece.len;
    return ERR_OK;
}

mem_span ask_place(const ask *a)
{
    size_t at = a->start + a->have, end = a->start + a->len;
    if (end > a->room) end = a->room;
    return at < end ? (mem_span){.p = a->bytes + at, .len = end - at} : (mem_span){.len = 0};
}

/* ---- and is answered ---- */

static void end(ask *a)
{
    a->answered = true;
    if (a->dropped) ask_give(a);
    else a->done(a);
}

static void infer_answered(infer *r)
{
    ask *a = r->asker;
    uint64_t bytes = r->reply.len - r->reply_head + r->tail.len;
    if (r->failure.code)
        a->failure = r->failure;
    else if (bytes > UINT32_MAX)
        err_set(&a->failure, ERR_TOO_LARGE, "answer: expected at most %u bytes, got %llu", UINT32_MAX,
                (unsigned long long)bytes);
    end(a);
}

static void message_answer(ask *a, str message);

/* The model is there, or why it is not. */
static void come_again(ask *a)
{
    if (a->failure.code) metric_limit_hit(a->pool->opts.counts, a->failure.limit);
    if (a->failure.code && !a->what.answer)
        metric_request(&a->pool->opts.counts->unknown, a->what.protocol->counted, a->failure.code);
    if (a->dropped || a->failure.code) end(a);
    else message_answer(a, ask_message(a));
}

/* The model that a message needs. */
typedef struct {
    ask *of;
    const rpc_request *request;
    model_id id;
    served *found;
} need;

static bool summoned(const need *n, str message)
{
    ask *a = n->of;
    const summon_what what = {.endpoints = a->pool->opts.endpoints,
                              .name = n->id.name,
                              .version = n->id.version,
                              .on = a->pool->opts.on,
                              .message = message,
                              .since_us = a->what.since_us,
                              .deadline_us = a->what.deadline_us};
    return summon_ask(a, &what, come_again);
}

static err_code model_look(void *ctx, err *e)
{
    need *n = ctx;
    return endpoints_find(n->of->pool->opts.endpoints, n->request->who, &n->id, &n->found, e);
}

static bool model_summoned(void *ctx)
{
    const need *n = ctx;
    return summoned(n, n->request->bytes);
}

static bool is_kept(const ask *a) { return a->pool->opts.endpoints->keeper != NULL; }

/* n->found NULL = it comes. */
static err_code model_find(need *n, v2_pb_target *ret)
{
    ask *a = n->of;
    err_code rc = v2_pb_target_read(n->request->bytes, ret, &a->failure);
    if (rc) return rc;
    a->id = ret->id;
    n->id = (model_id){ret->name, ret->version};
    const summon_way way = {model_look, is_kept(a) ? model_summoned : NULL, n};
    return summon_find(&way, &a->failure) == SUMMON_FAILED ? a->failure.code : ERR_OK;
}

static err_code model_start(ask *a, const rpc_request *request)
{
    const ask_opts *o = &a->pool->opts;
    need n = {.of = a, .request = request};
    v2_pb_target t;
    err_code rc = model_find(&n, &t);
    if (rc) {
        metric_request(&o->counts->unknown, a->what.protocol->counted, rc);
        return rc;
    }
    if (!n.found) return ERR_OK;
    a->request = infer_take(o->requests, n.found, a->what.protocol);
    if (!a->request) return err_set(&a->failure, ERR_NOMEM, "no memory for the request");
    a->request->on = o->on;
    a->request->request_id = a->what.request_id;
    a->request->trace_id = a->what.trace_id;
    a->request->deadline_us = a->what.deadline_us;
    a->request->asked_us = a->asked_us;
    a->request->packing = a->what.packing;
    a->request->answered = infer_answered;
    a->request->asker = a;
    if (a->request->trace) a->request->trace->at_ns[TRACE_AT_RECV_START] = a->what.since_us * 1000;
    infer_start(a->request, request->bytes, t.read_bytes);
    return ERR_OK;
}

static err_code function_answer(ask *a, rpc_request request, err *e)
{
    err_code rc = a->what.answer(a->pool->opts.endpoints, request, &a->reply, e);
    if (rc == ERR_NOT_FOUND && a->what.not_found_too) rc = ERR_OK;
    return rc ? rc : buf_check(&a->reply, "answer", e);
}

static void answer_on_control(compute_job *j)
{
    ask *a = OF(job, j);
    a->failure.code = function_answer(a, (rpc_request){.bytes = a->message}, &a->failure);
    loop_post(a->pool->opts.on, &a->msg);
}

static void answered_on_loop(loop *on, loop_msg *m)
{
    (void)on;
    end(OF(msg, m));
}

static err_code function_look(void *ctx, err *e)
{
    const need *n = ctx;
    return function_answer(n->of, *n->request, e);
}

static bool function_summoned(void *ctx)
{
    need *n = ctx;
    pb_fields q;
    pb_fields_read(&q, n->request->bytes);
    n->id = (model_id){pb_fields_text(&q, 1), pb_fields_text(&q, 2)};
    return summoned(n, (str){0});
}

/* Metadata and configuration need the model; statistics and readiness have their say without it. */
static void answer_at_once(ask *a, const rpc_request *request)
{
    need n = {.of = a, .request = request};
    bool needs = a->what.answer == v2_rpc_model_metadata || a->what.answer == v2_rpc_model_config;
    const summon_way way = {function_look, needs && is_kept(a) ? function_summoned : NULL, &n};
    if (summon_find(&way, &a->failure) != SUMMON_COMES) end(a);
}

/* May give `a` back. */
static void message_answer(ask *a, str message)
{
    static const uint8_t room[GRPC_PREFIX_BYTES];
    rpc_request request = {.bytes = message};
    err_code rc = guard_who(&a->pool->opts.endpoints->guard, &a->what.pass, &request.who, &a->failure);
    if (rc == ERR_OK && !a->what.answer) rc = model_start(a, &request);
    if (rc || !a->what.answer) {
        if (rc) end(a);
        return;
    }
    buf_clear(&a->reply);   /* of a first try */
    buf_put(&a->reply, room, sizeof room);
    if (!a->what.slow) {
        answer_at_once(a, &request);
        return;
    }
    /* It changes the server for all; and who asks is known in this turn only. */
    if (guard_server(request.who, &a->failure)) {
        end(a);
        return;
    }
    a->message = message;
    a->job = (compute_job){.run = answer_on_control};
    a->msg = (loop_msg){.run = answered_on_loop};
    if (model_control_submit(a->pool->opts.endpoints->control, &a->job, &a->failure)) end(a);
}

static str message_of(const ask *a) { return (str){(const char *)a->bytes + a->start, a->len}; }

static void unpack_on_worker(compute_job *j)
{
    ask *a = OF(job, j);
    err_code rc = flate_unpack(&a->unpacked, a->what.packed, message_of(a), &a->failure);
    if (rc == ERR_INVALID) a->failure.code = ERR_INTERNAL;   /* gRPC's own code for what cannot be unpacked */
    if (rc == ERR_OK && bodies_take(a, a->unpacked.room, &a->failure) == ERR_OK) a->unpacked_bytes = a->unpacked.room;
    loop_post(a->pool->opts.on, &a->msg);
}

static void unpacked_on_loop(loop *on, loop_msg *m)
{
    (void)on;
    ask *a = OF(msg, m);
    if (a->dropped || a->failure.code) end(a);
    else message_answer(a, buf_str(&a->unpacked));
}

void ask_start(ask *a, const ask_what *what)
{
    INVARIANT(a->have == a->len);
    a->what = *what;
    if (what->packed == FLATE_NONE) {
        message_answer(a, message_of(a));
        return;
    }
    a->job = (compute_job){.run = unpack_on_worker};
    a->msg = (loop_msg){.run = unpacked_on_loop};
    if (compute_submit(a->pool->opts.compute, &a->job, &a->failure)) end(a);
}

/* A part of the memory is left to what goes out already: a connection that finds none is cut off. */
void ask_wait(ask *a)
{
    quota *q = replies(a);
    const infer *r = a->request;
    size_t bytes = r ? r->reply.len + r->tail.len : a->reply.len;
    INVARIANT(a->answered);
    if (a->failure.code || a->waiting) return;
    if (quota_has(q, bytes + q->max / ASK_WAIT_SPARE) && quota_follow(q, &a->waiting, bytes)) return;
    err_set(&a->failure, ERR_UNAVAILABLE, "answers: expected at most %zu bytes that wait for clients", q->max);
    if (a->request) infer_give(a->request);
    a->request = NULL;
}

void ask_frame(ask *a, str ret[2])
{
    buf *b = a->request ? &a->request->reply : &a->reply;
    size_t head = a->request ? a->request->reply_head : GRPC_PREFIX_BYTES;
    str tail = a->request ? a->request->tail : (str){0};
    INVARIANT(a->answered && !a->failure.code && head >= GRPC_PREFIX_BYTES && head <= b->len);
    uint8_t *p = b->p + head - GRPC_PREFIX_BYTES;
    grpc_prefix_print(p, a->request && a->request->packed, (uint32_t)(b->len - head + tail.len));
    ret[0] = (str){(const char *)p, b->len - head + GRPC_PREFIX_BYTES};
    ret[1] = tail;
}

str ask_timing(const ask *a, char text[INFER_TIMING_BYTES])
{
    return a->request && a->what.timed ? infer_timing(a->request, text) : (str){0};
}

str ask_message(const ask *a) { return a->what.packed == FLATE_NONE ? message_of(a) : buf_str(&a->unpacked); }

void ask_traced(const ask *a, traced *t)
{
    if (a->request) traced_infer(t, a->request);
}
