#include "net/dial_tls.h"

#include "base/mem.h"

#include <string.h>

enum { READ_BYTES = 64 << 10, HEAD_BYTES = 5, PIECES_MAX = 16 };

struct dial_tls {
    tls *session;
    tls_verdict verdict;
    outbox *sealed;                 /* for the socket */
    sock_io lost;                   /* DONE = the socket is fine; how it ended */
    bool failed, cut, ended;        /* TLS did; nothing more can be sent; the server said goodbye */
    size_t head_len;                /* the first bytes that came: are they TLS? */
    char head[HEAD_BYTES];
    uint8_t in[READ_BYTES];
    uint8_t stage[TLS_RECORD_BYTES_MAX];
};

dial_tls *dial_tls_new(tls_context *x, const char *host)
{
    dial_tls *t = mem_new0(dial_tls, 1);
    if (!t) return NULL;
    tls_verdict_init(&t->verdict, host, tls_context_authorities(x));
    t->sealed = outbox_new(OUTBOX_STREAM);
    t->session = t->sealed ? tls_new_client(x, &t->verdict) : NULL;
    if (t->session) return t;
    dial_tls_free(t);
    return NULL;
}

void dial_tls_free(dial_tls *t)
{
    if (!t) return;
    tls_free(t->session);
    outbox_free(t->sealed);
    mem_free(t);
}

void dial_tls_push(dial_tls *t, int fd)
{
    str all = outbox_waiting(t->sealed);
    size_t n = 0;
    if (!all.len || t->cut) return;
    sock_io io = sock_write(fd, &(struct iovec){(void *)(uintptr_t)all.p, all.len}, 1, &n);
    if (io == SOCK_GONE) t->cut = true;
    if (io == SOCK_DONE) outbox_use(t->sealed, n);
}

bool dial_tls_waits(const dial_tls *t) { return !t->cut && outbox_waiting(t->sealed).len > 0; }

bool dial_tls_holds(const dial_tls *t)
{
    return t->cut || t->failed || tls_unread(t->session) > 0 || tls_holds(t->session);
}

bool dial_tls_failed(const dial_tls *t) { return t->failed; }
bool dial_tls_closed(const dial_tls *t) { return t->lost == SOCK_EOF; }
str dial_tls_protocol(const dial_tls *t) { return tls_protocol(t->session); }

static sock_io receive(dial_tls *t, int fd)
{
    size_t n = 0;
    sock_io io = t->lost == SOCK_DONE ? sock_read(fd, t->in, sizeof t->in, &n) : t->lost;
    if (io == SOCK_AGAIN && t->cut) io = SOCK_GONE;   /* what the server waits for never left */
    if (io == SOCK_EOF || io == SOCK_GONE) t->lost = io;
    if (io != SOCK_DONE) return io;
    for (size_t i = 0; i < n && t->head_len < sizeof t->head; i++) t->head[t->head_len++] = (char)t->in[i];
    tls_feed(t->session, t->in, n);
    return SOCK_DONE;
}

/* Whatever the session makes of what it has goes to the socket, too: alerts, answers to key updates. */
static tls_event step(dial_tls *t, int fd, void *p, size_t room, size_t *ret_n)
{
    tls_event got = tls_read(t->session, p, room, ret_n, t->sealed);
    t->failed = got == TLS_FAILED;
    t->ended |= got == TLS_END;
    dial_tls_push(t, fd);
    return got;
}

sock_io dial_tls_shake(dial_tls *t, int fd)
{
    if (t->failed) return SOCK_GONE;
    for (int i = 0; i < DIAL_TLS_READS_MAX; i++) {
        tls_event got = step(t, fd, t->stage, sizeof t->stage, &(size_t){0});
        if (got == TLS_READY) return SOCK_DONE;
        if (got != TLS_MORE) return SOCK_GONE;
        sock_io io = receive(t, fd);
        if (io != SOCK_DONE) return io;
    }
    return SOCK_AGAIN;
}

sock_io dial_tls_read(dial_tls *t, int fd, void *p, size_t room, size_t *ret_n)
{
    for (int i = 0; i < DIAL_TLS_READS_MAX; i++) {
        if (t->failed) return SOCK_GONE;
        if (t->ended) return SOCK_EOF;
        switch (step(t, fd, p, room, ret_n)) {
        case TLS_DATA: return SOCK_DONE;
        case TLS_END:
        case TLS_FAILED: continue;   /* the next round says which */
        case TLS_READY:
        case TLS_MORE: break;
        }
        sock_io io = receive(t, fd);
        if (io == SOCK_EOF) return SOCK_GONE;
        if (io != SOCK_DONE) return io;
    }
    return SOCK_AGAIN;
}

/* The first DIAL_TLS_BATCH_BYTES of the pieces, in PIECES_MAX of them at most. */
static size_t batch(const struct iovec *v, size_t count, struct iovec ret[PIECES_MAX], size_t *ret_count)
{
    size_t bytes = 0, n = 0;
    for (size_t i = 0; i < count && n < PIECES_MAX && bytes < DIAL_TLS_BATCH_BYTES; i++) {
        size_t left = DIAL_TLS_BATCH_BYTES - bytes, len = v[i].iov_len < left ? v[i].iov_len : left;
        if (len) ret[n++] = (struct iovec){v[i].iov_base, len};
        bytes += len;
    }
    *ret_count = n;
    return bytes;
}

sock_io dial_tls_write(dial_tls *t, int fd, const struct iovec *v, size_t count, size_t *ret_n)
{
    struct iovec some[PIECES_MAX];
    size_t n = 0;
    dial_tls_push(t, fd);
    if (t->failed || t->cut || t->ended) return SOCK_GONE;
    if (dial_tls_waits(t)) return SOCK_AGAIN;
    size_t bytes = batch(v, count, some, &n);
    t->failed = !tls_write(t->session, some, n, t->stage, t->sealed);
    if (t->failed) return SOCK_GONE;
    dial_tls_push(t, fd);
    *ret_n = bytes;
    return SOCK_DONE;
}

void dial_tls_end(dial_tls *t, int fd)
{
    if (!t->failed) tls_end(t->session, t->sealed);
    dial_tls_push(t, fd);
}

err_code dial_tls_say(const dial_tls *t, const char *where, err *e)
{
    if (t->head_len >= 4 && memcmp(t->head, "HTTP", 4) == 0)
        return err_set(e, ERR_INTERNAL, "%s: TLS: expected a handshake, got plain HTTP: no https there", where);
    bool handshake = t->head_len > 0 && (t->head[0] == TLS_HELLO_BYTE || t->head[0] == TLS_ALERT_BYTE);
    if (t->failed && t->head_len && !handshake)
        return err_set(e, ERR_INTERNAL, "%s: TLS: expected a handshake, got what is no TLS", where);
    if (t->failed) return tls_verdict_say(&t->verdict, tls_error(t->session), where, e);
    return err_set(e, ERR_UNAVAILABLE, "%s: TLS: expected a handshake, got the connection %s", where,
                   t->lost == SOCK_EOF ? "closed" : "reset");
}
