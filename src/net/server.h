/* server.h - listens, accepts, and turns bytes into http_call for one handler.
 *
 * One server spans all loops: each accepts from every address (net/listeners.h), and a
 * connection belongs for life to the loop that accepted it.  HTTP/1.0, 1.1 and 2 share the port: the first
 * bytes of a connection, or an Upgrade, choose.
 * server_new() is called before the loops run, or on the only loop; clients queue up from the opening of the
 * listeners on.  Out of descriptors, clients are told 503 by way of one that each loop keeps for it.  Between its close
 * and the accept it may go to somebody else: then an idle connection is closed, of this loop or of another one, who are
 * asked each SERVER_PAUSE_US; until the loop has one again it accepts nobody, and the others only tell 503.
 * server_drain(): refuse new clients, and where a handshake may be under way wait SERVER_DOOR_US for its end before the
 * listeners close; answer what was accepted (with `Connection: close`, behind GOAWAY as net/conn_http2.h says), close
 * idle ones (after SERVER_DRAIN_IDLE_US: a request may be on its way), and call `drained` when the last connection is
 * gone or `grace_us` is over; what is left then is cut off. */
#ifndef NET_SERVER_H
#define NET_SERVER_H
#include "base/quota.h"
#include "net/http.h"
#include "net/tls_context.h"

enum { SERVER_PAUSE_US = 100000, SERVER_DOOR_US = 5000, SERVER_DRAIN_IDLE_US = 200000, SERVER_REST_US = 1000000 };

typedef struct server server;
typedef struct listeners listeners;

typedef struct {
    listeners *at;              /* taken, on failure too */
    loop **loops;               /* borrowed, they outlive the server */
    size_t loop_count;
    http_limits limits;         /* each 0 = http_limits_default's */
    http_handler *handler;
    http_begin *begin;          /* NULL = every request is wanted whole */
    void *ctx;
    tls_context *tls;           /* borrowed; NULL = this port speaks no TLS */
    bool cleartext;             /* with tls: HTTP without it is served, too, instead of refused */
    uint64_t id_seed;           /* != 0: answers carry X-Request-Id, and ids that the server makes come from this */
    /* NULL, or called with every answer before it is sent, on the call's loop: for access logs.  A request that
     * was refused unread is all empty. */
    http_replied *replied;
    /* NULL, or called on a loop whose connections have done nothing for SERVER_REST_US, once after they did; the
     * server's own pools are empty then.  last = no other loop has connections that do. */
    void (*rested)(void *ctx, loop *on, bool last);
} server_opts;

/* Limits of http_limits that ended a request or a connection; those of connections and bodies are counted apart. */
typedef enum {
    SERVER_HIT_HEADERS, SERVER_HIT_BODY, SERVER_HIT_HEADER_WAIT, SERVER_HIT_BODY_WAIT, SERVER_HIT_WRITE_WAIT,
    SERVER_HIT_FRAMES, SERVER_HITS
} server_hit;

enum { SERVER_CLASSES = 5 };    /* of statuses: 1xx to 5xx */

typedef struct {                /* sums over all loops; for /metrics */
    uint64_t accepted, refused, open, requests, bytes_in, bytes_out, bad_requests;
    uint64_t bodies_bytes, bodies_refused;   /* see http_limits.bodies_bytes_max */
    uint64_t replies_bytes, replies_refused; /* see http_limits.replies_bytes_max */
    uint64_t cut_connections, cut_calls;   /* by the end of a grace, or server_abort(); calls: not answered */
    uint64_t tls12, tls13, tls_failed[TLS_FAILURE_COUNT];   /* handshakes */
    uint64_t http2_accepted, http2_open;     /* connections that turned out to speak it, */
    uint64_t streams, streams_open;          /* and what they asked */
    uint64_t answers[2][SERVER_CLASSES];     /* HTTP/1 and HTTP/2 */
    uint64_t hits[SERVER_HITS];
} server_stats;

err_code server_new(server **ret, const server_opts *opts, err *e) MUST_USE;
/* Both after the loops have stopped.  server_abort() cuts off every connection; calls stay valid, without a client,
 * until server_free(). */
void server_abort(server *s);
void server_free(server *s);    /* calls not answered by then are void */
DEFINE_CLEANUP(server)
listeners *server_listeners(const server *s);
/* The memory for bodies, http_limits.bodies_bytes_max: whoever gathers the parts of a body takes it from here.  Any
 * thread, until server_free(). */
quota *server_bodies(server *s);
/* The memory for what waits for clients, http_limits.replies_bytes_max; the same. */
quota *server_replies(server *s);
/* Before the drain: idle connections stay so long, instead of SERVER_DRAIN_IDLE_US.  Where another server accepts
 * already there is no hurry, and a request that crosses the end of its connection is lost. */
void server_drain_idle(server *s, uint64_t idle_us);
/* From any thread: connections that begin from now on take this context; those that are open keep theirs.  The server
 * has one already. */
void server_renew_tls(server *s, tls_context *x);
/* From any thread; drained() runs on loop 0.  Only the first call counts. */
void server_drain(server *s, uint64_t grace_us, void (*drained)(void *ctx), void *ctx);
void server_stats_read(const server *s, server_stats *ret);   /* any thread */

#endif
