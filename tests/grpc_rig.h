/* grpc_rig.h - a gRPC client for unit tests: an nghttp2 client session on http_rig's connection and loop.
 *
 *   grpc_rig g;
 *   grpc_rig_start(&g, &(http_rig_opts){...}, models);
 *   const char *got = grpc_rig_unary(&g, "/package.Service/Method", "", message);       "0 " and hex, or "5 text"
 *   grpc_call *call = grpc_rig_call(&g, path, headers);  grpc_rig_send(&g, call, bytes, last);  grpc_rig_until(...)
 * Everything runs on the calling thread but the compute pool. */
#ifndef TESTS_GRPC_RIG_H
#define TESTS_GRPC_RIG_H
#include "http_rig.h"

#include <nghttp2/nghttp2.h>

enum { GRPC_RIG_CALLS_MAX = 300 };

typedef struct {
    int32_t id;
    buf out, in;          /* body bytes to send, got */
    size_t sent;
    bool out_ends, closed;
    uint32_t reset;       /* error code of RST_STREAM; 0 = none */
    char http[8], status[8], message[400], encoding[16], accepts[40], details[600];
    int32_t window;       /* not given back yet */
    size_t place;         /* among those that are closed, 1 = the first */
} grpc_call;

typedef struct {
    http_rig rig;
    nghttp2_session *session;
    grpc_call calls[GRPC_RIG_CALLS_MAX];
    size_t count, closed;
    bool hold_windows;    /* the client does not take what comes */
    buf out;              /* of the session, on its way */
    char text[8192];
} grpc_rig;

bool grpc_rig_start(grpc_rig *g, const http_rig_opts *o, const char *const *models);
void grpc_rig_stop(grpc_rig *g);
/* headers: "name: value" lines, each ended by a newline.  The body comes with grpc_rig_send(). */
grpc_call *grpc_rig_call(grpc_rig *g, const char *path, const char *headers);
void grpc_rig_send(grpc_rig *g, grpc_call *c, str bytes, bool last);
/* One message with its prefix. */
void grpc_rig_message(grpc_rig *g, grpc_call *c, str message, bool compressed, bool last);
void grpc_rig_reset(grpc_rig *g, grpc_call *c);
void grpc_rig_take(grpc_rig *g, grpc_call *c);          /* gives its window back */
/* Turns the loop until the call is closed, or its body has `bytes`; false after 20 s. */
bool grpc_rig_until(grpc_rig *g, grpc_call *c, size_t bytes);
void grpc_rig_turn(grpc_rig *g, uint64_t ms);
/* A whole call: the status, a blank, and its text; or "0 " and the message, which is in *ret when that is not NULL. */
const char *grpc_rig_unary(grpc_rig *g, const char *path, const char *headers, str message, str *ret);
/* The i-th message of what came; p == NULL = there is none.  Its compressed flag in *ret_flag. */
str grpc_rig_got(const grpc_call *c, size_t i, bool *ret_flag);
void grpc_rig_forget(grpc_rig *g);                      /* all calls so far */

#endif
