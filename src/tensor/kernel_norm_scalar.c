/* Portable reference.  Slow and obvious on purpose: every other ISA is tested against this file. */
#include "tensor/kernel_decl.h"

#include <math.h>

float sum_f32_scalar(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    return (float)sum;
}

float sumsq_f32_scalar(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return (float)sum;
}

float sumabs_f32_scalar(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)x[i]);
    return (float)sum;
}

float reduce_max_f32_scalar(const float *x, size_t n)
{
    float max = -INFINITY;
    for (size_t i = 0; i < n; i++)
        max = isnan(max) || max > x[i] ? max : x[i];
    return max;
}

float reduce_min_f32_scalar(const float *x, size_t n)
{
    float min = INFINITY;
    for (size_t i = 0; i < n; i++)
        min = isnan(min) || min < x[i] ? min : x[i];
    return min;
}

static double sum_of_exp(const float *x, double max, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i] - max);
    return sum;
}

void softmax_f32_scalar(float *y, const float *x, size_t n)
{
    double max = (double)reduce_max_f32_scalar(x, n), sum = sum_of_exp(x, max, n);
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(exp((double)x[i] - max) / sum);
}

void log_softmax_f32_scalar(float *y, const float *x, size_t n)
{
    double max = (double)reduce_max_f32_scalar(x, n), log_sum = log(sum_of_exp(x, max, n));
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)x[i] - max - log_sum);
}

void mean_var_f32_scalar(const float *x, size_t n, float *ret_mean, float *ret_var)
{
    double sum = 0, squares = 0, count = n ? (double)n : 1;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    double mean = sum / count;
    for (size_t i = 0; i < n; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    *ret_mean = (float)mean;
    *ret_var = (float)(squares / count);
}

void norm_affine_f32_scalar(float *y, const float *x, float mean, float rstd, const float *scale, const float *bias,
                            size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double unit = ((double)x[i] - (double)mean) * (double)rstd;
        y[i] = (float)(unit * (scale ? (double)scale[i] : 1) + (bias ? (double)bias[i] : 0));
    }
}
