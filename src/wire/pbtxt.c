#include "wire/pbtxt.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAMES_MAX = 64, SHOWN_MAX = 40 };

typedef struct {
    const char *file;
    arena *memory;
    const char *p, *end;
    uint32_t line, column;        /* of p */
    size_t depth;
} reader;

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int hex_digit(char c)
{
    if (is_digit(c)) return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool at(const reader *r, char c) { return r->p < r->end && *r->p == c; }

static void step(reader *r, size_t n)
{
    for (; n > 0; n--, r->p++) {
        if (*r->p == '\n') {
            r->line++;
            r->column = 1;
        } else if ((*r->p & 0xC0) != 0x80) {
            r->column++;
        }
    }
}

/* Blanks and comments. */
static void skip(reader *r)
{
    while (r->p < r->end) {
        size_t n = 0;
        if (*r->p == '#') {
            const char *eol = memchr(r->p, '\n', (size_t)(r->end - r->p));
            n = (size_t)((eol ? eol : r->end) - r->p);
        } else if (strchr(" \t\r\n\v\f", *r->p) && *r->p) {
            n = 1;
        }
        if (n == 0) return;
        step(r, n);
    }
}

static bool accept(reader *r, char c)
{
    skip(r);
    if (!at(r, c)) return false;
    step(r, 1);
    return true;
}

/* A name or a number at p, as far as it goes: "10foo" is one bad number. */
static str word(const reader *r)
{
    const char *p = r->p;
    bool hex = r->end - p > 1 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X');
    if (p == r->end || !(is_letter(*p) || is_digit(*p) || *p == '.')) return (str){p, 0};
    bool name = is_letter(*p);
    while (p < r->end && (is_letter(*p) || is_digit(*p) || (!name && *p == '.') ||
                          (!name && !hex && (*p == '+' || *p == '-') && (p[-1] == 'e' || p[-1] == 'E'))))
        p++;
    return (str){r->p, (size_t)(p - r->p)};
}

static err_code refuse(const reader *r, const char *what, err *e)
{
    return err_set(e, ERR_INVALID, "%s:%u:%u: %s", r->file, r->line, r->column, what);
}

/* "expected WHAT, got '...'", of what stands at p: a sign belongs to what follows. */
static err_code unexpected(const reader *r, const char *what, err *e)
{
    reader from = *r;
    if (at(r, '-') && accept(&from, '-')) skip(&from);
    str w = word(&from);
    const char *sign = w.len && at(r, '-') ? "-" : "";
    uint32_t code;
    size_t one = w.len == 0 && r->p < r->end ? str_utf8_step((str){r->p, (size_t)(r->end - r->p)}, &code) : 0;
    if (r->p == r->end)
        return err_set(e, ERR_INVALID, "%s:%u:%u: expected %s, got the end of the file", r->file, r->line, r->column,
                       what);
    if (w.len == 0 && (one == 0 || (one == 1 && (*r->p < ' ' || *r->p == 127))))
        return err_set(e, ERR_INVALID, "%s:%u:%u: expected %s, got byte 0x%02x", r->file, r->line, r->column, what,
                       (uint8_t)*r->p);
    if (w.len == 0) w = (str){r->p, one};
    return err_set(e, ERR_INVALID, "%s:%u:%u: expected %s, got '%s%.*s%s'", r->file, r->line, r->column, what,
                   sign, (int)(w.len < SHOWN_MAX ? w.len : SHOWN_MAX), w.p, w.len > SHOWN_MAX ? "..." : "");
}

static err_code no_memory(const reader *r, err *e)
{
    if (r->memory->starved) return err_set(e, ERR_NOMEM, "%s: no memory", r->file);
    return err_set(e, ERR_LIMIT, "%s:%u:%u: expected a file that fits %zu bytes of memory, got more", r->file, r->line,
                   r->column, r->memory->limit);
}

/* ---- scalars ---- */

static bool whole(str w, uint64_t *ret)
{
    bool hex = w.len > 2 && w.p[0] == '0' && (w.p[1] == 'x' || w.p[1] == 'X');
    bool octal = !hex && w.len > 1 && w.p[0] == '0';
    uint64_t v = 0;
    if (!hex && !octal) return str_u64(w, ret);
    for (size_t i = hex ? 2 : 1; i < w.len; i++) {
        int digit = hex_digit(w.p[i]);
        if (digit < 0 || (octal && digit > 7) || v >> (hex ? 60 : 61)) return false;
        v = (v << (hex ? 4 : 3)) | (uint64_t)digit;
    }
    *ret = v;
    return true;
}

/* Decimal only, with the suffix that C has; "007" is octal, which a real number cannot be. */
static bool real(str w, double *ret)
{
    if (str_is_nocase(w, "inf") || str_is_nocase(w, "infinity")) {
        *ret = INFINITY;
        return true;
    }
    if (str_is_nocase(w, "nan")) {
        *ret = NAN;
        return true;
    }
    if (w.len > 1 && w.p[0] == '0' && is_digit(w.p[1])) return false;
    if (w.len > 1 && (w.p[w.len - 1] == 'f' || w.p[w.len - 1] == 'F')) w.len--;
    return str_f64(w, ret);
}

static const char *const wanted[] = {
    [PBDEF_BOOL] = "true or false",
    [PBDEF_I32] = "a whole number from -2147483648 to 2147483647",
    [PBDEF_I64] = "a whole number of 64 bits",
    [PBDEF_U32] = "a whole number from 0 to 4294967295",
    [PBDEF_U64] = "a whole number from 0 to 18446744073709551615",
    [PBDEF_F32] = "a number of 32 bits",
    [PBDEF_F64] = "a number",
    [PBDEF_TEXT] = "a string in quotes",
    [PBDEF_ENUM] = "a name",
};

static err_code enum_wrong(const reader *r, const pbdef_enum *of, err *e)
{
    char what[320] = "one of ";
    size_t n = strlen(what);
    for (size_t i = 0; i < of->count && n < sizeof what; i++)
        n += (size_t)snprintf(what + n, sizeof what - n, i ? ", %s" : "%s", of->values[i].name);
    return unexpected(r, what, e);
}

static bool enum_read(const pbdef_enum *of, str w, bool minus, int64_t *ret)
{
    uint64_t n;
    for (size_t i = 0; i < of->count; i++) {
        bool number = whole(w, &n) && n <= INT32_MAX && of->values[i].number == (minus ? -(int64_t)n : (int64_t)n);
        if (number || (!minus && str_is(w, of->values[i].name))) {
            *ret = of->values[i].number;
            return true;
        }
    }
    return false;
}

static bool bool_read(str w, int64_t *ret)
{
    uint64_t n;
    bool yes = str_is(w, "true") || str_is(w, "True") || str_is(w, "t");
    bool no = str_is(w, "false") || str_is(w, "False") || str_is(w, "f");
    if (!yes && !no && !(whole(w, &n) && n <= 1)) return false;
    *ret = yes || (!no && n == 1);
    return true;
}

static bool whole_fits(pbdef_kind kind, uint64_t n, bool minus, pbtree *v)
{
    uint64_t most = kind == PBDEF_I32   ? INT32_MAX
                    : kind == PBDEF_I64 ? INT64_MAX
                    : kind == PBDEF_U32 ? UINT32_MAX
                                        : UINT64_MAX;
    bool is_signed = kind == PBDEF_I32 || kind == PBDEF_I64;
    if (minus) most = is_signed ? most + 1 : 0;
    if (n > most) return false;
    v->u64 = minus ? 0 - n : n;
    return true;
}

static err_code number_read(reader *r, pbtree *v, err *e)
{
    const reader start = *r;
    pbdef_kind kind = v->field->kind;
    bool minus = accept(r, '-'), ok;
    uint64_t n;
    skip(r);
    str w = word(r);
    if (kind == PBDEF_BOOL) ok = !minus && bool_read(w, &v->i64);
    else if (kind == PBDEF_ENUM) ok = enum_read(v->field->values, w, minus, &v->i64);
    else if (kind == PBDEF_F32 || kind == PBDEF_F64) {
        ok = real(w, &v->f64) && !(kind == PBDEF_F32 && isfinite(v->f64) && v->f64 > (double)FLT_MAX);
        if (ok && minus) v->f64 = -v->f64;
    } else {
        ok = whole(w, &n) && whole_fits(kind, n, minus, v);
    }
    if (!ok && kind == PBDEF_ENUM) return enum_wrong(minus ? &start : r, v->field->values, e);
    if (!ok) return unexpected(w.len && !minus ? r : &start, wanted[kind], e);
    step(r, w.len);
    return ERR_OK;
}

/* ---- strings ---- */

static bool at_quote(const reader *r) { return at(r, '"') || at(r, '\''); }

/* One literal, behind its closing quote afterwards. */
static err_code literal(reader *r, str *ret_raw, err *e)
{
    char quote = *r->p;
    const char *p = r->p + 1;
    while (p < r->end && *p != quote && *p != '\n') p += *p == '\\' && r->end - p > 1 && p[1] != '\n' ? 2 : 1;
    if (p >= r->end || *p != quote) return refuse(r, "expected a string that ends on its line", e);
    *ret_raw = (str){r->p + 1, (size_t)(p - r->p) - 1};
    step(r, (size_t)(p - r->p) + 1);
    return ERR_OK;
}

/* At most `most` digits of a base behind an escape; how many there were. */
static size_t escape_number(str raw, size_t from, size_t most, int base, uint32_t *ret)
{
    size_t n = 0;
    *ret = 0;
    for (int d; n < most && from + n < raw.len && (d = hex_digit(raw.p[from + n])) >= 0 && d < base; n++)
        *ret = *ret * (uint32_t)base + (uint32_t)d;
    return n;
}

/* \u and \U, at raw[i]; bytes taken, 0 = malformed. */
static size_t escape_unicode(str raw, size_t i, char *to, size_t *n)
{
    uint32_t code, low;
    size_t digits = raw.p[i] == 'u' ? 4 : 8, taken = 1 + digits;
    if (escape_number(raw, i + 1, digits, 16, &code) != digits) return 0;
    if (code >= 0xD800 && code < 0xDC00 && raw.len - i > taken + 5 && raw.p[i + taken] == '\\' &&
        raw.p[i + taken + 1] == 'u' && escape_number(raw, i + taken + 2, 4, 16, &low) == 4 && low >= 0xDC00 &&
        low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        taken += 6;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return 0;
    *n += str_utf8_put(to + *n, code);
    return taken;
}

/* What follows a backslash, at raw[i]; bytes taken, 0 = malformed. */
static size_t escape(str raw, size_t i, char *to, size_t *n)
{
    static const char names[] = "abfnrtv?\\'\"", bytes[] = "\a\b\f\n\r\t\v?\\'\"";
    char c = raw.p[i];
    uint32_t code;
    size_t digits;
    const char *simple = c ? strchr(names, c) : NULL;
    if (simple) {
        to[(*n)++] = bytes[simple - names];
        return 1;
    }
    if (c == 'u' || c == 'U') return escape_unicode(raw, i, to, n);
    bool hex = c == 'x' || c == 'X';
    digits = hex ? escape_number(raw, i + 1, 2, 16, &code) : escape_number(raw, i, 3, 8, &code);
    if (digits == 0 || code > 255) return 0;
    to[(*n)++] = (char)code;
    return digits + hex;
}

static err_code decode(const reader *start, str raw, char *to, size_t *n, err *e)
{
    for (size_t i = 0; i < raw.len;) {
        if (raw.p[i] != '\\') {
            to[(*n)++] = raw.p[i++];
            continue;
        }
        size_t taken = i + 1 < raw.len ? escape(raw, i + 1, to, n) : 0;
        if (taken == 0) {
            reader here = *start;
            step(&here, (size_t)(raw.p + i - here.p));
            return refuse(&here, "expected one of the escapes \\a \\b \\f \\n \\r \\t \\v \\? \\\\ \\' \\\" "
                                 "\\123 \\x41 \\u0041 \\U00000041", e);
        }
        i += 1 + taken;
    }
    return ERR_OK;
}

/* One string of literals that stand side by side. */
static err_code text_read(reader *r, pbtree *v, err *e)
{
    const reader start = *r;
    reader scan = *r;
    size_t bytes = 0, n = 0;
    str raw;
    err_code rc = ERR_OK;
    if (!at_quote(r)) return unexpected(r, wanted[PBDEF_TEXT], e);
    for (; at_quote(&scan); skip(&scan)) {
        if ((rc = literal(&scan, &raw, e)) != ERR_OK) return rc;
        bytes += raw.len;
    }
    char *to = arena_push_raw(r->memory, bytes + 1, 1);
    if (!to) return no_memory(r, e);
    while (at_quote(r)) {
        const reader here = *r;
        if ((rc = literal(r, &raw, e)) != ERR_OK) return rc;
        if ((rc = decode(&here, raw, to, &n, e)) != ERR_OK) return rc;
        if (r->p < scan.p) skip(r);
    }
    to[n] = 0;
    v->text = (str){to, n};
    if (memchr(to, 0, n)) return refuse(&start, "expected a string without NUL", e);
    return str_utf8_ok(v->text) ? ERR_OK : refuse(&start, "expected a string of UTF-8", e);
}

/* ---- fields ---- */

static err_code fields_read(reader *r, pbtree *m, char close, err *e);

static err_code message_read(reader *r, pbtree *m, const pbdef_field *f, err *e)
{
    const reader start = *r;
    char close = at(r, '{') ? '}' : at(r, '<') ? '>' : 0;
    if (!close) {
        char what[96];
        snprintf(what, sizeof what, "'{' for '%s', which is a message", f->name);
        return unexpected(r, what, e);
    }
    if (r->depth == PBTXT_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "%s:%u:%u: expected messages at most %d deep, got more", r->file, r->line,
                       r->column, PBTXT_DEPTH_MAX);
    step(r, 1);
    pbtree *v = pbtree_add(r->memory, m, f);
    if (!v) return no_memory(r, e);
    v->line = start.line;
    v->column = start.column;
    r->depth++;
    err_code rc = fields_read(r, v, close, e);
    r->depth--;
    return rc;
}

static err_code value_read(reader *r, pbtree *m, const pbdef_field *f, err *e)
{
    skip(r);
    if (f->kind == PBDEF_MESSAGE) return message_read(r, m, f, e);
    pbtree *v = pbtree_add(r->memory, m, f);
    if (!v) return no_memory(r, e);
    v->line = r->line;
    v->column = r->column;
    return f->kind == PBDEF_TEXT ? text_read(r, v, e) : number_read(r, v, e);
}

/* Behind its '['. */
static err_code list_read(reader *r, pbtree *m, const pbdef_field *f, err *e)
{
    if (accept(r, ']')) return ERR_OK;
    for (;;) {
        err_code rc = value_read(r, m, f, e);
        if (rc) return rc;
        if (accept(r, ']')) return ERR_OK;
        if (!accept(r, ',')) return unexpected(r, "',' or ']'", e);
    }
}

static err_code unknown(const reader *r, const pbdef *def, str name, err *e)
{
    const char *names[NAMES_MAX];
    size_t n = def->count < NAMES_MAX ? def->count : NAMES_MAX;
    for (size_t i = 0; i < n; i++) names[i] = def->fields[i].name;
    const char *near = str_nearest(name, names, n);
    return err_set(e, ERR_INVALID, "%s:%u:%u: unknown field '" STR_FMT "'%s%s%s%s", r->file, r->line, r->column,
                   STR_ARG(name), near ? ", did you mean '" : " of ", near ? near : def->name, near ? "'" : "",
                   near ? "?" : "");
}

/* [pkg.extension] and [type.url/pkg.Any]. */
static err_code extension(const reader *r, err *e)
{
    const char *p = r->p;
    while (p < r->end && *p != ']' && *p > ' ' && *p < 127 && p - r->p < SHOWN_MAX) p++;
    return err_set(e, ERR_INVALID, "%s:%u:%u: expected a field name, got the extension '%.*s%s'", r->file, r->line,
                   r->column, (int)(p - r->p), r->p, p < r->end && *p == ']' ? "]" : "...");
}

/* May this field be given now, after what the message has? */
static err_code once(const reader *r, const pbtree *m, const pbdef_field *f, err *e)
{
    const pbtree_list *own = pbtree_values(m, f->name);
    if (!f->repeated && own->count)
        return err_set(e, ERR_INVALID, "%s:%u:%u: expected '%s' once, got it again after line %u", r->file, r->line,
                       r->column, f->name, own->first->line);
    for (size_t i = 0; f->oneof && i < m->def->count; i++) {
        if (m->def->fields[i].oneof != f->oneof || m->fields[i].count == 0) continue;
        return err_set(e, ERR_INVALID, "%s:%u:%u: expected one of '%s' and '%s', got both", r->file, r->line, r->column,
                       m->def->fields[i].name, f->name);
    }
    return ERR_OK;
}

static err_code field_read(reader *r, pbtree *m, err *e)
{
    if (at(r, '[')) return extension(r, e);
    str name = word(r);
    if (name.len == 0 || !is_letter(name.p[0])) return unexpected(r, "a field name", e);
    const pbdef_field *f = pbtree_field(m->def, name);
    if (!f) return unknown(r, m->def, name, e);
    err_code rc = once(r, m, f, e);
    if (rc) return rc;
    step(r, name.len);
    bool colon = accept(r, ':');
    skip(r);
    if (!colon && f->kind != PBDEF_MESSAGE) return unexpected(r, "':'", e);
    if (!at(r, '[')) return value_read(r, m, f, e);
    if (!f->repeated) {
        char what[96];
        snprintf(what, sizeof what, "one value, as '%s' is no list", f->name);
        return unexpected(r, what, e);
    }
    step(r, 1);
    return list_read(r, m, f, e);
}

/* Up to `close`, or with 0 to the end. */
static err_code fields_read(reader *r, pbtree *m, char close, err *e)
{
    char what[48];
    for (;;) {
        skip(r);
        if (r->p == r->end && close) {
            snprintf(what, sizeof what, "'%c' for line %u", close, m->line);
            return unexpected(r, what, e);
        }
        if (r->p == r->end || at(r, close ? close : '\n')) break;
        err_code rc = field_read(r, m, e);
        if (rc) return rc;
        if (!accept(r, ',')) (void)accept(r, ';');
    }
    if (close) step(r, 1);
    for (size_t i = 0; i < m->def->count; i++) {
        const pbdef_field *f = &m->def->fields[i];
        if (f->kind == PBDEF_MESSAGE && f->message->map_entry && !pbtree_map_settle(r->memory, m, f))
            return err_set(e, ERR_NOMEM, "%s: no memory for '%s'", r->file, f->name);
    }
    return ERR_OK;
}

err_code pbtxt_parse(str text, const char *file, const pbdef *def, arena *a, pbtree **ret, err *e)
{
    reader r = {.file = file, .memory = a, .p = text.p, .end = text.p + text.len, .line = 1, .column = 1};
    if (text.len > PBTXT_BYTES_MAX)
        return err_set(e, ERR_LIMIT, "%s: expected at most %d bytes, got %zu", file, PBTXT_BYTES_MAX, text.len);
    pbtree *m = pbtree_new(a, def);
    if (!m) return no_memory(&r, e);
    err_code rc = fields_read(&r, m, 0, e);
    if (rc == ERR_OK) *ret = m;
    return rc;
}
