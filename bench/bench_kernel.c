/* Every elementwise, row and conversion kernel of each ISA beside the scalar reference, interleaved in one run, so
 * that a slow or busy machine moves both.  The table is generated from the kernel list; exit status 1 when the median
 * ratio of a row is under its floor.  The scalar rows are compiled with -O3: simple ones are SSE code already. */
#include "tensor/kernel.h"

#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N = 4096, ROUNDS = 21 };      /* 16 KB a row: three of them lie in the first cache */

static float a[N], b[N], y[N];
static uint16_t half[N];
static uint8_t bytes[N];
static int32_t whole[N];
static volatile float sink;

typedef struct {
    const char *name;
    double avx2, avx512;
} floor_row;

/* A third to a half of what Sapphire Rapids shows.  A row not listed must not be slower than scalar by more than a
 * tenth: it is bound by loads and stores, or by the divider. */
static const floor_row floors[] = {
    {"pow_f32", 2, 3},         {"pow_s_f32", 2, 3},   {"exp_f32", 5, 10},       {"log_f32", 4, 8},
    {"tanh_f32", 9, 16},       {"sigmoid_f32", 3, 6}, {"erf_f32", 7, 14},       {"gelu_f32", 6, 14},
    {"gelu_tanh_f32", 3, 8},   {"silu_f32", 3, 7},    {"softplus_f32", 3, 9},   {"softmax_f32", 8, 15},
    {"log_softmax_f32", 4, 7}, {"sum_f32", 14, 18},   {"sumsq_f32", 8, 13},     {"mean_var_f32", 7, 9},
    {"f32_to_f16", 15, 12},    {"f16_to_f32", 8, 9},  {"reduce_max_f32", 5, 6}, {"prelu_f32", 4, 8},
};

typedef void unary_fn(float *to, const float *x, size_t n);
typedef void binary_fn(float *to, const float *x, const float *z, size_t n);
typedef void one_fn(float *to, const float *x, float s, size_t n);
typedef void two_fn(float *to, const float *x, float s, float t, size_t n);
typedef void act_fn(float *to, const float *x, const activation *act, size_t n);
typedef float reduce_fn(const float *x, size_t n);
typedef void moments_fn(const float *x, size_t n, float *ret_mean, float *ret_var);
typedef void affine_fn(float *to, const float *x, float mean, float rstd, const float *scale, const float *bias,
                       size_t n);
typedef void widen_fn(float *to, const uint16_t *x, size_t n);
typedef void narrow_fn(uint16_t *to, const float *x, size_t n);
typedef void of_i32_fn(float *to, const int32_t *x, size_t n);
typedef void to_i32_fn(int32_t *to, const float *x, size_t n);
typedef void dequant_i8_fn(float *to, const int8_t *x, float scale, int32_t zero, size_t n);
typedef void dequant_u8_fn(float *to, const uint8_t *x, float scale, int32_t zero, size_t n);
typedef void quant_i8_fn(int8_t *to, const float *x, float scale, int32_t zero, size_t n);
typedef void quant_u8_fn(uint8_t *to, const float *x, float scale, int32_t zero, size_t n);

static void run_unary(unary_fn *f) { f(y, a, N); }
static void run_binary(binary_fn *f) { f(y, a, b, N); }
static void run_one(one_fn *f) { f(y, a, 1.25f, N); }
static void run_two(two_fn *f) { f(y, a, 0.5f, 2.5f, N); }
static void run_reduce(reduce_fn *f) { sink = f(a, N); }
static void run_affine(affine_fn *f) { f(y, a, 0.5f, 2, b, b, N); }
static void run_widen(widen_fn *f) { f(y, half, N); }
static void run_narrow(narrow_fn *f) { f(half, a, N); }
static void run_of_i32(of_i32_fn *f) { f(y, whole, N); }
static void run_to_i32(to_i32_fn *f) { f(whole, a, N); }
static void run_dequant_i8(dequant_i8_fn *f) { f(y, (const int8_t *)bytes, 0.5f, 3, N); }
static void run_dequant_u8(dequant_u8_fn *f) { f(y, bytes, 0.5f, 3, N); }
static void run_quant_i8(quant_i8_fn *f) { f((int8_t *)bytes, a, 0.125f, 3, N); }
static void run_quant_u8(quant_u8_fn *f) { f(bytes, a, 0.125f, 3, N); }

static void run_act(act_fn *f)
{
    activation act = {.kind = ACT_HARD_SWISH};
    f(y, a, &act, N);
}

static void run_moments(moments_fn *f)
{
    float mean, var;
    f(a, N, &mean, &var);
    sink = mean + var;
}

#define RUN(fn) \
    _Generic((fn), unary_fn * \
             : run_unary, binary_fn * \
             : run_binary, one_fn * \
             : run_one, two_fn * \
             : run_two, act_fn * \
             : run_act, reduce_fn * \
             : run_reduce, moments_fn * \
             : run_moments, affine_fn * \
             : run_affine, widen_fn * \
             : run_widen, narrow_fn * \
             : run_narrow, of_i32_fn * \
             : run_of_i32, to_i32_fn * \
             : run_to_i32, dequant_i8_fn * \
             : run_dequant_i8, dequant_u8_fn * \
             : run_dequant_u8, quant_i8_fn * \
             : run_quant_i8, quant_u8_fn * \
             : run_quant_u8)(fn)

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int ascending(const void *p, const void *q)
{
    double d = *(const double *)p - *(const double *)q;
    return (d > 0) - (d < 0);
}

static double floor_of(const char *name, bool wide)
{
    for (size_t i = 0; i < COUNTOF(floors); i++)
        if (strcmp(floors[i].name, name) == 0) return wide ? floors[i].avx512 : floors[i].avx2;
    return 0.9;
}

/* ns: of one element on this ISA, the fastest round. */
static bool report(const char *name, const kernel_isa *isa, double *ratio, double ns)
{
    double floor = floor_of(name, isa->needs & CPU_AVX512);
    qsort(ratio, ROUNDS, sizeof *ratio, ascending);
    double median = ratio[ROUNDS / 2];
    printf("%-17s %-7s %6.2fx scalar  [p10 %.2f, p90 %.2f]  %.3f ns/element  floor %.1f  %s\n", name, isa->name, median,
           ratio[ROUNDS / 10], ratio[ROUNDS * 9 / 10], ns, floor, median >= floor ? "ok" : "REGRESSED");
    return median >= floor;
}

/* Calls in one timing, so that it takes some 20 us even for the cheapest row. */
enum { CALLS = 20 };
#define TIME(into, fn)                                       \
    do {                                                     \
        double since_ = now();                               \
        for (int call_ = 0; call_ < CALLS; call_++) RUN(fn); \
        into = now() - since_;                               \
    } while (0)

int main(void)
{
    bool good = true;
    rng r;
    rng_init(&r, 1);
    for (size_t i = 0; i < N; i++) {
        a[i] = (float)rng_unit(&r) * 8 - 4;
        b[i] = (float)rng_unit(&r) * 2 + 0.5f;
        half[i] = dtype_f32_to_f16(a[i]);
        bytes[i] = (uint8_t)rng_u64(&r);
    }
    const kernel_set *ref = &kernel_isa_at(0)->set;
    for (size_t i = 1; i < kernel_isa_count(); i++) {
        const kernel_isa *isa = kernel_isa_at(i);
        if (isa->needs & ~cpu_detect()) continue;
#define X(name, ret, args, on_avx2, on_avx512)                                     \
    {                                                                              \
        double ratio[ROUNDS], best = 1, slow, fast;                                \
        for (int round = 0; round < ROUNDS; round++) {                             \
            TIME(slow, ref->name);                                                 \
            TIME(fast, isa->set.name);                                             \
            ratio[round] = slow / fast;                                            \
            best = fast < best ? fast : best;                                      \
        }                                                                          \
        good &= report(#name, isa, ratio, best * 1e9 / CALLS / N);                 \
    }
        KERNEL_LIST_MATH(X)
        KERNEL_LIST_NORM(X)
        KERNEL_LIST_CONVERT(X)
#undef X
    }
    return !good;
}
