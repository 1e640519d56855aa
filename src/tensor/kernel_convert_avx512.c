/* Conversions for AVX-512; only reached through kernel_select(). */
#include "tensor/kernel_decl.h"
#if defined(__x86_64__)
#include "tensor/simd_avx512.h"

static inline vl lanes(size_t left)
{
    return left < V_N ? l_first(left) : l_all();
}

void f16_to_f32_avx512(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i += V_N) {
        vm in = lanes(n - i);
        _mm512_mask_storeu_ps(y + i, in, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(in, x + i)));
    }
}

void f32_to_f16_avx512(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += V_N) {
        vm in = lanes(n - i);
        _mm256_mask_storeu_epi16(y + i, in, _mm512_cvtps_ph(_mm512_maskz_loadu_ps(in, x + i),
                                                            _MM_FROUND_TO_NEAREST_INT));
    }
}

void bf16_to_f32_avx512(float *y, const uint16_t *x, size_t n)
{
    for (size_t i = 0; i < n; i += V_N) {
        vm in = lanes(n - i);
        vi wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(in, x + i));
        _mm512_mask_storeu_ps(y + i, in, v_bits(_mm512_slli_epi32(wide, 16)));
    }
}

/* Adds half of what is cut off, less one when the kept part is even; a NaN is cut and made quiet. */
void f32_to_bf16_avx512(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += V_N) {
        vm in = lanes(n - i);
        vf a = _mm512_maskz_loadu_ps(in, x + i);
        vi bits = i_bits(a), top = _mm512_srli_epi32(bits, 16), odd = i_and(top, i_set(1));
        vi up = _mm512_srli_epi32(i_add(bits, i_add(odd, i_set(0x7fff))), 16);
        vi r = _mm512_mask_blend_epi32(m_nan(a), up, i_or(top, i_set(0x40)));
        _mm512_mask_cvtepi32_storeu_epi16(y + i, in, r);
    }
}

void i32_to_f32_avx512(float *y, const int32_t *x, size_t n)
{
    for (size_t i = 0; i < n; i += V_N) {
        vm in = lanes(n - i);
        _mm512_mask_storeu_ps(y + i, in, _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(in, x + i)));
    }
}

/* The instruction gives INT32_MIN for all that does not fit: only then are the sixteen looked at one by one. */
void f32_to_i32_avx512(int32_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += V_N) {
        vm in = lanes(n - i);
        vi whole = _mm512_cvttps_epi32(_mm512_maskz_loadu_ps(in, x + i));
        if (_mm512_cmpeq_epi32_mask(whole, i_set(INT32_MIN)))
            f32_to_i32_scalar(y + i, x + i, n - i < V_N ? n - i : V_N);
        else
            _mm512_mask_storeu_epi32(y + i, in, whole);
    }
}

void dequant_i8_avx512(float *y, const int8_t *x, float scale, int32_t zero, size_t n)
{
    for (size_t i = 0; i < n; i += V_N) {
        vm in = lanes(n - i);
        vi wide = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(in, x + i));
        _mm512_mask_storeu_ps(y + i, in, v_mul(v_of_int(i_sub(wide, i_set(zero))), v_set(scale)));
    }
}

void dequant_u8_avx512(float *y, const uint8_t *x, float scale, int32_t zero, size_t n)
{
    for (size_t i = 0; i < n; i += V_N) {
        vm in = lanes(n - i);
        vi wide = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(in, x + i));
        _mm512_mask_storeu_ps(y + i, in, v_mul(v_of_int(i_sub(wide, i_set(zero))), v_set(scale)));
    }
}

/* max(q, low) gives low for a NaN; all lanes are then in the type's range and are cut to their low byte. */
static void quantise(void *y, const float *x, float scale, int32_t zero, int32_t least, int32_t most, size_t n)
{
    vf s = v_set(scale), low = v_set((float)(least - zero)), high = v_set((float)(most - zero));
    for (size_t i = 0; i < n; i += V_N) {
        vm in = lanes(n - i);
        vf q = v_min(v_max(v_round(v_div(_mm512_maskz_loadu_ps(in, x + i), s)), low), high);
        _mm512_mask_cvtepi32_storeu_epi8((char *)y + i, in, i_add(_mm512_cvtps_epi32(q), i_set(zero)));
    }
}

void quant_i8_avx512(int8_t *y, const float *x, float scale, int32_t zero, size_t n)
{
    quantise(y, x, scale, zero, INT8_MIN, INT8_MAX, n);
}

void quant_u8_avx512(uint8_t *y, const float *x, float scale, int32_t zero, size_t n)
{
    quantise(y, x, scale, zero, 0, UINT8_MAX, n);
}
#endif
