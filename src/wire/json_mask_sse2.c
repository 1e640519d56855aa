#include "wire/json_mask.h"

#if defined(__SSE2__)
#include <emmintrin.h>

uint64_t json_mask(const char p[JSON_MASK_BYTES])
{
    const __m128i lower = _mm_set1_epi8(0x20), bracket = _mm_set1_epi8('{'), two = _mm_set1_epi8(2);
    const __m128i quote = _mm_set1_epi8('"');
    uint64_t mask = 0;
    for (size_t i = 0; i < 4; i++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        /* With bit 5 set, [ \ ] become { | }: three neighbours, found by one unsigned comparison. */
        __m128i from = _mm_sub_epi8(_mm_or_si128(v, lower), bracket);
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(from, two), from), _mm_cmpeq_epi8(v, quote));
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(hit) << (16 * i);
    }
    return mask;
}

#endif
