#include "wire/json_text.h"

#include <string.h>

static const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;

/* The top bit of each byte of v that is below n; right up to the lowest such byte, which is all that is asked. */
static inline uint64_t below(uint64_t v, uint8_t n) { return (v - ones * n) & ~v & tops; }
static inline uint64_t equal(uint64_t v, char c) { return below(v ^ (ones * (uint8_t)c), 1); }

const char *json_text_end(const char *p, const char *end, bool *ret_escaped)
{
    bool escaped = false;
    while (end - p >= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        uint64_t hit = equal(v, '"') | equal(v, '\\');
        if (!hit) {
            p += 8;
            continue;
        }
        p += __builtin_ctzll(hit) / 8;
        if (*p == '"') {
            *ret_escaped = escaped;
            return p;
        }
        escaped = true;
        p += 2;
    }
    for (; p < end; p++) {
        if (*p == '"') {
            *ret_escaped = escaped;
            return p;
        }
        if (*p == '\\') {
            escaped = true;
            p++;
        }
    }
    return NULL;
}

bool json_text_plain_ok(str raw)
{
    size_t i = 0;
    uint64_t v;
    for (; raw.len - i >= 8; i += 8) {
        memcpy(&v, raw.p + i, 8);
        if (below(v, 0x20)) return false;
    }
    for (; i < raw.len; i++) {
        if ((uint8_t)raw.p[i] < 0x20) return false;
    }
    return str_utf8_ok(raw);
}

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits at p, or -1. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t v = 0;
    if (end - p < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int h = hex(p[i]);
        if (h < 0) return -1;
        v = v * 16 + h;
    }
    return v;
}

/* The character of a \u escape, whose digits start at p; surrogates must come as a pair.  Past it, or NULL. */
static const char *unicode(const char *p, const char *end, uint32_t *ret)
{
    int32_t c = hex4(p, end);
    if (c < 0 || (c >= 0xDC00 && c <= 0xDFFF)) return NULL;
    p += 4;
    if (c >= 0xD800 && c <= 0xDBFF) {
        if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return NULL;
        int32_t low = hex4(p + 2, end);
        if (low < 0xDC00 || low > 0xDFFF) return NULL;
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
    }
    *ret = (uint32_t)c;
    return p;
}

bool json_text_decode(str raw, char *to, size_t *ret_len)
{
    static const char names[] = "\"\\/bfnrt", says[] = "\"\\/\b\f\n\r\t";
    const char *p = raw.p, *end = raw.p + raw.len;
    char *out = to;
    while (p < end) {
        const char *hit = memchr(p, '\\', (size_t)(end - p));
        size_t n = (size_t)((hit ? hit : end) - p);
        if (!json_text_plain_ok((str){p, n})) return false;
        memcpy(out, p, n);
        out += n;
        p += n;
        if (!hit) break;
        if (++p == end) return false;
        if (*p == 'u') {
            uint32_t c;
            p = unicode(p + 1, end, &c);
            if (!p) return false;
            out += str_utf8_put(out, c);
            continue;
        }
        const char *name = memchr(names, *p, sizeof names - 1);
        if (!name) return false;
        *out++ = says[name - names];
        p++;
    }
    *ret_len = (size_t)(out - to);
    return true;
}

static void escape_put(buf *b, uint8_t c)
{
    static const char says[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *at = memchr(says, c, sizeof says - 1);
    if (at) buf_put(b, (char[]){'\\', names[at - says]}, 2);
    else buf_printf(b, "\\u%04x", c);
}

/* ASCII that is written as it is. */
static bool verbatim(str s)
{
    size_t i = 0;
    for (; s.len - i >= 8; i += 8) {
        uint64_t v;
        memcpy(&v, s.p + i, 8);
        if (below(v, 0x20) | equal(v, '"') | equal(v, '\\') | (v & tops)) return false;
    }
    for (; i < s.len; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\') return false;
    }
    return true;
}

static void verbatim_put(buf *b, str s)
{
    uint8_t *to = buf_room(b, s.len + 2);
    if (!to) return;
    to[0] = '"';
    if (s.len) memcpy(to + 1, s.p, s.len);
    to[s.len + 1] = '"';
    b->len += s.len + 2;
}

void json_text_put(buf *b, str s)
{
    if (verbatim(s)) {
        verbatim_put(b, s);
        return;
    }
    buf_put_byte(b, '"');
    bool whole = str_utf8_ok(s);
    size_t from = 0;
    for (size_t i = 0; i < s.len;) {
        uint8_t c = (uint8_t)s.p[i];
        uint32_t code;
        size_t n = whole || c < 0x80 ? 1 : str_utf8_step((str){s.p + i, s.len - i}, &code);
        if (n && c >= 0x20 && c != '"' && c != '\\') {
            i += n;
            continue;
        }
        if (i > from) buf_put(b, s.p + from, i - from);
        if (n) escape_put(b, c);
        else buf_put(b, "\xef\xbf\xbd", 3);
        from = ++i;
    }
    if (s.len > from) buf_put(b, s.p + from, s.len - from);
    buf_put_byte(b, '"');
}
