/* Cast, CastLike and BitCast: every pair of types but the complex ones. */
#include "engine/op_tile.h"
#include "wire/decimal.h"

#include <math.h>
#include <string.h>

enum { CAST_CHUNK = 64 * TILE };   /* elements of one job; a multiple of 4, so that jobs never share a packed byte */

typedef struct {
    const op_call *call;
    const tensor *from;
    tensor *to;
    bool saturate;
    dtype_round round;
    uint64_t count;
} cast;

#define T_NEVER (T1(DT_C64) | T1(DT_C128))

static err_code cast_infer_to(op_call *c, int64_t to, err *e)
{
    if (!dtype_ok(to))
        return op_err(c, e, ERR_INVALID, "to: expected the number of a type, got %lld", (long long)to);
    err_code rc = op_type(c, 0, T_ANY & ~T_NEVER, e);
    if (!rc && T1(to) & T_NEVER)
        rc = op_err(c, e, ERR_UNSUPPORTED, "to: complex numbers cannot be cast to");
    return rc ? rc : op_set(c, 0, (dtype)to, &c->in[0]->shape, e);
}

static err_code cast_infer(op_call *c, err *e)
{
    return cast_infer_to(c, node_int(c->node, "to", DT_NONE), e);
}

static err_code castlike_infer(op_call *c, err *e)
{
    return cast_infer_to(c, c->in[1]->type, e);
}

/* ---- strings ------------------------------------------------------------------------------------------------ */

/* The fewest digits that read back as the same value of its own type. */
static size_t float_text(char *text, const tensor *t, uint64_t i)
{
    double v = tensor_f64(t, i);
    if (isnan(v))
        return (size_t)(stpcpy(text, "NaN") - text);
    if (isinf(v))
        return (size_t)(stpcpy(text, v > 0 ? "INF" : "-INF") - text);
    const decimal_format *f = &decimal_f32;
    float narrow = (float)v;
    uint32_t bits32;
    uint64_t bits;
    memcpy(&bits32, &narrow, sizeof bits32);
    bits = bits32;
    if (t->type == DT_F64) {
        f = &decimal_f64;
        memcpy(&bits, &v, sizeof bits);
    }
    else if (t->type == DT_F16 || t->type == DT_BF16) {
        f = t->type == DT_F16 ? &decimal_f16 : &decimal_bf16;
        bits = ((const uint16_t *)t->data)[i];
    }
    decimal d;
    decimal_shortest(bits, f, &d);
    return decimal_print(text, &d);
}

static err_code to_strings(const cast *x, err *e)
{
    const tensor *t = x->from;
    str *to = x->to->data;
    char text[DECIMAL_TEXT_MAX];
    for (uint64_t i = 0; i < x->count; i++) {
        size_t len;
        if (dtype_kind_of(t->type) == KIND_FLOAT)
            len = float_text(text, t, i);
        else if (t->type == DT_U64)
            len = decimal_print_u64(text, ((const uint64_t *)t->data)[i]);
        else
            len = decimal_print_i64(text, tensor_int(t, i));
        to[i] = str_copy(x->call->lasting, (str){text, len});
        if (!to[i].p)
            return op_err(x->call, e, ERR_LIMIT, "no room for %llu strings", (unsigned long long)x->count);
    }
    return ERR_OK;
}

/* Narrower types than 64 bits keep the low bits of what dtype_i64_held() gives, as they do of a whole number: ONNX
 * leaves this open, and NumPy and the node tests have it so. */
static void put_float(const cast *x, uint64_t i, double v)
{
    dtype type = x->to->type;
    if (type == DT_F8E8M0)
        ((uint8_t *)x->to->data)[i] = (uint8_t)dtype_encode_e8m0(v, x->round, x->saturate);
    else if (dtype_kind_of(type) == KIND_FLOAT && dtype_bits(type) == 8)
        ((uint8_t *)x->to->data)[i] = (uint8_t)dtype_encode(type, v, x->saturate);
    else if (dtype_kind_of(type) == KIND_FLOAT || type == DT_BOOL)
        tensor_put_f64(x->to, i, v);
    else
        tensor_put_int(x->to, i, type == DT_U64 ? (int64_t)dtype_u64_held(v) : dtype_i64_held(v));
}

static bool float_of_text(str s, double *ret)
{
    static const struct { const char *text; double v; } words[] = {
        {"inf", (double)INFINITY}, {"+inf", (double)INFINITY}, {"-inf", -(double)INFINITY}, {"nan", (double)NAN}};
    for (size_t i = 0; i < COUNTOF(words); i++) {
        if (str_is_nocase(s, words[i].text)) {
            *ret = words[i].v;
            return true;
        }
    }
    return str_f64(s.len > 1 && *s.p == '+' ? (str){s.p + 1, s.len - 1} : s, ret);
}

static err_code from_strings(const cast *x, err *e)
{
    const str *from = x->from->data;
    for (uint64_t i = 0; i < x->count; i++) {
        str s = str_trim(from[i]);
        int64_t whole;
        uint64_t large;
        double v;
        if (x->to->type == DT_U64 && str_u64(s, &large))
            ((uint64_t *)x->to->data)[i] = large;
        else if (dtype_kind_of(x->to->type) != KIND_FLOAT && str_i64(s, &whole))
            tensor_put_int(x->to, i, whole);
        else if (float_of_text(s, &v))
            put_float(x, i, v);
        else
            return op_err(x->call, e, ERR_INVALID, "element %llu: expected a number, got '" STR_FMT "'",
                          (unsigned long long)i, STR_ARG(s));
    }
    return ERR_OK;
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

/* One element at a time: for packed types and for roundings that must not happen twice (float64 to bfloat16). */
static void cast_each(const cast *x, uint64_t first, uint64_t end)
{
    const tensor *t = x->from;
    bool from_float = dtype_kind_of(t->type) == KIND_FLOAT, to_float = dtype_kind_of(x->to->type) == KIND_FLOAT;
    for (uint64_t i = first; i < end; i++) {
        if (from_float || (to_float && t->type == DT_U64))
            put_float(x, i, tensor_f64(t, i));
        else if (to_float)
            put_float(x, i, (double)tensor_int(t, i));
        else
            tensor_put_int(x->to, i, t->type == DT_U64 ? (int64_t)((const uint64_t *)t->data)[i] : tensor_int(t, i));
    }
}

#define LOOP(TO, FROM, expr)                         \
    do {                                             \
        TO *y = to;                                  \
        const FROM *x = from;                        \
        for (size_t i = 0; i < n; i++)               \
            y[i] = (TO)(expr);                       \
    } while (0)

static void to_bool(void *to, const void *from, tile_as as, size_t n)
{
    if (as == AS_F32)
        LOOP(int64_t, float, x[i] != 0);
    else if (as == AS_F64)
        LOOP(int64_t, double, x[i] != 0);
    else
        LOOP(int64_t, int64_t, x[i] != 0);
}

static void to_real(void *to, bool narrow, const void *from, tile_as as, size_t n)
{
    if (narrow && as == AS_F64)
        LOOP(float, double, x[i]);
    else if (narrow && as == AS_I64)
        LOOP(float, int64_t, x[i]);
    else if (narrow && as == AS_U64)
        LOOP(float, uint64_t, x[i]);
    else if (as == AS_F32)
        LOOP(double, float, x[i]);
    else if (as == AS_I64)
        LOOP(double, int64_t, x[i]);
    else
        LOOP(double, uint64_t, x[i]);
}

/* From a tile in one type of arithmetic to one in another.  Whole numbers keep their bits. */
static void tile_convert(void *to, dtype type, const void *from, tile_as as, size_t n)
{
    tile_as want = tile_as_of(type);
    bool from_whole = as == AS_I64 || as == AS_U64;
    if (type == DT_BOOL)
        to_bool(to, from, as, n);
    else if (want == as || (from_whole && (want == AS_I64 || want == AS_U64)))
        memcpy(to, from, n * tile_size(as));
    else if (want == AS_F32 || want == AS_F64)
        to_real(to, want == AS_F32, from, as, n);
    else if (want == AS_I64 && as == AS_F32)
        LOOP(int64_t, float, dtype_i64_held((double)x[i]));
    else if (want == AS_I64)
        LOOP(int64_t, double, dtype_i64_held(x[i]));
    else if (as == AS_F32)
        LOOP(uint64_t, float, dtype_u64_held((double)x[i]));
    else
        LOOP(uint64_t, double, dtype_u64_held(x[i]));
}

/* Tiles would round twice, or do not know one of the types. */
static bool needs_each(dtype from, dtype to)
{
    tile_as a = tile_as_of(from), b = tile_as_of(to);
    if (a == AS_NONE || b == AS_NONE || (dtype_bits(to) == 8 && dtype_kind_of(to) == KIND_FLOAT))
        return true;
    if (to == DT_F16)      /* a whole number over 2^24, where float32 begins to round, is infinite anyway */
        return a == AS_F64;
    return to == DT_BF16 && (a == AS_F64 || a == AS_U64 || (a == AS_I64 && dtype_bits(from) > 16));
}

/* Pairs that a kernel converts whole; false = none does. */
static bool cast_by_kernel(const kernel_set *k, void *to, dtype to_type, const void *from, dtype from_type, size_t n)
{
    if (from_type == DT_F32 && to_type == DT_I32)
        k->f32_to_i32(to, from, n);
    else if (from_type == DT_F32 && (to_type == DT_F16 || to_type == DT_BF16))
        tile_narrow(k, to, to_type, from, n);
    else if (to_type == DT_F32 && from_type == DT_I32)
        k->i32_to_f32(to, from, n);
    else if (to_type == DT_F32 && (from_type == DT_U8 || from_type == DT_BOOL))
        k->dequant_u8(to, from, 1, 0, n);
    else if (to_type == DT_F32 && from_type == DT_I8)
        k->dequant_i8(to, from, 1, 0, n);
    else if (to_type == DT_F32 && tile_as_of(from_type) == AS_F32)
        tile_widen(k, to, from, from_type, n);
    else
        return false;
    return true;
}

static void cast_job(void *ctx, uint32_t index)
{
    const cast *x = ctx;
    uint64_t at = (uint64_t)index * CAST_CHUNK, end = x->count - at < CAST_CHUNK ? x->count : at + CAST_CHUNK;
    const dtype from = x->from->type, to = x->to->type;
    size_t from_bytes = dtype_bits(from) / 8, to_bytes = dtype_bits(to) / 8;
    const kernel_set *k = x->call->k;
    tile_as as = tile_as_of(from);
    UNINIT tile wide, other;
    if (needs_each(from, to)) {
        cast_each(x, at, end);
        return;
    }
    const uint8_t *source = (const uint8_t *)x->from->data + at * from_bytes;
    uint8_t *target = (uint8_t *)x->to->data + at * to_bytes;
    if (cast_by_kernel(k, target, to, source, from, (size_t)(end - at)))
        return;
    bool read_direct = tile_native(as, from), write_direct = tile_native(tile_as_of(to), to);
    for (; at < end; at += TILE, source += TILE * from_bytes, target += TILE * to_bytes) {
        size_t n = end - at < TILE ? (size_t)(end - at) : TILE;
        if (!read_direct)
            tile_widen(k, &wide, source, from, n);
        tile_convert(write_direct ? (void *)target : &other, to, read_direct ? (const void *)source : &wide, as, n);
        if (!write_direct)
            tile_narrow(k, target, to, &other, n);
    }
}

static err_code round_of(const op_call *c, dtype_round *ret, err *e)
{
    static const char *const names[] = {[ROUND_UP] = "up", [ROUND_DOWN] = "down", [ROUND_NEAREST] = "nearest"};
    str mode = node_str(c->node, "round_mode", STR("up"));
    for (size_t i = 0; i < COUNTOF(names); i++) {
        if (str_is(mode, names[i])) {
            *ret = (dtype_round)i;
            return ERR_OK;
        }
    }
    return op_err(c, e, ERR_INVALID, "round_mode: expected up, down or nearest, got '" STR_FMT "'", STR_ARG(mode));
}

static err_code cast_run(op_call *c, err *e)
{
    cast x = {.call = c, .from = c->in[0], .to = c->out[0], .count = tensor_count(c->in[0]),
              .saturate = node_int(c->node, "saturate", 1) != 0};
    err_code rc = round_of(c, &x.round, e);
    if (rc || x.count == 0)
        return rc;
    if (x.from->type == x.to->type) {
        memmove(x.to->data, x.from->data, tensor_bytes(x.from));
        return ERR_OK;
    }
    if (x.to->type == DT_STRING)
        return to_strings(&x, e);
    if (x.from->type == DT_STRING)
        return from_strings(&x, e);
    if (dtype_bits(x.to->type) < 8)      /* elements are put into bytes that must hold something */
        memset(x.to->data, 0, tensor_bytes(x.to));
    uint64_t jobs = (x.count + CAST_CHUNK - 1) / CAST_CHUNK;
    INVARIANT(jobs <= UINT32_MAX);
    compute_for(c->pool, (uint32_t)jobs, cast_job, &x);
    return ERR_OK;
}

static err_code bitcast_infer(op_call *c, err *e)
{
    int64_t to = node_int(c->node, "to", DT_NONE);
    dtype from = c->in[0]->type;
    if (!dtype_ok(to) || to == DT_STRING || from == DT_STRING || dtype_bits((dtype)to) != dtype_bits(from))
        return op_err(c, e, ERR_INVALID, "to: expected a type of %u bits, got %s", dtype_bits(from),
                      dtype_ok(to) ? dtype_name((dtype)to) : "none");
    return op_set(c, 0, (dtype)to, &c->in[0]->shape, e);
}

#define ROW(op, first, inputs, shapes, ...)                                                                  \
    {.name = op, .domain = "", .since = first, .in_min = inputs, .in_max = inputs, .out_min = 1, .out_max = 1, \
     .infer = shapes, .run = cast_run, .attrs = {__VA_ARGS__}}
#define TO {"to", ATTR_INT, true}
#define SATURATE {"saturate", ATTR_INT, false}
#define ROUND {"round_mode", ATTR_STRING, false}

const op_row op_rows_cast[] = {
    ROW("Cast", 6, 1, cast_infer, TO),
    ROW("Cast", 19, 1, cast_infer, TO, SATURATE),
    ROW("Cast", 24, 1, cast_infer, TO, SATURATE, ROUND),
    ROW("CastLike", 15, 2, castlike_infer, {0}),
    ROW("CastLike", 19, 2, castlike_infer, SATURATE),
    ROW("CastLike", 24, 2, castlike_infer, SATURATE, ROUND),
    {.name = "BitCast", .domain = "", .since = 26, .flags = OP_VIEW, .in_min = 1, .in_max = 1, .out_min = 1,
     .out_max = 1, .infer = bitcast_infer, .attrs = {TO}},
    {0},
};
