/* rest.h - inference over HTTP: one request, one answer, whichever protocol its body is in.
 *
 * Splits the body where Inference-Header-Content-Length says, starts the request and answers the call with what comes
 * of it: the protocol's bytes, or {"error": ...} with the status of the error.  A client that goes away cancels it.
 * That header counts JSON before it is packed, both ways (coding.h). */
#ifndef SERVE_REST_H
#define SERVE_REST_H
#include "serve/coding.h"
#include "serve/infer.h"
#include "serve/tracer.h"

typedef struct {
    infer_pool *requests;               /* all borrowed; the last two for as long as the server lives */
    served *model;
    const infer_protocol *protocol;
    tracer_lane *traces; /* of the loop; NULL = nothing is traced */
    const coding *coding;
    uint64_t asked_us; /* as in infer.h */
} rest_opts;

void rest_infer(const rest_opts *o, http_call *call, const http_request *req);   /* takes over the call */

#endif
