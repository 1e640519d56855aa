#include "serve/cors.h"

#include <string.h>
#include <strings.h>

static bool is_on(const cors *c) { return c->any || c->count > 0; }

/* scheme://host or scheme://host:port, as browsers write an origin. */
static bool origin_ok(str origin)
{
    str scheme, rest, host;
    bool ok = str_cut(origin, ':', &scheme, &rest) && scheme.len && str_starts(rest, STR("//")) && rest.len > 2;
    if (!ok) return false;
    host = (str){rest.p + 2, rest.len - 2};
    for (size_t i = 0; i < host.len && ok; i++) ok = host.p[i] > ' ' && !strchr("/?#@*\\\"\177", host.p[i]);
    return ok;
}

static err_code origin_add(cors *c, str origin, err *e)
{
    if (str_is(origin, "*")) {
        c->any = true;
        return ERR_OK;
    }
    if (!origin_ok(origin))
        return err_set(e, ERR_INVALID,
                       "cors-origins: expected * or origins like https://example.com, got '" STR_FMT "'",
                       STR_ARG(origin));
    if (c->count == CORS_ORIGINS_MAX)
        return err_set(e, ERR_LIMIT, "cors-origins: expected at most %d, got more", CORS_ORIGINS_MAX);
    c->origins[c->count++] = origin;
    return ERR_OK;
}

err_code cors_init(cors *c, str origins, bool credentials, err *e)
{
    *c = (cors){.credentials = credentials};
    for (str one, rest = origins; rest.len;) {
        one = str_next(&rest, ',');
        err_code rc = origin_add(c, str_trim(one), e);
        if (rc) return rc;
    }
    if (c->any && c->count) return err_set(e, ERR_INVALID, "cors-origins: expected * alone, or origins");
    if (credentials && !c->count)
        return err_set(e, ERR_INVALID, "cors-credentials: expected origins in cors-origins, got %s",
                       c->any ? "'*'" : "none");
    return ERR_OK;
}

/* The origin that asks, if it may read; else empty. */
static str allowed(const cors *c, const http_request *req)
{
    str origin = http_header_get(req, HTTP_FIELD_ORIGIN);
    for (size_t i = 0; i < c->count && origin.len; i++) {
        str known = c->origins[i];
        if (known.len == origin.len && strncasecmp(known.p, origin.p, origin.len) == 0) return origin;
    }
    return STR("");
}

void cors_mark(const cors *c, http_call *call, const http_request *req)
{
    static const str exposed = {"Inference-Header-Content-Length, X-Request-Id, Retry-After, Content-Encoding", 76};
    if (!is_on(c)) return;
    str origin = c->any ? STR("*") : allowed(c, req);
    if (c->count) http_call_add_header(call, STR("Vary"), STR("Origin"));
    if (!origin.len) return;
    http_call_add_header(call, STR("Access-Control-Allow-Origin"), origin);
    http_call_add_header(call, STR("Access-Control-Expose-Headers"), exposed);
    if (c->credentials) http_call_add_header(call, STR("Access-Control-Allow-Credentials"), STR("true"));
}

bool cors_is_preflight(const cors *c, const http_request *req)
{
    return is_on(c) && str_is(req->method, "OPTIONS") && http_header_get(req, HTTP_FIELD_ORIGIN).len &&
           http_header_get(req, HTTP_FIELD_ACCESS_CONTROL_REQUEST_METHOD).len;
}

/* A list of names and nothing else, and not too long. */
static bool names_ok(str list)
{
    bool ok = list.len > 0 && list.len <= CORS_HEADERS_BYTES_MAX;
    for (size_t i = 0; i < list.len && ok; i++) {
        char c = list.p[i];
        ok = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c && strchr("!#$%&'*+-.^_`|~, ", c));
    }
    return ok;
}

void cors_preflight(const cors *c, http_call *call, const http_request *req, const char *methods)
{
    http_header fields[4];
    size_t count = 0;
    str names = http_header_get(req, HTTP_FIELD_ACCESS_CONTROL_REQUEST_HEADERS);
    str origin = http_header_get(req, HTTP_FIELD_ORIGIN);
    if (!c->any && !allowed(c, req).len) {
        err e;
        err_set(&e, ERR_INVALID, "Origin: expected one that is allowed here, got '" STR_FMT "'", STR_ARG(origin));
        http_reply_error(call, 403, e.text);
        return;
    }
    fields[count++] = (http_header){STR("Access-Control-Allow-Methods"), str_of(methods)};
    if (names_ok(names)) fields[count++] = (http_header){STR("Access-Control-Allow-Headers"), names};
    fields[count++] = (http_header){STR("Access-Control-Max-Age"), STR("7200")};   /* the most that Chromium takes */
    fields[count++] = (http_header){STR("Vary"), STR("Access-Control-Request-Headers")};
    http_reply(call, &(http_response){.status = 204, .headers = fields, .header_count = count});
}
