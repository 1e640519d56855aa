#include "wire/json_mask.h"

#if defined(__SSE2__)
#include <emmintrin.h>

static inline __m128i load(const char *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }

/* All ones where the 16 bytes at p have structure. */
static inline __m128i hits(const char *p)
{
    const __m128i lower = _mm_set1_epi8(0x20), bracket = _mm_set1_epi8('{'), two = _mm_set1_epi8(2);
    __m128i v = load(p);
    /* With bit 5 set, [ \ ] become { | }: three neighbours, found by one unsigned comparison. */
    __m128i from = _mm_sub_epi8(_mm_or_si128(v, lower), bracket);
    return _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(from, two), from), _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
}

uint64_t json_mask(const char p[JSON_MASK_BYTES])
{
    uint64_t mask = 0;
    for (size_t i = 0; i < 4; i++) mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(hits(p + 16 * i)) << (16 * i);
    return mask;
}

const char *json_mask_clean(const char *p, const char *end)
{
    for (; end - p >= JSON_MASK_BYTES; p += JSON_MASK_BYTES) {
        __m128i any = _mm_or_si128(_mm_or_si128(hits(p), hits(p + 16)), _mm_or_si128(hits(p + 32), hits(p + 48)));
        if (_mm_movemask_epi8(any)) break;
    }
    return p;
}

uint64_t json_mask_commas(const char p[JSON_MASK_BYTES])
{
    const __m128i comma = _mm_set1_epi8(',');
    uint64_t mask = 0;
    for (size_t i = 0; i < 4; i++) {
        __m128i hit = _mm_cmpeq_epi8(load(p + 16 * i), comma);
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(hit) << (16 * i);
    }
    return mask;
}

#endif
