/* Portable reference.  Slow and obvious on purpose: every other ISA is tested against this file. */
#include "tensor/kernel_decl.h"

float dot_f32_scalar(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return (float)sum;
}
