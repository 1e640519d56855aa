/* simd_avx512.h - sixteen floats in a register.
 *
 * The names and rules are those of simd_avx2.h, so that a kernel_*_body.h is written once for both.  Only for files
 * that are compiled with AVX-512 (*_avx512.c). */
#ifndef TENSOR_SIMD_AVX512_H
#define TENSOR_SIMD_AVX512_H
#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ISA(name) name##_avx512
enum { V_N = 16, D_N = 8 };
typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;
typedef __m512d vd;
typedef __mmask16 vl;

static inline vl l_first(size_t n) { return (vl)((1u << n) - 1); }
static inline vl l_all(void) { return 0xffff; }
static inline vf v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
static inline vf v_load_lanes(const float *p, vl in) { return _mm512_maskz_loadu_ps(in, p); }
static inline void v_store_lanes(float *p, vf a, vl in) { _mm512_mask_storeu_ps(p, in, a); }
static inline vf v_load_part(const float *p, size_t n) { return v_load_lanes(p, l_first(n)); }
static inline void v_store_part(float *p, vf a, size_t n) { v_store_lanes(p, a, l_first(n)); }
static inline vf v_set(float a) { return _mm512_set1_ps(a); }
static inline vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf v_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }
static inline vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
static inline vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
static inline vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
static inline vf v_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf v_floor(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
static inline vf v_ceil(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
static inline vf v_abs(vf a) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a); }
static inline vf v_neg(vf a) { return _mm512_xor_ps(_mm512_set1_ps(-0.0f), a); }
static inline vf v_copysign(vf size, vf sign)
{
    vf top = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(top, size), _mm512_and_ps(top, sign));
}
static inline vm m_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline vm m_ge(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
static inline vm m_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline vm m_nan(vf a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
static inline vm m_none(void) { return 0; }
static inline vm m_or(vm a, vm b) { return (vm)(a | b); }
static inline bool m_any(vm a) { return a != 0; }
static inline vf v_pick(vm m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }
static inline vi i_bits(vf a) { return _mm512_castps_si512(a); }
static inline vf v_bits(vi a) { return _mm512_castsi512_ps(a); }
static inline vi i_load(const void *p) { return _mm512_loadu_si512(p); }
static inline vi i_load_lanes(const int32_t *p, vl in) { return _mm512_maskz_loadu_epi32(in, p); }
static inline void i_store_lanes(int32_t *p, vi a, vl in) { _mm512_mask_storeu_epi32(p, in, a); }
static inline vi i_dot_pairs(vi a, vi b) { return _mm512_madd_epi16(a, b); }
static inline vi i_set(int32_t a) { return _mm512_set1_epi32(a); }
static inline vi i_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
static inline vi i_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
static inline vi i_and(vi a, vi b) { return _mm512_and_si512(a, b); }
static inline vi i_or(vi a, vi b) { return _mm512_or_si512(a, b); }
static inline vi i_shr23(vi a) { return _mm512_srli_epi32(a, 23); }
static inline vi i_near(vf a) { return _mm512_cvtps_epi32(a); }
static inline vf v_of_int(vi a) { return _mm512_cvtepi32_ps(a); }
static inline vf v_scale2(vf a, vf n) { return _mm512_scalef_ps(a, n); }
static inline float v_sum(vf a) { return _mm512_reduce_add_ps(a); }
static inline float v_max_of(vf a) { return _mm512_reduce_max_ps(a); }
static inline vd d_low(vf a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a)); }
static inline vd d_high(vf a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)); }
static inline vf v_of_doubles(vd low, vd high)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
}
static inline vd d_set(double a) { return _mm512_set1_pd(a); }
static inline vd d_add(vd a, vd b) { return _mm512_add_pd(a, b); }
static inline vd d_sub(vd a, vd b) { return _mm512_sub_pd(a, b); }
static inline vd d_mul(vd a, vd b) { return _mm512_mul_pd(a, b); }
static inline vd d_div(vd a, vd b) { return _mm512_div_pd(a, b); }
static inline vd d_fma(vd a, vd b, vd c) { return _mm512_fmadd_pd(a, b, c); }
static inline vd d_max(vd a, vd b) { return _mm512_max_pd(a, b); }
static inline vd d_min(vd a, vd b) { return _mm512_min_pd(a, b); }
static inline vd d_round(vd a) { return _mm512_roundscale_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vd d_exp2_whole(vd n) { return _mm512_scalef_pd(_mm512_set1_pd(1), n); }
static inline vd d_exponent(vd a) { return _mm512_getexp_pd(a); }
static inline vd d_mantissa(vd a) { return _mm512_getmant_pd(a, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src); }
static inline vd d_pick_gt(vd a, vd b, vd yes, vd no)
{
    return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_GT_OQ), no, yes);
}
static inline double d_sum(vd a) { return _mm512_reduce_add_pd(a); }

#endif
