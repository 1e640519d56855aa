/* clock.h - what time it is.
 *
 * clock_now_*() is monotonic and is what timers and latencies use; clock_wall_us() is for people and logs:
 * it may jump.  Callbacks of a loop read loop_now_us() instead. */
#ifndef OS_CLOCK_H
#define OS_CLOCK_H
#include "base/base.h"

uint64_t clock_now_ns(void);
uint64_t clock_now_us(void);
uint64_t clock_wall_us(void);   /* since the epoch */

#endif
