/* Portable reference.  Slow and obvious on purpose: every other ISA is tested against this file. */
#include "tensor/dtype.h"
#include "tensor/kernel_decl.h"

#include <math.h>

void f16_to_f32_scalar(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = dtype_f16_to_f32(x[i]);
}

void f32_to_f16_scalar(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = dtype_f32_to_f16(x[i]);
}

void bf16_to_f32_scalar(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = dtype_bf16_to_f32(x[i]);
}

void f32_to_bf16_scalar(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = dtype_f32_to_bf16(x[i]);
}

void i32_to_f32_scalar(float *y, const int32_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)x[i];
}

void f32_to_i32_scalar(int32_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t whole = x[i] >= 0x1p63f ? INT64_MAX : x[i] > -0x1p63f ? (int64_t)x[i] : isnan(x[i]) ? 0 : INT64_MIN;
        y[i] = (int32_t)(uint32_t)(uint64_t)whole;
    }
}

void dequant_i8_scalar(float *y, const int8_t *x, float scale, int32_t zero, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(x[i] - zero) * scale;
}

void dequant_u8_scalar(float *y, const uint8_t *x, float scale, int32_t zero, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(x[i] - zero) * scale;
}

/* Held before `zero` is added, so that every value on the way is exact. */
static int32_t quantise(float x, float scale, int32_t zero, int32_t low, int32_t high)
{
    float q = nearbyintf(x / scale);
    if (!(q > (float)(low - zero)))
        return low;
    return q > (float)(high - zero) ? high : (int32_t)q + zero;
}

void quant_i8_scalar(int8_t *y, const float *x, float scale, int32_t zero, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (int8_t)quantise(x[i], scale, zero, INT8_MIN, INT8_MAX);
}

void quant_u8_scalar(uint8_t *y, const float *x, float scale, int32_t zero, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (uint8_t)quantise(x[i], scale, zero, 0, UINT8_MAX);
}
