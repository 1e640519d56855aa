/* rest.h - inference over HTTP: one request, one answer, whichever protocol its body is in.
 *
 * Splits the body where Inference-Header-Content-Length says, starts the request and answers the call with what comes
 * of it: the protocol's bytes, or {"error": ...} with the status of the error.  A client that goes away cancels it. */
#ifndef SERVE_REST_H
#define SERVE_REST_H
#include "net/http.h"
#include "serve/infer.h"

/* Takes over the call. */
void rest_infer(infer_pool *p, http_call *call, const http_request *req, served *of, const infer_protocol *protocol);

#endif
