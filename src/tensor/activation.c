#include "tensor/activation.h"

#include <math.h>

static double one(const activation *act, double x)
{
    switch (act->kind) {
    case ACT_RELU: return x < 0 ? 0 : x;
    case ACT_CLIP: return x < (double)act->a ? (double)act->a : x > (double)act->b ? (double)act->b : x;
    case ACT_LEAKY_RELU: return x < 0 ? (double)act->a * x : x;
    case ACT_SIGMOID: return 1 / (1 + exp(-x));
    case ACT_TANH: return tanh(x);
    case ACT_HARD_SIGMOID: return fmax(0, fmin(1, (double)act->a * x + (double)act->b));
    case ACT_HARD_SWISH: return x * fmax(0, fmin(1, x / 6 + 0.5));
    case ACT_SILU: return x / (1 + exp(-x));
    case ACT_GELU: return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case ACT_NONE: break;
    }
    return x;
}

void activation_f64(const activation *act, double *y, size_t n)
{
    if (act->kind == ACT_NONE) return;
    for (size_t i = 0; i < n; i++) y[i] = one(act, y[i]);
}
