#include "engine/scores.h"

#include <math.h>

err_code scores_of(scores *ret, const graph *g, const node *n, err *e)
{
    static const char *const names[SCORES_COUNT] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
    str name = node_str(n, "post_transform", STR("NONE"));
    char text[200];
    for (int i = 0; i < SCORES_COUNT; i++) {
        if (!str_is(name, names[i])) continue;
        *ret = (scores)i;
        return ERR_OK;
    }
    return err_set(e, ERR_INVALID,
                   "%s: post_transform: expected NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT, got '" STR_FMT "'",
                   node_text(g, n, text), STR_ARG(name));
}

double scores_logistic(double v)
{
    double small = exp(-fabs(v)); /* never overflows */
    return v < 0 ? small / (1 + small) : 1 / (1 + small);
}

static double probit(double v)
{
    const double pi = 3.14159, a = 0.147;
    double x = 2 * v - 1, ln = log((1 - x) * (1 + x)), half = 2 / (pi * a) + ln / 2;
    double inverse = sqrt(sqrt(half * half - ln / a) - half);
    return sqrt(2.0) * (x < 0 ? -inverse : inverse);
}

/* SOFTMAX_ZERO leaves what is zero out of the sum: it gets (about) zero. */
static void softmax(double *row, size_t n, bool skip_zero)
{
    double max = -(double)INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) max = row[i] > max ? row[i] : max;
    for (size_t i = 0; i < n; i++) {
        if (skip_zero && fabs(row[i]) <= 1e-7) {
            row[i] *= exp(-max);
            continue;
        }
        row[i] = exp(row[i] - max);
        sum += row[i];
    }
    for (size_t i = 0; i < n; i++) row[i] /= sum;
}

void scores_apply(scores how, double *row, size_t n)
{
    if (how == SCORES_PROBIT) {
        for (size_t i = 0; i < n; i++) row[i] = probit(row[i]);
    } else if (n > 1 && how == SCORES_LOGISTIC) {
        for (size_t i = 0; i < n; i++) row[i] = scores_logistic(row[i]);
    } else if (n > 1 && (how == SCORES_SOFTMAX || how == SCORES_SOFTMAX_ZERO)) {
        softmax(row, n, how == SCORES_SOFTMAX_ZERO);
    }
}

void scores_pair(scores how, bool probability, double score, double ret[2])
{
    if (how == SCORES_PROBIT) score = probit(score);
    ret[0] = probability ? 1 - score : -score;
    ret[1] = score;
    if (how != SCORES_LOGISTIC) return;
    ret[0] = scores_logistic(-score);
    ret[1] = scores_logistic(score);
}

size_t scores_best(const double *row, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (row[i] > row[best] || (isnan(row[best]) && !isnan(row[i]))) best = i;
    }
    return best;
}

classes classes_of(const node *n, const char *strings_name, const char *ints_name)
{
    const attr *strings = node_attr(n, strings_name), *ints = node_attr(n, ints_name);
    if (strings && strings->count) return (classes){strings->count, strings->strings, NULL};
    if (ints && ints->count) return (classes){ints->count, NULL, ints->ints};
    return (classes){0};
}

dtype classes_type(const classes *c) { return c->strings ? DT_STRING : DT_I64; }

void classes_put(const classes *c, tensor *t, uint64_t i, size_t class_index, int64_t none)
{
    if (c->strings)
        ((str *)t->data)[i] = c->strings[class_index];
    else
        ((int64_t *)t->data)[i] = c->ints ? c->ints[class_index] : none;
}
