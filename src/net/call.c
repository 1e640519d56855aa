#include "net/call.h"

#include "net/shard.h"

enum { IDS_AT_ONCE = 1024 };   /* so that shards meet at the process-wide counter once in so many calls */

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

void call_dispatch(http_call *call)
{
    shard *s = call->of;
    const http1_request *m = &call->message;
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
    s->handler(s->ctx, call, &call->request);
}

void call_refuse(http_call *call, int status, const char *text)
{
    enqueue(call->from, call);
    shard_count(&call->of->bad_requests, 1);
    call->close = true;
    http_reply_error(call, status, text);
}

void call_release(http_call *call)
{
    if (call->answered)
        shard_call_give(call->of, call);
    else
        call->from = NULL;
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
    buf_clear(&s->head);
    http1_print_head(&s->head, &(http1_reply){
        .status = res->status,
        .date = shard_date(s),
        .content_type = res->content_type,
        .headers = res->headers,
        .header_count = res->header_count,
        .body_bytes = body_bytes,
        .close = close,
        .http10 = call->message.http10,
    });
    return !s->head.full;
}

static void hold(http_call *call, const struct iovec *pieces, size_t count)
{
    bool kept = (call->reply = shard_box(call->of)) != NULL;
    for (size_t i = 0; i < count && kept; i++) kept = outbox_put(call->reply, pieces[i].iov_base, pieces[i].iov_len);
    if (!kept) call->from->broken = true;   /* an answer that cannot be kept cannot be given */
}

static struct iovec piece(str s) { return (struct iovec){.iov_base = (void *)(uintptr_t)s.p, .iov_len = s.len}; }

void http_reply(http_call *call, const http_response *res)
{
    INVARIANT(!call->answered);
    call->answered = true;
    conn *c = call->from;
    shard *s = call->of;
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
loop *http_call_loop(const http_call *call) { return call->of->on; }
uint64_t http_call_id(const http_call *call) { return call->id; }
uint64_t http_call_since_us(const http_call *call) { return call->since_us; }
