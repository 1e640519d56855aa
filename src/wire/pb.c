#include "wire/pb.h"

#include <string.h>

static bool fail(pb *r, pb_bad bad, const uint8_t *at, uint64_t want, uint64_t got)
{
    if (r->bad) return false;   /* the first failure is the true one */
    r->bad = bad;
    r->bad_at = (size_t)(at - r->base);
    r->bad_want = want;
    r->bad_got = got;
    r->p = r->end;
    return false;
}

void pb_init(pb *r, const void *bytes, size_t len)
{
    static const uint8_t nothing[1];
    const uint8_t *p = bytes ? bytes : nothing;
    INVARIANT(bytes || !len);
    *r = (pb){.base = p, .p = p, .end = p + len};
}

/* Little-endian groups of 7 bits, the high bit says "more"; bits beyond the 64th are refused, not dropped. */
static bool varint(pb *r, uint64_t *ret)
{
    const uint8_t *p = r->p;
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7, p++) {
        if (p == r->end) return fail(r, PB_BAD_END, r->p, 0, 0);
        v |= (uint64_t)(*p & 0x7f) << shift;
        if (*p < 0x80) {
            if (shift == 63 && *p > 1) break;
            r->p = p + 1;
            *ret = v;
            return true;
        }
    }
    return fail(r, PB_BAD_VARINT, r->p, 0, 0);
}

static bool fixed(pb *r, size_t size, uint64_t *ret)
{
    if ((size_t)(r->end - r->p) < size) return fail(r, PB_BAD_END, r->p, 0, 0);
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++) v |= (uint64_t)r->p[i] << (8 * i);
    r->p += size;
    *ret = v;
    return true;
}

static bool tag(pb *r, pb_field *f)
{
    const uint8_t *at = r->p;
    uint64_t v;
    r->number = 0;
    if (!varint(r, &v)) return false;
    if (v >> 3 == 0 || v >> 3 > PB_NUMBER_MAX) return fail(r, PB_BAD_NUMBER, at, PB_NUMBER_MAX, v >> 3);
    r->number = f->number = (uint32_t)(v >> 3);
    if ((v & 7) > PB_FIXED32) return fail(r, PB_BAD_WIRE, at, 0, v & 7);
    f->type = (pb_type)(v & 7);
    return true;
}

/* The value of a field whose tag was read; groups have none. */
static bool value(pb *r, pb_field *f)
{
    const uint8_t *at = r->p;
    f->p = at;
    f->value = 0;
    switch (f->type) {
    case PB_VARINT:
        if (!varint(r, &f->value)) return false;
        break;
    case PB_FIXED32:
        if (!fixed(r, 4, &f->value)) return false;
        break;
    case PB_FIXED64:
        if (!fixed(r, 8, &f->value)) return false;
        break;
    case PB_BYTES:
        if (!varint(r, &f->value)) return false;
        if (f->value > (uint64_t)(r->end - r->p))
            return fail(r, PB_BAD_LENGTH, at, (uint64_t)(r->end - r->p), f->value);
        f->p = r->p;
        r->p += f->value;
        break;
    case PB_GROUP_START:
    case PB_GROUP_END:
        break;
    }
    f->len = (size_t)(r->p - f->p);
    return true;
}

/* Steps over a group whose start tag was read.  Every start must meet its own end. */
static bool group_skip(pb *r, uint32_t number)
{
    uint32_t open[PB_GROUP_DEPTH_MAX];
    size_t depth = 1;
    open[0] = number;
    while (depth) {
        const uint8_t *at = r->p;
        pb_field f = {0};
        if (!tag(r, &f) || !value(r, &f)) return false;
        if (f.type == PB_GROUP_START) {
            if (depth == COUNTOF(open)) return fail(r, PB_BAD_DEPTH, at, COUNTOF(open), depth + 1);
            open[depth++] = f.number;
        } else if (f.type == PB_GROUP_END) {
            if (f.number != open[--depth]) return fail(r, PB_BAD_GROUP, at, open[depth], f.number);
        }
    }
    return true;
}

bool pb_next(pb *r, pb_field *ret)
{
    while (r->p < r->end) {
        const uint8_t *at = r->p;
        pb_field f = {0};
        if (!tag(r, &f)) return false;
        if (f.type == PB_GROUP_END) return fail(r, PB_BAD_GROUP, at, 0, f.number);
        if (f.type == PB_GROUP_START) {
            if (!group_skip(r, f.number)) return false;
            continue;
        }
        if (!value(r, &f)) return false;
        *ret = f;
        return true;
    }
    return false;
}

static const char *type_name(uint64_t type)
{
    static const char *const names[] = {
        [PB_VARINT] = "a varint",       [PB_FIXED64] = "a fixed64",   [PB_BYTES] = "bytes",
        [PB_GROUP_START] = "a group",   [PB_GROUP_END] = "a group",   [PB_FIXED32] = "a fixed32",
    };
    INVARIANT(type < COUNTOF(names));
    return names[type];
}

err_code pb_check(const pb *r, const char *what, err *e)
{
    unsigned long long want = r->bad_want, got = r->bad_got;
    switch (r->bad) {
    case PB_FINE: return ERR_OK;
    case PB_BAD_END: err_set(e, ERR_INVALID, "truncated: the message ends inside a value"); break;
    case PB_BAD_VARINT: err_set(e, ERR_INVALID, "varint: expected at most 64 bits, got more"); break;
    case PB_BAD_NUMBER: err_set(e, ERR_INVALID, "tag: expected a field number in 1..%llu, got %llu", want, got); break;
    case PB_BAD_WIRE: err_set(e, ERR_INVALID, "tag: expected wire type 0..5, got %llu", got); break;
    case PB_BAD_LENGTH:
        err_set(e, ERR_INVALID, "length: expected at most the %llu bytes that follow, got %llu", want, got);
        break;
    case PB_BAD_GROUP:
        if (want) err_set(e, ERR_INVALID, "group end: expected field %llu, got field %llu", want, got);
        else err_set(e, ERR_INVALID, "group end: expected none, got field %llu", got);
        break;
    case PB_BAD_DEPTH: err_set(e, ERR_LIMIT, "groups: expected at most %llu levels, got %llu", want, got); break;
    case PB_BAD_TYPE: err_set(e, ERR_INVALID, "expected %s, got %s", type_name(want), type_name(got)); break;
    case PB_BAD_PACKED:
        err_set(e, ERR_INVALID, "packed: expected a multiple of %llu bytes, got %llu", want, got);
        break;
    case PB_BAD_TEXT: err_set(e, ERR_INVALID, "string: expected UTF-8, got other bytes"); break;
    }
    if (r->number) err_wrap(e, "field %u", r->number);
    return err_wrap(e, "%s: byte %zu", what, r->bad_at);
}

static bool is(pb *r, const pb_field *f, pb_type want)
{
    if (f->type == want) return true;
    r->number = f->number;
    return fail(r, PB_BAD_TYPE, f->p, want, f->type);
}

uint64_t pb_u64(pb *r, const pb_field *f) { return is(r, f, PB_VARINT) ? f->value : 0; }
int64_t pb_i64(pb *r, const pb_field *f) { return (int64_t)pb_u64(r, f); }
int32_t pb_i32(pb *r, const pb_field *f) { return (int32_t)(uint32_t)pb_u64(r, f); }
bool pb_bool(pb *r, const pb_field *f) { return pb_u64(r, f) != 0; }
uint32_t pb_fixed32(pb *r, const pb_field *f) { return is(r, f, PB_FIXED32) ? (uint32_t)f->value : 0; }
uint64_t pb_fixed64(pb *r, const pb_field *f) { return is(r, f, PB_FIXED64) ? f->value : 0; }

int64_t pb_sint(pb *r, const pb_field *f)
{
    uint64_t v = pb_u64(r, f);
    return (int64_t)((v >> 1) ^ -(v & 1));
}

float pb_f32(pb *r, const pb_field *f)
{
    uint32_t bits = pb_fixed32(r, f);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

double pb_f64(pb *r, const pb_field *f)
{
    uint64_t bits = pb_fixed64(r, f);
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

str pb_bytes(pb *r, const pb_field *f)
{
    if (!is(r, f, PB_BYTES)) return STR("");
    return (str){(const char *)f->p, f->len};
}

str pb_text(pb *r, const pb_field *f)
{
    str s = pb_bytes(r, f);
    if (str_utf8_ok(s)) return s;
    r->number = f->number;
    fail(r, PB_BAD_TEXT, f->p, 0, 0);
    return STR("");
}

pb pb_sub(pb *r, const pb_field *f)
{
    bool ok = is(r, f, PB_BYTES);
    return (pb){.base = r->base, .p = f->p, .end = ok ? f->p + f->len : f->p};
}

static size_t item_size(pb_type item)
{
    INVARIANT(item == PB_VARINT || item == PB_FIXED32 || item == PB_FIXED64);
    return item == PB_FIXED32 ? 4 : item == PB_FIXED64 ? 8 : 1;
}

pb pb_items(pb *r, const pb_field *f, pb_type item)
{
    size_t size = item_size(item);
    pb it = {.base = r->base, .p = f->p, .end = f->p, .number = f->number};
    if (f->type != item && !is(r, f, PB_BYTES)) return it;   /* an item on its own reads as a list of one */
    it.end += f->len;
    if (f->len % size) {
        r->number = f->number;
        fail(r, PB_BAD_PACKED, f->p, size, f->len);
        it.end = it.p;
    }
    return it;
}

bool pb_item(pb *it, pb_type item, uint64_t *ret)
{
    if (it->p == it->end) return false;
    return item == PB_VARINT ? varint(it, ret) : fixed(it, item_size(item), ret);
}

size_t pb_item_count(const pb *it, pb_type item)
{
    size_t len = (size_t)(it->end - it->p);
    if (item != PB_VARINT) return len / item_size(item);
    size_t count = 0;
    for (size_t i = 0; i < len; i++) count += it->p[i] < 0x80;
    return count;
}

size_t pb_varint_size(uint64_t v)
{
    size_t n = 1;
    for (; v >= 0x80; v >>= 7) n++;
    return n;
}

static size_t varint_write(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7) p[n++] = (uint8_t)(v | 0x80);
    p[n++] = (uint8_t)v;
    return n;
}

static void put(buf *b, uint32_t number, pb_type type, uint64_t v)
{
    INVARIANT(number >= 1 && number <= PB_NUMBER_MAX);
    uint8_t bytes[2 * PB_VARINT_MAX];
    size_t n = varint_write(bytes, (uint64_t)number << 3 | (uint64_t)type);
    if (type == PB_VARINT || type == PB_BYTES) {
        n += varint_write(bytes + n, v);
    } else {
        for (size_t size = item_size(type); size; size--, v >>= 8) bytes[n++] = (uint8_t)v;
    }
    buf_put(b, bytes, n);
}

void pb_put_u64(buf *b, uint32_t number, uint64_t v) { put(b, number, PB_VARINT, v); }
void pb_put_i64(buf *b, uint32_t number, int64_t v) { put(b, number, PB_VARINT, (uint64_t)v); }
void pb_put_bool(buf *b, uint32_t number, bool v) { put(b, number, PB_VARINT, v); }
void pb_put_fixed32(buf *b, uint32_t number, uint32_t v) { put(b, number, PB_FIXED32, v); }
void pb_put_fixed64(buf *b, uint32_t number, uint64_t v) { put(b, number, PB_FIXED64, v); }
void pb_put_head(buf *b, uint32_t number, size_t len) { put(b, number, PB_BYTES, len); }
void pb_put_str(buf *b, uint32_t number, str s) { pb_put_bytes(b, number, s.p, s.len); }

void pb_put_sint(buf *b, uint32_t number, int64_t v)
{
    put(b, number, PB_VARINT, (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0));
}

void pb_put_f32(buf *b, uint32_t number, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put(b, number, PB_FIXED32, bits);
}

void pb_put_f64(buf *b, uint32_t number, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    put(b, number, PB_FIXED64, bits);
}

void pb_put_bytes(buf *b, uint32_t number, const void *bytes, size_t len)
{
    pb_put_head(b, number, len);
    if (len) buf_put(b, bytes, len);
}

void pb_put_packed_i64(buf *b, uint32_t number, const int64_t *v, size_t count)
{
    size_t len = 0;
    if (!count) return;
    for (size_t i = 0; i < count; i++) len += pb_varint_size((uint64_t)v[i]);
    pb_put_head(b, number, len);
    uint8_t *p = buf_room(b, len);
    if (!p) return;
    for (size_t i = 0; i < count; i++) p += varint_write(p, (uint64_t)v[i]);
    b->len += len;
}

size_t pb_head_size(uint32_t number, size_t len) { return pb_varint_size((uint64_t)number << 3) + pb_varint_size(len); }

void pb_print_head(uint8_t *to, uint32_t number, size_t len)
{
    INVARIANT(number >= 1 && number <= PB_NUMBER_MAX);
    varint_write(to + varint_write(to, (uint64_t)number << 3 | (uint64_t)PB_BYTES), len);
}

size_t pb_open(buf *b, uint32_t number)
{
    pb_put_head(b, number, 0);
    return b->len;
}

void pb_close(buf *b, size_t opened)
{
    if (b->full) return;   /* what was opened may not be there */
    INVARIANT(opened >= 2 && opened <= b->len);
    size_t len = b->len - opened, more = pb_varint_size(len) - 1;
    if (more) {
        if (!buf_room(b, more)) return;
        memmove(b->p + opened + more, b->p + opened, len);
        b->len += more;
    }
    varint_write(b->p + opened - 1, len);
}
