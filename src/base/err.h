/* err.h - one error type for the whole tree.
 *
 * A fallible function returns err_code and fills the err its caller passed in.  The code says what
 * the caller can do about it (fix the request, retry later, page us); the text says what happened and
 * is written once, where it happened.  Callers add context with err_wrap() and never rewrite it.
 * Nothing here allocates, so out-of-memory is reported like any other failure. */
#ifndef BASE_ERR_H
#define BASE_ERR_H
#include "base/base.h"

/* One row per code; the HTTP, gRPC and Kubernetes planes all read this table, so they cannot disagree. */
#define ERR_TABLE(X)                                             \
    /* code             http  grpc  k8s reason */                \
    X(ERR_OK,            200,    0, "Success")                   \
    X(ERR_INVALID,       400,    3, "BadRequest")                \
    X(ERR_UNAUTHENTICATED, 401, 16, "Unauthorized")              \
    X(ERR_FORBIDDEN,     403,    7, "Forbidden")                 \
    X(ERR_NOT_FOUND,     404,    5, "NotFound")                  \
    X(ERR_TIMEOUT,       504,    4, "Timeout")                   \
    X(ERR_CONFLICT,      409,   10, "Conflict")                  \
    X(ERR_TOO_LARGE,     413,    8, "RequestEntityTooLarge")     \
    X(ERR_LIMIT,         429,    8, "TooManyRequests")           \
    X(ERR_CANCELLED,     499,    1, "Cancelled")                 \
    X(ERR_INTERNAL,      500,   13, "InternalError")             \
    X(ERR_UNSUPPORTED,   501,   12, "NotImplemented")            \
    X(ERR_NOMEM,         503,    8, "ServiceUnavailable")        \
    X(ERR_UNAVAILABLE,   503,   14, "ServiceUnavailable")

typedef enum {
#define X(code, http, grpc, reason) code,
    ERR_TABLE(X)
#undef X
} err_code;

typedef struct {
    err_code code;
    char text[400];
    uint32_t retry_ms;   /* after which another try is likely to do; 0 = not known.  err_set() sets 0 */
    const char *limit;   /* of the server, that it is over: the option's name, for metrics; NULL = of none.  The same */
} err;

err_code err_set(err *e, err_code code, const char *fmt, ...) PRINTF(3, 4);
err_code err_wrap(err *e, const char *fmt, ...) PRINTF(2, 3);   /* "loading model 'm'" + ": " + existing text */
/* Neither ever returns ERR_OK.  Said where they are called, so that compilers and analysers know that an output is
 * written where a function returned ERR_OK. */
#define ERR_FAILED(call) /* of a function whose result is never ERR_OK */ \
    __extension__({ err_code failed_ = (call); if (failed_ == ERR_OK) __builtin_unreachable(); failed_; })
#define err_set(...) ERR_FAILED(err_set(__VA_ARGS__))
#define err_wrap(...) ERR_FAILED(err_wrap(__VA_ARGS__))

int err_http_status(err_code code);
int err_grpc_status(err_code code);
const char *err_k8s_reason(err_code code);

#endif
