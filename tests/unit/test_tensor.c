/* Shapes count without overflow and broadcast as NumPy's do; element access keeps every bit that the type can hold;
 * a collapsed set of views walks the same elements in the same order as the views it was made from. */
#include "tensor/tensor.h"
#include "test.h"

#include <math.h>

#define SHAPE(...) shape_make((uint32_t)COUNTOF(((int64_t[]){__VA_ARGS__})), (int64_t[]){__VA_ARGS__})

static void counts_are_exact_or_say_overflow(void)
{
    shape s = {0};
    CHECK_U64(shape_count(&s), 1);
    s = SHAPE(2, 3, 4);
    CHECK_U64(shape_count(&s), 24);
    CHECK_U64(shape_count_range(&s, 1, 3), 12);
    CHECK_U64(shape_count_range(&s, 3, 3), 1);
    s = SHAPE(INT64_MAX, 4);
    CHECK_U64(shape_count(&s), UINT64_MAX);
    s = SHAPE(INT64_MAX, 4, 0);
    CHECK_U64(shape_count(&s), 0);
    s = SHAPE(2, -1);
    CHECK_U64(shape_count(&s), UINT64_MAX);
    tensor t = tensor_make(DT_I4, &(shape){.rank = 1, .dim = {5}}, NULL);
    CHECK_U64(tensor_bytes(&t), 3);
    t.shape = SHAPE(INT64_MAX, 4);
    CHECK_U64(tensor_bytes(&t), SIZE_MAX);
}

static void a_zero_hides_no_dimension_from_the_bound(void)
{
    const struct { shape s; bool bounded; } rows[] = {
        {(shape){0}, true}, {SHAPE(0), true}, {SHAPE(-1, -1), true},
        {SHAPE(INT64_C(1) << 40), true}, {SHAPE((INT64_C(1) << 40) + 1), false},
        {SHAPE(INT64_C(1) << 20, INT64_C(1) << 20), true}, {SHAPE((INT64_C(1) << 20) + 1, INT64_C(1) << 20), false},
        {SHAPE(INT64_C(1) << 40, 0), true}, {SHAPE(0, INT64_C(1) << 41), false},
        {SHAPE(INT64_C(1) << 40, -1, 2), false}, {SHAPE(INT64_MAX, INT64_MAX, 0), false}};
    for (size_t i = 0; i < COUNTOF(rows); i++) CHECK(shape_bounded(&rows[i].s) == rows[i].bounded);
}

static void text_is_cut_to_its_room(void)
{
    char text[SHAPE_TEXT_MAX];
    shape s = SHAPE(1, 3, -1);
    CHECK_STR(shape_text(&s, text), "[1,3,-1]");
    s = (shape){0};
    CHECK_STR(shape_text(&s, text), "[]");
    s = SHAPE(INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
    size_t len = strlen(shape_text(&s, text));
    CHECK(len < SHAPE_TEXT_MAX && text[len - 1] == ']');
}

static void broadcasting_is_that_of_numpy(void)
{
    err e = {0};
    shape a = SHAPE(3, 1, 5), b = SHAPE(4, 1), r, want = SHAPE(3, 4, 5);
    CHECK(shape_broadcast(&r, &a, &b, &e) == ERR_OK && shape_eq(&r, &want));
    CHECK(shape_broadcast(&r, &b, &a, &e) == ERR_OK && shape_eq(&r, &want));
    b = SHAPE(0);
    a = SHAPE(1);
    CHECK(shape_broadcast(&r, &a, &b, &e) == ERR_OK && r.dim[0] == 0);
    a = SHAPE(2, 3);
    b = SHAPE(4);
    CHECK(shape_broadcast(&r, &a, &b, &e) == ERR_INVALID);
    CHECK_STR(e.text, "shapes [2,3] and [4] do not broadcast");
}

static void an_axis_counts_from_either_end(void)
{
    err e = {0};
    uint32_t axis = 9;
    CHECK(shape_axis(&axis, -1, 3, "Softmax", &e) == ERR_OK && axis == 2);
    CHECK(shape_axis(&axis, 0, 3, "Softmax", &e) == ERR_OK && axis == 0);
    CHECK(shape_axis(&axis, 3, 3, "Softmax", &e) == ERR_INVALID);
    CHECK_STR(e.text, "Softmax: expected an axis in -3..2, got 3");
    CHECK(shape_axis(&axis, INT64_MIN, 3, "Softmax", &e) == ERR_INVALID);
    CHECK(shape_axis(&axis, 0, 0, "Softmax", &e) == ERR_INVALID);
    shape s = SHAPE(1, 2, 3, 4, 5, 6, 7, 8);
    CHECK(shape_push(&s, 1, &e) == ERR_LIMIT);
    CHECK_U64(s.rank, TENSOR_RANK_MAX);
}

/* Every integer type keeps its extremes; the neighbours of a packed element stay as they are. */
static void elements_keep_their_bits(void)
{
    uint8_t memory[64];
    static const dtype types[] = {DT_U8, DT_I8, DT_U16, DT_I16, DT_I32, DT_U32, DT_I64, DT_U64, DT_U4, DT_I4, DT_U2,
                                  DT_I2};
    for (size_t k = 0; k < COUNTOF(types); k++) {
        tensor t = tensor_make(types[k], &(shape){.rank = 1, .dim = {5}}, memory);
        uint32_t bits = dtype_bits(types[k]);
        bool has_sign = dtype_kind_of(types[k]) == KIND_INT;
        int64_t high = bits == 64 ? INT64_MAX : (INT64_C(1) << (bits - has_sign)) - 1;
        int64_t low = has_sign ? -high - 1 : 0;
        memset(memory, 0, sizeof memory);
        tensor_put_int(&t, 1, high);
        tensor_put_int(&t, 3, low);
        CHECK(tensor_int(&t, 1) == high && tensor_int(&t, 3) == low);
        CHECK(tensor_int(&t, 0) == 0 && tensor_int(&t, 2) == 0 && tensor_int(&t, 4) == 0);
        tensor_put_f64(&t, 0, 1e30);
        tensor_put_f64(&t, 2, -1e30);
        tensor_put_f64(&t, 4, (double)NAN);
        CHECK(tensor_int(&t, 0) == high && tensor_int(&t, 2) == low && tensor_int(&t, 4) == 0);
        tensor_put_f64(&t, 2, 1.99);
        CHECK(tensor_int(&t, 2) == 1 && tensor_f64(&t, 2) == 1);
    }
    tensor t = tensor_make(DT_U64, &(shape){.rank = 1, .dim = {1}}, memory);
    tensor_put_f64(&t, 0, 0x1p63);
    CHECK(tensor_f64(&t, 0) == 0x1p63 && tensor_int(&t, 0) == INT64_MAX);
}

static void floats_are_stored_rounded(void)
{
    uint8_t memory[16] = {0};
    shape two = SHAPE(2);
    static const dtype types[] = {DT_F32, DT_F64, DT_F16, DT_BF16, DT_F8E4M3FN, DT_F8E5M2, DT_F8E4M3FNUZ, DT_F8E5M2FNUZ,
                                  DT_F4E2M1};
    for (size_t k = 0; k < COUNTOF(types); k++) {
        tensor t = tensor_make(types[k], &two, memory);
        tensor_put_f64(&t, 0, 1.5);
        tensor_put_f64(&t, 1, -3);
        CHECK(tensor_f64(&t, 0) == 1.5 && tensor_f64(&t, 1) == -3);
        tensor_put_int(&t, 0, 2);
        CHECK(tensor_f64(&t, 0) == 2 && tensor_f64(&t, 1) == -3);
    }
    tensor t = tensor_make(DT_F16, &two, memory);
    tensor_put_f64(&t, 0, 1 + 0x1p-11 + 0x1p-40);      /* just over a tie: rounding through float would go down */
    CHECK(tensor_f64(&t, 0) == 1 + 0x1p-10);
    t = tensor_make(DT_BOOL, &two, memory);
    tensor_put_f64(&t, 0, 0.25);
    CHECK(tensor_int(&t, 0) == 1);
    t = tensor_make(DT_F8E8M0, &two, memory);
    tensor_put_f64(&t, 0, 4);
    CHECK(tensor_f64(&t, 0) == 4);
}

/* The offsets that a view visits, in order, into out; returns how many. */
static size_t walk(const view *v, int64_t *out)
{
    int64_t at[TENSOR_RANK_MAX] = {0};
    size_t n = 0, total = 1;
    for (uint32_t i = 0; i < v->rank; i++)
        total *= (size_t)v->dim[i];
    while (n < total) {
        int64_t offset = v->offset;
        for (uint32_t i = 0; i < v->rank; i++)
            offset += at[i] * v->stride[i];
        out[n++] = offset;
        for (uint32_t i = v->rank; i-- > 0;) {
            if (++at[i] < v->dim[i])
                break;
            at[i] = 0;
        }
    }
    return n;
}

static void bools_from_outside_are_0_or_1(void)
{
    uint8_t bytes[] = {0, 1, 7, 255, 128};
    shape s = shape_make(1, (int64_t[]){4});
    tensor b = tensor_make(DT_BOOL, &s, bytes), u = tensor_make(DT_U8, &s, bytes + 1);
    tensor_settle_bools(&u);
    CHECK_U64(bytes[2], 7);
    tensor_settle_bools(&b);
    CHECK(bytes[0] == 0 && bytes[1] == 1 && bytes[2] == 1 && bytes[3] == 1 && bytes[4] == 128);
}

static void a_view_collapses_where_it_can(void)
{
    shape s = SHAPE(2, 3, 4), row = SHAPE(4), one = SHAPE(1), wide = SHAPE(2, 1, 4);
    view a = view_of(&s), b = view_of(&s);
    view_collapse((view *[]){&a, &b}, 2);
    CHECK(a.rank == 1 && a.dim[0] == 24 && a.stride[0] == 1);
    a = view_of(&s);
    b = view_broadcast(&row, &s);
    view_collapse((view *[]){&a, &b}, 2);
    CHECK(a.rank == 2 && a.dim[0] == 6 && b.stride[0] == 0 && b.stride[1] == 1);
    a = view_of(&s);
    b = view_broadcast(&one, &s);
    view_collapse((view *[]){&a, &b}, 2);
    CHECK(a.rank == 1 && b.stride[0] == 0);
    a = view_of(&s);
    b = view_broadcast(&wide, &s);
    view_collapse((view *[]){&a, &b}, 2);
    CHECK(a.rank == 3);
    a = view_permute(&(view){.rank = 2, .dim = {2, 3}, .stride = {3, 1}}, (uint32_t[]){1, 0});
    CHECK(a.dim[0] == 3 && a.stride[0] == 1 && a.stride[1] == 3);
    s = SHAPE(1, 1);
    a = view_of(&s);
    view_collapse((view *[]){&a}, 1);
    CHECK_U64(a.rank, 0);
}

static void collapsing_keeps_the_walk(void)
{
    uint64_t seed = 3;
    static int64_t before[1024], after[1024];
    for (int round = 0; round < 500; round++) {
        shape s = {.rank = (uint32_t)(test_rand(&seed) % 5)}, t;
        for (uint32_t i = 0; i < s.rank; i++)
            s.dim[i] = (int64_t)(test_rand(&seed) % 4);
        t = s;
        for (uint32_t i = 0; i < t.rank; i++)
            if (test_rand(&seed) % 2)
                t.dim[i] = 1;
        view a = view_of(&s), b = view_broadcast(&t, &s);
        uint32_t order[TENSOR_RANK_MAX];
        for (uint32_t i = 0; i < s.rank; i++)
            order[i] = (i + (uint32_t)round) % s.rank;
        if (round % 2) {
            a = view_permute(&a, order);
            b = view_permute(&b, order);
        }
        view a0 = a, b0 = b;
        view_collapse((view *[]){&a, &b}, 2);
        size_t n = walk(&a0, before);
        CHECK(walk(&a, after) == n && memcmp(before, after, n * sizeof *before) == 0);
        n = walk(&b0, before);
        CHECK(walk(&b, after) == n && memcmp(before, after, n * sizeof *before) == 0);
    }
}

int main(void)
{
    static const test_case cases[] = {
        TEST(counts_are_exact_or_say_overflow), TEST(a_zero_hides_no_dimension_from_the_bound),
        TEST(text_is_cut_to_its_room),          TEST(broadcasting_is_that_of_numpy),
        TEST(an_axis_counts_from_either_end),   TEST(elements_keep_their_bits),     TEST(floats_are_stored_rounded),
        TEST(a_view_collapses_where_it_can),    TEST(collapsing_keeps_the_walk),   TEST(bools_from_outside_are_0_or_1),
    };
    return test_main(cases, COUNTOF(cases));
}
