/* Normalisations against plain double loops over random shapes in every float type, with threads and without; values
 * checked by hand for what the loops do not cover: training, outputs beside the first, zero rows, wrong parameters. */
#include "op_harness.h"

#include <math.h>
#include <stdatomic.h>

static const dtype float_types[] = {DT_F32, DT_F64, DT_F16, DT_BF16};

static double within_of(dtype t)
{
    return t == DT_F64 ? 1e-11 : t == DT_F32 ? 3e-6 : t == DT_F16 ? 4e-3 : 3e-2;
}

/* Where the statistics of element i come from: its own channel over all images, channel of one image, group, row. */
typedef enum { BATCH, INSTANCE, GROUP, LAYER, RMS } way;

static uint64_t bucket(way w, const shape *s, uint64_t i, uint64_t groups, uint32_t axis)
{
    uint64_t inner = shape_count_range(s, 2, s->rank), channels = (uint64_t)s->dim[1], image = i / inner / channels;
    uint64_t channel = i / inner % channels;
    switch (w) {
    case BATCH: return channel;
    case INSTANCE: return image * channels + channel;
    case GROUP: return image * groups + channel / (channels / groups);
    case LAYER:
    case RMS: return i / shape_count_range(s, axis, s->rank);
    }
    return 0;
}

typedef struct {
    way w;
    shape s;
    uint64_t groups;
    uint32_t axis;
    double epsilon;
} plan;

/* y[i] before scale and bias. */
static void naive(const plan *p, const tensor *x, double *y)
{
    static double sum[40000], squares[40000], count[40000];
    uint64_t n = tensor_count(x);
    memset(sum, 0, sizeof sum);
    memset(squares, 0, sizeof squares);
    memset(count, 0, sizeof count);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t b = bucket(p->w, &p->s, i, p->groups, p->axis);
        sum[b] += p->w == RMS ? 0 : tensor_f64(x, i);
        count[b]++;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t b = bucket(p->w, &p->s, i, p->groups, p->axis);
        double d = tensor_f64(x, i) - sum[b] / count[b];
        squares[b] += d * d;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t b = bucket(p->w, &p->s, i, p->groups, p->axis);
        y[i] = (tensor_f64(x, i) - sum[b] / count[b]) / sqrt(squares[b] / count[b] + p->epsilon);
    }
}

static void setup(op_case *t, plan *p, dtype type, uint64_t *seed)
{
    static const char *const names[] = {"BatchNormalization", "InstanceNormalization", "GroupNormalization",
                                        "LayerNormalization", "RMSNormalization"};
    double values[29], scale[7] = {0.5, 1, -1.5, 2, 0.25, 1, 3}, bias[5] = {0, 1, -2, 0.5, 0.25};
    p->groups = 1 + test_rand(seed) % 3;
    p->s = (shape){.rank = 2 + (uint32_t)(test_rand(seed) % 3)};
    for (uint32_t d = 0; d < p->s.rank; d++)
        p->s.dim[d] = 1 + (int64_t)(test_rand(seed) % 9);
    p->s.dim[1] = (int64_t)p->groups * (1 + (int64_t)(test_rand(seed) % 4));
    p->axis = (uint32_t)(test_rand(seed) % p->s.rank);
    p->epsilon = 0.125;
    for (size_t i = 0; i < COUNTOF(values); i++)
        values[i] = (double)(int64_t)(test_rand(seed) % 64) / 8 - 3;
    op_case_init(t, names[p->w], 24);
    op_case_float(t, "epsilon", (float)p->epsilon);
    op_case_in(t, type, p->s, values, COUNTOF(values));
    shape param = SHAPE(p->s.dim[1]);
    if (p->w >= LAYER) {
        param = shape_make(p->s.rank - p->axis, p->s.dim + p->axis);
        op_case_int(t, "axis", p->axis);
    }
    if (p->w == GROUP)
        op_case_int(t, "num_groups", (int64_t)p->groups);
    op_case_in(t, type, param, scale, 7);
    if (p->w != RMS)
        op_case_in(t, type, param, bias, 5);
    if (p->w == BATCH) {      /* statistics of the batch itself, so that one loop serves all */
        op_case_in(t, type, param, bias, 5);
        op_case_in(t, type, param, scale, 1);
        op_case_int(t, "training_mode", 1);
    }
}

static void every_way_matches_the_plain_loop(void)
{
    uint64_t seed = 17;
    static double want[40000];
    err e;
    compute *pool = NULL;
    CHECK(compute_new(&pool, 2, &e) == ERR_OK);
    for (int round = 0; round < 400; round++) {
        op_case t;
        plan p = {.w = (way)(round % 5)};
        dtype type = float_types[test_rand(&seed) % 4];
        setup(&t, &p, type, &seed);
        t.pool = round % 2 ? pool : NULL;
        CHECK(op_case_run(&t) == ERR_OK);
        naive(&p, &t.in[0], want);
        uint64_t inner = shape_count_range(&p.s, 2, p.s.rank), row = shape_count_range(&p.s, p.axis, p.s.rank);
        for (uint64_t i = 0; i < tensor_count(&t.out[0]); i++) {
            uint64_t at = p.w >= LAYER ? i % row : i / inner % (uint64_t)p.s.dim[1];
            double exact = want[i] * tensor_f64(&t.in[1], at) + (p.w == RMS ? 0 : tensor_f64(&t.in[2], at));
            if (!(fabs(tensor_f64(&t.out[0], i) - exact) <= within_of(type) * (2 + fabs(exact)))) {
                printf("# round %d %.*s %s [%llu]: got %g, want %g\n", round, STR_ARG(t.node.op), dtype_name(type),
                       (unsigned long long)i, tensor_f64(&t.out[0], i), exact);
                test_failures++;
                break;
            }
        }
        op_case_fini(&t);
    }
    compute_free(pool);
}

static void batch_takes_the_given_statistics(void)
{
    for (size_t k = 0; k < COUNTOF(float_types); k++) {
        for (int rows = 0; rows < 2; rows++) {
            op_case t;
            op_case_init(&t, "BatchNormalization", 9);
            t.node.act = (activation){.kind = ACT_RELU};
            op_case_float(&t, "epsilon", 0);
            IN(&t, float_types[k], rows ? SHAPE(2, 2) : SHAPE(1, 2, 2), 1, 3, 5, 9);
            IN(&t, float_types[k], SHAPE(2), 2, 3);
            IN(&t, float_types[k], SHAPE(2), 0.5, -1);
            IN(&t, float_types[k], SHAPE(2), 1, 5);
            IN(&t, float_types[k], SHAPE(2), 4, 1);
            CHECK(op_case_run(&t) == ERR_OK);
            if (rows)
                WANT(&t, 0, float_types[k], SHAPE(2, 2), 1e-3, 0.5, 0, 4.5, 11);
            else
                WANT(&t, 0, float_types[k], SHAPE(1, 2, 2), 1e-3, 0.5, 2.5, 0, 11);
            op_case_fini(&t);
        }
    }
}

static void training_moves_the_statistics(void)
{
    op_case t;
    op_case_init(&t, "BatchNormalization", 15);
    op_case_outputs(&t, 3);
    op_case_int(&t, "training_mode", 1);
    op_case_float(&t, "momentum", 0.75f);
    IN(&t, DT_F32, SHAPE(2, 1, 2), 1, 3, 5, 7);
    IN(&t, DT_F32, SHAPE(1), 1);
    IN(&t, DT_F32, SHAPE(1), 0);
    IN(&t, DT_F32, SHAPE(1), 0);
    IN(&t, DT_F32, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 1, DT_F32, SHAPE(1), 1e-6, 1);
    WANT(&t, 2, DT_F32, SHAPE(1), 1e-6, 2);
    op_case_fini(&t);
    op_case_init(&t, "BatchNormalization", 9);
    op_case_outputs(&t, 2);
    IN(&t, DT_F32, SHAPE(1, 1), 1);
    for (int i = 0; i < 4; i++)
        IN(&t, DT_F32, SHAPE(1), 1);
    CHECK(op_case_run(&t) == ERR_UNSUPPORTED);
    op_case_fini(&t);
}

/* spatial = 0 of opset 7: each element of an image has its own statistics. */
static void batch_without_space(void)
{
    op_case t;
    op_case_init(&t, "BatchNormalization", 7);
    op_case_int(&t, "spatial", 0);
    op_case_float(&t, "epsilon", 0);
    IN(&t, DT_F32, SHAPE(2, 1, 2), 1, 2, 3, 4);
    IN(&t, DT_F32, SHAPE(1, 2), 1, 2);
    IN(&t, DT_F32, SHAPE(1, 2), 0, 1);
    IN(&t, DT_F32, SHAPE(1, 2), 1, 2);
    IN(&t, DT_F32, SHAPE(1, 2), 1, 4);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 1, 2), 1e-6, 0, 1, 2, 3);
    op_case_fini(&t);
}

static void layer_gives_its_statistics(void)
{
    op_case t;
    op_case_init(&t, "LayerNormalization", 17);
    op_case_outputs(&t, 3);
    op_case_float(&t, "epsilon", 0);
    IN(&t, DT_F16, SHAPE(2, 2), 1, 3, 4, 8);
    IN(&t, DT_F16, SHAPE(1), 2);      /* repeated */
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F16, SHAPE(2, 2), 1e-3, -2, 2, -2, 2);
    WANT(&t, 1, DT_F32, SHAPE(2, 1), 1e-6, 2, 6);
    WANT(&t, 2, DT_F32, SHAPE(2, 1), 1e-6, 1, 0.5);
    op_case_fini(&t);
    op_case_init(&t, "LayerNormalization", 17);
    op_case_float(&t, "epsilon", 0);
    IN(&t, DT_F32, SHAPE(2, 2), 1, 3, 4, 8);
    IN(&t, DT_F32, SHAPE(2, 1), 2, 3);      /* another scale for each row */
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 2), 1e-6, -2, 2, -3, 3);
    op_case_fini(&t);
    op_case_init(&t, "LayerNormalization", 17);
    IN(&t, DT_F32, SHAPE(2, 2), 1);
    IN(&t, DT_F32, SHAPE(3), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    CHECK(strstr(t.e.text, "input 1: expected a shape that broadcasts to [2], got [3]") != NULL);
    op_case_fini(&t);
}

static void groups_divide_the_channels(void)
{
    op_case t;
    op_case_init(&t, "GroupNormalization", 18);      /* then with a scale per group */
    op_case_int(&t, "num_groups", 2);
    op_case_float(&t, "epsilon", 0);
    IN(&t, DT_F32, SHAPE(1, 4, 1), 1, 3, 4, 8);
    IN(&t, DT_F32, SHAPE(2), 1, 10);
    IN(&t, DT_F32, SHAPE(2), 0, 1);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 4, 1), 1e-6, -1, 1, -9, 11);
    op_case_fini(&t);
    op_case_init(&t, "GroupNormalization", 21);
    op_case_int(&t, "num_groups", 3);
    IN(&t, DT_F32, SHAPE(1, 4, 1), 1);
    IN(&t, DT_F32, SHAPE(4), 1);
    IN(&t, DT_F32, SHAPE(4), 0);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void along_an_axis(void)
{
    for (size_t k = 0; k < COUNTOF(float_types); k++) {
        double within = within_of(float_types[k]);
        op_case t;
        op_case_init(&t, "LpNormalization", 22);
        op_case_int(&t, "axis", 0);
        IN(&t, float_types[k], SHAPE(2, 2), 3, 0, 4, 0);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, float_types[k], SHAPE(2, 2), within, 0.6, 0, 0.8, 0);
        op_case_fini(&t);
        op_case_init(&t, "LpNormalization", 1);
        op_case_int(&t, "p", 1);
        IN(&t, float_types[k], SHAPE(2, 2), 3, -1, 4, 0);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, float_types[k], SHAPE(2, 2), within, 0.75, -0.25, 1, 0);
        op_case_fini(&t);
        op_case_init(&t, "MeanVarianceNormalization", 13);
        IN(&t, float_types[k], SHAPE(2, 2, 1, 1), 1, 10, 3, 30);
        CHECK(op_case_run(&t) == ERR_OK);
        WANT(&t, 0, float_types[k], SHAPE(2, 2, 1, 1), within + 2e-9, -1, -1, 1,
             1); /* 1e-9 is added to the deviation */
        op_case_fini(&t);
    }
    op_case t;
    op_case_init(&t, "LpNormalization", 22);
    op_case_int(&t, "p", 3);
    IN(&t, DT_F32, SHAPE(2), 3, 4);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void lrn_weighs_its_neighbours(void)
{
    static const float betas[] = {0.75f, 0.5f};
    for (size_t k = 0; k < COUNTOF(float_types); k++) {
        for (size_t b = 0; b < COUNTOF(betas); b++) {
            op_case t;
            double x[5] = {1, -2, 3, 0.5, 4}, want[5];
            op_case_init(&t, "LRN", 13);
            op_case_int(&t, "size", 4);      /* one before, two after */
            op_case_float(&t, "alpha", 0.5f);
            op_case_float(&t, "beta", betas[b]);
            op_case_float(&t, "bias", 2);
            op_case_in(&t, float_types[k], SHAPE(1, 5, 1), x, 5);
            CHECK(op_case_run(&t) == ERR_OK);
            for (int i = 0; i < 5; i++) {
                double sum = 0;
                for (int n = i - 1; n <= i + 2; n++)
                    sum += n >= 0 && n < 5 ? x[n] * x[n] : 0;
                want[i] = x[i] / pow(2 + 0.125 * sum, (double)betas[b]);
            }
            op_case_check(&t, 0, float_types[k], SHAPE(1, 5, 1), within_of(float_types[k]), want, 5, __LINE__);
            op_case_fini(&t);
        }
    }
}

static _Atomic bool lrn_cancelled;
static uint64_t lrn_products;

static void multiply_and_cancel(float *y, const float *a, const float *b, size_t n)
{
    atomic_store(&lrn_cancelled, true);
    lrn_products++;
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

/* Where all of 100 channels are neighbours, 10,000 rows are multiplied by themselves if nothing ends it. */
static void a_run_can_end_between_two_channels_of_lrn(void)
{
    for (int64_t size = 1; size <= 200; size += 199) {
        kernel_set k = kernel_active()->set;
        op_case t;
        k.mul_f32 = multiply_and_cancel;
        op_case_init(&t, "LRN", 13);
        op_case_int(&t, "size", size);
        IN(&t, DT_F32, SHAPE(1, 100, 512), 1);
        t.k = &k;
        atomic_store(&lrn_cancelled, false);
        lrn_products = 0;
        CHECK(op_case_run_cancelled(&t, &lrn_cancelled) == ERR_CANCELLED);
        CHECK_STR(t.e.text, "node 'case' (LRN, ai.onnx 13): cancelled before the last node");
        CHECK(lrn_products > 0 && lrn_products < 1000);
        op_case_fini(&t);
    }
}

static void image_scaler_scales_and_shifts(void)
{
    op_case t;
    static const float bias[2] = {-1, 5};
    op_case_init(&t, "ImageScaler", 7);
    op_case_float(&t, "scale", 2);
    op_case_floats(&t, "bias", bias, 2);
    IN(&t, DT_F32, SHAPE(1, 2, 1, 2), 1, 2, 3, 4);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 2, 1, 2), 0, 1, 3, 11, 13);
    op_case_fini(&t);
    op_case_init(&t, "ImageScaler", 7);
    op_case_floats(&t, "bias", bias, 2);
    IN(&t, DT_F32, SHAPE(1, 3, 1, 1), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void rows_of_no_element_have_statistics(void)
{
    op_case t;
    op_case_init(&t, "LayerNormalization", 17);
    op_case_float(&t, "epsilon", 0.25f);
    op_case_in(&t, DT_F32, SHAPE(2, 0), NULL, 0);
    op_case_in(&t, DT_F32, SHAPE(0), NULL, 0);
    op_case_outputs(&t, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 1, DT_F32, SHAPE(2, 1), 0, 0, 0);
    WANT(&t, 2, DT_F32, SHAPE(2, 1), 0, 2, 2);
    op_case_fini(&t);
}

int main(void)
{
    static const test_case cases[] = {
        TEST(every_way_matches_the_plain_loop),
        TEST(batch_takes_the_given_statistics),
        TEST(training_moves_the_statistics),
        TEST(batch_without_space),
        TEST(layer_gives_its_statistics),
        TEST(groups_divide_the_channels),
        TEST(along_an_axis),
        TEST(lrn_weighs_its_neighbours),
        TEST(a_run_can_end_between_two_channels_of_lrn),
        TEST(image_scaler_scales_and_shifts),
        TEST(rows_of_no_element_have_statistics),
    };
    return test_main(cases, COUNTOF(cases));
}
