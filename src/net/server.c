#include "net/server.h"

#include "base/mem.h"
#include "net/listeners.h"
#include "net/shard.h"

enum { KEPT_SHARE = 4 };   /* of the memory for bodies, and for replies, loops may keep one part in so many */

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): what every loop writes has cache lines of its own */
struct server {
    http_limits limits;
    listeners *at;
    shard **shards;                 /* shard_count of them */
    size_t shard_count;
    loop *first;
    _Alignas(64) _Atomic size_t open;   /* connections; every loop writes it */
    _Alignas(64) quota bodies;          /* memory of requests' bodies, in use or kept by a loop; all loops */
    _Alignas(64) quota replies;         /* memory of what waits for clients, in use or kept; all loops */
    _Alignas(64) _Atomic size_t awake;  /* loops that do not rest */
    _Atomic size_t lacking;         /* shards without a descriptor in reserve */
    _Atomic bool asked;             /* for one, and nobody has given it yet */
    _Atomic bool draining;
    uint64_t idle_us;               /* like this; see server_drain_idle() */
    uint64_t grace_us, door_us;     /* set before the drain messages go out */
    void (*drained)(void *ctx);
    void *drained_ctx;
    size_t drained_count;           /* shards that are done; loop 0 only */
};

/* Each limit that is 0 gets its default. */
static void limits_fill(http_limits *l)
{
    const http_limits *d = &http_limits_default;
#define FILL(field) \
    if (!l->field) l->field = d->field
    FILL(line_bytes_max);
    FILL(header_bytes_max);
    FILL(header_count_max);
    FILL(body_bytes_max);
    FILL(bodies_bytes_max);
    FILL(replies_bytes_max);
    FILL(connections_max);
    FILL(pipelined_max);
    FILL(streams_max);
    FILL(header_wait_us);
    FILL(body_wait_us);
    FILL(idle_wait_us);
    FILL(write_wait_us);
#undef FILL
}

static err_code add_shard(server *s, const server_opts *opts, err *e)
{
    const http_limits *l = &s->limits;
    size_t least = l->bodies_bytes_max < l->replies_bytes_max ? l->bodies_bytes_max : l->replies_bytes_max;
    const shard_opts share = {
        .of = s,
        .on = opts->loops[s->shard_count],
        .limits = &s->limits,
        .bodies = &s->bodies,
        .replies = &s->replies,
        .bytes_kept_max = least / KEPT_SHARE / opts->loop_count,
        .handler = opts->handler,
        .begin = opts->begin,
        .replied = opts->replied,
        .rested = opts->rested,
        .awake = &s->awake,
        .ctx = opts->ctx,
        .id_seed = opts->id_seed,
        .all = s->at,
        .index = s->shard_count,
        .tls = opts->tls,
        .cleartext = opts->cleartext,
    };
    err_code rc = shard_new(&s->shards[s->shard_count], &share, e);
    if (rc == ERR_OK) s->shard_count++;
    return rc;
}

err_code server_new(server **ret, const server_opts *opts, err *e)
{
    INVARIANT(opts->at && opts->loop_count > 0 && opts->handler);
    CLEANUP(listeners) listeners *at = opts->at;
    CLEANUP(server) server *s = mem_alloc_raw(sizeof *s);   /* aligned: see open */
    if (!s) return err_set(e, ERR_NOMEM, "server: no memory for it");
    *s = (server){.limits = opts->limits, .first = opts->loops[0], .at = TAKE(at), .idle_us = SERVER_DRAIN_IDLE_US};
    listeners_deal(s->at, opts->loop_count);
    limits_fill(&s->limits);
    quota_init(&s->bodies, s->limits.bodies_bytes_max);
    quota_init(&s->replies, s->limits.replies_bytes_max);
    s->shards = mem_new0(shard *, opts->loop_count);
    if (!s->shards) return err_set(e, ERR_NOMEM, "server: no memory for %zu loops", opts->loop_count);
    for (size_t i = 0; i < opts->loop_count; i++) {
        err_code rc = add_shard(s, opts, e);
        if (rc) return rc;
    }
    *ret = TAKE(s);
    return ERR_OK;
}

void server_abort(server *s)
{
    for (size_t i = 0; s && i < s->shard_count; i++) shard_abort(s->shards[i]);
}

void server_free(server *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->shard_count; i++) shard_free(s->shards[i]);
    listeners_free(s->at);
    mem_free(s->shards);
    mem_free(s);
}

listeners *server_listeners(const server *s) { return s->at; }
uint64_t server_idle_us(const server *s) { return s->idle_us; }
uint64_t server_grace_us(const server *s) { return s->grace_us; }
uint64_t server_door_us(const server *s) { return s->door_us; }
shard *server_shard(const server *s, const loop *on)
{
    for (size_t i = 0; i < s->shard_count; i++)
        if (s->shards[i]->on == on) return s->shards[i];
    INVARIANT(!"a loop of this server");
}

loop *server_first_loop(const server *s) { return s->first; }

void server_drain_idle(server *s, uint64_t idle_us) { s->idle_us = idle_us; }

void server_renew_tls(server *s, tls_context *x)
{
    for (size_t i = 0; i < s->shard_count; i++) shard_renew_tls(s->shards[i], x);
}

void server_drain(server *s, uint64_t grace_us, void (*drained)(void *ctx), void *ctx)
{
    if (atomic_exchange(&s->draining, true)) return;
    s->grace_us = grace_us;
    s->door_us = listeners_hide(s->at) ? SERVER_DOOR_US : 0;
    s->drained = drained;
    s->drained_ctx = ctx;
    for (size_t i = 0; i < s->shard_count; i++) shard_drain(s->shards[i]);
}

void server_drained(server *s)
{
    if (++s->drained_count == s->shard_count && s->drained) s->drained(s->drained_ctx);
}

bool server_admit(server *s)
{
    if (atomic_fetch_add_explicit(&s->open, 1, memory_order_relaxed) < s->limits.connections_max) return true;
    server_leave(s);
    return false;
}

void server_spare(server *s, const shard *besides, size_t above)
{
    for (size_t i = 0; i < s->shard_count; i++)
        if (s->shards[i] != besides) shard_spare(s->shards[i], above);
}

void server_lack(server *s, bool lacks) { atomic_fetch_add(&s->lacking, lacks ? 1 : SIZE_MAX); }
bool server_lacks(const server *s) { return atomic_load_explicit(&s->lacking, memory_order_relaxed) > 0; }
bool server_give(server *s) { return atomic_exchange(&s->asked, false); }

void server_ask(server *s, const shard *besides)
{
    atomic_store(&s->asked, true);
    for (size_t i = 0; i < s->shard_count; i++)
        if (s->shards[i] != besides) shard_give(s->shards[i]);
}

void server_leave(server *s) { atomic_fetch_sub_explicit(&s->open, 1, memory_order_relaxed); }

quota *server_bodies(server *s) { return &s->bodies; }
quota *server_replies(server *s) { return &s->replies; }

static uint64_t count_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void counts_add(const shard *of, server_stats *ret)
{
    ret->http2_accepted += count_of(&of->http2_accepted);
    ret->http2_open += count_of(&of->http2_open);
    ret->streams += count_of(&of->streams);
    ret->streams_open += count_of(&of->streams_open);
    for (size_t i = 0; i < SERVER_CLASSES; i++) {
        ret->answers[0][i] += count_of(&of->answers[0][i]);
        ret->answers[1][i] += count_of(&of->answers[1][i]);
    }
    for (size_t i = 0; i < SERVER_HITS; i++) ret->hits[i] += count_of(&of->hits[i]);
}

void server_stats_read(const server *s, server_stats *ret)
{
    *ret = (server_stats){
        .open = atomic_load_explicit(&s->open, memory_order_relaxed),
        .bodies_bytes = quota_used(&s->bodies),
        .bodies_refused = quota_refused(&s->bodies),
        .replies_bytes = quota_used(&s->replies),
        .replies_refused = quota_refused(&s->replies),
    };
    for (size_t i = 0; i < s->shard_count; i++) {
        const shard *of = s->shards[i];
        counts_add(of, ret);
        ret->accepted += atomic_load_explicit(&of->accepted, memory_order_relaxed);
        ret->refused += atomic_load_explicit(&of->refused, memory_order_relaxed);
        ret->requests += atomic_load_explicit(&of->requests, memory_order_relaxed);
        ret->bytes_in += atomic_load_explicit(&of->bytes_in, memory_order_relaxed);
        ret->bytes_out += atomic_load_explicit(&of->bytes_out, memory_order_relaxed);
        ret->bad_requests += atomic_load_explicit(&of->bad_requests, memory_order_relaxed);
        ret->cut_connections += atomic_load_explicit(&of->cut_connections, memory_order_relaxed);
        ret->cut_calls += atomic_load_explicit(&of->cut_calls, memory_order_relaxed);
        ret->tls12 += atomic_load_explicit(&of->tls12, memory_order_relaxed);
        ret->tls13 += atomic_load_explicit(&of->tls13, memory_order_relaxed);
        for (size_t k = 0; k < TLS_FAILURE_COUNT; k++)
            ret->tls_failed[k] += atomic_load_explicit(&of->tls_failed[k], memory_order_relaxed);
    }
}
