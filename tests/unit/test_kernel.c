/* Every elementwise, row and conversion kernel on every ISA this machine has, against the scalar reference: lengths
 * 0..257, unaligned addresses, in place, special values, and guards after the output.
 *
 * The tests are generated from the list: _Generic picks the check that fits a row's signature, so a row with a new kind
 * of signature does not compile until it has one.  `bounds` states the error of each row that is not exact, in units
 * of the last place of the float result; the reference is computed in double and rounded once. */
#include "tensor/kernel.h"
#include "test.h"

#include <float.h>
#include <math.h>

enum { N = 257, GUARD = 16, ROOM = N + GUARD + 1, ROUNDS = 40 };

typedef struct {
    const char *name;
    uint32_t ulp;
    float tiny;      /* absolute: differences under tiny * max(|x|, 1) do not count */
} bound;

static const bound bounds[] = {
    {"exp_f32", 2, 0},
    {"log_f32", 2, 0},
    {"tanh_f32", 2, 0},
    {"sigmoid_f32", 3, 0},
    {"erf_f32", 2, 0},
    {"silu_f32", 4, FLT_MIN},
    {"softplus_f32", 3, 0},
    {"pow_f32", 1, 0},
    {"pow_s_f32", 1, 0},
    {"hard_swish_f32", 3, 1.2e-7f},
    {"act_f32", 4, 2.4e-7f},
    {"scale_shift_f32", 1, 0},
    {"axpy_f32", 1, 0},
    {"elu_f32", 3, 0},
    {"sin_f32", 2, 0},
    {"cos_f32", 2, 0},
    {"mish_f32", 5, FLT_MIN},
    {"gelu_f32", 4, 1.2e-7f},
    {"gelu_tanh_f32", 4, 2.4e-7f},
    {"hard_sigmoid_f32", 1, 0},
};

typedef struct {
    const char *name, *isa;
    uint64_t seed;
    uint32_t worst;
} job;

static const bound *bound_of(const char *row)
{
    static const bound exact = {"", 0, 0};
    for (size_t i = 0; i < COUNTOF(bounds); i++)
        if (strcmp(bounds[i].name, row) == 0)
            return &bounds[i];
    return &exact;
}

/* Floats as integers in their order, -0 and 0 as one. */
static int64_t ordinal(float f)
{
    int32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits < 0 ? (int64_t)INT32_MIN - bits : bits;
}

static uint32_t ulps_apart(float a, float b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b) ? 0 : UINT32_MAX;
    int64_t d = ordinal(a) - ordinal(b);
    return (uint32_t)(d < 0 ? -d : d);
}

static float random_float(uint64_t *seed)
{
    static const float special[] = {0.0f, -0.0f, 1.0f, -1.0f, 0.5f, 1.5f, 2.5f, -2.5f, INFINITY, -INFINITY, NAN,
                                    FLT_MIN, -FLT_MIN,
                                    FLT_TRUE_MIN, FLT_MAX, -FLT_MAX, 88.7f, 88.8f, -87.4f, -103.9f, 0.625f,
                                    0.927734375f, 8388609.0f, 1e-20f};
    uint64_t r = test_rand(seed);
    uint32_t bits = (uint32_t)(r >> 20);
    float any;
    switch (r % 8) {
    case 0: return special[(r >> 8) % COUNTOF(special)];
    case 1: memcpy(&any, &bits, sizeof any); return isnan(any) ? NAN : any;   /* quiet: powf(signalling, 0) is not 1 */
    case 2: return (float)(int32_t)bits * 0x1p-24f;                   /* +-128 */
    case 3: return (float)(int32_t)bits * 0x1p-31f;                   /* +-1 */
    default: return (float)(int32_t)bits * 0x1p-28f;                  /* +-8 */
    }
}

static void fill(float *v, size_t n, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++)
        v[i] = random_float(seed);
}

static void fill_finite(float *v, size_t n, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(int32_t)(test_rand(seed) >> 32) * 0x1p-28f;
}

/* got and want have n results and GUARD elements after them that must still be those of `before`. */
static void compare(job *j, const float *got, const float *want, const float *before, const float *x, size_t n)
{
    const bound *b = bound_of(j->name);
    for (size_t i = 0; i < n; i++) {
        uint32_t apart = ulps_apart(got[i], want[i]);
        float size = isfinite(x[i]) && fabsf(x[i]) > 1 ? fabsf(x[i]) : 1;
        if (apart <= b->ulp || fabsf(got[i] - want[i]) <= b->tiny * size) {
            j->worst = apart <= b->ulp && apart > j->worst ? apart : j->worst;
            continue;
        }
        printf("# %s %s: x[%zu of %zu] = %a (%g): got %a, want %a, %u ulp\n", j->isa, j->name, i, n, (double)x[i],
               (double)x[i], (double)got[i],
               (double)want[i], apart);
        test_failures++;
        return;
    }
    CHECK(memcmp(got + n, before + n, GUARD * sizeof *got) == 0);
}

/* One call of a row: lengths 0..N once each, then more of the longest, at one of two alignments. */
typedef struct {
    float x[ROOM], b[ROOM], before[ROOM], got_room[ROOM], want_room[ROOM];
    float s, t;
    float *got, *want;     /* into the rooms, at `off` */
    size_t n, off, step;
} trial;

static bool next(job *j, trial *t)
{
    if (t->step > N + ROUNDS)
        return false;
    t->n = t->step <= N ? t->step : N - t->step % 5;
    t->off = t->step++ & 1;
    fill(t->x, ROOM, &j->seed);
    fill(t->b, ROOM, &j->seed);
    fill_finite(t->before, ROOM, &j->seed);
    memcpy(t->got_room, t->before, sizeof t->before);
    memcpy(t->want_room, t->before, sizeof t->before);
    t->s = random_float(&j->seed);
    t->t = random_float(&j->seed);
    t->got = t->got_room + t->off;
    t->want = t->want_room + t->off;
    return true;
}

typedef void unary_fn(float *y, const float *x, size_t n);
typedef void binary_fn(float *y, const float *a, const float *b, size_t n);
typedef void one_fn(float *y, const float *x, float s, size_t n);
typedef void two_fn(float *y, const float *x, float s, float t, size_t n);
typedef void act_fn(float *y, const float *x, const activation *act, size_t n);
typedef float reduce_fn(const float *x, size_t n);
typedef void moments_fn(const float *x, size_t n, float *ret_mean, float *ret_var);
typedef void affine_fn(float *y, const float *x, float mean, float rstd, const float *scale, const float *bias,
                       size_t n);
typedef void widen_fn(float *y, const uint16_t *x, size_t n);
typedef void narrow_fn(uint16_t *y, const float *x, size_t n);
typedef void of_i32_fn(float *y, const int32_t *x, size_t n);
typedef void to_i32_fn(int32_t *y, const float *x, size_t n);
typedef void dequant_i8_fn(float *y, const int8_t *x, float scale, int32_t zero, size_t n);
typedef void dequant_u8_fn(float *y, const uint8_t *x, float scale, int32_t zero, size_t n);
typedef void quant_i8_fn(int8_t *y, const float *x, float scale, int32_t zero, size_t n);
typedef void quant_u8_fn(uint8_t *y, const float *x, float scale, int32_t zero, size_t n);

/* Row results depend on all of x: their error is relative to what was summed, and stated here. */
static void check_rows(job *j, unary_fn *got_fn, unary_fn *want_fn)
{
    float x[ROOM], got[ROOM], want[ROOM], before[ROOM];
    for (size_t n = 0; n <= N; n++) {
        fill_finite(x, ROOM, &j->seed);
        if (n > 3 && n % 7 == 3)
            x[n / 2] = n % 2 ? -INFINITY : n % 3 ? 1e30f : NAN;
        memcpy(before, x, sizeof x);
        memcpy(got, x, sizeof x);
        memcpy(want, x, sizeof x);
        got_fn(got, n % 2 ? got : x, n);
        want_fn(want, want, n);
        bool is_log = strncmp(j->name, "log", 3) == 0;
        for (size_t i = 0; i < n; i++) {
            float size = fabsf(want[i]), allowed = is_log ? 3e-7f * (size + 16) : 2e-6f * size + FLT_MIN;
            CHECK(ulps_apart(got[i], want[i]) == 0 || fabsf(got[i] - want[i]) <= allowed);
        }
        CHECK(memcmp(got + n, before + n, GUARD * sizeof *got) == 0);
    }
}

static void check_unary(job *j, unary_fn *got_fn, unary_fn *want_fn)
{
    if (strstr(j->name, "softmax")) {
        check_rows(j, got_fn, want_fn);
        return;
    }
    for (trial t = {0}; next(j, &t);) {
        float *got = t.got, *want = t.want, *x = t.x + t.off;
        got_fn(got, x, t.n);
        want_fn(want, x, t.n);
        compare(j, got, want, t.before + t.off, x, t.n);
        memcpy(got, x, t.n * sizeof *x);
        got_fn(got, got, t.n);
        compare(j, got, want, t.before + t.off, x, t.n);
    }
}

static void check_binary(job *j, binary_fn *got_fn, binary_fn *want_fn)
{
    for (trial t = {0}; next(j, &t);) {
        float *got = t.got, *want = t.want, *a = t.x + t.off, *b = t.b + 1 - t.off;
        got_fn(got, a, b, t.n);
        want_fn(want, a, b, t.n);
        compare(j, got, want, t.before + t.off, a, t.n);
        memcpy(got, b, t.n * sizeof *b);
        got_fn(got, a, got, t.n);
        compare(j, got, want, t.before + t.off, a, t.n);
    }
}

static void check_one(job *j, one_fn *got_fn, one_fn *want_fn)
{
    for (trial t = {0}; next(j, &t);) {
        float *got = t.got, *want = t.want, *x = t.x + t.off;
        got_fn(got, x, t.s, t.n);
        want_fn(want, x, t.s, t.n);
        compare(j, got, want, t.before + t.off, x, t.n);
    }
}

static void check_two(job *j, two_fn *got_fn, two_fn *want_fn)
{
    bool is_clip = strcmp(j->name, "clip_f32") == 0;
    for (trial t = {0}; next(j, &t);) {
        float *got = t.got, *want = t.want, *x = t.x + t.off;
        /* products and sums of moderate numbers: an infinite or huge parameter is not a bound of anything */
        if (!is_clip) {
            fill_finite(&t.s, 1, &j->seed);
            fill_finite(&t.t, 1, &j->seed);
        }
        got_fn(got, x, t.s, t.t, t.n);
        want_fn(want, x, t.s, t.t, t.n);
        compare(j, got, want, t.before + t.off, x, t.n);
    }
}

static void check_act(job *j, act_fn *got_fn, act_fn *want_fn)
{
    for (act_kind kind = ACT_NONE; kind <= ACT_GELU; kind++) {
        activation act = {.kind = kind, .a = kind == ACT_CLIP ? -1 : 0.2f, .b = kind == ACT_CLIP ? 6 : 0.5f};
        for (trial t = {0}; next(j, &t);) {
            float *got = t.got, *want = t.want, *x = t.x + t.off;
            got_fn(got, x, &act, t.n);
            want_fn(want, x, &act, t.n);
            compare(j, got, want, t.before + t.off, x, t.n);
        }
    }
}

static void check_reduce(job *j, reduce_fn *got_fn, reduce_fn *want_fn)
{
    static float x[20001];
    fill_finite(x, COUNTOF(x), &j->seed);
    for (size_t n = 0; n <= N + 2; n++) {
        size_t count = n <= N ? n : n == N + 1 ? 20000 : 8192;
        for (size_t k = 0; k < 3; k++) {
            float sum = 0, keep = n ? x[count / 2] : 0;
            if (n > 0 && k == 1)
                x[count / 2] = NAN;
            if (n > 0 && k == 2)
                x[count / 2] = n % 2 ? INFINITY : -INFINITY;
            const float *from = x + (k == 0 && n % 2);
            float got = got_fn(from, count), want = want_fn(from, count);
            for (size_t i = 0; i < count; i++)
                sum += fabsf(from[i]) * (strcmp(j->name, "sumsq_f32") ? 1 : fabsf(from[i]));
            bool exact = strncmp(j->name, "reduce", 6) == 0;
            CHECK(ulps_apart(got, want) == 0 || (!exact && fabsf(got - want) <= 1e-6f * sum));
            if (n > 0)
                x[count / 2] = keep;
        }
    }
}

static void check_moments(job *j, moments_fn *got_fn, moments_fn *want_fn)
{
    float x[ROOM], mean, var, want_mean, want_var;
    for (size_t n = 0; n <= N; n++) {
        fill_finite(x, ROOM, &j->seed);
        for (size_t i = 0; i < ROOM && n % 3 == 0; i++)
            x[i] += 1000;                          /* a mean far from 0: the variance must not cancel */
        got_fn(x + n % 2, n, &mean, &var);
        want_fn(x + n % 2, n, &want_mean, &want_var);
        CHECK(fabsf(mean - want_mean) <= 1e-6f * (8 + fabsf(want_mean)));
        CHECK(fabsf(var - want_var) <= 2e-5f * want_var + 1e-7f);
    }
}

static void check_affine(job *j, affine_fn *got_fn, affine_fn *want_fn)
{
    float x[ROOM], scale[ROOM], bias[ROOM], got[ROOM], want[ROOM];
    for (size_t n = 0; n <= N; n++) {
        fill_finite(x, ROOM, &j->seed);
        fill_finite(scale, ROOM, &j->seed);
        fill_finite(bias, ROOM, &j->seed);
        memcpy(got, x, sizeof x);
        const float *s = n % 2 ? scale + 1 : NULL, *b = n % 3 ? bias : NULL;
        got_fn(got, x, 0.5f, 1.25f, s, b, n);
        want_fn(want, x, 0.5f, 1.25f, s, b, n);
        for (size_t i = 0; i < n; i++)
            CHECK(fabsf(got[i] - want[i]) <= 1e-6f * (80 + fabsf(want[i])));
        CHECK(memcmp(got + n, x + n, GUARD * sizeof *got) == 0);
    }
}

static void check_widen(job *j, widen_fn *got_fn, widen_fn *want_fn)
{
    uint16_t x[ROOM];
    for (trial t = {0}; next(j, &t);) {
        float *got = t.got, *want = t.want;
        for (size_t i = 0; i < ROOM; i++)
            x[i] = (uint16_t)(test_rand(&j->seed) >> 40);
        got_fn(got, x + t.off, t.n);
        want_fn(want, x + t.off, t.n);
        compare(j, got, want, t.before + t.off, t.x, t.n);
    }
}

static void check_narrow(job *j, narrow_fn *got_fn, narrow_fn *want_fn)
{
    uint16_t got[ROOM], want[ROOM];
    for (trial t = {0}; next(j, &t);) {
        memset(got, 0x5a, sizeof got);
        memset(want, 0x5a, sizeof want);
        for (size_t i = 0; i < N; i += 3)
            t.x[i] = dtype_f16_to_f32((uint16_t)test_rand(&j->seed)) * (1 + 0x1p-11f);     /* ties, or nearly */
        got_fn(got + t.off, t.x + t.off, t.n);
        want_fn(want + t.off, t.x + t.off, t.n);
        for (size_t i = t.off; i < t.off + t.n; i++)
            if (isnan(t.x[i]))
                got[i] = want[i] = 0;
        CHECK(memcmp(got, want, sizeof got) == 0);
    }
}

static void check_of_i32(job *j, of_i32_fn *got_fn, of_i32_fn *want_fn)
{
    int32_t x[ROOM];
    for (trial t = {0}; next(j, &t);) {
        for (size_t i = 0; i < ROOM; i++) x[i] = (int32_t)(test_rand(&j->seed) >> (32 + i % 31));
        got_fn(t.got, x + t.off, t.n);
        want_fn(t.want, x + t.off, t.n);
        compare(j, t.got, t.want, t.before + t.off, t.x, t.n);
    }
}

static void check_to_i32(job *j, to_i32_fn *got_fn, to_i32_fn *want_fn)
{
    int32_t got[ROOM], want[ROOM];
    for (trial t = {0}; next(j, &t);) {
        memset(got, 0x5a, sizeof got);
        memset(want, 0x5a, sizeof want);
        if (t.step % 2) fill_finite(t.x, ROOM, &j->seed);
        got_fn(got + t.off, t.x + t.off, t.n);
        want_fn(want + t.off, t.x + t.off, t.n);
        CHECK(memcmp(got, want, sizeof got) == 0);
    }
}

#define CHECK_DEQUANT(TYPE, suffix)                                                                              \
    static void check_dequant_##suffix(job *j, dequant_##suffix##_fn *got_fn, dequant_##suffix##_fn *want_fn)    \
    {                                                                                                            \
        TYPE x[ROOM];                                                                                            \
        for (trial t = {0}; next(j, &t);) { \
            float *got = t.got, *want = t.want;                                                \
            for (size_t i = 0; i < ROOM; i++)                                                                    \
                x[i] = (TYPE)test_rand(&j->seed);                                                                \
            got_fn(got, x + t.off, 0.037f, x[0], t.n);                                                               \
            want_fn(want, x + t.off, 0.037f, x[0], t.n);                                                             \
            compare(j, got, want, t.before + t.off, t.x, t.n); \
        }                                                                                                        \
    }                                                                                                            \
    static void check_quant_##suffix(job *j, quant_##suffix##_fn *got_fn, quant_##suffix##_fn *want_fn)          \
    {                                                                                                            \
        TYPE got[ROOM], want[ROOM];                                                                              \
        for (trial t = {0}; next(j, &t);) { \
            memset(got, 0x5a, sizeof got);                                                                       \
            memset(want, 0x5a, sizeof want);                                                                     \
            TYPE zero = (TYPE)test_rand(&j->seed);                                                               \
            got_fn(got + t.off, t.x + t.off, 0.0625f, zero, t.n); \
            want_fn(want + t.off, t.x + t.off, 0.0625f, zero, t.n); \
            CHECK(memcmp(got, want, sizeof got) == 0);                                                           \
        }                                                                                                        \
    }
CHECK_DEQUANT(int8_t, i8)
CHECK_DEQUANT(uint8_t, u8)

#define CHECK_OF(fn) \
    _Generic((fn), unary_fn * \
             : check_unary, binary_fn * \
             : check_binary, one_fn * \
             : check_one, two_fn * \
             : check_two, act_fn * \
             : check_act, reduce_fn * \
             : check_reduce, moments_fn * \
             : check_moments, affine_fn * \
             : check_affine, widen_fn * \
             : check_widen, of_i32_fn * \
             : check_of_i32, to_i32_fn * \
             : check_to_i32, narrow_fn * \
             : check_narrow, dequant_i8_fn * \
             : check_dequant_i8, dequant_u8_fn * \
             : check_dequant_u8, quant_i8_fn * \
             : check_quant_i8, quant_u8_fn * \
             : check_quant_u8)

static void every_row_matches_its_reference(void)
{
    uint32_t cpu = cpu_detect();
    const kernel_set *ref = &kernel_isa_at(0)->set;
    for (size_t i = 1; i < kernel_isa_count(); i++) {
        const kernel_isa *isa = kernel_isa_at(i);
        if (isa->needs & ~cpu) {
            printf("# skip %s: not on this CPU\n", isa->name);
            continue;
        }
#define X(row, ret, args, on_avx2, on_avx512)                                                  \
        {                                                                                      \
            job j = {.name = #row, .isa = isa->name, .seed = 42 + i};               \
            CHECK_OF(ref->row)(&j, isa->set.row, ref->row);                                    \
            if (j.worst)                                                                       \
                printf("# %s %s: at most %u ulp\n", isa->name, #row, j.worst);                 \
        }
        KERNEL_LIST_MATH(X)
        KERNEL_LIST_NORM(X)
        KERNEL_LIST_CONVERT(X)
#undef X
    }
}

/* Hand-checked values of the reference itself. */
static void the_reference_is_right(void)
{
    const kernel_set *k = &kernel_isa_at(0)->set;
    float y[4], x[4] = {-1, 0, 1, 2}, mean, var;
    k->gelu_f32(y, x, 4);
    CHECK(fabsf(y[0] + 0.15865525f) < 1e-7f && y[1] == 0 && fabsf(y[2] - 0.84134475f) < 1e-7f &&
          fabsf(y[3] - 1.9544997f) < 3e-7f);
    k->gelu_tanh_f32(y, x, 4);
    CHECK(fabsf(y[0] + 0.15880801f) < 1e-7f && fabsf(y[2] - 0.84119199f) < 1e-7f);
    k->hard_swish_f32(y, x, 4);
    CHECK(fabsf(y[0] + 1.0f / 3) < 1e-7f && fabsf(y[3] - 5.0f / 3) < 3e-7f);
    k->softplus_f32(y, x, 4);
    CHECK(fabsf(y[0] - 0.31326169f) < 1e-7f && fabsf(y[1] - 0.69314718f) < 1e-7f);
    k->softmax_f32(y, x, 4);
    CHECK(fabsf(y[0] - 0.0320586f) < 1e-7f && fabsf(y[3] - 0.64391426f) < 1e-7f);
    k->log_softmax_f32(y, x, 4);
    CHECK(fabsf(y[3] + 0.44018969f) < 1e-7f);
    k->mean_var_f32(x, 4, &mean, &var);
    CHECK(mean == 0.5f && var == 1.25f);
    k->round_f32(y, (float[]){0.5f, 1.5f, -0.5f, -2.5f}, 4);
    CHECK(y[0] == 0 && y[1] == 2 && y[2] == 0 && y[3] == -2);
    k->rsub_s_f32(y, x, 3, 4);
    CHECK(y[0] == 4 && y[3] == 1);
    k->rdiv_s_f32(y, x, 3, 4);
    CHECK(y[0] == -3 && y[3] == 1.5f && isinf(y[1]));
    uint8_t q[4];
    k->quant_u8(q, (float[]){-100, 0.25f, 0.75f, 1000}, 0.5f, 10, 4);
    CHECK(q[0] == 0 && q[1] == 10 && q[2] == 12 && q[3] == 255);
}

int main(void)
{
    static const test_case cases[] = {TEST(every_row_matches_its_reference), TEST(the_reference_is_right)};
    return test_main(cases, COUNTOF(cases));
}
