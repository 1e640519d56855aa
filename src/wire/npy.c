#include "wire/npy.h"

#include <string.h>

static const char magic[] = "\x93NUMPY";
enum {
    MAGIC = sizeof magic - 1,
    ALIGN = 64,               /* the header is padded so that data can be mapped */
    ESCAPE = 0xDC00           /* + a byte over 0x7F that is part of no character: Python's "surrogateescape" */
};

/* What is left of the header: a Python literal, {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
typedef struct { const char *p, *end; } text;

static void blanks(text *t)
{
    while (t->p < t->end && (*t->p == ' ' || *t->p == '\n' || *t->p == '\t' || *t->p == '\r')) t->p++;
}

static bool take(text *t, const char *word)
{
    size_t n = strlen(word);
    blanks(t);
    if ((size_t)(t->end - t->p) < n || memcmp(t->p, word, n) != 0) return false;
    t->p += n;
    return true;
}

/* A literal without escapes, as all of a header's are. */
static bool take_string(text *t, str *ret)
{
    blanks(t);
    if (t->p == t->end || (*t->p != '\'' && *t->p != '"')) return false;
    const char *first = t->p + 1, *close = memchr(first, *t->p, (size_t)(t->end - first));
    if (!close) return false;
    *ret = (str){first, (size_t)(close - first)};
    t->p = close + 1;
    return true;
}

static bool take_number(text *t, uint64_t *ret)
{
    blanks(t);
    const char *first = t->p;
    while (t->p < t->end && *t->p >= '0' && *t->p <= '9') t->p++;
    if (!str_u64((str){first, (size_t)(t->p - first)}, ret)) return false;
    if (t->p < t->end && *t->p == 'L') t->p++;   /* Python 2 wrote long integers so */
    return true;
}

static err_code descr(text *t, npy *a, err *e)
{
    str s;
    uint64_t n;
    blanks(t);
    if (t->p < t->end && *t->p == '[')
        return err_set(e, ERR_UNSUPPORTED, "npy: descr: expected one element type, got a structure");
    if (!take_string(t, &s)) return err_set(e, ERR_INVALID, "npy: descr: expected a string");
    if (s.len < 2 || !memchr("<>|=", s.p[0], 4))
        return err_set(e, ERR_INVALID, "npy: descr: expected a type such as '<f4', got '" STR_FMT "'", STR_ARG(s));
    if (s.p[1] == 'O')
        return err_set(e, ERR_UNSUPPORTED, "npy: descr: expected numbers or text, got pickled objects: save strings "
                       "with dtype=str");
    if (!memchr("biufcSUV", s.p[1], 8) || !str_u64((str){s.p + 2, s.len - 2}, &n) || n > SIZE_MAX / 8)
        return err_set(e, ERR_UNSUPPORTED, "npy: descr: expected a number or text type, got '" STR_FMT "'", STR_ARG(s));
    a->kind = s.p[1];
    a->item_bytes = (size_t)n * (a->kind == 'U' ? 4 : 1);
    if (s.p[0] == '>' && a->item_bytes > 1 && a->kind != 'S')
        return err_set(e, ERR_UNSUPPORTED, "npy: descr: expected little-endian data, got '" STR_FMT "'", STR_ARG(s));
    return ERR_OK;
}

static err_code shape(text *t, npy *a, err *e)
{
    if (!take(t, "(")) return err_set(e, ERR_INVALID, "npy: shape: expected a tuple");
    a->rank = 0;
    while (!take(t, ")")) {
        if (a->rank == NPY_RANK_MAX)
            return err_set(e, ERR_INVALID, "npy: shape: expected at most %d dimensions, got more", NPY_RANK_MAX);
        if (!take_number(t, &a->dims[a->rank++])) return err_set(e, ERR_INVALID, "npy: shape: expected integers");
        if (take(t, ",")) continue;
        if (!take(t, ")")) return err_set(e, ERR_INVALID, "npy: shape: expected ',' or ')'");
        break;
    }
    a->count = 1;
    bool zero = false, over = false;
    for (size_t i = 0; i < a->rank; i++) {
        zero |= a->dims[i] == 0;
        over |= __builtin_mul_overflow(a->count, a->dims[i], &a->count);
    }
    if (zero) a->count = 0;
    if (over && !zero) return err_set(e, ERR_INVALID, "npy: shape: more elements than 64 bits can count");
    return ERR_OK;
}

static err_code fortran_order(text *t, npy *a, err *e)
{
    a->fortran = take(t, "True");
    if (a->fortran || take(t, "False")) return ERR_OK;
    return err_set(e, ERR_INVALID, "npy: fortran_order: expected True or False");
}

static err_code header(text t, npy *a, err *e)
{
    static const struct {
        const char *key;
        err_code (*read)(text *t, npy *a, err *e);
    } keys[] = {{"descr", descr}, {"fortran_order", fortran_order}, {"shape", shape}};
    static const char all[] = "descr, fortran_order and shape";
    unsigned seen = 0;
    if (!take(&t, "{")) return err_set(e, ERR_INVALID, "npy: header: expected a dictionary");
    while (!take(&t, "}")) {
        str key;
        size_t k = 0;
        if (!take_string(&t, &key) || !take(&t, ":"))
            return err_set(e, ERR_INVALID, "npy: header: expected 'key': value");
        while (k < COUNTOF(keys) && !str_is(key, keys[k].key)) k++;
        if (k == COUNTOF(keys) || seen >> k & 1)
            return err_set(e, ERR_INVALID, "npy: header: expected %s once, got '" STR_FMT "'", all, STR_ARG(key));
        seen |= 1u << k;
        err_code rc = keys[k].read(&t, a, e);
        if (rc) return rc;
        if (!take(&t, ",") && (blanks(&t), t.p == t.end || *t.p != '}'))
            return err_set(e, ERR_INVALID, "npy: header: expected ',' or '}'");
    }
    blanks(&t);
    if (t.p < t.end || seen != 7) return err_set(e, ERR_INVALID, "npy: header: expected %s", all);
    return ERR_OK;
}

err_code npy_parse(str file, npy *ret, str *ret_data, err *e)
{
    const uint8_t *p = (const uint8_t *)file.p;
    npy a = {0};
    if (file.len < 12 || memcmp(file.p, magic, MAGIC) != 0)
        return err_set(e, ERR_INVALID, "npy: expected a .npy file, got other bytes");
    if (p[6] < 1 || p[6] > 3) return err_set(e, ERR_UNSUPPORTED, "npy: version: expected 1 to 3, got %u", p[6]);
    size_t at = p[6] == 1 ? 10 : 12, len = (size_t)p[8] | (size_t)p[9] << 8;
    if (p[6] > 1) len |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (len > NPY_HEADER_MAX || len > file.len - at)
        return err_set(e, ERR_INVALID, "npy: header: expected at most %zu bytes, got %zu",
                       file.len - at < NPY_HEADER_MAX ? file.len - at : (size_t)NPY_HEADER_MAX, len);
    err_code rc = header((text){file.p + at, file.p + at + len}, &a, e);
    if (rc) return rc;
    uint64_t bytes, have = file.len - at - len;
    if (__builtin_mul_overflow(a.count, (uint64_t)a.item_bytes, &bytes) || bytes != have)
        return err_set(e, ERR_INVALID, "npy: data: expected %llu elements of %zu bytes, got %llu bytes",
                       (unsigned long long)a.count, a.item_bytes, (unsigned long long)have);
    *ret = a;
    *ret_data = (str){file.p + at + len, (size_t)have};
    return ERR_OK;
}

void npy_put_header(buf *b, const npy *a)
{
    size_t start = b->len;
    INVARIANT(memchr("biufcSUV", a->kind, 8) && !a->fortran && a->rank <= NPY_RANK_MAX);
    buf_put(b, magic, MAGIC);
    buf_put(b, "\1\0\0\0", 4);   /* version 1.0, the length comes below: 64 dimensions take 1.4 kB */
    size_t n = a->kind == 'U' ? a->item_bytes / 4 : a->item_bytes;
    char order = a->kind == 'U' || (n > 1 && a->kind != 'S' && a->kind != 'V') ? '<' : '|';
    buf_printf(b, "{'descr': '%c%c%zu', 'fortran_order': False, 'shape': (", order, a->kind, n);
    for (size_t i = 0; i < a->rank; i++)
        buf_printf(b, "%s%llu", i ? ", " : "", (unsigned long long)a->dims[i]);
    buf_put_z(b, a->rank == 1 ? ",), }" : "), }");
    while (!b->full && (b->len - start + 1) % ALIGN) buf_put_byte(b, ' ');
    buf_put_byte(b, '\n');
    if (b->full) return;
    size_t len = b->len - start - MAGIC - 4;
    b->p[start + 8] = (uint8_t)len;
    b->p[start + 9] = (uint8_t)(len >> 8);
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

/* A cell of code points as UTF-8, at most as many bytes as the cell has; the code point that is none, or 0. */
static uint32_t cell_read(const char *cell, size_t bytes, char *to, size_t *ret_len)
{
    size_t len = 0;
    for (size_t i = 0; i < bytes; i += 4) {
        uint32_t c;
        memcpy(&c, cell + i, 4);
        if (c >= ESCAPE + 0x80 && c <= ESCAPE + 0xFF) to[len++] = (char)(c - ESCAPE);
        else if ((c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF) return c;
        else len += str_utf8_put(to + len, c);
    }
    *ret_len = len;
    return 0;
}

err_code npy_text_read(str **ret, const npy *a, str data, arena *m, err *e)
{
    const size_t unit = a->kind == 'U' ? 4 : 1, width = a->item_bytes;
    INVARIANT((a->kind == 'U' || a->kind == 'S') && data.len == a->count * width);
    if (!width && a->count > NPY_EMPTY_MAX)
        return err_set(e, ERR_LIMIT, "npy: data: expected at most %d strings of width 0, got %llu", NPY_EMPTY_MAX,
                       (unsigned long long)a->count);
    str *s = arena_new(m, str, a->count);
    char *to = arena_push_raw(m, data.len, 1);
    if ((a->count && !s) || (data.len && !to))
        return err_set(e, ERR_NOMEM, "npy: no memory for %llu strings", (unsigned long long)a->count);
    for (uint64_t i = 0; i < a->count; i++) {
        const char *cell = data.p + i * width;
        size_t bytes = width, len = 0;
        while (bytes && !memcmp(cell + bytes - unit, "\0\0\0", unit)) bytes -= unit;
        uint32_t bad = a->kind == 'U' ? cell_read(cell, bytes, to, &len) : 0;
        if (bad)
            return err_set(e, ERR_INVALID, "npy: string %llu: expected Unicode characters, got U+%04X",
                           (unsigned long long)i, bad);
        if (a->kind == 'S' && bytes) memcpy(to, cell, len = bytes);
        s[i] = (str){len ? to : "", len};
        to += len;
    }
    *ret = s;
    return ERR_OK;
}

/* Past the code point that s opens with; a byte that is part of none is its escape. */
static size_t step(str s, size_t at, uint32_t *ret)
{
    size_t n = str_utf8_step((str){s.p + at, s.len - at}, ret);
    if (n) return at + n;
    *ret = ESCAPE + (uint8_t)s.p[at];
    return at + 1;
}

void npy_put_text(buf *b, npy *a, const str *s)
{
    uint32_t c;
    size_t longest = 1;   /* NumPy, too, writes empty strings one wide */
    for (uint64_t i = 0; i < a->count; i++) {
        size_t n = 0;
        for (size_t at = 0; at < s[i].len; n++) at = step(s[i], at, &c);
        if (n > longest) longest = n;
    }
    a->kind = 'U';
    a->item_bytes = longest * 4;
    npy_put_header(b, a);
    for (uint64_t i = 0; i < a->count; i++) {
        uint8_t *to = buf_room(b, a->item_bytes);
        if (!to) return;
        memset(to, 0, a->item_bytes);
        for (size_t at = 0; at < s[i].len; to += 4) {
            at = step(s[i], at, &c);
            memcpy(to, &c, 4);
        }
        b->len += a->item_bytes;
    }
}
