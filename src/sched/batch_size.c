#include "sched/batch_size.h"

/* n > 8, up to a quarter of the power of two below it. */
static uint32_t quarter(uint32_t n)
{
    const uint32_t below = UINT32_C(1) << (31 - __builtin_clz(n - 1)), step = below / 4;
    const uint64_t size = below + ((uint64_t)n - below + step - 1) / step * step;
    return size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

uint32_t batch_size_rows(uint32_t rows, uint32_t most)
{
    static const uint8_t few[] = {1, 1, 2, 3, 4, 6, 6, 8, 8};
    const uint32_t size = rows < sizeof few ? few[rows] : quarter(rows);
    return size < most ? size : most;
}

uint32_t batch_size_length(uint32_t longest)
{
    enum { LEAST = 8 };
    return longest <= LEAST ? LEAST : quarter(longest);
}
