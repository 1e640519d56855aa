#include "net/conn_tls.h"

#include "base/mem.h"
#include "net/shard.h"

#include <string.h>

bool conn_tls_shakes_hands(const conn *c) { return !tls_ready(c->tls->session); }
bool conn_tls_holds(const conn *c) { return c->tls->rest || tls_holds(c->tls->session); }
size_t conn_tls_waiting(const conn *c) { return c->tls->sealed ? outbox_waiting(c->tls->sealed).len : 0; }

static void count_failure(conn *c, tls_failure why)
{
    if (c->tls) {
        if (c->tls->counted || tls_ready(c->tls->session)) return;
        c->tls->counted = true;
    }
    shard_count(&c->of->tls_failed[why], 1);
}

/* ---- out ---- */

/* Where sealed bytes go; NULL = no memory, the connection is broken. */
static outbox *sealed_box(conn *c)
{
    if (!c->tls->sealed) c->tls->sealed = shard_box(c->of, OUTBOX_STREAM);
    if (!c->tls->sealed) c->broken = true;
    return c->tls->sealed;
}

/* True when all that was sealed is out. */
static bool push(conn *c)
{
    conn_tls *t = c->tls;
    if (!t->sealed) return true;
    size_t sent = 0;
    struct iovec all = conn_piece(outbox_waiting(t->sealed));
    sock_io io = all.iov_len ? sock_write(c->fd.fd, &all, 1, &sent) : SOCK_DONE;
    if (io == SOCK_GONE) c->broken = true;
    if (io != SOCK_DONE) sent = 0;
    shard_count(&c->of->bytes_out, sent);
    c->progress |= sent > 0 && tls_ready(t->session);
    if (sent < all.iov_len) {
        outbox_use(t->sealed, sent);
        return false;
    }
    shard_box_give(c->of, t->sealed);
    t->sealed = NULL;
    return true;
}

/* Of what waits and the pieces, behind the first `skip` bytes, as much as has room; how many bytes that is. */
static size_t slice(const conn *c, const struct iovec *pieces, size_t count, size_t skip, size_t room,
                    struct iovec *ret, size_t *ret_count)
{
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i <= count && bytes < room; i++) {
        struct iovec p = i ? pieces[i - 1] : conn_piece(c->out ? outbox_waiting(c->out) : STR(""));
        size_t gone = skip < p.iov_len ? skip : p.iov_len, len = p.iov_len - gone;
        skip -= gone;
        if (len > room - bytes) len = room - bytes;
        if (len) ret[n++] = (struct iovec){.iov_base = (uint8_t *)p.iov_base + gone, .iov_len = len};
        bytes += len;
    }
    *ret_count = n;
    return bytes;
}

void conn_tls_write(conn *c, const struct iovec *pieces, size_t count)
{
    struct iovec v[CONN_PIECES_MAX + 1] UNINIT;
    conn_tls *t = c->tls;
    size_t waiting = c->out ? outbox_waiting(c->out).len : 0, total = waiting, done = 0;
    INVARIANT(count < COUNTOF(v));
    for (size_t i = 0; i < count; i++) total += pieces[i].iov_len;
    if (total && (t->ended || conn_tls_shakes_hands(c))) {
        c->broken = true;   /* a refusal, mostly: there is no way to tell it */
        return;
    }
    do {
        size_t kept = conn_tls_waiting(c), n = 0;
        size_t room = kept < CONN_TLS_BATCH_BYTES ? CONN_TLS_BATCH_BYTES - kept : 0;
        size_t bytes = slice(c, pieces, count, done, room, v, &n);
        if (bytes && !(sealed_box(c) && tls_write(t->session, v, n, c->of->tls_stage, t->sealed))) {
            c->broken = true;
            return;
        }
        done += bytes;
        c->blocked = !push(c);
    } while (!c->broken && !c->blocked && done < total);
    size_t from_out = done < waiting ? done : waiting;
    if (c->out) outbox_use(c->out, from_out);
    if (c->out && done >= waiting) {
        shard_box_give(c->of, c->out);
        c->out = NULL;
    }
    if (!c->broken && done < total && !conn_keep(c, pieces, count, done - from_out)) c->broken = true;
}

bool conn_tls_end(conn *c)
{
    conn_tls *t = c->tls;
    if (!t->ended && sealed_box(c)) tls_end(t->session, t->sealed);
    t->ended = true;
    c->blocked = !c->broken && !push(c);
    return !c->blocked;
}

/* ---- in ---- */

static bool start(conn *c)
{
    shard *s = c->of;
    /* One room for what was opened, one for what is to be sealed: a handler reads the one while it writes. */
    if (!s->tls_plain) s->tls_plain = mem_alloc_raw(TLS_RECORD_BYTES_MAX);
    if (!s->tls_stage) s->tls_stage = mem_alloc_raw(TLS_RECORD_BYTES_MAX);
    if (!s->tls_plain || !s->tls_stage) return false;
    conn_tls *t = mem_new0(conn_tls, 1);
    if (t) t->session = tls_new(s->tls);
    if (!t || !t->session) {
        mem_free(t);
        return false;
    }
    c->tls = t;
    return true;
}

static void go_plain(conn *c, const uint8_t *data, size_t len)
{
    static const char text[] = "client sent an HTTP request to an HTTPS server";
    c->wrapped = false;
    if (c->cleartext || c->refusal) {
        conn_feed(c, data, len);
        return;
    }
    count_failure(c, TLS_FAILURE_CLEARTEXT);
    if (len >= 3 && memcmp(data, "PRI", 3) == 0)
        conn_http2_refuse(c, text);
    else
        conn_http1_refuse(c, 400, text);
}

static void on_ready(conn *c)
{
    shard_count(tls_is_13(c->tls->session) ? &c->of->tls13 : &c->of->tls12, 1);
    c->progress = true;
    if (tls_chose_http2(c->tls->session) && !c->refusal) conn_http2_start(c, true);
}

/* The alert, if there is one, goes out; in the middle of requests there is nobody to give the rest to. */
static void on_failure(conn *c)
{
    count_failure(c, tls_why(c->tls->session));
    c->tls->ended = true;
    c->blocked = !push(c);
    if (tls_ready(c->tls->session))
        c->broken = true;
    else
        c->shut = c->linger = true;
}

static bool reads(const conn *c) { return !c->broken && !c->shut && c->speaks->reads(c); }

static tls_event open_one(conn *c)
{
    size_t n = 0;
    conn_tls *t = c->tls;
    struct iovec v[CONN_PLACES_MAX] UNINIT;
    size_t places = c->speaks->room && tls_ready(t->session) ? c->speaks->room(c, v) : 0;
    if (places != 1) *v = (struct iovec){.iov_base = c->of->tls_plain, .iov_len = TLS_RECORD_BYTES_MAX};
    if (!sealed_box(c)) return TLS_MORE;
    tls_event got = tls_read(t->session, v->iov_base, v->iov_len, &n, t->sealed);
    switch (got) {
    case TLS_MORE: break;
    case TLS_READY: on_ready(c); break;
    case TLS_DATA: conn_feed(c, v->iov_base, n); break;
    case TLS_END: c->eof = c->shut = true; break;
    case TLS_FAILED: on_failure(c); break;
    }
    return got;
}

/* Opens what came as long as the protocol takes it; how many of the bytes are left. */
static size_t open_all(conn *c, const uint8_t *data, size_t len)
{
    conn_tls *t = c->tls;
    tls_event got = TLS_DATA;
    tls_feed(t->session, data, len);
    while (reads(c) && (got == TLS_DATA || got == TLS_READY)) got = open_one(c);
    conn_uncork(c);
    /* Handshakes, tickets and answers to key updates.  An empty box goes back. */
    if (!c->broken && !c->blocked) c->blocked = !push(c);
    if (conn_tls_waiting(c) > CONN_TLS_SEALED_MAX) c->broken = true;
    size_t left = tls_unread(t->session);
    c->linger |= c->shut && left > 0;
    return c->shut || c->broken ? 0 : left;
}

void conn_tls_go_on(conn *c)
{
    conn_tls *t = c->tls;
    outbox *rest = t->rest;
    str bytes = rest ? outbox_waiting(rest) : STR("");
    t->rest = NULL;
    size_t left = open_all(c, (const uint8_t *)bytes.p, bytes.len);
    if (rest) outbox_use(rest, bytes.len - left);
    if (left)
        t->rest = rest;
    else if (rest)
        shard_box_give(c->of, rest);
}

void conn_tls_take_in(conn *c, const uint8_t *data, size_t len)
{
    if (!c->tls && data[0] != TLS_HELLO_BYTE) {
        go_plain(c, data, len);
        return;
    }
    if (!c->tls && !start(c)) {
        c->broken = true;
        return;
    }
    conn_tls *t = c->tls;
    bool behind = t->rest != NULL;
    size_t left = behind ? len : open_all(c, data, len);
    if (left == 0) return;
    if (!t->rest) t->rest = shard_box(c->of, OUTBOX_STREAM);
    if (!t->rest || !outbox_put(t->rest, data + (len - left), left)) c->broken = true;
    if (behind && !c->broken) conn_tls_go_on(c);
}

void conn_tls_expire(conn *c)
{
    count_failure(c, TLS_FAILURE_TIMEOUT);
    c->broken = true;
}

void conn_tls_free(conn *c)
{
    conn_tls *t = c->tls;
    if (!t) return;
    count_failure(c, TLS_FAILURE_CLOSED);
    if (t->sealed) shard_box_give(c->of, t->sealed);
    if (t->rest) shard_box_give(c->of, t->rest);
    tls_free(t->session);
    mem_free(t);
    c->tls = NULL;
}
