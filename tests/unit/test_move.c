/* A copy between two views must equal the plain loop over every index, for any rank, stride and element size, and
 * must write nothing else. */
#include "tensor/move.h"
#include "test.h"

enum { DIM_MAX = 5, BYTES_MAX = 4096 * 16 };

static uint8_t from[BYTES_MAX], got[BYTES_MAX], want[BYTES_MAX];

/* A view of random dims whose strides are a permutation of the dense ones, some of them reversed or 0. */
static view random_view(const view *dims, bool may_repeat, uint64_t *seed)
{
    view v = *dims;
    uint32_t order[TENSOR_RANK_MAX];
    int64_t stride = 1;
    v.offset = 0;
    for (uint32_t i = 0; i < v.rank; i++) order[i] = i;
    for (uint32_t i = v.rank; i > 1; i--) {
        uint32_t k = (uint32_t)(test_rand(seed) % i), t = order[i - 1];
        order[i - 1] = order[k];
        order[k] = t;
    }
    for (uint32_t i = 0; i < v.rank; i++) {
        uint32_t d = order[i];
        v.stride[d] = stride;
        if (may_repeat && test_rand(seed) % 6 == 0) v.stride[d] = 0;
        if (test_rand(seed) % 5 == 0) {
            v.offset += v.stride[d] * (v.dim[d] > 0 ? v.dim[d] - 1 : 0);
            v.stride[d] = -v.stride[d];
        }
        stride *= v.dim[d] + (int64_t)(test_rand(seed) % 2);
    }
    return v;
}

static void naive(const view *dv, const view *fv, size_t size, uint32_t d, int64_t to, int64_t at)
{
    if (d == dv->rank) {
        memcpy(want + to * (int64_t)size, from + at * (int64_t)size, size);
        return;
    }
    for (int64_t i = 0; i < dv->dim[d]; i++) naive(dv, fv, size, d + 1, to + i * dv->stride[d], at + i * fv->stride[d]);
}

static void copies_like_the_plain_loop(void)
{
    uint64_t seed = 7;
    for (size_t i = 0; i < sizeof from; i++) from[i] = (uint8_t)test_rand(&seed);
    for (int round = 0; round < 3000; round++) {
        view dims = {.rank = (uint32_t)(test_rand(&seed) % 5)};
        for (uint32_t i = 0; i < dims.rank; i++)
            dims.dim[i] = (int64_t)(test_rand(&seed) % (DIM_MAX + 1)) + (test_rand(&seed) % 8 != 0);
        view dv = random_view(&dims, false, &seed), fv = random_view(&dims, true, &seed);
        size_t size = (size_t)1 << test_rand(&seed) % 5;
        memset(got, 0xEE, sizeof got);
        memset(want, 0xEE, sizeof want);
        naive(&dv, &fv, size, 0, dv.offset, fv.offset);
        move_copy(got, &dv, from, &fv, size);
        CHECK(memcmp(got, want, sizeof got) == 0);
    }
}

static void a_large_transpose_is_exact(void)
{
    view dv = {.rank = 2, .dim = {61, 47}, .stride = {47, 1}}, fv = {.rank = 2, .dim = {61, 47}, .stride = {1, 61}};
    memset(want, 0, sizeof want);
    memset(got, 0, sizeof got);
    naive(&dv, &fv, 4, 0, 0, 0);
    move_copy(got, &dv, from, &fv, 4);
    CHECK(memcmp(got, want, sizeof got) == 0);
}

static void fill_writes_the_value_everywhere(void)
{
    view dv = {.rank = 2, .dim = {3, 2}, .stride = {4, 1}, .offset = 1};
    uint16_t out[13] = {0}, seven = 7;
    move_fill(out, &dv, &seven, sizeof seven);
    for (size_t i = 0; i < COUNTOF(out); i++)
        CHECK_U64(out[i], i % 4 == 1 || (i % 4 == 2 && i < 12) ? (i < 11 ? 7 : 0) : 0);
}

static void packed_elements_survive_a_round_trip(void)
{
    for (uint32_t bits = 2; bits <= 4; bits += 2) {
        for (size_t n = 0; n < 19; n++) {
            uint8_t in[19], packed[19] = {0}, out[19] = {0};
            for (size_t i = 0; i < n; i++) in[i] = (uint8_t)(i * 7 % (1u << bits));
            move_pack(packed, in, n, bits);
            move_unpack(out, packed, n, bits);
            CHECK(memcmp(in, out, n) == 0);
        }
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(copies_like_the_plain_loop), TEST(a_large_transpose_is_exact),
                                      TEST(fill_writes_the_value_everywhere),
                                      TEST(packed_elements_survive_a_round_trip)};
    return test_main(cases, COUNTOF(cases));
}
