#include "net/spare.h"

#include "net/conn_tls.h"

static size_t box_held(const outbox *o) { return o ? o->taken : 0; }

static size_t held_by(const conn *c)
{
    size_t bytes = box_held(c->out);
    if (c->tls) bytes += box_held(c->tls->sealed) + box_held(c->tls->rest);
    if (c->http2) return bytes + conn_http2_held(c);
    bytes += box_held(c->http1.rest);
    for (const http_call *call = c->http1.first; call; call = call->next) bytes += box_held(call->reply);
    return bytes;
}

/* From now on it is nobody's: the connection is over, and gives no more back than it has. */
static void disown(conn *c)
{
    outbox_disown(c->out);
    if (c->tls) outbox_disown(c->tls->sealed);
    if (c->tls) outbox_disown(c->tls->rest);
    if (c->http2) {
        conn_http2_disown(c);
        return;
    }
    outbox_disown(c->http1.rest);
    for (http_call *call = c->http1.first; call; call = call->next) outbox_disown(call->reply);
}

/* Only who waits for something holds anything. */
static conn *largest(const shard *s, const conn *besides, size_t above)
{
    static const conn_wait kinds[] = {WAIT_WRITE, WAIT_STREAMS, WAIT_CALLS};
    conn *found = NULL;
    for (size_t k = 0; k < COUNTOF(kinds); k++) {
        conn *c = s->waits[kinds[k]].first;
        for (size_t i = 0; c && i < SPARE_LOOK_MAX / COUNTOF(kinds); i++, c = c->next) {
            size_t held = c == besides || c->entered || c->broken ? 0 : held_by(c);
            if (held <= above) continue;
            above = held;
            found = c;
        }
    }
    return found;
}

static bool fits(const shard *s, size_t bytes) { return bytes <= s->replies->max - quota_used(s->replies); }

void spare_make(const conn *c, size_t bytes)
{
    shard *s = c->of;
    if (!s->replies || fits(s, bytes)) return;
    size_t own = held_by(c) + bytes;
    for (size_t i = 0; i < SPARE_VICTIMS_MAX; i++) {
        conn *victim = largest(s, c, own);
        if (!victim) break;
        quota_refuse(s->replies);
        disown(victim);
        victim->broken = true;
        shard_resume_later(s, victim);   /* not here: who is told of its end may answer anybody */
        if (fits(s, bytes)) return;
    }
    server_spare(s->of, s, own);
}

void spare_cut(shard *s, size_t above)
{
    conn *victim = largest(s, NULL, above);
    if (!victim) return;
    quota_refuse(s->replies);
    conn_break(victim);
}
