/* kernel_list_convert.h - kernels from one element type to another. */
#ifndef TENSOR_KERNEL_LIST_CONVERT_H
#define TENSOR_KERNEL_LIST_CONVERT_H
#include <stddef.h>
#include <stdint.h>

#define KERNEL_LIST_CONVERT(X)                                                                                \
    /* name             returns  arguments                                                    avx2  avx512 */ \
    /* Source and destination do not overlap. */                                                              \
    X(f16_to_f32,       void,    (float *y, const uint16_t *x, size_t n),                     avx2, avx512)   \
    X(f32_to_f16,       void,    (uint16_t *y, const float *x, size_t n),                     avx2, avx512)   \
    X(bf16_to_f32,      void,    (float *y, const uint16_t *x, size_t n),                     avx2, avx512)   \
    X(f32_to_bf16,      void,    (uint16_t *y, const float *x, size_t n),                     avx2, avx512)   \
    X(i32_to_f32,       void,    (float *y, const int32_t *x, size_t n),                      avx2, avx512)   \
    /* Toward zero; a NaN gives 0, what is out of range the low bits of the nearest int64. */                 \
    X(f32_to_i32,       void,    (int32_t *y, const float *x, size_t n),                      avx2, avx512)   \
    /* y = (x - zero) * scale */                                                                              \
    X(dequant_i8,       void,    (float *y, const int8_t *x, float scale, int32_t zero, size_t n),  avx2, avx512) \
    X(dequant_u8,       void,    (float *y, const uint8_t *x, float scale, int32_t zero, size_t n), avx2, avx512) \
    /* y = x / scale to the nearest even, + zero, held in the type's range; a NaN gives its lowest value */   \
    X(quant_i8,         void,    (int8_t *y, const float *x, float scale, int32_t zero, size_t n),  avx2, avx512) \
    X(quant_u8,         void,    (uint8_t *y, const float *x, float scale, int32_t zero, size_t n), avx2, avx512)

#endif
