/* coding.h - content codings of REST (RFC 9110 8.4): packed bodies are unpacked before anybody reads them, answers are
 * packed for clients that want it, where it gains.
 *
 * One coding at a time, gzip (also as "x-gzip") or deflate; another, or several, get 415 and say what there is.
 * Unpacking is a worker's, into the memory of the call's body: within body_bytes_max (413) and the quota of all bodies
 * (503), so a bomb costs what the largest plain body costs.  Broken data gets 400.
 * Answers are packed from pack_bytes_min on; large ones by a worker, and where packing gains nothing they go out
 * plain.  Errors, and the small JSON of V2's metadata, are never packed: tritonclient's aio sends "Accept-Encoding:
 * gzip, deflate" with everything, but unpacks inference answers only, all that Triton packs.
 * gRPC has its own codings (rpc.h).  Everything here runs on the call's loop. */
#ifndef SERVE_CODING_H
#define SERVE_CODING_H
#include "async/compute.h"
#include "base/quota.h"
#include "net/http.h"
#include "wire/flate.h"

enum {
    CODING_INLINE_BYTES = 8 << 10,      /* packed on the loop: 0.1 ms at 80 MB/s; more is a worker's */
    CODING_HEADERS_MAX = 2
};

typedef struct {
    compute *compute;                   /* borrowed, */
    quota *bodies;                      /* this too */
    size_t body_bytes_max;
    size_t pack_bytes_min;              /* of an answer; 0 = none is packed */
} coding;

/* The request's body is packed: coding_unpack() has to come before who reads it. */
bool coding_is_packed(const http_request *req);
/* Takes over the call: next(ctx, call, req) with the body unpacked, on the loop, or an error to the client. */
void coding_unpack(const coding *c, http_call *call, const http_request *req, http_handler *next, void *ctx);

/* How an answer may be packed, and from how many bytes on that depends on what the client accepts; 0 = never. */
typedef struct {
    flate_kind kind;
    size_t bytes_min;
} coding_wish;
coding_wish coding_wanted(const coding *c, const http_request *req);
/* The fields that go with an answer of so many bytes. */
size_t coding_headers(const coding_wish *w, bool packed, size_t bytes, http_header ret[CODING_HEADERS_MAX]);
/* 200 with this body, which is taken; `type` lives for ever. */
void coding_reply(const coding *c, http_call *call, const http_request *req, str type, buf *body);

#endif
