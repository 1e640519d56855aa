#include "wire/json_array.h"

#include "wire/base64.h"
#include "wire/decimal.h"
#include "wire/digits.h"
#include "wire/json_mask.h"
#include "wire/json_text.h"

#include <stdio.h>
#include <string.h>

typedef enum {
    BAD_VALUE, BAD_RANGE, BAD_COUNT, BAD_COMMA, BAD_RAGGED_LENGTH, BAD_RAGGED_DEPTH, BAD_RANK, BAD_END, BAD_TEXT,
    BAD_BASE64, BAD_MEMORY
} bad_kind;

enum {
    ROW_SHORT = 8,              /* elements read before it pays to look ahead, */
    WINDOW = 512                /* so many bytes at once */
};

typedef struct {
    const char *p, *end;            /* end[-1] is ']', which stops every loop over digits, letters and blanks */
    json_elem elem;
    uint8_t *to;
    arena *strings;
    size_t count, count_max;
    size_t depth, rank;             /* arrays open now, and at most so far */
    bool leaf;                      /* an element was seen, so rank is final */
    bool b64;
    bool dim_known[JSON_RANK_MAX];
    bad_kind bad;
    const char *bad_at;
    uint64_t dims[JSON_RANK_MAX];   /* up to rank, once known */
    uint64_t index[JSON_RANK_MAX];  /* of the value being read, per open array */
} scan;

typedef const char *row_fn(scan *s, const char *p);
static row_fn row_bool, row_u8, row_u16, row_u32, row_u64, row_i8, row_i16, row_i32, row_i64, row_f16, row_bf16,
    row_f32, row_f64, row_bytes;

static const struct {
    const char *name, *wants;
    size_t size;
    row_fn *row;
} elems[] = {
    [JSON_BOOL] = {"BOOL", "true or false", 1, row_bool},
    [JSON_U8] = {"UINT8", "an integer in 0..255", 1, row_u8},
    [JSON_U16] = {"UINT16", "an integer in 0..65535", 2, row_u16},
    [JSON_U32] = {"UINT32", "an integer in 0..4294967295", 4, row_u32},
    [JSON_U64] = {"UINT64", "an integer in 0..18446744073709551615", 8, row_u64},
    [JSON_I8] = {"INT8", "an integer in -128..127", 1, row_i8},
    [JSON_I16] = {"INT16", "an integer in -32768..32767", 2, row_i16},
    [JSON_I32] = {"INT32", "an integer in -2147483648..2147483647", 4, row_i32},
    [JSON_I64] = {"INT64", "an integer in -9223372036854775808..9223372036854775807", 8, row_i64},
    [JSON_F16] = {"FP16", "a number within +-65504", 2, row_f16},
    [JSON_BF16] = {"BF16", "a number within +-3.3895314e38", 2, row_bf16},
    [JSON_F32] = {"FP32", "a number within +-3.4028235e38", 4, row_f32},
    [JSON_F64] = {"FP64", "a number within +-1.7976931348623157e308", 8, row_f64},
    [JSON_BYTES] = {"BYTES", "a string", sizeof(str), row_bytes},
};
_Static_assert(COUNTOF(elems) == JSON_ELEMS, "a row per element type");

size_t json_elem_size(json_elem elem)
{
    INVARIANT(elem < JSON_ELEMS);
    return elems[elem].size;
}

const char *json_elem_name(json_elem elem)
{
    INVARIANT(elem < JSON_ELEMS);
    return elems[elem].name;
}

size_t json_array_bound(str json)
{
    size_t commas = 0, i = 0;
    /* Counting in bytes, 64 at a time, is what compilers turn into vector code. */
    for (; json.len - i >= 64; i += 64) {
        uint8_t n = 0;
        for (size_t j = 0; j < 64; j++) n = (uint8_t)(n + (json.p[i + j] == ','));
        commas += n;
    }
    for (; i < json.len; i++) commas += json.p[i] == ',';
    return commas + 1;
}

/* -- Elements -------------------------------------------------------------------------------------------------- */

static const char *fail(scan *s, bad_kind bad, const char *at)
{
    s->bad = bad;
    s->bad_at = at;
    return NULL;
}

static inline bool blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static inline const char *blanks(const char *p)
{
    while (blank(*p)) p++;
    return p;
}

static inline bool digit(char c) { return (uint8_t)(c - '0') < 10; }

/* An integer whose magnitude is at most `most`, or one more below zero: -0 is 0, and nothing but digits is allowed. */
static inline const char *integer(scan *s, const char *p, uint64_t most, bool with_sign, uint64_t *ret)
{
    const char *at = p, *first;
    bool minus = *p == '-', over = false;
    uint64_t v = 0;
    p += minus;
    first = p;
    if (!digit(*p)) return fail(s, BAD_VALUE, at);
    for (; digit(*p); p++) {
        /* 19 digits always fit; the rare rest is checked one by one. */
        if (p - first >= 19 && __builtin_mul_overflow(v, (uint64_t)10, &v)) over = true;
        else if (p - first < 19) v *= 10;
        over |= __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v);
    }
    if ((*first == '0' && p > first + 1) || *p == '.' || (*p | 0x20) == 'e') return fail(s, BAD_VALUE, at);
    if (over || v > most + (minus && with_sign) || (minus && !with_sign && v)) return fail(s, BAD_RANGE, at);
    *ret = minus ? 0 - v : v;
    return p;
}

/* Clients send booleans as true and false, and as 1 and 0. */
static inline const char *read_bool(scan *s, const char *p, uint8_t *ret)
{
    const char *at = p;
    *ret = *p == 't' || *p == '1';
    if (*p == '0' || *p == '1') {
        p++;
        return digit(*p) || *p == '.' || (*p | 0x20) == 'e' ? fail(s, BAD_VALUE, at) : p;
    }
    for (const char *word = *ret ? "true" : "false"; *word; word++, p++) {
        if (*p != *word) return fail(s, BAD_VALUE, at);
    }
    return p;
}

/* What is no number, of a floating type: the bytes of a NaN or an infinity. */
static __attribute__((noinline, cold)) const char *read_word(scan *s, const char *p, const decimal_format *f, void *ret)
{
    uint64_t bits;
    const char *next = decimal_word_scan(p, f, &bits);
    if (!next) return fail(s, BAD_VALUE, p);
    memcpy(ret, &bits, elems[s->elem].size);   /* the low bytes come first */
    return next;
}

static inline const char *read_f32(scan *s, const char *p, uint32_t *ret)
{
    decimal d;
    const char *next = decimal_scan(p, s->end, &d);
    if (!next) return read_word(s, p, &decimal_f32, ret);
    return decimal_f32_bits(&d, ret) ? next : fail(s, BAD_RANGE, p);
}

static inline const char *read_f64(scan *s, const char *p, uint64_t *ret)
{
    decimal d;
    const char *next = decimal_scan(p, s->end, &d);
    if (!next) return read_word(s, p, &decimal_f64, ret);
    return decimal_f64_bits(&d, ret) ? next : fail(s, BAD_RANGE, p);
}

static const char *read_half(scan *s, const char *p, const decimal_format *f, uint16_t *ret)
{
    decimal d;
    uint64_t bits;
    const char *next = decimal_scan(p, s->end, &d);
    if (!next) return read_word(s, p, f, ret);
    if (!decimal_bits(&d, f, &bits)) return fail(s, BAD_RANGE, p);
    *ret = (uint16_t)bits;
    return next;
}

static const char *read_f16(scan *s, const char *p, uint16_t *ret) { return read_half(s, p, &decimal_f16, ret); }
static const char *read_bf16(scan *s, const char *p, uint16_t *ret) { return read_half(s, p, &decimal_bf16, ret); }

static const char *read_text(scan *s, const char *p, str *ret)
{
    bool escaped;
    if (*p != '"') return fail(s, BAD_VALUE, p);
    const char *close = json_text_end(p + 1, s->end, &escaped);
    if (!close) return fail(s, BAD_TEXT, p);
    str raw = {p + 1, (size_t)(close - p - 1)};
    if (!escaped) {
        if (!json_text_plain_ok(raw)) return fail(s, BAD_TEXT, p);
        *ret = raw;
        return close + 1;
    }
    char *text = arena_push_raw(s->strings, raw.len, 1);
    if (!text) return fail(s, BAD_MEMORY, p);
    if (!json_text_decode(raw, text, &raw.len)) return fail(s, BAD_TEXT, p);
    *ret = (str){text, raw.len};
    return close + 1;
}

/* {"b64": "..."}, and nothing else in it. */
static const char *read_b64(scan *s, const char *p, str *ret)
{
    static const char key[] = "\"b64\"";
    const char *at = p;
    str text;
    size_t wrong;
    p = blanks(p + 1);
    if ((size_t)(s->end - p) < sizeof key || memcmp(p, key, sizeof key - 1) != 0) return fail(s, BAD_VALUE, at);
    p = blanks(p + sizeof key - 1);
    if (*p != ':') return fail(s, BAD_VALUE, at);
    p = read_text(s, blanks(p + 1), &text);
    if (!p) return NULL;
    p = blanks(p);
    if (*p != '}') return fail(s, BAD_VALUE, at);
    uint8_t *bytes = arena_push_raw(s->strings, base64_room(text.len), 1);
    if (!bytes) return fail(s, BAD_MEMORY, at);
    if (!base64_read(text, bytes, &ret->len, &wrong)) return fail(s, BAD_BASE64, at);
    ret->p = (const char *)bytes;
    return p + 1;
}

static const char *read_bytes(scan *s, const char *p, str *ret)
{
    return *p == '{' && s->b64 ? read_b64(s, p, ret) : read_text(s, p, ret);
}

/* -- Elements whose end is known ------------------------------------------------------------------------------- */

/* Writes a number that is written as most are - 1 to 7 digits, perhaps a point and more, 19 in all - as w, of which
 * `decimals` follow the point.  `past` is the comma behind it; DIGITS_BYTES may be read from there.  False = it is
 * written otherwise, or is no number.  Never inlined: with gcc 12 that doubles what a number costs. */
static __attribute__((noinline)) bool known_digits(const char *p, const char *past, uint64_t *ret_w,
                                                   size_t *ret_decimals)
{
    size_t whole = 1;
    uint64_t w = (uint8_t)(*p - '0'), v;
    *ret_decimals = 0;
    if (w > 9) return false;
    if (p[1] != '.') {   /* the one guess: data of one scale has it right nearly always */
        v = digits_load(p);
        whole = digits_count(v);
        if (whole > 7 || (w == 0 && whole > 1)) return false;
        *ret_w = w = digits_value(digits_last(v, whole));
        if (p + whole == past) return true;
        if (p[whole] != '.') return false;
    }
    p += whole + 1;
    size_t n = (size_t)(past - p);
    *ret_decimals = n;
    if (!n || whole + n > 19) return false;
    for (; n > 8; n -= 8, p += 8) {
        v = digits_load(p);
        if (!digits_all(v)) return false;
        w = w * digits_ten[8] + digits_value(v);
    }
    v = digits_last(digits_load(p), n);
    *ret_w = w * digits_ten[n] + digits_value(v);
    return digits_all(v);
}

static bool known_long_f64(uint64_t w, size_t decimals, uint64_t minus, uint64_t *ret)
{
    return decimal_f64_bits(&(const decimal){.w = w, .exp10 = -(int64_t)decimals, .minus = minus}, ret);
}

static bool known_long_f32(uint64_t w, size_t decimals, uint64_t minus, uint32_t *ret)
{
    return decimal_f32_bits(&(const decimal){.w = w, .exp10 = -(int64_t)decimals, .minus = minus}, ret);
}

/* Both exact as float64, so that it rounds once. */
static inline double known_quotient(uint64_t w, size_t decimals) { return (double)(int64_t)w / decimal_ten[decimals]; }

static inline bool known_f64(const char *p, const char *past, uint64_t *ret)
{
    uint64_t w, minus = *p == '-';
    size_t decimals;
    if (!known_digits(p + minus, past, &w, &decimals)) return false;
    if (w > DECIMAL_EXACT_MAX) return known_long_f64(w, decimals, minus, ret);
    double v = known_quotient(w, decimals);
    memcpy(ret, &v, sizeof v);
    *ret |= minus << 63;
    return true;
}

/* Rounding twice goes wrong only where the first rounding made a half-way point. */
static inline bool known_f32(const char *p, const char *past, uint32_t *ret)
{
    enum { HALF = 0x10000000, BELOW = 0x1fffffff };   /* of the 29 bits that float32 has not */
    uint64_t w, minus = *p == '-', bits;
    size_t decimals;
    if (!known_digits(p + minus, past, &w, &decimals)) return false;
    double v = known_quotient(w, decimals);
    memcpy(&bits, &v, sizeof bits);
    if (w > DECIMAL_EXACT_MAX || (bits & BELOW) == HALF) return known_long_f32(w, decimals, minus, ret);
    float narrow = (float)v;   /* zero, or within 1e-18..1e16 */
    memcpy(ret, &narrow, sizeof narrow);
    *ret |= (uint32_t)(minus << 31);
    return true;
}

/* Integers of up to 8 digits. */
static inline bool known_integer(const char *p, const char *past, uint64_t most, bool with_sign, uint64_t *ret)
{
    bool minus = *p == '-';
    p += minus;
    size_t n = (size_t)(past - p);
    if (n - 1 > 7 || (n > 1 && *p == '0')) return false;
    uint64_t v = digits_last(digits_load(p), n);
    if (!digits_all(v)) return false;
    v = digits_value(v);
    *ret = minus ? 0 - v : v;
    return v <= most && (with_sign || !minus);
}

#define INTEGER(name, type, most, with_sign)                                             \
    static inline const char *read_##name(scan *s, const char *p, type *ret)             \
    {                                                                                    \
        uint64_t v;                                                                      \
        p = integer(s, p, most, with_sign, &v);                                          \
        if (p) *ret = (type)v;                                                           \
        return p;                                                                        \
    }                                                                                    \
    static inline bool known_##name(const char *p, const char *past, type *ret)          \
    {                                                                                    \
        uint64_t v;                                                                      \
        bool known = known_integer(p, past, most, with_sign, &v);                        \
        if (known) *ret = (type)v;                                                       \
        return known;                                                                    \
    }
INTEGER(u8, uint8_t, UINT8_MAX, false)
INTEGER(u16, uint16_t, UINT16_MAX, false)
INTEGER(u32, uint32_t, UINT32_MAX, false)
INTEGER(u64, uint64_t, UINT64_MAX, false)
INTEGER(i8, int8_t, INT8_MAX, true)
INTEGER(i16, int16_t, INT16_MAX, true)
INTEGER(i32, int32_t, INT32_MAX, true)
INTEGER(i64, int64_t, INT64_MAX, true)

/* Where the commas are in the next bytes of the text, at most WINDOW of them. */
static size_t commas(const char *p, const char *end, uint16_t at[WINDOW])
{
    enum { STEP = JSON_MASK_BYTES };
    size_t room = (size_t)(end - p) < WINDOW ? (size_t)(end - p) : WINDOW, count = 0;
    for (size_t i = 0; i + STEP + DIGITS_BYTES <= room; i += STEP) {
        for (uint64_t mask = json_mask_commas(p + i); mask; mask &= mask - 1)
            at[count++] = (uint16_t)(i + (size_t)__builtin_ctzll(mask));
    }
    return count;
}

/* Never inlined: the registers that it wants cost the loop below 7 per cent. */
static __attribute__((noinline)) const char *unknown_f32(scan *s, const char *p, uint32_t *ret)
{
    return read_f32(s, p, ret);
}

static __attribute__((noinline)) const char *unknown_f64(scan *s, const char *p, uint64_t *ret)
{
    return read_f64(s, p, ret);
}

/* To know an element's end only from reading it makes every element wait for the one before, so a long row looks for
 * its commas first.  Reads elements up to the last comma seen, or the first element that does not reach to its own. */
#define AHEAD(name, type, read, known)                                                   \
    static const char *name(scan *s, const char *p)                                      \
    {                                                                                    \
        uint16_t at[WINDOW] UNINIT;                                                      \
        size_t count = commas(p, s->end, at), left = s->count_max - s->count;            \
        uint8_t *to = s->to + s->count * sizeof(type);                                   \
        const char *from = p;                                                            \
        if (count > left) count = left;                                                  \
        for (size_t i = 0; i < count; i++, to += sizeof(type)) {                         \
            type v;                                                                      \
            const char *past = from + at[i];                                             \
            if (!known(p, past, &v)) {                                                   \
                const char *next = read(s, p, &v);                                       \
                if (!next || blanks(next) != past) break;                                \
            }                                                                            \
            memcpy(to, &v, sizeof v);                                                    \
            p = blanks(past + 1);                                                        \
        }                                                                                \
        s->count = (size_t)(to - s->to) / sizeof(type);                                  \
        return p;                                                                        \
    }
AHEAD(ahead_u8, uint8_t, read_u8, known_u8)
AHEAD(ahead_u16, uint16_t, read_u16, known_u16)
AHEAD(ahead_u32, uint32_t, read_u32, known_u32)
AHEAD(ahead_u64, uint64_t, read_u64, known_u64)
AHEAD(ahead_i8, int8_t, read_i8, known_i8)
AHEAD(ahead_i16, int16_t, read_i16, known_i16)
AHEAD(ahead_i32, int32_t, read_i32, known_i32)
AHEAD(ahead_i64, int64_t, read_i64, known_i64)
AHEAD(ahead_f32, uint32_t, unknown_f32, known_f32)
AHEAD(ahead_f64, uint64_t, unknown_f64, known_f64)

static inline const char *ahead_none(scan *s, const char *p)
{
    (void)s;
    return p;
}

/* A row reads elements as long as commas follow, and stops at the byte after the last one. */
#define ROW(name, type, read, ahead)                                                     \
    static const char *name(scan *s, const char *p)                                      \
    {                                                                                    \
        for (size_t n = 0;; n++) {                                                       \
            type v;                                                                      \
            if (n >= ROW_SHORT) p = ahead(s, p);                                         \
            if (s->count == s->count_max) return fail(s, BAD_COUNT, p);                  \
            const char *next = read(s, p, &v);                                           \
            if (!next) return NULL;                                                      \
            memcpy(s->to + s->count++ * sizeof v, &v, sizeof v);                         \
            p = next < s->end ? blanks(next) : next;                                     \
            if (p == s->end || *p != ',') return p;                                      \
            p = blanks(p + 1);                                                           \
        }                                                                                \
    }
ROW(row_bool, uint8_t, read_bool, ahead_none)
ROW(row_u8, uint8_t, read_u8, ahead_u8)
ROW(row_u16, uint16_t, read_u16, ahead_u16)
ROW(row_u32, uint32_t, read_u32, ahead_u32)
ROW(row_u64, uint64_t, read_u64, ahead_u64)
ROW(row_i8, int8_t, read_i8, ahead_i8)
ROW(row_i16, int16_t, read_i16, ahead_i16)
ROW(row_i32, int32_t, read_i32, ahead_i32)
ROW(row_i64, int64_t, read_i64, ahead_i64)
ROW(row_f16, uint16_t, read_f16, ahead_none)
ROW(row_bf16, uint16_t, read_bf16, ahead_none)
ROW(row_f32, uint32_t, read_f32, ahead_f32)
ROW(row_f64, uint64_t, read_f64, ahead_f64)
ROW(row_bytes, str, read_bytes, ahead_none)

/* -- Nesting --------------------------------------------------------------------------------------------------- */

static const char *open_array(scan *s, const char *p)
{
    if (s->leaf && s->depth == s->rank) return fail(s, BAD_RAGGED_DEPTH, p);
    if (s->depth == JSON_RANK_MAX) return fail(s, BAD_RANK, p);
    s->index[s->depth++] = 0;
    if (s->depth > s->rank) s->rank = s->depth;
    return blanks(p + 1);
}

/* p is at a ']'.  The arrays that end here must be as long as their sisters. */
static const char *close_arrays(scan *s, const char *p)
{
    while (*p == ']') {
        size_t d = s->depth - 1;
        if (!s->dim_known[d]) s->dims[d] = s->index[d];
        else if (s->dims[d] != s->index[d]) return fail(s, BAD_RAGGED_LENGTH, p);
        s->dim_known[d] = true;
        s->depth--;
        p++;
        if (d == 0) return p;
        s->index[d - 1]++;
        if (p == s->end) return fail(s, BAD_END, p);
        p = blanks(p);
    }
    return *p == ',' ? blanks(p + 1) : fail(s, BAD_COMMA, p);
}

static const char *leaves(scan *s, const char *p)
{
    size_t before = s->count, d = s->depth - 1;
    if (s->depth != s->rank) return fail(s, BAD_RAGGED_DEPTH, p);
    s->leaf = true;
    const char *next = elems[s->elem].row(s, p);
    s->index[d] += s->count - before;
    if (next && next < s->end && *next != ']') return fail(s, BAD_COMMA, next);
    return next && next == s->end ? fail(s, BAD_END, next) : next;
}

static bool nest(scan *s)
{
    const char *p = s->p;
    do {
        if (*p == '[') {
            p = open_array(s, p);
            if (p && *p == ']') p = close_arrays(s, p);
        } else {
            p = leaves(s, p);
            if (p) p = close_arrays(s, p);
        }
    } while (p && s->depth);
    if (p && p != s->end) p = fail(s, BAD_END, p);
    return p;
}

/* The text at `at` as an error may quote it: printable, short, up to where a value ends. */
static void quote(const scan *s, const char *at, char to[static 44])
{
    size_t n = 0;
    bool text = at < s->end && *at == '"';
    for (; at < s->end && n < 40; at++) {
        if (n && !text && (blank(*at) || strchr(",[]{}\"", *at) || strchr(",[]{}", to[0]))) break;
        to[n++] = *at >= 0x20 && *at < 0x7f ? *at : '?';
        if (n > 1 && text && *at == '"') break;
    }
    if (n == 40) memcpy(to + n, "...", 4);
    else to[n] = 0;
}

/* As other languages write what is not finite. */
static bool other_word(const scan *s)
{
    static const char *const words[] = {"nan", "NAN", "inf", "INF", "-nan", "-NAN", "-inf", "-INF", "+Inf", "+inf"};
    if (s->elem < JSON_F16 || s->elem > JSON_F64) return false;
    for (size_t i = 0; i < COUNTOF(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(s->end - s->bad_at) > n && memcmp(s->bad_at, words[i], n) == 0) return true;
    }
    return false;
}

static err_code report(const scan *s, err *e)
{
    char got[44];
    INVARIANT(s->bad_at);
    quote(s, s->bad_at, got);
    bool list = s->bad_at < s->end && *s->bad_at == '[';
    switch (s->bad) {
    case BAD_VALUE:
        if (list) err_set(e, ERR_INVALID, "ragged array: expected %s, got a list", elems[s->elem].wants);
        else err_set(e, ERR_INVALID, "expected %s, got '%s'%s", elems[s->elem].wants, got,
                     other_word(s) ? " (the words are NaN, Infinity and -Infinity)" : "");
        break;
    case BAD_RANGE: err_set(e, ERR_INVALID, "expected %s, got '%s'", elems[s->elem].wants, got); break;
    case BAD_COUNT: err_set(e, ERR_INVALID, "expected at most %zu elements, got more", s->count_max); break;
    case BAD_COMMA: err_set(e, ERR_INVALID, "expected ',' or ']', got '%s'", got); break;
    case BAD_RAGGED_LENGTH:
        err_set(e, ERR_INVALID, "ragged array: expected %llu elements as in the lists before, got %llu",
                (unsigned long long)s->dims[s->depth - 1], (unsigned long long)s->index[s->depth - 1]);
        break;
    case BAD_RAGGED_DEPTH:
        err_set(e, ERR_INVALID, "ragged array: expected %s, got '%s'", list ? elems[s->elem].wants : "a list", got);
        break;
    case BAD_RANK: err_set(e, ERR_INVALID, "nesting: expected at most %d levels, got more", JSON_RANK_MAX); break;
    case BAD_END: err_set(e, ERR_INVALID, "brackets: expected balanced ones, got '%s' at the end", got); break;
    case BAD_TEXT: err_set(e, ERR_INVALID, "expected a well-formed UTF-8 string, got '%s'", got); break;
    case BAD_BASE64: err_set(e, ERR_INVALID, "b64: expected base64, got other characters or an end in between"); break;
    case BAD_MEMORY: err_set(e, ERR_LIMIT, "strings: the memory for decoded strings is used up"); break;
    }
    char where[JSON_RANK_MAX * 22 + 1] = "";
    size_t levels = s->bad == BAD_RAGGED_LENGTH ? s->depth - 1 : s->depth, n = 0;
    for (size_t d = 0; d < levels; d++)
        n += (size_t)snprintf(where + n, sizeof where - n, "[%llu]", (unsigned long long)s->index[d]);
    return n ? err_wrap(e, "%s", where) : e->code;
}

err_code json_array_parse(str json, const json_array_opts *o, json_shape *ret, err *e)
{
    INVARIANT(o->elem < JSON_ELEMS && (o->elem != JSON_BYTES || o->strings));
    while (json.len && blank(json.p[0])) json = (str){json.p + 1, json.len - 1};
    while (json.len && blank(json.p[json.len - 1])) json.len--;
    scan s UNINIT;
    memset(&s, 0, offsetof(scan, dims));
    s.p = json.p;
    s.end = json.p + json.len;
    s.elem = o->elem;
    s.to = o->to;
    s.count_max = o->count_max;
    s.strings = o->strings;
    s.b64 = o->b64;
    if (json.len < 2 || json.p[0] != '[' || s.end[-1] != ']') {
        char got[44];
        quote(&s, s.p, got);
        return err_set(e, ERR_INVALID, "expected a JSON array, got '%s'", got);
    }
    if (!nest(&s)) return report(&s, e);
    ret->count = s.count;
    ret->rank = s.rank;
    for (size_t d = 0; d < s.rank; d++) ret->dims[d] = s.dims[d];
    return ERR_OK;
}
