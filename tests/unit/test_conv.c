/* Convolution equals a naive loop in double precision over random shapes: groups, depthwise, dilations, strides,
 * pads, one to three dimensions, fused bias, residual and activation, on every ISA, and writes nothing beyond its
 * output. Bound: 2^-21 * sum |w*x| + 1e-5. */
#include "tensor/conv.h"

#include "base/rng.h"
#include "test.h"

#include <math.h>

enum { ROOM = 1 << 18 };
static float x_data[ROOM], w_data[ROOM], bias[256], residual[ROOM], y_data[ROOM + 2],
    packed[ROOM] __attribute__((aligned(MEM_ALIGN)));

static float number(rng *r) { return (float)(int64_t)rng_below(r, 2001) / 500.0f - 2.0f; }

static size_t between(rng *r, size_t low, size_t high) { return low + rng_below(r, high - low + 1); }

static conv_shape random_shape(rng *r)
{
    conv_shape s;
    do {
        s = (conv_shape){.spatial = between(r, 1, 3),
                         .batch = between(r, 1, 2),
                         .groups = rng_below(r, 2) ? 1 : between(r, 2, 6),
                         .in = {1, 1, 1},
                         .out = {1, 1, 1},
                         .kernel = {1, 1, 1},
                         .stride = {1, 1, 1},
                         .dilation = {1, 1, 1}};
        bool depthwise = rng_below(r, 3) == 0;
        s.in_channels = s.groups * (depthwise ? 1 : rng_below(r, 4) ? between(r, 1, 5) : between(r, 30, 70));
        s.out_channels = s.groups * (rng_below(r, 2) ? between(r, 1, 3) : between(r, 4, 40));
        bool pointwise = rng_below(r, 4) == 0;
        for (size_t d = 3 - s.spatial; d < 3; d++) {
            s.in[d] = between(r, 1, s.spatial == 3 ? 7 : rng_below(r, 2) ? 9 : 40);
            s.kernel[d] = pointwise ? 1 : between(r, 1, 5);
            s.stride[d] = rng_below(r, 2) ? 1 : between(r, 1, 4);
            s.dilation[d] = rng_below(r, 2) ? 1 : between(r, 1, 3);
            s.pad[d] = pointwise ? 0 : rng_below(r, 4);
            size_t span = (s.kernel[d] - 1) * s.dilation[d] + 1, after = pointwise ? 0 : rng_below(r, 4);
            s.out[d] = s.in[d] + s.pad[d] + after < span ? 0 : (s.in[d] + s.pad[d] + after - span) / s.stride[d] + 1;
        }
    } while (s.out[0] * s.out[1] * s.out[2] == 0 || s.batch * s.out_channels * s.out[0] * s.out[1] * s.out[2] > ROOM ||
             s.batch * s.in_channels * s.in[0] * s.in[1] * s.in[2] > ROOM ||
             (s.out_channels + 16 * s.groups) * s.in_channels / s.groups * s.kernel[0] * s.kernel[1] * s.kernel[2] >
                 ROOM);
    return s;
}

typedef struct {
    double sum, size;
} total;

static total naive(const conv_shape *s, size_t n, size_t o, size_t z, size_t y, size_t x)
{
    total t = {0};
    size_t channels = s->in_channels / s->groups, group = o / (s->out_channels / s->groups);
    for (size_t c = 0; c < channels; c++)
        for (size_t kz = 0; kz < s->kernel[0]; kz++)
            for (size_t ky = 0; ky < s->kernel[1]; ky++)
                for (size_t kx = 0; kx < s->kernel[2]; kx++) {
                    size_t iz = z * s->stride[0] + kz * s->dilation[0] - s->pad[0],
                           iy = y * s->stride[1] + ky * s->dilation[1] - s->pad[1];
                    size_t ix = x * s->stride[2] + kx * s->dilation[2] - s->pad[2];
                    if (iz >= s->in[0] || iy >= s->in[1] || ix >= s->in[2]) continue;
                    size_t at =
                        (((n * s->in_channels + group * channels + c) * s->in[0] + iz) * s->in[1] + iy) * s->in[2] + ix;
                    size_t w = (((o * channels + c) * s->kernel[0] + kz) * s->kernel[1] + ky) * s->kernel[2] + kx;
                    t.sum += (double)x_data[at] * (double)w_data[w];
                    t.size += fabs((double)x_data[at] * (double)w_data[w]);
                }
    return t;
}

static double act_of(const activation *a, double v)
{
    if (a->kind == ACT_RELU) return v < 0 ? 0 : v;
    if (a->kind == ACT_CLIP) return v < (double)a->a ? (double)a->a : v > (double)a->b ? (double)a->b : v;
    if (a->kind == ACT_HARD_SWISH) return v * fmax(0, fmin(1, v / 6 + 0.5));
    return v;
}

static bool right(const conv_call *c)
{
    const conv_shape *s = c->shape;
    size_t i = 0;
    for (size_t n = 0; n < s->batch; n++)
        for (size_t o = 0; o < s->out_channels; o++)
            for (size_t z = 0; z < s->out[0]; z++)
                for (size_t y = 0; y < s->out[1]; y++)
                    for (size_t x = 0; x < s->out[2]; x++, i++) {
                        total t = naive(s, n, o, z, y, x);
                        double want =
                            t.sum + (c->bias ? (double)c->bias[o] : 0) + (c->residual ? (double)c->residual[i] : 0);
                        want = act_of(&c->act, want);
                        if (fabs((double)c->y[i] - want) > 0x1p-21 * t.size + 1e-5 * (1 + fabs(want))) return false;
                    }
    return true;
}

static void fill_all(rng *r)
{
    for (size_t i = 0; i < ROOM; i++) x_data[i] = number(r), w_data[i] = number(r), residual[i] = number(r);
    for (size_t i = 0; i < COUNTOF(bias); i++) bias[i] = number(r);
}

static void a_convolution_equals_the_naive_loop(void)
{
    static const act_kind acts[] = {ACT_NONE, ACT_RELU, ACT_CLIP, ACT_HARD_SWISH};
    rng r;
    err e = {0};
    rng_init(&r, 21);
    fill_all(&r);
    for (int turn = 0; turn < 150; turn++) {
        conv_shape s = random_shape(&r);
        size_t count = s.batch * s.out_channels * s.out[0] * s.out[1] * s.out[2];
        conv_call c = {.shape = &s,
                       .x = x_data,
                       .w = packed,
                       .bias = rng_below(&r, 2) ? bias : NULL,
                       .residual = rng_below(&r, 3) == 0 ? residual : NULL,
                       .y = y_data + 1,
                       .act = {.kind = acts[rng_below(&r, COUNTOF(acts))], .a = -0.5f, .b = 3}};
        for (size_t isa = 0; isa < kernel_isa_count(); isa++) {
            const kernel_isa *i = kernel_isa_at(isa);
            if (i->needs & ~cpu_detect()) continue;
            arena scratch;
            arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
            y_data[0] = y_data[1 + count] = 77;
            CHECK(conv_room(&s) <= ROOM);
            conv_pack(packed, w_data, &s, &i->set);
            CHECK(conv_f32(&c, &i->set, NULL, &scratch, &e) == ERR_OK);
            bool ok = right(&c) && y_data[0] == 77 && y_data[1 + count] == 77;
            CHECK(ok);
            if (!ok)
                printf("# turn %d %s %s: in %zu of %zux%zux%zu, kernel %zux%zux%zu, stride %zu,%zu\n", turn, i->name,
                       conv_method(&s), s.in_channels, s.in[0], s.in[1], s.in[2], s.kernel[0], s.kernel[1], s.kernel[2],
                       s.stride[1], s.stride[2]);
            arena_fini(&scratch);
        }
    }
}

static void threads_change_no_bit(void)
{
    const kernel_set *k = &kernel_active()->set;
    compute *pool;
    err e = {0};
    CHECK(compute_new(&pool, 3, &e) == ERR_OK);
    for (size_t groups = 1; groups <= 64; groups += 63) {
        conv_shape s = {.spatial = 2,
                        .batch = 2,
                        .groups = groups,
                        .in_channels = 64,
                        .out_channels = 64,
                        .in = {1, 40, 40},
                        .out = {1, 20, 40},
                        .kernel = {1, 3, 3},
                        .stride = {1, 2, 1},
                        .dilation = {1, 1, 1},
                        .pad = {0, 1, 1}};
        conv_call c = {.shape = &s, .x = x_data, .w = packed, .bias = bias, .act = {.kind = ACT_SILU}};
        static float out[2][2 * 64 * 20 * 40];
        conv_pack(packed, w_data, &s, k);
        for (int turn = 0; turn < 2; turn++) {
            arena scratch;
            arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
            c.y = out[turn];
            CHECK(conv_f32(&c, k, turn ? pool : NULL, &scratch, &e) == ERR_OK);
            arena_fini(&scratch);
        }
        CHECK(memcmp(out[0], out[1], sizeof out[0]) == 0);
    }
    compute_free(pool);
}

static void weights_too_large_for_memory_are_recognised(void)
{
    conv_shape s = {.spatial = 2, .groups = 1, .in_channels = SIZE_MAX / 4, .out_channels = 8, .kernel = {1, 3, 3}};
    CHECK_U64(conv_room(&s), SIZE_MAX);
}

static void no_memory_is_an_error(void)
{
    err e = {0};
    arena scratch;
    arena_init(&scratch, NULL, 0, 0);
    conv_shape s = {.spatial = 2,
                    .batch = 1,
                    .groups = 1,
                    .in_channels = 2,
                    .out_channels = 2,
                    .in = {1, 8, 8},
                    .out = {1, 8, 8},
                    .kernel = {1, 3, 3},
                    .stride = {1, 1, 1},
                    .dilation = {1, 1, 1},
                    .pad = {0, 1, 1}};
    conv_call c = {.shape = &s, .x = x_data, .w = packed, .y = y_data};
    CHECK(conv_f32(&c, &kernel_active()->set, NULL, &scratch, &e) == ERR_LIMIT);
    s.groups = s.in_channels;
    CHECK(conv_f32(&c, &kernel_active()->set, NULL, &scratch, &e) == ERR_LIMIT);
    arena_fini(&scratch);
}

/* Of 2^24 phases four have a tap: only these are loaded, for each of the 4096 planes. */
static void strides_far_larger_than_the_kernel(void)
{
    enum { CHANNELS = 1 << 12, STRIDE = 1 << 12 };
    const kernel_set *k = &kernel_active()->set;
    err e = {0};
    arena scratch;
    conv_shape s = {.spatial = 2,
                    .batch = 1,
                    .groups = CHANNELS,
                    .in_channels = CHANNELS,
                    .out_channels = CHANNELS,
                    .in = {1, 3, 3},
                    .out = {1, 1, 1},
                    .kernel = {1, 2, 2},
                    .stride = {1, STRIDE, STRIDE},
                    .dilation = {1, 1, 2},
                    .pad = {0, 0, 0}};
    conv_call c = {.shape = &s, .x = x_data, .w = packed, .y = y_data};
    arena_init(&scratch, NULL, 0, SIZE_MAX / 2);
    conv_pack(packed, w_data, &s, k);
    CHECK(conv_f32(&c, k, NULL, &scratch, &e) == ERR_OK);
    CHECK(right(&c));
    arena_fini(&scratch);
}

int main(void)
{
    static const test_case cases[] = {TEST(a_convolution_equals_the_naive_loop), TEST(threads_change_no_bit),
                                      TEST(weights_too_large_for_memory_are_recognised), TEST(no_memory_is_an_error),
                                      TEST(strides_far_larger_than_the_kernel)};
    return test_main(cases, COUNTOF(cases));
}
