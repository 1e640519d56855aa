#include "net/conn_http1.h"

#include "net/shard.h"
#include "net/spare.h"

#include <inttypes.h>
#include <stdio.h>

/* A small body is copied behind its head: the kernel takes one piece in 80 ns faster than two. */
enum { JOINED_BYTES_MAX = 2048 };

/* ---- the queue, and replies in its order ---- */

static void enqueue(conn *c, http_call *call)
{
    conn_http1 *h = &c->http1;
    call->next = NULL;
    *(h->last ? &h->last->next : &h->first) = call;
    h->last = call;
    h->queued++;
    call_begin(call);
}

static void dequeue(conn *c)
{
    conn_http1 *h = &c->http1;
    http_call *call = h->first;
    h->first = call->next;
    if (!h->first) h->last = NULL;
    h->queued--;
    shard_call_give(c->of, call);
}

/* Behind an answer that ended: sends those that waited for it, and what there is of one that goes on. */
static void advance(conn *c)
{
    dequeue(c);
    for (http_call *call; (call = c->http1.first); dequeue(c)) {
        if (call->reply) {
            struct iovec held = conn_piece(outbox_waiting(call->reply));
            conn_send(c, &held, 1);
            shard_box_give(c->of, call->reply);
            call->reply = NULL;
        }
        if (!call->answered) return;
    }
}

/* While draining, the last answer to what has come says so; one that others follow must not. */
static bool ends_connection(const conn *c, const http_call *call)
{
    const conn_http1 *h = &c->http1;
    if (call->close) return true;
    bool more = h->last != call || c->corked || h->rest || (h->reading && !http1_idle(&h->reader));
    return c->of->draining && !more;
}

/* A streamed reply is chunked, and ends with its connection where the client knows no chunks. */
static void print_head(conn *c, http_call *call, const call_reply *step)
{
    const http_response *res = step->head;
    bool counted = step->ends && !step->trailer_count;
    http_header headers[CALL_HEADERS_MAX] UNINIT;
    call->bodiless = call_bodiless(call, res->status);
    call->chunked = !counted && !call->bodiless && !call->message.http10;
    if (!counted && call->message.http10) call->close = true;
    bool close = ends_connection(c, call);
    if (close) c->shut = true;
    if (close && !call->close) c->linger = true;   /* our doing: more requests may be on their way */
    http1_print_head(&c->of->head, &(http1_reply){
        .status = res->status,
        .date = shard_date(c->of),
        .content_type = res->content_type,
        .headers = headers,
        .header_count = call_headers(call, res, headers),
        .body_bytes = res->body[0].len + res->body[1].len,
        .uncounted = !counted,
        .chunked = call->chunked,
        .close = close,
        .http10 = call->message.http10,
    });
}

static void hold(conn *c, http_call *call, const struct iovec *pieces, size_t count)
{
    if (!call->reply) call->reply = shard_box(c->of, OUTBOX_ANSWER);
    bool kept = call->reply != NULL;
    for (size_t i = 0; i < count && kept; i++) {
        spare_make(c, outbox_growth(call->reply, pieces[i].iov_len));
        kept = outbox_put(call->reply, pieces[i].iov_base, pieces[i].iov_len);
    }
    if (!kept) c->broken = true;   /* an answer that cannot be kept cannot be given */
}

/* A request whose body is still coming is answered: what comes is dropped. */
static void stop_reading(conn *c, http_call *call)
{
    if (c->http1.reading != call) return;
    c->http1.reading = NULL;
    call->close = c->shut = c->linger = true;
    c->http1.continue_due = false;
}

static size_t waiting(const conn *c, const http_call *call)
{
    if (c->http1.first == call) return conn_waiting(c);
    return call->reply ? outbox_waiting(call->reply).len : 0;
}

static bool reply(conn *c, http_call *call, const call_reply *step)
{
    buf *text = &c->of->head;
    size_t bytes = step->body[0].len + step->body[1].len;
    buf_clear(text);
    if (step->ends) stop_reading(c, call);
    if (step->head) print_head(c, call, step);
    if (call->chunked && bytes) buf_printf(text, "%zx\r\n", bytes);
    bool joined = bytes <= JOINED_BYTES_MAX && !call->bodiless;
    for (size_t i = 0; i < COUNTOF(step->body) && joined; i++) buf_put_str(text, step->body[i]);
    size_t before = text->len;
    if (call->chunked && bytes) buf_put(text, "\r\n", 2);
    if (call->chunked && step->ends) http1_print_last_chunk(text);
    if (text->full) c->broken = true;
    if (joined) before = text->len;
    str all = buf_str(text);
    struct iovec pieces[] = {conn_piece((str){all.p, before}), conn_piece(step->body[0]), conn_piece(step->body[1]),
                             conn_piece((str){all.p + before, all.len - before})};
    size_t count = call->bodiless || joined ? 1 : COUNTOF(pieces);
    if (c->http1.first != call) {
        hold(c, call, pieces, count);
    } else {
        conn_send(c, pieces, count);
        if (step->ends) {
            advance(c);
            return true;
        }
    }
    call->full = !step->ends && waiting(c, call) > HTTP_REPLY_WAITING_MAX;
    return !call->full;
}

/* Only the end of the connection shows a client of HTTP/1 that its answer is cut. */
static void abort_reply(conn *c, http_call *call)
{
    (void)call;
    c->broken = true;
}

/* ---- in ---- */

static bool paused(const conn *c)
{
    const conn_http1 *h = &c->http1;
    return c->blocked || h->queued >= c->of->limits->pipelined_max ||
           (h->reading && h->reading->untaken >= CALL_UNTAKEN_MAX);
}

static bool in_request(const conn *c) { return c->http1.reading && !http1_idle(&c->http1.reader); }
static bool reads(const conn *c) { return !(c->shut || c->http1.rest || paused(c)); }
static bool owes(const conn *c) { return c->http1.first != NULL; }

static size_t room(conn *c, struct iovec ret[CONN_PLACES_MAX])
{
    uint8_t *at = c->http1.reading ? http1_body_room(&c->http1.reader, &ret->iov_len) : NULL;
    ret->iov_base = at;
    return at ? 1 : 0;
}

static size_t due(const conn *c) { return c->http1.reading ? http1_due(&c->http1.reader) : 0; }

static bool begin_request(conn *c)
{
    conn_http1 *h = &c->http1;
    if (h->reading) return true;
    h->reading = shard_call(c->of);
    if (!h->reading) return false;
    h->reading->from = c;
    http1_next(&h->reader, &h->reading->message);
    return true;
}

static void refuse(conn *c, int status, const char *text)
{
    http_call *call = c->http1.reading;
    c->http1.reading = NULL;
    c->shut = c->linger = true;
    c->http1.continue_due = false;
    if (call->streamed) {   /* its handler has it: all that is left is to end */
        if (status == 408) shard_hit(c->of, SERVER_HIT_BODY_WAIT);
        c->broken = true;
        return;
    }
    enqueue(c, call);
    call_refuse(call, status, text);
}

static void head_complete(conn *c)
{
    http_call *call = c->http1.reading;
    if (!call_streams(call)) return;
    http1_stream(&c->http1.reader);
    call->close = !call->message.keep_alive;
    enqueue(c, call);
    call_dispatch(call);
}

static bool lists(str value, const char *token)
{
    for (str one, rest = value; rest.len; ) {
        one = str_next(&rest, ',');
        if (str_is_nocase(str_trim(one), token)) return true;
    }
    return false;
}

/* An offer to go on in HTTP/2 (RFC 7540 3.2) is taken when nothing is owed before it; under TLS ALPN is the way. */
static bool upgrade(conn *c, http_call *call)
{
    const http_message *m = &call->message;
    if (!http1_offers_http2(&c->http1.reader) || c->tls) return false;
    str settings = http_field_get(&m->known, HTTP_FIELD_HTTP2_SETTINGS, m->headers, m->header_count);
    str how = http_field_get(&m->known, HTTP_FIELD_CONNECTION, m->headers, m->header_count);
    str what = http_field_get(&m->known, HTTP_FIELD_UPGRADE, m->headers, m->header_count);
    bool asked = lists(what, "h2c") && lists(how, "Upgrade") && lists(how, "HTTP2-Settings");
    if (!asked || c->http1.first || m->http10 || !m->keep_alive) return false;
    return conn_http2_upgrade(c, call, settings);
}

static void request_complete(conn *c)
{
    http_call *call = c->http1.reading;
    c->http1.reading = NULL;
    c->progress = true;
    c->http1.continue_due = false;
    c->shut = !call->message.keep_alive;
    if (call->streamed) {
        call_part(call, STR(""), true);
        return;
    }
    call->close = c->shut;
    if (upgrade(c, call)) return;
    enqueue(c, call);
    call_dispatch(call);
}

/* Reads requests until the bytes or the room for calls end; returns how many bytes it used. */
static size_t read_requests(conn *c, const uint8_t *data, size_t len)
{
    conn_http1 *h = &c->http1;
    size_t at = 0;
    http1_event got = HTTP1_MORE;
    while ((at < len || got == HTTP1_PART) && !c->shut && !c->broken && !paused(c)) {
        size_t used = 0;
        http_refusal why UNINIT;
        why.status = 0;
        if (!begin_request(c)) {
            c->broken = true;   /* no memory to read the request into, so none to refuse it with */
            break;
        }
        got = http1_feed(&h->reader, data + at, len - at, &used, &why);
        at += used;
        c->corked = at < len;   /* replies to all of one read go out together */
        switch (got) {
        case HTTP1_MORE: c->progress |= http1_in_body(&h->reader); break;
        case HTTP1_HEAD: head_complete(c); break;
        case HTTP1_PART: call_part(h->reading, http1_part(&h->reader), false); break;
        case HTTP1_REQUEST: request_complete(c); break;
        case HTTP1_PREFACE:
            shard_call_give(c->of, h->reading);
            h->reading = NULL;
            conn_http2_start(c, false);
            break;
        case HTTP1_STRANGER:
            shard_count(&c->of->bad_requests, 1);
            c->broken = true;
            break;
        case HTTP1_REFUSED: refuse(c, why.status, why.text); break;
        }
        if (c->http2) {   /* the rest is for another reader */
            c->speaks->feed(c, data + at, len - at);
            return len;
        }
    }
    conn_uncork(c);
    if (h->reading && http1_take_continue(&h->reader)) h->continue_due = true;
    return at;
}

static void feed(conn *c, const uint8_t *data, size_t len)
{
    conn_http1 *h = &c->http1;
    size_t used = read_requests(c, data, len);
    if (used == len || c->broken) return;
    if (c->shut) {
        c->linger = true;   /* bytes behind the last request */
        return;
    }
    INVARIANT(!h->rest);
    h->rest = shard_box(c->of, OUTBOX_STREAM);
    if (!h->rest || !outbox_put(h->rest, data + used, len - used)) c->broken = true;
}

static void go_on_with_rest(conn *c)
{
    conn_http1 *h = &c->http1;
    if (!h->rest || c->shut || paused(c)) return;
    outbox *rest = h->rest;
    h->rest = NULL;
    str bytes = outbox_waiting(rest);
    outbox_use(rest, read_requests(c, (const uint8_t *)bytes.p, bytes.len));
    if (outbox_waiting(rest).len && !c->broken && !c->shut) {
        h->rest = rest;
    } else {
        c->linger |= outbox_waiting(rest).len > 0;
        shard_box_give(c->of, rest);
    }
}

/* ---- life ---- */

/* A handler that waited for room, and has it. */
static bool drain_due(const conn *c)
{
    const http_call *call = c->http1.first;
    return call && call->full && waiting(c, call) <= HTTP_REPLY_WAITING_MAX / 2;
}

static void resume(conn *c)
{
    if (drain_due(c)) {
        http_call *call = c->http1.first;
        void (*drained)(void *ctx) = call->drained;
        call->full = false;
        if (drained) drained(call->drained_ctx);
    }
    if (!c->broken) go_on_with_rest(c);
}

static conn_wait waits_for(const conn *c)
{
    if (in_request(c) && !c->http1.reading->streamed) return http1_in_body(&c->http1.reader) ? WAIT_BODY : WAIT_HEADER;
    return c->http1.first ? WAIT_CALLS : WAIT_IDLE;
}

static void settle(conn *c)
{
    conn_http1 *h = &c->http1;
    /* Behind other answers the invitation waits; behind the beginning of its own it has become pointless. */
    bool in_turn = !h->first || (h->first == h->reading && h->first->status == 0);
    if (h->continue_due && in_turn && !c->shut) {
        str text = STR("HTTP/1.1 100 Continue\r\n\r\n");
        h->continue_due = false;
        struct iovec v = conn_piece(text);
        conn_send(c, &v, 1);
    }
    if (c->shut && h->reading) {
        if (h->reading->streamed)
            c->broken = true;   /* the end of the stream in the middle of a body that a handler gets */
        else
            shard_call_give(c->of, h->reading);
        h->reading = NULL;
    }
    INVARIANT(!(c->shut && h->rest));   /* what waits its turn may hold requests */
    if ((h->rest && !paused(c)) || drain_due(c)) shard_resume_later(c->of, c);
}

static void expire(conn *c)
{
    char text[100];
    const http_limits *l = c->of->limits;
    switch ((conn_wait)c->wait) {
    case WAIT_IDLE:   /* a request may have come in the same moment */
        if (conn_read(c) == 0 || (!c->progress && !in_request(c))) c->shut = true;
        break;
    case WAIT_HEADER:
        snprintf(text, sizeof text, "headers: expected their end within %" PRIu64 " ms", l->header_wait_us / 1000);
        refuse(c, 408, text);
        break;
    default:
        INVARIANT(c->wait == WAIT_BODY);
        snprintf(text, sizeof text, "body: expected more of it within %" PRIu64 " ms", l->body_wait_us / 1000);
        refuse(c, 408, text);
    }
}

static void end(conn *c)
{
    conn_http1 *h = &c->http1;
    if (h->reading && !h->reading->streamed) shard_call_give(c->of, h->reading);
    for (http_call *call = h->first, *next; call; call = next) {
        next = call->next;
        call_release(call);
    }
    if (h->rest) shard_box_give(c->of, h->rest);
}

void conn_http1_start(conn *c)
{
    static const conn_protocol row = {
        .feed = feed,
        .room = room,
        .due = due,
        .reads = reads,
        .owes = owes,
        .waits_for = waits_for,
        .settle = settle,
        .resume = resume,
        .expire = expire,
        .end = end,
        .reply = reply,
        .abort = abort_reply,
    };
    c->speaks = &row;
    http1_init(&c->http1.reader, &c->of->reader_limits, c->of->begin != NULL);
}

void conn_http1_refuse(conn *c, int status, const char *text)
{
    if (begin_request(c))
        refuse(c, status, text);
    else
        c->broken = true;
}
