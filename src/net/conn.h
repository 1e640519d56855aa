/* conn.h - one connection: a socket, what waits for it, its deadlines and its end; a protocol says what the bytes mean.
 *
 * Belongs to a shard and its loop.  It holds memory only for what is under way: a call while a request is
 * being read, a box for bytes that had to wait; an idle connection is this struct alone.  Reading stops
 * when its protocol says so; for HTTP/1 that is while pipelined_max calls wait or the client does not take
 * its replies.
 *
 * It ends when no further request will come (`shut`: end of stream, `Connection: close`, a refusal) and all
 * replies are sent; after a refusal it reads on for a while (`lingering`), since closing a socket with
 * unread bytes would make the kernel take the reply back.
 *
 * Every connection begins as HTTP/1; its reader knows HTTP/2's preface, or an Upgrade, and hands over.  On a port
 * that has a certificate it begins wrapped: see conn_tls.h. */
#ifndef NET_CONN_H
#define NET_CONN_H
#include "net/call.h"
#include "net/conn_http1.h"
#include "net/conn_http2.h"
#include "net/low_water.h"
#include "os/sock.h"

enum {
    CONN_READ_MAX = 1 << 20,         /* bytes read in one turn; then the other connections have theirs */
    CONN_CORK_MAX = 64 << 10,        /* replies to one read are gathered up to here, then sent */
    CONN_PIECES_MAX = SOCK_VEC_MAX - 1,   /* sent at once, behind what waits */
    CONN_PLACES_MAX = HTTP2_PLACES_MAX,   /* read to at once */
    CONN_LINGER_BYTES_MAX = 32 << 20,
    CONN_LINGER_US = 2000000
};

typedef enum {
    WAIT_CALLS, WAIT_IDLE, WAIT_FIRST, WAIT_HEADER, WAIT_BODY, WAIT_WRITE, WAIT_LINGER, WAIT_STREAMS, CONN_WAITS
} conn_wait;

/* What a connection asks of its protocol.  Only reply, abort and took come from outside; the connection settles behind
 * each of them unless its own code runs. */
typedef struct {
    void (*feed)(conn *c, const uint8_t *data, size_t len);
    /* Where the next bytes may be read to, in so many pieces; 0, or NULL = anywhere.  What came is fed, or told to
     * `placed` where there is more than one of them. */
    size_t (*room)(conn *c, struct iovec ret[CONN_PLACES_MAX]);
    void (*placed)(conn *c, size_t len);
    size_t (*due)(const conn *c);                  /* bytes that must come before it can go on; 0 = nobody knows */
    bool (*reads)(const conn *c);                  /* it wants more bytes now */
    bool (*owes)(const conn *c);                   /* replies are still to come */
    conn_wait (*waits_for)(const conn *c);         /* with nothing blocked: whose turn it is */
    void (*settle)(conn *c);                       /* the last word of a turn: what may be sent or given back */
    void (*resume)(conn *c);                       /* what it put off with shard_resume_later() */
    void (*expire)(conn *c);                       /* that wait is over */
    void (*end)(conn *c);                          /* gives all back: the socket closes */
    bool (*reply)(conn *c, http_call *call, const call_reply *step);   /* false = it waits; gives it back at its end */
    void (*abort)(conn *c, http_call *call);       /* gives it back */
    void (*took)(conn *c, http_call *call, size_t bytes);              /* NULL = of no interest */
} conn_protocol;

typedef struct conn_tls conn_tls;

struct conn {
    loop_fd fd;                      /* first: the loop hands it back */
    shard *of;
    conn *prev, *next;               /* neighbours in its wait list; next alone in the pool */
    conn *resume_next;
    low_water_mark low_water;
    uint64_t since_us;
    const conn_protocol *speaks;
    conn_tls *tls;                   /* NULL = none */
    outbox *out;                     /* for the socket, not sealed yet; NULL = nothing waits */
    uint32_t lingered;
    uint8_t wait;
    bool entered;                    /* its own code runs: that ends with conn_settle() */
    bool corked, blocked;            /* replies are gathered; the socket takes no more */
    bool more;                       /* the socket has more to read in this turn */
    bool shut, linger, lingering;
    bool eof, broken;
    bool progress;                   /* since the last settling: the deadline starts anew */
    bool expired, resuming, refused;
    bool cleartext;                  /* may go without TLS */
    bool wrapped;                    /* its bytes come through TLS, or the first one is still to tell */
    const char *refusal;             /* to be told, in the client's own protocol; NULL = nothing */
    conn_http1 http1;
    conn_http2 *http2;               /* NULL = it speaks HTTP/1 */
};

void conn_init(conn *c, shard *s, int fd);           /* takes fd; the caller has set all to zero */
bool conn_start(conn *c);                            /* begins to read; false = the loop has no room for it */
/* Tells a connection beyond the limit so, when its first bytes, or CONN_LINGER_US without, say how: 503 or GOAWAY. */
void conn_refuse_all(conn *c, const char *text);
void conn_settle(conn *c);                           /* after every change from outside; may free c */
void conn_resume(conn *c);                           /* goes on with what was put off; may free c */
void conn_expire(conn *c);                           /* its wait is over; may free c */
void conn_break(conn *c);                            /* frees c at once; open calls stay valid, without a client */

/* For what lies between the socket and the protocol. */
void conn_feed(conn *c, const uint8_t *data, size_t len);            /* plain bytes */
bool conn_keep(conn *c, const struct iovec *pieces, size_t count, size_t skip) MUST_USE;   /* in c->out */

/* For protocols. */
size_t conn_read(conn *c);                           /* as if the socket were ready; how many bytes came */
void conn_send(conn *c, const struct iovec *pieces, size_t count);   /* keeps a copy of what has to wait */
void conn_uncork(conn *c);                           /* sends what was gathered */
size_t conn_waiting(const conn *c);                  /* bytes for the socket */
static inline struct iovec conn_piece(str s)
{
    return (struct iovec){.iov_base = (void *)(uintptr_t)s.p, .iov_len = s.len};
}

#endif
