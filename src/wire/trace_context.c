#include "wire/trace_context.h"

#include <string.h>

enum { PARENT_BYTES = 55, KEY_BYTES_MAX = 256, TENANT_BYTES_MAX = 241, SYSTEM_BYTES_MAX = 14, VALUE_BYTES_MAX = 256 };

/* ---- traceparent: "00-" trace id "-" span id "-" flags ---- */

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False where a digit is none; ret_any: one of them is not 0. */
static bool hex(const char *p, uint8_t *to, size_t bytes, bool *ret_any)
{
    bool any = false;
    for (size_t i = 0; i < bytes; i++) {
        int high = digit(p[2 * i]), low = digit(p[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        to[i] = (uint8_t)(high << 4 | low);
        any = any || to[i];
    }
    *ret_any = any;
    return true;
}

bool trace_context_parse(str s, trace_context *ret)
{
    trace_context c = {.valid = true};
    uint8_t version;
    bool any;
    if (s.len < PARENT_BYTES || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-') return false;
    if (!hex(s.p, &version, 1, &any) || version == 0xFF) return false;
    if (s.len > PARENT_BYTES && (version == 0 || s.p[PARENT_BYTES] != '-')) return false;
    if (!hex(s.p + 3, c.trace_id, TRACE_ID_BYTES, &any) || !any) return false;
    if (!hex(s.p + 36, c.span_id, SPAN_ID_BYTES, &any) || !any) return false;
    if (!hex(s.p + 53, &c.flags, 1, &any)) return false;
    c.sampled = c.flags & 1;
    c.id = (str){s.p + 3, (size_t)2 * TRACE_ID_BYTES};
    *ret = c;
    return true;
}

void trace_context_read(const http_header *headers, size_t count, trace_context *ret)
{
    str found = {0};
    bool once = false;
    *ret = (trace_context){.valid = false};
    for (size_t i = 0; i < count; i++) {
        if (headers[i].name.len != strlen("traceparent") || !str_is_nocase(headers[i].name, "traceparent")) continue;
        if (once) return;
        once = true;
        found = headers[i].value;
    }
    if (once && !trace_context_parse(str_trim(found), ret)) *ret = (trace_context){.valid = false};
}

/* ---- tracestate: key=value, ... ---- */

static bool key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("_-*/", c));
}

static bool key_part(str s, size_t most, bool digit_first)
{
    if (s.len == 0 || s.len > most) return false;
    bool first = (s.p[0] >= 'a' && s.p[0] <= 'z') || (digit_first && s.p[0] >= '0' && s.p[0] <= '9');
    for (size_t i = 0; i < s.len && first; i++) first = key_char(s.p[i]);
    return first;
}

static bool key_ok(str key)
{
    str tenant, system;
    if (!str_cut(key, '@', &tenant, &system)) return key_part(key, KEY_BYTES_MAX, false);
    return key_part(tenant, TENANT_BYTES_MAX, true) && key_part(system, SYSTEM_BYTES_MAX, false);
}

static bool value_ok(str v)
{
    bool ok = v.len > 0 && v.len <= VALUE_BYTES_MAX && v.p[v.len - 1] != ' ';
    for (size_t i = 0; i < v.len && ok; i++) ok = v.p[i] >= ' ' && v.p[i] < 0x7F && v.p[i] != ',' && v.p[i] != '=';
    return ok;
}

typedef struct {
    str keys[TRACE_STATE_ENTRIES_MAX];
    size_t count, len;
    bool full;
} state;

/* One entry, which may be empty; false = the whole is wrong. */
static bool entry_add(state *s, str entry, char *to)
{
    str key, value;
    entry = str_trim(entry);
    if (entry.len == 0) return true;
    if (s->count == TRACE_STATE_ENTRIES_MAX || !str_cut(entry, '=', &key, &value)) return false;
    if (!key_ok(key) || !value_ok(value)) return false;
    for (size_t i = 0; i < s->count; i++)
        if (str_eq(s->keys[i], key)) return false;
    s->keys[s->count++] = key;
    size_t comma = s->len > 0;
    s->full = s->full || entry.len + comma > TRACE_STATE_BYTES_MAX - s->len;
    if (s->full) return true;
    if (comma) to[s->len] = ',';
    memcpy(to + s->len + comma, entry.p, entry.len);
    s->len += comma + entry.len;
    return true;
}

size_t trace_context_state(const http_header *headers, size_t count, char ret[TRACE_STATE_BYTES_MAX])
{
    state s = {.count = 0};
    for (size_t i = 0; i < count; i++) {
        if (headers[i].name.len != strlen("tracestate") || !str_is_nocase(headers[i].name, "tracestate")) continue;
        str one, rest = headers[i].value;
        for (bool more = true; more;) {
            more = str_cut(rest, ',', &one, &rest);
            if (!more) one = rest;
            if (!entry_add(&s, one, ret)) return 0;
        }
    }
    return s.len;
}
