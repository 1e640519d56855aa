/* v2_rest.h - the V2 protocol over REST, from the client's side: a model's metadata, and one inference.
 *
 * Speaks to any server of the protocol.  Where the server lists the extension "binary_tensor_data" tensors go and come
 * as bytes, else as JSON.  An answer that is not 200 is an error with the server's own text; v2_rest_reached() tells
 * it from a server that was not there.  What is read lives in the arena given. */
#ifndef CLI_V2_REST_H
#define CLI_V2_REST_H
#include "cli/v2_model.h"
#include "net/client.h"

typedef struct {
    const char *address;
    const tls_trust *trust;         /* see net/client.h */
    uint64_t wait_us;               /* for each call */
    const http_header *headers;     /* sent with each; borrowed */
    size_t header_count;            /* <= V2_REST_HEADERS_MAX */
} v2_rest_opts;

enum { V2_REST_HEADERS_MAX = 48, V2_REST_BYTES_MAX = 1 << 30 };

typedef struct v2_rest v2_rest;

err_code v2_rest_new(const v2_rest_opts *opts, v2_rest **ret, err *e) MUST_USE;
void v2_rest_free(v2_rest *r);
DEFINE_CLEANUP(v2_rest)
bool v2_rest_reached(const v2_rest *r);   /* the last call had an answer */
/* version: empty = the server's choice. */
err_code v2_rest_model(v2_rest *r, str name, str version, arena *a, v2_model *ret, err *e) MUST_USE;
err_code v2_rest_infer(v2_rest *r, const v2_model *m, const v2_value *inputs, size_t count, arena *a, v2_answer *ret,
                       err *e) MUST_USE;

#endif
