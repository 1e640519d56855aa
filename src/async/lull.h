/* lull.h - notices that a loop has come to rest: for a while nothing was done on it, after something was.
 *
 *   lull_busy() ... lull_busy()  --wait_us without one-->  rests()  --lull_busy()--> ...
 *
 * For giving back what only a load needs.  One timer, armed by the first lull_busy() and moved at most once in
 * wait_us, so a busy loop hardly notices it, and one that rests sleeps: rests() is called once, then nothing happens
 * until lull_busy().  Loops that share `awake` find out which of them is the last to rest.  Belongs to its loop's
 * thread; embedded in its owner. */
#ifndef ASYNC_LULL_H
#define ASYNC_LULL_H
#include "async/loop.h"

#include <stdatomic.h>

typedef struct lull lull;

struct lull {
    /* private */
    loop *on;
    loop_timer timer;
    uint64_t wait_us, busy_us;
    bool awake;
    _Atomic size_t *all_awake;
    void (*rests)(lull *l, bool last);
};

typedef struct {
    loop *on;                            /* borrowed */
    uint64_t wait_us;
    _Atomic size_t *awake;               /* borrowed; loops that do not rest, of all that share it; begins with 0 */
    void (*rests)(lull *l, bool last);   /* last = no other is awake */
} lull_opts;

err_code lull_init(lull *l, const lull_opts *opts, err *e) MUST_USE;
void lull_fini(lull *l);   /* all zero, too */
void lull_wake(lull *l);   /* for lull_busy() */

static inline void lull_busy(lull *l)
{
    l->busy_us = loop_now_us(l->on);
    if (!l->awake) lull_wake(l);
}

#endif
