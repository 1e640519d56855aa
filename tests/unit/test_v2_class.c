/* The best k of each row, as strings; a batch of one is a batch where the model declares that it takes batches, and a
 * list where it does not; ties go to the lower index, NaN is less than all. */
#include "serve/v2_class.h"
#include "test.h"

#include <math.h>

static char got[400];

/* "[2,1] 2.000000:1 ..." of x, [rows, each] or of rank 1 where rows is 0. */
static const char *classes(int32_t max_batch, const float *x, int64_t rows, int64_t each, uint64_t k)
{
    static infer r;
    model_config config = {.given = true, .max_batch_size = max_batch};
    served m = {.config = max_batch < 0 ? NULL : &config};
    const int64_t dims[] = {rows, each};
    const shape s = rows ? shape_make(2, dims) : shape_make(1, dims + 1);
    const tensor given = tensor_make(DT_F32, &s, (void *)(uintptr_t)x);
    const tensor *t = &given;
    err e;
    r = (infer){.model = &m};
    arena_init(&r.memory, NULL, 0, 1 << 16);
    err_code rc = v2_classes_make(&r, NULL, k, &t, &e);
    size_t n = rc ? (size_t)snprintf(got, sizeof got, "%s", e.text) : 0;
    for (uint32_t i = 0; rc == ERR_OK && i < t->shape.rank; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%c%lld", i ? ',' : '[', (long long)t->shape.dim[i]);
    if (rc == ERR_OK) n += (size_t)snprintf(got + n, sizeof got - n, "]");
    for (uint64_t i = 0; rc == ERR_OK && i < tensor_count(t); i++)
        n += (size_t)snprintf(got + n, sizeof got - n, " " STR_FMT, STR_ARG(((const str *)t->data)[i]));
    arena_fini(&r.memory);
    return got;
}

static void rows_of_a_batch_are_ranked_each_on_its_own(void)
{
    static const float x[] = {1, 3, 2, 9, 7, 8};
    for (int32_t batch = -1; batch < 8; batch += 4) {
        CHECK_STR(classes(batch, x, 2, 3, 1), "[2,1] 3.000000:1 9.000000:0");
        CHECK_STR(classes(batch, x, 2, 3, 9),
                  "[2,3] 3.000000:1 2.000000:2 1.000000:0 9.000000:0 8.000000:2 7.000000:1");
    }
}

static void a_batch_of_one_is_one_where_batches_are_declared(void)
{
    static const float x[] = {1, 3, 2};
    CHECK_STR(classes(4, x, 1, 3, 2), "[1,2] 3.000000:1 2.000000:2");
    CHECK_STR(classes(0, x, 1, 3, 2), "[2] 3.000000:1 2.000000:2");
    CHECK_STR(classes(-1, x, 1, 3, 2), "[2] 3.000000:1 2.000000:2");
    CHECK_STR(classes(4, x, 0, 3, 2), "[3,1] 1.000000:0 3.000000:0 2.000000:0");   /* a number a row */
    CHECK_STR(classes(-1, x, 0, 3, 1), "[1] 3.000000:1");
}

static void what_is_said_to_take_no_batches_is_one_list(void)
{
    static const float x[] = {1, 2, 9, 4, 5, 6};
    CHECK_STR(classes(0, x, 2, 3, 2), "[2] 9.000000:2 6.000000:5");
    CHECK_STR(classes(-1, x, 2, 3, 1), "[2,1] 9.000000:2 6.000000:2");
}

static void ties_go_to_the_lower_index_and_nan_is_last(void)
{
    static const float x[] = {NAN, 2, 2, -INFINITY};
    CHECK_STR(classes(-1, x, 0, 4, 3), "[3] 2.000000:1 2.000000:2 -inf:3");
    CHECK_STR(classes(8, x, 1, 4, 4), "[1,4] 2.000000:1 2.000000:2 -inf:3 nan:0");
}

static void a_batch_without_rows_has_no_classes(void)
{
    static const float x[1];
    const shape none = shape_make(2, (const int64_t[]){0, 3});
    static infer r;
    model_config config = {.given = true, .max_batch_size = 4};
    served m = {.config = &config};
    const tensor given = tensor_make(DT_F32, &none, (void *)(uintptr_t)x);
    const tensor *t = &given;
    err e;
    r = (infer){.model = &m};
    arena_init(&r.memory, NULL, 0, 1 << 16);
    CHECK(v2_classes_make(&r, NULL, 2, &t, &e) == ERR_OK);
    CHECK(t->shape.rank == 2 && t->shape.dim[0] == 0 && t->shape.dim[1] == 2);
    arena_fini(&r.memory);
}

static void what_is_no_number_and_a_want_of_memory_are_told(void)
{
    const str x[] = {STR("a")};
    static const float y[] = {1, 2};
    static infer r;
    served m = {.config = NULL};
    const shape s = shape_make(1, (const int64_t[]){1}), two = shape_make(1, (const int64_t[]){2});
    tensor given = tensor_make(DT_STRING, &s, (void *)(uintptr_t)x);
    const tensor *t = &given;
    err e;
    r = (infer){.model = &m};
    arena_init(&r.memory, NULL, 0, 1 << 16);
    CHECK(v2_classes_make(&r, NULL, 1, &t, &e) == ERR_INVALID);
    CHECK_STR(e.text, "classification: expected numbers, got string");
    arena_fini(&r.memory);
    given = tensor_make(DT_F32, &two, (void *)(uintptr_t)y);
    FAULT_SWEEP({
        arena_init(&r.memory, NULL, 0, 1 << 16);
        t = &given;
        CHECK(v2_classes_make(&r, NULL, 2, &t, &e) == ERR_OK || e.code == ERR_NOMEM);
        arena_fini(&r.memory);
    });
}

int main(void)
{
    static const test_case cases[] = {TEST(rows_of_a_batch_are_ranked_each_on_its_own),
                                      TEST(a_batch_of_one_is_one_where_batches_are_declared),
        TEST(what_is_said_to_take_no_batches_is_one_list),
                                      TEST(ties_go_to_the_lower_index_and_nan_is_last),
                                      TEST(a_batch_without_rows_has_no_classes),
                                      TEST(what_is_no_number_and_a_want_of_memory_are_told)};
    return test_main(cases, COUNTOF(cases));
}
