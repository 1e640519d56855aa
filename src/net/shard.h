/* shard.h - what a server has on one loop: listeners, connections with their deadlines, and pools.
 *
 * Only the loop's thread touches it, but for the counters (atomic, one writer) and the messages.
 *
 * Each connection sits in one list per kind of wait, ordered by the time it entered; all in a list wait
 * equally long, so the first one's deadline is the earliest and one timer for all lists is enough.  A request
 * that comes and is answered in one turn moves its connection to the end of WAIT_IDLE and arms nothing. */
#ifndef NET_SHARD_H
#define NET_SHARD_H
#include "async/lull.h"
#include "net/conn.h"
#include "net/listeners.h"
#include "net/server.h"
#include "net/tls_context.h"

#include <stdatomic.h>

enum {
    SHARD_READ_BYTES = 64 << 10,          /* one read; a request that fits needs no memory of its own but its views */
    SHARD_SCRATCH_BYTES = 256 << 10,      /* the same where bodies are read to their places: see conn_protocol.room */
    SHARD_CALLS_KEPT_MAX = 1024,          /* unused calls kept for later, */
    SHARD_BYTES_KEPT_MAX = 32 << 20,      /* and the memory that they may hold on to, or less: shard_opts */
    SHARD_CONNS_KEPT_MAX = 1024,
    SHARD_BOXES_KEPT_MAX = 64,            /* of each kind, */
    SHARD_BOX_BYTES_KEPT_MAX = 1 << 20,   /* and the memory that all of them may hold on to */
    SHARD_REST_BYTES_MAX = 256 << 10,     /* calls, and boxes, keep no more once nobody is connected */
    SHARD_ACCEPT_MAX = 64,                /* connections accepted in one turn */
    SHARD_BACKLOG_MAX = 4096,             /* accepted when the drain begins; the kernel's own default */
    SHARD_EXPIRE_MAX = 64,                /* deadlines served in one turn */
    SHARD_RESUME_MAX = 64,
    SHARD_REFUSED_MAX = 64                /* connections beyond the limit that are being told so */
};

typedef struct {
    conn *first, *last;
    uint64_t wait_us;
} wait_list;

/* A listener as this loop watches it. */
typedef struct {
    loop_fd fd;
    shard *of;
    listener *at;                         /* NULL = left */
} shard_listener;

/* Outlives the shard while one of its messages is under way. */
typedef struct shard_mail shard_mail;

struct shard {
    server *of;
    loop *on;
    const http_limits *limits;
    http1_limits reader_limits;
    http2_limits http2_limits;
    http_handler *handler;
    http_begin *begin;
    http_replied *replied;
    void *ctx;
    uint64_t id_seed;
    shard_listener *listeners;            /* those of the server that this loop accepts from */
    size_t listener_count;
    int reserve;                          /* a descriptor to give up, so that one more can be accepted and told */
    bool lacks;                           /* it is lost, and there is none for it */
    loop_timer tick, unpause, door, grace;   /* always set, LOOP_FAR_US away when there is nothing to wait for */
    uint64_t tick_at_us;
    wait_list waits[CONN_WAITS];
    size_t open, refusing;
    bool draining, left, reported;        /* left: its listeners */
    low_water low_water;
    lull lull;                            /* unused where nobody wants to know */
    void (*rested)(void *ctx, loop *on, bool last);

    conn *resume_first;                   /* connections whose waiting requests may go on */
    bool resume_posted;
    shard_mail *mail;

    http_call *calls;                     /* pools: unused ones */
    conn *conns;
    outbox *boxes[OUTBOX_KINDS];
    size_t call_count, conn_count, bytes_kept, bytes_kept_max, box_count[OUTBOX_KINDS], box_bytes_kept;
    http_call *live;                      /* calls in use */
    uint64_t id_next, id_end;

    quota *replies;                       /* memory for what waits for clients */
    buf head;                             /* head of the reply being sent */
    conn_http2_out http2_out;
    http2_places http2_places;            /* of the read at hand */
    slab http2_memory;                    /* of all its sessions */
    char date[HTTP_HEADER_DATE_BYTES];
    uint64_t date_until_us;
    uint8_t *scratch;
    _Atomic uint64_t accepted, refused, requests, bytes_in, bytes_out, bad_requests, cut_connections, cut_calls;
    tls_context *tls;                     /* of new connections; NULL = none speaks TLS */
    bool cleartext;                       /* allowed beside it */
    uint8_t *tls_plain, *tls_stage;       /* TLS_RECORD_BYTES_MAX each; NULL = not needed yet */
    _Atomic uint64_t tls12, tls13, tls_failed[TLS_FAILURE_COUNT];
    _Atomic uint64_t http2_accepted, http2_open, streams, streams_open;
    _Atomic uint64_t answers[2][SERVER_CLASSES], hits[SERVER_HITS];
};

/* One writer, so a plain addition will do; readers are other loops that print metrics. */
static inline void shard_count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline void shard_busy(shard *s)
{
    if (s->rested) lull_busy(&s->lull);
}

static inline void shard_uncount(_Atomic uint64_t *counter) { shard_count(counter, UINT64_MAX); }
static inline void shard_hit(shard *s, server_hit what) { shard_count(&s->hits[what], 1); }

typedef struct {
    server *of;
    loop *on;
    const http_limits *limits;            /* borrowed, */
    quota *bodies, *replies;              /* like these */
    size_t bytes_kept_max;
    http_handler *handler;
    http_begin *begin;
    http_replied *replied;
    void (*rested)(void *ctx, loop *on, bool last);
    _Atomic size_t *awake;                /* borrowed */
    void *ctx;
    uint64_t id_seed;
    listeners *all;                       /* borrowed, dealt out */
    size_t index;                         /* of this loop, for its share of them */
    tls_context *tls;                     /* borrowed; NULL = none */
    bool cleartext;
} shard_opts;

err_code shard_new(shard **ret, const shard_opts *opts, err *e) MUST_USE;
void shard_abort(shard *s);
void shard_free(shard *s);
DEFINE_CLEANUP(shard)
void shard_spare(shard *s, size_t above);         /* any thread: posts a message; spare_cut() follows */
void shard_give(shard *s);                /* any thread: posts a message; an idle connection's descriptor is set free */
void shard_renew_tls(shard *s, tls_context *x);   /* any thread: posts a message; keeps a reference */
void shard_drain(shard *s);               /* any thread: posts a message; server_drained() follows on loop 0 */

void shard_wait(shard *s, conn *c, conn_wait kind, bool again);   /* again = its time starts anew */
void shard_unwait(shard *s, conn *c);
void shard_resume_later(shard *s, conn *c);
void shard_gone(shard *s, conn *c);       /* the connection is closed and holds nothing any more: takes it */
str shard_date(shard *s);
http_call *shard_call(shard *s) MUST_USE; /* a clear one; NULL = no memory */
void shard_call_give(shard *s, http_call *call);
outbox *shard_box(shard *s, outbox_kind kind) MUST_USE;   /* an empty one; NULL = no memory */
void shard_box_give(shard *s, outbox *box);

/* server.c: what a shard asks of its server. */
bool server_admit(server *s);             /* counts a connection in, unless there are connections_max */
void server_leave(server *s);
void server_spare(server *s, const shard *besides, size_t above);   /* shard_spare() of all others */
void server_lack(server *s, bool lacks);  /* a shard has lost its descriptor in reserve, or has one again */
bool server_lacks(const server *s);       /* does one of them */
void server_ask(server *s, const shard *besides);   /* the others for a descriptor: who has one idle gives it, */
bool server_give(server *s);              /* once this is true: nobody else does */
uint64_t server_idle_us(const server *s);
uint64_t server_grace_us(const server *s);
uint64_t server_door_us(const server *s);   /* of a drain: until the listeners are left; 0 = at once */
void server_drained(server *s);           /* on loop 0: one shard is done */
loop *server_first_loop(const server *s);
shard *server_shard(const server *s, const loop *on);   /* inner.c */

#endif
