/* refusal.h - what a server of any make says with a status that was not hoped for, as one text.
 *
 * The answer is as the client gave it: views that live until its next call.  Any thread; no state, and whatever the
 * body holds becomes a text, if only its beginning. */
#ifndef CLI_REFUSAL_H
#define CLI_REFUSAL_H
#include "net/client.h"

/* "ADDRESS: 401: text": V2's member "error", FastAPI's "detail", else the body's beginning.  ERR_INVALID. */
err_code refusal_say(const client *http, const client_reply *reply, err *e);

#endif
