/* rate_limit.h - so many per second and not more: a token bucket that is one instant.
 *
 * The bucket holds `burst` tokens and fills at `per_s`; it is kept as the time at which it will be full again (GCRA,
 * the generic cell rate algorithm of ATM, I.371), exact to the fraction of a nanosecond, so that nothing drifts and
 * nothing ticks.  Time is an argument; one that steps back only makes waits longer.  Not thread-safe. */
#ifndef SCHED_RATE_LIMIT_H
#define SCHED_RATE_LIMIT_H
#include "base/base.h"

typedef struct {
    uint32_t per_s, burst;   /* per_s = 0: no limit; burst = 0 counts as 1 */
    /* private */
    uint64_t full_ns, rest;   /* full at full_ns + rest / per_s */
} rate_limit;

void rate_limit_init(rate_limit *r, uint32_t per_s, uint32_t burst);
/* How long until one may be taken; 0 = now. */
uint64_t rate_limit_wait_ns(const rate_limit *r, uint64_t now_ns);
void rate_limit_take(rate_limit *r, uint64_t now_ns);   /* only where the wait is 0 */

#endif
