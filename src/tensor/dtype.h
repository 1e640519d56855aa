/* dtype.h - the element types of ONNX, in one table.
 *
 * The numbers are those of TensorProto.DataType, so a model's type needs no translation.  Types under a
 * byte (INT4, UINT4, INT2, UINT2, FLOAT4) are stored packed, first element in the low bits, as ONNX
 * stores them.  FP8, FP4 and the complex types are storage: they can be moved and cast, not computed with. */
#ifndef TENSOR_DTYPE_H
#define TENSOR_DTYPE_H
#include "base/str.h"

#define DTYPE_TABLE(X)                                                     \
    /* enum          onnx bits kind        V2 name   numpy   name */       \
    X(DT_F32,           1, 32, KIND_FLOAT, "FP32",   "<f4",  "float32")    \
    X(DT_U8,            2,  8, KIND_UINT,  "UINT8",  "|u1",  "uint8")      \
    X(DT_I8,            3,  8, KIND_INT,   "INT8",   "|i1",  "int8")       \
    X(DT_U16,           4, 16, KIND_UINT,  "UINT16", "<u2",  "uint16")     \
    X(DT_I16,           5, 16, KIND_INT,   "INT16",  "<i2",  "int16")      \
    X(DT_I32,           6, 32, KIND_INT,   "INT32",  "<i4",  "int32")      \
    X(DT_I64,           7, 64, KIND_INT,   "INT64",  "<i8",  "int64")      \
    X(DT_STRING,        8, 128, KIND_STRING, "BYTES", "|O",  "string")     \
    X(DT_BOOL,          9,  8, KIND_BOOL,  "BOOL",   "|b1",  "bool")       \
    X(DT_F16,          10, 16, KIND_FLOAT, "FP16",   "<f2",  "float16")    \
    X(DT_F64,          11, 64, KIND_FLOAT, "FP64",   "<f8",  "float64")    \
    X(DT_U32,          12, 32, KIND_UINT,  "UINT32", "<u4",  "uint32")     \
    X(DT_U64,          13, 64, KIND_UINT,  "UINT64", "<u8",  "uint64")     \
    X(DT_C64,          14, 64, KIND_COMPLEX, NULL,   "<c8",  "complex64")  \
    X(DT_C128,         15, 128, KIND_COMPLEX, NULL,  "<c16", "complex128") \
    X(DT_BF16,         16, 16, KIND_FLOAT, "BF16",   NULL,   "bfloat16")   \
    X(DT_F8E4M3FN,     17,  8, KIND_FLOAT, NULL,     NULL,   "float8e4m3fn")   \
    X(DT_F8E4M3FNUZ,   18,  8, KIND_FLOAT, NULL,     NULL,   "float8e4m3fnuz") \
    X(DT_F8E5M2,       19,  8, KIND_FLOAT, NULL,     NULL,   "float8e5m2")     \
    X(DT_F8E5M2FNUZ,   20,  8, KIND_FLOAT, NULL,     NULL,   "float8e5m2fnuz") \
    X(DT_U4,           21,  4, KIND_UINT,  NULL,     NULL,   "uint4")      \
    X(DT_I4,           22,  4, KIND_INT,   NULL,     NULL,   "int4")       \
    X(DT_F4E2M1,       23,  4, KIND_FLOAT, NULL,     NULL,   "float4e2m1") \
    X(DT_F8E8M0,       24,  8, KIND_FLOAT, NULL,     NULL,   "float8e8m0") \
    X(DT_U2,           25,  2, KIND_UINT,  NULL,     NULL,   "uint2")      \
    X(DT_I2,           26,  2, KIND_INT,   NULL,     NULL,   "int2")

typedef enum {
    DT_NONE = 0,
#define X(id, onnx, bits, kind, v2, npy, name) id = onnx,
    DTYPE_TABLE(X)
#undef X
    DT_COUNT = 27
} dtype;

typedef enum { KIND_NONE, KIND_FLOAT, KIND_INT, KIND_UINT, KIND_BOOL, KIND_STRING, KIND_COMPLEX } dtype_kind;

bool dtype_ok(int64_t onnx_number);              /* a row of the table */
uint32_t dtype_bits(dtype t);                    /* DT_STRING: the bits of a str */
dtype_kind dtype_kind_of(dtype t);
const char *dtype_name(dtype t);                 /* "float32"; "none" for DT_NONE */
const char *dtype_v2_name(dtype t);              /* "FP32"; NULL where V2 has none */
const char *dtype_npy_name(dtype t);             /* "<f4"; NULL where numpy has none */
dtype dtype_of_v2(str name);                     /* DT_NONE when unknown */
dtype dtype_of_npy(str descr);                   /* accepts '<', '|' and '=' where they mean the same */
/* Bytes of `count` elements, packed; SIZE_MAX on overflow. */
size_t dtype_bytes(dtype t, uint64_t count);

/* Element conversions, exact and correctly rounded (to nearest even). */
float dtype_f16_to_f32(uint16_t h);
uint16_t dtype_f32_to_f16(float f);
float dtype_bf16_to_f32(uint16_t h);
uint16_t dtype_f32_to_bf16(float f);
/* Any float type under 32 bits, its bits at the bottom.  `saturate`: what is too large becomes the largest
 * finite number, else infinity or NaN (ONNX Cast's table).  FLOAT4 has neither: it always saturates. */
double dtype_decode(dtype t, uint32_t bits);
uint32_t dtype_encode(dtype t, double v, bool saturate);              /* to nearest even; not DT_F8E8M0 */
typedef enum { ROUND_UP, ROUND_DOWN, ROUND_NEAREST } dtype_round;     /* Cast's round_mode; NEAREST: ties go up */
uint32_t dtype_encode_e8m0(double v, dtype_round round, bool saturate);

/* Toward zero and held in the range of 64 bits, which C leaves undefined; a NaN gives 0. */
static inline int64_t dtype_i64_held(double v)
{
    return v >= 0x1p63 ? INT64_MAX : v > -0x1p63 ? (int64_t)v : v != v ? 0 : INT64_MIN;
}

static inline uint64_t dtype_u64_held(double v)
{
    return v >= 0x1p64 ? UINT64_MAX : v > 0 ? (uint64_t)v : 0;
}

#endif
