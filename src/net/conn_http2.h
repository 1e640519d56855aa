/* conn_http2.h - HTTP/2 on a connection: each stream is a call; replies go out in whatever order they come.
 *
 * A call is in one list: open (its request is being read, or the handler has it), ready (whole, to be handed
 * over behind this read, or when less of other replies waits), dead (its stream is gone while the handler has it).
 * Streams that make no progress are looked for in scans, a few per deadline: a stalled one is found within one
 * and a half times its limit, and costs nothing before.  A connection that is idle too long, or whose server
 * drains, says goodbye in two steps, so that no request is lost between them.  In a drain who has just come is not told
 * before his first request, or CONN_HTTP2_FIRST_US: a client of gRPC that hears of the end before its channel knows of
 * the beginning tries the connection that goes again and again, until its call's deadline. */
#ifndef NET_CONN_HTTP2_H
#define NET_CONN_HTTP2_H
#include "net/call.h"
#include "os/sock.h"

enum {
    CONN_HTTP2_OUT_MAX = 256 << 10,        /* bytes for a socket that takes no more; frames wait beyond that, */
    CONN_HTTP2_WAITING_MAX = 16 << 20,     /* and no request is handed over while so much of replies waits */
    CONN_HTTP2_PIECE_MIN = 1024,           /* less is copied rather than sent from its place */
    CONN_HTTP2_SCANS = 4,                  /* per deadline */
    CONN_HTTP2_FIRST_US = 1000000          /* or as long as the server lets idle ones stay, if that is less */
};

typedef struct conn_http2 conn_http2;

/* What is being sent, one connection at a time: frames' heads and small pieces in `text`, others in their place. */
typedef struct {
    struct {
        const char *p;                     /* NULL = in text */
        size_t at, len;
    } pieces[SOCK_VEC_MAX - 1];
    size_t count, bytes;
    buf text;
} conn_http2_out;

void conn_http2_start(conn *c, bool preface);   /* preface: the client's is still to come */
/* HTTP/1's whole request becomes stream 1.  false = it cannot: nothing has changed. */
bool conn_http2_upgrade(conn *c, http_call *call, str settings) MUST_USE;
void conn_http2_refuse(conn *c, const char *text);   /* instead of a session; ends the connection */
size_t conn_http2_held(const conn *c);               /* bytes of replies that wait in it */
void conn_http2_disown(conn *c);                     /* they count no more: the connection is over */

#endif
