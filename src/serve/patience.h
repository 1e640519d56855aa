/* patience.h - how long a request itself is ready to wait: Triton's `timeout`, read before its model is there.
 *
 * Microseconds, of the request as it is; 0 = it does not say, or what it says is wrong, which is told when it is read.
 * For requests whose model has to be loaded alone: others are read at once (schedule.h). */
#ifndef SERVE_PATIENCE_H
#define SERVE_PATIENCE_H
#include "net/http.h"

/* Of a larger JSON it is known when that is read. */
enum { PATIENCE_JSON_MAX = 32 << 10 };

uint64_t patience_of_json(const http_request *req);   /* V2's body, with or without tensors behind it */
uint64_t patience_of_message(str message);            /* ModelInferRequest */

#endif
