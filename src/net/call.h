/* call.h - one request with its reply, from its first byte to the last of its answer.
 *
 * Belongs to its connection's queue and to the handler until http_reply(); a call whose client went away
 * has no connection any more and goes back to its shard's pool when it is answered.
 *
 *   reading --whole request--> queued --http_reply(), first in the queue--> sent, given back
 *                                 \----http_reply(), others before it-----> held: printed into `reply` */
#ifndef NET_CALL_H
#define NET_CALL_H
#include "net/http.h"
#include "net/outbox.h"
#include "wire/http1.h"

typedef struct conn conn;
typedef struct shard shard;

enum { CALL_ID_BYTES = 16, CALL_ID_BYTES_MAX = 128 };   /* ours, and the longest that a client may give */

struct http_call {
    http_call *next;              /* in its queue, or in the pool */
    http_call *live_prev, *live_next;
    shard *of;
    conn *from;                   /* NULL = the client is gone */
    uint64_t id, since_us;
    http_message message;
    http_request request;         /* what the handler sees of it */
    outbox *reply;                /* held until its turn */
    bool answered, close;         /* close: the last one of its connection */
    void (*gone)(void *ctx);      /* the handler's, see http_call_on_gone(); NULL = none */
    void *gone_ctx;
    str request_id;               /* the client's, or id_text */
    char id_text[CALL_ID_BYTES];
};

void call_dispatch(http_call *call);                              /* queues it and calls the handler */
void call_refuse(http_call *call, int status, const char *text);  /* queues it as the last one, answered */
void call_release(http_call *call);                               /* its connection ends */

#endif
