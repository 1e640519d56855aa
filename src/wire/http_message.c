#include "wire/http_message.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    FIELDS_MIN = 16,                /* first room for header fields; grows by doubling */
    HEAD_MIN = 1024,                /* first room for their bytes */
    BODY_ALIGN = 64,                /* a cache line, and the widest vector */
    BODY_MIN = 1024,                /* first room for a body */
    BODY_TRUST_MIN = 64 << 10,      /* a longer one that was announced gets this for its first byte, */
    BODY_TRUST_MAX = 4 << 20        /* then this, and all of it once this much has really come */
};

static uint8_t *block_of(const http_message *m) { return m->bytes ? m->bytes - m->skew : NULL; }

void http_message_init(http_message *m)
{
    *m = (http_message){.method = STR(""), .path = STR(""), .query = STR(""), .body = STR("")};
}

void http_message_fini(http_message *m)
{
    mem_free(m->head);
    mem_free(block_of(m));
    if (m->bodies) quota_give(m->bodies, m->room);
    mem_free(m->fields);
    http_message_init(m);
}

void http_message_clear(http_message *m)
{
    m->method = m->path = m->query = m->body = STR("");
    m->headers = NULL;
    m->header_count = m->head_len = m->len = 0;
    http_message_align(m, 0);
    m->known.has = m->known.repeats = 0;
    m->keep_alive = m->http10 = false;
}

size_t http_message_room(const http_message *m)
{
    return m->head_room + m->room + m->field_room * sizeof *m->fields;
}

void http_refuse(http_refusal *r, int status, const char *fmt, ...)
{
    if (r->status) return;
    r->status = status;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(r->text, sizeof r->text, fmt, ap);
    va_end(ap);
}

/* ---- the head: target, names and values, one behind the other ---- */

static str moved(str s, const uint8_t *from, const uint8_t *to)
{
    return (str){(const char *)to + ((const uint8_t *)s.p - from), s.len};
}

static void fields_move(http_message *m, const uint8_t *from, const uint8_t *to)
{
    for (size_t i = 0; i < m->header_count; i++) {
        m->fields[i].name = moved(m->fields[i].name, from, to);
        m->fields[i].value = moved(m->fields[i].value, from, to);
    }
}

bool http_message_grow(http_message *m, size_t more, http_refusal *reterr)
{
    size_t room = m->head_room ? m->head_room * 2 : HEAD_MIN, need = m->head_len + more;
    if (room < need) room = need;
    uint8_t *head = mem_alloc_raw(room);
    if (!head) {
        http_refuse(reterr, 503, "headers: no memory for %zu bytes", room);
        return false;
    }
    if (m->head_len) memcpy(head, m->head, m->head_len);
    fields_move(m, m->head, head);
    mem_free(m->head);
    m->head = head;
    m->head_room = room;
    return true;
}

bool http_message_add(http_message *m, str name, str value, http_refusal *reterr)
{
    if (m->header_count == m->field_room) {
        size_t room = m->field_room ? m->field_room * 2 : FIELDS_MIN;
        http_header *more = mem_grow(m->fields, m->header_count * sizeof *more, room, sizeof *more);
        if (!more) {
            http_refuse(reterr, 503, "headers: no memory for %zu of them", room);
            return false;
        }
        m->fields = more;
        m->field_room = room;
    }
    m->last = http_field_of(name);
    http_field_index_add(&m->known, m->last, m->header_count);
    m->fields[m->header_count++] = (http_header){name, value};
    return true;
}

bool http_message_own(http_message *m, str bytes, http_refusal *reterr)
{
    INVARIANT(m->head_len == 0);
    size_t count = m->header_count;
    m->header_count = 0;   /* they are not in m->head yet, so they do not move with it */
    if (!http_message_put(m, bytes.p, bytes.len, reterr)) return false;
    m->header_count = count;
    fields_move(m, (const uint8_t *)bytes.p, m->head);
    return true;
}

bool http_message_add_field(http_message *m, size_t name_len, size_t value_len, http_refusal *reterr)
{
    INVARIANT(name_len + value_len <= m->head_len);
    const char *at = (const char *)m->head + (m->head_len - name_len - value_len);
    return http_message_add(m, (str){at, name_len}, str_trim((str){at + name_len, value_len}), reterr);
}

/* ---- the target ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    char low = (char)(c | 32);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* Decodes in place: what comes out is never longer. */
static bool percent_decode(char *p, size_t len, size_t *ret_len)
{
    char *to = memchr(p, '%', len);
    if (!to) {
        *ret_len = len;
        return true;
    }
    for (const char *from = to, *end = p + len; from < end; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        int high = end - from > 2 ? hex(from[1]) : -1, low = end - from > 2 ? hex(from[2]) : -1;
        if (high < 0 || low < 0 || (high | low) == 0) return false;   /* no %00: it would end C strings early */
        *to++ = (char)(high * 16 + low);
        from += 2;
    }
    *ret_len = (size_t)(to - p);
    return true;
}

/* '!' to '~' but for '#'; eight at a time, the last of them again where they are no multiple of that. */
static bool target_ok(const char *p, size_t len)
{
    const uint64_t each = 0x0101010101010101;
    uint64_t bad = 0, w;
    char few[sizeof w];
    if (len < sizeof few) {
        memset(few, '/', sizeof few);
        p = memcpy(few, p, len);
        len = sizeof few;
    }
    for (size_t i = 0; i < len; i += sizeof w) {
        memcpy(&w, p + (i + sizeof w <= len ? i : len - sizeof w), sizeof w);
        uint64_t del = w ^ 127 * each, hash = w ^ '#' * each;
        bad |= w | (w - '!' * each) | (del - each) | (hash - each);   /* the top bit of a byte that is not allowed */
    }
    return !(bad & 0x80 * each);
}

bool http_message_set_target(http_message *m, size_t at, size_t len, http_refusal *reterr)
{
    INVARIANT(len > 0 && at <= m->head_len && len <= m->head_len - at);
    char *p = (char *)m->head + at;
    size_t skip = 0;
    if (!target_ok(p, len)) {
        http_refuse(reterr, 400, "request target: invalid character");
        return false;
    }
    if (len == 1 && p[0] == '*' && str_is(m->method, "OPTIONS")) {
        m->path = STR("/");
        return true;
    }
    if (p[0] != '/') {
        for (size_t scheme = 7; scheme <= 8; scheme++) {
            if (len > scheme && str_is_nocase((str){p, scheme}, scheme == 7 ? "http://" : "https://")) skip = scheme;
        }
        size_t authority = skip;
        while (skip && skip < len && p[skip] != '/' && p[skip] != '?') skip++;
        if (skip == authority) {
            http_refuse(reterr, 400, "request target: expected a path or an http URL");
            return false;
        }
    }
    const char *mark = memchr(p + skip, '?', len - skip);
    size_t path_len = mark ? (size_t)(mark - p) - skip : len - skip;
    m->query = mark ? (str){mark + 1, (size_t)(p + len - mark) - 1} : STR("");
    if (!percent_decode(p + skip, path_len, &path_len)) {
        http_refuse(reterr, 400, "request target: expected two hexadecimal digits, not 00, behind '%%'");
        return false;
    }
    m->path = path_len ? (str){p + skip, path_len} : STR("/");
    return true;
}

/* ---- the body ---- */

static bool refuse_for_all(const quota *bodies, size_t more, http_refusal *reterr)
{
    size_t got;
    if (__builtin_add_overflow(quota_used(bodies), more, &got)) got = SIZE_MAX;
    http_refuse(reterr, 503, "bodies: expected at most %zu bytes in all requests, got %zu", bodies->max, got);
    return false;
}

bool http_message_has_room(const http_message *m, const http_body_plan *plan, http_refusal *reterr)
{
    size_t more = plan->announced > m->room ? plan->announced - m->room : 0;
    if (!more || !plan->bodies || quota_has(plan->bodies, more)) return true;
    return refuse_for_all(plan->bodies, more, reterr);
}

/* How much to have for a body that needs more than there is. */
static size_t room_for(const http_message *m, size_t need, const http_body_plan *plan)
{
    size_t room = plan->announced;
    if (room < need) {
        room = m->room * 2 > need ? m->room * 2 : need;
        if (room > plan->most) room = plan->most;
    } else if (need <= BODY_TRUST_MAX && room > BODY_TRUST_MIN) {
        size_t trust = need <= BODY_TRUST_MIN ? BODY_TRUST_MIN : BODY_TRUST_MAX;
        if (room > trust) room = trust;
    }
    return room < BODY_MIN ? BODY_MIN : room;
}

bool http_message_reserve(http_message *m, size_t need, const http_body_plan *plan, http_refusal *reterr)
{
    INVARIANT(need <= plan->most);
    if (need <= m->room) return true;
    quota *bodies = plan->bodies;
    size_t room = room_for(m, need, plan), more = room - m->room;
    INVARIANT(!m->room || m->bodies == bodies);
    if (bodies && !quota_take(bodies, more)) return refuse_for_all(bodies, more, reterr);
    uint8_t *old = block_of(m), *block = mem_grow(old, old ? m->skew + m->len : 0, room + BODY_ALIGN, 1);
    if (!block) {
        if (bodies) quota_give(bodies, more);
        http_refuse(reterr, 503, "body: no memory for %zu bytes", room);
        return false;
    }
    m->bytes = block + m->skew;
    m->room = room;
    m->bodies = bodies;
    return true;
}

void http_message_align(http_message *m, size_t at)
{
    INVARIANT(m->len == 0);
    uint8_t *block = block_of(m);
    m->skew = (uint32_t)((BODY_ALIGN - at % BODY_ALIGN) % BODY_ALIGN);
    if (block) m->bytes = block + m->skew;
}

void http_message_whole(http_message *m)
{
    m->headers = m->fields;
    m->body = m->len ? (str){(const char *)m->bytes, m->len} : STR("");
}

bool http_message_put_body(http_message *m, str bytes, const http_body_plan *plan, http_refusal *reterr)
{
    if (bytes.len > plan->most - m->len) {
        http_refuse(reterr, 413, "body: expected at most %zu bytes, got more when unpacked", plan->most);
        return false;
    }
    if (!http_message_reserve(m, m->len + bytes.len, plan, reterr)) return false;
    if (bytes.len) memcpy(m->bytes + m->len, bytes.p, bytes.len);
    m->len += bytes.len;
    return true;
}

void http_message_take_body(http_message *m, http_message *from)
{
    quota *of = m->bodies;
    mem_free(block_of(m));
    if (of) quota_give(of, m->room);
    m->bytes = TAKE(from->bytes);
    m->skew = from->skew;
    m->len = from->len;
    m->room = from->room;
    m->bodies = from->bodies;
    m->body = m->len ? (str){(const char *)m->bytes, m->len} : STR("");
    from->len = from->room = 0;
    from->skew = 0;
    from->bodies = NULL;
}
