#include "net/conn.h"

#include "net/conn_tls.h"
#include "net/shard.h"
#include "net/spare.h"

#include <string.h>

/* ---- out ---- */

bool conn_keep(conn *c, const struct iovec *pieces, size_t count, size_t skip)
{
    for (size_t i = 0; i < count; i++) {
        size_t gone = skip < pieces[i].iov_len ? skip : pieces[i].iov_len, left = pieces[i].iov_len - gone;
        skip -= gone;
        if (left == 0) continue;
        if (!c->out) c->out = shard_box(c->of, OUTBOX_STREAM);
        if (c->out) spare_make(c, outbox_growth(c->out, left));
        if (!c->out || !outbox_put(c->out, (const uint8_t *)pieces[i].iov_base + gone, left)) return false;
    }
    return true;
}

/* Writes what waits and the pieces in one call; keeps the rest and waits for the socket. */
static void write_now(conn *c, const struct iovec *pieces, size_t count)
{
    struct iovec v[CONN_PIECES_MAX + 1] UNINIT;
    if (c->tls) {
        conn_tls_write(c, pieces, count);
        return;
    }
    size_t n = 0, total = 0, sent = 0;
    str waiting = c->out ? outbox_waiting(c->out) : STR("");
    INVARIANT(count < COUNTOF(v));
    if (waiting.len) v[n++] = conn_piece(waiting);
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
    if (!c->broken && !conn_keep(c, pieces, count, sent - from_out)) c->broken = true;
}

void conn_send(conn *c, const struct iovec *pieces, size_t count)
{
    if (c->broken) return;
    if (!c->blocked && !c->corked) {
        write_now(c, pieces, count);
        return;
    }
    if (!conn_keep(c, pieces, count, 0)) c->broken = true;
    if (!c->broken && !c->blocked && c->out && outbox_waiting(c->out).len > CONN_CORK_MAX) write_now(c, NULL, 0);
}

void conn_uncork(conn *c)
{
    c->corked = false;
    if (c->out && !c->blocked && !c->broken) write_now(c, NULL, 0);
}

size_t conn_waiting(const conn *c)
{
    size_t plain = c->out ? outbox_waiting(c->out).len : 0;
    return c->tls ? plain + conn_tls_waiting(c) : plain;
}

/* ---- in ---- */

static void tell_refusal(conn *c, const uint8_t *data, size_t len)
{
    const char *text = c->refusal;
    c->refusal = NULL;
    if (len >= 3 && memcmp(data, "PRI", 3) == 0)
        conn_http2_refuse(c, text);
    else
        conn_http1_refuse(c, 503, text);
}

void conn_feed(conn *c, const uint8_t *data, size_t len)
{
    if (c->refusal)
        tell_refusal(c, data, len);
    else
        c->speaks->feed(c, data, len);
}

static void take_in(conn *c, const uint8_t *data, size_t len)
{
    if (c->lingering) {
        c->lingered += (uint32_t)len;
        if (c->lingered > CONN_LINGER_BYTES_MAX) c->broken = true;
        return;
    }
    if (c->wrapped)
        conn_tls_take_in(c, data, len);
    else
        conn_feed(c, data, len);
}

/* Where the next read goes: to the scratch, unless the protocol knows better. */
static size_t places(conn *c, struct iovec ret[CONN_PLACES_MAX])
{
    bool plain = !c->lingering && !c->wrapped && c->speaks->room;
    size_t count = plain ? c->speaks->room(c, ret) : 0;
    if (count) return count;
    ret[0] = (struct iovec){.iov_base = c->of->scratch, .iov_len = SHARD_READ_BYTES};
    return 1;
}

/* Until the socket is empty, the connection paused, or it had its share.  Returns how much came. */
size_t conn_read(conn *c)
{
    size_t total = 0;
    while (total < CONN_READ_MAX && !c->broken && !c->eof && (c->lingering || c->speaks->reads(c))) {
        struct iovec v[CONN_PLACES_MAX] UNINIT;
        size_t room = 0, n = 0, count = places(c, v);
        for (size_t i = 0; i < count; i++) room += v[i].iov_len;
        switch (sock_read_v(c->fd.fd, v, count, &n)) {
        case SOCK_DONE:
            c->more = n == room;
            shard_count(&c->of->bytes_in, n);
            if (count > 1) c->speaks->placed(c, n);
            else take_in(c, v[0].iov_base, n);
            break;
        case SOCK_EOF: c->eof = c->shut = true; break;
        case SOCK_GONE: c->broken = true; break;
        default: break;
        }
        total += n;
        if (n < room) break;   /* that emptied the socket: no need to hear it from another read */
    }
    if (c->more) {
        c->more = false;
        conn_uncork(c);
    }
    low_water_note(&c->of->low_water, c, total, c->broken || c->lingering ? 0 : c->speaks->due(c));
    return total;
}

/* ---- life ---- */

static void on_ready(loop_fd *f, uint32_t events)
{
    conn *c = (conn *)f;
    c->entered = true;
    if (events & LOOP_HANGUP) c->broken = true;
    if (!c->broken && (events & LOOP_WRITE)) write_now(c, NULL, 0);
    if (!c->broken && (events & LOOP_READ)) (void)conn_read(c);
    conn_settle(c);
}

void conn_init(conn *c, shard *s, int fd)
{
    c->fd = (loop_fd){.fd = fd, .ready = on_ready};
    c->of = s;
    c->wait = CONN_WAITS;
    c->wrapped = s->tls != NULL;
    c->cleartext = s->cleartext;
    conn_http1_start(c);
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
    c->refusal = text;
    conn_settle(c);
}

void conn_resume(conn *c)
{
    c->entered = true;
    if (!c->broken && c->tls && conn_tls_holds(c)) conn_tls_go_on(c);
    if (!c->broken) c->speaks->resume(c);
    conn_settle(c);
}

void conn_break(conn *c)
{
    shard *s = c->of;
    c->entered = c->broken = true;   /* who is told of it may answer other calls */
    c->speaks->end(c);
    conn_tls_free(c);
    if (c->out) shard_box_give(s, c->out);
    low_water_leave(&s->low_water, c);
    loop_fd_del(&c->fd);
    sock_close(c->fd.fd);
    shard_gone(s, c);
}

void conn_expire(conn *c)
{
    c->entered = c->expired = true;
    if (c->refusal) {
        tell_refusal(c, NULL, 0);
    } else if (c->wait == WAIT_LINGER || c->blocked) {
        if (c->blocked) shard_hit(c->of, SERVER_HIT_WRITE_WAIT);
        sock_abort_on_close(c->fd.fd);   /* the peer takes nothing: the kernel shall not go on trying */
        c->broken = true;
    } else if (c->tls && conn_tls_shakes_hands(c)) {
        conn_tls_expire(c);
    } else {
        c->speaks->expire(c);
    }
    conn_settle(c);
}

static conn_wait wait_kind(const conn *c)
{
    if (c->lingering || c->refusal) return WAIT_LINGER;
    if (c->tls && conn_tls_shakes_hands(c)) return WAIT_HEADER;
    return c->blocked ? WAIT_WRITE : c->speaks->waits_for(c);
}

/* True when all is sent and no more will come. */
static bool is_over(conn *c)
{
    if (c->broken) return true;
    if (!c->shut || c->out || c->speaks->owes(c)) return false;
    if (c->tls && !c->lingering && !conn_tls_end(c)) return false;
    if (c->linger && !c->lingering && !c->eof) {
        sock_end(c->fd.fd);
        c->lingering = c->progress = true;
    }
    return !c->lingering || c->eof;
}

void conn_settle(conn *c)
{
    shard *s = c->of;
    shard_busy(s);
    c->entered = true;
    if (!c->broken) c->speaks->settle(c);
    if (is_over(c)) {
        conn_break(c);
        return;
    }
    bool reads = c->lingering || c->speaks->reads(c);
    if (c->tls && reads && !c->lingering && conn_tls_holds(c)) shard_resume_later(s, c);
    loop_fd_want(&c->fd, (reads ? (uint32_t)LOOP_READ : 0) | (c->blocked ? (uint32_t)LOOP_WRITE : 0));
    conn_wait kind = wait_kind(c);
    shard_wait(s, c, kind, kind == WAIT_STREAMS || kind == WAIT_FIRST ? c->expired : c->progress);
    c->progress = c->expired = c->entered = false;
}
