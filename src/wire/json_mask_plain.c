#include "wire/json_mask.h"

#if !defined(__SSE2__)

/* Bytes 0 and 1 become bits: the multiplication gathers the eight lowest bits into the top byte. */
static uint64_t gather(const uint8_t hit[8])
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v |= (uint64_t)hit[i] << (8 * i);
    return v * 0x0102040810204080u >> 56;
}

uint64_t json_mask(const char p[JSON_MASK_BYTES])
{
    uint8_t hit[JSON_MASK_BYTES];
    uint64_t mask = 0;
    for (int i = 0; i < JSON_MASK_BYTES; i++)   /* no branches, so compilers make vector code of it */
        hit[i] = (uint8_t)((uint8_t)((p[i] | 0x20) - '{') <= 2) | (uint8_t)(p[i] == '"');
    for (int i = 0; i < JSON_MASK_BYTES; i += 8) mask |= gather(hit + i) << i;
    return mask;
}

const char *json_mask_clean(const char *p, const char *end)
{
    while (end - p >= JSON_MASK_BYTES && !json_mask(p)) p += JSON_MASK_BYTES;
    return p;
}

uint64_t json_mask_commas(const char p[JSON_MASK_BYTES])
{
    uint8_t hit[JSON_MASK_BYTES];
    uint64_t mask = 0;
    for (int i = 0; i < JSON_MASK_BYTES; i++) hit[i] = p[i] == ',';
    for (int i = 0; i < JSON_MASK_BYTES; i += 8) mask |= gather(hit + i) << i;
    return mask;
}

#endif
