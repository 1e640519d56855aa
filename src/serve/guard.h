/* guard.h - who asks, and what they may: API keys (api_keys.h) over REST and gRPC.
 *
 * A key comes as "Authorization: Bearer KEY" or "X-API-Key: KEY", over gRPC as metadata of these names.  Without one
 * that is known: 401, UNAUTHENTICATED; for a model that its key does not list: 403, PERMISSION_DENIED, whether there
 * is such a model or not.  Lists (models, statistics, repository index, metrics) show a key its own models only.
 * What changes the server for all (log and trace settings, loading and unloading) is for keys that may use every model;
 * shared memory is for all keys, as its names are.  Health stays open, metrics do by option.  Keys are never logged.
 *
 * New keys replace old ones while requests run (guard_renew()): whoever looks a key up uses it within the same turn of
 * its loop, and the old set is freed when every loop has had a turn since.  A stream is checked with each message. */
#ifndef SERVE_GUARD_H
#define SERVE_GUARD_H
#include "net/http.h"
#include "serve/api_keys.h"

#include <stdatomic.h>

typedef struct {
    api_keys *_Atomic keys;                 /* NULL = none are asked for: who == NULL may do everything */
    bool metrics_open;
} guard;

/* Who asked, for as long as the call lasts. */
typedef struct {
    bool anyone;                        /* what is asked is open to all */
    uint8_t digest[SHA256_BYTES];
} guard_pass;

err_code guard_open(guard *g, const char *path, err *e) MUST_USE;   /* at start */
void guard_close(guard *g);                                         /* no loop runs any more */
/* Reads the file again: on an error the old keys stay.  On the thread of one of these loops, which still run. */
err_code guard_renew(guard *g, const char *path, loop *const *loops, size_t loop_count, err *e) MUST_USE;

bool guard_is_on(const guard *g);
/* ret_who is for this turn of the loop; NULL = may do everything.  ERR_UNAUTHENTICATED. */
err_code guard_check(const guard *g, const http_request *req, const api_key **ret_who, err *e) MUST_USE;
/* The same in two steps, the second as often as wanted. */
err_code guard_admit(const guard *g, const http_request *req, guard_pass *ret, err *e) MUST_USE;
err_code guard_who(const guard *g, const guard_pass *pass, const api_key **ret_who, err *e) MUST_USE;
bool guard_sees(const api_key *who, str model);
err_code guard_model(const api_key *who, str model, err *e) MUST_USE;   /* ERR_FORBIDDEN, here and in the next */
err_code guard_server(const api_key *who, err *e) MUST_USE;
/* The error's answer over REST. */
void guard_refuse(http_call *call, const err *e);

#endif
