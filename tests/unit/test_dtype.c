/* The table agrees with ONNX's numbers, and every conversion of a small float type is the nearest value with ties to
 * even: checked over all codes of every type and against the general codec over all halves and random floats. */
#include "tensor/dtype.h"
#include "test.h"

#include <math.h>

static const dtype small_floats[] = {DT_F16, DT_BF16, DT_F8E4M3FN, DT_F8E4M3FNUZ, DT_F8E5M2, DT_F8E5M2FNUZ, DT_F4E2M1};

static float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void numbers_are_those_of_onnx(void)
{
    CHECK_U64(DT_F32, 1);
    CHECK_U64(DT_STRING, 8);
    CHECK_U64(DT_BF16, 16);
    CHECK_U64(DT_I2, 26);
    CHECK(!dtype_ok(0) && dtype_ok(1) && dtype_ok(26) && !dtype_ok(27) && !dtype_ok(-1));
    for (int t = 1; t < DT_COUNT; t++)
        CHECK(dtype_bits((dtype)t) > 0 && dtype_kind_of((dtype)t) != KIND_NONE);
    CHECK_STR(dtype_name(DT_F8E4M3FN), "float8e4m3fn");
    CHECK_STR(dtype_name(DT_NONE), "none");
}

static void names_are_found_again(void)
{
    for (int t = 1; t < DT_COUNT; t++) {
        if (dtype_v2_name((dtype)t))
            CHECK_U64(dtype_of_v2(str_of(dtype_v2_name((dtype)t))), (uint64_t)t);
        if (dtype_npy_name((dtype)t))
            CHECK_U64(dtype_of_npy(str_of(dtype_npy_name((dtype)t))), (uint64_t)t);
    }
    CHECK_U64(dtype_of_v2(STR("fp32")), DT_NONE);
    CHECK_U64(dtype_of_npy(STR("=f4")), DT_F32);
    CHECK_U64(dtype_of_npy(STR("<u1")), DT_U8);
    CHECK_U64(dtype_of_npy(STR("=b1")), DT_BOOL);
    CHECK_U64(dtype_of_npy(STR(">f4")), DT_NONE);
    CHECK_U64(dtype_of_npy(STR("|f4")), DT_NONE);
    CHECK_U64(dtype_of_npy(STR("f4")), DT_NONE);
    CHECK_U64(dtype_of_npy(STR("")), DT_NONE);
}

static void bytes_are_packed_and_overflow_is_seen(void)
{
    CHECK_U64(dtype_bytes(DT_F32, 3), 12);
    CHECK_U64(dtype_bytes(DT_I4, 0), 0);
    CHECK_U64(dtype_bytes(DT_I4, 3), 2);
    CHECK_U64(dtype_bytes(DT_U2, 5), 2);
    CHECK_U64(dtype_bytes(DT_F64, UINT64_MAX), SIZE_MAX);
    CHECK_U64(dtype_bytes(DT_F32, UINT64_MAX / 4 + 1), SIZE_MAX);
    CHECK_U64(dtype_bytes(DT_STRING, 2), 2 * sizeof(str));
}

static void every_code_comes_back(void)
{
    for (size_t k = 0; k < COUNTOF(small_floats); k++) {
        dtype t = small_floats[k];
        for (uint32_t code = 0; code < 1u << dtype_bits(t); code++) {
            double v = dtype_decode(t, code);
            if (isnan(v))
                CHECK(isnan(dtype_decode(t, dtype_encode(t, v, false))));
            else if (!isinf(v))
                CHECK_U64(dtype_encode(t, v, true), code);
            else
                CHECK_U64(dtype_encode(t, v, false), code);
        }
    }
    for (uint32_t code = 0; code < 255; code++)
        CHECK_U64(dtype_encode_e8m0(dtype_decode(DT_F8E8M0, code), ROUND_UP, true), code);
}

/* Half-way between two neighbours goes to the even code, a little less or more to the nearer one. */
static void rounding_is_to_nearest_even(void)
{
    for (size_t k = 0; k < COUNTOF(small_floats); k++) {
        dtype t = small_floats[k];
        for (uint32_t code = 0; code + 1 < 1u << (dtype_bits(t) - 1); code++) {
            double low = dtype_decode(t, code), high = dtype_decode(t, code + 1);
            if (isnan(high) || isinf(high))
                break;
            double middle = (low + high) / 2, step = (high - low) / 16;
            CHECK_U64(dtype_encode(t, middle, true), code + (code & 1));
            CHECK_U64(dtype_encode(t, middle - step, true), code);
            CHECK_U64(dtype_encode(t, middle + step, true), code + 1);
        }
    }
}

static void too_large_saturates_or_not(void)
{
    CHECK_U64(dtype_encode(DT_F8E4M3FN, 1e9, true), 0x7e);
    CHECK_U64(dtype_encode(DT_F8E4M3FN, 1e9, false), 0x7f);
    CHECK_U64(dtype_encode(DT_F8E4M3FN, -(double)INFINITY, true), 0xfe);
    CHECK_U64(dtype_encode(DT_F8E4M3FNUZ, 1e300, false), 0x80);
    CHECK_U64(dtype_encode(DT_F8E4M3FNUZ, -0.0, true), 0);
    CHECK_U64(dtype_encode(DT_F8E5M2, -1e9, false), 0xfc);
    CHECK_U64(dtype_encode(DT_F8E5M2FNUZ, -1e9, true), 0xff);
    CHECK_U64(dtype_encode(DT_F4E2M1, 100, false), 7);
    CHECK_U64(dtype_encode(DT_F4E2M1, -5, true), 0xe);        /* between 4 and 6: the even code */
    CHECK_U64(dtype_encode(DT_F8E4M3FN, 1e-300, true), 0);
}

static void powers_of_two_round_as_asked(void)
{
    CHECK_U64(dtype_encode_e8m0(1.0, ROUND_UP, true), 127);
    CHECK_U64(dtype_encode_e8m0(1.1, ROUND_UP, true), 128);
    CHECK_U64(dtype_encode_e8m0(1.9, ROUND_DOWN, true), 127);
    CHECK_U64(dtype_encode_e8m0(1.5, ROUND_NEAREST, true), 128);
    CHECK_U64(dtype_encode_e8m0(1.4, ROUND_NEAREST, true), 127);
    CHECK_U64(dtype_encode_e8m0(0, ROUND_UP, true), 0);
    CHECK_U64(dtype_encode_e8m0(0, ROUND_NEAREST, false), 0xff);
    CHECK_U64(dtype_encode_e8m0((double)INFINITY, ROUND_UP, true), 0xfe);
    CHECK_U64(dtype_encode_e8m0((double)INFINITY, ROUND_UP, false), 0xff);
    CHECK_U64(dtype_encode_e8m0((double)NAN, ROUND_UP, true), 0xff);
    CHECK(dtype_decode(DT_F8E8M0, 0) == 0x1p-127);
}

static void halves_and_bfloats_agree_with_the_codec(void)
{
    for (uint32_t h = 0; h < 65536; h++) {
        double a = (double)dtype_f16_to_f32((uint16_t)h), b = dtype_decode(DT_F16, h);
        CHECK(a == b || (isnan(a) && isnan(b)));
        a = (double)dtype_bf16_to_f32((uint16_t)h);
        b = dtype_decode(DT_BF16, h);
        CHECK(a == b || (isnan(a) && isnan(b)));
    }
    uint64_t seed = 7;
    for (int i = 0; i < 200000; i++) {
        uint32_t bits = (uint32_t)(test_rand(&seed) >> 32);
        if (i & 1)      /* more of the range that halves have, and of its ties */
            bits = (bits & 0x80001fff) | (uint32_t)(test_rand(&seed) % 0x3000 + 0x18000) << 13;
        if (i % 8 == 1)
            bits = (bits & ~0x1fffu) | 0x1000;
        float f = from_bits(bits);
        if (isnan(f)) {
            CHECK(isnan(dtype_f16_to_f32(dtype_f32_to_f16(f))) && isnan(dtype_bf16_to_f32(dtype_f32_to_bf16(f))));
            continue;
        }
        CHECK_U64(dtype_f32_to_f16(f), dtype_encode(DT_F16, (double)f, false));
        CHECK_U64(dtype_f32_to_bf16(f), dtype_encode(DT_BF16, (double)f, false));
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(numbers_are_those_of_onnx),   TEST(names_are_found_again),
        TEST(bytes_are_packed_and_overflow_is_seen),
        TEST(every_code_comes_back),       TEST(rounding_is_to_nearest_even),  TEST(too_large_saturates_or_not),
        TEST(powers_of_two_round_as_asked), TEST(halves_and_bfloats_agree_with_the_codec),
    };
    return test_main(cases, COUNTOF(cases));
}
