/* conn.h - one HTTP/1 connection: bytes in, calls out in order, replies back in order, bytes out.
 *
 * Belongs to a shard and its loop.  It holds memory only for what is under way: a call while a request is
 * being read, a box for bytes that had to wait; an idle connection is this struct alone.  Reading stops
 * while pipelined_max calls wait or the client does not take its replies.
 *
 * It ends when no further request will come (`shut`: end of stream, `Connection: close`, a refusal) and all
 * replies are sent; after a refusal it reads on for a while (`lingering`), since closing a socket with
 * unread bytes would make the kernel take the reply back. */
#ifndef NET_CONN_H
#define NET_CONN_H
#include "net/call.h"
#include "os/sock.h"

enum {
    CONN_READ_MAX = 1 << 20,         /* bytes read in one turn; then the other connections have theirs */
    CONN_CORK_MAX = 64 << 10,        /* replies to one read are gathered up to here, then sent */
    CONN_LINGER_BYTES_MAX = 32 << 20,
    CONN_LINGER_US = 2000000
};

typedef enum { WAIT_CALLS, WAIT_IDLE, WAIT_HEADER, WAIT_BODY, WAIT_WRITE, WAIT_LINGER, CONN_WAITS } conn_wait;

struct conn {
    loop_fd fd;                      /* first: the loop hands it back */
    shard *of;
    conn *prev, *next;               /* neighbours in its wait list; next alone in the pool */
    conn *resume_next;
    uint64_t since_us;
    http1 reader;
    http_call *reading;              /* where the request that is being read goes; NULL = none */
    http_call *first, *last;         /* whole requests, the oldest first */
    outbox *out;                     /* for the socket; NULL = nothing waits */
    outbox *rest;                    /* read before their turn; NULL = none */
    uint32_t queued, lingered;
    uint8_t wait;
    bool entered;                    /* its own code runs: that ends with conn_settle() */
    bool corked, blocked;            /* replies are gathered; the socket takes no more */
    bool shut, linger, lingering;
    bool eof, broken;
    bool progress;                   /* since the last settling: the deadline starts anew */
    bool continue_due, resuming, refused;
};

void conn_init(conn *c, shard *s, int fd);           /* takes fd; the caller has set all to zero */
bool conn_start(conn *c);                            /* begins to read; false = the loop has no room for it */
void conn_refuse_all(conn *c, const char *text);     /* tells a connection beyond the limit, 503 */
void conn_send(conn *c, const struct iovec *pieces, size_t count);   /* keeps a copy of what has to wait */
void conn_settle(conn *c);                           /* after every change from outside; may free c */
void conn_resume(conn *c);                           /* goes on with the waiting requests; may free c */
void conn_expire(conn *c);                           /* its wait is over; may free c */
void conn_break(conn *c);                            /* frees c at once; open calls stay valid, without a client */

#endif
