#include "serve/access_log.h"

#include "base/log.h"
#include "os/clock.h"
#include "wire/trace_context.h"
#include "wire/grpc.h"

#include <stdio.h>

enum { PATH_SHOWN_MAX = 200, FIELDS_ROOM = 1100 }; /* a line is bounded, and its path stands last */

/* Fields are separated by blanks, and a path arrives decoded: what would break the line is encoded again. */
static void path_put(char *to, size_t room, str path)
{
    size_t at = 0;
    bool cut = path.len > PATH_SHOWN_MAX;
    for (size_t i = 0; i < (cut ? PATH_SHOWN_MAX : path.len); i++) {
        uint8_t c = (uint8_t)path.p[i];
        bool plain = c > ' ' && c != '%' && c != 0x7F;
        int n = snprintf(to + at, room - at, plain ? "%c" : "%%%02X", c);
        INVARIANT(n > 0 && (size_t)n < room - at);
        at += (size_t)n;
    }
    snprintf(to + at, room - at, cut ? "..." : "");
}

/* " grpc_status=NAME" of a call that has one; a number that has no name is shown itself. */
static void grpc_status_put(char *to, size_t room, const http_answer *answer)
{
    str value = http_header_find(answer->trailers, answer->trailer_count, "grpc-status");
    uint64_t status = 0;
    to[0] = 0;
    if (!str_u64(value, &status)) return;
    const char *name = grpc_status_name(status);
    if (name) snprintf(to, room, " grpc_status=%s", name);
    else snprintf(to, room, " grpc_status=%llu", (unsigned long long)status);
}

void access_log(void *ctx, const http_call *call, const http_request *req, const http_answer *answer)
{
    (void)ctx;
    if (!log_on(LOG_INFO)) return;
    char path[3 * PATH_SHOWN_MAX + 4], grpc[48], fields[FIELDS_ROOM];
    str id = http_call_request_id(call);
    trace_context from;
    http_header_span parents = http_headers_of(req, HTTP_FIELD_TRACEPARENT);
    trace_context_read(parents.at, parents.count, &from);
    uint64_t now_us = clock_now_us(), since_us = http_call_since_us(call);
    path_put(path, sizeof path, req->path);
    grpc_status_put(grpc, sizeof grpc, answer);
    int n = snprintf(fields, sizeof fields, "request=" STR_FMT "%s" STR_FMT, STR_ARG(id),
                     from.id.len ? " trace=" : "", STR_ARG(from.id));
    INVARIANT(n > 0 && (size_t)n < sizeof fields);
    snprintf(fields + n, sizeof fields - (size_t)n, "%s%.*s status=%d%s received=%zu sent=%llu us=%llu%s%s%s",
             req->method.len ? " method=" : "", (int)(req->method.len < 20 ? req->method.len : 20),
             req->method.len ? req->method.p : "", answer->status, grpc, req->body.len,
             (unsigned long long)answer->body_bytes,
             (unsigned long long)(now_us > since_us ? now_us - since_us : 0), http_call_gone(call) ? " gone=true" : "",
             req->path.len ? " path=" : "", path);
    log_write(LOG_INFO, fields, "answered");
}
