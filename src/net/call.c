#include "net/call.h"

#include "net/shard.h"

enum {
    IDS_AT_ONCE = 1024,   /* so that shards meet at the process-wide counter once in so many calls */
    CALL_HEADERS_MAX = 8  /* of an answer, X-Request-Id among them */
};

static _Atomic uint64_t ids = 1;

static uint64_t next_id(shard *s)
{
    if (s->id_next == s->id_end) {
        s->id_next = atomic_fetch_add_explicit(&ids, IDS_AT_ONCE, memory_order_relaxed);
        s->id_end = s->id_next + IDS_AT_ONCE;
    }
    return s->id_next++;
}

static void enqueue(conn *c, http_call *call)
{
    call->next = NULL;
    *(c->last ? &c->last->next : &c->first) = call;
    c->last = call;
    c->queued++;
    call->id = next_id(c->of);
    call->since_us = loop_now_us(c->of->on);
}

static void dequeue(conn *c)
{
    http_call *call = c->first;
    c->first = call->next;
    if (!c->first) c->last = NULL;
    c->queued--;
    shard_call_give(c->of, call);
}

/* What may stand in a log line and a header as it is. */
static bool id_sane(str id)
{
    bool sane = id.len > 0 && id.len <= CALL_ID_BYTES_MAX;
    for (size_t i = 0; i < id.len && sane; i++) sane = id.p[i] > ' ' && id.p[i] < 0x7F && id.p[i] != '"';
    return sane;
}

/* 16 hex digits, different for each call of a process: splitmix64's mixing is one to one. */
static void id_make(http_call *call)
{
    uint64_t x = call->of->id_seed + call->id * UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    x ^= x >> 31;
    for (size_t i = CALL_ID_BYTES; i-- > 0; x >>= 4) call->id_text[i] = "0123456789abcdef"[x & 15];
    call->request_id = (str){call->id_text, CALL_ID_BYTES};
}

void call_dispatch(http_call *call)
{
    shard *s = call->of;
    const http_message *m = &call->message;
    enqueue(call->from, call);
    shard_count(&s->requests, 1);
    call->request = (http_request){
        .method = m->method,
        .path = m->path,
        .query = m->query,
        .headers = m->headers,
        .header_count = m->header_count,
        .body = m->body,
    };
    if (s->id_seed) call->request_id = http_header_find(m->headers, m->header_count, "X-Request-Id");
    if (s->id_seed && !id_sane(call->request_id)) id_make(call);
    s->handler(s->ctx, call, &call->request);
}

void call_refuse(http_call *call, int status, const char *text)
{
    enqueue(call->from, call);
    shard_count(&call->of->bad_requests, 1);
    call->close = true;
    call->request = (http_request){.body = {0}};
    if (call->of->id_seed) id_make(call);
    http_reply_error(call, status, text);
}

void call_release(http_call *call)
{
    if (call->answered) {
        shard_call_give(call->of, call);
        return;
    }
    call->from = NULL;
    if (call->gone) call->gone(call->gone_ctx);
    call->gone = NULL;
}

/* While draining, the last answer to what has come says so; one that others follow must not. */
static bool ends_connection(const http_call *call)
{
    const conn *c = call->from;
    if (call->close) return true;
    bool more = c->last != call || c->corked || c->rest || (c->reading && !http1_idle(&c->reader));
    return call->of->draining && !more;
}

static bool print_head(http_call *call, const http_response *res, uint64_t body_bytes)
{
    shard *s = call->of;
    bool close = ends_connection(call);
    if (close) call->from->shut = true;
    http_header headers[CALL_HEADERS_MAX] = {{STR("X-Request-Id"), call->request_id}};
    size_t count = call->request_id.len ? 1 : 0;
    INVARIANT(res->header_count < CALL_HEADERS_MAX);
    for (size_t i = 0; i < res->header_count; i++) headers[count++] = res->headers[i];
    buf_clear(&s->head);
    http1_print_head(&s->head, &(http1_reply){
        .status = res->status,
        .date = shard_date(s),
        .content_type = res->content_type,
        .headers = headers,
        .header_count = count,
        .body_bytes = body_bytes,
        .close = close,
        .http10 = call->message.http10,
    });
    return !s->head.full;
}

static void hold(http_call *call, const struct iovec *pieces, size_t count)
{
    bool kept = (call->reply = shard_box(call->of, OUTBOX_ANSWER)) != NULL;
    for (size_t i = 0; i < count && kept; i++) kept = outbox_put(call->reply, pieces[i].iov_base, pieces[i].iov_len);
    if (!kept) call->from->broken = true;   /* an answer that cannot be kept cannot be given */
}

static struct iovec piece(str s) { return (struct iovec){.iov_base = (void *)(uintptr_t)s.p, .iov_len = s.len}; }

void http_reply(http_call *call, const http_response *res)
{
    INVARIANT(!call->answered);
    call->answered = true;
    call->gone = NULL;
    conn *c = call->from;
    shard *s = call->of;
    if (s->replied) s->replied(s->ctx, call, &call->request, res->status, res->body[0].len + res->body[1].len);
    if (!c) {
        shard_call_give(s, call);
        return;
    }
    bool bodiless = str_is(call->message.method, "HEAD") || res->status == 204 || res->status == 304;
    if (!print_head(call, res, res->body[0].len + res->body[1].len)) c->broken = true;
    struct iovec pieces[] = {piece(buf_str(&s->head)), piece(res->body[0]), piece(res->body[1])};
    size_t count = bodiless ? 1 : COUNTOF(pieces);
    if (c->first != call) {
        hold(call, pieces, count);
    } else {
        conn_send(c, pieces, count);
        dequeue(c);
        for (; c->first && c->first->answered; dequeue(c)) {
            struct iovec held = piece(c->first->reply ? outbox_waiting(c->first->reply) : STR(""));
            conn_send(c, &held, 1);
        }
    }
    if (!c->entered) conn_settle(c);
}

bool http_call_gone(const http_call *call) { return !call->from; }
str http_call_request_id(const http_call *call) { return call->request_id; }

void http_call_on_gone(http_call *call, void (*fn)(void *ctx), void *ctx)
{
    INVARIANT(call->from && !call->answered);
    call->gone = fn;
    call->gone_ctx = ctx;
}

loop *http_call_loop(const http_call *call) { return call->of->on; }
uint64_t http_call_id(const http_call *call) { return call->id; }
uint64_t http_call_since_us(const http_call *call) { return call->since_us; }
