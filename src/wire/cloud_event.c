#include "wire/cloud_event.h"

#include "wire/base64.h"
#include "wire/json_text.h"

#include <stdio.h>

enum { DEPTH_MAX = 64 };

/* ---- reading ---- */

static str field(const http_header *headers, size_t count, const char *name)
{
    return http_header_find(headers, count, name);
}

cloud_event_mode cloud_event_mode_of(const http_header *headers, size_t count)
{
    str type = field(headers, count, "content-type"), media, rest;
    if (!str_cut(type, ';', &media, &rest)) media = type;
    if (str_is_nocase(str_trim(media), CLOUD_EVENT_TYPE)) return CLOUD_EVENT_STRUCTURED;
    return field(headers, count, "ce-specversion").len ? CLOUD_EVENT_BINARY : CLOUD_EVENT_NONE;
}

/* Unicode but control characters, as the format has it. */
static bool is_text(str s)
{
    uint32_t code;
    for (size_t n; s.len; s = (str){s.p + n, s.len - n}) {
        n = str_utf8_step(s, &code);
        if (!n || code < 0x20 || (code >= 0x7F && code < 0xA0)) return false;
    }
    return true;
}

typedef struct {
    cloud_event ev;
    str version, data, base64;
} parts;

/* `other` is what stands in JSON instead of a string. */
static err_code string_check(const char *name, str other, err *e)
{
    if (!other.p) return ERR_OK;
    return err_set(e, ERR_INVALID, "CloudEvent: %s: expected a string, got " STR_FMT, name, STR_ARG(other));
}

static err_code check(const parts *p, const parts *other, err *e)
{
    const cloud_event *ev = &p->ev, *no = &other->ev;
    const struct {
        const char *name;
        str value, other;
        bool optional;
    } all[] = {{"id", ev->id, no->id, false}, {"source", ev->source, no->source, false},
               {"type", ev->type, no->type, false}, {"subject", ev->subject, {0}, true}, {"time", ev->time, {0}, true}};
    err_code rc = string_check("specversion", other->version, e);
    if (rc == ERR_OK && !str_is(p->version, "1.0"))
        rc = err_set(e, ERR_INVALID, "CloudEvent: specversion: expected 1.0, got '" STR_FMT "'", STR_ARG(p->version));
    for (size_t i = 0; i < COUNTOF(all) && !rc; i++) {
        rc = string_check(all[i].name, all[i].other, e);
        if (rc == ERR_OK && ((!all[i].value.len && !all[i].optional) || !is_text(all[i].value)))
            rc = err_set(e, ERR_INVALID, "CloudEvent: %s: expected printable text, got '" STR_FMT "'", all[i].name,
                         STR_ARG(all[i].value));
    }
    if (rc) return rc;
    if (str_printable(ev->data_type)) return ERR_OK;   /* it goes on as a header field */
    return err_set(e, ERR_INVALID, "CloudEvent: datacontenttype: expected printable ASCII, got '" STR_FMT "'",
                   STR_ARG(ev->data_type));
}

static err_code binary_read(const http_header *h, size_t count, cloud_event *ret, err *e)
{
    const parts p = {.ev = {.id = field(h, count, "ce-id"),
                            .source = field(h, count, "ce-source"),
                            .type = field(h, count, "ce-type"),
                            .subject = field(h, count, "ce-subject"),
                            .time = field(h, count, "ce-time"),
                            .data_type = field(h, count, "content-type")},
                     .version = field(h, count, "ce-specversion")};
    *ret = p.ev;
    return check(&p, &(parts){.version = {0}}, e);
}

/* A cursor in JSON text that looks at no more than where values begin and end. */
typedef struct {
    const char *at, *end;
    size_t all;                     /* bytes of it */
} cursor;

static char next_char(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r')) c->at++;
    return c->at < c->end ? *c->at : '\0';
}

/* What a string says: a view of it, or of `decoded` where it has escapes.  There is room then for all of them and for
 * data, so that nothing moves.  False = no string begins here, or there is no memory. */
static bool text(cursor *c, buf *decoded, str *ret)
{
    bool escaped;
    if (next_char(c) != '"') return false;
    const char *from = c->at + 1, *close = json_text_end(from, c->end, &escaped);
    if (!close) return false;
    c->at = close + 1;
    *ret = (str){from, (size_t)(close - from)};
    if (!escaped) return true;
    if (decoded->len == 0 && !buf_room(decoded, 2 * c->all)) return false;
    char *to = (char *)buf_room(decoded, ret->len);
    size_t len;
    if (!to || !json_text_decode(*ret, to, &len)) return false;
    decoded->len += len;
    *ret = (str){to, len};
    return true;
}

static bool value(cursor *c, str *ret)
{
    bool escaped;
    size_t depth = 0;
    char first = next_char(c);
    const char *from = c->at;
    if (!first || first == ',' || first == '}' || first == ']') return false;
    for (; c->at < c->end; c->at++) {
        char at = *c->at;
        if (at == '"') {
            c->at = json_text_end(c->at + 1, c->end, &escaped);
            if (!c->at) return false;
        } else if (at == '{' || at == '[') {
            if (++depth > DEPTH_MAX) return false;
        } else if (at == '}' || at == ']') {
            if (depth == 0) break;
            depth--;
        } else if (at == ',' && depth == 0) {
            break;
        }
    }
    *ret = str_trim((str){from, (size_t)(c->at - from)});
    return depth == 0;
}

static str *part_of(parts *p, str name)
{
    const struct {
        const char *name;
        str *at;
    } known[] = {{"specversion", &p->version}, {"id", &p->ev.id}, {"source", &p->ev.source}, {"type", &p->ev.type},
                 {"subject", &p->ev.subject}, {"time", &p->ev.time}, {"datacontenttype", &p->ev.data_type},
                 {"data_base64", &p->base64}};
    for (size_t i = 0; i < COUNTOF(known); i++)
        if (str_is(name, known[i].name)) return known[i].at;
    return NULL;
}

static bool document_parts(str body, buf *decoded, parts *ret, parts *ret_other)
{
    cursor c = {body.p, body.p + body.len, body.len};
    if (next_char(&c) != '{') return false;
    for (c.at++; next_char(&c) != '}';) {
        str name, skipped;
        if (!text(&c, decoded, &name) || next_char(&c) != ':') return false;
        c.at++;
        bool data = str_is(name, "data"), string = !data && next_char(&c) == '"';
        str *to = data ? &ret->data : part_of(string ? ret : ret_other, name);
        if (to && to->p) return false;   /* twice */
        if (to && string ? !text(&c, decoded, to) : !value(&c, to ? to : &skipped)) return false;
        if (next_char(&c) == ',') c.at++;
        else if (next_char(&c) != '}') return false;
    }
    c.at++;
    return next_char(&c) == '\0' && c.at == c.end;
}

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Of RFC 4648 the first alphabet alone, as the format has it. */
static bool data_read(buf *out, str s)
{
    uint32_t bits = 0;
    while (s.len && s.p[s.len - 1] == '=') s.len--;
    if (s.len % 4 == 1) return false;
    for (size_t i = 0; i < s.len; i++) {
        int six = sextet(s.p[i]);
        if (six < 0) return false;
        bits = bits << 6 | (uint32_t)six;
        if (i % 4) buf_put_byte(out, (uint8_t)(bits >> (6 - 2 * (i % 4))));
    }
    return true;
}

err_code cloud_event_read(cloud_event_mode mode, http_header_span headers, str body, buf *decoded, cloud_event *ret,
                          str *ret_data, err *e)
{
    parts p = {.version = {0}}, other = p;
    if (mode == CLOUD_EVENT_BINARY) {
        *ret_data = body;
        return binary_read(headers.at, headers.count, ret, e);
    }
    if (!document_parts(body, decoded, &p, &other))
        return decoded->full ? buf_check(decoded, "CloudEvent", e)
                             : err_set(e, ERR_INVALID, "CloudEvent: expected a JSON object with each attribute once, "
                                       "got other bytes");
    err_code rc = check(&p, &other, e);
    if (rc) return rc;
    if ((p.data.p != NULL) == (p.base64.p != NULL))
        return err_set(e, ERR_INVALID, "CloudEvent: expected data or data_base64, got %s",
                       p.data.p ? "both" : "neither");
    size_t texts = decoded->len;
    if (p.base64.p && !data_read(decoded, p.base64))
        return err_set(e, ERR_INVALID, "CloudEvent: data_base64: expected base64, got other bytes");
    if (p.base64.p && (rc = buf_check(decoded, "CloudEvent: data_base64", e))) return rc;
    *ret = p.ev;
    str data = buf_str(decoded);
    *ret_data = p.data.p ? p.data : (str){data.p + texts, data.len - texts};
    return ERR_OK;
}

/* ---- writing ---- */

static bool is_encoded(char c) { return c <= ' ' || c > '~' || c == '"' || c == '%'; }

str cloud_event_field_text(buf *out, str attribute)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t i = 0, at = out->len;
    while (i < attribute.len && !is_encoded(attribute.p[i])) i++;
    if (i == attribute.len) return attribute;
    for (i = 0; i < attribute.len; i++) {
        uint8_t c = (uint8_t)attribute.p[i];
        bool encode = is_encoded(attribute.p[i]);
        const char put[3] = {encode ? '%' : (char)c, hex[c >> 4], hex[c & 15]};
        buf_put(out, put, encode ? 3 : 1);
    }
    str all = buf_str(out);
    return (str){all.p + at, all.len - at};
}

size_t cloud_event_fields(const cloud_event *ev, http_header ret[CLOUD_EVENT_FIELDS])
{
    size_t n = 0;
    ret[n++] = (http_header){STR("ce-specversion"), STR("1.0")};
    ret[n++] = (http_header){STR("ce-id"), ev->id};
    ret[n++] = (http_header){STR("ce-source"), ev->source};
    ret[n++] = (http_header){STR("ce-type"), ev->type};
    if (ev->subject.len) ret[n++] = (http_header){STR("ce-subject"), ev->subject};
    if (ev->time.len) ret[n++] = (http_header){STR("ce-time"), ev->time};
    return n;
}

static bool is_json(str type)
{
    str media, rest;
    if (!str_cut(type, ';', &media, &rest)) media = type;
    media = str_trim(media);
    return str_is_nocase(media, "application/json") || str_ends(media, STR("+json"));
}

/* Is there NaN or Infinity, as in V2's answers?  No word of JSON has such capitals, and the document is to be JSON. */
static bool has_words(str json)
{
    bool escaped;
    for (const char *p = json.p, *end = p + json.len; p < end; p++) {
        if (*p == 'N' || *p == 'I') return true;
        if (*p == '"' && !(p = json_text_end(p + 1, end, &escaped))) return true;
    }
    return false;
}

void cloud_event_put(buf *out, const cloud_event *ev, str data)
{
    const struct {
        const char *name;
        str value;
    } optional[] = {{"subject", ev->subject}, {"time", ev->time}, {"datacontenttype", ev->data_type}};
    buf_put_z(out, "{\"specversion\":\"1.0\",\"id\":");
    json_text_put(out, ev->id);
    buf_put_z(out, ",\"source\":");
    json_text_put(out, ev->source);
    buf_put_z(out, ",\"type\":");
    json_text_put(out, ev->type);
    for (size_t i = 0; i < COUNTOF(optional); i++) {
        if (!optional[i].value.len) continue;
        buf_printf(out, ",\"%s\":", optional[i].name);
        json_text_put(out, optional[i].value);
    }
    if (is_json(ev->data_type) && data.len && !has_words(data)) {
        buf_put_z(out, ",\"data\":");
        buf_put_str(out, data);
    } else {
        buf_put_z(out, ",\"data_base64\":\"");
        base64_put(out, data, true);
        buf_put_byte(out, '"');
    }
    buf_put_byte(out, '}');
}

/* Days since the epoch to a date: in 400 years of the Gregorian calendar are 146,097 days; years begin in March. */
void cloud_event_time(char ret[CLOUD_EVENT_TIME_BYTES], uint64_t unix_us)
{
    uint64_t seconds = unix_us / 1000000, days = seconds / 86400 + 719468, second = seconds % 86400;
    uint64_t era = days / 146097, day = days % 146097;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= 365 * year + year / 4 - year / 100;
    uint64_t march = (5 * day + 2) / 153, month = march < 10 ? march + 3 : march - 9;
    year += era * 400 + (month <= 2);
    snprintf(ret, CLOUD_EVENT_TIME_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ", (unsigned)(year % 10000),
             (unsigned)month, (unsigned)(day - (153 * march + 2) / 5 + 1), (unsigned)(second / 3600),
             (unsigned)(second / 60 % 60), (unsigned)(second % 60), (unsigned)(unix_us % 1000000));
}
