/* client.h - a small HTTP/1.1 client that blocks: for commands and for threads of their own, never for loops.
 *
 * client_call() sends one request and waits for its whole answer.  The connection is kept for the next call; one that
 * the server has closed in the meantime is replaced without a word.  Where it closes in the very moment of a call, the
 * request is sent once more if it may be (`again`); any other failure is the caller's to repeat, the next call connects
 * anew.  An answer of any status is a success: an error says that there is none.
 *
 * ERR_UNAVAILABLE = cannot connect, or cut off; ERR_TIMEOUT, ERR_CANCELLED = see net/dial.h; ERR_TOO_LARGE = an answer
 * over the limits; ERR_INTERNAL = what came is no HTTP, or no TLS; ERR_UNAUTHENTICATED = behind https the server is not
 * to be trusted, or does not trust us; ERR_UNSUPPORTED = no TLS in common.  No signals, no globals; one thread. */
#ifndef NET_CLIENT_H
#define NET_CLIENT_H
#include "base/err.h"
#include "net/tls_trust.h"
#include "wire/http_header.h"

typedef struct client client;

typedef struct {
    const char *address;        /* see dial_to_parse(); copied */
    const tls_trust *trust;     /* for https; NULL = the system's authorities; copied */
    int stop_fd;                /* when it can be read, a call ends with ERR_CANCELLED; 0 = none; see net/dial.h */
    uint64_t wait_us;           /* for a whole call; 0 = CLIENT_WAIT_US */
    size_t header_bytes_max, header_count_max, body_bytes_max;   /* of an answer; 0 = CLIENT_*_MAX */
} client_opts;

enum {
    CLIENT_WAIT_US = 30 * 1000000,
    CLIENT_HEADER_BYTES_MAX = 64 << 10,
    CLIENT_HEADER_COUNT_MAX = 128,
    CLIENT_BODY_BYTES_MAX = 64 << 20
};

typedef struct {
    str method;                 /* empty = GET, or POST with a body */
    str target;                 /* "/v2/health/ready": path and query; behind the address's own path */
    const http_header *headers; /* besides Host, Content-Length, User-Agent */
    size_t header_count;
    str body[2];                /* sent in order */
    bool again;                 /* may reach the server twice; GET and HEAD always may */
    bool head_only;             /* the answer ends with its head: its body is neither waited for nor read */
} client_request;

typedef struct {
    int status;
    const http_header *headers; /* all views live until the next call */
    size_t header_count;
    str body;                   /* 64-byte aligned */
} client_reply;

err_code client_new(const client_opts *opts, client **ret, err *e) MUST_USE;
void client_free(client *c);
DEFINE_CLEANUP(client)
err_code client_call(client *c, const client_request *req, client_reply *ret, err *e) MUST_USE;
void client_wait_set(client *c, uint64_t wait_us);   /* for the calls that follow */
const char *client_address(const client *c);         /* for messages: "HOST:PORT", "unix:/path" */

#endif
