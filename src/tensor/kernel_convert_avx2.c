/* Conversions for AVX2 and F16C; only reached through kernel_select().  The last elements of a row are copied through
 * a block on the stack, so that they go through the same code and nothing past the row is touched. */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/simd_avx2.h"

#include <string.h>

static inline __m256 f32_of_f16(const uint16_t *x)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)x));
}

static inline __m256 f32_of_bf16(const uint16_t *x)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline void f16_of_f32(uint16_t *y, __m256 a)
{
    _mm_storeu_si128((__m128i *)(void *)y, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

/* Adds half of what is cut off, less one when the kept part is even; a NaN is cut and made quiet. */
static inline void bf16_of_f32(uint16_t *y, __m256 a)
{
    __m256i bits = _mm256_castps_si256(a), top = _mm256_srli_epi32(bits, 16);
    __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
    __m256i up = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
    __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
    __m256i r = _mm256_blendv_epi8(up, quiet, _mm256_castps_si256(m_nan(a)));
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(r, r), 0x08);
    _mm_storeu_si128((__m128i *)(void *)y, _mm256_castsi256_si128(packed));
}

/* TO: type of y, FROM: type of x, step: moves 8 elements at (y, x). */
#define ROWS(TO, FROM, step)                         \
    do {                                             \
        size_t i = 0;                                \
        for (; i + V_N <= n; i += V_N)               \
            step(y + i, x + i);                      \
        if (i < n) {                                 \
            FROM from[V_N] = {0};                    \
            TO to[V_N];                              \
            memcpy(from, x + i, (n - i) * sizeof *x); \
            step(to, from);                          \
            memcpy(y + i, to, (n - i) * sizeof *y);  \
        }                                            \
    } while (0)

#define F16_TO_F32(y, x) v_store(y, f32_of_f16(x))
#define BF16_TO_F32(y, x) v_store(y, f32_of_bf16(x))
#define F32_TO_F16(y, x) f16_of_f32(y, v_load(x))
#define F32_TO_BF16(y, x) bf16_of_f32(y, v_load(x))

void f16_to_f32_avx2(float *y, const uint16_t *x, size_t n)
{
    ROWS(float, uint16_t, F16_TO_F32);
}

void bf16_to_f32_avx2(float *y, const uint16_t *x, size_t n)
{
    ROWS(float, uint16_t, BF16_TO_F32);
}

void f32_to_f16_avx2(uint16_t *y, const float *x, size_t n)
{
    ROWS(uint16_t, float, F32_TO_F16);
}

void f32_to_bf16_avx2(uint16_t *y, const float *x, size_t n)
{
    ROWS(uint16_t, float, F32_TO_BF16);
}

/* The instruction gives INT32_MIN for all that does not fit: only then are the eight looked at one by one. */
static inline void i32_of_f32(int32_t *y, const float *x)
{
    __m256i whole = _mm256_cvttps_epi32(_mm256_loadu_ps(x));
    __m256i odd = _mm256_cmpeq_epi32(whole, _mm256_set1_epi32(INT32_MIN));
    if (_mm256_testz_si256(odd, odd))
        _mm256_storeu_si256((__m256i *)(void *)y, whole);
    else
        f32_to_i32_scalar(y, x, V_N);
}

#define I32_TO_F32(y, x) v_store(y, _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)(const void *)(x))))

void i32_to_f32_avx2(float *y, const int32_t *x, size_t n)
{
    ROWS(float, int32_t, I32_TO_F32);
}

void f32_to_i32_avx2(int32_t *y, const float *x, size_t n)
{
    ROWS(int32_t, float, i32_of_f32);
}

static inline __m256 scaled(__m256i x, __m256i zero, __m256 scale)
{
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(x, zero)), scale);
}

#define LOAD_8(x) _mm_loadl_epi64((const __m128i *)(const void *)(x))
#define DEQUANT_I8(y, x) v_store(y, scaled(_mm256_cvtepi8_epi32(LOAD_8(x)), z, s))
#define DEQUANT_U8(y, x) v_store(y, scaled(_mm256_cvtepu8_epi32(LOAD_8(x)), z, s))

void dequant_i8_avx2(float *y, const int8_t *x, float scale, int32_t zero, size_t n)
{
    __m256i z = _mm256_set1_epi32(zero);
    __m256 s = _mm256_set1_ps(scale);
    ROWS(float, int8_t, DEQUANT_I8);
}

void dequant_u8_avx2(float *y, const uint8_t *x, float scale, int32_t zero, size_t n)
{
    __m256i z = _mm256_set1_epi32(zero);
    __m256 s = _mm256_set1_ps(scale);
    ROWS(float, uint8_t, DEQUANT_U8);
}

/* max(q, low) gives low for a NaN.  All eight are in range, so one byte of each lane is the answer. */
static inline void bytes_of(void *y, __m256 x, __m256 scale, __m256 low, __m256 high, __m256i zero)
{
    __m256 q = v_min(v_max(v_round(v_div(x, scale)), low), high);
    __m256i r = _mm256_add_epi32(_mm256_cvtps_epi32(q), zero);
    __m256i pick = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12, -1, -1,
                                    -1, -1, -1, -1,
                                    -1, -1, -1, -1, -1, -1);
    __m256i picked = _mm256_shuffle_epi8(r, pick);
    __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(picked), _mm256_extracti128_si256(picked, 1));
    _mm_storel_epi64((__m128i *)y, both);
}

#define QUANT(y, x) bytes_of(y, v_load(x), s, low, high, z)

void quant_i8_avx2(int8_t *y, const float *x, float scale, int32_t zero, size_t n)
{
    __m256i z = _mm256_set1_epi32(zero);
    __m256 s = v_set(scale), low = v_set((float)(INT8_MIN - zero)), high = v_set((float)(INT8_MAX - zero));
    ROWS(int8_t, float, QUANT);
}

void quant_u8_avx2(uint8_t *y, const float *x, float scale, int32_t zero, size_t n)
{
    __m256i z = _mm256_set1_epi32(zero);
    __m256 s = v_set(scale), low = v_set((float)(0 - zero)), high = v_set((float)(UINT8_MAX - zero));
    ROWS(uint8_t, float, QUANT);
}
#endif
