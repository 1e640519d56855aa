#include "tensor/dtype.h"

#include <math.h>
#include <string.h>

typedef struct {
    uint32_t bits;
    dtype_kind kind;
    const char *v2, *npy, *name;
} dtype_row;

static const dtype_row rows[DT_COUNT] = {
    [DT_NONE] = {0, KIND_NONE, NULL, NULL, "none"},
#define X(id, onnx, bits, kind, v2, npy, name) [id] = {bits, kind, v2, npy, name},
    DTYPE_TABLE(X)
#undef X
};

/* How a float type under 32 bits is laid out: sign, exponent, mantissa from the top.  Codes are without the sign. */
typedef struct {
    uint8_t exp_bits, man_bits;
    bool negative_zero_is_nan;         /* the FNUZ types: one zero, one NaN where -0 would be */
    int bias;
    uint32_t max, inf, nan;            /* codes of the largest finite number, infinity, NaN; 0 = has none */
} float_row;

static const float_row floats[DT_COUNT] = {
    [DT_F16] = {5, 10, false, 15, 0x7bff, 0x7c00, 0x7e00},
    [DT_BF16] = {8, 7, false, 127, 0x7f7f, 0x7f80, 0x7fc0},
    [DT_F8E4M3FN] = {4, 3, false, 7, 0x7e, 0, 0x7f},
    [DT_F8E4M3FNUZ] = {4, 3, true, 8, 0x7f, 0, 0},
    [DT_F8E5M2] = {5, 2, false, 15, 0x7b, 0x7c, 0x7e},
    [DT_F8E5M2FNUZ] = {5, 2, true, 16, 0x7f, 0, 0},
    [DT_F4E2M1] = {2, 1, false, 1, 0x7, 0, 0},
};

enum { E8M0_BIAS = 127, E8M0_NAN = 0xff };

bool dtype_ok(int64_t onnx_number)
{
    return onnx_number > DT_NONE && onnx_number < DT_COUNT;
}

static const dtype_row *row_of(dtype t)
{
    INVARIANT((unsigned)t < DT_COUNT);
    return &rows[t];
}

uint32_t dtype_bits(dtype t)
{
    return row_of(t)->bits;
}

dtype_kind dtype_kind_of(dtype t)
{
    return row_of(t)->kind;
}

const char *dtype_name(dtype t)
{
    return row_of(t)->name;
}

const char *dtype_v2_name(dtype t)
{
    return row_of(t)->v2;
}

const char *dtype_npy_name(dtype t)
{
    return row_of(t)->npy;
}

dtype dtype_of_v2(str name)
{
    for (int t = 1; t < DT_COUNT; t++)
        if (rows[t].v2 && str_is(name, rows[t].v2))
            return (dtype)t;
    return DT_NONE;
}

/* The first letter is the byte order: '=' is this machine's (little), '|' = does not matter, which is true of single
 * bytes. */
dtype dtype_of_npy(str descr)
{
    if (descr.len < 2)
        return DT_NONE;
    str tail = {descr.p + 1, descr.len - 1};
    for (int t = 1; t < DT_COUNT; t++) {
        const char *npy = rows[t].npy;
        if (!npy || !str_is(tail, npy + 1))
            continue;
        bool any_order = npy[0] == '|';
        if (descr.p[0] == '<' || descr.p[0] == '=' || (any_order && (descr.p[0] == '|' || descr.p[0] == '>')))
            return (dtype)t;
    }
    return DT_NONE;
}

size_t dtype_bytes(dtype t, uint64_t count)
{
    uint64_t bits = row_of(t)->bits, bytes;
    INVARIANT(bits > 0);
    if (bits < 8) {
        uint64_t per_byte = 8 / bits;
        return (size_t)(count / per_byte + (count % per_byte != 0));
    }
    return __builtin_mul_overflow(count, bits / 8, &bytes) || bytes > SIZE_MAX ? SIZE_MAX : (size_t)bytes;
}

static float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

float dtype_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 1023;
    if (exponent == 31)
        /* a NaN comes out quiet */
        return float_of_bits(sign | 0x7f800000 | (mantissa ? 0x400000 | mantissa << 13 : 0));
    if (exponent == 0)
        return float_of_bits(sign | bits_of_float((float)mantissa * 0x1p-24f));
    return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t dtype_f32_to_f16(float f)
{
    uint32_t all = bits_of_float(f), sign = all >> 16 & 0x8000, bits = all & 0x7fffffff;
    if (bits > 0x7f800000)
        return (uint16_t)(sign | 0x7e00 | (bits >> 13 & 0x3ff));
    if (bits >= 0x477ff000)                  /* 65520, half-way between the largest half and 2^16, and up */
        return (uint16_t)(sign | 0x7c00);
    if (bits < 0x38800000) {   /* under 2^-14: adding 0.5, whose ulp is 2^-24, rounds to a multiple of that */
        float rounded = float_of_bits(bits) + 0.5f;
        return (uint16_t)(sign | (bits_of_float(rounded) - 0x3f000000));
    }
    bits += 0xfff + (bits >> 13 & 1);
    return (uint16_t)(sign | (bits - 0x38000000) >> 13);
}

float dtype_bf16_to_f32(uint16_t h)
{
    return float_of_bits((uint32_t)h << 16);
}

uint16_t dtype_f32_to_bf16(float f)
{
    uint32_t bits = bits_of_float(f);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

double dtype_decode(dtype t, uint32_t bits)
{
    if (t == DT_F8E8M0)
        return (bits & 0xff) == E8M0_NAN ? (double)NAN : ldexp(1.0, (int)(bits & 0xff) - E8M0_BIAS);
    const float_row *f = &floats[t];
    INVARIANT(f->exp_bits);
    uint32_t sign_at = (uint32_t)f->exp_bits + f->man_bits, code = bits & ((1u << sign_at) - 1);
    bool negative = bits >> sign_at & 1;
    if (f->negative_zero_is_nan && negative && code == 0)
        return (double)NAN;
    if (code > f->max) {
        double special = f->inf && code == f->inf ? (double)INFINITY : (double)NAN;
        return negative ? -special : special;
    }
    int exponent = (int)(code >> f->man_bits);
    uint32_t mantissa = code & ((1u << f->man_bits) - 1);
    if (exponent > 0)
        mantissa |= 1u << f->man_bits;
    double v = ldexp((double)mantissa, (exponent > 0 ? exponent : 1) - f->bias - f->man_bits);
    return negative ? -v : v;
}

static uint32_t encode_special(const float_row *f, uint32_t sign, bool is_nan, bool saturate)
{
    if (!is_nan && (saturate || (!f->inf && !f->nan && !f->negative_zero_is_nan)))
        return sign | f->max;
    if (!is_nan && f->inf)
        return sign | f->inf;
    if (f->negative_zero_is_nan)
        return 1u << (f->exp_bits + f->man_bits);
    return f->nan ? sign | f->nan : sign;
}

uint32_t dtype_encode(dtype t, double v, bool saturate)
{
    const float_row *f = &floats[t];
    INVARIANT(f->exp_bits);
    uint32_t sign = signbit(v) ? 1u << (f->exp_bits + f->man_bits) : 0;
    if (isnan(v))
        return encode_special(f, sign, true, saturate);
    if (isinf(v))
        return encode_special(f, sign, false, saturate);
    int exponent;                                     /* |v| = m * 2^exponent, m in [0.5, 1) */
    double size = fabs(v);
    frexp(size, &exponent);
    int least = 1 - f->bias;
    int of_unit = (exponent - 1 > least ? exponent - 1 : least) - f->man_bits;
    /* of the last place; below 2^(man_bits+1), or just that after a carry */
    double units = nearbyint(ldexp(size, -of_unit));
    uint32_t code;
    if (units >= ldexp(1, f->man_bits)) {
        int biased = of_unit + f->man_bits + f->bias;
        if (biased > 1 << f->exp_bits)
            return encode_special(f, sign, false, saturate);
        /* The carry into the exponent comes by itself: units - 2^man_bits may be 2^man_bits. */
        code = ((uint32_t)biased << f->man_bits) + (uint32_t)(units - ldexp(1, f->man_bits));
    }
    else
        code = (uint32_t)units;
    if (code > f->max)
        return encode_special(f, sign, false, saturate);
    if (code == 0 && f->negative_zero_is_nan)
        return 0;
    return sign | code;
}

uint32_t dtype_encode_e8m0(double v, dtype_round round, bool saturate)
{
    if (isnan(v))
        return E8M0_NAN;
    double size = fabs(v);
    if (size == 0)
        return saturate ? 0 : E8M0_NAN;
    if (isinf(size))
        return saturate ? E8M0_NAN - 1 : E8M0_NAN;
    int exponent;
    double m = frexp(size, &exponent);                /* m in [0.5, 1): the power below is 2^(exponent-1) */
    int power = exponent - 1;
    if ((round == ROUND_UP && m > 0.5) || (round == ROUND_NEAREST && m >= 0.75))
        power++;
    if (power < -E8M0_BIAS)
        return saturate ? 0 : E8M0_NAN;
    if (power > E8M0_BIAS)
        return saturate ? E8M0_NAN - 1 : E8M0_NAN;
    return (uint32_t)(power + E8M0_BIAS);
}
