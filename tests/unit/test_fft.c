/* Transforms of every length 1..130, and some longer ones, equal the defining sum within 1e-12 * n; the inverse
 * gives the signal back.  The operators around it keep their shapes, halves and windows. */
#include "tensor/fft.h"

#include "base/rng.h"
#include "op_harness.h"
#include "test.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

static void check_length(size_t n, rng *r)
{
    arena a;
    fft f;
    arena_init(&a, NULL, 0, SIZE_MAX / 2);
    CHECK(fft_init(&f, n, &a));
    double *x = arena_new(&a, double, 2 * n), *y = arena_new(&a, double, 2 * n),
           *work = arena_new(&a, double, fft_work(&f) + 1);
    for (size_t i = 0; i < 2 * n; i++) y[i] = x[i] = rng_unit(r) - 0.5;
    fft_run(&f, y, false, work);
    size_t wrong = 0;
    for (size_t k = 0; k < n; k++) {
        double re = 0, im = 0;
        for (size_t i = 0; i < n; i++) {
            double angle = -2 * pi * (double)(i * k % n) / (double)n;
            re += x[2 * i] * cos(angle) - x[2 * i + 1] * sin(angle);
            im += x[2 * i] * sin(angle) + x[2 * i + 1] * cos(angle);
        }
        wrong += fabs(re - y[2 * k]) > 1e-12 * (double)n || fabs(im - y[2 * k + 1]) > 1e-12 * (double)n;
    }
    fft_run(&f, y, true, work);
    for (size_t i = 0; i < 2 * n; i++) wrong += fabs(x[i] - y[i]) > 1e-12 * (double)n;
    if (wrong) printf("# length %zu\n", n);
    CHECK_U64(wrong, 0);
    arena_fini(&a);
}

static void every_length_equals_the_sum(void)
{
    rng r;
    rng_init(&r, 5);
    for (size_t n = 1; n <= 130; n++) check_length(n, &r);
    check_length(1000, &r);
    check_length(1024, &r);
    check_length(1009, &r);
}

static void a_full_arena_is_noticed(void)
{
    arena a;
    fft f;
    arena_init(&a, NULL, 0, 64);
    CHECK(!fft_init(&f, 100, &a));
    arena_fini(&a);
}

static void a_real_signal_has_half_a_spectrum_and_comes_back(void)
{
    op_case t;
    op_case_init(&t, "DFT", 20);
    op_case_int(&t, "onesided", 1);
    IN(&t, DT_F32, SHAPE(1, 4, 1), 1, 2, 3, 4);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 3, 2), 1e-6, 10, 0, -2, 2, -2, 0);
    op_case_fini(&t);
    op_case_init(&t, "DFT", 20);
    op_case_int(&t, "onesided", 1);
    op_case_int(&t, "inverse", 1);
    IN(&t, DT_F64, SHAPE(1, 3, 2), 10, 0, -2, 2, -2, 0);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F64, SHAPE(1, 4, 1), 1e-12, 1, 2, 3, 4);
    op_case_fini(&t);
    op_case_init(&t, "DFT", 17);
    op_case_int(&t, "axis", 0);
    IN(&t, DT_F32, SHAPE(1, 2, 2), 1, 2, 3, 4);
    IN(&t, DT_I64, SCALAR, 2); /* filled up with a zero row */
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2, 2, 2), 1e-6, 1, 2, 3, 4, 1, 2, 3, 4);
    op_case_fini(&t);
    op_case_init(&t, "DFT", 20);
    IN(&t, DT_F32, SHAPE(1, 4, 3), 1);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void frames_are_cut_weighted_and_transformed(void)
{
    op_case t;
    op_case_init(&t, "STFT", 17);
    IN(&t, DT_F32, SHAPE(1, 5, 1), 1, 2, 3, 4, 5);
    IN(&t, DT_I64, SCALAR, 3);
    IN(&t, DT_F32, SHAPE(2), 1, 0.5);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(1, 2, 2, 2), 1e-6, 2, 0, 0, 0, 6.5, 0, 1.5, 0);
    op_case_fini(&t);
    op_case_init(&t, "STFT", 17);
    IN(&t, DT_F32, SHAPE(1, 5, 1), 1);
    IN(&t, DT_I64, SCALAR, 0);
    CHECK(op_case_run(&t) == ERR_INVALID);
    op_case_fini(&t);
}

static void windows_and_mel_filters(void)
{
    op_case t;
    op_case_init(&t, "HannWindow", 17);
    IN(&t, DT_I64, SCALAR, 4);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(4), 1e-6, 0, 0.5, 1, 0.5);
    op_case_fini(&t);
    op_case_init(&t, "BlackmanWindow", 17);
    op_case_int(&t, "periodic", 0);
    op_case_int(&t, "output_datatype", DT_F64);
    IN(&t, DT_I32, SCALAR, 3);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F64, SHAPE(3), 1e-12, 0, 1, 0);
    op_case_fini(&t);
    op_case_init(&t, "HammingWindow", 17);
    IN(&t, DT_I64, SCALAR, 2);
    CHECK(op_case_run(&t) == ERR_OK);
    WANT(&t, 0, DT_F32, SHAPE(2), 1e-6, 4.0 / 46, 1);
    op_case_fini(&t);
    op_case_init(&t, "MelWeightMatrix", 17);
    IN(&t, DT_I64, SCALAR, 1);
    IN(&t, DT_I64, SCALAR, 8);
    IN(&t, DT_I64, SCALAR, 8);
    IN(&t, DT_F32, SCALAR, 0);
    IN(&t, DT_F32, SCALAR, 4);
    CHECK(op_case_run(&t) == ERR_OK);
    /* edges 0, 1.33.., 2.66.. Hz are bins 0, 1, 2 of 9 / 8 Hz */
    WANT(&t, 0, DT_F32, SHAPE(5, 1), 1e-6, 0, 1, 0, 0, 0);
    op_case_fini(&t);
}

static void a_mel_filter_at_no_rate_is_refused(void)
{
    static const double rates[] = {0, 1, 16000}, highest[] = {4000, 1e30, NAN};
    for (size_t i = 0; i < COUNTOF(rates); i++) {
        op_case t;
        op_case_init(&t, "MelWeightMatrix", 17);
        IN(&t, DT_I64, SCALAR, 2);
        IN(&t, DT_I64, SCALAR, 8);
        IN(&t, DT_I64, SCALAR, rates[i]);
        IN(&t, DT_F32, SCALAR, 0);
        IN(&t, DT_F32, SCALAR, highest[i]);
        CHECK(op_case_run(&t) == ERR_INVALID);
        CHECK(strstr(t.e.text, "is outside the 5 bins") != NULL);
        op_case_fini(&t);
    }
}

int main(void)
{
    static const test_case cases[] = {TEST(every_length_equals_the_sum), TEST(a_full_arena_is_noticed),
                                      TEST(a_real_signal_has_half_a_spectrum_and_comes_back),
                                      TEST(frames_are_cut_weighted_and_transformed), TEST(windows_and_mel_filters),
                                      TEST(a_mel_filter_at_no_rate_is_refused)};
    return test_main(cases, COUNTOF(cases));
}
