/* The printing half of json_array.h. */
#include "wire/decimal.h"
#include "wire/json_array.h"
#include "wire/json_text.h"

#include <string.h>

enum { CHUNK = 128 };   /* elements per reservation in the buf */

/* Writes one number; 0 bytes = it has no digits: NaN or an infinity. */
typedef size_t print_fn(char *to, const uint8_t *from);

#define PRINT(name, type, print)                                                         \
    static size_t name(char *to, const uint8_t *from)                                    \
    {                                                                                    \
        type v;                                                                          \
        memcpy(&v, from, sizeof v);                                                      \
        return print(to, v);                                                             \
    }
PRINT(print_u8, uint8_t, decimal_print_u64)
PRINT(print_u16, uint16_t, decimal_print_u64)
PRINT(print_u32, uint32_t, decimal_print_u64)
PRINT(print_u64, uint64_t, decimal_print_u64)
PRINT(print_i8, int8_t, decimal_print_i64)
PRINT(print_i16, int16_t, decimal_print_i64)
PRINT(print_i32, int32_t, decimal_print_i64)
PRINT(print_i64, int64_t, decimal_print_i64)

static size_t print_bool(char *to, const uint8_t *from)
{
    size_t n = *from ? 4 : 5;
    memcpy(to, *from ? "true" : "false", n);
    return n;
}

static inline size_t print_float(char *to, uint64_t bits, const decimal_format *f)
{
    decimal d;
    if (!decimal_finite(bits, f)) return 0;
    decimal_shortest(bits, f, &d);
    return decimal_print(to, &d);
}

static inline size_t put_f16(char *to, uint16_t bits) { return print_float(to, bits, &decimal_f16); }
static inline size_t put_bf16(char *to, uint16_t bits) { return print_float(to, bits, &decimal_bf16); }
static inline size_t put_f32(char *to, uint32_t bits) { return print_float(to, bits, &decimal_f32); }
static inline size_t put_f64(char *to, uint64_t bits) { return print_float(to, bits, &decimal_f64); }
PRINT(print_f16, uint16_t, put_f16)
PRINT(print_bf16, uint16_t, put_bf16)
PRINT(print_f32, uint32_t, put_f32)
PRINT(print_f64, uint64_t, put_f64)

static print_fn *const prints[JSON_ELEMS] = {
    [JSON_BOOL] = print_bool, [JSON_U8] = print_u8,   [JSON_U16] = print_u16,   [JSON_U32] = print_u32,
    [JSON_U64] = print_u64,   [JSON_I8] = print_i8,   [JSON_I16] = print_i16,   [JSON_I32] = print_i32,
    [JSON_I64] = print_i64,   [JSON_F16] = print_f16, [JSON_BF16] = print_bf16, [JSON_F32] = print_f32,
    [JSON_F64] = print_f64,
};

static err_code strings(buf *b, const json_array *a, size_t at, size_t count, err *e)
{
    const str *s = (const str *)a->from + at;
    for (size_t i = 0; i < count; i++) {
        if (!str_utf8_ok(s[i])) {
            return err_set(e, ERR_INVALID, "element %zu: expected UTF-8, got other bytes, which JSON cannot carry: "
                           "ask for binary output", at + i);
        }
        if (i) buf_put_byte(b, ',');
        json_text_put(b, s[i]);
    }
    return ERR_OK;
}

/* Never inlined: elements that need it are rare, and the others are copied in a tight loop. */
static __attribute__((noinline, cold)) size_t not_finite(char *to, const json_array *a, const uint8_t *from)
{
    static const decimal_format *const formats[JSON_ELEMS] = {
        [JSON_F16] = &decimal_f16, [JSON_BF16] = &decimal_bf16, [JSON_F32] = &decimal_f32, [JSON_F64] = &decimal_f64};
    uint64_t bits = 0;
    memcpy(&bits, from, json_elem_size(a->elem));   /* the low bytes come first */
    if (!a->null_for_nan) return decimal_word_print(to, bits, formats[a->elem]);
    memcpy(to, "null", 4);
    return 4;
}

/* One element and a comma. */
static inline char *number(const json_array *a, char *p, const uint8_t *from)
{
    size_t len = prints[a->elem](p, from);
    if (!len) len = not_finite(p, a, from);
    p[len] = ',';
    return p + len + 1;
}

static void numbers(buf *b, const json_array *a, size_t at, size_t count)
{
    size_t size = json_elem_size(a->elem);
    const uint8_t *from = (const uint8_t *)a->from + at * size;
    for (size_t i = 0; i < count;) {
        size_t n = count - i < CHUNK ? count - i : CHUNK;
        char *start = (char *)buf_room(b, n * (DECIMAL_TEXT_MAX + 1)), *p = start;
        if (!p) return;   /* the buf remembers */
        for (size_t end = i + n; i < end; i++, from += size) p = number(a, p, from);
        b->len += (size_t)(p - start) - (i == count);   /* without the last comma */
    }
}

static void brackets(buf *b, char c, size_t n)
{
    while (n--) buf_put_byte(b, (uint8_t)c);
}

err_code json_array_print(buf *b, const json_array *a, err *e)
{
    const uint64_t flat[] = {a->count}, *dims = a->rank ? a->dims : flat;
    uint64_t index[JSON_RANK_MAX] UNINIT;
    size_t rank = 0, rows = 1, row_max = a->rank ? a->rank : 1;
    INVARIANT(a->elem < JSON_ELEMS && row_max <= JSON_RANK_MAX);
    while (rank < row_max && (rank == 0 || dims[rank - 1])) rank++;   /* an empty list ends the nesting: [2, 0, 3] */
    size_t row = (size_t)dims[rank - 1];
    for (size_t d = 0; d + 1 < rank; d++) {
        if (__builtin_mul_overflow(rows, (size_t)dims[d], &rows)) rows = SIZE_MAX;   /* the buf is full before */
        index[d] = 0;
    }
    INVARIANT(row ? a->count % row == 0 && a->count / row == rows : a->count == 0);

    size_t opens = rank;
    for (size_t i = 0;;) {
        brackets(b, '[', opens);
        err_code rc = a->elem == JSON_BYTES ? strings(b, a, i * row, row, e) : ERR_OK;
        if (rc) return rc;
        if (a->elem != JSON_BYTES) numbers(b, a, i * row, row);
        if (++i == rows || b->full) break;
        size_t wraps = 0;
        for (size_t d = rank - 1; d-- > 0 && ++index[d] == dims[d]; wraps++) index[d] = 0;
        brackets(b, ']', wraps + 1);
        buf_put_byte(b, ',');
        opens = wraps + 1;
    }
    brackets(b, ']', rank);
    return ERR_OK;
}
