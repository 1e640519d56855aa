/* rank.h - what is usually asked about a row of scores: as probabilities, and the best of them.
 *
 * Pure functions over a caller's arrays, no allocation.  The order is total, so that equal requests get equal answers:
 * of equal scores the lower index comes first, and NaN comes last. */
#ifndef MEDIA_RANK_H
#define MEDIA_RANK_H
#include "base/base.h"

/* y = exp(x - max) / sum, computed in double; x and y may be the same.  A NaN makes all of them NaN; of several
 * infinities each gets its share. */
void rank_softmax(float *y, const float *x, size_t n);
/* The k best of n, best first, into ret[k]; returns how many there are, at most n. */
size_t rank_top(const float *x, size_t n, size_t k, uint32_t *ret);
bool rank_before(const float *x, uint32_t a, uint32_t b);    /* a comes before b */

#endif
