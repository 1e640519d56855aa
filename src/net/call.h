/* call.h - one request with its reply, from its first byte to the last of its answer.
 *
 * Belongs to its connection and to the handler until its answer ends; a call whose client went away has no
 * connection any more and goes back to its shard's pool when it is answered.  What a protocol needs to know of
 * a call stands here, too: HTTP/1 keeps them in a queue, in the order of the requests. */
#ifndef NET_CALL_H
#define NET_CALL_H
#include "net/http.h"
#include "net/outbox.h"
#include "wire/http2.h"

typedef struct conn conn;
typedef struct shard shard;

enum {
    CALL_ID_BYTES = 16, CALL_ID_BYTES_MAX = 128,   /* ours, and the longest that a client may give */
    CALL_HEADERS_MAX = 16,                         /* of an answer, X-Request-Id among them */
    CALL_UNTAKEN_MAX = 256 << 10                   /* of a streamed body, not yet taken: reading stops there */
};

struct http_call {
    http_call *next;              /* in its queue, or in the pool */
    http_call *live_prev, *live_next;
    shard *of;
    conn *from;                   /* NULL = the client is gone */
    uint64_t id, since_us;
    http_message message;
    http_request request;         /* what the handler sees of it */
    outbox *reply;                /* what of it waits: for its turn, or for the client */
    bool streamed;                /* its body goes to `part` as it comes */
    http_part *part;              /* the handler's, see http_call_on_part() */
    void *part_ctx;
    size_t untaken;               /* bytes of parts that the handler still has */
    uint64_t sent_bytes;          /* of the reply's body */
    http_header added[HTTP_ADDED_MAX];   /* to the reply's fields, */
    uint8_t added_count;          /* so many */
    int status;                   /* of the reply, 0 = it has not begun */
    bool answered, close;         /* close: the last one of its connection */
    bool bodiless, chunked;       /* how the reply is framed */
    bool full;                    /* a part found no room: `drained` is owed */
    void (*gone)(void *ctx);      /* the handler's, see http_call_on_gone(); NULL = none */
    void *gone_ctx;
    void (*drained)(void *ctx);   /* see http_call_on_drain() */
    void *drained_ctx;
    void (*inner)(void *ctx, const http_response *answer);   /* who asked, where nobody outside did: inner.h */
    void *inner_ctx;
    bool *inner_over;             /* set when it is answered; NULL = of no interest */
    http2_stream stream;          /* HTTP/2's: see conn_http2.c for these */
    http_call *prev;
    uint64_t moved_us;            /* when it last made progress, */
    size_t mark;                  /* and how far it was */
    uint8_t place;                /* 0 = not with HTTP/2 */
    str request_id;               /* the client's, or id_text */
    char id_text[CALL_ID_BYTES];
};

/* One step of a reply; a whole reply is one that begins and ends. */
typedef struct {
    const http_response *head;    /* NULL = it has begun */
    str body[2];
    const http_header *trailers;
    size_t trailer_count;
    bool ends;
} call_reply;

/* The connection has a place for it: it counts from here on. */
void call_begin(http_call *call);
bool call_streams(http_call *call);               /* its head is complete: does the handler want the body in parts? */
void call_dispatch(http_call *call);              /* it is whole, or its head when it streams: calls the handler */
void call_part(http_call *call, str bytes, bool last);            /* of a streamed body; may end the call */
void call_refuse(http_call *call, int status, const char *text);  /* answers it, unread */
void call_release(http_call *call);               /* its connection, or its place there, ends */
/* The headers of its answer besides those that belong to the protocol. */
size_t call_headers(const http_call *call, const http_response *res, http_header ret[CALL_HEADERS_MAX]);
bool call_bodiless(const http_call *call, int status);            /* HEAD, 204, 304 */

#endif
