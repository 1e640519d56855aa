#include "wire/http1_answer.h"

#include <inttypes.h>
#include <string.h>

enum { CHUNK_FRAMING_MAX = 128 };   /* framing bytes per chunk, on average: as for requests */

static int refused(http1_answer *a)
{
    a->refused = true;
    return HPE_USER;
}

/* Is what makes llhttp stop. */
#define refuse(a, ...) (http_refuse((a)->refusal, __VA_ARGS__), refused(a))

static int said(http1_answer *a, bool done) { return done ? 0 : refused(a); }

/* ---- the head ---- */

static int put(http1_answer *a, const char *at, size_t len, size_t *count)
{
    if (a->in_body) return 0;   /* trailers are dropped */
    *count += len;
    return said(a, http_message_put(a->into, at, len, a->refusal));
}

static int on_name(llhttp_t *p, const char *at, size_t len)
{
    http1_answer *a = p->data;
    return put(a, at, len, &a->name_len);
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
    http1_answer *a = p->data;
    return put(a, at, len, &a->value_len);
}

static int on_value_complete(llhttp_t *p)
{
    http1_answer *a = p->data;
    http_message *m = a->into;
    if (a->in_body) return 0;
    if (m->header_count == a->limits->header_count_max) {
        return refuse(a, 502, "headers: expected at most %zu of them", a->limits->header_count_max);
    }
    int rc = said(a, http_message_add_field(m, a->name_len, a->value_len, a->refusal));
    a->name_len = a->value_len = 0;
    if (rc) return rc;
    http_header f = m->fields[m->header_count - 1];
    if (m->last != HTTP_FIELD_TRANSFER_ENCODING) return 0;
    if (a->coded) return refuse(a, 502, "Transfer-Encoding: expected once, got it twice");
    a->coded = true;
    return str_is_nocase(f.value, "chunked") ? 0 : refuse(a, 502, "Transfer-Encoding: expected 'chunked'");
}

static int body_check(http1_answer *a, uint64_t more)
{
    size_t most = a->limits->body_bytes_max;
    if (more <= most - a->into->len) return 0;
    return refuse(a, 413, "body: expected at most %zu bytes, got more", most);
}

static int on_headers_complete(llhttp_t *p)
{
    http1_answer *a = p->data;
    if (p->http_major != 1 || p->http_minor > 1) return refuse(a, 502, "HTTP version: expected 1.0 or 1.1");
    if (p->status_code < 100) return refuse(a, 502, "status: expected at least 100, got %d", (int)p->status_code);
    if (p->status_code == 101) return refuse(a, 502, "status: expected an answer, got 101");
    a->status = p->status_code;
    a->chunked = (p->flags & F_CHUNKED) != 0;
    a->into->http10 = p->http_minor == 0;
    if (a->coded && a->into->http10) return refuse(a, 502, "Transfer-Encoding: expected none with HTTP/1.0");
    bool none = a->to_head || a->status < 200 || a->status == 204 || a->status == 304;
    bool counted = (p->flags & F_CONTENT_LENGTH) != 0;
    a->expected = a->chunked || none || !counted ? 0 : p->content_length;
    a->into->keep_alive = (none || a->chunked || counted) && (p->flags & F_CONNECTION_CLOSE) == 0 &&
                          (!a->into->http10 || (p->flags & F_CONNECTION_KEEP_ALIVE) != 0);
    p->upgrade = 0;   /* an Upgrade is an offer that we pass over */
    a->in_body = true;
    int rc = body_check(a, a->expected);
    return rc ? rc : none;   /* 1: no body follows, whatever the fields say */
}

/* ---- the body ---- */

static int on_chunk_header(llhttp_t *p)
{
    http1_answer *a = p->data;
    a->chunks++;
    return body_check(a, p->content_length);
}

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    http1_answer *a = p->data;
    http_message *m = a->into;
    int rc = body_check(a, len);
    if (rc || len == 0) return rc;
    http_body_plan plan = {.announced = (size_t)a->expected, .most = a->limits->body_bytes_max};
    rc = said(a, http_message_reserve(m, m->len + len, &plan, a->refusal));
    if (rc) return rc;
    memcpy(m->bytes + m->len, at, len);
    m->len += len;
    return 0;
}

static int on_message_complete(llhttp_t *p)
{
    http1_answer *a = p->data;
    a->in_body = false;
    if (a->status >= 200) {
        http_message_whole(a->into);
        a->whole = true;
        return HPE_PAUSED;
    }
    http_message_clear(a->into);   /* interim: the answer is still to come */
    a->chunked = a->coded = false;
    return 0;
}

static const llhttp_settings_t callbacks = {
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void http1_answer_init(http1_answer *a, const http1_answer_limits *limits, http_message *into, bool to_head)
{
    INVARIANT(into->head_len == 0 && into->header_count == 0 && into->len == 0);
    *a = (http1_answer){.limits = limits, .into = into, .to_head = to_head};
    llhttp_init(&a->parser, HTTP_RESPONSE, &callbacks);
    a->parser.data = a;
}

/* How many more bytes this part of the answer may take, framing included.  No more than that is fed at once, so a
 * limit strikes at the same byte however the stream was cut. */
static uint64_t allowance(const http1_answer *a)
{
    uint64_t most = a->limits->header_bytes_max;
    if (a->in_body) {
        if (!a->chunked) return UINT64_MAX;
        most += a->chunks * CHUNK_FRAMING_MAX + a->into->len + a->limits->header_bytes_max;   /* and the trailers */
    }
    INVARIANT(most >= a->raw);
    return most - a->raw;
}

static void refuse_excess(http1_answer *a)
{
    if (a->in_body) {
        refuse(a, 502, "chunks: expected at most %d bytes of framing in each", CHUNK_FRAMING_MAX);
    } else {
        refuse(a, 502, "headers: expected at most %zu bytes", a->limits->header_bytes_max);
    }
}

static void refuse_parsed(http1_answer *a)
{
    const char *reason = llhttp_get_error_reason(&a->parser);
    refuse(a, 502, "expected an HTTP/1.1 answer: %s", reason && *reason ? reason : "it is none");
}

http1_answer_event http1_answer_feed(http1_answer *a, const uint8_t *data, size_t len, size_t *ret_used,
                                     http_refusal *reterr)
{
    INVARIANT(!a->whole && !a->refused);
    const char *p = (const char *)data, *end = p + len;
    a->refusal = reterr;
    a->begun = a->begun || len > 0;
    while (p < end && !a->whole && !a->refused) {
        uint64_t most = allowance(a);
        const char *stop = most < (uint64_t)(end - p) ? p + most : end;
        llhttp_errno_t rc = llhttp_execute(&a->parser, p, (size_t)(stop - p));
        const char *at = rc == HPE_OK ? stop : llhttp_get_error_pos(&a->parser);
        if (!at) at = p;
        a->raw += (uint64_t)(at - p);
        p = at;
        if (rc == HPE_PAUSED && a->whole) break;
        if (rc != HPE_OK) {
            refuse_parsed(a);
        } else if (allowance(a) == 0) {
            refuse_excess(a);
        }
    }
    a->refusal = NULL;
    *ret_used = (size_t)(p - (const char *)data);
    return a->refused ? HTTP1_ANSWER_REFUSED : a->whole ? HTTP1_ANSWER_WHOLE : HTTP1_ANSWER_MORE;
}

http1_answer_event http1_answer_end(http1_answer *a, http_refusal *reterr)
{
    INVARIANT(!a->whole && !a->refused);
    a->refusal = reterr;
    (void)llhttp_finish(&a->parser);
    if (!a->whole) refuse(a, 502, "connection closed %s", !a->begun ? "before the answer" : "within the answer");
    a->refusal = NULL;
    return a->whole ? HTTP1_ANSWER_WHOLE : HTTP1_ANSWER_REFUSED;
}

int http1_answer_status(const http1_answer *a) { return a->status; }
bool http1_answer_begun(const http1_answer *a) { return a->begun; }

/* ---- requests ---- */

static void put_clean(buf *out, str s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.p[i];
        buf_put_byte(out, c < ' ' || c == 127 ? ' ' : c);
    }
}

static void put_field(buf *out, str name, str value)
{
    put_clean(out, name);
    buf_put(out, ": ", 2);
    put_clean(out, value);
    buf_put(out, "\r\n", 2);
}

void http1_answer_print_ask(buf *out, const http1_ask *ask)
{
    buf_put_str(out, ask->method);
    buf_put_byte(out, ' ');
    for (size_t i = 0; i < ask->target.len; i++) {   /* a blank would end it */
        uint8_t c = (uint8_t)ask->target.p[i];
        if (c > ' ' && c < 127) buf_put_byte(out, c);
        else buf_printf(out, "%%%02X", c);
    }
    buf_put_z(out, " HTTP/1.1\r\n");
    put_field(out, STR("Host"), ask->host);
    for (size_t i = 0; i < ask->header_count; i++) put_field(out, ask->headers[i].name, ask->headers[i].value);
    if (ask->body_bytes || !(str_is(ask->method, "GET") || str_is(ask->method, "HEAD"))) {
        buf_printf(out, "Content-Length: %" PRIu64 "\r\n", ask->body_bytes);
    }
    buf_put(out, "\r\n", 2);
}
