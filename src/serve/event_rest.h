/* event_rest.h - an inference asked by a CloudEvent, answered by one, as KServe does it.
 *
 * The event's data is asked as a request of its own on the same path (net/inner.h); the answer's body becomes the data
 * of an event in the mode in which the question came: in fields, or as one JSON document.  Its type is
 * io.kserve.inference.response, its source io.kserve.inference.MODEL, its id new.  An error is answered as it is. */
#ifndef SERVE_EVENT_REST_H
#define SERVE_EVENT_REST_H
#include "serve/endpoint.h"

bool event_is(const http_request *req);
void event_infer(endpoints *s, http_call *call, const http_request *req, str of);   /* takes over the call */

#endif
