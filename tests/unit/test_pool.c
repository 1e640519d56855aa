/* The vector path of pooling equals its plain loops on random windows (strides, dilations, pads, sizes rounded up), on
 * every ISA; the plain loops equal values worked out by hand.
 * Maxima are exact, averages within 2e-6 of the magnitude. */
#include "tensor/pool.h"

#include "base/rng.h"
#include "test.h"

#include <math.h>

enum { ROOM = 20000 };
static float x_data[ROOM], y_data[ROOM + 1], at_data[ROOM];
static double wide_x[ROOM], wide_y[ROOM];
static int64_t index_data[ROOM];

static size_t between(rng *r, size_t low, size_t high) { return low + rng_below(r, high - low + 1); }

static pool_shape random_shape(rng *r)
{
    pool_shape s = {.planes = between(r, 1, 5),
                    .in = {1, 1, 1},
                    .out = {1, 1, 1},
                    .kernel = {1, 1, 1},
                    .stride = {1, 1, 1},
                    .dilation = {1, 1, 1}};
    for (int d = rng_below(r, 4) ? 1 : 2; d < 3; d++) {
        size_t span;
        do {
            s.in[d] = between(r, 1, rng_below(r, 2) ? 12 : 50);
            s.kernel[d] = between(r, 1, 4);
            s.stride[d] = between(r, 1, 3);
            s.dilation[d] = rng_below(r, 3) ? 1 : 2;
            span = (s.kernel[d] - 1) * s.dilation[d] + 1;
            s.pad[d] = rng_below(r, s.kernel[d]);
            s.pad_end[d] = rng_below(r, s.kernel[d]);
        } while (s.in[d] + s.pad[d] + s.pad_end[d] < span);
        size_t rest = s.in[d] + s.pad[d] + s.pad_end[d] - span;
        s.out[d] = rest / s.stride[d] + 1;
        if (rng_below(r, 2) && rest % s.stride[d] && s.out[d] * s.stride[d] < s.in[d] + s.pad[d]) s.out[d]++;
    }
    return s;
}

/* Double goes through the plain loops whatever the shape. */
static bool agrees(const pool_call *c, size_t count)
{
    pool_call plain = *c;
    err e;
    plain.type = DT_F64;
    plain.x = wide_x;
    plain.y = wide_y;
    if (pool_run(&plain, &kernel_active()->set, NULL, NULL, &e)) return false;
    const float *y = c->y;
    for (size_t i = 0; i < count; i++) {
        double within = c->kind == POOL_MAX ? 0 : 2e-6 * (1 + fabs(wide_y[i]));
        if (!(fabs((double)y[i] - wide_y[i]) <= within) && !(isinf(y[i]) && isinf(wide_y[i]))) return false;
    }
    return true;
}

static void the_vector_path_equals_the_plain_loops(void)
{
    rng r;
    err e = {0};
    rng_init(&r, 8);
    for (size_t i = 0; i < ROOM; i++) {
        x_data[i] = (float)(int64_t)rng_below(&r, 2001) / 500.0f - 2.0f;
        wide_x[i] = (double)x_data[i];
    }
    for (int turn = 0; turn < 400; turn++) {
        pool_shape s = random_shape(&r);
        size_t count = s.planes * s.out[1] * s.out[2];
        if (count > ROOM || s.planes * s.in[1] * s.in[2] > ROOM) continue;
        pool_call c = {.kind = (pool_kind)(turn % 3),
                       .shape = &s,
                       .type = DT_F32,
                       .x = x_data,
                       .y = y_data,
                       .p = 1 + turn % 4,
                       .count_pad = rng_below(&r, 2)};
        for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
            if (kernel_isa_at(isa)->needs & ~cpu_detect()) continue;
            arena scratch;
            arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
            y_data[count] = 77;
            CHECK(pool_run(&c, &kernel_isa_at(isa)->set, NULL, &scratch, &e) == ERR_OK);
            bool ok = agrees(&c, count) && y_data[count] == 77;
            CHECK(ok);
            if (!ok) printf("# turn %d kind %d\n", turn, (int)c.kind);
            arena_fini(&scratch);
        }
    }
}

static void maxima_know_where_they_are(void)
{
    err e = {0};
    const float x[] = {1, 5, 2, 3, 9, 0, 7, 8, 4, 6, 6, 1}; /* [2 planes, 2 x 3] */
    pool_shape s = {.planes = 2,
                    .in = {1, 2, 3},
                    .out = {1, 1, 2},
                    .kernel = {1, 2, 2},
                    .stride = {1, 1, 1},
                    .dilation = {1, 1, 1}};
    pool_call c = {.kind = POOL_MAX, .shape = &s, .type = DT_F32, .x = x, .y = at_data, .index = index_data};
    CHECK(pool_run(&c, &kernel_active()->set, NULL, NULL, &e) == ERR_OK);
    CHECK(at_data[0] == 9 && at_data[1] == 9 && at_data[2] == 8 && at_data[3] == 8);
    CHECK(index_data[0] == 4 && index_data[1] == 4 && index_data[2] == 7 && index_data[3] == 7);
    c.column_major = true; /* row + column * 2 */
    CHECK(pool_run(&c, &kernel_active()->set, NULL, NULL, &e) == ERR_OK);
    CHECK(index_data[0] == 3 && index_data[2] == 6 + 2);
}

static void averages_count_the_padding_or_not(void)
{
    err e = {0};
    const double x[] = {4, 8};
    double y[3];
    pool_shape s = {.planes = 1,
                    .in = {1, 1, 2},
                    .out = {1, 1, 3},
                    .kernel = {1, 1, 2},
                    .stride = {1, 1, 1},
                    .dilation = {1, 1, 1},
                    .pad = {0, 0, 1},
                    .pad_end = {0, 0, 1}};
    pool_call c = {.kind = POOL_AVERAGE, .shape = &s, .type = DT_F64, .x = x, .y = y, .count_pad = true};
    CHECK(pool_run(&c, &kernel_active()->set, NULL, NULL, &e) == ERR_OK);
    CHECK(y[0] == 2 && y[1] == 6 && y[2] == 4);
    c.count_pad = false;
    CHECK(pool_run(&c, &kernel_active()->set, NULL, NULL, &e) == ERR_OK);
    CHECK(y[0] == 4 && y[1] == 6 && y[2] == 8);
}

static void bytes_have_maxima_only(void)
{
    err e = {0};
    const int8_t x[] = {-5, -128, -7};
    int8_t y[2];
    pool_shape s = {.planes = 1,
                    .in = {1, 1, 3},
                    .out = {1, 1, 2},
                    .kernel = {1, 1, 2},
                    .stride = {1, 1, 1},
                    .dilation = {1, 1, 1}};
    pool_call c = {.kind = POOL_MAX, .shape = &s, .type = DT_I8, .x = x, .y = y};
    CHECK(pool_run(&c, &kernel_active()->set, NULL, NULL, &e) == ERR_OK);
    CHECK(y[0] == -5 && y[1] == -7);
    CHECK(pool_has(POOL_MAX, DT_U8) && !pool_has(POOL_AVERAGE, DT_U8) && !pool_has(POOL_MAX, DT_I32));
}

static void no_memory_for_windows_is_an_error(void)
{
    err e = {0};
    arena scratch;
    arena_init(&scratch, NULL, 0, 0);
    pool_shape s = {.planes = 1,
                    .in = {1, 4, 4},
                    .out = {1, 3, 3},
                    .kernel = {1, 2, 2},
                    .stride = {1, 1, 1},
                    .dilation = {1, 1, 1}};
    pool_call c = {.kind = POOL_MAX, .shape = &s, .type = DT_F32, .x = x_data, .y = y_data};
    CHECK(pool_run(&c, &kernel_active()->set, NULL, &scratch, &e) == ERR_LIMIT);
    c.kind = POOL_AVERAGE;
    CHECK(pool_run(&c, &kernel_active()->set, NULL, &scratch, &e) == ERR_LIMIT);
    arena_fini(&scratch);
}

int main(void)
{
    static const test_case cases[] = {TEST(the_vector_path_equals_the_plain_loops), TEST(maxima_know_where_they_are),
                                      TEST(averages_count_the_padding_or_not), TEST(bytes_have_maxima_only),
                                      TEST(no_memory_for_windows_is_an_error)};
    return test_main(cases, COUNTOF(cases));
}
