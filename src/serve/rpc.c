#include "serve/rpc.h"

#include "base/mem.h"
#include "serve/health_rpc.h"
#include "serve/job_rest.h"
#include "serve/reflection_rpc.h"
#include "serve/rpc_list.h"
#include "serve/v2_pb.h"
#include "serve/v2_rpc.h"
#include "wire/grpc.h"

#include <stdio.h>

typedef enum {
    RPC_UNARY,         /* one message, one answer */
    RPC_SLOW,          /* the same, made off the loop */
    RPC_INFER,         /* the same, from a model */
    RPC_EACH,          /* any number of messages, an answer to each */
    RPC_INFER_STREAM,  /* the same, from models */
    RPC_WATCH          /* one message; an answer now, and one with each change */
} rpc_kind;

typedef struct {
    const char *path;
    rpc_kind kind;
    rpc_answer *answer;
} rpc_method;

static const rpc_method methods[] = {
#define X(path, kind, answer) {path, kind, answer},
    RPC_METHODS(X)
#undef X
};

enum { TEXT_BYTES_MAX = 16 << 10 };   /* of a status in trailers: encoding makes a text up to three times as long */

typedef struct rpc {
    rpc_pool *pool;
    http_call *call;
    const rpc_method *method;
    grpc_reader reader;
    flate_kind packed, packing;   /* of the client's messages, of our answers */
    ask *reading;                 /* whose message is coming; NULL = none */
    ask *first, *last;            /* under way, the oldest first */
    uint32_t under_way, messages;
    buf rest;                     /* came while RPC_ASKS_MAX were under way; read up to rest_at */
    size_t rest_at;
    guard_pass pass;
    uint64_t deadline_us;         /* 0 = none */
    uint64_t moved_us;            /* when something came or went last */
    loop_timer timer, turn;       /* for the deadline; to go on with the rest when the others have had their turn */
    bool timed;                   /* the first is set */
    bool entered;                 /* its own code runs: that ends with settle() */
    bool whole;                   /* all messages have come */
    bool begun, blocked;          /* the reply has begun; the client does not take more of it now */
    traced *traced;               /* NULL = it is not */
    str trace_id;                 /* for logs */
    bool timed_answer;            /* where the time went is told in the trailers */
    bool strict;                  /* a message that fails ends the stream */
    bool ended;
    err failure;                  /* ended with it */
    char *watched;                /* whose health is watched; NULL = nobody's */
    size_t watched_len;
    uint8_t told;                 /* how it was, when that was said last */
    struct rpc **in;              /* the pool's list where it is: those that watch, or streams; NULL = in none */
    struct rpc *prev, *next;      /* there, or in the pool (next) */
} rpc;

struct rpc_pool {
    ask_opts opts;
    ask_pool *asks;
    rpc *idle, *watching, *looked, *streams;   /* streams: of any number of messages; looked: see rpc_pool_look() */
    uint32_t idle_count;
    loop_timer sweep;             /* while the server drains: when streams that rest end */
    buf message, details;         /* of the trailers at hand */
};

static const str content_type = {"application/grpc", 16};
static const http_header accepts = {{"grpc-accept-encoding", 20}, {"identity,deflate,gzip", 21}};

err_code rpc_pool_new(rpc_pool **ret, const ask_opts *opts, err *e)
{
    CLEANUP(rpc_pool) rpc_pool *p = mem_new0(rpc_pool, 1);
    if (!p) return err_set(e, ERR_NOMEM, "gRPC: no memory for the pool");
    p->opts = *opts;
    buf_init(&p->message, TEXT_BYTES_MAX);
    buf_init(&p->details, TEXT_BYTES_MAX);
    err_code rc = ask_pool_new(&p->asks, opts, e);
    if (rc) return rc;
    *ret = TAKE(p);
    return ERR_OK;
}

static void rpc_free(rpc *c)
{
    buf_fini(&c->rest);
    mem_free(c);
}

void rpc_pool_trim(rpc_pool *p)
{
    while (p->idle) {
        rpc *c = p->idle;
        p->idle = c->next;
        rpc_free(c);
    }
    p->idle_count = 0;
    buf_fini(&p->message);
    buf_fini(&p->details);
    ask_pool_trim(p->asks);
}

void rpc_pool_free(rpc_pool *p)
{
    if (!p) return;
    loop_timer_cancel(p->opts.on, &p->sweep);
    if (p->asks) rpc_pool_trim(p);
    ask_pool_free(p->asks);
    mem_free(p);
}

static rpc *take(rpc_pool *p)
{
    rpc *c = p->idle;
    if (!c) {
        c = mem_new0(rpc, 1);
        if (c) buf_init(&c->rest, p->opts.message_bytes_max + GRPC_PREFIX_BYTES);
        return c;
    }
    p->idle = c->next;
    p->idle_count--;
    buf rest = c->rest;
    *c = (rpc){.rest = rest};
    return c;
}

static void list_put(rpc *c, rpc **list)
{
    c->in = list;
    c->prev = NULL;
    c->next = *list;
    if (c->next) c->next->prev = c;
    *list = c;
}

static void list_drop(rpc *c)
{
    if (!c->in) return;
    *(c->prev ? &c->prev->next : c->in) = c->next;
    if (c->next) c->next->prev = c->prev;
    c->in = NULL;
}

/* Its call was answered. */
static void give(rpc *c)
{
    rpc_pool *p = c->pool;
    loop_timer_cancel(p->opts.on, &c->timer);
    loop_timer_cancel(p->opts.on, &c->turn);
    list_drop(c);
    traced_end(c->traced, true, err_grpc_status(c->failure.code), c->failure.code ? c->failure.text : NULL);
    if (c->reading) ask_give(c->reading);
    while (c->first) {
        ask *a = c->first;
        c->first = a->next;
        if (a->answered) ask_give(a);
        else ask_drop(a);
    }
    buf_fini(&c->rest);
    mem_free(c->watched);
    if (p->idle_count == RPC_IDLE_MAX) {
        rpc_free(c);
        return;
    }
    c->next = p->idle;
    p->idle = c;
    p->idle_count++;
}

/* ---- trailers ---- */

typedef struct {
    http_header fields[4];
    size_t count;
    char digits[8], timing[INFER_TIMING_BYTES];
} trailers;

/* Once per call: it ends with them.  Point into the pool's buffers, until the next ones are made. */
static void trailers_make(trailers *t, rpc_pool *p, const err *e)
{
    int status = err_grpc_status(e->code);
    int n = snprintf(t->digits, sizeof t->digits, "%d", status);
    INVARIANT(status < METRIC_STATUSES);
    metric_add(&p->opts.counts->grpc[status]);
    t->fields[0] = (http_header){STR("grpc-status"), {t->digits, (size_t)n}};
    t->count = 1;
    if (e->code == ERR_OK) return;
    buf_clear(&p->message);
    buf_clear(&p->details);
    grpc_message_print(&p->message, str_of(e->text));
    grpc_details_print(&p->details, status, str_of(e->text), str_of(err_k8s_reason(e->code)), e->retry_ms);
    if (!p->message.full) t->fields[t->count++] = (http_header){STR("grpc-message"), buf_str(&p->message)};
    if (!p->details.full) t->fields[t->count++] = (http_header){STR("grpc-status-details-bin"), buf_str(&p->details)};
}

/* The answer to a call of which nothing was sent: a head that is all. */
static void reply_failed(rpc_pool *p, http_call *call, const err *e)
{
    trailers t;
    trailers_make(&t, p, e);
    http_reply(call, &(http_response){.status = 200,
                                      .content_type = content_type,
                                      .headers = &accepts,
                                      .header_count = e->code == ERR_UNSUPPORTED,
                                      .trailers = t.fields,
                                      .trailer_count = t.count});
}

/* The head's fields besides the content type. */
static size_t head_fields(const rpc *c, http_header ret[2])
{
    if (c->packing == FLATE_NONE) return 0;
    ret[0] = (http_header){STR("grpc-encoding"), str_of(flate_name(c->packing))};
    ret[1] = accepts;
    return 2;
}

/* ---- answers ---- */

static void fail(rpc *c, const err *e)
{
    if (c->ended) return;
    c->ended = true;
    c->failure = *e;
}

static err server_leaves(void)
{
    err e;
    err_set(&e, ERR_UNAVAILABLE, "the server is leaving");
    return e;
}

static bool is_stream(const rpc *c) { return c->method->kind >= RPC_EACH; }
static bool takes_many(const rpc *c) { return c->method->kind == RPC_EACH || c->method->kind == RPC_INFER_STREAM; }

/* The one answer of a call that has one. */
static void reply_whole(rpc *c)
{
    static const err none = {.code = ERR_OK};
    trailers t;
    str frame[2];
    http_header fields[2];
    ask_frame(c->first, frame);
    ask_traced(c->first, c->traced);
    trailers_make(&t, c->pool, &none);
    str timing = ask_timing(c->first, t.timing);
    if (timing.len) t.fields[t.count++] = (http_header){STR("server-timing"), timing};
    http_reply(c->call, &(http_response){.status = 200,
                                         .content_type = content_type,
                                         .headers = fields,
                                         .header_count = head_fields(c, fields),
                                         .body = {frame[0], frame[1]},
                                         .trailers = t.fields,
                                         .trailer_count = t.count});
}

static void begin(rpc *c)
{
    http_header fields[2];
    if (c->begun) return;
    c->begun = true;
    http_reply_begin(c->call, &(http_response){.status = 200,
                                               .content_type = content_type,
                                               .headers = fields,
                                               .header_count = head_fields(c, fields)});
}

static void drained(void *ctx);

static void send(rpc *c, str frame)
{
    begin(c);
    if (http_reply_part(c->call, frame)) return;
    c->blocked = true;
    http_call_on_drain(c->call, drained, c);
}

/* A failed message in a stream of inferences: the error in place of the result. */
static void send_failed(rpc *c, const ask *a)
{
    buf out;
    uint8_t prefix[GRPC_PREFIX_BYTES] = {0};
    err e;
    buf_init(&out, TEXT_BYTES_MAX);
    buf_put(&out, prefix, sizeof prefix);
    v2_pb_stream_error_print(&out, a->id.len < TEXT_BYTES_MAX / 2 ? a->id : STR(""), a->failure.text);
    if (buf_check(&out, "answer", &e)) {
        fail(c, &e);
    } else {
        grpc_prefix_print(out.p, false, (uint32_t)(out.len - sizeof prefix));
        send(c, buf_str(&out));
    }
    buf_fini(&out);
}

static void status_send(rpc *c, uint8_t status)
{
    const char frame[] = {0, 0, 0, 0, 2, 8, (char)status};   /* HealthCheckResponse: status = 1 */
    c->told = status;
    send(c, (str){frame, sizeof frame});
}

/* Its health was told: from now on it is told again when it is another. */
static void watch_begin(rpc *c, const ask *a, str frame)
{
    str of = health_rpc_service(ask_message(a));
    err e;
    err_code rc = ERR_OK;
    c->told = (uint8_t)frame.p[frame.len - 1];
    c->watched_len = of.len;
    if (of.len > RPC_WATCHED_MAX)
        rc = err_set(&e, ERR_TOO_LARGE, "service: expected at most %d bytes", RPC_WATCHED_MAX);
    else if (!(c->watched = mem_alloc_raw(of.len + 1))) rc = err_set(&e, ERR_NOMEM, "service: no memory for its name");
    else if (of.len) memcpy(c->watched, of.p, of.len);
    if (rc) fail(c, &e);
}

/* A client that does not read is told when it does, and then only how it is by then. */
static void watch_look(rpc *c)
{
    if (!c->watched || c->blocked || c->ended) return;
    uint8_t now = health_rpc_status(c->pool->opts.endpoints, (str){c->watched, c->watched_len});
    if (now != c->told) status_send(c, now);
}

/* The oldest message was answered. */
static void send_first(rpc *c)
{
    ask *a = c->first;
    str frame[2];
    if (!a->failure.code) {
        ask_frame(a, frame);
        INVARIANT(frame[1].len == 0);   /* of a stream the answer is in one piece */
        send(c, frame[0]);
        if (c->method->kind == RPC_WATCH) watch_begin(c, a, frame[0]);
    } else if (c->method->kind == RPC_INFER_STREAM && !c->strict) {
        send_failed(c, a);
    } else {
        fail(c, &a->failure);
    }
    ask_traced(a, c->traced);
    c->first = a->next;
    if (!c->first) c->last = NULL;
    c->under_way--;
    ask_give(a);
}

/* ---- the call's own turn ---- */

static size_t bytes_read(rpc *c, str bytes);

static void expired(loop_timer *t);
static void next_turn(loop_timer *t);

static void timer_set(rpc *c, loop_timer *t, void (*fire)(loop_timer *t), uint64_t at_us)
{
    err e;
    t->fire = fire;
    if (loop_timer_set(c->pool->opts.on, t, at_us, &e)) fail(c, &e);
}

/* It goes on: its deadline is watched. */
static void deadline_watch(rpc *c)
{
    if (!c->deadline_us || c->timed) return;
    c->timed = true;
    timer_set(c, &c->timer, expired, c->deadline_us);
}

static void rest_read(rpc *c)
{
    c->rest_at += bytes_read(c, (str){(const char *)c->rest.p + c->rest_at, c->rest.len - c->rest_at});
    if (c->rest_at < c->rest.len) return;
    buf_clear(&c->rest);
    c->rest_at = 0;
}

/* Everything has come and was answered, or ends where no message does. */
static void end_check(rpc *c)
{
    err e;
    if (c->ended || !c->whole || c->rest.len) return;
    if (grpc_reader_end(&c->reader, &e)) fail(c, &e);
    else if (!c->reading && !c->first && (!c->in || c->method->kind != RPC_WATCH)) c->ended = true;
}

/* What was answered goes out in order, what waited is read: some of it, then the other calls have their turn.  True =
 * the call was answered whole and is given back. */
static bool go_on(rpc *c)
{
    for (size_t sent = 0; !c->ended;) {
        bool ready = c->first && c->first->answered;
        if (ready && !is_stream(c) && !c->first->failure.code) {
            reply_whole(c);
            give(c);
            return true;
        }
        if (ready && !c->blocked && sent == RPC_TURN_MAX) {
            timer_set(c, &c->turn, next_turn, loop_now_us(c->pool->opts.on));
            break;
        }
        if (ready && !c->blocked) {
            send_first(c);
            sent++;
        } else if (c->rest.len && c->under_way < RPC_ASKS_MAX) {
            rest_read(c);
        } else {
            break;
        }
    }
    return false;
}

/* The end of every entry.  May give `c` back. */
static void settle(rpc *c)
{
    trailers t;
    if (go_on(c)) return;
    end_check(c);
    if (!c->ended) deadline_watch(c);
    if (!c->ended) {
        c->entered = false;
        c->moved_us = loop_now_us(c->pool->opts.on);
        return;
    }
    if (c->begun || c->failure.code == ERR_OK) {
        begin(c);
        trailers_make(&t, c->pool, &c->failure);
        http_reply_end(c->call, t.fields, t.count);
    } else {
        reply_failed(c->pool, c->call, &c->failure);
    }
    give(c);
}

static void next_turn(loop_timer *t)
{
    rpc *c = (rpc *)(void *)((char *)t - offsetof(rpc, turn));
    INVARIANT(!c->entered);
    c->entered = true;
    settle(c);
}

static void drained(void *ctx)
{
    rpc *c = ctx;
    c->blocked = false;
    if (c->entered) return;
    c->entered = true;
    watch_look(c);
    settle(c);
}

static void expired(loop_timer *t)
{
    rpc *c = (rpc *)(void *)((char *)t - offsetof(rpc, timer));
    err e;
    INVARIANT(!c->entered);
    c->entered = true;
    err_set(&e, ERR_TIMEOUT, "the deadline passed");
    fail(c, &e);
    settle(c);
}

/* Its client went away: the call is answered into the void. */
static void client_gone(void *ctx)
{
    rpc *c = ctx;
    err e;
    err_set(&e, ERR_CANCELLED, "the client is gone");
    fail(c, &e);
    if (c->entered) return;
    c->entered = true;
    settle(c);
}

static void ask_done(ask *a)
{
    rpc *c = a->of;
    if (c->blocked || c->first != a) ask_wait(a);
    if (c->entered) return;
    c->entered = true;
    settle(c);
}

/* ---- messages come ---- */

static void ask_go(rpc *c, ask *a)
{
    rpc_kind kind = c->method->kind;
    ask_what what = {.answer = c->method->answer,
                     .slow = kind == RPC_SLOW,
                     .protocol = kind == RPC_INFER ? &v2_pb_protocol : &v2_pb_stream_protocol,
                     .not_found_too = kind == RPC_WATCH,
                     .packed = a->compressed ? c->packed : FLATE_NONE,
                     .packing = c->packing,
                     .since_us = is_stream(c) ? loop_now_us(c->pool->opts.on) : http_call_since_us(c->call),
                     .deadline_us = c->deadline_us,
                     .timed = c->timed_answer,
                     .trace_id = c->trace_id,
                     .request_id = http_call_request_id(c->call),
                     .pass = c->pass};
    a->of = c;
    a->done = ask_done;
    a->next = NULL;
    *(c->last ? &c->last->next : &c->first) = a;
    c->last = a;
    c->under_way++;
    if (kind == RPC_WATCH && endpoints_ready(c->pool->opts.endpoints)) list_put(c, &c->pool->watching);
    ask_start(a, &what);
}

static void wrong_count(rpc *c)
{
    err e;
    err_set(&e, ERR_UNSUPPORTED, "%s: expected exactly one message, got %s", c->method->path,
            c->messages ? "more" : "none");
    fail(c, &e);
}

/* Where the bytes of a message that begins go to. */
static bool reading_begin(rpc *c)
{
    err e;
    if (c->reading) return true;
    c->reading = ask_take(c->pool->asks);
    if (!c->reading) {
        err_set(&e, ERR_NOMEM, "message: no memory");
        fail(c, &e);
        return false;
    }
    c->reading->compressed = c->reader.compressed;
    if (ask_expect(c->reading, c->reader.len, &e)) fail(c, &e);
    return !c->ended;
}

/* The message's bytes have come.  One that must be the only one is asked when the others are known not to come. */
static void message_whole(rpc *c)
{
    c->messages++;
    if (!takes_many(c)) return;
    ask *a = c->reading;
    c->reading = NULL;
    ask_go(c, a);
}

static void piece_read(rpc *c, str piece, bool last)
{
    err e;
    if (c->messages > 0 && !takes_many(c)) {
        wrong_count(c);
        return;
    }
    if (!reading_begin(c)) return;
    if (ask_put(c->reading, piece, &e)) fail(c, &e);
    else if (last) message_whole(c);
}

/* As far as messages may be under way; how many bytes that was. */
static size_t bytes_read(rpc *c, str bytes)
{
    str piece;
    err e;
    size_t given = bytes.len;
    while (!c->ended && c->under_way < RPC_ASKS_MAX) {
        grpc_event event = grpc_reader_feed(&c->reader, &bytes, &piece, &e);
        if (event == GRPC_MORE) {
            http_call_await(c->call, grpc_reader_rest(&c->reader),
                            c->reading ? ask_place(c->reading) : (mem_span){.len = 0});
            break;
        }
        if (event == GRPC_REFUSED && e.code == ERR_TOO_LARGE)
            metric_add(&c->pool->opts.counts->limits[METRIC_LIMIT_body]);
        if (event == GRPC_REFUSED) fail(c, &e);
        else piece_read(c, piece, event == GRPC_MESSAGE);
    }
    http_call_took(c->call, given - bytes.len);
    return given - bytes.len;
}

static void part_read(void *ctx, str bytes, bool last)
{
    rpc *c = ctx;
    err e;
    INVARIANT(!c->entered);
    c->entered = true;
    size_t used = c->rest.len ? 0 : bytes_read(c, bytes);
    if (!c->ended && used < bytes.len) buf_put(&c->rest, bytes.p + used, bytes.len - used);
    if (!c->ended && buf_check(&c->rest, "messages", &e)) fail(c, &e);
    c->whole = c->whole || last;
    if (last && !c->ended && !takes_many(c)) {
        if (grpc_reader_end(&c->reader, &e)) {
            fail(c, &e);
        } else if (c->messages == 0) {
            wrong_count(c);
        } else {
            ask *a = c->reading;
            c->reading = NULL;
            ask_go(c, a);
        }
    }
    settle(c);
}

/* ---- calls begin ---- */

bool rpc_is(const http_request *req)
{
    str type = http_header_get(req, HTTP_FIELD_CONTENT_TYPE);
    if (!str_is(req->method, "POST") || !str_starts(type, content_type)) return false;
    str rest = {type.p + content_type.len, type.len - content_type.len};
    return rest.len == 0 || rest.p[0] == ';' || str_is(rest, "+proto") || str_starts(rest, STR("+proto;"));
}

static const rpc_method *method_find(str path)
{
    for (size_t i = 0; i < COUNTOF(methods); i++)
        if (str_is(path, methods[i].path)) return &methods[i];
    return NULL;
}

/* What a caller traces is traced; by itself only what runs a model. */
static void trace_begin(rpc *c, const http_request *req)
{
    trace_context from;
    const rpc_method *m = method_find(req->path);
    http_header_span parents = http_headers_of(req, HTTP_FIELD_TRACEPARENT);
    trace_context_read(parents.at, parents.count, &from);
    c->trace_id = from.id;
    c->traced = traced_begin(c->pool->opts.traces, c->call, req, &from,
                             m && (m->kind == RPC_INFER || m->kind == RPC_INFER_STREAM));
}

/* Health is for all. */
static err_code pass_read(rpc *c, const http_request *req, err *e)
{
    rpc_answer *answer = c->method ? c->method->answer : NULL;
    c->pass = (guard_pass){.anyone = true};
    if (answer == health_rpc_check || answer == v2_rpc_server_live || answer == v2_rpc_server_ready) return ERR_OK;
    return guard_admit(&c->pool->opts.endpoints->guard, req, &c->pass, e);
}

static err_code head_read(rpc *c, const http_request *req, err *e)
{
    str encoding = http_header_get(req, HTTP_FIELD_GRPC_ENCODING);
    str timeout = http_header_get(req, HTTP_FIELD_GRPC_TIMEOUT);
    uint64_t us = 0;
    c->method = method_find(req->path);
    err_code rc = pass_read(c, req, e);
    if (rc) return rc;
    if (!c->method) return err_set(e, ERR_UNSUPPORTED, "unknown method " STR_FMT, STR_ARG(req->path));
    c->packed = flate_named(encoding);
    if (c->packed == FLATE_KINDS)
        return err_set(e, ERR_UNSUPPORTED, "grpc-encoding: expected identity, deflate or gzip, got '" STR_FMT "'",
                       STR_ARG(encoding));
    if (c->packed != FLATE_NONE && flate_accepts(http_header_get(req, HTTP_FIELD_GRPC_ACCEPT_ENCODING), c->packed))
        c->packing = c->packed;
    c->timed_answer = str_is(http_header_get(req, HTTP_FIELD_X_PROA_TIMING), "1");
    c->strict = str_is_nocase(http_header_get(req, HTTP_FIELD_TRITON_GRPC_ERROR), "true");
    if ((rc = job_refuse(req, JOB_NEVER_RPC, e)) != ERR_OK) return rc;
    if (timeout.len) {
        rc = grpc_timeout_parse(timeout, &us, e);
        if (rc) return rc;
        c->deadline_us = http_call_since_us(c->call) + us;
        if (loop_now_us(c->pool->opts.on) >= c->deadline_us) return err_set(e, ERR_TIMEOUT, "the deadline passed");
    }
    return ERR_OK;
}

void rpc_start(rpc_pool *p, http_call *call, const http_request *req)
{
    err e;
    rpc *c = take(p);
    if (!c) {
        err_set(&e, ERR_NOMEM, "no memory for the call");
        reply_failed(p, call, &e);
        return;
    }
    c->pool = p;
    c->call = call;
    trace_begin(c, req);
    if (head_read(c, req, &e)) {
        reply_failed(p, call, &e);
        c->failure = e;
        give(c);
        return;
    }
    grpc_reader_init(&c->reader, p->opts.message_bytes_max, c->packed != FLATE_NONE);
    http_call_on_gone(call, client_gone, c);
    c->moved_us = loop_now_us(p->opts.on);
    if (takes_many(c)) list_put(c, &p->streams);
    if (http_call_in_parts(call)) http_call_on_part(call, part_read, c);
    else part_read(c, req->body, true);
}

void rpc_pool_leave(rpc_pool *p)
{
    err e = server_leaves();
    while (p->watching) {
        rpc *c = p->watching;
        INVARIANT(!c->entered);
        c->entered = true;
        list_drop(c);
        if (!c->blocked && c->told != HEALTH_NOT_SERVING) status_send(c, HEALTH_NOT_SERVING);
        fail(c, &e);
        settle(c);
    }
}

void rpc_pool_look(rpc_pool *p)
{
    rpc *c;
    while ((c = p->watching)) {   /* a connection that breaks takes others of the list with it */
        INVARIANT(!c->entered);
        list_drop(c);
        list_put(c, &p->looked);
        c->entered = true;
        watch_look(c);
        settle(c);
    }
    while ((c = p->looked)) {
        list_drop(c);
        list_put(c, &p->watching);
    }
}

/* It owes nothing and is owed nothing: neither an answer nor the rest of a message. */
static bool rests(const rpc *c, uint64_t now_us)
{
    err e;
    return !c->reading && !c->first && !c->rest.len && grpc_reader_end(&c->reader, &e) == ERR_OK &&
           now_us - c->moved_us >= RPC_LEAVE_US;
}

static void sweep(loop_timer *t);

/* Without memory for the timer they last until the grace is over. */
static void sweep_at(rpc_pool *p, uint64_t at_us)
{
    err e;
    p->sweep.fire = sweep;
    (void)!loop_timer_set(p->opts.on, &p->sweep, at_us, &e);
}

/* Ending one may end others, so each search begins anew; after some the loop has its turn. */
static void sweep(loop_timer *t)
{
    rpc_pool *p = (rpc_pool *)(void *)((char *)t - offsetof(rpc_pool, sweep));
    uint64_t now_us = loop_now_us(p->opts.on);
    const err leaving = server_leaves();
    rpc *c = NULL;
    for (int i = 0; i < RPC_TURN_MAX; i++) {
        for (c = p->streams; c && !rests(c, now_us);) c = c->next;
        if (!c) break;
        INVARIANT(!c->entered && !c->ended);
        c->entered = true;
        fail(c, &leaving);
        settle(c);
    }
    sweep_at(p, c ? now_us : now_us + RPC_LEAVE_US);
}

void rpc_pool_drain(rpc_pool *p) { sweep_at(p, loop_now_us(p->opts.on) + RPC_LEAVE_US); }
