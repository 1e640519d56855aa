#include "sched/rate_limit.h"

enum { SECOND_NS = 1000000000 };

void rate_limit_init(rate_limit *r, uint32_t per_s, uint32_t burst)
{
    *r = (rate_limit){.per_s = per_s, .burst = burst ? burst : 1};
}

uint64_t rate_limit_wait_ns(const rate_limit *r, uint64_t now_ns)
{
    if (r->per_s == 0 || r->full_ns <= now_ns) return 0;
    /* One more token must fit: what is missing by now, and it, are at most the burst. */
    uint64_t slack_ns = (r->burst - 1) * (uint64_t)SECOND_NS / r->per_s;
    uint64_t missing_ns = r->full_ns - now_ns;
    return missing_ns > slack_ns ? missing_ns - slack_ns : 0;
}

void rate_limit_take(rate_limit *r, uint64_t now_ns)
{
    if (r->per_s == 0) return;
    INVARIANT(rate_limit_wait_ns(r, now_ns) == 0);
    if (r->full_ns < now_ns) {
        r->full_ns = now_ns;
        r->rest = 0;
    }
    r->rest += SECOND_NS;
    r->full_ns += r->rest / r->per_s;
    r->rest %= r->per_s;
}
