#include "wire/http1.h"

#include "wire/http1_head.h"

#include <inttypes.h>
#include <string.h>

enum {
    IN_PLACE_MIN = 4096,            /* less of a body is not worth a read of its own, without the next request */
    VERSION_BYTES = 5,              /* "1.1" and the end of the line */
    CHUNK_FRAMING_MAX = 128,        /* framing bytes per chunk: size line and extensions, on average */
    PREFACE_BYTES = 24
};

static const char version_mark[] = " HTTP/";
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";   /* RFC 9113 3.4 */

typedef enum { IDLE, HEAD, BODY } reader_state;

static int refused(http1 *r)
{
    r->refused = true;
    return HPE_USER;
}

/* Is what makes llhttp stop. */
#define refuse(r, ...) (http_refuse((r)->refusal, __VA_ARGS__), refused(r))

/* The same for what the message itself refuses. */
static int said(http1 *r, bool done) { return done ? 0 : refused(r); }

static bool is_alnum(char c) { return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'); }
static bool is_token(char c) { return c && (is_alnum(c) || strchr("!#$%&'*+-.^_`|~", c)); }

/* ---- the head: target, names and values, one behind the other in into->head ---- */

static int head_put(http1 *r, const char *at, size_t len)
{
    return said(r, http_message_put(r->into, at, len, r->refusal));
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
    http1 *r = p->data;
    r->into->path.len += len;   /* where it ends; it begins with the head */
    return head_put(r, at, len);
}

/* Trailers are dropped. */
static int on_name(llhttp_t *p, const char *at, size_t len)
{
    http1 *r = p->data;
    if (r->state == BODY) return 0;
    r->name_len += len;
    return head_put(r, at, len);
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
    http1 *r = p->data;
    if (r->state == BODY) return 0;
    r->value_len += len;
    return head_put(r, at, len);
}

/* The few fields that decide how the request is read; the handler sees them like any other. */
static int field_check(http1 *r, http_field field, http_header f)
{
    if (field == HTTP_FIELD_HOST) {
        if (r->hosts++) return refuse(r, 400, "Host: expected once, got it twice");
        if (!http1_head_host_ok(f.value)) return refuse(r, 400, "Host: expected a host name or address and a port");
    } else if (field == HTTP_FIELD_EXPECT) {
        if (!str_is_nocase(f.value, "100-continue")) return refuse(r, 417, "Expect: expected '100-continue'");
        r->wants_continue = true;
    } else if (field == HTTP_FIELD_HTTP2_SETTINGS) {
        if (r->settings < 2) r->settings++;
    } else if (field == HTTP_FIELD_TRANSFER_ENCODING) {
        if (r->encodings++) return refuse(r, 400, "Transfer-Encoding: expected once, got it twice");
        if (!str_is_nocase(f.value, "chunked")) return refuse(r, 501, "Transfer-Encoding: expected 'chunked'");
    }
    return 0;
}

static int on_value_complete(llhttp_t *p)
{
    http1 *r = p->data;
    http_message *q = r->into;
    if (r->state == BODY) return 0;
    if (q->header_count == r->limits->header_count_max) {
        return refuse(r, 431, "headers: expected at most %zu of them", r->limits->header_count_max);
    }
    int rc = said(r, http_message_add_field(q, r->name_len, r->value_len, r->refusal));
    r->name_len = r->value_len = 0;
    return rc ? rc : field_check(r, q->last, q->fields[q->header_count - 1]);
}

/* llhttp also reads RTSP's request line, which differs in one letter, five bytes before the version. */
static int on_version(llhttp_t *p, const char *at, size_t len)
{
    http1 *r = p->data;
    size_t here = (size_t)(at - r->fed);
    (void)len;
    if (r->line_raw) return 0;
    r->is_http = (here >= sizeof r->tail ? at[-(ptrdiff_t)sizeof r->tail] : r->tail[here]) == 'H';
    r->line_raw = r->raw + here;
    return 0;
}

static int on_version_complete(llhttp_t *p)
{
    http1 *r = p->data;
    return r->is_http ? 0 : refuse(r, 400, "request: expected HTTP");
}

/* ---- the body ---- */

static http_body_plan body_plan(const http1 *r)
{
    return (http_body_plan){.announced = r->chunked ? 0 : (size_t)r->expected, .most = r->limits->body_bytes_max,
                            .bodies = r->limits->bodies};
}

static int body_reserve(http1 *r, size_t need)
{
    http_body_plan plan = body_plan(r);
    return said(r, http_message_reserve(r->into, need, &plan, r->refusal));
}

size_t http1_due(const http1 *r)
{
    bool known = r->state == BODY && !r->chunked && !r->streamed;
    return known ? (size_t)(r->expected - r->into->len) : 0;
}

uint8_t *http1_body_room(http1 *r, size_t *ret_room)
{
    http_message *q = r->into;
    if (r->state != BODY || r->chunked || r->streamed || q->room - q->len < IN_PLACE_MIN) return NULL;
    uint64_t rest = r->expected - q->len;
    if (rest < IN_PLACE_MIN) return NULL;
    *ret_room = rest < q->room - q->len ? (size_t)rest : q->room - q->len;
    return q->bytes + q->len;
}

static int body_put(http1 *r, const char *at, size_t len)
{
    http_message *q = r->into;
    if (len == 0) return 0;
    r->wants_continue = false;
    if (r->streamed) {
        r->part = (str){at, len};
        r->passed += len;
        r->event = HTTP1_PART;
        return HPE_PAUSED;
    }
    if (q->bytes && at == (const char *)q->bytes + q->len && len <= q->room - q->len) {
        q->len += len;   /* read in place: see http1_body_room() */
        return 0;
    }
    int rc = body_reserve(r, q->len + len);
    if (rc) return rc;
    INVARIANT(q->bytes && len <= q->room - q->len);
    memcpy(q->bytes + q->len, at, len);
    q->len += len;
    return 0;
}

static int on_body(llhttp_t *p, const char *at, size_t len) { return body_put(p->data, at, len); }

static int body_check(http1 *r, uint64_t more)
{
    size_t most = r->limits->body_bytes_max;
    if (more <= most - r->into->len) return 0;
    if (r->chunked) return refuse(r, 413, "body: expected at most %zu bytes, got more", most);
    return refuse(r, 413, "body: expected at most %zu bytes, got %" PRIu64, most, more);
}

/* What there is no room for is told so before it is sent. */
static int bodies_check(http1 *r)
{
    http_body_plan plan = body_plan(r);
    return said(r, http_message_has_room(r->into, &plan, r->refusal));
}

static int on_chunk_header(llhttp_t *p)
{
    http1 *r = p->data;
    r->chunks++;
    return body_check(r, p->content_length);
}

/* ---- the whole request ---- */

static int on_headers_complete(llhttp_t *p)
{
    http1 *r = p->data;
    http_message *q = r->into;
    if (p->http_major != 1 || p->http_minor > 1) return refuse(r, 505, "HTTP version: expected 1.0 or 1.1");
    q->http10 = p->http_minor == 0;
    q->method = str_of(llhttp_method_name((llhttp_method_t)p->method));
    if (p->method == HTTP_CONNECT) return refuse(r, 501, "method: expected any but CONNECT");
    if (!r->hosts && !q->http10) return refuse(r, 400, "Host: expected once, got none");
    if (r->encodings && q->http10) return refuse(r, 400, "Transfer-Encoding: expected none with HTTP/1.0");
    int rc = said(r, http_message_set_target(q, 0, q->path.len, r->refusal));
    if (rc) return rc;

    r->chunked = (p->flags & F_CHUNKED) != 0;
    r->expected = r->chunked ? 0 : p->content_length;
    if ((rc = body_check(r, r->expected))) return rc;
    if ((rc = bodies_check(r))) return rc;
    bool body = r->chunked || r->expected;
    r->wants_continue = r->wants_continue && body && !q->http10;
    q->keep_alive = llhttp_should_keep_alive(p) && !(p->flags & F_CONNECTION_CLOSE);   /* 1.0 may say both */
    p->upgrade = 0;   /* an Upgrade is an offer that we pass over */
    r->state = BODY;
    if (!r->heads || !body) return 0;
    http_message_whole(q);
    r->event = HTTP1_HEAD;
    return HPE_PAUSED;   /* who reads this may want the body in parts */
}

static int on_message_begin(llhttp_t *p)
{
    http1 *r = p->data;
    r->state = HEAD;
    p->http_major = p->http_minor = 0;   /* llhttp keeps those of the request before: a verdict shall not hang on it */
    return 0;
}

static int on_message_complete(llhttp_t *p)
{
    http1 *r = p->data;
    http_message *q = r->into;
    http_message_whole(q);
    r->event = HTTP1_REQUEST;
    return HPE_PAUSED;   /* the next request waits until the caller has room for it */
}

static const llhttp_settings_t callbacks = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_version = on_version,
    .on_version_complete = on_version_complete,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void http1_init(http1 *r, const http1_limits *limits, bool heads)
{
    *r = (http1){.limits = limits, .heads = heads};
    llhttp_init(&r->parser, HTTP_REQUEST, &callbacks);
    r->parser.data = r;
}

void http1_next(http1 *r, http_message *into)
{
    INVARIANT(r->state == IDLE && !r->refused);
    INVARIANT(into->head_len == 0 && into->header_count == 0 && into->len == 0);
    r->into = into;
    r->raw = r->line_raw = r->chunks = r->expected = 0;
    r->name_len = r->value_len = 0;
    r->hosts = r->encodings = r->settings = 0;
    r->chunked = r->wants_continue = r->is_http = r->streamed = false;
    r->passed = 0;
}

void http1_stream(http1 *r)
{
    INVARIANT(r->state == BODY && r->into->len == 0);
    r->streamed = true;
}

str http1_part(const http1 *r) { return r->part; }

/* How many more bytes this part of the request may take, framing included.  No more than that is fed at
 * once, so a limit strikes at the same byte however the stream was cut. */
static uint64_t allowance(const http1 *r)
{
    const http1_limits *l = r->limits;
    uint64_t most = r->line_raw ? r->line_raw + VERSION_BYTES + l->header_bytes_max : l->line_bytes_max;
    if (r->state == BODY) {
        if (!r->chunked) return UINT64_MAX;
        most += r->chunks * CHUNK_FRAMING_MAX + r->into->len + r->passed;
        most += l->header_bytes_max;   /* trailers are headers again */
    }
    INVARIANT(most >= r->raw);
    return most - r->raw;
}

static void refuse_excess(http1 *r)
{
    const http1_limits *l = r->limits;
    if (r->state == BODY) {
        refuse(r, 400, "chunks: expected at most %d bytes of framing in each", CHUNK_FRAMING_MAX);
    } else if (r->line_raw) {
        refuse(r, 431, "headers: expected at most %zu bytes", l->header_bytes_max);
    } else {
        refuse(r, 414, "request line: expected at most %zu bytes", l->line_bytes_max);
    }
}

/* llhttp's own verdicts; its text says what, the status is ours. */
static void refuse_parsed(http1 *r, llhttp_errno_t rc, const char *at, const char *end)
{
    const char *reason = llhttp_get_error_reason(&r->parser);
    if (rc == HPE_INVALID_VERSION && !(r->parser.http_major == 1 && r->parser.http_minor <= 1)) {
        refuse(r, 505, "HTTP version: expected 1.0 or 1.1");
    } else if (rc == HPE_INVALID_METHOD && at < end && is_token(*at)) {
        refuse(r, 501, "method: expected one of HTTP's");
    } else if (rc == HPE_PAUSED_H2_UPGRADE) {
        refuse(r, 400, "request: expected HTTP/1.1, got HTTP/2's preface%s", r->seen ? "" : ", not as it has to be");
    } else {
        refuse(r, 400, "request: %s", reason && *reason ? reason : "expected HTTP/1.1");
    }
}

/* The last bytes before `end`, for on_version(), in case the next bytes come in another buffer. */
static void keep_tail(http1 *r, const char *end)
{
    size_t n = (size_t)(end - r->fed), most = sizeof r->tail;
    if (n == 0) return;
    if (n > most) n = most;
    memmove(r->tail, r->tail + n, most - n);
    memcpy(r->tail + most - n, end - n, n);
}

/* llhttp takes more than the preface for it: other targets, versions and line ends. */
static void preface_match(http1 *r, const char *p, size_t n)
{
    if (r->seen || r->preface != r->raw) return;
    for (size_t i = 0; i < n && r->preface < PREFACE_BYTES && p[i] == preface[r->preface]; i++) r->preface++;
}

/* Who opens a connection with no method that we know speaks HTTP/1 where a version ends that line.  Else it is a broken
 * preface, or no HTTP at all: words of HTTP/1 would be noise to it. */
static http1_event judge(http1 *r, const char *p, size_t len, size_t *ret_used)
{
    size_t i = 0;
    while (i < len && p[i] != '\n' && version_mark[r->judged - 1] && r->raw < r->limits->line_bytes_max) {
        if (p[i] == version_mark[r->judged - 1])
            r->judged++;
        else
            r->judged = p[i] == ' ' ? 2 : 1;
        r->raw++;
        i++;
    }
    *ret_used = i;
    if (!version_mark[r->judged - 1]) {
        refuse(r, 501, "method: expected one of HTTP's");
    } else if (r->raw == r->limits->line_bytes_max) {
        refuse_excess(r);
    } else {
        return i == len ? HTTP1_MORE : HTTP1_STRANGER;
    }
    return HTTP1_REFUSED;
}

static bool is_preface(const http1 *r) { return r->preface == PREFACE_BYTES && r->raw == PREFACE_BYTES; }

static void request_over(http1 *r)
{
    r->state = IDLE;
    r->plain = false;
    r->seen = true;
    r->into = NULL;
    r->raw = 0;
}

/* ---- the usual request: all of its head is there, and its body is counted ---- */

/* llhttp does not hear of it: it stands between two requests, and stays there. */
static bool plain_head(http1 *r, const char *data, size_t len, size_t *ret_used)
{
    http1_head head UNINIT;
    http_message *q = r->into;
    if (r->state != IDLE || r->raw || !http1_head_read(q, (str){data, len}, r->limits, &head)) return false;
    r->plain = q->keep_alive = true;
    r->state = BODY;
    r->raw = head.bytes;
    r->expected = head.body_bytes;
    *ret_used = head.bytes;
    return true;
}

static http1_event plain_begins(http1 *r)
{
    if (bodies_check(r)) return HTTP1_REFUSED;
    if (!r->heads || !r->expected) return HTTP1_MORE;
    http_message_whole(r->into);
    return HTTP1_HEAD;
}

static http1_event plain_body(http1 *r, const char *data, size_t len, size_t *used)
{
    uint64_t left = r->expected - (r->streamed ? r->passed : r->into->len);
    size_t n = left < len ? (size_t)left : len;
    *used += n;
    r->paused = body_put(r, data, n) == HPE_PAUSED;
    if (r->refused) return HTTP1_REFUSED;
    if (r->paused) return HTTP1_PART;
    if (left > n) return HTTP1_MORE;
    http_message_whole(r->into);
    request_over(r);
    return HTTP1_REQUEST;
}

/* ---- any other ---- */

static http1_event parse(http1 *r, const char *p, size_t len, size_t *ret_used)
{
    const char *data = p, *end = p + len;
    http1_event got = HTTP1_MORE;
    while ((p < end || r->paused) && got == HTTP1_MORE) {
        uint64_t most = allowance(r);
        const char *stop = most < (uint64_t)(end - p) ? p + most : end;
        r->fed = p;
        r->paused = false;
        llhttp_errno_t rc = llhttp_execute(&r->parser, p, (size_t)(stop - p));
        const char *at = rc == HPE_OK ? stop : llhttp_get_error_pos(&r->parser);
        if (!at) at = p;
        preface_match(r, p, (size_t)(at - p));
        r->raw += (uint64_t)(at - p);
        p = at;
        if (r->state == HEAD && !r->line_raw) keep_tail(r, p);
        if (rc == HPE_PAUSED && !r->refused) {
            llhttp_resume(&r->parser);
            got = (http1_event)r->event;
            r->paused = got == HTTP1_PART;   /* what follows a last part needs no more bytes */
            if (got == HTTP1_REQUEST) request_over(r);
        } else if (rc == HPE_PAUSED_H2_UPGRADE && is_preface(r)) {
            got = HTTP1_PREFACE;
        } else if (rc == HPE_INVALID_METHOD && !r->seen && at < stop && is_token(*at)) {
            size_t used = 0;
            r->judged = 1;
            got = judge(r, p, (size_t)(end - p), &used);
            *ret_used = (size_t)(p - data) + used;
            return got;
        } else if (rc != HPE_OK) {
            refuse_parsed(r, rc, at, stop);
        } else if (allowance(r) == 0) {
            refuse_excess(r);
        }
        if (r->refused) got = HTTP1_REFUSED;
    }
    *ret_used = (size_t)(p - data);
    return got;
}

http1_event http1_feed(http1 *r, const uint8_t *data, size_t len, size_t *ret_used, http_refusal *reterr)
{
    INVARIANT(data && r->into && !r->refused);
    const char *p = (const char *)data;
    size_t used = 0;
    http1_event got = HTTP1_MORE;
    r->refusal = reterr;
    if (r->judged) return judge(r, p, len, ret_used);
    if (plain_head(r, p, len, &used)) got = plain_begins(r);
    if (got == HTTP1_MORE) got = r->plain ? plain_body(r, p + used, len - used, &used) : parse(r, p, len, &used);
    r->refusal = NULL;
    *ret_used = used;
    return got;
}

bool http1_idle(const http1 *r) { return r->state == IDLE; }
bool http1_in_body(const http1 *r) { return r->state == BODY; }

bool http1_offers_http2(const http1 *r) { return r->settings == 1; }

bool http1_take_continue(http1 *r)
{
    bool wanted = r->state == BODY && r->wants_continue;
    if (wanted) r->wants_continue = false;
    return wanted;
}

/* ---- replies ---- */

const char *http1_status_text(int status)
{
    static const struct { int status; const char *text; } rows[] = {
        {100, "Continue"}, {101, "Switching Protocols"}, {200, "OK"}, {201, "Created"}, {202, "Accepted"},
        {204, "No Content"}, {206, "Partial Content"}, {301, "Moved Permanently"}, {302, "Found"},
        {304, "Not Modified"}, {307, "Temporary Redirect"}, {308, "Permanent Redirect"}, {400, "Bad Request"},
        {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
        {406, "Not Acceptable"}, {408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"},
        {411, "Length Required"}, {412, "Precondition Failed"}, {413, "Content Too Large"}, {414, "URI Too Long"},
        {415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"}, {417, "Expectation Failed"},
        {422, "Unprocessable Content"}, {426, "Upgrade Required"}, {428, "Precondition Required"},
        {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"}, {499, "Client Closed Request"},
        {500, "Internal Server Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"},
        {503, "Service Unavailable"}, {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
    };
    if (status == 200) return "OK";
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        if (rows[i].status == status) return rows[i].text;
    }
    return "Status";
}

static inline char *put(char *at, str s)
{
    if (s.len) memcpy(at, s.p, s.len);
    return at + s.len;
}

/* Does any of eight bytes end a line, or look as if? */
static bool has_control(const char *p)
{
    const uint64_t each = 0x0101010101010101;
    uint64_t w;
    memcpy(&w, p, sizeof w);
    uint64_t del = w ^ 127 * each;
    return (((w - ' ' * each) & ~w) | ((del - each) & ~del)) & 0x80 * each;
}

static void clean(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)p[i] < ' ' || p[i] == 127 ? ' ' : p[i];
}

static char *put_clean(char *at, str s)
{
    char *end = put(at, s);
    bool dirty = s.len < 8 || has_control(end - 8);
    for (char *p = at; end - p > 8; p += 8) dirty |= has_control(p);
    if (dirty) clean(at, s.len);
    return end;
}

static char *put_u64(char *at, uint64_t n)
{
    char text[20];
    size_t i = sizeof text;
    do {
        text[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    return put(at, (str){text + i, sizeof text - i});
}

static char *put_field(char *at, str name, str value)
{
    at = put_clean(at, name);
    at = put(at, STR(": "));
    at = put_clean(at, value);
    return put(at, STR("\r\n"));
}

void http1_print_head(buf *out, const http1_reply *reply)
{
    INVARIANT(reply->status >= 100 && reply->status <= 999);
    bool usual = reply->status == 200;
    str text = usual ? STR("OK") : str_of(http1_status_text(reply->status));
    size_t most = text.len + reply->date.len + reply->content_type.len + 256;   /* 256: our own names and numbers */
    for (size_t i = 0; i < reply->header_count; i++) {
        most += reply->headers[i].name.len + reply->headers[i].value.len + 4;
    }
    char *start = (char *)buf_room(out, most), *at = start;
    if (!start) return;
    if (usual) {
        at = put(at, STR("HTTP/1.1 200 OK\r\n"));
    } else {
        at = put_u64(put(at, STR("HTTP/1.1 ")), (uint64_t)reply->status);
        *at++ = ' ';
        at = put(put(at, text), STR("\r\n"));
    }
    if (reply->date.len) at = put(put(put(at, STR("Date: ")), reply->date), STR("\r\n"));
    if (reply->content_type.len) at = put_field(at, STR("Content-Type"), reply->content_type);
    for (const http_header *h = reply->headers, *end = h + reply->header_count; h != end; h++) {
        at = put_field(at, h->name, h->value);
    }
    bool bodiless = reply->status < 200 || reply->status == 204 || reply->status == 304;
    if (reply->chunked && !bodiless) {
        at = put(at, STR("Transfer-Encoding: chunked\r\n"));
    } else if (!bodiless && !reply->uncounted) {
        at = put(put_u64(put(at, STR("Content-Length: ")), reply->body_bytes), STR("\r\n"));
    }
    if (reply->close) {
        at = put(at, STR("Connection: close\r\n"));
    } else if (reply->http10) {
        at = put(at, STR("Connection: keep-alive\r\n"));
    }
    at = put(at, STR("\r\n"));
    INVARIANT((size_t)(at - start) <= most);
    out->len += (size_t)(at - start);
}

void http1_print_chunk(buf *out, str data)
{
    if (!data.len) return;
    buf_printf(out, "%zx\r\n", data.len);
    buf_put_str(out, data);
    buf_put(out, "\r\n", 2);
}

void http1_print_last_chunk(buf *out) { buf_put(out, "0\r\n\r\n", 5); }
