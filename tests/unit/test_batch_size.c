/* Rows and lengths of shared runs come in few sizes, none smaller than what it must hold. */
#include "sched/batch_size.h"
#include "test.h"

static void rows_come_in_few_sizes_up_to_the_most(void)
{
    static const uint32_t want[] = {1, 2, 3, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14, 16, 16, 19, 19, 19};
    for (uint32_t rows = 1; rows <= COUNTOF(want); rows++) CHECK_U64(batch_size_rows(rows, 19), want[rows - 1]);
    for (uint32_t most = 1; most <= 300; most++) {
        uint32_t count = 0, last = 0;
        for (uint32_t rows = 1; rows <= most; rows++) {
            uint32_t size = batch_size_rows(rows, most);
            CHECK(size >= rows && size <= most && size - rows <= (rows + 3) / 4 && size >= last);
            count += size != last;
            last = size;
        }
        CHECK(last == most && count <= 28);
    }
}

static void lengths_come_in_few_sizes(void)
{
    static const uint32_t lengths[][2] = {{0, 8}, {1, 8}, {8, 8}, {9, 10}, {11, 12}, {12, 12}, {13, 14}, {16, 16},
                                          {17, 20}, {100, 112}, {112, 112}, {113, 128}, {385, 448}, {513, 640},
                                          {UINT32_MAX / 4 * 3, UINT32_MAX / 4 * 3 + 3}};
    for (size_t i = 0; i < COUNTOF(lengths); i++) CHECK_U64(batch_size_length(lengths[i][0]), lengths[i][1]);
    CHECK_U64(batch_size_length(UINT32_MAX), UINT32_MAX);
    for (uint32_t n = 9; n < 5000; n++) {
        uint32_t size = batch_size_length(n);
        CHECK(size >= n && size - n <= n / 4 && size >= batch_size_length(n - 1));
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(rows_come_in_few_sizes_up_to_the_most),
        TEST(lengths_come_in_few_sizes),
    };
    return test_main(cases, COUNTOF(cases));
}
