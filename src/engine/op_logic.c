/* Comparison, logic, bits and choice. */
#include "engine/op_each.h"

#include <math.h>

#define T_FP8 (T1(DT_F8E4M3FN) | T1(DT_F8E4M3FNUZ) | T1(DT_F8E5M2) | T1(DT_F8E5M2FNUZ))

/* X(operator, since, expression of a and b) */
#define COMPARISONS(X)            \
    X(Less, 7, a < b)             \
    X(Greater, 7, a > b)          \
    X(LessOrEqual, 12, a <= b)    \
    X(GreaterOrEqual, 12, a >= b)

#define COMPARE(op, expr)                            \
    EACH_2(op##_f32, uint8_t, float, expr)           \
    EACH_2(op##_f64, uint8_t, double, expr)          \
    EACH_2(op##_i64, uint8_t, int64_t, expr)         \
    EACH_2(op##_u64, uint8_t, uint64_t, expr)        \
    EACH_2(op##_i32, uint8_t, int32_t, expr)         \
    EACH_2(op##_u8, uint8_t, uint8_t, expr)
#define NATIVE(op) [DT_I32] = op##_i32, [DT_U8] = op##_u8

#define X(op, since, expr)                                                                                      \
    COMPARE(op, expr)                                                                                           \
    static const each_op each_##op = {.types = T_NUMBER, .out = DT_BOOL, .f32 = op##_f32, .f64 = op##_f64,      \
                                      .i64 = op##_i64, .u64 = op##_u64, .native = {NATIVE(op)}};
COMPARISONS(X)
#undef X

COMPARE(equal, a == b)
EACH_2(equal_str, uint8_t, str, str_eq(a, b))
static const each_op each_Equal = {.types = T_NUMBER | T1(DT_BOOL) | T1(DT_STRING),
                                   .out = DT_BOOL,
                                   .f32 = equal_f32,
                                   .f64 = equal_f64,
                                   .i64 = equal_i64,
                                   .u64 = equal_u64,
                                   .string = equal_str,
                                   .native = {NATIVE(equal), [DT_BOOL] = equal_u8}};

/* X(operator, expression of the bytes a and b, which are 0 or 1) */
#define LOGIC(X)   \
    X(And, a & b)  \
    X(Or, a | b)   \
    X(Xor, a ^ b)

#define BITS(X)           \
    X(BitwiseAnd, a & b)  \
    X(BitwiseOr, a | b)   \
    X(BitwiseXor, a ^ b)

#define X(op, expr)                               \
    EACH_2(op##_u8, uint8_t, uint8_t, expr)       \
    static const each_op each_##op = {.types = T1(DT_BOOL), .out = DT_BOOL, .native = {[DT_BOOL] = op##_u8}};
LOGIC(X)
#undef X
#define X(op, expr)                               \
    EACH_2_SIZES(op, expr)                        \
    static const each_op each_##op = {.types = T_INT | T_UINT, .native = {EACH_SIZES(op)}};
BITS(X)
#undef X

EACH_1(not_u8, uint8_t, uint8_t, !a)
EACH_1(bitwise_not_i64, int64_t, int64_t, ~a)
static const each_op each_Not = {.types = T1(DT_BOOL), .out = DT_BOOL, .native = {[DT_BOOL] = not_u8}};
static const each_op each_BitwiseNot = {.types = T_INT | T_UINT, .i64 = bitwise_not_i64};

/* Shifts by the width of the type or more leave nothing.  A narrow left shift loses its high bits when it is stored. */
EACH_2(left_u64, uint64_t, uint64_t, b > 63 ? 0 : a << b)
EACH_2(right_u64, uint64_t, uint64_t, b > 63 ? 0 : a >> b)

static err_code shift_setup(const op_call *c, each *x, err *e)
{
    str direction = node_str(c->node, "direction", (str){0});
    if (str_is(direction, "LEFT"))
        x->fn = left_u64;
    else if (str_is(direction, "RIGHT"))
        x->fn = right_u64;
    else
        return op_err(c, e, ERR_INVALID, "direction: expected LEFT or RIGHT, got '" STR_FMT "'", STR_ARG(direction));
    return ERR_OK;
}
static const each_op each_BitShift = {.types = T_UINT, .i64 = left_u64, .u64 = left_u64, .setup = shift_setup};

/* ---- what a float is ---------------------------------------------------------------------------------------- */

EACH_1(is_nan_f32, uint8_t, float, isnan(a))
EACH_1(is_nan_f64, uint8_t, double, isnan(a))
static const each_op each_IsNaN = {.types = T_FLOAT | T_FP8, .out = DT_BOOL, .f32 = is_nan_f32, .f64 = is_nan_f64};

/* p[0]: infinity counts, p[1]: minus infinity does. */
EACH_1(is_inf_f32, uint8_t, float, isinf(a) && p[a < 0] != 0)
EACH_1(is_inf_f64, uint8_t, double, isinf(a) && p[a < 0] != 0)

static err_code is_inf_setup(const op_call *c, each *x, err *e)
{
    (void)e;
    x->p[0] = (double)node_int(c->node, "detect_positive", 1);
    x->p[1] = (double)node_int(c->node, "detect_negative", 1);
    return ERR_OK;
}
static const each_op each_IsInf = {.types = T_FLOAT | T_FP8, .out = DT_BOOL, .f32 = is_inf_f32, .f64 = is_inf_f64,
                                   .setup = is_inf_setup};

/* ---- Where: input 0 chooses --------------------------------------------------------------------------------- */

/* Whole elements by their size, whatever they are; a mask, because a random condition would be mispredicted. */
#define WHERE(name, TYPE)                                                                        \
    static void name(const each *x, void *y_, const void *const *in, size_t n)                   \
    {                                                                                            \
        (void)x;                                                                                 \
        const uint8_t *chosen = in[0];                                                           \
        const TYPE *a = in[1], *b = in[2];                                                       \
        TYPE *y = y_;                                                                            \
        for (size_t i = 0; i < n; i++) {                                                         \
            TYPE mask = (TYPE)(0 - (TYPE)(chosen[i] != 0));                                      \
            y[i] = (TYPE)((a[i] & mask) | (b[i] & ~mask));                                       \
        }                                                                                        \
    }
WHERE(where_8, uint8_t)
WHERE(where_16, uint16_t)
WHERE(where_32, uint32_t)
WHERE(where_64, uint64_t)

static void where_str(const each *x, void *y_, const void *const *in, size_t n)
{
    (void)x;
    const uint8_t *chosen = in[0];
    const str *a = in[1], *b = in[2];
    str *y = y_;
    for (size_t i = 0; i < n; i++)
        y[i] = chosen[i] ? a[i] : b[i];
}

static const each_op each_Where = {.types = T_NUMBER | T1(DT_BOOL) | T1(DT_STRING) | T1(DT_C64) | T1(DT_C128),
                                   .like = 1,
                                   .native = {EACH_SIZES(where),
                                              [DT_BOOL] = where_8,
                                              [DT_F16] = where_16,
                                              [DT_BF16] = where_16,
                                              [DT_F32] = where_32,
                                              [DT_F64] = where_64,
                                              [DT_C64] = where_64,
                                              [DT_C128] = where_str,
                                              [DT_STRING] = where_str}};

/* ---- the table ---------------------------------------------------------------------------------------------- */

#define ROW(op, first, inputs, flag, ...)                                                                    \
    {.name = #op, .domain = "", .since = first, .flags = flag, .in_min = inputs, .in_max = inputs,           \
     .out_min = 1, .out_max = 1, .infer = each_infer, .run = each_run, .data = &each_##op, __VA_ARGS__}
#define NO_ATTRS .attrs = {{0}}

const op_row op_rows_logic[] = {
#define X(op, since, expr) ROW(op, since, 2, 0, NO_ATTRS),
    COMPARISONS(X)
#undef X
#define X(op, expr) ROW(op, 7, 2, OP_INPLACE, NO_ATTRS),
    LOGIC(X)
#undef X
#define X(op, expr) ROW(op, 18, 2, OP_INPLACE, NO_ATTRS),
    BITS(X)
#undef X
    ROW(Equal, 7, 2, 0, NO_ATTRS),
    ROW(Not, 1, 1, OP_INPLACE, NO_ATTRS),
    ROW(BitwiseNot, 18, 1, OP_INPLACE, NO_ATTRS),
    ROW(BitShift, 11, 2, OP_INPLACE, .attrs = {{"direction", ATTR_STRING, true}}),
    ROW(IsNaN, 9, 1, 0, NO_ATTRS),
    ROW(IsInf, 10, 1, 0, .attrs = {{"detect_negative", ATTR_INT, false}, {"detect_positive", ATTR_INT, false}}),
    ROW(Where, 9, 3, OP_INPLACE, NO_ATTRS),
    {0},
};
