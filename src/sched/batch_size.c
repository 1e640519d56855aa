#include "sched/batch_size.h"

uint32_t batch_size_rows(uint32_t rows, uint32_t most)
{
    uint32_t size = 1;
    while (size < rows && size < most && size < UINT32_MAX / 2) {
        uint32_t half = size + size / 2;   /* size is a power of two */
        if (half >= rows && half < most) return half;
        size *= 2;
    }
    return size < rows || size > most ? most : size;
}

uint32_t batch_size_length(uint32_t longest)
{
    enum { LEAST = 8 };
    if (longest <= LEAST) return LEAST;
    const uint32_t below = UINT32_C(1) << (31 - __builtin_clz(longest - 1)), step = below / 4;
    const uint64_t size = below + ((uint64_t)longest - below + step - 1) / step * step;
    return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}
