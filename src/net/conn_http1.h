/* conn_http1.h - HTTP/1 on a connection: requests one behind the other, replies in the same order.
 *
 * Calls queue up while their replies are owed; one that is answered before its turn is kept in its box.  Bytes
 * that were read while no further call may be queued wait in `rest`.  A streamed request has its place in the
 * queue from its head on; one that is answered before its body has come ends the connection. */
#ifndef NET_CONN_HTTP1_H
#define NET_CONN_HTTP1_H
#include "net/call.h"
#include "wire/http1.h"

typedef struct {
    http1 reader;
    http_call *reading;              /* where the request that is being read goes; NULL = none */
    http_call *first, *last;         /* requests that are owed a reply, the oldest first */
    outbox *rest;                    /* read before their turn; NULL = none */
    uint32_t queued;
    bool continue_due;
} conn_http1;

void conn_http1_start(conn *c);
void conn_http1_refuse(conn *c, int status, const char *text);   /* instead of the next request; ends the connection */

#endif
