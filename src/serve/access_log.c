#include "serve/access_log.h"

#include "base/log.h"
#include "os/clock.h"

#include <stdio.h>

enum { PATH_SHOWN_MAX = 200, FIELDS_ROOM = 1000 }; /* a line is bounded, and its path stands last */

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

void access_log(void *ctx, const http_call *call, const http_request *req, int status, uint64_t body_bytes)
{
    (void)ctx;
    if (!log_on(LOG_INFO)) return;
    char path[3 * PATH_SHOWN_MAX + 4], fields[FIELDS_ROOM];
    str id = http_call_request_id(call);
    uint64_t now_us = clock_now_us(), since_us = http_call_since_us(call);
    path_put(path, sizeof path, req->path);
    snprintf(fields, sizeof fields, "request=" STR_FMT "%s%.*s status=%d received=%zu sent=%llu us=%llu%s%s%s",
             STR_ARG(id), req->method.len ? " method=" : "", (int)(req->method.len < 20 ? req->method.len : 20),
             req->method.len ? req->method.p : "", status, req->body.len, (unsigned long long)body_bytes,
             (unsigned long long)(now_us > since_us ? now_us - since_us : 0), http_call_gone(call) ? " gone=true" : "",
             req->path.len ? " path=" : "", path);
    log_write(LOG_INFO, fields, "answered");
}
