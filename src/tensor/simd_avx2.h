/* simd_avx2.h - eight floats in a register, under the names that the kernel bodies use.
 *
 * simd_avx512.h has the same names for sixteen; a body (kernel_*_body.h, simd_math.h) is written once and
 * compiled for both.  v_: floats, i_: 32-bit integers, m_: a truth per lane, d_: half as many doubles, l_: which
 * lanes of memory are touched.  The _lanes forms touch only those and read the others as 0; the _part forms the
 * first n (1 <= n < V_N). */
#ifndef TENSOR_SIMD_AVX2_H
#define TENSOR_SIMD_AVX2_H
#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ISA(name) name##_avx2
enum { V_N = 8, D_N = 4 };
typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;
typedef __m256d vd;
typedef __m256i vl;

/* The first n lanes, n <= V_N. */
static inline vl l_first(size_t n)
{
    static const int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(lanes + V_N - n));
}
static inline vl l_all(void) { return _mm256_set1_epi32(-1); }
static inline vf v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
static inline vf v_load_lanes(const float *p, vl in) { return _mm256_maskload_ps(p, in); }
static inline void v_store_lanes(float *p, vf a, vl in) { _mm256_maskstore_ps(p, in, a); }
static inline vf v_load_part(const float *p, size_t n) { return v_load_lanes(p, l_first(n)); }
static inline void v_store_part(float *p, vf a, size_t n) { v_store_lanes(p, a, l_first(n)); }
static inline vf v_set(float a) { return _mm256_set1_ps(a); }
static inline vf v_add(vf a, vf b) { return _mm256_add_ps(a, b); }
static inline vf v_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
static inline vf v_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
static inline vf v_div(vf a, vf b) { return _mm256_div_ps(a, b); }
static inline vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }      /* c + a*b */
static inline vf v_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }    /* c - a*b */
static inline vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }                 /* b when either is a NaN */
static inline vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
static inline vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
static inline vf v_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline vf v_floor(vf a) { return _mm256_floor_ps(a); }
static inline vf v_ceil(vf a) { return _mm256_ceil_ps(a); }
static inline vf v_abs(vf a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline vf v_neg(vf a) { return _mm256_xor_ps(_mm256_set1_ps(-0.0f), a); }
static inline vf v_copysign(vf size, vf sign)
{
    vf top = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(top, size), _mm256_and_ps(top, sign));
}
static inline vm m_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
static inline vm m_ge(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_GE_OQ); }
static inline vm m_eq(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline vm m_nan(vf a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
static inline vm m_none(void) { return _mm256_setzero_ps(); }
static inline vm m_or(vm a, vm b) { return _mm256_or_ps(a, b); }
static inline bool m_any(vm a) { return _mm256_movemask_ps(a) != 0; }
static inline vf v_pick(vm m, vf yes, vf no) { return _mm256_blendv_ps(no, yes, m); }
static inline vi i_bits(vf a) { return _mm256_castps_si256(a); }
static inline vf v_bits(vi a) { return _mm256_castsi256_ps(a); }
static inline vi i_load(const void *p) { return _mm256_loadu_si256((const __m256i_u *)p); }
static inline vi i_load_lanes(const int32_t *p, vl in) { return _mm256_maskload_epi32(p, in); }
static inline void i_store_lanes(int32_t *p, vi a, vl in) { _mm256_maskstore_epi32(p, in, a); }
/* Of each pair of 16-bit integers in a lane the sum of their products. */
static inline vi i_dot_pairs(vi a, vi b) { return _mm256_madd_epi16(a, b); }
static inline vi i_set(int32_t a) { return _mm256_set1_epi32(a); }
static inline vi i_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
static inline vi i_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
static inline vi i_and(vi a, vi b) { return _mm256_and_si256(a, b); }
static inline vi i_or(vi a, vi b) { return _mm256_or_si256(a, b); }
static inline vi i_shr23(vi a) { return _mm256_srli_epi32(a, 23); }
static inline vi i_near(vf a) { return _mm256_cvtps_epi32(a); }      /* to the nearest even */
static inline vf v_of_int(vi a) { return _mm256_cvtepi32_ps(a); }
/* a * 2^n for a whole n in -252..254, in two steps so that a result below the normal range is rounded once. */
static inline vf v_scale2(vf a, vf n)
{
    vi whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1), bias = _mm256_set1_epi32(127);
    vi first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    vi second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(a, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}
static inline float v_sum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float v_max_of(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
static inline vd d_low(vf a) { return _mm256_cvtps_pd(_mm256_castps256_ps128(a)); }
static inline vd d_high(vf a) { return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)); }
static inline vf v_of_doubles(vd low, vd high) { return _mm256_set_m128(_mm256_cvtpd_ps(high), _mm256_cvtpd_ps(low)); }
static inline vd d_set(double a) { return _mm256_set1_pd(a); }
static inline vd d_add(vd a, vd b) { return _mm256_add_pd(a, b); }
static inline vd d_sub(vd a, vd b) { return _mm256_sub_pd(a, b); }
static inline vd d_mul(vd a, vd b) { return _mm256_mul_pd(a, b); }
static inline vd d_div(vd a, vd b) { return _mm256_div_pd(a, b); }
static inline vd d_fma(vd a, vd b, vd c) { return _mm256_fmadd_pd(a, b, c); }
static inline vd d_max(vd a, vd b) { return _mm256_max_pd(a, b); }
static inline vd d_min(vd a, vd b) { return _mm256_min_pd(a, b); }
static inline vd d_round(vd a) { return _mm256_round_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* 2^n for a whole n in -1000..1000: 2^52 + 1023 + n holds the exponent in its low bits. */
static inline vd d_exp2_whole(vd n)
{
    __m256i bits = _mm256_castpd_si256(_mm256_add_pd(n, _mm256_set1_pd(0x1p52 + 1023)));
    return _mm256_castsi256_pd(_mm256_slli_epi64(bits, 52));
}
/* The exponent of a normal positive a, so that a / 2^it is in [1, 2). */
static inline vd d_exponent(vd a)
{
    __m256i top = _mm256_srli_epi64(_mm256_castpd_si256(a), 52);
    __m256d with_base = _mm256_castsi256_pd(_mm256_or_si256(top, _mm256_set1_epi64x(0x4330000000000000)));
    return _mm256_sub_pd(with_base, _mm256_set1_pd(0x1p52 + 1023));
}
static inline vd d_mantissa(vd a)
{
    __m256i low = _mm256_and_si256(_mm256_castpd_si256(a), _mm256_set1_epi64x(0xfffffffffffff));
    return _mm256_castsi256_pd(_mm256_or_si256(low, _mm256_set1_epi64x(0x3ff0000000000000)));
}
static inline vd d_pick_gt(vd a, vd b, vd yes, vd no)
{
    return _mm256_blendv_pd(no, yes, _mm256_cmp_pd(a, b, _CMP_GT_OQ));
}
static inline double d_sum(vd a)
{
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

#endif
