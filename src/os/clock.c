#include "os/clock.h"

#include "os/sys.h"

#include <time.h>

static uint64_t read_ns(int which)
{
    uint64_t ns = 0;
    int64_t rc = sys_clock_ns(which, &ns);
    INVARIANT(rc == 0);   /* fails only for a clock that does not exist */
    return ns;
}

uint64_t clock_now_ns(void) { return read_ns(CLOCK_MONOTONIC); }
uint64_t clock_now_us(void) { return clock_now_ns() / 1000; }
uint64_t clock_wall_us(void) { return read_ns(CLOCK_REALTIME) / 1000; }
