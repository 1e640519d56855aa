#include "net/conn_http2.h"

#include "base/mem.h"
#include "net/shard.h"
#include "net/spare.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct {
    http_call *first, *last;
} call_list;

struct conn_http2 {
    http2 *session;
    call_list open, ready, dead;
    size_t reading;                        /* calls whose requests are being read, to be handed over whole */
    size_t full;                           /* calls that wait for room */
    uint64_t scan_at_us, begun_us;
};

/* Where a call is. */
enum { READING = 1, READY, HANDED, DEAD };

static void add(call_list *l, http_call *call, uint8_t place)
{
    call->place = place;
    call->prev = l->last;
    call->next = NULL;
    *(l->last ? &l->last->next : &l->first) = call;
    l->last = call;
}

static void take(conn_http2 *h, http_call *call)
{
    call_list *l = call->place == READY ? &h->ready : call->place == DEAD ? &h->dead : &h->open;
    *(call->prev ? &call->prev->next : &l->first) = call->next;
    *(call->next ? &call->next->prev : &l->last) = call->prev;
    if (call->place == READING) h->reading--;
}

static void move(conn_http2 *h, http_call *call, call_list *to, uint8_t place)
{
    take(h, call);
    add(to, call, place);
}

static http_call *call_of(http2_stream *s) { return (http_call *)(void *)((char *)s - offsetof(http_call, stream)); }

/* ---- out ---- */

static bool room(void *ctx)
{
    const conn *c = ctx;
    return !c->broken && !(c->blocked && conn_waiting(c) >= CONN_HTTP2_OUT_MAX);
}

static void push(void *ctx)
{
    conn *c = ctx;
    conn_http2_out *o = &c->of->http2_out;
    struct iovec v[COUNTOF(o->pieces)] UNINIT;
    if (o->text.full) c->broken = true;
    for (size_t i = 0; i < o->count; i++) {
        const char *p = o->pieces[i].p ? o->pieces[i].p : (const char *)o->text.p + o->pieces[i].at;
        v[i] = conn_piece((str){p, o->pieces[i].len});
    }
    bool corked = c->corked;
    if (o->bytes > CONN_CORK_MAX) c->corked = false;   /* not worth a copy */
    if (o->count) conn_send(c, v, o->count);
    c->corked = corked;
    o->count = o->bytes = 0;
    buf_clear(&o->text);
}

static void put(void *ctx, str bytes, bool lasting)
{
    conn *c = ctx;
    conn_http2_out *o = &c->of->http2_out;
    if (o->count == COUNTOF(o->pieces)) push(c);
    o->bytes += bytes.len;
    if (lasting && bytes.len >= CONN_HTTP2_PIECE_MIN) {
        o->pieces[o->count].p = bytes.p;
        o->pieces[o->count++].len = bytes.len;
        return;
    }
    size_t at = o->text.len;
    buf_put_str(&o->text, bytes);
    if (o->count && !o->pieces[o->count - 1].p) {   /* what is copied lies together */
        o->pieces[o->count - 1].len += bytes.len;
        return;
    }
    o->pieces[o->count].p = NULL;
    o->pieces[o->count].at = at;
    o->pieces[o->count++].len = bytes.len;
}

/* The fields of a head in the order that clients see first what they need; Date and the type come again and again. */
static size_t list_headers(conn *c, http_call *call, const call_reply *step, http_header *ret, char digits[24])
{
    const http_response *res = step->head;
    size_t count = 0;
    ret[count++] = (http_header){STR("date"), shard_date(c->of)};
    if (res->content_type.len) ret[count++] = (http_header){STR("content-type"), res->content_type};
    if (step->ends && !step->trailer_count && res->status != 204 && res->status != 304) {
        int n = snprintf(digits, 24, "%zu", res->body[0].len + res->body[1].len);
        ret[count++] = (http_header){STR("content-length"), {digits, (size_t)n}};
    }
    return count + call_headers(call, res, ret + count);
}

static bool reply(conn *c, http_call *call, const call_reply *step)
{
    conn_http2 *h = c->http2;
    http_header headers[CALL_HEADERS_MAX + 3] UNINIT;
    char digits[24];
    if (!h->session || !call->stream.id || call->stream.reset || http2_failed(h->session)) return true;
    http2_reply out = {.bodiless = call->bodiless, .body = {step->body[0], step->body[1]}, .trailers = step->trailers,
                       .trailer_count = step->trailer_count, .ends = step->ends};
    if (step->head) {
        out.bodiless = call->bodiless = call_bodiless(call, step->head->status);
        out.status = step->head->status;
        out.headers = headers;
        out.header_count = list_headers(c, call, step, headers, digits);
    }
    spare_make(c, http2_stream_growth(&call->stream, step->body[0].len + step->body[1].len));
    size_t waiting = 0;
    if (!http2_send(h->session, &call->stream, &out, &waiting) || step->ends) return true;
    call->full = waiting > HTTP_REPLY_WAITING_MAX;
    h->full += call->full;
    return !call->full;
}

static void abort_reply(conn *c, http_call *call)
{
    if (c->http2->session) http2_reset(c->http2->session, &call->stream, HTTP2_INTERNAL_ERROR);
}

static void took(conn *c, http_call *call, size_t bytes)
{
    if (c->http2->session) http2_took(c->http2->session, &call->stream, bytes);
}

/* ---- in ---- */

static http2_stream *on_open(void *ctx)
{
    conn *c = ctx;
    http_call *call = shard_call(c->of);
    if (!call) return NULL;
    call->from = c;
    call->mark = SIZE_MAX;
    call->moved_us = loop_now_us(c->of->on);
    add(&c->http2->open, call, READING);
    c->http2->reading++;
    shard_count(&c->of->streams, 1);
    shard_count(&c->of->streams_open, 1);
    return &call->stream;
}

static bool on_head(void *ctx, http2_stream *s)
{
    conn *c = ctx;
    http_call *call = call_of(s);
    if (!call_streams(call)) return false;
    move(c->http2, call, &c->http2->open, HANDED);
    call_begin(call);
    call_dispatch(call);
    return true;
}

static void on_part(void *ctx, http2_stream *s, str bytes)
{
    (void)ctx;
    call_part(call_of(s), bytes, false);
}

static void on_whole(void *ctx, http2_stream *s)
{
    conn *c = ctx;
    http_call *call = call_of(s);
    c->progress = true;
    if (call->streamed) {
        call_part(call, STR(""), true);
        return;
    }
    call_begin(call);
    move(c->http2, call, &c->http2->ready, READY);
}

static void refuse(conn *c, http_call *call, int status, const char *text)
{
    move(c->http2, call, &c->http2->open, HANDED);
    call_begin(call);
    call_refuse(call, status, text);
}

static void on_refused(void *ctx, http2_stream *s, const http_refusal *why)
{
    http_call *call = call_of(s);
    if (call->place == READING)
        refuse(ctx, call, why->status, why->text);
    else
        http2_reset(((conn *)ctx)->http2->session, s, HTTP2_CANCEL);   /* its handler has it already */
}

/* A handler is told of it behind all this: what it then does may end in a call to the session. */
static void on_closed(void *ctx, http2_stream *s)
{
    conn *c = ctx;
    conn_http2 *h = c->http2;
    http_call *call = call_of(s);
    if (call->full) h->full--;
    call->full = false;
    shard_uncount(&c->of->streams_open);
    if (call->place == HANDED) {
        move(h, call, &h->dead, DEAD);
        return;
    }
    take(h, call);
    shard_call_give(c->of, call);
}

/* Requests wait where they are while the client does not take its replies. */
static bool paused(const conn *c)
{
    return http2_kept(c->http2->session) + conn_waiting(c) > CONN_HTTP2_WAITING_MAX;
}

static void hand_over(conn *c)
{
    conn_http2 *h = c->http2;
    c->corked = true;   /* replies to all of one read go out together */
    while (!c->broken && h->ready.first && !paused(c)) {
        http_call *call = h->ready.first;
        move(h, call, &h->open, HANDED);
        call_dispatch(call);
    }
    http2_flush(h->session);
    if (!c->more) conn_uncork(c);   /* else windows that open would wake the client before its answer does */
}

static void feed(conn *c, const uint8_t *data, size_t len)
{
    c->corked = true;
    http2_feed(c->http2->session, data, len, loop_now_us(c->of->on));
    hand_over(c);
}

static size_t place(conn *c, struct iovec ret[CONN_PLACES_MAX])
{
    http2_places *p = &c->of->http2_places;
    if (!http2_lay(c->http2->session, p, SHARD_SCRATCH_BYTES)) return 0;
    for (size_t i = 0; i < p->count; i++) ret[i] = (struct iovec){.iov_base = p->v[i].p, .iov_len = p->v[i].len};
    return p->count;
}

static void placed(conn *c, size_t len)
{
    shard *s = c->of;
    c->corked = true;
    http2_feed_laid(c->http2->session, &s->http2_places, len, s->scratch, loop_now_us(s->on));
    hand_over(c);
}

/* Also while nothing can be written: who stops reading our replies may still open the window for others. */
static bool reads(const conn *c) { return !c->shut; }

static size_t due(const conn *c) { return http2_due(c->http2->session); }

static bool owes(const conn *c)
{
    const conn_http2 *h = c->http2;
    return h->open.first || h->ready.first || h->dead.first;
}

/* ---- deadlines ---- */

static bool streams_wait(const conn *c) { return c->http2->reading || http2_kept(c->http2->session); }

static bool says_goodbye_later(const conn *c)
{
    const conn_http2 *h = c->http2;
    const shard *s = c->of;
    bool fresh = !http2_asked(h->session) && loop_now_us(s->on) - h->begun_us < s->waits[WAIT_FIRST].wait_us;
    return fresh && s->draining && !http2_leaving(h->session);
}

static conn_wait waits_for(const conn *c)
{
    if (streams_wait(c)) return WAIT_STREAMS;
    if (owes(c)) return WAIT_CALLS;
    return says_goodbye_later(c) ? WAIT_FIRST : WAIT_IDLE;
}

static bool overdue(const conn *c, http_call *call)
{
    const http_limits *l = c->of->limits;
    uint64_t now_us = loop_now_us(c->of->on), most_us = l->write_wait_us;
    size_t mark = http2_stream_waiting(&call->stream);
    if (call->place == READING) {
        bool headed = call->message.method.len > 0;
        mark = headed ? call->message.len : 0;   /* bytes that trickle in do not move the end of a head */
        most_us = headed ? l->body_wait_us : l->header_wait_us;
    } else if (mark == 0) {
        return false;
    }
    if (mark != call->mark && (mark || call->mark != SIZE_MAX)) call->moved_us = now_us;
    call->mark = mark;
    return now_us - call->moved_us >= most_us;
}

static void end_overdue(conn *c, http_call *call)
{
    char text[100];
    call->moved_us = loop_now_us(c->of->on);
    if (call->place != READING) {
        shard_hit(c->of, SERVER_HIT_WRITE_WAIT);
        http2_reset(c->http2->session, &call->stream, HTTP2_CANCEL);
    } else if (call->message.method.len) {
        uint64_t ms = c->of->limits->body_wait_us / 1000;
        snprintf(text, sizeof text, "body: expected more of it within %" PRIu64 " ms", ms);
        refuse(c, call, 408, text);
    } else {
        shard_hit(c->of, SERVER_HIT_HEADER_WAIT);
        c->broken = true;   /* in the middle of a header block nothing can be answered */
    }
}

static void scan(conn *c)
{
    conn_http2 *h = c->http2;
    h->scan_at_us = loop_now_us(c->of->on) + c->of->waits[WAIT_STREAMS].wait_us;
    for (bool found = true; found && !c->broken;) {   /* ending one may end others */
        http_call *call = h->open.first;
        while (call && !overdue(c, call)) call = call->next;
        found = call != NULL;
        if (found) end_overdue(c, call);
    }
}

static void expire(conn *c)
{
    if (c->wait == WAIT_STREAMS) {
        scan(c);
    } else if (c->wait == WAIT_IDLE && (conn_read(c) == 0 || !c->progress)) {
        http2_leave(c->http2->session);
        c->progress = true;   /* as long again for the client's answer */
    }
}

/* ---- life ---- */

static http_call *with_room(const conn *c)
{
    const conn_http2 *h = c->http2;
    http_call *call = h->full ? h->open.first : NULL;
    size_t most = HTTP_REPLY_WAITING_MAX / 2;
    while (call && !(call->full && http2_stream_waiting(&call->stream) <= most)) call = call->next;
    return call;
}

static void resume(conn *c)
{
    for (http_call *call; !c->broken && (call = with_room(c));) {
        void (*drained)(void *ctx) = call->drained;
        call->full = false;
        c->http2->full--;
        if (drained) drained(call->drained_ctx);
    }
    if (!c->broken) hand_over(c);
}

size_t conn_http2_held(const conn *c) { return c->http2->session ? http2_kept(c->http2->session) : 0; }

void conn_http2_disown(conn *c)
{
    const conn_http2 *h = c->http2;
    const call_list lists[] = {h->open, h->ready, h->dead};
    for (size_t i = 0; i < COUNTOF(lists); i++)
        for (http_call *call = lists[i].first; call; call = call->next) http2_stream_disown(&call->stream);
}

static void release(conn *c, call_list *l)
{
    conn_http2 *h = c->http2;
    for (http_call *call; (call = l->first);) {
        bool handed = call->place == HANDED || call->place == DEAD;
        if (call->place != DEAD) shard_uncount(&c->of->streams_open);
        take(h, call);
        call->stream.id = 0;
        if (handed)
            call_release(call);
        else
            shard_call_give(c->of, call);
    }
}

/* The client will send no more: what it left half said is void. */
static void drop_incomplete(conn *c)
{
    for (bool found = true; found && !c->broken;) {   /* ending one may end others */
        http_call *call = c->http2->open.first;
        while (call && (call->stream.whole || call->stream.reset)) call = call->next;
        found = call != NULL;
        if (found) http2_reset(c->http2->session, &call->stream, HTTP2_CANCEL);
    }
}

static void settle(conn *c)
{
    conn_http2 *h = c->http2;
    shard *s = c->of;
    if (s->draining && !http2_leaving(h->session) && !says_goodbye_later(c)) http2_leave(h->session);
    if (!c->eof && !c->shut && streams_wait(c) && loop_now_us(s->on) >= h->scan_at_us) scan(c);
    http2_flush(h->session);
    if (c->eof) drop_incomplete(c);
    if (http2_over(h->session) && !c->shut) {
        if (http2_failed(h->session)) shard_count(&s->bad_requests, 1);
        if (http2_calm(h->session)) shard_hit(s, SERVER_HIT_FRAMES);
        c->shut = c->linger = true;
        release(c, &h->open);
        release(c, &h->ready);
    }
    release(c, &h->dead);
    if (with_room(c) || (h->ready.first && !paused(c))) shard_resume_later(s, c);
}

static void end(conn *c)
{
    conn_http2 *h = c->http2;
    shard_uncount(&c->of->http2_open);
    http2_free(TAKE(h->session));
    release(c, &h->open);
    release(c, &h->ready);
    release(c, &h->dead);
    mem_free(h);
    c->http2 = NULL;
}

static bool start(conn *c, bool upgraded, bool preface)
{
    static const http2_events events = {
        .open = on_open,
        .head = on_head,
        .part = on_part,
        .whole = on_whole,
        .refused = on_refused,
        .closed = on_closed,
        .room = room,
        .put = put,
        .push = push,
    };
    shard *s = c->of;
    const http2_opts opts = {
        .limits = &s->http2_limits, .events = &events, .ctx = c, .memory = &s->http2_memory, .upgraded = upgraded,
        .preface = preface};
    c->http2 = mem_new0(conn_http2, 1);
    if (!c->http2) return false;
    c->http2->begun_us = loop_now_us(s->on);
    return (c->http2->session = http2_new(&opts)) != NULL;
}

static void take_over(conn *c)
{
    static const conn_protocol row = {
        .feed = feed,
        .room = place,
        .placed = placed,
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
        .took = took,
    };
    c->speaks = &row;
    c->progress = true;
    shard_count(&c->of->http2_accepted, 1);
    shard_count(&c->of->http2_open, 1);
}

static void undo(conn *c)
{
    if (c->http2) http2_free(c->http2->session);
    mem_free(c->http2);
    c->http2 = NULL;
}

void conn_http2_start(conn *c, bool preface)
{
    if (start(c, false, preface)) {
        take_over(c);
        c->corked = true;   /* our SETTINGS are first, whatever follows */
        http2_flush(c->http2->session);
    } else {
        undo(c);
        c->broken = true;
    }
}

bool conn_http2_upgrade(conn *c, http_call *call, str settings)
{
    str text = STR("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    if (!start(c, true, true) || !http2_upgrade(c->http2->session, &call->stream, settings)) {
        undo(c);
        return false;
    }
    take_over(c);
    c->corked = true;   /* SETTINGS and perhaps the answer go with it */
    struct iovec v = conn_piece(text);
    conn_send(c, &v, 1);
    call->moved_us = loop_now_us(c->of->on);
    call->mark = SIZE_MAX;
    add(&c->http2->ready, call, READY);   /* first: where the settings are wrong the flush says GOAWAY and closes it */
    shard_count(&c->of->streams, 1);
    shard_count(&c->of->streams_open, 1);
    http2_flush(c->http2->session);
    return true;
}

void conn_http2_refuse(conn *c, const char *text)
{
    buf *out = &c->of->head;
    buf_clear(out);
    http2_print_refusal(out, text);
    struct iovec v = conn_piece(buf_str(out));
    if (out->full) c->broken = true;
    conn_send(c, &v, 1);
    c->shut = c->linger = true;
}
