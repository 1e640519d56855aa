#include "net/call.h"

#include "net/shard.h"

#include <string.h>

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

/* What may stand in a log line and a header as it is. */
static bool id_sane(str id)
{
    bool sane = id.len > 0 && id.len <= CALL_ID_BYTES_MAX;
    for (size_t i = 0; i < id.len && sane; i++) sane = id.p[i] > ' ' && id.p[i] < 0x7F && id.p[i] != '"';
    return sane;
}

/* Eight hex digits, the most significant first: each half byte goes to a byte of its own, the first to the lowest. */
static void hex8(char *to, uint32_t v)
{
    const uint64_t each = 0x0101010101010101;
    uint64_t w = __builtin_bswap32(v);
    w = (w | w << 16) & 0x0000FFFF0000FFFF;
    w = (w | w << 8) & 0x00FF00FF00FF00FF;
    w = (w >> 4 & 0x000F000F000F000F) | (w & 0x000F000F000F000F) << 8;
    uint64_t letters = (w + 6 * each) >> 4 & each;
    w += '0' * each + letters * ('a' - '0' - 10);
    memcpy(to, &w, sizeof w);
}

/* 16 hex digits, different for each call of a process: splitmix64's mixing is one to one. */
static void id_make(http_call *call)
{
    uint64_t x = call->of->id_seed + call->id * UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    x ^= x >> 31;
    hex8(call->id_text, (uint32_t)(x >> 32));
    hex8(call->id_text + CALL_ID_BYTES / 2, (uint32_t)x);
    call->request_id = (str){call->id_text, CALL_ID_BYTES};
}

void call_begin(http_call *call)
{
    call->id = next_id(call->of);
    call->since_us = loop_now_us(call->of->on);
}

static void show(http_call *call)
{
    const http_message *m = &call->message;
    call->request = (http_request){
        .method = m->method,
        .path = m->path,
        .query = m->query,
        .headers = m->headers,
        .header_count = m->header_count,
        .known = &m->known,
        .body = m->body,
    };
}

bool call_streams(http_call *call)
{
    shard *s = call->of;
    if (!s->begin) return false;
    show(call);
    size_t aligned = 0;
    call->streamed = s->begin(s->ctx, &call->request, &aligned);
    http_message_align(&call->message, aligned);
    return call->streamed;
}

void call_dispatch(http_call *call)
{
    shard *s = call->of;
    show(call);
    shard_count(&s->requests, 1);
    const http_message *m = &call->message;
    if (s->id_seed) call->request_id = http_field_get(&m->known, HTTP_FIELD_X_REQUEST_ID, m->headers, m->header_count);
    if (s->id_seed && !id_sane(call->request_id)) id_make(call);
    s->handler(s->ctx, call, &call->request);
}

void call_part(http_call *call, str bytes, bool last)
{
    INVARIANT(call->part);   /* the handler of a streamed request sets it, or answers */
    call->untaken += bytes.len;
    call->part(call->part_ctx, bytes, last);
}

/* A status that says which limit was met. */
static void hit_count(const http_call *call, int status)
{
    bool headed = call->message.method.len > 0;
    if (status == 414 || status == 431) shard_hit(call->of, SERVER_HIT_HEADERS);
    else if (status == 413) shard_hit(call->of, SERVER_HIT_BODY);
    else if (status == 408) shard_hit(call->of, headed ? SERVER_HIT_BODY_WAIT : SERVER_HIT_HEADER_WAIT);
}

void call_refuse(http_call *call, int status, const char *text)
{
    shard_count(&call->of->bad_requests, 1);
    hit_count(call, status);
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
    call->full = false;
    void (*gone)(void *ctx) = call->gone;
    call->gone = call->drained = NULL;
    if (gone) gone(call->gone_ctx);   /* may answer it */
}

size_t call_headers(const http_call *call, const http_response *res, http_header ret[CALL_HEADERS_MAX])
{
    size_t count = 0;
    if (call->request_id.len) ret[count++] = (http_header){STR("X-Request-Id"), call->request_id};
    INVARIANT(count + call->added_count + res->header_count <= CALL_HEADERS_MAX);
    for (size_t i = 0; i < call->added_count; i++) ret[count++] = call->added[i];
    for (size_t i = 0; i < res->header_count; i++) ret[count++] = res->headers[i];
    return count;
}

bool call_bodiless(const http_call *call, int status)
{
    return status == 204 || status == 304 || str_is(call->message.method, "HEAD");
}

/* ---- the reply ---- */

static void tell(const http_call *call, const http_header *trailers, size_t count)
{
    const http_answer answer = {call->status, call->sent_bytes, trailers, count};
    if (call->of->replied) call->of->replied(call->of->ctx, call, &call->request, &answer);
}

/* Nothing may be asked of the call behind a step that ends it. */
static bool reply_step(http_call *call, const call_reply *step)
{
    shard *s = call->of;
    conn *c = call->from;
    INVARIANT(!call->answered && !step->head == (call->status != 0));
    if (step->head) {
        unsigned class = (unsigned)step->head->status / 100 - 1;
        call->status = step->head->status;
        INVARIANT(class < SERVER_CLASSES);
        shard_count(&s->answers[call->place != 0][class], 1);
    }
    call->sent_bytes += step->body[0].len + step->body[1].len;
    if (step->ends) {
        call->answered = true;
        call->gone = call->drained = NULL;
        tell(call, step->trailers, step->trailer_count);
    }
    if (call->inner) {
        INVARIANT(step->head && step->ends);   /* who answers in parts is not asked from inside */
        if (call->inner_over) *call->inner_over = true;
        call->inner(call->inner_ctx, step->head);
        shard_call_give(s, call);
        return true;
    }
    if (!c) {
        if (step->ends) shard_call_give(s, call);
        return true;
    }
    bool room = c->speaks->reply(c, call, step);
    if (!c->entered) conn_settle(c);
    return room;
}

void http_reply(http_call *call, const http_response *res)
{
    (void)reply_step(call, &(call_reply){.head = res,
                                         .body = {res->body[0], res->body[1]},
                                         .trailers = res->trailers,
                                         .trailer_count = res->trailer_count,
                                         .ends = true});
}

void http_reply_begin(http_call *call, const http_response *res)
{
    INVARIANT(!res->body[0].len && !res->body[1].len && !res->trailer_count);
    (void)reply_step(call, &(call_reply){.head = res});
}

bool http_reply_part(http_call *call, str bytes)
{
    INVARIANT(!call->full);   /* the part before found no room: wait for http_call_on_drain() */
    return reply_step(call, &(call_reply){.body = {bytes}});
}

void http_reply_end(http_call *call, const http_header *trailers, size_t count)
{
    (void)reply_step(call, &(call_reply){.trailers = trailers, .trailer_count = count, .ends = true});
}

void http_reply_abort(http_call *call)
{
    shard *s = call->of;
    conn *c = call->from;
    INVARIANT(!call->answered && call->status != 0);
    call->answered = true;
    call->gone = call->drained = NULL;
    tell(call, NULL, 0);
    if (!c) {
        shard_call_give(s, call);
        return;
    }
    c->speaks->abort(c, call);
    if (!c->entered) conn_settle(c);
}

/* ---- what the handler may ask ---- */

bool http_call_gone(const http_call *call) { return !call->from && !call->inner; }
bool http_call_inner(const http_call *call) { return call->inner != NULL; }
str http_call_request_id(const http_call *call) { return call->request_id; }

void http_call_on_gone(http_call *call, void (*fn)(void *ctx), void *ctx)
{
    INVARIANT((call->from || call->inner) && !call->answered);
    call->gone = fn;
    call->gone_ctx = ctx;
}

void http_call_add_header(http_call *call, str name, str value)
{
    INVARIANT(!call->status && call->added_count < HTTP_ADDED_MAX);
    call->added[call->added_count++] = (http_header){name, value};
}

void http_call_take_body(http_call *call, http_message *from)
{
    INVARIANT(!call->answered && !call->streamed);
    http_message_take_body(&call->message, from);
    call->request.body = call->message.body;
}

bool http_call_in_parts(const http_call *call) { return call->streamed; }

void http_call_on_part(http_call *call, http_part *fn, void *ctx)
{
    INVARIANT(call->streamed && !call->answered);
    call->part = fn;
    call->part_ctx = ctx;
}

void http_call_on_drain(http_call *call, void (*fn)(void *ctx), void *ctx)
{
    INVARIANT(!call->answered);
    call->drained = fn;
    call->drained_ctx = ctx;
}

void http_call_await(http_call *call, size_t bytes, mem_span place)
{
    INVARIANT(place.len <= bytes);
    call->stream.awaited = bytes;
    call->stream.place = place;
}

void http_call_took(http_call *call, size_t bytes)
{
    conn *c = call->from;
    INVARIANT(bytes <= call->untaken);
    call->untaken -= bytes;
    if (!c || !bytes) return;
    if (c->speaks->took) c->speaks->took(c, call, bytes);
    if (!c->entered) conn_settle(c);
}

bool http_call_secure(const http_call *call) { return call->from && call->from->tls; }
loop *http_call_loop(const http_call *call) { return call->of->on; }
uint64_t http_call_id(const http_call *call) { return call->id; }
uint64_t http_call_since_us(const http_call *call) { return call->since_us; }
