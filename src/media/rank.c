#include "media/rank.h"

#include <math.h>

void rank_softmax(float *y, const float *x, size_t n)
{
    double sum = 0;
    float most = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (!(x[i] <= most)) most = x[i];        /* takes a NaN, too */
    for (size_t i = 0; i < n; i++) sum += x[i] == most ? 1 : exp((double)x[i] - (double)most);
    for (size_t i = 0; i < n; i++) y[i] = (float)((x[i] == most ? 1 : exp((double)x[i] - (double)most)) / sum);
}

bool rank_before(const float *x, uint32_t a, uint32_t b)
{
    bool a_none = isnan(x[a]), b_none = isnan(x[b]);
    if (a_none || b_none) return a_none == b_none ? a < b : b_none;
    if (x[a] == x[b]) return a < b;
    return x[a] > x[b];
}

/* Lets heap[at] sink to its place: the last in rank is on top. */
static void sink(const float *x, uint32_t *heap, size_t count, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && rank_before(x, heap[child], heap[child + 1])) child++;
        if (!rank_before(x, heap[at], heap[child])) return;
        uint32_t moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
    }
}

size_t rank_top(const float *x, size_t n, size_t k, uint32_t *ret)
{
    size_t count = k < n ? k : n;
    if (count == 0) return 0;
    for (size_t i = 0; i < count; i++) ret[i] = (uint32_t)i;
    for (size_t i = count / 2; i-- > 0;) sink(x, ret, count, i);
    for (size_t i = count; i < n; i++)
        if (rank_before(x, (uint32_t)i, ret[0])) {
            ret[0] = (uint32_t)i;
            sink(x, ret, count, 0);
        }
    for (size_t left = count; left > 1; left--) {        /* the last in rank goes to the end */
        uint32_t last = ret[0];
        ret[0] = ret[left - 1];
        ret[left - 1] = last;
        sink(x, ret, left - 1, 0);
    }
    return count;
}
