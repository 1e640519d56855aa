/* grpc_client.h - a small gRPC client that blocks: unary calls over HTTP/2, by prior knowledge or TLS's ALPN.
 *
 * For commands and for threads of their own, never for loops; see net/client.h, whose rules hold here: one connection
 * that is kept and replaced without a word, one deadline for a whole call, one thread.  A call that the server answered
 * is a success whatever its status; an error says that there is no answer.  Where a kept connection closes before
 * anything of an answer has come, or its server says goodbye and that it has done nothing of the call, the call is made
 * once more: not for calls that must not happen twice. */
#ifndef NET_GRPC_CLIENT_H
#define NET_GRPC_CLIENT_H
#include "net/tls_trust.h"
#include "wire/grpc_caller.h"

typedef struct grpc_client grpc_client;

typedef struct {
    const char *address;            /* see dial_to_parse(); a path in it is refused */
    const tls_trust *trust;         /* for https; NULL = the system's authorities; copied */
    int stop_fd;                    /* see net/dial.h */
    uint64_t wait_us;               /* for a whole call; 0 = GRPC_CLIENT_WAIT_US */
    size_t message_bytes_max;       /* of an answer; 0 = GRPC_CLIENT_MESSAGE_BYTES_MAX */
} grpc_client_opts;

enum { GRPC_CLIENT_WAIT_US = 30 * 1000000, GRPC_CLIENT_MESSAGE_BYTES_MAX = 64 << 20 };

err_code grpc_client_new(const grpc_client_opts *opts, grpc_client **ret, err *e) MUST_USE;
void grpc_client_free(grpc_client *c);
DEFINE_CLEANUP(grpc_client)
/* ret lives until the next call.  ask: authority, secure and wait_us are the client's. */
err_code grpc_client_call(grpc_client *c, const grpc_ask *ask, grpc_result *ret, err *e) MUST_USE;
const char *grpc_client_address(const grpc_client *c);

#endif
