/* later.h - a small REST answer that takes longer than a loop has: made on the thread of model_control.h.
 *
 * The call is answered on its loop when that is done, also when its client has gone meanwhile.  What is asked stays in
 * the call until then and is not copied; whether its asker may is checked before, as keys are known on loops only.
 * Refused when the server leaves, or too many wait. */
#ifndef SERVE_LATER_H
#define SERVE_LATER_H
#include "serve/v2_rest.h"

/* Takes over the call. */
void later_answer(endpoints *s, http_call *call, const http_request *req, const route_args *args, rest_answer *fn);

#endif
