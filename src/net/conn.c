#include "net/conn.h"

#include "net/shard.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- out ---- */

static bool keep(conn *c, const struct iovec *pieces, size_t count, size_t skip)
{
    for (size_t i = 0; i < count; i++) {
        size_t gone = skip < pieces[i].iov_len ? skip : pieces[i].iov_len, left = pieces[i].iov_len - gone;
        skip -= gone;
        if (left == 0) continue;
        if (!c->out) c->out = shard_box(c->of, OUTBOX_STREAM);
        if (!c->out || !outbox_put(c->out, (const uint8_t *)pieces[i].iov_base + gone, left)) return false;
    }
    return true;
}

/* Writes what waits and the pieces in one call; keeps the rest and waits for the socket. */
static void write_now(conn *c, const struct iovec *pieces, size_t count)
{
    struct iovec v[4];
    size_t n = 0, total = 0, sent = 0;
    str waiting = c->out ? outbox_waiting(c->out) : STR("");
    INVARIANT(count < COUNTOF(v));
    if (waiting.len) v[n++] = (struct iovec){.iov_base = (void *)(uintptr_t)waiting.p, .iov_len = waiting.len};
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].iov_len) v[n++] = pieces[i];
    }
    for (size_t i = 0; i < n; i++) total += v[i].iov_len;
    sock_io io = n ? sock_write(c->fd.fd, v, n, &sent) : SOCK_DONE;
    if (io == SOCK_GONE) c->broken = true;
    if (io != SOCK_DONE) sent = 0;
    shard_count(&c->of->bytes_out, sent);
    c->progress |= sent > 0;
    c->blocked = sent < total;
    if (!c->blocked) {
        if (c->out) shard_box_give(c->of, c->out);
        c->out = NULL;
        return;
    }
    size_t from_out = sent < waiting.len ? sent : waiting.len;
    if (c->out) outbox_use(c->out, from_out);
    if (!c->broken && !keep(c, pieces, count, sent - from_out)) c->broken = true;
}

void conn_send(conn *c, const struct iovec *pieces, size_t count)
{
    if (c->broken) return;
    if (!c->blocked && !c->corked) {
        write_now(c, pieces, count);
        return;
    }
    if (!keep(c, pieces, count, 0)) c->broken = true;
    if (!c->broken && !c->blocked && c->out && outbox_waiting(c->out).len > CONN_CORK_MAX) write_now(c, NULL, 0);
}

/* ---- in ---- */

static bool paused(const conn *c) { return c->blocked || c->queued >= c->of->limits->pipelined_max; }
static bool in_request(const conn *c) { return c->reading && !http1_idle(&c->reader); }

static bool begin_request(conn *c)
{
    if (c->reading) return true;
    c->reading = shard_call(c->of);
    if (!c->reading) return false;
    c->reading->from = c;
    http1_next(&c->reader, &c->reading->message);
    return true;
}

static void refuse(conn *c, int status, const char *text)
{
    http_call *call = c->reading;
    c->reading = NULL;
    c->shut = c->linger = true;
    c->continue_due = false;
    call_refuse(call, status, text);
}

static void request_complete(conn *c)
{
    http_call *call = c->reading;
    c->reading = NULL;
    c->progress = true;
    c->continue_due = false;
    call->close = !call->message.keep_alive;
    c->shut = call->close;
    call_dispatch(call);
}

/* Reads requests until the bytes or the room for calls end; returns how many bytes it used. */
static size_t feed(conn *c, const uint8_t *data, size_t len)
{
    size_t at = 0;
    while (at < len && !c->shut && !c->broken && !paused(c)) {
        size_t used = 0;
        http_refusal why = {.status = 0};
        if (!begin_request(c)) {
            c->broken = true;   /* no memory to read the request into, so none to refuse it with */
            break;
        }
        http1_event got = http1_feed(&c->reader, data + at, len - at, &used, &why);
        at += used;
        c->corked = at < len;   /* replies to all of one read go out together */
        switch (got) {
        case HTTP1_MORE: c->progress |= http1_in_body(&c->reader); break;
        case HTTP1_REQUEST: request_complete(c); break;
        case HTTP1_PREFACE: refuse(c, 505, "HTTP version: expected 1.0 or 1.1, got the preface of HTTP/2"); break;
        case HTTP1_REFUSED: refuse(c, why.status, why.text); break;
        }
    }
    c->corked = false;
    if (c->out && !c->blocked && !c->broken) write_now(c, NULL, 0);
    if (c->reading && http1_take_continue(&c->reader)) c->continue_due = true;
    return at;
}

static void take_in(conn *c, const uint8_t *data, size_t len)
{
    shard_count(&c->of->bytes_in, len);
    if (c->lingering) {
        c->lingered += (uint32_t)len;
        if (c->lingered > CONN_LINGER_BYTES_MAX) c->broken = true;
        return;
    }
    size_t used = feed(c, data, len);
    if (used == len || c->broken) return;
    if (c->shut) {
        c->linger = true;   /* bytes behind the last request */
        return;
    }
    INVARIANT(!c->rest);
    c->rest = shard_box(c->of, OUTBOX_STREAM);
    if (!c->rest || !outbox_put(c->rest, data + used, len - used)) c->broken = true;
}

/* Until the socket is empty, the connection paused, or it had its share.  Returns how much came. */
static size_t read_some(conn *c)
{
    size_t total = 0;
    while (total < CONN_READ_MAX && !c->broken && !c->eof && (c->lingering || !(c->shut || c->rest || paused(c)))) {
        size_t room = SHARD_SCRATCH_BYTES, n = 0;
        uint8_t *place = c->reading && !c->lingering ? http1_body_room(&c->reader, &room) : NULL;
        if (!place) place = c->of->scratch;
        switch (sock_read(c->fd.fd, place, room, &n)) {
        case SOCK_DONE: take_in(c, place, n); break;
        case SOCK_EOF: c->eof = c->shut = true; break;
        case SOCK_GONE: c->broken = true; break;
        default: break;
        }
        total += n;
        if (n < room) break;   /* that emptied the socket: no need to hear it from another read */
    }
    return total;
}

void conn_resume(conn *c)
{
    c->entered = true;
    if (c->rest && !c->broken && !c->shut && !paused(c)) {
        outbox *rest = c->rest;
        c->rest = NULL;
        str bytes = outbox_waiting(rest);
        outbox_use(rest, feed(c, (const uint8_t *)bytes.p, bytes.len));
        if (outbox_waiting(rest).len && !c->broken && !c->shut) {
            c->rest = rest;
        } else {
            c->linger |= outbox_waiting(rest).len > 0;
            shard_box_give(c->of, rest);
        }
    }
    conn_settle(c);
}

/* ---- life ---- */

static void on_ready(loop_fd *f, uint32_t events)
{
    conn *c = (conn *)f;
    c->entered = true;
    if (events & LOOP_HANGUP) c->broken = true;
    if (!c->broken && (events & LOOP_WRITE)) write_now(c, NULL, 0);
    if (!c->broken && (events & LOOP_READ)) (void)read_some(c);
    conn_settle(c);
}

void conn_init(conn *c, shard *s, int fd)
{
    c->fd = (loop_fd){.fd = fd, .ready = on_ready};
    c->of = s;
    c->wait = CONN_WAITS;
    http1_init(&c->reader, &s->reader_limits);
}

bool conn_start(conn *c)
{
    err e;
    if (loop_fd_add(c->of->on, &c->fd, LOOP_READ, &e)) return false;
    shard_wait(c->of, c, WAIT_IDLE, true);
    return true;
}

void conn_refuse_all(conn *c, const char *text)
{
    c->entered = true;
    if (begin_request(c))
        refuse(c, 503, text);
    else
        c->broken = true;
    conn_settle(c);
}

void conn_break(conn *c)
{
    shard *s = c->of;
    if (c->reading) shard_call_give(s, c->reading);
    for (http_call *call = c->first, *next; call; call = next) {
        next = call->next;
        call_release(call);
    }
    if (c->out) shard_box_give(s, c->out);
    if (c->rest) shard_box_give(s, c->rest);
    loop_fd_del(&c->fd);
    sock_close(c->fd.fd);
    shard_gone(s, c);
}

void conn_expire(conn *c)
{
    char text[100];
    const http_limits *l = c->of->limits;
    c->entered = true;
    switch ((conn_wait)c->wait) {
    case WAIT_IDLE:   /* a request may have come in the same moment */
        if (read_some(c) == 0 || (!c->progress && !in_request(c))) c->shut = true;
        break;
    case WAIT_HEADER:
        snprintf(text, sizeof text, "headers: expected their end within %" PRIu64 " ms", l->header_wait_us / 1000);
        refuse(c, 408, text);
        break;
    case WAIT_BODY:
        snprintf(text, sizeof text, "body: expected more of it within %" PRIu64 " ms", l->body_wait_us / 1000);
        refuse(c, 408, text);
        break;
    default:
        sock_abort_on_close(c->fd.fd);   /* the peer takes nothing: the kernel shall not go on trying */
        c->broken = true;
    }
    conn_settle(c);
}

static conn_wait wait_kind(const conn *c)
{
    if (c->lingering) return WAIT_LINGER;
    if (c->blocked) return WAIT_WRITE;
    if (in_request(c)) return http1_in_body(&c->reader) ? WAIT_BODY : WAIT_HEADER;
    return c->first ? WAIT_CALLS : WAIT_IDLE;
}

/* True when all is sent and no more will come. */
static bool is_over(conn *c)
{
    if (c->broken) return true;
    if (!c->shut || c->first || c->out) return false;
    if (c->linger && !c->lingering && !c->eof) {
        sock_end(c->fd.fd);
        c->lingering = c->progress = true;
    }
    return !c->lingering || c->eof;
}

void conn_settle(conn *c)
{
    shard *s = c->of;
    if (c->continue_due && !c->first && !c->shut && !c->broken) {
        str text = STR("HTTP/1.1 100 Continue\r\n\r\n");
        c->continue_due = false;
        conn_send(c, &(struct iovec){.iov_base = (void *)(uintptr_t)text.p, .iov_len = text.len}, 1);
    }
    if (c->shut && c->reading) {
        shard_call_give(s, c->reading);
        c->reading = NULL;
    }
    INVARIANT(!(c->shut && c->rest));   /* what waits its turn may hold requests */
    if (is_over(c)) {
        conn_break(c);
        return;
    }
    if (c->rest && !paused(c)) shard_resume_later(s, c);
    bool reads = c->lingering || !(c->shut || c->rest || paused(c));
    loop_fd_want(&c->fd, (reads ? (uint32_t)LOOP_READ : 0) | (c->blocked ? (uint32_t)LOOP_WRITE : 0));
    shard_wait(s, c, wait_kind(c), c->progress);
    c->progress = false;
    c->entered = false;
}
