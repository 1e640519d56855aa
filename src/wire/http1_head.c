#include "wire/http1_head.h"

enum {
    LENGTH_DIGITS_MAX = 15,         /* of a Content-Length; longer ones are nobody's body */
    MARGIN = 16                     /* so close to a limit llhttp's reader says which byte it strikes at */
};

static bool is_alnum(char c) { return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'); }

bool http1_head_host_ok(str host)
{
    bool ok = true;
    for (size_t i = 0; i < host.len && ok; i++) {
        char c = host.p[i];
        ok = is_alnum(c) || c == '.' || c == ':' || (c && strchr("-_~%!$&'()*+,;=[]", c));
    }
    return ok;
}

/* What is still to read; `end` is where the bytes or the limit end. */
typedef struct {
    const char *at, *end;
    http_message *into;
    http_refusal *why;
    uint32_t hosts, lengths;
    uint64_t body_bytes;
} scan;

static bool name_ok(str name)
{
    bool ok = name.len > 0;
    for (size_t i = 0; i < name.len && ok; i++) ok = is_alnum(name.p[i]) || name.p[i] == '-' || name.p[i] == '_';
    return ok;
}

/* Does it leave no doubt about how the message is framed? */
static bool field_ok(scan *s, http_field f, str name, str value)
{
    switch (f) {
    case HTTP_FIELD_OTHER: return name_ok(name);
    case HTTP_FIELD_HOST: return s->hosts++ == 0 && http1_head_host_ok(value);
    case HTTP_FIELD_CONTENT_LENGTH:
        return s->lengths++ == 0 && value.len <= LENGTH_DIGITS_MAX && str_u64(value, &s->body_bytes);
    case HTTP_FIELD_CONNECTION: return str_is_nocase(value, "keep-alive");
    case HTTP_FIELD_EXPECT: case HTTP_FIELD_HTTP2_SETTINGS: case HTTP_FIELD_PROXY_CONNECTION:
    case HTTP_FIELD_TRANSFER_ENCODING: case HTTP_FIELD_UPGRADE: return false;
    default: return true;
    }
}

/* "Name: value\r\n" */
static bool field_read(scan *s)
{
    const char *from = s->at, *cr = memchr(from, '\r', (size_t)(s->end - from));
    if (!cr || cr + 1 == s->end || cr[1] != '\n') return false;
    const char *colon = memchr(from, ':', (size_t)(cr - from));
    if (!colon) return false;
    str name = {from, (size_t)(colon - from)}, value = {colon + 1, (size_t)(cr - colon) - 1};
    if (!str_printable(value)) return false;
    value = str_trim(value);
    s->at = cr + 2;
    return http_message_add(s->into, name, value, s->why) && field_ok(s, s->into->last, name, value);
}

/* Up to the path; false where it is another method. */
static bool method_read(http_message *m, str bytes, size_t *ret_at)
{
    bool get = str_starts(bytes, STR("GET /")), post = !get && str_starts(bytes, STR("POST /"));
    m->method = get ? STR("GET") : STR("POST");
    *ret_at = m->method.len + 1;
    return get || post;
}

static bool read(scan *s, str bytes, const http1_limits *limits, http1_head *ret)
{
    static const str version = {" HTTP/1.1\r\n", 11};
    size_t path_at, most = bytes.len < limits->line_bytes_max ? bytes.len : limits->line_bytes_max;
    if (!method_read(s->into, bytes, &path_at) || most < path_at + MARGIN) return false;
    const char *path = bytes.p + path_at, *blank = memchr(path, ' ', most - path_at - MARGIN);
    if (!blank || memcmp(blank, version.p, version.len) != 0) return false;
    s->at = blank + version.len;
    const char *fields = s->at;
    size_t left = bytes.len - (size_t)(fields - bytes.p);
    s->end = s->at + (left < limits->header_bytes_max ? left : limits->header_bytes_max);
    while (s->end - s->at > 2 && *s->at != '\r')
        if (s->into->header_count == limits->header_count_max || !field_read(s)) return false;
    if (s->end - s->at < 2 || s->at[0] != '\r' || s->at[1] != '\n' || s->hosts != 1) return false;
    s->at += 2;
    ret->bytes = (size_t)(s->at - bytes.p);
    ret->body_bytes = s->body_bytes;
    return (size_t)(s->at - fields) + MARGIN <= limits->header_bytes_max && s->body_bytes <= limits->body_bytes_max &&
           http_message_own(s->into, (str){path, (size_t)(s->at - path)}, s->why) &&
           http_message_set_target(s->into, 0, (size_t)(blank - path), s->why);
}

bool http1_head_read(http_message *into, str bytes, const http1_limits *limits, http1_head *ret)
{
    http_refusal unheard UNINIT;   /* llhttp's reader comes to the same, and says so */
    http1_head got UNINIT;
    unheard.status = 0;
    scan s = {.into = into, .why = &unheard};
    bool done = read(&s, bytes, limits, &got);
    if (done) *ret = got;
    else http_message_clear(into);
    return done;
}
